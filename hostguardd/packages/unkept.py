"""What a package does not say of a file, and what of that must be as it was approved. Pure.

The rule: dpkg keeps no mode, owner, attributes or group, so of those nothing may move; a verified signature
vouches for what rpm keeps, and for no more.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from typing import Final

from ..model import Drift, FileFact, SetIdFact, decode_xattrs
from .interface import Level

IMMUTABLE: Final = 0x30
"""FS_IMMUTABLE_FL and FS_APPEND_FL, ioctl_iflags(2): no package sets them."""

NOTHING: Final = b"/dev/null"
"""Where packages lead a name that is to mean nothing (a masked unit)."""

LABELS: Final = frozenset({b"security.selinux", b"security.ima", b"security.evm"})
"""Attributes that follow from the path or from the content."""


def is_shared(drift: Drift) -> bool:
    """Whether it is new, and a group other than root's may write to it."""
    before, after = drift.before, drift.after
    assert isinstance(after, FileFact | SetIdFact)
    was = stat.S_IFMT(before.mode) if isinstance(before, FileFact | SetIdFact) else 0
    if was == stat.S_IFMT(after.mode) or stat.S_ISLNK(after.mode):
        return False
    return after.gid != 0 and bool(after.mode & stat.S_IWGRP)


def is_led(after: FileFact | SetIdFact, target: bytes) -> bool:
    """Whether a link leads where one to a packaged path led when that was looked at."""
    return isinstance(after, FileFact) and bool(target) and after.target == target


def leads_as_before(drift: Drift, config: bool) -> bool:
    """Whether a link leads where it led when it was approved, or a new one to nothing at all. What was
    there and now leads to nothing was put out of use, and configuration is never brought as a link."""
    before, after = drift.before, drift.after
    if not isinstance(after, FileFact):
        return False
    if before is None:
        return after.target == NOTHING and not config
    return isinstance(before, FileFact) and before.target == after.target


def unfit(after: FileFact | SetIdFact, leads: bool) -> str:
    """Why what is there cannot be explained by a package at all; "" if it can."""
    if isinstance(after, SetIdFact):
        return ""
    if after.unstable:
        return "it is being written"
    if after.device:
        return "something is mounted there"
    if stat.S_ISLNK(after.mode):
        return "" if leads else "where it leads is no package's"
    whole = stat.S_ISREG(after.mode) or stat.S_ISDIR(after.mode)
    return "" if whole else "it is neither a file, a folder nor a link"


def unkept(drift: Drift, level: Level) -> str:
    """What moved of which the package says nothing; "" if that is as it was approved, or harmless."""
    before, after = drift.before, drift.after
    assert isinstance(after, FileFact | SetIdFact)
    signed = level is Level.SIGNED
    link = stat.S_ISLNK(after.mode)
    if isinstance(before, FileFact | SetIdFact) and stat.S_IFMT(before.mode) == stat.S_IFMT(after.mode):
        if not signed and before.mode != after.mode and not link:
            return "its mode is another one, which no package says"
        if not signed and (before.uid, before.gid) != (after.uid, after.gid):
            return "its owner is another one, which no package says"
    elif not signed:
        if after.uid != 0:
            return "it is not root's"
        if not link and after.mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH):
            return "its mode gives rights that no package vouches for"
    if isinstance(after, SetIdFact):
        had = before.caps if isinstance(before, SetIdFact) else b""
        return "" if signed or (had or b"") == (after.caps or b"") else "it has another capability"
    was = before if isinstance(before, FileFact) else None
    allowed = LABELS | {b"security.capability"} if signed else LABELS
    old, new = _attributes(was), _attributes(after)
    if any(old.get(name) != new.get(name) for name in (old.keys() | new.keys()) - allowed):
        return "its attributes are others, which no package says"
    if (after.flags or 0) & IMMUTABLE & ~(was.flags or 0 if was else 0):
        return "it may not be changed any more, which no package says"
    if was is not None and after.links > max(was.links, 1) and stat.S_ISREG(after.mode):
        return "it has another name"
    return ""


def rights(fact: FileFact | SetIdFact) -> tuple[int, int, int, bytes] | None:
    """What a program gains by it; None if nothing."""
    bits = fact.mode & (stat.S_ISUID | stat.S_ISGID) if stat.S_ISREG(fact.mode) else 0
    kept = fact.caps if isinstance(fact, SetIdFact) else _attributes(fact).get(b"security.capability")
    return (bits, fact.uid, fact.gid, kept or b"") if bits or kept else None


def _attributes(fact: FileFact | None) -> Mapping[bytes, bytes]:
    return decode_xattrs(fact.xattrs) if fact is not None and fact.xattrs else {}
