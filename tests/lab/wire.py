"""A wire that is not well: what leaves by a device is taken out, delayed, lost, doubled, damaged, overtaken or throttled, and leaves by it
after all. The kernel here has no netem. As a program: `wire.py DEV option=value ...` in the namespace of DEV, until it is ended.

Every frame that is about to leave DEV is redirected to a tap of ours (tc, before anybody captures it) and sent out of DEV again, marked,
so that it is not taken twice. One way only: the other one is the business of the device at the other end."""
import fcntl, heapq, os, random, select, signal, socket, struct, subprocess, sys, time

TAP = "wire0"
MARK = 0x77
SO_MARK = 36
# tc's own BPF: frames without our mark
UNMARKED = f"4,32 0 0 4294963220,21 1 0 {MARK},6 0 0 4294967295,6 0 0 0"


class Steps:
    """inject and undo for faults: begin() is a step of its own kind, a function of the lab."""

    def __init__(self, machine, dev, **how):
        self.machine, self.dev, self.key = machine, dev, f"wire-{machine}-{dev}"
        self.argv = [sys.executable, os.path.abspath(__file__), dev] + [f"{k}={v}" for k, v in how.items()]

    def begin(self, net):
        before = net.log(self.key).count("ready")
        net.spawn(self.key, self.machine, self.argv)
        net.until(lambda: net.log(self.key).count("ready") > before, 10, lambda: f"the wire is not there: {net.log(self.key)}", every=0.02)

    def end(self, net):
        net.stop(self.key, signal.SIGTERM)
        net.procs.pop(self.key, None)


def sh(cmd):
    subprocess.run(cmd, shell=True, check=True, stderr=subprocess.DEVNULL)


def tap_open():
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", TAP.encode(), 0x0002 | 0x1000))  # TUNSETIFF: IFF_TAP, IFF_NO_PI
    sh(f"sysctl -qw net.ipv6.conf.{TAP}.disable_ipv6=1; ip link set {TAP} mtu 65000 txqueuelen 10000 up")
    return fd


def damaged(frame):
    """One bit behind the headers of Ethernet, IP and UDP or ICMP."""
    b = bytearray(frame)
    at = random.randrange(14 + 20 + 8 + 36, len(b)) if len(b) > 90 else len(b) - 1
    b[at] ^= 1 << random.randrange(8)
    return bytes(b)


def unsummed(frame):
    """UDP and TCP with a checksum that nobody filled in."""
    four, six = frame[12:14] == b"\x08\x00", frame[12:14] == b"\x86\xdd"
    if not (four or six):
        return frame
    proto, at = (frame[23], 14 + 4 * (frame[14] & 15)) if four else (frame[20], 54)
    place = {17: at + 6, 6: at + 16}.get(proto)
    if place is None or len(frame) < place + 2 or (four and frame[20] & 0x1F) or (four and frame[21]):
        return frame
    return frame[:place] + b"\xba\xd5" + frame[place + 2:]


class Wire:
    """Times in ms, shares in percent. delay, loss, dup, corrupt; reorder: that share is held back by
    `held`; rate in kbit/s with a queue of `queue` frames. gate: what comes waits for the next opening, one every so often.
    unsummed: UDP and TCP leave with wrong checksums."""

    def __init__(self, delay=0, gate=0, loss=0, dup=0, corrupt=0, reorder=0, held=15, rate=0, queue=1000, unsummed=0):
        self.unsummed = unsummed
        self.delay, self.gate, self.loss, self.dup, self.corrupt = delay, gate / 1000, loss, dup, corrupt
        self.reorder, self.held, self.rate, self.queue = reorder, held, rate, queue
        self.waiting, self.number, self.free_at = [], 0, 0.0

    def chance(self, percent):
        return percent and random.uniform(0, 100) < percent

    def put(self, at, frame):
        self.number += 1
        heapq.heappush(self.waiting, (at, self.number, frame))

    def take(self, frame, now):
        if self.chance(self.loss) or (self.rate and len(self.waiting) >= self.queue):
            return
        at = now + self.delay / 1000
        if self.gate:
            at += self.gate - at % self.gate
        if self.chance(self.reorder):
            at += self.held / 1000
        if self.rate:
            at = max(at, self.free_at)
            self.free_at = at = at + len(frame) * 8 / self.rate / 1000
        if self.chance(self.corrupt) and frame[12:14] == b"\x08\x00":
            frame = damaged(frame)
        if self.unsummed:
            frame = unsummed(frame)
        self.put(at, frame)
        if self.chance(self.dup):
            self.put(at, frame)

    def due(self, now):
        while self.waiting and self.waiting[0][0] <= now:
            yield heapq.heappop(self.waiting)[2]

    def sleep(self, now):
        return max(0.0, self.waiting[0][0] - now) if self.waiting else None


def run(dev, wire):
    tap = tap_open()
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    out.setsockopt(socket.SOL_SOCKET, SO_MARK, MARK)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    out.bind((dev, 0))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sh(f"tc qdisc add dev {dev} clsact || true")
    sh(f"tc filter add dev {dev} egress pref 7 protocol all bpf bytecode '{UNMARKED}' action mirred egress redirect dev {TAP}")
    try:
        print("ready", flush=True)
        while True:
            select.select([tap], [], [], wire.sleep(time.monotonic()))
            now = time.monotonic()
            try:
                for _ in range(64):
                    wire.take(os.read(tap, 65536), now)
            except BlockingIOError:
                pass
            for frame in wire.due(now):
                try:
                    out.send(frame)
                except OSError:
                    pass
    finally:
        sh(f"tc filter del dev {dev} egress pref 7; tc qdisc del dev {dev} clsact")


if __name__ == "__main__":
    run(sys.argv[1], Wire(**{k: float(v) for k, v in (a.split("=") for a in sys.argv[2:])}))
