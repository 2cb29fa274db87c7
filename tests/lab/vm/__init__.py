"""Real guests: two QEMU machines, one with virtio-net and one with e1000, beside a guest in a namespace. Their agents speak to the
collector over the virtio-serial port; v2 has the network as well. The network is the guest's own, its kernel another one than the
hosts', and what its tap shows is all that its host sees of it.

    h1: br0 (10.7.0.1)  tap0 = v1 (virtio, 10.7.0.21, port only)   n1 (namespace, 10.7.0.23)
    h2: br0 (10.7.0.2)  tap0 = v2 (e1000, 10.7.0.22, port; reaches the collector through h2 too)
"""
import os, signal, subprocess, time

import lab as labs
from lab import COLLECTOR_IP, Failure, brief, check
from topologies import FLUSH, Box, Net, drop

from . import image
from .machine import PORT, Machine, why_not

STATE, LOG, PID = "/var/lib/bothways", "/var/log/agent.log", "/run/agent.pid"


def agent_program():
    """The one that users run: with a sanitizer it would need a minute to start in an emulated machine, and much memory."""
    path = os.path.join(labs.BIN, "bothways-agent")
    libs = subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True).stdout
    return os.path.join(labs.TOP, "build", "bin", "bothways-agent") if "libasan" in libs else path


class VmNet(Net):
    def __init__(self):
        super().__init__(["h1", "h2"], {"v1": ("red", "h1", "tap0"), "v2": ("red", "h2", "tap0"), "n1": ("red", "h1", "vnet1")}, build)
        for i, g in enumerate(self.guests.values(), 21):
            g.ip, g.ip6, g.mac = f"10.7.0.{i}", f"fd00:7::{i}", f"52:54:00:aa:00:{i}"
        nics = {"v1": "virtio", "v2": "e1000"}
        self.vms = {n: Machine(self, n, g.host, "br0", g.port, g.mac, nics[n], 160) for n, g in self.guests.items() if n in nics}

    def _ns(self, name):
        if name not in self.vms:
            super()._ns(name)

    def run(self, where, cmd, ok=True, timeout=60):
        if where in self.vms:
            return self.vms[where].sh(cmd, ok, timeout)
        return super().run(where, cmd, ok, timeout)

    def log(self, key):
        if key in self.vms:
            return self.vms[key].sh(f"tail -c 100000 {LOG}", ok=False)
        return super().log(key)

    def logs(self, lines=12):
        return super().logs(lines) + "".join(f"\n--- {n}\n" + "\n".join(self.log(n).splitlines()[-lines:]) for n in self.vms)

    def address(self, name):
        """What gives a guest its place in the network."""
        g = self.guests[name]
        mgmt = "; ip route replace 172.31.255.0/24 via 10.7.0.2" if name == "v2" else ""
        return f"ip link set eth0 up; ip addr replace {g.ip}/24 dev eth0; ip addr replace {g.ip6}/64 dev eth0 nodad{mgmt}"

    def boot(self):
        kernel = image.kernel()
        initrd = self.path("initrd")
        with open(initrd, "wb") as f:
            for part in (image.base(kernel), image.programs(agent_program())):
                f.write(open(part, "rb").read())
        for m in self.vms.values():
            os.makedirs(self.path("oob-" + m.host), exist_ok=True)
            m.start(os.path.join(kernel, "vmlinux"), initrd, self.path("oob-" + m.host, m.name))

    def up_agent(self, name, *args, join=True):
        if name not in self.vms:
            return super().up_agent(name, *args, join=join)
        g = self.guests[name]
        argv = f"--state {STATE} --oob /dev/virtio-ports/{PORT} " + " ".join(args)
        if join:
            argv += " --join " + self.token(name, g.tenant, "guest")
        self.run(name, f"mkdir -p {STATE}; setsid bothways-agent {argv} >>{LOG} 2>&1 & echo $! >{PID}")

    def up(self):
        self._ns("sw")
        for name in self.hosts + list(self.guests):
            self._ns(name)
        self._bridge("sw", "mgmt", "02:ff:00:00:00:01")
        self.run("sw", f"ip addr add {COLLECTOR_IP}/24 dev mgmt; ip route add 10.7.0.0/24 via 172.31.255.2")
        self.build(self)
        self.up_collector()
        for name in self.hosts + ["n1"]:
            self.up_agent(name)
        for name, m in self.vms.items():
            m.ready()
            self.run(name, f"hostname {name}")
            if name != "v1":
                self.run(name, self.address(name))
            self.up_agent(name)
        self.wait()

    def crashes(self):
        ended = [f"{n}: its agent is gone\n" + self.log(n)[-2000:] for n in self.vms if "gone" in self.run(n, f"kill -0 $(cat {PID}) || echo gone", ok=False)]
        return super().crashes() + ended


def build(n):
    n._bridge("sw", "fab", "02:fa:00:00:00:01")
    for i, h in enumerate(n.hosts, 1):
        n.mgmt(h, i)
        n._bridge(h, "br0", f"02:b0:00:00:00:0{i}")
        n._veth("sw", f"u{i}", h, "eno1", f"02:e0:00:00:00:0{i}")
        n.run("sw", f"ip link set u{i} master fab")
        n.run(h, f"ip link set eno1 master br0; ip addr add 10.7.0.{i}/24 dev br0; ip addr add fd00:7::{i}/64 dev br0 nodad; sysctl -qw net.ipv4.ip_forward=1")
    n.boot()
    n.guest("n1", "br0", "eth0", 23, "10.7.0.23/24", "fd00:7::23/64")


# ---- cases ----


def never_had_a_network(n):
    """v1 joined through its host alone: its NIC is down and has no address yet."""
    a = n.agents()
    check(a["v1"]["path"] == "relay via h1", f"v1 is heard {a['v1']}")
    code, out, err = n.cli("diagnose", "h1", "v1")
    print(code, out, err)
    n.run("v1", n.address("v1"))
    n.healthy("h1", "v1")


def healthy(n):
    n.places(v1="h1", v2="h2", n1="h1")
    n.way("h1", "v1", "h1:socket", "h1:br0", "h1:tap0", "v1:eth0", "v1:socket")
    n.way("v1", "v2", "v1:socket", "v1:eth0", "h1:tap0", "h1:eno1", "h2:eno1", "h2:tap0", "v2:eth0", "v2:socket")
    n.way("v2", "h2", "v2:socket", "v2:eth0", "h2:tap0", "h2:br0", "h2:socket")
    n.way("n1", "v1", "n1:socket", "n1:eth0", "h1:vnet1", "h1:tap0", "v1:eth0", "v1:socket")
    n.well()


def link_down(n):
    for name, other in (("v1", "h1"), ("v2", "v1")):
        n.fault(other, name, "guest-nic-admin-down", name, "ip link set eth0 down", n.address(name))


def firewall_in(n):
    n.fault("h1", "v1", "guest-fw-inbound-drop", "v1", drop("input", "iif != lo"), FLUSH)


def firewall_out(n):
    n.fault("v1", "v2", "guest-fw-egress-drop", "v2", drop("output", "oif != lo"), FLUSH)


def no_address(n):
    n.fault("v1", "h1", "guest-no-ip", "v1", "ip addr flush dev eth0", n.address("v1"))


def wrong_subnet(n):
    n.fault("v2", "v1", "wrong-subnet-ip", "v1", "ip -4 addr flush dev eth0; ip addr add 10.77.5.21/24 dev eth0", "ip -4 addr flush dev eth0; " + n.address("v1"), settle=1)


def wrong_netmask(n):
    n.fault("h1", "v1", "netmask-too-narrow", "v1", "ip -4 addr flush dev eth0; ip addr add 10.7.0.21/30 dev eth0", "ip -4 addr flush dev eth0; " + n.address("v1"))


CASES = [never_had_a_network, healthy, link_down, firewall_in, firewall_out, no_address, wrong_subnet, wrong_netmask]


def cases():
    """For run.py: (name, function of the lab)."""
    return [("vm/" + f.__name__.replace("_", "-"), f) for f in CASES]
