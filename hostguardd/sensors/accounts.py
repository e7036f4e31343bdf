"""The accounts sensor: users and groups as the system would see them, from the four tables together.

The rules kept: a hash never leaves this room but as a digest; what is read is what the system obeys
(`accounts`), and a line that says nothing is a fact of its own, told once. A tool at work (useradd holds
lock files and replaces one table after the other) is waited for, a moment and no longer, so that its
work is told as one thing; whoever leaves such a lock behind wins a second.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from .. import accounts
from ..facts.accounts import DAMAGED, GROUPS, USERS
from ..host.atwork import FRESH, TABLE_LOCKS
from ..host.files import FileHost
from ..host.texts import Mark, TextHost, mark
from ..model import AccountFact, Blind, Depth, Row, Sweep, join, split
from .account_rows import damaged_rows, group_rows, ranges_of, repeated, user_rows
from .interface import Request, answers

KIND: Final = AccountFact.KIND
SCOPES: Final = (USERS, GROUPS, DAMAGED)
PASSWD: Final = b"/etc/passwd"
SHADOW: Final = b"/etc/shadow"
GROUP: Final = b"/etc/group"
GSHADOW: Final = b"/etc/gshadow"
SUBUID: Final = b"/etc/subuid"
SUBGID: Final = b"/etc/subgid"
TABLES: Final = (PASSWD, SHADOW, GROUP, GSHADOW, SUBUID, SUBGID)
LOCKS: Final = tuple(map(os.fsencode, TABLE_LOCKS))

MOST: Final = 16 * 1024**2
"""Bytes of a table that are read; a longer one is Blind."""

PATIENCE: Final = 1.0
"""Seconds for which a tool at work is waited for."""

AGAIN: Final = 1.5
"""Seconds after a look that a hint asked for until the next one: what an older sweep brought later than
it is put right then."""

SHARE: Final = 500
"""How many times its own cost must pass between two looks at the marks."""

SECOND: Final = 10**9

Stop = Callable[[], bool]


class Tables(NamedTuple):
    """What was read at one time. `torn`: an account has no line in shadow, as in the middle of a change."""

    rows: Mapping[str, list[Row]]
    blinds: Mapping[str, tuple[Blind, ...]]
    torn: bool


class AccountsSensor:
    """`Sensor` of AccountFacts, a scope for each of `users`, `groups`, `damaged`.

    `interval` is the seconds between two looks at the marks of the tables (inode, size, times).
    `mono` and `wall` give nanoseconds. Safe from any thread.
    """

    fact = AccountFact

    def __init__(
        self,
        texts: TextHost,
        files: FileHost,
        interval: float,
        mono: Callable[[], int],
        wall: Callable[[], int],
    ) -> None:
        self._texts = texts
        self._files = files
        self._interval = interval
        self._mono = mono
        self._wall = wall
        self._lock = threading.Lock()
        self._marks: tuple[Mark | None, ...] | None = None
        self._due = 0.0
        self._again: float | None = None
        self._waiting: float | None = None

    # -- the sensor's contract -------------------------------------------------------------------

    def changed(self) -> bool:
        """Whether a table was replaced or written since it was last read, or somebody was waited for."""
        with self._lock:
            now = self._now()
            if self._again is not None and now >= self._again:
                self._again = None
                return True
            if now < self._due and self._waiting is None:
                return False
            marks = self._read_marks()
            self._due = now + max(self._interval, SHARE * (self._now() - now))
            if marks == self._marks and self._waiting is None:
                return False
            return not self._wait(now, self._at_work())

    def expect(self, rows: Iterable[Row]) -> None:
        """Nothing: an account is there or not, from the first look on."""

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """All tables."""
        if stop():
            return
        began = self._wall()
        with self._lock:
            tables = self._read()
            self._waiting = None
        yield from self._sweeps(tables, depth, began)

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """Everything when a table was touched; or keys (names) of a scope."""
        hinted = False
        for request in requests:
            if isinstance(request.scope, bytes):
                hinted = hinted or touches(request, (*TABLES, *LOCKS))
            elif request.scope in SCOPES:
                yield from self._some(request)
        if not hinted or stop():
            return
        began = self._wall()
        with self._lock:
            now = self._now()
            at_work = self._at_work()
            tables = None if at_work else self._read()
            if self._wait(now, at_work or (tables is not None and tables.torn)):
                return
            tables = tables or self._read()
            self._waiting = None
            self._again = now + AGAIN
        yield from self._sweeps(tables, Depth.FULL, began)

    # -- inside ----------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._mono() / SECOND

    def _wait(self, now: float, unfinished: bool) -> bool:
        """Whether to look a little later, because what there is now is half of something."""
        if not unfinished:
            return False
        if self._waiting is None:
            self._waiting = now
        return now - self._waiting < PATIENCE

    def _at_work(self) -> bool:
        """Whether a tool holds the tables."""
        now = self._wall()
        stats = map(self._texts.lstat, LOCKS)
        return any(one is not None and abs(now - one.st_mtime_ns) < FRESH * SECOND for one in stats)

    def _read_marks(self) -> tuple[Mark | None, ...]:
        return tuple(mark_of(self._texts, self._files, path) for path in TABLES)

    def _read(self) -> Tables:
        self._marks = self._read_marks()
        blinds: dict[str, list[Blind]] = {USERS: [], GROUPS: [], DAMAGED: []}
        texts = {path: self._text(path, blinds) for path in TABLES}
        users, bad_users = accounts.passwd(texts[PASSWD] or b"")
        groups, bad_groups = accounts.group(texts[GROUP] or b"")
        shadow, bad_shadow = accounts.shadow(texts[SHADOW] or b"")
        gshadow, bad_gshadow = accounts.gshadow(texts[GSHADOW] or b"")
        damaged = {PASSWD: bad_users, SHADOW: bad_shadow, GROUP: bad_groups, GSHADOW: bad_gshadow}
        damaged[PASSWD] += repeated((user.name, user.line) for user in users)
        damaged[GROUP] += repeated((group.name, group.line) for group in groups)
        if texts[PASSWD] is None:
            blinds[USERS].append(Blind(KIND, USERS.encode(), "/etc/passwd is not there or cannot be read"))
        if texts[GROUP] is None:
            blinds[GROUPS].append(Blind(KIND, GROUPS.encode(), "/etc/group is not there or cannot be read"))
        unknown = any(blind.scope in (SUBUID, SUBGID) for blind in blinds[USERS])
        ranges = None if unknown else ranges_of(texts[SUBUID], texts[SUBGID])
        of_group = groups if texts[GROUP] is not None else None
        rows = {
            USERS: user_rows(users, of_group, shadow, gshadow, ranges),
            GROUPS: group_rows(groups, {user.name for user in users}, gshadow, texts[GSHADOW] is not None),
            DAMAGED: damaged_rows(damaged),
        }
        torn = texts[SHADOW] is not None and any(row[7] is None for row in rows[USERS])
        return Tables(rows, {scope: tuple(found) for scope, found in blinds.items()}, torn)

    def _text(self, path: bytes, blinds: dict[str, list[Blind]]) -> bytes | None:
        """The bytes of a table; None when there are none to be had."""
        text = self._texts.read(path, MOST + 1)
        problem = text.problem
        if text.data is not None and len(text.data) > MOST:
            problem = f"is longer than {MOST} bytes"
        if not problem:
            return text.data
        reason = f"the table of accounts {path.decode()} cannot be read: {problem}"
        blinds[GROUPS if path in (GROUP, GSHADOW) else USERS].append(Blind(KIND, path, reason))
        blinds[DAMAGED].append(Blind(KIND, DAMAGED.encode(), reason))
        return None

    def _sweeps(self, tables: Tables, depth: Depth, began: int) -> Iterator[Sweep]:
        for scope in SCOPES:
            rows, blinds = tables.rows[scope], tables.blinds[scope]
            yield Sweep(AccountFact, scope, depth, rows, blinds, began=began, ended=self._wall())

    def _some(self, request: Request) -> Iterator[Sweep]:
        began = self._wall()
        with self._lock:
            tables = self._read()
            self._again = self._now()
        return answers([request], SCOPES, lambda scope, depth: self._sweeps(tables, Depth.FULL, began))


def touches(request: Request, paths: Iterable[bytes]) -> bool:
    """Whether a hint is about one of `paths`, or a folder that leads to one."""
    folder = request.scope
    assert isinstance(folder, bytes)
    for path in paths:
        above, name = split(path)
        if above == folder and (request.keys is None or name in request.keys):
            return True
        if request.keys is not None and any(
            isinstance(key, bytes) and path.startswith(join(folder, key) + b"/") for key in request.keys
        ):
            return True
    return False


def mark_of(texts: TextHost, files: FileHost, path: bytes) -> Mark | None:
    """What moves when a file is written, replaced, or its link points elsewhere; None: not there."""
    found = texts.lstat(path)
    if found is not None and stat.S_ISLNK(found.st_mode):
        try:
            found = texts.lstat(files.real(path))
        except OSError:
            return None
    return mark(found)
