"""What a netlink message is (RFC 3549, linux/netlink.h): requests as bytes, datagrams as messages. Pure.

The rule: whatever bytes come, the answer is messages, or `Malformed`; nothing loops and nothing is read
twice. Attributes that are cut short end their list.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST: Final = 0x1
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_DUMP: Final = 0x300  # ROOT | MATCH
TYPE_MASK: Final = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_ATTRIBUTE = struct.Struct("=HH")
HEADER: Final = _HEADER.size
_ENDS: Final = (NLMSG_DONE, NLMSG_ERROR)
_new = tuple.__new__


class Malformed(ValueError):
    """Bytes that are no netlink answer."""


class Message(NamedTuple):
    """One message of an answer."""

    kind: int
    body: bytes


class Part(NamedTuple):
    """One datagram of an answer. `error` is 0 or an errno; `interrupted`: the tables moved meanwhile."""

    messages: list[Message]
    done: bool
    error: int
    interrupted: bool


def request(kind: int, flags: int, sequence: int, body: bytes = b"") -> bytes:
    """A request."""
    return _HEADER.pack(HEADER + len(body), kind, flags | NLM_F_REQUEST, sequence, 0) + body


def part(datagram: bytes, sequence: int) -> Part:
    """Take a datagram apart. Messages that answer no request of this number are dropped."""
    messages: list[Message] = []
    at, end = 0, len(datagram)
    interrupted = False
    while at + HEADER <= end:
        length, kind, flags, number, _ = _HEADER.unpack_from(datagram, at)
        if length < HEADER or at + length > end:
            raise Malformed(f"a netlink message of {length} bytes in {end - at}")
        if number == sequence:
            if flags & NLM_F_DUMP_INTR:
                interrupted = True
            if kind in _ENDS:
                code = struct.unpack_from("=i", datagram, at + HEADER)[0] if length >= HEADER + 4 else 0
                return Part(messages, True, -code if code < 0 else 0, interrupted)
            # Two thirds of what Message(…) costs: tables of sockets come through here several times a second.
            messages.append(_new(Message, (kind, datagram[at + HEADER : at + length])))
        at += (length + 3) & ~3
    if at < end:
        raise Malformed(f"{end - at} stray bytes after the last netlink message")
    return Part(messages, False, 0, interrupted)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each attribute in a row of them."""
    at, end = 0, len(data)
    while at + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4 or at + length > end:
            return
        yield kind & TYPE_MASK, data[at + 4 : at + length]
        at += (length + 3) & ~3


def table(data: bytes) -> dict[int, bytes]:
    """The attributes by type; of several of a type the last."""
    return dict(attributes(data))


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    whole = _ATTRIBUTE.pack(4 + len(value), kind) + value
    return whole + bytes(-len(whole) % 4)


def text(value: bytes) -> bytes:
    """A NUL-terminated string."""
    return value.split(b"\0", 1)[0]
