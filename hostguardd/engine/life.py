"""Signs of life: for the service manager, for the next start, and for those who get heartbeats.

What is noted for the next start is read again in `earlier`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import StoreError
from ..host.clock import Clock
from ..model import Value
from ..store.alertlog import AlertLog
from ..store.baseline import Baseline
from .interface import Diagnose, Notifier

ALIVE_EVERY = 30.0
"""Seconds between two notes of being alive, from which the next start tells the gap."""

SIGN_EVERY = 10.0
"""Seconds between two signs of life for heartbeats."""


class Life:
    """What says that we are alive. `stuck` names the lanes that make no progress, `silenced` says why alerts
    cannot be written."""

    def __init__(
        self,
        baseline: Baseline,
        log: AlertLog,
        clock: Clock,
        notifier: Notifier,
        diagnose: Diagnose,
        watchdog: float,
        stuck: Callable[[], Sequence[str]],
        silenced: Callable[[], str],
    ) -> None:
        self._baseline = baseline
        self._log = log
        self._clock = clock
        self._notifier = notifier
        self._diagnose = diagnose
        self._watchdog = watchdog
        self._stuck = stuck
        self._silenced = silenced
        self._pinged = 0.0
        self._noted = 0.0
        self._signed = 0.0

    def show(self, now: float, *, heartbeats: bool) -> None:
        """Whatever sign is due at `now` (monotonic seconds)."""
        if self._watchdog and not self._stuck() and now - self._pinged >= self._watchdog / 3:
            self._pinged = now
            self._notifier.notify("WATCHDOG=1")
        if now - self._noted >= ALIVE_EVERY:
            self._noted = now
            self.note()
        if heartbeats and now - self._signed >= SIGN_EVERY:
            self._signed = now
            self._sign()

    def note(self) -> None:
        """For the next start: that we lived until now, the head of the log, and the generation up to which it
        tells of all."""
        number, digest = self._log.head
        try:
            notes: dict[str, Value] = {"alive": self._clock.wall(), "head": f"{number} {digest}"}
            if not self._silenced():
                current = self._baseline.current()
                notes["told"] = current.number if current else 0
            self._baseline.remember_all(notes)
        except StoreError as error:  # a full disk must not end the watch
            self._diagnose("state cannot be written", {"problem": str(error)})

    def _sign(self) -> None:
        """For heartbeats: how far we are, and what we cannot see."""
        try:
            self._log.sign(self._clock.wall(), self._baseline.current(), self._baseline.blinds())
        except (OSError, StoreError) as error:
            self._diagnose("the sign for heartbeats cannot be written", {"problem": str(error)})


def alive_at(baseline: Baseline) -> int | None:
    """Our last note of being alive, wall-clock nanoseconds; None when there is none."""
    alive = baseline.recall("alive")
    return alive if isinstance(alive, int) else None


def head_at(baseline: Baseline) -> tuple[int, str]:
    """The alert log's number and digest then, (0, "") when nobody knows."""
    number, _, digest = str(baseline.recall("head") or "").partition(" ")
    return (int(number), digest) if number.isdigit() else (0, "")


def told_until(baseline: Baseline) -> int | None:
    """The last generation of which the alert log up to `head_at` tells; None when nobody knows."""
    told = baseline.recall("told")
    return told if isinstance(told, int) else None
