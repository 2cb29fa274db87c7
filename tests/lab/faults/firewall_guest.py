"""Filters of the guest itself, and programs at its interface."""
import os, subprocess

from . import NO_TABLES, Injected, fault, nft
from .base import kept, past_port, taken

KEEP = "ct state established,related accept;"
ND = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept;"


def chain(hook, rules, policy="accept", table="inet t"):
    return nft(f"table {table} {{ chain c {{ type filter hook {hook} priority 0; policy {policy}; {rules} }}; }}")


def of_family(s, four, six):
    return {4: four, 6: six}.get(s.family, f"{four} {six}")


def echo(s, verdict):
    return of_family(s, f"icmp type echo-request {verdict};", f"icmpv6 type echo-request {verdict};")


def datagrams(s, verdict):
    return of_family(s, f"meta nfproto ipv4 meta l4proto {{ udp, tcp }} {verdict};", f"meta nfproto ipv6 meta l4proto {{ udp, tcp }} {verdict};")


def everything(s, verdict):
    return echo(s, verdict) + " " + datagrams(s, verdict)


def at_victim(s, rules, direction=None, **more):
    return Injected([(s.victim, rules)], undo=[(s.victim, NO_TABLES)], where=s.victim, direction=direction, cut=kept(s) if direction == "from" else taken(s), **more)


@fault("guest-fw-icmp-only", needs="guest")
def icmp_both_ways(s):
    return at_victim(s, chain("input", of_family(s, "ip protocol icmp drop;", "icmpv6 type { echo-request, echo-reply } drop;")))


@fault("guest-fw-inbound-drop", needs="guest")
def policy_drop(s):
    return at_victim(s, chain("input", f"iif lo accept; {KEEP} {ND} " + of_family(s, "meta nfproto ipv6 accept;" if s.family == 4 else "", "meta nfproto ipv4 accept;" if s.family == 6 else ""),
                              policy="drop"), "to")


@fault("guest-fw-inbound-drop", needs="guest")
def rules_drop_new(s):
    return at_victim(s, chain("input", KEEP + " " + everything(s, "drop")), "to")


@fault("guest-fw-inbound-drop", needs="guest")
def new_from_the_peer_in_prerouting(s):
    if s.kind == "nat" or not s.peer_ip:
        return None
    return at_victim(s, chain("prerouting", f"{KEEP} ip saddr {s.peer_ip} meta l4proto {{ icmp, udp, tcp }} drop;"), "to")


@fault("guest-fw-inbound-drop", needs="guest")
def by_iptables(s):
    return Injected([(s.victim, "iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; iptables -A INPUT ! -i lo -j DROP")],
                    undo=[(s.victim, NO_TABLES)], where=s.victim, direction="to", cut=taken(s)) if s.ip else None


@fault("guest-fw-stateless-drop", needs="guest")
def answers_dropped_as_well(s):
    return at_victim(s, chain("input", everything(s, "drop")), "to")


@fault("guest-fw-stateless-drop", needs="guest")
def udp_of_both_sorts(s):
    return at_victim(s, chain("input", of_family(s, "meta nfproto ipv4 meta l4proto udp drop;", "meta nfproto ipv6 meta l4proto udp drop;")), "to")


@fault("guest-fw-reject", needs="guest")
def new_ones_rejected(s):
    return at_victim(s, chain("input", KEEP + " " + datagrams(s, "reject with icmpx type admin-prohibited")), None)


@fault("guest-fw-reject", needs="guest")
def tcp_reset(s):
    return at_victim(s, chain("input", KEEP + " " + of_family(s, "meta nfproto ipv4 meta l4proto tcp reject with tcp reset;", "meta nfproto ipv6 meta l4proto tcp reject with tcp reset;")))


@fault("guest-fw-egress-drop", needs="guest")
def new_ones_not_sent(s):
    return at_victim(s, chain("output", KEEP + " " + everything(s, "drop")), "from")


@fault("guest-fw-egress-drop", needs="guest")
def udp_to_the_peer_not_sent(s):
    return at_victim(s, chain("output", f"{KEEP} ip daddr {s.peer_ip} udp dport 1-65535 drop;"), "from") if s.peer_ip else None


@fault("guest-fw-egress-stateless", needs="guest")
def nothing_sent(s):
    return at_victim(s, chain("output", everything(s, "drop").replace("echo-request", "{ echo-request, echo-reply }")), "from")


@fault("guest-fw-egress-stateless", needs="guest")
def nothing_sent_to_the_peer(s):
    return at_victim(s, chain("output", f"ip daddr {s.peer_ip} meta l4proto {{ udp, tcp }} drop;"), "from") if s.peer_ip else None


@fault("icmp-echo-ignore", needs="guest")
def echo_ignored(s):
    knob = "net.ipv6.icmp.echo_ignore_all" if s.family == 6 else "net.ipv4.icmp_echo_ignore_all"
    if not (s.ip6 if s.family == 6 else s.ip):
        return None
    return Injected([(s.victim, f"sysctl -qw {knob}=1")], undo=[(s.victim, f"sysctl -qw {knob}=0")], where=s.victim, cut=kept(s), answers=True)


# ---- programs below every filter ----

SOURCE = """#include <linux/bpf.h>
__attribute__((section("xdp"), used)) int xdp_drop(struct xdp_md *c)
{ void *d = (void *)(long)c->data, *e = (void *)(long)c->data_end; unsigned char *p = d;
  if (d + 24 > e || p[12] != 8 || p[13] != 0 || (p[23] != 17 && p[23] != 6)) return XDP_PASS; return XDP_DROP; }
__attribute__((section("tc"), used)) int tc_drop(struct __sk_buff *s)
{ void *d = (void *)(long)s->data, *e = (void *)(long)s->data_end; unsigned char *p = d;
  if (d + 24 > e || p[12] != 8 || p[13] != 0 || (p[23] != 17 && p[23] != 6)) return 0; return 2; }
char gpl[] __attribute__((section("license"), used)) = "GPL";
"""


def program(s):
    """An object file with programs that drop UDP and TCP over IPv4. "" = no compiler for them."""
    made = s.net.path("drop.o")
    if not os.path.exists(made):
        with open(s.net.path("drop.c"), "w") as f:
            f.write(SOURCE)
        arch = f"-I/usr/include/{os.uname().machine}-linux-gnu"
        if subprocess.run(["clang", "-O2", "-target", "bpf", arch, "-c", s.net.path("drop.c"), "-o", made], stderr=subprocess.DEVNULL).returncode:
            return ""
    return made


@fault("endpoint-security-drop", needs="guest")
def tc_at_its_interface(s):
    made = program(s) if s.ip and s.family != 6 and s.kind not in ("vm", "nat") else ""
    return Injected([(s.victim, f"tc qdisc add dev {s.dev} clsact; tc filter add dev {s.dev} ingress bpf da obj {made} sec tc")],
                    undo=[(s.victim, f"tc qdisc del dev {s.dev} clsact")], where=s.victim, direction="to", cut=taken(s)) if made else None


@fault("endpoint-security-drop", needs="guest")
def xdp_at_its_interface(s):
    made = program(s) if s.ip and s.family != 6 and s.kind not in ("vm", "nat", "macvtap") else ""
    return Injected([(s.victim, f"ip link set dev {s.dev} xdpgeneric obj {made} sec xdp")], undo=[(s.victim, f"ip link set dev {s.dev} xdpgeneric off")],
                    where=s.victim, direction="to", cut=past_port(s)) if made else None
