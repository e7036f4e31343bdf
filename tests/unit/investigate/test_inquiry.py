"""Asking all checks: one that fails, runs long or finds too much harms no other."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostguardd.investigate.checks import logging, processes, rootkit
from hostguardd.investigate.inquiry import CHECKS, MOST_ITEMS, MOST_MOMENTS, MOST_UNSEEN, Check, inquire
from hostguardd.investigate.interface import Confidence, Found, Item, Moment, Unseen, Verdict, text, word
from hostguardd.investigate.scene import Options, Scene
from tests.fakelive import FakeLive
from tests.scenes import looked, scene


def check(name: str, look: Callable[[Scene], Iterator[Found]]) -> Check:
    return Check(name, name.title(), "by hand", "for something", look)


def fine(_: Scene) -> Iterator[Found]:
    yield Item("a", Verdict.FINE, "a is fine")


def failing(_: Scene) -> Iterator[Found]:
    yield Item("b", Verdict.NOTABLE, "b is odd")
    raise RuntimeError("no luck")


def many(_: Scene) -> Iterator[Found]:
    for number in range(5 * MOST_ITEMS):
        yield Item(str(number), Verdict.FINE, "fine")
    yield Item("the one", Verdict.SUSPICIOUS, "bad")


def endless(where: Scene) -> Iterator[Found]:
    yield Item("first", Verdict.NOTABLE, "odd")
    while True:
        time.sleep(0.01)
        yield Moment(where.now, "log", "again", "nowhere", Confidence.SURE)


def test_a_check_that_fails_is_blind_and_the_others_go_on() -> None:
    found = inquire(scene(), [check("failing", failing), check("fine", fine)])
    broken, whole = found.results
    assert [one.name for one in broken.items] == ["b"]
    assert "RuntimeError: no luck" in broken.unseen[0].reason
    assert broken.verdict is Verdict.NOTABLE
    assert whole.verdict is Verdict.FINE
    assert not whole.unseen
    assert found.verdict is Verdict.NOTABLE


def test_of_too_many_things_the_worst_are_kept_and_all_are_counted() -> None:
    (result,) = inquire(scene(), [check("many", many)]).results
    assert len(result.items) == MOST_ITEMS
    assert result.items[0].name == "the one"
    assert result.more == 4 * MOST_ITEMS + 1
    assert result.counts == {Verdict.FINE: 5 * MOST_ITEMS, Verdict.SUSPICIOUS: 1}


def test_of_too_much_that_is_unseen_the_first_is_kept_and_the_rest_counted() -> None:
    def look(_: Scene) -> Iterator[Found]:
        for number in range(MOST_UNSEEN + 7):
            yield Unseen(str(number), "nobody may")
            yield Unseen("0", "nobody may")

    (result,) = inquire(scene(), [check("blind", look)]).results
    assert len(result.unseen) == MOST_UNSEEN + 1
    assert result.unseen[0].scope == "0"
    assert result.unseen[-1].reason.startswith("7 more")


def test_what_a_check_fails_of_is_harmless_and_short() -> None:
    def look(_: Scene) -> Iterator[Found]:
        yield from ()
        raise ValueError("\x1b[2J\x9b\u202e" + "x" * 1_000_000)

    (result,) = inquire(scene(), [check("failing", look)]).results
    assert result.unseen[0].reason.isprintable()
    assert len(result.unseen[0].reason) < 5000


@pytest.mark.parametrize(("look", "what"), [(processes.look, "looked at"), (rootkit.look, "looked into")])
def test_processes_that_there_was_no_time_for_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Scene], Iterator[Found]], what: str
) -> None:
    live = FakeLive()
    for _ in range(9):
        live.add_process(b"/usr/bin/sleep")
    where = scene(bytes(tmp_path), live=live)
    if what == "looked into":
        assert len(where.processes) == 10
    monkeypatch.setattr(Scene, "hurry", lambda _: True)
    results = inquire(where, [check("look", look), check("again", look)]).results
    gap = Unseen("processes", f"10 were not {what}: there was no time", "--patience SECONDS")
    assert [gap in one.unseen for one in results] == [True, False]


def test_half_the_time_is_for_what_is_gathered() -> None:
    where = scene(options=Options(patience=100))
    where.begin()
    assert not where.hurry()
    where._deadline -= 51
    assert where.hurry()
    assert not where.stop()


def test_a_service_that_nobody_looked_for_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "usr/lib/systemd").mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/systemd-journald").touch()
    where = scene(bytes(tmp_path), live=FakeLive())
    assert "systemd-journald" in looked(logging.look, where).suspicious
    where = scene(bytes(tmp_path), live=FakeLive())
    where.host.live.add_process(b"/usr/bin/sleep")  # type: ignore[attr-defined]
    hurry = iter([False, *[True] * 100])  # the first is systemd
    monkeypatch.setattr(Scene, "hurry", lambda _: next(hurry))
    assert not looked(logging.look, where).suspicious


def test_a_check_without_end_is_ended_and_says_so() -> None:
    where = scene(options=Options(patience=0.2))
    found = inquire(where, [check("endless", endless), check("fine", fine)])
    (result, after) = found.results
    assert result.cut
    assert 0.2 <= result.took < 5
    assert "0 s ran out" in result.unseen[0].reason
    assert [one.name for one in result.items] == ["first"]
    assert after.items
    assert found.moments


@pytest.mark.parametrize(
    "hang",
    [
        lambda: re.match(r"(a+)+$", "a" * 40 + "b"),
        lambda: time.sleep(60),
        lambda: os.read(os.pipe()[0], 1),
        lambda: [one for one in iter(int, 1) if one],
    ],
    ids=["a pattern", "sleep", "a system call", "a loop"],
)
def test_nothing_holds_an_inquiry_for_ever(hang: Callable[[], object]) -> None:
    def look(_: Scene) -> Iterator[Found]:
        yield Item("first", Verdict.NOTABLE, "odd")
        try:
            hang()
        except Exception:  # noqa: BLE001 - as those do who look at many files
            return

    began = time.monotonic()
    where = scene(options=Options(patience=0.1))
    found = inquire(where, [check("hanging", look), check("fine", fine)])
    assert time.monotonic() - began < 10
    assert [one.name for one in found.results[0].items] == ["first"]
    assert found.results[0].cut
    assert found.results[1].verdict is Verdict.FINE


def test_what_hung_once_is_not_waited_for_again() -> None:
    asked = []

    def make(_: Scene) -> None:
        asked.append(1)
        time.sleep(60)

    def look(where: Scene) -> Iterator[Found]:
        where.once(make)
        yield Item("never", Verdict.FINE, "reached")

    found = inquire(scene(options=Options(patience=0.1)), [check("one", look), check("another", look)])
    assert [one.cut for one in found.results] == [True, True]
    assert len(asked) == 1


def test_of_too_many_moments_the_worst_and_the_newest_are_kept_in_their_order() -> None:
    def look(_: Scene) -> Iterator[Found]:
        yield Moment(1.0, "login", "the worst, and the oldest", "wtmp", Confidence.LIKELY, Verdict.SUSPICIOUS)
        for number in range(MOST_MOMENTS + 10):
            yield Moment(10.0 + number, "log", "something", "log", Confidence.LIKELY)

    found = inquire(scene(), [check("moments", look)])
    assert len(found.moments) == MOST_MOMENTS
    assert found.lost_moments == 11
    assert found.moments[0].says.startswith("the worst")
    assert found.moments[-1].at == 10.0 + MOST_MOMENTS + 9
    assert [one.at for one in found.moments] == sorted(one.at for one in found.moments)


def test_millions_of_moments_take_no_memory(tmp_path: Path) -> None:
    gone = 0

    class Told(Moment):
        def __del__(self) -> None:
            nonlocal gone
            gone += 1

    def look(_: Scene) -> Iterator[Found]:
        for number in range(4 * MOST_MOMENTS):
            yield Told(float(number), "log", "something", "log", Confidence.LIKELY)
        yield Item("those", Verdict.FINE, str(gone))

    found = inquire(scene(bytes(tmp_path)), [check("moments", look)])
    assert int(found.results[0].items[0].says) > MOST_MOMENTS
    assert found.lost_moments == 3 * MOST_MOMENTS
    assert found.moments[0].at == float(3 * MOST_MOMENTS)


def test_whoever_waits_is_told_how_far_it_is() -> None:
    told: list[tuple[str, int, int]] = []
    inquire(scene(), [check("fine", fine)], lambda *how: told.append(how))
    assert told == [("Fine", 0, 1), ("", 1, 1)]


def test_what_could_not_be_seen_is_a_verdict() -> None:
    def look(_: Scene) -> Iterator[Found]:
        yield Unseen("/root", "permission denied", "sudo hostguardctl investigate")
        yield Unseen("/root", "permission denied", "sudo hostguardctl investigate")

    (result,) = inquire(scene(), [check("unseen", look)]).results
    assert result.verdict is Verdict.UNSEEN
    assert len(result.unseen) == 1


def test_checks_have_names_of_their_own_and_say_what_they_are_for() -> None:
    assert len({one.name for one in CHECKS}) == len(CHECKS)
    assert all(one.title and one.guide and one.about for one in CHECKS)


def test_texts_of_the_host_are_harmless_and_of_a_bounded_length() -> None:
    assert text(b"a\x1b[31m\n") == "a\\x1b[31m\\x0a"
    assert text("‮".encode()) != "‮"
    long = text(b"x" * 1_000_000)
    assert len(long) == 2000
    assert long.endswith("…")
    assert len(text(b"\xff" * 10_000)) == 2000


@pytest.mark.parametrize(
    "name",
    [
        b"/etc/passwd", b"", b"a b", b"it's", b"$(touch x)", b"`id`; rm -rf /", b"a\nb", b"\x1b[2J", b"a\\",
        b"\xff\\'\\\\", "\u202e \u3042'".encode(), b"-rf", b"~root", b"*", b"!!", b"\\x41", b"#c", b"x=y z",
    ],
)  # fmt: skip
def test_a_shell_makes_of_a_copied_word_the_name_and_nothing_else(name: bytes) -> None:
    shown = word(text(name))
    assert shown.isprintable()
    told = subprocess.run(["bash", "-c", f"printf %s {shown}x"], capture_output=True, check=True)
    assert (told.stdout, told.stderr) == (name + b"x", b"")


@pytest.mark.parametrize(
    "name", [b"a\n'; echo BROKEN #", b"\\'; echo BROKEN; '", b"\x01'`echo BROKEN`'$(echo BROKEN)"]
)
def test_a_shell_that_does_not_know_such_quotes_runs_nothing(name: bytes) -> None:
    told = subprocess.run(["dash", "-c", f"printf '%s.' {word(text(name))}"], capture_output=True, check=True)
    assert told.stdout.count(b".") == 1  # one word
    assert not told.stdout.startswith(b"BROKEN")
    assert b"\nBROKEN" not in told.stdout
