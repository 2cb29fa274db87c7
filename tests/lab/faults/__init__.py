"""Faults as data: what to break at a site, and what must come of it. The lab runs each at one site, tests/bench/accuracy at all of
them. A fault knows nothing of a topology: a Site tells it what stands where.

    @fault("guest-no-ip")
    def no_address(s):
        return Injected([(s.victim, f"ip addr flush dev {s.dev}")], undo=[s.put_back(s.victim)], where=s.victim)

A fault that makes no sense at a site returns None. Files of this folder are imported by themselves."""
import importlib, pkgutil


class Site:
    """A pair of machines of a network that is up, one of them the victim.

    net         the Lab (net.run(machine, command), net.guests, net.hosts)
    kind        "bridged", "routed", "nat", "vxlan", "macvtap", "vm": how the two are joined
    victim      the machine at whose end something is broken (a guest, or a host when `guest` is false)
    peer        the other one
    guest       the victim is a guest
    dev, ip, plen, ip6, plen6, mac         of the victim; likewise peer_dev and so on
    gateway, gateway6   of the victim, "" = it has none
    host, port, bridge  where the victim is plugged in: host's name, the port there, its bridge ("" = none)
    peer_host, peer_port, peer_bridge      likewise; of a host: itself, "", its bridge
    uplink, peer_uplink the device of host / peer_host towards the fabric, "" = none between the two
    fabric      the machine of the fabric between two hosts, "" = none; fabric_ports: its ports [towards host, towards peer_host]
    router      the machine that routes between the two, "" = none; router_devs: [towards victim, towards peer]
    spare       another guest of the same network on the victim's host, "" = none
    same_host   both stand on one host (a host and its own guest do)
    family      4, 6, or 0 = whatever the fault does by itself
    service     a TCP port where the victim has a server, 0 = none
    network     the name of the network (NETWORKS of faults_run.py)
    usual       (state, causes) of this pair when nothing is broken; well: that is ok and none
    way         all points that packets from the victim to the peer pass, in order ("a1:socket", "a1:eth0", "h1:vn-a1", ...); the other way they
                pass the same ones
    watched     says of a point whether anybody looks there (a machine without an agent sees nothing)
    """

    def __init__(self, net, **parts):
        self.net = net
        self.gateway = self.gateway6 = self.router = self.spare = self.fabric = self.uplink = self.peer_uplink = ""
        self.fabric_ports, self.router_devs, self.family, self.kind, self.service = [], [], 0, "bridged", 0
        self.usual = ("ok", [])
        self.way, self.watched = [], lambda point: True
        self.__dict__.update(parts)

    @property
    def well(self):
        return self.usual == ("ok", [])

    def put_back(self, machine):
        """The step that gives a machine's interface its first configuration again."""
        return (machine, self.net.base(machine))

    def gap(self, direction, after=None, before=None):
        """Where packets "to" or "from" the victim die that pass one of these points last, or that it is the first not to see. None = the
        point is not on their way."""
        way = self.way if direction == "from" else self.way[::-1]
        if (after or before) not in way or (after or before) == way[-1 if after else 0]:
            return None
        at = way.index(after) if after else way.index(before) - 1
        return way[at], way[at + 1]

    def __str__(self):
        return f"{self.kind}/{'same-host' if self.same_host else 'across'}/{self.victim}-{self.peer}"


class Injected:
    """inject, undo: steps (machine, command), run as root there; a Python callable in place of a step is called with the Lab.
    where       the machine that must be blamed; None = not judged (both ends, the fabric)
    direction   "to" (towards the victim), "from", "both"; None = not judged
    cut         (after, before): neighbouring points of the way, one direction or the other; told may be a wider cut, up to where somebody
                looks. None = not judged
    state       the states that may be told; None = any but ok
    also        other causes that must be named, in any order (simultaneous faults)
    may         causes whose being named besides is right as well
    settle      seconds between injection and the question
    args        more arguments of `bothways diagnose`
    fix         False: no command can heal it (then a sentence is expected)
    answers     it takes answers of the victim only: where nobody can ask it anything, nothing of it shows"""

    def __init__(self, inject, undo, where=None, direction=None, cut=None, state=None, also=(), may=(), settle=0.3, args=(), fix=True, answers=False):
        self.inject, self.undo, self.where, self.direction, self.cut = inject, undo, where, direction, cut
        self.state, self.also, self.may, self.settle, self.args, self.fix, self.answers = state, also, may, settle, args, fix, answers


class Fault:
    def __init__(self, cause, make, needs):
        self.cause, self.make, self.needs = cause, make, needs
        self.name = cause + ("" if make.__name__ == cause.replace("-", "_") else "/" + make.__name__.replace("_", "-"))


FAULTS = []


def fault(cause, needs=()):
    """needs: predicates of a Site, all of which must hold ("guest", "across", "same-host", "host", "gateway", "router", "spare",
    "bridge", "fabric", "uplink", or a kind of site)."""
    def add(make):
        FAULTS.append(Fault(cause, make, (needs,) if isinstance(needs, str) else tuple(needs)))
        return make
    return add


def fits(f, s):
    holds = {"guest": s.guest, "host": not s.guest, "across": not s.same_host, "same-host": s.same_host, "gateway": bool(s.gateway),
             "router": bool(s.router), "spare": bool(s.spare), "bridge": bool(s.bridge), "fabric": bool(s.fabric), "uplink": bool(s.uplink),
             s.kind: True}
    return all(holds.get(n, False) for n in f.needs)


def nft(body):
    return f"nft -f - <<'N'\n{body}\nN"


NO_TABLES = "nft flush ruleset"


def load():
    """All faults, those of this folder's files imported."""
    if not FAULTS:
        for m in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
            importlib.import_module(f"faults.{m.name}")
    return FAULTS
