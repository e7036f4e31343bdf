"""Netlink bytes, built here as the kernel builds them."""

from __future__ import annotations

import socket
import struct

from hostguardd.host.nlmsg import NLMSG_DONE
from hostguardd.host.sockdiag import SOCK_DIAG_BY_FAMILY

SEQUENCE = 77


def message(body: bytes, kind: int = SOCK_DIAG_BY_FAMILY, flags: int = 2, sequence: int = SEQUENCE) -> bytes:
    """One message of an answer, padded."""
    whole = struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body
    return whole + bytes(-len(whole) % 4)


def inet(family: int, address: str, port: int, cookie: int, uid: int, inode: int, index: int = 0) -> bytes:
    """struct inet_diag_msg."""
    packed = socket.inet_pton(family, address).ljust(16, b"\0")
    return (
        struct.pack("=BBBB", family, 10, 0, 0)
        + struct.pack("!HH16s16s", port, 0, packed, bytes(16))
        + struct.pack("=IQIIIII", index, cookie, 0, 0, 128, uid, inode)
    )


def attribute(kind: int, value: bytes) -> bytes:
    """struct nlattr and its value, padded."""
    whole = struct.pack("=HH", 4 + len(value), kind) + value
    return whole + bytes(-len(whole) % 4)


def unix(cookie: int, inode: int, *attributes: bytes) -> bytes:
    """struct unix_diag_msg."""
    return struct.pack("=BBBBIQ", socket.AF_UNIX, 1, 10, 0, inode, cookie) + b"".join(attributes)


DONE = message(struct.pack("=i", 0), NLMSG_DONE)
