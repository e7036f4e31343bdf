"""Somebody with root's rights at the state and at the log: what shows, and that nothing approves it."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from hostguardd.errors import BaselineError
from hostguardd.store.baseline import Baseline
from hostguardd.store.database import Database
from tests.daemon import Guard, guarding, refused


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with guarding(Guard(tmp_path / "g")) as one:
        (one.tree / "file").write_text("approved")
        yield one


def edit(guard: Guard, sql: str) -> None:
    with closing(sqlite3.connect(guard.state / "baseline.db", timeout=10)) as state, state:
        state.execute(sql)


def test_an_edited_baseline_is_told_at_the_start_and_never_approved(guard: Guard) -> None:
    guard.start()
    guard.stop()
    edit(guard, "UPDATE file_base SET mode = mode + 1 WHERE name = x'66696c65'")
    guard.start()
    assert "digest" in guard.told("baseline.tampered")["message"]
    token = guard.call("review")["token"]
    assert isinstance(refused(lambda: guard.call("approve", token=token, reason="")), BaselineError)
    assert [g["number"] for g in guard.call("history")["generations"]] == [1]


def test_a_finding_closed_by_hand_is_open_again(guard: Guard) -> None:
    guard.start()
    (guard.tree / "file").write_text("evil")
    guard.finds(guard.tree / "file")
    guard.stop()
    edit(guard, "UPDATE finding SET status = 'accepted'")
    guard.start()
    guard.finds(guard.tree / "file")


def test_an_older_state_put_back_is_told(guard: Guard) -> None:
    guard.start()
    guard.stop()
    shutil.copy(guard.state / "baseline.db", guard.folder / "old")
    guard.start()
    (guard.tree / "file").write_text("also approved")
    guard.finds(guard.tree / "file")
    guard.approve()
    guard.stop()
    shutil.copy(guard.folder / "old", guard.state / "baseline.db")
    guard.start()
    assert "generation 2" in guard.told("baseline.tampered")["message"]


def test_an_approval_that_nobody_was_told_of_is_told(guard: Guard) -> None:
    """Killed between the one and the other, or written by another hand: the state is the same."""
    guard.start()
    guard.stop()
    with closing(Database(guard.state / "baseline.db")) as database:
        Baseline(database).approve(time.time_ns(), "alice (uid 1000)", "after the update")
    guard.start()
    message = guard.told("baseline.untold")["message"]
    assert "Generation 2" in message
    assert "by alice (uid 1000)" in message
    assert message.endswith("after the update")
    guard.approve()
    guard.kill()
    guard.start()
    guard.stop()
    codes = [one["hostguard"].get("code") for one in guard.alerts()]
    assert codes.count("baseline.untold") == 1


def test_a_damaged_line_stops_nobody_from_reading_the_others(guard: Guard) -> None:
    guard.start()
    guard.stop()
    log = guard.log / "alerts.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"severity":"high"', b'"severity":"hihh"', 1))
    guard.start()
    said = guard.call("alerts", limit=1)
    assert (said["count"] > 0, said["damaged"]) == (True, 1)
    shutil.rmtree(guard.log)  # it does not verify any more, which is the point


def test_neither_restarts_nor_checks_put_the_full_sweep_off(tmp_path: Path) -> None:
    one = Guard(tmp_path / "g", sections='[sweeps]\nfull = "1h"\npace = "1%"\n')
    for number in range(300):
        (one.tree / f"file{number}").write_text("x")
    with guarding(one) as guard:
        guard.start()
        due = guard.call("status")["sensors"]["files.full"]["next"]
        time.sleep(1.1)
        guard.stop()
        guard.start()
        again = guard.call("status")["sensors"]["files.full"]["next"]
        assert abs(seconds(again) - seconds(due)) < 1.0
        guard.call("check")
        assert abs(seconds(guard.call("status")["sensors"]["files.full"]["next"]) - seconds(again)) < 0.01


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def test_a_large_file_somewhere_keeps_no_hint_waiting(guard: Guard) -> None:
    guard.start()
    with (guard.tree / "loud-large").open("wb") as large:
        large.truncate(10**12)  # to read it takes minutes
    began = time.monotonic()
    (guard.tree / "loud-small").write_text("x")
    guard.hears(guard.tree / "loud-small")
    assert time.monotonic() - began < 20
    guard.hears(guard.tree / "loud-large")
