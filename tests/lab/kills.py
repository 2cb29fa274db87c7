#!/usr/bin/env python3
"""Kills agents and the collector (SIGKILL) at random moments while rounds run, starts them again, and looks for what was left behind.

  kills.py [COUNT] [--seed N]      default: 200 kills, seed 1

After every kill: nothing of the killed program lives on, and no numbered report was lost or counted twice. Every so often, with no round
running: the mesh is healthy again, no packet socket, BPF program, nft table, process or file is left. And at no time is a cause named that
is not there."""
import glob, json, os, random, re, signal, subprocess, sys, threading, time

import lab as labs
from lab import Failure, Guest, Lab, check, brief, sh

PAIRS = [("h1", "a1"), ("a1", "a2"), ("h2", "a2"), ("h1", "h2"), ("b1", "h1")]
QUIET_EVERY = 20
ROUND_LIFE = 15  # seconds until an agent forgets a round whose end never comes
BACK = 20        # seconds until a killed program is heard again
# A killed machine's agent may be named, nothing else: the network is well all the time.
ALLOWED = {"agent-down"}
OWN_FILES = {"spool"}  # come and go
# Rules for rounds to follow, that drop nothing of theirs.
RULES = "nft -f - <<'N'\ntable inet filter { chain input { type filter hook input priority 0; tcp dport 9999 drop; }; chain output { type filter hook output priority 0; tcp dport 9999 drop; }; }\nN"


class Diagnosing(threading.Thread):
    """Somebody who asks all the time."""

    def __init__(self, lab, rnd):
        super().__init__(daemon=True)
        self.lab, self.rnd, self.count, self.wrong = lab, rnd, 0, []
        self.running, self.stopped = threading.Event(), False
        self.idle = threading.Event()

    def ask(self):
        pair = self.rnd.choice(PAIRS)
        p = subprocess.run([f"{labs.BIN}/bothways", "--state", self.lab.path("col"), "--json", "diagnose", *pair], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           stdin=subprocess.DEVNULL, text=True, timeout=60)
        self.count += 1
        if p.returncode in (0, 2, 3) and p.stdout.strip():
            v = json.loads(p.stdout)
            named = {c["id"] for c in v["causes"]} - ALLOWED
            if named:
                self.wrong.append(f"{pair}: {named}\n" + brief(v))

    def run(self):
        while not self.stopped:
            self.idle.set()
            self.running.wait()
            self.idle.clear()
            try:
                self.ask()
            except (ValueError, KeyError, subprocess.TimeoutExpired) as e:
                self.wrong.append(f"no verdict: {e!r}")

    def pause(self):
        self.running.clear()
        check(self.idle.wait(60), "a diagnosis does not end")


class Reports:
    """What the collector applied must be what the agents numbered, whatever is killed in between. Within one run of the collector, and for
    one agent: the newest numbers of all its runs together, less what was applied and what it says is missing, stay the same."""

    def __init__(self, lab):
        self.lab, self.base, self.number, self.ended, self.missing, self.again = lab, {}, {}, {}, 0, 0

    def collector_is_new(self):
        """What was applied and not yet stored died with it, is not acknowledged, and comes again."""
        self.base, self.ended = {}, {}
        self.number = {name: (boot, 0) for name, (boot, number) in self.number.items()}

    def look(self):
        code, doc = self.lab.bw("agents", rc=None)
        for a in doc["agents"] if doc else []:
            self.one(a["name"], a["reports"])

    def settle(self, name):
        """What the dead one sent is on its way for a moment."""
        same, last = 0, None
        while same < 3:
            self.look()
            same = same + 1 if self.number.get(name) == last else 0
            last = self.number.get(name)
            time.sleep(0.1)

    def one(self, name, r):
        boot, number = self.number.get(name, (r["boot"], 0))
        if r["boot"] != boot:
            self.ended[name] = self.ended.get(name, 0) + number
        else:
            check(r["number"] >= number, f"{name}: report {number} was applied, and now the newest is {r['number']}")
        self.number[name] = (r["boot"], r["number"])
        self.missing += r["missing"]
        self.again += r["again"]
        check(r["missing"] == 0, f"{name}: {r['missing']} reports are missing although no spool was full")
        base = self.ended.get(name, 0) + r["number"] - r["applied"]
        was = self.base.setdefault(name, base)
        check(base == was, f"{name}: {base - was:+d} reports by number than were applied: {r}")


class Leftovers:
    def __init__(self, lab):
        self.lab = lab
        self.known = {d: set(os.listdir(d)) | OWN_FILES for d in self.directories()}

    def directories(self):
        return [self.lab.path(n) for n in self.machines() + ["col"]] + [self.lab.path("oob-" + h) for h in self.lab.hosts]

    def machines(self):
        return self.lab.hosts + list(self.lab.guests)

    def captures(self, name):
        """Packet sockets that take every protocol; those of ARP and ND probes stay."""
        rows = [l.split() for l in self.lab.run(name, "cat /proc/net/packet").splitlines()[1:]]
        return len([r for r in rows if r[3] == "0003"])

    def of_the_dead(self, name):
        """Right after the kill: no process of that machine's is left."""
        where = "sw" if name == "collector" else name
        self.lab.until(lambda: not self.processes(where), 3, lambda: f"{name} left processes behind: {self.processes(where)}")

    def processes(self, machine):
        found = []
        for pid in sh(f"ip netns pids {self.lab.ns(machine)}", ok=False).split():
            try:
                found.append(f"{pid} {open(f'/proc/{pid}/comm').read().strip()}")
            except OSError:
                pass  # it ended meanwhile
        return found

    def held(self):
        """Numbers of the BPF programs that some process has a descriptor of, be it of the program or of its link."""
        found = set()
        for path in glob.glob("/proc/[0-9]*/fdinfo/*"):
            try:
                found |= {int(n) for n in re.findall(r"^prog_id:\s*(\d+)", open(path).read(), re.M)}
            except OSError:
                pass  # closed meanwhile
        return found

    def programs(self):
        """BPF programs of ours that nobody holds."""
        out = subprocess.run(["bpftool", "-j", "prog", "show"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        try:
            progs = json.loads(out or "[]")
        except ValueError:
            return []
        ours = {p["id"] for p in progs if p.get("name", "").startswith("bothways")} if isinstance(progs, list) else set()
        return ours - self.held() if ours else ours

    def in_a_round(self, name):
        return name != "collector" and self.captures(name) > 0

    def all(self):
        lab = self.lab
        for n in self.machines():
            lab.until(lambda: self.captures(n) == 0, ROUND_LIFE + 5,
                      lambda: f"{n} captures with no round running:\n" + lab.run(n, "cat /proc/net/packet"))
            lab.until(lambda: len(self.processes(n)) == 1, 5, lambda: f"{n} has the processes {self.processes(n)}")
            tables = re.findall(r"\S*bothways\S*", lab.run(n, "nft list tables 2>/dev/null || true"))
            check(not tables, f"{n} has tables {tables}")
        for d in self.directories():
            new = set(os.listdir(d)) - self.known[d]
            check(not new, f"{d} has {new}")
        lab.until(lambda: not self.programs(), 5, lambda: f"BPF programs of nobody: {self.programs()}", every=0.5)


def restart(lab, name):
    if name == "collector":
        lab.up_collector()
    else:
        lab.up_agent(name, join=False)


def back(lab, name):
    """Is it heard, and by its newest run?"""
    doc = lab.bw("agents", rc=None)[1]
    return doc and all(a["online"] for a in doc["agents"] if name in ("collector", a["name"]))


def kill(lab, name, reports, left):
    if name == "collector":
        reports.look()
    lab.stop(name, signal.SIGKILL)
    left.of_the_dead(name)
    if name == "collector":
        reports.collector_is_new()
    else:
        reports.settle(name)
    was = reports.number.get(name)
    restart(lab, name)
    t = time.monotonic()
    lab.until(lambda: back(lab, name), BACK, lambda: f"{name} did not come back:\n" + lab.logs())
    if name != "collector":
        boot = lambda: next(a["reports"]["boot"] for a in lab.bw("agents", rc=None)[1]["agents"] if a["name"] == name)
        lab.until(lambda: boot() != was[0], BACK, lambda: f"{name} is not heard anew:\n" + lab.logs())
    reports.look()
    return time.monotonic() - t


def quiet(lab, asking, reports, left):
    asking.pause()
    mesh = lambda: [p for p in lab.bw("mesh", rc=None)[1]["pairs"] if p["state"] != "ok"]
    lab.until(lambda: not mesh(), 30, lambda: "the mesh is not healthy again: " + json.dumps(mesh())[:1500] + lab.logs(4), every=0.3)
    left.all()
    reports.look()
    check(not asking.wrong, "a cause that is not there:\n" + "\n".join(asking.wrong[:3]))
    check(not lab.crashes(), "\n".join(lab.crashes()))
    asking.running.set()


def start():
    lab = Lab(guests=[Guest("a1", "red", "h1", "br-a", 11), Guest("a2", "red", "h2", "br-a", 12), Guest("b1", "blue", "h1", "br-b", 11)])
    lab.up_network()
    lab.up_collector()
    for n in lab.hosts + list(lab.guests):
        lab.run(n, RULES)
        lab.up_agent(n)
    lab.wait()
    return lab


def run(count, seed, say=lambda *a: None):
    rnd = random.Random(seed)
    lab = start()
    try:
        for a, b in PAIRS:
            lab.healthy(a, b)
        time.sleep(2)
        asking, reports, left = Diagnosing(lab, random.Random(seed + 1)), Reports(lab), Leftovers(lab)
        reports.look()
        asking.start()
        asking.running.set()
        begun, slowest, killed, amid = time.monotonic(), 0, {}, 0
        for i in range(1, count + 1):
            time.sleep(rnd.uniform(0, 0.5))
            name = rnd.choice(lab.hosts + list(lab.guests) + ["collector"])
            amid += left.in_a_round(name)
            took = kill(lab, name, reports, left)
            slowest = max(slowest, took)
            killed[name] = killed.get(name, 0) + 1
            say(f"{i:4} {name:10} heard again after {took:.1f} s")
            if i % QUIET_EVERY == 0 or i == count:
                quiet(lab, asking, reports, left)
                say(f"     all well; {asking.count} diagnoses, {time.monotonic() - begun:.0f} s")
        asking.stopped = True
        asking.pause()
        say(f"{count} kills ({', '.join(f'{n} {k}' for n, k in sorted(killed.items()))}; {amid} of an agent in the middle of a round) during {asking.count} diagnoses in {time.monotonic() - begun:.0f} s: "
            f"nothing left behind, no report lost or counted twice, no false cause; heard again after at most {slowest:.1f} s")
    finally:
        lab.close()


def killed_agents_leave_nothing_behind():
    run(12, 7)


def alone():
    return [("killed-agents-leave-nothing-behind", killed_agents_leave_nothing_behind)]


def main(argv):
    numbers = [int(a) for a in argv if a.isdigit()]
    seed = int(argv[argv.index("--seed") + 1]) if "--seed" in argv else 1
    count = numbers[0] if numbers and (not argv or argv[0].isdigit()) else 200
    try:
        run(count, seed, lambda text: print(text, flush=True))
    except Failure as e:
        print("FAIL", e)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
