"""What the forwarder may expect of every sink, whatever is behind it. An adapter joins in a few lines."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hostguardd.destinations import KINDS, Destination
from hostguardd.envelope import Entry, entry
from hostguardd.record import GENESIS, render
from hostguardd.sinks.command import CommandSink
from hostguardd.sinks.datagram import DatagramSink
from hostguardd.sinks.interface import Sink, SinkError
from hostguardd.sinks.journald import JournalSink
from hostguardd.sinks.make import ADAPTERS, sink
from hostguardd.sinks.relp import RelpSink
from hostguardd.sinks.syslog import StreamSink
from tests.alerts import IDENTITY, alert
from tests.certificates import Authority
from tests.ear import eventually
from tests.receivers import (
    CommandReceiver,
    DatagramReceiver,
    JournalReceiver,
    Receiver,
    RelpReceiver,
    StreamReceiver,
)

PATIENCE = 30.0

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


def entries(first: int, count: int, size: int = 0) -> list[Entry]:
    """`count` alerts numbered from `first`, as the log has them."""
    return [
        entry(render(alert(number, message=f"Näme {number} {'x' * size}"), IDENTITY, number, GENESIS))
        for number in range(first, first + count)
    ]


def numbers(receiver: Receiver) -> list[int]:
    return [json.loads(line)["event"]["sequence"] for line in receiver.lines()]


def confirmed(sent: Sink, batches: int) -> int:
    """Wait until so many are, or patience ends."""
    ends = time.monotonic() + PATIENCE
    count = 0
    while count < batches and time.monotonic() < ends:
        count += sent.confirmed(0.2)
    return count


class SinkContract:
    """`receiver` and `make` are what an adapter brings."""

    notices_absence = True
    """Whether `open` can know that nobody is there."""

    @pytest.fixture
    def receiver(self, tmp_path: Path) -> Iterator[Receiver]:
        made = self.receive(tmp_path)
        yield made
        made.stop()

    @pytest.fixture
    def sent(self, receiver: Receiver, tmp_path: Path) -> Iterator[Sink]:
        made = self.make(receiver, tmp_path)
        yield made
        made.close()

    def receive(self, folder: Path) -> Receiver:
        raise NotImplementedError

    def make(self, receiver: Receiver, folder: Path) -> Sink:
        raise NotImplementedError

    def test_all_arrive_in_order_and_are_confirmed_once(self, receiver: Receiver, sent: Sink) -> None:
        sent.open()
        first, batches, count = 1, 0, 0
        for size in (1, 2, 3, 5, 1, 4):
            sent.send(entries(first, size))
            first += size
            batches += 1
            if batches - count >= sent.window:
                count += confirmed(sent, 1)
        count += confirmed(sent, batches - count)
        assert count == batches
        assert sent.confirmed(0) == 0
        assert eventually(lambda: numbers(receiver) == list(range(1, first)), PATIENCE)

    def test_the_line_arrives_as_it_is(self, receiver: Receiver, sent: Sink) -> None:
        sent.open()
        (one,) = entries(5, 1)
        sent.send([one])
        assert confirmed(sent, 1) == 1
        assert eventually(lambda: receiver.lines() == [one.line], PATIENCE)

    def test_a_line_that_is_too_long_arrives_as_json(self, receiver: Receiver, sent: Sink) -> None:
        sent.open()
        sent.send(entries(1, 1, size=20_000))
        assert confirmed(sent, 1) == 1
        assert eventually(lambda: numbers(receiver) == [1], PATIENCE)
        assert json.loads(receiver.lines()[0])["hostguard"]["cut"] == ["message"]

    def test_nothing_on_its_way_is_nothing_to_wait_for(self, sent: Sink) -> None:
        sent.open()
        begun = time.monotonic()
        assert sent.confirmed(30) == 0
        assert time.monotonic() - begun < 15

    def test_finish_tells_of_the_rest(self, receiver: Receiver, sent: Sink) -> None:
        sent.open()
        sent.send(entries(1, 3))
        early = sent.confirmed(0)
        more = early < sent.window
        if more:
            sent.send(entries(4, 2))
        assert early + sent.finish() == 1 + more
        assert eventually(lambda: numbers(receiver) == list(range(1, 6 if more else 4)), PATIENCE)
        sent.open()
        sent.send(entries(6, 1))
        assert confirmed(sent, 1) == 1

    def test_finish_with_nothing_to_tell(self, sent: Sink) -> None:
        sent.open()
        assert sent.finish() == 0

    def test_what_fails_after_opening_can_be_opened_again(self, receiver: Receiver, sent: Sink) -> None:
        sent.open()
        sent.send(entries(1, 1))
        assert confirmed(sent, 1) == 1
        receiver.stop()

        def failing() -> bool:
            try:
                sent.send(entries(2, 1))
                sent.confirmed(0.05)
            except SinkError as error:
                told.append(str(error))
            return bool(told)

        told: list[str] = []
        assert eventually(failing, PATIENCE)
        assert told[0].isprintable()
        if self.notices_absence:
            with pytest.raises(SinkError):
                sent.open()
        sent.close()
        receiver.start()
        sent.open()
        sent.send(entries(3, 2))
        assert confirmed(sent, 1) == 1
        assert eventually(lambda: numbers(receiver)[-2:] == [3, 4], PATIENCE)

    def test_nothing_is_confirmed_twice_after_a_failure(self, receiver: Receiver, sent: Sink) -> None:
        sent.open()
        sent.send(entries(1, 1))
        sent.close()
        sent.open()
        assert sent.confirmed(0.05) == 0
        sent.send(entries(2, 1))
        assert confirmed(sent, 1) == 1

    def test_closing_never_raises_and_ends_it(self, sent: Sink) -> None:
        sent.close()
        sent.open()
        sent.close()
        sent.close()
        with pytest.raises(SinkError):
            sent.send(entries(1, 1))

    def test_opening_twice_is_opening_anew(self, receiver: Receiver, sent: Sink) -> None:
        sent.open()
        sent.open()
        sent.send(entries(1, 1))
        assert confirmed(sent, 1) == 1

    def test_it_has_a_window(self, sent: Sink) -> None:
        assert sent.window >= 1


class TestRelp(SinkContract):
    def receive(self, folder: Path) -> Receiver:
        return RelpReceiver()

    def make(self, receiver: Receiver, folder: Path) -> Sink:
        return RelpSink(receiver.destination)


class TestTcp(SinkContract):
    def receive(self, folder: Path) -> Receiver:
        return StreamReceiver()

    def make(self, receiver: Receiver, folder: Path) -> Sink:
        return StreamSink(receiver.destination, settle=0.1)


@needs_openssl
class TestRelpOverTls(SinkContract):
    def receive(self, folder: Path) -> Receiver:
        authority = Authority(folder)
        return RelpReceiver(authority.issue("server"), client_ca=authority.root.certificate)

    def make(self, receiver: Receiver, folder: Path) -> Sink:
        return RelpSink(with_tls(receiver.destination, folder))


@needs_openssl
class TestTls(SinkContract):
    def receive(self, folder: Path) -> Receiver:
        authority = Authority(folder)
        return StreamReceiver(authority.issue("server"), client_ca=authority.root.certificate)

    def make(self, receiver: Receiver, folder: Path) -> Sink:
        return StreamSink(with_tls(receiver.destination, folder), settle=0.1)


class TestUdp(SinkContract):
    notices_absence = False

    def receive(self, folder: Path) -> Receiver:
        return DatagramReceiver()

    def make(self, receiver: Receiver, folder: Path) -> Sink:
        return DatagramSink(receiver.destination)


class TestJournald(SinkContract):
    def receive(self, folder: Path) -> Receiver:
        return JournalReceiver(folder)

    def make(self, receiver: Receiver, folder: Path) -> Sink:
        assert isinstance(receiver, JournalReceiver)
        return JournalSink(receiver.destination, receiver.path)


class TestCommand(SinkContract):
    def receive(self, folder: Path) -> Receiver:
        return CommandReceiver(folder)

    def make(self, receiver: Receiver, folder: Path) -> Sink:
        return CommandSink(receiver.destination)


def with_tls(to: Destination, folder: Path) -> Destination:
    """The same, with a certificate for either side."""
    return replace(
        to,
        ca=str(folder / "ca.pem"),
        certificate=str(folder / "server.pem"),
        key=str(folder / "server.key"),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_sink(kind: str) -> None:
    assert set(ADAPTERS) == set(KINDS)
    made = sink(Destination("x", kind, address=("127.0.0.1", 9), command=("/bin/true",)))
    assert made.window >= 1
    made.close()
