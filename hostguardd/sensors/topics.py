"""What the kernel is set to, topic by topic: each a function from the kernel to what is in force.

What changes by nature with a reboot or an update (the release, the name of the image in the command
line) is a setting of its own or left out, so that a rule can tell it from what does not. A file that is
not there is a setting that the kernel does not have, and no blindness.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from ..host.kernel import KernelHost
from ..host.links import listening
from ..host.parse import tracer
from ..model import path_traits, under


class Said(NamedTuple):
    """One setting: `value` is compared, `detail` is for the reader."""

    name: bytes
    value: bytes
    detail: bytes = b""


class Look(NamedTuple):
    """The settings of a topic; a `problem` is a sentence saying why (some of) them were not seen."""

    found: tuple[Said, ...] = ()
    problem: str = ""


LONGEST: Final = 4096
NAMED: Final = 1000
"""Settings of one topic at most: names below /proc/sys/fs/binfmt_misc are anybody's who is root."""


def _value(host: KernelHost, path: bytes) -> bytes | None:
    """A setting's text on one line; None when there is no such setting, or it may not be read."""
    data = host.text(path, LONGEST).data
    return None if data is None else b" ".join(data.split())


# -- kernel --------------------------------------------------------------------------------------

TAINTS: Final = (
    (b"P", b"a proprietary module was loaded"), (b"F", b"a module was loaded by force"),
    (b"S", b"the kernel runs on a processor it is not made for"), (b"R", b"a module was unloaded by force"),
    (b"M", b"a processor reported a machine check"), (b"B", b"a bad page was met"),
    (b"U", b"a user program asked for the mark"), (b"D", b"the kernel died recently (oops)"),
    (b"A", b"an ACPI table was replaced"), (b"W", b"the kernel warned of itself"),
    (b"C", b"a staging driver was loaded"), (b"I", b"a workaround for the firmware is in use"),
    (b"O", b"a module from outside the kernel's tree was loaded"), (b"E", b"an unsigned module was loaded"),
    (b"L", b"a processor hung for long"), (b"K", b"the kernel was patched while it ran"),
    (b"X", b"a mark of the distribution"), (b"T", b"structures are laid out at random"),
    (b"N", b"a test was run inside the kernel"), (b"J", b"a mutating debug operation was used"),
)  # fmt: skip
"""Bits of /proc/sys/kernel/tainted, from 0: admin-guide/tainted-kernels."""

IMAGE: Final = re.compile(rb"(?:BOOT_IMAGE|initrd|ostree|rd\.driver\.blacklist\.image)=\S*\s*")
"""Words of the command line that name the kernel's own file, other after each update."""

SECURE_BOOT: Final = b"/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def kernel(host: KernelHost) -> Look:
    """Release, command line, taint, lockdown, secure boot, a kernel loaded to take over."""
    found = []
    taint = _value(host, b"/proc/sys/kernel/tainted")
    if taint is not None and taint.isdigit():
        for bit, (letter, meaning) in enumerate(TAINTS):
            if int(taint) >> bit & 1:
                found.append(Said(b"taint " + letter, b"set", meaning))
    line = _value(host, b"/proc/cmdline")
    if line is not None:
        found.append(Said(b"command line", IMAGE.sub(b"", line).strip(), line))
    for name, path in (
        (b"release", b"/proc/sys/kernel/osrelease"),
        (b"kexec image", b"/sys/kernel/kexec_loaded"),
        (b"crash kernel", b"/sys/kernel/kexec_crash_loaded"),
    ):
        value = _value(host, path)
        if value is not None:
            found.append(Said(name, value))
    chosen = re.search(rb"\[(\w+)\]", _value(host, b"/sys/kernel/security/lockdown") or b"")
    if chosen:
        found.append(Said(b"lockdown", chosen[1], b"how far the kernel resists root"))
    secure = host.text(SECURE_BOOT, 64).data
    if secure is not None and len(secure) == 5:
        found.append(Said(b"secure boot", b"on" if secure[4] else b"off"))
    return Look(tuple(found))


# -- sysctl --------------------------------------------------------------------------------------

SYSCTLS: Final[Mapping[bytes, bytes]] = {
    b"kernel.core_pattern": b"where dumps of crashed programs go; with | a program that root runs",
    b"fs.suid_dumpable": b"whether set-uid programs leave dumps",
    b"kernel.modprobe": b"the program the kernel runs, as root, to load a module",
    b"kernel.hotplug": b"the program the kernel runs, as root, for each device",
    b"kernel.poweroff_cmd": b"the program the kernel runs, as root, to switch off",
    b"kernel.usermodehelper.bset": b"rights of programs that the kernel runs",
    b"kernel.usermodehelper.inheritable": b"rights of programs that the kernel runs",
    b"kernel.modules_disabled": b"1: no module can be loaded any more",
    b"kernel.kexec_load_disabled": b"1: no other kernel can be loaded to take over",
    b"kernel.randomize_va_space": b"2: addresses of programs are random",
    b"kernel.kptr_restrict": b"1, 2: addresses of the kernel are not shown",
    b"kernel.dmesg_restrict": b"1: only root reads the kernel's messages",
    b"kernel.perf_event_paranoid": b"who may measure other programs",
    b"kernel.unprivileged_bpf_disabled": b"1, 2: only root loads BPF programs",
    b"kernel.unprivileged_userns_clone": b"1: anybody may make user namespaces",
    b"kernel.apparmor_restrict_unprivileged_userns": b"1: AppArmor decides who makes user namespaces",
    b"kernel.io_uring_disabled": b"who may use io_uring, which audit and seccomp see little of",
    b"kernel.yama.ptrace_scope": b"1 to 3: who may trace and read other programs",
    b"kernel.sysrq": b"which keys command the kernel",
    b"kernel.ftrace_enabled": b"0: the kernel's tracing, and what guards by it, is off",
    b"kernel.ctrl-alt-del": b"0: init is asked",
    b"vm.mmap_min_addr": b"the lowest address a program may use",
    b"vm.unprivileged_userfaultfd": b"1: anybody may hold up the kernel's reads of his memory",
    b"dev.tty.ldisc_autoload": b"1: anybody's terminal may load kernel modules",
    b"dev.tty.legacy_tiocsti": b"1: a program may type into its terminal",
    b"fs.protected_symlinks": b"1: links in shared folders are followed by their owner only",
    b"fs.protected_hardlinks": b"1: no hard links to what one may not write",
    b"fs.protected_fifos": b"1, 2: no FIFOs of others in shared folders",
    b"fs.protected_regular": b"1, 2: no files of others in shared folders",
    b"net.core.bpf_jit_harden": b"whether compiled BPF programs are hardened",
    b"net.ipv4.ip_forward": b"1: packets are passed on between networks",
    b"net.ipv4.conf.all.forwarding": b"1: packets are passed on between networks",
    b"net.ipv6.conf.all.forwarding": b"1: packets are passed on between networks",
    b"net.ipv4.conf.all.rp_filter": b"1, 2: forged senders are dropped",
    b"net.ipv4.conf.default.rp_filter": b"1, 2: forged senders are dropped, on new interfaces",
    b"net.ipv4.conf.all.accept_redirects": b"1: others may change our routes",
    b"net.ipv6.conf.all.accept_redirects": b"1: others may change our routes",
    b"net.ipv4.conf.all.secure_redirects": b"1: gateways may change our routes",
    b"net.ipv4.conf.all.send_redirects": b"1: we change the routes of others",
    b"net.ipv4.conf.all.accept_source_route": b"1: senders choose the route",
    b"net.ipv6.conf.all.accept_source_route": b"1: senders choose the route",
    b"net.ipv4.conf.all.route_localnet": b"1: 127.0.0.0/8 can be reached from outside",
    b"net.ipv4.conf.all.arp_accept": b"1: unasked ARP answers are believed",
    b"net.ipv4.conf.all.log_martians": b"1: impossible senders are logged",
    b"net.ipv4.icmp_echo_ignore_all": b"1: no answer to ping",
    b"net.ipv4.tcp_syncookies": b"1: floods of connections are withstood",
    b"net.ipv4.tcp_timestamps": b"whether the host's clock shows in its packets",
    b"net.ipv4.ip_unprivileged_port_start": b"the first port that needs no rights",
    b"net.netfilter.nf_conntrack_helper": b"1: helpers may open the firewall",
}
"""Those that guard something, or name a program that root runs, and what they say."""

BINFMT: Final = b"/proc/sys/fs/binfmt_misc"


def sysctl(host: KernelHost) -> Look:
    """/proc/sys, and which interpreters the kernel starts for which files."""
    found = []
    for name, meaning in SYSCTLS.items():
        value = _value(host, b"/proc/sys/" + name.replace(b".", b"/"))
        if value is not None:
            found.append(Said(name, value, meaning))
    helper = _value(host, b"/sys/kernel/uevent_helper")
    if helper is not None:
        found.append(Said(b"uevent_helper", helper, b"the program the kernel runs, as root, for each device"))
    return Look((*found, *_formats(host)))


def _formats(host: KernelHost) -> Iterator[Said]:
    """Registrations of binfmt_misc. Where it is not mounted, looking there would mount it."""
    mounts = host.mounts().data or b""
    if b" %s rw" % BINFMT not in mounts or b" - binfmt_misc " not in mounts:
        return
    for name in (host.names(BINFMT) or [])[:NAMED]:
        data = host.text(BINFMT + b"/" + name, LONGEST).data
        if data is None or name == b"register":
            continue
        if name == b"status":
            yield Said(b"binfmt_misc", data.strip())
            continue
        lines = data.splitlines()
        told = next((line[12:] for line in lines if line.startswith(b"interpreter ")), b"")
        yield Said(b"binfmt " + name, b" ".join([told, *lines[:1]]), b"; ".join(lines))


# -- selinux, apparmor ---------------------------------------------------------------------------

SELINUX: Final = b"/sys/fs/selinux"
POLICY_LOADED: Final = slice(12, 16)  # of struct selinux_kernel_status, in /sys/fs/selinux/status


class SeLinux:
    """Whether it enforces, and its booleans: read again only when the policy was loaded or changed."""

    def __init__(self) -> None:
        self._loaded: bytes | None = None
        self._booleans: tuple[Said, ...] = ()

    def __call__(self, host: KernelHost) -> Look:
        """What is in force."""
        mode = _value(host, SELINUX + b"/enforce")
        if mode is None:
            there = host.exists(SELINUX)
            return Look((Said(b"mode", b"disabled"),) if there else ())
        status = host.text(SELINUX + b"/status", 64).data or b""
        loaded = status[POLICY_LOADED]
        if not loaded or loaded != self._loaded:
            self._loaded, self._booleans = loaded, tuple(self._read(host))
        word = {b"1": b"enforcing", b"0": b"permissive"}.get(mode, mode)
        unknown = _value(host, SELINUX + b"/deny_unknown")
        more = () if unknown is None else (Said(b"deny_unknown", unknown),)
        return Look((Said(b"mode", word), *more, *self._booleans))

    def _read(self, host: KernelHost) -> Iterator[Said]:
        for name in (host.names(SELINUX + b"/booleans") or [])[:NAMED]:
            words = (_value(host, SELINUX + b"/booleans/" + name) or b"").split()
            if words:  # "current pending"
                yield Said(b"boolean " + name, b"on" if words[0] == b"1" else b"off")


def apparmor(host: KernelHost) -> Look:
    """Whether it is on, and the mode of each profile that is loaded."""
    enabled = _value(host, b"/sys/module/apparmor/parameters/enabled")
    if enabled is None:
        return Look()
    found = [Said(b"enabled", b"yes" if enabled == b"Y" else b"no")]
    data, problem = host.text(b"/sys/kernel/security/apparmor/profiles")
    for line in (data or b"").split(b"\n")[:NAMED]:
        name, _, mode = line.rpartition(b" (")
        if name and mode.endswith(b")"):
            found.append(Said(b"profile " + name, mode[:-1]))
    text = f"the profiles of AppArmor that are loaded cannot be read: {problem}" if problem else ""
    return Look(tuple(found), text)


# -- interface, self -----------------------------------------------------------------------------


def interface(host: KernelHost) -> Look:
    """Interfaces that were made to hear what is not meant for this host."""
    found, problem = host.interfaces()
    extra = listening(found)
    return Look(
        tuple(
            Said(name, b"promiscuous", b"asked for by %d beyond what its place needs" % count)
            for name, count in extra.items()
        ),
        problem,
    )


PRELOADS: Final = (b"LD_PRELOAD", b"LD_AUDIT", b"LD_LIBRARY_PATH", b"PYTHONINSPECT", b"PYTHONSTARTUP")
SYSTEM: Final = (b"/usr", b"/lib", b"/lib32", b"/lib64", b"/bin", b"/sbin", b"/opt")
_CODE = re.compile(rb"^(\S+) ..x\S* \S+ \S+ \S+ +(/[^\n]*)$", re.MULTILINE)
_CLOSURE = re.compile(rb"/(?:memfd:libffi|(?:\S+/)?ffi[A-Za-z0-9]{6}) \(deleted\)")
CLOSURE_SIZE: Final = 64 * 1024
DELETED: Final = b" (deleted)"


class Self:
    """Our own process: who traces it, what was loaded into it from odd places. `homes` are folders that
    the interpreter and its libraries are installed in."""

    def __init__(self, homes: tuple[bytes, ...]) -> None:
        self._homes = homes

    def __call__(self, host: KernelHost) -> Look:
        """What does not belong to us; on a sound host nothing."""
        found = []
        if pid := tracer(host.text(b"/proc/self/status").data or b""):
            exe = host.link(b"/proc/%d/exe" % pid) or b"an unknown program"
            found.append(Said(b"tracer", exe, b"pid %d" % pid))
        for entry in (host.text(b"/proc/self/environ").data or b"").split(b"\0"):
            name, equals, value = entry.partition(b"=")
            if equals and value and name in PRELOADS:
                found.append(Said(b"environment " + name, value))
        libraries = odd_libraries(host.text(b"/proc/self/maps").data or b"", self._homes)
        return Look((*found, *(Said(b"library " + path, b"mapped") for path in libraries)))


def _extent(addresses: bytes) -> float:
    """Bytes between two addresses in hexadecimal."""
    low, _, high = addresses.partition(b"-")
    try:
        return int(high, 16) - int(low, 16)
    except ValueError:
        return float("inf")


def odd_libraries(maps: bytes, homes: tuple[bytes, ...]) -> list[bytes]:
    """Files with code in /proc/PID/maps, proc(5), that lie where no library should: temporary, hidden or
    in memory; or gone, unless an update replaced them where libraries do lie. libffi's small closures,
    which some hosts map from files without a name, are no library."""
    found = set()
    for addresses, path in _CODE.findall(maps):
        if _CLOSURE.fullmatch(path) and _extent(addresses) <= CLOSURE_SIZE:
            continue
        plain = path.removesuffix(DELETED)
        gone = plain != path and not any(under(plain, top) for top in SYSTEM)
        if any(under(plain, home) for home in homes):
            continue
        if path_traits(plain) or plain.startswith(b"/memfd:") or gone:
            found.add(path)
    return sorted(found)
