"""Every cause of the first set: inject it, see it named first, run the printed fix verbatim where it says, see `ok` again."""
import time

from lab import Failure, brief, check, overload

DROP_NEW = "type filter hook {hook} priority 0; policy drop; {lo} lo accept; ct state established,related accept;"


def nft(body):
    return f"nft -f - <<'N'\n{body}\nN"


NO_TABLE = "nft flush ruleset"
SPOOF = r"""python3 - <<'P' >/dev/null 2>&1 &
import socket, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)); s.bind(("eth0", 0))
me = s.getsockname()[4]; victim = bytes.fromhex("{victim}".replace(":", ""))
ip = lambda t: bytes(map(int, t.split(".")))
f = victim + me + b"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02" + me + ip("{claimed}") + victim + ip("{to}")
end = time.time() + 60
while time.time() < end:
    s.send(f); time.sleep(0.05)
P"""


class Case:
    def __init__(self, cause, pair, inject, undo, where, settle=0.0, args=(), name=None, also=()):
        self.cause, self.pair, self.inject, self.undo = cause, pair, inject, undo
        self.where, self.settle, self.args = where, settle, args
        self.also = also  # causes that must be named as well, in any order: of two faults, none is the first
        self.name = f"cause/{name or cause}"


def cases(lab):
    g = lab.guests
    a1, a2, a3 = g["a1"], g["a2"], g["a3"]
    dead = "02:de:ad:00:00:01"
    base_a1 = a1.base()
    return [
        Case("guest-fw-icmp-only", ("h1", "a1"), [("a1", nft("table inet t { chain c { type filter hook input priority 0; icmp type echo-request drop; icmpv6 type echo-request drop; }; }"))],
             [("a1", NO_TABLE)], "a1"),
        Case("guest-fw-icmp-only", ("a1", "a2"), [("a1", nft("table ip t { chain c { type filter hook input priority 0; ip protocol icmp drop; }; }"))],
             [("a1", NO_TABLE)], "a1", name="guest-fw-icmp-only-stateless-across"),
        Case("guest-fw-inbound-drop", ("h1", "a1"), [("a1", nft("table inet filter { chain input { " + DROP_NEW.format(hook="input", lo="iif") + " icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; }; }"))],
             [("a1", NO_TABLE)], "a1"),
        Case("guest-fw-inbound-drop", ("a2", "a1"), [("a1", "iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; iptables -A INPUT ! -i lo -j DROP")],
             [("a1", NO_TABLE)], "a1", name="guest-fw-inbound-drop-iptables"),
        Case("guest-fw-egress-drop", ("h1", "a1"), [("a1", nft("table inet filter { chain output { " + DROP_NEW.format(hook="output", lo="oif") + " }; }"))],
             [("a1", NO_TABLE)], "a1"),
        Case("guest-fw-reject", ("h1", "a1"), [("a1", nft("table inet filter { chain input { type filter hook input priority 0; ct state established,related accept; iif lo accept; meta l4proto { udp, tcp } reject with icmpx type admin-prohibited; }; }"))],
             [("a1", NO_TABLE)], "a1"),
        Case("icmp-echo-ignore", ("h1", "a1"), [("a1", "sysctl -qw net.ipv4.icmp_echo_ignore_all=1")], [("a1", "sysctl -qw net.ipv4.icmp_echo_ignore_all=0")], "a1"),
        Case("host-fw-input-drop", ("h1", "a1"), [("h1", nft("table inet filter { chain input { type filter hook input priority 0; ct state established,related accept; iifname \"br-a\" meta l4proto { icmp, udp, tcp } drop; }; }"))],
             [("h1", NO_TABLE)], "h1"),
        Case("host-fw-output-drop", ("h1", "a1"), [("h1", nft("table inet filter { chain output { type filter hook output priority 0; ct state established,related accept; oifname \"br-a\" meta l4proto { icmp, udp, tcp } drop; }; }"))],
             [("h1", NO_TABLE)], "h1"),
        Case("hypervisor-vm-firewall", ("a2", "a1"), [("h1", nft(f"table bridge filter {{ chain forward {{ type filter hook forward priority 0; oifname \"{a1.port}\" ip protocol {{ icmp, udp, tcp }} ip saddr {a2.ip} drop; }}; }}"))],
             [("h1", NO_TABLE)], "h1"),
        Case("hypervisor-vm-firewall", ("a1", "a2"), [("h2", f"ebtables -A FORWARD -p IPv4 --ip-dst {a2.ip} -j DROP")],
             [("h2", NO_TABLE)], "h2", name="hypervisor-vm-firewall-ebtables"),
        Case("bridge-nf-forward-drop", ("a1", "a2"), [("h1", "sysctl -qw net.bridge.bridge-nf-call-iptables=1; iptables -P FORWARD DROP")],
             [("h1", "sysctl -qw net.bridge.bridge-nf-call-iptables=0; iptables -P FORWARD ACCEPT; nft flush ruleset")], "h1"),
        Case("guest-no-ip", ("h1", "a1"), [("a1", f"ip addr del {a1.ip}/24 dev eth0")], [("a1", base_a1)], "a1"),
        Case("wrong-subnet-ip", ("h1", "a1"), [("a1", f"ip addr del {a1.ip}/24 dev eth0; ip addr add 10.77.5.11/24 dev eth0")], [("a1", base_a1)], "a1", settle=1.0),
        Case("netmask-too-narrow", ("h1", "a1"), [("a1", f"ip addr del {a1.ip}/24 dev eth0; ip addr add {a1.ip}/30 dev eth0")], [("a1", base_a1)], "a1"),
        Case("default-gateway-missing", ("a3", "c1"), [("c1", "ip route del default")], [("c1", g["c1"].gateways())], "c1"),
        Case("rp-filter-strict", ("h2", "a1"), [
            ("h1", f"ip link add vn-x type veth peer name eth1 netns {lab.ns('a1')}; ip link set vn-x master br-a up"),
            ("a1", "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2; ip link set eth1 up; ip route add 10.0.0.2/32 dev eth1 src 10.0.0.11; "
                   "sysctl -qw net.ipv4.conf.all.rp_filter=1")],
            [("a1", "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.all.arp_announce=0"), ("h1", "ip link del vn-x")], "a1", settle=0.5),
        Case("blackhole-route", ("h2", "a1"), [("a1", "ip route add blackhole 10.0.0.2/32")], [("a1", "ip route del blackhole 10.0.0.2/32")], "a1"),
        Case("duplicate-ip-vm-vm", ("a1", "a2"), [("a3", f"ip addr add {a2.ip}/24 dev eth0")],
             [("a3", f"ip addr del {a2.ip}/24 dev eth0"), ("a1", "ip neigh flush all")], "a3", settle=1.0),
        Case("duplicate-ip-vm-host", ("h1", "a1"), [("a1", "ip addr add 10.0.0.1/32 dev eth0")],
             [("a1", "ip addr del 10.0.0.1/32 dev eth0; ip neigh flush all")], "a1", settle=1.0),
        Case("arp-spoofing", ("a1", "a2"), [("a3", SPOOF.format(victim=a1.mac, claimed=a2.ip, to=a1.ip))],
             [("a3", "for p in $(ip netns pids %s); do tr '\\0' ' ' </proc/$p/cmdline | grep -q '^python3 -' && kill $p; done" % lab.ns("a3")),
              ("h1", NO_TABLE), ("a1", "ip neigh flush all")], None, settle=1.0),
        Case("stale-arp-host", ("h1", "a1"), [("h1", f"ip neigh replace {a1.ip} lladdr {dead} dev br-a nud permanent")], [("h1", f"ip neigh del {a1.ip} dev br-a")], "h1"),
        Case("stale-arp-guest", ("h1", "a1"), [("a1", f"ip neigh replace 10.0.0.1 lladdr {dead} dev eth0 nud permanent")], [("a1", "ip neigh del 10.0.0.1 dev eth0")], "a1"),
        Case("arp-not-answered", ("h1", "a1"), [("a1", "sysctl -qw net.ipv4.conf.all.arp_ignore=8")], [("a1", "sysctl -qw net.ipv4.conf.all.arp_ignore=0")], "a1"),
        Case("vnic-link-down", ("h1", "a1"), [("h1", f"ip link set {a1.port} down")], [("h1", f"ip link set {a1.port} up")], None),
        Case("guest-nic-admin-down", ("h1", "a1"), [("a1", "ip link set eth0 down")], [("a1", base_a1)], "a1"),
        Case("tap-not-in-bridge", ("h1", "a1"), [("h1", f"ip link set {a1.port} nomaster")], [("h1", f"ip link set {a1.port} master br-a")], "h1"),
        Case("uplink-missing-from-bridge", ("a1", "a2"), [("h1", "ip link set up-a nomaster")], [("h1", "ip link set up-a master br-a")], "h1"),
        Case("port-isolation", ("a1", "a3"), [("h1", f"bridge link set dev {a1.port} isolated on; bridge link set dev {a3.port} isolated on")],
             [("h1", f"bridge link set dev {a1.port} isolated off; bridge link set dev {a3.port} isolated off")], "h1"),
        Case("stp-not-forwarding", ("h1", "a1"), [("h1", f"bridge link set dev {a1.port} state 0")], [("h1", f"ip link set {a1.port} nomaster; ip link set {a1.port} master br-a")], "h1"),
        Case("mtu-guest-smaller", ("a2", "a1"), [("a1", "ip link set eth0 mtu 1400")], [("a1", "ip link set eth0 mtu 1500")], "a1"),
        Case("mtu-physical-path", ("a1", "a2"), [("sw", "ip link set sa1 mtu 1400; ip link set sa2 mtu 1400")],
             [("sw", "ip link set sa1 mtu 1500; ip link set sa2 mtu 1500"), ("a1", "ip link set eth0 mtu 1500"), ("a2", "ip link set eth0 mtu 1500")], None),
        Case("mtu-physical-path", ("c1", "a3"), [("h1", "ip link set br-a mtu 1400")],
             [("h1", "ip link set br-a mtu 1500"), ("c1", "ip link set eth0 mtu 1500"), ("a3", "ip link set eth0 mtu 1500")], "h1", name="mtu-physical-path-routed"),
        Case("service-not-listening", ("a1", "a2"), [("a2", "for p in $(ip netns pids %s); do tr '\\0' ' ' </proc/$p/cmdline | grep -q '^python3 -m http.server 8080' && kill $p; done; true" % lab.ns("a2"))],
             [("a2", "true")], "a2", args=("--service", "8080")),
        # at the other end, across hosts, in one family only, more than one at once
        Case("guest-no-ip", ("a2", "a1"), [("a1", "ip addr flush dev eth0")], [("a1", base_a1)], "a1", name="guest-no-ip-both-families-across"),
        Case("guest-no-ip", ("a3", "a2"), [("a2", f"ip addr del {a2.ip6}/64 dev eth0")], [("a2", a2.base())], "a2", name="guest-no-ip-ipv6-only", settle=0.5),
        Case("guest-no-ip", ("h2", "a2"), [("h2", "ip addr del 10.0.0.2/24 dev br-a")], [("h2", "ip addr replace 10.0.0.2/24 dev br-a")], "h2", name="guest-no-ip-at-the-host", settle=0.5),
        Case("wrong-subnet-ip", ("b2", "b1"), [("b1", "ip -4 addr flush dev eth0; ip addr add 10.9.0.11/24 dev eth0")],
             [("b1", "ip -4 addr flush dev eth0; " + g["b1"].base())], "b1", name="wrong-subnet-ip-tenant-bridge", settle=1.0),
        Case("netmask-too-narrow", ("b1", "b2"), [(x, f"ip -4 addr flush dev eth0; ip addr add {g[x].ip}/32 dev eth0") for x in ("b1", "b2")],
             [(x, "ip -4 addr flush dev eth0; " + g[x].base()) for x in ("b1", "b2")], None, name="netmask-too-narrow-both-ends", settle=0.5, also=["netmask-too-narrow"]),
        Case("netmask-too-narrow", ("a1", "a2"), [("a1", f"ip addr del {a1.ip6}/64 dev eth0; ip addr add {a1.ip6}/128 dev eth0 nodad; ip -6 route del default")],
             [("a1", base_a1)], "a1", name="netmask-too-narrow-ipv6"),
        Case("stale-arp-guest", ("c1", "a3"), [("a3", f"ip neigh replace 10.0.0.1 lladdr {dead} dev eth0 nud permanent")],
             [("a3", "ip neigh del 10.0.0.1 dev eth0")], "a3", name="stale-arp-guest-gateway"),
        Case("stale-arp-guest", ("a2", "a1"), [("a1", f"ip neigh replace {a2.ip} lladdr {a3.mac} dev eth0 nud permanent")],
             [("a1", f"ip neigh del {a2.ip} dev eth0")], "a1", name="stale-arp-guest-other-vm"),
        Case("stale-arp-guest", ("a1", "a2"), [("a1", f"ip neigh replace {a2.ip} lladdr {dead} dev eth0 nud permanent"), ("a2", "sysctl -qw net.ipv4.conf.all.arp_ignore=8")],
             [("a1", f"ip neigh del {a2.ip} dev eth0"), ("a2", "sysctl -qw net.ipv4.conf.all.arp_ignore=0")], None, name="stale-arp-guest-and-arp-not-answered", also=["arp-not-answered"]),
        Case("duplicate-ip-vm-host", ("a3", "h1"), [("a2", "ip addr add 10.0.0.1/32 dev eth0; ping -c1 -W1 -I 10.0.0.1 10.0.0.13; true")],
             [("a2", "ip addr del 10.0.0.1/32 dev eth0"), ("a3", "ip neigh flush all")], "a2", name="duplicate-ip-vm-host-other-host", settle=1.0),
        Case("vnic-link-down", ("a1", "a2"), [("h1", f"ip link set {a1.port} down"), ("h2", "ip link set up-a nomaster")],
             [("h1", f"ip link set {a1.port} up"), ("h2", "ip link set up-a master br-a")], None, name="vnic-link-down-and-uplink-missing", also=["uplink-missing-from-bridge"]),
        Case("bridge-down", ("a1", "a2"), [("h2", "ip link set br-a down")],
             [("h2", "ip link set br-a up; ip addr replace 10.0.0.2/24 dev br-a; ip addr replace fd00:a::2/64 dev br-a nodad")], "h2", name="bridge-down-far-host"),
        Case("agent-down", ("h1", "a1"), ["kill a1"], ["restart a1"], "a1", settle=4.0),
    ]


def apply(lab, step):
    if step == "kill a1":
        lab.stop("a1", 9)
    elif step == "restart a1":
        if lab.diagnose("h1", "a1")[0] != 0:
            for pid in lab.run("a1", f"ip netns pids {lab.ns('a1')}").split():
                lab.run("a1", f"kill {pid}", ok=False)
            lab.up_agent("a1", join=False)
    else:
        lab.run(step[0], step[1])


def run_case(lab, c):
    a, b = c.pair
    try:
        lab.healthy(a, b, *c.args)
        for step in c.inject:
            apply(lab, step)
        if c.settle:
            time.sleep(c.settle)
        code, v = lab.diagnose(a, b, *c.args)
        check(code == 2, f"exit {code} instead of 2\n" + brief(v))
        named = [x["id"] for x in v["causes"]]
        check(sorted(named) == sorted([c.cause, *c.also]), f"{named}, not {[c.cause, *c.also]}\n" + brief(v))
        check(c.where is None or v["causes"][0]["where"] == c.where, f"blamed {v['causes'][0]['where']}, not {c.where}\n" + brief(v))
        check(v["state"] not in ("ok",), "state ok although broken\n" + brief(v))
        check(v.get("took_ms", 0) <= 3000 * overload(), f"took {v.get('took_ms')} ms")
        fixes = [f for x in v["causes"] for f in x["fix"] if not f.get("manual")]
        check(fixes, "no fix that can be run\n" + brief(v))
        for f in fixes:
            place = f["where"].split("/")[-1]
            check(place in lab.namespaces, f"the fix names a place that is no machine: {f}")
            lab.run(place, f["command"], timeout=20)
        try:
            lab.healthy(a, b, *c.args, seconds=12)
        except Failure as e:
            raise Failure(f"the fix {[(f['where'], f['command']) for f in fixes]} did not help: {e}")
    finally:
        for step in c.undo:
            try:
                apply(lab, step)
            except Failure as e:
                print("    undo:", e)
