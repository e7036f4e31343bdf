"""Until when the stamps of files and logs may be of two times, because the clock was set.

The theory. Where nobody signed what a package brings, it is a ctime within the manager's work that speaks for
it. Who sets the clock back into an old transaction makes such ctimes. So after each setting, forwards or
backwards, everything that was begun before the later of both times is in doubt, for as long as that lasts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..host.clock import Clock, read, step_between

MOST_AHEAD: Final = 86_400 * 1_000_000_000
"""A clock that stood decades ahead (its battery was empty) leaves no doubt for longer than a day."""


class Unsteady:
    """`was_set` says whether it was since it was asked last, even if it is right again."""

    def __init__(self, clock: Clock, was_set: Callable[[], bool]) -> None:
        self._clock = clock
        self._was_set = was_set
        self._last = read(clock)
        self._until = 0

    def __call__(self) -> int:
        """Wall-clock nanoseconds; 0 if it was never set."""
        before, now = self._last, read(self._clock)
        self._last = now
        if self._was_set() or step_between(before, now):
            as_it_was = before.wall + now.boot - before.boot
            self._until = max(self._until, min(max(as_it_was, now.wall), now.wall + MOST_AHEAD))
        return self._until
