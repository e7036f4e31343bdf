"""Small texts of the host, such as tables of accounts and the ends of logs, read by someone who expects lies.

The rules kept: nothing but a regular file is read (also a hostile user may put a FIFO there), never more
than was asked for, opening never blocks and moves no atime where the kernel lets us. What is not there
is told from what could not be looked at. `root` may be a mounted image: then no link leads out of it.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple, Protocol, TypeAlias

from ..model import join, split
from .files import FILE_FLAGS, LinuxFiles, is_gone
from .reading import read_open


class Text(NamedTuple):
    """Bytes of a file and what fstat(2) says of it. `data` is None when there is no such file; with a
    `problem` (a clause) when there may be one that could not be read."""

    data: bytes | None
    stat: os.stat_result | None = None
    problem: str = ""


ABSENT = Text(None)


class TextHost(Protocol):
    """Texts by path. Nothing raises for what it meets."""

    def read(self, path: bytes, limit: int, offset: int = 0) -> Text:
        """Up to `limit` bytes of the regular file at `path`, from `offset` on. A link at the very end is
        followed, as the programs do whose settings these are."""
        ...

    def lstat(self, path: bytes) -> os.stat_result | None:
        """The entry itself; None when it is not there or may not be looked at."""
        ...

    def link(self, path: bytes) -> bytes:
        """Where a symbolic link points; b"" when it is none."""
        ...

    def names(self, folder: bytes, limit: int) -> list[bytes] | None:
        """Up to `limit` names in a folder, sorted; None when it cannot be listed."""
        ...


Mark: TypeAlias = tuple[int, int, int, int]


def mark(found: os.stat_result | None) -> Mark | None:
    """What moves when a file is written, replaced or touched: inode, size, mtime, ctime; None: not there."""
    return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def stamp(texts: TextHost, folder: bytes) -> int:
    """What moves when names come to a folder or leave it: its mtime in nanoseconds, -1 if it is not there."""
    found = texts.lstat(folder)
    return -1 if found is None else found.st_mtime_ns


class LinuxTexts:
    """`TextHost` of this host, or of the image whose root is `files.root`."""

    def __init__(self, files: LinuxFiles) -> None:
        self._files = files

    def read(self, path: bytes, limit: int, offset: int = 0) -> Text:
        """As `TextHost.read`."""
        try:
            folder, name = split(self._files.real(path))
            with self._files.open_folder(folder) as opened:
                fd = opened.open(name, FILE_FLAGS)
        except OSError as error:
            return ABSENT if is_gone(error) else Text(None, None, error.strerror or str(error))
        try:
            seen = os.fstat(fd)
            if not stat.S_ISREG(seen.st_mode):
                return Text(None, seen, "is no regular file")
            return Text(read_open(fd, limit, offset), seen)
        except OSError as error:
            return Text(None, None, error.strerror or str(error))
        finally:
            os.close(fd)

    def lstat(self, path: bytes) -> os.stat_result | None:
        """As `TextHost.lstat`."""
        try:
            return os.lstat(self._place(path))
        except (OSError, ValueError):
            return None

    def link(self, path: bytes) -> bytes:
        """As `TextHost.link`."""
        try:
            return os.readlink(self._place(path))
        except (OSError, ValueError):
            return b""

    def names(self, folder: bytes, limit: int) -> list[bytes] | None:
        """As `TextHost.names`."""
        try:
            with self._files.open_folder(self._files.real(folder)) as opened:
                return sorted(opened.names(limit))
        except OSError:
            return None

    def _place(self, path: bytes) -> bytes:
        """`path` as this process sees it, the links of its folders resolved within the root."""
        folder, name = split(path)
        try:
            folder = self._files.real(folder)
        except OSError:
            pass  # then there is nothing there either
        return join(join(self._files.root, folder.lstrip(b"/")) if self._files.root != b"/" else folder, name)
