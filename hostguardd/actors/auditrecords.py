"""The kernel's audit records as text, put together to events: audit(7), auditd's audit_logging,
kernel/auditsc.c.

One system call is told by several records that share a serial: SYSCALL, then CWD, one PATH for each name,
PROCTITLE and at the end EOE. Two processors may interleave theirs. The rule: an event counts only when its
SYSCALL record carries our key, and only as complete when its EOE came; whatever else the bytes are, nothing
is raised and little is kept: other rules' records of the same host all come through here.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, NamedTuple

SYSCALL: Final = 1300
PATH: Final = 1302
CWD: Final = 1307
EOE: Final = 1320
PROCTITLE: Final = 1327
KINDS: Final = frozenset((SYSCALL, PATH, CWD, EOE, PROCTITLE))

KEY: Final = b"hostguard"
UNSET: Final = 0xFFFFFFFF

MOST_OPEN: Final = 64
"""Events that wait for the rest of their records; the kernel writes out one event at a time on each
processor."""

MOST_PATHS: Final = 64
"""PATH records of one event that are kept: rename has five."""

_HEAD = re.compile(rb"audit\((\d{1,12})\.(\d{3}):(\d{1,20})\): ")
_FIELD = re.compile(rb'([A-Za-z][\w-]*)=("[^"]*"|[^" ]*)(?: |$)')
_HEX = re.compile(rb"(?:[0-9A-F]{2})+\Z")
_KEYED: Final = (b' key="', b" key=")


class Path(NamedTuple):
    """One name of an event. `name` None: the call had only a descriptor. `role` is nametype: NORMAL, PARENT,
    CREATE, DELETE. `device` as st_dev has it; `inode` 0 when there is none any more."""

    item: int
    name: bytes | None
    device: int
    inode: int
    role: bytes


@dataclass(slots=True)
class Event:
    """One system call. `at` is wall-clock nanoseconds of its beginning, cut to milliseconds; `login` and
    `session` None: nobody logged in. `tty` and `exe` b"": none. `title` is the command line's first 128
    bytes."""

    serial: int
    at: int
    syscall: int = -1
    arch: int = 0
    arguments: tuple[int, ...] = ()
    result: int = 0
    success: bool = False
    pid: int = 0
    parent: int = 0
    uid: int = 0
    euid: int = 0
    login: int | None = None
    session: int | None = None
    tty: bytes = b""
    comm: bytes = b""
    exe: bytes = b""
    cwd: bytes | None = None
    title: bytes | None = None
    paths: tuple[Path, ...] = ()
    items: int = 0

    @property
    def whole(self) -> bool:
        """Whether every name that the call had is here."""
        return len(self.paths) == self.items


class Assembler:
    """Records in, events out. `key` is the one that our rules carry."""

    def __init__(self, key: bytes = KEY) -> None:
        self._quoted = key
        self._hexed = key.hex().upper().encode()
        self._open: OrderedDict[int, Event] = OrderedDict()
        self.broken = 0
        """Events of ours given up because records of theirs are missing."""

    def take(self, kind: int, body: bytes) -> Event | None:
        """The event that this record ends, if it ends one of ours."""
        if kind not in KINDS:
            return None
        head = _HEAD.match(body)
        if head is None:
            return None
        serial = int(head[3])
        if kind == SYSCALL:
            self._begin(serial, head, body)
            return None
        event = self._open.get(serial)
        if event is None:
            return None
        if kind == EOE:
            del self._open[serial]
            if not event.whole:
                self.broken += 1
            return event
        text = body[head.end() :]
        if kind == PATH and len(event.paths) < MOST_PATHS:
            found = _path(fields(text))
            event.paths = event.paths if found is None else (*event.paths, found)
        elif kind == CWD:
            event.cwd = decoded(fields(text).get(b"cwd", b""))
        elif kind == PROCTITLE:
            event.title = decoded(fields(text).get(b"proctitle", b""))
        return None

    def forget(self) -> None:
        """Records were lost: what is incomplete stays so."""
        self.broken += len(self._open)
        self._open.clear()

    def _begin(self, serial: int, head: re.Match[bytes], body: bytes) -> None:
        at = body.rfind(b" key=")
        if at < 0 or not self._ours(body[at + 5 :].rstrip(b"\0\n")):
            return
        event = _call(serial, int(head[1]) * 10**9 + int(head[2]) * 10**6, fields(body[head.end() :]))
        if event is None:
            self.broken += 1
            return
        self._open[serial] = event
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)
            self.broken += 1

    def _ours(self, value: bytes) -> bool:
        """Whether a key field names our key; several keys are joined by \\1, which has the kernel write
        hex."""
        if value.startswith(b'"'):
            return value.strip(b'"') == self._quoted
        value = value.partition(b" ")[0]
        return _HEX.match(value) is not None and self._quoted in bytes.fromhex(value.decode()).split(b"\1")


def fields(text: bytes) -> dict[bytes, bytes]:
    """`name=value` of a record, values as written; the first of a name counts. The kernel quotes what a user
    may choose, or writes it as hex, so that no name can add a field."""
    found: dict[bytes, bytes] = {}
    for name, value in _FIELD.findall(text.rstrip(b"\0\n")):
        found.setdefault(name, value)
    return found


def decoded(value: bytes) -> bytes | None:
    """What a user chose, as bytes: quoted when it is harmless, else hexadecimal. None for (null) and for what
    is neither."""
    if len(value) > 1 and value.startswith(b'"') and value.endswith(b'"'):
        return value[1:-1]
    if _HEX.match(value):
        return bytes.fromhex(value.decode())
    return None


def _number(found: dict[bytes, bytes], name: bytes, base: int = 10) -> int:
    """Raises KeyError or ValueError."""
    return int(found[name], base)


def _call(serial: int, at: int, found: dict[bytes, bytes]) -> Event | None:
    try:
        login, session = _number(found, b"auid"), _number(found, b"ses")
        tty = found.get(b"tty", b"(none)")
        return Event(
            serial,
            at,
            _number(found, b"syscall"),
            _number(found, b"arch", 16),
            tuple(_number(found, name, 16) for name in (b"a0", b"a1", b"a2", b"a3")),
            _number(found, b"exit") if b"exit" in found else 0,
            found.get(b"success") == b"yes",
            _number(found, b"pid"),
            _number(found, b"ppid"),
            _number(found, b"uid"),
            _number(found, b"euid"),
            None if login == UNSET else login,
            None if session == UNSET else session,
            b"" if tty == b"(none)" else tty,
            decoded(found.get(b"comm", b"")) or b"",
            decoded(found.get(b"exe", b"")) or b"",
            items=_number(found, b"items") if b"items" in found else 0,
        )
    except (KeyError, ValueError):
        return None


def _path(found: dict[bytes, bytes]) -> Path | None:
    major, colon, minor = found.get(b"dev", b"").partition(b":")
    try:
        device = _makedev(int(major, 16), int(minor, 16)) if colon else 0
        inode = int(found.get(b"inode", b"0"))
        return Path(
            _number(found, b"item"), decoded(found[b"name"]), device, inode, found.get(b"nametype", b"")
        )
    except (KeyError, ValueError):
        return None


def _makedev(major: int, minor: int) -> int:
    """As makedev(3) of glibc, which os.makedev is; in here nothing asks the system."""
    return (minor & 0xFF) | ((major & 0xFFF) << 8) | ((minor & ~0xFF) << 12) | ((major & ~0xFFF) << 32)
