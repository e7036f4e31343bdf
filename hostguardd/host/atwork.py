"""Who is at work: package managers and account tools, by the locks they hold while they are.

dpkg and rpm lock by fcntl(2) (dpkg(1), rpm's `.rpm.lock`), and /proc/locks (proc_locks(5)) names the inode
of every lock that is held: one read. shadow-utils make a lock file beside each table. Neither says anything
of whether what they do is right, and anybody may hold such a lock; it is good for company, not for silence.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping

LOCKS: Mapping[str, tuple[str, ...]] = {
    "dpkg": ("/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend"),
    "rpm": ("/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"),
}

_INODE = re.compile(rb" [0-9a-f]+:[0-9a-f]+:(\d+) ")
MOST_BYTES = 256 * 1024


def held_inodes(text: bytes) -> set[int]:
    """The inodes of /proc/locks, whatever file system they are on."""
    return {int(number) for number in _INODE.findall(text)}


RECORDS: Mapping[str, tuple[str, ...]] = {
    "dpkg": ("/var/lib/dpkg/status",),
    "rpm": (
        "/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite",
        "/var/lib/rpm/rpmdb.sqlite-wal", "/usr/lib/sysimage/rpm/rpmdb.sqlite-wal", "/var/lib/rpm/Packages",
    ),
}  # fmt: skip
"""What a package manager writes at the end of what it does."""

JUST_NOW = 3.0
"""Seconds after which what was written is over: small packages are done before anybody looks."""


class PackageManagers:
    """`busy()` names the package manager that is at work now or was a moment ago, "" when none is."""

    def __init__(
        self,
        locks: str = "/proc/locks",
        places: Mapping[str, tuple[str, ...]] = LOCKS,
        records: Mapping[str, tuple[str, ...]] = RECORDS,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._locks = locks
        self._places = places
        self._records = records
        self._wall = wall

    def busy(self) -> str:
        """`dpkg`, `rpm` or ""."""
        return self._locked() or self._wrote()

    def _wrote(self) -> str:
        now = self._wall()
        for name, paths in self._records.items():
            for path in paths:
                try:
                    if abs(now - os.lstat(path).st_mtime) < JUST_NOW:
                        return name
                except OSError:
                    continue
        return ""

    def _locked(self) -> str:
        try:
            with open(self._locks, "rb") as stream:
                held = held_inodes(stream.read(MOST_BYTES))
        except OSError:
            return ""
        for name, paths in self._places.items() if held else ():
            for path in paths:
                try:
                    if os.lstat(path).st_ino in held:
                        return name
                except OSError:
                    continue
        return ""


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
