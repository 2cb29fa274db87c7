"""One QEMU guest (software emulation: TCG) plugged into a bridge of the lab by a tap, with a virtio-serial port for the agent and a
serial port over which the test runs shell lines in it."""
import base64, json, os, shutil, socket, time

from lab import Failure, check

QEMU = "qemu-system-x86_64"
PORT = "org.bothways.0"
DEADLINE = 60
NICS = {"virtio": "virtio-net-pci", "e1000": "e1000"}


class Machine:
    def __init__(self, lab, name, host, bridge, tap, mac, nic="virtio", mem=192):
        self.lab, self.name, self.host, self.bridge, self.tap = lab, name, host, bridge, tap
        self.mac, self.nic, self.mem = mac, nic, mem
        self.key = "qemu-" + name
        self.count = 0
        self.process = self.serial = self.monitor = None
        self.unread = b""

    def path(self, what):
        return self.lab.path(f"{self.name}.{what}")

    # ---- life ----
    def start(self, kernel, initrd, port):
        """port: the unix socket that is the host's end of the virtio-serial port."""
        self.lab.run(self.host, f"ip tuntap add {self.tap} mode tap && ip link set {self.tap} master {self.bridge} up")
        self.process = self.lab.spawn(self.key, self.host, [
            QEMU, "-M", "pc", "-accel", "tcg,tb-size=64", "-m", str(self.mem), "-smp", "1", "-nodefaults", "-no-reboot", "-display", "none",
            "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable",
            "-netdev", f"tap,id=n0,ifname={self.tap},script=no,downscript=no", "-device", f"{NICS[self.nic]},id=nic0,netdev=n0,mac={self.mac},romfile=",
            "-chardev", f"file,id=c0,path={self.path('console')}", "-serial", "chardev:c0",
            "-chardev", f"socket,id=c1,path={self.path('shell')},server=on,wait=off", "-serial", "chardev:c1",
            "-device", "virtio-serial-pci", "-chardev", f"socket,id=c2,path={port},server=on,wait=off", "-device", f"virtserialport,chardev=c2,name={PORT}",
            "-qmp", f"unix:{self.path('qmp')},server=on,wait=off"])
        self.serial = self._connect("shell")

    def _connect(self, what):
        """qemu makes its sockets first of all."""
        s = socket.socket(socket.AF_UNIX)

        def connected():
            check(self.process.poll() is None, f"{self.name}: qemu ended: " + self.lab.log(self.key))
            try:
                s.connect(self.path(what))
                return True
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        self.lab.until(connected, DEADLINE, f"{self.name}: no socket {what}", every=0.02)
        return s

    def ready(self):
        self._read_to(b"\nready\n", DEADLINE)

    def started(self):
        return self.process is not None

    def pid(self):
        """qemu's: `ip netns exec` became it."""
        return self.process.pid

    def cpu(self):
        """Seconds of CPU that it took until now."""
        with open(f"/proc/{self.pid()}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # ---- the shell inside ----
    def _read_to(self, mark, seconds):
        end = time.monotonic() + seconds
        while mark not in self.unread:
            left = end - time.monotonic()
            check(left > 0, f"{self.name}: no answer in {seconds} s, only {self.unread[-500:]!r}\n" + self.console())
            self.serial.settimeout(left)
            try:
                got = self.serial.recv(65536)
            except TimeoutError:
                continue
            check(got, f"{self.name}: qemu ended\n" + self.console())
            self.unread += got
        text, self.unread = self.unread.split(mark, 1)
        return text

    def sh(self, cmd, ok=True, timeout=DEADLINE):
        """Runs it in the guest; what stays behind must have put its output elsewhere."""
        self.count += 1
        self.serial.settimeout(timeout)
        self.serial.sendall(b"%d %s\n" % (self.count, base64.b64encode(cmd.encode())))
        out = self._read_to(b"\n\4 %d " % self.count, timeout).decode(errors="replace")
        rc = int(self._read_to(b"\n", timeout))
        if ok and rc != 0:
            raise Failure(f"{self.name}: {cmd}\nexit {rc}\n{out}")
        return out

    def console(self):
        try:
            return "\n".join(open(self.path("console"), errors="replace").read().splitlines()[-30:])
        except OSError:
            return ""

    # ---- the machine from outside ----
    def qmp(self, command, **arguments):
        if not self.monitor:
            self.monitor = self._connect("qmp").makefile("rw")
            self.monitor.readline()
            self._ask("qmp_capabilities", {})
        return self._ask(command, arguments)

    def _ask(self, command, arguments):
        self.monitor.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.monitor.flush()
        while True:
            answer = json.loads(self.monitor.readline())
            check("error" not in answer, f"{self.name}: {command}: {answer}")
            if "return" in answer:
                return answer["return"]


def why_not():
    """The reason why no guest can be booted here, or None."""
    if not shutil.which(QEMU):
        return f"no {QEMU}"
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun: no taps"
    return None
