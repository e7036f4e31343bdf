"""Which package a path is of, kept small: sixteen bytes for each of the hundreds of thousands of paths. Pure.

A path is kept as its hash alone (64 bits, keyed anew in each process: nobody can make two paths meet).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

BITS: Final = 40
"""Bits of a key."""

_MASK: Final = (1 << 64) - 1


class PathIndex:
    """Made of all packaged paths, each with a key of its package below 2**BITS; of the same path twice the
    smaller key counts."""

    def __init__(self, listing: Iterable[tuple[bytes, int]]) -> None:
        folders: set[int] = set()
        found: list[int] = []
        for path, key in listing:
            found.append((hash(path) & _MASK) << BITS | key)
            while (slash := path.rfind(b"/")) > 0:
                path = path[:slash]
                if (folder := hash(path)) in folders:
                    break
                folders.add(folder)
        found.sort()
        self._hashes = array("Q", (one >> BITS for one in found))
        self._keys = array("Q", (one & (1 << BITS) - 1 for one in found))
        self._folders = frozenset(folders)

    def key(self, path: bytes) -> int | None:
        """The key of a path, None if it is of no package."""
        wanted = hash(path) & _MASK
        at = bisect_left(self._hashes, wanted)
        return self._keys[at] if at < len(self._hashes) and self._hashes[at] == wanted else None

    def holds(self, folder: bytes) -> bool:
        """Whether some packaged path lies below a folder."""
        return hash(folder) in self._folders
