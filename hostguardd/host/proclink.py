"""The kernel's process connector: who forks, runs a program, becomes another user, ends. linux/cn_proc.h.

A filter on the socket lets only those messages through that are read, so that threads and renames, of which
anybody can make any number, cost us nothing. Too slow a reader is told so by ENOBUFS. Needs CAP_NET_ADMIN,
the first network and pid namespace.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from typing import Final

from ..actors import procevents
from .auditlink import Inlet, roomy

CONNECTOR: Final = 11  # linux/netlink.h
SO_ATTACH_FILTER: Final = 26
ROOM: Final = 8 * 1024 * 1024
LARGEST: Final = 256
AT_ONCE: Final = 16_384


class ProcLink:
    """The open connector."""

    def __init__(self) -> None:
        """Raises OSError: EPERM without CAP_NET_ADMIN, EPROTONOSUPPORT in a kernel without it,
        ECONNREFUSED outside the first network namespace, ENODEV outside the first pid namespace."""
        if os.stat("/proc/self/ns/pid").st_ino != FIRST_PID_NAMESPACE:
            raise OSError(19, "not the host's own pid namespace")
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._door = socket.socket(socket.AF_NETLINK, kind, CONNECTOR)
        self._inlet = Inlet(self._door, LARGEST, AT_ONCE)
        try:
            roomy(self._door, ROOM)
            self._filter()
            self._door.bind((0, procevents.CN_IDX_PROC))
            self._door.send(procevents.subscribe(self._door.getsockname()[0]))
        except OSError:
            self._door.close()
            raise

    def _filter(self) -> None:
        program = ctypes.create_string_buffer(code := procevents.filter_program(), len(code))
        head = struct.pack("@HP", len(code) // 8, ctypes.addressof(program))
        self._door.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, head)

    def fileno(self) -> int:
        """For waiting."""
        return self._door.fileno()

    def read(self) -> tuple[list[procevents.ProcEvent], bool]:
        """What has come, in order, and whether something was lost. Never waits."""
        datagrams, lost = self._inlet.read()
        return [one for one in map(procevents.event, datagrams) if one is not None], lost

    def close(self) -> None:
        """Give it back."""
        try:
            self._door.send(procevents.subscribe(self._door.getsockname()[0], procevents.IGNORE))
        except OSError:
            pass
        self._door.close()


FIRST_PID_NAMESPACE: Final = 0xEFFFFFFC  # linux/proc_ns.h: PROC_PID_INIT_INO
