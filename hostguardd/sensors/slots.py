"""Records of logins that are written in place: lastlog and utmp by slots, wtmpdb and lastlog2 as databases.

The theory. What is written in place can shrink or hold less only when somebody takes something out: a
slot of lastlog that had a time never loses it while its account exists, a record of utmp becomes
DEAD_PROCESS at logout and never all zeros, and rows of wtmpdb are deleted only by its own rotation, which
leaves an archive. The databases are read as bytes (`host/pages.py`), never opened by SQLite: that could
write to them or hold their locks.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from os import stat_result
from typing import Final

from .. import utmp
from ..host.pages import rows_of
from ..host.texts import Mark, TextHost, mark
from ..model import Blind, LogFact, join, split
from .growing import Case
from .grown import KINDS

UTMP: Final = 1024 * 1024
"""Bytes of utmp that are read: some 2700 terminals."""

DATABASE: Final = 32 * 1024**2
"""Bytes of a database that are read; of a larger one only the size counts."""

ACCOUNTS: Final = 2000
"""Slots of lastlog that are looked at: it is sparse, and as long as the largest uid says."""


Flaw = tuple[str, bytes, int]
"""State, detail and lost bytes of an incident."""

Inspect = Callable[[stat_result], tuple[int, Flaw | None, str]]
"""Looks into a file: (logins in it, what was done to it, why it cannot be read)."""


class Placed:
    """One file of records that is written in place. `kind` is `utmp`, `lastlog` or `database`."""

    def __init__(
        self, case: Case, texts: TextHost, kind: str, uids: Callable[[], Iterable[int]], *, known: bool
    ) -> None:
        self.case = case
        self._texts = texts
        self._inspect: Inspect = {
            "utmp": self._utmp, "lastlog": self._lastlog, "database": self._database,
        }[kind]  # fmt: skip
        self._uids = uids
        self._known = known and bool(case.size)
        self.mark: Mark | None = None
        self._odd = case.state if known and case.state in ("linked", "replaced") else ""
        self._last: dict[int, int] = {}
        self._doubt = -1
        self.dirty = not known
        self._begun = False

    def moved(self) -> bool:
        """Whether a look may find anything new."""
        return not self._begun or self._doubt >= 0 or mark(self._texts.lstat(self.case.path)) != self.mark

    def look(self) -> Blind | None:
        """Find out what happened to it."""
        case = self.case
        seen = self._texts.lstat(case.path)
        now = mark(seen)
        if self._begun and now == self.mark and self._doubt < 0:
            return None
        self._begun = True
        if seen is None:
            if self._known:
                case.happened("gone", lost=case.size)
            self._forget()
        elif not stat.S_ISREG(seen.st_mode):
            state = "linked" if stat.S_ISLNK(seen.st_mode) else "replaced"
            detail = self._texts.link(case.path) or KINDS.get(stat.S_IFMT(seen.st_mode), b"")
            if (state, detail) != (self._odd, case.detail):
                case.happened(state, detail, case.size)
                self._forget()
                self._odd = state
        else:
            self._odd = ""
            problem = self._read(seen)
            if problem:
                return Blind(LogFact.KIND, case.path, f"these records cannot be read: {problem}")
        self.mark = now
        return None

    def checkpoint(self) -> None:
        """The row is always up to date."""
        self.dirty = False

    # -- inside ----------------------------------------------------------------------------------

    def _forget(self) -> None:
        case = self.case
        case.inode = case.size = case.entries = 0
        self._last.clear()
        self._known, self._doubt, self.dirty = False, -1, True

    def _read(self, seen: stat_result) -> str:
        case = self.case
        if self._known and not seen.st_size:
            case.happened("emptied", lost=case.size)
            self._forget()
        before = case.entries
        count, flaw, problem = self._inspect(seen)
        if problem:
            return problem
        if flaw:
            case.happened(*flaw)
            self.dirty = True
        if count != before or seen.st_size != case.size or seen.st_ino != case.inode:
            self.dirty = True
        case.entries, case.size, case.inode = count, seen.st_size, seen.st_ino
        self._known = self._known or bool(seen.st_size)
        return ""

    def _utmp(self, seen: stat_result) -> tuple[int, Flaw | None, str]:
        """Who is logged in: a record is never zeroed, and the file never shrinks until the next boot."""
        text = self._texts.read(self.case.path, UTMP)
        if text.data is None:
            return 0, None, text.problem
        records = list(utmp.logins(text.data))
        zeroed = [flaw.at for flaw in utmp.flaws(records) if flaw.what == "zeroed"]
        if zeroed and len(zeroed) > self._last.get(0, 0):
            self._last[0] = len(zeroed)
            return len(records), ("erased", b"record %d is zeroed" % (zeroed[-1] + 1), 0), ""
        if self._known and len(records) < self.case.entries and seen.st_ino == self.case.inode:
            lost = self.case.entries - len(records)
            return len(records), ("erased", b"%d records are gone" % lost, self.case.size - seen.st_size), ""
        return len(records), None, ""

    def _lastlog(self, seen: stat_result) -> tuple[int, Flaw | None, str]:
        """When each account was last used: a time may move on, and vanish only with the account."""
        width = utmp.lastlog_stride(seen.st_size)
        now: dict[int, int] = {}
        uids = sorted(self._uids())[:ACCOUNTS]
        for uid in uids:
            if (uid + 1) * width > seen.st_size:
                break
            text = self._texts.read(self.case.path, width, uid * width)
            if text.data is None:
                return 0, None, text.problem
            now |= {one.uid: one.at for one in utmp.lasts(text.data, width, uid)}
        lost = [uid for uid, at in self._last.items() if uid in uids and at and now.get(uid, 0) < at]
        self._last = now
        flaw = None
        if lost:
            names = b", ".join(b"%d" % uid for uid in lost[:8])
            flaw = ("erased", b"the last login of uid %s" % names, 0)
        return sum(map(bool, now.values())), flaw, ""

    def _database(self, seen: stat_result) -> tuple[int, Flaw | None, str]:
        """How many logins a database holds. A smaller count is believed when it is seen twice."""
        if seen.st_size > DATABASE:
            return self.case.entries, None, ""
        text = self._texts.read(self.case.path, DATABASE)
        if text.data is None:
            return 0, None, text.problem
        count = rows_of(text.data)
        known = self.case.entries
        if count is None:
            wrong = self._known and seen.st_size and not text.data.startswith(b"SQLite format 3\0")
            return known, (("flawed", b"it is no database any more", 0) if wrong else None), ""
        if self._known and count < known and not self._exported():
            if self._doubt != count:
                self._doubt = count
                return known, None, ""
            self._doubt = -1
            return count, ("erased", b"%d of %d logins" % (known - count, known), 0), ""
        self._doubt = -1
        return count, None, ""

    def _exported(self) -> bool:
        """Whether wtmpdb's own rotation wrote an archive since (wtmpdb(8): `wtmpdb_DATE.db`)."""
        folder, name = split(self.case.path)
        stem = name.removesuffix(b".db")
        since = self.mark[2] if self.mark else 0
        for other in self._texts.names(folder, 1000) or ():
            if other.startswith(stem) and other != name and other.endswith(b".db"):
                seen = self._texts.lstat(join(folder, other))
                if seen is not None and seen.st_mtime_ns >= since:
                    return True
        return False
