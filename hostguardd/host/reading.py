"""Reading an open file to its end or to a limit, and the flags to open by what lies in /proc and /sys.

Many files of procfs hand out a page at a time, and one read says nothing of where the end is. Reading is by
pread(2): it leaves a descriptor that is kept for life where it was.
"""

from __future__ import annotations

import os
from typing import Final

READ_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
BLOCK: Final = 256 * 1024
ENDLESS: Final = 1 << 62


def read_open(fd: int, limit: int = ENDLESS, offset: int = 0) -> bytes:
    """Up to `limit` bytes from `offset` on. Raises OSError."""
    parts = []
    end = offset + limit
    while offset < end and (part := os.pread(fd, min(end - offset, BLOCK), offset)):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def read_path(path: bytes, limit: int = ENDLESS) -> bytes:
    """The same of what lies at `path`, from its beginning. Raises OSError."""
    fd = os.open(path, READ_FLAGS)
    try:
        return read_open(fd, limit)
    finally:
        os.close(fd)
