"""Ways between machines that lose, delay, double, damage or reorder packets, or pass one direction only. No kernel says why: the
place is found by counting. What is injected stands at the switch between the hosts (nobody's agent sees into it)."""
import signal, sys

import wire
from . import Injected, fault
from .base import from_port, to_port


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
    return Injected(inject, undo=undo, where=s.host, direction="from", cut=from_port(s), state=("one-way",))


@fault("unidirectional-loss-to-vm", needs=("guest", "bridge", "bridged"))
def unidirectional_loss_to_vm(s):
    inject, undo = taken_at_port(s, "egress")
    return Injected(inject, undo=undo, where=s.host, direction="to", cut=to_port(s), state=("one-way",))


# ---- links ----


def both_have_uplinks(s):
    return s.uplink and s.peer_uplink


@fault("pnic-link-down", needs=("fabric", "bridged"))
def switched_off(s):
    if not both_have_uplinks(s):
        return None
    return Injected([(s.host, f"ip link set {s.uplink} down")], undo=[(s.host, f"ip link set {s.uplink} up")], where=s.host, direction="both")


@fault("pnic-link-down", needs=("fabric", "bridged"))
def unplugged(s):
    """No carrier: there is nothing that its host could switch on."""
    if not both_have_uplinks(s):
        return None
    dev = s.fabric_ports[0]
    return Injected([(s.fabric, f"ip link set {dev} down")], undo=[(s.fabric, f"ip link set {dev} up")], where=s.host, direction="both", fix=False)


class Program:
    """Something that runs in a machine for as long as a fault is there."""

    def __init__(self, machine, key, argv):
        self.machine, self.key, self.argv = machine, key, argv

    def begin(self, net):
        net.spawn(self.key, self.machine, self.argv)

    def end(self, net):
        net.stop(self.key, signal.SIGTERM)
        net.procs.pop(self.key, None)


FLAPPING = "trap 'ip link set {dev} up; exit 0' TERM; while :; do ip link set {dev} down; sleep 0.4; ip link set {dev} up; sleep 0.6; done"


@fault("pnic-link-flapping", needs=("fabric", "bridged"))
def pnic_link_flapping(s):
    if not both_have_uplinks(s):
        return None
    p = Program(s.fabric, "flapping", ["sh", "-c", FLAPPING.format(dev=s.fabric_ports[0])])
    return Injected([p.begin], undo=[p.end, (s.fabric, f"ip link set {s.fabric_ports[0]} up")], where=s.host, settle=6.0, args=("--deep",), fix=False)


def dead_member(s):
    """Of what leaves the switch towards the victim, whose source port is odd hashes to a link that carries nothing. What has no ports goes by another."""
    dev, begun = s.fabric_ports[0], f"ip link add hole type ifb; tc qdisc add dev {s.fabric_ports[0]} clsact"
    ways = [("ip", f"match ip protocol {n} 0xff match u16 1 1 at 20") for n in (6, 17)] + [("ipv6", f"match ip6 protocol {n} 0xff match u16 1 1 at 40") for n in (6, 17)]
    filters = [f"tc filter add dev {dev} egress pref {i} protocol {proto} u32 {match} action mirred egress redirect dev hole" for i, (proto, match) in enumerate(ways, 7)]
    return [(s.fabric, "; ".join([begun] + filters))], [(s.fabric, f"tc qdisc del dev {dev} clsact; ip link del hole")]


@fault("lacp-hash-blackhole", needs=NEEDS)
def lacp_hash_blackhole(s):
    if not both_have_uplinks(s):
        return None
    inject, undo = dead_member(s)
    return Injected(inject, undo=undo, direction="to", cut=far_ends(s), args=("--deep",), fix=False)


# argv: from, to: a few connections that send what any wire can carry
TRANSFER = """
import socket, sys, threading, time
def send():
    while True:
        try:
            s = socket.create_connection((sys.argv[2], 9099), 5, (sys.argv[1], 0))
            while True:
                s.sendall(bytes(1 << 13))
                time.sleep(0.03)
        except OSError:
            time.sleep(0.1)
for i in range(6):
    threading.Thread(target=send, daemon=True).start()
time.sleep(600)
"""
SINK = """
import socket, sys, threading
s = socket.create_server((sys.argv[1], 9099))
def take(c):
    while c.recv(1 << 16):
        pass
while True:
    threading.Thread(target=take, args=(s.accept()[0],), daemon=True).start()
"""


def transfer(s):
    """What is to run for it, in order."""
    return [Program(s.victim, "sink", [sys.executable, "-c", SINK, s.ip]), Program(s.peer, "transfer", [sys.executable, "-c", TRANSFER, s.peer_ip, s.ip])]


@fault("tcp-retransmission-loss", needs=NEEDS)
def tcp_retransmission_loss(s):
    """Loss on the wire, and somebody who sends over it."""
    if not both_have_uplinks(s) or not s.ip or not s.peer_ip:
        return None
    things = [towards_victim(s, loss=8)] + transfer(s)
    return Injected([x.begin for x in things], undo=[x.end for x in things[::-1]], where=s.peer, direction="to", cut=far_ends(s), may=("path-jitter",),
                    settle=1.5, args=("--deep",), fix=False)
