"""Has packaged paths compared by several processes at once, and hands on what they tell.

The rule kept: the parent holds no more than some batches of what is expected, whatever a package manager
lists.
"""

from __future__ import annotations

import marshal
import os
import selectors
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from ..host.files import LinuxFiles
from ..host.workers import Worker, WorkerError, dismiss
from .expected import Expected, Identity
from .reader import Reader, Stopped, Told

BATCH: Final = 256
AHEAD: Final = 2
"""Batches a reader may have: the next is there when it is through with the first."""

MOST_READERS: Final = 4
"""Each one costs some 15 MiB, and disks have no more to give."""

FEW: Final = 64
"""Paths for which no process is worth its start."""

SILENCE: Final = 60.0
"""Seconds without a word (a reader in the middle of a huge file says so every second)."""


def meant(
    paths: Iterable[Expected], only: Collection[bytes] | None, real: Callable[[bytes], bytes]
) -> Iterable[Expected]:
    """The same paths, each with the identity that `only` tells of it, if it tells any. `real` gives what a
    path is called by the one who made `paths`."""
    if not isinstance(only, Mapping):
        return paths
    identities: dict[bytes, Identity] = {real(path): identity for path, identity in only.items()}
    return (one._replace(identity=identities.get(real(one.path))) for one in paths)


def compared(root: bytes, paths: Iterable[Expected], stop: Callable[[], bool]) -> Iterator[Told]:
    """What departs, in no order. Raises OSError when a reader dies or falls silent."""
    paths = iter(paths)
    first = list(islice(paths, FEW + 1))
    if len(first) <= FEW:
        yield from _alone(root, first, stop)
        return
    workers: list[Worker] = []
    try:
        for _ in range(min(MOST_READERS, len(os.sched_getaffinity(0)))):
            worker = Worker.hire("hostguardd.packages.reader")
            workers.append(worker)
            worker.send(root)
        yield from _shared_out(workers, first, paths, stop)
    finally:
        dismiss(workers)


def _alone(root: bytes, paths: list[Expected], stop: Callable[[], bool]) -> Iterator[Told]:
    def beat() -> None:
        if stop():
            raise Stopped

    reader = Reader(LinuxFiles(root))
    try:
        for one in paths:
            beat()
            if (told := reader.look(one, beat)) is not None:
                yield told
    except Stopped:
        pass
    finally:
        reader.close()


def _shared_out(
    workers: list[Worker], batch: list[Expected], paths: Iterator[Expected], stop: Callable[[], bool]
) -> Iterator[Told]:
    heard = time.monotonic()
    with selectors.DefaultSelector() as ready:
        for worker in workers:
            ready.register(worker.source, selectors.EVENT_READ, worker)
        while not stop():
            for worker in workers:
                while batch and worker.pieces < AHEAD:
                    worker.pieces += 1
                    worker.send(marshal.dumps([tuple(one) for one in batch]))
                    batch = list(islice(paths, BATCH))
            if not batch and not any(worker.pieces for worker in workers):
                return
            for key, _ in ready.select(0.1):
                heard = time.monotonic()
                for told, through in key.data.heard():
                    key.data.pieces -= through
                    yield from (Told(*one) for one in told)
            for worker in workers:
                worker.push()
            if time.monotonic() - heard > SILENCE:
                raise WorkerError(f"no word from the readers of files for {SILENCE:.0f} s")
