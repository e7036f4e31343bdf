"""What the logs of dnf, dnf5 and yum tell of packages. Pure: lines in, transactions out.

Sources: dnf's RPMTransaction (dnf.rpm.log), libdnf5's rpm/transaction.cpp (dnf5.log, Fedora 41 and later),
yum 3 (yum.log, which an upgrade from EL 7 leaves behind).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from ..record import escape
from .interface import Transaction

_LOGGED: Final = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:?\d\d)) \S{1,20} "
    rb"(Installed|Upgrade|Erase|Removed|Downgrade|Reinstall|Reinstalled): (\S{1,400})"
)
ACTIONS: Final = {
    b"Installed": "install",
    b"Upgrade": "upgrade",
    b"Erase": "remove",
    b"Removed": "remove",
    b"Downgrade": "downgrade",
    b"Reinstall": "reinstall",
    b"Reinstalled": "reinstall",
}
"""`Upgraded` and `Downgraded` name what went, of which `Upgrade` and `Downgrade` have told already."""

_NEVRA: Final = re.compile(r"(.+)-((?:\d+:)?[^-]+-[^-]+)\.([^.]+)")

_DNF5: Final = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:?\d\d)) \[(\d{1,10})\] INFO "
    rb'RPM callback (install|uninstall) stop "(\S{1,400})"'
)
_YUM: Final = re.compile(
    rb"([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (Installed|Updated|Erased|Obsoleted): (\S{1,400})"
)
_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
YUM: Final = {b"Installed": "install", b"Updated": "upgrade", b"Erased": "remove", b"Obsoleted": "remove"}
DAY: Final = 86400.0


def dnf(lines: Iterable[tuple[int, bytes]], path: str) -> Iterator[Transaction]:
    """Of dnf.rpm.log."""
    for number, line in lines:
        if (found := _LOGGED.match(line)) is not None and (at := _at(found[1])) is not None:
            yield _one(at, ACTIONS[found[2]], found[3], f"{path}:{number}")


def dnf5(lines: Iterable[tuple[int, bytes]], path: str) -> list[Transaction]:
    """Of dnf5.log. It tells what came and what went: what the same process took away of a package that it had
    just installed is what was there before, of whichever version."""
    told: list[Transaction] = []
    came: dict[tuple[bytes, str], int] = {}
    for number, line in lines:
        found = _DNF5.match(line)
        if found is None or (at := _at(found[1])) is None:
            continue
        one = _one(at, "install" if found[3] == b"install" else "remove", found[4], f"{path}:{number}")
        key = found[2], one.package
        if one.action == "install":
            came[key] = len(told)
        elif (index := came.pop(key, None)) is not None:
            same = told[index].after == one.before
            told[index] = told[index]._replace(action="reinstall" if same else "upgrade", before=one.before)
            continue
        told.append(one)
    return told


def yum(lines: Iterable[tuple[int, bytes]], path: str, written: float) -> list[Transaction]:
    """Of yum.log, last written to then: its lines, in this machine's zone, bear no year, and each is no
    younger than the one behind it."""
    told: list[Transaction] = []
    latest = written
    for number, line in reversed(list(lines)):
        found = _YUM.match(line)
        if found is None or found[1] not in _MONTHS:
            continue
        month, day = _MONTHS.index(found[1]) + 1, int(found[2])
        clock = int(found[3]), int(found[4]), int(found[5])
        year = time.localtime(latest).tm_year + 1
        at = latest + 2 * DAY
        while at > latest + DAY:
            at = time.mktime((year, month, day, *clock, 0, 0, -1))
            year -= 1
        latest = min(latest, at)
        told.append(_one(at, YUM[found[6]], found[7], f"{path}:{number}"))
    return told[::-1]


def _at(stamp: bytes) -> float | None:
    try:
        return datetime.fromisoformat(stamp.decode()).timestamp()
    except (ValueError, OverflowError):
        return None


def _one(at: float, action: str, raw: bytes, source: str) -> Transaction:
    """`raw` is `name-[epoch:]version-release.arch` (yum: the epoch ahead of it all), or a name alone."""
    epoch, colon, rest = escape(raw).rpartition(":")
    epoch, shown = (f"{epoch}:", rest) if epoch.isdigit() else ("", epoch + colon + rest)
    parts = _NEVRA.fullmatch(shown)
    name, version = (f"{parts[1]}.{parts[3]}", epoch + parts[2]) if parts else (shown, "")
    version = version.removeprefix("0:")
    gone = action == "remove"
    return Transaction(at, action, name, version if gone else "", "" if gone else version, source)
