"""Works: several tasks in lanes that belong together and end together.

A periodic sweep is one work, a `hostguardctl check` another: the sweep, the closer looks it led to,
and what is to be done when all of them are through.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..control.job import Job
from ..errors import SensorError
from ..model import Blind
from .lanes import Task

MOST_BLINDS = 10_000
"""Blind scopes remembered of one work; the rest is counted."""

PROGRESS_EVERY = 0.2


@dataclass(slots=True, eq=False)
class Work:
    """`finish` is called on the loop when no task is left; `failed` says that one was broken off.

    `culprit` is the sensor that failed, where that is known.

    `kinds` are the kinds of fact that it sweeps completely (their blinds are then known anew), `full`
    whether contents are read. `unwritable`: it failed because the state could not be written.
    `took` is seconds by task name.
    `capture` is the number of the generation being filled, None when sweeps are judged.
    """

    name: str
    finish: Callable[[Work], None]
    kinds: tuple[str, ...] = ()
    full: bool = False
    job: Job | None = None
    capture: int | None = None
    total: int = 0
    began: float = field(default_factory=time.monotonic)
    left: int = 0
    failed: str = ""
    culprit: str = ""
    unwritable: bool = False
    cancelled: bool = False
    cpu: float = 0.0
    entries: int = 0
    blinds: dict[tuple[str, bytes], Blind] = field(default_factory=dict)
    more_blinds: int = 0
    took: dict[str, float] = field(default_factory=dict)
    told_at: float = 0.0

    def task(self, task: Task) -> Task:
        """Count a task as part of this work."""
        task.purpose = self
        self.left += 1
        return task

    def blind(self, blinds: tuple[Blind, ...]) -> None:
        """Remember what could not be seen."""
        for blind in blinds:
            if len(self.blinds) < MOST_BLINDS:
                self.blinds[blind.kind, blind.scope] = blind
            else:
                self.more_blinds += 1

    def progress(self, phase: str, rows: int, where: str) -> None:
        """Count rows, and tell the one who waits, now and then."""
        self.entries += rows
        now = time.monotonic()
        if self.job is not None and now - self.told_at >= PROGRESS_EVERY:
            self.told_at = now
            total = max(self.total, self.entries)
            self.job.progress({"phase": phase, "done": self.entries, "total": total, "where": where})

    def ended(self, task: Task, error: BaseException | None) -> bool:
        """A task ended; whether it was the last."""
        self.left -= 1
        if task.began:
            self.took[task.name] = self.took.get(task.name, 0.0) + time.monotonic() - task.began
        self.cpu += task.cpu
        if error is not None:
            self.failed = str(error) if isinstance(error, SensorError) else f"{type(error).__name__}: {error}"
            self.culprit = error.sensor if isinstance(error, SensorError) else self.name
        self.cancelled |= task.cancelled
        return not self.left
