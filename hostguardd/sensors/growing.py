"""What is kept in memory of a file that only grows: digests of its beginning, and what was done to it.

The rule: memory does not grow with the file but for eight bytes in sixty-four thousand, and any block of
what was read can be checked alone, so that a long log is proven whole a little at a time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from ..facts.logs import WHOLE
from ..host.files import FileHost
from ..model import FileFact, LogFact, Row, split

BLOCK: Final = 64 * 1024
"""Bytes that are digested together: as much is read again when a file has grown."""

SHORT: Final = 8
"""Bytes kept of a block's SHA-256. Whoever would forge one must first find out what was in the log."""

FLAGS: Final = FileFact.columns().index("flags")

HEAD: Final = 4096
"""Bytes of the beginning by which a file is known again in an archive."""


class Prefix:
    """Digests of the first `size` bytes of a file, block by block."""

    def __init__(self) -> None:
        self.size = 0
        self._blocks = bytearray()
        self._part = hashlib.sha256()

    def feed(self, data: bytes) -> None:
        """Append what comes next in the file."""
        view = memoryview(data)
        while view:
            take = view[: BLOCK - self.size % BLOCK]
            self._part.update(take)
            self.size += len(take)
            view = view[len(take) :]
            if self.size % BLOCK == 0:
                self._blocks += self._part.digest()[:SHORT]
                self._part = hashlib.sha256()

    def digest(self) -> bytes:
        """The digest of all of it."""
        return hashlib.sha256(bytes(self._blocks) + self._part.digest()).digest()

    @property
    def count(self) -> int:
        """Blocks so far, the last one perhaps not full."""
        return -(-self.size // BLOCK)

    def span(self, number: int) -> tuple[int, int]:
        """(offset, length) of a block."""
        return number * BLOCK, min(BLOCK, self.size - number * BLOCK)

    def holds(self, number: int, data: bytes) -> bool:
        """Whether `data`, read at the block's span, is what was there before."""
        _, length = self.span(number)
        if len(data) != length:
            return False
        found = hashlib.sha256(data).digest()
        if length == BLOCK:
            return found[:SHORT] == self._blocks[number * SHORT : (number + 1) * SHORT]
        return found == self._part.digest()


IMMUTABLE: Final = 0x10
"""FS_IMMUTABLE_FL of linux/fs.h, which chattr(1) calls `i`: nobody can write to the file, not even root."""


def immutable(files: FileHost, path: bytes) -> bool:
    """Whether the file has that flag; False also where nobody can say."""
    folder, name = split(path)
    try:
        with files.open_folder(files.real(folder)) as opened:
            row = opened.entry(name)
            found = None if row is None else opened.deep(row, lambda: False, prefix=0)
    except OSError:
        return False
    flags = None if found is None else found.row[FLAGS]
    return isinstance(flags, int) and bool(flags & IMMUTABLE)


@dataclass(slots=True)
class Case:
    """One file, as its row tells it. The fields are those of LogFact."""

    view: str
    path: bytes
    state: str = WHOLE
    incidents: int = 0
    owner: bytes = b""
    inode: int = 0
    size: int = 0
    lost: int = 0
    entries: int = 0
    at: int = 0
    headed: int = 0
    head: bytes = b""
    prefix: bytes = b""
    detail: bytes = b""

    def row(self) -> Row:
        """The row of the LogFact."""
        return tuple(getattr(self, name) for name in LogFact.columns())

    def happened(self, state: str, detail: bytes = b"", lost: int = 0) -> None:
        """Something was done to the file."""
        self.state, self.detail, self.lost = state, detail, lost
        self.incidents += 1
