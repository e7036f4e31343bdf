"""Reading the alert log on from a place, while it grows, is rotated, mended, removed or begun anew.

It keeps one file open and its place in it, so that a look which finds nothing new costs a stat(2). Whatever
happens to the files, the rule is the same: **the number of a line is its place**. Behind a rotation the next
number is looked for in the files there are; what was read once is passed over; and a log that was begun anew,
whose numbers start again, is read from its beginning, because a line sent twice is a smaller evil than a line
not sent.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

from ..record import digest, sequence_of
from ..store.chain import CURRENT, LONGEST, last_line, open_files, read

BLOCK = 256 * 1024


class Tail:
    """The alert log in `folder`, from behind number `after` on, whose line has `digest` ("": not known).

    Not for several threads at once.
    """

    def __init__(self, folder: str, after: int = 0, digest: str = "") -> None:
        self._folder = folder
        self._path = os.path.join(folder, CURRENT)
        self._digest = digest
        self._fd = -1
        self._at = 0  # in the file, behind the last line read
        self._number = after
        self._reached = False
        self._checked = after == 0
        self._begun_anew = False

    def close(self) -> None:
        """Let go of the file; `read` opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def take_begun_anew(self) -> bool:
        """Whether the log turned out to be another than the one the place was in; said once."""
        said, self._begun_anew = self._begun_anew, False
        return said

    def read(self, most: int) -> list[bytes]:
        """Up to `most` further lines, without their newline; none when there are none yet.

        Raises AlertLogError for a log that may not be read, OSError for one that cannot be.
        """
        if not self._checked and not self._check():
            return []
        if self._fd < 0 and not self._seek():
            return []
        if lines := self._lines(most):
            return lines
        if not self._left():
            return []
        # What was written to it between our reading and its rotation comes first.
        return self._lines(most) or (self._lines(most) if self._seek() else [])

    def _lines(self, most: int) -> list[bytes]:
        found: list[bytes] = []
        while not found and (block := self._block()):  # one block at a time bounds what is in memory
            for line in block.split(b"\n")[:-1]:
                self._at += len(line) + 1
                number = sequence_of(line)
                self._reached = self._reached or (number is not None and number >= self._number)
                if not self._reached or (number is not None and number <= self._number):
                    continue
                self._number = number or self._number
                found.append(line)
                if len(found) == most:
                    break
        return found

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
                size *= 8
            else:
                self._at += len(data)  # no line of ours, and no end of it in sight

    def _left(self) -> bool:
        """Whether the file in hand is the current one no more."""
        try:
            current = os.lstat(self._path)
        except FileNotFoundError:
            return False  # removed: the daemon puts it back with its next line
        mine = os.fstat(self._fd)
        if (mine.st_dev, mine.st_ino) != (current.st_dev, current.st_ino):
            return True
        if mine.st_size < self._at:
            self._at, self._reached = 0, False  # cut
        return False

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
            chosen = next((fd for fd in files if _last_number(fd) > self._number), files[-1])
            self._fd, self._at, self._reached = os.dup(chosen), 0, self._number == 0
        return True

    def _check(self) -> bool:
        """Whether there is a log; finds out whether it is the one that the place is in."""
        with ExitStack() as keep:
            try:
                files = open_files(self._folder, keep)
            except FileNotFoundError:
                return False
            newest = max((_last_number(file.fileno()) for _, _, file in files), default=0)
        if not newest:
            return False
        self._checked = True
        number, line = next(read(self._folder, self._number - 1, self._number), (0, b""))
        # A line that was rotated away, or damaged meanwhile, is no reason to send everything again.
        other = bool(number and self._digest and digest(line) != self._digest)
        if other or newest < self._number:
            self._number, self._begun_anew = 0, True
        return True


def _last_number(fd: int) -> int:
    """The number of the last whole line of a file; 0 if there is none."""
    _, line = last_line(fd, os.fstat(fd).st_size)
    return sequence_of(line) or 0 if line else 0
