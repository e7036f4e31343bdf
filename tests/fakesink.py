"""A sink that keeps what it is given, and fails when a test wants it to."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from hostguardd.envelope import Entry
from hostguardd.sinks.interface import SinkError


class Box:
    """`window` batches may be under way; `confirm` says whether they are acknowledged at once."""

    def __init__(self, window: int = 4) -> None:
        self.window = window
        self.batch = 256
        self.got: list[Entry] = []
        self.kept: list[Entry] = []
        self.confirm = True
        self.broken = ""
        self.break_after = -1
        self.opened = 0
        self.under_way: list[Sequence[Entry]] = []
        self.most = 0
        self._lock = threading.RLock()

    @property
    def numbers(self) -> list[int]:
        """Numbers of the alerts that are here for good."""
        with self._lock:
            return [one.sequence for one in self.kept if one.sequence]

    def open(self) -> None:
        with self._lock:
            self.opened += 1
            self.under_way.clear()
            self._check()

    def send(self, batch: Sequence[Entry]) -> None:
        with self._lock:
            assert batch
            self._check()
            if self.break_after == 0:
                self.break_after = -1
                raise SinkError("the connection broke")
            self.break_after -= 1
            self.got += batch
            self.under_way.append(batch)
            self.most = max(self.most, len(self.under_way))
            assert len(self.under_way) <= self.window

    def confirmed(self, wait: float) -> int:
        if wait and not (self.confirm and self.under_way):
            threading.Event().wait(min(wait, 0.01))
        with self._lock:
            self._check()
            return self._take() if self.confirm else 0

    def finish(self) -> int:
        with self._lock:
            self._check()
            return self._take()

    def close(self) -> None:
        with self._lock:
            self.under_way.clear()

    def _take(self) -> int:
        count = len(self.under_way)
        for batch in self.under_way:
            self.kept += batch
        self.under_way.clear()
        return count

    def _check(self) -> None:
        if self.broken:
            raise SinkError(self.broken)
