"""Filters at a guest's port that let only what they know of the guest pass."""
from . import NO_TABLES, Injected, fault, nft
from .base import from_port

OTHER_MAC = "02:1a:00:00:00:99"


@fault("mac-antispoof-drop", needs=("guest", "bridge"))
def other_mac_allowed(s):
    """As ebtables does it: whatever does not come from the address of the definition is dropped."""
    rule = f"-i {s.port} -s ! {OTHER_MAC} -j DROP"
    return Injected([(s.host, f"ebtables -A FORWARD {rule}; ebtables -A INPUT {rule}")], undo=[(s.host, NO_TABLES)], where=s.host, direction="from", cut=from_port(s))


@fault("mac-antispoof-drop", needs=("guest", "bridge"))
def changed_in_the_guest(s):
    """As nwfilter does it: a chain for the port that returns for the guest's address, and drops the rest. The guest changes its own."""
    body = f"""table bridge filter {{
  chain port {{ ether saddr {s.mac} return; drop; }}
  chain prerouting {{ type filter hook prerouting priority -300; iifname "{s.port}" jump port; }}
}}"""
    mine = s.net.base(s.victim)
    return Injected([(s.host, nft(body)), (s.victim, f"ip link set {s.dev} address {OTHER_MAC}")],
                    undo=[(s.host, NO_TABLES), (s.victim, f"ip link set {s.dev} address {s.mac}; {mine}")], where=s.host, cut=from_port(s), may=["no-garp-after-move", "stale-arp-router"], settle=1.0)


@fault("ip-antispoof-drop", needs=("guest", "bridge"))
def other_address_allowed(s):
    if s.family == 6 or not s.ip:
        return None
    allowed = s.ip.rsplit(".", 1)[0] + ".99"
    rules = f'iifname "{s.port}" ether type ip ip saddr != {allowed} drop;'
    body = f"table bridge filter {{ chain f {{ type filter hook forward priority 0; {rules} }}; chain i {{ type filter hook input priority 0; {rules} }}; }}"
    return Injected([(s.host, nft(body))], undo=[(s.host, NO_TABLES)], where=s.host, direction="from", cut=from_port(s))


@fault("ip-antispoof-drop", needs=("guest", "bridge"))
def arp_as_well(s):
    """The strict kind: ARP that claims another address is dropped, too."""
    if s.family == 6 or not s.ip or s.router:
        return None
    allowed = s.ip.rsplit(".", 1)[0] + ".99"
    rules = f'iifname "{s.port}" ether type ip ip saddr != {allowed} drop; iifname "{s.port}" arp saddr ip != {allowed} drop;'
    body = f"table bridge filter {{ chain p {{ type filter hook prerouting priority -200; {rules} }}; }}"
    return Injected([(s.host, nft(body))], undo=[(s.host, NO_TABLES)], where=s.host, direction="from", cut=from_port(s))
