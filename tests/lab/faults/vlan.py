"""VLANs, as far as a kernel without any can show them: a guest that tags its frames. Ports in the wrong VLAN are in ovs.py."""
import ipaddress, os, subprocess

from . import Injected, NO_TABLES, fault, nft

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


# ---- between two networks ----


def network(ip, plen):
    return ipaddress.ip_interface(f"{ip}/{plen}").network


@fault("inter-vlan-routing-missing", needs=("unknown-router", "guest"))
def no_way_there(s):
    """The router in which no agent stands has no way to the peer's network: so it says, by one of its addresses."""
    far, far6, at = network(s.peer_ip, s.peer_plen), network(s.peer_ip6, s.peer_plen6), s.unknown_router
    dev = s.net.run(at, f"ip -o -4 addr show to {far}").split()[1]
    return Injected([(at, f"ip route del {far} dev {dev}; ip -6 route del {far6} dev {dev}")],
                    undo=[(at, f"ip route replace {far} dev {dev}; ip -6 route replace {far6} dev {dev}")], direction="from", settle=1.5, fix=False)


@fault("inter-vlan-routing-missing", needs=("unknown-router", "guest"))
def may_not_pass(s):
    return Injected([(s.unknown_router, nft(f"""table inet t {{ chain c {{ type filter hook forward priority 0;
        ip saddr {s.ip} ip daddr {s.peer_ip} reject with icmp type admin-prohibited
        ip6 saddr {s.ip6} ip6 daddr {s.peer_ip6} reject with icmpv6 type admin-prohibited; }}; }}"""))],
                    undo=[(s.unknown_router, NO_TABLES)], direction="from", settle=1.5, fix=False)


# ---- tunnels ----


@fault("overlay-fdb-wrong", needs=("vxlan", "guest", "across", "uplink"))
def table_of_the_tunnel(s):
    """The VXLAN device sends what is for the peer to a host that does not exist. One that learns does not take what comes from the peer
    by another tunnel than its static entry says, either (vxlan_snoop in drivers/net/vxlan)."""
    if not s.uplink.startswith("vx"):
        return None
    direction = "from" if "nolearning" in s.net.run(s.host, f"ip -d link show {s.uplink}") else "both"
    nowhere = "192.0.2.77"
    return Injected([(s.host, f"bridge fdb replace {s.peer_mac} dev {s.uplink} self dst {nowhere} static")],
                    undo=[(s.host, f"bridge fdb del {s.peer_mac} dev {s.uplink} self dst {nowhere}; true")], where=s.host, direction=direction, cut=s.gap("from", after=f"{s.host}:{s.uplink}"))
