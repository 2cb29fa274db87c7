"""Addresses changed on the way, and the table that remembers connections."""
import sys

from . import Injected, fault

MASQUERADE = ("nft 'table ip nat { chain post { type nat hook postrouting priority 100; ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 masquerade; }; }'")

# Loads so many assured connections into the table of its network namespace; without a number: empties it.
FILL = r"""
import socket, struct, sys
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12); s.bind((0, 0)); s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
count = int(sys.argv[1]) if len(sys.argv) > 1 else 0
def attr(kind, data): return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)
def nest(kind, *parts): return attr(kind | 0x8000, b"".join(parts))
def tuple_(kind, a, b, sp, dp):
    return nest(kind, nest(1, attr(1, a), attr(2, b)), nest(2, attr(1, b"\6"), attr(2, struct.pack(">H", sp)), attr(3, struct.pack(">H", dp))))
def message(kind, flags, body): return struct.pack("=IHHII", 20 + len(body), kind, flags, 0, 0) + struct.pack("=BBH", 2, 0, 0) + body
if not count:
    s.send(message(0x102, 5, b"")); sys.exit()
def entry(i):
    a, b, p = bytes([10, 99, i // 60000, 1]), bytes([10, 98, 0, 1]), 1024 + i % 60000
    return message(0x100, 0x401, tuple_(1, a, b, p, 443) + tuple_(2, b, a, 443, p) + attr(7, struct.pack(">I", 600)) + attr(3, struct.pack(">I", 14))
                   + nest(4, nest(1, attr(1, b"\3"))))
first = entry(0)
for at in range(0, count, 400):
    s.send(b"".join(entry(i) for i in range(at, min(at + 400, count))))
"""


def filler(count=""):
    return f"{sys.executable} - {count} <<'P'\n{FILL}\nP"


@fault("nat-no-inbound-mapping", needs="nat")
def as_it_is_meant(s):
    if s.usual[0] != "one-way":
        return None
    return Injected([(s.router, "true")], undo=[], where=s.victim, direction="to", fix=False)


@fault("nat-masquerade-missing", needs="nat")
def rule_is_gone(s):
    if s.usual[0] != "one-way":
        return None
    return Injected([(s.router, "nft flush ruleset")], undo=[], where=s.router, settle=1.0)


@fault("nat-masquerade-missing", needs="nat")
def for_another_interface(s):
    if s.usual[0] != "one-way":
        return None
    wrong = MASQUERADE.replace("ip daddr", 'oifname "eno9" ip daddr')
    return Injected([(s.router, "nft flush ruleset; " + wrong)], undo=[], where=s.router, settle=1.0)


@fault("nat-port-exhaustion", needs="nat")
def two_ports_for_all(s):
    if s.usual[0] != "one-way":
        return None
    few = MASQUERADE.replace("masquerade;", "meta l4proto { udp, tcp } masquerade to :40000-40001; ip saddr 192.168.122.0/24 masquerade;")
    return Injected([(s.router, "nft flush ruleset; " + few)], undo=[], where=s.router, fix=False)


@fault("nat-dnat-wrong-target", needs=("routed", "router"))
def to_an_address_nobody_has(s):
    """A port map of the router that was made for another machine."""
    if s.family == 6 or not s.ip or s.plen > 30:
        return None
    stale = s.ip.rsplit(".", 1)[0] + ".99"
    return Injected([(s.router, f"nft 'table ip nat {{ chain pre {{ type nat hook prerouting priority -100; ip daddr {s.ip} meta l4proto {{ tcp, udp }} dnat to {stale}; }}; }}'")],
                    undo=[(s.router, "nft flush ruleset")], where=s.router, direction="to", settle=0.5)


@fault("conntrack-table-full", needs="guest")
def table_of_the_guest_full(s):
    """Only what is new is dropped, and no rule does it."""
    if s.network not in ("", "default") or s.family == 6 or not s.ip or s.service or s.victim[0] == "b" or s.kind == "routed":
        return None
    track = "nft 'table inet t { chain c { type filter hook input priority 0; ct state invalid counter; }; }'"
    limit = s.net.run(s.victim, "cat /proc/sys/net/netfilter/nf_conntrack_max 2>/dev/null || echo 0").strip()
    if not 0 < int(limit) <= 300000:
        return None
    # the limit is that of the whole kernel, and a namespace may not change it
    return Injected([(s.victim, track), (s.victim, filler(int(limit) + 200))], undo=[(s.victim, "nft flush ruleset"), (s.victim, filler())],
                    where=s.victim, fix=False)
