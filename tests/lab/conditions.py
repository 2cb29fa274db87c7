"""Networks in which less can be known than in the others: hypervisors without an agent, guests that are heard over the very network
that is broken, agents that may neither capture nor look at drops. Nothing wrong may be said there; less may be said."""
from topologies import Net

UNSEEING = ["setpriv", "--bounding-set", "-net_raw,-bpf,-perfmon,-sys_admin"]


def two_hosts(n, mgmt=False):
    n._bridge("sw", "fab", "02:fa:00:00:00:01")
    for i, h in enumerate(n.machines, 1):
        n.mgmt(h, i)
        n._bridge(h, "br0", f"02:b0:00:00:00:0{i}")
        n._veth("sw", f"u{i}", h, "eno1", f"02:e0:00:00:00:0{i}")
        n.run("sw", f"ip link set u{i} master fab")
        n.run(h, f"ip link set eno1 master br0; ip addr add 10.7.0.{i}/24 dev br0; ip addr add fd00:7::{i}/64 dev br0 nodad")
    for i, g in enumerate(n.guests, 11):
        n.guest(g, "br0", "eth0", i, f"10.7.0.{i}/24", f"fd00:7::{i}/64")
        if mgmt:
            n.mgmt(g, 90 + i)


GUESTS = {"g1": ("t", "h1", "vnet1"), "g2": ("t", "h2", "vnet2"), "g3": ("t", "h1", "vnet3")}


def no_host_agents():
    return Net(["h1", "h2"], GUESTS, lambda n: two_hosts(n, mgmt=True), silent=("h1", "h2"), deaf=tuple(GUESTS)).up()


class Unseeing(Net):
    def spawn(self, key, where, argv):
        return super().spawn(key, where, (UNSEEING if argv[0].endswith("bothways-agent") else []) + argv)


def no_capture():
    return Unseeing(["h1", "h2"], GUESTS, two_hosts).up()


def no_oob():
    """All that a guest says passes its own bridge and uplink; the collector has an address in their network."""
    def build(n):
        two_hosts(n)
        n.run("sw", "ip addr add 10.7.0.254/24 dev fab")
        for g in n.guests:
            n.run(g, "ip route add 172.31.255.0/24 via 10.7.0.254")
    return Net(["h1", "h2"], GUESTS, build, deaf=tuple(GUESTS)).up()
