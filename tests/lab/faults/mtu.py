"""Packets that are too large for some part of the way."""
from . import NO_TABLES, Injected, fault
from .base import fabric_to, in_router, taken

PLAIN = "ethtool -K {dev} tso off gso off gro off >/dev/null 2>&1; true"


def mtu_of(s, machine, dev):
    return int(s.net.run(machine, f"cat /sys/class/net/{dev}/mtu").strip())


@fault("mtu-guest-smaller", needs="guest")
def interface_of_the_guest(s):
    was = mtu_of(s, s.victim, s.dev)
    if was - 100 < 1280 or s.kind == "routed" or s.router:
        return None
    return Injected([(s.victim, f"ip link set {s.dev} mtu {was - 100}")], undo=[(s.victim, f"ip link set {s.dev} mtu {was}"), s.put_back(s.victim)], where=s.victim)


@fault("mtu-guest-larger", needs=("guest", "bridge", "bridged"))
def port_is_smaller(s):
    was = mtu_of(s, s.host, s.port)
    if was != 1500 or s.kind == "vm":
        return None
    return Injected([(s.victim, PLAIN.format(dev=s.dev)), (s.victim, f"ip link set {s.dev} mtu 9000")], undo=[(s.victim, f"ip link set {s.dev} mtu {was}"), s.put_back(s.victim)], where=s.victim)


@fault("mtu-physical-path", needs=("fabric", "bridged"))
def switch_ports(s):
    if not s.fabric_ports:
        return None
    ports = s.fabric_ports
    sizes = [mtu_of(s, s.fabric, p) for p in ports]
    if sizes != [1500, 1500]:
        return None
    ends = [(m, f"ip link set {d} mtu {mtu_of(s, m, d)}") for m, d in ((s.victim, s.dev), (s.peer, s.peer_dev))]
    return Injected([(s.fabric, "; ".join(f"ip link set {p} mtu 1400" for p in ports))],
                    undo=[(s.fabric, "; ".join(f"ip link set {p} mtu 1500" for p in ports)), *ends, s.put_back(s.victim), s.put_back(s.peer)], cut=fabric_to(s))


@fault("mtu-physical-path", needs=("routed", "router"))
def interface_of_the_router(s):
    """The router says so to the sender: nothing is hidden, and still one direction carries less."""
    dev = s.router_devs[0]
    if mtu_of(s, s.router, dev) != 1500 or s.plen > 30:
        return None
    return Injected([(s.router, f"ip link set {dev} mtu 1400")], undo=[(s.router, f"ip link set {dev} mtu 1500"), s.put_back(s.victim), s.put_back(s.peer)], where=s.router, cut=in_router(s, "to"))


@fault("pmtu-blackhole", needs=("routed", "router"))
def the_router_says_nothing(s):
    """Its way to the victim carries less, and its own filter drops the errors that say so."""
    dev = s.router_devs[0]
    if not dev.startswith("br") or mtu_of(s, s.router, dev) != 1500 or s.plen > 30:
        return None  # a veth also drops what comes in and is larger: that is another fault beside it
    mute = "nft 'table inet t { chain c { type filter hook output priority 0; icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }; }'"
    return Injected([(s.router, f"ip link set {dev} mtu 1400; {mute}")], undo=[(s.router, f"{NO_TABLES}; ip link set {dev} mtu 1500"), s.put_back(s.victim), s.put_back(s.peer)],
                    where=s.router, direction="to", cut=in_router(s, "to"))


@fault("pmtu-blackhole", needs=("routed", "router", "guest"))
def the_sender_does_not_listen(s):
    """The router says so, and the sender's own filter drops what it says."""
    dev = s.router_devs[1]
    if not dev.startswith("br") or mtu_of(s, s.router, dev) != 1500 or s.plen > 30:
        return None
    deaf = "nft 'table inet t { chain c { type filter hook input priority 0; icmp type destination-unreachable drop; icmpv6 type packet-too-big drop; }; }'"
    return Injected([(s.router, f"ip link set {dev} mtu 1400"), (s.victim, deaf)],
                    undo=[(s.victim, NO_TABLES), (s.router, f"ip link set {dev} mtu 1500"), s.put_back(s.victim), s.put_back(s.peer)], where=s.victim, direction="from", cut=in_router(s, "from"))


@fault("overlay-mtu-overhead", needs=("vxlan", "guest"))
def guests_as_large_as_the_underlay(s):
    """Both guests were set to 1500, as if nothing were wrapped around their packets."""
    was = mtu_of(s, s.victim, s.dev)
    if was != 1450:
        return None
    ports = [(s.host, s.port), (s.peer_host, s.peer_port)]
    grow = [(h, f"ip link set {p} mtu 1500") for h, p in ports] + [(m, PLAIN.format(dev=d) + f"; ip link set {d} mtu 1500") for m, d in ((s.victim, s.dev), (s.peer, s.peer_dev))]
    back = [(h, f"ip link set {p} mtu 1450") for h, p in ports] + [(m, f"ip link set {d} mtu 1450") for m, d in ((s.victim, s.dev), (s.peer, s.peer_dev))]
    return Injected(grow, undo=back + [s.put_back(s.victim), s.put_back(s.peer)])


@fault("fragments-filtered", needs=("guest", "bridge"))
def by_the_hosts_bridge(s):
    """The first part of each datagram passes, and is what is seen of it."""
    if s.family == 6 or not s.ip:
        return None
    return Injected([(s.host, f'nft \'table netdev t {{ chain c {{ type filter hook egress device "{s.port}" priority 0; ip frag-off & 0x1fff != 0 drop; }}; }}\'')],
                    undo=[(s.host, NO_TABLES)], where=s.host, direction="to", cut=taken(s))


@fault("fragments-filtered", needs="guest")
def by_the_guest(s):
    if s.family == 6 or not s.ip:
        return None
    return Injected([(s.victim, "nft 'table ip t { chain c { type filter hook prerouting priority -450; ip frag-off & 0x3fff != 0 drop; }; }'")],
                    undo=[(s.victim, NO_TABLES)], where=s.victim, direction="to", cut=taken(s))
