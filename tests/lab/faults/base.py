"""What the first set of causes looks like at any site."""
from . import NO_TABLES, Injected, fault, nft

DEAD = "02:de:ad:00:00:01"


@fault("guest-no-ip", needs="guest")
def no_address(s):
    if s.family == 6 and not s.ip6:
        return None
    what = {4: f"ip addr del {s.ip}/{s.plen} dev {s.dev}", 6: f"ip addr del {s.ip6}/{s.plen6} dev {s.dev}"}.get(s.family, f"ip addr flush dev {s.dev} scope global")
    return Injected([(s.victim, what)], undo=[s.put_back(s.victim)], where=s.victim)


@fault("guest-fw-icmp-only", needs="guest")
def echo_requests_dropped(s):
    echo = {4: "icmp type echo-request drop;", 6: "icmpv6 type echo-request drop;"}.get(s.family, "icmp type echo-request drop; icmpv6 type echo-request drop;")
    return Injected([(s.victim, nft(f"table inet t {{ chain c {{ type filter hook input priority 0; {echo} }}; }}"))], undo=[(s.victim, NO_TABLES)],
                    where=s.victim, direction="to")


@fault("tap-not-in-bridge", needs=("guest", "bridge"))
def port_outside(s):
    return Injected([(s.host, f"ip link set {s.port} nomaster")], undo=[(s.host, f"ip link set {s.port} master {s.bridge}")], where=s.host)
