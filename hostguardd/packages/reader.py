"""A reader: the life of one of the processes that compare files with their packages (see `checking`).

It looks at the paths it is handed and nothing else. Folders are found by the links that lead there, as the
package manager itself does; the last part of a path is never followed. A file is read through a descriptor
that moves no atime where the kernel lets us, and only if it is a regular one.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from ..host.files import FILE_FLAGS, LinuxFiles, LinuxFolder, is_gone
from ..host.workers import read_frame, write_frame
from ..model import split
from .expected import ANOTHER, Expected, Identity, Seen, differences

BLOCK: Final = 1 << 20
OPEN: Final = 32
"""Folders kept open."""

CAPABILITY: Final = "security.capability"


class Stopped(Exception):
    """Whoever asked does not want to know any more; raised through a look by its `beat`."""


class Another(Exception):
    """What was opened is not what is meant: it was exchanged, or written, in between."""


class Told(NamedTuple):
    """What a reader says of a path: what departs, or (`problem`, a clause) why it could not look."""

    path: bytes
    key: int
    words: list[str]
    clauses: list[str]
    problem: str = ""


def work() -> None:
    """A reader's whole life: the root first, then batches of `Expected` until the pipe closes."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # without a parent there is nobody to complain to
    reader = Reader(LinuxFiles(read_frame(source) or b"/"))
    heard = time.monotonic()

    def beat() -> None:
        nonlocal heard
        if time.monotonic() - heard > 1.0:
            write_frame(target, ([], 0))
            heard = time.monotonic()

    while (frame := read_frame(source)) is not None:
        told = [found for one in marshal.loads(frame) if (found := reader.look(Expected(*one), beat))]
        write_frame(target, ([tuple(one) for one in told], 1))
        heard = time.monotonic()


class Reader:
    """Compares paths of one host."""

    def __init__(self, files: LinuxFiles) -> None:
        self._files = files
        self._folders: dict[bytes, LinuxFolder | OSError] = {}
        self._buffer = memoryview(bytearray(BLOCK))

    def look(self, expected: Expected, beat: Callable[[], None] = lambda: None) -> Told | None:
        """What departs at one path; None if nothing does."""
        place, name = split(expected.path)
        try:
            seen, problem = self._seen(self._folder(place), name, expected, beat)
        except OSError as error:
            if not is_gone(error):
                return _told(expected, [], [], _reason(error))
            if expected.absent:
                return None
            return _told(expected, ["missing"], ["there is nothing"])
        except Another:
            return _told(expected, [], [], ANOTHER)
        words, clauses = differences(expected, seen)
        if words == ["type"] and expected.instead and stat.S_ISLNK(seen.mode):
            return None
        return _told(expected, words, clauses, problem) if words or problem else None

    def _seen(
        self, folder: LinuxFolder, name: bytes, expected: Expected, beat: Callable[[], None]
    ) -> tuple[Seen, str]:
        found = folder.stat(name)
        _meant(expected, found)
        digest, link, capabilities, problem = None, b"", b"", ""
        if stat.S_ISREG(found.st_mode):
            wanted = bool(expected.digest) and found.st_size <= expected.largest
            if wanted and expected.size is not None:
                wanted = found.st_size == expected.size
            if wanted or expected.capabilities is not None:
                try:
                    found, digest, capabilities = self._read(folder, name, expected, wanted, beat)
                except (FileNotFoundError, IsADirectoryError):
                    raise
                except OSError as error:
                    problem = _reason(error)
                except ValueError:  # as a FIPS host does with MD5
                    problem = f"this host refuses {expected.algorithm}"
        elif stat.S_ISLNK(found.st_mode):
            link = folder.readlink(name)
        seen = Seen(
            found.st_mode,
            found.st_uid,
            found.st_gid,
            found.st_size,
            int(found.st_mtime),
            found.st_rdev,
            link,
            digest,
            capabilities,
        )
        if problem and expected.capabilities is not None:
            expected = expected._replace(capabilities=None)
        return seen, problem

    def _read(
        self, folder: LinuxFolder, name: bytes, expected: Expected, wanted: bool, beat: Callable[[], None]
    ) -> tuple[os.stat_result, str | None, bytes]:
        fd = folder.open(name, FILE_FLAGS)
        try:
            found = os.fstat(fd)
            _meant(expected, found)
            if not stat.S_ISREG(found.st_mode):
                return found, None, b""
            capabilities = b""
            if expected.capabilities is not None:
                capabilities = _capability(fd)
            digest = self._digest(fd, expected, beat) if wanted else None
            _meant(expected, os.fstat(fd))
            return found, digest, capabilities
        finally:
            os.close(fd)

    def _digest(self, fd: int, expected: Expected, beat: Callable[[], None]) -> str:
        total = hashlib.new(expected.algorithm, usedforsecurity=False)
        offset = 0
        while offset <= expected.largest and (count := os.preadv(fd, [self._buffer], offset)):
            total.update(self._buffer[:count])
            offset += count
            if count == BLOCK:
                beat()
        return total.hexdigest()

    def _folder(self, path: bytes) -> LinuxFolder:
        found = self._folders.get(path)
        if found is None:
            if len(self._folders) >= OPEN:
                old = self._folders.pop(next(iter(self._folders)))
                if isinstance(old, LinuxFolder):
                    old.close()
            try:
                found = self._files.open_folder(self._files.real(path))
            except OSError as error:
                found = error
            self._folders[path] = found
        if isinstance(found, OSError):
            raise found
        return found

    def close(self) -> None:
        """Let go of the folders."""
        for one in self._folders.values():
            if isinstance(one, LinuxFolder):
                one.close()
        self._folders.clear()


def identity(found: os.stat_result) -> Identity:
    """That of what a stat(2) found."""
    folder = stat.S_ISDIR(found.st_mode)
    return found.st_dev, found.st_ino, 0 if folder else found.st_ctime_ns


def _meant(expected: Expected, found: os.stat_result) -> None:
    if expected.identity is not None and expected.identity != identity(found):
        raise Another


def _capability(fd: int) -> bytes:
    try:
        return os.getxattr(fd, CAPABILITY)
    except OSError:
        return b""  # none, or a file system without


def _told(expected: Expected, words: list[str], clauses: list[str], problem: str = "") -> Told:
    return Told(expected.path, expected.key, words, clauses, problem)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
