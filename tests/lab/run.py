"""Runs the lab tests: python3 tests/lab/run.py [-k PATTERN] [--jobs N], N at once (1). PATTERN
fault/NAME@all: that fault at all sites of the default lab. One line per test: ok NAME, FAIL NAME, skip NAME: why.

Every worker is a process and takes the next job of one list, a network of its own each; the first one runs the tests of the shared lab
before. What measures time or rates, or takes all of the machine, runs at the end with nobody beside it. Programs are those of $BOTHWAYS_BIN;
networks of their own run those of $BOTHWAYS_PLAIN_BIN where it is set: a sanitizer takes time, and the shared lab has it."""
import argparse, contextlib, ctypes, fcntl, os, signal, struct, sys, time, traceback

import lab as labs
import bundles, captures, causes, drops, facts, faults_run, filters, lint, ovs, oob, oob_vm, paths, plane, topologies, vm

# Beginnings of names. Emulated machines take all processors there are: one job, with nobody beside it.
MACHINES = ("vm", "paths/real-vm", "fault-at/vm")
QUIET = ("fault/path-", "fault/bufferbloat", "fault/traffic-shaping-policing", "fault/l2-loop-storm", "fault/mac-flood-cam-exhaustion", "fault/syn-or-packet-flood",
         "fault/conntrack-table-full", "flooding-guests-starve-nobody", "captures/a-pause-in-a-burst", "a-change-is-looked-at-at-once")
ALONE = (paths, ovs, topologies, oob, drops, plane, facts, captures, faults_run, oob_vm)  # with the longest in front
SHARED = (lint, plane, captures, bundles, filters, drops)


def say(text):
    """In one piece, whoever else speaks."""
    with open(__file__) as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        print(text, flush=True)


SECOND_TRIES = 3  # of a worker; more of them are no accident
second_tries = []


def failure_of(fn):
    """(why it was left out, why it failed): two texts, or None."""
    try:
        why = fn()
        return (why, None) if isinstance(why, str) else (None, None)
    except labs.Failure as e:
        return None, str(e)
    except Exception:
        return None, traceback.format_exc()


def indented(text):
    return "".join("\n    " + l for l in text.splitlines())


def report(name, fn):
    """The machine is another one's as well: what fails is tried again, says so, and may not happen often."""
    t = time.monotonic()
    skipped, failed = failure_of(fn)
    first = ""
    if failed and len(second_tries) < SECOND_TRIES:
        second_tries.append(name)
        first = " at the second try; the first:" + indented(failed)
        time.sleep(3)
        skipped, failed = failure_of(fn)
    took = f"{time.monotonic() - t:.1f} s"
    if failed:
        say(f"FAIL lab/{name}: {took}{indented(failed)}")
    else:
        say(f"skip lab/{name}: {skipped}" if skipped else f"ok   lab/{name}: {took}{first}")
    return not failed


@contextlib.contextmanager
def plain_programs():
    usual, labs.BIN = labs.BIN, os.environ.get("BOTHWAYS_PLAIN_BIN", labs.BIN)
    try:
        yield
    finally:
        labs.BIN = usual


def become_calm(lab, seconds=15):
    """Until nothing that happened before makes the collector look at pairs by itself: such rounds are megabits of probes."""
    count, end = None, time.monotonic() + seconds
    while count != (count := plane.metric(lab, "bothways_rounds_automatic_total")) and time.monotonic() < end:
        time.sleep(1)


class Worker:
    """All of them make the same list; a job is its number there."""

    def __init__(self, pattern):
        self.lab, self.ok, self.is_up = labs.Lab(), True, None
        self.early, self.late, self.common = [], [], []
        alone = [(n, f) for m in ALONE for n, f in m.alone() if pattern in n]
        machines = [t for t in alone if t[0].startswith(MACHINES)]
        self.late.append(lambda: self.machines(pattern, machines))
        for name, fn in alone:
            if not name.startswith(MACHINES):
                self.add(name, self.early, lambda name=name, fn=fn: report(name, fn))
        for name, fn in shared_tests(self.lab, pattern):
            self.add(name, self.common, lambda name=name, fn=fn: self.shared(name, fn))

    def add(self, name, jobs, job):
        (self.late if name.startswith(QUIET) else jobs).append(job)

    def machines(self, pattern, others):
        with plain_programs():
            ok = vm.run_all(report, pattern)
            for name, fn in others:
                ok &= report(name, fn)
        return ok

    def shared(self, name, fn):
        if self.is_up is None:
            services = {"a2": ["--service", "8080=" + plane.SERVICE.format(ip=self.lab.guests["a2"].ip)]}
            self.is_up = report("mesh-comes-up", lambda: plane.start(self.lab, services))
        if self.is_up and name.startswith(QUIET):
            become_calm(self.lab)
        return self.is_up and report(name, fn)

    def work(self, jobs):
        for job in jobs:
            self.ok &= job()

    def finish(self):
        if self.is_up:
            self.ok &= report("no-crash", lambda: labs.check(not self.lab.crashes(), "\n".join(self.lab.crashes())))
        self.lab.close()
        if second_tries:
            say(f"     passed at the second try, or not at all: {', '.join(second_tries)}")
        if labs.Lab.again:
            say(f"     {labs.Lab.again} times a round was asked for again: the machine was overloaded")


def shared_tests(lab, pattern):
    tests = [(n, lambda f=f: f(lab)) for m in SHARED for n, f in m.shared()]
    tests += [(c.name, lambda c=c: causes.run_case(lab, c)) for c in causes.cases(lab) + filters.cases(lab)]
    return [(n, f) for n, f in tests if pattern in n] + faults_run.cases(lab, pattern)


# ---- one list, several workers ----


TICKET = struct.Struct("H")


def taken(jobs, tickets):
    """Those of the jobs whose tickets this worker gets."""
    with plain_programs():
        while ticket := os.read(tickets, TICKET.size):
            yield jobs[TICKET.unpack(ticket)[0]]


def helper(pattern, tickets):
    """A worker in a process of its own, which goes when its parent goes."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    worker = Worker(pattern)
    try:
        worker.work(taken(worker.early, tickets))
        worker.finish()
    finally:
        worker.lab.close()
    return worker.ok


def forked(pattern, tickets, printing):
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    rc = 2
    try:
        os.close(printing)
        rc = 0 if helper(pattern, tickets) else 1
    except Exception:
        say(traceback.format_exc())
    finally:
        sys.stdout.flush()
        os._exit(rc)


def ended(pid):
    """Waits for a helper. True when all its tests passed."""
    rc = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if rc not in (0, 1):
        say(f"FAIL lab/worker: it ended with {rc}")
    return rc == 0


def main():
    p = argparse.ArgumentParser()
    p.add_argument("-k", dest="pattern", default="")
    p.add_argument("--jobs", type=int, default=1)
    options = p.parse_args()
    pattern = options.pattern.removeprefix("lab/")
    tickets, printing = os.pipe()
    helpers = [forked(pattern, tickets, printing) for _ in range(1, options.jobs)]
    try:
        me = Worker(pattern)
        os.write(printing, b"".join(TICKET.pack(i) for i in range(len(me.early))))
        os.close(printing)
        me.work(me.common)
        me.work(taken(me.early, tickets))
        while helpers:
            me.ok &= ended(helpers[0])
            helpers.pop(0)
        me.work(me.late)
        me.finish()
    finally:
        for pid in helpers:
            os.kill(pid, signal.SIGTERM)
        for pid in helpers:
            os.waitpid(pid, 0)
    return 0 if me.ok else 1


sys.exit(main())
