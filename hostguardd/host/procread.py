"""One process of /proc as it is at this moment, in as few system calls as can be: asked at every exec.

The rule: `stat` is read first and names the process by when it started; whatever cannot be read after that is
None, never a default. Sources: proc(5).
"""

from __future__ import annotations

import os
import time
from typing import Final

from ..actors.model import Details, Peer
from . import parse

FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC
UNSET: Final = 0xFFFFFFFF
NANO: Final = 10**9
DELETED: Final = b" (deleted)"
MOST_OPEN: Final = 512


class ProcReader:
    """Reads details of processes. `proc` is where procfs is mounted."""

    def __init__(self, proc: bytes = b"/proc") -> None:
        self._proc = proc
        self._tick = NANO // os.sysconf("SC_CLK_TCK")

    def details(self, pid: int) -> Details | None:
        """What /proc says of it; None when it is gone. Some 100 us."""
        base = b"%s/%d" % (self._proc, pid)
        seen = parse.stat(_read(base + b"/stat") or b"")
        if seen is None:
            return None
        asleep = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        started = seen.started * self._tick - asleep
        if seen.ended:
            return None
        command = _read(base + b"/cmdline", 4096)
        login, session = _number(base + b"/loginuid"), _number(base + b"/sessionid")
        exe = _program(base)
        cgroup = _read(base + b"/cgroup")
        real, effective = _uids(_read(base + b"/status"))
        return Details(
            pid,
            seen.parent,
            started,
            seen.session,
            seen.tty,
            real,
            effective,
            login,
            session,
            exe,
            command,
            None if cgroup is None else parse.unit(cgroup),
            time.monotonic_ns(),
        )

    def pids(self) -> list[int]:
        """Every process there is."""
        try:
            return [int(name) for name in os.listdir(self._proc) if name.isdigit()]
        except OSError:
            return []

    def holds(self, pid: int, file: tuple[int, int]) -> bool:
        """As `WitnessHost.holds`. Who has very many files open is not looked through."""
        folder = b"%s/%d/fd" % (self._proc, pid)
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        if len(names) > MOST_OPEN:
            return True
        for name in names:
            try:
                seen = os.stat(folder + b"/" + name)
            except OSError:
                continue
            if (seen.st_dev, seen.st_ino) == file:
                return True
        return False

    def peers(self, pid: int) -> list[Peer]:
        """Where the process's established TCP connections lead to, each once."""
        base = b"%s/%d" % (self._proc, pid)
        inodes = set()
        try:
            for name in os.listdir(base + b"/fd"):
                link = os.readlink(base + b"/fd/" + name)
                if link.startswith(b"socket:["):
                    inodes.add(link[8:-1])
        except OSError:
            return []
        found = set()
        for table in (b"/net/tcp", b"/net/tcp6"):
            found |= parse.remote_ends(_whole(base + table), inodes)
        return [Peer(*one) for one in sorted(found)]


def _program(base: bytes) -> bytes | None:
    """The file that a process runs, by the name that it has here: in a mount namespace of one's own any
    program can be mounted at any name. b"" for one that has none here."""
    try:
        name = os.readlink(base + b"/exe")
        seen = os.stat(base + b"/exe")
    except OSError:
        return None
    if seen.st_nlink == 0 or name.endswith(DELETED):  # an update, or a file that never had a name
        return name if _mounts(base) in (_mounts(b"/proc/1"), _mounts(b"/proc/self")) else b""
    try:
        here = os.stat(name)
    except OSError:
        return b""
    return name if (here.st_dev, here.st_ino) == (seen.st_dev, seen.st_ino) else b""


def _mounts(base: bytes) -> bytes | None:
    try:
        return os.readlink(base + b"/ns/mnt")
    except OSError:
        return None


def _read(path: bytes, limit: int = 4096) -> bytes | None:
    try:
        fd = os.open(path, FLAGS)
    except OSError:
        return None
    try:
        return os.read(fd, limit)
    except OSError:
        return None
    finally:
        os.close(fd)


LARGEST: Final = 16 * 1024 * 1024


def _whole(path: bytes) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST)
    except OSError:
        return b""


def _number(path: bytes) -> int | None:
    text = _read(path, 16)
    if text is None or not text.strip().isdigit():
        return None
    value = int(text)
    return -1 if value == UNSET else value


def _uids(text: bytes | None) -> tuple[int | None, int | None]:
    """Real and effective uid of /proc/PID/status. Its first line is escaped by the kernel."""
    at = -1 if text is None else text.find(b"\nUid:\t")
    if text is None or at < 0:
        return None, None
    words = text[at + 6 : at + 64].split(b"\t", 2)
    if len(words) < 3 or not (words[0].isdigit() and words[1].isdigit()):
        return None, None
    return int(words[0]), int(words[1])
