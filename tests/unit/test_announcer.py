"""Told first, written down after; storms in groups; a log or a disk that fails; nothing lost or doubled."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hostguardd import health
from hostguardd.describe import Event
from hostguardd.engine import announcer as room
from hostguardd.engine.announcer import HOLD, RETRY, SECOND, Announcer
from hostguardd.engine.keeper import Change
from hostguardd.errors import AlertLogError
from hostguardd.model import Alert, FileFact, Finding, Row, Severity
from hostguardd.sections import AlertLogConfig
from hostguardd.store.alertlog import AlertLog
from tests.alerts import IDENTITY, NAMES, NOW, check, finding
from tests.state import State, file

STORM = 5


class Log:
    """A log that can break, and knows what the store held when it was asked."""

    def __init__(self, state: State) -> None:
        self.alerts: list[Alert] = []
        self.calls = 0
        self.broken = 0
        self.state = state
        self.written_before: list[int] = []

    def append(self, alerts: Sequence[Alert]) -> list[int]:
        if alerts:
            self.calls += 1
        if self.broken and alerts:
            raise AlertLogError("the disk is full", self.broken)
        self.written_before += [sum(self.state.findings.counts().values())] * len(alerts)
        self.alerts += alerts
        return list(range(len(alerts)))


class Bench:
    """An announcer over a real store."""

    def __init__(self, path: Path, *, fresh: bool = True) -> None:
        self.state = State(path, [] if fresh else None)
        self.log = Log(self.state)
        self.now = NOW
        self.said: list[str] = []
        self.announcer = self.make(self.log)

    def make(self, log: Log | AlertLog) -> Announcer:
        return Announcer(
            self.state.database,
            self.state.baseline,
            self.state.findings,
            log,
            NAMES,
            lambda: self.now,
            lambda: self.now,
            storm=STORM,
            diagnose=lambda what, about: self.said.append(what),
        )

    def change(
        self, number: int, severity: Severity = Severity.MEDIUM, event: Event = "opened", size: int = 1
    ) -> Change:
        one = file(b"/etc/%06d" % number, size=size)
        made: Finding = replace(
            finding(None, one, severity, f"f{number}"), first_seen=NOW, last_seen=self.now
        )
        row = None if event == "cleared" else one.row()
        return Change(FileFact, key(number), row, event == "cleared", made, event)

    def add(self, *numbers: int, severity: Severity = Severity.MEDIUM) -> None:
        for number in numbers:
            self.announcer.add(self.change(number, severity))

    def pass_time(self, nanoseconds: int) -> None:
        """As the loop does: flush what is due, until then."""
        end = self.now + nanoseconds
        while (due := self.announcer.due()) and due <= end:
            self.now = max(self.now, due)
            self.announcer.flush_due()
        self.now = end

    def told(self) -> list[str]:
        found = [f"{one.action} {one.data.get('key', '')}".strip() for one in self.log.alerts]
        self.log.alerts.clear()
        return found

    def open(self) -> int:
        return sum(self.state.findings.counts().values())


def key(number: int) -> Row:
    return (b"/etc", b"%06d" % number)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "baseline.db")
    yield made
    made.state.close()


# -- when --------------------------------------------------------------------------------------------


def test_nothing_waits(bench: Bench) -> None:
    assert bench.announcer.due() == 0
    assert bench.announcer.flush()
    assert bench.log.calls == 0


def test_what_is_critical_is_due_at_once_and_takes_nobody_along(bench: Bench) -> None:
    bench.add(1)
    bench.add(2, severity=Severity.CRITICAL)
    assert bench.announcer.due() == bench.now
    assert bench.announcer.flush_due()
    assert bench.told() == ["file-added /etc/000002"]
    assert bench.announcer.due() == bench.now + HOLD
    bench.pass_time(HOLD)
    assert bench.told() == ["file-added /etc/000001"]
    assert bench.announcer.due() == 0


def test_the_rest_waits_for_company_and_goes_in_one_write(bench: Bench) -> None:
    bench.add(1)
    bench.now += HOLD // 2
    bench.add(2)
    assert bench.announcer.due() == NOW + HOLD
    bench.pass_time(HOLD)
    assert len(bench.told()) == 2
    assert bench.log.calls == 1


def test_told_before_written(bench: Bench) -> None:
    bench.add(1, 2, 3)
    assert bench.announcer.flush()
    assert bench.log.written_before == [0, 0, 0]
    assert bench.open() == 3
    assert len(bench.state.baseline.seen(FileFact, b"/etc")) == 3


def test_too_many_do_not_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_WAITING", 50)
    bench.add(*range(50))
    assert bench.open() == 50
    assert bench.announcer.due() == 0


# -- one of each key -----------------------------------------------------------------------------------


def test_pending_by_scope(bench: Bench) -> None:
    bench.add(1, 2)
    other = file(b"/etc/d/x")
    bench.announcer.add(
        Change(FileFact, (b"/etc/d", b"x"), other.row(), finding=finding(None, other, name="x"))
    )
    pending = bench.announcer.pending
    assert set(pending(FileFact, b"/etc")) == {key(1), key(2)}
    assert set(pending(FileFact, b"/etc", below=True)) == {key(1), key(2), (b"/etc/d", b"x")}
    assert set(pending(FileFact, b"/et", below=True)) == set()
    bench.announcer.flush()
    assert not pending(FileFact, b"/etc", below=True)


def test_open_findings_include_those_that_wait(bench: Bench) -> None:
    bench.add(1)
    bench.announcer.flush()
    bench.add(2, severity=Severity.CRITICAL)
    bench.announcer.add(bench.change(1, event="changed", size=9))
    assert [one.id for one in bench.announcer.open()] == ["f2", "f1"]
    bench.announcer.add(bench.change(1, event="cleared"))
    assert [one.id for one in bench.announcer.open()] == ["f2"]
    assert [one.id for one in bench.announcer.open(Severity.CRITICAL)] == ["f2"]


EVENTS: list[tuple[list[Event], list[str], int]] = [
    (["opened"], ["added"], 1),
    (["opened", "changed"], ["added"], 1),
    (["opened", "changed", "changed"], ["added"], 1),
    (["opened", "cleared"], ["added", "cleared"], 0),
    (["opened", "changed", "cleared"], ["added", "cleared"], 0),
    (["opened", "cleared", "opened"], ["added", "added"], 1),
    (["opened", "cleared", "opened", "cleared"], ["added", "cleared"], 0),
]


@pytest.mark.parametrize(("events", "told", "open_"), EVENTS, ids=lambda value: str(value))
def test_a_key_that_changes_before_it_is_told(
    bench: Bench, events: list[Event], told: list[str], open_: int
) -> None:
    for size, event in enumerate(events):
        bench.announcer.add(bench.change(1, event=event, size=size))
    bench.announcer.flush()
    assert bench.told() == [f"file-{what} /etc/000001" for what in told]
    assert bench.open() == open_


def test_what_has_nothing_to_tell_does_not_silence_what_has(bench: Bench) -> None:
    bench.add(1)
    quiet = bench.change(1, size=9)
    bench.announcer.add(replace(quiet, finding=None))
    bench.announcer.flush()
    assert bench.told() == ["file-added /etc/000001"]
    assert bench.state.baseline.seen(FileFact, b"/etc") == {key(1): quiet.row}


# -- storms ------------------------------------------------------------------------------------------


def members(alerts: Sequence[Alert]) -> list[str]:
    """Every path that alerts name."""
    found: list[str] = []
    for one in alerts:
        if one.kind == "group":
            found += [str(member["key"]) for member in one.data["members"]]  # type: ignore[attr-defined]
        elif one.kind == "file":
            found.append(str(one.data["key"]))
    return found


def test_up_to_the_limit_each_has_its_own(bench: Bench) -> None:
    bench.add(*range(STORM))
    bench.announcer.flush()
    assert [one.kind for one in bench.log.alerts] == ["file"] * STORM


def test_a_storm_is_a_group_that_names_everybody(bench: Bench) -> None:
    bench.add(*range(1500))
    bench.announcer.flush()
    assert {one.kind for one in bench.log.alerts} == {"group"}
    assert len(bench.log.alerts) < 20
    assert sorted(members(bench.log.alerts)) == [f"/etc/{n:06}" for n in range(1500)]
    assert bench.open() == 1500


def test_in_a_storm_the_first_critical_ones_stand_alone(bench: Bench) -> None:
    bench.add(*range(100))
    bench.add(*range(100, 150), severity=Severity.CRITICAL)
    bench.announcer.flush()
    alone = [one for one in bench.log.alerts if one.kind == "file"]
    assert len(alone) == room.LOUD_ALONE
    assert all(one.severity is Severity.CRITICAL for one in alone)
    assert sorted(members(bench.log.alerts)) == [f"/etc/{n:06}" for n in range(150)]


def test_critical_ones_that_keep_coming_go_alone_and_at_once_up_to_some_a_second(bench: Bench) -> None:
    for number in range(60):
        bench.add(number, severity=Severity.CRITICAL)
        bench.pass_time(SECOND // 100)
    bench.pass_time(SECOND)
    kinds = [one.kind for one in bench.log.alerts]
    assert kinds[: room.LOUD_ALONE] == ["file"] * room.LOUD_ALONE
    assert set(kinds[room.LOUD_ALONE :]) == {"group"}
    assert len(kinds) < room.LOUD_ALONE + 6, "ten groups a second, and not sixty lines"
    assert sorted(members(bench.log.alerts)) == [f"/etc/{n:06}" for n in range(60)]
    bench.log.alerts.clear()
    bench.add(100, severity=Severity.CRITICAL)
    assert bench.announcer.due() == bench.now, "the next second is another one"


def test_what_stands_alone_among_many_ends_keeps_its_name(bench: Bench) -> None:
    bench.add(*range(30))
    bench.announcer.flush()
    bench.log.alerts.clear()
    for number in range(30):
        bench.announcer.add(bench.change(number, event="cleared"))
    bench.add(500, severity=Severity.HIGH)
    bench.announcer.flush()
    assert sorted(one.kind for one in bench.log.alerts) == ["file", "group"]
    assert "/etc/000500" in next(one.message for one in bench.log.alerts if one.kind == "file")


def test_a_storm_of_ends_is_a_group_too(bench: Bench) -> None:
    bench.add(*range(30))
    bench.announcer.flush()
    bench.log.alerts.clear()
    for number in range(30):
        bench.announcer.add(bench.change(number, event="cleared"))
    bench.announcer.flush()
    assert {one.kind for one in bench.log.alerts} == {"group"}
    assert sorted(members(bench.log.alerts)) == [f"/etc/{n:06}" for n in range(30)]
    assert bench.open() == 0


def test_while_it_storms_the_wait_grows_and_then_falls(bench: Bench) -> None:
    waits = []
    for start in range(0, 80, 10):
        bench.add(*range(start, start + 10))
        waits.append(bench.announcer.due() - bench.now)
        bench.pass_time(waits[-1])
    assert waits[0] == HOLD
    assert waits == sorted(waits)
    assert waits[-1] == room.LONGEST_HOLD
    bench.add(1000)
    bench.pass_time(room.LONGEST_HOLD)
    bench.add(1001)
    assert bench.announcer.due() - bench.now == HOLD


# -- a log that cannot be written ------------------------------------------------------------------------


def test_what_cannot_be_told_is_not_written_down(bench: Bench) -> None:
    bench.log.broken = errno.ENOSPC
    bench.add(1)
    assert not bench.announcer.flush()
    assert bench.announcer.unwritable == "the disk is full"
    assert bench.open() == 0
    assert bench.state.baseline.seen(FileFact, b"/etc") == {}
    assert set(bench.announcer.pending(FileFact, b"/etc")) == {key(1)}
    assert bench.said == ["alert log cannot be written"]


def test_it_is_tried_again_and_not_all_the_time(bench: Bench) -> None:
    bench.log.broken = errno.EIO
    bench.add(1)
    bench.pass_time(10 * SECOND)
    assert 5 <= bench.log.calls <= 12
    assert bench.said == ["alert log cannot be written"], "said once"
    bench.log.broken = 0
    bench.pass_time(2 * RETRY)
    assert bench.told() == ["log-unwritable", "file-added /etc/000001"]
    assert bench.announcer.unwritable == ""
    assert bench.open() == 1
    assert bench.announcer.resweep, "what came and went meanwhile is to be looked at"


def test_memory_is_bounded_while_it_lasts_and_the_loudest_stay(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_UNTOLD", 100)
    monkeypatch.setattr(room, "MOST_HEALTH", 10)
    bench.log.broken = errno.EIO
    bench.add(0)
    bench.announcer.flush()
    for number in range(1, 1000):
        bench.add(number, severity=Severity.CRITICAL if number % 50 == 0 else Severity.LOW)
        bench.announcer.tell(health.alert("clock.stepped", bench.now, step=number))
        assert len(bench.announcer.pending(FileFact, b"/etc")) <= 100
    assert bench.announcer.resweep
    bench.log.broken = 0
    bench.pass_time(10 * SECOND)
    told = members(bench.log.alerts)
    assert {f"/etc/{n:06}" for n in range(50, 1000, 50)} <= set(told)
    assert len([one for one in bench.log.alerts if one.action == "clock-stepped"]) <= 11


def test_words_about_ourselves_are_kept_too(bench: Bench) -> None:
    bench.log.broken = errno.EIO
    bench.announcer.tell(health.alert("clock.stepped", NOW, step=5))
    assert bench.announcer.due()
    bench.log.broken = 0
    bench.pass_time(2 * RETRY)
    assert [line.split()[0] for line in bench.told()] == ["log-unwritable", "clock-stepped"]


# -- a state that cannot be written ----------------------------------------------------------------------


def fill(state: State) -> None:
    pages = state.database.connection.execute("PRAGMA page_count").fetchone()[0]
    state.database.connection.execute(f"PRAGMA max_page_count = {pages}")


def test_what_was_told_but_not_written_down_is_written_later_and_not_told_again(bench: Bench) -> None:
    fill(bench.state)
    bench.add(*range(60))
    bench.announcer.flush()
    assert sorted(members(bench.log.alerts)) == [f"/etc/{n:06}" for n in range(60)]
    assert [one.action for one in bench.log.alerts if one.kind == "health"] == ["store-unwritable"]
    bench.log.alerts.clear()
    assert bench.open() == 0
    assert len(list(bench.announcer.open())) == 60
    assert len(bench.announcer.pending(FileFact, b"/etc")) == 60
    bench.announcer.add(replace(bench.change(3, size=9), finding=None))
    bench.pass_time(5 * SECOND)
    assert bench.told() == []
    bench.state.database.connection.execute("PRAGMA max_page_count = 100000")
    bench.pass_time(5 * SECOND)
    assert bench.told() == []
    assert bench.open() == 60
    assert not bench.announcer.pending(FileFact, b"/etc")


# -- a crash in between ----------------------------------------------------------------------------------


def test_a_crash_between_log_and_store_repeats_the_same_alert(tmp_path: Path) -> None:
    """The log has the line, the store does not know: after the start it is found and told again."""
    ids: list[object] = []
    for attempt in range(2):
        bench = Bench(tmp_path / "baseline.db", fresh=not attempt)
        bench.now += attempt * SECOND
        log = AlertLog(str(tmp_path / "log"), AlertLogConfig(), IDENTITY)
        announcer = bench.make(log)
        one = file(b"/etc/evil")
        made = finding(None, one, Severity.HIGH, bench.state.findings.identify(FileFact, one.row()[:2], 1))
        if not attempt:
            bench.state.database.connection.execute("PRAGMA query_only = ON")  # and then the machine stops
        announcer.add(Change(FileFact, one.row()[:2], one.row(), finding=made))
        announcer.flush()
        records = [check(line) for _, line in log.read()]
        ids = [record["event"]["id"] for record in records if record["event"]["action"] == "file-added"]
        log.close()
        bench.state.close()
    assert len(ids) == 2
    assert ids[0] == ids[1]


def test_lines_of_a_real_log_keep_the_schema(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "baseline.db")
    log = AlertLog(str(tmp_path / "log"), AlertLogConfig(), IDENTITY)
    bench.announcer = bench.make(log)
    bench.add(*range(40))
    bench.announcer.flush()
    bench.add(41, 42)
    bench.announcer.add(bench.change(1, event="cleared"))
    bench.announcer.tell(health.alert("clock.stepped", NOW, step=5))
    bench.announcer.flush()
    lines = [line for _, line in log.read()]
    assert len(lines) >= 5
    for line in lines:
        check(line)
    log.close()
    bench.state.close()


def test_one_critical_after_many_is_no_group_of_one(bench: Bench) -> None:
    bench.add(*range(room.LOUD_ALONE), severity=Severity.CRITICAL)
    bench.announcer.flush()
    bench.log.alerts.clear()
    bench.add(500, severity=Severity.CRITICAL)
    bench.pass_time(SECOND // 5)
    assert [one.kind for one in bench.log.alerts] == ["file"]
