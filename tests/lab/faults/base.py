"""What the first set of causes looks like at any site."""
from . import NO_TABLES, Injected, fault, nft

DEAD = "02:de:ad:00:00:01"

# ---- where packets die ----


def taken(s):
    """The victim's own stack takes in, and its sockets do not get it."""
    return s.gap("to", before=f"{s.victim}:socket")


def kept(s):
    """The victim's own stack does not send it."""
    return s.gap("from", after=f"{s.victim}:socket")


def from_port(s):
    """What came from the victim ends at its port, or in the bridge behind it."""
    return s.gap("from", after=f"{s.host}:{s.port}")


def to_port(s):
    """What is for the victim does not leave by its port."""
    return s.gap("to", before=f"{s.host}:{s.port}")


def before_or_behind(s):
    """The port is not in its bridge. A host that routes may take what comes in there, by ARP that it answers at any of its devices: then
    what is for the victim is lost instead."""
    return None if s.router == s.host and not s.ip6 else from_port(s)


def past_port(s):
    """What left by the victim's port does not get to it."""
    return s.gap("to", after=f"{s.host}:{s.port}")


def to_wire(s):
    """What the victim sends does not leave its host."""
    return s.gap("from", before=f"{s.host}:{s.uplink}")


def from_wire(s):
    """What reaches the victim's host ends there."""
    return s.gap("to", after=f"{s.host}:{s.uplink}")


def fabric_to(s):
    """Between the two hosts, towards the victim."""
    return s.gap("to", before=f"{s.host}:{s.uplink}")


def fabric_from(s):
    return s.gap("from", after=f"{s.host}:{s.uplink}")


def misaddressed(s):
    """What the victim sends to an address that no interface has: bridges flood it, a bridge that is no party does not take it in, and a
    network card's owner does not want it. None = it depends."""
    if s.kind not in ("bridged", "routed"):
        return None
    machine, dev = (s.router, s.router_devs[0]) if s.router else (s.peer, s.peer_dev)
    if "bridge" in s.net.run(machine, f"ip -d link show {dev}"):
        return s.gap("from", before=f"{machine}:{dev}")
    return s.gap("from", after=f"{machine}:{dev}")


def in_router(s, direction):
    """Between the router's two devices."""
    devs = s.router_devs if direction == "from" else s.router_devs[::-1]
    return s.gap(direction, after=f"{s.router}:{devs[0]}")



@fault("guest-no-ip", needs="guest")
def no_address(s):
    if s.family == 6 and not s.ip6:
        return None
    what = {4: f"ip addr del {s.ip}/{s.plen} dev {s.dev}", 6: f"ip addr del {s.ip6}/{s.plen6} dev {s.dev}"}.get(s.family, f"ip addr flush dev {s.dev} scope global")
    return Injected([(s.victim, what)], undo=[s.put_back(s.victim)], where=s.victim, cut=kept(s))


@fault("guest-fw-icmp-only", needs="guest")
def echo_requests_dropped(s):
    echo = {4: "icmp type echo-request drop;", 6: "icmpv6 type echo-request drop;"}.get(s.family, "icmp type echo-request drop; icmpv6 type echo-request drop;")
    return Injected([(s.victim, nft(f"table inet t {{ chain c {{ type filter hook input priority 0; {echo} }}; }}"))], undo=[(s.victim, NO_TABLES)],
                    where=s.victim, direction="to", cut=taken(s))


@fault("tap-not-in-bridge", needs=("guest", "bridge"))
def port_outside(s):
    return Injected([(s.host, f"ip link set {s.port} nomaster")], undo=[(s.host, f"ip link set {s.port} master {s.bridge}")], where=s.host, cut=before_or_behind(s))
