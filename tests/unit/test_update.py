"""An announced update of ourselves: accepted if it is the package's, told if not, and never for long."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hostguardd import health
from hostguardd.engine.keeper import Change
from hostguardd.engine.update import NOTE, WAIT, OwnUpdate
from hostguardd.host.clock import SystemClock
from hostguardd.host.files import LinuxFiles
from hostguardd.host.texts import LinuxTexts
from hostguardd.manifest import PLACE
from hostguardd.model import Alert, FileFact, ListenerFact
from hostguardd.store.baseline import Baseline
from hostguardd.store.database import Database
from hostguardd.store.findings import Findings

OLD, NEW = hashlib.sha256(b"old").digest(), hashlib.sha256(b"new").digest()
PROGRAM = (b"/usr/bin", b"hostguardd")
GONE = (b"/usr/lib/hostguardd", b"old.py")
TEXT = f"sha256:{NEW.hex()} 0755 /usr/bin/hostguardd\n"


def fact(key: tuple[bytes, bytes], digest: bytes, mode: int = 0o755) -> FileFact:
    return FileFact(*key, stat.S_IFREG | mode, 0, 0, 3, 1, 1, 1, 1, 0, None, digest, b"", 0, 0)


class Clock(SystemClock):
    """Goes on as told."""

    passed = 0

    def wall(self) -> int:
        return super().wall() + self.passed

    def mono(self) -> int:
        return super().mono() + self.passed


class Day:
    """A host with generation 1, on which we are updated; `daemon` is started anew by `restart`."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        place = self.root / os.fsdecode(PLACE).lstrip("/")
        place.parent.mkdir(parents=True)
        place.write_text(TEXT)
        self.clock = Clock()
        self.database = Database(folder / "baseline.db")
        self.baseline = Baseline(self.database)
        self.findings = Findings(self.database)
        with self.database.transaction():
            number = self.baseline.begin_capture()
            self.baseline.add(number, FileFact, [fact(PROGRAM, OLD).row(), fact(GONE, OLD).row()])
            self.baseline.finish_capture(number, 1, "root", "first", reviewed=True)
        self.told: list[Alert] = []
        self.emitted: list[Change] = []
        self.restart()

    def restart(self) -> None:
        texts = LinuxTexts(LinuxFiles(os.fsencode(self.root)))
        self.daemon = OwnUpdate(
            self.database, self.baseline, self.findings, texts, self.clock, self._tell, self.emitted.append
        )
        self.daemon.resume()

    def _tell(self, code: str, /, **params: int | float | str | bytes) -> Alert:
        self.told.append(health.alert(code, self.clock.wall(), **params))
        return self.told[-1]

    def codes(self) -> list[str]:
        return [alert.rule for alert in self.told]


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    day = Day(tmp_path)
    yield day
    day.database.close()


CHANGED = Change(FileFact, PROGRAM, fact(PROGRAM, NEW).row())
REMOVED = Change(FileFact, GONE, None)


@pytest.mark.parametrize("note", ["", "{", "[1]", '["soon", "uid 0", "2.0"]', '[1, "uid 0", 2]', "{}", "[]"])
def test_a_damaged_note_of_an_announcement_announces_nothing(day: Day, note: str) -> None:
    day.baseline.remember(NOTE, note)
    day.restart()
    assert not day.daemon.takes(CHANGED)
    assert day.codes() == []


def test_without_an_announcement_nothing_is_held_back(day: Day) -> None:
    assert not day.daemon.takes(CHANGED)
    assert day.daemon.conclude() is None
    day.daemon.overdue()
    assert not day.told


def test_what_the_package_says_becomes_a_generation_with_the_name_of_who_announced_it(day: Day) -> None:
    day.daemon.announce("alice (uid 0), pid 7 rpm", "2.0-1")
    assert day.codes() == ["package.announced"]
    assert "alice" in day.told[0].message
    assert "15 min" in day.told[0].message
    assert day.daemon.takes(CHANGED)
    assert day.daemon.conclude() is None, "the old daemon does not conclude"
    day.restart()
    assert day.daemon.takes(CHANGED)
    assert day.daemon.takes(REMOVED)
    made = day.daemon.conclude()
    assert made is not None
    assert (made.number, made.actor, made.reviewed) == (2, "alice (uid 0), pid 7 rpm", True)
    assert "2.0-1" in made.reason
    assert day.codes() == ["package.announced", "package.updated"]
    assert "2 changes" in day.told[1].message
    assert not day.emitted
    row = day.baseline.row(FileFact, PROGRAM)
    assert row is not None
    assert row[12] == NEW
    assert day.baseline.row(FileFact, GONE) is None
    day.baseline.verify()
    assert not day.daemon.takes(CHANGED), "it is over"
    day.restart()
    assert not day.daemon.takes(CHANGED), "also after the next start"


def test_what_the_package_does_not_say_is_told(day: Day) -> None:
    day.daemon.announce("mallory", "2.0-1")
    day.restart()
    evil = replace(CHANGED, row=fact(PROGRAM, hashlib.sha256(b"evil").digest()).row())
    setuid = Change(
        FileFact, (b"/usr/lib/hostguardd", b"x"), fact((b"/usr/lib/hostguardd", b"x"), NEW, 0o4755).row()
    )
    assert day.daemon.takes(evil)
    assert day.daemon.takes(setuid)
    assert day.daemon.conclude() is None
    assert day.emitted == [evil, setuid]
    assert day.codes()[-1] == "package.updated"
    current = day.baseline.current()
    assert current is not None
    assert current.number == 1


def test_only_our_own_files_are_held_back(day: Day) -> None:
    day.daemon.announce("mallory", "2.0-1")
    assert not day.daemon.takes(Change(FileFact, (b"/etc", b"passwd"), None))
    assert not day.daemon.takes(Change(FileFact, (b"/etc/systemd/system", b"hostguardd.service"), None))
    assert not day.daemon.takes(Change(ListenerFact, ("tcp", "0.0.0.0:1"), None))


def test_an_update_that_does_not_end_is_told_with_all_that_was_held_back(day: Day) -> None:
    day.daemon.announce("mallory", "2.0-1")
    assert day.daemon.takes(CHANGED)
    day.daemon.overdue()
    assert not day.emitted
    day.clock.passed = WAIT
    day.daemon.overdue()
    assert day.emitted == [CHANGED]
    assert day.codes()[-1] == "package.overdue"
    assert not day.daemon.takes(CHANGED)


def test_an_old_announcement_does_not_excuse_a_later_start(day: Day) -> None:
    day.daemon.announce("mallory", "2.0-1")
    day.clock.passed = WAIT
    day.restart()
    day.daemon.overdue()
    assert day.codes()[-1] == "package.overdue"
    assert not day.daemon.takes(CHANGED)


def test_a_clock_that_was_put_back_does_not_make_it_longer(day: Day) -> None:
    day.daemon.announce("mallory", "2.0-1")
    day.clock.passed = -10 * WAIT
    day.restart()
    day.clock.passed += WAIT
    day.daemon.overdue()
    assert day.codes()[-1] == "package.overdue"
