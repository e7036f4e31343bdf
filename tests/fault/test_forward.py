"""hostguardd-forward beside the daemon, both as real processes: from a change on the host to another one."""

from __future__ import annotations

import json
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hostguardd.forward import ENDED
from tests.daemon import PATIENCE, Guard, guarding, until
from tests.sending import launched


class Receiver:
    """A log host: syslog over TCP, octet counting (RFC 6587), on a port of its own that it keeps."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self.records: list[dict[str, Any]] = []
        self.connections: list[socket.socket] = []
        self._server: socketserver.ThreadingTCPServer | None = None

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [one for one in self.records if "sequence" in one.get("event", {})]

    @property
    def numbers(self) -> list[int]:
        return [one["event"]["sequence"] for one in self.alerts]

    def start(self) -> None:
        receiver = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                receiver.connections.append(self.connection)
                try:
                    while length := b"".join(iter(lambda: self.rfile.read(1).strip(), b"")):
                        message = self.rfile.read(int(length))
                        receiver.records.append(json.loads(message[message.index(b"] {") + 2 :]))
                except OSError:
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def stop(self) -> None:
        """As if it were killed: nothing is listening, and connections are gone."""
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.connections.clear()
        self._server = None


class Forward:
    """The forwarder of a guard, as a process."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.words = guard.folder / "forward.words"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Forward:
        self.process = launched(self.guard.config, self.words)
        return self

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.process = None
        return code

    def said(self) -> str:
        return self.words.read_text(errors="replace") if self.words.exists() else ""

    def standing(self, name: str = "central") -> dict[str, Any]:
        found = self.guard.call("status")["destinations"]
        return next((one for one in found if one["name"] == name), {})

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)


DESTINATION = """
[[destination]]
name = "{name}"
kind = "tcp"
address = "127.0.0.1:{port}"
heartbeat = "500ms"
{more}
"""


@contextmanager
def forwarding(guard: Guard) -> Iterator[Forward]:
    forward = Forward(guard)
    try:
        yield forward.start()
    except BaseException:
        print(forward.said(), file=sys.stderr)
        raise
    finally:
        forward.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    one.start()
    yield one
    if one._server is not None:
        one.stop()


def guard_for(folder: Path, receiver: Receiver, more: str = "") -> Guard:
    (folder / "guard/tree").mkdir(parents=True)
    (folder / "guard/tree/loud").write_text("as it was\n")
    text = DESTINATION.format(name="central", port=receiver.port, more=more)
    return Guard(folder / "guard", more=text)


def test_a_change_is_on_the_other_host_within_a_second(tmp_path: Path, receiver: Receiver) -> None:
    guard = guard_for(tmp_path, receiver)
    with guarding(guard.start()), forwarding(guard) as forward:
        until(lambda: forward.standing()["state"] == "connected", "it is connected")
        guard.approve()
        began = time.monotonic()
        (guard.tree / "loud").write_text("something else\n")
        until(lambda: any("loud" in one["message"] for one in receiver.alerts), "it is there")
        assert time.monotonic() - began < 10  # a busy machine's second
        assert receiver.numbers == list(range(1, len(receiver.numbers) + 1))
        mine = {one["event"]["sequence"]: one for one in guard.alerts()}
        assert all(mine[one["event"]["sequence"]] == one for one in receiver.alerts)
        # The heartbeat says where the log stood, and what is approved.
        until(lambda: receiver.records[-1]["hostguard"].get("sent") == len(mine), "a heartbeat behind it")
        beat = receiver.records[-1]["hostguard"]
        assert beat["kind"] == "heartbeat"
        until(
            lambda: (
                receiver.records[-1]["hostguard"].get("baseline", {}) != {}
                and receiver.records[-1]["hostguard"]["last"]["sequence"] > 0
            ),
            "the daemon's sign is in it",
        )
        assert receiver.records[-1]["host"]["hostname"] == socket.gethostname()
        assert forward.end() == ENDED


def test_a_test_alert_says_how_far_it_got(tmp_path: Path, receiver: Receiver) -> None:
    guard = guard_for(tmp_path, receiver, 'severity = "critical"')
    with guarding(guard.start()), forwarding(guard) as forward:
        until(lambda: forward.standing()["state"] == "connected", "it is connected")
        shown = guard.ctl("test-alert")
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert f"tcp://127.0.0.1:{receiver.port}: delivered" in shown.stdout
        assert [one["rule"]["name"] for one in receiver.alerts] == ["alert.tested"]
        assert "✓ forwarding" in guard.ctl("doctor").stdout
        assert forward.end() == ENDED
        shown = guard.ctl("test-alert")
        assert shown.returncode == 1
        assert "hostguardd-forward is not running" in shown.stdout
        assert "hostguardd-forward is not running" in guard.ctl("doctor").stdout
        assert "stopped, behind by" in " ".join(guard.ctl("status").stdout.split())


def test_nothing_is_lost_whoever_dies(tmp_path: Path, receiver: Receiver) -> None:
    guard = guard_for(tmp_path, receiver)
    with guarding(guard.start()), forwarding(guard) as forward:
        guard.approve()
        for turn in range(6):
            for number in range(5):
                (guard.tree / f"loud{turn}.{number}").write_text("new\n")
            if turn % 3 == 0:
                receiver.stop()
                receiver.start()
            elif turn % 3 == 1:
                assert forward.end(signal.SIGKILL) == -signal.SIGKILL
                forward.start()
            else:
                guard.kill()
                guard.close()
                guard.start()
            guard.hears(guard.tree / f"loud{turn}.4")
        last = max(one["event"]["sequence"] for one in guard.alerts())
        until(lambda: last in receiver.numbers, "the last one is there")
        assert set(receiver.numbers) >= set(range(1, last + 1))
        ids: dict[int, set[str]] = {}
        for one in receiver.alerts:
            ids.setdefault(one["event"]["sequence"], set()).add(one["event"]["id"])
        assert all(len(found) == 1 for found in ids.values())


def test_settings_are_read_anew_and_mistakes_change_nothing(tmp_path: Path, receiver: Receiver) -> None:
    guard = guard_for(tmp_path, receiver)
    second = Receiver()
    second.start()
    with guarding(guard.start()), forwarding(guard) as forward:
        until(lambda: receiver.numbers, "the first has something")
        good = guard.config.read_text()
        guard.config.write_text(good + '[[destination]]\nname = "bad"\nkind = "pigeon"\n')
        assert forward.process is not None
        forward.process.send_signal(signal.SIGHUP)
        until(lambda: "those of before hold" in forward.said(), "it is told")
        assert "pigeon" in forward.said()
        # A mistake elsewhere is no reason to keep alerts here.
        more = DESTINATION.format(name="second", port=second.port, more="") + "[[rule]]\nname = 7\n"
        guard.config.write_text(good + more)
        forward.process.send_signal(signal.SIGHUP)
        until(lambda: second.numbers, "the second has something")
        assert second.numbers[0] == 1
        guard.config.write_text(good)
        assert forward.end() == ENDED
    second.stop()


def test_a_second_one_is_refused_and_the_first_goes_on(tmp_path: Path, receiver: Receiver) -> None:
    guard = guard_for(tmp_path, receiver)
    with guarding(guard.start()), forwarding(guard) as forward:
        until(lambda: receiver.numbers, "something arrived")
        second = Forward(guard).start()
        assert second.process is not None
        assert second.process.wait(PATIENCE) != 0
        assert "is in use by another hostguardd-forward (pid" in second.said()
        (guard.tree / "loud").write_text("once more\n")
        guard.approve()
        until(lambda: forward.standing()["behind"] == 0, "the first delivers on")


def test_with_nowhere_to_go_it_ends_well(tmp_path: Path) -> None:
    guard = Guard(tmp_path / "guard")
    forward = Forward(guard).start()
    assert forward.process is not None
    assert forward.process.wait(PATIENCE) == 0
    assert "no [[destination]] is configured" in forward.said()
    guard.config.write_text('[[destination]]\nname = "x"\nkind = "relp"\n')
    forward.start()
    assert forward.process.wait(PATIENCE) == 5
    assert "destination[1].address: is missing" in forward.said() or ".address: is missing" in forward.said()


def test_it_takes_little_memory(tmp_path: Path, receiver: Receiver) -> None:
    guard = guard_for(tmp_path, receiver)
    with guarding(guard.start()), forwarding(guard) as forward:
        until(lambda: receiver.numbers, "something arrived")
        assert forward.process is not None
        status = Path(f"/proc/{forward.process.pid}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0])
        assert resident <= 32 * 1024, f"{resident} kB"
