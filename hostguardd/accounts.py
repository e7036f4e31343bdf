"""The tables of accounts as glibc reads them: passwd(5), shadow(5), group(5), gshadow(5). Pure.

The rule: **what the system would obey is read, however odd it looks**. glibc takes ` +00` for uid 0 and
a line of four fields for an account, so do we; what it would pass over is a `Bad` line, kept by name so
that it can be told once, and the rest is still read. A line never appears in what is told: it may hold
the hash of a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

MOST = 4096
"""Bytes of one field that are kept; of a longer one its beginning, its length and its digest."""

NIS = (b"+", b"-")
"""How lines begin that ask the directory service for more accounts (nsswitch.conf(5), compat mode)."""

_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?)([0-9]+)")


class Bad(NamedTuple):
    """A line that says nothing the system would understand. `mark` names it wherever it moves to."""

    line: int
    mark: bytes
    reason: str


class User(NamedTuple):
    """A line of passwd(5). `uid` and `gid` are None only in lines for the directory service."""

    name: bytes
    password: bytes
    uid: int | None
    gid: int | None
    comment: bytes
    home: bytes
    shell: bytes
    line: int


class Group(NamedTuple):
    """A line of group(5). `gid` is None only in lines for the directory service."""

    name: bytes
    password: bytes
    gid: int | None
    members: tuple[bytes, ...]
    line: int


class Shadow(NamedTuple):
    """A line of shadow(5). `expires` is the day since the epoch on which the account ends, -1: never."""

    name: bytes
    hash: bytes
    expires: int


class GroupShadow(NamedTuple):
    """A line of gshadow(5)."""

    name: bytes
    hash: bytes
    administrators: tuple[bytes, ...]
    members: tuple[bytes, ...]


def number(text: bytes) -> int | None:
    """An id as glibc reads it, by strtoul(3) and cut to 32 bits; None when it would refuse the line."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    digits = found[2].lstrip(b"0")
    value = int(digits or b"0") if len(digits) <= 20 else 2**64
    if found[1] == b"-" and 0 < value < 2**64:
        value = 2**64 - value
    return min(value, 2**32 - 1)


def bounded(field: bytes) -> bytes:
    """A field of bearable length, in which two that differ still do."""
    if len(field) <= MOST:
        return field
    return field[:MOST] + b"... (%d bytes, sha256 %s)" % (len(field), sha256(field).hexdigest().encode())


def lines(text: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """(number from 1, line, whether bytes of it were cut off) of those that glibc looks at: no empty ones,
    no comments. A NUL ends a line early, as it ends a string in C."""
    for count, raw in enumerate(text.split(b"\n"), 1):
        line, nul, _ = raw.lstrip(b" \t\v\f\r").partition(b"\0")
        if (line and not line.startswith(b"#")) or nul:
            yield count, line, bool(nul)


def mark(line: bytes) -> bytes:
    """A name for a line that says nothing of what it holds, and stays when other lines come or go."""
    return sha256(b"hostguardd line " + line).hexdigest()[:8].encode()


def _bad(count: int, line: bytes, reason: str) -> Bad:
    return Bad(count, mark(line), reason)


CUT = "holds a NUL byte, and what follows it is seen by no one"


def passwd(text: bytes) -> tuple[list[User], list[Bad]]:
    """Accounts in the order of their lines, and the lines that are none."""
    found: list[User] = []
    bad: list[Bad] = []
    for count, line, cut in lines(text):
        if cut:
            bad.append(_bad(count, line, CUT))
        fields = [bounded(field) for field in line.split(b":", 6)]
        fields += [b""] * (7 - len(fields))
        name, password, uid, gid, comment, home, shell = fields
        ids = number(uid), number(gid)
        if not name.startswith(NIS) and None in ids:
            bad += [] if cut else [_bad(count, line, "has no user and group id where they should be")]
        elif not name:
            bad += [] if cut else [_bad(count, line, "names no account")]
        else:
            found.append(User(name, password, *ids, comment, home, shell, count))
    return found, bad


def group(text: bytes) -> tuple[list[Group], list[Bad]]:
    """Groups in the order of their lines, and the lines that are none."""
    found: list[Group] = []
    bad: list[Bad] = []
    for count, line, cut in lines(text):
        if cut:
            bad.append(_bad(count, line, CUT))
        name, password, gid, members = (*line.split(b":", 3), b"", b"", b"")[:4]
        name, password, id = bounded(name), bounded(password), number(gid)
        if not name or (id is None and not name.startswith(NIS)):
            bad += [] if cut else [_bad(count, line, "has no name or no group id where they should be")]
        else:
            found.append(Group(name, password, id, _names(members), count))
    return found, bad


def shadow(text: bytes) -> tuple[dict[bytes, Shadow], list[Bad]]:
    """Passwords by account; the first line of a name is the one that counts."""
    found: dict[bytes, Shadow] = {}
    bad: list[Bad] = []
    for count, line, _ in lines(text):
        fields = line.split(b":")
        name = bounded(fields[0])
        if not name or len(fields) < 2:
            bad.append(_bad(count, line, "names no account or has no password field"))
        elif name in found:
            bad.append(_bad(count, line, "is a second line for an account above"))
        else:
            day = number(fields[7]) if len(fields) > 7 else None
            found[name] = Shadow(name, fields[1], -1 if day is None else day)
    return found, bad


def subordinate(text: bytes) -> dict[bytes, set[bytes]]:
    """Ranges of ids (`100000:65536`) that an account, by name or by uid, may use as its own in a user
    namespace, subuid(5). Lines that newuidmap(1) would pass over are passed over."""
    found: dict[bytes, set[bytes]] = {}
    for _, line, _ in lines(text):
        name, start, count = (*line.split(b":", 2), b"", b"")[:3]
        first, length = number(start), number(count)
        if name and first is not None and length:
            found.setdefault(bounded(name), set()).add(b"%d:%d" % (first, length))
    return found


def gshadow(text: bytes) -> tuple[dict[bytes, GroupShadow], list[Bad]]:
    """Passwords and administrators by group; the first line of a name is the one that counts."""
    found: dict[bytes, GroupShadow] = {}
    bad: list[Bad] = []
    for count, line, _ in lines(text):
        name, hash, administrators, members = (*line.split(b":", 3), b"", b"", b"")[:4]
        name = bounded(name)
        if not name or b":" not in line:
            bad.append(_bad(count, line, "names no group or has no password field"))
        elif name in found:
            bad.append(_bad(count, line, "is a second line for a group above"))
        else:
            found[name] = GroupShadow(name, hash, _names(administrators), _names(members))
    return found, bad


def _names(text: bytes) -> tuple[bytes, ...]:
    return tuple(bounded(name) for part in text.split(b",") if (name := part.strip()))
