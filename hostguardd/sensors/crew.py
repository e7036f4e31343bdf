"""The crew: processes that read and hash files for a full sweep, so that the daemon need not.

Why processes and not threads: every small file is half a dozen system calls, and in threads each of
them hands the interpreter lock around; measured, three threads spent more time on that than on
reading. And the loop, which must answer a hint in milliseconds, has its interpreter to itself.

The rules kept here: the parent decides (which folders, when to stop), a worker only looks; a worker
that dies or falls silent is an error of the sweep, never a hole in it; neither side waits for the
other to read while that one waits for it; workers end with the pipe, so none outlives its parent.
What comes back are plain rows (`marshal`: ints, text, bytes), from our own child through a pipe
nobody else holds.
"""

from __future__ import annotations

import json
import marshal
import os
import pickle
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, NoReturn

from ..model import Sweep
from ..watchlist import Watch
from .frames import HEADER, unpack

HANDFUL = 32
"""Folders handed out at once, at most."""

SILENCE = 60.0
"""Seconds without a word (a worker in the middle of a huge file says so every second)."""

PATIENCE = 2.0
"""Seconds to wait for the end of a worker that was killed. One that hangs in the kernel ends later."""

AHEAD = 2
"""Handfuls a worker may have: the next is there when it is through with the first."""

START = """
import sys, json
sys.path[:] = json.loads(sys.argv[1])
from hostguardd.sensors.reader import work
work()
"""


class CrewError(OSError):
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


@dataclass(slots=True, eq=False)
class Worker:
    """One process, and how many handfuls it still has."""

    process: subprocess.Popen[bytes]
    to: IO[bytes]
    source: IO[bytes]
    handfuls: int = 0
    outgoing: bytearray = field(default_factory=bytearray)
    buffer: bytearray = field(default_factory=bytearray)

    def send(self, data: bytes) -> None:
        """One frame: as much of it as the pipe takes now, the rest by `push`."""
        self.outgoing += HEADER.pack(len(data)) + data
        self.push()

    def push(self) -> None:
        """Write what is still to be sent, without waiting for the worker to read."""
        try:
            while self.outgoing and (count := self.to.write(self.outgoing)):
                del self.outgoing[:count]
        except BrokenPipeError:
            self.died()

    def died(self) -> NoReturn:
        """The pipe ended."""
        status = self.process.wait()
        raise CrewError(f"a reader of files died (exit status {status})")


class Shift:
    """Workers at work on one sweep."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []
        self._ready = selectors.DefaultSelector()

    def hire(self, orders: bytes) -> None:
        """Start one worker."""
        places = [place for place in sys.path if os.path.isabs(place)]
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", START, json.dumps(places)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,  # a ^C on the terminal is for the daemon, which then ends its workers
        )
        assert process.stdin is not None
        assert process.stdout is not None
        worker = Worker(process, process.stdin, process.stdout)
        self._workers.append(worker)
        for pipe in (process.stdin, process.stdout):
            os.set_blocking(pipe.fileno(), False)
        self._ready.register(process.stdout, selectors.EVENT_READ, worker)
        worker.send(orders)

    def sweep(
        self, folders: list[bytes], announce: Callable[[bytes], bool], stop: Callable[[], bool]
    ) -> Iterator[Sweep]:
        """Hand out `folders` and what is found below them; `announce` is asked before each."""
        heard = time.monotonic()
        while not stop():
            self._hand_out(folders, announce)
            if not folders and not any(worker.handfuls for worker in self._workers):
                return
            for key, _ in self._ready.select(0.1):
                heard = time.monotonic()
                for sweeps, below, through in self._receive(key.data):
                    folders.extend(below)
                    key.data.handfuls -= through
                    yield from sweeps
            for worker in self._workers:
                worker.push()
            if time.monotonic() - heard > SILENCE:
                raise CrewError(f"no word from the readers of files for {SILENCE:.0f} s")

    def _hand_out(self, folders: list[bytes], announce: Callable[[bytes], bool]) -> None:
        for load in range(AHEAD):
            for worker in self._workers:
                if worker.handfuls > load or not folders:
                    continue
                count = min(HANDFUL, max(1, len(folders) // (2 * len(self._workers))))
                handful = [folder for folder in (folders.pop() for _ in range(count)) if announce(folder)]
                if handful:
                    worker.handfuls += 1
                    worker.send(marshal.dumps(handful))

    def _receive(self, worker: Worker) -> Iterator[tuple[list[Sweep], list[bytes], int]]:
        data = worker.source.read(1 << 18)
        if data == b"":
            worker.died()
        worker.buffer += data or b""
        while len(worker.buffer) >= HEADER.size:
            (size,) = HEADER.unpack_from(worker.buffer)
            if len(worker.buffer) < HEADER.size + size:
                return
            told, below, through = marshal.loads(memoryview(worker.buffer)[HEADER.size : HEADER.size + size])
            del worker.buffer[: HEADER.size + size]
            yield [unpack(one) for one in told], below, through

    def dismiss(self) -> None:
        """End all workers: they hold nothing that could be lost."""
        self._ready.close()
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.to.close()
            worker.source.close()
            try:
                worker.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                continue  # in a system call that no signal ends; it is reaped when that returns
