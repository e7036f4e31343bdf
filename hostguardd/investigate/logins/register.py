"""Records of logins put together: sessions with their ends, boots, and what no program has written. Pure.

The theory, that of last(1): a session begins with a record of its user on a line and ends with the next
record on that line, a shutdown or a boot. Two things more are seen on the way, since whoever wipes records
mostly takes those that hold a name: a logout on a line where nobody had logged in, and records that no
program can have written (`utmp.flaws`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from ...loglines import origin
from ...utmp import (
    BOOT_TIME,
    DEAD_PROCESS,
    EMPTY,
    INIT_PROCESS,
    LOGIN_PROCESS,
    NEW_TIME,
    OLD_TIME,
    RUN_LVL,
    USER_PROCESS,
    Login,
    origin_of,
)
from ..interface import text

OPEN: Final = "open"
LOGOUT: Final = "logout"
DOWN: Final = "shutdown"
CRASH: Final = "crash"
REPLACED: Final = "replaced"
LOST: Final = "lost"
"""How a session ended: not yet; by a logout; with the host, in order or not; by another login on its line;
nobody knows when."""

BOOT: Final = 1
USER: Final = 3
"""Types of wtmpdb's rows."""

MOST: Final = 50_000
"""Sessions that are kept, the newest."""

BOOTS: Final = 1000
"""Boots that are kept, at least, the newest."""

KEPT: Final = 100
"""Flaws of each sort, and steps of the clock, that are kept; more are counted."""

DAY: Final = 86_400
PAIR: Final = 60
"""Seconds between two records that may tell of one logout."""


class Session(NamedTuple):
    """Somebody was logged in: texts are escaped. `began` and `ended` are in seconds since the epoch; `ended`
    is 0 while it lasts. `end` is how: one of the words above. Of a LOST one `ended` is the latest time at
    which it is still believed. `source` names the record; `pid` is as it says."""

    user: str
    origin: str
    line: str
    began: float
    ended: float
    source: str
    end: str = OPEN
    pid: int = 0


class Boot(NamedTuple):
    """The host came up. `down` is when it had been shut down in order, 0 if no record says so; `before` is
    the time of the newest record ahead of it, 0 if there is none. `kernel` is as the record has it."""

    at: float
    kernel: str
    down: float
    before: float
    source: str


class Odd(NamedTuple):
    """A record that no program has written so. `what` is zeroed, garbled, backwards or orphan (a logout
    without its login); `at` is the time around it, 0 if not known; `crash`: the host went down around it
    without a shutdown, or had just come up with a clock that was not set yet."""

    what: str
    source: str
    at: float
    crash: bool = False


class Step(NamedTuple):
    """The clock was set, as OLD_TIME and NEW_TIME records tell."""

    before: float
    after: float
    source: str


@dataclass(slots=True)
class Register:
    """What the records tell, fed in their order. `since` is the time of the oldest one, 0 if there is none;
    `newest` that of the newest. `odd` holds up to KEPT of each sort, `odds` counts all."""

    sessions: list[Session] = field(default_factory=list)
    boots: list[Boot] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    odd: list[Odd] = field(default_factory=list)
    odds: dict[str, int] = field(default_factory=dict)
    since: float = 0.0
    newest: float = 0.0
    dropped: int = 0
    count: int = 0
    _name: str = ""
    _open: dict[bytes, Session] = field(default_factory=dict)
    _closed: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    _shown: dict[tuple[bytes, ...], tuple[str, str, str]] = field(default_factory=dict)
    _booted: bool = False
    _down: float = 0.0
    _old: float = 0.0
    _top: float = 0.0
    _unset: bool = False  # since the host came up nobody logged in: the clock may have been wrong until here
    _blank: int = 0  # zeroed records in a row just now
    _waiting: list[Session] = field(default_factory=list)  # of a database, without an end
    _ended: float = 0.0  # when the boot before was shut down, by the database

    def part(self, name: str) -> None:
        """Another file begins: what stood between the two is not known."""
        self._name = name
        self._booted, self._blank, self._top = False, 0, 0.0
        self._closed.clear()

    def feed(self, number: int, one: Login) -> None:
        """The next record, which is number `number` (from 0) of its file."""
        self.count += 1
        if not one.sane:
            blank = one.kind == EMPTY and not (one.at or one.pid or one.line or one.user or one.host)
            self._note("zeroed" if blank else "garbled", number)
            self._blank += blank
            return
        at = float(one.at)
        self._after_blanks(one)
        if one.kind in (BOOT_TIME, NEW_TIME, OLD_TIME, RUN_LVL):
            self._host(one, at, number)
            self._top, self._unset = at, True
        else:
            if self._top and at < self._top - DAY:
                self._note("backwards", number, at, crash=self._unset)
            self._line(one, at, number)
            self._top = at if self._unset else max(self._top, at)
            self._unset = self._unset and one.kind != USER_PROCESS
        self.since = min(self.since or at, at)
        self.newest = max(self.newest, at)

    def row(
        self, kind: int, user: bytes, line: bytes, host: bytes, began: float, ended: float, source: str
    ) -> None:
        """The next row of wtmpdb(8), which has the ends of sessions and boots in place; `ended` 0: none."""
        before = self.newest
        self.count += 1
        self.since = min(self.since or began, began)
        self.newest = max(self.newest, began, ended)
        if kind == BOOT and user == b"reboot":
            end = DOWN if self._ended else CRASH
            self.sessions += [one._replace(ended=max(began, one.began), end=end) for one in self._waiting]
            self._waiting.clear()
            if not any(abs(one.at - began) <= PAIR for one in self.boots[-KEPT:]):
                self._boot(Boot(began, text(host, 100), self._ended, before, source))
            self._ended = ended
        elif kind == USER and user:
            names = text(user, 100), text(origin(host), 300), text(line.removeprefix(b"/dev/"), 100)
            one = Session(
                *names, began, max(began, ended) if ended else 0.0, source, LOGOUT if ended else OPEN
            )
            (self.sessions if ended else self._waiting).append(one)

    def finish(self) -> None:
        """No more records."""
        self.sessions += [*self._open.values(), *self._waiting]
        self._open.clear()
        self._waiting.clear()
        self.boots.sort(key=lambda one: one.at)
        self.sessions.sort(key=lambda one: one.began)
        self._bound(MOST)

    # -- inside ----------------------------------------------------------------------------------

    def _texts(self, one: Login) -> tuple[str, str, str]:
        """User, origin and line, to show. The same ones come again and again."""
        key = one.user, one.host, one.address, one.line
        found = self._shown.get(key)
        if found is None:
            if len(self._shown) >= MOST:
                self._shown.clear()
            found = text(one.user, 100), text(origin_of(one), 300), text(one.line, 100)
            self._shown[key] = found
        return found

    def _place(self, number: int) -> str:
        return f"{self._name}, record {number + 1}"

    def _note(self, what: str, number: int, at: float = 0.0, *, crash: bool = False) -> None:
        count = self.odds[what] = self.odds.get(what, 0) + 1
        if count <= KEPT:
            self.odd.append(Odd(what, self._place(number), at or self._top, crash))

    def _after_blanks(self, one: Login) -> None:
        """A file system that lost its power leaves zeros where it had not written yet: just ahead of a boot
        that no shutdown led to."""
        if self._blank and one.kind == BOOT_TIME and not self._down:
            others = self.odds["zeroed"] - self._blank
            seen = 0
            for index, odd in enumerate(self.odd):
                if odd.what == "zeroed":
                    seen += 1
                    self.odd[index] = odd._replace(crash=seen > others or odd.crash)
        self._blank = 0

    def _host(self, one: Login, at: float, number: int) -> None:
        source = self._place(number)
        if one.kind == BOOT_TIME:
            self._all(at, DOWN if self._down else CRASH)
            self._boot(Boot(at, text(one.host, 100), self._down, self._top, source))
            self._booted, self._down = True, 0.0
            self._closed.clear()
        elif one.kind == RUN_LVL and one.user == b"shutdown":
            self._all(at, DOWN)
            self._down = at
        elif one.kind == OLD_TIME:
            self._old = at
        elif one.kind == NEW_TIME and self._old:
            self.steps = [*self.steps[1 - KEPT :], Step(self._old, at, source)]
            self._old = 0.0

    def _boot(self, boot: Boot) -> None:
        self.boots.append(boot)
        if len(self.boots) > 2 * BOOTS:
            del self.boots[:BOOTS]

    def _line(self, one: Login, at: float, number: int) -> None:
        line = one.line
        before = self._open.pop(line, None)
        if one.kind == DEAD_PROCESS:
            self._logout(one, before, at, number)
        elif before is not None:
            self._close(before, at, LOGOUT if one.kind != USER_PROCESS else REPLACED)
        if one.kind in (LOGIN_PROCESS, INIT_PROCESS):
            self._closed[line] = (one.pid, one.at)  # a getty that nobody uses ends by the same record
        if one.kind == USER_PROCESS and one.user:
            self._closed.pop(line, None)
            self._open[line] = Session(*self._texts(one), at, 0.0, self._place(number), OPEN, one.pid)
            if len(self._open) > MOST:
                self._close(self._open.pop(next(iter(self._open))), at, LOST)

    def _logout(self, one: Login, before: Session | None, at: float, number: int) -> None:
        """A logout ends a session, or says that the record of one is missing. That is said where a login must
        have been recorded: since a boot, or since the logout before on that line."""
        line, closed = one.line, self._closed.get(one.line)
        if before is not None:
            self._close(before, at, LOGOUT)
        elif line.startswith(b"pts/") and (closed is not None or self._booted):
            again = closed is not None and (closed[0] == one.pid or abs(at - closed[1]) <= PAIR)
            if not again:
                self._note("orphan", number, at)
        if line:
            self._closed[line] = (one.pid, one.at)

    def _all(self, at: float, end: str) -> None:
        for one in self._open.values():
            self._close(one, at, end)
        self._open.clear()

    def _close(self, one: Session, at: float, end: str) -> None:
        self.sessions.append(one._replace(ended=max(at, one.began), end=end))
        if len(self.sessions) > 2 * MOST:
            self.sessions.sort(key=lambda one: one.began)
            self._bound(MOST)

    def _bound(self, most: int) -> None:
        over = max(0, len(self.sessions) - most)
        self.dropped += over
        del self.sessions[:over]


def stamp(at: float) -> str:
    """A time as it is shown in a sentence."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
