"""What was seen lately: the memory that keeps a restart from looking like an absence.

A service that is being restarted, and its port with it, is away for some seconds. The live sensors
therefore list what is there now *and* what was there a moment ago; when they stop listing a key, it
has really been gone for the whole grace. Rows handed to `expect` (the approved ones, when the
daemon itself has just started) count as seen at that moment: what has not come up yet at boot gets
the same grace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..model import Row


class Glimpses:
    """Rows by key, kept for `grace` seconds after they were first missed. `width` is the key's.

    Not after they were last seen: who is only looked at when something moves was seen an hour ago and has
    been there ever since.
    """

    def __init__(self, grace: float, width: int) -> None:
        self._grace = grace
        self._width = width
        self._rows: dict[Row, Row] = {}
        self._missed: dict[Row, float] = {}
        self.due: float | None = None

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def expect(self, rows: Iterable[Row], now: float) -> None:
        """Count `rows` as missed from `now` on (seconds on any steady clock), unless they were seen."""
        for row in rows:
            key = row[: self._width]
            if key not in self._rows:
                self._rows[key] = row
                self._missed[key] = now
        self._plan()

    def present(self, rows: Mapping[Row, Row], now: float) -> list[Row]:
        """`rows` (by key) and those that are away for less than the grace, sorted by key."""
        for key in self._rows.keys() - rows.keys():
            if now - self._missed.setdefault(key, now) >= self._grace:
                del self._rows[key], self._missed[key]
        for key in self._missed.keys() & rows.keys():
            del self._missed[key]
        self._rows |= rows
        self._plan()
        return [self._rows[key] for key in sorted(self._rows)]

    def _plan(self) -> None:
        """`due`: when the first of the missed keys is to be given up."""
        self.due = min((since + self._grace for since in self._missed.values()), default=None)
