"""Captures as people get them: the file, what Wireshark's own tools say of it, and the trace; under tags, tunnels, offloads and
promiscuous bridges."""
import collections, os, re, shutil, signal, subprocess, time

import lab as labs
from lab import Lab, brief, check
from topologies import Net

TSHARK = shutil.which("tshark")


def tshark(path, *args):
    """tshark's lines; anything it has to say besides them is a failure."""
    r = subprocess.run([TSHARK, "-r", path, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    said = [l for l in r.stderr.splitlines() if l and "Running as user" not in l]
    check(r.returncode == 0 and not said, f"tshark: exit {r.returncode}: {said}")
    return r.stdout.splitlines()


def frames(path):
    """(interface, comment, direction at it) of every frame, in the order of the file."""
    out = [l.split("\t") for l in tshark(path, "-Tfields", "-e", "frame.interface_name", "-e", "frame.comment", "-e", "frame.packet_flags_direction")]
    return [(i, c, {"0x00000001": "in", "0x00000002": "out"}.get(d, d)) for i, c, d in out]


def capture(lab, a, b, *args, name="capture.pcapng"):
    path = lab.path(name)
    code, doc = lab.asked("capture", a, b, "-w", path, *args, verdict=lambda d: d.get("verdict"))
    check(doc and doc["schema"] == "bothways.capture/1", f"exit {code}: {doc}")
    return code, doc, path


def probes_by_point(lab_frames, direction):
    """How many different probes of a direction each interface has: several frames of one probe are one."""
    seen = collections.defaultdict(set)
    for interface, comment, way in lab_frames:
        if comment.endswith(": probe") and f" {direction} " in comment and " of the " not in comment:  # the verdict's counts are without it
            seen[interface].add(comment)
    return {i: len(s) for i, s in seen.items()}


def counts_agree(doc, all_frames):
    """What the file has of each direction is what the verdict counted at the same point."""
    for d in doc["verdict"]["directions"]:
        found = probes_by_point(all_frames, f"{d['from']}->{d['to']}")
        for p in d["path"]:
            if p["role"] != "socket" and p["looked"]:
                check(found.get(p["point"], 0) == p["seen"], f"{d['from']}->{d['to']} at {p['point']}: {found.get(p['point'], 0)} in the file, {p['seen']} in the verdict\n" + brief(doc["verdict"]))


def plain_capture(lab, a, b):
    """Of a round without more stages: something was late, and it looked closer? Then another one."""
    for _ in range(6):
        code, doc, path = capture(lab, a, b)
        all_frames = frames(path)
        if not any(" of the stage " in c for _, c, _ in all_frames):
            break
        time.sleep(1)
    return code, doc, path, all_frames


def nothing_twice(all_frames):
    one = lambda comment: comment.endswith(": probe") and " of the stage " not in comment  # a train is of several flows
    twice = [f for f, n in collections.Counter(f for f in all_frames if one(f[1])).items() if n > 1]
    check(not twice, f"the same frame twice the same way at one device: {twice[:5]}")


def file_opens_without_a_warning(lab):
    if not TSHARK:
        return "no tshark"
    lab.healthy("a1", "a2")
    code, doc, path, all_frames = plain_capture(lab, "a1", "a2")
    check(code == 0 and doc["verdict"]["state"] == "ok", f"exit {code}\n" + brief(doc["verdict"]))
    check(os.stat(path).st_mode & 0o777 == 0o600, "others may read it")
    names = [i["point"] for i in doc["interfaces"]]
    check(names == ["a1:eth0", "h1:vn-a1", "h1:up-a", "h2:up-a", "h2:vn-a2", "a2:eth0"], f"interfaces {names}")
    for i in doc["interfaces"]:
        check(i["frames"] == sum(1 for f in all_frames if f[0] == i["point"]) > 0, f"{i}")
    check(len(all_frames) == doc["frames"] and doc["left_out"] == 0, f"{len(all_frames)} frames, said {doc['frames']}")
    pattern = re.compile(r"[a-z]+(_large)?6? (a1->a2|a2->a1) seq \d+( of the size ladder \(\d+ bytes\))?: (probe|answer|refusal.*)$")
    odd = [c for _, c, _ in all_frames if not pattern.match(c)]
    check(not odd, f"comments {odd[:5]}")
    check({w for _, _, w in all_frames} == {"in", "out"}, "directions")
    counts_agree(doc, all_frames)
    nothing_twice(all_frames)
    first = next(i for i, c, w in all_frames if c == "udp a1->a2 seq 0: probe")
    check(first == "a1:eth0", f"the first sight of a probe is at {first}")
    info = subprocess.run(["capinfos", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    for text in ("Capture application: bothways", "nanoseconds", f"Capture comment:     {doc['verdict']['sentence']}", "Clock of h1:",
                 "Name = h1:up-a", "Description = uplink of host h1", "Strict time order:   True"):
        check(text in info, f"capinfos does not say {text!r}:\n{info}")


def verdict_stands_in_the_file(lab):
    if not TSHARK:
        return "no tshark"
    lab.healthy("h1", "a3")
    try:
        lab.run("a3", "nft -f - <<'N'\ntable inet t { chain i { type filter hook input priority 0; icmp type echo-request drop; }; }\nN")
        code, doc, path = capture(lab, "h1", "a3")
        check(code == 2 and doc["verdict"]["causes"][0]["id"] == "guest-fw-icmp-only", f"exit {code}\n" + brief(doc["verdict"]))
        info = subprocess.run(["capinfos", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        check("Cause: guest-fw-icmp-only at a3" in info and "Cut h1->a3: IPv4 ICMP lost between a3:eth0 and a3:socket" in info, info)
        counts_agree(doc, frames(path))
    finally:
        lab.run("a3", "nft flush ruleset", ok=False)
    lab.healthy("h1", "a3")


def file_goes_where_it_is_told_or_nowhere(lab):
    bothways = [f"{labs.BIN}/bothways", "--state", lab.path("col")]
    for where, why in (("/proc/nowhere/x.pcapng", "No such file"), ("/dev/full", "No space left")):
        code, out, err = lab.cli("capture", "h1", "a1", "-w", where)
        check(code == 1 and why in err and where.split("/")[1] in err + "dev" and err.count("\n") == 1, f"{where}: exit {code}: {err!r}")
    kept = lab.path("kept.pcapng")
    open(kept, "w").write("precious")
    code, out, err = lab.cli("capture", "h1", "nobody", "-w", kept)
    check(code == 1 and open(kept).read() == "precious", f"exit {code}, an old file was touched: {err!r}")
    left = [f for f in os.listdir(lab.dir) if f.startswith("kept.pcapng") and f != "kept.pcapng"]
    check(not left, f"left behind: {left}")
    for args, why in ((["capture", "h1", "a1"], "-w FILE"), (["--json", "capture", "h1", "a1", "-w", "-"], "standard output")):
        code, out, err = lab.cli(*args)
        check(code == 1 and why in err and err.count("\n") == 1, f"{args}: exit {code}: {err!r}")
    r = subprocess.run(bothways + ["capture", "h1", "a1", "-w", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    check(r.returncode == 0 and r.stdout[:4] == b"\x0a\x0d\x0d\x0a" and b"h1:vn-a1" in r.stderr, f"-w -: exit {r.returncode}: {r.stderr[:300]}")
    code, out, err = lab.cli("capture", "h1", "a1", "-w", kept)
    check(code == 0 and open(kept, "rb").read(4) == b"\x0a\x0d\x0d\x0a" and "tshark -r" in out, f"exit {code}: {out}{err}")


def a_promiscuous_bridge_makes_no_duplicates(lab):
    if not TSHARK:
        return "no tshark"
    lab.healthy("h1", "a1")
    try:
        lab.run("h1", "ip link set br-a promisc on; ip link set vn-a1 promisc on; ip link set vn-a1 type bridge_slave hairpin on")
        for a, b in (("h1", "a1"), ("a1", "a2"), ("a1", "a3")):
            code, doc, path = capture(lab, a, b)
            check(code == 0, f"exit {code}\n" + brief(doc["verdict"]))
            counts_agree(doc, frames(path))
            nothing_twice(frames(path))
    finally:
        lab.run("h1", "ip link set br-a promisc off; ip link set vn-a1 promisc off; ip link set vn-a1 type bridge_slave hairpin off", ok=False)


def offloads_change_no_count(lab):
    if not TSHARK:
        return "no tshark"
    lab.healthy("a1", "a2")
    devices = [("a1", "eth0"), ("h1", "vn-a1"), ("h1", "up-a"), ("h2", "up-a"), ("h2", "vn-a2"), ("a2", "eth0")]
    try:
        for where, dev in devices:
            lab.run(where, f"ethtool -K {dev} gro on tso on gso on tx on rx on; ethtool -K {dev} rx-udp-gro-forwarding on rx-gro-list on || true")
        code, doc, path = capture(lab, "a1", "a2")
        check(code == 0, f"exit {code}\n" + brief(doc["verdict"]))
        counts_agree(doc, frames(path))
    finally:
        for where, dev in devices:
            lab.run(where, f"ethtool -K {dev} gro off rx-udp-gro-forwarding off rx-gro-list off", ok=False)


def trace_shows_both_directions(lab):
    lab.healthy("a1", "a2")
    code, out, err = lab.cli("trace", "a2", "a1")
    check(code == 0 and "a2 → a1" in out and "a1 → a2" in out and out.index("a2 → a1") < out.index("a1 → a2"), f"exit {code}: {out}{err}")
    check(max(len(l) for l in out.splitlines()) <= 120, f"wider than 120 columns:\n{out}")
    rows = [l for l in out.splitlines() if "h1:up-a" in l and "h2:up-a" in l]
    check(len(rows) == 2, f"not side by side:\n{out}")
    code, doc = lab.bw("trace", "a2", "a1")
    check((doc["a"], doc["b"]) == ("a2", "a1") and doc["directions"][0]["from"] == "a2", f"{doc['a']} {doc['b']}")
    for p in doc["directions"][0]["path"]:
        check(sum(p["kinds"].values()) == p["seen"] > 0 and p["role"], f"{p}")
    code, out, err = lab.cli("trace", "b1", "b1")
    check(code == 1, f"with itself: exit {code}")
    code, fresh = lab.bw("trace", "a2", "a1", "--now", rc=None)
    check(code == 0 and fresh["round"] != doc["round"], "--now made no round")


# ---- on meshes of their own ----

def overlay(family, port):
    """Two hosts whose bridges VXLAN joins, over IPv4 or IPv6, on a port of one's own choice."""
    underlay = {4: ("192.0.2.{}/24", "192.0.2.{}"), 6: ("fd99::{}/64 nodad", "fd99::{}")}[family]

    def build(n):
        n._bridge("sw", "fab", "02:fa:00:00:00:01")
        for i, h in enumerate(("h1", "h2"), 1):
            n._veth("sw", f"m{i}", h, "mgmt0", f"02:0e:00:00:00:0{i}")
            n.run("sw", f"ip link set m{i} master mgmt")
            n.run(h, f"ip addr add 172.31.255.{i}/24 dev mgmt0")
            n._veth("sw", f"s{i}", h, "eth1", f"02:0d:00:00:00:0{i}")
            n.run("sw", f"ip link set s{i} mtu 1600 master fab")
            n._bridge(h, "br5", f"02:a5:00:00:00:0{i}")
            n.run(h, f"ip link set eth1 mtu 1600; ip addr add {underlay[0].format(i)} dev eth1; ip link add vx5 type vxlan id 5 "
                     f"local {underlay[1].format(i)} remote {underlay[1].format(3 - i)} dstport {port}; ip link set vx5 master br5 up")
            n._veth(h, f"p{i}", f"g{i}", "eth0", f"02:1a:00:00:00:1{i}")
            n.run(h, f"ip link set p{i} master br5")
            n.run(f"g{i}", f"ip addr add 10.5.0.1{i}/24 dev eth0; ip addr add fd05::1{i}/64 dev eth0 nodad")
    return Net(["h1", "h2"], {"g1": ("red", "h1", "p1"), "g2": ("red", "h2", "p2")}, build)


def through_an_overlay(family, port):
    if not TSHARK:
        return "no tshark"
    net = overlay(family, port).up()
    try:
        net.healthy("g1", "g2")
        code, doc, path = capture(net, "g1", "g2")
        check(code == 0, f"exit {code}\n" + brief(doc["verdict"]))
        names = [p["point"] for p in doc["verdict"]["directions"][0]["path"]]
        check("h1:eth1" in names and "h2:eth1" in names, f"the underlay is not on the path: {names}")
        all_frames = frames(path)
        counts_agree(doc, all_frames)
        check(any(i == "h1:eth1" and c == "arp g1->g2 seq 0: probe" for i, c, _ in all_frames), "no ARP probe seen within the tunnel")
        outer = tshark(path, "-Tfields", "-e", "frame.interface_name", "-e", "udp.dstport", "-Y", f"udp.dstport == {port}")
        check({l.split("\t")[0] for l in outer} == {"h1:eth1", "h2:eth1"}, f"tunnelled frames at {set(outer)}")
    finally:
        net.close()


def trace_survives_the_collector():
    lab = Lab(hosts=["h1"], guests=[g for g in labs.GUESTS if g.name in ("a1", "a3")])
    try:
        lab.up()
        code, out, err = lab.cli("trace", "a3", "a1")
        if code == 1: # nothing made a round by itself so far
            check("no round of a3 and a1 yet" in err and "--now" in err, f"{err!r}")
        lab.healthy("a1", "a3")
        was = lab.bw("trace", "a1", "a3")[1]
        lab.stop("collector", signal.SIGKILL)
        lab.up_collector()
        code, doc = lab.bw("trace", "a1", "a3")
        check(doc == was, f"another one: {doc['round']}, it was {was['round']}")
    finally:
        lab.close()


def idle_costs_nothing(lab):
    """Between rounds nobody holds a packet socket on an interface."""
    lab.healthy("h1", "a1")
    held = lambda where: [l for l in lab.run(where, "cat /proc/net/packet").splitlines()[1:] if l.split()[3] == "0003"]
    for where in ("h1", "h2", "a1"):
        lab.until(lambda: not held(where), 5, lambda: f"{where} captures while nothing runs: {held(where)}")


def a_pause_in_a_burst_of_others_loses_nothing():
    """An agent that gets no CPU for a moment finds all of a broadcast burst in its sockets, and lost none of its own among it."""
    burst = ("import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('eth0', 0)); "
             "ask = bytes.fromhex('ffffffffffff020000000009080600010800060400010200000000090a000063' + '00' * 6 + '0a000062') + bytes(18); "
             "[s.send(ask) for _ in range(1000)]")
    lab = Lab()
    agent = lambda: next(a for a in lab.bw("agents")[1]["agents"] if a["name"] == "a1")
    minute = lambda: agent()["health"]["minute"]
    try:
        lab.up()
        lab.healthy("h1", "a1")
        pid = lab.procs["a1"].pid
        os.kill(pid, signal.SIGSTOP)
        lab.run("a2", f'python3 -c "{burst}"')
        time.sleep(0.3)
        os.kill(pid, signal.SIGCONT)
        lab.until(lambda: minute()["lag_us"] > 250000, 5, lambda: f"a1 does not tell of its pause: {minute()}")
        time.sleep(0.3)
        check(minute()["socket_drops"] == 0, f"lost in its sockets: {minute()}")
    finally:
        lab.close()


def shared():
    return [("captures/" + f.__name__.replace("_", "-"), f) for f in (
        file_opens_without_a_warning, verdict_stands_in_the_file, file_goes_where_it_is_told_or_nowhere,
        a_promiscuous_bridge_makes_no_duplicates, offloads_change_no_count, trace_shows_both_directions, idle_costs_nothing)]


def alone():
    return [("captures/vxlan-over-4", lambda: through_an_overlay(4, 4789)), ("captures/vxlan-over-6-on-another-port", lambda: through_an_overlay(6, 12345)),
            ("captures/trace-survives-the-collector", trace_survives_the_collector),
            ("captures/a-pause-in-a-burst-of-others-loses-nothing", a_pause_in_a_burst_of_others_loses_nothing)]
