"""Filters of the hypervisor for itself, and its IP filter on bridged frames."""
from . import NO_TABLES, Injected, fault
from .base import from_port, kept, taken
from .firewall_guest import KEEP, chain, datagrams, everything


def at_victim(s, rules, direction):
    return Injected([(s.victim, rules)], undo=[(s.victim, NO_TABLES)], where=s.victim, direction=direction, cut=kept(s) if direction == "from" else taken(s))


@fault("host-fw-input-drop", needs="host")
def new_ones_dropped(s):
    return at_victim(s, chain("input", f'{KEEP} iifname != "{s.dev}" accept; ' + everything(s, "drop")), "to")


@fault("host-fw-input-drop", needs="host")
def udp_from_the_peer_dropped(s):
    return at_victim(s, chain("input", f"{KEEP} ip saddr {s.peer_ip} meta l4proto udp drop;"), "to") if s.peer_ip else None


@fault("host-fw-input-reject", needs="host")
def new_ones_rejected(s):
    return at_victim(s, chain("input", f'{KEEP} iifname != "{s.dev}" accept; ' + datagrams(s, "reject with icmpx type admin-prohibited")), None)


@fault("host-fw-output-drop", needs="host")
def new_ones_not_sent(s):
    return at_victim(s, chain("output", f'{KEEP} oifname != "{s.dev}" accept; ' + everything(s, "drop")), "from")


@fault("host-fw-output-drop", needs="host")
def tcp_to_the_peer_not_sent(s):
    return at_victim(s, chain("output", f"{KEEP} ip daddr {s.peer_ip} meta l4proto {{ udp, tcp }} drop;"), "from") if s.peer_ip else None


@fault("bridge-nf-forward-drop", needs=("guest", "bridge", "bridged"))
def docker(s):
    """Between a host and its own guest nothing is forwarded."""
    if s.same_host and not s.peer_port or s.family == 6:
        return None
    off = "sysctl -qw net.bridge.bridge-nf-call-iptables=0"
    return Injected([(s.host, "sysctl -qw net.bridge.bridge-nf-call-iptables=1; iptables -P FORWARD DROP")],
                    undo=[(s.host, f"{off}; iptables -P FORWARD ACCEPT; {NO_TABLES}")], where=s.host, cut=from_port(s))
