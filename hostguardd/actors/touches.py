"""Who touched what, by name and by inode, in bounded memory.

A touch is found by the path it was told with, and, where the kernel told inodes, also by (device, inode) of
the file and by (device, inode of the folder, name): a path in an audit record is what the caller wrote, which
links, mounts and another root make another path here. The oldest go first; `since` says from when on
everything is still here.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from .model import Touch

MOST: Final = 4096
PER_KEY: Final = 64
"""Touches kept of one name: who writes a file ten thousand times must not push the others out."""

Key = bytes | tuple[int, int] | tuple[int, int, bytes]


class Touches:
    """The index."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._order: dict[tuple[Key, int], Touch] = {}
        self._by_key: dict[Key, deque[Touch]] = {}
        self.since = 0
        """Wall-clock nanoseconds from which on nothing was dropped."""

    def __len__(self) -> int:
        return len(self._order)

    def add(self, keys: Iterable[Key], touch: Touch) -> None:
        """Remember a touch under all its keys."""
        for key in keys:
            kept = self._by_key.setdefault(key, deque())
            if kept and _again(kept[-1], touch):
                continue
            kept.append(touch)
            self._order[key, id(touch)] = touch
            if len(kept) > PER_KEY:
                self._order.pop((key, id(_thin(kept))), None)
        while len(self._order) > self._most:
            self._drop()

    def _drop(self) -> None:
        key, number = next(iter(self._order))
        touch = self._order.pop((key, number))
        kept = self._by_key[key]
        kept.remove(touch)
        self.since = max(self.since, touch.end)
        if not kept:
            del self._by_key[key]

    def of(self, keys: Iterable[Key]) -> list[Touch]:
        """The touches under any of the keys, the oldest first, each once."""
        found: dict[int, Touch] = {}
        for key in keys:
            for touch in self._by_key.get(key, ()):
                found[id(touch)] = touch
        return sorted(found.values(), key=lambda touch: touch.begin)


def _thin(kept: deque[Touch]) -> Touch:
    """Let go of the oldest touch by whoever has the most of them, so that nobody pushes another out."""
    counted = Counter(map(_whose, kept))
    busiest = counted.most_common(1)[0][0]
    found = next(one for one in kept if _whose(one) == busiest)
    kept.remove(found)
    return found


def _whose(touch: Touch) -> tuple[int, int] | None:
    return None if touch.who is None else touch.who.key


def _again(last: Touch, touch: Touch) -> bool:
    """Whether it tells nothing that the last one did not: the same, by the same, in the same span."""
    return (
        last.deed == touch.deed
        and last.rung is touch.rung
        and (last.begin, last.end) == (touch.begin, touch.end)
        and last.who is not None
        and touch.who is not None
        and last.who.key == touch.who.key
    )
