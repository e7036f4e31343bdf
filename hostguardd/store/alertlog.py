"""Writing the alert log: numbered, chained lines that are on the disk before anyone relies on them.

`append` returns once fdatasync(2) has; a finding counts as reported only then. The rules, each for
a way in which a log dies:

* **killed while writing**: an unfinished last line was never acknowledged. It is moved aside when
  the log is opened, and said so;
* **killed while rotating**: the new file exists before the old one is renamed, the folder is synced
  after, and an open finds its place from whatever names are there;
* **no space**: the batch is taken back whole, the reserve is given up and the batch written again;
* **rotation or pruning fails**: the file goes on growing. Too long a file is better than no alert;
* **an outage elsewhere**: a full file stays longer while a destination has yet to get what is in it,
  up to a bound; what goes unsent beyond that is said;
* **somebody else's hand**: a log that was removed is put back from the descriptor we still hold,
  one that was cut or added to goes on with the next number, so that the gap stays for ever.

Numbers never restart and the chain never does, through rotation, repair and loss alike. Used by one
thread, without a lock: the daemon holds one on its state. Others may read while we write.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence

from ..errors import AlertLogError
from ..model import Alert, Blind, Generation
from ..record import GENESIS, Identity, digest, parse, render, sequence_of
from ..sections import AlertLogConfig
from .chain import (
    ANCHOR,
    CURRENT,
    Head,
    Verification,
    last_line,
    open_plain,
    read,
    read_anchor,
    rotated_files,
    rotated_name,
    verify,
)
from .reserve import Reserve
from .sign import write_sign

__all__ = ["AlertLog", "Verification", "verify"]

NEXT = "alerts.next"
RESERVE = "alerts.reserve"
MODE = 0o640

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_CHUNK = 256 * 1024


class AlertLog:
    """The alert log in `folder`, opened for writing and repaired where that was needed.

    `head` is the number and digest of the last line written, (0, GENESIS) for none. `repaired` is
    "" or sentences about what had to be mended, at opening or since: `take_repaired` hands them over
    once. `known_head` is the head as somebody else remembers it (the store): a log that ends before
    it goes on behind it, so that lost numbers are missed rather than given out twice.

    Raises AlertLogError, with the errno, when the log cannot be opened at all.
    """

    def __init__(
        self, folder: str, settings: AlertLogConfig, identity: Identity, known_head: Head | None = None
    ) -> None:
        self.folder = folder
        self.path = os.path.join(folder, CURRENT)
        self.repaired = ""
        self.size = 0
        self._settings = settings
        self._identity = identity
        self._fd = -1
        self._unfinished = False
        self._rotate_at = settings.rotate
        self._given = False
        self._reserve = Reserve(os.path.join(folder, RESERVE), settings.reserve)
        self._unsent = 0
        self.delivered: Callable[[int], int] | None = None
        """The number up to which every destination has the log, which ends at the number given; None: there
        is none."""
        try:
            os.makedirs(folder, mode=0o750, exist_ok=True)
            self._finish_rename()
            self._fd = self._open()
            self.head = self._find_head(known_head)
            self.found = self.head[0]  # the number of the last line that was there at opening
        except OSError as error:
            self.close()
            raise _failure(self.path, "open", error) from error
        self._reserve.take()

    @property
    def reserve_held(self) -> bool:
        """Whether the reserve is there; False after a full disk made us give it up."""
        return self._reserve.held

    def append(self, alerts: Sequence[Alert]) -> list[int]:
        """Write all `alerts` and wait for the disk; returns their numbers.

        One write and one fdatasync(2) for the batch. Raises AlertLogError with the errno if it cannot
        be done: then none of them was written, and the same call may simply be made again.
        """
        if not alerts:
            return []
        sequence, chain = first, _ = self.head
        lines = []
        for alert in alerts:
            sequence += 1
            line = render(alert, self._identity, sequence, chain)
            chain = digest(line)
            lines.append(line + b"\n")
        data = b"".join(lines)
        try:
            self._look_again()
            if self.size and self.size + len(data) > self._rotate_at:
                self._rotate()
            self._write_or_give_reserve(data)
        except OSError as error:
            raise _failure(self.path, "write", error) from error
        self.size += len(data)
        self.head = (sequence, chain)
        self.keep_reserve()
        return list(range(first + 1, sequence + 1))

    def read(self, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """(number, line without newline) of what was written behind number `after`, in order."""
        return read(self.folder, after, self.head[0])

    def sign(self, now: int, current: Generation | None, blinds: Sequence[Blind]) -> None:
        """Leave a sign of life beside it (`sign`). Raises OSError."""
        write_sign(self.folder, self._identity, now, self.head, current, blinds)

    def take_repaired(self) -> str:
        """What was mended since this was last asked; "" for nothing."""
        said, self.repaired = self.repaired, ""
        return said

    def keep_reserve(self) -> None:
        """Take the reserve again, if it was given up and there is room: who fills the disk once more must not
        find us without, because nothing was told meanwhile."""
        if not self._reserve.held:
            self._reserve.take()

    def take_given(self) -> bool:
        """Whether the reserve was given up since this was last asked."""
        given, self._given = self._given, False
        return given

    def take_unsent(self) -> int:
        """How many alerts had to go, since this was last asked, before every destination had them."""
        unsent, self._unsent = self._unsent, 0
        return unsent

    def close(self) -> None:
        """Let go of the file. Everything appended is on the disk already."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # Writing

    def _write_or_give_reserve(self, data: bytes) -> None:
        try:
            self._write(data)
        except OSError as error:
            if error.errno not in _NO_SPACE or not self._reserve.give():
                raise
            self._given = True
            self._write(data)

    def _write(self, data: bytes) -> None:
        """All of `data` at the end and on the disk, or the file as it was and OSError."""
        try:
            # At an offset, not O_APPEND: bytes that somebody else adds must not move ours.
            _write_all(self._fd, data, self.size)
            os.fdatasync(self._fd)
        except OSError:
            self._unfinished = True
            self._take_back()
            raise

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._fd, self.size)
            os.fdatasync(self._fd)
            self._unfinished = False
        except OSError:
            pass  # the disk is failing: `_look_again` tries once more before the next write

    def _rotate(self) -> None:
        """Rename the file by its first number and go on in a new one; if not possible, go on as we are."""
        target = os.path.join(self.folder, rotated_name(self._first_number()))
        fresh = -1
        try:
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
            self._remove(NEXT)
            fresh = self._create(NEXT)
            os.rename(self.path, target)
            try:
                os.rename(os.path.join(self.folder, NEXT), self.path)
            except OSError:
                os.rename(target, self.path)
                raise
        except OSError as error:
            if fresh >= 0:
                os.close(fresh)
            self._rotate_at = self.size + self._settings.rotate
            self._note(f"the alert log could not be rotated ({error.strerror}) and grows on")
            return
        os.close(self._fd)
        self._fd, self.size, self._rotate_at = fresh, 0, self._settings.rotate
        self._sync_folder()
        self._prune()

    def _prune(self) -> None:
        """Remove the oldest files beyond the number kept, leaving an anchor that vouches for them."""
        try:
            files = rotated_files(self.folder)
            spare = len(files) - max(self._settings.keep, 1)
            must_go = len(files) - max(self._settings.keep, self._settings.keep_unsent, 1)
            delivered = self.delivered(self.head[0]) if self.delivered and spare > 0 else None
            for at, (_, name) in enumerate(files[:spare] if spare > 0 else ()):
                last = files[at + 1][0] - 1  # there is one: the file that was just filled is kept
                if delivered is not None and last > delivered:
                    if at >= must_go:
                        break
                    self._unsent += last - max(delivered, files[at][0] - 1)
                self._leave_anchor(name)
                os.unlink(os.path.join(self.folder, name))
            self._sync_folder()
        except OSError as error:
            self._note(f"old alert logs could not be removed ({error.strerror})")

    def _leave_anchor(self, name: str) -> None:
        _, line = self._last_line_of(name)
        if not line:
            return  # damaged: nothing can vouch for it, and `verify` will say that it is missing
        anchor = {"sequence": sequence_of(line), "digest": digest(line)}
        draft = ANCHOR + ".next"
        self._remove(draft)
        fd = self._create(draft)
        try:
            _write_all(fd, json.dumps(anchor).encode() + b"\n", 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(os.path.join(self.folder, draft), os.path.join(self.folder, ANCHOR))
        self._sync_folder()

    # Finding our place

    def _finish_rename(self) -> None:
        """Killed between two renames, the file that was to be the current one waits under NEXT."""
        if os.path.lexists(self.path):
            self._remove(NEXT)
        elif os.path.lexists(draft := os.path.join(self.folder, NEXT)):
            os.rename(draft, self.path)
            self._sync_folder()

    def _open(self) -> int:
        try:
            fd = open_plain(self.path, os.O_RDWR)
        except FileNotFoundError:
            fd = self._create(CURRENT)
            self._sync_folder()
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise FileExistsError(errno.EEXIST, "is not a regular file", self.path)
        return fd

    def _create(self, name: str) -> int:
        """A new file of ours, readable by whoever may read the one in use."""
        fd = open_plain(os.path.join(self.folder, name), os.O_RDWR | os.O_CREAT | os.O_EXCL, MODE)
        os.fchmod(fd, MODE)
        if self._fd >= 0:
            try:
                os.fchown(fd, -1, os.fstat(self._fd).st_gid)
            except PermissionError:
                pass  # the administrator gave the log to a group that we are not in
        return fd

    def _find_head(self, known: Head | None) -> Head:
        """Where the log ends, its tail mended; sets `size`."""
        actual = os.fstat(self._fd).st_size
        self.size, line = last_line(self._fd, actual)
        if self.size < actual:
            kept = self._set_aside(self.size, actual)
            self._note(f"the alert log ended in {actual - self.size} bytes that are no whole line; {kept}")
        head = self._head_of(line) if line else self._head_of_older()
        if known is None or known[0] < head[0] or known == head:
            return head
        if known[0] == head[0]:
            self._note(f"line {head[0]} of the alert log is not the line that was written")
        else:
            self._note(
                f"the alert log ends at number {head[0]}, but number {known[0]} was written: lines are lost"
            )
        return known

    def _head_of_older(self) -> Head:
        for _, name in reversed(rotated_files(self.folder)):
            try:
                _, line = self._last_line_of(name)
            except OSError:
                continue  # not a file of ours, which `verify` will name
            if line:
                return self._head_of(line)
        try:
            return read_anchor(self.folder) or (0, GENESIS)
        except AlertLogError:
            return (0, GENESIS)  # damaged, which `verify` will name

    def _head_of(self, line: bytes) -> Head:
        number: int = parse(line)["event"]["sequence"]
        return number, digest(line)

    def _last_line_of(self, name: str) -> tuple[int, bytes]:
        fd = open_plain(os.path.join(self.folder, name), os.O_RDONLY)
        try:
            return last_line(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def _first_number(self) -> int:
        """The number to name the current file by when it is full."""
        line, newline, _ = os.pread(self._fd, _CHUNK, 0).partition(b"\n")
        number = sequence_of(line) if newline else None
        if number is not None:
            return number
        older = rotated_files(self.folder)  # its beginning is damaged: any number that keeps the order
        return older[-1][0] + 1 if older else 1

    # Somebody else's hand

    def _look_again(self) -> None:
        """See that the file is still the one we left, and mend what can be mended."""
        if self._unfinished:
            os.ftruncate(self._fd, self.size)
            self._unfinished = False
        mine = os.fstat(self._fd)
        try:
            there = os.lstat(self.path)
        except FileNotFoundError:
            self._put_back("was removed")
            return
        if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            foreign = os.path.join(self.folder, f"alerts.foreign-{self.head[0] + 1:012d}")
            os.rename(self.path, foreign)
            self._put_back(f"was replaced (the other file is now {foreign})")
        elif mine.st_size > self.size:
            kept = self._set_aside(self.size, mine.st_size)
            self._note(f"{mine.st_size - self.size} bytes in the alert log are not ours; {kept}")
        elif mine.st_size < self.size:
            lost = self.size - mine.st_size
            self.size, _ = last_line(self._fd, mine.st_size)
            kept = self._set_aside(self.size, mine.st_size)
            self._note(f"the alert log was cut by {lost} bytes while in use; {kept}")

    def _put_back(self, what: str) -> None:
        """Write the log that we still hold to its place again; go on in an empty one if that fails."""
        os.makedirs(self.folder, mode=0o750, exist_ok=True)
        self._remove(NEXT)
        fresh = self._create(NEXT)
        try:
            self._copy(fresh, 0, self.size)
            outcome = "it was put back"
        except OSError as error:
            os.ftruncate(fresh, 0)
            self.size = 0
            outcome = f"it could not be put back ({error.strerror})"
        os.rename(os.path.join(self.folder, NEXT), self.path)
        os.close(self._fd)
        self._fd = fresh
        self._sync_folder()
        self._note(f"the alert log {what} while in use; {outcome}")

    def _set_aside(self, start: int, end: int) -> str:
        """Move the bytes from `start` to `end` (of the file) into a file of their own; says where."""
        if start == end:
            return "the rest is whole"
        piece = digest(os.pread(self._fd, min(end - start, _CHUNK), start))[:8]
        name = os.path.join(self.folder, f"alerts.torn-{start}-{piece}")  # the same again after a kill
        try:
            self._remove(os.path.basename(name))
            fd = self._create(os.path.basename(name))
            try:
                self._copy(fd, start, end)
            finally:
                os.close(fd)
            self._sync_folder()
            said = f"moved to {name}"
        except OSError as error:
            self._remove(os.path.basename(name))
            said = f"dropped, for they could not be kept ({error.strerror})"
        os.ftruncate(self._fd, start)
        os.fsync(self._fd)
        return said

    def _copy(self, fd: int, start: int, end: int) -> None:
        at = start
        while piece := os.pread(self._fd, min(_CHUNK, end - at), at):
            _write_all(fd, piece, at - start)
            at += len(piece)
        os.fsync(fd)

    def _remove(self, name: str) -> None:
        try:
            os.unlink(os.path.join(self.folder, name))
        except FileNotFoundError:
            pass

    def _sync_folder(self) -> None:
        """A name is as durable as the folder that holds it: fsync(2)."""
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _note(self, sentence: str) -> None:
        self.repaired = f"{self.repaired}; {sentence}" if self.repaired else sentence


def _write_all(fd: int, data: bytes, at: int) -> None:
    """All of `data` at offset `at`: pwrite(2) may take less when space runs out."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, at)
        view, at = view[count:], at + count


def _failure(path: str, verb: str, error: OSError) -> AlertLogError:
    return AlertLogError(f"cannot {verb} alert log {path}: {error.strerror or error}", error.errno or 0)
