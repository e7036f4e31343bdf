"""One name for each path, although /bin is /usr/bin and packages may say either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..model import join, split

MERGED: Final = (b"/bin", b"/sbin", b"/lib", b"/lib32", b"/lib64", b"/libx32", b"/usr/sbin", b"/usr/lib64")
"""Folders that a distribution may have made links of."""


class Aliases:
    """The links among MERGED, as `link` (a path's target, b"" if it is none) tells them."""

    def __init__(self, link: Callable[[bytes], bytes]) -> None:
        found: list[tuple[bytes, bytes]] = []
        for folder in MERGED:
            target = link(folder)
            if target and b".." not in target.split(b"/"):
                place = join(split(folder)[0], target) if not target.startswith(b"/") else target
                found.append((folder + b"/", place.rstrip(b"/") + b"/"))
        self._links = found
        self._prefixes = tuple(before for before, _ in found)

    def real(self, path: bytes) -> bytes:
        """The path by its one name."""
        if not path.startswith(self._prefixes):
            return path
        for before, after in self._links:
            if path.startswith(before):
                path = after + path[len(before) :]
        return path
