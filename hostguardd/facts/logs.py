"""Facts about what the host writes down of itself: logs, histories, logins, and what logs tell. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..fact import Fact


@dataclass(frozen=True, slots=True)
class LogFact(Fact):
    """One file that only grows: a log, a record of logins, a shell's history.

    `view` is `logs`, `records` or `histories` (the scope). `state` is `whole` or one word for what was
    done to it: `truncated`, `rewritten`, `gone`, `linked`, `emptied`, `edited`, `quiet`. The rest shows
    by what that was found: `size` in bytes, `head` is the digest of its first `headed` bytes.
    """

    view: str
    path: bytes
    state: str
    owner: bytes
    inode: int
    size: int
    headed: int
    head: bytes | None
    detail: bytes

    KIND: ClassVar[str] = "log"
    KEY: ClassVar[tuple[str, ...]] = ("view", "path")
    QUICK: ClassVar[int] = 9
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"inode", "size", "headed", "head", "detail"})

    @property
    def label(self) -> bytes:
        return self.path


@dataclass(frozen=True, slots=True)
class LoginFact(Fact):
    """An origin from which an account was used: `alice from 203.0.113.9`.

    `service` is what let it in, as far as the records tell. `at` (seconds since the epoch), `line`
    (the terminal) and `active` (1: logged in now) show its latest session.
    """

    host: str
    name: bytes
    user: bytes
    origin: bytes
    service: bytes
    line: bytes
    at: int
    active: int

    KIND: ClassVar[str] = "login"
    KEY: ClassVar[tuple[str, ...]] = ("host", "name")
    QUICK: ClassVar[int] = 8
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"service", "line", "at", "active"})

    @property
    def label(self) -> bytes:
        return self.name


@dataclass(frozen=True, slots=True)
class EventFact(Fact):
    """What log lines of one kind tell, counted: refused logins of a source, a switch to root, garbage.

    `topic` is the scope: `refused`, `guessed` (a login that succeeded after refusals), `switched` (su
    and sudo), `denied` (su and sudo that failed), `garbled`. `level` is the number of decimal digits of
    `count`, so that more of it is told again, but not each line. `sample` is the newest line.
    """

    topic: str
    name: bytes
    level: int
    service: bytes
    user: bytes
    source: bytes
    count: int
    first: int
    last: int
    sample: bytes

    KIND: ClassVar[str] = "event"
    KEY: ClassVar[tuple[str, ...]] = ("topic", "name")
    QUICK: ClassVar[int] = 10
    VOLATILE: ClassVar[frozenset[str]] = frozenset(
        {"service", "user", "source", "count", "first", "last", "sample"}
    )

    @property
    def label(self) -> bytes:
        return self.topic.encode() + b" " + self.name
