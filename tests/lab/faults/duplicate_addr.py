"""Addresses that two machines have."""
from . import Injected, fault
from .base import from_port, kept, to_port


def twin(s):
    """Another guest of the victim's network: on its host, or elsewhere."""
    if s.spare and s.spare != s.peer:
        return s.spare
    return ""


def guest_dev(s, name):
    return getattr(s.net.guests[name], "dev", "eth0")


@fault("duplicate-ip-vm-vm", needs="guest")
def spare_has_it(s):
    other = twin(s)
    if not other or s.family == 6 or not s.ip or s.router:
        return None
    return Injected([(other, f"ip addr add {s.ip}/{s.plen} dev eth0")],
                    undo=[(other, f"ip addr del {s.ip}/{s.plen} dev eth0; true"), (s.peer, "ip neigh flush all")], where=other, settle=1.0)


@fault("duplicate-ip-vm-host", needs=("guest", "same-host"))
def guest_has_the_hosts(s):
    if s.peer_port or s.family == 6 or not s.peer_ip or s.router:
        return None
    return Injected([(s.victim, f"ip addr add {s.peer_ip}/32 dev {s.dev}")], undo=[(s.victim, f"ip addr del {s.peer_ip}/32 dev {s.dev}; ip neigh flush all")],
                    where=s.victim, cut=kept(s), settle=1.0)


@fault("clone-identity-collision", needs="guest")
def same_lease(s):
    """All machines of this lab have one machine-id, as clones do; what is missing is the lease."""
    other = twin(s)
    if not other or s.family == 6 or not s.ip or s.router:
        return None
    lease = "valid_lft 3600 preferred_lft 3600"
    return Injected([(s.victim, f"ip addr change {s.ip}/{s.plen} dev {s.dev} {lease}"), (other, f"ip addr add {s.ip}/{s.plen} dev eth0 {lease}")],
                    undo=[(other, f"ip addr del {s.ip}/{s.plen} dev eth0; true"), (s.victim, f"ip addr change {s.ip}/{s.plen} dev {s.dev} valid_lft forever preferred_lft forever"),
                          (s.peer, "ip neigh flush all")], where=other, settle=1.0)


def talk(s, where):
    """So that bridges hear of it there, again and again."""
    target = s.peer_ip or s.ip
    return (where, f"(timeout 6 ping -q -i 0.02 {target} >/dev/null 2>&1 &) ; true")


@fault("duplicate-mac-vm-vm", needs=("guest", "bridge"))
def talkative_twin(s):
    other = twin(s)
    if not other or s.router:
        return None
    g = s.net.guests[other]
    return Injected([(other, f"ip link set eth0 address {s.mac}"), talk(s, other)], undo=[(other, f"ip link set eth0 address {g.mac}"), s.put_back(other)],
                    where=other, cut=to_port(s), settle=1.0)


@fault("duplicate-mac-vm-vm", needs=("guest", "bridge", "same-host"))
def twins_of_one_host(s):
    """Between the two of them nothing passes at all."""
    if not s.peer_port or s.peer_bridge != s.bridge or s.router:
        return None
    return Injected([(s.victim, f"ip link set {s.dev} address {s.peer_mac}")], undo=[(s.victim, f"ip link set {s.dev} address {s.mac}"), s.put_back(s.victim)],
                    where=s.victim, cut=from_port(s), settle=1.0)


@fault("duplicate-mac-vm-host", needs=("guest", "bridge"))
def mac_of_own_host(s):
    mac = s.net.run(s.host, f"cat /sys/class/net/{s.bridge}/address").strip()
    if s.router:
        return None
    return Injected([(s.victim, f"ip link set {s.dev} address {mac}")], undo=[(s.victim, f"ip link set {s.dev} address {s.mac}"), s.put_back(s.victim)],
                    where=s.victim, cut=to_port(s), settle=1.0)
