"""What stands at the other end of a sink, as simply as can be: one thread each, and all that came in a list.

`Receiver.lines()` is the JSON that arrived, whatever it was wrapped in. `stop` leaves nothing behind, as a
server that was killed; `start` again takes the same address. `RelpReceiver` lies as its `answer` says.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import stat
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hostguardd.destinations import Destination
from tests.certificates import Issued

HOST = "127.0.0.1"
OFFERS = b"200 OK\nrelp_version=0\nrelp_software=test\ncommands=syslog"


class Receiver(ABC):
    """Somebody who takes alerts."""

    def __init__(self) -> None:
        self.came: list[bytes] = []

    @property
    @abstractmethod
    def destination(self) -> Destination:
        """Where it is."""

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...

    def lines(self) -> list[bytes]:
        """The JSON of every message, in the order of their coming."""
        return [message[message.index(b"] {") + 2 :] for message in self.came]


class StreamReceiver(Receiver):
    """A listener on the loopback; `handle` is what it does with a connection. `tls` makes it ask for TLS."""

    kind = "tcp"

    def __init__(self, tls: Issued | None = None, client_ca: Path | None = None, host: str = HOST) -> None:
        super().__init__()
        self.host = host
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(tls.certificate, tls.key)
            if client_ca is not None:
                self._context.load_verify_locations(client_ca)
                self._context.verify_mode = ssl.CERT_REQUIRED
        self.ended = threading.Event()
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port = 0
        self.start()

    @property
    def destination(self) -> Destination:
        return Destination(
            "test", self.kind, address=(self.host, self.port), tls=self._context is not None, timeout=5
        )

    def start(self) -> None:
        self.ended.clear()
        listener = self._listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen()
        self.port = listener.getsockname()[1]
        self._run(self._accept, listener)

    def stop(self) -> None:
        self.ended.set()
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for made in self._open:
            try:
                made.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            made.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self._open.clear()
        self._threads.clear()

    def handle(self, stream: BinaryIO, made: socket.socket) -> None:
        """Octet counting, RFC 6587."""
        while length := until(stream, b" "):
            self.came.append(exactly(stream, int(length)))

    def _run(self, target: Callable[[socket.socket], None], argument: socket.socket) -> None:
        thread = threading.Thread(target=target, args=(argument,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                made, _ = listener.accept()
            except OSError:
                return
            self._open.append(made)
            self._run(self._serve, made)

    def _serve(self, made: socket.socket) -> None:
        try:
            if self._context is not None:
                tls = self._context.wrap_socket(made, server_side=True)
                self._open.append(tls)
                made = tls
            with made.makefile("rb") as stream:
                self.handle(stream, made)
        except (OSError, ValueError, EOFError):
            pass  # stopped, or left
        finally:
            made.close()


class RelpReceiver(StreamReceiver):
    """RELP. `answer(number, command)` may say something else than the truth; None is the truth."""

    kind = "relp"

    def __init__(
        self,
        tls: Issued | None = None,
        client_ca: Path | None = None,
        answer: Callable[[int, bytes], bytes | None] = lambda number, command: None,
        host: str = HOST,
    ) -> None:
        self._answer = answer
        super().__init__(tls, client_ca, host)

    def handle(self, stream: BinaryIO, made: socket.socket) -> None:
        while number := until(stream, b" "):
            command = until(stream, b" ")
            digits = b""
            while (byte := exactly(stream, 1)).isdigit():
                digits += byte
            data = exactly(stream, int(digits))
            if byte == b" ":
                assert exactly(stream, 1) == b"\n"
            if command == b"syslog":
                self.came.append(data)
            said = self._answer(int(number), command)
            if said is None:
                told = {b"open": OFFERS, b"close": b""}.get(command, b"200 OK")
                said = b"%b rsp %d%b\n" % (number, len(told), b" " + told if told else b"")
            made.sendall(said)


class DatagramReceiver(Receiver):
    """UDP on 127.0.0.1."""

    def __init__(self) -> None:
        super().__init__()
        self._socket: socket.socket | None = None
        self.port = 0
        self.start()

    @property
    def destination(self) -> Destination:
        return Destination("test", "udp", address=(HOST, self.port), timeout=5)

    def start(self) -> None:
        made = self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        made.bind((HOST, self.port))
        self.port = made.getsockname()[1]

    def stop(self) -> None:
        if self._socket is not None:
            self.lines()
            self._socket.close()
            self._socket = None

    def lines(self) -> list[bytes]:
        while self._socket is not None:
            try:
                self.came.append(self._socket.recv(70_000, socket.MSG_DONTWAIT))
            except BlockingIOError:
                break
        return super().lines()


class JournalReceiver(Receiver):
    """journald's end of its native protocol: `fields()` is what was understood."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = str(folder / "journal.socket")
        self.passed = 0
        """How many came as a descriptor."""
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self.start()

    @property
    def destination(self) -> Destination:
        return Destination("test", "journald", timeout=5)

    def start(self) -> None:
        made = self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.bind(self.path)
        made.settimeout(0.05)
        self._thread = threading.Thread(target=self._receive, args=(made,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        made, self._socket = self._socket, None
        if made is not None and self._thread is not None:
            self._thread.join(10)
            made.close()
            os.unlink(self.path)

    def fields(self) -> list[dict[bytes, bytes]]:
        return [_fields(message) for message in self.came]

    def lines(self) -> list[bytes]:
        return [found[b"HOSTGUARD_RECORD"] for found in self.fields()]

    def _receive(self, made: socket.socket) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(made, 1024 * 1024, 1)
            except TimeoutError:
                if self._socket is not made:
                    return
                continue
            for descriptor in descriptors:
                assert not data
                self.passed += 1
                data = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
                os.close(descriptor)
            self.came.append(data)


def _fields(data: bytes) -> dict[bytes, bytes]:
    """Take a datagram apart as systemd's journald-native.c does."""
    found: dict[bytes, bytes] = {}
    while data:
        head, _, rest = data.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            length = int.from_bytes(rest[:8], "little")
            value, end, rest = rest[8 : 8 + length], rest[8 + length : 9 + length], rest[9 + length :]
            assert end == b"\n"
        assert name not in found
        found[name], data = value, rest
    return found


class CommandReceiver(Receiver):
    """A program that writes down its input, its environment and what it was called with."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self.path = folder / "pager"
        self.start()

    @property
    def destination(self) -> Destination:
        return Destination("test", "command", command=(str(self.path), "one argument"), timeout=20)

    def start(self) -> None:
        self.script(
            "import os, sys, json\n"
            f"with open({str(self._folder / 'heard')!r}, 'ab') as heard:\n"
            "    heard.write(sys.stdin.buffer.read())\n"
            f"with open({str(self._folder / 'met')!r}, 'a') as met:\n"
            "    met.write(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]) + '\\n')\n"
        )

    def script(self, text: str) -> None:
        self.path.write_text(f"#!{sys.executable} -IS\n{text}")
        self.path.chmod(stat.S_IRWXU)

    def stop(self) -> None:
        self.path.unlink(missing_ok=True)

    def lines(self) -> list[bytes]:
        heard = self._folder / "heard"
        return heard.read_bytes().splitlines() if heard.exists() else []

    def met(self) -> list[tuple[list[str], dict[str, str], str]]:
        """Arguments, environment and folder of each run."""
        return [tuple(json.loads(line)) for line in (self._folder / "met").read_text().splitlines()]


def until(stream: BinaryIO, end: bytes) -> bytes:
    """The bytes before `end`; none at the end of the stream."""
    found = b""
    while byte := stream.read(1):
        if byte == end:
            return found
        found += byte
    return b""


def exactly(stream: BinaryIO, count: int) -> bytes:
    found = stream.read(count)
    if len(found) != count:
        raise EOFError
    return found
