"""The sock_diag messages: requests as bytes, answers as Sockets. Pure; sock_diag(7), linux/inet_diag.h,
linux/unix_diag.h, linux/packet_diag.h, and RFC 3549 for what a netlink message is.

The kernel filters by state, so that an answer holds waiting sockets only. Two readers of the same
bytes: `cookies` takes just the name of each socket, several times a second; `sockets` takes it all.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from .live import Socket
from .nlmsg import attributes

SOCK_DIAG_BY_FAMILY: Final = 20
NLM_F_DUMP_REQUEST: Final = 0x301  # REQUEST | ROOT | MATCH
NLM_F_DUMP_INTR: Final = 0x10
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
UDIAG_SHOW_NAME: Final = 0x01
UDIAG_SHOW_UID: Final = 0x40
UNIX_DIAG_NAME: Final = 0
UNIX_DIAG_UID: Final = 7
PACKET_SHOW_INFO: Final = 0x01
PACKET_DIAG_INFO: Final = 0
PACKET_DIAG_UID: Final = 5
ESTABLISHED, CLOSE, LISTEN = 1 << 1, 1 << 7, 1 << 10  # linux/tcp_states.h


class Query(NamedTuple):
    """What to ask for a protocol: address family, IP protocol, states as a bit mask."""

    family: int
    protocol: int
    states: int


QUERIES: Final = {
    "tcp": Query(socket.AF_INET, socket.IPPROTO_TCP, LISTEN),
    "tcp6": Query(socket.AF_INET6, socket.IPPROTO_TCP, LISTEN),
    "udp": Query(socket.AF_INET, socket.IPPROTO_UDP, CLOSE),  # bound and not connected
    "udp6": Query(socket.AF_INET6, socket.IPPROTO_UDP, CLOSE),
    "raw": Query(socket.AF_INET, socket.IPPROTO_RAW, CLOSE | ESTABLISHED),
    "raw6": Query(socket.AF_INET6, socket.IPPROTO_RAW, CLOSE | ESTABLISHED),
    "sctp": Query(socket.AF_INET, socket.IPPROTO_SCTP, LISTEN),
    "sctp6": Query(socket.AF_INET6, socket.IPPROTO_SCTP, LISTEN),
    "packet": Query(socket.AF_PACKET, 0, 0),
    "unix": Query(socket.AF_UNIX, 0, LISTEN),
}

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_LENGTH_TYPE = struct.Struct("=IH")
_INET_REQUEST = struct.Struct("=BBBxI48x")
_UNIX_REQUEST = struct.Struct("=BBxxIIIII")
_PACKET_REQUEST = struct.Struct("=BBxxIIII")
_INET_ID = struct.Struct("!H2x16s16x")  # source port and address, 20 bytes into the message
_INET_REST = struct.Struct("=IQ12xII")  # interface, cookie, uid, inode
_UNIX = struct.Struct("=BBBxIQ")  # family, type, state, inode, cookie
_PACKET = struct.Struct("=BBHIQ")  # family, type, protocol, inode, cookie
_BODY = _HEADER.size
_INET_SIZE, _UNIX_SIZE, _PACKET_SIZE = _BODY + 72, _BODY + _UNIX.size, _BODY + _PACKET.size
_SHORT, _LONG = slice(_BODY + 8, _BODY + 16), slice(_BODY + 44, _BODY + 52)  # where the cookie is


class Malformed(ValueError):
    """Bytes that are no netlink answer."""


def request(query: Query, sequence: int) -> bytes:
    """The dump request."""
    if query.family == socket.AF_UNIX:
        show = UDIAG_SHOW_NAME | UDIAG_SHOW_UID
        body = _UNIX_REQUEST.pack(query.family, 0, query.states, 0, show, 0xFFFFFFFF, 0xFFFFFFFF)
    elif query.family == socket.AF_PACKET:
        body = _PACKET_REQUEST.pack(query.family, 0, 0, PACKET_SHOW_INFO, 0xFFFFFFFF, 0xFFFFFFFF)
    else:
        body = _INET_REQUEST.pack(query.family, query.protocol, 0, query.states)
    return _HEADER.pack(_BODY + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_DUMP_REQUEST, sequence, 0) + body


class Part(NamedTuple):
    """One datagram of an answer, looked through: `data` holds the socket messages of our request.

    `error` is 0 or an errno; `interrupted` says that the tables moved while they were dumped.
    """

    data: list[bytes]
    done: bool
    error: int
    interrupted: bool


def part(datagram: bytes, sequence: int) -> Part:
    """Take a datagram apart. Messages of an earlier, abandoned request are dropped."""
    data: list[bytes] = []
    at, end = 0, len(datagram)
    interrupted = False
    while at + _BODY <= end:
        length, kind, flags, number, _ = _HEADER.unpack_from(datagram, at)
        if length < _BODY or at + length > end:
            raise Malformed(f"a netlink message of {length} bytes in {end - at}")
        if number == sequence:
            interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
            if kind in (NLMSG_ERROR, NLMSG_DONE):
                error = struct.unpack_from("=i", datagram, at + _BODY)[0] if length >= _BODY + 4 else 0
                return Part(data, True, -error if error < 0 else 0, interrupted)
            if kind == SOCK_DIAG_BY_FAMILY:
                data.append(datagram[at : at + length])
        at += (length + 3) & ~3
    if at < end:
        raise Malformed(f"{end - at} stray bytes after the last netlink message")
    return Part(data, False, 0, interrupted)


def cookies(messages: list[bytes], query: Query) -> bytes:
    """The sockets' cookies, end to end: all that is needed to see whether anything changed."""
    where = _SHORT if query.family in (socket.AF_UNIX, socket.AF_PACKET) else _LONG
    return b"".join([message[where] for message in messages])


def ports(messages: list[bytes]) -> frozenset[int]:
    """The local ports of sockets of the internet protocols."""
    return frozenset(
        _INET_ID.unpack_from(message, _BODY + 4)[0] for message in messages if len(message) >= _INET_SIZE
    )


def sockets(messages: list[bytes], query: Query, interface: Callable[[int], bytes]) -> Iterator[Socket]:
    """The sockets in full. `interface` names the one a socket is bound to, by index."""
    if query.family == socket.AF_UNIX:
        for message in messages:
            if len(message) >= _UNIX_SIZE:
                yield _unix(message)
        return
    if query.family == socket.AF_PACKET:
        for message in messages:
            if len(message) >= _PACKET_SIZE and (found := _packet(message, interface)):
                yield found
        return
    width = 4 if query.family == socket.AF_INET else 16
    for message in messages:
        if len(message) < _INET_SIZE:
            continue
        port, packed = _INET_ID.unpack_from(message, _BODY + 4)
        index, cookie, uid, inode = _INET_REST.unpack_from(message, _BODY + 40)
        address = socket.inet_ntop(query.family, packed[:width]).encode()
        if index:
            address += b"%" + interface(index)
        yield Socket(cookie, address, port, uid, inode)


def _unix(message: bytes) -> Socket:
    _, _, _, inode, cookie = _UNIX.unpack_from(message, _BODY)
    name, uid = b"", None
    for kind, value in attributes(message[_UNIX_SIZE:]):
        if kind == UNIX_DIAG_NAME:
            # An abstract name begins with NUL and may hold more of them; a path ends at its NUL.
            name = b"@" + value[1:] if value[:1] == b"\0" else value.split(b"\0", 1)[0]
        elif kind == UNIX_DIAG_UID and len(value) == 4:
            (uid,) = struct.unpack("=I", value)
    return Socket(cookie, name, 0, uid, inode)


def _packet(message: bytes, interface: Callable[[int], bytes]) -> Socket | None:
    """A packet socket, None for one that only sends: it has no protocol."""
    _, _, protocol, inode, cookie = _PACKET.unpack_from(message, _BODY)
    index, uid = 0, None
    for kind, value in attributes(message[_PACKET_SIZE:]):
        if kind == PACKET_DIAG_INFO and len(value) >= 4:
            (index,) = struct.unpack_from("=I", value)
        elif kind == PACKET_DIAG_UID and len(value) == 4:
            (uid,) = struct.unpack("=I", value)
    return Socket(cookie, interface(index) if index else b"any", protocol, uid, inode) if protocol else None
