"""What sock_diag is asked and what it answers: bodies of requests, Sockets from messages. Pure; sock_diag(7),
linux/inet_diag.h, linux/unix_diag.h, linux/packet_diag.h.

The kernel filters by state, so that an answer holds waiting sockets only. Two readers of the same
bytes: `cookies` takes just the name of each socket, several times a second; `sockets` takes it all.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, overload

from .live import Connection, Socket
from .nlmsg import Message, attributes
from .parse import plain

SOCK_DIAG_BY_FAMILY: Final = 20
UDIAG_SHOW_NAME: Final = 0x01
UDIAG_SHOW_UID: Final = 0x40
UNIX_DIAG_NAME: Final = 0
UNIX_DIAG_UID: Final = 7
PACKET_SHOW_INFO: Final = 0x01
PACKET_DIAG_INFO: Final = 0
PACKET_DIAG_UID: Final = 5
ESTABLISHED, CLOSE, LISTEN = 1 << 1, 1 << 7, 1 << 10  # linux/tcp_states.h
SYN_SENT, CLOSE_WAIT = 1 << 2, 1 << 8
CONNECTED: Final = ESTABLISHED | SYN_SENT | CLOSE_WAIT


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

_INET_REQUEST = struct.Struct("=BBBxI48x")
_UNIX_REQUEST = struct.Struct("=BBxxIIIII")
_PACKET_REQUEST = struct.Struct("=BBxxIIII")
_INET_ID = struct.Struct("!H2x16s16x")  # source port and address, 4 bytes into the message
_INET_REST = struct.Struct("=IQ12xII")  # interface, cookie, uid, inode
_PAIR = struct.Struct("!HH16s16s")  # ports and addresses, 4 bytes into the message
_HELD = struct.Struct("=II")  # uid, inode
_CONNECTION = struct.Struct("44s")
_UNIX = struct.Struct("=BBBxIQ")  # family, type, state, inode, cookie
_PACKET = struct.Struct("=BBHIQ")  # family, type, protocol, inode, cookie
_INET_SIZE, _UNIX_SIZE, _PACKET_SIZE = 72, _UNIX.size, _PACKET.size
_SHORT, _LONG = slice(8, 16), slice(44, 52)  # where the cookie is


def request(query: Query) -> bytes:
    """The body of the dump request."""
    if query.family == socket.AF_UNIX:
        show = UDIAG_SHOW_NAME | UDIAG_SHOW_UID
        return _UNIX_REQUEST.pack(query.family, 0, query.states, 0, show, 0xFFFFFFFF, 0xFFFFFFFF)
    if query.family == socket.AF_PACKET:
        return _PACKET_REQUEST.pack(query.family, 0, 0, PACKET_SHOW_INFO, 0xFFFFFFFF, 0xFFFFFFFF)
    return _INET_REQUEST.pack(query.family, query.protocol, 0, query.states)


def cookies(messages: Iterable[Message], query: Query) -> bytes:
    """The sockets' cookies, end to end: all that is needed to see whether anything changed."""
    where = _SHORT if query.family in (socket.AF_UNIX, socket.AF_PACKET) else _LONG
    return b"".join([message.body[where] for message in messages if message.kind == SOCK_DIAG_BY_FAMILY])


def ports(messages: Iterable[Message]) -> frozenset[int]:
    """The local ports of sockets of the internet protocols."""
    return frozenset(_INET_ID.unpack_from(body, 4)[0] for body in _bodies(messages, _INET_SIZE))


def sockets(messages: Iterable[Message], query: Query, interface: Callable[[int], bytes]) -> Iterator[Socket]:
    """The sockets in full. `interface` names the one a socket is bound to, by index."""
    if query.family == socket.AF_UNIX:
        yield from map(_unix, _bodies(messages, _UNIX_SIZE))
        return
    if query.family == socket.AF_PACKET:
        for body in _bodies(messages, _PACKET_SIZE):
            if found := _packet(body, interface):
                yield found
        return
    width = 4 if query.family == socket.AF_INET else 16
    for body in _bodies(messages, _INET_SIZE):
        port, packed = _INET_ID.unpack_from(body, 4)
        index, cookie, uid, inode = _INET_REST.unpack_from(body, 40)
        address = socket.inet_ntop(query.family, packed[:width]).encode()
        if index:
            address += b"%" + interface(index)
        yield Socket(cookie, address, port, uid, inode)


class Packed(Sequence[Connection]):
    """Connections in 44 bytes each, taken apart when they are asked for: a busy host has half a million."""

    def __init__(self, family: int) -> None:
        self._family = family
        self._width = 4 if family == socket.AF_INET else 16
        self._records = bytearray()

    def add(self, messages: Iterable[Message]) -> None:
        """Take in what sock_diag tells."""
        for body in _bodies(messages, _INET_SIZE):
            self._records += body[4:40]
            self._records += body[64:72]

    def __len__(self) -> int:
        return len(self._records) // _CONNECTION.size

    @overload
    def __getitem__(self, at: int) -> Connection: ...
    @overload
    def __getitem__(self, at: slice) -> list[Connection]: ...
    def __getitem__(self, at: int | slice) -> Connection | list[Connection]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        port, peer_port, own, peer = _PAIR.unpack_from(self._records, at % len(self) * _CONNECTION.size)
        uid, inode = _HELD.unpack_from(self._records, at % len(self) * _CONNECTION.size + _PAIR.size)
        return Connection(self._address(own), port, self._address(peer), peer_port, uid, inode)

    def _address(self, packed: bytes) -> bytes:
        return plain(socket.inet_ntop(self._family, packed[: self._width]).encode())


def _bodies(messages: Iterable[Message], least: int) -> Iterator[bytes]:
    """Those of messages that tell of a socket, and are not cut short."""
    return (body for kind, body in messages if kind == SOCK_DIAG_BY_FAMILY and len(body) >= least)


def _unix(body: bytes) -> Socket:
    _, _, _, inode, cookie = _UNIX.unpack_from(body)
    name, uid = b"", None
    for kind, value in attributes(body[_UNIX_SIZE:]):
        if kind == UNIX_DIAG_NAME:
            # An abstract name begins with NUL and may hold more of them; a path ends at its NUL.
            name = b"@" + value[1:] if value[:1] == b"\0" else value.split(b"\0", 1)[0]
        elif kind == UNIX_DIAG_UID and len(value) == 4:
            (uid,) = struct.unpack("=I", value)
    return Socket(cookie, name, 0, uid, inode)


def _packet(body: bytes, interface: Callable[[int], bytes]) -> Socket | None:
    """A packet socket, None for one that only sends: it has no protocol."""
    _, _, protocol, inode, cookie = _PACKET.unpack_from(body)
    index, uid = 0, None
    for kind, value in attributes(body[_PACKET_SIZE:]):
        if kind == PACKET_DIAG_INFO and len(value) >= 4:
            (index,) = struct.unpack_from("=I", value)
        elif kind == PACKET_DIAG_UID and len(value) == 4:
            (uid,) = struct.unpack("=I", value)
    return Socket(cookie, interface(index) if index else b"any", protocol, uid, inode) if protocol else None
