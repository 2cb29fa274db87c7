"""Addresses, prefixes and gateways that do not fit the network."""
from . import Injected, fault
from .base import kept


def changed(s, what, **more):
    return Injected([(s.victim, what)], undo=[s.put_back(s.victim)], where=s.victim, **more)


@fault("guest-no-ip", needs="host")
def of_the_bridge(s):
    if not s.bridge:
        return None
    six = s.family == 6
    what = f"ip addr del {s.ip6}/{s.plen6} dev {s.dev}" if six else f"ip addr del {s.ip}/{s.plen} dev {s.dev}"
    return changed(s, what, cut=kept(s)) if (s.ip6 if six else s.ip) else None


@fault("dhcp-failed-link-local", needs="guest")
def zeroconf(s):
    return changed(s, f"ip -4 addr flush dev {s.dev}; ip addr add 169.254.77.5/16 dev {s.dev}", settle=1.0, cut=kept(s)) if s.ip and s.family != 6 else None


@fault("wrong-subnet-ip", needs=("guest", "bridge"))
def other_network(s):
    if s.kind not in ("bridged", "routed"):
        return None
    return changed(s, f"ip -4 addr flush dev {s.dev}; ip addr add 10.77.5.11/24 dev {s.dev}", settle=1.0, cut=kept(s)) if s.ip and s.family != 6 else None


@fault("wrong-subnet-ip", needs="host")
def other_network_on_the_bridge(s):
    if not s.bridge or not s.ip or s.family == 6:
        return None
    return changed(s, f"ip addr del {s.ip}/{s.plen} dev {s.dev}; ip addr add 10.77.5.1/24 dev {s.dev}", settle=1.0)


@fault("netmask-too-narrow", needs=("guest", "bridged"))
def alone_on_its_link(s):
    if s.family == 6:
        return changed(s, f"ip -6 addr del {s.ip6}/{s.plen6} dev {s.dev}; ip -6 addr add {s.ip6}/128 dev {s.dev} nodad; ip -6 route del default; true", cut=kept(s)) if s.ip6 else None
    return changed(s, f"ip route del default; ip addr del {s.ip}/{s.plen} dev {s.dev}; ip addr add {s.ip}/32 dev {s.dev}", cut=kept(s)) if s.ip else None


@fault("netmask-too-narrow", needs="host")
def of_the_bridge_too_long(s):
    return changed(s, f"ip addr del {s.ip}/{s.plen} dev {s.dev}; ip addr add {s.ip}/32 dev {s.dev}", cut=kept(s)) if s.bridge and s.ip and s.family != 6 else None


@fault("netmask-too-wide", needs=("guest", "router"))
def takes_the_peer_for_near(s):
    if s.family == 6 or not s.ip or s.plen > 30:
        return None
    return changed(s, f"ip addr del {s.ip}/{s.plen} dev {s.dev}; ip addr add {s.ip}/8 dev {s.dev}; ip route replace default via {s.gateway}", settle=0.5, cut=kept(s))


@fault("default-gateway-missing", needs=("guest", "router", "gateway"))
def none_left(s):
    if s.family == 6:
        return changed(s, "ip -6 route del default", cut=kept(s)) if s.gateway6 else None
    return changed(s, "ip route del default", cut=kept(s)) if s.gateway else None


@fault("default-gateway-missing", needs=("guest", "router", "gateway"))
def nobody_is_there(s):
    if not s.gateway or s.family == 6 or s.plen > 30:
        return None
    return changed(s, f"ip route replace default via {s.ip.rsplit('.', 1)[0]}.99", settle=0.5, cut=kept(s))


@fault("hairpin-via-gateway", needs=("guest", "bridged", "spare"))
def through_a_neighbour_that_does_not_route(s):
    """Everything goes by a gateway that is no router, also what is for the peer on the same link."""
    if s.family == 6 or not s.ip or s.spare == s.peer:
        return None
    near = s.net.guests[s.spare].ip
    return changed(s, f"ip addr del {s.ip}/{s.plen} dev {s.dev}; ip addr add {s.ip}/32 dev {s.dev}; ip route replace default via {near} dev {s.dev} onlink")


@fault("hairpin-via-gateway", needs=("guest", "bridged", "spare"))
def through_a_neighbour_that_keeps_state(s):
    """It forwards, and drops the answers to questions that it has not seen; nothing is known of it but its address."""
    if s.family == 6 or not s.ip or s.spare == s.peer:
        return None
    gw, near = s.spare, s.net.guests[s.spare].ip
    keep = "nft 'table ip t { chain c { type filter hook forward priority 0; ct state invalid drop; icmp type echo-reply ct state new drop; udp sport 7401 ct state new drop; tcp flags & (syn|ack) == (syn|ack) ct state new drop; }; }'"
    return Injected([(gw, f"sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.{s.dev}.send_redirects=0 net.ipv4.ip_forward=1; {keep}"),
                     (s.victim, f"sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.{s.dev}.accept_redirects=0; "
                                f"ip addr del {s.ip}/{s.plen} dev {s.dev}; ip addr add {s.ip}/32 dev {s.dev}; ip route replace default via {near} dev {s.dev} onlink")],
                    undo=[(gw, "nft flush ruleset; sysctl -qw net.ipv4.ip_forward=0"), s.put_back(s.victim)], where=s.victim)


@fault("guest-nic-renamed", needs="guest")
def another_name(s):
    """Its configuration is bound to a name that is no longer there."""
    if s.kind == "macvtap":
        return None
    back = f"ip link set ens9 down; ip link set ens9 name {s.dev}; ip link set {s.dev} up"
    return Injected([(s.victim, f"ip link set {s.dev} down; ip addr flush dev {s.dev}; ip link set {s.dev} name ens9; ip link set ens9 up")],
                    undo=[(s.victim, f"ip link show ens9 >/dev/null 2>&1 && {{ {back}; }}; true"), s.put_back(s.victim)], where=s.victim, settle=1.0)


@fault("udp-reply-wrong-source", needs="guest")
def from_its_second_address(s):
    """As a server does that is bound to every address of a machine which has two."""
    if s.family == 6 or not s.ip or s.plen > 30:
        return None
    second = s.ip.rsplit(".", 1)[0] + ".212"
    return Injected([(s.victim, f"ip addr add {second}/{s.plen} dev {s.dev}; nft 'table ip t {{ chain c {{ type filter hook postrouting priority 300; udp sport 7401 ip saddr set {second}; }}; }}'")],
                    undo=[(s.victim, f"nft flush ruleset; ip addr del {second}/{s.plen} dev {s.dev}")], where=s.victim, fix=False, answers=True)
