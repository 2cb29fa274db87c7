"""Queues and tables: rates that are limited, and what fills up."""
import os, signal, subprocess

from . import Injected, fault, physical
from .base import past_port


@fault("traffic-shaping-policing", needs=("guest", "bridge", "bridged"))
def shaped_port(s):
    """A rate that keeps a burst waiting, in a queue that is long enough, at a port where nothing else of the lab fills it."""
    if s.network in ("", "default") and s.bridge != "br-b":
        return None
    return Injected([(s.host, f"tc qdisc replace dev {s.port} root tbf rate 6mbit burst 4kb limit 400kb")], undo=[(s.host, f"tc qdisc del dev {s.port} root")],
                    where=s.host, direction="to", state=("degraded",), args=("--deep",))


@fault("traffic-shaping-policing", needs=("guest", "bridge", "bridged"))
def policed_port(s):
    """A queue so short that the rest is dropped."""
    return Injected([(s.host, f"tc qdisc replace dev {s.port} root tbf rate 1mbit burst 2kb limit 6kb")], undo=[(s.host, f"tc qdisc del dev {s.port} root")],
                    where=s.host, direction="to", state=("degraded", "one-way"), args=("--deep",))


@fault("bufferbloat", needs=("fabric", "bridged"))
def bufferbloat(s):
    if not s.uplink or not s.peer_uplink:
        return None
    dev = s.fabric_ports[0]
    return Injected([(s.fabric, f"tc qdisc replace dev {dev} root tbf rate 6mbit burst 4kb limit 400kb")], undo=[(s.fabric, f"tc qdisc del dev {dev} root")],
                    direction="to", state=("degraded",), args=("--deep",), fix=False)


@fault("traffic-shaping-policing", needs=("fabric", "bridged"))
def policed_transfer(s):
    """Connections over a limit send much again: that comes of the limit."""
    if not s.bridge or s.bridge == "br-a" and s.network in ("", "default") or not s.uplink or not s.ip or not s.peer_ip:
        return None
    transfer = physical.transfer(s)
    return Injected([(s.host, f"tc qdisc replace dev {s.port} root tbf rate 3mbit burst 4kb limit 12kb")] + [p.begin for p in transfer],
                    undo=[p.end for p in transfer[::-1]] + [(s.host, f"tc qdisc del dev {s.port} root 2>/dev/null; true")],
                    where=s.host, direction="to", may=("path-jitter",), state=("degraded", "one-way"), settle=1.5, args=("--deep",))


# Takes odd source ports of UDP and TCP off the interface before anybody sees them, and is silent about it: a redirection to nowhere.
QUEUE = """#include <linux/bpf.h>
__attribute__((section("xdp"), used)) int queue(struct xdp_md *c)
{ void *d = (void *)(long)c->data, *e = (void *)(long)c->data_end; unsigned char *p = d;
  if (d + 60 > e) return XDP_PASS;
  if (p[12] == 8 && p[13] == 0 && (p[23] == 17 || p[23] == 6) && p[35] & 1) return XDP_REDIRECT;
  if (p[12] == 0x86 && p[13] == 0xdd && (p[20] == 17 || p[20] == 6) && p[55] & 1) return XDP_REDIRECT;
  return XDP_PASS; }
char gpl[] __attribute__((section("license"), used)) = "GPL";
"""


def queue_program(s):
    """"" = no compiler for it."""
    made = s.net.path("queue.o")
    if not os.path.exists(made):
        with open(s.net.path("queue.c"), "w") as f:
            f.write(QUEUE)
        arch = f"-I/usr/include/{os.uname().machine}-linux-gnu"
        if subprocess.run(["clang", "-O2", "-target", "bpf", arch, "-c", s.net.path("queue.c"), "-o", made], stderr=subprocess.DEVNULL).returncode:
            return ""
    return made


@fault("multiqueue-misconfig", needs=("guest", "bridge", "bridged"))
def one_queue_is_dead(s):
    """Which queue of its interface a flow goes to is a matter of its ports, and nobody takes from one of them."""
    made = queue_program(s)
    return Injected([(s.victim, f"ip link set dev {s.dev} xdpdrv obj {made} sec xdp")], undo=[(s.victim, f"ip link set dev {s.dev} xdpdrv off")],
                    where=s.victim, direction="to", cut=past_port(s), args=("--deep",), fix=False) if made else None


# ---- in a machine that has a kernel of its own ----


@fault("softnet-backlog-drop", needs=("guest", "vm"))
def softnet_backlog_drop(s):
    """What comes at once is more than may wait for the CPU that is to take it."""
    rps = f"/sys/class/net/{s.dev}/queues/rx-0/rps_cpus"
    return Injected([(s.victim, f"echo 1 >{rps}; sysctl -qw net.core.netdev_max_backlog=1")], undo=[(s.victim, f"echo 0 >{rps}; sysctl -qw net.core.netdev_max_backlog=1000")],
                    where=s.victim, direction="to", args=("--deep",))


def stands_still(s, signal_of):
    return lambda net: os.kill(net.vms[s.victim].pid(), signal_of)


@fault("tap-or-vswitch-queue-overflow", needs=("guest", "vm"))
def tap_or_vswitch_queue_overflow(s):
    """Nobody takes from the tap, and it has been filled."""
    fill = f"ping -c 3000 -l 3000 -W 0.1 -w 2 {s.ip} >/dev/null; true"
    return Injected([stands_still(s, signal.SIGSTOP), (s.host, fill)], undo=[stands_still(s, signal.SIGCONT)], where=s.host, direction="to", settle=0.1, fix=False)


OTHERS = "seq 101 140 | sed 's/.*/neigh {verb} 10.99.0.& lladdr 02:de:ad:00:00:01 dev {dev} nud reachable/' >/run/{verb}; "
LIMITS = "sysctl -qw net.ipv4.neigh.default.gc_thresh1={0} net.ipv4.neigh.default.gc_thresh2={1} net.ipv4.neigh.default.gc_thresh3={2}; "
FULL = LIMITS.format(4, 8, 16) + OTHERS + "setsid sh -c 'while :; do /bin/ip -force -batch /run/replace; sleep 0.3; done' full >/dev/null 2>&1 & echo $! >/run/full"
ROOM = "kill $(cat /run/full); " + OTHERS + "ip -force -batch /run/del; rm -f /run/full /run/del /run/replace; " + LIMITS.format(128, 512, 1024)


@fault("neigh-table-overflow", needs=("guest", "vm"))
def neigh_table_overflow(s):
    """Others than the peer take all the places there are, and its own as soon as that is free."""
    if s.peer == s.host:
        return None  # it asks for the guest all the time, and who is asked by somebody tries to remember him
    leave = f"sleep 1; (echo neigh del {s.peer_ip} dev {s.dev}; cat /run/replace) >/run/del; for i in 1 2 3; do ip -force -batch /run/del >/dev/null 2>&1; done; true"

    def leave_until_it_is_out(net):
        for _ in range(6):
            net.run(s.victim, leave)
            if "lladdr" not in net.run(s.victim, f"ip neigh show to {s.peer_ip} dev {s.dev}"):
                return
    return Injected([(s.victim, FULL.format(verb="replace", dev=s.dev)), leave_until_it_is_out], undo=[(s.victim, ROOM.format(verb="del", dev=s.dev))],
                    where=s.victim, settle=0.2)
