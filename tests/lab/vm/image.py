"""What a guest boots from: Debian's kernel and an initramfs of this machine's own binaries. Nothing is installed; the kernel's
package is fetched and unpacked once, into a cache outside the tree ($XDG_CACHE_HOME or ~/.cache, bothways-tests/)."""
import glob, gzip, hashlib, lzma, os, re, shutil, stat, struct, subprocess, tarfile, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "bothways-tests")
RECIPE = "5"  # part of the cache's names: another recipe, another cache
META = "linux-image-amd64"  # the cloud flavour has no e1000

MODULES = ("virtio_pci virtio_net virtio_console e1000 8021q veth bridge bonding dummy nf_tables nf_conntrack_netlink nft_ct nft_limit nft_log nft_reject_inet "
           "nft_fib_inet inet_diag tcp_diag udp_diag crc32c_generic sch_netem sch_ingress cls_u32 vsock vsock_loopback vmw_vsock_virtio_transport vsock_diag").split()
# all that these may depend on
MODULE_DIRS = ("net/", "lib/", "crypto/", "arch/x86/crypto/", "drivers/net/", "drivers/virtio/", "drivers/char/virtio_console")
TOOLS = "dash ip bridge tc nft ping ethtool".split()
LIBRARIES = ["/usr/lib/x86_64-linux-gnu/libnftables.so.1"]  # the agent loads it while it runs
DIRS = "bin sbin dev etc lib64 lib/modules mnt proc root run sys tmp usr/bin usr/lib usr/sbin var/lib var/log var/tmp".split()


class Unavailable(Exception):
    """There is no kernel to be had, and why."""


def run(argv, **kw):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **kw).stdout


# ---- the kernel ----


def fetch(into):
    """The .deb of the newest kernel there is. A list that is out of date is renewed once."""
    def once():
        depends = run(["apt-cache", "depends", META], text=True)
        package = re.search(r"Depends: (linux-image-\S+)", depends).group(1)
        run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=into, timeout=120)
        return glob.glob(os.path.join(into, "*.deb"))[0]
    try:
        return once()
    except (subprocess.SubprocessError, AttributeError, IndexError, OSError):
        pass
    try:
        run(["apt-get", "-qq", "update"], timeout=120)
        return once()
    except (subprocess.SubprocessError, AttributeError, IndexError, OSError) as e:
        raise Unavailable(f"Debian's kernel cannot be fetched: {getattr(e, 'stderr', None) or e}")


def modinfo(ko, key):
    """The values of a module's `key=value` strings."""
    return [v.decode() for v in re.findall(rb"(?<=\0)" + key.encode() + rb"=([^\0]*)\0", ko)]


def unpack(deb, into):
    """-> version, bytes of the compressed kernel, {module name: path inside lib/modules/VERSION}; writes the candidates below `into`."""
    ship = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    version, image, paths = None, None, {}
    with tarfile.open(fileobj=ship.stdout, mode="r|") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            m = re.fullmatch(r"lib/modules/([^/]+)/kernel/(.*/)?([^/]+)\.ko", name)
            if name.startswith("boot/vmlinuz-"):
                image = tar.extractfile(member).read()
            elif m and name.split("/kernel/")[1].startswith(MODULE_DIRS):
                version, path = m.group(1), os.path.join(into, os.path.basename(name))
                with open(path, "wb") as f:
                    f.write(tar.extractfile(member).read())
                paths[m.group(3).replace("-", "_")] = path
    if ship.wait() != 0 or not image:
        raise Unavailable(f"{os.path.basename(deb)} cannot be unpacked")
    return version, image, paths


def module_tree(paths, into):
    """Copies MODULES and what they need, with the indexes modprobe reads."""
    dep, alias, todo = {}, [], list(MODULES)
    while todo:
        name = todo.pop()
        if name in dep or name not in paths:
            continue
        ko = open(paths[name], "rb").read()
        dep[name] = [d.replace("-", "_") for v in modinfo(ko, "depends") for d in v.split(",") if d]
        alias += [f"alias {a} {name}\n" for a in modinfo(ko, "alias")]
        todo += dep[name] + [s for v in modinfo(ko, "softdep") for s in v.removeprefix("pre: ").replace("-", "_").split()]
        shutil.copy(paths[name], os.path.join(into, name + ".ko"))
    missing = [m for m in MODULES if m not in dep]
    assert not missing, f"modules not in the kernel's package: {missing}"

    def order(name, seen):
        """All it needs and itself, in the order of loading."""
        for d in dep.get(name, []):
            order(d, seen)
        return seen if name in seen or name not in dep else seen.append(name) or seen
    closure = lambda name: order(name, [])[-2::-1]  # modprobe loads from the end
    lines = [f"{m}.ko:" + "".join(f" {d}.ko" for d in closure(m)) + "\n" for m in sorted(dep)]
    for file, text in (("modules.dep", lines), ("modules.alias", alias), ("modules.symbols", []), ("modules.builtin", [])):
        with open(os.path.join(into, file), "w") as f:
            f.writelines(text)


def elf_of(image):
    """The ELF inside a bzImage (Documentation/x86/boot.rst: payload_offset, payload_length): it starts faster than the image."""
    setup = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup + 1) * 512 + offset
    payload = image[start:start + length]
    if payload[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor().decompress(payload)
    if payload[:2] == b"\x1f\x8b":
        return gzip.decompress(payload[:-4])
    return image  # boots as it is, only slower


def kernel():
    """-> directory with `vmlinux` and `lib/modules/VERSION`."""
    made = glob.glob(os.path.join(CACHE, f"kernel{RECIPE}-*"))
    if made:
        return made[0]
    os.makedirs(CACHE, exist_ok=True)
    work = tempfile.mkdtemp(prefix=".kernel", dir=CACHE)
    try:
        version, image, paths = unpack(fetch(work), work)
        out = os.path.join(work, "out")
        modules = os.path.join(out, "lib", "modules", version)
        os.makedirs(modules)
        module_tree(paths, modules)
        with open(os.path.join(out, "vmlinux"), "wb") as f:
            f.write(elf_of(image))
        final = os.path.join(CACHE, f"kernel{RECIPE}-{version}")
        try:
            os.rename(out, final)
        except OSError:  # somebody else was faster
            assert os.path.isdir(final)
        return final
    finally:
        shutil.rmtree(work, ignore_errors=True)


# ---- the initramfs ----


def which(tool):
    path = shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not path:
        raise Unavailable(f"no {tool} on this machine")
    return path


def libraries(path):
    """What the dynamic linker would load for it."""
    r = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return re.findall(r"(/\S+\.so\S*)", r.stdout)


def with_libraries(files):
    """[(path in the guest, path here)] and the libraries of each"""
    out = dict(files)
    for _, path in files:
        for lib in libraries(path):
            out.setdefault(lib, lib)
    return sorted(out.items())


def member(name, mode, data=b""):
    """One entry of a `newc` archive."""
    head = b"070701" + b"".join(b"%08X" % v for v in (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)) + name.encode() + b"\0"
    pad = lambda b: b + b"\0" * (-len(b) % 4)
    return pad(head) + pad(data)


def archive(files, links=(), dirs=()):
    """files: (path in the guest, path here); links: (path, target)."""
    made, out = set(), []

    def mkdirs(path):
        parts = path.strip("/").split("/")
        for i in range(1, len(parts) + 1):
            d = "/".join(parts[:i])
            if d not in made:
                made.add(d)
                out.append(member(d, stat.S_IFDIR | 0o755))
    for d in dirs:
        mkdirs(d)
    for name, path in files:
        mkdirs(os.path.dirname(name))
        with open(path, "rb") as f:
            out.append(member(name.lstrip("/"), stat.S_IFREG | 0o755, f.read()))
    for name, target in links:
        mkdirs(os.path.dirname(name))
        out.append(member(name.lstrip("/"), stat.S_IFLNK | 0o777, target.encode()))
    return gzip.compress(b"".join(out) + member("TRAILER!!!", 0), 1)


def cached(kind, files, make):
    """make() once for the same files."""
    h = hashlib.sha256(RECIPE.encode())
    for name, path in files:
        s = os.stat(path)
        h.update(f"{name} {path} {s.st_size} {s.st_mtime_ns}\n".encode())
    path = os.path.join(CACHE, f"{kind}-{h.hexdigest()[:16]}.cpio.gz")
    if not os.path.exists(path):
        for old in glob.glob(os.path.join(CACHE, f"{kind}-*.cpio.gz")):
            if os.stat(old).st_mtime < os.stat(CACHE).st_mtime - 86400:
                os.unlink(old)
        with tempfile.NamedTemporaryFile(dir=CACHE, delete=False) as f:
            f.write(make())
        os.rename(f.name, path)
    os.utime(path)
    return path


def base(kernel_dir):
    """The guest's system: init, tools with their libraries, modules."""
    busybox = which("busybox")
    if libraries(busybox):
        raise Unavailable("busybox is not static")
    files = with_libraries([("/bin/" + t, which(t)) for t in TOOLS] + [(p, p) for p in LIBRARIES if os.path.exists(p)])
    modules = glob.glob(os.path.join(kernel_dir, "lib/modules/*/*"))
    files += [("/bin/busybox", busybox), ("/init", os.path.join(HERE, "init"))] + [(m.removeprefix(kernel_dir), m) for m in sorted(modules)]

    def make():
        applets = run([busybox, "--list"], text=True).split()
        links = [("/bin/sh", "dash")] + [("/bin/" + a, "busybox") for a in applets if a not in TOOLS + ["sh", "busybox", "init"]] + [("/sbin/modprobe", "/bin/busybox")]
        return archive(files, links, DIRS)
    return cached("base", files, make)


def programs(*paths):
    """Binaries of this tree, as /bin/NAME, with the libraries they need."""
    files = with_libraries([("/bin/" + os.path.basename(p), p) for p in paths])
    return cached("programs", files, lambda: archive(files))
