"""What was seen lately: the memory that keeps a restart from looking like an absence.

A service that is being restarted, and its port with it, is away for some seconds. The live sensors
therefore list what is there now *and* what was there a moment ago; when they stop listing a key, it
has really been gone for the whole grace. Rows handed to `expect` (the approved ones, when the
daemon itself has just started) count as seen at that moment: what has not come up yet at boot gets
the same grace.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ..model import Row


class Glimpses:
    """Rows by key, kept for `grace` seconds after they were last seen. `width` is the key's."""

    def __init__(self, grace: float, width: int) -> None:
        self._grace = grace
        self._width = width
        self._seen: dict[Row, tuple[float, Row]] = {}
        self.due: float | None = None

    def __contains__(self, key: object) -> bool:
        return key in self._seen

    def expect(self, rows: Iterable[Row], now: float) -> None:
        """Count `rows` as seen at `now` (seconds on any steady clock), unless they were seen since."""
        for row in rows:
            self._seen.setdefault(row[: self._width], (now, row))
        self._plan(())

    def present(self, rows: Mapping[Row, Row], now: float) -> list[Row]:
        """`rows` (by key) and those that are away for less than the grace, sorted by key."""
        for key, (last, _) in list(self._seen.items()):
            if key not in rows and now - last >= self._grace:
                del self._seen[key]
        for key, row in rows.items():
            self._seen[key] = (now, row)
        self._plan(rows)
        return [self._seen[key][1] for key in sorted(self._seen)]

    def _plan(self, rows: Collection[Row]) -> None:
        """`due`: when the first of the missed keys is to be given up."""
        missed = [last + self._grace for key, (last, _) in self._seen.items() if key not in rows]
        self.due = min(missed, default=None)
