"""What the kernel says: the reason and the place of a drop, the rule of nftables that did it, at the cut and nowhere else; and that
nothing of what asked it stays. Run in the shared lab, and once for itself."""
import glob, json, os, re, signal, subprocess

import lab as labs
from lab import Guest, Lab, brief, check, sh

FILTER = "nft -f - <<'N'\ntable {family} t {{\nchain c {{\ntype filter hook {hook} priority 0; policy accept;\n{rules}\n}}\n}}\nN\n"
NO_FILTER = "nft delete table {family} t"
LOOSE = "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0; ip route del 10.0.0.11/32 dev lo"
STRICT = "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1; ip route replace 10.0.0.11/32 dev lo"


def filtered(family, hook, rules):
    return FILTER.format(family=family, hook=hook, rules=rules), NO_FILTER.format(family=family)


class Drop:
    """A fault in the direction a -> b, and what must be told of the drop there."""

    def __init__(self, name, pair, where, fault, reason, place, rule=None, ifname=None):
        self.name, self.pair, self.where, self.reason, self.place, self.rule, self.ifname = name, pair, where, reason, place, rule, ifname
        self.inject, self.revert = fault


def cases():
    return [
        Drop("guest-input", ("a1", "a2"), "a2", filtered("inet", "input", "tcp dport 22 drop\nmeta l4proto { udp, tcp } drop"),
             "NETFILTER_DROP", "nft_do_chain", r"inet t c handle 4\b.*drop", "eth0"),
        Drop("guest-input-rejects", ("a1", "a2"), "a2", filtered("inet", "input", "ct state established accept\ntcp dport 1-65535 reject"),
             "NETFILTER_DROP", "nft_do_chain", r"inet t c handle \d+\b.*reject"),
        Drop("guest-output", ("a1", "a2"), "a1", filtered("inet", "output", "ip daddr 10.0.0.12 udp dport 1-65535 drop"),
             "NETFILTER_DROP", "nft_do_chain", r"inet t c handle 2\b"),
        Drop("policy", ("a1", "a2"), "a2", (filtered("inet", "input", "meta l4proto != udp accept")[0].replace("policy accept", "policy drop"),
                                            NO_FILTER.format(family="inet")), "NETFILTER_DROP", "nft_do_chain", r"inet t c policy drop"),
        Drop("host-bridge", ("a1", "a2"), "h2", filtered("bridge", "forward", 'oifname "vn-a2" ip protocol icmp drop'),
             "NETFILTER_DROP", "nft_do_chain", r"bridge t c handle 2\b.*drop"),
        Drop("iptables", ("a1", "a2"), "a2", ("iptables -A INPUT -p udp -j DROP", "iptables -F; nft delete table ip filter"),
             "NETFILTER_DROP", "nft_do_chain", r"ip filter INPUT handle \d+\b"),
        Drop("rp-filter", ("a1", "a2"), "a2", (STRICT, LOOSE), "IP_RPFILTER", "ip_rcv_finish_core", ifname="eth0"),
        Drop("wrong-mac", ("a1", "a2"), "a1", ("ip neigh replace 10.0.0.12 lladdr 02:99:00:00:00:99 dev eth0 nud permanent", "ip neigh del 10.0.0.12 dev eth0"),
             "OTHERHOST", "ip_rcv_core", ifname="eth0"),
        Drop("no-forwarding", ("a3", "c1"), "h1", ("sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1"),
             "IP_INADDRERRORS", "ip_error", ifname="br-a"),
        Drop("no-route", ("a3", "c1"), "h1", ("ip route del 10.0.1.0/24 dev br-c", "ip route replace 10.0.1.0/24 dev br-c src 10.0.1.1 proto kernel scope link"),
             "IP_INNOROUTES", "ip_error"),
        Drop("blackhole", ("a3", "c1"), "h1", ("ip route add blackhole 10.0.1.11/32", "ip route del blackhole 10.0.1.11/32"), "NOT_SPECIFIED", "ip_error"),
        Drop("oversize", ("a1", "a2"), "h2", ("ip link set vn-a2 mtu 1300", "ip link set vn-a2 mtu 1500"), "NOT_SPECIFIED", "br_dev_queue_push_xmit", ifname="vn-a2"),
    ]


def cuts(v, pair):
    return [c for d in v["directions"] if (d["from"].split("/")[-1], d["to"].split("/")[-1]) == pair for c in d["cuts"]]


def tells(cut, case):
    return (cut["drop_reason"] == case.reason and cut.get("drop_at") == case.place and (not case.rule or re.search(case.rule, cut.get("rule") or ""))
            and (not case.ifname or cut.get("drop_if") == case.ifname))


def told(lab, case):
    tables = lambda: lab.run(case.where, "nft list tables")
    try:
        lab.run(case.where, case.inject)
        code, v = lab.diagnose(*case.pair)
        check(any(tells(c, case) for c in cuts(v, case.pair)), f"no cut says {case.reason} at {case.place}, {case.rule}:\n" + brief(v))
        lab.until(lambda: "bothways" not in tables(), 3, lambda: "the round left tables:\n" + tables())
    finally:
        lab.run(case.where, case.revert, ok=False)
    lab.healthy(*case.pair)


def shared():
    return [("drops-" + c.name, lambda lab, c=c: told(lab, c)) for c in cases()]


# ---- for itself: what has no rights, what is switched off, what is killed ----

def alone():
    return [("drops-rights-and-ends", rights_and_ends)]


GUESTS = [Guest("a1", "red", "h1", "br-a", 11), Guest("a2", "red", "h1", "br-a", 12), Guest("a3", "red", "h1", "br-a", 13)]
INPUT = filtered("inet", "input", "udp dport 1-65535 drop")


def rights_and_ends():
    lab = Lab(guests=GUESTS, hosts=["h1"])
    try:
        lab.up()
        lab.healthy("a1", "a2")
        leaves_nothing(lab)
        killed(lab)
        switched_off(lab)
        without_rights(lab)
        check(not lab.crashes(), "\n".join(lab.crashes()))
    finally:
        lab.close()


def processes(lab, name):
    return {int(pid): open(f"/proc/{pid}/comm").read().strip() for pid in sh(f"ip netns pids {lab.ns(name)}", ok=False).split() if os.path.exists(f"/proc/{pid}/comm")}


def observers(lab, name):
    return [pid for pid, comm in processes(lab, name).items() if comm == "bothways-drops"]


def programs(pid):
    """Numbers of the BPF programs which that process holds, itself or by a link."""
    text = "".join(open(p).read() for p in glob.glob(f"/proc/{pid}/fdinfo/*"))
    return {int(n) for n in re.findall(r"^prog_id:\s*(\d+)", text, re.M)}


def exist(programs):
    return {p for p in programs if subprocess.run(["bpftool", "prog", "show", "id", str(p)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0}


def leaves_nothing(lab):
    """After a round the observer lingers, detached, and is gone a few seconds later. The guests have a filter, so that there is something to trace."""
    lab.run("a2", INPUT[0].replace("drop", "accept"))
    ruleset = lambda: lab.run("a2", "nft -a list ruleset")
    before = lab.until(lambda: "bothways" not in (r := ruleset()) and r, 10, "rounds do not end")
    lab.healthy("a1", "a2")
    pids = observers(lab, "a2")
    check(len(pids) == 1, f"the observers of a2: {pids}")
    held = programs(pids[0])
    check(held, "the observer holds no BPF program")
    lab.until(lambda: ruleset() == before, 10, lambda: "the ruleset is not what it was:\n" + ruleset())
    lab.until(lambda: not observers(lab, "a2"), 6, "the observer stays")
    lab.until(lambda: not exist(held), 3, lambda: f"BPF programs stay: {exist(held)}")
    lab.run("a2", INPUT[1])


def killed(lab):
    """SIGKILL in the middle of a round: the observer, its program and its table go with the agent."""
    lab.run("a2", INPUT[0])
    asked = subprocess.Popen([f"{labs.BIN}/bothways", "--state", lab.path("col"), "diagnose", "a1", "a2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        lab.until(lambda: "bothways-" in lab.run("a2", "nft list tables"), 5, "no round traces", every=0.02)
        pids = observers(lab, "a2")
        held = programs(pids[0])
        check(held, "the observer holds no BPF program")
        lab.stop("a2", signal.SIGKILL)
        lab.until(lambda: not processes(lab, "a2"), 3, lambda: f"left: {processes(lab, 'a2')}")
        lab.until(lambda: "bothways-" not in lab.run("a2", "nft list tables"), 3, lambda: lab.run("a2", "nft list tables"))
        lab.until(lambda: not exist(held), 3, lambda: f"BPF programs stay: {exist(held)}")
    finally:
        asked.wait(30)
    lab.run("a2", INPUT[1])
    lab.up_agent("a2", join=False)
    lab.healthy("a1", "a2", seconds=20)


def found(lab, pair):
    code, v = lab.diagnose(*pair)
    check(any(c["id"] == "guest-fw-stateless-drop" for c in v["causes"]), "the cause is not named:\n" + brief(v))
    return [c for c in cuts(v, pair) if "udp" in c["kinds"]]


def switched_off(lab):
    """And what a killed one left on a kernel without owned tables is swept at the next start, but nothing of one that lives."""
    lab.stop("a2")
    dead = subprocess.Popen(["true"])
    dead.wait()
    lab.run("a2", f"nft add table inet bothways-{dead.pid}-1; nft add table inet bothways-{os.getpid()}-1; nft add table inet bothways-mine")
    lab.up_agent("a2", "--rule-trace", "off", join=False)
    lab.healthy("a1", "a2", seconds=20)
    check(lab.run("a2", "nft list tables").split() == f"table inet bothways-{os.getpid()}-1 table inet bothways-mine".split(), lab.run("a2", "nft list tables"))
    lab.run("a2", f"nft delete table inet bothways-{os.getpid()}-1; nft delete table inet bothways-mine")
    lab.run("a2", INPUT[0])
    told = found(lab, ("a1", "a2"))
    check(told[0]["drop_reason"] == "NETFILTER_DROP" and not told[0].get("rule"), f"a rule is traced although that is off: {told}")
    lab.run("a2", INPUT[1])


def without_rights(lab):
    """An agent that may not load programs: the round works all the same and says what was not looked at."""
    lab.stop("a2")
    argv = ["setpriv", "--bounding-set", "-bpf,-perfmon,-sys_admin", f"{labs.BIN}/bothways-agent", "--state", lab.path("a2"), "--oob", lab.path("oob-h1", "a2")]
    lab.spawn("a2", "a2", argv)
    lab.healthy("a1", "a2", seconds=20)
    code, doc = lab.bw("agents")
    mine = next(a for a in doc["agents"] if a["name"] == "a2")
    check("drops" not in mine["rights"] and "CAP_BPF" in json.dumps(mine), f"it does not say what it may not: {mine}")
    lab.run("a2", INPUT[0])
    told = found(lab, ("a1", "a2"))
    check(not rights_missed(lab), "lint misses no right to capture")
    check(told[0]["drop_reason"] is None and re.search(r"inet t c handle \d+", told[0].get("rule") or ""), f"without BPF, but with tracing: {told}")
    lab.run("a2", INPUT[1])
    lab.stop("a2")
    lab.spawn("a2", "a2", argv[:2] + [argv[2] + ",-net_raw"] + argv[3:])
    lab.until(lambda: rights_missed(lab) == ["a2"], 20, lambda: f"an agent that may not capture is at {rights_missed(lab)}")
    lab.stop("a2")
    lab.up_agent("a2", join=False)
    lab.until(lambda: not rights_missed(lab), 20, lambda: f"an agent that may not capture is at {rights_missed(lab)}")


def rights_missed(lab):
    return [f["machine"] for f in lab.bw("lint", rc=None)[1]["findings"] if f["id"] == "agent-rights"]
