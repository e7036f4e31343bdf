"""Processes of our own that work for this one: started, sent frames, heard, and ended.

Why processes and not threads: every small file is half a dozen system calls, and in threads each of them
hands the interpreter lock around; measured, three threads spent more time on that than on reading.

The rules kept here: neither side waits for the other to read while that one waits for it; a worker ends
with its pipe, so none outlives its parent. What comes back are plain values (`marshal`: ints, text, bytes),
from our own child through a pipe nobody else holds.
"""

from __future__ import annotations

import json
import marshal
import os
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO, Final, NoReturn, Self

HEADER: Final = struct.Struct("=I")
"""Bytes of the frame that follows."""

PATIENCE: Final = 2.0
"""Seconds to wait for the end of a worker that was killed. One that hangs in the kernel ends later."""

LATE: Final[list[subprocess.Popen[bytes]]] = []
"""Workers that were killed and had not ended when nobody waited any longer."""

START: Final = """
import sys, json
sys.path[:] = json.loads(sys.argv[1])
from %s import work
work()
"""


class WorkerError(OSError):
    """A worker died or fell silent: what it was to do is not done."""


def read_frame(source: BinaryIO) -> bytes | None:
    """The next frame, in a worker; None when the pipe ended."""
    header = source.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    (size,) = HEADER.unpack(header)
    return source.read(size)


def write_frame(target: BinaryIO, value: tuple[Any, ...]) -> None:
    """Send a value of plain ones, in a worker."""
    data = marshal.dumps(value)
    target.write(HEADER.pack(len(data)) + data)
    target.flush()


@dataclass(slots=True, eq=False)
class Worker:
    """One process, and how many pieces of work it still has."""

    process: subprocess.Popen[bytes]
    to: IO[bytes]
    source: IO[bytes]
    pieces: int = 0
    outgoing: bytearray = field(default_factory=bytearray)
    buffer: bytearray = field(default_factory=bytearray)

    @classmethod
    def hire(cls, module: str) -> Self:
        """Start one that runs `work` of a module."""
        places = [place for place in sys.path if os.path.isabs(place)]
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", START % module, json.dumps(places)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,  # a ^C on the terminal is for the parent, which then ends its workers
        )
        assert process.stdin is not None
        assert process.stdout is not None
        for pipe in (process.stdin, process.stdout):
            os.set_blocking(pipe.fileno(), False)
        return cls(process, process.stdin, process.stdout)

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

    def heard(self) -> Iterator[Any]:
        """The values of whole frames that have come."""
        data = self.source.read(1 << 18)
        if data == b"":
            self.died()
        self.buffer += data or b""
        while len(self.buffer) >= HEADER.size:
            (size,) = HEADER.unpack_from(self.buffer)
            if len(self.buffer) < HEADER.size + size:
                return
            told = marshal.loads(memoryview(self.buffer)[HEADER.size : HEADER.size + size])
            del self.buffer[: HEADER.size + size]
            yield told

    def died(self) -> NoReturn:
        """The pipe ended."""
        status = self.process.wait()
        raise WorkerError(f"a reader of files died (exit status {status})")


def dismiss(workers: Iterable[Worker]) -> None:
    """End them all: they hold nothing that could be lost."""
    for process in LATE.copy():
        if process.poll() is not None:
            with suppress(ValueError):  # another thread was at it, too
                LATE.remove(process)
    workers = list(workers)
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.to.close()
        worker.source.close()
        try:
            worker.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            LATE.append(worker.process)  # in a system call that no signal ends, or the host is very busy
