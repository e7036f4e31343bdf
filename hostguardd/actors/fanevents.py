"""Events of a fanotify group that reports folders and names: fanotify(7), linux/fanotify.h. Pure.

The rule: whatever bytes come, the answer is events; a record that is cut short ends the list, and an
event without a folder has None for it.
"""

from __future__ import annotations

import struct
from enum import IntFlag
from typing import Final, NamedTuple

VERSION: Final = 3
NO_PIDFD: Final = -1

_METADATA = struct.Struct("=IBBHQii")
_INFO = struct.Struct("=BBH")
_HANDLE = struct.Struct("=8sIi")
FID, DFID_NAME, DFID, PIDFD = 1, 2, 3, 4
METADATA: Final = _METADATA.size
_new = tuple.__new__


class Mask(IntFlag):
    """What happened."""

    MODIFY = 0x2
    ATTRIB = 0x4
    CLOSE_WRITE = 0x8
    MOVED_FROM = 0x40
    MOVED_TO = 0x80
    CREATE = 0x100
    DELETE = 0x200
    OPEN_EXEC = 0x1000
    Q_OVERFLOW = 0x4000
    ONDIR = 0x40000000


Handle = tuple[int, bytes]
"""What the kernel knows a file by, whatever it is called: handle type, handle. On another file system the
same may be another file."""


class FanEvent(NamedTuple):
    """`folder` is (file system id, handle type, handle) of the folder, None when none was reported. `name`
    in it is b"." for the folder itself. `pidfd` is -1 where none came; whoever reads events owns the
    others. `file` is what was changed, None where that was not told."""

    mask: int
    pid: int
    folder: tuple[bytes, int, bytes] | None
    name: bytes
    pidfd: int = NO_PIDFD
    file: Handle | None = None


def events(data: bytes) -> list[FanEvent]:
    """The events of one read(2)."""
    found = []
    at, end = 0, len(data)
    unpack = _METADATA.unpack_from
    while at + METADATA <= end:
        length, version, _, head, mask, _, pid = unpack(data, at)
        if version != VERSION or length < METADATA or at + length > end or not METADATA <= head <= length:
            break
        found.append(_one(data, at + head, at + length, mask, pid))
        at += length
    return found


def _one(data: bytes, at: int, end: int, mask: int, pid: int) -> FanEvent:
    folder, name, pidfd, file = None, b"", NO_PIDFD, None
    while at + _INFO.size <= end:
        kind, _, length = _INFO.unpack_from(data, at)
        stop = at + length
        if length < _INFO.size or stop > end:
            break
        body = at + _INFO.size
        if kind in (DFID_NAME, DFID, FID) and body + _HANDLE.size <= stop:
            fsid, size, sort = _HANDLE.unpack_from(data, body)
            start = body + _HANDLE.size
            if start + size <= stop:
                handle = data[start : start + size]
                if kind == FID:
                    file = sort, handle
                else:
                    folder = (fsid, sort, handle)
                if kind == DFID_NAME:
                    name = data[start + size : stop].split(b"\0", 1)[0]
        elif kind == PIDFD and body + 4 <= stop:
            pidfd = max(int.from_bytes(data[body : body + 4], _ORDER, signed=True), NO_PIDFD)
        at = stop
    return _new(FanEvent, (mask, pid, folder, name, pidfd, file))


_ORDER: Final = "little" if struct.pack("=H", 1) == b"\1\0" else "big"
