"""What is to be sent next: batches of entries out of the alert log, each with the place it leads to.

In order, as long as everything may leave. When a destination's rate holds things up, alerts of high and
critical severity **overtake** the others: a second reader looks ahead for them, and the first passes over
what has gone already. Nothing is dropped, each of the two keeps its order, and the place remembers both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ..envelope import Entry, entry
from ..model import Severity
from ..store.cursors import Cursor
from .tail import Tail

LOUD: Final = Severity.HIGH
TEST: Final = "alert-tested"
"""The action of an alert that was asked for, which goes to every destination."""

LOOKS: Final = 16
"""Blocks of the log in which loud ones are looked for in one go."""

BLOCK: Final = 100_000
"""Lines: more than a block has."""


class Batch(NamedTuple):
    """Some entries, and where the cursor stands once they are delivered."""

    entries: Sequence[Entry]
    place: Cursor


class Outgoing:
    """The alerts of `folder` that are to go to one destination, from behind `place` on."""

    def __init__(self, folder: str, place: Cursor, least: Severity) -> None:
        self._folder = folder
        self._least = least
        self._place = place
        self._tail = Tail(folder, place.sequence, place.digest if place.sequence else "")
        self._went_back = False
        self._scout: Tail | None = None
        self._seen: deque[Entry] = deque()  # by the scout, and not sent yet

    def take_went_back(self) -> bool:
        """Whether lines are read again, because the log is not what was read; said once."""
        said, self._went_back = self._went_back, False
        return said

    def next(self, most: int) -> Batch | None:
        """The next entries in order, out of at most `most` lines; None when there are no lines. A batch
        without entries tells of lines that do not go to this destination. Raises OSError, AlertLogError."""
        lines = self._tail.read(most)
        if self._tail.take_went_back():
            self._went_back = True
            self._place = replace(self._place, ahead=0)
            self._forget_scout()
        if not lines:
            return None
        ahead = self._place.ahead
        kept = [
            one
            for one in map(entry, lines)
            if self._goes(one) and not (one.severity >= LOUD and 0 < one.sequence <= ahead)
        ]
        caught_up = self._tail.number >= ahead
        self._place = Cursor(self._tail.number, self._tail.digest, 0 if caught_up else ahead)
        if caught_up:
            self._forget_scout()
        return Batch(kept, self._place)

    def loud(self, most: int) -> Batch | None:
        """The next loud entries ahead of all others; None when none are in sight. Raises as `next`."""
        if self._scout is None:
            self._scout = Tail(self._folder, max(self._place.sequence, self._place.ahead))
        for _ in range(LOOKS):
            if len(self._seen) >= most or not (lines := self._scout.read(BLOCK)):
                break
            # Damaged lines have no number, so that nothing can tell whether they overtook: they do not.
            self._seen += [
                one for one in map(entry, lines) if one.sequence and one.severity >= LOUD and self._goes(one)
            ]
        if not self._seen:
            return None
        found = [self._seen.popleft() for _ in range(min(most, len(self._seen)))]
        self._place = replace(self._place, ahead=found[-1].sequence)
        return Batch(found, self._place)

    def close(self) -> None:
        """Let go of the files."""
        self._tail.close()
        self._forget_scout()

    def _forget_scout(self) -> None:
        if self._scout is not None:
            self._scout.close()
        self._scout = None
        self._seen.clear()

    def _goes(self, one: Entry) -> bool:
        return one.severity >= self._least or one.action == TEST
