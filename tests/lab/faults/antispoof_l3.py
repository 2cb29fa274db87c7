"""Filters of the hypervisor on the way to and from its guests."""
from . import NO_TABLES, Injected, fault, nft
from .base import from_port, from_wire, to_port


def l4(s, verdict="drop"):
    four, six = f"ip protocol {{ icmp, udp, tcp }} {verdict};", f"ip6 nexthdr {{ udp, tcp }} {verdict};"
    return {4: four, 6: six}.get(s.family, f"{four} {six}")


def on_host(s, rules, direction, cut=None):
    return Injected([(s.host, rules)], undo=[(s.host, NO_TABLES)], where=s.host, direction=direction, cut=cut or (to_port(s) if direction == "to" else from_port(s)))


def bridge(hook, rules):
    return nft(f"table bridge t {{ chain c {{ type filter hook {hook} priority 0; {rules} }}; }}")


@fault("hypervisor-vm-firewall", needs=("guest", "bridge"))
def towards_the_port(s):
    hook = "output" if s.host in (s.peer, s.router) else "forward"
    return on_host(s, bridge(hook, f'oifname "{s.port}" jump inbound; }}; chain inbound {{ {l4(s)}'), "to")


@fault("hypervisor-vm-firewall", needs=("guest", "bridge"))
def at_the_ports_way_out(s):
    return on_host(s, nft(f'table netdev t {{ chain c {{ type filter hook egress device "{s.port}" priority 0; {l4(s)} }}; }}'), "to")


@fault("hypervisor-vm-firewall", needs=("guest", "bridge", "across", "bridged"))
def by_ebtables(s):
    return on_host(s, f"ebtables -A FORWARD -p IPv4 --ip-dst {s.ip} -j DROP", "to", cut=from_wire(s)) if s.ip and s.family != 6 else None


@fault("hypervisor-vm-egress-firewall", needs=("guest", "bridge"))
def from_the_port(s):
    return on_host(s, nft(f'table netdev t {{ chain c {{ type filter hook ingress device "{s.port}" priority 0; {l4(s)} }}; }}'), "from")


@fault("hypervisor-vm-egress-firewall", needs=("guest", "bridge", "bridged"))
def from_the_port_in_the_bridge(s):
    hook = "input" if s.peer == s.host else "forward"
    return on_host(s, bridge(hook, f'iifname "{s.port}" jump outbound; }}; chain outbound {{ {l4(s)}'), "from")


@fault("hypervisor-vm-egress-firewall", needs=("guest", "bridge", "across", "bridged"))
def new_udp_by_its_address(s):
    return on_host(s, bridge("forward", f"ip saddr {s.ip} udp dport 1-65535 drop;"), "from") if s.ip and s.family != 6 else None
