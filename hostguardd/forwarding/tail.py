"""Reading the alert log on from a place, while it grows, is rotated, mended, removed or begun anew.

It keeps one file open and its place in it, so that a look which finds nothing new costs next to nothing. What
was read may turn out not to be the log: foreign bytes that the daemon takes away, lines that did not reach
the disk and were written again otherwise, a log that was wiped. So the rule is: **before it reads on it sees
that what it read last still stands there**. If not, it goes back to the newest line that it read and the log
still has; if there is none, to the beginning. A line sent twice is a smaller evil than a line not sent.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import ExitStack
from typing import Final

from ..record import digest, sequence_of
from ..store.chain import CURRENT, last_line, open_files, read

BLOCK: Final = 256 * 1024
LONGEST: Final = 4 * 1024 * 1024
"""Bytes of a line beyond which it is none of ours, and is not kept in memory."""

REMEMBERED: Final = 1024
"""Lines read of which number and digest are known, to go back to."""


class Tail:
    """The alert log in `folder`, from behind number `after` on, whose line has `digest` ("": not known).

    Not for several threads at once.
    """

    def __init__(self, folder: str, after: int = 0, digest: str = "") -> None:
        self.number, self.digest = after, digest
        """Of the last numbered line that was read."""
        self._folder = folder
        self._path = os.path.join(folder, CURRENT)
        self._known = deque([(after, digest)] if after and digest else (), REMEMBERED)
        self._fd = -1
        self._at = 0  # in the file, behind the last line read
        self._last = (0, "")  # that line's length and digest
        self._reached = False
        self._checked = after == 0
        self._went_back = False

    def close(self) -> None:
        """Let go of the file; `read` opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def take_went_back(self) -> bool:
        """Whether it reads again from an earlier `number`, because the log is not what was read; said
        once."""
        said, self._went_back = self._went_back, False
        return said

    def read(self, most: int) -> list[bytes]:
        """Up to `most` further lines, without their newline; none when there are none yet.

        Raises AlertLogError for a log that may not be read, OSError for one that cannot be.
        """
        if not self._checked and not self._find_again():
            return []
        if self._fd < 0 and not self._seek():
            return []
        if not self._stands() and not (self._find_again() and self._seek()):
            return []
        if lines := self._lines(most):
            return lines
        if not self._left():
            return []
        # What was written to it between our reading and its rotation comes first.
        if lines := self._lines(most):
            return lines
        return self._lines(most) if self._find_again() and self._seek() else []

    def _lines(self, most: int) -> list[bytes]:
        found: list[bytes] = []
        while not found and (block := self._block()):  # one block at a time bounds what is in memory
            for line in block.split(b"\n")[:-1]:
                self._at += len(line) + 1
                number = sequence_of(line)
                self._reached = self._reached or (number is not None and number >= self.number)
                if not self._reached or (number is not None and number <= self.number):
                    continue
                if number is not None:
                    self.number, self.digest = number, digest(line)
                    self._known.append((number, self.digest))
                found.append(line)
                if len(found) == most:
                    break
            self._last = (len(line) + 1, digest(line + b"\n"))
        return found

    def _stands(self) -> bool:
        """Whether the file still has what was read of it last."""
        length, known = self._last
        return not length or digest(os.pread(self._fd, length, self._at - length)) == known

    def _block(self) -> bytes:
        """Whole lines from our place on, at least one; b"" when there is none."""
        size = BLOCK
        while True:
            data = os.pread(self._fd, size, self._at)
            if end := data.rfind(b"\n") + 1:
                return data[:end]
            if len(data) < size:
                return b""
            if size < LONGEST:
                size *= 4
            else:
                self._at += len(data)  # no line of ours, and no end of it in sight
                self._last = (0, "")

    def _left(self) -> bool:
        """Whether the file in hand is the current one no more."""
        try:
            current = os.lstat(self._path)
        except FileNotFoundError:
            return False  # removed: the daemon puts it back with its next line
        mine = os.fstat(self._fd)
        return (mine.st_dev, mine.st_ino) != (current.st_dev, current.st_ino)

    def _seek(self) -> bool:
        """Open the first file with a number that is still to be read, else the newest; False for none."""
        self.close()
        with ExitStack() as keep:
            try:
                files = [file.fileno() for _, _, file in open_files(self._folder, keep)]
            except FileNotFoundError:
                return False
            if not files:
                return False
            chosen = next((fd for fd in files if _last_number(fd) > self.number), files[-1])
            self._fd, self._at, self._last = os.dup(chosen), 0, (0, "")
            self._reached = self.number == 0
        return True

    def _find_again(self) -> bool:
        """Go to the newest line that was read and is in the log; False when there is no log to say.

        A line that was rotated away, or damaged meanwhile, is no reason to send everything again.
        """
        with ExitStack() as keep:
            try:
                files = open_files(self._folder, keep)
            except FileNotFoundError:
                return False
            newest = max((_last_number(file.fileno()) for _, _, file in files), default=0)
        if not newest:
            return False
        self._checked = True
        known, best, other = dict(self._known), 0, newest < self.number
        lowest = min(known, default=self.number)
        for number, line in read(self._folder, lowest - 1) if self.number else ():
            if number > self.number:
                break
            if number in known:
                same = digest(line) == known[number]
                best, other = (number, other) if same else (best, True)
        if other and best < self.number:
            self._went_back = True
            self.number, self.digest = best, known.get(best, "")
            self._known = deque(((n, d) for n, d in self._known if n <= best), REMEMBERED)
        return True


def _last_number(fd: int) -> int:
    """The number of the last whole line of a file; 0 if there is none."""
    _, line = last_line(fd, os.fstat(fd).st_size)
    return sequence_of(line) or 0 if line else 0
