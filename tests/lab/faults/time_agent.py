"""Agents that are not heard."""
from . import Injected, fault


def stopped(s):
    return lambda net: net.stop(s.victim, 9)


def begun_again(s):
    def step(net):
        for pid in net.run(s.victim, f"ip netns pids {net.ns(s.victim)}", ok=False).split():
            net.run(s.victim, f"kill {pid}", ok=False)
        net.up_agent(s.victim, join=False)
    return step


@fault("agent-down", needs="guest")
def killed(s):
    if s.kind == "vm" or s.service or s.kind == "nat":
        return None
    return Injected([stopped(s)], undo=[begun_again(s)], where=s.victim, settle=4.0)
