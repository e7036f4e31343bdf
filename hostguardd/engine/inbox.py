"""The loop's inbox: everything that happens elsewhere comes in here, the most urgent first.

The rule kept here: a bulk sweep can never fill the inbox or go before a hint. Each priority has a
bound; whoever puts beyond it waits (and can be told to stop waiting), so memory does not grow when
the loop is slower than its sensors.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class Priority(IntEnum):
    """What goes first."""

    URGENT = 0  # what a hint on a critical path brought; signals
    CONTROL = 1  # somebody waits at a terminal
    HINTS = 2  # what other hints brought, raw hints
    LIVE = 3  # listeners, processes
    BULK = 4  # whole sweeps


BOUND = {
    Priority.URGENT: 256,
    Priority.CONTROL: 64,
    Priority.HINTS: 1024,
    Priority.LIVE: 64,
    Priority.BULK: 4,
}
"""Items of each priority that may wait; a bulk item is a batch of some thousand rows."""


class Inbox(Generic[T]):
    """A bounded queue for each priority, and one consumer."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queues: dict[Priority, deque[T]] = {priority: deque() for priority in Priority}
        self._closed = False
        self._woken = False
        self._handling = False

    def put(self, priority: Priority, item: T, stop: Callable[[], bool] = lambda: False) -> bool:
        """Add an item; waits while its queue is full. False when closed or stopped meanwhile."""
        queue = self._queues[priority]
        with self._changed:
            while len(queue) >= BOUND[priority] and not self._closed:
                if stop():
                    return False
                self._changed.wait(0.1)
            if self._closed:
                return False
            queue.append(item)
            self._changed.notify_all()
        return True

    def get(self, timeout: float) -> T | None:
        """The most urgent item, or None after `timeout` seconds without one, or when woken."""
        with self._changed:
            if self._handling:
                self._handling = False
                self._changed.notify_all()
            if not self._woken and not any(self._queues.values()):
                self._changed.wait(timeout)
            self._woken = False
            for priority, queue in self._queues.items():
                if queue:
                    item = queue.popleft()
                    self._handling = True
                    if len(queue) + 1 >= BOUND[priority]:
                        self._changed.notify_all()  # somebody may be waiting for room
                    return item
        return None

    def drained(self, priority: Priority, stop: Callable[[], bool]) -> None:
        """Wait until all items of this priority were taken and handled.

        Two threads that both work in Python, with a system call every few microseconds, spend half
        their time on handing the interpreter to each other (measured: 1.9 s for a sweep of 1.1 s);
        taking turns, they do not.
        """
        with self._changed:
            while (self._queues[priority] or self._handling) and not self._closed and not stop():
                self._changed.wait(0.1)

    def wake(self) -> None:
        """Make `get` return now: the one that waits, or the next if none does."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Refuse and forget everything; whoever waits in `put` returns."""
        with self._changed:
            self._closed = True
            for queue in self._queues.values():
                queue.clear()
            self._changed.notify_all()
