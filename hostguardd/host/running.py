"""The file that a process runs, through /proc/PID/exe: the only way to it once it was deleted."""

from __future__ import annotations

import os
import stat

from .reading import READ_FLAGS


def open_image(pid: int, target: bytes, proc: bytes = b"/proc") -> tuple[int, os.stat_result] | None:
    """A descriptor of the running image and its stat; None when it is gone, not ours to read, or no longer
    what `target` says (where /proc/PID/exe points: the pid may be another's by now)."""
    link = b"%s/%d/exe" % (proc, pid)
    try:
        fd = os.open(link, READ_FLAGS)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        if os.readlink(link) == target and stat.S_ISREG(found.st_mode):
            return fd, found
    except OSError:
        pass
    os.close(fd)
    return None
