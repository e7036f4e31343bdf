"""One file that only grows: what it must still hold, and what was done to it if it does not.

The theory. Of a log we remember the inode, the length, the beginning and digests of all that was read.
As long as the same beginning is there and what was read last is, too, it only grew. Otherwise its old
content is looked for in archives (`archives`): it was rotated if it is there, else somebody cut or
changed it. What was read longer ago is checked block by block in the background, and at once when the
file was touched without growing.

The rule: nothing is said of a file that moved while we looked; the next look tells.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from os import stat_result
from typing import Final

from ..host.texts import Mark, TextHost, mark
from ..model import Blind, LogFact
from ..utmp import flaws, logins, stride
from .archives import Archives
from .growing import BLOCK, HEAD, Case, Prefix

CHUNK: Final = 4 * BLOCK
"""Bytes that are read at a time."""

TOUCHED: Final = 64 * 1024**2
"""Bytes that are checked at once in a file that was touched or replaced; the rest comes in the background."""

SECOND: Final = 1_000_000_000
LONG: Final = 86_400
"""Seconds after which what was known before a restart may have been rotated, and its archive removed."""

Stop = Callable[[], bool]


class Budget:
    """Bytes that may still be read in this look."""

    def __init__(self, left: int) -> None:
        self.left = left


class Grown:
    """Watches over one file that only grows. `case` is what is told of it; one that is `known` (from an
    earlier life of ours) is measured by what it tells. `records`: it holds records of logins."""

    def __init__(
        self,
        case: Case,
        texts: TextHost,
        archives: Archives,
        locked: Callable[[bytes], bool],
        *,
        known: bool,
        records: bool = False,
    ) -> None:
        self.case = case
        self._locked = locked
        self._was_locked = known and case.state == "locked"
        self._texts = texts
        self._archives = archives
        self._records = records
        self._first = not known
        self.mark: Mark | None = None
        self._odd = case.state if known and case.state in ("linked", "replaced", "gone") else ""
        self._detail = case.detail
        self._inode = case.inode if known else 0
        self.size = case.size if known else 0
        self._since = case.at * SECOND if known else 0  # mtime, in nanoseconds
        self._recalled = known
        self._headed = case.headed if known else 0
        self._head = case.head if known else b""
        self._expected = (case.size, case.prefix) if known and case.size and case.prefix else None
        self.prefix = Prefix()
        self._rest = b""
        self._at = self._entries = self._checked = 0
        self._marred = known and case.incidents > 0  # flaws of what was tampered with are no news
        self.round = True
        self.dirty = not known

    def moved(self) -> bool:
        """Whether a look may find anything new. One lstat(2)."""
        seen = self._texts.lstat(self.case.path)
        return mark(seen) != self.mark or self.prefix.size < self.size

    def look(self, budget: Budget, stop: Stop) -> Blind | None:
        """Find out what happened to it. A Blind when it cannot be looked at."""
        case = self.case
        seen = self._texts.lstat(case.path)
        if seen is None:
            problem = self._texts.read(case.path, 1).problem
            if problem:
                return Blind(LogFact.KIND, case.path, f"this log cannot be looked at: {problem}")
            self._absent()
        elif stat.S_ISLNK(seen.st_mode):
            self._instead("linked", self._texts.link(case.path))
        elif not stat.S_ISREG(seen.st_mode):
            self._instead("replaced", KINDS.get(stat.S_IFMT(seen.st_mode), b"something else"))
        else:
            self._odd = ""
            if mark(seen) != self.mark:
                text = self._texts.read(case.path, max(self._headed, 1))
                if text.problem:
                    return Blind(LogFact.KIND, case.path, f"this log cannot be read: {text.problem}")
                if text.data is None or text.stat is None or text.stat.st_ino != seen.st_ino:
                    return None
                if not self._moved(text.stat, text.data, stop):
                    return None
            self._feed(budget, stop)
            self._first = False
        return None

    def checkpoint(self) -> None:
        """Bring the row up to what was read by now."""
        case = self.case
        case.inode, case.size, case.prefix = self._inode, self.prefix.size, self.prefix.digest()
        if self._expected is not None:  # until it has been proven, what was known stays what is known
            case.size, case.prefix = self._expected
        case.headed, case.head, case.entries = self._headed, self._head, self._entries
        case.at = self._since // SECOND
        self.dirty = False

    @property
    def grew(self) -> bool:
        """Whether the row is behind."""
        return self._expected is None and self.prefix.size != self.case.size

    def verify(self, blocks: int, stop: Stop) -> int:
        """Check that many of the blocks that were read longest ago; returns the bytes read. `round` tells
        whether the last one was among them."""
        count, done = self.prefix.count, 0
        self.round = True
        if self._odd or self.mark is None:
            return 0
        for _ in range(min(blocks, count)):
            if stop():
                break
            number = self._checked % count
            held = self._block(number)
            if held is None:
                break
            done += self.prefix.span(number)[1]
            self._checked = number + 1
            self.round = self._checked >= count
            if not held:
                if mark(self._texts.lstat(self.case.path)) != self.mark:
                    break  # it may just have been rotated: the next look tells
                self.case.happened("edited", _where(*self.prefix.span(number)))
                self._marred = True
                self._anew()
                self.mark = None
                break
        return done

    # -- inside ----------------------------------------------------------------------------------

    def _absent(self) -> None:
        """It is not there: rotated and not yet begun anew, or deleted."""
        if self.mark is not None or self._inode:
            if self.size and not self._rotated():
                self.case.happened("gone", lost=self.size)
            self._anew()
        self.mark = None
        self._odd = ""

    def _instead(self, state: str, detail: bytes) -> None:
        """Something else is in its place."""
        if (state, detail) != (self._odd, self._detail):
            lost = 0 if self._archives_hold() else self.size
            self.case.happened(state, detail, lost)
            self._anew()
            self._odd, self._detail = state, detail
        self.mark = mark(self._texts.lstat(self.case.path))

    def _moved(self, seen: stat_result, begins: bytes, stop: Stop) -> bool:
        """It is not as it was last seen. False: it moves on while we look."""
        kept = self._keeps(seen, begins, stop)
        if kept is None:
            return False
        if not kept:
            if self._rotated():
                self._marred = False
            else:
                again = self._texts.lstat(self.case.path)
                if again is None or again.st_ino != seen.st_ino or again.st_size < seen.st_size:
                    return False
                self.case.happened(self._word(seen), lost=max(self.size - seen.st_size, 0))
                self._marred = True
            self._anew()
        elif self._inode != seen.st_ino:
            self.dirty = True
        self._lock(seen)
        self.mark = mark(seen)
        self._inode, self.size = seen.st_ino, seen.st_size
        self._since = seen.st_mtime_ns
        return True

    def _lock(self, seen: stat_result) -> None:
        """What grew can be written to; what was only touched may have been made immutable."""
        now = (self.mark is None or seen.st_size == self.size) and self._locked(self.case.path)
        if now and not self._was_locked:
            self.case.happened("locked", b"immutable")
            self.dirty = True
        self._was_locked = now

    def _keeps(self, seen: stat_result, begins: bytes, stop: Stop) -> bool | None:
        """Whether what was known is still there; None when it cannot be said now."""
        if seen.st_size < self.size:
            return False
        if self._headed and hashlib.sha256(begins[: self._headed]).digest() != self._head:
            return False
        grew = seen.st_ino == self._inode and seen.st_size > self.size
        first = self.prefix.count - 1 if grew else 0
        for number in range(max(first, 0), min(self.prefix.count, TOUCHED // BLOCK)):
            if stop():
                return None
            held = self._block(number)
            if not held:
                return held
        return True

    def _block(self, number: int) -> bool | None:
        offset, length = self.prefix.span(number)
        text = self._texts.read(self.case.path, length, offset)
        if text.data is None:
            return None
        if len(text.data) < length and self._texts.lstat(self.case.path) is None:
            return None
        return self.prefix.holds(number, text.data)

    def _word(self, seen: stat_result) -> str:
        if not seen.st_size:
            return "emptied"
        if seen.st_ino != self._inode:
            return "rewritten"
        if seen.st_size >= self.size:
            return "edited"
        return "truncated"

    def _archives_hold(self) -> bool:
        return self._archives.hold(
            self.case.path,
            size=self.size,
            headed=self._headed,
            head=self._head,
            since=self._since,
            known=self._expected or (self.prefix.size, self.prefix.digest()),
        )

    def _rotated(self) -> bool:
        """Whether the old content is in an archive. Nothing is lost of what held nothing."""
        return not self.size or not self._headed or self._archives_hold() or self._expired()

    def _expired(self) -> bool:
        """Whether nobody watched for so long that there are only younger archives by now."""
        if not self._recalled or self.mark is not None:
            return False
        times = [at for _, _, at in self._archives.candidates(self.case.path)]
        return bool(times) and max(times) > self._since + LONG * SECOND and min(times) > self._since

    def _anew(self) -> None:
        """Nothing is known of its content."""
        self._inode = self.size = self._headed = self._checked = self._since = self._at = self._entries = 0
        self._head = self._rest = b""
        self._expected = None
        self.prefix = Prefix()
        self.dirty = True

    def _feed(self, budget: Budget, stop: Stop) -> None:
        """Read on where it grew, as far as the budget goes."""
        path = self.case.path
        if self._headed < HEAD and self.size > self._headed:
            text = self._texts.read(path, min(HEAD, self.size))
            if text.data and text.stat is not None and text.stat.st_ino == self._inode:
                self._headed, self._head = len(text.data), hashlib.sha256(text.data).digest()
        while self.prefix.size < self.size and budget.left > 0 and not stop():
            goal = self._expected[0] if self._expected is not None else self.size
            length = min(CHUNK, max(goal - self.prefix.size, 0), budget.left)
            text = self._texts.read(path, length, self.prefix.size)
            if not text.data or text.stat is None or text.stat.st_ino != self._inode:
                return
            budget.left -= len(text.data)
            self.prefix.feed(text.data)
            if self._records:
                self._inspect(text.data)
            if self._expected is not None and self.prefix.size >= self._expected[0]:
                if self.prefix.digest() != self._expected[1]:
                    self.case.happened("edited", b"while nobody was watching")
                self._expected = None

    def _inspect(self, data: bytes) -> None:
        """Look at records of logins as they come."""
        data = self._rest + data
        width = stride(data, self.size)
        whole = len(data) - len(data) % width
        self._rest = data[whole:]
        records = list(logins(data[:whole], width))
        self._entries += len(records)
        wrong = next(flaws(records), None)
        if wrong is not None and self._expected is None and not self._marred:
            self._marred = True
            number = self._at + wrong.at
            self.case.happened("flawed", b"record %d is %s" % (number + 1, wrong.what.encode()))
        self._at += len(records)


KINDS: Final = {
    stat.S_IFDIR: b"a folder",
    stat.S_IFIFO: b"a FIFO",
    stat.S_IFCHR: b"a device",
    stat.S_IFBLK: b"a device",
    stat.S_IFSOCK: b"a socket",
}


def _where(offset: int, length: int) -> bytes:
    return b"in bytes %d to %d" % (offset, offset + length)
