"""How much of the host is covered by hints: the watcher, what settles, what was lost and since when.

The rule kept here: hints are only hurry. Whatever is lost (an overflow, a folder that could not be
watched, a watcher that died) becomes a `Loss` with its span; the engine tells it and sweeps. The
watcher's thread only ever takes the lock for a moment: it must not be slower than the kernel.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from ..host.clock import Clock
from ..model import Hint
from ..sections import Hints
from ..sensors.watch import Overflow, Signal, Watcher, WatcherDied, WatchFailed
from .hints import Due, Settler
from .pulse import Pulse

SECOND = 1_000_000_000
GATHER = 2 * SECOND
"""Failed watches come by the thousand when the limit is reached: they are told together."""

MOST_DENIED = 20


@dataclass(frozen=True, slots=True)
class Loss:
    """Hints were lost. `code` is the health code, `since` and `until` monotonic nanoseconds."""

    code: str
    since: int
    until: int
    params: dict[str, int | str | bytes]


class Coverage:
    """The watcher and the settler. `add` may be called by any thread, the rest by the loop."""

    def __init__(
        self,
        settings: Hints,
        clock: Clock,
        *,
        urgent: Callable[[bytes], bool],
        relevant: Callable[[bytes, bytes | None], bool],
        wake: Callable[[], None],
        limit: int,
    ) -> None:
        self._clock = clock
        self._relevant = relevant
        self._wake = wake
        self.limit = limit
        self._lock = threading.Lock()
        self._settler = Settler(urgent, int(settings.settle * SECOND), int(settings.settle_max * SECOND))
        self._next: int | None = None
        self._losses: list[Loss] = []
        self._failed: dict[int, list[bytes]] = {}
        self._failed_count: dict[int, int] = {}
        self._failed_since = 0
        self.overflows = 0
        self._watcher = Watcher(self._deliver, clock, limit)
        self.pulse: Pulse | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._watcher.start()
        if self.pulse is not None:
            self.pulse.start()

    def stop(self) -> None:
        """Let go of all watches."""
        if self.pulse is not None:
            self.pulse.stop()
        self._watcher.stop()

    def hint(self, hint: Hint) -> None:
        """Take a hint that did not come from the kernel."""
        self._deliver(hint)

    def pulse_failed(self, problem: str) -> None:
        """The pulse sees nothing now (a sentence), or ("") sees again."""
        now = self._clock.mono()
        what: dict[str, int | str | bytes] = {"sensor": "pulse"}
        with self._lock:
            if problem:
                self._losses.append(Loss("sensor.failed", now, now, {**what, "problem": problem}))
            else:
                self._losses.append(Loss("sensor.recovered", now, now, what))
        self._wake()

    def restart(self) -> None:
        """A new watcher in place of a dead one; folders are added by the sweep that follows."""
        self._watcher.stop()
        self._watcher = Watcher(self._deliver, self._clock, self.limit)
        self._watcher.start()

    def add(self, folder: bytes, *, critical: bool = False) -> None:
        """Watch a folder, if it is not watched yet."""
        self._watcher.add(folder, critical=critical)

    def folders(self) -> int:
        """How many folders are watched."""
        return self._watcher.folders()

    def retry(self) -> None:
        """Try again what could not be watched."""
        if self._watcher.unwatched():
            self._watcher.retry()

    def unwatched(self) -> dict[int, int]:
        """errno -> how many folders cannot be watched."""
        return {code: count for code, (count, _) in self._watcher.unwatched().items()}

    @property
    def alive(self) -> bool:
        """Whether hints come in."""
        return self._watcher.alive()

    def due(self, now: int) -> list[Due]:
        """What settled."""
        with self._lock:
            found = self._settler.due(now)
            self._next = self._settler.next_due()
        return found

    def next_due(self) -> int | None:
        """When `due` or `losses` has something, in monotonic nanoseconds."""
        with self._lock:
            times = [self._next] if self._next is not None else []
            if self._failed_since:
                times.append(self._failed_since + GATHER)
            return min(times, default=None)

    def losses(self, now: int) -> list[Loss]:
        """What was lost since the last call."""
        with self._lock:
            found, self._losses = self._losses, []
            if self._failed_since and now >= self._failed_since + GATHER:
                found += self._failures(now)
        return found

    # -- inside ----------------------------------------------------------------------------------

    def _deliver(self, signal: Signal) -> None:
        if isinstance(signal, Hint):
            if not self._relevant(signal.folder, signal.name):
                return
            with self._lock:
                self._settler.add(signal)
                before, self._next = self._next, self._settler.next_due()
                hurry = self._next is not None and (before is None or self._next < before)
            if hurry:
                self._wake()
            return
        with self._lock:
            if isinstance(signal, Overflow):
                self.overflows += 1
                self._losses.append(Loss("coverage.overflow", signal.since, signal.until, {}))
            elif isinstance(signal, WatchFailed):
                self._failed_count[signal.errno] = self._failed_count.get(signal.errno, 0) + 1
                some = self._failed.setdefault(signal.errno, [])
                if len(some) < MOST_DENIED:
                    some.append(signal.folder)
                self._failed_since = self._failed_since or self._clock.mono()
            elif isinstance(signal, WatcherDied):
                now = self._clock.mono()
                self._losses.append(Loss("coverage.watcher-dead", now, now, {"problem": signal.reason}))
        self._wake()

    def _failures(self, now: int) -> list[Loss]:
        found = []
        for code, count in self._failed_count.items():
            if code in (errno.ENOSPC, errno.ENOMEM):
                params: dict[str, int | str | bytes] = {"count": count, "limit": self.limit}
                found.append(Loss("coverage.watch-limit", self._failed_since, now, params))
                continue
            first = self._failed[code][0]
            more = f" (and {count - 1} more folders)" if count > 1 else ""
            problem = os.strerror(code) + more
            found.append(
                Loss("coverage.watch-denied", self._failed_since, now, {"path": first, "problem": problem})
            )
        self._failed, self._failed_count, self._failed_since = {}, {}, 0
        return found
