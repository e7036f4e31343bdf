"""When each account was last logged in to: lastlog(8) by uid, and its successor lastlog2(8) by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from ...accounts import User
from ...host.texts import TextHost
from ...loglines import origin
from ...utmp import LATEST, lastlog_stride, lasts
from ..interface import text, word
from .records import rows

LASTLOG: Final = b"/var/log/lastlog"
LASTLOG2: Final = b"/var/lib/lastlog/lastlog2.db"

ACCOUNTS: Final = 2000
"""Slots of lastlog that are read: it is sparse, and as long as the largest uid says."""


class LastLogin(NamedTuple):
    """The last login of an account. `source` names the record."""

    users: frozenset[str]
    at: float
    line: str
    origin: str
    source: str


def last_logins(
    texts: TextHost, users: Iterable[User], stop: Callable[[], bool] = lambda: False
) -> tuple[list[LastLogin], dict[bytes, str]]:
    """The last logins that are recorded, and what could not be read, with the clause why."""
    names: dict[int, list[str]] = {}
    for user in users:
        if user.uid is not None:
            names.setdefault(user.uid, []).append(text(user.name))
    problems: dict[bytes, str] = {}
    found = list(_slots(texts, names, problems))
    _, values, problem = rows(texts, LASTLOG2, b"lastlog2", stop)
    if problem:
        problems[LASTLOG2] = problem
    for row in values:
        match [*row, None, None]:
            case [bytes(name), int(at), line, host, *_] if 0 < at < LATEST:
                where = text((line or b"") if isinstance(line, bytes) else b"", 100).removeprefix("/dev/")
                source = text(origin(host if isinstance(host, bytes) else b""), 300)
                who = text(name, 100)
                found.append(
                    LastLogin(frozenset({who}), float(at), where, source, f"lastlog2 -u {word(who)}")
                )
    return found, problems


def _slots(texts: TextHost, names: dict[int, list[str]], problems: dict[bytes, str]) -> Iterator[LastLogin]:
    """The slots of lastlog that belong to accounts."""
    seen = texts.lstat(LASTLOG)
    size = 0 if seen is None else seen.st_size
    width = lastlog_stride(size)
    for uid in sorted(names)[:ACCOUNTS]:
        if (uid + 1) * width > size:
            break
        slot = texts.read(LASTLOG, width, uid * width)
        if slot.data is None:
            problems[LASTLOG] = slot.problem
            break
        for one in lasts(slot.data, width, uid):
            who = names[uid]
            source = text(origin(one.host), 300)
            if 0 < one.at < LATEST:
                yield LastLogin(
                    frozenset(who), float(one.at), text(one.line, 100), source, f"lastlog -u {word(who[0])}"
                )
