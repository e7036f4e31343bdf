"""Who was logged in when, by the records of logins: wtmp and its archives, wtmpdb, and who is here now.

The rule kept: `at` answers for what the records cover, and `covers` says whether they do; that nobody was
there is worth nothing for a time of which there is no record.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...host.pages import Column
from ...host.texts import TextHost
from ...sensors.logins import SESSIONS, UTMP, UTMP_BEFORE, logind
from ...sensors.wtmp import LARGEST, WTMP
from ...utmp import LATEST, USER_PROCESS, Login, logins, origin_of
from ..interface import text
from ..scene import Scene
from .records import Book, books, rows
from .register import DAY, LOST, OPEN, Boot, Register, Session

__all__ = ["Attendance", "Boot", "Session", "attendance"]

WTMPDB: Final = b"/var/lib/wtmpdb/wtmp.db"
LONG: Final = 7 * DAY
NEAR: Final = 120
"""Seconds between the beginnings of a session as two records have it."""


@dataclass(slots=True)
class Attendance:
    """Sessions in the order of their beginnings, boots, and the files that tell of them (the oldest first).
    `present` are the records of utmp, None when there is no utmp; `database` is the clause why wtmpdb
    cannot be read."""

    register: Register
    books: list[Book]
    present: list[Login] | None
    database: str = ""
    problem: str = ""
    _days: dict[int, list[Session]] = field(default_factory=dict)
    _long: list[Session] = field(default_factory=list)

    @property
    def sessions(self) -> list[Session]:
        """All of them that are kept."""
        return self.register.sessions

    @property
    def boots(self) -> list[Boot]:
        """All that are recorded."""
        return self.register.boots

    def covers(self, seconds: float) -> bool:
        """Whether there are records of that time, so that `at` knows who was there."""
        return 0 < self.register.since <= seconds

    def at(self, seconds: float) -> list[Session]:
        """Who was logged in then, in the order in which they came."""
        near = self._days.get(int(seconds // DAY), [])
        found = [one for one in (*self._long, *near) if one.began <= seconds and _until(one) >= seconds]
        return sorted(found, key=lambda one: one.began)

    def index(self) -> None:
        """Make ready for `at`."""
        for one in self.sessions:
            if _until(one) - one.began > LONG:
                self._long.append(one)
                continue
            for day in range(int(one.began // DAY), int(one.ended // DAY) + 1):
                self._days.setdefault(day, []).append(one)


def _until(one: Session) -> float:
    return one.ended or float("inf")


def attendance(scene: Scene) -> Attendance:
    """Who was here when. Looked up once for all checks of an inquiry."""
    return scene.once(_attendance)


def _attendance(scene: Scene) -> Attendance:
    texts = scene.host.texts
    register = Register()
    found = Attendance(register, books(texts, WTMP), None)
    for book in found.books:
        register.part(book.name)
        for number, one in book.records(texts):
            register.feed(number, one)
            if not number % 4096 and scene.stop():
                break
    first, values, found.database = rows(texts, WTMPDB, b"wtmp", scene.stop)
    _database(register, values, first)
    register.finish()
    found.present, found.problem = utmp(texts)
    here = list(_present(scene, found))
    register.sessions = _join([*_still(scene, register.sessions, here), *here])
    found.index()
    return found


def _file(one: Session) -> str:
    return one.source.partition(", ")[0]


def near(times: Sequence[float], at: float) -> bool:
    """Whether one of the sorted `times` is that of a record which tells of the same as one of `at`."""
    index = bisect_left(times, at - NEAR)
    return index < len(times) and times[index] <= at + NEAR


def utmp(texts: TextHost) -> tuple[list[Login] | None, str]:
    """The records of who is logged in, None when there are none to be read; and the clause why."""
    for path in (UTMP, UTMP_BEFORE):
        read = texts.read(path, LARGEST)
        if read.data is not None or read.problem:
            return (None if read.data is None else list(logins(read.data))), read.problem
    return None, ""


def _database(register: Register, values: Iterable[list[Column]], first: int) -> None:
    """The rows of wtmpdb(8): id, type, user, login and logout in microseconds, terminal, origin, service."""
    name = text(WTMPDB)
    for number, row in enumerate(values, first):
        match row:
            case [_, int(kind), bytes(user), int(login), logout, *rest] if 0 < login < LATEST * 10**6:
                line, host = ([one if isinstance(one, bytes) else b"" for one in rest] + [b"", b""])[:2]
                ended = logout / 1e6 if isinstance(logout, int) else 0.0
                register.row(kind, user, line, host, login / 1e6, ended, f"{name}, row {number}")


def _still(scene: Scene, sessions: Iterable[Session], here: Iterable[Session]) -> Iterator[Session]:
    """The sessions of the records. One that has no end is believed to last only while something of it is
    there; else nobody knows when it ended, and it is believed for a day."""
    live = scene.host.live
    lines = {(one.user, one.line) for one in here}
    for one in sessions:
        if one.ended or live.blind or (one.user, one.line) in lines:
            yield one
            continue
        process = live.process(one.pid) if one.pid > 0 else None
        if process is not None and scene.began(process) <= one.began + NEAR:
            yield one
        else:
            yield one._replace(ended=min(one.began + DAY, max(scene.now, one.began)), end=LOST)


def _present(scene: Scene, found: Attendance) -> Iterator[Session]:
    """Who is here by utmp, and by logind."""
    for one in found.present or ():
        if one.kind == USER_PROCESS and one.user and one.sane:
            names = text(one.user, 100), text(origin_of(one), 300), text(one.line, 100)
            yield Session(*names, float(one.at), 0.0, text(UTMP), OPEN, one.pid)
    for known in logind(scene.host.texts):
        names = text(known.user, 100), text(known.source, 300), text(known.line, 100)
        source = text(SESSIONS + b"/" + known.name)
        yield Session(*names, float(known.at), 0.0, source, OPEN, known.leader)


def _join(sessions: Iterable[Session]) -> list[Session]:
    """Each session once, of the file that is named first, in the order of their beginnings. Within one file
    none is told twice."""
    known: dict[tuple[str, str], list[Session]] = {}
    for one in sessions:
        others = known.setdefault((one.user, one.line), [])
        if not any(
            abs(one.began - other.began) <= NEAR and _file(one) != _file(other) for other in others[-3:]
        ):
            others.append(one)
    return sorted((one for some in known.values() for one in some), key=lambda one: one.began)
