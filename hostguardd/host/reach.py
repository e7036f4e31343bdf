"""What answers at this host's own addresses: whether a connection is accepted, and what is said then.

The rule kept: nobody but this host is ever connected to (whoever asks hands in its own addresses), nothing is
said but, where that was asked for, one empty line, and all of it is over in the time that was given.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Final, NamedTuple

from .ready import ready

AT_ONCE: Final = 200
"""Connections that are open at a time."""

PATIENCE: Final = 0.3
"""Seconds that a connection within this host may take to come about."""

LONGEST: Final = 2048
"""Bytes of a greeting that are kept."""

End = tuple[bytes, int]
"""(address, port)"""

Pending = dict[int, tuple[socket.socket, End]]
"""Connections under way, by descriptor."""

_UNDER_WAY: Final = (errno.EINPROGRESS, errno.EWOULDBLOCK)


class Greeting(NamedTuple):
    """What somebody said at a port. `accepted`: the connection came about; `said` is up to LONGEST bytes."""

    accepted: bool
    said: bytes = b""


def accepting(address: bytes, ports: Iterable[int]) -> list[int]:
    """The ports among `ports` at which a connection to `address` is accepted."""
    found: list[int] = []
    for piece in _pieces(ports):
        with ExitStack() as stack:
            pending: Pending = {}
            for port in piece:
                probe = _begin(address, port)
                if probe is not None:
                    stack.enter_context(probe)
                    pending[probe.fileno()] = (probe, (address, port))
            found += [end[1] for probe, end in _settled(pending) if not _is_echo(probe)]
    return sorted(found)


def greetings(ends: Sequence[End], seconds: float, *, ask: bool = False) -> dict[End, Greeting]:
    """What is said at each of `ends` within `seconds`; with `ask`, those that are silent for half of that are
    sent one empty line."""
    told: dict[End, Greeting] = {}
    for at in range(0, len(ends), AT_ONCE):
        told |= _greeted(ends[at : at + AT_ONCE], seconds, ask)
    return told


def _greeted(ends: Sequence[End], seconds: float, ask: bool) -> dict[End, Greeting]:
    told = dict.fromkeys(ends, Greeting(False))
    with ExitStack() as stack:
        pending: Pending = {}
        for end in ends:
            probe = _begin(*end)
            if probe is not None:
                stack.enter_context(probe)
                pending[probe.fileno()] = (probe, end)
        open_ends = {probe.fileno(): (probe, end) for probe, end in _settled(pending)}
        told |= {end: Greeting(True) for _, end in open_ends.values()}
        began = time.monotonic()
        asked = not ask
        while open_ends and (left := began + seconds - time.monotonic()) > 0:
            if not asked and left < seconds / 2:
                asked = True
                for probe, end in open_ends.values():
                    if not told[end].said:
                        _send(probe, b"\r\n")
            for fd in ready(open_ends, min(left, seconds / 10)):
                probe, end = open_ends[fd]
                said = _receive(probe)
                told[end] = Greeting(True, (told[end].said + said)[:LONGEST])
                if not said or len(told[end].said) >= LONGEST:
                    del open_ends[fd]
    return told


def _pieces(ports: Iterable[int]) -> Iterator[list[int]]:
    piece: list[int] = []
    for port in ports:
        piece.append(port)
        if len(piece) == AT_ONCE:
            yield piece
            piece = []
    yield piece


def _begin(address: bytes, port: int) -> socket.socket | None:
    """A socket that connects or has connected; None when it was refused at once, as is usual."""
    family = socket.AF_INET6 if b":" in address else socket.AF_INET
    try:
        probe = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError:
        return None
    try:
        code = probe.connect_ex((address.decode("ascii", "replace"), port))
    except OSError:
        code = errno.EINVAL
    if code in (0, *_UNDER_WAY):
        return probe
    probe.close()
    return None


def _settled(pending: Pending) -> Iterator[tuple[socket.socket, End]]:
    """Those of `pending` that come about in time."""
    until = time.monotonic() + PATIENCE
    waiting = dict(pending)
    while waiting and (left := until - time.monotonic()) > 0:
        for fd in ready(waiting, left, select.POLLOUT):
            probe, about = waiting.pop(fd)
            if probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                yield probe, about


def _is_echo(probe: socket.socket) -> bool:
    """Whether a socket is connected to itself: its own end was given the very port it asked for."""
    try:
        return bool(probe.getsockname() == probe.getpeername())
    except OSError:
        return True


def _send(probe: socket.socket, data: bytes) -> None:
    try:
        probe.send(data, socket.MSG_NOSIGNAL)
    except OSError:
        return


def _receive(probe: socket.socket) -> bytes:
    try:
        return probe.recv(LONGEST)
    except OSError:
        return b""
