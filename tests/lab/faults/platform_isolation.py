"""Encryption that one side alone demands."""
from . import Injected, fault
from .base import kept, taken


def policy(s, way, more):
    six = s.family == 6
    me, other = (s.ip6, s.peer_ip6) if six else (s.ip, s.peer_ip)
    if not me or not other or s.kind == "nat":
        return None
    src, dst = (other, me) if way == "in" else (me, other)
    full = 128 if six else 32
    what = f"src {src}/{full} dst {dst}/{full} dir {way}"
    return Injected([(s.victim, f"ip xfrm policy add {what} {more.format(src=src, dst=dst)}")], undo=[(s.victim, "ip xfrm policy flush")], where=s.victim,
                    direction="to" if way == "in" else "from", cut=taken(s) if way == "in" else kept(s))


@fault("encryption-policy-mismatch", needs="guest")
def in_clear_is_refused(s):
    return policy(s, "in", "tmpl src {src} dst {dst} proto esp mode transport")


@fault("encryption-policy-mismatch", needs="guest")
def blocked(s):
    return policy(s, "in", "action block")


@fault("encryption-policy-mismatch")
def no_key_to_send_with(s):
    return policy(s, "out", "tmpl src {src} dst {dst} proto esp mode transport")
