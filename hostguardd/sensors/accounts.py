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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from .. import accounts
from ..accounts import Bad, Group, GroupShadow, Shadow, User
from ..facts.accounts import DAMAGED, GROUPS, USERS
from ..host.atwork import FRESH, TABLE_LOCKS
from ..host.files import FileHost
from ..host.texts import TextHost
from ..model import AccountFact, Blind, Depth, Row, Sweep, Value, join, split
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
Mark = tuple[int, int, int, int] | None


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
        self._marks: tuple[Mark, ...] | None = None
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

    def _read_marks(self) -> tuple[Mark, ...]:
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
        damaged[PASSWD] += _repeated((user.name, user.line) for user in users)
        damaged[GROUP] += _repeated((group.name, group.line) for group in groups)
        if texts[PASSWD] is None:
            blinds[USERS].append(Blind(KIND, USERS.encode(), "/etc/passwd is not there or cannot be read"))
        if texts[GROUP] is None:
            blinds[GROUPS].append(Blind(KIND, GROUPS.encode(), "/etc/group is not there or cannot be read"))
        unknown = any(blind.scope in (SUBUID, SUBGID) for blind in blinds[USERS])
        of_group = groups if texts[GROUP] is not None else None
        rows = {
            USERS: user_rows(users, of_group, shadow, gshadow, None if unknown else _ranges(texts)),
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


def mark_of(texts: TextHost, files: FileHost, path: bytes) -> Mark:
    """What moves when a file is written, replaced, or its link points elsewhere; None: not there."""
    found = texts.lstat(path)
    if found is not None and stat.S_ISLNK(found.st_mode):
        try:
            found = texts.lstat(files.real(path))
        except OSError:
            return None
    return mark(found)


def mark(found: os.stat_result | None) -> Mark:
    """The same of what lstat(2) says."""
    return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _repeated(named: Iterable[tuple[bytes, int]]) -> list[Bad]:
    """Lines that the system never comes to, because a line above has the same name."""
    seen: set[bytes] = set()
    found = []
    for name, line in named:
        if name in seen:
            reason = "is a second line for " + name.decode("utf-8", "backslashreplace")
            found.append(Bad(line, accounts.mark(name), reason))
        seen.add(name)
    return found


def digest(name: bytes, hash: bytes) -> bytes:
    """What tells two passwords of one account apart, and is of no use with any other."""
    return sha256(b"hostguardd\0" + name + b"\0" + hash.lstrip(b"!")).digest()


def password(name: bytes, field: bytes, line: bytes | None) -> tuple[str | None, bytes | None]:
    """(state, digest) of a user's password: `field` of passwd, and that of its `line` in shadow if it has
    one. crypt(5): what begins with `!` or `*` no password can match."""
    hash = field
    if field == b"x":
        if line is None:
            return None, None
        hash = line
    if not hash:
        return "none", b""
    bare = hash.lstrip(b"!")
    if not bare or bare.startswith(b"*"):
        return "unset", b""
    return ("locked" if bare != hash else "set"), digest(name, hash)


Ranges = tuple[Mapping[bytes, set[bytes]], Mapping[bytes, set[bytes]]]
"""Subordinate uids and gids by account."""

MOST_RANGES = 64
"""Ranges of one account that are kept."""


def _ranges(texts: Mapping[bytes, bytes | None]) -> Ranges:
    """A table that is not there gives nobody anything."""
    return accounts.subordinate(texts[SUBUID] or b""), accounts.subordinate(texts[SUBGID] or b"")


def _of_user(ranges: Ranges, user: User) -> bytes:
    """`gid 100000:65536,uid 100000:65536`, b"" for none."""
    found = [
        kind + b" " + one
        for kind, table in zip((b"uid", b"gid"), ranges, strict=True)
        for name in (user.name, b"%d" % user.uid if user.uid is not None else b"")
        for one in table.get(name, ())
    ]
    return b",".join(sorted(set(found))[:MOST_RANGES])


def user_rows(
    users: Sequence[User],
    groups: Sequence[Group] | None,
    shadow: Mapping[bytes, Shadow],
    gshadow: Mapping[bytes, GroupShadow],
    ranges: Ranges | None,
) -> list[Row]:
    """The rows of all accounts, of several with one name the first. `groups`, `ranges` None: not known."""
    joined: dict[bytes, set[bytes]] = {}
    primary: dict[int | None, bytes] = {}
    for group in groups or ():
        primary.setdefault(group.gid, group.name)
        also = gshadow[group.name].members if group.name in gshadow else ()
        for member in {*group.members, *also}:
            joined.setdefault(member, set()).add(group.name)
    first: dict[bytes, User] = {}
    twins: dict[int | None, list[bytes]] = {}
    rows: list[Row] = []
    for user in users:
        if user.name in first:
            continue
        first[user.name] = user
        line = shadow.get(user.name)
        state, secret = password(user.name, user.password, None if line is None else line.hash)
        of = joined.get(user.name, set()) | ({primary[user.gid]} if user.gid in primary else set())
        before = twins.setdefault(user.uid, []) if user.uid is not None else []
        rows.append(
            (
                USERS,
                user.name,
                user.uid,
                user.gid,
                user.home,
                user.shell,
                user.comment,
                state,
                secret,
                None if line is None else line.expires,
                None if groups is None else b",".join(sorted(of - {user.name})),
                b",".join(sorted(before[:MOST_TWINS])),
                None if ranges is None else _of_user(ranges, user),
                user.line,
            )
        )
        before.append(user.name)
    return sorted(rows, key=lambda row: row[:2])


MOST_TWINS = 8
"""Accounts of one uid that are named in the row of another."""


def group_rows(
    groups: Sequence[Group], users: set[bytes], gshadow: Mapping[bytes, GroupShadow], known: bool
) -> list[Row]:
    """The rows of all groups. `known` is whether gshadow could be read, or is simply not there."""
    rows: dict[bytes, Row] = {}
    for group in groups:
        line = gshadow.get(group.name)
        hash = group.password if group.password != b"x" else line.hash if line else b""
        unknown = group.password == b"x" and line is None and not known
        usable = bool(hash) and not hash.startswith((b"!", b"*"))
        state = None if unknown else "set" if usable else "nowhere"
        members = {*group.members, *(line.members if line else ())}
        rows.setdefault(
            group.name,
            (
                GROUPS,
                group.name,
                group.gid,
                None,
                b"",
                b"",
                b",".join(sorted(line.administrators)) if line else b"",
                state,
                None if unknown else digest(group.name, hash) if usable else b"",
                None,
                b",".join(sorted(members - users)),
                b"",
                b"",
                group.line,
            ),
        )
    return [rows[name] for name in sorted(rows)]


MOST_DAMAGED = 100
"""Damaged lines of one table that are facts one by one; of more only the number is one."""


def damaged_rows(damaged: Mapping[bytes, Sequence[Bad]]) -> list[Row]:
    """The rows of lines that say nothing."""
    rows: list[Row] = []
    for path, lines in damaged.items():
        counts: Counter[bytes] = Counter()
        for line in lines[:MOST_DAMAGED]:
            counts[line.mark] += 1
            again = b" (%d)" % counts[line.mark] if counts[line.mark] > 1 else b""
            rows.append(_damaged(path + b" " + line.mark + again, line.reason, line.line))
        if len(lines) > MOST_DAMAGED:
            more = len(lines) - MOST_DAMAGED
            rows.append(_damaged(path + b" more", f"and {more} more lines", lines[MOST_DAMAGED].line))
    return sorted(rows, key=lambda row: row[:2])


def _damaged(name: bytes, reason: str, line: int) -> Row:
    empty: tuple[Value, ...] = (None, None, b"", b"")
    return (DAMAGED, name, *empty, reason.encode(), "", b"", None, b"", b"", b"", line)
