"""Real guests: two QEMU machines, one with virtio-net and one with e1000, beside a guest in a namespace. Their agents speak to the
collector over the virtio-serial port; v2 has the network as well. The network is the guest's own, its kernel another one than the
hosts', and what its tap shows is all that its host sees of it.

    h1: br0 (10.7.0.1)  tap0 = v1 (virtio, 10.7.0.21, port only)   n1 (namespace, 10.7.0.23)
    h2: br0 (10.7.0.2)  tap0 = v2 (e1000, 10.7.0.22, port; reaches the collector through h2 too)
"""
import os, signal, subprocess, sys, time

import lab as labs
from lab import COLLECTOR_IP, Failure, brief, check
from topologies import FLUSH, Box, Net, drop

from . import image
from .machine import DEADLINE, PORT, Machine, why_not

PRIORITY = -10  # an emulated machine that waits for CPU is slow ten times over
PATIENCE = 20  # seconds for what takes one on a machine of its own
WINDOW, AT_REST = 0.3, 0.4  # seconds, part of a CPU
STATE, LOG, PID = "/var/lib/bothways", "/var/log/agent.log", "/run/agent.pid"


def agent_program():
    """The one that users run: with a sanitizer it would need a minute to start in an emulated machine, and much memory."""
    path = os.path.join(labs.BIN, "bothways-agent")
    libs = subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True).stdout
    return os.path.join(labs.TOP, "build", "bin", "bothways-agent") if "libasan" in libs else path


class VmNet(Net):
    NICS = {"v1": "virtio", "v2": "e1000"}

    def __init__(self, *others):
        """others: guests in namespaces"""
        guests = {"v1": ("red", "h1", "tap0"), "v2": ("red", "h2", "tap0")} | {n: ("red", "h1", "vnet" + n[1:]) for n in others}
        super().__init__(["h1", "h2"], guests, build)
        self.others = others
        for i, g in enumerate(self.guests.values(), 21):
            g.ip, g.ip6, g.mac = f"10.7.0.{i}", f"fd00:7::{i}", f"52:54:00:aa:00:{i}"
        self.vms = {n: Machine(self, n, self.guests[n].host, "br0", self.guests[n].port, self.guests[n].mac, nic, 160) for n, nic in self.NICS.items()}

    def spawn(self, key, where, argv):
        """Before what else runs here: in a group of its own, where sessions have such."""
        p = super().spawn(key, where, argv)
        try:
            os.setpriority(os.PRIO_PROCESS, p.pid, PRIORITY)
            with open(f"/proc/{p.pid}/autogroup", "w") as f:
                f.write(str(PRIORITY))
        except OSError:
            pass  # then it takes longer
        return p

    def _ns(self, name):
        if name not in self.vms:
            super()._ns(name)

    def run(self, where, cmd, ok=True, timeout=60):
        if where in self.vms:
            return self.vms[where].sh(cmd, ok, timeout)
        return super().run(where, cmd, ok, timeout)

    def calm(self, where):
        """An emulated machine with something to do would be late. One that never rests is measured as it is."""
        m, end = self.vms.get(where), time.monotonic() + PATIENCE
        while m and time.monotonic() < end:
            before = m.cpu()
            time.sleep(WINDOW)
            if m.cpu() - before < AT_REST * WINDOW:
                break

    def healthy(self, a, b, *args, seconds=PATIENCE):
        super().healthy(a, b, *args, seconds=seconds)

    def sees(self, a, b, cause, where, seconds=PATIENCE):
        """Diagnoses until that cause (or one of several) is named: an emulated machine needs its time to look at itself. Another one is
        wrong at once."""
        last = [None]

        def named():
            last[0] = v = self.diagnose(a, b)[1]
            ids = [c["id"] for c in v["causes"]]
            check(set(ids) <= ({cause} if isinstance(cause, str) else set(cause)), f"not {cause} alone\n" + brief(v))
            return ids and v["state"] != "ok"
        self.until(named, seconds, lambda: f"not {cause}\n" + brief(last[0]), every=0.3)
        check(last[0]["causes"][0]["where"] == where, f"not at {where}\n" + brief(last[0]))
        return last[0]

    def fault(self, a, b, cause, where, inject, undo, at=None):
        """inject and undo run at `at`, by default `where`; the printed fix alone must heal it."""
        self.healthy(a, b)
        self.run(at or where, inject)
        try:
            v = self.sees(a, b, cause, where)
            fixes = [f for f in v["causes"][0]["fix"] if not f.get("manual")]
            check(fixes, f"{inject}: no fix\n" + brief(v))
            for f in fixes:
                self.run(f["where"].split("/")[-1], f["command"])
            try:
                self.healthy(a, b)
            except Failure as e:
                raise Failure(f"{inject}: the fix {[(f['where'], f['command']) for f in fixes]} did not help: {e}")
            return v
        finally:
            self.run(at or where, undo, ok=False)

    def log(self, key):
        if key in self.vms:
            return self.vms[key].sh(f"tail -c 100000 {LOG}", ok=False)
        return super().log(key)

    def logs(self, lines=12):
        return super().logs(lines) + "".join(f"\n--- {n}\n" + "\n".join(self.log(n).splitlines()[-lines:]) for n in self.vms)

    def address(self, name):
        """What gives a guest its place in the network."""
        g = self.guests[name]
        mgmt = "; ip route replace 172.31.255.0/24 via 10.7.0.2" if name == "v2" else ""
        return f"ip link set eth0 up; ip addr replace {g.ip}/24 dev eth0; ip addr replace {g.ip6}/64 dev eth0 nodad{mgmt}"

    def boot(self):
        kernel = image.kernel()
        initrd = self.path("initrd")
        with open(initrd, "wb") as f:
            for part in (image.base(kernel), image.programs(agent_program())):
                f.write(open(part, "rb").read())
        for m in self.vms.values():
            os.makedirs(self.path("oob-" + m.host), exist_ok=True)
            m.start(os.path.join(kernel, "vmlinux"), initrd, self.path("oob-" + m.host, m.name))

    def up_agent(self, name, *args, join=True):
        if name not in self.vms:
            return super().up_agent(name, *args, join=join)
        g = self.guests[name]
        argv = f"--state {STATE} --oob /dev/virtio-ports/{PORT} " + " ".join(args)
        if join:
            argv += " --join " + self.token(name, g.tenant, "guest")
        self.run(name, f"mkdir -p {STATE}; setsid bothways-agent {argv} >>{LOG} 2>&1 & echo $! >{PID}")

    def up(self):
        self._ns("sw")
        for name in self.hosts + list(self.guests):
            self._ns(name)
        self._bridge("sw", "mgmt", "02:ff:00:00:00:01")
        self.run("sw", f"ip addr add {COLLECTOR_IP}/24 dev mgmt; ip route add 10.7.0.0/24 via 172.31.255.2")
        self.build(self)
        self.up_collector()
        for name in self.hosts + list(self.others):
            self.up_agent(name)
        for name, m in self.vms.items():
            m.ready()
            self.run(name, f"hostname {name}")
            if name != "v1":
                self.run(name, self.address(name))
            self.up_agent(name)
        self.wait()

    def diagnose(self, a, b, *args):
        """An emulated guest that gets no CPU may miss a round. Then nothing may be claimed, and one asks again."""
        for _ in range(4):
            code, v = self.bw("diagnose", a, b, *args, rc=None)
            if not v or not any("too slow to take part" in note for note in v.get("notes", [])):
                break
            check(not v["causes"], "a cause from a round that an end missed\n" + brief(v))
        return code, v

    def crashes(self):
        ended = [f"{n}: its agent is gone\n" + self.log(n)[-2000:] for n in self.vms if "gone" in self.run(n, f"kill -0 $(cat {PID}) || echo gone", ok=False)]
        return super().crashes() + ended


def build(n):
    n._bridge("sw", "fab", "02:fa:00:00:00:01")
    for i, h in enumerate(n.hosts, 1):
        n.mgmt(h, i)
        n._bridge(h, "br0", f"02:b0:00:00:00:0{i}")
        n._veth("sw", f"u{i}", h, "eno1", f"02:e0:00:00:00:0{i}")
        n.run("sw", f"ip link set u{i} master fab")
        n.run(h, f"ip link set eno1 master br0; ip addr add 10.7.0.{i}/24 dev br0; ip addr add fd00:7::{i}/64 dev br0 nodad; sysctl -qw net.ipv4.ip_forward=1")
    n.boot()
    for name in n.others:
        g = n.guests[name]
        n.guest(name, "br0", "eth0", 0, g.ip + "/24", g.ip6 + "/64", mac=g.mac)


def two_machines():
    """For measuring: both with their network, and nobody else."""
    if why_not():
        raise image.Unavailable(why_not())
    n = VmNet()
    try:
        n.up()
        n.run("v1", n.address("v1"))
        n.healthy("v1", "v2", seconds=DEADLINE)
        return n
    except BaseException:
        n.close()
        raise


# ---- cases: the agent and its machine ----


def never_had_a_network(n):
    """v1 joined through its host alone: its NIC is down and never had an address. Then it gets its network, and is found there."""
    check(n.agents()["v1"]["path"] == "relay via h1", f"v1 is heard {n.agents()['v1']['path']}")
    code, out, err = n.cli("diagnose", "h1", "v1")
    check(code == 1 and "v1 has no interface to probe: eth0 is down and has no address" in err, f"exit {code} {out} {err}")
    n.run("v1", n.address("v1"))
    n.healthy("h1", "v1")


def healthy(n):
    n.places(v1="h1", v2="h2", n1="h1")
    n.way("h1", "v1", "h1:socket", "h1:br0", "h1:tap0", "v1:eth0", "v1:socket")
    n.way("v1", "v2", "v1:socket", "v1:eth0", "h1:tap0", "h1:eno1", "h2:eno1", "h2:tap0", "v2:eth0", "v2:socket")
    n.way("v2", "h2", "v2:socket", "v2:eth0", "h2:tap0", "h2:br0", "h2:socket")
    n.way("n1", "v1", "n1:socket", "n1:eth0", "h1:vnet1", "h1:tap0", "v1:eth0", "v1:socket")
    n.well(PATIENCE)


def virtual_hardware(n):
    """The driver, from the guest's own kernel."""
    for name, driver in (("v1", "virtio_net"), ("v2", "e1000")):
        seen = n.bw("facts", name)[1]["facts"].get("link.eth0.driver", "not told")
        check(seen.startswith(driver), f"{name}: the driver of eth0 is {seen}")


# Forwards frames as a program reads them from its sockets: what an interface was to fill in stays empty. argv: two interfaces.
RAW_RELAY = """
import select, socket, sys
ends = []
for name in sys.argv[1:3]:
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.setsockopt(263, 23, 1)  # not what goes out
    s.bind((name, 3))
    ends.append(s)
while True:
    for s in select.select(ends, [], [])[0]:
        ends[s is ends[0]].send(s.recv(65536))
"""


def checksums_left_to_the_nic(n):
    """A virtio NIC leaves checksums to the host, and a program in the fabric forwards the frames without: what v1 sends has none.
    The e1000 of v2 makes them itself, so only this direction dies."""
    check("tx-checksum-ip-generic: on" in n.run("v1", "ethtool -k eth0"), "v1 makes its checksums itself")
    n.healthy("v1", "v2")
    n.run("sw", "ip link add raw0 type veth peer name raw1; ip link set raw0 master fab up; ip link set raw1 promisc on up; ip link set u1 nomaster promisc on")
    n.spawn("raw-relay", "sw", [sys.executable, "-c", RAW_RELAY, "u1", "raw1"])
    try:
        seen = [None]

        def one_way():
            """And damaged ones are not called lost by who gets them."""
            seen[0] = v = n.sees("v1", "v2", "checksum-offload-bad", "v1")
            return v["state"] == "one-way" and not any("in its own sockets" in note for note in v["notes"])
        n.until(one_way, PATIENCE, lambda: "not one way\n" + brief(seen[0]))
        v = seen[0]
        n.run("v1", v["causes"][0]["fix"][0]["command"])
        n.healthy("v1", "v2")
    finally:
        n.stop("raw-relay")
        n.run("sw", "ip link set u1 promisc off master fab; ip link del raw0")
        n.run("v1", "ethtool -K eth0 tx on")


def the_host_agent_restarts(n):
    """The port hangs up while nobody holds its host's end; v1's agent lives on and is heard again."""
    before = n.run("v1", f"cat {PID}")
    n.stop("h1", signal.SIGKILL)
    n.until(lambda: not n.agents()["v1"]["online"], 20, "v1 is online without its host's agent")
    n.up_agent("h1", join=False)
    n.until(lambda: n.agents()["v1"]["online"], DEADLINE, lambda: f"v1 is not heard again\n{n.log('v1')[-1000:]}")
    check(n.run("v1", f"cat {PID}; kill -0 $(cat {PID})") == before, "v1's agent is another one")
    n.healthy("h1", "v1")


def the_clock_jumps(n):
    """An hour ahead, and back: no fault of the network."""
    for sign in "+-":
        n.run("v1", f"date -s @$(($(date +%s) {sign} 3600))")
        for _ in range(3):
            v = n.diagnose("v1", "v2")[1]
            busy = [c["id"] for c in v["causes"]][:1] == ["cpu-oversubscribed"]  # which may be true of an emulated machine
            check(not v["causes"] or busy, "a cause from a clock\n" + brief(v))
        n.healthy("v1", "v2")
        lint_finds(n, "v1", {"clock-step", "clock-skew"} if sign == "+" else {"clock-step"})


def the_guest_stands_still(n):
    """Paused: its host's tap fills, its agent is silent. What is said must be true; and all is well when it goes on."""
    true = {"tap-or-vswitch-queue-overflow", "guest-paused"}
    for vm, other in (("v1", "h1"), ("v2", "v1")):
        n.healthy(other, vm)
        process = n.vms[vm].pid()
        os.kill(process, signal.SIGSTOP)
        try:
            for pause in (0.5, 3.5):
                time.sleep(pause)
                code, v = n.bw("diagnose", other, vm, rc=None)
                check(v["state"] != "ok", "reachable while it stands still\n" + brief(v))
                check({c["id"] for c in v["causes"]} <= true, "not why\n" + brief(v))
        finally:
            os.kill(process, signal.SIGCONT)
        n.healthy(other, vm)


# ---- cases: its network is dead, and it says why ----


# Connections that are remembered, and neighbours, as many as fill four fifths of what is allowed. Of its own only: rounds make many.
CONNECTIONS = """nft 'table inet tracked { chain i { type filter hook input priority 0; ct state new accept; };
chain p { type filter hook prerouting priority -300; iifname != "lo" notrack; }; chain o { type filter hook output priority -300; oifname != "lo" notrack; }; }'
sysctl -qw net.netfilter.nf_conntrack_icmp_timeout=600
for i in $(seq 150); do ping -c1 -W1 127.0.0.1 >/dev/null & done; wait
sysctl -qw net.netfilter.nf_conntrack_max=$(($(sysctl -n net.netfilter.nf_conntrack_count) * 100 / 84))"""
NEIGHBOURS = """for i in $(seq 120); do echo neigh replace 10.7.0.$((i + 100)) lladdr 02:77:00:00:00:07 dev eth0 nud stale; done >/run/many
ip -batch /run/many; sysctl -qw net.ipv4.neigh.default.gc_thresh3=144"""
NUDGE = "ip addr add 127.9.9.9/32 dev lo; ip addr del 127.9.9.9/32 dev lo"  # nobody announces a changed sysctl
AS_BEFORE = """nft delete table inet tracked; sysctl -qw net.netfilter.nf_conntrack_max=1024 net.netfilter.nf_conntrack_icmp_timeout=30
sysctl -qw net.ipv4.neigh.default.gc_thresh2=512 net.ipv4.neigh.default.gc_thresh3=1024; sed s/replace/del/ /run/many | ip -force -batch - 2>/dev/null"""


def latent_faults(n):
    """Tables that are nearly full are a kernel's own, so they are filled in one. The printed fixes make room."""
    n.healthy("h1", "v1")
    try:
        n.run("v1", f"{CONNECTIONS}; {NEIGHBOURS}; {NUDGE}")
        lint_finds(n, "v1", {"conntrack-near-limit", "neighbour-table-near-limit"})
        for f in n.bw("lint", rc=None)[1]["findings"]:
            n.run(f["fix"]["where"], f["fix"]["command"])
        n.run("v1", NUDGE)
        lint_finds(n, "v1", set())
    finally:
        n.run("v1", AS_BEFORE, ok=False)
    n.healthy("h1", "v1")


def lint_finds(n, machine, checks):
    seen = [None]

    def told():
        seen[0] = n.bw("lint", rc=None)[1]["findings"]
        return {f["id"] for f in seen[0]} == checks and all(f["machine"] == machine for f in seen[0])
    n.until(told, PATIENCE, lambda: f"not {checks} at {machine}: {seen[0]}", every=0.3)


def link_down(n):
    n.fault("v1", "v2", "guest-nic-admin-down", "v2", "ip link set eth0 down", n.address("v2"))


# A filter without state; of a machine that had no time to see what became of the answers, only that it drops what is new is known.
IN_STATELESS = ("guest-fw-stateless-drop", "guest-fw-inbound-drop")
OUT_STATELESS = ("guest-fw-egress-stateless", "guest-fw-egress-drop")


def firewall_in(n):
    """Everything, so that the network is of no use to its agent: over the port it tells the very rule and its kernel's word."""
    v = n.fault("h1", "v1", IN_STATELESS, "v1", drop("input", "iif != lo counter"), FLUSH)
    check(any(c["before"].startswith("v1:") for d in v["directions"] for c in d["cuts"]), "not cut inside v1\n" + brief(v))


def its_kernel_says_why(n):
    """Drop reasons by name from the guest's own kernel, which is not the host's, and the rule as the packet met it."""
    if "drops" not in n.agents()["v1"]["rights"]["has"]:
        return "the guest's agent cannot look at drops"
    n.run("v1", drop("input", "iif != lo counter"))
    seen = [None]

    def told():
        seen[0] = n.diagnose("n1", "v1")[1]
        cuts = [c for d in seen[0]["directions"] for c in d["cuts"]]
        return any(c["drop_reason"] == "NETFILTER_DROP" and c["drop_where"] == "v1" and "drop" in c.get("rule", "") for c in cuts)
    try:
        n.until(told, 30, lambda: "no word from v1's kernel\n" + brief(seen[0]), every=0.5)
    finally:
        n.run("v1", FLUSH)
    n.healthy("n1", "v1")


def firewall_out(n):
    n.fault("v1", "v2", OUT_STATELESS, "v2", drop("output", "oif != lo counter"), FLUSH)


def no_address(n):
    n.fault("v1", "h1", "guest-no-ip", "v1", "ip addr flush dev eth0", n.address("v1"))


def wrong_subnet(n):
    n.fault("v2", "v1", "wrong-subnet-ip", "v1", "ip -4 addr flush dev eth0; ip addr add 10.77.5.21/24 dev eth0",
            "ip -4 addr flush dev eth0; " + n.address("v1"))


def wrong_netmask(n):
    n.fault("h1", "v1", "netmask-too-narrow", "v1", "ip -4 addr flush dev eth0; ip addr add 10.7.0.21/30 dev eth0",
            "ip -4 addr flush dev eth0; " + n.address("v1"))


def wrong_vlan(n):
    """v1 was told to tag, on a port that does not: its address is on a VLAN device, its frames reach the host and nobody in it."""
    g = n.guests["v1"]
    n.fault("h1", "v1", "guest-no-ip", "v1", f"ip addr flush dev eth0; ip link add link eth0 name eth0.5 type vlan id 5; ip link set eth0.5 up; "
            f"ip addr add {g.ip}/24 dev eth0.5; ip addr add {g.ip6}/64 dev eth0.5 nodad", "ip link del eth0.5; " + n.address("v1"))


def cable_pulled(n):
    """The hypervisor takes the virtual cable: the tap stays up, only the guest sees it."""
    n.healthy("h1", "v1")
    n.vms["v1"].qmp("set_link", name="nic0", up=False)
    try:
        time.sleep(1)
        code, v = n.diagnose("h1", "v1")
        check(code == 2 and v["causes"][0]["id"] == "vnic-link-down", "not vnic-link-down first\n" + brief(v))
    finally:
        n.vms["v1"].qmp("set_link", name="nic0", up=True)
    n.healthy("h1", "v1")


def no_crash(n):
    check(not n.crashes(), "\n".join(n.crashes()))


CASES = [never_had_a_network, healthy, virtual_hardware, latent_faults, link_down, firewall_in, its_kernel_says_why, firewall_out, no_address, wrong_subnet, wrong_netmask, wrong_vlan,
         checksums_left_to_the_nic, cable_pulled, the_clock_jumps, the_host_agent_restarts, the_guest_stands_still, no_crash]


def run_all(report, pattern):
    """For run.py: boots once, runs the cases whose name has the pattern; False when one failed."""
    chosen = [(n, f) for n, f in [("vm/" + f.__name__.replace("_", "-"), f) for f in CASES] if pattern in n]
    if not chosen:
        return True
    net, missing = VmNet("n1"), why_not()
    try:
        def boots():
            try:
                return missing or net.up()
            except image.Unavailable as e:
                return str(e)
        if not report("vm/boots", boots):
            return False
        if not net.vms["v1"].started():
            return True
        if never_had_a_network not in dict(chosen).values():
            net.run("v1", net.address("v1"))
        return all([report(name, lambda f=f: f(net)) for name, f in chosen])
    finally:
        net.close()
