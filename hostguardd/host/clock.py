"""The clocks, as an argument: whoever needs the time is handed a `Clock`, so that tests can lie.

Three clocks, because each answers another question. All are nanoseconds.
"""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol


class Clock(Protocol):
    """What time it is."""

    def wall(self) -> int:
        """Since the epoch: what people read. It may be set, forwards and backwards."""
        ...

    def mono(self) -> int:
        """CLOCK_MONOTONIC: for intervals. Never set; stands still while the machine sleeps."""
        ...

    def boot(self) -> int:
        """CLOCK_BOOTTIME: like `mono`, but counts sleep too. clock_gettime(2)."""
        ...


class SystemClock:
    """The kernel's clocks."""

    def wall(self) -> int:
        return time.time_ns()

    def mono(self) -> int:
        return time.monotonic_ns()

    def boot(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Reading(NamedTuple):
    """The wall clock and the boot clock, read at the same moment."""

    wall: int
    boot: int


TOLERANCE = 1_000_000_000
"""One second: slewing by NTP (at most 500 ppm, adjtimex(2)) stays below it for half an hour."""


def read(clock: Clock) -> Reading:
    """Both clocks now."""
    return Reading(clock.wall(), clock.boot())


def step_between(before: Reading, after: Reading, tolerance: int = TOLERANCE) -> int:
    """By how many nanoseconds the wall clock was set between two readings; 0 if it was not.

    Negative when it was set back. Measured against the boot clock, so that a machine that slept has
    not stepped. Differences of up to `tolerance` are slewing and the time between two reads.
    """
    step = (after.wall - before.wall) - (after.boot - before.boot)
    return step if abs(step) > tolerance else 0
