"""When each periodic look is due. Pure: the time is an argument (monotonic seconds).

The rule kept here: all file sweeps together stay within a duty cycle of one core. A look that took
`cpu` seconds is not due again before `cpu / duty` seconds have passed, however short its interval:
on a large host the intervals stretch, and `status` says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Periodic:
    """One periodic look. Times are monotonic seconds; `duty` 0 means the interval alone counts."""

    name: str
    interval: float
    duty: float = 0.0
    due: float = 0.0
    running: bool = False
    began: float = 0.0
    ended: float = 0.0
    cpu: float = 0.0
    entries: int = 0

    @property
    def spacing(self) -> float:
        """Seconds between the end of one look and the start of the next."""
        return max(self.interval, self.cpu / self.duty if self.duty else 0.0)

    @property
    def paced(self) -> bool:
        """Whether the duty cycle stretches the interval."""
        return self.spacing > self.interval

    def start(self, now: float) -> None:
        """It runs."""
        self.running, self.began = True, now

    def end(self, now: float, cpu: float, entries: int) -> None:
        """It ran to its end."""
        self.running, self.ended, self.cpu, self.entries = False, now, cpu, entries
        self.due = now + self.spacing

    def covered(self, now: float) -> None:
        """Another look saw all that it would have seen."""
        self.began = self.ended = now
        self.due = now + self.spacing

    def broken(self, now: float) -> None:
        """It was broken off: try again soon."""
        self.running = False
        self.due = now + min(self.interval, 5.0)

    def hurry(self, now: float) -> None:
        """Make it due at once."""
        self.due = min(self.due, now)
