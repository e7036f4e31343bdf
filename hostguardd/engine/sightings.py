"""When package managers were seen at work: by their lock, or by their records, which moved."""

from __future__ import annotations

from typing import Final

from ..host.atwork import AtWork

SHORT: Final = 60.0
"""Seconds before their records moved, of a run that was too short to be seen."""

PAUSE: Final = 5.0
"""Seconds within which a manager that comes back is the same one."""

MOST: Final = 16
SECOND: Final = 1_000_000_000

Marks = tuple[tuple[str, int], ...]


class Sightings:
    """`spans` are seconds since the epoch, the oldest first."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []
        self._marks: Marks | None = None

    def see(self, working: AtWork | None, marks: Marks, now: int) -> None:
        """How it is at a wall-clock nanosecond."""
        moved = self._marks is not None and marks != self._marks
        self._marks = marks
        at = now / SECOND
        if working is not None:
            self._put(at, at)
        elif moved:
            latest = max((mtime for _, mtime in marks), default=now) / SECOND
            self._put(min(latest, at) - SHORT, min(latest, at))

    def _put(self, begin: float, end: float) -> None:
        if self.spans and self.spans[-1][0] <= end and begin <= self.spans[-1][1] + PAUSE:
            first, last = self.spans.pop()
            begin, end = min(begin, first), max(end, last)
        self.spans = [*self.spans[1 - MOST :], (begin, end)]

    def forget(self) -> None:
        """The clock was set: what was seen was at another time."""
        self.spans.clear()
