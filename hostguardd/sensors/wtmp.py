"""wtmp(5), the record of logins that only grows, and what was rotated of it."""

from __future__ import annotations

import stat
from typing import Final, NamedTuple

from ..host.texts import TextHost
from ..model import join, split
from ..utmp import LAYOUTS, USER_PROCESS, logins, origin_of, stride

WTMP: Final = b"/var/log/wtmp"

LARGEST: Final = 4 << 20
"""Bytes of a record of logins that are read: its newest, some ten thousand logins."""

ROTATED: Final = 3
"""Rotated records that are read."""

TOGETHER: Final = 120
"""Seconds between the beginnings of a session as two records have it."""

NAMES: Final = 100_000
"""Names of a folder among which rotated records are looked for."""

PACKED: Final = (b".gz", b".xz", b".bz2", b".zst")
WHOLE: Final = 9600
"""Bytes that are whole records in either layout."""

Who = tuple[bytes, bytes]
"""(user, origin)"""


class Seen(NamedTuple):
    """The latest use of an account from an origin."""

    service: bytes
    line: bytes
    at: int
    active: int


def rotated(texts: TextHost) -> list[bytes]:
    """Rotated records that are not compressed, the oldest first."""
    folder, base = split(WTMP)
    found = []
    for name in texts.names(folder, NAMES) or ():
        if name.startswith((base + b".", base + b"-")) and not name.endswith(PACKED):
            path = join(folder, name)
            entry = texts.lstat(path)
            if entry is not None and stat.S_ISREG(entry.st_mode):
                found.append((entry.st_mtime_ns, path))
    return [path for _, path in sorted(found)]


class History:
    """The record of logins that only grows, and what was rotated of it. What was read of it once is not
    read again as long as it only grew."""

    def __init__(self, texts: TextHost) -> None:
        self._texts = texts
        self._found: dict[Who, Seen] = {}
        self._read: tuple[int, int, int] = (0, 0, 0)  # inode, bytes, time of change

    def read(self) -> tuple[dict[Who, Seen], dict[bytes, str]]:
        """The latest login of everybody from everywhere, and what could not be read, with why."""
        entry = self._texts.lstat(WTMP)
        if entry is not None and stat.S_ISREG(entry.st_mode):
            inode, size, changed = self._read
            if entry.st_ino == inode and (entry.st_size, entry.st_mtime_ns) == (size, changed):
                return self._found, {}
            if entry.st_ino == inode and entry.st_size > size > 0 and not size % min(LAYOUTS):
                return self._found, self._more(WTMP, size)
        self._found = {}
        self._read = (0, 0, 0)
        problems: dict[bytes, str] = {}
        for path in (*rotated(self._texts)[-ROTATED:], WTMP):
            problems |= self._more(path)
        return self._found, problems

    def knows(self, who: Who, line: bytes, at: int) -> bool:
        """Whether the record that only grows has the beginning of a session."""
        seen = self._found.get(who)
        return seen is not None and seen.line == line and abs(seen.at - at) <= TOGETHER

    def _more(self, path: bytes, start: int = 0) -> dict[bytes, str]:
        """Read a file from `start` on, at most its last LARGEST bytes."""
        entry = self._texts.lstat(path)
        size = entry.st_size if entry is not None and stat.S_ISREG(entry.st_mode) else 0
        if size - start > LARGEST:
            start = (size - LARGEST) // WHOLE * WHOLE
        text = self._texts.read(path, LARGEST, start)
        if text.problem:
            return {path: text.problem}
        if text.data is None or text.stat is None:
            return {}
        for one in logins(text.data, stride(text.data, text.stat.st_size)):
            if one.kind == USER_PROCESS and one.user and one.sane:
                note(self._found, (one.user, origin_of(one)), Seen(b"", one.line, one.at, 0))
        if path == WTMP:
            done = start + len(text.data)
            self._read = (text.stat.st_ino, done - done % stride(text.data, done), text.stat.st_mtime_ns)
        return {}


def note(found: dict[Who, Seen], who: Who, seen: Seen) -> None:
    """Keep the latest; who is here now counts, and what one record leaves open another may tell."""
    known = found.get(who)
    if known is None:
        found[who] = seen
        return
    newer, older = (seen, known) if (seen.active, seen.at) >= (known.active, known.at) else (known, seen)
    found[who] = Seen(newer.service or older.service, newer.line or older.line, newer.at, newer.active)
