"""The only door to live processes: /proc read as bytes, cheaply, by someone who expects lies.

Why not psutil here: it decodes names, cuts " (deleted)" off paths that really end so, cannot tell a
replaced image from a deleted one, and costs ten times as much for what is read several times a
second. The tests hold this room against it.

A program is what /proc/PID/exe points at, never what a process says of itself. The link is compared
with the file at its path, as we see it and as the process sees it: a service in a mount namespace of
its own has paths that mean something else to us.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from . import parse
from .digests import Digests
from .live import (
    ANONYMOUS,
    DELETED,
    REPLACED,
    RUNNING,
    Connections,
    Inside,
    Origin,
    Owners,
    Process,
    Sockets,
)
from .reading import READ_FLAGS, read_path
from .sockets import SocketTable, owners

COMPARED: Final = 64 * 1024 * 1024
"""Bytes above which a program mounted over one of the same length is not read: it may be no copy of it."""

LEAVES: Final = (b"SUDO_UID", b"PKEXEC_UID", b"DOAS_USER")
"""What programs that lend rights put into the environment."""

CMDLINE: Final = 64 * 1024
ENVIRON: Final = 128 * 1024
MOST_ENVIRON: Final = 8 * 1024 * 1024
MAPS: Final = 1024 * 1024
"""Bytes of /proc/PID/maps that are read: some 10,000 mappings."""

TIMER_FOLDERS: Final = (
    b"/etc/systemd/system",
    b"/run/systemd/system",
    b"/run/systemd/transient",
    b"/run/systemd/generator",
    b"/usr/local/lib/systemd/system",
    b"/usr/lib/systemd/system",
    b"/lib/systemd/system",
)

FIRST_PID_NAMESPACE: Final = 0xEFFFFFFC  # linux/proc_ns.h: PROC_PID_INIT_INO


class Image(NamedTuple):
    """What runs: path (b"" none, None hidden from us) and state, as in `Process`. `rival` is where
    another file lies at its path now, b"" when none does."""

    path: bytes | None
    state: str
    rival: bytes = b""


class ProcHost:
    """`LiveHost` of the running kernel. `proc` is where procfs is mounted. `turn` is held while sockets are
    listed, see `Ports`."""

    blind = ""

    def __init__(
        self, proc: bytes = b"/proc", *, netlink: bool = True, turn: threading.Lock | None = None
    ) -> None:
        self._proc = proc
        self._turn = turn or threading.Lock()
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._digests = Digests()
        self._table = SocketTable(proc, netlink)

    # -- time ------------------------------------------------------------------------------------

    def uptime(self) -> float:
        """As `LiveHost.uptime`."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def seconds(self, ticks: int) -> float:
        """As `LiveHost.seconds`."""
        return ticks / self._ticks

    # -- processes -------------------------------------------------------------------------------

    def fork_mark(self) -> bytes:
        """As `LiveHost.fork_mark`. An intruder may choose a pid without moving the newest one
        (clone3 with set_tid), but not without moving the number of threads."""
        return parse.fork_mark(_read(self._proc + b"/loadavg") or b"")

    def pids(self) -> Sequence[int]:
        """As `LiveHost.pids`."""
        try:
            return sorted(int(name) for name in os.listdir(self._proc) if name.isdigit())
        except OSError:
            return ()

    def process(self, pid: int) -> Process | None:
        """As `LiveHost.process`."""
        folder = b"%s/%d" % (self._proc, pid)
        alive = self._base(folder)
        if alive is None:
            return None
        seen, base = alive
        text = _read(base + b"/status") or b""
        facts = parse.status(text)
        image = Image(b"", RUNNING) if seen.kernel else self._image(base)
        if facts is None or image is None:
            return None
        uid, below = facts
        return Process(
            pid,
            seen.parent,
            seen.started,
            seen.kernel,
            seen.session,
            seen.tty,
            uid,
            seen.comm,
            image.path,
            image.state,
            () if seen.kernel else parse.arguments(_read(base + b"/cmdline", CMDLINE) or b""),
            b"" if seen.kernel else _link(base + b"/cwd"),
            parse.unit(_read(folder + b"/cgroup") or b""),
            parse.login(_read(folder + b"/loginuid") or b""),
            (os.fsdecode(_link(base + b"/ns/pid")) or "pid:[?]") if below else "",
            parse.tracer(text),
            parse.code(text),
        )

    def _base(self, folder: bytes) -> tuple[parse.Stat, bytes] | None:
        """The process's stat and the folder to read the rest from; None for what only awaits reaping.

        A process whose first thread has ended shows as a zombie, without image or arguments, while
        the other threads run on: then one of those is the one to look at.
        """
        seen = parse.stat(_read(folder + b"/stat") or b"")
        if seen is None or not seen.ended:
            return None if seen is None else (seen, folder)
        if seen.threads > 1:
            for name in _names(folder + b"/task"):
                base = folder + b"/task/" + name
                thread = parse.stat(_read(base + b"/stat") or b"")
                if thread is not None and not thread.ended:
                    return seen, base
        return None

    def _image(self, base: bytes) -> Image | None:
        """What runs in the process or thread at `base`; None when it vanished."""
        exe = base + b"/exe"
        try:
            link = os.readlink(exe)
            running = os.stat(exe)
        except PermissionError:
            return Image(None, RUNNING)
        except OSError as error:
            # ENOENT also means: a living process without any image of its own.
            alive = error.errno == errno.ENOENT and os.path.exists(base)
            return Image(b"", RUNNING) if alive else None
        path = link.removesuffix(parse.DELETED_SUFFIX)
        unlinked = path != link
        if unlinked and path.startswith(b"/memfd:"):
            return Image(path, ANONYMOUS)
        if _same(running, _lstat(link)):
            return Image(link, RUNNING)  # also for a file whose name really ends in " (deleted)"
        others = [_lstat(path), _lstat(base + b"/root" + path), _lstat(base + b"/root" + link)]
        if any(_same(running, other) for other in others):
            return Image(path, RUNNING)
        for place, other in ((path, others[0]), (base + b"/root" + path, others[1])):
            if other is not None:
                same = self._digests.same(running, other)
                return Image(path, RUNNING if same else REPLACED, place)
        return Image(path, DELETED if unlinked else RUNNING)

    def image(self, pid: int) -> bytes:
        """As `LiveHost.image`."""
        return _link(b"%s/%d/exe" % (self._proc, pid))

    def is_at_our_root(self, pid: int) -> bool:
        """As `LiveHost.is_at_our_root`."""
        return self._shares_root(b"%s/%d" % (self._proc, pid))

    def _shares_root(self, base: bytes) -> bool:
        root = _stat(base + b"/root")
        return root is not None and _same(root, _stat(self._proc + b"/self/root"))

    def inside(self, pid: int) -> Inside | None:
        """As `LiveHost.inside`. Some 50 us for a process with 100 mappings."""
        alive = self._base(b"%s/%d" % (self._proc, pid))
        if alive is None:
            return None
        base = alive[1]
        environ, maps = _read(base + b"/environ", ENVIRON), _lines(base + b"/maps", MAPS)
        running = _stat(base + b"/exe")
        if environ is None or maps is None or running is None:
            return None
        if len(environ) == ENVIRON:  # what somebody made too long to be looked through
            environ = _read(base + b"/environ", MOST_ENVIRON) or environ
        arguments = parse.arguments(_read(base + b"/cmdline", CMDLINE) or b"")
        claimed = self._covered(base, running)
        claimed = claimed or self._claimed(base, arguments[0] if arguments else b"", running)
        script = _script(base, arguments)
        return Inside(parse.linker(environ), parse.mapped(maps), claimed, running.st_mode, script)

    def _covered(self, base: bytes, running: os.stat_result) -> bytes:
        """The path of the image, if only a mount in the process's own mount namespace put it there, over
        a program that the rest of the host sees: `unshare -m; mount --bind`. A container has another root,
        and what was replaced by an update is gone from every namespace."""
        path = _link(base + b"/exe")
        if path.endswith(parse.DELETED_SUFFIX) or _same(running, other := _lstat(path)) or other is None:
            return b""
        if not stat.S_ISREG(other.st_mode) or self._at_home(base) or not self._shares_root(base):
            return b""
        if running.st_size != other.st_size or running.st_size > COMPARED:
            return path
        for place, flags, seen in ((base + b"/exe", 0, running), (path, os.O_NOFOLLOW, other)):
            if self._digests.wants(seen):
                self._digests.read(place, flags, lambda: False)
        return b"" if self._digests.same(running, other) else path

    def _claimed(self, base: bytes, word: bytes, running: os.stat_result) -> bytes:
        """The program that the first argument names, if it is another one than runs. Paths of another
        mount namespace mean something else; a script's path is what its interpreter calls itself."""
        path = word.partition(b" ")[0].rstrip(b":")
        if not path.startswith(b"/") or path.startswith(b"/proc/"):
            return b""
        other = _stat(path)
        if other is None or not stat.S_ISREG(other.st_mode) or _same(running, other):
            return b""
        link = _link(base + b"/exe").removesuffix(parse.DELETED_SUFFIX)
        if os.path.realpath(path) == link or not self._at_home(base):
            return b""
        return path if (_read(path, 4) or b"") == b"\x7fELF" else b""

    def _at_home(self, base: bytes) -> bool:
        """Whether paths mean to a process what they mean to us: it is in our mount namespace, or in that of
        pid 1, which shows a confined daemon (systemd.exec(5), ProtectSystem=) the same files read-only."""
        home = {_link(self._proc + place + b"/ns/mnt") for place in (b"/self", b"/1")}
        return _link(base + b"/ns/mnt") in home - {b""}

    def digest(self, pid: int) -> bytes | None:
        """As `LiveHost.digest`."""
        alive = self._base(b"%s/%d" % (self._proc, pid))
        running = None if alive is None else _stat(alive[1] + b"/exe")
        return None if running is None else self._digests.of(running)

    def unread(self, pid: int) -> int:
        """As `LiveHost.unread`."""
        return sum(seen.st_size for _, _, seen in self._unread(pid))

    def read(self, pid: int, stop: Callable[[], bool]) -> None:
        """As `LiveHost.read`."""
        for path, flags, _ in self._unread(pid):
            self._digests.read(path, flags, stop)

    def _unread(self, pid: int) -> Iterator[tuple[bytes, int, os.stat_result]]:
        """The files to read, each with the flags to open it by: the image, and the file that lies at
        its path now if it may be the same again."""
        alive = self._base(b"%s/%d" % (self._proc, pid))
        exe = b"" if alive is None else alive[1] + b"/exe"
        running = _stat(exe)
        if alive is None or running is None:
            return
        if self._digests.wants(running):
            yield exe, 0, running
        image = self._image(alive[1])
        rival = b"" if image is None else image.rival
        other = _lstat(rival)
        if other is not None and other.st_size == running.st_size and self._digests.wants(other):
            yield rival, os.O_NOFOLLOW, other

    def has_timer(self, unit: bytes) -> bool:
        """As `LiveHost.has_timer`; `name@instance` also by its template."""
        name = unit.removesuffix(b".service")
        if name == unit:
            return False
        names = {name, name.partition(b"@")[0] + b"@" if b"@" in name else name}
        return any(os.path.lexists(b"%s/%s.timer" % (at, one)) for at in TIMER_FOLDERS for one in names)

    # -- sockets ---------------------------------------------------------------------------------

    def sockets(self, proto: str) -> Sockets:
        """As `LiveHost.sockets`."""
        with self._turn:
            return self._table.sockets(proto)

    def socket_mark(self) -> bytes:
        """As `LiveHost.socket_mark`: the counts of /proc/net/sockstat and sockstat6."""
        return b"".join(_read(self._proc + b"/net/sockstat" + version) or b"" for version in (b"", b"6"))

    def cookies(self, proto: str) -> bytes:
        """As `LiveHost.cookies`."""
        with self._turn:
            return self._table.cookies(proto)

    def connections(self, proto: str) -> Connections:
        """As `LiveHost.connections`."""
        return self._table.connections(proto)

    def origin(self, pid: int) -> Origin | None:
        """As `LiveHost.origin`."""
        folder = b"%s/%d" % (self._proc, pid)
        real = parse.real_uid(_read(folder + b"/status") or b"")
        if real is None:
            return None
        environ = _read(folder + b"/environ", ENVIRON) or b""
        leaves = ((name, parse.variable(environ, name)) for name in LEAVES)
        return Origin(
            parse.recorded(_read(folder + b"/loginuid") or b""),
            parse.recorded(_read(folder + b"/sessionid") or b"") or 0,
            real,
            parse.variable(environ, b"SSH_CONNECTION")[:128],
            (_link(folder + b"/fd/0"), _link(folder + b"/fd/1"), _link(folder + b"/fd/2")),
            next((name + b"=" + value[:64] for name, value in leaves if value), b""),
        )

    def is_joint(self, pid: int, descriptor: int) -> bool:
        """As `LiveHost.is_joint`."""
        try:
            mode = os.stat(b"%s/%d/fd/%d" % (self._proc, pid, descriptor)).st_mode
        except OSError:
            return False
        return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)

    def owners(self, inodes: Collection[int]) -> Owners:
        """As `LiveHost.owners`. Costs a walk over every open file of the host (10 ms for 500
        processes): ask for what is new only."""
        aged = []
        for pid in self.pids():
            seen = parse.stat(_read(b"%s/%d/stat" % (self._proc, pid)) or b"")
            if seen is not None and not seen.kernel:
                aged.append((seen.started, pid))
        found = owners(self._proc, [pid for _, pid in sorted(aged)], inodes)
        # Below the first pid namespace there may be holders whom we cannot see at all.
        nested = _link(self._proc + b"/self/ns/pid") != b"pid:[%d]" % FIRST_PID_NAMESPACE
        return Owners(found.holders, found.hidden + nested)

    def dynamic_ports(self) -> range:
        """As `LiveHost.dynamic_ports`; the kernel's default when it cannot be read."""
        words = (_read(self._proc + b"/sys/net/ipv4/ip_local_port_range") or b"").split()
        return range(int(words[0]), int(words[1]) + 1) if len(words) == 2 else range(32768, 61000)

    def net_namespaces(self) -> Mapping[str, Sequence[int]]:
        """As `LiveHost.net_namespaces`."""
        own = _link(self._proc + b"/self/ns/net")
        found: dict[str, list[int]] = {}
        for pid in self.pids():
            link = _link(b"%s/%d/ns/net" % (self._proc, pid))
            if link and link != own:
                found.setdefault(os.fsdecode(link), []).append(pid)
        return found

    def close(self) -> None:
        """Give the netlink socket back."""
        self._table.close()


def _read(path: bytes, limit: int = 16 * 1024) -> bytes | None:
    """The beginning of a /proc file in one read, which is one moment; None when it is gone or barred."""
    try:
        handle = os.open(path, READ_FLAGS)
    except OSError:
        return None
    try:
        return os.read(handle, limit)
    except OSError:
        return None
    finally:
        os.close(handle)


def _lines(path: bytes, limit: int) -> bytes | None:
    """A table of /proc up to `limit` bytes, without the line that the limit cuts: what is left of a name is
    another name. None when it is gone or barred."""
    try:
        text = read_path(path, limit)
    except OSError:
        return None
    return text[: text.rfind(b"\n") + 1]


def _script(base: bytes, arguments: Sequence[bytes]) -> bytes:
    """What lies behind the descriptor that an interpreter was told to read, as fexecve(3) tells it. Shells
    move the one they read from to 255, or 10 and up."""
    for word in arguments[1:4]:
        found = _DESCRIPTOR.fullmatch(word)
        if found:
            links = [_link(base + b"/fd/" + number) for number in (found[1], b"255", b"10")]
            return next((link for link in links if link.startswith(b"/")), b"")
    return b""


_DESCRIPTOR = re.compile(rb"/(?:dev|proc/(?:self|\d+))/fd/(\d{1,7})")


def _link(path: bytes) -> bytes:
    """Where a link of /proc points; b"" when it is gone or barred."""
    try:
        return os.readlink(path)
    except OSError:
        return b""


def _names(folder: bytes) -> list[bytes]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _lstat(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _stat(path: bytes) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _same(one: os.stat_result, other: os.stat_result | None) -> bool:
    return other is not None and (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
