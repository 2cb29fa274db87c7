"""VLANs, as far as a kernel without any can show them: a guest that tags its frames. Ports in the wrong VLAN are in ovs.py."""
import os, subprocess

from . import Injected, fault

# What a VLAN interface of the guest would do.
PUSH = """
#include <linux/bpf.h>
static long (*push)(struct __sk_buff *skb, unsigned short proto, unsigned short tag) = (void *)BPF_FUNC_skb_vlan_push;
__attribute__((section("tc"), used)) int tag(struct __sk_buff *skb) { push(skb, 0x0081, 20); return 0; }
char _license[] __attribute__((section("license"), used)) = "GPL";
"""


def program(s):
    """The compiled program, in the lab's own directory. "" = there is no compiler for it."""
    path = s.net.path("push.o")
    if not os.path.exists(path):
        r = subprocess.run(["clang", "-O2", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-xc", "-", "-c", "-o", path], input=PUSH.encode(), stderr=subprocess.DEVNULL)
        return path if r.returncode == 0 else ""
    return path


@fault("double-or-guest-tagging", needs=("guest", "bridge"))
def tag_of_its_own(s):
    path = program(s)
    if not path or s.router or s.kind != "bridged":
        return None
    return Injected([(s.victim, f"tc qdisc add dev {s.dev} clsact && tc filter add dev {s.dev} egress bpf da obj {path} sec tc")],
                    undo=[(s.victim, f"tc qdisc del dev {s.dev} clsact")], where=s.victim, direction="from", fix=False)


# ---- tunnels ----


@fault("overlay-fdb-wrong", needs=("vxlan", "guest", "across", "uplink"))
def table_of_the_tunnel(s):
    """The VXLAN device sends what is for the peer to a host that does not exist."""
    if not s.uplink.startswith("vx"):
        return None
    nowhere = "192.0.2.77"
    return Injected([(s.host, f"bridge fdb replace {s.peer_mac} dev {s.uplink} self dst {nowhere} static")],
                    undo=[(s.host, f"bridge fdb del {s.peer_mac} dev {s.uplink} self dst {nowhere}; true")], where=s.host, direction="from", cut=s.gap("from", after=f"{s.host}:{s.uplink}"))
