"""A mesh that is healthy and badly treated: hogs of the CPU, agents that stand still, clocks that jump, restarts, a packet in ten
thousand lost, reordered frames. No cause may come of it. And: how long a verdict takes that nobody asks for."""
import os, random, signal, statistics, subprocess, sys, time

import lab as labs
from lab import Failure, Lab, brief

HOUR = 3600
LOSS = "nft -f - <<'N'\ntable netdev soak {{ {chains} }}\nN"
RARE = "chain c{i} {{ type filter hook ingress device \"{dev}\" priority 0; numgen random mod 10000 < 1 drop; }};"
RELAYED = ("b1", "b2")  # whose frames are reordered

# The wall clock of a program, moved by as many seconds as the file says that $SOAK_CLOCK names; other clocks are left alone.
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
static long offset(void)
{
	static volatile const long *at;
	if (!at) {
		const char *path = getenv("SOAK_CLOCK");
		int fd = path ? open(path, O_RDONLY) : -1;
		void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(long), PROT_READ, MAP_SHARED, fd, 0);
		static const long none;
		at = map == MAP_FAILED ? &none : map;
	}
	return *at;
}
int clock_gettime(clockid_t id, struct timespec *t)
{
	static int (*real)(clockid_t, struct timespec *);
	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int rc = real(id, t);
	if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		t->tv_sec += offset();
	return rc;
}
time_t time(time_t *out)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}
int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec t;
	(void)tz;
	clock_gettime(CLOCK_REALTIME, &t);
	tv->tv_sec = t.tv_sec;
	tv->tv_usec = t.tv_nsec / 1000;
	return 0;
}
"""

# Forwards frames, one in fifty later than those behind it. argv: two interfaces.
REORDER = """
import random, select, socket, sys, time
ends, late = [], []
for name in sys.argv[1:3]:
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.setsockopt(263, 23, 1)  # not what goes out
    s.bind((name, 3))
    ends.append(s)
while True:
    wait = max(0, late[0][0] - time.monotonic()) if late else 1
    for s in select.select(ends, [], [], wait)[0]:
        frame, to = s.recv(65536), ends[s is ends[0]]
        if random.random() < 0.02:
            late.append((time.monotonic() + 0.002, to, frame))
        else:
            to.send(frame)
    while late and late[0][0] <= time.monotonic():
        _, to, frame = late.pop(0)
        to.send(frame)
"""


class Soaked(Lab):
    """Every program has a wall clock of its own."""

    def spawn(self, key, where, argv):
        if not argv[0].startswith(labs.BIN):
            return super().spawn(key, where, argv)
        clock = self.path(f"{key}.clock")
        if not os.path.exists(clock):
            open(clock, "wb").write(bytes(8))
        return super().spawn(key, where, ["env", f"LD_PRELOAD={self.path('clock.so')}", f"SOAK_CLOCK={clock}"] + argv)

    def clock(self, key, seconds):
        with open(self.path(f"{key}.clock"), "r+b") as f:
            f.write(int(seconds).to_bytes(8, sys.byteorder, signed=True))

    def make_clock(self):
        source = self.path("clock.c")
        open(source, "w").write(CLOCK)
        labs.sh(f"cc -shared -fPIC -O1 -o {self.path('clock.so')} {source} -ldl")


# ---- what is done to it ----


def hog(lab, rnd, end):
    """More processes that want to run than there are processors."""
    lab.hogged = time.monotonic()
    return [subprocess.Popen([sys.executable, "-c", f"import time\nend = time.time() + {rnd.uniform(2, 8)}\nwhile time.time() < end: pass"])
            for _ in range(2 * (os.cpu_count() or 1))]


def stand_still(lab, rnd, end):
    name = rnd.choice(lab.hosts + list(lab.guests))
    print(f"    {name}", flush=True)
    lab.paused[name] = time.monotonic()
    os.kill(lab.procs[name].pid, signal.SIGSTOP)
    try:
        look_for(lab, rnd.uniform(0.5, 10), rnd)
    finally:
        os.kill(lab.procs[name].pid, signal.SIGCONT)
        lab.paused[name] = time.monotonic()


def clock_step(lab, rnd, end):
    key = rnd.choice(["collector"] + lab.hosts + list(lab.guests))
    lab.clock(key, rnd.choice((-HOUR, HOUR, 0)))


def agent_restart(lab, rnd, end):
    name = rnd.choice(lab.hosts + list(lab.guests))
    print(f"    {name}", flush=True)
    lab.paused[name] = time.monotonic()
    lab.stop(name, rnd.choice((signal.SIGKILL, signal.SIGTERM)))
    lab.up_agent(name, join=False)
    lab.paused[name] = time.monotonic()


def collector_restart(lab, rnd, end):
    lab.stop("collector")
    lab.up_collector()


ILLS = [hog, stand_still, stand_still, clock_step, clock_step, agent_restart, collector_restart]


# ---- looking ----


TRUE_OF_STOPPED = {"agent-down", "agent-stopped", "guest-paused", "agent-not-scheduled", "clock-skew-agents", "host-time-skew", "clock-skew"}


def told(lab):
    """[(pair, cause, where)] that is shown now."""
    mesh = lab.bw("mesh", rc=None)[1] or {"pairs": []}
    return [((p["a"], p["b"]), p["verdict"].get("cause"), p["verdict"].get("where")) for p in mesh["pairs"] if p.get("verdict") and p["verdict"].get("cause")]


def judge(lab, seen, how):
    for pair, cause, where in seen:
        names = {str(n).split("/")[-1] for n in (*pair, where)}
        stopped = any(time.monotonic() - lab.paused.get(n, -1e9) < 30 for n in names)
        starved = cause == "cpu-oversubscribed" and time.monotonic() - lab.hogged < 30  # so it is: every machine lacks CPU then
        true = starved or cause in TRUE_OF_STOPPED and (stopped or "clock" in cause)
        kind = lab.true_ones if true else lab.wrong_ones
        text = f"{how}: {cause} at {where} for {' '.join(pair)}"
        if text not in kind[-20:]:
            kind.append(text)
            print(f"{time.monotonic() - lab.began:.1f} s: {text}", flush=True)


def look_for(lab, seconds, rnd):
    """Nothing may be shown, and nobody who asks may be told a cause."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        judge(lab, told(lab), "by itself")
        lab.looks += 1
        if rnd.random() < 0.3:
            a, b = rnd.choice((("h1", "a1"), ("a1", "a2"), ("a1", "a3"), ("b1", "b2"), ("h2", "a2"), ("a3", "c1"), ("h1", "h2")))
            v = lab.bw("diagnose", a, b, rc=None)[1]
            lab.rounds += 1
            judge(lab, [((a, b), c["id"], c["where"]) for c in (v or {}).get("causes", [])], "asked")
            if v and v.get("causes"):
                print(brief(v), flush=True)
        time.sleep(0.5)


def reorder(lab):
    """The fabric of the tenants' bridges hands its frames through a program."""
    for name in RELAYED:
        lab.run(name, "ethtool -K eth0 tx off tso off gso off", ok=False)
    lab.run("sw", "ip link add raw0 type veth peer name raw1; ip link set raw0 master fab-b up; ip link set raw1 promisc on up; ip link set sb1 nomaster promisc on")
    lab.spawn("reorder", "sw", ["chrt", "-f", "5", sys.executable, "-c", REORDER, "sb1", "raw1"])


def rare_loss(lab):
    chains = " ".join(RARE.format(i=i, dev=d) for i, d in enumerate(("sa1", "sa2", "sb2")))
    lab.run("sw", LOSS.format(chains=chains))


def run(minutes, seed=1):
    """(wrong causes, rounds asked for, looks)."""
    rnd, lab = random.Random(seed), Soaked()
    lab.hogged, lab.paused, lab.wrong_ones, lab.true_ones, lab.looks, lab.rounds, lab.began = -1e9, {}, [], [], 0, 0, time.monotonic()
    done, hogs = {}, []
    try:
        lab.make_clock()
        lab.up()
        lab.healthy("a1", "a2")
        reorder(lab)
        rare_loss(lab)
        lab.healthy("b1", "b2")
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            ill = rnd.choice(ILLS)
            print(f"{time.monotonic() - lab.began:.1f} s: {ill.__name__}", flush=True)
            done[ill.__name__] = done.get(ill.__name__, 0) + 1
            hogs += ill(lab, rnd, end) or []
            look_for(lab, rnd.uniform(1, 6), rnd)
        for h in hogs:
            h.wait()
        lab.wrong_ones += [c for c in lab.crashes()]
    finally:
        for h in hogs:
            h.poll() is None and h.kill()
        lab.close()
    print(f"soak: {minutes} min, {done}, looked {lab.looks} times, asked {lab.rounds} times; of stopped machines it was said, and true: {len(lab.true_ones)} "
          + " ".join(sorted({t.split(' ')[1] if t.startswith('asked') else t.split(' ')[2] for t in lab.true_ones})), flush=True)
    return lab.wrong_ones, lab.rounds, lab.looks


# ---- what nobody asks for ----


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def shown(lab, a, b):
    for p in lab.bw("mesh", rc=None)[1]["pairs"]:
        if {p["a"].split("/")[-1], p["b"].split("/")[-1]} == {a, b}:
            return p
    return None


HARD = [  # cause, the pair, where, what, and back
    ("guest-fw-inbound-drop", ("h1", "a1"), "a1", "nft 'table inet f { chain c { type filter hook input priority 0; policy drop; ct state established,related accept; iif lo accept; }; }'", "nft flush ruleset"),
    ("tap-not-in-bridge", ("h1", "a3"), "h1", "ip link set vn-a3 nomaster", "ip link set vn-a3 master br-a"),
    ("vnic-link-down", ("h2", "a2"), "h2", "ip link set vn-a2 down", "ip link set vn-a2 up"),
    ("blackhole-route", ("h1", "a1"), "a1", "ip route add blackhole 10.0.0.1/32", "ip route del blackhole 10.0.0.1/32"),
    ("guest-fw-icmp-only", ("h2", "a2"), "a2", "nft 'table inet f { chain c { type filter hook input priority 0; icmp type echo-request drop; }; }'", "nft flush ruleset"),
    ("stale-arp-guest", ("h1", "a3"), "a3", "ip neigh replace 10.0.0.1 lladdr 02:de:ad:00:00:01 dev eth0 nud permanent", "ip neigh del 10.0.0.1 dev eth0"),
]
GRAY = "nft 'table netdev g {{ chain c {{ type filter hook ingress device \"eth0\" priority 0; numgen random mod 1000 < {permille} drop; }}; }}'"


def become_well(lab):
    ill = lambda: [(p["a"], p["b"]) for p in lab.bw("mesh", rc=None)[1]["pairs"] if p["state"] != "ok" or p.get("verdict")]
    try:
        lab.until(lambda: not ill(), 40, every=0.3)
    except Failure:
        print("still ill after 40 s:", ill())


def timed(lab, where, inject, undo, told_when, limit):
    become_well(lab)
    time.sleep(0.3)
    lab.run(where, inject)
    t = time.monotonic()
    try:
        lab.until(told_when, limit, "no verdict", every=0.03)
        return time.monotonic() - t
    except Failure:
        return limit
    finally:
        lab.run(where, undo, ok=False)


def unattended(figure, hard, gray):
    lab = Lab()
    try:
        lab.up()
        lab.healthy("h1", "a1")
        took = []
        for i in range(hard):
            cause, pair, where, inject, undo = HARD[i % len(HARD)]
            took.append(timed(lab, where, inject, undo, lambda: ((shown(lab, *pair) or {}).get("verdict") or {}).get("cause") == cause, 15))
            print(f"{cause}: {took[-1]:.2f} s", flush=True)
        slow = {}
        for permille in (50, 10):
            is_told = lambda: any("a1" in (p["a"].split("/")[-1], p["b"].split("/")[-1]) and (p["state"] != "ok" or p.get("verdict"))
                                  for p in lab.bw("mesh", rc=None)[1]["pairs"])
            slow[permille] = [timed(lab, "a1", GRAY.format(permille=permille), "nft flush ruleset", is_told, 90) for _ in range(gray)]
            print(f"{permille / 10:g} % loss: {' '.join(f'{s:.1f}' for s in slow[permille])} s", flush=True)
        figure("unattended_hard_p50", statistics.median(took), "s", 1.0)
        figure("unattended_hard_p99", quantile(took, .99), "s", 2.5)
        figure("unattended_loss_5_percent", quantile(slow[50], .5), "s", 5)
        figure("unattended_loss_1_percent", quantile(slow[10], .5), "s", 30)
    finally:
        lab.close()
