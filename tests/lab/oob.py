"""The out-of-band path under attack: a stream that mangles, cuts and stalls, guests that flood it, and no path at all."""
import os, random, select, signal, socket, subprocess, sys, threading, time

import kills
import lab as labs
from lab import Guest, Lab, check

ASAN = labs.program_is_sanitized()


def small(**kw):
    return Lab(guests=[Guest("a1", "red", "h1", "br-a", 11), Guest("b1", "blue", "h1", "br-b", 11)], hosts=["h1"], **kw)


def agents(lab):
    return {a["name"]: a for a in lab.bw("agents", rc=None)[1]["agents"]}


def reports(lab, name):
    return agents(lab)[name]["reports"]


class Wire(threading.Thread):
    """Stands between the host's agent and one guest's socket; `mode`: clean, bad (mangles what passes), stalled, cut."""

    def __init__(self, host_side, guest_side, seed):
        super().__init__(daemon=True)
        self.host_side, self.guest_side, self.rnd = host_side, guest_side, random.Random(seed)
        self.mode, self.stopped, self.harm = "clean", False, 0
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(host_side)
        self.door.listen(4)
        self.door.settimeout(0.1)
        self.start()

    def run(self):
        while not self.stopped:
            try:
                host, _ = self.door.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            guest = socket.socket(socket.AF_UNIX)
            try:
                guest.connect(self.guest_side)
                self.carry(host, guest)
            except OSError:
                time.sleep(0.1)
            host.close()
            guest.close()

    def carry(self, host, guest):
        while not self.stopped and self.mode != "cut":
            if self.mode == "stalled":
                time.sleep(0.05)
                continue
            for s in select.select([host, guest], [], [], 0.05)[0]:
                data = s.recv(16384)
                if not data or not self.pass_on(guest if s is host else host, data):
                    return

    def pass_on(self, to, data):
        to.settimeout(2)
        dice = self.rnd.random() if self.mode == "bad" else 1
        self.harm += dice < 0.5
        if dice < 0.10:  # a shell talks into it
            to.sendall(self.rnd.randbytes(self.rnd.randrange(1, 3000)))
        elif dice < 0.18:  # the beginning of a frame that never goes on
            to.sendall(b"\xb7BW\x01\x01" + self.rnd.randbytes(self.rnd.randrange(0, 9)))
        elif dice < 0.26:  # twice
            to.sendall(data[:self.rnd.randrange(len(data) + 1)])
        elif dice < 0.34:  # a part gets lost
            at = self.rnd.randrange(len(data))
            data = data[:at] + data[at + self.rnd.randrange(1, 200):]
        elif dice < 0.38:  # both ends are cut off in the middle
            to.sendall(data[:self.rnd.randrange(len(data))])
            return False
        elif dice < 0.5 and len(data) < 2000:  # byte by byte
            for i in range(len(data)):
                to.sendall(data[i:i + 1])
            return True
        to.sendall(data)
        return True

    def close(self):
        self.stopped = True
        self.door.close()


def wired(lab, seed=1):
    """The small mesh, with a wire to a1."""
    lab.up_network()
    lab.up_collector()
    os.makedirs(lab.path("oob-h1"), exist_ok=True)
    lab.up_agent("h1")
    lab.spawn("a1", "a1", a1_command(lab) + ["--join", lab.token("a1", "red", "guest")])
    lab.up_agent("b1")
    wire = Wire(lab.path("oob-h1", "a1"), lab.path("a1.sock"), seed)
    lab.wait()
    return wire


def a1_command(lab):
    return [f"{labs.BIN}/bothways-agent", "--state", lab.path("a1"), "--oob", lab.path("a1.sock")]


def a_stream_that_mangles_and_cuts_loses_nothing():
    lab, wire = small(), None
    try:
        wire = wired(lab)
        books = kills.Reports(lab)
        books.look()
        wire.mode = "bad"
        heard, worst, end = time.monotonic(), 0, time.monotonic() + 12
        while time.monotonic() < end:
            time.sleep(0.3)
            books.look()
            if agents(lab)["a1"]["online"]:
                heard = time.monotonic()
            worst = max(worst, time.monotonic() - heard)
        check(wire.harm > 10, f"only {wire.harm} times harmed")
        check(worst < 11, f"a1 was not heard for {worst:.1f} s")
        wire.mode = "clean"
        before = reports(lab, "a1")["number"]
        lab.until(lambda: reports(lab, "a1")["number"] > before + 2, 15, lambda: f"no reports come after it: {agents(lab)['a1']}\n" + lab.logs())
        books.look()
        lab.healthy("h1", "a1")
        check(not lab.crashes(), "\n".join(lab.crashes()))
    finally:
        if wire:
            wire.close()
        lab.close()


def an_island_delivers_everything_once_it_is_heard():
    """No path at all for 16 s, and the agent is stopped and started in between: every report arrives, once, and none is called lost."""
    lab, wire = small(), None
    try:
        wire = wired(lab)
        books = kills.Reports(lab)
        time.sleep(1)
        wire.mode = "cut"
        time.sleep(1)
        books.look()
        before = reports(lab, "a1")
        time.sleep(7)
        check(not agents(lab)["a1"]["online"], "a1 is heard although there is no way")
        lab.stop("a1", signal.SIGTERM)
        check(os.path.exists(lab.path("a1", "spool")), "nothing was kept")
        lab.spawn("a1", "a1", a1_command(lab))
        time.sleep(7)
        wire.mode = "clean"
        lab.until(lambda: reports(lab, "a1")["boot"] != before["boot"], 15, lambda: f"it is not heard again: {agents(lab)['a1']}\n" + lab.logs())
        lab.until(lambda: reports(lab, "a1")["number"] >= 6, 5, lambda: f"its reports do not come: {agents(lab)['a1']}")
        after = reports(lab, "a1")
        first = after["applied"] - before["applied"] - after["number"]
        check(first >= 6, f"of the first run's 7 s only {first} reports came: {before} {after}")
        check(after["missing"] == 0 and not os.path.exists(lab.path("a1", "spool")), f"{after}")
        lab.wait()
        lab.healthy("h1", "a1")
    finally:
        if wire:
            wire.close()
        lab.close()


# Listens as a guest does, and floods whoever comes. argv: socket, kind.
FLOOD = """
import os, socket, struct, sys, zlib
def frame(t, p):
    body = struct.pack(">I", t << 24 | len(p)) + p
    return b"\\xb7BW\\x01" + body[:4] + struct.pack(">I", zlib.crc32(body)) + p
payloads = {"small": frame(1, b"D") * 2000, "large": frame(1, b"D" + os.urandom(60000)) * 4, "pings": frame(3, b"") * 2000, "opens": frame(1, b"O" + os.urandom(72)) * 500,
            "garbage": os.urandom(100000), "false": b"\\xb7BW\\x01\\x01\\x00\\xff\\xff" * 5000}
door = socket.socket(socket.AF_UNIX)
door.bind(sys.argv[1])
door.listen(1)
while True:
    s, _ = door.accept()
    try:
        while True:
            s.sendall(payloads[sys.argv[2]])
    except OSError:
        pass
"""


def pace(lab, name, seconds):
    """Longest time without a new report of that guest."""
    last, since, worst, end = reports(lab, name)["number"], time.monotonic(), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)
        now = reports(lab, name)["number"]
        worst = max(worst, time.monotonic() - since)
        if now != last:
            last, since = now, time.monotonic()
    return worst


def cost(pid):
    """CPU seconds and resident memory in MB."""
    stat = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    rss = int(next(l for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS")).split()[1]) / 1024
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"), rss


def agent_pid(lab, name):
    return int(labs.sh(f"ip netns pids {lab.ns(name)}").split()[0])


def flooding_guests_starve_nobody(say=lambda text: None):
    """Six hostile guests, each with another way to be one, beside two that behave."""
    lab, evil = small(), []
    try:
        lab.up()
        time.sleep(2)
        normal = max(pace(lab, "a1", 4), 0.3)
        pid, kinds = agent_pid(lab, "h1"), ["small", "large", "pings", "opens", "garbage", "false"]
        collector = int(labs.sh(f"ip netns pids {lab.ns('sw')}").split()[0])
        before, before_collector = cost(pid), cost(collector)
        for k in kinds:
            evil.append(subprocess.Popen([sys.executable, "-c", FLOOD, lab.path("oob-h1", "evil-" + k), k]))
        time.sleep(3)  # bursts are spent
        middle, begun = cost(pid), time.monotonic()
        worst = max(pace(lab, "a1", 4), pace(lab, "b1", 4))
        after, after_collector, took = cost(pid), cost(collector), time.monotonic() - begun
        cpu = (after[0] - middle[0]) / took
        say(f"longest pause between reports {normal:.2f} s alone, {worst:.2f} s beside {len(kinds)} floods; host agent {100 * cpu:.1f} % CPU, "
            f"memory {before[1]:.1f} -> {after[1]:.1f} MB; collector memory {before_collector[1]:.1f} -> {after_collector[1]:.1f} MB")
        check(worst <= 2 * normal, f"reports pause for {worst:.2f} s, {normal:.2f} s without the floods")
        check(all(reports(lab, n)["again"] <= 2 and reports(lab, n)["missing"] == 0 for n in ("a1", "b1")), f"{agents(lab)}")
        check(cpu < (0.9 if ASAN else 0.3), f"the host's agent takes {100 * cpu:.0f} % of a core")
        check(ASAN or after[1] - before[1] < 4, f"the host's agent grew from {before[1]:.1f} to {after[1]:.1f} MB")
        check(ASAN or after_collector[1] - before_collector[1] < 8, f"the collector grew from {before_collector[1]:.1f} to {after_collector[1]:.1f} MB")
        lab.healthy("h1", "a1")
    finally:
        for p in evil:
            p.kill()
            p.wait()
        lab.close()


def agents_shows_every_path_that_works():
    lab = small()
    try:
        lab.up_network()
        lab._veth("sw", "mg1", "a1", "mgmt0", "02:0e:00:00:01:01")
        lab.run("sw", "ip link set mg1 master mgmt")
        lab.run("a1", "ip addr add 172.31.255.101/24 dev mgmt0")
        lab.up_collector()
        for n in ("h1", "a1", "b1"):
            lab.up_agent(n)
        lab.wait()
        works = lambda name: {w["path"]: w["works"] for w in agents(lab)[name]["ways"]}
        lab.until(lambda: works("a1") == {"direct": True, "relay": True}, 10, lambda: f"a1: {agents(lab)['a1']}")
        way = next(w for w in agents(lab)["a1"]["ways"] if w["path"] == "relay")
        check(way["via"] == "h1" and way["stream"] == "a1", f"{way}")
        check("via h1, direct too" in lab.cli("agents")[1], lab.cli("agents")[1])
        check(works("b1") == {"relay": True} and works("h1") == {"direct": True}, f"{works('b1')} {works('h1')}")
        lab.run("a1", "ip link set mgmt0 down")
        lab.until(lambda: works("a1") == {"direct": False, "relay": True}, 12, lambda: f"a1: {agents(lab)['a1']}")
        check("direct too" not in lab.cli("agents")[1], lab.cli("agents")[1])
    finally:
        lab.close()


def alone():
    return [(f.__name__.replace("_", "-"), f) for f in (a_stream_that_mangles_and_cuts_loses_nothing, an_island_delivers_everything_once_it_is_heard, flooding_guests_starve_nobody,
                                                        agents_shows_every_path_that_works)] + kills.alone()
