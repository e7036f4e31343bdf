"""Whether the wall clock was set, however soon it was set back: the kernel says so to a timer that asks for
it, timerfd_create(2), TFD_TIMER_CANCEL_ON_SET. Who only reads the clock now and then misses that.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final

CLOCK_REALTIME: Final = 0
ABSTIME: Final = 1
CANCEL_ON_SET: Final = 2
FAR: Final = 2**40
"""Seconds since the epoch, when it would go off."""


class ClockSet:
    """Also true after the machine slept: nothing tells that from a clock that was set. Where there is no such
    timer it is never true."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.timerfd_create(CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd >= 0:
            libc.timerfd_settime(self._fd, ABSTIME | CANCEL_ON_SET, struct.pack("@4q", 0, 0, FAR, 0), None)

    def taken(self) -> bool:
        """Whether it was set since this was asked last."""
        if self._fd < 0:
            return False
        try:
            os.read(self._fd, 8)
        except OSError as error:
            return error.errno == errno.ECANCELED
        return True

    def close(self) -> None:
        """Ask no more."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
