"""The ends of logs: what was written to a file since the last look, line by line.

The rules kept: a look reads a bounded number of bytes, whatever was written (what that leaves out is
counted, never silently lost); a file that was rotated away is read to its end first; one that was cut
begins anew; half a line waits for its other half, but not for ever.
"""

from __future__ import annotations

import stat
from typing import Final, NamedTuple

from ..host.texts import TextHost
from ..model import join, split

BACKLOG: Final = 1 << 20
"""Bytes of the past that are read at the start."""

MOST: Final = 1 << 20
"""Bytes of one file that one look reads at most."""

BEHIND: Final = 16 << 20
"""Bytes that may wait for the next looks; when there are more, the oldest are skipped."""

HALF: Final = 64 << 10
"""Bytes of a line without an end that are waited with; then they are a line, and the rest of it is none."""

NAMES: Final = 100_000
"""Names of a folder among which a rotated file is looked for."""


class News(NamedTuple):
    """Lines without their ends, bytes that were skipped, and why nothing could be read (a clause)."""

    lines: list[bytes]
    skipped: int = 0
    problem: str = ""


class Tail:
    """One file. `seen` is the time of its last change (seconds since the epoch), 0 when there is none."""

    def __init__(self, texts: TextHost, path: bytes) -> None:
        self._texts = texts
        self.path = path
        self.seen = 0
        self.begun = False
        self._inode = 0
        self._offset = 0
        self._half = b""
        self._dropping = False
        self._most = MOST

    def read(self, most: int = MOST) -> News:
        """What is new, up to `most` bytes of it. The first look reads the end of what is there."""
        self._most = most
        first, self.begun = not self.begun, True
        entry = self._texts.lstat(self.path)
        if entry is not None and stat.S_ISLNK(entry.st_mode):
            target = self._texts.read(self.path, 0)
            if target.problem:
                return News([], 0, target.problem)
            entry = target.stat
        if entry is None:
            self.seen = 0
            return News([])
        if not stat.S_ISREG(entry.st_mode):
            return News([], 0, "is no regular file")
        self.seen = int(entry.st_mtime)
        lines: list[bytes] = []
        skipped = 0
        if first:
            self._begin(entry.st_ino, max(0, entry.st_size - BACKLOG))
            self._dropping = self._offset > 0
        elif entry.st_ino != self._inode:
            lines, skipped = self._finish()
            self._begin(entry.st_ino, 0)
        elif entry.st_size < self._offset:
            self._begin(entry.st_ino, 0)
        elif entry.st_size == self._offset:
            return News([])
        more, left, problem = self._take(self.path, entry.st_size)
        return News(lines + more, skipped + left, problem)

    def _begin(self, inode: int, offset: int) -> None:
        self._inode, self._offset, self._half, self._dropping = inode, offset, b"", False

    def _finish(self) -> tuple[list[bytes], int]:
        """The rest of the file that was ours and has another name now."""
        folder, name = split(self.path)
        for other in self._texts.names(folder, NAMES) or () if self._inode else ():
            if other == name or not other.startswith(name.removesuffix(b".log")):
                continue
            path = join(folder, other)
            entry = self._texts.lstat(path)
            if entry is not None and entry.st_ino == self._inode and stat.S_ISREG(entry.st_mode):
                lines, skipped, _ = self._take(path, entry.st_size)
                rest = entry.st_size - self._offset
                return lines, skipped + max(0, rest)
        return [], 0

    def _take(self, path: bytes, size: int) -> News:
        """The next bytes of the file, as lines."""
        skipped = 0
        if size - self._offset > BEHIND:
            skipped = size - self._most - self._offset
            self._offset += skipped
            self._half, self._dropping = b"", True
        text = self._texts.read(path, self._most, self._offset)
        if text.problem:
            return News([], skipped, text.problem)
        if not text.data or (text.stat is not None and text.stat.st_ino != self._inode):
            return News([], skipped)
        self._offset += len(text.data)
        lines = (self._half + text.data).split(b"\n")
        self._half = lines.pop()
        if self._dropping and lines:
            del lines[0]
            self._dropping = False
        if len(self._half) > HALF:
            if not self._dropping:
                lines.append(self._half)
            self._half, self._dropping = b"", True
        return News(lines, skipped)
