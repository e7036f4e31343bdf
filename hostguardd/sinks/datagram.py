"""Alerts by syslog over UDP: RFC 5426, one message in one datagram. Nobody answers, so nothing is promised.

A message counts as delivered once the kernel has sent it. The one thing that may come back is ICMP: "nobody
listens there" is told by the next send (udp(7)), which so reports what befell the datagram before it.

The rule: a message is never cut. What does not fit into a datagram is made shorter as any message is that
exceeds `limit` (`envelope.shortened`): first to what UDP can carry at all, and should the kernel still
refuse it (EMSGSIZE), to what fits the path's MTU, so that it need not be fragmented.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Final

from ..destinations import FACILITIES, Destination
from ..envelope import Entry, syslog
from .at_once import DatagramAtOnce
from .failures import failure
from .interface import SinkError
from .stream import resolved

HEADERS: Final = {socket.AF_INET: 20 + 8, socket.AF_INET6: 40 + 8}
"""Bytes of an IP header without options and of UDP's (RFC 791, RFC 8200, RFC 768)."""

CARRIED: Final = {socket.AF_INET: 65535 - 20 - 8, socket.AF_INET6: 65535 - 8}
"""What one datagram carries: IPv4 counts its own header in the length, IPv6 does not."""

IP_MTU: Final = {socket.AF_INET: (socket.IPPROTO_IP, 14), socket.AF_INET6: (socket.IPPROTO_IPV6, 24)}
"""ip(7), ipv6(7): of the path of a connected socket. Python does not name them."""

LEAST: Final = 1024  # what `envelope.syslog` needs


class DatagramSink(DatagramAtOnce):
    """`kind = "udp"`."""

    def __init__(self, to: Destination) -> None:
        self._to = to
        self._facility = FACILITIES[to.facility]
        super().__init__(to.place)

    def open(self) -> None:
        self.close()
        problem = SinkError(f"{self._to.place} has no address")
        for family, address in resolved(self._to, socket.SOCK_DGRAM):
            try:
                made = socket.socket(family, socket.SOCK_DGRAM)
            except OSError as error:
                problem = failure(self._to, error)
                continue
            try:
                made.settimeout(self._to.timeout)
                made.connect(address)  # asks nobody; but without it no ICMP would be told
            except OSError as error:
                made.close()
                problem = failure(self._to, error)
                continue
            self._socket = made
            return
        raise problem

    def send(self, batch: Sequence[Entry]) -> None:
        to = self._opened()
        try:
            for one in batch:
                self._send(to, one)
        except OSError as error:
            self.close()
            if error.errno == errno.ECONNREFUSED:
                raise SinkError(f"{self._to.place} refuses our messages: nothing listens there") from None
            raise failure(self._to, error) from None
        self._sent += 1

    def _send(self, to: socket.socket, one: Entry) -> None:
        family = socket.AddressFamily(to.family)
        try:
            to.send(syslog(one, self._facility, min(self._to.limit, CARRIED[family])))
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            room = to.getsockopt(*IP_MTU[family]) - HEADERS[family]
            to.send(syslog(one, self._facility, max(min(room, self._to.limit), LEAST)))
