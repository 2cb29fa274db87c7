"""A lab: hypervisors, guests of several tenants and the fabric between them in network namespaces of our own, with the real
collector and agents in them. Everything has a unique prefix and goes away again, whatever happens.

    mgmt 172.31.255.0/24 --- collector
      |            |
     h1           h2            br-a: tenant A's bridge (the host has an address), br-b: tenant B's (it has none),
    br-a --up-a-- fabric --up-a-- br-a      both with the same addresses; br-c: a second, routed network of tenant A on h1
"""
import atexit, json, os, shlex, shutil, signal, subprocess, sys, tempfile, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("BOTHWAYS_BIN", os.path.join(TOP, "build", "bin"))
COLLECTOR_IP = "172.31.255.254"
UNFIT = ("was short of CPU while", "too slow to take part", "did not report on this round")  # what notes say of an observer without CPU


def program_is_sanitized(name="bothways-agent"):
    libraries = subprocess.run(["ldd", os.path.join(BIN, name)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return "libasan" in libraries or "libclang_rt" in libraries


class Failure(Exception):
    pass


def check(ok, text):
    if not ok:
        raise Failure(text)


def sh(cmd, ok=True, timeout=30):
    r = subprocess.run(cmd, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout)
    if ok and r.returncode != 0:
        raise Failure(f"{cmd}\n{r.stdout}")
    return r.stdout


def overload():
    """1 on a machine that has enough CPU; 4 where four times as many processes want to run as there are processors. What a test
    demands of time is meant for the former, and takes so much longer on the latter."""
    return min(max(os.getloadavg()[0] / os.cpu_count(), 1), 10)


def file_of(path):
    """Which file that is, by whatever name."""
    try:
        s = os.stat(path)
        return s.st_dev, s.st_ino
    except OSError:
        return None


class Guest:
    def __init__(self, name, tenant, host, bridge, number, gateway=None):
        self.name, self.tenant, self.host, self.bridge, self.gateway = name, tenant, host, bridge, gateway
        net = {"br-a": (0, "fd00:a::"), "br-b": (0, "fd00:a::"), "br-c": (1, "fd00:c::")}[bridge]
        self.ip = f"10.0.{net[0]}.{number}"
        self.ip6 = f"{net[1]}{number}"
        self.mac = f"02:{0x1a + 'abc'.index(bridge[-1]):02x}:00:00:00:{number:02x}"
        self.port = f"vn-{name}"
        eui = bytes.fromhex(self.mac.replace(":", ""))
        self.link_local = "fe80::%02x%02x:%02xff:fe%02x:%02x%02x" % (eui[0] ^ 2, *eui[1:])

    def gateways(self):
        return f"ip route replace default via {self.gateway}; ip -6 route replace default via {self.ip6.rsplit('::')[0]}::1"

    def base(self):
        """Puts the guest's interface back as it was at the start."""
        return (f"ip addr flush dev eth0; ip link set eth0 up; ip addr add {self.ip}/24 dev eth0; ip addr add {self.ip6}/64 dev eth0 nodad; "
                f"ip addr replace {self.link_local}/64 dev eth0 scope link nodad"
                + (f"; {self.gateways()}" if self.gateway else ""))


GUESTS = [
    Guest("a1", "red", "h1", "br-a", 11, gateway="10.0.0.1"),
    Guest("a2", "red", "h2", "br-a", 12, gateway="10.0.0.1"),
    Guest("a3", "red", "h1", "br-a", 13, gateway="10.0.0.1"),
    Guest("b1", "blue", "h1", "br-b", 11),
    Guest("b2", "blue", "h2", "br-b", 12),
    Guest("c1", "red", "h1", "br-c", 11, gateway="10.0.1.1"),
]
HOSTS = ["h1", "h2"]


# Cleans up when the lab's process ends without having done so: killed, for example. argv: prefix, directory.
GUARD = """
import os, shutil, signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.stdin.read()
out = lambda *argv: subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
for ns in [l.split()[0] for l in out("ip", "netns", "list").splitlines() if l.startswith(sys.argv[1] + "-")]:
    for pid in out("ip", "netns", "pids", ns).split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    out("ip", "netns", "del", ns)
if not os.environ.get("BOTHWAYS_KEEP"):
    shutil.rmtree(sys.argv[2], ignore_errors=True)
"""


class Lab:
    count = 0
    again = 0  # rounds that were asked for again, for want of CPU

    def __init__(self, guests=None, hosts=None, oob=True):
        Lab.count += 1
        self.prefix = "bw%x%s" % (os.getpid(), "" if Lab.count == 1 else "x%d" % Lab.count)
        self.dir = tempfile.mkdtemp(prefix="bw")
        self.hosts = hosts or HOSTS
        self.guests = {g.name: g for g in (guests or GUESTS)}
        self.oob = oob
        self.procs = {}
        self.namespaces = []
        self.closed = False
        self.guard = subprocess.Popen([sys.executable, "-c", GUARD, self.prefix, self.dir], stdin=subprocess.PIPE, start_new_session=True)
        atexit.register(self.close)
        for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(s, lambda *_: sys.exit(1))

    # ---- namespaces ----
    def ns(self, name):
        return f"{self.prefix}-{name}"

    def run(self, where, cmd, ok=True, timeout=30):
        """A shell command, as root, in the namespace of that machine."""
        return sh(f"ip netns exec {self.ns(where)} sh -c {shlex.quote(cmd)}", ok, timeout)

    def _ns(self, name):
        sh(f"ip netns add {self.ns(name)}")
        self.namespaces.append(name)
        self.run(name, "sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 "
                 "net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 net.bridge.bridge-nf-call-arptables=0 "
                 "net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.all.accept_ra=0; ip link set lo up")

    def _veth(self, na, ia, nb, ib, mac=None):
        sh(f"ip -n {self.ns(na)} link add {ia} type veth peer name {ib} netns {self.ns(nb)}"
           + (f" && ip -n {self.ns(nb)} link set {ib} address {mac}" if mac else "")
           + f" && ip -n {self.ns(na)} link set {ia} up && ip -n {self.ns(nb)} link set {ib} up")

    def _bridge(self, where, name, mac):
        self.run(where, f"ip link add {name} address {mac} type bridge stp_state 0 forward_delay 0 mcast_snooping 0; ip link set {name} up")

    def up_network(self):
        self._ns("sw")
        self._bridge("sw", "mgmt", "02:ff:00:00:00:01")
        self.run("sw", f"ip addr add {COLLECTOR_IP}/24 dev mgmt")
        for net in "ab":
            self._bridge("sw", f"fab-{net}", f"02:fa:00:00:00:0{net}")
        for i, h in enumerate(self.hosts, 1):
            self._ns(h)
            self._veth("sw", f"m{i}", h, "mgmt0", f"02:0e:00:00:00:0{i}")
            self.run("sw", f"ip link set m{i} master mgmt")
            self.run(h, f"ip addr add 172.31.255.{i}/24 dev mgmt0")
            for net in "ab":
                self._bridge(h, f"br-{net}", f"02:a{net}:00:00:00:0{i}")
                self._veth("sw", f"s{net}{i}", h, f"up-{net}", f"02:0{net}:00:00:00:0{i}")
                self.run("sw", f"ip link set s{net}{i} master fab-{net}")
                self.run(h, f"ip link set up-{net} master br-{net}")
            self.run(h, f"ip addr add 10.0.0.{i}/24 dev br-a; ip addr add fd00:a::{i}/64 dev br-a nodad")
        if any(g.bridge == "br-c" for g in self.guests.values()):
            self._bridge("h1", "br-c", "02:ac:00:00:00:01")
            self.run("h1", "ip addr add 10.0.1.1/24 dev br-c; ip addr add fd00:c::1/64 dev br-c nodad; sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        for g in self.guests.values():
            self._ns(g.name)
            self._veth(g.host, g.port, g.name, "eth0", g.mac)
            self.run(g.host, f"ip link set {g.port} master {g.bridge}")
            self.run(g.name, f"ip addr add {g.ip}/24 dev eth0; ip addr add {g.ip6}/64 dev eth0 nodad"
                     + (f"; {g.gateways()}" if g.gateway else ""))

    def remember(self):
        """What all machines' interfaces are like now is what `base` goes back to, and their rules what `rules_again` does."""
        self.first = {m: self.configuration(m) for m in self.hosts + list(self.guests)}
        self.rules = {}
        for m in self.hosts + list(self.guests):
            rules = self.run(m, "nft -s list ruleset 2>/dev/null || true")
            if rules.strip():
                self.rules[m] = rules

    def configuration(self, machine):
        """Commands that give a machine's interfaces the addresses and routes that they have."""
        links = json.loads(self.run(machine, "ip -j addr") or "[]")
        told, devs = [], [l for l in links if l.get("ifname") not in (None, "lo") and any(a.get("scope") == "global" for a in l["addr_info"])]
        for l in devs:
            dev, mine = l["ifname"], l["addr_info"]
            told.append(f"ip addr flush dev {dev}; ip link set {dev} up")
            told += [f"ip addr replace {a['local']}/{a['prefixlen']} dev {dev}" + (" nodad" if a["family"] == "inet6" else " brd +") for a in mine]
        for version in (4, 6):
            routes = json.loads(self.run(machine, f"ip -{version} -j route") or "[]")
            for r in sorted(routes, key=lambda r: "gateway" in r):  # the way to a gateway comes before what goes through it
                if r.get("protocol") != "kernel" and r.get("dev") != "lo":
                    via = f" via {r['gateway']}" if "gateway" in r else ""
                    told.append(f"ip -{version} route replace {r['dst']}{via} dev {r['dev']}")
        return "; ".join(told) or "true"

    def base(self, machine):
        """The command that gives a machine's interfaces their first configuration again."""
        return self.first[machine]

    def rules_again(self):
        """Machines that filter or translate when they are well do so again."""
        for machine, rules in self.rules.items():
            if self.run(machine, "nft -s list ruleset") != rules:
                self.run(machine, "nft -f - <<'N'\nflush ruleset\n" + rules + "\nN")

    # ---- programs ----
    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def spawn(self, key, where, argv):
        log = open(self.path(f"{key}.log"), "ab")
        env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:abort_on_error=0", UBSAN_OPTIONS="print_stacktrace=1")
        self.procs[key] = subprocess.Popen(["ip", "netns", "exec", self.ns(where)] + argv, stdout=log, stderr=log,
                                           stdin=subprocess.DEVNULL, env=env, start_new_session=True)
        log.close()
        return self.procs[key]

    def log(self, key):
        try:
            return open(self.path(f"{key}.log"), errors="replace").read()
        except OSError:
            return ""

    def up_collector(self, *args):
        self.spawn("collector", "sw", [f"{BIN}/bothways-collector", "--state", self.path("col"), "--listen", f"tcp://{COLLECTOR_IP}:7400",
                                       "--advertise", f"tcp://{COLLECTOR_IP}:7400",
                                       "--platform-facts", self.path("platform.yaml"), *args])
        self.until(lambda: os.path.exists(self.path("col", "query.sock")) and self.bw("status", rc=None)[0] in (0, 2, 3), 15,
                   lambda: "the collector does not answer:\n" + self.log("collector"))

    def token(self, name, tenant, kind, *args):
        rc, out, err = self.cli("token", "--tenant", tenant, "--kind", kind, "--name", name, *args)
        check(rc == 0, f"token for {name}: {err}")
        return out.strip()

    def up_agent(self, name, *args, join=True):
        g = self.guests.get(name)
        argv = [f"{BIN}/bothways-agent", "--state", self.path(name)]
        if join:
            argv += ["--join", self.token(name, g.tenant if g else "fleet", "guest" if g else "host")]
        if g and self.oob:
            os.makedirs(self.path("oob-" + g.host), exist_ok=True)
            argv += ["--oob", self.path("oob-" + g.host, name)]
        if not g:
            os.makedirs(self.path("oob-" + name), exist_ok=True)
            argv += ["--relay-dir", self.path("oob-" + name)]
        argv += ["--platform-root", "none" if g else self.path("root-" + name)]
        return self.spawn(name, name, argv + list(args))

    def up(self, services=None):
        self.up_network()
        self.up_collector()
        for name in self.hosts + list(self.guests):
            self.up_agent(name, *(services or {}).get(name, []))
        self.wait()
        return self

    def wait(self, timeout=40):
        n = len(self.hosts) + len(self.guests)
        rc, out, err = self.cli("wait", "--agents", str(n), "--timeout", str(timeout), timeout=timeout + 20)
        check(rc == 0, f"the mesh did not come up: {out}{err}\n" + self.logs())

    def logs(self, lines=12):
        return "\n".join(f"--- {k}\n" + "\n".join(self.log(k).splitlines()[-lines:]) for k in self.procs)

    def stop(self, key, sig=signal.SIGTERM, timeout=10):
        p = self.procs.pop(key, None)
        if not p:
            return None
        try:
            os.kill(p.pid, sig)
            return p.wait(timeout)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            p.kill()
            return p.wait()

    # ---- the CLI ----
    def cli(self, *args, timeout=30, state=None):
        env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
        r = subprocess.run([f"{BIN}/bothways", "--state", state or self.path("col"), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           stdin=subprocess.DEVNULL, text=True, timeout=timeout, env=env)
        return r.returncode, r.stdout, r.stderr

    def bw(self, *args, rc=0, timeout=30):
        """With --json: (exit code, document). rc None: any."""
        code, out, err = self.cli("--json", *args, timeout=timeout)
        check(rc is None or code == rc, f"bothways {' '.join(args)}: exit {code}: {err}{out[:400]}")
        try:
            return code, json.loads(out) if out.strip() else None
        except ValueError:
            raise Failure(f"bothways --json {' '.join(args)} printed no JSON: {out[:300]}")

    def asked(self, *command, verdict=lambda document: document):
        """A round. Its verdict may be that an observer got no CPU, by load or because the machine's own host took it: one asks again,
        and the last answer counts."""
        for _ in range(8):
            code, document = self.bw(*command, rc=None)
            notes = (verdict(document) or {}).get("notes", []) if document else []
            if not any(word in note for note in notes for word in UNFIT):
                break
            Lab.again += 1
            time.sleep(0.5)
        return code, document

    def diagnose(self, a, b, *args):
        return self.asked("diagnose", a, b, *args)

    def until(self, fn, seconds, text="it did not happen", every=0.1):
        begun = time.monotonic()
        while True:
            r = fn()
            if r:
                return r
            if time.monotonic() > begun + seconds * overload():
                raise Failure(text() if callable(text) else text)
            time.sleep(every)

    def healthy(self, a, b, *args, seconds=15):
        last = [None]

        def ok():
            code, last[0] = self.diagnose(a, b, *args)
            return code == 0 and last[0]["state"] == "ok" and not last[0]["causes"]
        self.until(ok, seconds, lambda: f"{a} {b} is not healthy: " + brief(last[0]), every=0.5)

    # ---- the end ----
    def close(self):
        if self.closed:
            return
        self.closed = True
        for p in self.procs.values():
            p.terminate()  # all of them are ending while one is waited for
        for key in list(self.procs):
            self.stop(key, timeout=5)
        for pid in self.inhabitants():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        sh("ip -force -batch - <<'N'\n" + "".join(f"netns del {self.ns(name)}\n" for name in self.namespaces) + "N", ok=False)
        if os.environ.get("BOTHWAYS_KEEP"):
            print("kept:", self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        self.guard.stdin.close()
        self.guard.wait()

    def inhabitants(self):
        """Processes that run in our namespaces."""
        ours = {file_of(f"/run/netns/{self.ns(name)}") for name in self.namespaces} - {None}
        return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and file_of(f"/proc/{pid}/ns/net") in ours]

    def crashes(self):
        """What a sanitizer or an abort left in the logs, and programs that ended by a signal."""
        bad = []
        for key in list(self.procs):
            text = self.log(key)
            for mark in ("ERROR: AddressSanitizer", "runtime error:", "ERROR: LeakSanitizer", "Assertion"):
                if mark in text:
                    at = text.index(mark)
                    bad.append(f"{key}: {text[max(0, at - 100):at + 1500]}")
                    break
            rc = self.procs[key].poll()
            if rc is not None and rc < 0 and rc not in (-signal.SIGTERM, -signal.SIGKILL):
                bad.append(f"{key} ended by signal {-rc}")
        return bad


def brief(v):
    """A verdict in a few words, for failure messages."""
    if not v or "directions" not in v:
        return json.dumps(v)[:300]
    lines = [f"state {v['state']}, took {v.get('took_ms')} ms"]
    for d in v["directions"]:
        bad = lambda m: {k: c for k, c in d[m].items() if c not in ("ok", "skipped")}
        lines.append(f"  {d['from']}->{d['to']}: delivery {bad('delivery')} initiation {bad('initiation')}")
        lines.append("    path " + " ".join(f"{p['point']}={p['seen']}" for p in d["path"]))
        for c in d["cuts"]:
            lines.append(f"    cut {c}")
    for c in v["causes"]:
        lines.append(f"  cause {c['id']} {c['confidence']:.2f} at {c['where']} {c['direction']} fix {[(f['where'], f.get('command')) for f in c['fix']]}")
        lines.append(f"    for {c['for']} against {c['against']}")
    lines.append(f"  ruled out {[r['id'] for r in v['ruled_out']]}")
    for n in v.get("notes", []):
        lines.append(f"  note {n}")
    return "\n".join(lines)
