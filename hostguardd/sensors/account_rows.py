"""The rows of AccountFact, from the tables of accounts read together. Pure.

The rule: a hash of a password comes in and only a digest goes out, which tells that it is another one and
is of no use besides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from .. import accounts
from ..accounts import Bad, Group, GroupShadow, Shadow, User
from ..facts.accounts import DAMAGED, GROUPS, USERS
from ..model import Row, Value


def repeated(named: Iterable[tuple[bytes, int]]) -> list[Bad]:
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


def ranges_of(subuid: bytes | None, subgid: bytes | None) -> Ranges:
    """What the two tables give; one that is not there gives nobody anything."""
    return accounts.subordinate(subuid or b""), accounts.subordinate(subgid or b"")


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
