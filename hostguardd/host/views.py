"""Several views of the same thing: what the cross-view sensor compares.

Each view is another way to the same truth: the C library's and the kernel's own list of a folder, the
processes in /proc and the ids the kernel answers for, the sockets it lists and the ports it refuses to
lend. Nothing here judges. The rules kept: nothing raises for what it meets, nothing is changed on the host
but that a port is held for some microseconds (`host.ports` says how that harms nobody), and no signal
reaches any process.
"""

from __future__ import annotations

import ctypes
import os
import stat
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from . import parse, reach
from .files import LinuxFiles
from .ports import Ports
from .proc import FIRST_PID_NAMESPACE
from .raw import Raw
from .reach import End, Greeting
from .reading import READ_FLAGS

CGROUPS: Final = b"/sys/fs/cgroup"
MOST_CGROUPS: Final = 5000
MOST_NAMES: Final = 200_000
TEXT: Final = 64 * 1024


class Listing(NamedTuple):
    """A folder in several views. `names` are the C library's, `raw` the kernel's with their DT_* types
    (dirent.h; 0: not told). `links` is how many the folder has, None while it kept changing. A `problem`
    is a sentence: then there is nothing else."""

    names: frozenset[bytes] = frozenset()
    raw: Mapping[bytes, int] = {}
    links: int | None = None
    problem: str = ""


class ViewHost(Protocol):
    """Views of the host. Pids are those of our own pid namespace."""

    blind: str
    """"" or the sentence why processes and ports cannot be compared."""

    def now(self) -> float:
        """Seconds on a steady clock."""
        ...

    def rest(self, seconds: float) -> None:
        """Let time pass before looking again."""
        ...

    def listed(self) -> frozenset[int]:
        """Pids by the C library's list of /proc."""
        ...

    def raw_listed(self) -> frozenset[int]:
        """Pids by the kernel's list of /proc."""
        ...

    def covered(self, pids: Collection[int]) -> tuple[list[int], int]:
        """(those whose folder in /proc is another file system's, number of threads of the others)."""
        ...

    def threads(self) -> int:
        """How many threads the kernel counts; -1 when that number is not about our pid namespace."""
        ...

    def mentioned(self) -> Mapping[int, bytes]:
        """Pids that something else in the kernel names, and what: parents, control groups."""
        ...

    def limits(self) -> tuple[int, int]:
        """(the newest pid, how many pids there may be)."""
        ...

    def answering(self, ids: Sequence[int]) -> list[int]:
        """Which ids the kernel answers for, threads included."""
        ...

    def leads(self, number: int) -> bool:
        """Whether that id is a process, and not a thread of one."""
        ...

    def program(self, pid: int) -> bytes:
        """What it runs, or what it calls itself, as far as it can be seen; else b""."""
        ...

    def ports(self, proto: str) -> Sequence[range]:
        """Ports of `tcp` or `udp` that `held` may be asked about."""
        ...

    def held(self, proto: str, ports: Sequence[int]) -> list[int]:
        """Which ports cannot be had because somebody holds them. OSError when that cannot be found out."""
        ...

    def told(self, proto: str) -> frozenset[int]:
        """Ports of every socket, in any state, that any of the kernel's lists shows."""
        ...

    def waiting(self, proto: str) -> Mapping[str, frozenset[int]] | None:
        """Ports with a waiting socket by view (`sock_diag`, `kernel`, `libc`: /proc/net read past and by the
        C library); None when they cannot be compared."""
        ...

    def answers(self, port: int) -> bool:
        """Whether somebody on this host accepts a TCP connection there."""
        ...

    def addresses(self) -> Sequence[bytes]:
        """This host's own addresses, those of the loopback first."""
        ...

    def accepting(self, address: bytes, ports: Sequence[int]) -> list[int]:
        """At which of `ports` a TCP connection to that one of its addresses is accepted."""
        ...

    def greetings(self, ends: Sequence[End], seconds: float, ask: bool) -> Mapping[End, Greeting]:
        """What is said at each of `ends`, of this host, to whoever connects; as `reach.greetings`."""
        ...

    def folder(self, path: bytes) -> Listing | None:
        """A folder; None when there is none of that name."""
        ...

    def mode(self, path: bytes) -> int:
        """The mode of an entry, 0 when there is none."""
        ...

    def texts(self, path: bytes) -> tuple[bytes, bytes]:
        """A file as (the C library, the kernel) shows it; b"" for what is not there."""
        ...


class LinuxViews:
    """`ViewHost` of this machine, or of the files of a mounted image (`blind` says so then)."""

    def __init__(
        self,
        files: LinuxFiles,
        blind: str = "",
        proc: bytes = b"/proc",
        turn: threading.Lock | None = None,
    ) -> None:
        self._files = files
        self._proc = proc
        self._raw: Raw | None = None
        self.blind = blind
        try:
            self._raw = Raw()
        except (OSError, AttributeError) as error:
            self.blind = blind or f"system calls cannot be made directly: {error}"
        self._ports = Ports(proc, self._read, turn)
        if not self.blind and 1 not in self.listed():
            self.blind = "procfs hides the processes of others from us (hidepid)"

    def now(self) -> float:
        """As `ViewHost.now`."""
        return time.monotonic()

    def rest(self, seconds: float) -> None:
        """As `ViewHost.rest`."""
        time.sleep(seconds)

    # -- processes -------------------------------------------------------------------------------

    def listed(self) -> frozenset[int]:
        """As `ViewHost.listed`."""
        try:
            return frozenset(int(name) for name in os.listdir(self._proc) if name.isdigit())
        except OSError:
            return frozenset()

    def raw_listed(self) -> frozenset[int]:
        """As `ViewHost.raw_listed`."""
        return frozenset(int(name) for name in self._raw_names(self._proc) if name.isdigit())

    def covered(self, pids: Collection[int]) -> tuple[list[int], int]:
        """As `ViewHost.covered`. One stat(2) for each: a folder of tasks has two links and one for each
        thread (proc_task_getattr)."""
        found, threads = [], 0
        try:
            device = os.stat(self._proc).st_dev
        except OSError:
            return [], 0
        for pid in pids:
            try:
                seen = os.stat(b"%s/%d/task" % (self._proc, pid))
                if seen.st_dev == device:
                    threads += seen.st_nlink - 2
                else:
                    found.append(pid)
            except OSError:
                try:
                    if os.stat(b"%s/%d" % (self._proc, pid)).st_dev != device:
                        found.append(pid)
                except OSError:
                    continue  # it ended
        return found, threads

    def threads(self) -> int:
        """As `ViewHost.threads`: the number behind the stroke in /proc/loadavg."""
        try:
            if os.stat(self._proc + b"/self/ns/pid").st_ino != FIRST_PID_NAMESPACE:
                return -1
        except OSError:
            return -1
        words = self._read(self._proc + b"/loadavg").split()
        number = words[3].partition(b"/")[2] if len(words) > 3 else b""
        return int(number) if number.isdigit() else -1

    def mentioned(self) -> Mapping[int, bytes]:
        """As `ViewHost.mentioned`."""
        found: dict[int, bytes] = {}
        for path in _cgroups(CGROUPS):
            for pid in parse.numbers(self._read(path + b"/cgroup.procs", 1 << 20)):
                found[pid] = b"the control group %s" % (path[len(CGROUPS) :] or b"/")
        for pid in self.listed():
            seen = parse.stat(self._read(b"%s/%d/stat" % (self._proc, pid)))
            if seen is not None:
                found.setdefault(seen.parent, b"its child %d" % pid)
        found.pop(0, None)  # a parent or member outside our pid namespace
        return found

    def limits(self) -> tuple[int, int]:
        """As `ViewHost.limits`."""
        most = self._read(self._proc + b"/sys/kernel/pid_max").strip()
        newest = self._read(self._proc + b"/loadavg").split()[-1:]
        return int(newest[0]) if newest and newest[0].isdigit() else 0, int(most) if most.isdigit() else 32768

    def answering(self, ids: Sequence[int]) -> list[int]:
        """As `ViewHost.answering`."""
        return self._raw.answering(ids) if self._raw else []

    def leads(self, number: int) -> bool:
        """As `ViewHost.leads`."""
        return bool(self._raw and self._raw.leads(number))

    def program(self, pid: int) -> bytes:
        """As `ViewHost.program`."""
        folder = b"%s/%d" % (self._proc, pid)
        try:
            return os.readlink(folder + b"/exe")
        except OSError:
            seen = parse.stat(self._read(folder + b"/stat"))
            return seen.comm if seen is not None else b""

    # -- ports -----------------------------------------------------------------------------------

    def ports(self, proto: str) -> Sequence[range]:
        """As `ViewHost.ports`."""
        return self._ports.ranges(proto)

    def held(self, proto: str, ports: Sequence[int]) -> list[int]:
        """As `ViewHost.held`."""
        return self._ports.held(proto, ports)

    def told(self, proto: str) -> frozenset[int]:
        """As `ViewHost.told`."""
        return self._ports.told(proto)

    def waiting(self, proto: str) -> Mapping[str, frozenset[int]] | None:
        """As `ViewHost.waiting`."""
        return self._ports.waiting(proto)

    def answers(self, port: int) -> bool:
        """As `ViewHost.answers`."""
        return self._ports.answers(port)

    def addresses(self) -> Sequence[bytes]:
        """As `ViewHost.addresses`."""
        return self._ports.addresses()

    def accepting(self, address: bytes, ports: Sequence[int]) -> list[int]:
        """As `ViewHost.accepting`."""
        return reach.accepting(address, ports)

    def greetings(self, ends: Sequence[End], seconds: float, ask: bool) -> Mapping[End, Greeting]:
        """As `ViewHost.greetings`."""
        return reach.greetings(ends, seconds, ask=ask)

    # -- files -----------------------------------------------------------------------------------

    def folder(self, path: bytes) -> Listing | None:
        """As `ViewHost.folder`. The kernel's view is taken before and after the C library's: what
        both show was there all the time."""
        try:
            opened = self._files.open_folder(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return None if os.path.islink(self._place(path)) else Listing(problem=_told(error))
        try:
            with opened:
                fd = opened.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    return self._listing(fd)
                finally:
                    os.close(fd)
        except OSError as error:
            return Listing(problem=_told(error))

    def _listing(self, fd: int) -> Listing:
        before = os.fstat(fd)
        first = dict(self._raw.entries(fd)) if self._raw else {}
        if len(first) > MOST_NAMES:
            return Listing(problem=f"folder holds more than {MOST_NAMES} names, which are not compared")
        os.lseek(fd, 0, os.SEEK_SET)
        names = frozenset(map(os.fsencode, os.listdir(fd)))
        second = dict(self._raw.entries(fd)) if self._raw else dict.fromkeys(names, 0)
        after = os.fstat(fd)
        steady = (before.st_nlink, before.st_mtime_ns) == (after.st_nlink, after.st_mtime_ns)
        both = second if first.keys() == second.keys() or not self._raw else {
            name: kind for name, kind in second.items() if name in first
        }  # fmt: skip
        return Listing(names, both, after.st_nlink if steady else None)

    def mode(self, path: bytes) -> int:
        """As `ViewHost.mode`."""
        try:
            return os.lstat(self._place(path)).st_mode
        except (OSError, ValueError):
            return 0

    def texts(self, path: bytes) -> tuple[bytes, bytes]:
        """As `ViewHost.texts`."""
        place = self._place(path)
        try:
            handle = os.open(place, READ_FLAGS)
            try:
                plain = os.read(handle, TEXT) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
            finally:
                os.close(handle)
        except OSError:
            plain = b""
        return plain, self._read(place) if self._raw else plain

    # -- inside ----------------------------------------------------------------------------------

    def _place(self, path: bytes) -> bytes:
        return self._files.root.rstrip(b"/") + path

    def _raw_names(self, path: bytes) -> list[bytes]:
        if self._raw is None:
            return []
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return []
        try:
            return [name for name, _ in self._raw.entries(fd)]
        except OSError:
            return []
        finally:
            os.close(fd)

    def _read(self, path: bytes, limit: int = TEXT) -> bytes:
        """A small file, past the C library; b"" when it cannot be read."""
        try:
            return self._raw.read(path, limit) if self._raw else b""
        except (OSError, ctypes.ArgumentError):
            return b""


def _cgroups(top: bytes) -> Iterator[bytes]:
    """Every control group's folder, of cgroup2 or of systemd's own hierarchy beside cgroup v1."""
    pending, count = [top], 0
    if not os.path.exists(top + b"/cgroup.procs"):
        pending = [top + b"/unified", top + b"/systemd"]
    while pending and count < MOST_CGROUPS:
        folder = pending.pop()
        count += 1
        yield folder
        try:
            with os.scandir(folder) as listing:
                pending += [
                    folder + b"/" + os.fsencode(e.name) for e in listing if e.is_dir(follow_symlinks=False)
                ]
        except OSError:
            continue  # the group is gone


def _told(error: OSError) -> str:
    return f"folder cannot be read: {error.strerror or error}"
