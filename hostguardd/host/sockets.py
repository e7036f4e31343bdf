"""Waiting sockets of this network namespace, and who holds them: sock_diag first, /proc/net when it is
refused (an old kernel, a seccomp filter, no such diag module).

Asking sock_diag for a protocol whose module is missing makes the kernel run modprobe, so a protocol
that once was answered with ENOENT is never asked for by netlink again, and SCTP not before it is in
use. A protocol that the kernel does not have at all has no sockets; that is no blindness.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Collection, Iterator
from typing import Final

from . import parse, sockdiag
from .live import Connections, Owners, Socket, Sockets
from .netlink import SOCK_DIAG, Netlink
from .nlmsg import NLM_F_DUMP, Message
from .reading import read_path

ATTEMPTS: Final = 4
SCTP_EVERY: Final = 5.0
LARGEST: Final = 256 * 1024 * 1024
"""Bytes of an answer. A busy host has hundreds of thousands of sockets, at some 150 bytes each."""


MOST_TEXT: Final = 16 * 1024 * 1024
"""Bytes of a table of connections that are read as text, at 150 each."""


class Refused(OSError):
    """sock_diag does not answer for this protocol."""


class SocketTable:
    """The kernel's socket tables. Safe to use from several threads. `proc` is where procfs is."""

    def __init__(self, proc: bytes = b"/proc", netlink: bool = True) -> None:
        self._proc = proc
        self._netlink = netlink
        self._door = Netlink(SOCK_DIAG, LARGEST)
        self._without: set[str] = set()
        self._sctp = False
        self._sctp_until = 0.0
        self._lock = threading.Lock()

    def sockets(self, proto: str) -> Sockets:
        """As `LiveHost.sockets`."""
        query = sockdiag.QUERIES[proto]
        try:
            messages, steady = self._dump(proto)
        except OSError:
            return self._read_table(proto)
        problem = "" if steady else f"the table of {proto} sockets kept changing while it was read"
        return Sockets(tuple(sockdiag.sockets(messages, query, _interface)), problem)

    def cookies(self, proto: str) -> bytes:
        """As `LiveHost.cookies`."""
        try:
            messages, _ = self._dump(proto)
        except OSError:
            return b" ".join(b"%d" % found.cookie for found in self._read_table(proto).found)
        return sockdiag.cookies(messages, sockdiag.QUERIES[proto])

    def ports(self, proto: str) -> frozenset[int]:
        """Local ports of the protocol's sockets in whatever state; empty when sock_diag does not answer."""
        whole = sockdiag.QUERIES[proto]._replace(states=0xFFFFFFFF)
        with self._lock:
            if not self._netlink or proto in self._without:
                return frozenset()
            try:
                messages, _ = self._ask(whole)
            except OSError:
                return frozenset()
        return sockdiag.ports(messages)

    def connections(self, proto: str) -> Connections:
        """As `LiveHost.connections`. What comes or goes meanwhile may be missing: that is nothing new."""
        query = sockdiag.QUERIES[proto]._replace(states=sockdiag.CONNECTED)
        with self._lock:
            if proto.startswith("sctp") and not self._has_sctp():
                return Connections()
            found = sockdiag.Packed(query.family)
            try:
                if not self._netlink or proto in self._without:
                    raise Refused(errno.ENOENT, "no sock_diag")
                body = sockdiag.request(query)
                for part in self._door.parts(sockdiag.SOCK_DIAG_BY_FAMILY, body, NLM_F_DUMP):
                    found.add(part.messages)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    self._without.add(proto)
                return self._read_connections(proto)
        return Connections(found)

    def close(self) -> None:
        """Give the netlink socket back."""
        with self._lock:
            self._door.close()

    # -- sock_diag -------------------------------------------------------------------------------

    def _dump(self, proto: str) -> tuple[list[Message], bool]:
        """Socket messages, and whether the table stood still meanwhile. Raises OSError."""
        with self._lock:
            if not self._netlink or proto in self._without:
                raise Refused(errno.ENOENT, "no sock_diag")
            if proto.startswith("sctp") and not self._has_sctp():
                return [], True
            messages: list[Message] = []
            for attempt in range(ATTEMPTS):
                try:
                    messages, steady = self._ask(sockdiag.QUERIES[proto])
                except OSError as error:
                    self._failed(proto, error, attempt)
                    continue
                if steady:
                    return messages, True
            return messages, False

    def _failed(self, proto: str, error: OSError, attempt: int) -> None:
        """After a failed dump: remember what will never work, let the rest be tried again."""
        if error.errno == errno.ENOENT:
            self._without.add(proto)
        elif error.errno in (errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
            self._netlink = False
        elif attempt < ATTEMPTS - 1:
            return
        raise error

    def _ask(self, query: sockdiag.Query) -> tuple[list[Message], bool]:
        """One dump. Raises OSError."""
        return self._door.once(sockdiag.SOCK_DIAG_BY_FAMILY, sockdiag.request(query), NLM_F_DUMP)

    # -- /proc/net -------------------------------------------------------------------------------

    def _read_table(self, proto: str) -> Sockets:
        """The same from text. SCTP has no table that names both address and state."""
        if proto.startswith("sctp"):
            if not self._has_sctp():
                return Sockets()
            return Sockets((), f"the kernel has {proto} but not the sctp_diag module to list its sockets")
        try:
            text = read_path(b"%s/net/%s" % (self._proc, proto.encode()))
        except FileNotFoundError:
            return Sockets()
        except OSError as error:
            return Sockets((), f"/proc/net/{proto} cannot be read: {error.strerror}")
        if proto == "packet":
            return Sockets(tuple(parse.packet_table(text, _interface)))
        found: list[Socket] = parse.unix_table(text) if proto == "unix" else parse.inet_table(text, proto)
        return Sockets(tuple(found))

    def _read_connections(self, proto: str) -> Connections:
        if proto.startswith("sctp"):
            return Connections((), f"the kernel has {proto} but not the sctp_diag module to list its sockets")
        try:
            text = read_path(b"%s/net/%s" % (self._proc, proto.encode()), MOST_TEXT)
        except FileNotFoundError:
            return Connections()
        except OSError as error:
            return Connections((), f"/proc/net/{proto} cannot be read: {error.strerror}")
        cut = f"/proc/net/{proto} was read up to {MOST_TEXT} bytes" if len(text) == MOST_TEXT else ""
        return Connections(parse.connections(text), cut)

    def _has_sctp(self) -> bool:
        """Whether the SCTP module is loaded; asked every few seconds, as hardly any host has it."""
        now = time.monotonic()
        if now >= self._sctp_until:
            self._sctp = os.path.exists(self._proc + b"/net/sctp")
            self._sctp_until = now + SCTP_EVERY
        return self._sctp


def _interface(index: int) -> bytes:
    """The interface's name; its number when it has just gone."""
    try:
        return os.fsencode(socket.if_indextoname(index))
    except OSError:
        return b"%d" % index


# -- owners ----------------------------------------------------------------------------------------


def owners(proc: bytes, pids: Collection[int], inodes: Collection[int]) -> Owners:
    """Which of `pids` (oldest first) hold sockets with these inodes.

    A second look through every *thread* follows for inodes that nobody seemed to hold: a thread may
    have a file table of its own (unshare(2), CLONE_FILES), and then its process shows nothing.
    """
    wanted = {b"socket:[%d]" % inode: inode for inode in inodes}
    holders: dict[int, list[int]] = {}
    hidden = 0
    for pid in pids:
        try:
            _collect(b"%s/%d/fd" % (proc, pid), pid, wanted, holders)
        except PermissionError:
            hidden += 1
        except OSError:
            continue  # it vanished
    missing = {link: inode for link, inode in wanted.items() if inode not in holders}
    if missing:
        for pid in pids:
            for folder in _thread_folders(proc, pid):
                try:
                    _collect(folder, pid, missing, holders)
                except OSError:
                    continue
    return Owners(holders, hidden)


def _collect(folder: bytes, pid: int, wanted: dict[bytes, int], holders: dict[int, list[int]]) -> None:
    for name in os.listdir(folder):
        try:
            inode = wanted.get(os.readlink(folder + b"/" + name))
        except FileNotFoundError:
            continue  # closed meanwhile
        if inode is not None and pid not in holders.setdefault(inode, []):
            holders[inode].append(pid)


def _thread_folders(proc: bytes, pid: int) -> Iterator[bytes]:
    """The fd folders of a process's other threads; none for a process that has but one."""
    try:
        names = os.listdir(b"%s/%d/task" % (proc, pid))
    except OSError:
        return
    if len(names) > 1:
        for name in names:
            yield b"%s/%d/task/%s/fd" % (proc, pid, name)
