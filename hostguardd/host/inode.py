"""What an inode carries besides what stat(2) tells: extended attributes, chattr(1)'s flags, its birth."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

from ..model import encode_xattrs

FS_IOC_GETFLAGS = 0x80086601  # linux/fs.h, _IOR('f', 1, long)
SHOWN_FLAGS = 0x6293CCFF
"""The chattr(1) flags an administrator can set. The rest (extents, indexed folder, inline data, the
compression states) are the file system's own bookkeeping and come and go with the content."""


AT_SYMLINK_NOFOLLOW = 0x100  # linux/fcntl.h
STATX_BTIME = 0x800  # linux/stat.h
_STATX = struct.Struct("I76xqI164x")
"""struct statx: stx_mask, and the seconds and nanoseconds of stx_btime."""

_libc = ctypes.CDLL(None)


def xattrs(place: int | bytes) -> bytes | None:
    """All extended attributes we may read, canonically; None when they cannot be listed. `place` is a
    descriptor, or the path of what is never opened, such as a link."""
    follow = isinstance(place, int)
    try:
        names = os.listxattr(place, follow_symlinks=follow)
        if not names:
            return b""
        return encode_xattrs((os.fsencode(n), os.getxattr(place, n, follow_symlinks=follow)) for n in names)
    except OSError as error:
        return b"" if error.errno in (errno.ENOTSUP, errno.ENOSYS) else None


def flags(fd: int) -> int | None:
    """The chattr flags (ioctl_iflags(2)); 0 where the file system has none."""
    try:
        raw = fcntl.ioctl(fd, FS_IOC_GETFLAGS, b"\0" * 8)
    except OSError as error:
        return 0 if error.errno in (errno.ENOTTY, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL) else None
    return int.from_bytes(raw[:4], "little") & SHOWN_FLAGS


def born(folder: int, name: bytes) -> int | None:
    """When an entry of an open folder was made, in nanoseconds since the epoch, by statx(2). None where it is
    gone, or its file system or the C library does not tell."""
    try:
        call = _libc.statx
    except AttributeError:
        return None
    found = ctypes.create_string_buffer(_STATX.size)
    if call(folder, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME, found) != 0:
        return None
    mask, seconds, nanoseconds = _STATX.unpack(found.raw)
    # 0: of an image whose inodes a tool wrote, without a time.
    return int(seconds * 10**9 + nanoseconds) or None if mask & STATX_BTIME else None
