"""Ports in several views: the kernel's tables, and the kernel's refusal to lend a port twice.

A port that bind(2) refuses although no table shows a socket there is held by somebody who is hidden. To ask
costs holding each free port for some microseconds, without ever listening on it. How that harms nobody:

* TCP: with SO_REUSEADDR, which all servers set too. Two such sockets may share a port while neither listens,
  so a server that starts in that moment gets its port all the same; and to connect to a port that is bound
  and not listened on is refused, as it was before.
* UDP: without SO_REUSEADDR, which there would mean to share the datagrams of a service. A service that
  starts in the same five microseconds of an hour is refused its port and is started anew by its manager.
  The ports that the administrator has set aside (net.ipv4.ip_local_reserved_ports) are left out.

Nobody is connected to unless he holds a port that no table shows: on a healthy host, no one is.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Final

from . import parse, reach
from .sockets import SocketTable

MOST_ADDRESSES: Final = 16
LARGEST: Final = 64 * 1024**2
LISTENING: Final = frozenset({0x0A})  # linux/tcp_states.h
UNCONNECTED: Final = frozenset({0x07})
FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {"tcp": ("tcp", "tcp6"), "udp": ("udp", "udp6")}
KINDS: Final = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class Ports:
    """The ports of this network namespace. `read` reads a file past the C library. `turn` is held while a
    socket of ours takes a port to see whether it is free: whoever holds it sees none of those."""

    def __init__(
        self, proc: bytes, read: Callable[[bytes, int], bytes], turn: threading.Lock | None = None
    ) -> None:
        self._proc = proc
        self._read = read
        self._turn = turn or threading.Lock()

    def ranges(self, proto: str) -> Sequence[range]:
        """The ports to ask about, in pieces of a few milliseconds."""
        first = 1
        if os.geteuid() != 0:
            text = self._read(self._proc + b"/sys/net/ipv4/ip_unprivileged_port_start", 64).strip()
            first = max(1, int(text) if text.isdigit() else 1024)
        return [range(at, min(at + 256, 65536)) for at in range(first, 65536, 256)]

    def held(self, proto: str, ports: Sequence[int]) -> list[int]:
        """Which of `ports` bind(2) refuses as taken. OSError for any other refusal."""
        left_out = self._reserved() if proto == "udp" else frozenset()
        found = []
        with self._turn:
            six = _has_six()
        for port in ports:
            if port in left_out:
                continue
            family = socket.AF_INET6 if six else socket.AF_INET
            with self._turn, socket.socket(family, KINDS[proto]) as probe:
                if six:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # asks for both families
                if proto == "tcp":
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("::" if six else "0.0.0.0", port))
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise
                    found.append(port)
        return found

    def told(self, proto: str) -> frozenset[int]:
        """Ports of all sockets that any table shows."""
        with closing(SocketTable(self._proc)) as table:
            found = frozenset().union(*(table.ports(family) for family in FAMILIES[proto]))
        for family in FAMILIES[proto]:
            found |= parse.inet_ports(self._read(b"%s/net/%s" % (self._proc, family.encode()), LARGEST))
        return found

    def waiting(self, proto: str) -> Mapping[str, frozenset[int]] | None:
        """Ports with a listening TCP or a bound UDP socket, by view."""
        states = LISTENING if proto == "tcp" else UNCONNECTED
        with closing(SocketTable(self._proc)) as table:
            answers = [table.sockets(family) for family in FAMILIES[proto]]
        if any(answer.problem for answer in answers):
            return None
        kernel: set[int] = set()
        libc: set[int] = set()
        for family in FAMILIES[proto]:
            path = b"%s/net/%s" % (self._proc, family.encode())
            kernel |= parse.inet_ports(self._read(path, LARGEST), states)
            try:
                with open(path, "rb") as stream:
                    libc |= parse.inet_ports(stream.read(LARGEST), states)
            except FileNotFoundError:
                continue  # a kernel without IPv6
            except OSError:
                return None
        diag = frozenset(one.port for answer in answers for one in answer.found)
        return {"sock_diag": diag, "kernel": frozenset(kernel), "libc": frozenset(libc)}

    def answers(self, port: int) -> bool:
        """Whether a connection to this host's own addresses is accepted there."""
        return any(reach.accepting(address, (port,)) for address in self.addresses())

    def addresses(self) -> list[bytes]:
        """This host's own addresses, those of the loopback first; no link-local ones of IPv6."""
        found = [b"127.0.0.1", b"::1"]
        found += parse.local_addresses(self._read(self._proc + b"/net/fib_trie", 1 << 20))
        found += parse.local_addresses_6(self._read(self._proc + b"/net/if_inet6", 1 << 20))
        return list(dict.fromkeys(found))[:MOST_ADDRESSES]

    def _reserved(self) -> frozenset[int]:
        text = self._read(self._proc + b"/sys/net/ipv4/ip_local_reserved_ports", 64 * 1024)
        return parse.port_ranges(text)


def _has_six() -> bool:
    """Whether IPv6 sockets can be bound at all."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True
