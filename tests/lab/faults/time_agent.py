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


@fault("control-channel-lost", needs="host")
def collector_filtered(s):
    """The agent runs and measures, and its words do not arrive; those of its guests go through it."""
    if s.same_host or s.kind == "vm" or not s.port == "":
        return None
    cut = "nft 'table inet t { chain o { type filter hook output priority 0; tcp dport 7400 drop; }; chain i { type filter hook input priority 0; tcp sport 7400 drop; }; }'"
    back = lambda net: net.until(lambda: all(a["online"] for a in net.agents().values()) if hasattr(net, "agents") else net.wait() is None, 40)
    return Injected([(s.victim, cut)], undo=[(s.victim, "nft flush ruleset"), back], where=s.victim, settle=14.0, fix=False)
