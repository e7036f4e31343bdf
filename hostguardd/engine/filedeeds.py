"""Notes who touched what by the kernel's file events (fanotify): which folder, which process, which deed.

A file event carries no time of its own, only that of the two readings it fell between; and of the process no
more than its pid, so the table must know one process alone by that pid in between, or nobody is named.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from ..actors import programs
from ..actors.deeds import of_mask
from ..actors.fanevents import FanEvent, Mask
from ..actors.handles import Handles, Mark
from ..actors.model import Deed, Image, Rung, Touch
from ..actors.table import Table
from ..actors.touches import Touches
from .naming import Naming
from .rungs import Rungs

_EXEC, _OVERFLOW, _WRITE = int(Mask.OPEN_EXEC), int(Mask.Q_OVERFLOW), int(Mask.MODIFY)
_FOLDER, _GOES = int(Mask.ONDIR), int(Mask.MOVED_FROM | Mask.MOVED_TO | Mask.DELETE)

FOLDERS: Final = 4096

STRETCH: Final = 10 * 10**9
MOST_EVENTS: Final = 20_000
"""Writes of such a stretch beyond which single writes are no longer told."""


class FileDeeds:
    """What file events tell, noted in `touches`. `relevant` and `hint` as in `Witness`."""

    def __init__(
        self,
        rungs: Rungs,
        table: Table,
        touches: Touches,
        naming: Naming,
        relevant: Callable[[bytes, bytes | None], bool],
        hint: Callable[[bytes, bytes], None] | None,
    ) -> None:
        self._rungs = rungs
        self._table = table
        self._touches = touches
        self._naming = naming
        self._relevant = relevant
        self._hint = hint
        self.handles = Handles()
        self.seen = 0
        """Deeds that were noted."""
        self._begun = 0
        self._events = 0
        self._counted = 0
        self._folders: OrderedDict[tuple[bytes, int, bytes], tuple[bytes | None, bool]] = OrderedDict()

    def count(self, events: Sequence[FanEvent], now: int) -> None:
        """See whether writes are told too fast to be read at what it may cost."""
        self._events += sum(bool(one.mask & _WRITE) for one in events)
        if now - self._counted > STRETCH:
            if self._events > MOST_EVENTS and now - self._counted < 2 * STRETCH:
                self._rungs.calm()
            self._counted, self._events = now, 0

    def take(self, events: Sequence[FanEvent], since: int, begun: int, until: int, offset: int) -> int:
        """Note the events that came between `since` and `until` by the monotonic clock, and of which all are
        here that came before `begun`; the wall clock is `offset` ahead of it. How often some were lost."""
        self._begun = begun
        lost = 0
        still: dict[int, int] = {}
        for event in events:
            if event.mask & _EXEC:
                still[event.pid] = still.get(event.pid, 0) + 1
        for event in events:
            mask = event.mask
            if mask & _OVERFLOW:
                lost += 1
                continue
            deed = of_mask(mask)
            if deed and event.file is not None:
                self.handles.note(event.file, Mark(event.pid, deed, since + offset, until + offset))
            if event.folder is None:
                continue
            if mask & _EXEC:
                still[event.pid] -= 1
                self._opened(event, since, until)
            if not deed:
                continue
            if mask & _FOLDER and mask & _GOES:
                self._moved()
            folder, wanted = self._folder(event.folder)
            if folder is None or not wanted:
                continue
            self._touched(event, folder, deed, since, until, offset, bool(still.get(event.pid)))
        return lost

    def forget(self) -> None:
        """Other folders may matter now."""
        self._folders.clear()

    def _moved(self) -> None:
        self.forget()
        if self._rungs.files is not None:
            self._rungs.files.moved()

    def _folder(self, handle: tuple[bytes, int, bytes]) -> tuple[bytes | None, bool]:
        """The path of a folder, and whether anything in it matters to anybody."""
        known = self._folders.get(handle)
        if known is None:
            path = None if self._rungs.files is None else self._rungs.files.path(handle)
            known = path, path is not None and self._relevant(path, None)
            if path is not None:
                self._folders[handle] = known
                if len(self._folders) > FOLDERS:
                    self._folders.popitem(last=False)
        return known

    def _opened(self, event: FanEvent, since: int, until: int) -> None:
        assert event.folder is not None
        process, _ = self._table.find(event.pid, since, until)
        folder = self._folder(event.folder)[0]
        if process is not None and folder is not None:
            programs.opened(process, folder.rstrip(b"/") + b"/" + event.name)

    def _touched(
        self, event: FanEvent, folder: bytes, deed: Deed, since: int, until: int, offset: int, more: bool
    ) -> None:
        """`more`: this process opens another program later in this round."""
        own = event.name in (b"", b".")
        if not own and not self._relevant(folder, event.name):
            return
        path = folder if own else folder.rstrip(b"/") + b"/" + event.name
        process, reason = self._table.find(event.pid, since, until)
        who = None
        if process is not None:
            image = None
            above = process.parent
            while above is not None and above.unsettled and not above.seen:
                programs.settle(above, self._begun)
                above = above.parent
            if process.unsettled and not more:
                programs.settle(process, self._begun)
            elif process.unsettled:  # a deed of the program before, or of one between
                image = (process.before if process.unsettled == 1 and not process.opened else None) or Image()
            told = process.image.told or not self._table.told
            who = self._naming.process(process, since, until, image)
            who = who._replace(guessed=told or process.execed >= since or image is not None)
        self.seen += 1
        for part in (deed & Deed.HELD, deed & ~Deed.HELD):
            if part:
                begin = since
                if part is Deed.HELD and process is not None:
                    begin = min(since, process.started)
                touch = Touch(Rung.FANOTIFY, part, begin + offset, until + offset, who, reason)
                self._touches.add((path,), touch)
        if self._hint is not None:
            self._hint(folder, b"" if own else event.name)
