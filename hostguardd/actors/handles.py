"""Which processes changed a file, whatever name they used: by the handle that the kernel knows it by.

A file may have names in folders that nobody asks about, and what is done by those is done to it all the same.
So changes of every file are kept here, in bounded memory, with no more than a pid: enough to name nobody.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from .attribution import SLACK, explaining
from .fanevents import Handle
from .model import Change, Deed

MOST: Final = 4096
PER_FILE: Final = 16

FLOODED: Final = "flooded: so much was done at that time that not all of it was kept"


class Mark(NamedTuple):
    """Done by that pid between two wall-clock nanoseconds."""

    pid: int
    deed: Deed
    begin: int
    end: int


def _merged(known: tuple[Mark, ...]) -> tuple[Mark, ...]:
    """With room for one more: the oldest two become one, of nobody's unless both are of the same."""
    if len(known) < PER_FILE:
        return known
    first, other, *rest = known
    pid = first.pid if first.pid == other.pid else 0
    begin, end = min(first.begin, other.begin), max(first.end, other.end)
    return (Mark(pid, first.deed | other.deed, begin, end), *rest)


class Handles:
    """The latest changes of the files that were changed last."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._marks: OrderedDict[Handle, tuple[Mark, ...]] = OrderedDict()
        self._since = 0
        """Wall-clock nanoseconds from which on no file was dropped."""

    def note(self, file: Handle, mark: Mark) -> None:
        """Remember what was done to a file. Who closes one may have written to it long before."""
        if mark.deed & Deed.HELD:
            mark = mark._replace(begin=0)
        known = self._marks.get(file, ())
        if known and known[-1] == mark:
            return
        self._marks[file] = (*_merged(known), mark)
        self._marks.move_to_end(file)
        if len(self._marks) > self._most:
            _, dropped = self._marks.popitem(last=False)
            self._since = max(self._since, dropped[-1].end)

    def doubt(self, file: Handle, pid: int, change: Change, ctime: int) -> str:
        """Why it need not be that pid that changed the file last; "" when no other is known."""
        known, wanted = self._marks.get(file, ()), explaining(change)
        for mark in known:
            if mark.pid != pid and mark.deed & wanted and mark.begin - SLACK <= ctime <= mark.end + SLACK:
                return "another process changed it at that time, by another name of it"
        if not known and ctime <= self._since + SLACK:
            return FLOODED
        return ""
