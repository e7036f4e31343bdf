"""What is to be sent next: batches of entries out of the alert log, each with the place it leads to.

In order, as long as everything may leave. When a destination's rate holds things up, alerts of high and
critical severity **overtake** the others: a second reader looks ahead for them, and the first passes over
what has gone already. Nothing is dropped, each of the two keeps its order, and the place remembers both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ..envelope import Entry, entry
from ..model import Severity
from ..record import digest
from .cursors import START, Cursor
from .tail import Tail

LOUD: Final = Severity.HIGH
TEST: Final = "alert-tested"
"""The action of an alert that was asked for, which goes to every destination."""


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
        self._tail = Tail(folder, place.sequence, place.digest)
        self._begun_anew = False
        self._scout: Tail | None = None

    def take_begun_anew(self) -> bool:
        """Whether the log turned out to be another than the one that the place was in; said once."""
        said, self._begun_anew = self._begun_anew, False
        return said

    def next(self, most: int) -> Batch | None:
        """The next entries in order, out of at most `most` lines; None when there are no lines. A batch
        without entries tells of lines that do not go to this destination. Raises OSError, AlertLogError."""
        if not (lines := self._tail.read(most)):
            return None
        if self._tail.take_begun_anew():
            self._begun_anew, self._place = True, START
        found = [entry(line) for line in lines]
        ahead = self._place.ahead
        kept = [
            one
            for one in found
            if self._goes(one) and not (one.severity >= LOUD and 0 < one.sequence <= ahead)
        ]
        last = next((one for one in reversed(found) if one.sequence), None)
        if last is not None:
            caught_up = last.sequence >= ahead
            self._place = Cursor(last.sequence, digest(last.line), 0 if caught_up else ahead)
            if caught_up and self._scout is not None:
                self._scout.close()
                self._scout = None
        return Batch(kept, self._place)

    def loud(self, most: int) -> Batch | None:
        """The next loud entries ahead of all others; None when there are none. Raises as `next`."""
        if self._scout is None:
            self._scout = Tail(self._folder, max(self._place.sequence, self._place.ahead))
        found: list[Entry] = []
        while len(found) < most and (lines := self._scout.read(most - len(found))):
            found += [one for one in map(entry, lines) if one.severity >= LOUD and self._goes(one)]
        if not found:
            return None
        self._place = replace(self._place, ahead=found[-1].sequence)
        return Batch(found, self._place)

    def close(self) -> None:
        """Let go of the files."""
        self._tail.close()
        if self._scout is not None:
            self._scout.close()

    def _goes(self, one: Entry) -> bool:
        return one.severity >= self._least or one.action == TEST
