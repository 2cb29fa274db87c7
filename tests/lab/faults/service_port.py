"""The victim's service: it does not listen, listens elsewhere, cannot keep up, or is denied."""
import sys

from . import NO_TABLES, Injected, fault, nft
from .base import kept, taken, to_port

STOP = "f=$(cat /tmp/bw-service-$(stat -Lc %i /proc/self/ns/net) 2>/dev/null) && kill $f; for p in $(ip netns pids {ns}); do tr '\\0' ' ' </proc/$p/cmdline | grep -q '^python3 -m http.server' && kill $p; done; sleep 0.3; rm -f /tmp/bw-service-$(stat -Lc %i /proc/self/ns/net); true"
START = "setsid python3 -m http.server {port} --bind {ip} >/dev/null 2>&1 & sleep 0.7"
# Takes no connection: its queue is full after the first.
STUCK = f"""setsid {sys.executable} - {{ip}} {{port}} >/dev/null 2>&1 <<'P' &
import os, socket, sys, time
open("/tmp/bw-service-%d" % os.stat("/proc/self/ns/net").st_ino, "w").write(str(os.getpid()))
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind((sys.argv[1], int(sys.argv[2]))); s.listen(0)
held = []
for i in range(4):
    c = socket.socket(); c.setblocking(False); held.append(c)
    try: c.connect((sys.argv[1], int(sys.argv[2])))
    except BlockingIOError: pass
time.sleep(120)
P
sleep 1"""


def of_service(s, *steps, undo=(), **more):
    """Steps on the victim; {ns}, {port} and {ip} are filled in. The service is there again in the end."""
    if not s.service or not s.ip or s.kind == "nat" or s.family == 6:
        return None
    fill = lambda text: text.replace("{ns}", s.net.ns(s.victim)).replace("{port}", str(s.service)).replace("{ip}", s.ip)
    back = [(s.victim, fill(STOP)), (s.victim, fill(START))]
    return Injected([(s.victim, fill(x)) for x in steps], undo=list(undo) + back, where=s.victim, **more)


@fault("service-not-listening", needs="guest")
def stopped(s):
    return of_service(s, STOP, cut=kept(s))


@fault("service-bound-wrong-address", needs="guest")
def on_loopback_only(s):
    return of_service(s, STOP, START.replace("{ip}", "127.0.0.1"), fix=False)


@fault("listen-backlog-full", needs="guest")
def nobody_accepts(s):
    return of_service(s, STOP, STUCK, fix=False)


@fault("tcp-policy-deny", needs="guest")
def denied_by_the_guest(s):
    return of_service(s, nft("table inet t { chain c { type filter hook input priority 0; tcp dport {port} drop; }; }"), undo=[(s.victim, NO_TABLES)], cut=taken(s))


@fault("tcp-policy-deny", needs=("guest", "bridge"))
def denied_by_its_host(s):
    found = of_service(s)
    rule = nft(f'table netdev t {{ chain c {{ type filter hook egress device "{s.port}" priority 0; tcp dport {s.service} drop; }}; }}')
    if found:
        found.inject, found.where, found.cut = [(s.host, rule)], s.host, to_port(s)
        found.undo.insert(0, (s.host, NO_TABLES))
    return found
