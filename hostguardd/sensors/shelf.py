"""The archives of rotated logs: which of them may go.

The theory. Rotation keeps so many archives or so many days of them, so what it takes away is always the
oldest; compressing replaces an archive by one with the same times. So an archive that is gone while an
older one stayed, or one of several that are gone at once, was deleted or edited by somebody.
"""

from __future__ import annotations

import stat
from typing import Final

from ..host.texts import TextHost
from ..model import join
from .archives import NAMES, log_of

SAME: Final = 2_000_000_000
"""Nanoseconds by which the times of an archive and of its compressed successor may differ."""

Copies = dict[tuple[int, int], bytes]
"""Names of a log's archives by (inode, mtime in nanoseconds): inode numbers alone are used again at once."""


def judge(before: Copies, after: Copies) -> list[bytes]:
    """Names of the archives of one log that somebody took away or changed between two looks."""
    came = [at for _, at in after.keys() - before.keys()]
    gone: list[tuple[int, bytes]] = []
    for key in sorted(before.keys() - after.keys()):
        successor = next((at for at in came if abs(at - key[1]) <= SAME), None)
        if successor is None:
            gone.append((key[1], before[key]))
        else:
            came.remove(successor)
    stayed = [at for _, at in before.keys() & after.keys()]
    newest = max(gone, default=(0, b""))[0]
    if not gone or (stayed and min(stayed) >= newest) or (not stayed and len(gone) == 1):
        return []
    return sorted(name for _, name in gone)


class Shelf:
    """The archives beside all logs, folder by folder."""

    def __init__(self, texts: TextHost) -> None:
        self._texts = texts
        self._seen: dict[bytes, dict[bytes, Copies]] = {}

    def look(self, folder: bytes) -> dict[bytes, list[bytes]]:
        """Archives that went from a folder since the last look and should have stayed, by the beginning
        of their names, which is that of their log's."""
        names = self._texts.names(folder, NAMES)
        if names is None:
            return {}
        found: dict[bytes, Copies] = {}
        for name in names:
            base = log_of(name)
            if base:
                seen = self._texts.lstat(join(folder, name))
                if seen is not None and stat.S_ISREG(seen.st_mode):
                    found.setdefault(base, {})[seen.st_ino, seen.st_mtime_ns] = name
        before = self._seen.get(folder, {})
        self._seen[folder] = found
        told = {base: judge(copies, found.get(base, {})) for base, copies in before.items()}
        return {base: names for base, names in told.items() if names}
