"""What drivers and offloads get wrong."""
import wire
from . import Injected, fault
from .base import taken


@fault("checksum-offload-bad", needs=("fabric", "bridged"))
def checksum_offload_bad(s):
    """The peer leaves checksums to somebody who does not make them."""
    if not s.uplink or not s.peer_uplink:
        return None
    w = wire.Steps(s.fabric, s.fabric_ports[0], unsummed=1)
    return Injected([w.begin], undo=[w.end], where=s.peer, direction="to", cut=taken(s), settle=0.8, fix=False)
