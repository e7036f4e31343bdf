"""Change windows in the whole engine: what was announced is told quietly, everything else as loudly as ever,
whatever becomes of the clock and of us. Files, inotify, SQLite and alert log are real; the clock lies.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostguardd.control.caller import Caller
from hostguardd.control.calls import parse_request
from hostguardd.control.job import Job
from hostguardd.engine import announced, expected
from tests.daemon import Guard, guarding, refused, until
from tests.fault.test_engine import HOUR, SECOND, Inside

LENGTH = 1800
MINUTE = 60 * SECOND


class Wire:
    """Somebody at the other end of the control socket."""

    gone = full = False

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {}

    def send(self, line: bytes, *, last: bool = False) -> None:
        if last:
            self.answer = json.loads(line)

    def room(self, timeout: float) -> bool:
        return True


def ask(inside: Inside, name: str, **args: Any) -> dict[str, Any]:
    """The loop's answer."""
    wire = Wire()
    _, checked = parse_request(json.dumps({"v": 1, "call": name, "args": args}).encode())
    inside.engine.submit(Job(name, checked, Caller(1, 0, 0, frozenset()), "alice (uid 1000)", wire))
    until(lambda: wire.answer, name)
    result: dict[str, Any] = wire.answer.get("result", wire.answer)
    return result


def expect(inside: Inside, *paths: Path | str, length: int = LENGTH) -> str:
    """Open a window when nothing is left unseen any more; its id."""
    until(inside.engine._nothing_unseen, "all was looked at")
    told = ask(inside, "window-open", length=length, reason="deploy 42", paths=[str(path) for path in paths])
    return str(told["window"]["id"])


def windows(inside: Inside) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in ask(inside, "windows")["windows"]}


def quiet(alert: dict[str, Any], window: str) -> bool:
    """Whether an alert says that a window covers it."""
    told = alert["hostguard"]
    assert ("window" in told) is ("judged" in told) is (told["severity"] == "info")
    return bool(told.get("window", {}).get("id") == window)


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    made = Inside(tmp_path)
    for name in ("app", "other"):
        (made.tree / name).mkdir()
        (made.tree / name / "old").write_text("old\n")
    with guarding(made):
        yield made


def test_what_was_announced_is_quiet_and_everything_else_is_loud(inside: Inside) -> None:
    app, other = inside.tree / "app", inside.tree / "other"
    with inside.running():
        id = expect(inside, app)
        opened = inside.told("window.opened")
        assert opened["hostguard"]["severity"] == "high"
        assert "alice (uid 1000) announced changes until" in opened["message"]
        assert f"({id}: deploy 42); expected is {app}" in opened["message"]
        (app / "new").write_text("new\n")
        (app / "old").write_text("other\n")
        (other / "new").write_text("planted\n")
        for path in (app / "new", app / "old"):
            told = inside.hears(path, "opened")
            assert quiet(told, id)
            assert told["hostguard"]["judged"] == told["hostguard"]["finding_severity"] == "medium"
            assert told["message"].endswith(f"(expected, window {id}: deploy 42)")
        told = inside.hears(other / "new", "opened")
        assert not quiet(told, id)
        assert told["hostguard"]["severity"] == "medium"
        (app / "old").unlink()
        assert quiet(inside.hears(app / "old", "changed"), id), "what is gone was seen to go"
        until(lambda: windows(inside)[id]["inside"] == 2, "both are counted")

        inside.clock.slept = LENGTH * SECOND
        ended = inside.told("window.ended-outside")
        assert ended["hostguard"]["severity"] == "high"
        assert {"inside": 2, "outside": 1}.items() <= ended["hostguard"]["details"].items()
        (app / "old").write_text("old\n")
        assert inside.hears(app / "old", "changed")
        (app / "later").write_text("late\n")
        assert not quiet(inside.hears(app / "later", "opened"), id)


def test_what_moves_on_after_the_window_is_loud_and_leaves_it(inside: Inside) -> None:
    app = inside.tree / "app"
    with inside.running():
        id = expect(inside, app)
        for name in ("a", "b"):
            (app / name).write_text("announced\n")
            assert quiet(inside.hears(app / name, "opened"), id)
        ask(inside, "window-end", id=id)
        assert inside.told("window.ending")["hostguard"]["severity"] == "medium"
        assert inside.told("window.ended")["hostguard"]["details"]["inside"] == 2
        (app / "a").write_text("not announced\n")
        assert not quiet(inside.hears(app / "a", "changed"), id)
        shown = ask(inside, "window", id=id)
        assert [one["label"] for one in shown["findings"]] == [str(app / "b")]
        assert shown["window"]["state"] == "ended"
        done = ask(inside, "window-accept", id=id, token=shown["token"])
        assert done["accepted"] == [shown["findings"][0]["id"]]
        assert done["generation"]["reason"] == f"deploy 42 (window {id})"
        assert inside.told("baseline.accepted")["hostguard"]["details"]["actor"] == "alice (uid 1000)"
        again = ask(inside, "window-accept", id=id, token=shown["token"])
        assert "nothing that lay inside" in again["error"]["message"]


def test_nothing_is_accepted_but_what_was_shown(inside: Inside) -> None:
    app = inside.tree / "app"
    with inside.running():
        id = expect(inside, app)
        (app / "a").write_text("announced\n")
        inside.hears(app / "a", "opened")
        early = ask(inside, "window", id=id)["token"]
        told = ask(inside, "window-accept", id=id, token=early)
        assert "has not ended yet" in told["error"]["message"]
        (app / "b").write_text("announced\n")
        inside.hears(app / "b", "opened")
        ask(inside, "window-end", id=id)
        inside.told("window.ended")
        told = ask(inside, "window-accept", id=id, token=early)
        assert "changed since it was shown" in told["error"]["message"]
        assert not inside.coded("baseline.accepted")


def test_findings_that_were_open_before_stay_what_they_are(inside: Inside) -> None:
    app = inside.tree / "app"
    with inside.running():
        (app / "planted").write_text("before\n")
        inside.hears(app / "planted", "opened")
        id = expect(inside, app)
        (app / "planted").write_text("after\n")
        assert not quiet(inside.hears(app / "planted", "changed"), id)
        assert windows(inside)[id]["outside"] == 1


def test_a_storm_inside_hides_nothing_outside(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announced, "PAGE", 150)
    app = inside.tree / "app"
    with inside.running():
        id = expect(inside, app)
        for number in range(200):
            (app / f"n{number}").write_text(f"{number}\n")
            if number == 100:
                (inside.tree / "planted").write_text("x\n")
        told = inside.hears(inside.tree / "planted", "opened")
        assert told["hostguard"]["kind"] == "file", "it has an alert of its own"
        assert told["hostguard"]["severity"] == "medium"
        for number in range(200):
            one = inside.hears(app / f"n{number}", "opened")
            assert quiet(one, id)
        assert any(one["hostguard"]["kind"] == "group" for one in inside.about(app / "n150"))
        ask(inside, "window-end", id=id)
        ended = inside.told("window.ended-outside")["hostguard"]["details"]
        assert {"inside": 200, "outside": 1}.items() <= ended.items()
        first, second = ask(inside, "window", id=id), ask(inside, "window", id=id, offset=150)
        assert (first["more"], second["more"]) == (150, None)
        assert len({one["id"] for one in first["findings"] + second["findings"]}) == 200
        last = inside.alerts()[-1]["event"]["sequence"]
        done = ask(inside, "window-accept", id=id, token=first["token"])
        assert len(done["accepted"]) == 200
        told = inside.told("baseline.accepted")
        assert told["event"]["sequence"] - last <= 3, "in one stroke"
        assert inside.hears(app / "n7", "accepted")["hostguard"]["kind"] == "group"
        assert not inside.about(inside.tree / "planted", "accepted")


def test_a_critical_one_named_exactly_is_quiet(inside: Inside) -> None:
    with inside.running():
        id = expect(inside, inside.tree, inside.tree / "loud")
        (inside.tree / "loud").write_text("announced\n")
        (inside.tree / "loud2").write_text("not announced\n")
        told = inside.hears(inside.tree / "loud", "opened")
        assert quiet(told, id)
        assert told["hostguard"]["judged"] == "critical"
        assert inside.hears(inside.tree / "loud2", "opened")["hostguard"]["severity"] == "critical"


def test_what_came_and_went_inside_is_told_quietly(inside: Inside) -> None:
    app = inside.tree / "app"
    with inside.running():
        id = expect(inside, app)
        (app / "passing").write_text("x\n")
        assert quiet(inside.hears(app / "passing", "opened"), id)
        (app / "passing").unlink()
        assert inside.hears(app / "passing", "cleared")["hostguard"]["window"]["id"] == id
        (app / "passing").write_text("y\n")
        until(lambda: len(inside.about(app / "passing", "opened")) == 2, "it is told again")
        assert quiet(inside.about(app / "passing", "opened")[-1], id)


# -- time --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [-5 * HOUR, 5 * HOUR])
def test_a_clock_that_is_set_makes_no_window_longer(inside: Inside, step: int) -> None:
    with inside.running():
        id = expect(inside)
        inside.clock.set = step
        inside.told("clock.stepped")
        assert windows(inside)[id]["state"] == "open", "nor shorter"
        inside.clock.slept = (LENGTH - 60) * SECOND
        assert windows(inside)[id]["state"] == "open"
        inside.clock.slept = LENGTH * SECOND
        inside.told("window.ended")


def test_after_the_clock_was_set_back_nothing_is_known_to_be_inside(inside: Inside) -> None:
    with inside.running():
        id = expect(inside)
        inside.clock.set = -HOUR
        inside.told("clock.stepped")
        (inside.tree / "app" / "new").write_text("new\n")
        assert not quiet(inside.hears(inside.tree / "app" / "new", "opened"), id)


def test_an_extended_window_lasts_longer(inside: Inside) -> None:
    with inside.running():
        id = expect(inside)
        inside.clock.slept = (LENGTH - 60) * SECOND
        assert ask(inside, "window-extend", id=id, length=LENGTH)["window"]["state"] == "open"
        assert inside.told("window.extended")["hostguard"]["severity"] == "high"
        inside.clock.slept = (2 * LENGTH - 120) * SECOND
        assert windows(inside)[id]["state"] == "open"
        inside.clock.slept = 2 * LENGTH * SECOND
        inside.told("window.ended")
        assert "not open any more" in ask(inside, "window-extend", id=id, length=60)["error"]["message"]


def test_extending_makes_no_window_longer_than_one_may_be(inside: Inside) -> None:
    with inside.running():
        id = expect(inside)
        longest = 86_400
        assert ask(inside, "window-extend", id=id, length=longest - LENGTH)["window"]["state"] == "open"
        inside.clock.set = (longest - LENGTH) * SECOND
        inside.clock.slept = (longest - 2 * LENGTH) * SECOND
        refused = ask(inside, "window-extend", id=id, length=2 * LENGTH)["error"]["message"]
        assert "longest" in refused
        assert "since it was opened" in refused


def test_a_clock_that_is_set_back_extends_no_window_beyond_that(inside: Inside) -> None:
    with inside.running():
        id = expect(inside)
        inside.clock.slept, inside.clock.set = 1000 * SECOND, -1000 * SECOND
        refused = ask(inside, "window-extend", id=id, length=86_400 - 900)["error"]["message"]
        assert "since it was opened" in refused
    inside.clock.slept, inside.clock.set, inside.boots.boot = 1500 * SECOND, -1000 * SECOND, "two"
    with inside.running():
        inside.told("window.resumed")
        refused = ask(inside, "window-extend", id=id, length=86_400 - 400)["error"]["message"]
        assert "since it was opened" in refused
        assert ask(inside, "window-extend", id=id, length=80_000)["window"]["state"] == "open"


def test_a_last_look_that_does_not_end_keeps_no_window_open(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    with inside.running():
        id = expect(inside)
        monkeypatch.setattr(inside.engine.windows, "_last_look", lambda: None)
        ask(inside, "window-end", id=id)
        assert windows(inside)[id]["state"] == "closing"
        (inside.tree / "late").write_text("after its end\n")
        assert not quiet(inside.hears(inside.tree / "late", "opened"), id)
        inside.clock.slept = expected.CLOSING
        inside.told("window.ended")


# -- restarts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("boot", ["one", "two"])
def test_a_window_survives_a_restart_and_ends_in_time(inside: Inside, boot: str) -> None:
    app = inside.tree / "app"
    with inside.running():
        id = expect(inside, app)
        (app / "a").write_text("announced\n")
        inside.hears(app / "a", "opened")
        (inside.tree / "planted").write_text("x\n")
        inside.hears(inside.tree / "planted", "opened")
        until(lambda: windows(inside)[id]["outside"] == 1, "it is counted")
    (app / "b").write_text("while nobody watched\n")
    (app / "old").unlink()
    inside.boots.boot = boot
    inside.clock.slept = 10 * MINUTE
    with inside.running():
        resumed = inside.told("window.resumed")
        assert resumed["hostguard"]["severity"] == "high"
        assert 19 * MINUTE < resumed["hostguard"]["details"]["length"] <= 20 * MINUTE
        assert quiet(inside.hears(app / "b", "opened"), id), "its ctime tells when it came about"
        assert not quiet(inside.hears(app / "old", "opened"), id), "nobody saw when it went"
        (app / "a").write_text("announced, too\n")
        assert quiet(inside.hears(app / "a", "changed"), id)
        inside.clock.slept = 30 * MINUTE
        ended = inside.told("window.ended-outside")["hostguard"]["details"]
        assert ended["outside"] == 2


def test_a_window_whose_time_passed_meanwhile_is_over_at_the_start(inside: Inside) -> None:
    with inside.running():
        id = expect(inside)
    (inside.tree / "late").write_text("while nobody watched\n")
    inside.clock.slept = LENGTH * SECOND
    with inside.running():
        inside.told("window.ended")
        assert not inside.coded("window.resumed")
        assert not quiet(inside.hears(inside.tree / "late", "opened"), id)


@pytest.mark.parametrize(("back", "left"), [(HOUR, 0), (0, 30)])
def test_a_clock_set_back_over_a_reboot_makes_no_window_longer(inside: Inside, back: int, left: int) -> None:
    """Where it is before the opening, nothing can be said; and no more is left than when that was noted."""
    with inside.running():
        expect(inside)
    inside.boots.boot = "two"
    inside.clock.set = -back
    with inside.running():
        if left:
            told = inside.told("window.resumed")["hostguard"]["details"]["length"]
            assert (left - 1) * MINUTE < told <= left * MINUTE
        else:
            inside.told("window.ended")
            assert not inside.coded("window.resumed")


def test_no_more_is_left_after_a_reboot_than_was_noted(inside: Inside) -> None:
    with inside.running():
        id = expect(inside)
        inside.clock.slept = 20 * MINUTE
        noted = until(
            lambda: (left := inside.engine.windows.get(id).left) < 11 * MINUTE and left, "it is noted"
        )
    inside.boots.boot = "two"
    inside.clock.set = -20 * MINUTE + SECOND  # as if no time had passed at all
    with inside.running():
        assert inside.told("window.resumed")["hostguard"]["details"]["length"] <= noted


# -- when it cannot be ---------------------------------------------------------------------------------


def test_bounds(inside: Inside) -> None:
    with inside.running():
        refusal = ask(inside, "window-open", length=86401, reason="x", paths=[])
        assert "[windows] longest" in refusal["error"]["message"]
        for _ in range(expected.MOST_OPEN):
            expect(inside)
        refusal = ask(inside, "window-open", length=60, reason="x", paths=[])
        assert "which is the most" in refusal["error"]["message"]
        assert "there is no window" in ask(inside, "window-end", id="wx")["error"]["message"]


def test_what_cannot_be_told_is_not_in_force(inside: Inside) -> None:
    with inside.running():
        until(inside.engine._nothing_unseen, "all was looked at")
        before = inside.engine.log.append
        inside.engine.log.append = full  # type: ignore[method-assign]
        refusal = ask(inside, "window-open", length=60, reason="x", paths=[])
        assert "cannot be announced" in refusal["error"]["message"]
        assert not windows(inside)
        inside.engine.log.append = before  # type: ignore[method-assign]
        (inside.tree / "app" / "new").write_text("new\n")
        assert inside.hears(inside.tree / "app" / "new", "opened")["hostguard"]["severity"] == "medium"


def full(alerts: Any) -> list[int]:
    from hostguardd.errors import AlertLogError

    if alerts:
        raise AlertLogError("the disk is full", 28)
    return []


def test_lost_hints_leave_only_what_bears_its_time(inside: Inside) -> None:
    app = inside.tree / "app"
    with inside.running():
        id = expect(inside, app)
        inside.clock.broken_for = "hostguardd-inotify"
        (app / "one").write_text("the last hint\n")
        inside.told("coverage.watcher-dead")
        inside.clock.broken_for = ""
        inside.told("coverage.restored")
        (app / "two").write_text("new\n")
        assert quiet(inside.hears(app / "two", "opened"), id)
        (app / "old").unlink()
        assert not quiet(inside.hears(app / "old", "opened"), id)


def test_what_a_rollback_makes_news_again_is_not_announced(inside: Inside) -> None:
    app = inside.tree / "app"
    with inside.running():
        (app / "old").write_text("planted\n")
        (app / "older").write_text("planted, too\n")
        ids = [inside.hears(app / name, "opened")["hostguard"]["finding"] for name in ("old", "older")]
        ask(inside, "accept", ids=ids)
        id = expect(inside, app)
        ask(inside, "rollback", number=1)
        for name in ("old", "older"):
            until(lambda name=name: len(inside.about(app / name, "opened")) == 2, "it is told again")  # type: ignore[misc]
            assert not quiet(inside.about(app / name, "opened")[-1], id)


# -- the real daemon -----------------------------------------------------------------------------------


def test_from_the_announcement_to_the_decision(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    app = guard.tree / "app"
    app.mkdir()
    os.symlink(app, guard.tree / "current")
    with guarding(guard):
        guard.start()
        for args, said in (
            (("expect", "--for", "5m"), "say for how long and why"),
            (("expect", "--for", "5m", "-m", "deploy 42", "app"), "relative"),
            (("expect", "--for", "2d", "-m", "deploy 42"), "[windows] longest"),
            (("expect", "--for", "soon"), "is no length of time"),
            (("expect", "--extend", "w1"), "needs --for"),
            (("accept",), "say which"),
        ):
            told = guard.ctl(*args)
            assert (told.returncode, said in told.stderr) == (2, True), told.stderr
        told = guard.ctl("expect", "--for", "5m", "-m", "deploy 42", str(app), str(guard.tree / "current"))
        assert told.returncode == 0, told.stderr
        assert "open until" in told.stdout
        assert f"leads to {app} by a link" in told.stderr
        id = told.stdout.split()[0]
        for number in range(3):
            (app / f"file{number}").write_text(f"{number}\n")
        for number in range(3):
            told = guard.hears(app / f"file{number}")["hostguard"]
            assert told["window"] == {"id": id, "reason": "deploy 42"}
        assert "pid " in guard.told("window.opened")["hostguard"]["details"]["actor"]
        assert "3 open findings inside" in guard.ctl("expect").stdout
        guard.stop()
        guard.start()
        assert guard.told("window.resumed")
        assert guard.ctl("accept", "--window", id, "--yes").returncode == 2
        assert guard.ctl("expect", "--end", id).returncode == 0
        guard.told("window.ended")
        shown = guard.ctl("expect", id)
        assert shown.returncode == 0
        assert str(app / "file2") in shown.stdout
        told = guard.ctl("accept", "--window", id)
        assert "nobody is there to be asked" in told.stderr
        told = guard.ctl("accept", "--window", id, "--yes", "-m", "as planned")
        assert told.returncode == 0, told.stderr
        assert "as planned" in told.stdout
        assert not guard.findings()
        assert "nothing waits for a decision" in guard.ctl("expect").stdout
        assert refused(lambda: guard.call("window", id="w0")).args
        guard.stop()
