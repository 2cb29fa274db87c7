"""The out-of-band paths of a real kernel, in a QEMU machine: AF_VSOCK (over its loopback), and a virtio-serial port with nobody at
the host's end."""
import json, os, select, socket, time

import lab as labs
from lab import Lab, check
from vm import image
from vm.machine import PORT, Machine, why_not

HOST, GUEST = "/var/lib/h", "/var/lib/g"
TICKS = 100  # of the CPU clock, per second
RESET = b"\xb7BW\x01\x02"  # magic and type of the frame with which a guest begins


def programs():
    """Those that users run: with a sanitizer they would need a minute to start in there."""
    where = os.path.join(labs.TOP, "build", "bin") if labs.program_is_sanitized() else labs.BIN
    return [os.path.join(where, p) for p in ("bothways", "bothways-agent", "bothways-collector")]


def boot(lab):
    kernel, initrd = image.kernel(), lab.path("initrd")
    with open(initrd, "wb") as f:
        for part in (image.base(kernel), image.programs(*programs())):
            f.write(open(part, "rb").read())
    lab._ns("h1")
    lab._bridge("h1", "br0", "02:b0:00:00:00:01")
    m = Machine(lab, "v1", "h1", "br0", "tap0", "52:54:00:aa:00:51", "virtio", 256)
    m.start(os.path.join(kernel, "vmlinux"), initrd, lab.path("port"))
    m.ready()
    return m


def start(m, name, *args):
    m.sh(f"setsid bothways-agent {' '.join(args)} >>/var/log/{name}.log 2>&1 & echo $! >/run/{name}.pid")


def token(m, name, kind):
    return m.sh(f"bothways --state /var/lib/c token --tenant {'fleet' if kind == 'host' else 'red'} --kind {kind} --name {name}").strip()


def agents(m):
    text = m.sh("bothways --state /var/lib/c --json agents", ok=False)
    try:
        return {a["name"]: a for a in json.loads(text)["agents"]}
    except ValueError:
        return {}


def reports(lab, m, name):
    """A slow machine may need more than one question."""
    return lab.until(lambda: agents(m).get(name, {}).get("reports"), 40, lambda: f"the collector does not know {name}: {agents(m)}", every=1)


def heard_over_vsock(lab, m):
    def heard():
        a = agents(m).get("g", {})
        return a.get("online") and a["path"] == "relay via h" and [w["stream"] for w in a["ways"] if w["works"]] == ["vsock:1"]
    lab.until(heard, 40, lambda: f"g is not heard over vsock: {agents(m).get('g')}\n" + m.sh("cat /var/log/*.log", ok=False), every=1)


def vsock(lab, m):
    m.sh("modprobe vsock_loopback; setsid bothways-collector --state /var/lib/c --listen tcp://127.0.0.1:7400 >/var/log/c.log 2>&1 &")
    lab.until(lambda: "up" in m.sh("bothways --state /var/lib/c status >/dev/null 2>&1; [ $? = 1 ] || echo up", ok=False), 40, "no collector", every=1)
    # the guest's way to the collector's address leads nowhere
    start(m, "g", "--state", GUEST, "--join", token(m, "g", "guest"), "--collector tcp://127.0.0.1:9 --oob vsock:1:7411 --probe-port 7402")
    time.sleep(3)  # nobody listens yet
    host = ["--state", HOST, "--relay-vsock 7411"]
    start(m, "h", *host, "--join", token(m, "h", "host"))
    heard_over_vsock(lab, m)
    check("via h (vsock)" in m.sh("bothways --state /var/lib/c agents"), m.sh("bothways --state /var/lib/c agents"))
    number = reports(lab, m, "g")["number"]
    m.sh("kill -9 $(cat /run/h.pid)")
    start(m, "h", *host)
    lab.until(lambda: reports(lab, m, "g")["number"] > number + 2, 40, lambda: f"no reports after the host's agent was killed: {agents(m)}", every=1)
    heard_over_vsock(lab, m)
    r = reports(lab, m, "g")
    check(r["missing"] == 0 and r["number"] == r["applied"], f"{r}")
    m.sh("kill $(cat /run/g.pid) $(cat /run/h.pid)")


def cpu(m, name):
    stat = m.sh(f"cat /proc/$(cat /run/{name}.pid)/stat").rsplit(")", 1)[1].split()
    return int(stat[11]) + int(stat[12])


def first_bytes(path, seconds):
    """What comes out of the port when the host's end is taken."""
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.settimeout(seconds)
    try:
        return s.recv(4096)
    except TimeoutError:
        return b""
    finally:
        s.close()


def port(lab, m):
    start(m, "p", "--state /var/lib/p --join", token(m, "p", "guest"), "--collector tcp://127.0.0.1:9 --probe-port 7403", "--oob /dev/virtio-ports/" + PORT)
    time.sleep(4)
    before, begun = cpu(m, "p"), time.monotonic()
    time.sleep(5)
    busy = (cpu(m, "p") - before) / TICKS / (time.monotonic() - begun)
    check(busy < 0.2 * labs.overload(), f"the agent takes {100 * busy:.0f} % of a CPU while nobody holds the host's end")
    for _ in range(3):
        got = first_bytes(lab.path("port"), 10)
        check(RESET in got, f"the agent did not say RESET to whom came: {got[:100]!r}\n" + m.sh("cat /var/log/p.log", ok=False))
        time.sleep(1.5)
    # a second one cannot have the port, says so, and gets it later
    start(m, "q", "--state /var/lib/q --join", token(m, "q", "guest"), "--collector tcp://127.0.0.1:9 --probe-port 7404", "--oob /dev/virtio-ports/" + PORT)
    lab.until(lambda: "another program holds this port" in m.sh("cat /var/log/q.log", ok=False), 20, lambda: m.sh("cat /var/log/q.log", ok=False), every=1)
    m.sh("kill -9 $(cat /run/p.pid)")
    time.sleep(2)
    check(RESET in first_bytes(lab.path("port"), 10), "the other agent did not take over the port:\n" + m.sh("cat /var/log/q.log", ok=False))


def out_of_band_paths_of_a_real_kernel():
    reason = why_not()
    if reason:
        return reason
    lab = Lab(guests=[], hosts=["h1"])
    try:
        try:
            m = boot(lab)
        except image.Unavailable as e:
            return str(e)
        vsock(lab, m)
        port(lab, m)
    finally:
        lab.close()


def alone():
    return [("vm-out-of-band-paths", out_of_band_paths_of_a_real_kernel)]
