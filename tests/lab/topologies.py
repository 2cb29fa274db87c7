"""Other ways to build a network than the one of lab.py. In each: the mesh comes up without a cause, every guest is found where it
stands, a path is drawn as it is, typical faults are named, and the printed fix heals them."""
import os, signal, time

from lab import COLLECTOR_IP, Failure, Lab, brief, check


class Box:
    """A guest of any topology; ip and mac are what its build function gave it."""

    def __init__(self, name, tenant, host, port):
        self.name, self.tenant, self.host, self.port = name, tenant, host, port


class Net(Lab):
    """hosts: names. guests: name -> (tenant, host, port). build(net) makes the network; `sw` (with the collector) is there already.
    silent: machines without an agent. deaf: guests without an out-of-band path."""

    def __init__(self, hosts, guests, build, silent=(), deaf=()):
        super().__init__(guests=[Box(n, *g) for n, g in guests.items()], hosts=[h for h in hosts])
        self.hosts = list(hosts)
        self.machines, self.build, self.silent, self.deaf = list(hosts), build, silent, deaf
        self.all_guests = dict(self.guests)

    def up(self, quiet=1):
        """quiet: for so many seconds nothing may be wrong; None: something is, as it is meant."""
        try:
            return self._up(quiet)
        except BaseException:
            self.close()
            raise

    def _up(self, quiet):
        self._ns("sw")
        for name in self.machines + list(self.guests):
            self._ns(name)
        self._bridge("sw", "mgmt", "02:ff:00:00:00:01")
        self.run("sw", f"ip addr add {COLLECTOR_IP}/24 dev mgmt")
        self.build(self)
        self.hosts = [h for h in self.hosts if h not in self.silent]
        self.guests = {n: g for n, g in self.guests.items() if n not in self.silent}
        self.up_collector()
        for name in self.hosts + list(self.guests):
            self.up_agent(name)
        self.wait()
        if quiet is not None:
            self.quiet(quiet)
        return self

    def up_agent(self, name, *args, join=True):
        self.oob = name not in self.deaf
        return super().up_agent(name, *args, join=join)

    def causes_shown(self):
        pairs = [(p["a"], p["b"], p["verdict"]) for p in self.bw("mesh", rc=None)[1]["pairs"] if p["verdict"]]
        return pairs + [p for p in self.bw("status", rc=None)[1]["problems"]]

    def well(self, seconds=15):
        ill = lambda: [p for p in self.bw("mesh", rc=None)[1]["pairs"] if p["state"] != "ok"]
        self.until(lambda: not ill() and not self.causes_shown(), seconds, lambda: f"not well: {str(ill())[:1500]} {str(self.causes_shown())[:1500]}")

    def quiet(self, seconds):
        """For so long nothing is wrong."""
        end = time.monotonic() + seconds
        while True:
            seen = self.causes_shown()
            check(not seen, f"a verdict in a healthy mesh: {seen}")
            if time.monotonic() > end:
                break
            time.sleep(0.5)
        self.well()

    # ---- building ----
    def mgmt(self, name, number, dev="mgmt0"):
        self._veth("sw", f"m{number}", name, dev, f"02:0e:00:00:00:{number:02x}")
        self.run("sw", f"ip link set m{number} master mgmt")
        self.run(name, f"ip addr add 172.31.255.{number}/24 dev {dev}")

    def port(self, at, bridge, port, to, dev, mac, mtu=1500):
        self._veth(at, port, to, dev, mac)
        self.run(at, f"ip link set {port} mtu {mtu}" + (f" master {bridge}" if bridge else ""))
        self.run(to, f"ip link set {dev} mtu {mtu}")

    def guest(self, name, bridge, dev, number, *addresses, mtu=1500, mac=None):
        g = self.guests[name]
        g.mac = mac or f"52:54:00:aa:00:{number:02x}"
        g.ip = addresses[0].split("/")[0] if addresses else ""
        self.port(g.host, bridge, g.port, name, dev, g.mac, mtu)
        for a in addresses:
            self.run(name, f"ip addr add {a} dev {dev}" + (" nodad" if ":" in a else ""))

    def calm(self, where):
        """Waits until that machine has digested a change: here none needs to."""

    # ---- looking ----
    def agents(self):
        return {a["name"]: a for a in self.bw("agents")[1]["agents"]}

    def places(self, **want):
        """guest -> host, as `bothways agents` says."""
        seen = {n.replace("-", "_").replace(".", "_"): a["host"] and a["host"].split("/")[-1] for n, a in self.agents().items()}
        for guest, host in want.items():
            check(seen[guest] == host, f"{guest} is at {seen[guest]}, not {host}")

    def way(self, a, b, *points):
        self.healthy(a, b)
        v = self.diagnose(a, b)[1]
        got = [p["point"] for p in v["directions"][0]["path"]]
        check(got == list(points), f"path {got}, not {list(points)}")
        check([p["point"] for p in v["directions"][1]["path"]] == got[::-1], "the way back is not the same\n" + brief(v))
        return v

    def fault(self, a, b, cause, where, inject, undo="true", at=None, fix=True, settle=0.3):
        """inject and undo run at `at` (a machine, by default `where`); the fix alone must heal it. cause None: none may be named."""
        at = at or where
        self.healthy(a, b)
        self.run(at, inject)
        try:
            time.sleep(settle)
            code, v = self.diagnose(a, b)
            check(v["state"] != "ok" and code in (2, 3), f"{inject}: state {v['state']} exit {code}\n" + brief(v))
            if cause is None:
                check(not v["causes"], f"{inject}: a cause was named\n" + brief(v))
                return v
            check(v["causes"] and v["causes"][0]["id"] == cause, f"{inject}: not {cause} first\n" + brief(v))
            check(where is None or v["causes"][0]["where"] == where, f"blamed {v['causes'][0]['where']}\n" + brief(v))
            fixes = [f for f in v["causes"][0]["fix"] if not f.get("manual")]
            check(fixes or not fix, f"{inject}: no fix\n" + brief(v))
            for f in fixes if fix else []:
                self.run(f["where"].split("/")[-1], f["command"], timeout=20)
            if fix:
                try:
                    self.healthy(a, b)
                except Failure as e:
                    raise Failure(f"{inject}: the fix {[(f['where'], f['command']) for f in fixes]} did not help: {e}")
            return v
        finally:
            self.run(at, undo, ok=False)


def drop(hook, what, family="inet"):
    return f"nft 'table {family} f {{ chain c {{ type filter hook {hook} priority 0; {what} drop; }}; }}'"


FLUSH = "nft flush ruleset"

# ---- one NIC for everything ----


def one_nic():
    """Proxmox-like: the only NIC of a host is a port of vmbr0, which has the host's address; guests and collector are behind it."""
    def build(n):
        n._bridge("sw", "lan", "02:fa:00:00:00:01")
        n.run("sw", "ip addr del %s/24 dev mgmt; ip addr add %s/24 dev lan" % (COLLECTOR_IP, COLLECTOR_IP))
        for i, h in enumerate(n.hosts, 1):
            n._bridge(h, "vmbr0", f"02:b0:00:00:00:0{i}")
            n._veth("sw", f"p{i}", h, "enp1s0", f"02:b0:00:00:00:0{i}")
            n.run("sw", f"ip link set p{i} master lan")
            n.run(h, f"ip link set enp1s0 master vmbr0; ip addr add 172.31.255.{i}/24 dev vmbr0; ip addr add fd00:9::{i}/64 dev vmbr0 nodad")
        for i, g in enumerate(n.guests, 100):
            n.guest(g, "vmbr0", "ens18", i, f"172.31.255.{i}/24", f"fd00:9::{i}/64")
    return Net(["pve1", "pve2"], {"vm100": ("acme", "pve1", "tap100i0"), "vm101": ("acme", "pve2", "tap101i0"), "vm102": ("acme", "pve1", "fwpr102p0")},
               build, deaf=("vm101",)).up()


def one_nic_for_all(n):
    n.places(vm100="pve1", vm101="pve2", vm102="pve1")
    n.way("vm100", "vm101", "vm100:socket", "vm100:ens18", "pve1:tap100i0", "pve1:enp1s0", "pve2:enp1s0", "pve2:tap101i0", "vm101:ens18", "vm101:socket")
    n.way("pve1", "vm101", "pve1:socket", "pve1:vmbr0", "pve1:enp1s0", "pve2:enp1s0", "pve2:tap101i0", "vm101:ens18", "vm101:socket")
    n.way("pve1", "pve2", "pve1:socket", "pve1:vmbr0", "pve1:enp1s0", "pve2:enp1s0", "pve2:vmbr0", "pve2:socket")
    n.fault("vm101", "vm100", "tap-not-in-bridge", "pve1", "ip link set tap100i0 nomaster", "ip link set tap100i0 master vmbr0")
    n.fault("vm100", "pve2", "stale-arp-guest", "vm100", "ip neigh replace 172.31.255.2 lladdr 02:00:00:00:00:99 dev ens18 nud permanent", "ip neigh del 172.31.255.2 dev ens18")


def a_cut_guest_that_nobody_hears(n):
    """vm101 speaks to the collector over the network that is cut."""
    n.healthy("pve2", "vm101")
    n.run("pve2", "ip link set tap101i0 nomaster")
    try:
        time.sleep(3.3)
        code, v = n.diagnose("pve2", "vm101")
        ids = [c["id"] for c in v["causes"]]
        check(ids and ids[0] == "tap-not-in-bridge", "not tap-not-in-bridge\n" + brief(v))
    finally:
        n.run("pve2", "ip link set tap101i0 master vmbr0")
    n.healthy("pve2", "vm101", seconds=25)


# ---- an overlay between the hosts ----


def overlay():
    """Three hypervisors; a VXLAN device is the bridge's only way out; guests have 1450. The hosts have no address on the bridge."""
    def build(n):
        n._bridge("sw", "core", "02:fa:00:00:00:01")
        for i, h in enumerate(n.hosts, 1):
            n.mgmt(h, i)
            n._veth("sw", f"u{i}", h, "eno1", f"02:e0:00:00:00:0{i}")
            n.run("sw", f"ip link set u{i} master core")
            n._bridge(h, "virbr0", f"02:b0:00:00:00:0{i}")
            n.run(h, f"ip addr add 192.0.2.{i}/24 dev eno1; ip link add vxlan42 type vxlan id 42 local 192.0.2.{i} dstport 4789 nolearning; "
                     f"ip link set vxlan42 mtu 1450 master virbr0 up")
            for k in range(1, 4):
                n.run(h, f"bridge fdb append 00:00:00:00:00:00 dev vxlan42 dst 192.0.2.{k}") if k != i else None
            n.run(h, "ip link set vxlan42 type vxlan nolearning; bridge link set dev vxlan42 learning on")
        for i, g in enumerate(n.guests, 1):
            n.guest(g, "virbr0", "enp1s0", i, f"10.42.0.{i}/24", f"fd00:42::{i}/64", mtu=1450)
    guests = {"db.prod-1": ("acme", "kvm1", "vnet0"), "web.prod-1": ("acme", "kvm2", "vnet0"), "web.prod-2": ("acme", "kvm3", "vnet3")}
    return Net(["kvm1", "kvm2", "kvm3"], guests, build).up()


def overlay_between_hosts(n):
    n.places(db_prod_1="kvm1", web_prod_1="kvm2", web_prod_2="kvm3")
    n.way("db.prod-1", "web.prod-1", "db.prod-1:socket", "db.prod-1:enp1s0", "kvm1:vnet0", "kvm1:vxlan42", "kvm1:eno1", "kvm2:eno1", "kvm2:vxlan42", "kvm2:vnet0", "web.prod-1:enp1s0", "web.prod-1:socket")
    n.healthy("kvm1", "kvm3")
    n.healthy("kvm1", "db.prod-1")
    n.fault("db.prod-1", "web.prod-2", "uplink-missing-from-bridge", "kvm3", "ip link set vxlan42 nomaster", "ip link set vxlan42 master virbr0")
    n.fault("db.prod-1", "web.prod-1", "guest-fw-inbound-drop", "web.prod-1", "nft 'table inet f { chain c { type filter hook input priority 0; policy drop; iif lo accept; ct state established accept; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; }; }'", FLUSH)


def underlay_is_too_small(n):
    for h in n.hosts:
        n.run(h, "ethtool -K eno1 tso off gso off", ok=False)
    n.fault("db.prod-1", "web.prod-1", "mtu-physical-path", None, "for p in u1 u2 u3; do ip link set $p mtu 1400; done",
            "for p in u1 u2 u3; do ip link set $p mtu 1500; done", at="sw", fix=False)


# ---- routed guests: no bridge at all ----


def routed():
    """Each guest has a /32 and a default route over a link-local next hop; its host has a route per guest and answers ARP for it."""
    def build(n):
        n._bridge("sw", "core", "02:fa:00:00:00:01")
        for i, h in enumerate(n.hosts, 1):
            n.mgmt(h, i)
            n._veth("sw", f"u{i}", h, "eth0", f"02:e0:00:00:00:0{i}")
            n.run("sw", f"ip link set u{i} master core")
            n.run(h, f"ip addr add 192.0.2.{i}/24 dev eth0; ip route add default via 192.0.2.254; sysctl -qw net.ipv4.ip_forward=1")
        for i, g in enumerate(n.guests.values(), 1):
            n.guest(g.name, "", "eth0", i, f"10.50.{g.host[-1]}.{i}/32")
            n.run(g.name, "ip route add 169.254.1.1 dev eth0; ip route add default via 169.254.1.1")
            n.run(g.host, f"sysctl -qw net.ipv4.conf.{g.port}.proxy_arp=1 net.ipv4.neigh.{g.port}.proxy_delay=0; ip route add {g.ip} dev {g.port}")
        n.run("r1", "ip route add 10.50.2.0/24 via 192.0.2.2")
        n.run("r2", "ip route add 10.50.1.0/24 via 192.0.2.1")
    return Net(["r1", "r2"], {"p1": ("t", "r1", "cali1"), "p2": ("t", "r2", "cali2"), "p3": ("t", "r1", "cali3")}, build).up()


def routed_guests(n):
    n.places(p1="r1", p2="r2", p3="r1")
    for a, b in (("p1", "p2"), ("p1", "p3"), ("r1", "p1"), ("r2", "p1")):
        n.healthy(a, b)
    p1, p2 = n.guests["p1"], n.guests["p2"]
    n.fault("p1", "p2", "default-gateway-missing", "p1", "ip route del default", "ip route replace default via 169.254.1.1")
    n.fault("p1", "p2", "blackhole-route", "p1", f"ip route add blackhole {p2.ip}", f"ip route del blackhole {p2.ip}")
    n.fault("r1", "p1", "guest-fw-icmp-only", "p1", drop("input", "icmp type echo-request"), FLUSH)
    n.fault("p1", "p2", "ip-forward-off", "r1", "sysctl -qw net.ipv4.ip_forward=0", "sysctl -qw net.ipv4.ip_forward=1")
    n.fault("p1", "p2", "stale-arp-guest", "p1", "ip neigh replace 169.254.1.1 lladdr 02:de:ad:00:00:01 dev eth0 nud permanent", "ip neigh del 169.254.1.1 dev eth0")
    n.fault("p1", "p2", "vnic-link-down", "r1", f"ip link set {p1.port} down", f"ip link set {p1.port} up; ip route replace {p1.ip} dev {p1.port}")
    n.fault("p1", "p2", "no-return-route", "r2", "ip route del 10.50.1.0/24", "ip route replace 10.50.1.0/24 via 192.0.2.1", at="r2")


# ---- who is there, and who is not ----


def two_hosts(n, mgmt=(), six=True):
    """A bridge on each, joined by a switch. mgmt: guests with a way of their own to the collector."""
    n._bridge("sw", "fab", "02:fa:00:00:00:01")
    for i, h in enumerate(n.machines, 1):
        n.mgmt(h, i)
        n._bridge(h, "br0", f"02:b0:00:00:00:0{i}")
        n._veth("sw", f"u{i}", h, "eno1", f"02:e0:00:00:00:0{i}")
        n.run("sw", f"ip link set u{i} master fab")
        n.run(h, f"ip link set eno1 master br0; ip addr add 10.7.0.{i}/24 dev br0" + (f"; ip addr add fd00:7::{i}/64 dev br0 nodad" if six else ""))
    for i, g in enumerate(n.guests, 11):
        n.guest(g, "br0", "eth0", i, f"10.7.0.{i}/24", *([f"fd00:7::{i}/64"] if six else []))
        if not six:
            n.run(g, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
        if g in mgmt:
            n.mgmt(g, 90 + i)


def no_agent_on_one_host():
    return Net(["h1", "h2"], {"g1": ("t", "h1", "vnet1"), "g2": ("t", "h2", "vnet2")}, lambda n: two_hosts(n, mgmt=("g2",), six=False),
               silent=("h2",), deaf=("g2",)).up()


def a_host_without_an_agent(n):
    n.places(g1="h1", g2=None)
    n.healthy("h1", "g2")
    n.way("g1", "g2", "g1:socket", "g1:eth0", "h1:vnet1", "h1:eno1", "g2:eth0", "g2:socket")
    n.fault("g1", "g2", "guest-fw-icmp-only", "g2", drop("input", "icmp type echo-request"), FLUSH)
    n.fault("g1", "g2", "guest-no-ip", "g2", "ip addr flush dev eth0", "ip addr add 10.7.0.12/24 dev eth0")
    n.fault("g1", "g2", "mtu-guest-smaller", "g2", "ip link set eth0 mtu 1400", "ip link set eth0 mtu 1500")
    n.fault("g1", "g2", None, None, "ip link set vnet2 nomaster", "ip link set vnet2 master br0", at="h2")
    n.healthy("g1", "g2")


def guests_only():
    def build(n):
        n._bridge("sw", "lan", "02:fa:00:00:00:01")
        for i, g in enumerate(n.guests, 11):
            n.guests[g].host = "sw"
            n.mgmt(g, i)
            n.guest(g, "lan", "eth0", i, f"10.7.0.{i}/24", f"fd00:7::{i}/64")
    return Net([], {"g1": ("t", "sw", "vnet1"), "g2": ("t", "sw", "vnet2"), "g3": ("t", "sw", "vnet3")}, build, deaf=("g1", "g2", "g3")).up()


def only_guests(n):
    n.places(g1=None, g2=None)
    n.way("g1", "g2", "g1:socket", "g1:eth0", "g2:eth0", "g2:socket")
    n.fault("g1", "g2", "guest-fw-icmp-only", "g2", drop("input", "icmp type echo-request"), FLUSH)
    n.fault("g1", "g2", "stale-arp-guest", "g1", "ip neigh replace 10.7.0.12 lladdr 02:00:00:00:00:99 dev eth0 nud permanent", "ip neigh del 10.7.0.12 dev eth0")
    n.fault("g1", "g2", "guest-nic-admin-down", "g2", "ip link set eth0 down", "ip link set eth0 up; ip addr replace fd00:7::12/64 dev eth0 nodad")
    n.fault("g1", "g2", None, None, drop("forward", 'iifname "vnet1" ip protocol udp', "bridge"), FLUSH, at="sw")


# ---- one family only ----


def one_family():
    """Segment six has IPv6 only, segment four has none; both on every host, two tenants with the same MACs on different hosts."""
    def build(n):
        for net in ("four", "six"):
            n._bridge("sw", f"fab{net}", "02:fa:00:00:00:0" + str(len(net)))
        for i, h in enumerate(n.hosts, 1):
            n.mgmt(h, i)
            for k, net in enumerate(("four", "six"), 1):
                n._bridge(h, f"br-{net}", f"02:b{k}:00:00:00:0{i}")
                n._veth("sw", f"{net}{i}", h, f"up-{net}", f"02:e{k}:00:00:00:0{i}")
                n.run("sw", f"ip link set {net}{i} master fab{net}")
                n.run(h, f"ip link set up-{net} master br-{net}")
            n.run(h, f"sysctl -qw net.ipv6.conf.br-four.disable_ipv6=1; ip addr add 10.4.0.{i}/24 dev br-four; ip addr add fd00:6::{i}/64 dev br-six nodad")
        for i, g in enumerate(n.guests, 11):
            four = g.startswith("v4")
            n.guest(g, "br-four" if four else "br-six", "eth0", i, f"10.4.0.{i}/24" if four else f"fd00:6::{i}/64",
                    mac="52:54:00:12:34:5" + ("6" if g in ("v4-a", "v6-b") else "7"))
            if four:
                n.run(g, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
    guests = {"v4-a": ("four", "h1", "vnet1"), "v4-b": ("four", "h2", "vnet1"), "v6-a": ("six", "h1", "vnet2"), "v6-b": ("six", "h2", "vnet2")}
    return Net(["h1", "h2"], guests, build).up()


def one_family_only(n):
    n.places(v4_a="h1", v4_b="h2", v6_a="h1", v6_b="h2")
    n.way("v4-a", "v4-b", "v4-a:socket", "v4-a:eth0", "h1:vnet1", "h1:up-four", "h2:up-four", "h2:vnet1", "v4-b:eth0", "v4-b:socket")
    n.way("v6-a", "v6-b", "v6-a:socket", "v6-a:eth0", "h1:vnet2", "h1:up-six", "h2:up-six", "h2:vnet2", "v6-b:eth0", "v6-b:socket")
    n.healthy("h2", "v6-a")
    n.fault("h1", "v6-a", "guest-fw-icmp-only", "v6-a", drop("input", "icmpv6 type echo-request"), FLUSH)
    n.fault("v6-a", "v6-b", "blackhole-route", "v6-a", "ip -6 route add blackhole fd00:6::14", "ip -6 route del blackhole fd00:6::14")
    n.fault("v6-a", "v6-b", "guest-no-ip", "v6-b", "ip -6 addr del fd00:6::14/64 dev eth0", "ip addr replace fd00:6::14/64 dev eth0 nodad")
    n.fault("v6-a", "v6-b", "mtu-guest-smaller", "v6-b", "ip link set eth0 mtu 1400", "ip link set eth0 mtu 1500")


# ---- names, two NICs, migration ----


def crowded():
    """Many guests on one host, one of them with two NICs, the others with several; names taken from the host name."""
    def build(n):
        for net in ("prod", "store"):
            n._bridge("sw", f"fab{net}", "02:fa:00:00:00:0" + str(len(net)))
        for i, h in enumerate(n.hosts, 1):
            n.mgmt(h, i)
            for k, net in enumerate(("prod", "store"), 1):
                n._bridge(h, net, f"02:b{k}:00:00:00:0{i}")
                n._veth("sw", f"{net}{i}", h, f"ens{k}f0", f"02:e{k}:00:00:00:0{i}")
                n.run("sw", f"ip link set {net}{i} master fab{net}")
                n.run(h, f"ip link set ens{k}f0 master {net}")
            n.run(h, f"ip addr add 10.8.0.{i}/24 dev prod")
        for i, g in enumerate(n.guests, 11):
            n.guest(g, "prod", "eth0", i, f"10.8.0.{i}/24")
        for i, g in enumerate(("dual", "g1"), 1):
            n.port(n.guests[g].host, "store", f"st{i}", g, "eth1", f"52:54:00:bb:00:0{i}")
            n.run(g, f"ip addr add 10.9.0.{i}/24 dev eth1")
    guests = {"dual": ("t", "h1", "tap0")}
    guests |= {f"g{i}": ("t", "h1", f"tap{i}") for i in range(1, 6)}
    guests["far"] = ("t", "h2", "tap0")
    return Net(["h1", "h2"], guests, build).up()


def many_guests_and_two_nics(n):
    n.places(dual="h1", far="h2", **{f"g{i}": "h1" for i in range(1, 6)})
    n.way("dual", "far", "dual:socket", "dual:eth0", "h1:tap0", "h1:ens1f0", "h2:ens1f0", "h2:tap0", "far:eth0", "far:socket")
    n.way("g3", "g4", "g3:socket", "g3:eth0", "h1:tap3", "h1:tap4", "g4:eth0", "g4:socket")
    far = n.guests["far"]
    n.fault("dual", "far", "rp-filter-strict", "dual", f"sysctl -qw net.ipv4.conf.eth0.rp_filter=1; ip route add {far.ip} dev eth1",
            f"sysctl -qw net.ipv4.conf.eth0.rp_filter=0; ip route del {far.ip}")
    n.fault("h1", "dual", "guest-nic-admin-down", "dual", "ip link set eth0 down", "ip link set eth0 up")


def a_guest_moves(n):
    """Live migration: the port goes from one host to the other; the relay moves along."""
    g = n.guests["g5"]
    n.healthy("g5", "far")
    n.run("h1", f"ip link del {g.port}")
    n.port("h2", "prod", "tap55", "g5", "eth0", g.mac)
    n.run("g5", f"ip addr add {g.ip}/24 dev eth0")
    os.makedirs(n.path("oob-h2"), exist_ok=True)
    os.rename(n.path("oob-h1", "g5"), n.path("oob-h2", "g5"))
    n.until(lambda: (n.agents()["g5"]["host"] or "").endswith("h2"), 15, lambda: f"g5 is at {n.agents()['g5']['host']}")
    n.way("g5", "far", "g5:socket", "g5:eth0", "h2:tap55", "h2:tap0", "far:eth0", "far:socket")
    n.way("g5", "g1", "g5:socket", "g5:eth0", "h2:tap55", "h2:ens1f0", "h1:ens1f0", "h1:tap1", "g1:eth0", "g1:socket")
    n.fault("h2", "g5", "tap-not-in-bridge", "h2", "ip link set tap55 nomaster", "ip link set tap55 master prod")
    n.well()


# ---- one machine stands still for a moment ----


def a_pause_is_no_fault(n):
    """An agent that is stopped for a second (a paused guest) neither answers nor speaks: nothing is claimed, nothing stays."""
    n.well()
    for name in ("g1", "far", "h1"):
        os.kill(n.procs[name].pid, signal.SIGSTOP)
        try:
            end = time.monotonic() + 1
            while time.monotonic() < end:
                check(not n.causes_shown(), f"{name} is stopped: {n.causes_shown()}")
                time.sleep(0.2)
        finally:
            os.kill(n.procs[name].pid, signal.SIGCONT)
        n.quiet(0.2)


TOPOLOGIES = [
    (one_nic, [one_nic_for_all, a_cut_guest_that_nobody_hears]),
    (overlay, [overlay_between_hosts, underlay_is_too_small]),
    (routed, [routed_guests]),
    (no_agent_on_one_host, [a_host_without_an_agent]),
    (guests_only, [only_guests]),
    (one_family, [one_family_only]),
    (crowded, [a_pause_is_no_fault, many_guests_and_two_nics, a_guest_moves]),
]


def run(build, checks):
    net = build()
    try:
        for fn in checks:
            fn(net)
        check(not net.crashes(), "\n".join(net.crashes()))
    finally:
        net.close()


def alone():
    return [("topology/" + build.__name__.replace("_", "-"), lambda b=build, f=fns: run(b, f)) for build, fns in TOPOLOGIES]
