"""Who is at work: package managers and account tools, by the locks they hold while they are.

dpkg and rpm lock by fcntl(2) (dpkg(1), rpm's `.rpm.lock`), and /proc/locks (proc_locks(5)) names the inode
of every lock that is held: one read. shadow-utils make a lock file beside each table. Neither says anything
of whether what they do is right, and root may hold such a lock with any program; it is good for company, not
for silence.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

LOCKS: Mapping[str, tuple[str, ...]] = {
    "dpkg": ("/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend"),
    "rpm": ("/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"),
}

PROGRAMS: Mapping[str, frozenset[bytes]] = {
    "dpkg": frozenset((
        b"/usr/bin/dpkg", b"/usr/bin/apt", b"/usr/bin/apt-get", b"/usr/bin/aptitude",
        b"/usr/bin/aptitude-curses", b"/usr/sbin/synaptic", b"/usr/libexec/packagekitd",
        b"/usr/lib/packagekit/packagekitd",
    )),
    "rpm": frozenset((
        b"/usr/bin/rpm", b"/usr/bin/dnf5", b"/usr/bin/dnf5daemon-server", b"/usr/bin/microdnf",
        b"/usr/bin/zypper", b"/usr/bin/rpm-ostree", b"/usr/libexec/packagekitd",
    )),
}  # fmt: skip
"""The programs that lock the database, where packages put them."""

INTERPRETER = re.compile(rb"/usr/bin/python3(\.\d+)?|/usr/libexec/platform-python(3\.\d+)?")
SCRIPTS = frozenset((
    b"/usr/bin/dnf", b"/usr/bin/dnf-3", b"/usr/bin/yum", b"/usr/bin/dnf-automatic",
    b"/usr/bin/unattended-upgrade", b"/usr/bin/unattended-upgrades", b"/usr/bin/update-manager",
    b"/usr/sbin/aptd",
))  # fmt: skip
"""Those that are scripts of Python."""

GONE = b" (deleted)"
"""How the link to a program ends that was replaced while it runs, as the manager's own is by its update."""

_LOCK = re.compile(rb"^\d+: POSIX +ADVISORY +WRITE +(\d+) [0-9a-f]+:[0-9a-f]+:(\d+) ", re.MULTILINE)
MOST_BYTES = 4 * 1024**2

UNSET = 0xFFFFFFFF
"""No login, /proc/PID/loginuid."""


def held_inodes(text: bytes) -> dict[int, int]:
    """Inode -> pid of the locks for writing in /proc/locks, whatever file system they are on."""
    return {int(inode): int(pid) for pid, inode in _LOCK.findall(text)}


RECORDS: Mapping[str, tuple[str, ...]] = {
    "dpkg": ("/var/lib/dpkg/status",),
    "rpm": (
        "/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite",
        "/var/lib/rpm/Packages", "/var/lib/rpm/Packages.db", "/usr/lib/sysimage/rpm/Packages.db",
    ),
}  # fmt: skip
"""What a package manager writes at the end of what it does."""


class AtWork(NamedTuple):
    """A package manager that holds its lock: its name, the process that holds it, its program, and the uid of
    the login that it was started in (None: not known)."""

    manager: str
    pid: int
    program: bytes
    login: int | None


class PackageManagers:
    """Whether a package manager is at work, and whether one was. `root` is another one's in tests."""

    def __init__(
        self,
        locks: str = "/proc/locks",
        places: Mapping[str, tuple[str, ...]] = LOCKS,
        records: Mapping[str, tuple[str, ...]] = RECORDS,
        proc: bytes = b"/proc",
        programs: Mapping[str, frozenset[bytes]] = PROGRAMS,
    ) -> None:
        self._locks = locks
        self._places = places
        self._records = records
        self._proc = proc
        self._programs = programs

    def at_work(self) -> AtWork | None:
        """The manager whose lock is held by a program of its own; None where it is held by nobody, or by
        somebody else."""
        try:
            with open(self._locks, "rb") as stream:
                held = held_inodes(stream.read(MOST_BYTES))
        except OSError:
            return None
        for name, paths in self._places.items() if held else ():
            for path in paths:
                try:
                    pid = held.get(os.lstat(path).st_ino)
                except OSError:
                    continue
                program = self._program(pid, self._programs.get(name, frozenset())) if pid else b""
                if pid and program:
                    return AtWork(name, pid, program, self._login(pid))
        return None

    def marks(self) -> tuple[tuple[str, int], ...]:
        """What moves when a manager wrote to its records: their mtimes in nanoseconds."""
        found = []
        for paths in self._records.values():
            for path in paths:
                try:
                    found.append((path, os.lstat(path).st_mtime_ns))
                except OSError:
                    continue
        return tuple(found)

    def _program(self, pid: int, known: frozenset[bytes]) -> bytes:
        """The program of a process, if it is one of these; b"" otherwise."""
        base = b"%s/%d" % (self._proc, pid)
        try:
            link = os.readlink(base + b"/exe")
            program = link.removesuffix(GONE)
            if INTERPRETER.fullmatch(program):
                with open(base + b"/cmdline", "rb") as stream:
                    words = stream.read(65536).split(b"\0")
                scripts = [word for word in words[1:8] if word in SCRIPTS]
                known, script = known | {program}, scripts[0] if scripts else b""
                if not script:
                    return b""
            else:
                script = program
            if program not in known:
                return b""
            if link == program:
                running, there = os.stat(base + b"/exe"), os.stat(program)
                if (running.st_dev, running.st_ino) != (there.st_dev, there.st_ino):
                    return b""
        except OSError:
            return b""
        return script

    def _login(self, pid: int) -> int | None:
        try:
            with open(b"%s/%d/loginuid" % (self._proc, pid), "rb") as stream:
                number = int(stream.read(16))
        except (OSError, ValueError):
            return None
        return None if number == UNSET else number


TABLE_LOCKS = tuple(f"/etc/{table}.lock" for table in ("passwd", "shadow", "group", "gshadow"))
FRESH = 10.0
"""Seconds after which a lock file is nobody's: its maker was killed."""


TABLE_COPIES = tuple(
    f"/etc/{table}-" for table in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")
)
JUST_WRITTEN = 0.5
"""Seconds after which the copy that a tool made of a table shows no more that it was at work."""


def account_tool(
    locks: tuple[str, ...] = TABLE_LOCKS,
    copies: tuple[str, ...] = TABLE_COPIES,
    wall: Callable[[], float] = time.time,
) -> bool:
    """Whether a tool such as useradd(8) holds a table of accounts, or did so a moment ago.

    It gives its locks back as soon as the last table is written, and before anybody has looked at that one.
    What stays is the copy of what was there before, which bears that one's mtime and a ctime of now. Costs
    ten lstat(2).
    """
    now = wall()
    for path in locks:
        try:
            if abs(now - os.lstat(path).st_mtime) < FRESH:
                return True
        except OSError:
            continue
    for path in copies:
        try:
            if abs(now - os.lstat(path).st_ctime) < JUST_WRITTEN:
                return True
        except OSError:
            continue
    return False
