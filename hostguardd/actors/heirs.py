"""Whether a process that was gone before it was read has what its parent had.

The parent of a new process need not be who forked it (CLONE_PARENT): what was not read has only what every
other child of that parent had, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from .model import Details, Process

SECOND: Final = 10**9
SCANS: Final = 100
"""Times in a second that all processes are looked through for the other children of a parent."""


class Heirs:
    """Asks the processes that are kept, and `read` for who is above one now."""

    def __init__(self, read: Callable[[int], Details | None], living: Mapping[int, Process]) -> None:
        self._read = read
        self._living = living
        self._scans = (0, 0)  # since when, and how often
        self.forgotten = 0
        """When the latest of those that are no longer kept ended."""

    def forget(self, process: Process) -> None:
        """It is not kept any more."""
        self.forgotten = max(self.forgotten, process.ended)

    def sure(self, process: Process) -> bool:
        """Whether it has what its parent had: it was read, or whoever else could have forked it is the same
        in all that is inherited."""
        line = []
        while not process.seen and process.heir is None:
            line.append(process)
            if process.parent is None or self._other_heirs(process, process.parent, image=not process.execs):
                process.heir = False
            else:
                process = process.parent
        heir = process.seen or bool(process.heir)
        for one in line:
            one.heir = heir
        return heir

    def lent(self, process: Process) -> bool:
        """Whether it had its parent's program before it ran one, though it was read since."""
        parent = process.parent
        return parent is not None and self.sure(parent) and not self._other_heirs(process, parent, image=True)

    def _other_heirs(self, process: Process, parent: Process, *, image: bool) -> bool:
        """Whether that parent had another child at the time of the fork that is not as it is itself; `image`:
        which includes what it runs."""
        if self.forgotten >= process.started:
            return True
        since, count = self._scans
        if process.started - since > SECOND:
            since, count = process.started, 0
        self._scans = since, count + 1
        return count >= SCANS or any(
            one is not process
            and one.started <= process.started
            and not 0 < one.ended < process.started
            and self._may_be_below(one, parent)
            and not (one.seen and _alike(one, parent, image=image))
            for one in self._all()
        )

    def _all(self) -> Iterator[Process]:
        for process in self._living.values():
            yield process
            if process.previous is not None:
                yield process.previous

    def _may_be_below(self, process: Process, parent: Process) -> bool:
        """Whether it is a child of that parent, from its fork on or since its own parent ended."""
        above = process.parent
        if above is None:
            return process.parent_pid == parent.pid
        if above is parent or not above.ended:
            return above is parent
        seen = None if process.ended else self._read(process.pid)
        return seen is None or seen.parent == parent.pid


def _alike(one: Process, parent: Process, *, image: bool) -> bool:
    """Whether a child of either would be the same; `image`: before it runs a program of its own."""
    return (not image or one.image.exe == parent.image.exe) and _identity(one) == _identity(parent)


def _identity(one: Process) -> tuple[object, ...]:
    return one.uid, one.euid, one.login, one.session, one.unit
