"""Notes who touched what by audit's records.

The process is the record's own. Audit tells that a file was opened for writing, never of a write nor of the
end: until when it may have been written to, is seen by who still holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ..actors.auditrecords import Assembler, Event
from ..actors.deeds import of_event
from ..actors.model import Deed, Process, Rung, Touch, Who
from ..actors.table import NOW, Table
from ..actors.touches import Touches
from ..host.witnesses import WitnessHost
from .naming import Naming

MOMENT: Final = 1_000_000
"""Nanoseconds to which an audit record's time is cut."""

CLOSED: Final = "who had it open for writing closed it, and when is not known"


class AuditDeeds:
    """What audit's records with our `key` tell, noted in `touches`."""

    def __init__(
        self,
        host: WitnessHost,
        table: Table,
        touches: Touches,
        naming: Naming,
        wall: Callable[[], int],
        key: bytes,
    ) -> None:
        self._host = host
        self._table = table
        self._touches = touches
        self._naming = naming
        self._wall = wall
        self._assembler = Assembler(key)
        self.seen = 0
        """Deeds that were noted."""

    def lost(self) -> None:
        """Records were lost: events that are not whole yet never will be."""
        self._assembler.forget()

    def take(self, kind: int, body: bytes, offset: int) -> None:
        """Note a record's event, if it is whole now. The wall clock is `offset` ahead of the other."""
        event = self._assembler.take(kind, body)
        if event is not None:
            self._audited(event, offset)

    def bounded(self, touch: Touch) -> Touch:
        """Who does not hold the file open any more wrote to it until now at the latest; since when not,
        nobody knows."""
        if not touch.holder or (touch.file is not None and self._host.holds(touch.holder, touch.file)):
            return touch
        return replace(touch, end=self._wall(), reason=CLOSED)

    def _audited(self, event: Event, offset: int) -> None:
        deeds = [*of_event(event)]
        if not deeds:
            return
        at = event.at - offset
        process, _ = self._table.find(event.pid, at, at + MOMENT)
        who = self._naming.record(event, process, at)
        self.seen += 1
        for deed, keys in deeds:
            for part in (deed & Deed.HELD, deed & ~Deed.HELD):
                if part is Deed.HELD:
                    file = next((key for key in keys if isinstance(key, tuple) and len(key) == 2), None)
                    self._touches.add(keys, self._held(event, who, process, file, offset))
                elif part:
                    end = max(self._wall(), event.at + MOMENT)  # told when the call had ended
                    self._touches.add(keys, Touch(Rung.AUDIT, part, event.at, end, who))

    def _held(
        self, event: Event, who: Who, process: Process | None, file: tuple[int, int] | None, offset: int
    ) -> Touch:
        """A file was opened for writing: until when it may have been written to. Most have closed it by now,
        or are gone."""
        if process is not None and process.ended:
            end = offset + process.ended
        elif file is None or self._host.holds(event.pid, file):
            return Touch(Rung.AUDIT, Deed.HELD, event.at, NOW, who, "", event.pid, file)
        else:
            end = self._wall()
        return Touch(Rung.AUDIT, Deed.HELD, event.at, max(end, event.at + MOMENT), who)
