"""The kernel's fanotify: a group that reports files, folders and names, and the way from a handle to a path.

Marks are on whole file systems, so that what happens in a private mount namespace (any confined unit) is seen
as well, and no folder needs a watch of its own. Needs CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH and a kernel
>= 5.9; the queue is the kernel's usual one, and a full one is told (Q_OVERFLOW). Descriptors are never asked
for: nothing is opened for an event.

Sources: fanotify_init(2), fanotify_mark(2), fanotify(7), open_by_handle_at(2), fcntl(2).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections import OrderedDict
from typing import Final

from ..actors.fanevents import FanEvent, Handle, events

CLOEXEC, NONBLOCK, REPORT_FID, REPORT_DFID_NAME = 0x1, 0x2, 0x200, 0xC00
ADD, REMOVE, FILESYSTEM = 0x1, 0x2, 0x100
AT_FDCWD: Final = -100
READ_SIZE: Final = 64 * 1024
AT_ONCE: Final = 64
"""Reads of one drain."""

MAX_HANDLE: Final = 128

PATHS: Final = 2048
"""Folders whose path is remembered."""

_libc = ctypes.CDLL(None, use_errno=True)


def _bind() -> bool:
    """musl and old glibc may lack the wrappers."""
    try:
        _libc.fanotify_init.argtypes = (ctypes.c_uint, ctypes.c_uint)
        _libc.fanotify_mark.argtypes = (
            ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p,
        )  # fmt: skip
        _libc.open_by_handle_at.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
        _libc.name_to_handle_at.argtypes = (
            ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int), ctypes.c_int,
        )  # fmt: skip
    except AttributeError:
        return False
    return True


_BOUND = _bind()


def _checked(result: int, path: bytes | None = None) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return result


class Fanotify:
    """One group."""

    def __init__(self) -> None:
        """Raises OSError: EPERM without CAP_SYS_ADMIN or by the unit's filter of system calls, EINVAL before
        5.9, ENOSYS, EMFILE."""
        if not _BOUND:
            raise OSError(38, os.strerror(38))
        flags = CLOEXEC | NONBLOCK | REPORT_FID | REPORT_DFID_NAME
        self.fd = _checked(_libc.fanotify_init(flags, os.O_RDONLY))
        self._mounts: dict[bytes, int] = {}
        self._paths: OrderedDict[tuple[bytes, int, bytes], bytes] = OrderedDict()

    def fileno(self) -> int:
        """For waiting."""
        return self.fd

    def mark(self, path: bytes, mask: int) -> bytes:
        """Mark the file system that holds `path`; its id. Raises OSError: ENODEV and EXDEV for a file
        system without an id of its own, EOPNOTSUPP for one without handles, ENOSPC (limit of marks)."""
        fsid = file_system(path)
        _checked(_libc.fanotify_mark(self.fd, ADD | FILESYSTEM, mask, AT_FDCWD, path), path)
        if fsid not in self._mounts:
            self._mounts[fsid] = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return fsid

    def unmark(self, path: bytes, mask: int) -> None:
        """No longer these events. Raises OSError."""
        _checked(_libc.fanotify_mark(self.fd, REMOVE | FILESYSTEM, mask, AT_FDCWD, path), path)

    def read(self) -> list[FanEvent]:
        """What has come, in order. Never waits."""
        found: list[FanEvent] = []
        for _ in range(AT_ONCE):
            try:
                data = os.read(self.fd, READ_SIZE)
            except BlockingIOError:
                break
            found += events(data)
            if len(data) < READ_SIZE // 2:
                break
        return found

    def path(self, folder: tuple[bytes, int, bytes]) -> bytes | None:
        """The path of a folder as it is now; None when it is gone."""
        known = self._paths.get(folder)
        if known is not None:
            return known
        fsid, kind, handle = folder
        mount = self._mounts.get(fsid)
        if mount is None:
            return None
        wanted = struct.pack("=Ii", len(handle), kind) + handle
        fd = _libc.open_by_handle_at(mount, wanted, os.O_PATH | os.O_CLOEXEC)
        if fd < 0:
            return None
        try:
            found = os.readlink(b"/proc/self/fd/%d" % fd)
        except OSError:
            return None
        finally:
            os.close(fd)
        if not found.startswith(b"/") or (found.endswith(b" (deleted)") and not os.path.lexists(found)):
            return None
        self._paths[folder] = found
        if len(self._paths) > PATHS:
            self._paths.popitem(last=False)
        return found

    def handle(self, path: bytes) -> Handle | None:
        """What events call the file that is there now, see `fanevents`; None when that cannot be told."""
        room = ctypes.create_string_buffer(struct.pack("=I", MAX_HANDLE), 8 + MAX_HANDLE)
        if _libc.name_to_handle_at(AT_FDCWD, path, room, ctypes.byref(ctypes.c_int()), 0) < 0:
            return None
        size, kind = struct.unpack_from("=Ii", room)
        return kind, room.raw[8 : 8 + size]

    def moved(self) -> None:
        """A folder was renamed: every path that was remembered may be another now."""
        self._paths.clear()

    def close(self) -> None:
        """Give the group and all its marks back."""
        os.close(self.fd)
        for fd in self._mounts.values():
            os.close(fd)
        self._mounts.clear()


def file_system(path: bytes) -> bytes:
    """The id of the file system that holds `path`, as events carry it. Raises OSError."""
    return struct.pack("=Q", os.statvfs(path).f_fsid & 0xFFFFFFFFFFFFFFFF)
