"""The firewall in force, asked of the kernel: nf_tables by nfnetlink, legacy iptables by getsockopt(2).

The rule: asking must change nothing. The kernel loads a module for a question about an engine that is
not there, so nf_tables is asked only where it is loaded or built in, and legacy tables only by the names
in /proc/net/ip_tables_names, which are those in use.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Final

from . import iptables, nftables
from .firewall import Firewall, Piece
from .iptables import V4, V6, Layout
from .netlink import NETFILTER, Netlink

LEGACY: Final = ((b"iptables", V4, b"ip_tables_names"), (b"ip6tables", V6, b"ip6_tables_names"))
GET_INFO, GET_ENTRIES = 64, 65  # IPT_BASE_CTL + 0, + 1
LEVELS: Final = {socket.AF_INET: socket.IPPROTO_IP, socket.AF_INET6: socket.IPPROTO_IPV6}
HEAD: Final = struct.Struct("=32sI4x")  # struct ipt_get_entries
LARGEST: Final = 64 * 1024 * 1024
BUSY: Final = 256 * 1024
"""Bytes of a legacy table above which it is not read at every poll."""

Read = Callable[[bytes], bytes | None]


class Filters:
    """Both engines. `read` reads a file of /proc, None when it is not there."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._netlink = Netlink(NETFILTER)
        self._built_in: bool | None = None
        self._libc = ctypes.CDLL(None, use_errno=True)

    def mark(self) -> bytes:
        """A value that moves whenever `look` would find others than before: the generation of nf_tables,
        and a digest of the legacy tables, which have no such number."""
        try:
            number = self._generation() if self._has_nftables() else 0
            return b"%d %s" % (number, self._legacy_mark())
        except OSError as error:
            return b"error %d" % (error.errno or 0)

    def look(self) -> Firewall:
        """All that is in force."""
        pieces: list[Piece] = []
        problems: list[str] = []
        for asked, engine in ((self._nftables, "nftables"), (self._legacy, "iptables")):
            try:
                pieces += asked()
            except OSError as error:
                problems.append(f"the rules of {engine} in force cannot be read: {error.strerror or error}")
        return Firewall(tuple(pieces), "; ".join(problems))

    def close(self) -> None:
        """Give the netlink socket back."""
        self._netlink.close()

    # -- nf_tables -------------------------------------------------------------------------------

    def _has_nftables(self) -> bool:
        modules = self._read(b"/proc/modules")
        if modules is None or b"\nnf_tables " in b"\n" + modules:
            return True
        if self._built_in is None:
            built = self._read(b"/lib/modules/%s/modules.builtin" % os.fsencode(os.uname().release)) or b""
            self._built_in = b"/nf_tables.ko" in built
        return self._built_in

    def _generation(self) -> int:
        try:
            found = self._netlink.ask(nftables.GETGEN, nftables.request(), one=nftables.NEWGEN)
        except OSError as error:
            if error.errno in (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EOPNOTSUPP):
                return 0  # a kernel without nf_tables
            raise
        return nftables.generation(found)

    def _nftables(self) -> list[Piece]:
        """Raises OSError. Rules that changed while they were read are read again."""
        if not self._has_nftables():
            return []
        for _ in range(3):
            number = self._generation()
            if not number:
                return []
            found = self._dump()
            if self._generation() == number:
                break
        return found

    def _dump(self) -> list[Piece]:
        ask, body = self._netlink.dump, nftables.request()
        found = nftables.tables(ask(nftables.GETTABLE, body))
        digests: dict[nftables.Key, bytes] = {}
        for one in nftables.sets(ask(nftables.GETSET, body)):
            if not (one.anonymous or one.steady):
                continue  # it fills and empties with the traffic
            try:
                elements = nftables.elements(ask(nftables.GETELEM, nftables.elements_request(one.key)))
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    digests[one.key] = b"too many elements to be read"
                    continue
                if error.errno != errno.ENOENT:
                    raise
                continue  # it went meanwhile
            if one.anonymous:
                digests[one.key] = nftables.digest(elements)
            else:
                found.append(nftables.set_piece(one.key, elements))
        return found + nftables.chains(ask(nftables.GETCHAIN, body), ask(nftables.GETRULE, body), digests)

    # -- legacy iptables -------------------------------------------------------------------------

    def _tables(self) -> list[tuple[bytes, Layout, bytes]]:
        """(engine, layout, table) of each table in use. Raises OSError."""
        return [
            (engine, layout, name)
            for engine, layout, listed in LEGACY
            for name in (self._read(b"/proc/net/" + listed) or b"").split()
        ]

    def _legacy_mark(self) -> bytes:
        tables = self._tables()
        if not tables:
            return b""
        summed = hashlib.sha256()
        for _, layout, name in tables:
            about, blob = self._blob(layout, name, BUSY)
            summed.update(repr(about).encode())
            for piece in iptables.chains(name, layout, about, blob):
                summed.update(repr(piece).encode())
        return summed.hexdigest().encode()

    def _legacy(self) -> list[Piece]:
        found = []
        for engine, layout, name in self._tables():
            about, blob = self._blob(layout, name, LARGEST)
            found += iptables.chains(engine + b" " + name, layout, about, blob)
        return found

    def _blob(self, layout: Layout, name: bytes, largest: int) -> tuple[iptables.Info, bytes]:
        """One table; without its entries when they have more than `largest` bytes. Raises OSError."""
        with socket.socket(layout.family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW) as door:
            for _ in range(3):
                asked = name.ljust(32, b"\0").ljust(iptables.INFO.size, b"\0")
                about = iptables.info(self._getsockopt(door, layout.family, GET_INFO, asked))
                if about is None or about.size > LARGEST:
                    raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
                if about.size > largest:
                    return about, b""
                asked = HEAD.pack(name, about.size) + bytes(about.size)
                try:
                    answer = self._getsockopt(door, layout.family, GET_ENTRIES, asked)
                except OSError as error:
                    if error.errno != errno.EAGAIN:
                        raise
                    continue  # it changed its size meanwhile
                return about, answer[HEAD.size :]
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _getsockopt(self, door: socket.socket, family: int, option: int, asked: bytes) -> bytes:
        """getsockopt(2) with a buffer that asks, which the standard library does not offer."""
        buffer = ctypes.create_string_buffer(asked, len(asked))
        length = ctypes.c_uint(len(asked))
        if self._libc.getsockopt(
            door.fileno(), LEVELS[socket.AddressFamily(family)], option, buffer, ctypes.byref(length)
        ):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return buffer.raw[: length.value]
