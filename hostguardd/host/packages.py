"""Whether a package manager is at work: somebody holds its lock. Costs one read of /proc/locks.

dpkg and rpm lock by fcntl(2) (dpkg(1), rpm's `.rpm.lock`), and /proc/locks (proc_locks(5)) names the inode
of every lock that is held. It says nothing of whether the packages are what they should be.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

LOCKS: Mapping[str, tuple[str, ...]] = {
    "dpkg": ("/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend"),
    "rpm": ("/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"),
}

_INODE = re.compile(rb" [0-9a-f]+:[0-9a-f]+:(\d+) ")
MOST_BYTES = 256 * 1024


def held_inodes(text: bytes) -> set[int]:
    """The inodes of /proc/locks, whatever file system they are on."""
    return {int(number) for number in _INODE.findall(text)}


class PackageLocks:
    """`busy()` names the package manager that holds its lock now, "" when none does."""

    def __init__(self, locks: str = "/proc/locks", places: Mapping[str, tuple[str, ...]] = LOCKS) -> None:
        self._locks = locks
        self._places = places

    def busy(self) -> str:
        """`dpkg`, `rpm` or ""."""
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
