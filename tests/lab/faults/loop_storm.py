"""Loops."""
from . import Injected, fault


@fault("l2-loop-storm", needs=("guest", "bridge"))
def cable_between_two_ports(s):
    """Both ends of a cable are in one bridge. Slow, so that the machine that runs the test survives it."""
    if s.router:
        return None
    slow = "root tbf rate 4mbit burst 16k limit 30k"
    on = (f"ip link add lp0 type veth peer name lp1; tc qdisc add dev lp0 {slow}; tc qdisc add dev lp1 {slow}; "
          f"ip link set lp0 master {s.bridge} up; ip link set lp1 master {s.bridge} up")
    return Injected([(s.host, on)], undo=[(s.host, "ip link del lp0")], where=s.host, settle=1.5)
