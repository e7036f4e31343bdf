"""Whether anybody has a file open for writing, as the kernel itself counts it.

A lease to read is given only while nobody has (fcntl(2), F_SETLEASE). /proc would not do: who maps a file and
hands its descriptor away is found in no process. The lease is given back at once; whoever opens the file in
between waits that long, and the signal that would ask for it back is one that nobody heeds.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat


def open_to_write(path: bytes) -> bool | None:
    """None when it cannot be told: it is not ours (CAP_LEASE), or its file system has no leases. What is no
    regular file has no content to write."""
    try:
        place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            return False
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOATIME | os.O_CLOEXEC
        file = os.open(b"/proc/self/fd/%d" % place, flags)
    except OSError:
        return None
    finally:
        os.close(place)
    try:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(file)
    return False
