"""The way of packets, one network per kind of path. Each kind knows which points a probe passes, in order, and whether a point sees
it come in ("<") or go out (">"); from that follows where a filter on a device can drop it, and between which two points the cut
must then be. `KINDS` builds them; tests/bench/cuts goes through all places, here only a few of each are tried."""
import ctypes, os, subprocess, sys, time

import vm
from lab import Failure, brief, check
from topologies import FLUSH, Net

PROBES = "udp dport 7401"
TUNNELED = "udp dport 4789 @th,416,16 7401"  # the destination port behind VXLAN, Ethernet and IPv4


class Point:
    def __init__(self, text):
        self.inward = text.startswith("<")
        self.name = text[1:]
        self.machine, self.dev = self.name.split(":")


class Place:
    """A hook on a device that stands between two neighbouring points of a way."""

    def __init__(self, machine, dev, hook, after, before, match):
        self.machine, self.dev, self.hook, self.after, self.before, self.match = machine, dev, hook, after, before, match

    def __str__(self):
        return f"{self.machine} {self.hook} {self.dev}"

    def drop(self, net):
        net.run(self.machine, f"nft 'table netdev cut {{ chain c {{ type filter hook {self.hook} device \"{self.dev}\" priority 0; {self.match} drop; }}; }}'")
        net.calm(self.machine)

    def heal(self, net):
        net.run(self.machine, "nft delete table netdev cut", ok=False)


class Way:
    """One direction of a kind. points: with < or >, without the sockets. under: devices where the probes are inside a tunnel."""

    def __init__(self, a, b, *points, under=()):
        self.a, self.b, self.points, self.under = a, b, [Point(p) for p in points], under

    def names(self):
        return [f"{self.a}:socket"] + [p.name for p in self.points] + [f"{self.b}:socket"]

    def back(self):
        turned = [(">" if p.inward else "<") + p.name for p in self.points[::-1]]
        return Way(self.b, self.a, *turned, under=self.under)

    def places(self):
        """Where it can be cut: behind a point that sees it come in, before one that sees it go out."""
        names, found = self.names(), []
        for i, p in enumerate(self.points, 1):
            match = TUNNELED if p.name in self.under else PROBES
            hook, gap = ("ingress", (i, i + 1)) if p.inward else ("egress", (i - 1, i))
            found.append(Place(p.machine, p.dev, hook, names[gap[0]], names[gap[1]], match))
        return found


class Kind:
    """well: both directions work when nothing is broken. faults: what else is tried, function of the network."""

    def __init__(self, name, build, way, back=None, complete=(True, True), well=True, faults=()):
        self.name, self.build, self.ways = name, build, [way, back or way.back()]
        self.complete, self.well, self.faults = complete, well, faults


# ---- building ----


def fabric(n, mtu=1500):
    """Hosts with an address on eno1, joined by a switch."""
    n._bridge("sw", "core", "02:fa:00:00:00:01")
    for i, h in enumerate(n.hosts, 1):
        n.mgmt(h, i)
        n._veth("sw", f"u{i}", h, "eno1", f"02:e0:00:00:00:0{i}")
        n.run("sw", f"ip link set u{i} mtu {mtu} master core")
        n.run(h, f"ip link set eno1 mtu {mtu}")


def addresses(n):
    for i, h in enumerate(n.hosts, 1):
        n.run(h, f"ip addr add 192.0.2.{i}/24 dev eno1")


def same_host():
    def build(n):
        fabric(n)
        n._bridge("h1", "br0", "02:b0:00:00:00:01")
        n.run("h1", "ip link set eno1 master br0")
        n.guest("a", "br0", "eth0", 11, "10.0.0.11/24")
        n.guest("b", "br0", "eth0", 12, "10.0.0.12/24")
    return Net(["h1"], {"a": ("t", "h1", "va"), "b": ("t", "h1", "vb")}, build).up()


def two_hosts():
    def build(n):
        fabric(n)
        for i, h in enumerate(n.hosts, 1):
            n._bridge(h, "br0", f"02:b0:00:00:00:0{i}")
            n.run(h, "ip link set eno1 master br0")
        n.guest("a", "br0", "eth0", 11, "10.0.0.11/24")
        n.guest("b", "br0", "eth0", 12, "10.0.0.12/24")
    return Net(["h1", "h2"], {"a": ("t", "h1", "va"), "b": ("t", "h2", "vb")}, build).up()


def firewall_bridges():
    """Proxmox: a bridge of its own for each guest with the firewall switched on, and a veth pair from there to vmbr0."""
    def build(n):
        fabric(n)
        for i, h in enumerate(n.hosts, 1):
            n._bridge(h, "vmbr0", f"02:b0:00:00:00:0{i}")
            # only vmbr0 answers for its address: by default Linux would with the firewall bridges' MACs, too (ARP flux)
            n.run(h, f"sysctl -qw net.ipv4.conf.all.arp_ignore=1; ip link set eno1 master vmbr0; ip addr add 10.0.0.{i}/24 dev vmbr0")
        for i, (name, g) in enumerate(n.guests.items(), 1):
            k = 100 + i
            n._bridge(g.host, f"fwbr{k}i0", f"02:fb:00:00:00:0{i}")
            n.run(g.host, f"ip link add fwln{k}i0 address 02:fc:00:00:00:0{i} type veth peer name fwpr{k}p0 address 02:fd:00:00:00:0{i}; "
                          f"ip link set fwln{k}i0 master fwbr{k}i0 up; ip link set fwpr{k}p0 master vmbr0 up")
            n.guest(name, f"fwbr{k}i0", "ens18", 10 + i, f"10.0.0.{10 + i}/24")
    return Net(["h1", "h2"], {"a": ("t", "h1", "tap101i0"), "b": ("t", "h2", "tap102i0"), "c": ("t", "h1", "tap103i0")}, build).up()


def overlay():
    """The bridge's only way out is a VXLAN device; the underlay's own interface is a port of another bridge on h2."""
    def build(n):
        fabric(n)
        n.run("h1", "ip addr add 192.0.2.1/24 dev eno1")
        n._bridge("h2", "br-ul", "02:b1:00:00:00:02")
        n.run("h2", "ip link set eno1 master br-ul; ip addr add 192.0.2.2/24 dev br-ul")
        for i, h in enumerate(n.hosts, 1):
            n._bridge(h, "br5", f"02:b0:00:00:00:0{i}")
            n.run(h, f"ip link add vx5 type vxlan id 5 local 192.0.2.{i} remote 192.0.2.{3 - i} dstport 4789; ip link set vx5 mtu 1450 master br5 up")
        n.guest("a", "br5", "eth0", 11, "10.0.0.11/24", mtu=1450)
        n.guest("b", "br5", "eth0", 12, "10.0.0.12/24", mtu=1450)
    return Net(["h1", "h2"], {"a": ("t", "h1", "va"), "b": ("t", "h2", "vb")}, build).up()


FORWARD = "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"


def own_router():
    """Two networks of one host, which routes between them."""
    def build(n):
        fabric(n)
        for k in (0, 1):
            n._bridge("h1", f"br{k}", f"02:b{k}:00:00:00:01")
            n.run("h1", f"ip addr add 10.0.{k}.1/24 dev br{k}; ip addr add fd00:{k}::1/64 dev br{k} nodad; {FORWARD}")
            name = "ab"[k]
            n.guest(name, f"br{k}", "eth0", 11 + k, f"10.0.{k}.{11 + k}/24", f"fd00:{k}::{11 + k}/64")
            n.run(name, f"ip route add default via 10.0.{k}.1; ip -6 route add default via fd00:{k}::1")
    return Net(["h1"], {"a": ("t", "h1", "va"), "b": ("t", "h1", "vb")}, build).up()


def third_router(silent=()):
    """A guest on each host, each in a network of its own; a third machine routes between the two. silent: ("h3",): it has no agent."""
    def build(n):
        n._bridge("sw", "lan0", "02:fa:00:00:00:01")
        n._bridge("sw", "lan1", "02:fa:00:00:00:02")
        for i, h in enumerate(n.hosts, 1):
            n.mgmt(h, i)
            for k in (0, 1) if h == "h3" else (i - 1,):
                n._veth("sw", f"u{i}{k}", h, f"eno{k}", f"02:e{k}:00:00:00:0{i}")
                n.run("sw", f"ip link set u{i}{k} master lan{k}")
        for k, (h, g) in enumerate((("h1", "a"), ("h2", "b"))):
            n._bridge(h, "br0", f"02:b0:00:00:00:0{k + 1}")
            n.run(h, f"ip link set eno{k} master br0")
            n.run("h3", f"ip addr add 10.0.{k}.1/24 dev eno{k}; ip addr add fd00:{k}::1/64 dev eno{k} nodad; {FORWARD}")
            n.guest(g, "br0", "eth0", 11 + k, f"10.0.{k}.{11 + k}/24", f"fd00:{k}::{11 + k}/64")
            n.run(g, f"ip route add default via 10.0.{k}.1; ip -6 route add default via fd00:{k}::1")
    return Net(["h1", "h2", "h3"], {"a": ("t", "h1", "va"), "b": ("t", "h2", "vb")}, build, silent=silent).up()


def unknown_router():
    return third_router(silent=("h3",))


def guest_router():
    """A guest routes between the two bridges of its host."""
    def build(n):
        fabric(n)
        for k in (0, 1):
            n._bridge("h1", f"br{k}", f"02:b{k}:00:00:00:01")
            name = "ab"[k]
            n.guest(name, f"br{k}", "eth0", 11 + k, f"10.0.{k}.{11 + k}/24", f"fd00:{k}::{11 + k}/64")
            n.run(name, f"ip route add default via 10.0.{k}.1; ip -6 route add default via fd00:{k}::1")
            n.port("h1", f"br{k}", f"vr{k}", "r", f"eth{k}", f"52:54:00:aa:01:0{k}")
            n.run("r", f"ip addr add 10.0.{k}.1/24 dev eth{k}; ip addr add fd00:{k}::1/64 dev eth{k} nodad")
        n.run("r", FORWARD)
    return Net(["h1"], {"a": ("t", "h1", "va"), "b": ("t", "h1", "vb"), "r": ("t", "h1", "vr0")}, build).up()


HIDE = "ip saddr {net} ip daddr != {net} masquerade"


def nat_bridge(n, host, net, *rules):
    """libvirt's default network: a bridge that leads nowhere; the host routes, and hides what comes from there behind its own address."""
    n._bridge(host, "virbr0", f"02:b0:00:00:00:0{host[-1]}")
    n.run(host, f"ip addr add {net}.1/24 dev virbr0; sysctl -qw net.ipv4.ip_forward=1; "
                f"nft 'table ip nat {{ chain post {{ type nat hook postrouting priority 100; {HIDE.format(net=net + '.0/24')}; }}; {' '.join(rules)} }}'")


def nat_guest(n, name, number, net):
    n.guest(name, "virbr0", "eth0", number, f"{net}.{number}/24")
    n.run(name, f"ip route add default via {net}.1")


def nat():
    """The guests are behind their host's address; nobody outside has a route to them."""
    def build(n):
        fabric(n)
        addresses(n)
        nat_bridge(n, "h1", "192.168.122")
        nat_guest(n, "a", 11, "192.168.122")
        nat_guest(n, "c", 13, "192.168.122")
    return Net(["h1", "h2"], {"a": ("t", "h1", "vnet0"), "c": ("t", "h1", "vnet1")}, build).up()


def nat_port_map():
    """As above; some ports of the host lead to the guest."""
    def build(n):
        fabric(n)
        addresses(n)
        nat_bridge(n, "h1", "192.168.122", "chain pre { type nat hook prerouting priority -100; iifname eno1 tcp dport { 2222, 8080 } dnat to 192.168.122.11; };")
        nat_guest(n, "a", 11, "192.168.122")
    return Net(["h1", "h2"], {"a": ("t", "h1", "vnet0")}, build).up()


def nat_both(second="192.168.123"):
    """A guest behind each of two hosts."""
    def build(n):
        fabric(n)
        addresses(n)
        for host, guest, number, net in (("h1", "a", 11, "192.168.122"), ("h2", "b", 12, second)):
            nat_bridge(n, host, net)
            nat_guest(n, guest, number, net)
    return Net(["h1", "h2"], {"a": ("t", "h1", "vnet0"), "b": ("t", "h2", "vnet0")}, build).up(quiet=None)


def nat_both_alike():
    """As every host with libvirt has it: the same network everywhere, and not one."""
    return nat_both("192.168.122")


RELAY = """
import ctypes, fcntl, os, select, struct, sys
node, netns, dev = sys.argv[1:4]
tap = os.open(node, os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(tap, 0x400454ca, struct.pack("16sH22x", b"", 0x1002))
ctypes.CDLL(None).setns(os.open(netns, os.O_RDONLY), 0x40000000)
nic = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
fcntl.ioctl(nic, 0x400454ca, struct.pack("16sH22x", dev.encode(), 0x1002))
print("ready", flush=True)
while True:
    for fd in select.select([tap, nic], [], [])[0]:
        try:
            os.write(nic if fd == tap else tap, os.read(fd, 65536))
        except OSError:
            pass
"""


def macvtap_guest(n, name, port, parent, dev, number, address):
    """What a virtual machine does with a macvtap: its NIC reads and writes the host's /dev/tapN."""
    g = n.guests[name]
    g.mac, g.ip = f"52:54:00:aa:00:{number:02x}", address.split("/")[0]
    n.run(g.host, f"ip link add link {parent} name {port} address {g.mac} type macvtap mode bridge; ip link set {port} up")
    major, minor = n.run(g.host, f"cat /sys/class/net/{port}/macvtap/tap*/dev").strip().split(":")
    node = n.path(f"{name}.tap")
    os.mknod(node, 0o20600, os.makedev(int(major), int(minor)))
    log = open(n.path(f"{name}-relay.log"), "w")
    n.procs[f"{name}-relay"] = subprocess.Popen(
        ["ip", "netns", "exec", n.ns(g.host), sys.executable, "-c", RELAY, node, f"/run/netns/{n.ns(name)}", dev], stdout=log, stderr=log, start_new_session=True)
    n.until(lambda: "ready" in open(log.name).read(), 10, lambda: open(log.name).read())
    n.run(name, f"ip link set {dev} address {g.mac} up; ethtool -K {dev} tx off >/dev/null 2>&1; ip addr add {address} dev {dev}")


def macvtap():
    def build(n):
        fabric(n)
        addresses(n)
        macvtap_guest(n, "a", "macvtap0", "eno1", "eth0", 11, "192.0.2.11/24")
        macvtap_guest(n, "b", "macvtap0", "eno1", "eth0", 12, "192.0.2.12/24")
        macvtap_guest(n, "c", "macvtap1", "eno1", "eth0", 13, "192.0.2.13/24")
    return Net(["h1", "h2"], {"a": ("t", "h1", "macvtap0"), "b": ("t", "h2", "macvtap0"), "c": ("t", "h1", "macvtap1")}, build).up()


# ---- routers in between ----


def router_faults(net, a, b, router, net_b, filters):
    """What a machine that only routes can do wrong; it is named, and the printed fix heals it."""
    net.fault(a, b, "ip-forward-off", router, "sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1")
    net.fault(a, b, "blackhole-route", router, f"ip route add unreachable {net.guests[b].ip}", f"ip route del unreachable {net.guests[b].ip}")
    net.fault(a, b, filters, router, "nft 'table inet f { chain c { type filter hook forward priority 0; udp dport 7401 drop; }; }'", FLUSH)


def third_router_faults(net):
    router_faults(net, "a", "b", "h3", "10.0.1.0/24", "router-filter")
    net.fault("a", "b", "rp-filter-strict", "h3", "sysctl -qw net.ipv4.conf.eno0.rp_filter=1; ip route add 10.0.0.11/32 dev eno1",
              "ip route del 10.0.0.11/32 dev eno1; sysctl -qw net.ipv4.conf.eno0.rp_filter=0", fix=False)
    net.fault("a", "b", "mtu-physical-path", "h3", "ip link set eno1 mtu 1300", "ip link set eno1 mtu 1500")
    net.fault("a", "b", "stale-arp-router", "h3", "ip neigh replace 10.0.1.12 lladdr 02:de:ad:00:00:01 dev eno1 nud permanent", "ip neigh del 10.0.1.12 dev eno1")
    net.fault("a", "b", "stale-arp-guest", "a", "ip neigh replace 10.0.0.1 lladdr 02:de:ad:00:00:01 dev eth0 nud permanent", "ip neigh del 10.0.0.1 dev eth0")
    net.fault("a", "b", "router-link-down", "h3", "ip link set eno1 down", "ip link set eno1 up")


def overlay_faults(net):
    """What may be wrong with a tunnel; its table can be put right by a command, its ends by a person only."""
    def made(number=5, remote=1):
        return (f"ip link del vx5; ip link add vx5 type vxlan id {number} local 192.0.2.2 remote 192.0.2.{remote} dstport 4789; "
                "ip link set vx5 mtu 1450 master br5 up")
    net.fault("a", "b", "overlay-fdb-wrong", "h1", f"bridge fdb replace {net.guests['b'].mac} dev vx5 self dst 192.0.2.77 static",
              f"bridge fdb del {net.guests['b'].mac} dev vx5 self dst 192.0.2.77")
    net.fault("a", "b", "overlay-filtered", "h2", "nft 'table inet f { chain c { type filter hook input priority 0; udp dport 4789 drop; }; }'", FLUSH, fix=False)
    net.fault("a", "b", "overlay-vni-or-vtep-mismatch", None, made(number=6), made(), at="h2", fix=False)
    net.fault("a", "b", "overlay-vni-or-vtep-mismatch", "h2", made(remote=77), made(), fix=False)
    net.fault("a", "b", "mtu-physical-path", "h1", "ip link set vx5 mtu 1200", "ip link set vx5 mtu 1450")


def guest_router_faults(net):
    router_faults(net, "a", "b", "r", "10.0.1.0/24", "router-filter")


def own_router_faults(net):
    router_faults(net, "a", "b", "h1", "10.0.1.0/24", "hypervisor-vm-firewall")


def nat_is_one_way(net):
    """Out works, in does not: no fault of the route of who is outside. With a default route there as well."""
    for route in ("", "ip route add default via 192.0.2.254"):
        net.run("h2", route or "true")
        code, v = net.diagnose("a", "h2")
        check(v["state"] == "one-way" and [c["id"] for c in v["causes"]] == ["nat-no-inbound-mapping"], "NAT is not told as it is\n" + brief(v))
        check(not [k for k, c in v["directions"][0]["initiation"].items() if c not in ("ok", "skipped")], "the way out is not well\n" + brief(v))


def service_behind_nat(net):
    """Answers go to whom they see, not to an address that nobody outside knows."""
    code, v = net.diagnose("a", "h2", "--service", "22")
    check([c["id"] for c in v["causes"]] == ["service-not-listening", "nat-no-inbound-mapping"], "not told as it is\n" + brief(v))


def networks_alike(net):
    """Two guests whose addresses look like one network; a host is asked by the address that others know."""
    code, v = net.diagnose("a", "b")
    check(v["state"] == "both-ways" and [(c["id"], c["where"]) for c in v["causes"]] == [("nat-no-inbound-mapping", "b"), ("nat-no-inbound-mapping", "a")],
          "not told as it is\n" + brief(v))
    code, v = net.diagnose("a", "h2")
    check(v["state"] == "one-way" and [c["id"] for c in v["causes"]] == ["nat-no-inbound-mapping"], "not told as it is\n" + brief(v))


def host_and_macvtap_guest(net):
    """The kernel keeps them apart: nobody is bothered with it, and who asks is told why."""
    for a, b in (("h1", "a"), ("a", "h1")):
        code, v = net.diagnose(a, b)
        check(code == 2 and v["state"] == "both-ways" and [c["id"] for c in v["causes"]] == ["macvtap-host-isolation"], "not told as it is\n" + brief(v))
    net.quiet(1)


def host_answers_with_every_device(net):
    """As kernels do unless told otherwise: the guests know the host's address by the MAC of their firewall bridge. No fault."""
    net.well(30)
    net.run("h1", "for f in /proc/sys/net/ipv4/conf/*/arp_ignore; do echo 0 >$f; done")
    for guest in ("a", "c"):
        net.run(guest, "ip neigh flush all")
    net.quiet(2)
    net.healthy("h1", "c")
    net.healthy("c", "h1")


KINDS = [
    Kind("bridged-same-host", same_host, Way("a", "b", ">a:eth0", "<h1:va", ">h1:vb", "<b:eth0")),
    Kind("bridged-two-hosts", two_hosts, Way("a", "b", ">a:eth0", "<h1:va", ">h1:eno1", "<h2:eno1", ">h2:vb", "<b:eth0")),
    Kind("firewall-bridge", firewall_bridges,
         Way("a", "b", ">a:ens18", "<h1:tap101i0", ">h1:fwln101i0", "<h1:fwpr101p0", ">h1:eno1", "<h2:eno1", ">h2:fwpr102p0", "<h2:fwln102i0", ">h2:tap102i0", "<b:ens18"),
         faults=[host_answers_with_every_device]),
    Kind("vxlan", overlay,
         Way("a", "b", ">a:eth0", "<h1:va", ">h1:vx5", ">h1:eno1", "<h2:eno1", "<h2:br-ul", "<h2:vx5", ">h2:vb", "<b:eth0", under=("h1:eno1", "h2:eno1", "h2:br-ul")), faults=[overlay_faults]),
    Kind("routed-own-host", own_router, Way("a", "b", ">a:eth0", "<h1:va", "<h1:br0", ">h1:br1", ">h1:vb", "<b:eth0"), faults=[own_router_faults]),
    Kind("routed-third-host", third_router,
         Way("a", "b", ">a:eth0", "<h1:va", ">h1:eno0", "<h3:eno0", ">h3:eno1", "<h2:eno1", ">h2:vb", "<b:eth0"), faults=[third_router_faults]),
    Kind("routed-guest", guest_router,
         Way("a", "b", ">a:eth0", "<h1:va", ">h1:vr0", "<r:eth0", ">r:eth1", "<h1:vr1", ">h1:vb", "<b:eth0"), faults=[guest_router_faults]),
    Kind("nat", nat, Way("a", "h2", ">a:eth0", "<h1:vnet0", "<h1:virbr0", ">h1:eno1", "<h2:eno1"), complete=(True, False), well=False, faults=[nat_is_one_way, service_behind_nat]),
    Kind("nat-alike", nat_both_alike, Way("a", "h2", ">a:eth0", "<h1:vnet0", "<h1:virbr0", ">h1:eno1", "<h2:eno1"),
         back=Way("h2", "a", ">h2:virbr0", ">h1:vnet0", "<a:eth0"), complete=(True, False), well=False, faults=[networks_alike]),
    Kind("macvtap", macvtap, Way("a", "b", ">a:eth0", ">h1:macvtap0", ">h1:eno1", "<h2:eno1", "<h2:macvtap0", "<b:eth0"),  # what the guest writes leaves a macvtap
         faults=[host_and_macvtap_guest]),
    Kind("real-vm", vm.two_machines, Way("v1", "v2", ">v1:eth0", "<h1:tap0", ">h1:eno1", "<h2:eno1", ">h2:tap0", "<v2:eth0")),
]


# ---- checking ----


def way_is_drawn(net, kind):
    v = net.diagnose(kind.ways[0].a, kind.ways[0].b)[1]
    for way, complete, d in zip(kind.ways, kind.complete, v["directions"]):
        got = [p["point"] for p in d["path"]]
        check(got == way.names(), f"path {got}, not {way.names()}\n" + brief(v))
        check(d["path_complete"] == complete, f"{way.a} to {way.b}: path_complete {d['path_complete']}\n" + brief(v))
    return v


def cut_is_found(net, kind, way, place):
    net_pair = (kind.ways[0].a, kind.ways[0].b)
    place.drop(net)
    try:
        v = net.diagnose(*net_pair)[1]
    finally:
        place.heal(net)
    d = v["directions"][0 if way.a == net_pair[0] else 1]
    cuts = [(c["after"], c["before"]) for c in d["cuts"] if "udp" in c["kinds"]]
    check(cuts == [(place.after, place.before)], f"drop at {place}: cuts {cuts}, not {(place.after, place.before)}\n" + brief(v))
    return v


def some(places):
    """First, last and one of the middle."""
    return [places[i] for i in sorted({0, len(places) // 2, len(places) - 1})]


def check_kind(kind):
    try:
        net = kind.build()
    except vm.image.Unavailable as e:
        return str(e)
    try:
        if kind.well:
            net.healthy(kind.ways[0].a, kind.ways[0].b)
        way_is_drawn(net, kind)
        for way, whole in zip(kind.ways, kind.complete):
            for place in some(way.places()) if whole else []:
                cut_is_found(net, kind, way, place)
        for fault in kind.faults:
            fault(net)
        check(not net.crashes(), "\n".join(net.crashes()))
    finally:
        net.close()


def alone():
    return [("paths/" + k.name, lambda k=k: check_kind(k)) for k in KINDS]
