"""Digests of the files that programs run from, each read once: while its inode stands, its content does."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from typing import Final

from .reading import BLOCK, READ_FLAGS

LARGEST: Final = 256 * 1024 * 1024
"""Images above this many bytes are not hashed: a sparse one could hold us up for hours."""

PATIENCE: Final = 4 * 1024 * 1024
"""Bytes that are hashed before `stop` is asked again."""

REMEMBERED: Final = 4096
"""How many digests are kept."""

Identity = tuple[int, int, int, int, int]
"""(device, inode, size, mtime, ctime) of a file: while they stand, so does its content."""


class Digests:
    """What is known, the oldest forgotten first."""

    def __init__(self) -> None:
        self._known: dict[Identity, bytes] = {}

    def of(self, seen: os.stat_result) -> bytes | None:
        """The digest of a file, None when it is not known."""
        return self._known.get(_identity(seen))

    def same(self, one: os.stat_result, other: os.stat_result) -> bool:
        """Whether two files are known to hold the same."""
        known = self.of(one)
        return known is not None and known == self.of(other)

    def wants(self, seen: os.stat_result) -> bool:
        """Whether a file's digest is to be learned yet, and can be."""
        return _is_readable(seen) and _identity(seen) not in self._known

    def read(self, path: bytes, flags: int, stop: Callable[[], bool]) -> None:
        """Learn the digest of the regular file at `path`."""
        try:
            handle = os.open(path, READ_FLAGS | flags)
        except OSError:
            return
        try:
            seen = os.fstat(handle)
            found = _hash(handle, seen.st_size, stop) if _is_readable(seen) else None
        except OSError:
            return
        finally:
            os.close(handle)
        if found is None:
            return
        while len(self._known) >= REMEMBERED:
            self._known.pop(next(iter(self._known)), None)
        self._known[_identity(seen)] = found


def _identity(seen: os.stat_result) -> Identity:
    return (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def _is_readable(seen: os.stat_result) -> bool:
    return stat.S_ISREG(seen.st_mode) and seen.st_size <= LARGEST


def _hash(handle: int, length: int, stop: Callable[[], bool]) -> bytes | None:
    """Digest of a file that is `length` bytes long; None when it is longer or when stopped."""
    summed = hashlib.sha256()
    block = bytearray(BLOCK)
    view = memoryview(block)
    done = 0
    while size := os.readv(handle, [block]):
        if done // PATIENCE != (done + size) // PATIENCE and stop():
            return None
        done += size
        if done > length:
            return None  # it grows under our eyes, for as long as its writer likes
        summed.update(view[:size])
    return summed.digest()
