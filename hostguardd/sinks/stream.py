"""A connection that never blocks and that says in one sentence what is wrong with it: TCP, and TLS over it.

The rule: whatever the network, the other end or our own key files do becomes one `SinkError` that a person
can act on, and every wait ends, but the one of the resolver, which has a time of its own (resolv.conf(5)).

Sources: tcp(7), getaddrinfo(3), poll(2).
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import struct
import time
from fcntl import ioctl
from typing import Final

from ..destinations import Destination
from ..record import clean
from .failures import failure
from .interface import SinkError
from .tls import greet, prepared, wrapped

SIOCOUTQ: Final = 0x5411
"""tcp(7): the bytes that the other kernel has not acknowledged. (The number of TIOCOUTQ.)"""

CHUNK: Final = 256 * 1024

KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),  # a batch is one write: there is nothing to gather
)
"""A peer that vanished without a word is noticed after a minute, also when nothing is sent."""


class Stream:
    """An open connection. All of its methods raise SinkError; the constructor connects."""

    def __init__(self, to: Destination) -> None:
        self._to = to
        context = prepared(to) if to.tls else None  # our own mistakes first: they need no network to be told
        plain = _connected(to)
        self._socket = plain
        self._tls: ssl.SSLSocket | None = None
        self._write_wants_in = self._read_wants_out = False
        try:
            for level, option, value in KEEPALIVE:
                plain.setsockopt(level, option, value)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(to.timeout * 1000))
            if context is not None:
                self._socket = self._tls = wrapped(context, plain, to)
                greet(self._tls, to)
            self._socket.setblocking(False)
        except BaseException:
            self.close()
            raise

    def write(self, data: memoryview) -> int:
        """How many bytes could be handed over without waiting."""
        self._write_wants_in = False
        try:
            return self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError):
            return 0
        except ssl.SSLWantReadError:
            self._write_wants_in = True  # to poll for room would come back at once, for ever
            return 0
        except OSError as error:
            self.read()  # raises what the other end said before it left, which tells more
            raise failure(self._to, error) from None

    def read(self) -> bytes | None:
        """What has come; None when nothing has, b"" when the other end has closed."""
        self._read_wants_out = False
        try:
            data = self._socket.recv(CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except ssl.SSLWantWriteError:
            self._read_wants_out = True
            return None
        except ssl.SSLEOFError:
            return b""  # closed without TLS's goodbye, as many servers do
        except OSError as error:
            raise failure(self._to, error) from None
        if self._tls is None and data[:2] == b"\x15\x03":  # a TLS alert: RFC 8446, section 5.1
            raise SinkError(f"{self._to.place} speaks TLS there and we do not: set tls = true")
        return data

    def wait(self, seconds: float, room: bool = False) -> None:
        """Until something may have come, or there may be room to write, or time is up."""
        if self._tls is not None and self._tls.pending():
            return
        events = select.POLLIN
        if (room and not self._write_wants_in) or self._read_wants_out:
            events |= select.POLLOUT
        poll = select.poll()
        poll.register(self._socket, events)
        poll.poll(max(seconds, 0) * 1000)

    def unacknowledged(self) -> int:
        """Bytes that the other kernel has not acknowledged yet."""
        answer = ioctl(self._socket.fileno(), SIOCOUTQ, bytes(4))
        return int(struct.unpack("i", answer)[0])

    def end(self) -> None:
        """Say that nothing more will come. What the other end has to say can still be read."""
        try:
            if self._tls is not None:
                try:
                    self._tls.unwrap()
                except (ssl.SSLError, ValueError, ConnectionError):
                    pass  # our goodbye is on its way; whether theirs comes, the closing below shows
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise failure(self._to, error) from None

    def close(self) -> None:
        """Let go; never raises."""
        try:
            self._socket.close()
        except OSError:
            pass  # nothing is left that could be done about it


def resolved(to: Destination, kind: socket.SocketKind) -> list[tuple[int, tuple[str, int]]]:
    """Every (family, address) that a destination has, at least one."""
    host, port = to.address
    try:
        found = socket.getaddrinfo(host, port, type=kind)
    except socket.gaierror as error:
        raise SinkError(
            f"{clean(to.place)}: the name {clean(host)} is not found: {clean(error.strerror or '')}"
        ) from None
    except (ValueError, OSError) as error:  # a NUL in it, a label of 64 letters
        raise SinkError(
            f"{clean(to.place)}: the name {clean(host)} cannot be looked up: {clean(str(error))}"
        ) from None
    return [(family, address[:4]) for family, _, _, _, address in found]  # type: ignore[misc]


def _connected(to: Destination) -> socket.socket:
    """The first address that takes us. Each gets its share of the time: a dead one leaves some."""
    addresses = resolved(to, socket.SOCK_STREAM)
    ends = time.monotonic() + to.timeout
    problems: list[SinkError] = []
    for number, (family, address) in enumerate(addresses):
        share = (ends - time.monotonic()) / (len(addresses) - number)
        try:
            made = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            problems.append(failure(to, error))
            continue
        try:
            made.settimeout(max(share, 0.05))
            made.connect(address)
            if made.getsockname() == made.getpeername():
                # A port of this host that nobody listens at may be given to us as our own (RFC 9293,
                # section 3.5): we would talk to ourselves, and believe it.
                raise ConnectionRefusedError(errno.ECONNREFUSED, "")
            return made
        except OSError as error:
            made.close()
            problems.append(failure(to, error))
    told = dict.fromkeys(str(problem) for problem in problems)
    raise SinkError("; ".join(told))
