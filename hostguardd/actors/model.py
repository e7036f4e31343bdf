"""The nouns of attribution: a process and what it runs, a touch, an actor, and why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import NamedTuple


class Rung(Enum):
    """What told of it, the best first."""

    AUDIT = "audit"
    FANOTIFY = "fanotify"
    NONE = "none"


class Confidence(Enum):
    """How far an answer can be trusted, in words that alerts carry."""

    CERTAIN = "certain"
    """The kernel told of this very operation by this process, at the time of the file's last change."""
    LIKELY = "likely"
    """Only this process had the file open for writing at the time of its last change; or it ran another
    program about then, and which of them did it is told by what it opened to run, which it need not have
    run, or by what it is called in a root that may be one of its own."""
    CIRCUMSTANCE = "circumstance"
    """Nobody is named: who was logged in then."""
    NONE = "none"


class Deed(Flag):
    """What was done to a name or to what it stands for."""

    CREATED = auto()
    DELETED = auto()
    MOVED_AWAY = auto()
    MOVED_HERE = auto()
    ATTRIBUTES = auto()
    WRITTEN = auto()
    HELD = auto()
    """It was open for writing: it may have been written to."""
    LINKED = auto()


class Change(Flag):
    """Kinds of change that a finding can tell of."""

    CREATED = auto()
    REMOVED = auto()
    CONTENT = auto()
    ATTRIBUTES = auto()
    TIMES = auto()
    """Its time of modification, or nothing but its ctime."""


class Details(NamedTuple):
    """What /proc says of a living process. `started` is CLOCK_MONOTONIC nanoseconds as exact as a clock tick.
    None: could not be read. `exe` b"": a file that has another name here, or none. `login` and `session` -1:
    nobody logged in. `sid` is the session leader, `at` when reading ended."""

    pid: int
    parent: int
    started: int
    sid: int
    tty: int
    uid: int | None
    euid: int | None
    login: int | None
    session: int | None
    exe: bytes | None
    command: bytes | None
    unit: bytes | None
    at: int


@dataclass(slots=True, eq=False)
class Image:
    """What a process runs since an exec. None: not known; `exe` b"": no file by that name here. `read`: when
    /proc was first asked, 0 never. `told`: the program is known from the kernel's event about it, not from
    /proc. `since` is when it was run, as far as that is known, or only `found`."""

    exe: bytes | None = None
    command: bytes | None = None
    read: int = 0
    told: bool = False
    since: int = 0
    found: bool = False


@dataclass(slots=True, eq=False)
class Process:
    """One process from fork to exit, however often its pid is used again. Times are CLOCK_MONOTONIC
    nanoseconds; `ended` 0: not that we know. `login`, `session` None: not known, -1: nobody logged in.
    `previous` had the same pid before, and who had it before that had ended at `reused`. `settled` is since
    when it is known to have this session, `checked` when it was last seen to have it, `uid_at` since when it
    is this user, 0 not known. `seen`: whether /proc was read of itself; `heir`: whether what it has from its
    parent is really so. `before` is the image before the last exec, which was at `execed`, only `lent` if it
    was that of its parent; `opened` are files that were opened to be executed by the last `unsettled` execs,
    as far as no image was found in them."""

    pid: int
    started: int
    parent: Process | None
    image: Image
    uid: int | None = None
    euid: int | None = None
    login: int | None = None
    session: int | None = None
    sid: int | None = None
    tty: int | None = None
    unit: bytes | None = None
    ended: int = 0
    execs: int = 0
    previous: Process | None = None
    parent_pid: int = 0
    settled: int = 0
    seen: bool = False
    heir: bool | None = None
    before: Image | None = None
    execed: int = 0
    opened: tuple[bytes, ...] = ()
    unsettled: int = 0
    checked: int = 0
    uid_at: int = 0
    reused: int = 0
    lent: bool = False


class Presence(NamedTuple):
    """Somebody who is logged in: a circumstance, never an actor. `since` is wall-clock nanoseconds, 0 when
    not known."""

    user: bytes
    tty: bytes = b""
    source: bytes = b""
    session: bytes = b""
    since: int = 0


class Peer(NamedTuple):
    """The other end of a connection; port 0: not known."""

    address: bytes
    port: int = 0


class Link(NamedTuple):
    """One process of a line of parents, as it was at the time of the deed."""

    pid: int
    exe: bytes | None
    command: bytes | None
    uid: int | None


class Who(NamedTuple):
    """A process as it stood at the time of a deed: what an alert can name. Fields that are not known are
    None; `login` and `session` -1: nobody logged in. `parents`: the nearest first. `key` is the same for
    the same process only. `guessed`: the program is only what is likely."""

    key: tuple[int, int]
    pid: int
    exe: bytes | None
    command: bytes | None
    uid: int | None
    euid: int | None
    login: int | None
    session: int | None
    tty: bytes | None
    unit: bytes | None
    parents: tuple[Link, ...] = ()
    source: Peer | None = None
    cron: bytes | None = None
    guessed: bool = False


@dataclass(slots=True, frozen=True, eq=False)
class Touch:
    """Somebody did something to a file between two wall-clock nanoseconds. `who` None: it was seen, but not
    by whom, and `reason` says why. `ends`: when whoever held the file open ended, 0 when not known."""

    rung: Rung
    deed: Deed
    begin: int
    end: int
    who: Who | None
    reason: str = ""
    holder: int = 0
    file: tuple[int, int] | None = None


@dataclass(slots=True, frozen=True)
class Actor:
    """Who did it."""

    rung: Rung
    confidence: Confidence
    who: Who
    deed: Deed
    at: int


@dataclass(slots=True, frozen=True)
class Unattributed:
    """Nobody can be named, and why. `candidates` are those who could have been it, never the answer."""

    reason: str
    rung: Rung = Rung.NONE
    candidates: tuple[Who, ...] = ()


Answer = Actor | Unattributed
