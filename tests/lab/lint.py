"""Latent faults: put one in without breaking anything, see that `bothways lint` finds exactly it, run the printed fix where it says,
see it gone. A healthy mesh has none."""
import plane
from lab import check

NUDGE = "ip addr add 127.9.9.9/32 dev lo; ip addr del 127.9.9.9/32 dev lo"  # a change that netlink tells: everything is read again

STOP = "kill $(ss -Hlntp 'sport = :8080' | grep -oP 'pid=\\K[0-9]+' | sort -u); for i in $(seq 100); do ss -Hlnt 'sport = :8080' | grep -q . || break; sleep 0.02; done; "
STARTED = " for i in $(seq 100); do ss -Hlnt 'sport = :8080' | grep -q . && break; sleep 0.02; done; "


class Latent:
    """what        the check that must find it, at `where`: (machine, part of the component)
    inject, undo    steps (machine, command); what stays behind when the printed fix has been run is undone by `undo`
    says            words that must be in the sentence"""

    def __init__(self, what, where, inject, undo, says=(), name=None):
        self.what, self.where, self.inject, self.undo, self.says = what, where, inject, undo, says
        self.name = f"lint/{name or what}"


def nft(body):
    return f"nft -f - <<'N'\n{body}\nN"


def latents(lab):
    g = lab.guests
    a1, a2, a3, b1, b2 = g["a1"], g["a2"], g["a3"], g["b1"], g["b2"]
    nic = lambda n, guest="a1": (f"ip link add br-l{n} type bridge stp_state 0 forward_delay 0 mcast_snooping 0; ip link set br-l{n} up; "
                     f"ip link add vn-l{n} type veth peer name eth{n} netns {lab.ns(guest)}; ip link set vn-l{n} master br-l{n} up")  # in a bridge of its own
    unplug = lambda n, host="h1": (host, f"ip link del vn-l{n}; ip link del br-l{n}")
    quiet, loud = "sysctl -qw net.ipv4.conf.all.arp_ignore=1", ("a1", "sysctl -qw net.ipv4.conf.all.arp_ignore=0")
    ports = lab.run("a1", "ss -Hlnt").split()
    probe = next(p.rsplit(":", 1)[1] for p in ports if ":" in p and p.rsplit(":", 1)[1].isdigit())
    return [
        Latent("netmask-differs", ("a3", "eth0"), [("a3", f"ip addr add {a3.ip}/25 dev eth0 && ip addr del {a3.ip}/24 dev eth0; {a3.gateways()}")],
               [("a3", a3.base())], [f"{a3.ip}/25"]),
        Latent("duplicate-address", ("a2", "10.0.0.99"), [(m, "ip addr add 10.0.0.99/24 dev eth0") for m in ("a1", "a2")],
               [(m, "ip addr del 10.0.0.99/24 dev eth0") for m in ("a1", "a2")], ["10.0.0.99"]),
        Latent("duplicate-mac", ("a3", "mv0"), [(m, "ip link add link eth0 name mv0 address 02:77:00:00:00:01 type macvlan mode bridge") for m in ("a2", "a3")],
               [(m, "ip link del mv0") for m in ("a2", "a3")], ["02:77:00:00:00:01"]),
        Latent("permanent-neighbour-wrong", ("a1", "10.0.0.112"),
               [("a2", "ip addr add 10.0.0.112/24 dev eth0"), ("a1", "ip neigh replace 10.0.0.112 lladdr 02:de:ad:00:00:01 dev eth0 nud permanent")],
               [("a2", "ip addr del 10.0.0.112/24 dev eth0"), ("a1", "ip neigh del 10.0.0.112 dev eth0")], ["02:de:ad:00:00:01"]),
        Latent("mtu-drift", ("a1", "eth1"), [("h1", nic(1)), ("a1", f"{quiet}; ip link set eth1 mtu 9000 up; ping -6 -c1 -W1 -I eth1 ff02::1 >/dev/null 2>&1; true")],
               [loud, unplug(1)], ["9000", "vn-l1", "1500"]),
        Latent("arp-flux", ("b2", "eth3"), [("h2", nic(3, "b2")), ("b2", "ip addr add 10.0.0.113/24 dev eth3 noprefixroute; ip link set eth3 up")],
               [("b2", "sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.all.arp_announce=0"), unplug(3, "h2")], ["eth0", "eth3"]),
        Latent("rp-filter-asymmetric", ("a1", "eth2"),
               [("h1", nic(2)), ("a1", f"{quiet}; sysctl -qw net.ipv4.conf.eth2.rp_filter=1; ip addr add 10.0.5.1/24 dev eth2; ip link set eth2 up; "
                                       "ip route add 10.0.5.0/25 via 10.0.0.1; ip route add 10.0.5.128/25 via 10.0.0.1")],
               [("a1", "ip route del 10.0.5.0/25 via 10.0.0.1; ip route del 10.0.5.128/25 via 10.0.0.1"), loud, unplug(2)], ["eth2", "eth0"]),
        Latent("gateway-outside-subnet", ("b1", "eth0"), [("b1", "ip route add default via 10.77.0.1 dev eth0 onlink")], [("b1", "ip route del default")], ["10.77.0.1"]),
        Latent("duplicate-default-route", ("a3", "default route"), [("a3", "ip route append default via 10.0.0.2")], [("a3", "ip route del default via 10.0.0.2")], ["10.0.0.1", "10.0.0.2"]),
        Latent("router-not-forwarding", ("b2", "net.ipv4.ip_forward"), [("b1", f"ip route add 10.9.0.0/16 via {b2.ip}")],
               [("b1", f"ip route del 10.9.0.0/16 via {b2.ip}"), ("b2", "sysctl -qw net.ipv4.ip_forward=0")], ["b1", "10.9.0.0/16"]),
        Latent("bridge-port-flags", ("h1", f"{a1.port} isolated"), [("h1", f"bridge link set dev {a1.port} isolated on")],
               [("h1", f"bridge link set dev {a1.port} isolated off")], [a1.port, "br-a"], name="bridge-port-isolated"),
        Latent("bridge-port-flags", ("h1", f"{a1.port} learning off"), [("h1", f"bridge link set dev {a1.port} learning off")],
               [("h1", f"bridge link set dev {a1.port} learning on")], [a1.port], name="bridge-port-learning"),
        Latent("bridge-nf-forward-drop", ("h1", "inet lint f"),
               [("h1", nft("table inet lint { chain f { type filter hook forward priority 0; policy drop; meta iifname \"br-*\" accept; }; }")),
                ("h1", "sysctl -qw net.bridge.bridge-nf-call-iptables=1; " + NUDGE)],
               [("h1", "sysctl -qw net.bridge.bridge-nf-call-iptables=0; nft delete table inet lint")], ["inet lint f"]),
        Latent("filter-one-way", ("a1", "inet lint c"),
               [("a1", nft(f"table inet lint {{ chain c {{ type filter hook input priority 0; tcp dport != {probe} ct state new drop; }}; }}"))],
               [("a1", "nft delete table inet lint")], ["a1"]),
        Latent("nat-hairpin", ("a2", a3.ip),
               [("a2", nft(f"table ip lint {{ chain p {{ type nat hook prerouting priority -100; ip daddr 198.51.100.7 tcp dport 80 dnat to {a3.ip}:8080; }}; }}")),
                ("a2", "sysctl -qw net.ipv4.ip_forward=1; " + NUDGE)],
               [("a2", "sysctl -qw net.ipv4.ip_forward=0; nft delete table ip lint; nft delete table ip hairpin; true")], [a3.ip]),
        Latent("service-wrong-address", ("a2", "tcp port 8080"),
               [("a2", STOP + plane.SERVICE.format(ip="127.0.0.1") + STARTED + NUDGE)],
               [("a2", STOP + plane.SERVICE.format(ip=a2.ip) + STARTED)], ["127.0.0.1"]),
    ]


def findings(lab):
    return lab.bw("lint", rc=None)[1]["findings"]


def told(found):
    return [f"{f['id']} {f['machine']} {f['component']}" for f in found] or "nothing"


def is_it(f, case):
    return f["id"] == case.what and f["machine"] == case.where[0] and case.where[1] in f["component"]


def until(lab, cases, text):
    """Until exactly these are found: each its finding."""
    last = [None]

    def exact():
        last[0] = findings(lab)
        return len(last[0]) == len(cases) and all(any(is_it(f, c) for f in last[0]) for c in cases)
    lab.until(exact, 6, lambda: f"{text}: found {told(last[0])}, not {[c.name for c in cases] or 'nothing'}", every=0.05)
    return {c.name: next(f for f in last[0] if is_it(f, c)) for c in cases}


def steps(lab, all_steps, ok=True):
    for where, cmd in all_steps:
        lab.run(where, cmd, ok=ok)


def run_latent(lab, cases):
    """All of them at once: each is found, and nothing besides; the printed fixes take all of them away."""
    until(lab, [], "before anything is wrong")
    try:
        for c in cases:
            steps(lab, c.inject)
        found = until(lab, cases, "after the injections")
        for c in cases:
            f = found[c.name]
            check(all(w in f["sentence"] for w in c.says), f"{c.name}: {f['sentence']}")
            check(f["evidence"] and f["zh"]["sentence"] and f["zh"]["title"] and f["verify"] == f"bothways lint {c.where[0]}", f"{f}")
            check(f["fix"], f"{c.name}: no fix is printed")
        check(lab.bw("lint", rc=None)[0] == 2, "the exit code is not 2")
        for f in found.values():
            lab.run(f["fix"]["where"], f["fix"]["command"])
        nudge(lab, {f["fix"]["where"] for f in found.values()})
        until(lab, [], "after the fixes " + "; ".join(f["fix"]["command"] for f in found.values()))
    finally:
        for c in cases:
            steps(lab, c.undo, ok=False)
        nudge(lab, {where for c in cases for where, _ in c.inject})
    until(lab, [], "after all was undone")


def nudge(lab, machines):
    for m in machines:
        lab.run(m, NUDGE, ok=False)


def losing(lab):
    """For want of CPU a pair may be degraded, or nothing can be told of it: that is no loss."""
    return [p for p in lab.bw("mesh", rc=None)[1]["pairs"] if p["state"] not in ("ok", "degraded", "unknown", "undetermined")]


def is_well(lab):
    return lab.bw("status", rc=None)[1]["pairs"]["bad"] == 0


def healthy(lab):
    """No findings at all; all machines and pairs were looked at; a name narrows it down."""
    code, doc = lab.bw("lint")
    check(not doc["findings"] and doc["machines"] == len(lab.hosts) + len(lab.guests) and doc["pairs"] > 5, f"{doc}")
    check(lab.cli("lint", "a1")[0] == 0 and lab.cli("lint", "nobody")[0] == 1, "a name is not understood")
    check(len(lab.bw("lint", "--checks")[1]["table"]) == doc["checks"], "the table of checks is not whole")
    check("没有" in lab.cli("lint", "--lang", "zh")[1], "no Chinese")


def latent_faults(lab):
    """Latent means that nothing is lost: the mesh is as well as before."""
    run_latent(lab, [c for c in latents(lab) if c.what != "service-wrong-address"])
    check(not losing(lab), "something is broken: " + lab.cli("status")[1])


def service_at_a_wrong_address(lab):
    """No watched probe uses the service: that it cannot be reached shows when somebody asks."""
    run_latent(lab, [c for c in latents(lab) if c.what == "service-wrong-address"])
    for p in lab.bw("mesh", rc=None)[1]["pairs"]:  # rounds that the changes brought about found it, too
        if p["state"] not in ("ok", "unknown"):
            lab.healthy(p["a"], p["b"])
    lab.until(lambda: is_well(lab), 15, lambda: "something is broken: " + lab.cli("status")[1])


def shared():
    return [(f"lint/{f.__name__.replace('_', '-')}", f) for f in (healthy, latent_faults, service_at_a_wrong_address)]
