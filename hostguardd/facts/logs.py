"""Facts about what the host writes down of itself: logs, histories, logins, and what logs tell. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..fact import Fact, Row, whole


@dataclass(frozen=True, slots=True)
class LogFact(Fact):
    """One file in which a host writes down its own past: a log, a record of logins, a shell's history.

    `view` is `logs`, `records` or `histories` (the scope). `state` is `whole`, or what was last done to
    the file: one of `STATES`; `incidents` counts what was done so far, so that the second time is told
    like the first. A file stays what was done to it until somebody approves it, whatever is written to
    it later. `detail` says more (a link's target, what is wrong with which record), `owner` whose
    history it is.

    The rest is what the file was when it was last written down, so that it is known again after a
    restart or a rotation: `inode`; `size` in bytes and how much of it is `lost`; `entries`, the number of
    logins in it; `at`, when it was last written to (seconds since the epoch); `head`, the digest of its
    first `headed` bytes, and `prefix` that of all `size`.
    """

    view: str
    path: bytes
    state: str
    incidents: int
    owner: bytes
    inode: int
    size: int
    lost: int
    entries: int
    at: int
    headed: int
    head: bytes
    prefix: bytes
    detail: bytes

    KIND: ClassVar[str] = "log"
    KEY: ClassVar[tuple[str, ...]] = ("view", "path")
    QUICK: ClassVar[int] = 14
    VOLATILE: ClassVar[frozenset[str]] = frozenset(
        {"owner", "inode", "size", "lost", "entries", "at", "headed", "head", "prefix", "detail"}
    )
    SECRET: ClassVar[frozenset[str]] = frozenset({"head", "prefix"})

    @property
    def label(self) -> bytes:
        return self.path


WHOLE = "whole"
STATES = (
    WHOLE, "emptied", "truncated", "rewritten", "edited", "gone", "linked", "replaced", "erased", "flawed",
    "pruned", "locked",
)  # fmt: skip
"""`emptied` and `truncated`: cut in place. `rewritten`: another file of the same name, without the old
content. `edited`: what was written before reads otherwise now. `gone`: deleted, and in no archive.
`linked`, `replaced`: a symbolic link, or no regular file, in its place. `erased`: logins are missing.
`flawed`: records as no program writes them. `pruned`: archives of it were deleted, and not the oldest.
`locked`: nobody, or not its owner, can write to it."""


@dataclass(frozen=True, slots=True)
class LoginFact(Fact):
    """An origin from which an account was used: `alice from 203.0.113.9`.

    `view` (the scope) is `origins`, or `unrecorded` for a session that is there while the records of who
    is logged in know nothing of it. `origin` is an address, a name, or `console` for this host itself.
    `service` is what let it in, as far as the records tell. `at` (seconds since the epoch, 0: not known),
    `line` (the terminal) and `active` (1: logged in now) show its latest session.
    """

    view: str
    name: bytes
    user: bytes
    origin: bytes
    service: bytes
    line: bytes
    at: int
    active: int

    KIND: ClassVar[str] = "login"
    KEY: ClassVar[tuple[str, ...]] = ("view", "name")
    QUICK: ClassVar[int] = 8
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"service", "line", "at", "active"})

    @property
    def label(self) -> bytes:
        return self.name


TOPICS = ("crashed", "denied", "garbled", "guessed", "refused", "sprayed", "switched")
"""The scopes of `EventFact`."""


@dataclass(frozen=True, slots=True)
class EventFact(Fact):
    """What log lines of one kind tell, counted: refused logins of a source, a switch to root, garbage.

    `topic` is the scope: `refused` logins; `guessed` (a login that succeeded after its account was refused
    from there), `sprayed` (after others were); `switched` (who became whom by su, sudo and the like),
    `denied` (who wanted to); `garbled` lines, traces of what was sent to a program in place of text;
    `crashed` programs. `level` is the number of decimal digits of `count`, so that more of it is told
    again, but not each line; less of it is no news. `user` may be several, `source` is an origin, a log
    or a program. `first` and `last` are seconds since the epoch, `sample` is the newest line.
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

    @classmethod
    def noise(cls, before: Row, after: Row) -> frozenset[str]:
        """Older lines pass out of what is counted: that they became fewer says nothing."""
        return frozenset({"level"}) if whole(after[2]) < whole(before[2]) else frozenset()

    @property
    def label(self) -> bytes:
        return self.topic.encode() + b" " + self.name
