"""Room kept back for the day the disk is full.

A full disk is the cheapest way to silence a log, and often comes with the very event that matters.
So a file of real blocks lies beside the log and is given up, once, when a write finds no space;
what is told then fits where it lay. The rule: it is taken again only when there is room for twice
its size, or it would be traded back and forth with whatever is filling the disk.
"""

from __future__ import annotations

import os

from .chain import open_plain


class Reserve:
    """A file of `size` bytes at `path` that is only there to be removed. A size of 0 keeps none."""

    def __init__(self, path: str, size: int) -> None:
        self._path = path
        self._size = size
        self.held = False

    def take(self) -> None:
        """Make sure that it is there, if the file system has room to spare. Never raises OSError."""
        try:
            self.held = self._size > 0 and (self._stands() or self._allocate())
        except OSError:
            self.held = False  # no room, no quota, or no such call here: then there is no reserve

    def give(self) -> bool:
        """Free its blocks. False if it was not held, or cannot be freed."""
        if not self.held:
            return False
        self.held = False
        try:
            os.unlink(self._path)
        except OSError:
            return False
        return True

    def _stands(self) -> bool:
        try:
            found = os.lstat(self._path)
        except FileNotFoundError:
            return False
        if found.st_size == self._size and found.st_blocks * 512 >= self._size:
            return True
        os.unlink(self._path)
        return False

    def _allocate(self) -> bool:
        space = os.statvfs(os.path.dirname(self._path))
        if space.f_bavail * space.f_frsize < 2 * self._size:
            return False
        fd = open_plain(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(fd, 0, self._size)
        except OSError:
            os.unlink(self._path)
            raise
        finally:
            os.close(fd)
        return True
