"""How hardware addresses are found: who does not answer, whose answers are lost, who believes something wrong."""
from . import NO_TABLES, Injected, fault, nft
from .base import fabric_from, from_port, kept, misaddressed

DEAD = "02:de:ad:00:00:01"


def wrong_entry(s, at, dev, ip, host):
    """The neighbour entry of `at` for the other one is wrong for good."""
    return Injected([(at, f"ip neigh replace {ip} lladdr {DEAD} dev {dev} nud permanent")], undo=[(at, f"ip neigh del {ip} dev {dev}")], where=at, cut=misaddressed(s))


@fault("stale-arp-guest", needs="guest")
def wrong_in_the_guest(s):
    ip = s.gateway if s.router else s.peer_ip6 if s.family == 6 else s.peer_ip
    return wrong_entry(s, s.victim, s.dev, ip, False) if ip and s.kind != "unknown-router" else None


@fault("stale-arp-guest", needs=("guest", "spare"))
def another_guests_address(s):
    if s.router or not s.peer_ip or s.spare == s.peer:
        return None
    mac = s.net.guests[s.spare].mac
    return Injected([(s.victim, f"ip neigh replace {s.peer_ip} lladdr {mac} dev {s.dev} nud permanent")], undo=[(s.victim, f"ip neigh del {s.peer_ip} dev {s.dev}")],
                    where=s.victim, cut=from_port(s))


@fault("stale-arp-host", needs="host")
def wrong_in_the_host(s):
    ip = s.peer_ip6 if s.family == 6 else s.peer_ip
    return wrong_entry(s, s.victim, s.dev, ip, True) if ip and not s.router else None


@fault("arp-not-answered", needs="guest")
def ignored(s):
    if s.family == 6 or not s.ip or s.router:
        return None
    return Injected([(s.victim, "sysctl -qw net.ipv4.conf.all.arp_ignore=8")], undo=[(s.victim, "sysctl -qw net.ipv4.conf.all.arp_ignore=0")], where=s.victim, cut=kept(s))


@fault("arp-not-answered", needs="guest")
def switched_off(s):
    if s.family == 6 or not s.ip or s.router:
        return None
    return Injected([(s.victim, f"ip link set {s.dev} arp off")], undo=[(s.victim, f"ip link set {s.dev} arp on")], where=s.victim, cut=kept(s))


@fault("arp-inbound-filtered", needs="guest")
def all_dropped(s):
    if s.family == 6 or not s.ip or s.router:
        return None
    return Injected([(s.victim, nft("table arp t { chain c { type filter hook input priority 0; arp operation { request, reply } drop; }; }")), (s.victim, "ip neigh flush all")],
                    undo=[(s.victim, NO_TABLES)], where=s.victim, cut=kept(s))


@fault("nd-filtered", needs="guest")
def solicitations_dropped(s):
    if s.family == 4 or not s.ip6 or s.router:
        return None
    return Injected([(s.victim, nft("table ip6 t { chain c { type filter hook input priority 0; icmpv6 type nd-neighbor-solicit drop; }; }"))],
                    undo=[(s.victim, NO_TABLES)], where=s.victim, cut=kept(s))


@fault("ipv6-disabled", needs="guest")
def switched_off_in_the_guest(s):
    if s.family == 4 or not s.ip6:
        return None
    return Injected([(s.victim, f"sysctl -qw net.ipv6.conf.{s.dev}.disable_ipv6=1")],
                    undo=[(s.victim, f"sysctl -qw net.ipv6.conf.{s.dev}.disable_ipv6=0"), s.put_back(s.victim)], where=s.victim, cut=kept(s), settle=0.6)


@fault("arp-reply-dropped", needs=("guest", "bridge"))
def on_its_way_out(s):
    if s.family == 6 or not s.ip or s.router:
        return None
    rule = f'iifname "{s.port}" arp operation reply drop;'
    body = f"table bridge t {{ chain f {{ type filter hook forward priority 0; {rule} }}; chain i {{ type filter hook input priority 0; {rule} }}; }}"
    return Injected([(s.host, nft(body))], undo=[(s.host, NO_TABLES)], where=s.host, direction="from", cut=from_port(s))


@fault("arp-reply-dropped", needs=("guest", "bridge"))
def by_ebtables(s):
    if s.family == 6 or not s.ip or s.router:
        return None
    rule = f"-p ARP -i {s.port} --arp-opcode 2 -j DROP"
    return Injected([(s.host, f"ebtables -A FORWARD {rule}; ebtables -A INPUT {rule}")], undo=[(s.host, NO_TABLES)], where=s.host, direction="from", cut=from_port(s))


@fault("arp-inspection-drop", needs=("guest", "across", "fabric"))
def fabric_drops_its_arp(s):
    if s.family == 6 or not s.ip or s.router or s.kind != "bridged":
        return None
    body = f'table bridge t {{ chain c {{ type filter hook forward priority 0; iifname "{s.fabric_ports[0]}" ether saddr {s.mac} ether type arp drop; }}; }}'
    return Injected([(s.fabric, nft(body))], undo=[(s.fabric, NO_TABLES)], direction="from", cut=fabric_from(s), fix=False)


@fault("upstream-mac-restriction", needs=("guest", "across", "fabric"))
def fabric_passes_others_only(s):
    if s.router or s.kind != "bridged" or not s.net.run(s.host, f"ip -4 addr show dev {s.bridge}").count("inet "):
        return None
    body = f'table bridge t {{ chain c {{ type filter hook forward priority 0; iifname "{s.fabric_ports[0]}" ether saddr {s.mac} drop; }}; }}'
    return Injected([(s.fabric, nft(body))], undo=[(s.fabric, NO_TABLES)], direction="from", cut=fabric_from(s), fix=False)


@fault("proxy-arp-hijack", needs=("guest", "spare"))
def spare_answers_for_it(s):
    """A router that is set up for another network and plugged into this one."""
    if s.family == 6 or not s.ip or s.router or s.spare == s.peer:
        return None
    on = (f"ip link add pa0 type veth peer name pa1; ip link set pa0 up; ip link set pa1 up; ip route add {s.ip}/32 dev pa0; "
          "sysctl -qw net.ipv4.conf.eth0.proxy_arp=1 net.ipv4.ip_forward=1 net.ipv4.neigh.eth0.proxy_delay=0")
    off = "ip link del pa0; sysctl -qw net.ipv4.conf.eth0.proxy_arp=0 net.ipv4.ip_forward=0"
    return Injected([(s.spare, on), (s.peer, "ip neigh flush all")], undo=[(s.spare, off), (s.peer, "ip neigh flush all")], where=s.spare, settle=0.6)


@fault("ipv6-dad-failed", needs=("guest", "spare"))
def taken_before(s):
    """The spare guest has the address when the victim adds it."""
    if s.family == 4 or not s.ip6 or s.router or s.spare == s.peer:
        return None
    a = f"{s.ip6}/{s.plen6}"
    on = f"sysctl -qw net.ipv6.conf.{s.dev}.accept_dad=1 net.ipv6.conf.all.accept_dad=1 net.ipv6.conf.{s.dev}.dad_transmits=1; ip addr add {a} dev {s.dev}"
    off = f"sysctl -qw net.ipv6.conf.{s.dev}.accept_dad=0 net.ipv6.conf.all.accept_dad=0; ip addr del {a} dev {s.dev}"
    return Injected([(s.victim, f"ip addr del {a} dev {s.dev}"), (s.spare, f"ip addr add {a} dev eth0 nodad"), (s.victim, on)],
                    undo=[(s.spare, f"ip addr del {a} dev eth0; true"), (s.victim, off + "; true"), s.put_back(s.victim), (s.peer, "ip -6 neigh flush all")],
                    where=s.victim, settle=2.0)
