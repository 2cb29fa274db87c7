"""Open vSwitch, with its userspace datapath, as the bridge of a hypervisor: private daemons in the host's namespace, with all their
files in the lab's directory. A bridge for guests with VLANs, a second one with the uplink, a patch port between the two.

    g1 -- vg1 (tag 100) br-int p-ex ==patch== p-int br-ex -- eth1 -- core -- eth1 br0 (of the kernel) -- vg3 -- g3
    g2 -- vg2 (tag 100)   |  the host's own address, VLAN 100
"""
import os, shutil, signal, time

from lab import Failure, brief, check, overload
from topologies import Net, run

NEEDED = ("ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovsdb-tool", "ethtool")
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class OvsNet(Net):
    """switched: hosts with Open vSwitch."""

    def __init__(self, switched, *args, **named):
        self.switched = switched
        super().__init__(*args, **named)

    def ovs_dir(self, host):
        return self.path("ovs-" + host)

    def ovs(self, host, command):
        d = self.ovs_dir(host)
        return self.run(host, f"export OVS_RUNDIR={d} OVS_LOGDIR={d} OVS_DBDIR={d} OVS_SYSCONFDIR={d}; {command}")

    def ovs_up(self, host):
        d = self.ovs_dir(host)
        os.makedirs(d)
        self.ovs(host, f"ovsdb-tool create {d}/conf.db {SCHEMA} && ovsdb-server {d}/conf.db --remote=punix:{d}/db.sock --pidfile --detach --log-file >/dev/null 2>&1"
                       f" && ovs-vsctl --no-wait init && ovs-vswitchd unix:{d}/db.sock --pidfile --detach --log-file >/dev/null 2>&1")

    def ovs_bridge(self, host, name):
        self.ovs(host, f"ovs-vsctl --timeout=10 add-br {name} -- set bridge {name} datapath_type=netdev")

    def up_agent(self, name, *args, join=True):
        return super().up_agent(name, *(args + (("--ovs-rundir", self.ovs_dir(name)) if name in self.switched else ())), join=join)


def plain_frames(n, name, dev):
    """The userspace datapath forwards what it gets: no checksums left for later, no packets larger than they may be."""
    n.run(name, f"ethtool -K {dev} tx off tso off gso off gro off >/dev/null 2>&1 || ethtool -K {dev} tx off >/dev/null")


def guest(n, name, number, host, bridge=None):
    n.guest(name, bridge, "eth0", number, f"10.7.0.{number}/24", f"fd00:7::{number}/64")
    plain_frames(n, name, "eth0")


def two_bridges():
    def build(n):
        n._bridge("sw", "core", "02:fa:00:00:00:01")
        for i, h in enumerate(n.hosts, 1):
            n.mgmt(h, i)
            n._veth("sw", f"u{i}", h, "eth1", f"02:e0:00:00:00:0{i}")
            n.run("sw", f"ip link set u{i} master core")
            plain_frames(n, h, "eth1")
        n.ovs_up("h1")
        n.ovs_bridge("h1", "br-int")
        n.ovs_bridge("h1", "br-ex")
        for i in (1, 2):
            guest(n, f"g{i}", i, "h1")
            plain_frames(n, "h1", f"vg{i}")
        n.ovs("h1", "ovs-vsctl --timeout=10 set port br-int tag=100 -- add-port br-int vg1 tag=100 -- add-port br-int vg2 tag=100"
                    " -- add-port br-int p-ex tag=100 -- set interface p-ex type=patch options:peer=p-int"
                    " -- add-port br-ex p-int -- set interface p-int type=patch options:peer=p-ex -- add-port br-ex eth1")
        # the kernel still hears what comes in by the ports, and would answer ARP there, too
        n.run("h1", "sysctl -qw net.ipv4.conf.all.arp_ignore=1; ip addr add 10.7.0.101/24 dev br-int; ip addr add fd00:7::101/64 dev br-int nodad; ip link set br-int up")
        plain_frames(n, "h1", "br-int")
        n._bridge("h2", "br0", "02:b0:00:00:00:02")
        n.run("h2", "ip link set eth1 master br0; ip addr add 10.7.0.102/24 dev br0; ip addr add fd00:7::102/64 dev br0 nodad")
        guest(n, "g3", 3, "h2", "br0")
    guests = {"g1": ("red", "h1", "vg1"), "g2": ("red", "h1", "vg2"), "g3": ("red", "h2", "vg3")}
    return OvsNet(["h1"], ["h1", "h2"], guests, build).up()


def ways_through_it(n):
    n.places(g1="h1", g2="h1", g3="h2")
    n.way("g1", "g2", "g1:socket", "g1:eth0", "h1:vg1", "h1:vg2", "g2:eth0", "g2:socket")
    n.healthy("h1", "g1")
    n.healthy("g1", "g3")
    n.healthy("h1", "h2")


def broken(n, a, b, inject, undo, cause, says, cut):
    """The cause is named first, with these words in its evidence; the cut is where it is; the printed fix heals it."""
    n.ovs("h1", inject)
    try:
        time.sleep(0.3)
        v = n.diagnose(a, b)[1]
        cuts = [(c["after"], c["before"]) for d in v["directions"] for c in d["cuts"]]
        check(cut in cuts, f"{inject}: cuts {cuts}\n" + brief(v))
        check(v["causes"] and v["causes"][0]["id"] == cause and len(v["causes"]) == 1, f"{inject}: not {cause} alone\n" + brief(v))
        check(says in " ".join(v["causes"][0]["for"]), f"{inject}: no word of {says}\n" + brief(v))
        for f in v["causes"][0]["fix"]:
            check(not f.get("manual"), f"{inject}: no command\n" + brief(v))
            n.ovs(f["where"], f["command"])
        n.healthy(a, b)
    finally:
        n.ovs("h1", undo)
    n.healthy(a, b)


def another_vlan(n):
    broken(n, "g1", "g2", "ovs-vsctl set port vg2 tag=200", "ovs-vsctl set port vg2 tag=100", "vlan-mismatch", "in VLAN 200", ("h1:vg1", "h1:vg2"))
    broken(n, "g2", "g1", "ovs-vsctl set port vg2 tag=7", "ovs-vsctl set port vg2 tag=100", "vlan-mismatch", "in VLAN 7", ("h1:vg2", "h1:vg1"))
    broken(n, "g1", "g3", "ovs-vsctl set port vg1 tag=200", "ovs-vsctl set port vg1 tag=100", "vlan-mismatch", "in VLAN 200", ("h1:vg1", "h1:eth1"))


def latent(n, inject, undo, *expected):
    """`lint` finds these (check, component) at h1, and nothing besides; the first one's printed fix takes all of them away."""
    def found():
        return n.bw("lint", rc=None)[1]["findings"]

    def is_found(what):
        return {(f["id"], f["machine"], f["component"]) for f in found()} == {(id, "h1", component) for id, component in what}
    check(is_found(()), f"before anything is wrong: {found()}")
    n.ovs("h1", inject)
    try:
        n.until(lambda: is_found(expected), 12, lambda: f"not {expected}: {found()}")
        n.ovs("h1", next(f for f in found() if f["id"] == expected[0][0])["fix"]["command"])
        n.until(lambda: is_found(()), 12, lambda: f"after the fix of {expected[0]}: {found()}")
    finally:
        n.ovs("h1", undo)


def lint_minds_its_vlans(n):
    latent(n, "ovs-vsctl set port vg2 tag=200", "ovs-vsctl set port vg2 tag=100", ("vlan-differs", "vg2"), ("vlan-not-on-uplink", "p-ex VLAN 200"))
    latent(n, "ovs-vsctl clear port p-ex tag -- set port p-ex trunks=5,6", "ovs-vsctl clear port p-ex trunks -- set port p-ex tag=100",
           ("vlan-not-on-uplink", "p-ex VLAN 100"))
    n.healthy("g1", "g2")


def a_flow_that_drops(n):
    entry = "icmp,nw_dst=10.7.0.2"
    broken(n, "g1", "g2", f"ovs-ofctl add-flow br-int priority=77,{entry},actions=drop", f"ovs-ofctl del-flows br-int {entry}", "ovs-flow-drop",
           f"br-int table 0: {entry}, priority 77: drop", ("h1:vg1", "h1:vg2"))
    entry = "udp,nw_dst=10.7.0.3"
    broken(n, "g1", "g3", f"ovs-ofctl add-flow br-ex {entry},actions=drop", f"ovs-ofctl del-flows br-ex {entry}", "ovs-flow-drop",
           f"br-ex table 0: {entry}, priority 32768: drop", ("h1:vg1", "h1:eth1"))


def tables_without_entries(n):
    """A controller that is away and a bridge that must not forward without it."""
    lose, back = "ovs-vsctl set-fail-mode br-int secure; ovs-ofctl del-flows br-int", "ovs-vsctl del-fail-mode br-int; ovs-ofctl add-flow br-int priority=0,actions=normal"
    broken(n, "g1", "g2", lose, back, "ovs-flow-missing", "have no entry for it: br-int table 0", ("h1:vg1", "h1:vg2"))
    broken(n, "g3", "g1", lose, back, "ovs-flow-missing", "have no entry for it: br-int table 0", ("h1:eth1", "h1:vg1"))


def known(n, key, value):
    """A fact of h1, as the collector has it."""
    facts = n.bw("facts", "h1")[1]["facts"]
    return (facts.get(key) if isinstance(facts, dict) else {f["key"]: f["value"] for f in facts}.get(key)) == value


def changes_are_noticed(n):
    """Within the time of an event; the facts that nobody announces are looked at every ten seconds."""
    n.until(lambda: known(n, "vlan.vg2.100", "pvid untagged"), 5, "no VLANs of Open vSwitch")
    n.ovs("h1", "ovs-vsctl set port vg2 tag=55")
    try:
        n.until(lambda: known(n, "vlan.vg2.55", "pvid untagged"), 4, "a changed tag is not noticed")
    finally:
        n.ovs("h1", "ovs-vsctl set port vg2 tag=100")


def without_its_device(n):
    """The bridge's own device is the host's interface only."""
    n.run("h1", "ip link set br-int down")
    try:
        n.healthy("g1", "g2")
    finally:
        n.run("h1", "ip link set br-int up")


def silent_daemons(n):
    """They stand still, then they are dead: rounds go on."""
    pid = lambda name: int(open(os.path.join(n.ovs_dir("h1"), name + ".pid")).read())
    n.healthy("g1", "g2")
    os.kill(pid("ovsdb-server"), signal.SIGSTOP)
    os.kill(pid("ovs-vswitchd"), signal.SIGSTOP)
    v = n.diagnose("g1", "g2")[1]
    os.kill(pid("ovs-vswitchd"), signal.SIGCONT)
    os.kill(pid("ovsdb-server"), signal.SIGCONT)
    check(v["took_ms"] < 3000 * overload(), f"a round took {v['took_ms']} ms")
    n.healthy("g1", "g2")
    os.kill(pid("ovs-vswitchd"), signal.SIGKILL)
    v = n.diagnose("g1", "g2")[1]
    check(v["state"] != "ok" and v["took_ms"] < 3000 * overload(), "nobody forwards\n" + brief(v))
    check(not [c for c in v["causes"] if c["confidence"] >= 0.6 and c["id"] in ("vlan-mismatch", "ovs-flow-drop")], "a false cause\n" + brief(v))


def missing():
    lacks = [p for p in NEEDED if not shutil.which(p)]
    return f"no {', '.join(lacks)}" if lacks else "" if os.path.exists(SCHEMA) else f"no {SCHEMA}"


def alone():
    tests = [(two_bridges, [ways_through_it, changes_are_noticed, without_its_device, lint_minds_its_vlans, another_vlan, a_flow_that_drops, tables_without_entries, silent_daemons])]
    return [("ovs/" + build.__name__.replace("_", "-"), lambda b=build, f=fns: missing() or run(b, f)) for build, fns in tests]
