"""Sinks and what stands at the other end when it lies, sleeps, breaks off or is somebody else."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from hostguardd.destinations import FACILITIES, Destination
from hostguardd.envelope import Entry, entry, syslog
from hostguardd.model import Severity
from hostguardd.record import GENESIS, render
from hostguardd.sinks import command
from hostguardd.sinks import datagram as datagram_sink
from hostguardd.sinks.command import CommandSink
from hostguardd.sinks.datagram import DatagramSink
from hostguardd.sinks.failures import expected, failure
from hostguardd.sinks.interface import Sink, SinkError
from hostguardd.sinks.journald import JournalSink, datagram
from hostguardd.sinks.relp import RelpSink
from hostguardd.sinks.syslog import StreamSink
from tests.alerts import IDENTITY, alert
from tests.certificates import Authority
from tests.ear import eventually
from tests.receivers import (
    HOST,
    CommandReceiver,
    DatagramReceiver,
    JournalReceiver,
    RelpReceiver,
    StreamReceiver,
)

PATIENCE = 30.0
BRIEF = 0.6
"""A destination's timeout in tests that wait for it to pass."""

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


def entries(first: int, count: int, size: int = 0, **more: Any) -> list[Entry]:
    fields = {"message": f"Name {'x' * size}", **more}
    return [
        entry(render(alert(number, **fields), IDENTITY, number, GENESIS))
        for number in range(first, first + count)
    ]


def brief(to: Destination) -> Destination:
    return replace(to, timeout=BRIEF)


@contextmanager
def idle() -> Iterator[None]:
    """What happens in here may take its time, but not the processor's."""
    real, busy = time.monotonic(), time.thread_time()
    yield
    real, busy = time.monotonic() - real, time.thread_time() - busy
    assert busy < max(0.3 * real, 0.1), f"busy for {busy:.2f} s of {real:.2f} s"


def until_it_fails(sent: Sink, batch: Sequence[Entry], times: int = 1_000_000) -> str:
    """Send as fast as the window allows, until a SinkError; what it says."""
    under_way = 0
    ends = time.monotonic() + PATIENCE
    try:
        for _ in range(times):
            sent.send(batch)
            under_way += 1
            while under_way >= sent.window:
                under_way -= sent.confirmed(0.2)
                assert time.monotonic() < ends
        while time.monotonic() < ends:
            sent.confirmed(0.2)
    except SinkError as error:
        return str(error)
    pytest.fail("nothing failed")


class Deaf(StreamReceiver):
    """Accepts, never reads, and does not close when we do."""

    def handle(self, stream: BinaryIO, made: socket.socket) -> None:
        self.ended.wait(PATIENCE)


@pytest.fixture
def started() -> Iterator[Callable[[StreamReceiver], StreamReceiver]]:
    """Receivers that are stopped in the end."""
    made: list[StreamReceiver] = []

    def start(receiver: StreamReceiver) -> StreamReceiver:
        made.append(receiver)
        return receiver

    yield start
    for receiver in made:
        receiver.stop()


Started = Callable[[StreamReceiver], StreamReceiver]


@contextmanager
def listening(backlog: int = 16) -> Iterator[socket.socket]:
    """A listener that nobody serves."""
    with socket.socket() as made:
        made.bind((HOST, 0))
        made.listen(backlog)
        yield made


def at(kind: str, listener: socket.socket, **more: Any) -> Destination:
    return replace(
        Destination("test", kind, address=(HOST, listener.getsockname()[1]), timeout=BRIEF),
        **more,
    )


# Reaching it


def test_nobody_listens() -> None:
    with listening() as listener:
        to = at("relp", listener)
    with pytest.raises(
        SinkError, match=r"relp://127.0.0.1:\d+ refuses the connection: nothing listens there"
    ):
        RelpSink(to).open()


@contextmanager
def silent() -> Iterator[socket.socket]:
    """A listener whose queue is full, so that not even the kernel answers."""
    with listening(0) as listener:
        held = [socket.socket() for _ in range(5)]
        for one in held:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener
        for one in held:
            one.close()


def test_nobody_answers() -> None:
    with silent() as listener, idle(), pytest.raises(SinkError, match=r"does not answer within 0\.6 s"):
        RelpSink(at("relp", listener)).open()


def test_every_address_is_tried(monkeypatch: pytest.MonkeyPatch, started: Started) -> None:
    there = started(RelpReceiver())
    with listening() as listener:
        dead = listener.getsockname()
    with silent() as listener:
        addresses = [(socket.AF_INET6, ("::1", 1, 0, 0)), (socket.AF_INET, dead)]
        addresses += [(socket.AF_INET, listener.getsockname()), (socket.AF_INET, (HOST, there.port))]
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda *_, **__: [(family, socket.SOCK_STREAM, 6, "", address) for family, address in addresses],
        )
        sent = RelpSink(replace(there.destination, address=("logs.example.org", 1), timeout=6))
        begun = time.monotonic()
        sent.open()
        assert time.monotonic() - begun < 5.5  # the silent one had its share, not everything
        sent.close()
        addresses.pop()
        addresses.pop()
        with pytest.raises(SinkError, match="refuses the connection"):
            sent.open()


def test_nobody_talks_to_himself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Chance(socket.socket):
        """One that the kernel gave the very port it connects to."""

        def connect(self, address: Any) -> None:
            self.bind(address)
            super().connect(address)

    with listening() as listener:
        to = at("tcp", listener)
    monkeypatch.setattr(socket, "socket", Chance)
    with pytest.raises(SinkError, match="refuses the connection"):
        StreamSink(to).open()


def test_a_name_that_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for made in (RelpSink, StreamSink, DatagramSink):
        with pytest.raises(SinkError, match="the name logs is not found: Name or service not known"):
            made(Destination("x", "relp", address=("logs", 1))).open()


@pytest.mark.parametrize("name", ["a" * 64 + ".example.org", "nul\0", "a..b"])
def test_what_can_be_no_name(name: str) -> None:
    with pytest.raises(SinkError) as caught:
        RelpSink(Destination("x", "relp", address=(name, 1))).open()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_number_of_the_kernels_is_a_sentence(number: int) -> None:
    told = str(failure(Destination("x", "tcp", address=("logs", 514)), OSError(number, os.strerror(number))))
    assert told.startswith("tcp://logs:514 ")
    assert len(told) > 20


def test_no_route_says_so() -> None:
    to = Destination("x", "tcp", address=("logs", 514))
    assert "no route" in str(failure(to, OSError(errno.EHOSTUNREACH, "")))
    assert "no route" in str(failure(to, OSError(errno.ENETUNREACH, "")))


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def trusting(to: Destination, ca: Path, **more: Any) -> Destination:
    return replace(to, ca=str(ca), **more)


def refusal(to: Destination) -> str:
    for made in (RelpSink(to), StreamSink(to)):
        with pytest.raises(SinkError) as caught:
            made.open()
    return str(caught.value)


@needs_openssl
def test_an_expired_certificate(authority: Authority, started: Started) -> None:
    there = started(RelpReceiver(authority.issue("expired", days=-1)))
    told = refusal(trusting(there.destination, authority.root.certificate))
    assert told.endswith("is not who we want to talk to: its certificate has expired")


@needs_openssl
@pytest.mark.parametrize("names", ["DNS:localhost", "IP:127.0.0.2", "DNS:127.0.0.1.example.org"])
def test_a_certificate_without_our_address(authority: Authority, started: Started, names: str) -> None:
    there = started(RelpReceiver(authority.issue("elsewhere", names)))
    told = refusal(trusting(there.destination, authority.root.certificate))
    assert told.endswith("its certificate is not for 127.0.0.1; check `server_name`")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as made:
            made.bind(("::1", 0))
    except OSError:
        return False
    return True


@needs_openssl
@pytest.mark.skipif(not has_ipv6(), reason="needs IPv6 on the loopback")
def test_an_address_of_ipv6(authority: Authority, started: Started) -> None:
    there = started(RelpReceiver(authority.issue("six", "IP:::1"), host="::1"))
    to = trusting(there.destination, authority.root.certificate)
    sent = RelpSink(to)
    sent.open()
    sent.send(entries(1, 1))
    assert sent.finish() == 1
    told = refusal(replace(to, server_name="::2"))
    assert told.startswith(f"relp+tls://[::1]:{there.port} ")
    assert "its certificate is not for ::2" in told


@pytest.mark.parametrize(
    ("host", "name", "wanted"),
    [
        ("logs.example.org.", "", "logs.example.org"),
        ("fe80::1%eth0", "", "fe80::1"),
        ("192.0.2.1", "logs", "logs"),
    ],
)
def test_what_a_certificate_must_name(host: str, name: str, wanted: str) -> None:
    assert expected(Destination("x", "relp", address=(host, 1), tls=True, server_name=name)) == wanted


@needs_openssl
@pytest.mark.parametrize("name", ["*.example.org", ".", "a" * 70, "nul\0"])
def test_what_cannot_be_the_name_of_a_server(authority: Authority, started: Started, name: str) -> None:
    there = started(RelpReceiver(authority.issue("server")))
    told = refusal(trusting(there.destination, authority.root.certificate, server_name=name))
    assert told.isprintable()


@needs_openssl
def test_its_own_certificate_can_be_pinned(authority: Authority, started: Started) -> None:
    server = authority.issue("pinned")
    there = started(RelpReceiver(server))
    sent = RelpSink(trusting(there.destination, server.certificate))
    sent.open()
    assert sent.finish() == 0


@needs_openssl
def test_a_server_that_demands_a_certificate(authority: Authority, started: Started, tmp_path: Path) -> None:
    there = started(RelpReceiver(authority.issue("server"), client_ca=authority.root.certificate))
    to = trusting(there.destination, authority.root.certificate)
    with pytest.raises(SinkError, match="demands a certificate of us: set `certificate` and `key`"):
        RelpSink(to).open()
    stranger = Authority(tmp_path, "stranger").issue("client")
    theirs = replace(to, certificate=str(stranger.certificate), key=str(stranger.key))
    with pytest.raises(SinkError, match="does not trust the CA of our certificate"):
        RelpSink(theirs).open()


@needs_openssl
def test_files_of_ours_that_cannot_be_used_are_named(
    authority: Authority, started: Started, tmp_path: Path
) -> None:
    server, other = authority.issue("server"), authority.issue("other")
    there = started(RelpReceiver(server))
    to = trusting(there.destination, authority.root.certificate)
    empty, locked = tmp_path / "empty.pem", tmp_path / "locked.key"
    empty.touch()
    subprocess.run(
        ["openssl", "pkey", "-in", server.key, "-aes256", "-passout", "pass:secret", "-out", locked],
        check=True,
    )
    ours: dict[str, Any] = {"certificate": str(server.certificate), "key": str(server.key)}
    for more, told in (
        ({"ca": "/nowhere/ca.pem"}, "ca = /nowhere/ca.pem cannot be read: No such file or directory"),
        ({"ca": str(tmp_path)}, f"ca = {tmp_path} cannot be read: Is a directory"),
        ({"ca": str(empty)}, f"ca = {empty} holds no certificate that can be read"),
        ({**ours, "key": "/nowhere/key"}, "key = /nowhere/key cannot be read"),
        ({**ours, "certificate": "/nowhere/c"}, "certificate = /nowhere/c cannot be read"),
        ({**ours, "key": str(other.key)}, f"key = {other.key} is not the key of {server.certificate}"),
        ({**ours, "key": str(locked)}, "the key without a password"),
        ({**ours, "certificate": str(empty)}, f"{empty} or {server.key} holds no certificate or key"),
    ):
        assert told in refusal(replace(to, **more))
    there.stop()
    assert "ca = /nowhere" in refusal(replace(to, ca="/nowhere")), "known before there is a connection"


@needs_openssl
@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_key_that_is_not_ours_to_read(authority: Authority, tmp_path: Path) -> None:
    server = authority.issue("server")
    key = tmp_path / "key"
    key.write_bytes(server.key.read_bytes())
    key.chmod(0)
    to = Destination(
        "x", "relp", address=(HOST, 9), tls=True, certificate=str(server.certificate), key=str(key)
    )
    with listening() as listener, pytest.raises(SinkError, match="cannot be read: Permission denied"):
        RelpSink(replace(to, address=listener.getsockname())).open()


@needs_openssl
@pytest.mark.parametrize(
    "banner", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 smtp.example.org ESMTP\r\n", b""]
)
def test_something_else_at_a_port_for_tls(authority: Authority, started: Started, banner: bytes) -> None:
    class Other(StreamReceiver):
        def handle(self, stream: BinaryIO, made: socket.socket) -> None:
            made.sendall(banner)
            made.shutdown(socket.SHUT_WR)
            stream.read()

    there = started(Other())
    told = refusal(trusting(replace(there.destination, tls=True), authority.root.certificate))
    assert told.endswith("is that port for plain text?")


@needs_openssl
def test_a_port_for_tls_that_says_so(authority: Authority, started: Started) -> None:
    there = started(RelpReceiver(authority.issue("server")))
    for made in (RelpSink, StreamSink):
        sent = made(replace(there.destination, tls=False))
        with pytest.raises(SinkError, match=r"set tls = true"):
            open_and_send(sent)


def open_and_send(sent: Sink) -> None:
    sent.open()
    sent.send(entries(1, 1))
    for _ in range(100):
        sent.confirmed(0.1)


@pytest.mark.parametrize("make", [RelpSink, StreamSink])
def test_a_port_for_tls_that_answers_by_an_alert(
    make: Callable[[Destination], Sink], started: Started
) -> None:
    class Alerting(StreamReceiver):
        def handle(self, stream: BinaryIO, made: socket.socket) -> None:
            made.recv(10)
            made.sendall(b"\x15\x03\x01\x00\x02\x02\x46")
            self.ended.wait(PATIENCE)

    with pytest.raises(SinkError, match=r"speaks TLS there and we do not: set tls = true$"):
        open_and_send(make(started(Alerting()).destination))


@needs_openssl
def test_tls_before_1_2_is_not_spoken(
    authority: Authority, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = ssl.SSLContext.wrap_socket

    def wrap(context: ssl.SSLContext, *args: object, **more: Any) -> ssl.SSLSocket:
        seen.append((context.minimum_version, context.verify_mode, context.check_hostname))
        return real(context, *args, **more)  # type: ignore[arg-type]

    there = started(Deaf())
    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap)
    to = trusting(brief(replace(there.destination, tls=True)), authority.root.certificate)
    with pytest.raises(SinkError):
        StreamSink(to).open()
    assert seen == [(ssl.TLSVersion.TLSv1_2, ssl.CERT_REQUIRED, True)]


# RELP


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda number: b"99 rsp 6 200 OK\n", "answers number 99 where the answer to number 2 is due"),
        (
            lambda number: b"%d rsp 6 200 OK\n" % number * 2,
            "answers number 2 where the answer to number 3 is due",
        ),
        (lambda number: b"%d rsp 13 500 disk full\n" % number, "refuses message 2: 500 disk full"),
        (lambda number: b"0 serverclose 0\n", "ends the session (serverclose)"),
        (lambda number: b"\x00\xff\n", r"sends what is no RELP: \x00\xff"),
        (lambda number: b"2 rsp 999999 ", "announces a frame of 999999 bytes"),
    ],
)
def test_a_server_that_acknowledges_wrongly(
    answer: Callable[[int], bytes], told: str, started: Started
) -> None:
    there = started(RelpReceiver(answer=lambda number, name: answer(number) if name == b"syslog" else None))
    sent = RelpSink(there.destination)
    sent.open()
    assert told in until_it_fails(sent, entries(1, 3), times=1)
    with pytest.raises(SinkError, match="is not connected"):
        sent.confirmed(0)


def test_a_server_that_never_acknowledges(started: Started) -> None:
    there = started(RelpReceiver(answer=lambda number, name: b"" if name == b"syslog" else None))
    sent = RelpSink(brief(there.destination))
    sent.open()
    with idle():
        assert until_it_fails(sent, entries(1, 1), times=1).endswith(
            "does not acknowledge what it was sent within 0.6 s"
        )
    sent.open()
    sent.send(entries(1, 1))
    with idle(), pytest.raises(SinkError, match="does not acknowledge"):
        sent.finish()


def test_a_batch_is_delivered_when_its_last_message_is(started: Started) -> None:
    last = 3
    there = started(RelpReceiver(answer=lambda number, name: b"" if number > last else None))
    sent = RelpSink(there.destination)
    sent.open()
    sent.send(entries(1, 4))
    assert sent.confirmed(0.2) == 0
    # What was acknowledged of it counts for nothing on another connection.
    sent.open()
    sent.send(entries(1, 4))
    sent.send(entries(5, 4))
    assert sent.confirmed(0.2) == 0
    last = 100
    sent.open()
    sent.send(entries(1, 4))
    sent.send(entries(5, 4))
    assert sent.confirmed(PATIENCE) >= 1
    sent.close()


def test_a_server_that_never_opens(started: Started) -> None:
    there = started(Deaf())
    with idle(), pytest.raises(SinkError, match=r"does not answer the offer of a RELP session within 0\.6 s"):
        RelpSink(replace(brief(there.destination), kind="relp")).open()


def test_a_server_that_never_reads(started: Started) -> None:
    class Napping(RelpReceiver):
        def handle(self, stream: BinaryIO, made: socket.socket) -> None:
            made.sendall(b"1 rsp 37 200 OK\nrelp_version=0\ncommands=syslog\n")
            self.ended.wait(PATIENCE)

    sent = RelpSink(brief(started(Napping()).destination))
    sent.open()
    huge = entries(1, 1, size=6000) * 4000
    with idle():
        told = waits(lambda: sent.send(huge))
    assert told.endswith("does not take what it is sent within 0.6 s")


def waits(action: Callable[[], object]) -> str:
    """The error of something that takes its time; its own work comes before."""
    with pytest.raises(SinkError) as caught:
        action()
    return str(caught.value)


def test_a_server_that_reads_only_when_it_is_read_from(started: Started) -> None:
    class Narrow(RelpReceiver):
        def handle(self, stream: BinaryIO, made: socket.socket) -> None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            super().handle(stream, made)

    there = started(Narrow())
    sent = RelpSink(there.destination)
    sent.open()
    many = entries(1, 1, size=200) * 30_000
    sent.send(many)
    assert sent.finish() == 1
    assert len(there.came) == len(many)


def test_an_end_without_an_answer_changes_nothing(started: Started) -> None:
    there = started(RelpReceiver(answer=lambda number, name: b"" if name == b"close" else None))
    sent = RelpSink(brief(there.destination))
    sent.open()
    sent.send(entries(1, 2))
    with idle():
        assert sent.finish() == 1


def test_an_end_in_good_order_is_told(started: Started) -> None:
    heard: list[bytes] = []
    there = started(RelpReceiver(answer=lambda number, name: heard.append(name)))
    sent = RelpSink(there.destination)
    sent.open()
    sent.send(entries(1, 2))
    assert sent.finish() == 1
    assert heard == [b"open", b"syslog", b"syslog", b"close"]


def test_a_server_that_is_gone_is_noticed_while_nothing_is_sent(started: Started) -> None:
    there = started(RelpReceiver())
    sent = RelpSink(there.destination)
    sent.open()
    there.stop()
    with pytest.raises(SinkError, match="closed the connection"):
        sent.confirmed(0)


# Syslog over a stream


def test_a_batch_is_delivered_only_after_its_time(started: Started) -> None:
    there = started(StreamReceiver())
    sent = StreamSink(there.destination, settle=0.5)
    sent.open()
    begun = time.monotonic()
    sent.send(entries(1, 1))
    assert sent.confirmed(0.05) == 0
    with idle():
        assert sent.confirmed(PATIENCE) == 1
    assert time.monotonic() - begun >= 0.5
    sent.close()


@needs_openssl
@pytest.mark.parametrize("tls", [False, True])
def test_what_the_other_kernel_lacks_is_not_delivered(
    authority: Authority, started: Started, tls: bool
) -> None:
    there = started(Deaf(authority.issue("server") if tls else None))
    to = there.destination
    sent = StreamSink(trusting(to, authority.root.certificate) if tls else to, settle=0.05)
    sent.open()
    sent.send(entries(1, 1))
    assert sent.confirmed(PATIENCE) == 1
    # Twice what its kernel takes for a program that does not read, and less than ours holds for it.
    sent.send(entries(2, 1, size=6000) * 70)
    assert sent.confirmed(0.4) == 0
    sent.close()


@needs_openssl
@pytest.mark.parametrize("tls", [False, True])
def test_more_than_fits_waits_for_room(authority: Authority, started: Started, tls: bool) -> None:
    there = started(StreamReceiver(authority.issue("server") if tls else None))
    to = there.destination
    sent = StreamSink(trusting(to, authority.root.certificate) if tls else to)
    sent.open()
    sent.send(entries(1, 1, size=6000) * 4000)
    assert sent.finish() == 1
    assert len(there.came) == 4000


def test_a_stream_that_is_never_read(started: Started) -> None:
    there = started(Deaf())
    sent = StreamSink(brief(there.destination), settle=30)
    sent.open()
    told = until_it_fails(sent, entries(1, 1, size=6000) * 500)
    assert "takes nothing of what it is sent for 0.6 s" in told or "the connection timed out" in told


def test_a_stream_whose_end_left_is_not_written_into(started: Started) -> None:
    there = started(StreamReceiver())
    sent = StreamSink(there.destination, settle=0.05)
    sent.open()
    sent.send(entries(1, 1))
    assert eventually(lambda: sent.confirmed(0.05) == 1)
    there.stop()
    with pytest.raises(SinkError, match=r"closed the connection$"):
        sent.send(entries(2, 1))


def test_an_end_that_leaves_messages_unread_has_lost_them(started: Started) -> None:
    class Hasty(StreamReceiver):
        def handle(self, stream: BinaryIO, made: socket.socket) -> None:
            made.recv(1)

    sent = StreamSink(started(Hasty()).destination)
    sent.open()
    sent.send(entries(1, 50))
    with pytest.raises(SinkError, match="connection"):
        sent.finish()


def test_an_end_that_does_not_close(started: Started) -> None:
    there = started(Deaf())
    sent = StreamSink(brief(there.destination))
    sent.open()
    sent.send(entries(1, 1))
    with idle(), pytest.raises(SinkError, match=r"did not close its end within 0\.6 s"):
        sent.finish()


# UDP


def test_what_icmp_tells_comes_with_the_next_send() -> None:
    there = DatagramReceiver()
    sent = DatagramSink(there.destination)
    sent.open()
    there.stop()
    sent.send(entries(1, 1))
    assert sent.confirmed(0) == 1
    with pytest.raises(SinkError, match="refuses our messages: nothing listens there"):
        sent.send(entries(2, 1))


HUGE: dict[str, Any] = {
    "data": {f"member{number}": "x" * 30_000 for number in range(4)} | {"diff": "d" * 30_000}
}


@pytest.mark.parametrize("carried", [datagram_sink.CARRIED, dict.fromkeys(datagram_sink.CARRIED, 10**6)])
def test_what_no_datagram_carries_is_made_shorter(
    carried: dict[socket.AddressFamily, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagram_sink, "CARRIED", carried)
    there = DatagramReceiver()
    sent = DatagramSink(replace(there.destination, limit=10**6))
    sent.open()
    sent.send(entries(1, 1, **HUGE))
    (line,) = there.lines()
    assert json.loads(line)["hostguard"]["cut"] == ["*"]
    # To the byte.
    for size, cut in ((65507, None), (65508, ["hostguard.diff"])):
        there.came.clear()
        sent.send([of_size(size)])
        (line,) = there.lines()
        assert json.loads(line)["hostguard"].get("cut") == cut
    sent.close()
    there.stop()


def of_size(size: int) -> Entry:
    """An entry whose message has `size` bytes."""
    empty = Entry(1, Severity.LOW, "", "", "", "", "", b'{"hostguard":{"diff":"%b"}}')
    padding = size - len(syslog(empty, FACILITIES["authpriv"], size)) + len(b"%b")
    return empty._replace(line=empty.line % (b"d" * padding))


# The journal


def test_the_fields_of_an_alert(tmp_path: Path) -> None:
    there = JournalReceiver(tmp_path)
    sent = JournalSink(there.destination, there.path)
    sent.open()
    (one,) = entries(7, 1, severity=Severity.HIGH, action="added", kind="setid")
    sent.send([one])
    assert eventually(lambda: len(there.came) == 1)
    assert there.fields() == [
        {
            b"MESSAGE": b"Name ",
            b"PRIORITY": b"3",
            b"SYSLOG_IDENTIFIER": b"hostguardd",
            b"HOSTGUARD_SEQUENCE": b"7",
            b"HOSTGUARD_ID": b"a7",
            b"HOSTGUARD_KIND": b"setid",
            b"HOSTGUARD_SEVERITY": b"high",
            b"HOSTGUARD_ACTION": b"added",
            b"HOSTGUARD_RECORD": one.line,
        }
    ]
    sent.close()
    there.stop()


def test_a_value_cannot_begin_a_field(tmp_path: Path) -> None:
    evil = "x\nPRIORITY=0\nMESSAGE=forged"
    told = json.dumps({"message": evil}).encode()
    there = JournalReceiver(tmp_path)
    sent = JournalSink(there.destination, there.path)
    sent.open()
    sent.send([Entry(1, Severity.LOW, evil, evil, evil, "", "", told)])
    assert eventually(lambda: len(there.came) == 1)
    (found,) = there.fields()
    assert found[b"MESSAGE"] == evil.encode()
    assert found[b"PRIORITY"] == b"5"
    assert b"\n" not in found[b"HOSTGUARD_KIND"]
    sent.close()
    there.stop()


def test_what_no_datagram_holds_goes_as_a_sealed_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed: list[int] = []
    real = fcntl.fcntl

    def call(descriptor: int, command: int, value: int = 0) -> int:
        done = real(descriptor, command, value)
        if command == fcntl.F_ADD_SEALS:
            sealed.append(real(descriptor, fcntl.F_GET_SEALS))
        return done

    monkeypatch.setattr(fcntl, "fcntl", call)
    there = JournalReceiver(tmp_path)
    sent = JournalSink(replace(there.destination, limit=10**6), there.path)
    sent.open()
    huge = {f"member{number}": "x" * 30_000 for number in range(20)}
    batch = [*entries(1, 1), *entries(2, 1, data=huge), *entries(3, 1)]
    sent.send(batch)
    assert eventually(lambda: there.lines() == [one.line for one in batch])
    assert there.passed == 1
    assert sealed == [fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL]
    sent.close()
    there.stop()


def test_a_line_that_holds_no_sentence() -> None:
    for line in (b"broken", b"[1]", b'{"a":1}', b"[" * 5000):
        assert datagram(Entry(0, Severity.LOW, "", "", "", "", "", line), 8192).startswith(
            b"MESSAGE=" + line[:1]
        )


def test_no_journald(tmp_path: Path) -> None:
    sent = JournalSink(Destination("x", "journald"), str(tmp_path / "socket"))
    with pytest.raises(SinkError, match="there is no journald here"):
        sent.open()


def test_a_journald_that_sleeps(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(str(tmp_path / "socket"))
        sent = JournalSink(Destination("x", "journald", timeout=BRIEF), str(tmp_path / "socket"))
        sent.open()
        batch = entries(1, 1)
        with pytest.raises(SinkError, match=r"takes nothing within 0\.6 s"):
            sent.send(batch * 5000)


# A command


@pytest.fixture
def program(tmp_path: Path) -> CommandReceiver:
    return CommandReceiver(tmp_path)


def test_what_a_command_gets(program: CommandReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "token")
    sent = CommandSink(program.destination)
    sent.open()
    (one,) = entries(7, 1, severity=Severity.HIGH, kind="setid")
    sent.send([one, one._replace(kind="x\0\n", id="\ud800")])
    (arguments, environment, folder), (_, other, _) = program.met()
    assert arguments == ["one argument"]
    assert folder == "/"
    assert environment == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOSTGUARD_SEVERITY": "high",
        "HOSTGUARD_ID": "a7",
        "HOSTGUARD_SEQUENCE": "7",
        "HOSTGUARD_KIND": "setid",
    }
    assert other["HOSTGUARD_KIND"] == r"x\x00\x0a"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("import sys; sys.stderr.write('\\n no \\x1b[1m cash\\n!'); sys.exit(3)", r"code 3: no \x1b[1m cash"),
        ("import sys; sys.exit(1)", "ended with code 1"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by signal 9"),
        ("import os; os.write(2, b'\\xff' * 300000); os._exit(4)", r"ended with code 4: \xff\xff"),
    ],
)  # fmt: skip
def test_a_command_that_fails(program: CommandReceiver, script: str, told: str) -> None:
    program.script(script)
    sent = CommandSink(program.destination)
    sent.open()
    with pytest.raises(SinkError) as caught:
        sent.send(entries(1, 1))
    assert told in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    assert sent.confirmed(0) == 0


def test_a_command_that_hangs_is_killed_with_all_its_children(
    program: CommandReceiver, tmp_path: Path
) -> None:
    # A shell starts in milliseconds: both are there long before they are killed, also on a busy machine.
    program.path.write_text(
        f"#!/bin/sh\ncd '{tmp_path}'\ntrap '' TERM\nsleep 600 &\n: > pid$!\n: > pid$$\nwait\n"
    )
    sent = CommandSink(replace(program.destination, timeout=2))
    sent.open()
    with idle(), pytest.raises(SinkError, match="was killed: it did not end within 2 s"):
        sent.send(entries(1, 1))
    pids = [int(path.name.removeprefix("pid")) for path in tmp_path.glob("pid*")]
    assert len(pids) == 2
    assert eventually(lambda: not any(alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    "script",
    [
        "",  # reads nothing
        "import os; [os.close(n) for n in (0, 1, 2)]; import time; time.sleep(0.3)",
        # a child that keeps its pipes
        "import os, time\nif os.fork() == 0:\n open('{child}', 'w').write(str(os.getpid()))\n time.sleep(60)",
        "import sys; sys.stderr.write('x' * 1000000)",
    ],
    ids=["deaf", "closed", "child", "talkative"],
)
def test_strange_programs_that_succeed(program: CommandReceiver, tmp_path: Path, script: str) -> None:
    child = tmp_path / "child"
    program.script(script.replace("{child}", str(child)))
    sent = CommandSink(replace(program.destination, limit=10**6))
    sent.open()
    begun = time.monotonic()
    batch = entries(1, 1, data={str(number): "x" * 30_000 for number in range(10)})
    with idle():
        sent.send(batch)
    assert sent.confirmed(0) == 1
    assert time.monotonic() - begun < 15
    if "{child}" in script:
        assert eventually(lambda: child.exists() and child.read_text() != "")
        os.kill(int(child.read_text()), signal.SIGKILL)  # it is still there


def test_a_program_that_talks_without_end_is_killed(program: CommandReceiver) -> None:
    program.script("import os\nwhile True: os.write(2, b'x' * 65536)")
    sent = CommandSink(brief(program.destination))
    sent.open()
    with pytest.raises(SinkError, match="was killed"):
        sent.send(entries(1, 1))


def test_what_is_kept_of_what_a_program_says_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = bytearray()
    calls = 0

    def read(descriptor: int, count: int) -> bytes:
        nonlocal calls
        calls += 1
        assert calls < 3, "and so is how long it is listened to"
        return b"x" * count

    monkeypatch.setattr(os, "read", read)
    assert command._listen(0, heard)
    assert command._listen(0, heard)
    assert len(heard) == command.HEARD


def test_a_batch_that_comes_again_is_gone_on_with(program: CommandReceiver, tmp_path: Path) -> None:
    program.script(
        "import os, sys\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "number = os.environ['HOSTGUARD_SEQUENCE']\n"
        "with open('runs', 'a') as runs: runs.write(number + ' ')\n"
        "sys.exit(number == '3' and not os.path.exists('ok'))\n"
    )
    sent = CommandSink(program.destination)
    sent.open()
    with pytest.raises(SinkError):
        sent.send(entries(1, 4))
    (tmp_path / "ok").touch()
    sent.close()
    sent.open()
    sent.send(entries(1, 4))
    sent.send(entries(1, 1))
    assert (tmp_path / "runs").read_text() == "1 2 3 3 4 1 "


def test_a_program_that_cannot_be_run(program: CommandReceiver) -> None:
    sent = CommandSink(program.destination)
    program.path.write_text("#!/nowhere/interpreter\n")
    sent.open()
    with pytest.raises(SinkError, match="cannot be run: No such file or directory"):
        sent.send(entries(1, 1))
    program.path.chmod(stat.S_IRUSR)
    with pytest.raises(SinkError, match="may not be run: it is not executable for us"):
        sent.open()
    program.stop()
    with pytest.raises(SinkError, match="there is no program"):
        sent.open()
