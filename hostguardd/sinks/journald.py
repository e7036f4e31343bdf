"""Alerts into this host's journal, by its native protocol, so that they can be asked for by field.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL: a datagram of `NAME=value` lines; a value that holds a newline
goes as `NAME`, newline, its length as 64 bits little-endian, itself, newline. What is too large for a
datagram goes as a sealed memfd behind an empty one. journald answers nothing: delivered is what its socket
took.

`journalctl SYSLOG_IDENTIFIER=hostguardd HOSTGUARD_SEVERITY=critical` finds them, `-o json` shows the whole
record.

The rule: no field by accident. A value cannot begin a field of its own, whatever it holds.
"""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Final

from ..destinations import Destination
from ..envelope import SYSLOG_SEVERITIES, Entry, shortened
from ..record import clean
from .at_once import DatagramAtOnce
from .interface import SinkError

SOCKET: Final = "/run/systemd/journal/socket"

SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
"""All of them, or journald does not read it: somebody could change it meanwhile."""

TOO_LARGE: Final = (errno.EMSGSIZE, errno.ENOBUFS)


class JournalSink(DatagramAtOnce):
    """`kind = "journald"`; `path` is journald's socket."""

    def __init__(self, to: Destination, path: str = SOCKET) -> None:
        self._to = to
        self._path = path
        super().__init__(f"journald at {path}")

    def open(self) -> None:
        self.close()
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            made.settimeout(self._to.timeout)
            made.connect(self._path)
        except OSError as error:
            made.close()
            raise self._failure(error) from None
        self._socket = made

    def send(self, batch: Sequence[Entry]) -> None:
        to = self._opened()
        try:
            for one in batch:
                _hand_over(to, datagram(one, self._to.limit))
        except OSError as error:
            self.close()
            raise self._failure(error) from None
        self._sent += 1

    def _failure(self, error: OSError) -> SinkError:
        if isinstance(error, FileNotFoundError):
            return SinkError(f"there is no journald here: {self._path} does not exist")
        if isinstance(error, ConnectionRefusedError):
            return SinkError(f"nobody listens at {self._path}: is systemd-journald running?")
        if isinstance(error, TimeoutError):
            return SinkError(f"journald at {self._path} takes nothing within {self._to.timeout:g} s")
        return SinkError(f"journald at {self._path} fails: {error.strerror or error}")


def datagram(one: Entry, limit: int) -> bytes:
    """The fields of an entry. `limit` is for HOSTGUARD_RECORD, the line itself."""
    line = shortened(one.line, limit)
    fields = (
        (b"MESSAGE", _message(line)),
        (b"PRIORITY", b"%d" % SYSLOG_SEVERITIES.get(one.severity, 6)),
        (b"SYSLOG_IDENTIFIER", b"hostguardd"),
        (b"HOSTGUARD_SEQUENCE", b"%d" % one.sequence),
        (b"HOSTGUARD_ID", _text(one.id)),
        (b"HOSTGUARD_KIND", _text(one.kind)),
        (b"HOSTGUARD_SEVERITY", one.severity.label.encode()),
        (b"HOSTGUARD_ACTION", _text(one.action)),
        (b"HOSTGUARD_RECORD", line),
    )
    return b"".join(_field(name, value) for name, value in fields)


def _field(name: bytes, value: bytes) -> bytes:
    if b"\n" in value:
        return b"%b\n%b%b\n" % (name, len(value).to_bytes(8, "little"), value)
    return b"%b=%b\n" % (name, value)


def _text(value: str) -> bytes:
    return clean(value).encode("utf-8", "backslashreplace")


def _message(line: bytes) -> bytes:
    """The sentence of a record. A line of the log that somebody damaged says at least what it is."""
    try:
        told = json.loads(line)["message"]
    except (ValueError, RecursionError, KeyError, TypeError):
        told = None
    return str(told).encode("utf-8", "backslashreplace") if told is not None else line


def _hand_over(to: socket.socket, data: bytes) -> None:
    try:
        to.send(data)
    except OSError as error:
        if error.errno not in TOO_LARGE:
            raise
        descriptor = os.memfd_create("hostguardd-alert", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            _write(descriptor, data)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
            nothing: Iterable[bytes] = ()
            to.sendmsg(nothing, [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))])
        finally:
            os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
