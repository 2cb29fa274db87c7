"""The control plane and the mesh as a whole: joining, refusals, out-of-band path, restarts, versions, garbage, rights."""
import glob, json, os, random, signal, socket, subprocess, time

import lab as labs
from lab import COLLECTOR_IP, Failure, Guest, Lab, check, brief, overload

SERVICE = "setsid python3 -m http.server 8080 --bind {ip} >/dev/null 2>&1 &"


def start(lab, services):
    lab.up_network()
    lab.run("a2", SERVICE.format(ip=lab.guests["a2"].ip))
    lab.up_collector()
    for name in lab.hosts + list(lab.guests):
        lab.up_agent(name, *services.get(name, []))
    lab.wait()


# ---- on the shared mesh ----

def all_well(lab):
    ill = lambda: [p for p in lab.bw("mesh", rc=None)[1]["pairs"] if p["state"] != "ok"]
    lab.until(lambda: not ill(), 20, lambda: "pairs that are not ok in a healthy mesh: " + json.dumps(ill())[:3000])


def healthy_mesh_has_no_cause(lab):
    for a, b in (("h1", "a1"), ("h1", "h2"), ("a1", "a2"), ("a1", "a3"), ("b1", "b2"), ("h1", "b1"), ("a3", "c1"), ("h2", "a2")):
        lab.healthy(a, b)
    all_well(lab)


def verdict_keeps_the_contract(lab):
    code, v = lab.diagnose("h1", "a1")
    for key in ("schema", "a", "b", "state", "directions", "causes", "ruled_out", "changed", "took_ms"):
        check(key in v, f"no {key} in the verdict")
    check(v["schema"] == "bothways.verdict/1" and code == 0, f"schema {v['schema']}, exit {code}")
    check([(d["from"], d["to"]) for d in v["directions"]] == [("h1", "a1"), ("a1", "h1")], "directions are not a->b, b->a")
    for d in v["directions"]:
        for kind in ("arp", "icmp", "udp", "tcp", "icmp_large", "udp_large", "nd", "icmp6", "udp6", "tcp6"):
            check(d["delivery"].get(kind) == "ok", f"{d['from']}->{d['to']} {kind}: {d['delivery'].get(kind)}\n" + brief(v))
        check(d["cuts"] == [], f"cuts in a healthy pair: {d['cuts']}")
        check(d["loss"]["sent"] == d["loss"]["received"] > 0, f"loss {d['loss']}")
        points = [p["point"] for p in d["path"]]
        check(points[0] == d["from"] + ":socket" and points[-1] == d["to"] + ":socket", f"path {points}")
        check("h1:vn-a1" in points and "a1:eth0" in points, f"path {points} misses the port or the NIC")
    check(v["took_ms"] <= 1500 * overload(), f"took {v['took_ms']} ms")


def tenant_bridge_without_host_address_is_skipped(lab):
    code, v = lab.diagnose("h1", "b1")
    d = v["directions"][0]
    check(d["delivery"]["arp"] == "ok", "ARP from a bridge without address: " + brief(v))
    check(d["delivery"].get("icmp") == "skipped" and d.get("why", {}).get("icmp"), f"icmp is not skipped with a reason: {d['delivery']}")
    check(code == 0, "exit %d" % code)


def overlapping_tenants_are_told_apart(lab):
    for a, b in (("b1", "b2"), ("a1", "a2")):
        lab.healthy(a, b)
    code, out, err = lab.cli("diagnose", "b1", "nobody")
    check(code == 1 and "nobody" in err and err.count("\n") == 1, f"unknown agent: exit {code} {err!r}")


def unknown_fault_is_undetermined_with_the_cut(lab):
    """The fabric, where no agent stands, drops UDP of one direction: no cause, but the right cut."""
    lab.healthy("a1", "a2")
    try:
        lab.run("sw", "nft -f - <<'N'\ntable bridge x { chain f { type filter hook forward priority 0; iifname \"sa1\" ip protocol udp drop; }; }\nN")
        code, v = lab.diagnose("a1", "a2")
        cuts = v["directions"][0]["cuts"]
        check(code == 3, f"exit {code}\n" + brief(v))
        check(not v["causes"], "a cause was named\n" + brief(v))
        check(v["state"] == "one-way", "state " + brief(v))
        check(len(cuts) == 1 and cuts[0]["after"] == "h1:up-a" and cuts[0]["before"] == "h2:up-a" and set(cuts[0]["kinds"]) == {"udp", "udp_large", "fragments"}, "cut\n" + brief(v))
        check(not v["directions"][1]["cuts"], "a cut in the healthy direction\n" + brief(v))
    finally:
        lab.run("sw", "nft flush ruleset")


def one_way_fault_stays_one_way_without_neighbours(lab):
    """The fabric drops all that h2 sends and every neighbour cache is empty: ARP dies both ways, delivery only one way."""
    lab.healthy("a1", "a2")
    try:
        lab.run("sw", "nft -f - <<'N'\ntable netdev x { chain f { type filter hook ingress device \"sa2\" priority 0; drop; }; }\nN")
        for name in ("a1", "a2", "h1", "h2"):
            lab.run(name, "ip neigh flush all; ip -6 neigh flush all")
        code, v = lab.diagnose("a1", "a2")
        check(code == 2 and [c["id"] for c in v["causes"]] == ["unidirectional-link"] and v["state"] == "one-way", f"exit {code}\n" + brief(v))
        check(not [k for k, c in v["directions"][0]["delivery"].items() if c not in ("ok", "skipped")], "a delivery that is well was called lost\n" + brief(v))
        cuts = [(c["after"], c["before"]) for d in v["directions"] for c in d["cuts"]]
        check(set(cuts) == {("h2:up-a", "h1:up-a")}, f"cuts {cuts}\n" + brief(v))
    finally:
        lab.run("sw", "nft flush ruleset")


def unattended_verdict_comes_by_itself(lab):
    lab.healthy("h1", "a1")
    try:
        t = time.monotonic()
        lab.run("a1", "nft -f - <<'N'\ntable inet filter { chain input { type filter hook input priority 0; icmp type echo-request drop; }; }\nN")

        def named():
            for p in lab.bw("mesh", rc=None)[1]["pairs"]:
                if {p["a"].split("/")[-1], p["b"].split("/")[-1]} == {"h1", "a1"} and p.get("verdict") and p["verdict"].get("cause") == "guest-fw-icmp-only":
                    return True
        lab.until(named, 8, "no verdict came by itself")
        took = time.monotonic() - t
    finally:
        lab.run("a1", "nft flush ruleset")
    all_well(lab)


def metric(lab, name):
    text = lab.run("sw", "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:7480/metrics\", timeout=5).read().decode())'")
    return [float(l.split()[-1]) for l in text.splitlines() if l.split()[:1] == [name]][0]


def a_change_is_looked_at_at_once(lab):
    """A harmless change that could have hurt brings a round, and no alarm; a change that cannot hurt brings nothing."""
    rounds = lambda: metric(lab, "bothways_rounds_automatic_total")
    lab.until(lambda: not lab.bw("status", rc=None)[1]["problems"], 20, "a problem in a healthy mesh")
    try:
        n = rounds()
        lab.run("a1", "ip route add 192.0.2.0/24 dev eth0 metric 77")
        lab.until(lambda: rounds() > n, 3, "a new route of a guest brought no round")
        time.sleep(1)
        n = rounds()
        lab.run("a1", "timeout 2 python3 -c 'import socket,time; s=socket.socket(); s.bind((\"\", 9999)); s.listen(); time.sleep(9)' || true")
        check(rounds() == n, "a socket that nobody asked for brought a round")
        check(not lab.bw("status", rc=None)[1]["problems"], f"a harmless change is a problem: {lab.bw('status', rc=None)[1]['problems']}")
    finally:
        lab.run("a1", "ip route del 192.0.2.0/24 dev eth0 metric 77", ok=False)


def collector_restart_loses_nothing(lab):
    lab.stop("collector")
    time.sleep(0.5)
    lab.up_collector()
    lab.wait()
    lab.healthy("a1", "a2")


def host_agent_restart_keeps_guests(lab):
    lab.stop("h1", signal.SIGKILL)
    lab.up_agent("h1", join=False)
    lab.wait()
    lab.healthy("h1", "a1", seconds=20)


def garbage_hurts_nobody(lab):
    rnd = random.Random(7)
    junk = [rnd.randbytes(rnd.choice((1, 12, 36, 60, 1400))) for _ in range(60)]
    script = "import socket,sys\n" \
             "j=[bytes.fromhex(x) for x in sys.stdin.read().split()]\n" \
             "u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n" \
             "for x in j: u.sendto(x,(sys.argv[1],7401))\n" \
             "for x in j[:20]:\n" \
             "  for port in map(int,sys.argv[2:]):\n" \
             "    t=socket.socket(); t.settimeout(2)\n" \
             "    try: t.connect((sys.argv[1],port)); t.send(x)\n" \
             "    except OSError: pass\n" \
             "    t.close()\n"
    path = lab.path("junk.py")
    open(path, "w").write(script)
    feed = " ".join(j.hex() for j in junk)
    for where, ip, ports in (("h1", lab.guests["a1"].ip, "7401"), ("a1", "10.0.0.1", "7401"), ("h1", COLLECTOR_IP, "7400")):
        open(lab.path("junk.txt"), "w").write(feed)
        lab.run(where, f"python3 {path} {ip} {ports} < {lab.path('junk.txt')}")
    check(not lab.crashes(), "\n".join(lab.crashes()))
    lab.healthy("h1", "a1")


def mesh_and_status_read_well(lab):
    all_well(lab)
    for args in (["status"], ["agents"], ["mesh"], ["mesh", "--tenant", "red"], ["facts", "a1"], ["facts", "a1", "--changes"], ["causes"], ["causes", "guest-fw-icmp-only"],
                 ["diagnose", "h1", "a1"]):
        rc, out, err = lab.cli(*args)
        check(rc == 0 and out.strip() and "\x1b" not in out, f"{args}: exit {rc} {err} {out[:200]}")
        widths = [len(l) for l in out.splitlines()]
        check(max(widths) <= 200, f"{args}: a line of {max(widths)} columns")


def shared():
    return [(f.__name__.replace("_", "-"), f) for f in (
        healthy_mesh_has_no_cause, verdict_keeps_the_contract, tenant_bridge_without_host_address_is_skipped, overlapping_tenants_are_told_apart,
        unknown_fault_is_undetermined_with_the_cut, one_way_fault_stays_one_way_without_neighbours, unattended_verdict_comes_by_itself, a_change_is_looked_at_at_once, mesh_and_status_read_well, garbage_hurts_nobody,
        collector_restart_loses_nothing, host_agent_restart_keeps_guests)]


# ---- on labs of their own ----

def small(**kw):
    return Lab(guests=[Guest("a1", "red", "h1", "br-a", 11), Guest("b1", "blue", "h1", "br-b", 11)], hosts=["h1"], **kw)


def once(lab, name, argv, seconds=12):
    """Runs an agent that should give up: (exit code or None when it still runs, its output)."""
    p = lab.spawn(name + "-once", name, argv)
    try:
        rc = p.wait(seconds)
    except subprocess.TimeoutExpired:
        rc = None
    out = lab.log(name + "-once")
    lab.stop(name + "-once")
    os.unlink(lab.path(name + "-once.log"))
    return rc, out


def refusals_are_one_clear_line():
    lab = small()
    try:
        lab.up_network()
        lab.up_collector()
        lab.up_agent("h1")
        agent = [f"{labs.BIN}/bothways-agent", "--state", lab.path("x")]
        good = lab.token("late", "fleet", "host", "--ttl", "1s")
        time.sleep(2.1)
        bad = {
            "expired": (good, "expired"),
            "malformed": ("bw1.nonsense", "token"),
        }
        used = lab.token("once", "fleet", "host")
        lab.spawn("first", "h1", [f"{labs.BIN}/bothways-agent", "--state", lab.path("first"), "--join", used, "--probe-port", "7501"])
        lab.until(lambda: any(a["name"] == "once" and a["online"] for a in lab.bw("agents", rc=None)[1]["agents"]), 10, lambda: "first use failed: " + lab.log("first"))
        lab.stop("first")
        bad["used"] = (used, "used")
        for what, (token, word) in bad.items():
            rc, out = once(lab, "h1", agent + ["--join", token, "--probe-port", "7502"])
            lines = [l for l in out.splitlines() if l.strip()]
            check(rc == 1, f"{what}: exit {rc}: {out}")
            check(any(word in l for l in lines) and len(lines) <= 4, f"{what}: {out}")
        # a token of another collector, and a wrong server key
        col2 = [f"{labs.BIN}/bothways-collector", "--state", lab.path("col2"), "--listen", f"tcp://{COLLECTOR_IP}:7410",
                "--advertise", f"tcp://{COLLECTOR_IP}:7410", "--http", "127.0.0.1:7490"]
        lab.spawn("col2", "sw", col2)
        lab.until(lambda: lab.cli("status", state=lab.path("col2"))[0] == 0, 10, "the second collector does not answer")
        rc, foreign, err = lab.cli("token", "--tenant", "fleet", "--kind", "host", state=lab.path("col2"))
        rc, out = once(lab, "h1", agent + ["--join", foreign.strip(), "--collector", f"tcp://{COLLECTOR_IP}:7400", "--probe-port", "7502"], seconds=10)
        check("key" in out and (rc in (1, None)), f"foreign token at the wrong collector: exit {rc}: {out}")
        # a collector that lost its store keeps its key but no longer knows the agent's
        known = lab.cli("token", "--tenant", "fleet", "--kind", "host", state=lab.path("col2"))[1].strip()
        agent2 = [f"{labs.BIN}/bothways-agent", "--state", lab.path("y"), "--probe-port", "7503"]
        lab.spawn("known", "h1", agent2 + ["--join", known])
        lab.until(lambda: "welcomes" in lab.log("known"), 10, lambda: "joining the second collector failed: " + lab.log("known"))
        lab.stop("known")
        lab.stop("col2")
        for f in glob.glob(lab.path("col2", "*.db*")) + glob.glob(lab.path("col2", "*.sqlite*")):
            os.unlink(f)
        lab.spawn("col2", "sw", col2)
        lab.until(lambda: lab.cli("status", state=lab.path("col2"))[0] == 0, 10, "the second collector does not answer again")
        rc, out = once(lab, "h1", agent2)
        check(rc == 1 and "key" in out, f"a key the collector does not know: exit {rc}: {out}")
        # neither a key nor a token
        rc, out = once(lab, "h1", [f"{labs.BIN}/bothways-agent", "--state", lab.path("none")])
        check(rc == 1 and "--join" in out, f"no key and no token: exit {rc} {out}")
        # second agent on the same state directory, port in use, unwritable directory
        rc, out = once(lab, "h1", [f"{labs.BIN}/bothways-agent", "--state", lab.path("h1"), "--probe-port", "7502"])
        check(rc == 1 and len(out.splitlines()) <= 2, f"state directory in use: exit {rc} {out}")
        rc, out = once(lab, "h1", [f"{labs.BIN}/bothways-agent", "--state", "/proc/nowhere", "--join", used])
        check(rc == 1 and len(out.splitlines()) <= 2 and "/proc/nowhere" in out, f"unwritable: exit {rc} {out}")
        rc, out = once(lab, "sw", [f"{labs.BIN}/bothways-collector", "--state", lab.path("col3"), "--listen", f"tcp://{COLLECTOR_IP}:7400", "--http", "127.0.0.1:7491"])
        check(rc == 1 and "7400" in out and len(out.splitlines()) <= 2, f"port in use: exit {rc} {out}")
        rc, out, err = lab.cli("--collector", f"tcp://{COLLECTOR_IP}:9", "--key", lab.path("col", "admin.key"), "status")
        check(rc == 1 and err.count("\n") == 1, f"unreachable: exit {rc} {err}")
        rc, out, err = lab.cli("status", state=lab.path("nothing"))
        check(rc == 1 and "nothing" in err and err.count("\n") == 1, f"no key file: exit {rc} {err}")
        bad_yaml = lab.path("bad.yaml")
        open(bad_yaml, "w").write("state: /tmp\nlisten: [tcp\n")
        rc, out = once(lab, "sw", [f"{labs.BIN}/bothways-collector", "--config", bad_yaml])
        check(rc == 1 and "bad.yaml:" in out, f"YAML with an error: exit {rc} {out}")
        check(not lab.crashes(), "\n".join(lab.crashes()))
    finally:
        lab.close()


def guests_join_and_stay_over_the_oob_path_alone():
    """No guest has any network path to the collector: they join, report and are diagnosed through their host."""
    lab = small()
    try:
        lab.up()
        agents = {a["name"]: a for a in lab.bw("agents")[1]["agents"]}
        check("relay" in str(agents["a1"]["path"]) and agents["h1"]["path"] == "direct", f"paths {[(n, a['path']) for n, a in agents.items()]}")
        check(agents["a1"]["host"] in ("h1", "fleet/h1"), f"host of a1: {agents['a1']['host']}")
        lab.run("a1", "ip link set eth0 down")
        time.sleep(1)
        code, v = lab.diagnose("h1", "a1")
        check(v["causes"] and v["causes"][0]["id"] == "guest-nic-admin-down", "its own testimony did not reach the verdict\n" + brief(v))
    finally:
        lab.close()


def the_other_path_takes_over():
    """A guest with both paths: either may die."""
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
        online = lambda: {a["name"]: a["online"] and str(a["path"]) for a in lab.bw("agents", rc=None)[1]["agents"]}
        lab.run("a1", "ip link set mgmt0 down")
        time.sleep(1)
        lab.until(lambda: "relay" in str(online()["a1"]), 15, lambda: f"the relay did not take over: {online()}\n" + lab.logs())
        lab.run("a1", "ip link set mgmt0 up")
        lab.stop("h1", signal.SIGKILL)
        lab.until(lambda: online()["a1"] == "direct", 15, lambda: f"the direct path did not take over: {online()}\n" + lab.logs())
    finally:
        lab.close()


def one_version_older_or_newer_still_works():
    lab = small()
    try:
        lab.up_network()
        lab.up_collector()
        lab.up_agent("h1", "--protocol-version", "1")
        lab.up_agent("a1", "--protocol-version", "4")
        lab.up_agent("b1", "--protocol-version", "2")
        lab.wait()
        lab.healthy("h1", "a1")
        rc, out = once(lab, "h1", [f"{labs.BIN}/bothways-agent", "--state", lab.path("far"), "--join", lab.token("far", "fleet", "host"), "--probe-port", "7502",
                                   "--protocol-version", "99"])
        check("version" in out and "99" in out.split("probes on port")[-1], f"a version with nothing in common: exit {rc} {out}")
    finally:
        lab.close()


def without_raw_rights_it_works_with_what_is_left():
    lab = small()
    try:
        lab.up_network()
        lab.run("a1", "sysctl -qw net.ipv4.ping_group_range='0 2147483647'")
        lab.up_collector()
        lab.up_agent("h1")
        argv = [f"{labs.BIN}/bothways-agent", "--state", lab.path("a1"), "--join", lab.token("a1", "red", "guest"), "--oob", lab.path("oob-h1", "a1")]
        lab.spawn("a1", "a1", ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--ambient-caps", "-all"] + argv)
        lab.up_agent("b1")
        lab.wait()
        agents = {a["name"]: a for a in lab.bw("agents")[1]["agents"]}
        check("raw" in json.dumps(agents["a1"]["rights"]).lower(), f"rights do not say what is missing: {agents['a1']['rights']}")
        code, v = lab.diagnose("h1", "a1")
        d = v["directions"][1]
        check(d["delivery"]["udp"] == "ok" and d["initiation"]["tcp"] == "ok", "udp and tcp without rights\n" + brief(v))
        check(not v["causes"], "a cause because of missing rights\n" + brief(v))
    finally:
        lab.close()


def alone():
    return [(f.__name__.replace("_", "-"), f) for f in (
        refusals_are_one_clear_line, guests_join_and_stay_over_the_oob_path_alone, the_other_path_takes_over,
        one_version_older_or_newer_still_works, without_raw_rights_it_works_with_what_is_left)]
