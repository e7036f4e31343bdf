"""How regularly a log is written to, and when it was not: silences, lines that go back in time. Pure.

The theory. Each log has a habit: cron writes by the hour, a quiet kernel by the week, an office's server by
day. A silence is told when it is much longer than that very log's other ones and the log was not as silent
at the same hours of other days; and it is worse when other logs of the host went on meanwhile. A host that
was off, or a log service that was, tells so itself by the first line afterwards.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from .ledger import Where

GAPS: Final = 24
"""The longest silences of a log that are kept."""

SHORT: Final = 900
"""Seconds of silence that are none."""

LONG: Final = 2 * 3600
"""Seconds below which no silence is told, however busy the log."""

TIMES: Final = 8
"""So many times a log's third-longest silence makes one that is told."""

BEATS: Final = 100
"""Minutes with lines that a log must have before it has a habit."""

BACK: Final = 180
"""Seconds that a line may be older than the one before: threads and hosts hand their lines on late."""

DAYS: Final = 30
"""Days before and after a silence with which it is compared."""

HOUR: Final = 3600
DAY: Final = 24 * HOUR

_STARTED: Final = re.compile(
    rb"kernel: (?:\[ *\d+\.\d+\] )?(?:Linux version |Command line:|Booting )|syslogd?(?:-ng)?\S* "
    rb".*(?:start|restart)|"
    rb"\[origin software=\"rsyslogd\"|syslog-ng starting up|Journal started|klogd .*started|imklog .*started"
)
"""What the first line says after the host or its log service was down."""


class Gap(NamedTuple):
    """A silence: `seconds` until `until`; the line that ended it (its text cut) and where that stands."""

    seconds: int
    until: int
    where: Where
    line: bytes

    @property
    def started(self) -> bool:
        """Whether the host or the log service came up then."""
        return _STARTED.search(self.line) is not None


class Pulse:
    """One log. `hours` counts its lines by the hour since the epoch."""

    def __init__(self) -> None:
        self.first = self.last = self._present = 0
        self.lines = self.beats = 0
        self.gaps: list[Gap] = []
        self.hours: Counter[int] = Counter()
        self.back = 0
        self.furthest: Gap | None = None
        self._astray = False

    def beat(self, at: int, lines: int, where: Where, line: bytes) -> None:
        """`lines` were written since the last beat; now it is `at`, as `line` says."""
        self.end(lines)
        self._present = at
        self.beats += 1
        if not self.first:
            self.first = at
        elif at - self.last > SHORT:
            self._keep(Gap(at - self.last, at, where, line[:200]))
        elif self.last - at > BACK:
            if not self._astray:
                self.back += 1
            if self.furthest is None or self.last - at > self.furthest.seconds:
                self.furthest = Gap(self.last - at, at, where, line[:200])
        self._astray = self.last - at > BACK
        self.last = max(self.last, at)

    def end(self, lines: int) -> None:
        """`lines` were of the last beat's time."""
        if self._present:
            self.hours[self._present // HOUR] += lines
            self.lines += lines

    def _keep(self, gap: Gap) -> None:
        self.gaps.append(gap)
        if len(self.gaps) > 2 * GAPS:
            self.gaps = sorted(self.gaps, reverse=True)[:GAPS]

    def holes(self, now: int) -> list[Gap]:
        """Silences that are not this log's habit, the oldest first; one that lasts has no line."""
        if self.beats < BEATS:
            return []
        until_now = Gap(now - self.last, now, Where(b"", 0), b"")
        gaps = sorted([*self.gaps, until_now], reverse=True)
        habit = gaps[2].seconds if len(gaps) > 2 else SHORT
        return sorted(
            (gap for gap in gaps[:2] if gap.seconds >= max(LONG, TIMES * habit) and not self._usual(gap)),
            key=lambda gap: gap.until,
        )

    def _usual(self, gap: Gap) -> bool:
        """Whether the log was as silent at these hours on half of its other days, or has too few of them."""
        days = [
            _hours(gap, days)
            for days in range(-DAYS, DAYS + 1)
            if days
            and self.first <= gap.until - gap.seconds + days * DAY
            and gap.until + days * DAY <= self.last
        ]
        silent = sum(not any(hour in self.hours for hour in hours) for hours in days)
        return len(days) < 2 or silent * 2 >= len(days)


def _hours(gap: Gap, days: int = 0) -> range:
    """The hours that lie wholly within it, or within the same time of another day."""
    return range(-(-(gap.until - gap.seconds + days * DAY) // HOUR), (gap.until + days * DAY) // HOUR)


def spoke(others: Iterable[Pulse], gap: Gap) -> tuple[int, bool]:
    """How many lines other logs got in the meantime, and whether in most of its hours."""
    hours = _hours(gap)
    alive = Counter[int]()
    for one in others:
        for hour in hours:
            if hour in one.hours:
                alive[hour] += one.hours[hour]
    return alive.total(), len(alive) * 2 > len(hours)
