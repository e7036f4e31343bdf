"""Bad clients of the control socket: garbage, huge, slow, silent, half-closed, too many, not allowed.

Each test ends by asking a plain question, because what matters is that the others are still served.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostguardd.control import connection as connection_room
from hostguardd.control import server as server_room
from hostguardd.control.calls import MAX_REQUEST
from hostguardd.control.client import call
from hostguardd.control.job import Job
from hostguardd.errors import Exit, ForbiddenError, UnreachableError
from hostguardd.model import Severity
from tests.fakeengine import FakeEngine

PATIENCE = 30.0
STATUS = b'{"v":1,"call":"status"}\n'


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path) as engine:
        yield engine
        assert call(engine.path, "status", {})["pid"] == 812, "the others are not served any more"


def connect(engine: FakeEngine) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(engine.path)
    connection.settimeout(PATIENCE)
    return connection


def replies(connection: socket.socket) -> list[dict[str, Any]]:
    """Everything the server says until it closes."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while block := connection.recv(65536):
            data += block
    return [json.loads(line) for line in data.splitlines()]


def error_of(connection: socket.socket) -> tuple[int, str]:
    (reply,) = replies(connection)
    return reply["error"]["code"], reply["error"]["message"]


def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (b"\x00\xff\xfe garbage\n", "not one line of JSON"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", "one request per connection"),
        (b"\n", "not one line of JSON"),
        (STATUS + STATUS, "one request per connection"),
        (b"[" * (MAX_REQUEST - 1) + b"\n", "not one line of JSON"),
        (b"x" * MAX_REQUEST, f"at most {MAX_REQUEST} bytes"),
        (b"x" * MAX_REQUEST + b"\n", f"at most {MAX_REQUEST} bytes"),
    ],
)
def test_garbage_is_answered_with_a_sentence(engine: FakeEngine, sent: bytes, sentence: str) -> None:
    with connect(engine) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(sent)
        code, message = error_of(client)
    assert code == Exit.USAGE
    assert sentence in message
    assert engine.seen == []


def test_a_huge_request_is_cut_off_early(engine: FakeEngine) -> None:
    with connect(engine) as client:
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(1000):
                sent += client.send(b"x" * 65536)
        assert sent < 10 * 2**20
        assert error_of(client)[0] == Exit.USAGE


def test_a_request_that_is_too_long_is_told_so_and_not_reset(engine: FakeEngine) -> None:
    with connect(engine) as client:
        client.sendall(b"x" * 100_000)
        data = b""
        while block := client.recv(65536):  # ends with the end, not with ECONNRESET
            data += block
    assert f"at most {MAX_REQUEST} bytes" in json.loads(data)["error"]["message"]


def test_who_sends_on_after_the_refusal_is_dropped_soon(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_room, "LINGER_TIME", 0.2)
    with connect(engine) as client:
        client.sendall(b"x" * MAX_REQUEST)
        assert error_of(client)[0] == Exit.USAGE
        until(lambda: not engine.server._connections)
        with pytest.raises(BrokenPipeError):
            client.sendall(b"x")


def test_the_longest_request_allowed_is_served(engine: FakeEngine) -> None:
    padded = STATUS[:-1].ljust(MAX_REQUEST - 1) + b"\n"
    with connect(engine) as client:
        client.sendall(padded)
        assert "result" in replies(client)[-1]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.binary(max_size=300), st.lists(st.integers(1, 300), max_size=4))
def test_any_bytes_in_any_pieces_end_in_one_answer(engine: FakeEngine, sent: bytes, cuts: list[int]) -> None:
    with connect(engine) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(sent)], strict=True):
                client.sendall(sent[start:end])
            client.shutdown(socket.SHUT_WR)
        assert error_of(client)[0] == Exit.USAGE


def test_a_request_may_come_byte_by_byte(engine: FakeEngine) -> None:
    with connect(engine) as client:
        for byte in STATUS:
            client.sendall(bytes([byte]))
        assert "result" in replies(client)[-1]


def test_who_never_finishes_the_request_is_told_and_closed(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_room, "REQUEST_TIME", 0.3)
    with connect(engine) as silent, connect(engine) as slow:
        began = time.monotonic()
        slow.sendall(STATUS[:5])
        assert "did not arrive within 0.3 s" in error_of(slow)[1]
        assert "did not arrive within 0.3 s" in error_of(silent)[1]
        assert 0.25 < time.monotonic() - began < PATIENCE


def test_dribbling_does_not_buy_time(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_room, "REQUEST_TIME", 0.3)
    with connect(engine) as slow:
        began = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - began < PATIENCE:
                slow.sendall(b" ")
                time.sleep(0.02)
        assert time.monotonic() - began < PATIENCE / 2
        assert "did not arrive" in error_of(slow)[1]


def test_half_closed_with_half_a_request(engine: FakeEngine) -> None:
    with connect(engine) as client:
        client.sendall(STATUS[:-1])
        client.shutdown(socket.SHUT_WR)
        assert "ended before its newline" in error_of(client)[1]


def test_half_closed_after_the_request_still_gets_its_answer(engine: FakeEngine) -> None:
    go = threading.Event()

    def answer(job: Job) -> None:
        assert go.wait(PATIENCE)
        job.finish({"cancelled": job.cancelled})

    engine.answers["doctor"] = answer
    with connect(engine) as client:
        client.sendall(b'{"v":1,"call":"doctor"}\n')
        client.shutdown(socket.SHUT_WR)
        go.set()
        assert replies(client) == [{"result": {"cancelled": False}}]


def test_a_client_that_leaves_cancels_its_job(engine: FakeEngine) -> None:
    engine.answers["check"] = lambda job: None
    with connect(engine) as client:
        client.sendall(b'{"v":1,"call":"check"}\n')
        until(lambda: engine.seen)
        job = engine.seen[0]
        assert not job.cancelled
    until(lambda: job.cancelled)
    job.progress({"done": 1})
    job.finish({})


def test_a_client_that_talks_on_is_dropped(engine: FakeEngine) -> None:
    engine.answers["check"] = lambda job: None
    with connect(engine) as client:
        client.sendall(b'{"v":1,"call":"check"}\n')
        until(lambda: engine.seen)
        client.sendall(b"more\n")
        until(lambda: engine.seen[0].cancelled)


def test_a_client_that_never_reads_cannot_hold_the_loop(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_room, "MAX_BACKLOG", 256 * 1024)
    slowest: list[float] = []

    def pour(job: Job) -> None:
        while not job.cancelled:
            began = time.monotonic()
            job.item(b'"' + b"x" * 10_000 + b'"')
            slowest.append(time.monotonic() - began)

    engine.answers["alerts"] = pour
    with connect(engine) as client:
        client.sendall(b'{"v":1,"call":"alerts"}\n')
        until(lambda: engine.seen and engine.seen[0].cancelled)
    assert max(slowest) < 1.0
    assert len(slowest) * 10_000 < 8 * 2**20


def test_progress_is_left_out_when_nobody_reads(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_room, "MAX_BACKLOG", 256 * 1024)

    def hurry(job: Job) -> None:
        for done in range(20_000):
            job.progress({"phase": "files", "done": done, "where": "/usr/share/doc/" * 10})
        job.finish({"kept": not job.cancelled})

    engine.answers["check"] = hurry
    with connect(engine) as client:
        client.sendall(b'{"v":1,"call":"check"}\n')
        until(lambda: engine.seen and engine.seen[0].channel._ended)  # type: ignore[attr-defined]
        told = replies(client)
    assert told[-1] == {"result": {"kept": True}}
    assert len(told) < 20_000


def test_a_worker_may_wait_for_a_slow_reader(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_room, "MAX_BACKLOG", 256 * 1024)

    def pour(job: Job) -> None:
        for n in range(400):
            assert job.room(PATIENCE)
            job.item({"n": n, "filler": "x" * 10_000})
        job.finish({"count": 400})

    engine.answers["alerts"] = pour
    with connect(engine) as client:
        client.sendall(b'{"v":1,"call":"alerts"}\n')
        time.sleep(0.1)  # not synchronisation: the reader really is slow
        told = replies(client)
    assert [reply["item"]["n"] for reply in told[:-1]] == list(range(400))
    assert told[-1] == {"result": {"count": 400}}


def test_who_lets_an_answer_lie_is_dropped(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_room, "STALL_TIME", 0.2)
    engine.answers["status"] = lambda job: job.finish({"filler": "x" * 2**21, "pid": 812})
    with connect(engine) as client:
        client.sendall(STATUS)
        until(lambda: engine.seen and engine.seen[0].cancelled)


def test_an_answer_in_pages_arrives_as_one(engine: FakeEngine) -> None:
    every = [f"{number}" for number in range(1_200)]

    def page(job: Job) -> None:
        assert job.call == "review" or job.args["severity"] is Severity.INFO
        offset = job.args.get("offset", 0)
        more = offset + 500 if offset < 1_000 else None
        job.finish({"findings": every[offset : offset + 500], "more": more})

    engine.answers["drift"] = engine.answers["review"] = page
    assert call(engine.path, "drift", {}) == {"findings": every}
    assert call(engine.path, "review", {})["findings"] == every


def test_a_large_answer_arrives_whole(engine: FakeEngine) -> None:
    engine.answers["drift"] = lambda job: job.finish({"findings": ["x" * 1000] * 20_000})
    assert len(call(engine.path, "drift", {})["findings"]) == 20_000


def test_a_flood_of_connections_leaves_room_again(engine: FakeEngine) -> None:
    clients = [connect(engine) for _ in range(server_room.MAX_CONNECTIONS)]
    until(lambda: len(engine.server._connections) == server_room.MAX_CONNECTIONS)
    with pytest.raises(UnreachableError, match="busy with other clients"):
        call(engine.path, "status", {})
    for client in clients:
        client.close()
    until(lambda: not engine.server._connections)


def test_connections_that_come_and_go(engine: FakeEngine) -> None:
    for _ in range(500):
        connect(engine).close()
    until(lambda: not engine.server._connections)


def test_a_client_waits_while_the_daemon_is_too_busy_to_accept(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, ExitStack() as held:
        listener.bind(path)
        listener.listen(0)
        held.enter_context(socket.socket(socket.AF_UNIX)).connect(path)

        def accept() -> None:
            for _ in range(2):
                held.enter_context(listener.accept()[0]).close()

        later = threading.Timer(0.2, accept)
        later.start()
        with pytest.raises(UnreachableError, match="ended the connection"):
            call(path, "status", {})
        later.join()


def test_out_of_descriptors_is_survived_without_spinning(engine: FakeEngine) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with connect(engine) as first, connect(engine) as second:
        until(lambda: len(engine.server._connections) == 2)
        top = os.open("/dev/null", os.O_RDONLY)
        os.close(top)
        with socket.socket(socket.AF_UNIX) as waiting:
            resource.setrlimit(resource.RLIMIT_NOFILE, (waiting.fileno() + 1, hard))
            try:
                waiting.settimeout(PATIENCE)
                waiting.connect(engine.path)
                waiting.sendall(STATUS)
                until(lambda: engine.server._muted_until < float("inf"))
                before = time.thread_time(), time.process_time()
                time.sleep(0.3)  # a span to measure in, not a wait for something
                assert time.process_time() - before[1] < 0.15
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert "result" in replies(waiting)[-1]
        del first, second


# Another user


def ask_as(uid: int, groups: list[int], path: str, name: str, args: dict[str, Any]) -> tuple[str, str]:
    """(class of the error or "", its text or the result) of a call by another user, in a child."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        told: tuple[str, str]
        try:
            os.setgroups(groups)
            os.setgid(uid)
            os.setuid(uid)
            told = ("", json.dumps(call(path, name, args)))
        except Exception as error:  # noqa: BLE001 - a child has no other way to tell
            told = (type(error).__name__, str(error))
        os.write(writable, json.dumps(told).encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as answer:
        kind, text = json.loads(answer.read())
    os.waitpid(child, 0)
    return kind, text


GROUP = 54321
READERS = "hostguard-test-readers"


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    """An engine whose readers are a group, in a folder that others may enter."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    monkeypatch.setattr(server_room, "group_id", {READERS: GROUP}.get)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.name.startswith(("pytest-", "test_")):
            folder.chmod(0o755)
    with FakeEngine(tmp_path, READERS) as engine:
        yield engine


def test_another_user_does_not_even_reach_the_socket(shared: FakeEngine) -> None:
    kind, text = ask_as(65533, [], shared.path, "drift", {})
    assert kind == ForbiddenError.__name__
    assert shared.path in text
    assert shared.seen == []


def test_a_socket_whose_mode_was_widened_still_checks_who_asks(shared: FakeEngine) -> None:
    os.chmod(shared.path, 0o666)
    kind, text = ask_as(65533, [], shared.path, "drift", {})
    assert kind == ForbiddenError.__name__
    assert f"for root and members of the group {READERS}; you are uid 65533" in text
    assert shared.seen == []


def test_a_member_of_the_group_reads(shared: FakeEngine) -> None:
    kind, text = ask_as(65533, [GROUP], shared.path, "drift", {})
    assert kind == ""
    assert len(json.loads(text)["findings"]) == 3
    assert shared.seen[0].caller.uid == 65533


@pytest.mark.parametrize(
    ("name", "args"),
    [("review", {}), ("approve", {"token": "t"}), ("accept", {"ids": ["a"]}), ("rollback", {"number": 1})],
)
def test_a_member_of_the_group_changes_nothing(shared: FakeEngine, name: str, args: dict[str, Any]) -> None:
    kind, text = ask_as(65533, [GROUP], shared.path, name, args)
    assert kind == ForbiddenError.__name__
    assert text.startswith(f"{name} is for root; you are ")
    assert shared.seen == []


@contextlib.contextmanager
def holding(shared: FakeEngine, uid: int, number: int) -> Iterator[None]:
    """Another user, member of the group, who follows the alerts on so many connections."""
    go, ready = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([GROUP])
        os.setgid(uid)
        os.setuid(uid)
        held = []
        for _ in range(number):
            client = socket.socket(socket.AF_UNIX)
            client.connect(shared.path)
            with contextlib.suppress(BrokenPipeError):
                client.send(b'{"v":1,"call":"alerts","args":{"follow":true}}\n')
            held.append(client)
        os.close(go[1])
        os.write(ready[1], b"x")
        os.read(go[0], 1)  # until told, or the parent is gone
        os._exit(0)
    os.close(go[0])
    try:
        os.read(ready[0], 1)
        yield
    finally:
        os.close(go[1])
        os.waitpid(child, 0)
        os.close(ready[0])
        os.close(ready[1])


def test_a_reader_cannot_lock_out_the_others(shared: FakeEngine) -> None:
    shared.answers["alerts"] = lambda job: None
    with holding(shared, 65533, server_room.MAX_CONNECTIONS):
        until(lambda: len(shared.seen) == server_room.PER_USER)
        kind, text = ask_as(65533, [GROUP], shared.path, "status", {})
        assert kind == UnreachableError.__name__
        assert "uid 65533 has 4 connections open already, as many as one user may have" in text
        assert ask_as(65532, [GROUP], shared.path, "status", {})[0] == ""


def test_readers_cannot_lock_out_the_administrator(shared: FakeEngine) -> None:
    """Readers hold all they may, together; root still gets in."""
    shared.answers["alerts"] = lambda job: None
    allowed = server_room.MAX_CONNECTIONS - server_room.RESERVED
    with ExitStack() as held:
        for uid in range(65533, 65533 - allowed // server_room.PER_USER, -1):
            held.enter_context(holding(shared, uid, server_room.PER_USER))
        until(lambda: len(shared.seen) == allowed)
        kind, text = ask_as(65500, [GROUP], shared.path, "status", {})
        assert (kind, "busy with other clients" in text) == (UnreachableError.__name__, True)
        assert call(shared.path, "status", {})["pid"] == 812
