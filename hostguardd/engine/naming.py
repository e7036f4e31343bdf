"""Puts together who did a deed: what the table knows of a process, and what is behind its session.

The rule: an audit record says itself who it was about, so what the table knows only adds to it, and only
where both mean the same process and program.
"""

from __future__ import annotations

from typing import Final

from ..actors import standing
from ..actors.auditrecords import Event
from ..actors.lineage import cron_line
from ..actors.model import Image, Link, Process, Who
from ..actors.table import Table
from ..actors.ttys import tty_name
from .origins import Origins

KEPT: Final = 256
MILLISECOND: Final = 1_000_000


class Naming:
    """Who it was, by process or by record."""

    def __init__(self, table: Table, origins: Origins) -> None:
        self._table = table
        self._origins = origins
        self._whos: dict[Who, Who] = {}

    def process(self, process: Process, begin: int, end: int, image: Image | None = None) -> Who:
        """A process of the table between the two, when it ran `image`, which is else what it runs now."""
        return self._with_origin(self._who(process, begin, end, image), process)

    def _who(self, process: Process, begin: int, end: int, image: Image | None = None) -> Who:
        """It as it stood between the two, when it ran `image`, which is else what it runs now."""
        table = self._table
        stale = process.login is None or process.unit is None or not process.seen or not process.image.read
        if not process.ended and (stale or standing.may_log_in(process, process.image)):
            table.fill(process)
        links = table.links(process, begin, end)
        if image is None:
            image = standing.current(process, begin, end)
        elif not table.had(process, image):
            image = Image()
        key = (process.pid, process.started)
        if not table.heir(process):
            own = image if process.execs else Image()
            return Who(key, process.pid, own.exe, own.command, None, None, None, None, None, None, links)
        same = standing.user_known(process, image, begin)
        known = standing.login_known(process, image, begin, end)
        return Who(
            key,
            process.pid,
            image.exe,
            image.command,
            process.uid if same else None,
            process.euid if same else None,
            process.login if known else None,
            process.session if known else None,
            None if process.tty is None else tty_name(process.tty),
            process.unit if known else None,
            links,
        )

    def record(self, event: Event, process: Process | None, at: int) -> Who:
        """Whom an audit event is about, `at` that monotonic time; `process` is the table's by that pid."""
        table = self._table
        end = at + MILLISECOND  # to which audit cuts its times
        links: tuple[Link, ...] = ()
        below = process
        unit = command = None
        if process is not None and process.uid is not None and process.uid != event.uid:
            process = None
        if process is not None:
            known = self._who(process, at, end)
            links, unit = known.parents, known.unit
            command = known.command if known.exe in (None, event.exe) else None
        if not links and event.parent:
            above = table.meet_parent(event.parent, at)
            if above is not None:
                parents = table.links(above, at, end)
                links = (table.link(above, at, end), *parents)
                below = below or above
        seen = _called_so(event, process)
        who = Who(
            (event.pid, process.started if process is not None else _alike(event)),
            event.pid,
            None if seen is False else event.exe or None,
            command or event.title,
            event.uid,
            event.euid,
            -1 if event.login is None else event.login,
            -1 if event.session is None else event.session,
            event.tty,
            unit,
            links,
            guessed=seen is None,
        )
        return self._with_origin(who, below)

    def _with_origin(self, who: Who, process: Process | None) -> Who:
        if not self._origins.granted(who, process):
            who = who._replace(login=None)
        chain = (Link(who.pid, who.exe, who.command, who.uid), *who.parents)
        who = who._replace(source=self._origins.of(who.session, who.parents), cron=cron_line(chain))
        if len(self._whos) > KEPT:
            self._whos.clear()
        return self._whos.setdefault(who, who)  # one process touches much


def _called_so(event: Event, process: Process | None) -> bool | None:
    """Whether the program has that name here: the record has it as the caller's own root has it, who may
    have made a root in which any program has any name. None: it was gone before that could be seen."""
    if process is None or process.image.exe is None:
        return None
    before = None if process.before is None else process.before.exe
    return event.exe in (process.image.exe, before)


def _alike(event: Event) -> int:
    """Stands for a process of which nothing but its records is known: the same for all of them."""
    return hash((event.parent, event.exe, event.uid, event.login, event.session))
