"""The courier: outages, crashes on either side, full disks, floods. Nothing is lost by any of them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hostguardd.destinations import Destination
from hostguardd.forwarding import courier as room
from hostguardd.forwarding.bell import Bell, Ringer
from hostguardd.forwarding.courier import Courier
from hostguardd.host.clock import SystemClock
from hostguardd.model import Severity
from hostguardd.sections import AlertLogConfig
from hostguardd.store.alertlog import AlertLog
from hostguardd.store.cursors import read_cursor
from hostguardd.store.standing import CONNECTED, FAILING
from tests.alerts import IDENTITY, alert
from tests.crowd import FD_SETSIZE, crowded
from tests.daemon import until
from tests.fakesink import Box

QUIET = Destination(name="central", kind="relp", heartbeat=0.0)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are for networks; what is tested is what happens behind them."""
    monkeypatch.setattr(room, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(room, "LONGEST_PAUSE", 0.05)


class Trial:
    """A log, a box, and the courier between them."""

    def __init__(self, folder: Path, destination: Destination = QUIET) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir(exist_ok=True)
        self.log = AlertLog(str(folder / "log"), AlertLogConfig(reserve=0, rotate=64 * 1024), IDENTITY)
        self.box = Box()
        self.bell = Bell()
        self.said: list[str] = []
        self.destination = destination
        self.courier: Courier

    def start(self) -> None:
        self.courier = Courier(
            self.destination,
            self.box,
            self.log.folder,
            str(self.state),
            self.bell,
            SystemClock(),
            lambda: ({"hostname": "web1", "id": "42"}, {"blind": 0}),
            self.said.append,
            self.said.append,
        )
        self.courier.start()

    def stop(self) -> None:
        self.courier.stop()
        self.courier.join(30)
        assert not self.courier.is_alive()

    @contextmanager
    def running(self) -> Iterator[None]:
        self.start()
        try:
            yield
        finally:
            self.stop()

    def write(self, count: int = 1, severity: Severity = Severity.MEDIUM, **more: Any) -> None:
        self.log.append([alert(n, severity=severity, **more) for n in range(count)])
        self.bell.ring()

    def arrived(self, last: int) -> None:
        until(lambda: self.box.numbers[-1:] == [last], f"number {last} has arrived")


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_what_is_written_arrives_in_order_and_is_remembered(trial: Trial) -> None:
    trial.write(300)
    with trial.running():
        trial.arrived(300)
        trial.write(2)
        trial.arrived(302)
    assert trial.box.numbers == list(range(1, 303))
    assert read_cursor(str(trial.state), "central").sequence == 302
    assert trial.courier.standing.delivered == 302
    trial.write()
    with trial.running():
        trial.arrived(303)
    assert trial.box.numbers == list(range(1, 304))


def test_a_connection_that_breaks_loses_nothing(trial: Trial) -> None:
    with trial.running():
        for round_ in range(1, 11):
            trial.box.break_after = 1
            trial.write(700)
            trial.arrived(round_ * 700)
    got = trial.box.numbers
    assert sorted(set(got)) == list(range(1, 7001))
    assert trial.courier.standing.failures == 10
    assert [one for one in trial.said if "the connection broke" in one]


def test_what_was_sent_and_not_confirmed_is_sent_again(trial: Trial) -> None:
    trial.box.confirm = False
    with trial.running():
        trial.write(5)
        until(lambda: len(trial.box.got) == 5, "they are under way")
        assert trial.box.numbers == []
        assert read_cursor(str(trial.state), "central").sequence == 0
        trial.box.broken = "the network is down"
        until(lambda: trial.courier.standing.state == FAILING, "it fails")
        trial.box.broken, trial.box.confirm = "", True
        trial.arrived(5)
    assert [one.sequence for one in trial.box.got] == [1, 2, 3, 4, 5] * 2


def test_no_more_is_under_way_than_the_window(trial: Trial) -> None:
    trial.box.confirm = False
    trial.write(256 * 9)
    with trial.running():
        until(lambda: trial.box.most == trial.box.window, "the window is full")
        threading.Event().wait(0.3)
        assert trial.box.most == trial.box.window
        trial.box.confirm = True
        trial.arrived(256 * 9)


def test_a_failure_is_told_once_and_its_end(trial: Trial) -> None:
    trial.box.broken = "connection refused"
    with trial.running():
        until(lambda: trial.courier.standing.failures > 20, "it tries again")
        trial.box.broken = ""
        until(lambda: trial.courier.standing.state == CONNECTED, "it is well again")
    assert len([one for one in trial.said if "connection refused" in one]) == 1
    assert len([one for one in trial.said if one.startswith("delivers to")]) == 1
    assert trial.courier.standing.problem == ""


def test_pauses_grow_and_differ_between_hosts(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    trial.courier = Courier(
        QUIET, trial.box, "", "", trial.bell, SystemClock(), lambda: ({}, {}), print, print
    )
    pauses = [trial.courier._pause() for _ in range(40)]
    assert pauses[0] <= room.FIRST_PAUSE
    assert max(pauses) <= room.LONGEST_PAUSE
    assert min(pauses[10:]) >= room.LONGEST_PAUSE / 2
    assert len(set(pauses)) == 40


def test_a_heartbeat_comes_by_itself_and_says_how_far_we_are(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Destination(name="central", kind="relp", heartbeat=0.1))
    with trial.running():
        trial.write(3)
        trial.arrived(3)
        seen = len(trial.box.kept)
        until(lambda: len(trial.box.kept) >= seen + 3, "hearts beat")
        until(lambda: trial.courier.standing.heartbeat_at != "", "and it is known")
    told = json.loads(trial.box.kept[-1].line)
    assert (
        told["hostguard"] | {"kind": "heartbeat", "sent": 3, "interval": 0.1, "blind": 0} == told["hostguard"]
    )
    assert told["host"] == {"hostname": "web1", "id": "42"}
    assert trial.box.kept[-1].sequence == 0
    assert read_cursor(str(trial.state), "central").sequence == 3


def test_a_rate_holds_back_what_is_quiet_and_drops_nothing(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Destination(name="central", kind="relp", heartbeat=0.0, rate=200))
    trial.write(400, Severity.INFO)
    trial.write(3, Severity.CRITICAL)
    began = time.monotonic()
    with trial.running():
        until(lambda: len(trial.box.numbers) == 403, "all have arrived")
    assert time.monotonic() - began > 0.9
    numbers = trial.box.numbers
    assert sorted(numbers) == list(range(1, 404))
    assert numbers.index(401) < 350
    assert [n for n in numbers if n <= 400] == list(range(1, 401))


def test_heartbeats_count_for_no_rate(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Destination(name="central", kind="relp", heartbeat=0.1, rate=10))
    trial.write(40, Severity.INFO)
    began = time.monotonic()
    with trial.running():
        until(lambda: len(trial.box.numbers) == 40, "all have arrived")
    assert 2.0 < time.monotonic() - began < 20


def test_a_cursor_that_can_be_written_again_is_no_problem_any_more(trial: Trial) -> None:
    os.rmdir(trial.state)
    with trial.running():
        trial.write(1)
        until(lambda: "cursor" in trial.courier.standing.problem, "it is said")
        trial.state.mkdir()
        trial.write(1)
        until(lambda: trial.courier.standing.problem == "", "it is over")


def test_only_what_is_loud_enough_leaves(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Destination(name="central", kind="relp", heartbeat=0.0, severity=Severity.HIGH))
    with trial.running():
        trial.write(5, Severity.LOW)
        trial.write(1, Severity.HIGH)
        trial.write(5, Severity.INFO)
        until(lambda: trial.courier.standing.delivered == 11, "all is dealt with")
    assert trial.box.numbers == [6]
    assert read_cursor(str(trial.state), "central").sequence == 11


def test_a_cursor_that_cannot_be_written_stops_nothing(trial: Trial) -> None:
    os.rmdir(trial.state)
    with trial.running():
        trial.write(3)
        trial.arrived(3)
        until(lambda: "cursor cannot be written" in trial.courier.standing.problem, "it is said")
        trial.write(1)
        trial.arrived(4)


def test_a_log_that_may_not_be_read_is_told_and_tried_again(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.write(2)
    closed = Path(trial.log.folder)
    hidden = closed.with_name("hidden")
    with trial.running():
        trial.arrived(2)
        os.rename(closed, hidden)
        closed.write_text("no folder\n")
        trial.courier._halt.wait(0.2)
        closed.unlink()
        os.rename(hidden, closed)
        trial.write(1)
        trial.arrived(3)


def test_a_mistake_of_ours_is_told_and_the_way_goes_on(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    spoiled = [1]

    def send(batch: Any) -> None:
        if spoiled:
            spoiled.clear()
            raise KeyError("oops")
        Box.send(trial.box, batch)

    monkeypatch.setattr(trial.box, "send", send)
    with trial.running():
        trial.write(2)
        trial.arrived(2)
    assert any("unexpected: KeyError" in one for one in trial.said)


def test_the_bell_rings_when_the_log_grows(trial: Trial, tmp_path: Path) -> None:
    ringer = Ringer(trial.log.folder, trial.bell)
    stop = threading.Event()

    def listen() -> None:
        while not stop.is_set():
            ringer.listen(0.5)
        ringer.close()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        until(lambda: ringer._inotify is not None, "it listens")
        rung = trial.bell.rung
        trial.log.append([alert(1)])
        until(lambda: trial.bell.rung > rung, "it rings")
    finally:
        stop.set()
        listener.join()


def test_the_bell_rings_in_a_process_with_many_files(trial: Trial) -> None:
    ringer = Ringer(trial.log.folder, trial.bell)
    with crowded():
        assert ringer._watch()
        assert ringer._inotify is not None
        assert ringer._inotify.fd >= FD_SETSIZE
        ringer.listen(0.01)
        assert trial.bell.rung == 0
        trial.log.append([alert(1)])
        ringer.listen(5.0)
        assert trial.bell.rung == 1
        ringer.close()


def test_the_bell_rings_though_nobody_tells(tmp_path: Path) -> None:
    bell = Bell()
    ringer = Ringer(str(tmp_path / "none"), bell)
    ringer.listen(5.0)
    assert bell.rung == 1
