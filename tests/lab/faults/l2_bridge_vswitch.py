"""What a bridge, its ports and the cables plugged into it can do wrong. Each is tried at the victim's end, wherever the peer stands."""
from . import NO_TABLES, Injected, fault
from .base import before_or_behind, from_port, kept, to_port, to_wire


def port_setting(s, name, bad, good, port=None):
    host, p = (s.host, port or s.port)
    return [(host, f"bridge link set dev {p} {name} {bad}")], [(host, f"bridge link set dev {p} {name} {good}")]


def replug(s):
    return (s.host, f"ip link set {s.port} nomaster; ip link set {s.port} master {s.bridge} up")


def bridge_of_uplink(s):
    """Where guests have bridges of their own it is another one than the victim's."""
    return s.net.run(s.host, f"basename $(readlink /sys/class/net/{s.uplink}/master)").strip()


# ---- cables ----


@fault("vnic-link-down", needs="guest")
def host_side_down(s):
    return Injected([(s.host, f"ip link set {s.port} down")], undo=[(s.host, f"ip link set {s.port} up")], cut=kept(s) if s.kind == "routed" else to_port(s))


@fault("guest-nic-admin-down", needs="guest")
def guest_side_down(s):
    return Injected([(s.victim, f"ip link set {s.dev} down")], undo=[s.put_back(s.victim)], where=s.victim, cut=kept(s))


@fault("vnic-wrong-network", needs=("guest", "bridge"))
def plugged_elsewhere(s):
    other = "br-x0"
    return Injected([(s.host, f"ip link add {other} type bridge; ip link set {other} up; ip link set {s.port} master {other}")],
                    undo=[(s.host, f"ip link set {s.port} master {s.bridge}; ip link del {other}")], where=s.host, cut=before_or_behind(s))


# ---- the bridge itself ----


@fault("bridge-down", needs=("guest", "bridge"))
def bridge_off(s):
    addresses = s.net.base(s.host) if s.host in s.net.hosts else "true"
    return Injected([(s.host, f"ip link set {s.bridge} down")], undo=[(s.host, f"ip link set {s.bridge} up; {addresses}")], where=s.host, cut=from_port(s))


@fault("uplink-missing-from-bridge", needs=("across", "uplink", "bridge"))
def uplink_outside(s):
    return Injected([(s.host, f"ip link set {s.uplink} nomaster")], undo=[(s.host, f"ip link set {s.uplink} master {bridge_of_uplink(s)}")], where=s.host, cut=to_wire(s))


@fault("host-ip-on-enslaved-nic", needs=("host", "bridge"))
def address_left_on_the_uplink(s):
    port = s.uplink or (s.peer_port if s.same_host else "")
    if not port or not s.ip:
        return None
    return Injected([(s.host, f"ip addr del {s.ip}/{s.plen} dev {s.bridge}; ip addr add {s.ip}/{s.plen} dev {port}")],
                    undo=[(s.host, f"ip addr del {s.ip}/{s.plen} dev {port}; ip addr replace {s.ip}/{s.plen} dev {s.bridge}")], where=s.host, settle=0.6)


# ---- ports ----


@fault("port-isolation", needs=("guest", "same-host", "bridge"))
def both_isolated(s):
    if not s.peer_port or s.peer_bridge != s.bridge:
        return None
    steps = [(s.host, f"bridge link set dev {p} isolated {{}}") for p in (s.port, s.peer_port)]
    return Injected([(h, c.format("on")) for h, c in steps], undo=[(h, c.format("off")) for h, c in steps], where=s.host, cut=from_port(s), direction="both")


@fault("port-isolation-uplink", needs=("guest", "across", "uplink", "bridge"))
def uplink_isolated(s):
    if bridge_of_uplink(s) != s.bridge:
        return None
    steps = [(s.host, f"bridge link set dev {p} isolated {{}}") for p in (s.port, s.uplink)]
    return Injected([(h, c.format("on")) for h, c in steps], undo=[(h, c.format("off")) for h, c in steps], where=s.host, cut=from_port(s), direction="both")


@fault("stp-not-forwarding", needs=("guest", "bridge"))
def port_disabled(s):
    return Injected([(s.host, f"bridge link set dev {s.port} state 0")], undo=[replug(s)], where=s.host, cut=from_port(s), direction="both")


@fault("stp-not-forwarding", needs=("guest", "bridge"))
def port_learning(s):
    return Injected([(s.host, f"bridge link set dev {s.port} state 2")], undo=[replug(s)], where=s.host, cut=from_port(s), direction="both")


@fault("stp-not-forwarding", needs=("guest", "across", "uplink", "bridge"))
def uplink_disabled(s):
    return Injected([(s.host, f"bridge link set dev {s.uplink} state 0")],
                    undo=[(s.host, f"ip link set {s.uplink} nomaster; ip link set {s.uplink} master {bridge_of_uplink(s)} up")], where=s.host, cut=to_wire(s), direction="both")


@fault("bridge-port-locked", needs=("guest", "bridge"))
def port_is_locked(s):
    bad, good = port_setting(s, "locked", "on", "off")
    return Injected([(s.host, f"bridge fdb del {s.mac} dev {s.port} master; true")] + bad + [(s.host, f"bridge fdb del {s.mac} dev {s.port} master; true")],
                    undo=good, where=s.host, cut=from_port(s), direction="from")


@fault("broadcast-flood-off", needs=("guest", "bridge"))
def no_broadcasts(s):
    """What the host itself sends into its bridge, the kernel floods all the same."""
    bad, good = port_setting(s, "bcast_flood", "off", "on")
    return None if s.family == 6 or not s.ip or s.router or s.peer == s.host else Injected(bad, undo=good, where=s.host, cut=to_port(s), direction="to")


@fault("broadcast-flood-off", needs=("guest", "bridge"))
def no_multicasts(s):
    bad, good = port_setting(s, "mcast_flood", "off", "on")
    return None if s.family == 4 or not s.ip6 or s.router or s.peer == s.host else Injected(bad, undo=good, where=s.host, cut=to_port(s), direction="to")


@fault("mac-learning-disabled", needs=("guest", "bridge"))
def neither_learned_nor_flooded(s):
    return Injected([(s.host, f"bridge link set dev {s.port} flood off learning off; bridge fdb del {s.mac} dev {s.port} master; true")],
                    undo=[(s.host, f"bridge link set dev {s.port} flood on learning on")], where=s.host, cut=to_port(s), direction=None if s.router else "to")


@fault("stale-fdb", needs=("guest", "bridge", "spare"))
def sticky_entry(s):
    """Frames for the victim go to another guest's port."""
    wrong = s.net.guests[s.spare].port
    return Injected([(s.host, f"bridge fdb replace {s.mac} dev {wrong} master static sticky")], undo=[(s.host, f"bridge fdb del {s.mac} dev {wrong} master; true")],
                    where=s.host, cut=to_port(s), direction=None if s.router else "to")


@fault("stale-fdb", needs=("guest", "bridge", "spare"))
def entry_of_the_bridge(s):
    """The bridge takes the address for a port's own."""
    wrong = s.net.guests[s.spare].port
    return Injected([(s.host, f"bridge fdb replace {s.mac} dev {wrong} master permanent")], undo=[(s.host, f"bridge fdb del {s.mac} dev {wrong} master; true")],
                    where=s.host, cut=to_port(s), direction=None if s.router else "to")


@fault("mcast-snooping-breaks-nd", needs=("guest", "bridge"))
def unheard_member(s):
    """The bridge queries and the guest's reports are lost: after a while it knows of no member behind the port."""
    if s.family == 4 or not s.ip6 or s.router:
        return None
    soon, on = "mcast_query_response_interval 30", "mcast_snooping 1 mcast_querier 1"  # in this order: the interval counts when it begins
    off = "mcast_snooping 0 mcast_querier 0 mcast_query_response_interval 1000"
    return Injected([(s.victim, "nft 'table inet silent { chain c { type filter hook output priority 0; icmpv6 type { 131, 132, 143 } drop; }; }'"),
                     (s.host, f"ip link set {s.bridge} type bridge {soon} && ip link set {s.bridge} type bridge {on}")],
                    undo=[(s.host, f"ip link set {s.bridge} type bridge {off}"), (s.victim, NO_TABLES)], where=s.host, cut=to_port(s), direction="to", settle=1.5)


# ---- interfaces that guests share ----


def shared_in_mode(s, mode):
    if s.kind != "macvtap" or not s.same_host or not s.peer_port:
        return None
    change = lambda to: [(s.host, f"ip link set dev {p} type macvtap mode {to}") for p in (s.port, s.peer_port)]
    return Injected(change(mode), undo=change("bridge"), where=s.host, direction="both")  # no cut: the way is another one in these modes


@fault("macvtap-private-mode", needs=("macvtap", "guest", "same-host"))
def kept_apart(s):
    return shared_in_mode(s, "private")


@fault("macvtap-vepa-no-hairpin", needs=("macvtap", "guest", "same-host"))
def sent_out(s):
    return shared_in_mode(s, "vepa")
