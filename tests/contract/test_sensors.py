"""The rules that every sensor keeps, whatever it looks at. A new sensor joins with one subclass.

A subclass says how to make its sensor over a small host, and how to change that host: `add` one
thing, `remove` it, give it a `hostile` name, make part of it unreadable (`hide`). Everything else is
the same for all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hostguardd.diff import compare, drift
from hostguardd.fact import key_of
from hostguardd.host.files import LinuxFiles
from hostguardd.host.journal import NoJournal
from hostguardd.host.live import ANONYMOUS, DELETED, NoLiveHost
from hostguardd.host.texts import ABSENT, LinuxTexts, Text
from hostguardd.host.views import Listing
from hostguardd.model import Blind, Depth, Drift, Row, Sweep
from hostguardd.sections import EventsConfig, ListenersConfig, ProcessesConfig
from hostguardd.sensors.events import EventsSensor
from hostguardd.sensors.hidden import HiddenSensor
from hostguardd.sensors.interface import Request, Sensor
from hostguardd.sensors.listeners import ListenersSensor
from hostguardd.sensors.logins import LoginsSensor
from hostguardd.sensors.processes import ProcessesSensor
from tests.fakelive import FakeLive
from tests.fakeviews import FakeViews
from tests.records import record

HOSTILE = b"/srv/\xff\xfe\n\x1b[31m\xe2\x80\xae\\x41 \xf0\x9f\x92\xa9"


def never() -> bool:
    """Nobody wants us to stop."""
    return False


def table(sweeps: Iterator[Sweep]) -> dict[Row, Row]:
    """All rows of a pass by their whole key."""
    return {row[: len(one.fact.KEY)]: row for one in sweeps for row in one.rows}


def drifts(before: list[Sweep], after: list[Sweep]) -> list[Drift]:
    """What the engine would find between two passes over the same scopes."""
    rows = {sweep.scope: sweep.rows for sweep in before}
    pairs = [(one, pair) for one in after for pair in compare(rows.get(one.scope, []), one)]
    return [found for one, pair in pairs if (found := drift(one.fact, pair)) is not None]


class SensorContract:
    """The rules. Subclasses are collected, this class is not."""

    def sensor(self) -> Sensor:
        """A sensor over a host with at least two things to see."""
        raise NotImplementedError

    def add(self) -> None:
        """Add one thing, and let it become a fact."""
        raise NotImplementedError

    def remove(self) -> None:
        """Take away what `add` added, and let it be missed."""
        raise NotImplementedError

    def hostile(self) -> None:
        """Add something whose name holds HOSTILE."""
        raise NotImplementedError

    def hide(self) -> None:
        """Make something that is there impossible to look at."""
        raise NotImplementedError

    def vanish(self) -> None:
        """Let something be gone between being listed and being looked at."""
        raise NotImplementedError

    @pytest.mark.parametrize("depth", list(Depth))
    def test_rows_are_sorted_unique_and_as_wide_as_asked(self, depth: Depth) -> None:
        sensor = self.sensor()
        sweeps = list(sensor.sweep(depth, never))
        assert sum(len(sweep.rows) for sweep in sweeps) >= 2
        fact = sensor.fact
        for sweep in sweeps:
            keys = [row[: len(fact.KEY)] for row in sweep.rows]
            assert keys == sorted(set(keys))
            width = len(fact.columns()) if depth is Depth.FULL else fact.QUICK
            for row in sweep.rows:
                assert len(row) == width
                assert row[0] == sweep.scope
                assert all(value is None or type(value) in (int, str, bytes) for value in row)
                assert not any(isinstance(value, bool) for value in row)

    def test_sweeps_say_what_when_and_of_which_kind(self) -> None:
        sensor = self.sensor()
        for sweep in sensor.sweep(Depth.FULL, never):
            assert sweep.fact is sensor.fact
            assert sweep.depth is Depth.FULL
            assert 0 < sweep.began <= sweep.ended

    def test_full_rows_make_facts_that_describe_themselves(self) -> None:
        sensor = self.sensor()
        for sweep in sensor.sweep(Depth.FULL, never):
            for row in sweep.rows:
                fact = sensor.fact.of(row)
                assert fact.row() == row
                assert fact.label
                assert all(isinstance(word, str) for word in fact.traits())

    def test_an_unchanged_host_has_no_drift(self) -> None:
        sensor = self.sensor()
        first = list(sensor.sweep(Depth.FULL, never))
        assert drifts(first, list(sensor.sweep(Depth.FULL, never))) == []

    def test_quick_rows_are_the_beginning_of_full_ones(self) -> None:
        sensor = self.sensor()
        full = table(sensor.sweep(Depth.FULL, never))
        quick = table(sensor.sweep(Depth.QUICK, never))
        assert quick == {key: row[: sensor.fact.QUICK] for key, row in full.items()}

    def test_looking_at_some_keys_agrees_with_the_sweep(self) -> None:
        sensor = self.sensor()
        sweep = next(one for one in sensor.sweep(Depth.FULL, never) if one.rows)
        row = sweep.rows[-1]
        wanted: Any = frozenset({key_of(sensor.fact, row)})
        (seen,) = [one for one in sensor.look([Request(sweep.scope, wanted)], never) if one.rows]
        assert seen.rows == [row]
        assert seen.only == wanted
        assert seen.scope == sweep.scope

    def test_a_key_that_does_not_exist_is_not_in_the_rows(self) -> None:
        sensor = self.sensor()
        sweep = next(one for one in sensor.sweep(Depth.FULL, never) if one.rows)
        real = key_of(sensor.fact, sweep.rows[0])
        made_up: Any = b"nosuchthing" if not isinstance(real, tuple) else (b"nosuchthing", *real[1:])
        for seen in sensor.look([Request(sweep.scope, frozenset({made_up}))], never):
            assert seen.rows == []

    def test_what_comes_and_goes_is_one_drift_each(self) -> None:
        sensor = self.sensor()
        before = list(sensor.sweep(Depth.FULL, never))
        self.add()
        during = list(sensor.sweep(Depth.FULL, never))
        assert [one.action.value for one in drifts(before, during)] == ["added"]
        self.remove()
        after = list(sensor.sweep(Depth.FULL, never))
        assert [one.action.value for one in drifts(during, after)] == ["removed"]
        assert drifts(before, after) == []

    def test_hostile_names_come_through_unchanged(self) -> None:
        sensor = self.sensor()
        self.hostile()
        rows = table(sensor.sweep(Depth.FULL, never)).values()
        assert any(isinstance(value, bytes) and HOSTILE in value for row in rows for value in row)

    def test_what_cannot_be_seen_is_blind_and_nothing_is_raised(self) -> None:
        sensor = self.sensor()
        assert not any(sweep.blinds for sweep in sensor.sweep(Depth.FULL, never))
        self.hide()
        blinds = {blind for sweep in sensor.sweep(Depth.FULL, never) for blind in sweep.blinds}
        assert blinds
        for blind in blinds:
            assert blind.kind == sensor.fact.KIND
            assert blind.scope
            assert len(blind.reason.split()) > 3

    def test_what_vanishes_under_our_eyes_is_just_not_there(self) -> None:
        sensor = self.sensor()
        self.vanish()
        assert not any(sweep.blinds for sweep in sensor.sweep(Depth.FULL, never))

    def test_stops_at_once_when_told_to(self) -> None:
        sensor = self.sensor()
        began, worked = time.monotonic(), time.thread_time()
        assert list(sensor.sweep(Depth.FULL, lambda: True)) == []
        assert time.thread_time() - worked < 0.1
        assert time.monotonic() - began < 2  # a busy machine may take more than the tenth it costs

    def test_a_sweep_that_was_stopped_spoils_nothing(self) -> None:
        whole = table(self.sensor().sweep(Depth.FULL, never))
        for asked in range(12):
            sensor = self.sensor()
            answers = iter([False] * asked)
            list(sensor.sweep(Depth.FULL, lambda answers=answers: next(answers, True)))  # type: ignore[misc]
            assert table(sensor.sweep(Depth.FULL, never)) == whole


class LiveContract(SensorContract):
    """Further rules of the sensors that are polled: `changed` and `expect`, and no kernel at all."""

    make: Callable[..., ListenersSensor | ProcessesSensor]

    def sensor(self) -> ListenersSensor | ProcessesSensor:
        self.host = FakeLive()
        self.sshd = self.host.add_process(b"/usr/sbin/sshd", age=900.0)
        self.named = self.host.add_process(b"/usr/sbin/named", age=900.0, uid=25)
        self.host.listen("tcp", b"0.0.0.0", 22, self.sshd)
        self.host.listen("tcp", b"::", 53, self.named)
        self.host.listen("udp", b"127.0.0.1", 53, self.named, uid=25)
        self.made = type(self).make(self.host, self.host.wall)
        return self.made

    def missed(self) -> None:
        """A poll notices that something is gone, and the grace for it passes."""
        list(self.made.sweep(Depth.QUICK, never))
        self.host.tick(31)

    def vanish(self) -> None:
        pid = self.host.add_process(b"/usr/sbin/brief", age=900.0)
        self.host.vanishing.add(pid)
        self.host.listen("tcp", b"0.0.0.0", 99, pid)

    def settled(self) -> ListenersSensor | ProcessesSensor:
        """A sensor that has looked, and looked again."""
        sensor = self.sensor()
        for _ in range(2):
            list(sensor.sweep(Depth.QUICK, never))
            self.host.tick(0.5)
        list(sensor.sweep(Depth.QUICK, never))
        return sensor

    def test_nothing_changed_until_something_did(self) -> None:
        sensor = self.settled()
        assert not sensor.changed()
        self.add()
        assert sensor.changed()
        for _ in range(2):
            list(sensor.sweep(Depth.QUICK, never))
            self.host.tick(0.5)
        list(sensor.sweep(Depth.QUICK, never))
        assert not sensor.changed()

    def test_everything_is_looked_at_again_within_a_minute_or_so(self) -> None:
        sensor = self.settled()
        self.host.tick(61)
        assert sensor.changed()

    def test_asking_whether_anything_changed_looks_at_no_process(self) -> None:
        sensor = self.settled()
        self.host.calls.clear()
        sensor.changed()
        assert not {"process", "pids", "owners", "digest", "sockets"} & self.host.calls.keys()

    def test_what_is_approved_has_a_grace_when_the_daemon_starts(self) -> None:
        first = self.sensor()
        self.add()
        approved = list(first.sweep(Depth.FULL, never))
        self.remove()
        second = type(self).make(self.host, self.host.wall)
        second.expect(row for sweep in approved for row in sweep.rows)
        assert drifts(approved, list(second.sweep(Depth.QUICK, never))) == []
        self.host.tick(31)
        assert second.changed()
        late = drifts(approved, list(second.sweep(Depth.QUICK, never)))
        assert [one.action.value for one in late] == ["removed"]

    def test_without_a_kernel_everything_is_blind(self) -> None:
        sensor = type(self).make(NoLiveHost(), lambda: 1)
        assert not sensor.changed()
        for sweep in sensor.sweep(Depth.FULL, never):
            assert sweep.rows == []
            assert [blind.scope for blind in sweep.blinds] == [b"*"]
            assert Blind.covers(sweep.blinds[0], sweep.scope, b"/usr/sbin/sshd")


class TestHidden(SensorContract):
    """The cross-view sensor; `/tmp` holds what is odd."""

    def sensor(self) -> HiddenSensor:
        self.host = FakeViews(by_libc={100})
        self.names = {b".x": 4, b"plain": 8}
        self._fill()
        return HiddenSensor(self.host, list, lambda: 1)

    def _fill(self) -> None:
        self.host.folders[b"/tmp"] = Listing(frozenset(self.names), dict(self.names), 3)

    def add(self) -> None:
        self.names[b"..."] = 4
        self._fill()

    def remove(self) -> None:
        del self.names[b"..."]
        self._fill()

    def hostile(self) -> None:
        name = HOSTILE.rpartition(b"/")[2]
        self.host.folders[b"/srv"] = Listing(frozenset({name}), {name: 4}, 3)

    def hide(self) -> None:
        self.host.folders[b"/opt"] = Listing(problem="the folder cannot be read: Permission denied")

    def vanish(self) -> None:
        self.host.folders[b"/var"] = Listing(frozenset({b"brief"}), {b"brief": 4}, 3)


class TestListeners(LiveContract):
    """The listeners sensor."""

    make = staticmethod(lambda host, wall: ListenersSensor(host, ListenersConfig(), wall))

    def add(self) -> None:
        pid = self.host.add_process(b"/usr/bin/nc", age=100.0)
        self.door = self.host.listen("tcp", b"0.0.0.0", 4444, pid)

    def remove(self) -> None:
        self.host.close(self.door)
        self.missed()

    def hostile(self) -> None:
        self.host.listen("unix", HOSTILE, 0, self.sshd)

    def hide(self) -> None:
        self.host.problems["udp"] = "the table of udp sockets cannot be read"
        self.host.hidden = 1
        self.host.listen("tcp", b"0.0.0.0", 80, self.host.add_process(None))
        self.host.spaces["net:[4026532301]"] = [self.named]


class TestProcesses(LiveContract):
    """The processes sensor."""

    make = staticmethod(lambda host, wall: ProcessesSensor(host, ProcessesConfig(), wall))

    def add(self) -> None:
        self.new = self.host.add_process(b"/usr/bin/nc", age=100.0)

    def remove(self) -> None:
        self.host.kill(self.new)
        self.missed()

    def hostile(self) -> None:
        self.host.add_process(HOSTILE, age=100.0)

    def hide(self) -> None:
        self.host.add_process(None, comm=b"secret\xff", age=100.0)
        self.host.add_process(b"/bin/redis", namespace="pid:[4026532400]", parent=77, age=100.0)

    @pytest.mark.parametrize("state", [DELETED, ANONYMOUS])
    def test_suspicious_images_are_told_of_in_the_state(self, state: str) -> None:
        sensor = self.settled()
        self.host.add_process(b"/usr/bin/x", state=state, login=True, parent=self.sshd)
        (sweep,) = sensor.sweep(Depth.QUICK, never)
        assert [row[7] for row in sweep.rows if row[1] == b"/usr/bin/x"] == [state]


class Vanishing(LinuxTexts):
    """Files that are gone between being listed and being looked at."""

    gone: frozenset[bytes] = frozenset()

    def read(self, path: bytes, limit: int, offset: int = 0) -> Text:
        return ABSENT if path in self.gone else super().read(path, limit, offset)


class TestLogins(SensorContract):
    """The logins sensor, over a folder of records."""

    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path
        self.live = FakeLive()

    def sensor(self) -> Sensor:
        (self.root / "var/log").mkdir(parents=True, exist_ok=True)
        (self.root / "run/systemd/sessions").mkdir(parents=True, exist_ok=True)
        self.wtmp = self.root / "var/log/wtmp"
        self.wtmp.write_bytes(record("alice", "198.51.100.1") + record("bob", "", "tty1"))
        self.texts = Vanishing(LinuxFiles(os.fsencode(self.root)))
        return LoginsSensor(self.texts, self.live, {}, 2.0, self.live.wall, lambda: int(self.live.now * 1e9))

    def add(self) -> None:
        self.size = self.wtmp.stat().st_size
        with self.wtmp.open("ab") as handle:
            handle.write(record("mallory", "203.0.113.9"))

    def remove(self) -> None:
        os.truncate(self.wtmp, self.size)

    def hostile(self) -> None:
        self.wtmp.write_bytes(record("alice", HOSTILE.decode("latin-1")))

    def hide(self) -> None:
        self.wtmp.rename(self.wtmp.with_name("wtmp.1"))
        os.mkfifo(self.wtmp)

    def vanish(self) -> None:
        (self.root / "run/systemd/sessions/9").write_text("USER=x\n")
        self.texts.gone = frozenset({b"/run/systemd/sessions/9"})


class TestEvents(SensorContract):
    """The events sensor, over a folder of logs."""

    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path
        self.live = FakeLive()

    def sensor(self) -> Sensor:
        (self.root / "var/log").mkdir(parents=True, exist_ok=True)
        self.log = self.root / "var/log/secure"
        self.log.write_bytes(b"")
        self.say(b"su: (to root) alice on pts/0")
        self.say(b"su: FAILED SU (to root) bob on pts/0")
        self.texts = Vanishing(LinuxFiles(os.fsencode(self.root)))
        return EventsSensor(
            self.texts, NoJournal(), EventsConfig(), 2.0, self.live.wall, lambda: int(self.live.now * 1e9)
        )

    def say(self, text: bytes) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(self.live.wall() // 10**9))
        with self.log.open("ab") as handle:
            handle.write(stamp.encode() + b" web1 " + text + b"\n")

    def add(self) -> None:
        self.say(b"su: FAILED SU (to root) mallory on pts/0")
        self.live.now += 80_000
        self.say(b"su: FAILED SU (to root) bob on pts/0")

    def remove(self) -> None:
        self.live.now += 10_000

    def hostile(self) -> None:
        self.say(b"su: FAILED SU (to root) " + HOSTILE.replace(b"\n", b"").replace(b" ", b"") + b" on pts/0")
        self.say(b"su: FAILED SU (to root) x on pts/0" + b"\x01" * 9)

    def hide(self) -> None:
        self.log.unlink()
        os.mkfifo(self.log)

    def vanish(self) -> None:
        (self.root / "var/log/messages").write_bytes(b"x\n")
        self.texts.gone = frozenset({b"/var/log/messages"})

    def test_hostile_names_come_through_unchanged(self) -> None:
        """A line holds no line end, and of a name only what a line can hold."""
        sensor = self.sensor()
        self.hostile()
        rows = table(sensor.sweep(Depth.FULL, never)).values()
        name = HOSTILE.replace(b"\n", b"").replace(b" ", b"")
        assert any(isinstance(value, bytes) and name in value for row in rows for value in row)
