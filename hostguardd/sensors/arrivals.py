"""What has not come up yet just after the host was started: no drift before its time.

A daemon that starts with the host sees mounts, modules and rules before all of them are there. So for
`GRACE` seconds after its own start, while the host is young, an approved row stands for what is missing
(and, where asked, for what still differs). On a host that has been up for longer nothing is held back:
a restart of the daemon is no moment to hide in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..model import Row

GRACE: Final = 60.0
YOUNG: Final = 300.0


class Arrivals:
    """Approved rows by key, `width` columns wide. `values`: also hold back what differs."""

    def __init__(self, width: int, *, values: bool = False) -> None:
        self._width = width
        self._values = values
        self._rows: dict[Row, Row] = {}
        self._until = 0.0

    @property
    def due(self) -> float:
        """Uptime at which nothing is held back any longer; infinite when nothing is."""
        return self._until if self._rows else float("inf")

    def expect(self, rows: Iterable[Row], now: float) -> None:
        """`rows` are approved; `now` is the uptime in seconds."""
        if now < YOUNG:
            self._rows = {row[: self._width]: row for row in rows}
            self._until = now + GRACE

    def fill(self, rows: list[Row], scope: object, now: float) -> list[Row]:
        """The sorted rows of a scope, with what has not arrived."""
        if now >= self._until:
            self._rows = {}
        if not self._rows:
            return rows
        table = {row[: self._width]: row for row in rows}
        for key, row in self._rows.items():
            if key[0] == scope and (self._values or key not in table):
                table[key] = row
        return [table[key] for key in sorted(table)]
