"""Bundles, replays and feedback as people get them: the same verdict again from a file, whatever happened to the collector meanwhile."""
import hashlib, json, os, signal, tarfile

import causes
from lab import brief, check

NO_PING = causes.nft("table inet t { chain i { type filter hook input priority 0; icmp type echo-request drop; }; }")


def bundle(lab, *words, name="x.tar.gz"):
    path = lab.path(name)
    code, doc = lab.bw("bundle", *words, "-w", path)
    check(doc["schema"] == "bothways.bundle/1" and os.stat(path).st_mode & 0o777 == 0o600, f"{doc}")
    return path, doc


def replayed(lab, path, was):
    """The same document, key for key; and the CLI says so, without a collector."""
    code, out, err = lab.cli("--json", "replay", path, state="/nonexistent")
    again = json.loads(out)
    check(again == was, f"replayed is another verdict: {[k for k in was if was[k] != again.get(k)]}\n" + brief(was) + "\n" + brief(again))
    check(code == (2 if was["causes"] else 0 if was["state"] == "ok" else 3), f"exit {code}")
    code, out, err = lab.cli("replay", "--check", path, state="/nonexistent")
    check(code == 0 and "the verdict is the same" in out, f"--check: exit {code}: {out}{err}")


def members(path):
    with tarfile.open(path) as t:
        return {m.name.split("/")[-1]: t.extractfile(m).read() for m in t.getmembers()}


def a_bundle_brings_the_verdict_back(lab):
    """Of a pair, and by the number of the round; healthy and broken; and after the collector was killed."""
    lab.healthy("h1", "a1")
    code, well = lab.diagnose("h1", "a1")
    replayed(lab, bundle(lab, "h1", "a1", name="well.tar.gz")[0], well)
    try:
        lab.run("a1", NO_PING)
        code, v = lab.diagnose("h1", "a1")
        check(code == 2 and v["causes"][0]["id"] == "guest-fw-icmp-only", f"exit {code}\n" + brief(v))
        path, doc = bundle(lab, v["round"], name="ill.tar.gz")
        check(doc["verdict"] == v and doc["round"] == v["round"], "the bundle is of another verdict")
        replayed(lab, path, v)
        has = members(path)
        check(set(has) == {"README.txt", "MANIFEST", "verdict.json", "dossier.json"}, f"members {sorted(has)}")
        sums = dict(reversed(l.split("  ")) for l in has["MANIFEST"].decode().splitlines())
        check(all(sums[n] == hashlib.sha256(b).hexdigest() for n, b in has.items() if n != "MANIFEST"), f"{sums}")
        lab.stop("collector", signal.SIGKILL)
        lab.up_collector()
        lab.wait()
        path, doc = bundle(lab, v["round"][:10], name="later.tar.gz")
        check(members(path)["dossier.json"] == has["dossier.json"], "another dossier after a restart")
        replayed(lab, path, v)
    finally:
        lab.run("a1", causes.NO_TABLE, ok=False)
    lab.healthy("h1", "a1")


def several_causes_replay_alike(lab):
    """Whatever the evidence came from: rules, neighbours, devices, paths, silence."""
    wanted = ("uplink-missing-from-bridge", "mtu-guest-smaller", "stale-arp-guest-and-arp-not-answered")
    for c in [c for c in causes.cases(lab) if c.name.removeprefix("cause/") in wanted]:
        lab.healthy(*c.pair)
        try:
            for step in c.inject:
                causes.apply(lab, step)
            code, v = lab.diagnose(*c.pair)
            check(v["state"] != "ok", f"{c.name}: nothing is wrong")
            path, doc = bundle(lab, *c.pair)
            replayed(lab, path, doc["verdict"])
        finally:
            for step in c.undo:
                lab.run(*step, ok=False)
        lab.healthy(*c.pair)


def a_bundle_of_now_has_the_frames(lab):
    lab.healthy("a1", "a2")
    path, doc = bundle(lab, "a1", "a2", "--now")
    has = members(path)
    check(doc["capture"] and has["capture.pcapng"][:4] == b"\x0a\x0d\x0d\x0a" and b"a1:eth0" in has["capture.pcapng"], f"{sorted(has)}")
    replayed(lab, path, doc["verdict"])


def rewritten(path, to, change):
    """The bundle once more, with a member changed."""
    with tarfile.open(path) as old, tarfile.open(to, "w:gz") as new:
        for m in old.getmembers():
            data = change(m.name.split("/")[-1], old.extractfile(m).read())
            part = tarfile.TarInfo(m.name)
            part.size = len(data)
            with open(to + ".part", "wb") as f:
                f.write(data)
            with open(to + ".part", "rb") as f:
                new.addfile(part, f)


def refusals_are_one_line(lab):
    path, doc = bundle(lab, "h1", "a1", "--now", name="good.tar.gz")
    whole = open(path, "rb").read()
    bad = {"garbage": os.urandom(4096), "empty": b"", "cut": whole[:len(whole) // 2]}
    for name, data in bad.items():
        open(lab.path(name), "wb").write(data)
    rewritten(path, lab.path("changed"), lambda n, d: d.replace(b"10.0.0.11", b"10.0.0.12") if n == "dossier.json" else d)
    for name, why in (("garbage", "not a bundle"), ("empty", "not a bundle"), ("cut", "not a bundle"), ("changed", "MANIFEST"), ("nowhere", "No such file")):
        code, out, err = lab.cli("replay", lab.path(name), state="/nonexistent")
        check(code == 1 and why in err and not out and err.count("\n") == 1, f"{name}: exit {code}: {out}{err!r}")
    for args, why in ((["h1", "a1", "-w", "/dev/full"], "No space left"), (["h1", "a1"], "-w FILE"), (["0123456789abcdef", "-w", lab.path("n")], "no round"),
                      (["zz", "-w", lab.path("n")], "no round is called"), ([doc["round"], "--now", "-w", lab.path("n")], "name both")):
        code, out, err = lab.cli("bundle", *args)
        check(code == 1 and why in err and err.count("\n") == 1, f"{args}: exit {code}: {err!r}")
    check(not os.path.exists(lab.path("n")), "a file of nothing")


def a_folder_judged_otherwise_says_so(lab):
    """Unpacked and changed by hand: another verdict, what differs, exit 2."""
    path, doc = bundle(lab, "h1", "a1", "--now")
    folder = lab.path("folder")
    os.makedirs(folder, exist_ok=True)
    for name, data in members(path).items():
        if name != "MANIFEST":
            open(os.path.join(folder, name), "wb").write(data)
    code, out, err = lab.cli("replay", "--check", folder)
    check(code == 0, f"exit {code}: {out}{err}")
    v = json.loads(open(os.path.join(folder, "verdict.json")).read())
    v["took_ms"] += 1
    open(os.path.join(folder, "verdict.json"), "w").write(json.dumps(v))
    code, out, err = lab.cli("--json", "replay", "--check", folder)
    check(code == 2 and [d["at"] for d in json.loads(out)["differences"]] == ["took_ms"], f"exit {code}: {out}{err}")


def feedback_moves_priors_and_can_be_taken_back(lab):
    lab.healthy("h1", "a1")
    try:
        lab.run("a1", NO_PING)
        code, v = lab.diagnose("h1", "a1")
        first = v["causes"][0]
        doc = lab.bw("feedback", v["round"], "--wrong", "--cause", "icmp-echo-ignore")[1]
        shifts = {s["cause"]: s["log_odds"] for s in doc["shifts"]}
        check(shifts == {first["id"]: -0.25, "icmp-echo-ignore": 0.25}, f"{doc}")
        code, out, err = lab.cli("feedback", v["round"], "--right")
        check(code == 1 and "--undo" in err and err.count("\n") == 1, f"twice about one round: exit {code}: {err!r}")
        lab.stop("collector", signal.SIGKILL)
        lab.up_collector()
        lab.wait()
        code, after = lab.diagnose("h1", "a1")
        check(after["causes"][0]["id"] == first["id"], "what is contradicted was believed\n" + brief(after))
        replayed(lab, bundle(lab, "h1", "a1")[0], after)
        number = lab.bw("feedback")[1]["feedback"][-1]["number"]
        doc = lab.bw("feedback", "--undo", str(number))[1]
        check(not doc["shifts"] and doc["feedback"][-1]["undone"], f"{doc}")
        for args, why in ((["--undo", str(number)], "no number"), ([v["round"], "--right", "--wrong"], "--right or --wrong"), ([v["round"], "--wrong", "--cause", "gremlins"], "no cause gremlins")):
            code, out, err = lab.cli("feedback", *args)
            check(code == 1 and why in err and err.count("\n") == 1, f"{args}: exit {code}: {err!r}")
    finally:
        lab.run("a1", causes.NO_TABLE, ok=False)
    lab.healthy("h1", "a1")


def shared():
    return [(f"bundle/{f.__name__.replace('_', '-')}", f) for f in (
        a_bundle_brings_the_verdict_back, several_causes_replay_alike, a_bundle_of_now_has_the_frames, refusals_are_one_line,
        a_folder_judged_otherwise_says_so, feedback_moves_priors_and_can_be_taken_back)]
