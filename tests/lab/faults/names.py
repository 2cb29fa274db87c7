"""Names that lead to another address than the machine has."""
from lab import sh

from . import Injected, fault


def in_each(ns, what):
    """Runs it wherever a program of that namespace has its files."""
    return f"for p in $(ip netns pids {ns}); do nsenter -t $p -m sh -c '{what}'; done"


def own_hosts(s):
    """A hosts file of the victim's own, which its agent sees as well as whoever comes into its namespace from now on."""
    def step(net):
        at = f"/etc/netns/{net.ns(s.victim)}"
        mount = f"mountpoint -q /etc/hosts || mount --bind {at}/hosts /etc/hosts"
        sh(f"mkdir -p {at} && cp /etc/hosts {at}/hosts && {in_each(net.ns(s.victim), mount)}")
    return step


def hosts_of_all(s):
    def step(net):
        sh(f"rm -r /etc/netns/{net.ns(s.victim)}; rmdir --ignore-fail-on-non-empty /etc/netns; {in_each(net.ns(s.victim), 'umount /etc/hosts; true')}")
    return step


def leads_to(s, address):
    """A tenant's guest is not told the names of hosts."""
    if not address or s.kind == "vm" or not s.well or (s.guest and s.peer == s.peer_host):
        return None
    add = f"printf '{address} {s.peer} {s.peer}.example\\n' >> /etc/hosts"
    return Injected([own_hosts(s), (s.victim, add)], undo=[hosts_of_all(s)], where=s.victim, direction="from", state=("degraded",))


@fault("name-resolves-to-wrong-target", needs="spare")
def to_another_machine(s):
    return leads_to(s, s.net.guests[s.spare].ip) if s.spare != s.peer and not s.router else None


@fault("name-resolves-to-wrong-target")
def to_a_former_address(s):
    if s.family == 6:
        return leads_to(s, s.peer_ip6 and s.peer_ip6.rsplit(":", 1)[0] + ":d7")
    return leads_to(s, s.peer_ip and s.peer_plen <= 24 and s.peer_ip.rsplit(".", 1)[0] + ".217")
