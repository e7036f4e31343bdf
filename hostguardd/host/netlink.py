"""A netlink socket that asks and waits for the whole answer: netlink(7).

One question at a time, each with a number of its own, so that what is left of an answer given up cannot
pass for the next one. An answer that grows too large is given up: whoever may fill the kernel's tables must
not fill our memory.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

from . import nlmsg
from .nlmsg import Message, Part

ROUTE: Final = 0  # linux/netlink.h
SOCK_DIAG: Final = 4
AUDIT: Final = 9
NETFILTER: Final = 12

BUFFER: Final = 128 * 1024  # the kernel never sends more than 32 KiB at once
LARGEST: Final = 16 * 1024 * 1024
ATTEMPTS: Final = 4
TIMEOUT: Final = struct.pack("@ll", 2, 0)  # struct timeval: 2 s


class Netlink:
    """A door to one netlink protocol. Opened at the first question, and anew after any trouble.

    `largest` is how many bytes an answer may have. Not for several threads at once.
    """

    def __init__(self, protocol: int, largest: int = LARGEST) -> None:
        self._protocol = protocol
        self._largest = largest
        self._door: socket.socket | None = None
        self._buffer = bytearray(BUFFER)
        self._sequence = 0

    def ask(self, kind: int, body: bytes = b"", flags: int = 0, *, one: int = 0) -> list[Message]:
        """The messages of the answer, asked for again while what it tells of moves. Raises OSError."""
        for _ in range(ATTEMPTS):
            messages, steady = self.once(kind, body, flags, one=one)
            if steady:
                break
        return messages

    def dump(self, kind: int, body: bytes = b"") -> list[Message]:
        """All there is of a kind; asked again when it changed meanwhile. Raises OSError."""
        return self.ask(kind, body, nlmsg.NLM_F_DUMP)

    def once(
        self, kind: int, body: bytes = b"", flags: int = 0, *, one: int = 0
    ) -> tuple[list[Message], bool]:
        """The messages of one answer, and whether what it tells of stood still meanwhile. `one`: the single
        kind of message that is the whole answer, for questions after which no NLMSG_DONE comes.

        Raises OSError: EMSGSIZE for an answer too large, EBADMSG for one that cannot be understood, EAGAIN
        for none in time, else as the kernel has it.
        """
        messages: list[Message] = []
        steady = True
        for part in self.parts(kind, body, flags, one=one):
            messages += part.messages
            steady = steady and not part.interrupted
        return messages, steady

    def parts(self, kind: int, body: bytes = b"", flags: int = 0, *, one: int = 0) -> Iterator[Part]:
        """The same as it comes, for answers too large to be kept. To be read to its end."""
        try:
            yield from self._exchange(kind, body, flags, one)
        except OSError:
            self.close()
            raise

    def _exchange(self, kind: int, body: bytes, flags: int, one: int) -> Iterator[Part]:
        door = self._door or self._open()
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        door.send(nlmsg.request(kind, flags, self._sequence, body))
        total = 0
        while True:
            size, _, how, _ = door.recvmsg_into([self._buffer])
            total += size
            if how & socket.MSG_TRUNC or total > self._largest:
                raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
            try:
                part = nlmsg.part(bytes(memoryview(self._buffer)[:size]), self._sequence)
            except nlmsg.Malformed as error:
                raise OSError(errno.EBADMSG, str(error)) from error
            if part.error:
                raise OSError(part.error, os.strerror(part.error))
            yield part
            if part.done or (one and any(message.kind == one for message in part.messages)):
                return

    def _open(self) -> socket.socket:
        door = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, self._protocol)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEOUT)
        self._door = door
        return door

    def close(self) -> None:
        """Give the socket back."""
        if self._door is not None:
            self._door.close()
            self._door = None
