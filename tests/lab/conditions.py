"""Networks in which less can be known than in the others: hypervisors without an agent, guests that are heard over the very network
that is broken, agents that may neither capture nor look at drops. Nothing wrong may be said there; less may be said."""
from topologies import Net, two_hosts

UNSEEING = ["setpriv", "--bounding-set", "-net_raw,-bpf,-perfmon,-sys_admin"]


GUESTS = {"g1": ("t", "h1", "vnet1"), "g2": ("t", "h2", "vnet2"), "g3": ("t", "h1", "vnet3")}


def no_host_agents():
    return Net(["h1", "h2"], GUESTS, lambda n: two_hosts(n, mgmt=GUESTS), silent=("h1", "h2"), deaf=tuple(GUESTS)).up()


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
