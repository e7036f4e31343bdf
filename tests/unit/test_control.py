"""The table of calls, who may make them, and a whole conversation over the real socket."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostguardd.control import address, caller, client
from hostguardd.control import server as server_room
from hostguardd.control.caller import Access, Caller
from hostguardd.control.calls import CALLS, MAX_REQUEST, Who, parse_request
from hostguardd.control.client import call
from hostguardd.control.server import ControlServer
from hostguardd.defaults import INSTALLED
from hostguardd.errors import (
    AlreadyRunning,
    BaselineDamaged,
    BaselineError,
    ConfigError,
    Exit,
    HostguardError,
    UnreachableError,
    UsageError,
)
from hostguardd.model import Severity
from hostguardd.sections import Paths
from tests import rights
from tests.fakeengine import FakeEngine

GROUP = 4242


def request(name: object = "status", args: object = None, **more: object) -> bytes:
    return json.dumps({"v": 1, "call": name, "args": args or {}} | more).encode()


def parsed(line: bytes) -> tuple[str, dict[str, Any]]:
    """What the line asks for; ("", {"refusal": …}) when it is refused."""
    try:
        return parse_request(line)
    except UsageError as refused:
        return "", {"refusal": str(refused)}


# The table


@pytest.mark.parametrize(
    ("name", "args", "wanted"),
    [
        ("status", {}, {}),
        ("drift", {}, {"severity": Severity.INFO, "offset": 0}),
        ("drift", {"severity": "high"}, {"severity": Severity.HIGH, "offset": 0}),
        ("check", {"full": True}, {"full": True}),
        (
            "accept",
            {"ids": ["a", "b"], "reason": "fine"},
            {"ids": ("a", "b"), "token": None, "reason": "fine"},
        ),
        ("diff", {"a": 3, "b": None}, {"a": 3, "b": None, "offset": 0}),
        (
            "alerts",
            {"since": "2026-11-23T14:00:00+02:00", "limit": 5},
            {"follow": False, "since": 1795435200 * 10**9, "severity": Severity.INFO, "limit": 5},
        ),
        (
            "alerts",
            {"since": 1795435200.5},
            {"follow": False, "since": 1795435200500 * 10**6, "severity": Severity.INFO, "limit": 0},
        ),
    ],
)
def test_arguments_arrive_complete_and_converted(
    name: str, args: dict[str, object], wanted: dict[str, object]
) -> None:
    assert parse_request(request(name, args)) == (name, wanted)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"", "not one line of JSON"),
        (b"\xff\xfe{}", "not one line of JSON"),
        (b"[" * 60000, "not one line of JSON"),
        (b'{"v":1,"call":"status"', "not one line of JSON"),
        (b'{"v":' + b"9" * 5000 + b"}", "not one line of JSON"),
        (b"[]", "not a JSON object"),
        (b'{"v":2,"call":"status"}', "version 1"),
        (b'{"v":true,"call":"status"}', "version 1"),
        (request("stat\x1b[2J"), "no such call: 'stat\\x1b[2J'"),
        (request(["drift"]), "no such call"),
        (request("status", [1]), "args must be an object"),
        (request("drift", {"severty": "high"}), "no such argument: 'severty'"),
        (request("drift", {"severity": "ignore"}), "drift: severity must be one of"),
        (request("explain"), "explain: id is missing"),
        (request("explain", {"id": 7}), "explain: id must be a string"),
        (request("explain", {"id": "x" * 65}), "65 characters long, the limit is 64"),
        (request("accept", {"ids": []}), "list of 1 to 1000"),
        (request("accept", {"ids": ["a"] * 1001}), "list of 1 to 1000"),
        (request("accept", {"ids": ["a", "\x07"]}), "printable"),
        (request("approve", {"token": "t", "reason": "a\nb"}), "printable"),
        (request("approve", {"token": "t", "reason": "\ud800"}), "printable"),
        (request("check", {"full": 1}), "true or false"),
        (request("rollback", {"number": True}), "whole number"),
        (request("rollback", {"number": 0}), "between 1 and"),
        (request("alerts", {"since": "yesterday"}), "not a time"),
        (request("alerts", {"since": 1e300}), "not a time"),
        (request("alerts", {"since": float("nan")}), "not a time"),
        (request("alerts", {"since": []}), "must be an ISO 8601 time"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(line: bytes, sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_request(line)
    assert sentence in str(refused.value)
    assert str(refused.value).isprintable()


@settings(deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_any_bytes_parse_or_are_refused(line: bytes) -> None:
    name, args = parsed(line)
    assert set(args) == set(CALLS[name].args) if name else args["refusal"].isprintable()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(CALLS)), st.data())
def test_any_arguments_parse_or_are_refused(name: str, data: st.DataObject) -> None:
    args = data.draw(st.dictionaries(st.sampled_from([*CALLS[name].args, "other"]), _JSON, max_size=4))
    found, complete = parsed(request(name, args))
    assert found in ("", name)
    assert set(complete) == set(CALLS[name].args) if found else complete["refusal"].isprintable()


# Who may


@pytest.mark.parametrize(
    ("who", "uid", "groups", "allowed"),
    [
        (Who.READ, 0, {0}, True),
        (Who.ADMIN, 0, {0}, True),
        (Who.ADMIN, 990, {990}, True),
        (Who.READ, 1000, {1000, GROUP}, True),
        (Who.ADMIN, 1000, {1000, GROUP}, False),
        (Who.READ, 1000, {1000}, False),
        (Who.READ, 1000, set(), False),
    ],
)
def test_who_may(who: Who, uid: int, groups: set[int], allowed: bool) -> None:
    access = Access(frozenset({0, 990}), GROUP, "hostguard")
    assert access.allows(who, Caller(1, uid, uid, frozenset(groups))) is allowed


def test_without_the_group_only_administrators_may_read() -> None:
    access = Access(frozenset({0}), None, "hostguard")
    assert not access.allows(Who.READ, Caller(1, 1000, 1000, frozenset({1000, GROUP})))


def test_a_refusal_says_who_may_and_who_asked() -> None:
    access = Access(frozenset({0}), GROUP, "hostguard")
    nobody = Caller(1, 2**31 - 7, 5, frozenset({5}))
    reading = str(access.refusal("drift", nobody))
    assert reading == f"drift is for root and members of the group hostguard; you are uid {2**31 - 7}"
    assert "approve is for root; you are" in str(access.refusal("approve", nobody))
    assert access.refusal("approve", Caller(1, 0, 0, frozenset())) is None


def test_every_call_that_changes_or_writes_anything_is_for_administrators() -> None:
    assert {name for name, row in CALLS.items() if row.who is Who.ADMIN} == {
        "review", "approve", "accept", "rollback", "updating", "test-alert", "window-open", "window-extend",
        "window-end", "window-accept", "group-accept",
    }  # fmt: skip


def test_a_caller_is_described_from_proc_and_made_harmless(tmp_path: Path) -> None:
    (tmp_path / "4711").mkdir()
    (tmp_path / "4711" / "loginuid").write_text("1999999999")
    (tmp_path / "4711" / "comm").write_bytes(b"ctl\x1b[2J\n")
    told = caller.describe_caller(Caller(4711, 0, 0, frozenset({0})), str(tmp_path))
    assert told == r"root (uid 0), login uid 1999999999, pid 4711 ctl\x1b[2J"


def test_a_caller_without_login_or_already_gone(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "loginuid").write_text("4294967295")
    assert caller.describe_caller(Caller(7, 0, 0, frozenset()), str(tmp_path)) == "root (uid 0), pid 7"
    assert caller.describe_caller(Caller(8, 0, 0, frozenset()), str(tmp_path)) == "root (uid 0), pid 8"


def test_the_kernel_names_the_peer() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        peer = caller.peer_of(ours)
    assert (peer.pid, peer.uid, peer.gid) == (os.getpid(), os.geteuid(), os.getegid())
    assert peer.groups == {os.getegid(), *os.getgroups()}


# Where the socket is


def test_the_places_written_down_twice_are_the_same() -> None:
    assert (Paths().run, INSTALLED) == (address.RUN, address.INSTALLED)


def test_the_socket_is_found_in_the_last_file_that_names_it(tmp_path: Path) -> None:
    config = tmp_path / "hostguardd.toml"
    config.write_text('[paths]\nrun = "/a"\n')
    assert address.find_socket(str(config)) == "/a/control.sock"
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "10-site.toml").write_text('paths.run = "/b"\n')
    (tmp_path / "conf.d" / "20-broken.toml").write_text("[paths\n")
    (tmp_path / "conf.d" / "30-odd.toml").write_text('paths = "/c"\n')
    os.mkfifo(tmp_path / "conf.d" / "40-fifo.toml")
    assert address.find_socket(str(config)) == "/b/control.sock"


def test_a_configuration_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: there is no such file"):
        address.find_socket(str(tmp_path / "nowhere.toml"))


# The conversation


def test_a_whole_conversation(tmp_path: Path) -> None:
    progress: list[dict[str, Any]] = []
    items: list[bytes] = []
    with FakeEngine(tmp_path) as engine:
        checked = call(engine.path, "check", {"full": True}, on_progress=progress.append)
        told = call(engine.path, "alerts", {"limit": 2}, on_item=items.append)
    assert [f["id"] for f in checked["findings"]] == ["90aa51f0", "b07712de", "3f9a21c4"]
    assert [p["done"] for p in progress] == [0, 70000, 139000]
    assert items == engine.alerts[-2:]
    assert told == {"count": 5}
    assert engine.seen[0].args == {"full": True}
    assert engine.seen[0].actor.startswith(caller.user_name(os.geteuid()))
    assert f"pid {os.getpid()} " in engine.seen[0].actor


@pytest.mark.parametrize(
    ("raised", "received"),
    [
        (UsageError("no such finding"), UsageError),
        (BaselineDamaged("page 7 is torn"), BaselineError),
        (ConfigError(["a: one", "b: two"]), ConfigError),
        (HostguardError("the disk is full"), HostguardError),
    ],
)
def test_errors_keep_their_kind_and_words(
    tmp_path: Path, raised: HostguardError, received: type[HostguardError]
) -> None:
    with FakeEngine(tmp_path) as engine:
        engine.problem = raised
        with pytest.raises(received) as error:
            call(engine.path, "status", {})
    assert str(error.value) == str(raised)
    assert error.value.exit == raised.exit


def test_an_answer_with_hostile_text_arrives_as_it_was(tmp_path: Path) -> None:
    odd = {"label": "a\nb\x1b[2J\u202e\ud800 é", "n": 1}
    with FakeEngine(tmp_path) as engine:
        engine.answers["status"] = lambda job: job.finish(odd)
        assert call(engine.path, "status", {}) == odd


def test_after_the_end_of_a_job_nothing_more_is_said(tmp_path: Path) -> None:
    def answer(job: Any) -> None:
        job.finish({"n": 1})
        job.finish({"n": 2})
        job.progress({"done": 1})

    with FakeEngine(tmp_path) as engine:
        engine.answers["status"] = answer
        assert call(engine.path, "status", {}) == {"n": 1}


def test_stopping_tells_who_waits(tmp_path: Path) -> None:
    asked = threading.Event()
    engine = FakeEngine(tmp_path)
    engine.answers["check"] = lambda job: asked.set()
    caught: list[HostguardError] = []

    def ask() -> None:
        try:
            call(engine.path, "check", {})
        except HostguardError as error:
            caught.append(error)

    client = threading.Thread(target=ask)
    with engine:
        client.start()
        assert asked.wait(10)
    client.join(10)
    assert [str(error) for error in caught] == ["the daemon is stopping"]
    assert engine.seen[0].cancelled
    engine.seen[0].finish({})  # too late, and harmless
    assert not Path(engine.path).exists()


# The socket


def _ignore(job: object) -> None:
    """A daemon that never answers."""


@pytest.fixture
def start(tmp_path: Path) -> Any:
    servers: list[ControlServer] = []

    def starter(path: Path, group: str = "") -> ControlServer:
        server = ControlServer(str(path), group, _ignore)
        servers.append(server)
        server.start()
        return server

    yield starter
    for server in servers:
        server.stop()


Starter = Callable[..., ControlServer]


def test_the_socket_is_private_without_a_group(tmp_path: Path, start: Starter) -> None:
    server = start(tmp_path / "run" / "s")
    found = (tmp_path / "run" / "s").stat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert server.alive
    assert server.notice == ""


def test_a_group_that_does_not_exist_is_told(tmp_path: Path, start: Starter) -> None:
    server = start(tmp_path / "s", "no-such-group")
    assert "there is no group no-such-group" in server.notice
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


@pytest.mark.skipif(not rights.ROOT, reason="needs root to give the socket to a group")
def test_the_socket_belongs_to_the_group(tmp_path: Path, start: Starter) -> None:
    start(tmp_path / "s", "nogroup" if caller.group_id("nogroup") is not None else "nobody")
    found = (tmp_path / "s").stat()
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_gid in (caller.group_id("nogroup"), caller.group_id("nobody"))


def test_the_socket_of_a_dead_daemon_is_replaced(tmp_path: Path, start: Starter) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    assert start(tmp_path / "s").alive


def test_a_living_daemon_is_not_pushed_aside(tmp_path: Path, start: Starter) -> None:
    start(tmp_path / "s")
    with pytest.raises(AlreadyRunning, match="another daemon answers"):
        start(tmp_path / "s")
    with pytest.raises(UsageError):
        call(str(tmp_path / "s"), "status", {"x": 1})


def test_what_is_no_socket_is_left_alone(tmp_path: Path, start: Starter) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(ConfigError, match="is in the way"):
        start(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "precious"


def test_a_folder_that_everybody_may_write_is_refused(tmp_path: Path, start: Starter) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="writable by everybody"):
        start(tmp_path / "s")


def test_a_run_folder_that_cannot_be_made_is_named(tmp_path: Path, start: Starter) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"paths\.run: cannot create .*file/s"):
        start(tmp_path / "file" / "s")


def test_a_path_longer_than_a_socket_address(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with FakeEngine(deep) as engine:
        assert call(engine.path, "status", {})["pid"] == 812


def test_stopping_leaves_a_successors_socket(tmp_path: Path, start: Starter) -> None:
    first = start(tmp_path / "s")
    (tmp_path / "s").unlink()
    second = start(tmp_path / "s")
    first.stop()
    first.stop()
    assert second.alive
    assert (tmp_path / "s").exists()


def test_a_socket_that_is_removed_is_there_again_and_that_is_told(
    tmp_path: Path, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_room, "LOOK_EVERY", 0.05)
    server = start(tmp_path / "run" / "s")
    assert (server.take_lost(), server.trouble) == ("", "")
    (tmp_path / "run" / "s").unlink()
    assert _told(server) == f"{tmp_path}/run/s was taken away; it is there again"
    assert (server.take_lost(), server.trouble) == ("", "")
    with pytest.raises(UsageError):
        call(str(tmp_path / "run" / "s"), "status", {"x": 1})
    shutil.rmtree(tmp_path / "run")
    assert _told(server).endswith("it is there again")
    assert stat.S_IMODE((tmp_path / "run" / "s").stat().st_mode) == 0o600
    server.stop()
    assert not (tmp_path / "run" / "s").exists()


def test_a_socket_that_cannot_be_made_again_is_told_once(
    tmp_path: Path, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_room, "LOOK_EVERY", 0.05)
    server = start(tmp_path / "s")
    (tmp_path / "s").rename(tmp_path / "aside")
    (tmp_path / "s").write_text("mine")
    told = _told(server)
    assert "was taken away and cannot be made again: " in told
    assert "is in the way" in told
    assert server.trouble == told
    time.sleep(0.2)  # several looks later
    assert server.take_lost() == ""
    assert (tmp_path / "s").read_text() == "mine"
    (tmp_path / "aside").rename(tmp_path / "s")
    deadline = time.monotonic() + 10
    while server.trouble:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert server.take_lost() == "", "nothing was lost after all"


def test_another_daemon_in_our_place_is_told_and_left_alone(
    tmp_path: Path, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_room, "LOOK_EVERY", 60.0)
    first = start(tmp_path / "s")
    (tmp_path / "s").unlink()
    second = start(tmp_path / "s")
    first._look_at = 0.0
    first._wake()
    assert "another daemon answers on" in _told(first)
    assert (second.take_lost(), second.trouble) == ("", "")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_told_once(
    tmp_path: Path, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(number: int) -> None:
        raise SystemExit  # ends a thread without a word

    monkeypatch.setattr(server_room, "LOOK_EVERY", 0.05)
    server = start(tmp_path / "s")
    monkeypatch.setattr(server, "_look", die)
    assert "does not answer any more" in _told(server)
    server._thread.join(10)
    assert server.take_lost() == ""
    assert "does not answer any more" in server.trouble


def test_what_is_not_as_configured_is_trouble(tmp_path: Path, start: Starter) -> None:
    assert "there is no group" in start(tmp_path / "s", "no-such-group").trouble


def _told(server: ControlServer) -> str:
    """Wait for what the server tells of its socket."""
    deadline = time.monotonic() + 10
    while not (told := server.take_lost()):
        assert time.monotonic() < deadline, "it was not told"
        time.sleep(0.01)
    return told


# The client meets no daemon, or another one


@pytest.mark.parametrize("leave_socket", [False, True])
def test_no_daemon_is_said_with_the_socket_and_what_to_do(tmp_path: Path, leave_socket: bool) -> None:
    path = tmp_path / "control.sock"
    if leave_socket:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    with pytest.raises(UnreachableError) as error:
        call(str(path), "status", {})
    assert str(path) in str(error.value)
    assert "systemctl start hostguardd" in str(error.value)
    assert error.value.exit == Exit.UNREACHABLE


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (b"", "ended the connection before its answer was complete"),
        (b'{"progress":{}}\n{"resu', "ended the connection before its answer was complete"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak its protocol"),
        (b"[1]\n", "does not speak its protocol"),
    ],
)
def test_a_daemon_that_breaks_off_or_is_another(tmp_path: Path, reply: bytes, sentence: str) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(MAX_REQUEST)
                connection.sendall(reply)

        server = threading.Thread(target=answer)
        server.start()
        with pytest.raises(UnreachableError, match=sentence):
            call(str(path), "status", {})
        server.join(10)


def test_a_daemon_that_is_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "BEAT", 0.02)
    monkeypatch.setattr(client, "CALLS", {"status": replace(CALLS["status"], patience=0.1)})
    with FakeEngine(tmp_path) as engine:
        engine.answers["status"] = _ignore
        with pytest.raises(UnreachableError, match=r"does not answer; it may be stuck"):
            call(engine.path, "status", {})


def test_the_client_imports_nothing_of_the_server() -> None:
    code = "import sys, hostguardd.control.client as c; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"hostguardd.control.server", "structlog", "watchdog", "sqlite3", "rich"} & set(loaded.split())
