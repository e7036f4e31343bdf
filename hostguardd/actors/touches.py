"""Who touched what, by name and by inode, in bounded memory.

A touch is found by the path it was told with, and, where the kernel told inodes, also by (device, inode) of
the file and by (device, inode of the folder, name): a path in an audit record is what the caller wrote, which
links, mounts and another root make another path here. The oldest go first, and until when something may be
missing is known: who floods us so that a touch of theirs is dropped has nobody else named.
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
        self._thinned: dict[Key, int] = {}
        self.since = 0
        """Wall-clock nanoseconds from which on nothing was dropped to make room for other names."""

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
                thin = _thin(kept)
                self._order.pop((key, id(thin)), None)
                if not any(_as_well(one, thin) for one in kept):
                    self._thinned[key] = max(self._thinned.get(key, 0), _over(thin))
        while len(self._order) > self._most:
            self._drop()

    def _drop(self) -> None:
        key, number = next(iter(self._order))
        touch = self._order.pop((key, number))
        kept = self._by_key[key]
        kept.remove(touch)
        self.since = max(self.since, _over(touch))
        if not kept:
            del self._by_key[key]
            self._thinned.pop(key, None)

    def kept_since(self, keys: Iterable[Key]) -> int:
        """Wall-clock nanoseconds from which on all touches under these keys are here."""
        return max(self.since, *(self._thinned.get(key, 0) for key in keys))

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


def _over(touch: Touch) -> int:
    """When it was over; who held a file open without an end known may hold it still, which is seen."""
    return touch.begin if touch.holder else touch.end


def _as_well(one: Touch, other: Touch) -> bool:
    """Whether it makes whoever it was a suspect of all that the other touch did."""
    return (one.deed, one.rung, _whose(one)) == (other.deed, other.rung, _whose(other))


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
