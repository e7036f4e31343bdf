"""The terminal that a device number stands for: /dev as the kernel numbers it, admin-guide/devices.rst."""

from __future__ import annotations

from typing import Final

PTS: Final = range(136, 144)
TTY, SERIAL = 4, 64


def tty_name(device: int) -> bytes | None:
    """The name of a terminal by `tty_nr` of proc_pid_stat(5): b"" for none, None for one of another kind."""
    if not device:
        return b""
    major, minor = device >> 8 & 0xFFF, (device & 0xFF) | (device >> 12 & 0xFFF00)
    if major in PTS:
        return b"pts%d" % ((major - PTS.start) * 256 + minor)
    if major == TTY:
        return b"tty%d" % minor if minor < SERIAL else b"ttyS%d" % (minor - SERIAL)
    return None
