"""Runs the lab tests: python3 tests/lab/run.py [-k PATTERN]. PATTERN fault/NAME@all: that fault at all sites of the default lab. One line per test: ok NAME, FAIL NAME, skip NAME: why."""
import sys, time, traceback

import lab as labs
import bundles, captures, causes, drops, facts, faults_run, filters, lint, ovs, oob, oob_vm, paths, plane, topologies, vm


def report(name, fn):
    t = time.monotonic()
    try:
        why = fn()
        if isinstance(why, str):
            print(f"skip lab/{name}: {why}", flush=True)
            return True
        print(f"ok   lab/{name}: {time.monotonic() - t:.1f} s", flush=True)
        return True
    except labs.Failure as e:
        text = str(e)
    except Exception:
        text = traceback.format_exc()
    print(f"FAIL lab/{name}: {time.monotonic() - t:.1f} s", flush=True)
    print("\n".join("    " + l for l in text.splitlines()), flush=True)
    return False


def main(argv):
    pattern = argv[argv.index("-k") + 1].removeprefix("lab/") if "-k" in argv else ""
    ok = True
    tests = [(n, f) for n, f in plane.alone() + facts.alone() + drops.alone() + topologies.alone() + ovs.alone() + paths.alone() + oob.alone() + oob_vm.alone() + captures.alone() + faults_run.alone() if pattern in n]
    for name, fn in tests:
        ok &= report(name, fn)
    ok &= vm.run_all(report, pattern)
    lab = labs.Lab()
    shared = [(c.name, lambda c=c: causes.run_case(lab, c)) for c in causes.cases(lab) + filters.cases(lab)]
    shared = [(n, lambda f=f: f(lab)) for n, f in lint.shared() + plane.shared() + captures.shared() + bundles.shared() + filters.shared() + drops.shared()] + shared
    shared = [(n, f) for n, f in shared if pattern in n] + faults_run.cases(lab, pattern)
    if shared:
        services = {"a2": ["--service", "8080=" + plane.SERVICE.format(ip=lab.guests["a2"].ip)]}
        if report("mesh-comes-up", lambda: plane.start(lab, services)):
            for name, fn in shared:
                ok &= report(name, fn)
            ok &= report("no-crash", lambda: labs.check(not lab.crashes(), "\n".join(lab.crashes())))
        else:
            ok = False
    lab.close()
    if labs.Lab.again:
        print(f"     {labs.Lab.again} times a round was asked for again: the machine was overloaded")
    return 0 if ok else 1


sys.exit(main(sys.argv[1:]))
