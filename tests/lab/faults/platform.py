"""What only the platform or the switch can tell: the fault is made where it really is, and what libvirt keeps of its VMs, or what an
exporter tells the collector of a switch, is written into the files from which it is read."""
import os, shutil, signal

from . import NO_TABLES, Injected, fault, nft
from .base import fabric_from, from_port, to_wire

UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1809"
NOT_PASSED = "nft delete table netdev held"


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w") as f:
        f.write(text)
    os.rename(path + ".new", path)


def domain(s, filters=""):
    return (f"<domain type='kvm'><name>{s.victim}</name><uuid>{UUID}</uuid><vcpu>1</vcpu><devices><interface type='bridge'>"
            f"<mac address='{s.mac}'/><source bridge='{s.bridge}'/><target dev='{s.port}'/><model type='virtio'/>{filters}"
            "<alias name='net0'/></interface></devices></domain>")


def libvirt_file(s, path, text):
    return lambda net: write(os.path.join(net.path("root-" + s.host), path), text)


def libvirt_forgets(s):
    return lambda net: shutil.rmtree(net.path("root-" + s.host), ignore_errors=True)


def signalled(machine, number):
    return lambda net: os.kill(net.procs[machine].pid, number)


def held(s, path, text):
    """A machine that does not run: its kernel takes nothing and its agent says nothing."""
    if s.victim not in s.net.procs:
        return None
    stop = f"nft -f - <<'N'\ntable netdev held {{ chain c {{ type filter hook ingress device {s.dev} priority -500; drop; }}; }}\nN"
    return Injected([libvirt_file(s, path, text), signalled(s.victim, signal.SIGSTOP), (s.victim, stop)],
                    undo=[(s.victim, NOT_PASSED), signalled(s.victim, signal.SIGCONT), libvirt_forgets(s)], where=s.victim, fix=False)


@fault("vm-paused-or-stunned", needs=("guest", "bridge"))
def paused(s):
    return held(s, f"run/libvirt/qemu/{s.victim}.xml", f"<domstatus state='paused' reason='user' pid='1'>{domain(s)}</domstatus>")


@fault("vm-crashed", needs=("guest", "bridge"))
def off(s):
    return held(s, f"etc/libvirt/qemu/{s.victim}.xml", domain(s))


@fault("nwfilter-lease-expired", needs=("guest", "bridge"))
def lease_is_gone(s):
    """As nwfilter does it: without a known address all IPv4 of the port is dropped."""
    if s.family == 6 or not s.ip or s.router:
        return None
    filters = "<filterref filter='clean-traffic'><parameter name='CTRL_IP_LEARNING' value='dhcp'/></filterref>"
    body = f"""table bridge nat {{
  chain libvirt-I-{s.port} {{ ether type ip drop; }}
  chain prerouting {{ type filter hook prerouting priority -300; iifname "{s.port}" jump libvirt-I-{s.port}; }}
}}"""
    return Injected([libvirt_file(s, f"run/libvirt/qemu/{s.victim}.xml", f"<domstatus state='running' reason='booted' pid='1'>{domain(s, filters)}</domstatus>"),
                     libvirt_file(s, "run/libvirt/network/nwfilter.leases", f"1000 {UUID}-{s.mac} {s.ip} 10.0.0.1\n"), (s.host, nft(body))],
                    undo=[(s.host, NO_TABLES), libvirt_forgets(s)], where=s.victim, direction="from", cut=from_port(s), fix=False)


# ---- switches: told to the collector ----


def told(text):
    return lambda net: write(net.path("platform.yaml"), text)


NOTHING_TOLD = told("swports: []\n")


def switch_port(s, said):
    return f"swports:\n  - {{device: sw, port: {s.fabric_ports[0]}, host: {s.host}, {said}}}\n"


def at_the_switch(s, rules, facts, **judged):
    body = f"table bridge filter {{ chain f {{ type filter hook forward priority 0; {rules} }}; chain p {{ type filter hook prerouting priority -300; {rules} }}; }}"
    return Injected([told(facts), (s.fabric, nft(body))], undo=[(s.fabric, NO_TABLES), NOTHING_TOLD], settle=1.5, fix=False, **judged)


@fault("upstream-mac-restriction", needs=("guest", "bridge", "across", "fabric", "bridged"))
def one_address_per_port(s):
    return at_the_switch(s, f'iifname "{s.fabric_ports[0]}" ether saddr {s.mac} drop;',
                         switch_port(s, "mac_limit: 1, bound_said: yes, bound: ['02:00:00:00:00:01']"), where="sw", direction="from", cut=fabric_from(s))


@fault("arp-inspection-drop", needs=("guest", "bridge", "across", "fabric", "bridged"))
def no_binding(s):
    if s.family == 6 or not s.ip:
        return None
    return at_the_switch(s, f'iifname "{s.fabric_ports[0]}" ether saddr {s.mac} ether type arp drop;',
                         switch_port(s, "arp_inspection: yes, bound_said: yes, bound: ['02:00:00:00:00:01']"), where="sw", cut=fabric_from(s))


@fault("cloud-src-dst-check", needs=("guest", "bridge", "across", "fabric", "bridged"))
def foreign_address(s):
    return at_the_switch(s, f'iifname "{s.fabric_ports[0]}" ether saddr {s.mac} drop;',
                         switch_port(s, "platform: cloud, src_dst_check: yes, peer: '02:00:00:00:00:01'"), where="sw", direction="from", cut=fabric_from(s))


@fault("vlan-not-trunked", needs=("guest", "bridge", "across", "fabric", "bridged"))
def switch_lacks_it(s):
    vport = f"vports:\n  - {{platform: vmware, vm: {s.victim}, mac: '{s.mac}', vlan_mode: access, vlan: 200}}\n"
    rules = f'iifname "{s.fabric_ports[0]}" ether saddr {s.mac} drop; oifname "{s.fabric_ports[0]}" ether daddr {s.mac} drop; iifname "{s.fabric_ports[1]}" ether daddr {s.mac} drop;'
    return at_the_switch(s, rules.replace(f'oifname "{s.fabric_ports[0]}" ether daddr {s.mac} drop; ', ""), vport + switch_port(s, "vlans: '1-100'"), where=s.victim, cut=fabric_from(s))


@fault("bpdu-guard-errdisable", needs=("guest", "bridge", "across", "fabric", "bridged"))
def port_is_off(s):
    port = s.fabric_ports[0]
    return Injected([told(switch_port(s, "state: err-disabled, why: bpduguard")), (s.fabric, f"ip link set {port} down")],
                    undo=[(s.fabric, f"ip link set {port} up"), NOTHING_TOLD], where="sw", cut=to_wire(s), settle=1.5, fix=False, may=["pnic-link-down"])
