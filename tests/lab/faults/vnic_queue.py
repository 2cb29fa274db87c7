"""Queues: rates that are limited, and long ones that fill up."""
from . import Injected, fault


@fault("traffic-shaping-policing", needs=("guest", "bridge", "bridged"))
def shaped_port(s):
    """A rate that keeps a burst waiting, in a queue that is long enough, at a port where nothing else of the lab fills it."""
    if s.network in ("", "default") and s.bridge != "br-b":
        return None
    return Injected([(s.host, f"tc qdisc replace dev {s.port} root tbf rate 6mbit burst 4kb limit 400kb")], undo=[(s.host, f"tc qdisc del dev {s.port} root")],
                    where=s.host, direction="to", state=("degraded",), args=("--deep",))


@fault("traffic-shaping-policing", needs=("guest", "bridge", "bridged"))
def policed_port(s):
    """A queue so short that the rest is dropped."""
    return Injected([(s.host, f"tc qdisc replace dev {s.port} root tbf rate 1mbit burst 2kb limit 6kb")], undo=[(s.host, f"tc qdisc del dev {s.port} root")],
                    where=s.host, direction="to", state=("degraded", "one-way"), args=("--deep",))


@fault("bufferbloat", needs=("fabric", "bridged"))
def bufferbloat(s):
    if not s.uplink or not s.peer_uplink:
        return None
    dev = s.fabric_ports[0]
    return Injected([(s.fabric, f"tc qdisc replace dev {dev} root tbf rate 6mbit burst 4kb limit 400kb")], undo=[(s.fabric, f"tc qdisc del dev {dev} root")],
                    direction="to", state=("degraded",), args=("--deep",), fix=False)
