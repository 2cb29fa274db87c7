"""Routes that lead elsewhere or nowhere, and what routers do."""
import json

from . import Injected, fault
from .base import in_router, kept, taken

SECOND = "ip link add bw-x type veth peer name bw-y; ip link set bw-x up; ip link set bw-y up"
NO_SECOND = "ip link del bw-x"


def command(s):
    return "ip -6" if s.family == 6 else "ip"


def peer_of(s):
    return f"{s.peer_ip6}/128" if s.family == 6 else f"{s.peer_ip}/32"


def has_family(s):
    return s.ip6 and s.peer_ip6 if s.family == 6 else s.ip and s.peer_ip


@fault("rp-filter-strict", needs="guest")
def way_back_by_another_interface(s):
    if s.family == 6 or not has_family(s) or s.kind == "nat":
        return None
    strict = f"net.ipv4.conf.{s.dev}.rp_filter"
    return Injected([(s.victim, f"{SECOND}; ip addr add 172.29.9.1/24 dev bw-x; ip route add {s.peer_ip}/32 dev bw-x; sysctl -qw {strict}=1")],
                    undo=[(s.victim, f"sysctl -qw {strict}=0"), (s.victim, NO_SECOND)], where=s.victim, cut=taken(s), settle=0.5)


@fault("rp-filter-strict", needs="router")
def on_the_router(s):
    if s.family == 6 or not has_family(s) or s.net.run(s.router, f"ip route show {s.ip}/32"):
        return None
    dev, other = s.router_devs
    strict = f"net.ipv4.conf.{dev}.rp_filter"
    return Injected([(s.router, f"ip route add {s.ip}/32 dev {other}; sysctl -qw {strict}=1")],
                    undo=[(s.router, f"sysctl -qw {strict}=0; ip route del {s.ip}/32 dev {other}")], where=s.router, cut=in_router(s, "from"), settle=0.5, fix=False) if s.kind == "routed" else None


@fault("blackhole-route")
def by_a_route(s):
    if not has_family(s):
        return None
    return Injected([(s.victim, f"{command(s)} route add blackhole {peer_of(s)}")], undo=[(s.victim, f"{command(s)} route del blackhole {peer_of(s)}")], where=s.victim, cut=kept(s))


@fault("blackhole-route")
def unreachable_by_a_rule(s):
    if not has_family(s):
        return None
    return Injected([(s.victim, f"{command(s)} rule add to {peer_of(s)} priority 77 unreachable")], undo=[(s.victim, f"{command(s)} rule del priority 77")], where=s.victim, cut=kept(s))


@fault("blackhole-route", needs="router")
def on_the_router_for_the_victim(s):
    ip = f"{s.ip6}/128" if s.family == 6 else f"{s.ip}/32"
    if not has_family(s) or s.kind != "routed":
        return None
    if ip in s.net.run(s.router, f"{command(s)} route show {ip} type unicast") or s.plen == 32:
        return None
    return Injected([(s.router, f"{command(s)} route add prohibit {ip}")], undo=[(s.router, f"{command(s)} route del prohibit {ip}")], where=s.router, direction="to", cut=in_router(s, "to"))


@fault("policy-route-guest", needs="guest")
def vpn_in_the_guest(s):
    if not has_family(s) or s.kind == "nat":
        return None
    return Injected([(s.victim, f"{SECOND}; {command(s)} route add {peer_of(s)} dev bw-x")], undo=[(s.victim, NO_SECOND)], where=s.victim, cut=kept(s))


@fault("vpn-route-capture-host", needs="host")
def vpn_on_the_host(s):
    if not has_family(s) or s.kind == "nat":
        return None
    return Injected([(s.victim, f"{SECOND}; {command(s)} route add {peer_of(s)} dev bw-x")], undo=[(s.victim, NO_SECOND)], where=s.victim, cut=kept(s))


@fault("subnet-overlap")
def the_same_subnet_twice(s):
    """As docker0 does when it takes a network that is in use."""
    if s.family == 6 or not has_family(s) or s.kind != "bridged" or s.plen > 30:
        return None
    net = s.ip.rsplit(".", 1)[0]
    return Injected([(s.victim, f"{SECOND}; ip addr add {net}.250/25 dev bw-x" if int(s.peer_ip.rsplit('.', 1)[1]) > 127 else f"{SECOND}; ip addr add {net}.101/25 dev bw-x")],
                    undo=[(s.victim, NO_SECOND)], where=s.victim, cut=kept(s))


@fault("ip-forward-off", needs="router")
def forwarding_off(s):
    knob = "net.ipv6.conf.all.forwarding" if s.family == 6 else "net.ipv4.ip_forward"
    if not has_family(s) or s.kind != "routed":
        return None
    return Injected([(s.router, f"sysctl -qw {knob}=0")], undo=[(s.router, f"sysctl -qw {knob}=1")], where=s.router, cut=in_router(s, "to"))


@fault("no-return-route", needs="router")
def the_routers_route_is_gone(s):
    if s.family == 6 or not has_family(s) or s.kind != "routed" or s.plen > 30:
        return None
    net = f"{s.ip.rsplit('.', 1)[0]}.0/{s.plen}"
    was = s.net.run(s.router, f"ip -o route show {net}").strip().splitlines()
    return Injected([(s.router, f"ip route del {net}")], undo=[(s.router, f"ip route replace {was[0]}")], where=s.router, direction="to", cut=in_router(s, "to")) if len(was) == 1 else None


@fault("no-return-route", needs=("guest", "gateway", "router"))
def its_only_route_leads_elsewhere(s):
    """Besides the default route there was one for the peer's network, and only that one was right."""
    if s.family == 6 or not has_family(s) or s.kind != "routed" or s.plen > 30:
        return None
    net = f"{s.peer_ip.rsplit('.', 1)[0]}.0/24"
    return Injected([(s.victim, f"ip route add {net} via {s.gateway}"), (s.victim, "ip route del default"), lambda net_: __import__("time").sleep(1.5),
                     (s.victim, f"ip route del {net}")], undo=[s.put_back(s.victim)], where=s.victim, cut=kept(s))


@fault("ttl-too-low", needs=("guest", "router"))
def dies_of_old_age(s):
    if not has_family(s) or s.kind != "routed":
        return None
    knob = f"net.ipv6.conf.{s.dev}.hop_limit" if s.family == 6 else "net.ipv4.ip_default_ttl"
    return Injected([(s.victim, f"sysctl -qw {knob}=1")], undo=[(s.victim, f"sysctl -qw {knob}=64")], where=s.victim, cut=in_router(s, "from"))


@fault("asymmetric-path-stateful-drop", needs=("guest", "routed", "router", "bridge"))
def answers_take_another_router(s):
    """The victim's own host routes, too, and keeps state; the victim answers by it, and questions come the other way."""
    if s.family == 6 or not s.ip or s.plen > 30 or s.host == s.router or s.network != "default":
        return None
    net, there = f"{s.peer_ip.rsplit('.', 1)[0]}.0/24", json.loads(s.net.run(s.host, f"ip -j -4 addr show {s.bridge}"))[0]["addr_info"]
    if not there:
        return None
    own = there[0]["local"]
    keep = "nft 'table ip t { chain c { type filter hook forward priority 0; ct state invalid drop; icmp type echo-reply ct state new drop; udp sport 7401 ct state new drop; tcp flags & (syn|ack) == (syn|ack) ct state new drop; }; }'"
    return Injected([(s.host, f"sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.{s.bridge}.send_redirects=0 net.ipv4.ip_forward=1; ip route add {net} via {s.gateway}; {keep}"),
                     (s.victim, f"sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.{s.dev}.accept_redirects=0; ip route add {net} via {own}")],
                    undo=[(s.victim, f"ip route del {net}"), (s.host, f"nft flush ruleset; sysctl -qw net.ipv4.ip_forward=0; ip route del {net}")], where=s.host)
