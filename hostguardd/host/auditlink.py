"""The kernel's audit records by its multicast group: beside auditd, never instead of it. linux/audit.h.

The group is best effort: a reader that is too slow loses records, and is told so by ENOBUFS. Needs
CAP_AUDIT_READ; nothing is sent and no rule is loaded, ever. The rule: only the kernel is believed. Whoever
has CAP_NET_ADMIN may send to any group of netlink what looks like its records.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Final

from .netlink import AUDIT

READLOG: Final = 1
"""AUDIT_NLGRP_READLOG as a bit."""
ROOM: Final = 4 * 1024 * 1024
SO_RCVBUFFORCE: Final = 33
LARGEST: Final = 16 * 1024
"""Bytes of a record: the kernel cuts at MAX_AUDIT_MESSAGE_LENGTH (8970)."""
AT_ONCE: Final = 4096
KERNEL: Final = 0
"""The port that the kernel sends from; nobody else can have it."""

_HEADER = struct.Struct("=IHHII")


class AuditLink:
    """The open group. `lost` is set when records were lost since it was last taken."""

    def __init__(self) -> None:
        """Raises OSError: EPERM without CAP_AUDIT_READ, EPROTONOSUPPORT in a kernel without audit,
        ECONNREFUSED outside the first network namespace."""
        self._door = _open(AUDIT, READLOG)
        self._inlet = Inlet(self._door, LARGEST, AT_ONCE)

    def fileno(self) -> int:
        """For waiting."""
        return self._door.fileno()

    def read(self) -> tuple[list[tuple[int, bytes]], bool]:
        """(record type, text) of what has come, and whether records were lost. Never waits."""
        found: list[tuple[int, bytes]] = []
        datagrams, lost = self._inlet.read()
        for datagram in datagrams:
            if len(datagram) >= _HEADER.size:
                _, kind, _, _, _ = _HEADER.unpack_from(datagram)
                found.append((kind, datagram[_HEADER.size :]))
        return found, lost

    def close(self) -> None:
        """Give it back."""
        self._door.close()


def _open(protocol: int, groups: int) -> socket.socket:
    kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    door = socket.socket(socket.AF_NETLINK, kind, protocol)
    try:
        roomy(door, ROOM)
        door.bind((0, groups))
    except OSError:
        door.close()
        raise
    return door


def roomy(door: socket.socket, room: int) -> None:
    """Room for a burst: beyond net.core.rmem_max where we may (CAP_NET_ADMIN), else up to it."""
    try:
        door.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, room)
    except OSError:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)


class Inlet:
    """The kernel's datagrams that come to a socket; `most` are looked at in one reading.

    The kernel tells a loss once (ENOBUFS), and of further ones nothing until the socket was read empty
    (NETLINK_S_CONGESTED): each reading until then lost something.
    """

    def __init__(self, door: socket.socket, largest: int, most: int) -> None:
        self._receive = door.recvfrom
        self._largest, self._most = largest, most
        self._congested = False

    def read(self) -> tuple[list[bytes], bool]:
        """Those that have come, and whether some were lost. Never waits."""
        found: list[bytes] = []
        append, receive, largest = found.append, self._receive, self._largest
        lost = self._congested
        for _ in range(self._most):
            try:
                datagram, sender = receive(largest)
            except BlockingIOError:
                self._congested = False
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = self._congested = True
            else:
                if sender[0] == KERNEL:
                    append(datagram)
        return found, lost
