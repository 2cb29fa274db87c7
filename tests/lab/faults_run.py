"""Runs the faults of faults/ at the sites of a network: inject, ask, judge, run the printed fix verbatim, ask again, undo. The lab's
tests run each at one site; tests/bench/accuracy runs all at all and counts."""
import json, time, zlib

import causes, conditions, faults
import lab as labs
import paths, topologies, vm
from faults import Site
from lab import Failure, Lab, brief, check, overload


# ---- sites: which pairs of a network, and what stands where ----


def address_of(net, machine, near=None):
    """The interface with a global address that shares a network with `near` (an address), else the first that is not for management."""
    links = json.loads(net.run(machine, "ip -j addr") or "[]")
    found = []
    for l in links:
        mine = [a for a in l.get("addr_info", []) if a.get("scope") == "global"]
        if l.get("ifname") in (None, "lo") or not mine:
            continue
        four = [a for a in mine if a["family"] == "inet"] or [{"local": "", "prefixlen": 0}]
        six = [a for a in mine if a["family"] == "inet6"] or [{"local": "", "prefixlen": 0}]
        found.append({"dev": l["ifname"], "mac": l.get("address", ""), "ip": four[0]["local"], "plen": four[0]["prefixlen"],
                      "ip6": six[0]["local"], "plen6": six[0]["prefixlen"]})
    check(found, f"{machine} has no address")
    close = [f for f in found if near and f["ip"] and f["ip"].rsplit(".", 1)[0] == near.rsplit(".", 1)[0]]
    others = [f for f in found if not f["dev"].startswith("mgmt")]
    return (close or others or found)[0]


def gateway_of(net, machine, version):
    routes = json.loads(net.run(machine, f"ip -{version} -j route show default") or "[]")
    return routes[0].get("gateway", "") if routes else ""


def master_of(net, host, dev):
    link = json.loads(net.run(host, f"ip -j link show {dev}"))[0]
    return link.get("master", "")


def ports_of(net, host, bridge):
    links = json.loads(net.run(host, "ip -j link") or "[]")
    return [l["ifname"] for l in links if l.get("master") == bridge]


class Place:
    """Where a machine of a network stands, found by looking."""

    def __init__(self, net, name, near=None):
        self.guest = name in net.guests
        self.__dict__.update(address_of(net, name, near))
        self.gateway, self.gateway6 = gateway_of(net, name, 4), gateway_of(net, name, 6)
        if self.guest:
            g = net.guests[name]
            self.host, self.port = g.host, g.port
            self.bridge = master_of(net, g.host, g.port)
        else:
            self.host, self.port = name, ""
            self.bridge = self.dev if ports_of(net, name, self.dev) else ""
        others = {g.port for g in net.guests.values()}
        self.uplink = next((p for p in ports_of(net, self.host, self.bridge) if p not in others), "") if self.bridge else ""


class Network:
    """pairs: (victim, peer) in the order in which small ones come first. parts: what cannot be seen, given to every site of the network
    (a function of net, victim, peer, same_host). usual: pair -> (state, causes) of those that are not ok when nothing is broken. less: what is missing ("host agent", "capture",
    "out-of-band path"). ways: those of pairs where not just a port, a bridge and an uplink are between the two (see Site.way)."""

    def __init__(self, name, kind, build, pairs, parts=lambda net, v, p, same: {}, usual=None, less="", ways=()):
        self.name, self.kind, self.build, self.pairs, self.parts, self.usual, self.less = name, kind, build, pairs, parts, usual or {}, less
        known = [w for k in paths.KINDS if k.build is build for w in k.ways] + list(ways)
        self.ways = {(w.a, w.b): w.names() for one in known[::-1] for w in (one.back(), one)}


def default_parts(net, victim, peer, same):
    a, b = net.guests.get(victim), net.guests.get(peer)
    more = {"spare": {"a1": "a3", "a3": "a1"}.get(victim, ""), "service": 8080 if victim == "a2" else 0}
    if "a" in (victim[0], peer[0]) and "c1" in (victim, peer):
        return more | {"kind": "routed", "router": "h1", "router_devs": ["br-c", "br-a"] if victim == "c1" else ["br-a", "br-c"], "spare": "" if victim == "c1" else more["spare"]}
    if not same:
        net_of = (a or b).bridge[-1]
        number = lambda m, g: (g.host if g else m)[-1]
        more |= {"fabric": "sw", "fabric_ports": [f"s{net_of}{number(victim, a)}", f"s{net_of}{number(peer, b)}"]}
    return more


def fabric_parts(ports, **more):
    """The switch `sw` joins the hosts; ports: host -> its port there."""
    def parts(net, victim, peer, same):
        host = lambda m: net.guests[m].host if m in net.guests else m
        return {} if same else {"fabric": "sw", "fabric_ports": [ports[host(victim)], ports[host(peer)]], **more}
    return parts


def one_family_parts(net, victim, peer, same):
    """The switch has a port of its own for each family's segment."""
    family = "four" if victim.startswith("v4") else "six"
    return fabric_parts({"h1": family + "1", "h2": family + "2"})(net, victim, peer, same)


def routed_parts(router, towards, **more):
    """towards: machine -> the router's device on its side."""
    def parts(net, victim, peer, same):
        return {"router": router, "router_devs": [towards[victim], towards[peer]], **more}
    return parts


def two_routers_parts(net, victim, peer, same):
    """Each host routes for its own guests: the one on the victim's side counts."""
    host = net.guests[victim].host
    return {"router": host, "router_devs": [net.guests[victim].port, net.guests[peer].port if same else "eth0"], "uplink": "" if same else "eth0",
            "peer_uplink": "" if same else "eth0", "spare": {"p1": "p3", "p3": "p1"}.get(victim, "")}


def nat_parts(net, victim, peer, same):
    """Each host routes for its guests, and hides them; on one host and within one network nothing of that is to be seen."""
    host = net.guests[victim].host
    spare = next((g for g in net.guests if g not in (victim, peer) and net.guests[g].host == host), "")
    return {"kind": "bridged", "spare": spare} if same else {"router": host, "router_devs": ["virbr0", "eno1"], "uplink": "", "peer_uplink": ""}


BEHIND = ("one-way", ["nat-no-inbound-mapping"])
APART = ("both-ways", ["nat-no-inbound-mapping"] * 2)
DEFAULT = Network("default", "bridged", None, [
    ("a1", "h1"), ("a1", "a3"), ("a1", "a2"), ("a2", "a1"), ("a3", "a1"), ("b1", "b2"), ("b2", "b1"), ("h1", "a1"), ("h2", "a2"), ("h2", "a1"), ("a1", "h2"),
    ("a2", "h2"), ("c1", "a3"), ("a3", "c1"), ("a2", "c1"), ("a3", "a2")], default_parts)
LESS = [("g1", "g2"), ("g2", "g1"), ("g1", "g3")]
OTHERS = [
    Network("one-nic", "bridged", topologies.one_nic, [("vm100", "pve1"), ("vm100", "vm101"), ("vm101", "vm100"), ("vm102", "vm100"), ("pve2", "vm101")],
            fabric_parts({"pve1": "p1", "pve2": "p2"})),
    Network("vxlan", "vxlan", topologies.overlay, [("db.prod-1", "web.prod-1"), ("web.prod-1", "db.prod-1"), ("web.prod-2", "db.prod-1")],
            fabric_parts({"kvm1": "u1", "kvm2": "u2", "kvm3": "u3"}, under="eno1")),
    Network("vxlan-underlay", "vxlan", paths.overlay, [("a", "b"), ("b", "a")], fabric_parts({"h1": "u1", "h2": "u2"})),
    Network("routed", "routed", topologies.routed, [("p1", "p2"), ("p2", "p1"), ("p1", "p3"), ("p3", "p1")], two_routers_parts),
    Network("routed-own-host", "routed", paths.own_router, [("a", "b"), ("b", "a")], routed_parts("h1", {"a": "br0", "b": "br1"})),
    Network("routed-third-host", "routed", paths.third_router, [("a", "b"), ("b", "a")], routed_parts("h3", {"a": "eno0", "b": "eno1"})),
    Network("routed-unknown", "unknown-router", paths.unknown_router, [("a", "b"), ("b", "a")], lambda net, v, p, same: {"unknown_router": "h3"}, less="host agent"),
    Network("routed-guest", "routed", paths.guest_router, [("a", "b"), ("b", "a")], routed_parts("r", {"a": "eth0", "b": "eth1"})),
    Network("firewall-bridge", "bridged", paths.firewall_bridges, [("a", "b"), ("b", "a"), ("a", "c")],
            fabric_parts({"h1": "u1", "h2": "u2"}, uplink="eno1", peer_uplink="eno1"),
            ways=[paths.Way("a", "c", ">a:ens18", "<h1:tap101i0", ">h1:fwln101i0", "<h1:fwpr101p0", ">h1:fwpr103p0", "<h1:fwln103i0", ">h1:tap103i0", "<c:ens18")]),
    Network("nat", "nat", paths.nat, [("a", "h2"), ("a", "h1"), ("a", "c")], nat_parts, usual={("a", "h2"): BEHIND}),
    Network("nat-port-map", "nat", paths.nat_port_map, [("a", "h2")], nat_parts, usual={("a", "h2"): BEHIND}),
    Network("nat-both", "nat", paths.nat_both, [("a", "h2"), ("b", "h2"), ("a", "b")], nat_parts, usual={("a", "h2"): BEHIND, ("a", "b"): APART},
            ways=[paths.Way("a", "b", ">a:eth0", "<h1:vnet0", "<h1:virbr0", ">h2:virbr0", ">h2:vnet0", "<b:eth0")]),
    Network("nat-both-alike", "nat", paths.nat_both_alike, [("a", "h2"), ("a", "b")], nat_parts, usual={("a", "h2"): BEHIND, ("a", "b"): APART},
            ways=[paths.Way("a", "b", ">a:eth0", "<h1:vnet0", ">h2:vnet0", "<b:eth0")]),
    Network("macvtap", "macvtap", paths.macvtap, [("a", "c"), ("a", "b"), ("b", "a")], fabric_parts({"h1": "u1", "h2": "u2"}, uplink="eno1", peer_uplink="eno1")),
    Network("one-family", "bridged", topologies.one_family, [("v4-a", "v4-b"), ("v6-b", "v6-a")], one_family_parts),
    Network("no-host-agent", "bridged", topologies.no_agent_on_one_host, [("g1", "g2"), ("g2", "g1")], fabric_parts({"h1": "u1", "h2": "u2"}), less="host agent"),
    Network("guests-only", "bridged", topologies.guests_only, [("g1", "g2"), ("g2", "g1")], less="host agent"),
    Network("no-host-agents", "bridged", conditions.no_host_agents, LESS, fabric_parts({"h1": "u1", "h2": "u2"}), less="host agent"),
    Network("no-capture", "bridged", conditions.no_capture, LESS + [("g1", "h1"), ("h2", "g2")], fabric_parts({"h1": "u1", "h2": "u2"}), less="capture"),
    Network("no-oob", "bridged", conditions.no_oob, LESS + [("g1", "h1"), ("h2", "g2")], fabric_parts({"h1": "u1", "h2": "u2"}), less="out-of-band path"),
    Network("vm", "vm", vm.two_machines, [("v1", "v2"), ("v2", "v1"), ("v1", "h1"), ("v2", "h2")], fabric_parts({"h1": "u1", "h2": "u2"})),
]
NETWORKS = [DEFAULT] + OTHERS


def end_of(name, place):
    return [f"{name}:socket", f"{name}:{place.dev}"] + ([f"{place.host}:{place.port}"] if place.guest else [])


def wire_of(s, here, there):
    """From one host to the other: what each sends by, and what that is carried by."""
    sides = [[f"{p.host}:{dev}" for dev in (uplink, getattr(s, "under", "")) if dev] for p, uplink in ((here, s.uplink), (there, s.peer_uplink))]
    return sides[0] + sides[1][::-1]


def way_of(s, here, there):
    middle = [f"{s.router}:{dev}" for dev in s.router_devs]
    across = [] if s.same_host else wire_of(s, here, there)
    points = end_of(s.victim, here) + (middle + across if s.router == here.host else across + middle) + end_of(s.peer, there)[::-1]
    return list(dict.fromkeys(points))


def watch(s, network):
    """Machines without an agent see nothing; without captures the two sockets are all there is."""
    machines = set(s.net.hosts) | set(s.net.guests)
    s.watched = lambda point: point.split(":")[0] in machines and (network.less != "capture" or point.endswith(":socket"))


def site(net, network, victim, peer, family=0):
    here = Place(net, victim)
    host = net.guests[peer].host if peer in net.guests else peer
    there = Place(net, peer, here.ip if network.kind != "nat" or host == here.host else None)
    here = Place(net, victim, there.ip) if not here.guest else here
    same = here.host == there.host
    parts = {k: getattr(here, k) for k in ("guest", "dev", "ip", "plen", "ip6", "plen6", "mac", "gateway", "gateway6", "host", "port", "bridge", "uplink")}
    parts |= {"peer_" + k: getattr(there, k) for k in ("dev", "ip", "plen", "ip6", "plen6", "mac", "gateway", "gateway6", "host", "port", "bridge", "uplink")}
    if same:
        parts["uplink"] = parts["peer_uplink"] = ""
    parts |= {"kind": network.kind, "same_host": same, "victim": victim, "peer": peer, "family": family, "usual": network.usual.get((victim, peer), ("ok", [])), "network": network.name}
    parts |= network.parts(net, victim, peer, same)
    found = Site(net, **parts)
    found.way = network.ways.get((victim, peer)) or way_of(found, here, there)
    watch(found, network)
    return found


def sites(net, network=DEFAULT):
    """All sites of a network that is up and healthy."""
    net.remember()
    return [site(net, network, v, p) for v, p in network.pairs if v in net.guests or v in net.hosts]


# ---- running one ----


def all_heard(net, injected):
    online = {a["name"] for a in net.bw("agents", rc=None)[1]["agents"] if a["online"]}
    return all(callable(step) or step[0] in online for step in injected.inject)


class Result:
    """outcome: "right" (the injected cause is first), "wrong" (another is), "undetermined" (none is named), "unseen" (the state is ok),
    "hidden" (what it takes is lost before it anyway: no fair question), "error" (it could not be tried: `text` says why). heard: the broken machines have agents that could be heard. where, direction, cut, others, fix: True, False, or None = not judged."""

    def __init__(self, site, fault):
        self.fault, self.site, self.family = fault.name, str(site), site.family
        self.cause = fault.cause
        self.outcome, self.named, self.others, self.where, self.direction, self.cut, self.fix = "error", [], None, None, None, None, None
        self.heard = True
        self.state, self.state_right, self.ms, self.seconds, self.text, self.healed = "", None, None, 0.0, "", None

    def good(self):
        return self.outcome == "hidden" or self.outcome == "right" and False not in (self.others, self.where, self.direction, self.cut, self.fix, self.state_right)

    def __str__(self):
        judged = [f"{k} {'right' if getattr(self, k) else 'WRONG'}" for k in ("where", "direction", "cut", "others", "fix", "state_right") if getattr(self, k) is not None]
        return f"{self.fault} at {self.site}: {self.outcome} {self.named} {', '.join(judged)}{' ' + str(self.ms) + ' ms' if self.ms else ''}"


def is_usual(s, v):
    """Nothing is told besides what is told of this pair when nothing is broken."""
    return (v["state"], [c["id"] for c in v["causes"]]) == s.usual


def become_usual(s, pair, args, seconds):
    last = [None]

    def ok():
        last[0] = s.net.diagnose(*pair, *args)[1]
        return last[0] and "state" in last[0] and is_usual(s, last[0])
    s.net.until(ok, seconds, lambda: f"{' '.join(pair)} is not well: " + brief(last[0]), every=0.5)
    return last[0]


def apply(net, step):
    if callable(step):
        step(net)
    else:
        net.run(step[0], step[1])


def undo_all(net, steps):
    """All of them, whatever becomes of each. Returns what went wrong."""
    trouble = []
    for step in steps + [lambda net: net.rules_again()]:
        try:
            apply(net, step)
        except Exception as e:
            trouble.append(str(e))
    return trouble


def direction_right(want, cause, s, usual):
    """Of both directions one may be lost as it is: then the fault is told of the other."""
    if want == "both" and usual and loses_before(s, usual, False, f"{s.victim}:{s.dev}"):
        want = "from"
    to, back = f"{s.peer}->{s.victim}", f"{s.victim}->{s.peer}"
    strip = lambda text: "->".join(n.split("/")[-1] for n in text.split("->"))
    return strip(cause["direction"] or "") == {"to": to, "from": back, "both": "both"}[want]


def cut_right(want, v, s):
    """Not less than where it dies, nor more than up to where somebody looks."""
    way = s.way if s.way.index(want[0]) < s.way.index(want[1]) else s.way[::-1]
    after, before = way.index(want[0]), way.index(want[1])
    first = next(i for i in range(after, -1, -1) if s.watched(way[i]))
    last = next(i for i in range(before, len(way)) if s.watched(way[i]))
    return any(c["after"] in way[first:after + 1] and c["before"] in way[before:last + 1] for d in v["directions"] for c in d["cuts"])


def measured(v):
    return {(d["from"], d["to"]): (d["delivery"], d["initiation"]) for d in v["directions"]}


def loses_before(s, v, away, point):
    """By this verdict all that travels in a direction dies before that point of its way."""
    way = s.way if away else s.way[::-1]
    d = next(d for d in v["directions"] if (d["from"].split("/")[-1] == s.victim) == away)
    gone = {kind for c in d["cuts"] if c["after"] in way and way.index(c["after"]) < way.index(point) and not c.get("partial") for kind in c["kinds"]}
    return bool(gone) and all(cell in ("lost", "skipped") and kind in gone for kind, cell in d["delivery"].items() if cell != "skipped")


def is_hidden(s, injected, v, usual):
    """What the fault takes never comes as far as to it, even when nothing is broken; and everything is as it was then."""
    if s.well or not is_usual(s, v) or measured(v) != measured(usual):
        return False
    if injected.answers:
        return loses_before(s, usual, False, f"{s.victim}:{s.dev}")
    if injected.cut:
        return loses_before(s, usual, s.way.index(injected.cut[0]) < s.way.index(injected.cut[1]), injected.cut[0])
    return injected.direction == "to" and injected.where == s.victim and loses_before(s, usual, False, f"{s.victim}:{s.dev}")


def judge(r, s, injected, v, usual):
    expected = s.usual[1]
    causes = [c for c in v["causes"] if c["id"] not in expected or c["id"] == r.cause]
    r.named, r.state, r.ms = [c["id"] for c in causes], v["state"], v.get("took_ms")
    if v["state"] == "ok" and not causes:
        r.outcome = "unseen"
    elif r.cause not in expected and usual and is_hidden(s, injected, v, usual):
        r.outcome = "hidden"
    elif not causes:
        r.outcome = "undetermined"
    else:
        r.outcome = "right" if causes[0]["id"] == r.cause else "wrong"
    if r.outcome != "right":
        return causes
    rest = [c["id"] for c in causes[1:]]
    r.others = set(injected.also) <= set(rest) and set(rest) <= set(injected.also) | set(injected.may) | {r.cause}
    r.state_right = v["state"] in injected.state if injected.state else (v["state"] != "ok" if s.well else None)
    if injected.where:
        r.where = (causes[0]["where"] or "").split("/")[-1] == injected.where
    if injected.direction:
        r.direction = direction_right(injected.direction, causes[0], s, usual)
    if injected.cut and not (usual and loses_before(s, usual, s.way.index(injected.cut[0]) < s.way.index(injected.cut[1]), injected.cut[0])):
        r.cut = cut_right(injected.cut, v, s)
    return causes


def run_fixes(net, causes):
    """Verbatim, where they say. Returns (whether all could be run, what was run or why not)."""
    fixes = [f for c in causes for f in c["fix"] if not f.get("manual")]
    if not fixes:
        return False, "no fix that can be run"
    for f in fixes:
        place = f["where"].split("/")[-1]
        if place not in net.namespaces and place not in getattr(net, "vms", ()):
            return False, f"the fix names a place that is no machine: {f}"
        try:
            net.run(place, f["command"], timeout=20)
        except Exception as e:
            return False, f"the fix cannot be run: {f} {e}"
    return True, f"the fix {[(f['where'], f['command']) for f in fixes]} did not help"


HEALS_IN = 25  # seconds: an agent whose only way to the collector was broken waits before it tries again


def heals(r, s, pair, injected, causes):
    done, text = run_fixes(s.net, causes)
    if done:
        try:
            become_usual(s, pair, injected.args, HEALS_IN)
            return True
        except Failure as e:
            text += f": {e}"
    r.text += "\n" + text
    return False


def ordered(name, s):
    """The pair as it is asked for: one end first or the other, by the fault's name."""
    return (s.victim, s.peer) if zlib.crc32(f"{name} {s}".encode()) & 1 else (s.peer, s.victim)


def run_fault(net, s, f, injected=None, healthy_before=True):
    """Always undone. `injected`: of f.make(s), when it is known already."""
    r, began = Result(s, f), time.monotonic()
    injected = injected or f.make(s)
    if injected is None:
        r.text = "the fault makes no sense here"
        return r
    pair = ordered(f.name, s)
    try:
        usual = become_usual(s, pair, injected.args, 15) if healthy_before else None
        for step in injected.inject:
            apply(net, step)
        time.sleep(injected.settle)
        v = net.diagnose(*pair, *injected.args)[1]
        check(v and "directions" in v, f"no verdict: {v}")
        causes = judge(r, s, injected, v, usual)
        r.text = brief(v)
        r.heard = r.outcome == "right" or all_heard(net, injected)
        if r.outcome == "right" and injected.fix:
            r.fix = heals(r, s, pair, injected, causes)
    except Exception as e:
        r.outcome, r.text = "error", f"{type(e).__name__}: {e}"
    finally:
        trouble = undo_all(net, injected.undo)
        if trouble:
            r.text += "\nundo: " + "; ".join(trouble)
    r.seconds = time.monotonic() - began
    return r


# ---- running two at once ----


def plain(kind):
    """The small packet of its protocol: where that dies, others are not tried."""
    return kind.replace("_large", "").replace("fragments", "udp").replace("service", "tcp")


def losses(s, v):
    """What never arrives, by a verdict: (whether it goes from the victim, kind, how far it gets on its way, whether it is an answer). What
    is lost and nobody could tell where gets nowhere; what arrives and is not answered as it should be is an answer that goes wrong at once."""
    found, cut = set(), {kind for d in v["directions"] for c in d["cuts"] for kind in c["kinds"]}
    for d in v["directions"]:
        away = d["from"].split("/")[-1] == s.victim
        way = s.way if away else s.way[::-1]
        tried = {kind: plain(kind) if cell in ("skipped", "unknown") else kind for kind, cell in d["delivery"].items()}
        for c in d["cuts"]:
            if c["after"] in way and not c.get("partial"):
                kinds = set(c["kinds"]) | {kind for kind in tried if tried[kind] in c["kinds"]}
                found |= {(away, kind, way.index(c["after"]), bool(c.get("answer"))) for kind in kinds}
        here = {kind for c in d["cuts"] for kind in c["kinds"]}
        found |= {(away, kind, 0, False) for kind in tried if d["delivery"].get(tried[kind]) == "lost" and tried[kind] not in here}
        found |= {(not away, kind, 0, True) for kind, cell in d["initiation"].items() if cell in ("fail", "refused", "impostor") and kind not in cut}
    return found


def hides(these, those, first):
    """Nothing of what one fault takes (`those`) gets as far as to it, for the other takes it before (`these`); or what should be answered
    never gets there. Where both take it between the same two points, that one is before which stands at the sender's end: `first` says
    that `these` are taken at the victim's."""
    def gone(away, kind, at, answer):
        return any(k == kind and (answer and a != away and not is_answer or a == away and is_answer <= answer and (x < at or x == at and away == first))
                   for a, k, x, is_answer in these)
    return bool(those) and all(gone(*one) for one in those)


def is_moot(s, those, v):
    """All that one fault takes alone arrives while the other is there: it is not in the way any more."""
    cells = {d["from"].split("/")[-1] == s.victim: d for d in v["directions"]}
    return bool(those) and all((cells[not away]["initiation"] if answer else cells[away]["delivery"]).get(kind) == "ok" for away, kind, _, answer in those)


def asked_with(net, s, pair, *both):
    """The verdict while these are injected; what went wrong when they were undone."""
    become_usual(s, pair, (), 15)
    try:
        for step in sum((i.inject for i in both), []):
            apply(net, step)
        time.sleep(max(i.settle for i in both))
        v = net.diagnose(*pair)[1]
        check(v and "directions" in v, f"no verdict: {v}")
    finally:
        trouble = undo_all(net, sum((i.undo for i in both[::-1]), []))
    check(not trouble, "undo: " + "; ".join(trouble))
    return v


def run_pair(net, s, f, t, g):
    """Two faults at once, one at each end: at s (f) and at t (g), the same pair seen from its other end. outcome: "both" are named, "one",
    "none", "hidden" (one alone takes whatever would show the other: no fair question); others: False when anything else was named."""
    r, began = Result(s, f), time.monotonic()
    r.fault = r.cause = f"{f.name} + {g.name}"
    one, two = f.make(s), g.make(t)
    pair = ordered(r.fault, s)
    try:
        these, those = (losses(s, asked_with(net, s, pair, i)) for i in (one, two))
        if hides(these, those, True) or hides(those, these, False):
            r.outcome = "hidden"
        else:
            v = asked_with(net, s, pair, one, two)
            r.named, r.state, r.ms, r.text = [c["id"] for c in v["causes"]], v["state"], v.get("took_ms"), brief(v)
            hit = len({f.cause, g.cause} & set(r.named))
            moot = hit < 2 and (is_moot(s, these, v) or is_moot(s, those, v))
            r.outcome, r.others = "hidden" if moot else ("none", "one", "both")[hit], set(r.named) <= {f.cause, g.cause} | set(one.may) | set(two.may)
    except Exception as e:
        r.outcome, r.text = "error", f"{type(e).__name__}: {e}"
    r.seconds = time.monotonic() - began
    return r


def explain(r):
    return f"{r}\n{r.text}"


def too_slow(r):
    return r.ms is not None and r.ms > 3000 * overload()


def run_and_check(net, s, f):
    r = run_fault(net, s, f)
    check(r.good(), explain(r))
    check(not too_slow(r), f"took {r.ms} ms")


# ---- the lab's tests ----


def fitting(f, all_sites):
    """[(site, injected)] where the fault makes sense."""
    found = []
    for s in all_sites:
        injected = f.make(s) if faults.fits(f, s) else None
        if injected is not None:
            found.append((s, injected))
    return found


def turned(items, name):
    """Another one begins for every name, so that all kinds get their share."""
    at = zlib.crc32(name.encode()) % len(items) if items else 0
    return items[at:] + items[:at]


def one_site(net, f, all_sites, at_all):
    places = turned(fitting(f, all_sites), f.name)
    if not places:
        return "it fits no site of this network"
    failures = []
    for s, _ in places if at_all else places[:1]:
        r = run_fault(net, s, f)
        if not r.good():
            failures.append(explain(r))
    check(not failures, "\n".join(failures))
    return None


def cases(lab, pattern):
    """[(name, function)] on the shared lab. A pattern that ends with @all: all sites; one without "fault": one fault of each cause."""
    at_all = pattern.endswith("@all")
    wanted = pattern.removesuffix("@all")
    known = []

    def look():
        if not known:
            known.extend(sites(lab))
        return known
    chosen = [f for f in faults.load() if wanted in f"fault/{f.name}" and not (set(f.needs) & set(ALONE))]
    if "fault" not in wanted:
        chosen = one_of_each(chosen, {c.cause for c in causes.cases(lab)})
    return [(f"fault/{f.name}" + ("@all" if at_all else ""), lambda f=f: one_site(lab, f, look(), at_all)) for f in chosen]


def one_of_each(fs, elsewhere):
    """One fault of each cause that has no other test: when faults were not asked for, there is no time for all."""
    first = {}
    for f in fs:
        if f.cause not in elsewhere:
            first.setdefault(f.cause, f)
    return list(first.values())


# Kinds of site that the default lab does not have: a network each.
ALONE = {"unknown-router": "routed-unknown", "nat": "nat", "vxlan": "vxlan", "macvtap": "macvtap", "vm": "vm"}


def run_alone(kind):
    network = next(n for n in NETWORKS if n.name == ALONE[kind])
    try:
        net = network.build()
    except vm.image.Unavailable as e:
        return str(e)
    try:
        here, failures = sites(net, network), []
        for f in faults.load():
            if kind in f.needs:
                for s, _ in turned(fitting(f, here), f.name)[:1]:
                    r = run_fault(net, s, f)
                    failures += [] if r.good() else [explain(r)]
        check(not failures, "\n".join(failures))
        check(not net.crashes(), "\n".join(net.crashes()))
    finally:
        net.close()
    return None


def alone():
    kinds = sorted({k for f in faults.load() for k in f.needs if k in ALONE})
    return [(f"fault-at/{k}", lambda k=k: run_alone(k)) for k in kinds]
