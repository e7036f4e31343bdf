"""Puts together who did a deed: what the table knows of a process, and what is behind its session.

The rule: an audit record says itself who it was about, so what the table knows only adds to it, and only
where both mean the same process and program.
"""

from __future__ import annotations

from typing import Final

from ..actors.auditrecords import Event
from ..actors.lineage import cron_line
from ..actors.model import Image, Link, Process, Who
from ..actors.table import Table
from ..actors.ttys import tty_name
from .origins import Origins

KEPT: Final = 256


class Naming:
    """Who it was, by process or by record."""

    def __init__(self, table: Table, origins: Origins) -> None:
        self._table = table
        self._origins = origins
        self._whos: dict[Who, Who] = {}

    def process(self, process: Process, image: Image) -> Who:
        """A process of the table, when it ran `image`."""
        who = self._table.who(process, tty_name)
        if image is not process.image:
            who = who._replace(exe=image.exe, command=image.command)
        return self._with_origin(who)

    def record(self, event: Event, process: Process | None, at: int) -> Who:
        """Whom an audit event is about, `at` that monotonic time; `process` is the table's by that pid."""
        table = self._table
        links: tuple[Link, ...] = ()
        unit = command = None
        if process is not None and process.uid is not None and process.uid != event.uid:
            process = None
        if process is not None:
            known = table.who(process, tty_name)
            links, unit = known.parents, known.unit
            command = known.command if known.exe in (None, event.exe) else None
        if not links and event.parent:
            above = table.meet_parent(event.parent, at)
            if above is not None:
                links = (table.link(above), *table.links(above))
        who = Who(
            (event.pid, process.started if process is not None else _alike(event)),
            event.pid,
            event.exe or None,
            command or event.title,
            event.uid,
            event.euid,
            -1 if event.login is None else event.login,
            -1 if event.session is None else event.session,
            event.tty,
            unit,
            links,
        )
        return self._with_origin(who)

    def _with_origin(self, who: Who) -> Who:
        chain = (Link(who.pid, who.exe, who.command, who.uid), *who.parents)
        who = who._replace(source=self._origins.of(who.session, who.parents), cron=cron_line(chain))
        if len(self._whos) > KEPT:
            self._whos.clear()
        return self._whos.setdefault(who, who)  # one process touches much


def _alike(event: Event) -> int:
    """Stands for a process of which nothing but its records is known: the same for all of them."""
    return hash((event.parent, event.exe, event.uid, event.login, event.session))
