"""Asking all checks: one that fails, runs long or finds too much harms no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from hostguardd.investigate.inquiry import CHECKS, MOST_ITEMS, MOST_MOMENTS, Check, inquire
from hostguardd.investigate.interface import Confidence, Found, Item, Moment, Unseen, Verdict, text
from hostguardd.investigate.scene import Options, Scene
from tests.scenes import scene


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
