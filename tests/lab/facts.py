"""What machines say of themselves: links below links, devices, forwarding entries; what changed, and what is no change."""
from lab import Guest, Lab, check

STACK = """
ip link add fw0 type veth peer name fw1
ip link set fw0 up; ip link set fw1 up
ip link add mt0 link fw1 type macvtap mode bridge
ip link add mv0 link fw1 type macvlan mode vepa
ip link add vx0 type vxlan id 100 local 10.0.0.1 remote 10.0.0.2 dstport 4789 dev br-a
bridge fdb append 00:00:00:00:00:00 dev vx0 dst 10.0.0.3
bridge fdb add 02:00:00:00:00:09 dev vx0 dst 10.0.0.4
"""
STACKED = {
    "link.fw0.parent": "fw1", "link.fw1.parent": "fw0", "link.vn-a1.parent": "elsewhere",
    "link.mt0.parent": "fw1", "link.mt0.kind": "macvtap", "link.mt0.mode": "bridge",
    "link.mv0.parent": "fw1", "link.mv0.mode": "vepa",
    "link.vx0.parent": "br-a", "link.vx0.vxlan.vni": "100", "link.vx0.vxlan.port": "4789",
    "link.vx0.vxlan.local": "10.0.0.1", "link.vx0.vxlan.remote": "10.0.0.2",
    "fdb.vx0.00:00:00:00:00:00": "own static remote 10.0.0.2; own static remote 10.0.0.3",
    "fdb.vx0.02:00:00:00:00:09": "own static remote 10.0.0.4",
}


def facts(lab, name):
    return lab.bw("facts", name)[1]["facts"]


def changed(lab, name, fact):
    return [c for c in lab.bw("facts", name, "--changes")[1]["changes"] if c["fact"] == fact]


def links_below_links(lab):
    lab.run("h1", STACK)
    last = {}

    def seen():
        last.update(facts(lab, "h1"))
        return all(last.get(k) == v for k, v in STACKED.items())
    lab.until(seen, 10, lambda: "\n".join(f"{k}: {last.get(k)!r}, not {v!r}" for k, v in STACKED.items() if last.get(k) != v))
    code, out, err = lab.cli("facts", "h1")
    check(code == 0 and "macvtap, " in out and "vni 100, from 10.0.0.1, to 10.0.0.2" in out and "peer fw1" in out, out[:3000])
    for key in ("clock.source", "clock.synchronized", "counter.cpu.total", "counter.softnet.dropped", "counter.link.br-a.rx_packets"):
        check(key in last, f"no {key}")
    lab.run("h1", "ip link del fw0; ip link del vx0")


def offloads_and_their_change(lab):
    key = "link.vn-a1.offloads"
    was = facts(lab, "h1").get(key)
    if was is None:
        return "the kernel does not tell offloads"
    check("tso" in was.split(), f"a veth without TSO: {was}")
    lab.run("h1", "ethtool -K vn-a1 tso off >/dev/null")
    lab.until(lambda: changed(lab, "h1", key), 5, "the change of an offload was not seen")
    check("tso" not in facts(lab, "h1")[key].split(), facts(lab, "h1")[key])


def own_tables_are_no_change(lab):
    before = len(lab.bw("facts", "h1", "--changes")[1]["changes"])
    lab.run("h1", "nft add table inet bothways_lab; nft 'add chain inet bothways_lab c { type filter hook prerouting priority -350; }'; "
            "nft add rule inet bothways_lab c ip saddr 192.0.2.77 meta nftrace set 1")
    lab.run("h1", "nft add table inet theirs; nft 'add chain inet theirs c { type filter hook input priority 10; }'")
    lab.until(lambda: changed(lab, "h1", "firewall.inet.theirs.c"), 5, "a new chain was not seen")
    lab.run("h1", "nft delete table inet bothways_lab")
    lab.run("h1", "ip link add dummy-end type veth peer name dummy-far")
    lab.until(lambda: changed(lab, "h1", "link.dummy-end.mtu"), 5, "a new link was not seen")
    news = [c["fact"] for c in lab.bw("facts", "h1", "--changes")[1]["changes"][before:]]
    check(not [f for f in news if "bothways" in f], f"our own table is a change: {news}")
    check(not [f for f in facts(lab, "h1") if f.startswith("firewall") and "bothways" in f], "our own table is a fact")


def ruleset_beside_an_owned_table(lab):
    """The library's listing breaks off at a table that belongs to a process."""
    lab.run("h1", "(echo 'add table inet bothways-9-9 { flags owner; }'; sleep 6) 2>/dev/null | nft -i >/dev/null 2>&1 &")
    lab.until(lambda: "bothways-9-9" in lab.run("h1", "nft list tables"), 5, "no table with an owner")
    lab.run("h1", "nft add table ip beside; nft 'add chain ip beside c { type filter hook input priority 11; }'; nft add rule ip beside c tcp dport 9 drop")
    lab.until(lambda: "tcp dport 9 drop" in facts(lab, "h1").get("firewall.ip.beside.c", ""), 4, lambda: f"the rule is not seen: {facts(lab, 'h1').get('firewall')}")
    check("bothways-9-9" in lab.run("h1", "nft list tables"), "the table went too early to show anything")
    check(facts(lab, "h1")["firewall"] == "read", facts(lab, "h1")["firewall"])


def changes_stand_between_well_and_ill(lab):
    lab.healthy("h1", "a1")
    lab.run("a1", "nft add table inet f; nft 'add chain inet f in { type filter hook input priority 0; }'; nft add rule inet f in icmp type echo-request drop")

    def problem():
        return [p for p in lab.bw("facts", "a1", "--changes")[1]["problems"] if {p["a"], p["b"]} == {"h1", "a1"}]
    p = lab.until(problem, 20, "the cut guest has no problem")[0]
    doc = lab.bw("facts", "a1", "--changes")[1]
    change = [c for c in doc["changes"] if c["fact"] == "firewall.inet.f.in"]
    check(change and p["well_at"] and p["well_at"] < change[-1]["at"], f"well at {p['well_at']}, changed {change}")
    check(p["ill_at"] and p["ill_at"] > p["well_at"], f"{p}")
    code, out, err = lab.cli("facts", "a1", "--changes")
    lines = out.splitlines()
    at = {w: [i for i, l in enumerate(lines) if w in l] for w in ("last known to be well", "firewall.inet.f.in", "found " + p["state"])}
    check(all(at.values()) and at["last known to be well"][-1] < at["firewall.inet.f.in"][-1], out)


def alone():
    def all_of_them():
        lab = Lab(guests=[Guest("a1", "red", "h1", "br-a", 11)], hosts=["h1"])
        try:
            lab.up()
            links_below_links(lab)
            skipped = offloads_and_their_change(lab)
            own_tables_are_no_change(lab)
            ruleset_beside_an_owned_table(lab)
            changes_stand_between_well_and_ill(lab)
            check(not lab.crashes(), "\n".join(lab.crashes()))
        finally:
            lab.close()
        return None if skipped is None else skipped
    return [("facts", all_of_them)]
