"""The kernel's inotify: three calls and a reader of its records, in bytes.

Why not one of the libraries: those that come with watchdog hide overflow and failed watches, and
`inotify_simple` runs `ldconfig` as a child process to find libc and turns names into `str`. What
is left is small enough to say here once.

Sources: inotify(7), inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2), proc(5) for
`/proc/PID/fdinfo`, <sys/inotify.h> for the numbers.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from enum import IntFlag

from .ready import ready


class Flag(IntFlag):
    """Bits of a watch's mask and of an event's, as in <sys/inotify.h>."""

    MODIFY = 0x2
    ATTRIB = 0x4
    CLOSE_WRITE = 0x8
    MOVED_FROM = 0x40
    MOVED_TO = 0x80
    CREATE = 0x100
    DELETE = 0x200
    DELETE_SELF = 0x400
    MOVE_SELF = 0x800
    UNMOUNT = 0x2000
    Q_OVERFLOW = 0x4000
    IGNORED = 0x8000
    ONLYDIR = 0x0100_0000
    DONT_FOLLOW = 0x0200_0000
    EXCL_UNLINK = 0x0400_0000
    ISDIR = 0x4000_0000


READ_SIZE = 64 * 1024
LARGEST = struct.calcsize("iIII") + 256
"""The largest record: a header, a name of 255 bytes and its NUL."""

_HEADER = struct.Struct("iIII")
_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK

_libc = ctypes.CDLL(None, use_errno=True)
_libc.inotify_init1.argtypes = (ctypes.c_int,)
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_libc.inotify_rm_watch.argtypes = (ctypes.c_int, ctypes.c_int)


def _checked(result: int, path: bytes | None = None) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return result


class Inotify:
    """One inotify instance. Every call is safe from any thread; closing is the owner's to order."""

    def __init__(self) -> None:
        """Raises OSError: EMFILE when `fs.inotify.max_user_instances` or RLIMIT_NOFILE is reached."""
        self.fd = _checked(_libc.inotify_init1(_CLOEXEC_NONBLOCK))

    def add(self, path: bytes, mask: int) -> int:
        """Watch `path`; its watch descriptor, the same one if that inode is watched already.

        Raises OSError: ENOSPC (limit of watches), EACCES (reading is not allowed), ENOENT, ENOTDIR,
        ENAMETOOLONG, ENOMEM.
        """
        return _checked(_libc.inotify_add_watch(self.fd, path, mask), path)

    def remove(self, wd: int) -> None:
        """Stop watching; an IGNORED record follows. A watch the kernel already ended is fine."""
        _libc.inotify_rm_watch(self.fd, wd)

    def read(self) -> bytes:
        """Up to `READ_SIZE` bytes of whole records, b"" when there are none. Never waits."""
        try:
            return os.read(self.fd, READ_SIZE)
        except BlockingIOError:
            return b""

    def wait(self, seconds: float) -> bool:
        """Whether there is something to read, or came within `seconds`."""
        return bool(ready([self.fd], seconds))

    def living(self) -> set[int] | None:
        """The watch descriptors that the kernel still holds; None where /proc does not say."""
        try:
            with open(f"/proc/self/fdinfo/{self.fd}", "rb") as lines:
                return {
                    int(line.split(b" ", 2)[1].removeprefix(b"wd:"), 16)
                    for line in lines
                    if line.startswith(b"inotify ")
                }
        except OSError:
            return None

    def close(self) -> None:
        """Give the instance and all its watches back."""
        os.close(self.fd)


def records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(watch descriptor, mask, name) of each record in `data`; the name is b"" for the folder itself."""
    at, end = 0, len(data)
    unpack, size = _HEADER.unpack_from, _HEADER.size
    while at < end:
        wd, mask, _cookie, length = unpack(data, at)
        at += size + length
        yield wd, mask, data[at - length : at].rstrip(b"\0") if length else b""
