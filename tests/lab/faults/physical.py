"""Ways between machines that lose, delay, double, damage or reorder packets, or pass one direction only. No kernel says why: the
place is found by counting. What is injected stands at the switch between the hosts (nobody's agent sees into it)."""
import wire
from . import Injected, fault


def far_ends(s):
    """The devices on both sides of the switch, in the direction towards the victim."""
    return (f"{s.peer_host}:{s.peer_uplink}", f"{s.host}:{s.uplink}")


def towards_victim(s, **how):
    return wire.Steps(s.fabric, s.fabric_ports[0], **how)


def on_the_wire(s, direction="to", cut=None, settle=0.6, may=("path-jitter",), **how):
    """Our wire is a program, and makes packets late by itself: where the machine is busy that is seen, too."""
    if not s.uplink or not s.peer_uplink:
        return None
    w = towards_victim(s, **how)
    return Injected([w.begin], undo=[w.end], direction=direction, cut=cut, state=("degraded",), settle=settle, args=("--deep",), may=may, fix=False)


NEEDS = ("fabric", "bridged")


@fault("path-partial-loss", needs=NEEDS)
def path_partial_loss(s):
    return on_the_wire(s, cut=far_ends(s), loss=5)


@fault("path-delay", needs=NEEDS)
def path_delay(s):
    """There and back together: which of the two it is nobody can tell without trusting clocks."""
    return on_the_wire(s, direction="both", delay=40)


@fault("path-jitter", needs=NEEDS)
def path_jitter(s):
    return on_the_wire(s, gate=40)


@fault("path-duplicates", needs=NEEDS)
def path_duplicates(s):
    return on_the_wire(s, dup=15)


@fault("path-reorder", needs=NEEDS)
def path_reorder(s):
    return on_the_wire(s, reorder=25, held=25)


@fault("packets-damaged", needs=NEEDS)
def packets_damaged(s):
    return on_the_wire(s, corrupt=8)


def one_way(s):
    """All that leaves the switch towards the victim is gone, whatever it is."""
    dev = s.fabric_ports[0]
    drop = (f"ip link add hole type ifb; tc qdisc add dev {dev} clsact; "
            f"tc filter add dev {dev} egress pref 7 protocol all u32 match u32 0 0 action mirred egress redirect dev hole")
    return [(s.fabric, drop)], [(s.fabric, f"tc qdisc del dev {dev} clsact; ip link del hole")]


@fault("unidirectional-link", needs=NEEDS)
def unidirectional_link(s):
    if not s.uplink or not s.peer_uplink:
        return None
    inject, undo = one_way(s)
    return Injected(inject, undo=undo, direction="to", cut=far_ends(s), state=("one-way",), settle=1.0, fix=False)


def taken_at_port(s, way):
    """A filter of tc sends all of it elsewhere: no kernel calls that a drop."""
    def begin(net):
        net.run(s.host, f"ip link add hole type veth peer name hole1 netns {net.ns(net.namespaces[0])} && ip link set hole up")
        net.run(net.namespaces[0], "sysctl -qw net.ipv6.conf.hole1.disable_ipv6=1; ip link set hole1 arp off up")
        net.run(s.host, f"tc qdisc add dev {s.port} clsact; tc filter add dev {s.port} {way} pref 7 protocol all u32 match u32 0 0 action mirred egress redirect dev hole")
    return [begin], [(s.host, f"tc qdisc del dev {s.port} clsact; ip link del hole")]


@fault("unidirectional-loss-from-vm", needs=("guest", "bridge", "bridged"))
def unidirectional_loss_from_vm(s):
    inject, undo = taken_at_port(s, "ingress")
    return Injected(inject, undo=undo, where=s.host, direction="from", state=("one-way",))


@fault("unidirectional-loss-to-vm", needs=("guest", "bridge", "bridged"))
def unidirectional_loss_to_vm(s):
    inject, undo = taken_at_port(s, "egress")
    return Injected(inject, undo=undo, where=s.host, direction="to", state=("one-way",))
