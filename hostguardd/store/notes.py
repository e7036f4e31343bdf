"""Small files that one process leaves for another: replaced whole, read with suspicion.

Whoever may write the folder may write anything into them, so that a reader takes no link, no FIFO and no more
bytes than it asked for, and what is no JSON object is not there.
"""

from __future__ import annotations

import json
import os
import stat
from typing import Any


def replace_file(path: str, content: bytes, *, sync: bool = False, mode: int = 0o640) -> None:
    """A file with that content in place of what was there, whole at every moment. Raises OSError."""
    draft = f"{path}.next"
    try:
        os.unlink(draft)  # of a process that was killed, or somebody's FIFO
    except FileNotFoundError:
        pass
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(draft, path)


def _content(path: str, largest: int) -> bytes | None:
    """What a small file holds; None for one that is not there, is no plain file, or is too large."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        content = os.read(fd, largest + 1)
    except OSError:
        return None
    finally:
        os.close(fd)
    return content if len(content) <= largest else None


def read_note(path: str, largest: int) -> dict[str, Any] | None:
    """The JSON object in a file of at most `largest` bytes; None for anything else."""
    content = _content(path, largest)
    try:
        found = json.loads(content) if content else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
