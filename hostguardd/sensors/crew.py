"""The crew: processes that read and hash files for a full sweep, so that the daemon need not.

Why processes stands in `host.workers`. And the loop, which must answer a hint in milliseconds, has its
interpreter to itself.

The rules kept here: the parent decides (which folders, when to stop), a worker only looks; a worker
that dies or falls silent is an error of the sweep, never a hole in it.
"""

from __future__ import annotations

import marshal
import pickle
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from ..host.workers import Worker, WorkerError, dismiss
from ..model import Sweep
from ..watchlist import Watch
from .frames import unpack

HANDFUL = 32
"""Folders handed out at once, at most."""

SILENCE = 60.0
"""Seconds without a word (a worker in the middle of a huge file says so every second)."""

AHEAD = 2
"""Handfuls a worker may have: the next is there when it is through with the first."""

CrewError: TypeAlias = WorkerError
"""A worker died or fell silent: the sweep is incomplete."""


@dataclass(frozen=True, slots=True)
class Crew:
    """How many workers, at which share of a core each, how nice."""

    workers: int
    pace: float = 1.0
    nice: int = 0

    @contextmanager
    def at_work(self, root: bytes, watches: Sequence[Watch], largest: int) -> Iterator[Shift]:
        """Start the workers, and end them whatever happens."""
        orders = pickle.dumps((root, tuple(watches), largest, self.pace, self.nice))
        shift = Shift()
        try:
            for _ in range(self.workers):
                shift.hire(orders)
            yield shift
        finally:
            shift.dismiss()


class Shift:
    """Workers at work on one sweep."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []
        self._ready = selectors.DefaultSelector()

    def hire(self, orders: bytes) -> None:
        """Start one worker."""
        worker = Worker.hire("hostguardd.sensors.reader")
        self._workers.append(worker)
        self._ready.register(worker.source, selectors.EVENT_READ, worker)
        worker.send(orders)

    def sweep(
        self, folders: list[bytes], announce: Callable[[bytes], bool], stop: Callable[[], bool]
    ) -> Iterator[Sweep]:
        """Hand out `folders` and what is found below them; `announce` is asked before each."""
        heard = time.monotonic()
        while not stop():
            self._hand_out(folders, announce)
            if not folders and not any(worker.pieces for worker in self._workers):
                return
            for key, _ in self._ready.select(0.1):
                heard = time.monotonic()
                for told, below, through in key.data.heard():
                    folders.extend(below)
                    key.data.pieces -= through
                    yield from map(unpack, told)
            for worker in self._workers:
                worker.push()
            if time.monotonic() - heard > SILENCE:
                raise CrewError(f"no word from the readers of files for {SILENCE:.0f} s")

    def _hand_out(self, folders: list[bytes], announce: Callable[[bytes], bool]) -> None:
        for load in range(AHEAD):
            for worker in self._workers:
                if worker.pieces > load or not folders:
                    continue
                count = min(HANDFUL, max(1, len(folders) // (2 * len(self._workers))))
                handful = [folder for folder in (folders.pop() for _ in range(count)) if announce(folder)]
                if handful:
                    worker.pieces += 1
                    worker.send(marshal.dumps(handful))

    def dismiss(self) -> None:
        """End all workers."""
        self._ready.close()
        dismiss(self._workers)
