"""Lanes: the threads in which sensors look at the host, each for work of one urgency.

The rules kept here: long work never stands in the way of short work (a hint on /etc/passwd does not
wait for a full sweep of /usr, it has another lane), and background work takes only its share: after
each batch the lane sleeps until its CPU time is back within `pace`. A lane that makes no progress is
noticed by `stalled`, which is what the watchdog asks.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..model import Sweep
from .inbox import Inbox, Priority

BATCH_ROWS = 2048
BATCH_SECONDS = 0.05

Produce = Callable[[Callable[[], bool]], Iterator[Sweep]]


@dataclass(slots=True, eq=False)
class Task:
    """One piece of looking. `produce(stop)` yields sweeps; `pace` 1.0 is full speed.

    `background` threads run niced. `purpose` belongs to whoever made the task.
    """

    name: str
    produce: Produce
    purpose: object = None
    pace: float = 1.0
    background: bool = False
    cancelled: bool = False
    began: float = 0.0
    cpu: float = 0.0
    entries: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Some sweeps of a task."""

    task: Task
    sweeps: list[Sweep] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Done:
    """A task ended: by itself, cancelled (`task.cancelled`), or by an exception nobody foresaw."""

    task: Task
    error: BaseException | None = None


class Lane:
    """A thread with a queue of tasks. Results go to the inbox at the lane's priority."""

    def __init__(self, name: str, inbox: Inbox[object], priority: Priority) -> None:
        self.name = name
        self._inbox = inbox
        self._priority = priority
        self._tasks: deque[Task] = deque()
        self._turn = threading.Condition()
        self._stopping = threading.Event()
        self._current: Task | None = None
        self._beat = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"lane-{name}", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, task: Task, *, first: bool = False) -> None:
        """Queue a task; `first`: before those that wait."""
        with self._turn:
            (self._tasks.appendleft if first else self._tasks.append)(task)
            self._turn.notify()

    def cancel(self, which: Callable[[Task], bool]) -> None:
        """Break off those tasks, the current one and those that wait. Each still ends with a Done."""
        with self._turn:
            for task in (*self._tasks, *([self._current] if self._current else [])):
                task.cancelled |= which(task)

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing waits."""
        with self._turn:
            return self._current is None and not self._tasks

    def stalled(self, limit: float) -> bool:
        """Whether a task runs and has made no progress for `limit` seconds."""
        return self._current is not None and time.monotonic() - self._beat > limit

    def stop(self) -> None:
        """End soon; what runs is broken off."""
        self._stopping.set()
        with self._turn:
            self._turn.notify_all()

    def join(self, timeout: float) -> None:
        """Wait for the thread."""
        self._thread.join(timeout)

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        nice = 0
        while not self._stopping.is_set():
            with self._turn:
                while not self._tasks and not self._stopping.is_set():
                    self._turn.wait()
                if self._stopping.is_set():
                    return
                task = self._current = self._tasks.popleft()
                self._beat = time.monotonic()
            wanted = 10 if task.background else 0
            if wanted != nice:
                nice = _renice(wanted, nice)
            error: BaseException | None = None
            try:
                if not task.cancelled:
                    self._work(task)
            except Exception as caught:  # noqa: BLE001 - the loop turns it into a health alert
                error = caught
            with self._turn:
                self._current = None
            if not self._inbox.put(self._priority, Done(task, error), self._stopping.is_set):
                return

    def _work(self, task: Task) -> None:
        def stop() -> bool:
            self._beat = time.monotonic()
            return task.cancelled or self._stopping.is_set()

        task.began = time.monotonic()
        mark = time.thread_time()
        children = _children()
        batch, rows, opened = Batch(task), 0, task.began
        for sweep in task.produce(stop):
            self._beat = now = time.monotonic()
            batch.sweeps.append(sweep)
            rows += len(sweep.rows) + 1
            if rows < BATCH_ROWS and now - opened < BATCH_SECONDS:
                continue
            task.entries += rows
            self._inbox.put(self._priority, batch, stop)
            batch, rows, opened = Batch(task), 0, now
            spent = time.thread_time() - mark
            mark += spent
            task.cpu += spent
            self._inbox.drained(self._priority, stop)
            if task.pace < 1.0:
                self._rest(spent * (1.0 / task.pace - 1.0), stop)
            if stop():
                return
        task.entries += rows
        task.cpu += time.thread_time() - mark + _children() - children
        if batch.sweeps:
            self._inbox.put(self._priority, batch, stop)

    def _rest(self, seconds: float, stop: Callable[[], bool]) -> None:
        """Sleep, but wake for the end."""
        until = time.monotonic() + seconds
        while not stop() and (left := until - time.monotonic()) > 0:
            self._stopping.wait(min(left, 0.2))


def _children() -> float:
    """CPU seconds of ended child processes: only this lane's, as no other starts any."""
    times = os.times()
    return times.children_user + times.children_system


def _renice(wanted: int, now: int) -> int:
    """Set this thread's nice value (on Linux they are per thread, sched(7)); returns what it is then."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), wanted)
    except OSError:
        return now  # only root may go back up; staying nice harms nobody
    return wanted
