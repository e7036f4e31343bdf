"""What a log tells in another zone falls into the time in which somebody was at work, or stays as it is."""

from __future__ import annotations

from hostguardd.packages.interface import Deed
from hostguardd.packages.zones import QUARTER, in_zone, recorded

HOUR = 3600.0
NOW = 1_700_000_000.0


def run(at: float, *packages: str, takes: float = 20.0) -> list[Deed]:
    return [
        Deed(one, "upgrade", "1", "2", at, at + takes / 2, at + takes, at - 1, at + takes)
        for one in packages or ("tool",)
    ]


def test_what_is_in_its_place_stays_there() -> None:
    deeds = run(NOW, "a", "b")
    assert in_zone(deeds, [(NOW, NOW + 30)], []) == deeds
    assert in_zone(deeds, [], [(NOW, NOW + 30)]) == deeds
    assert in_zone(deeds, [], []) == deeds


def test_a_run_is_moved_with_all_its_times() -> None:
    assert in_zone(run(NOW + 5.75 * HOUR, "a", "b"), [(NOW + 1, NOW + 30)], []) == run(NOW, "a", "b")


def test_what_apt_starts_again_and_again_is_moved_together() -> None:
    away = [*run(NOW - 9 * HOUR, "a"), *run(NOW + 22 - 9 * HOUR, "b")]
    assert in_zone(away, [(NOW, NOW + 50)], []) == [*run(NOW, "a"), *run(NOW + 22, "b")]


def test_where_several_moments_fit_none_is_chosen() -> None:
    deeds = run(NOW + HOUR)
    assert in_zone(deeds, [(NOW, NOW + 2 * QUARTER)], []) == deeds


def test_what_is_no_quarter_of_an_hour_away_is_another_one() -> None:
    deeds = run(NOW + HOUR + 400)
    assert in_zone(deeds, [(NOW, NOW + 30)], []) == deeds


def test_an_older_run_does_not_take_the_place_of_a_later_one() -> None:
    old, new = run(NOW - 3 * HOUR, "old"), run(NOW, "new")
    assert in_zone([*old, *new], [(NOW, NOW + 30)], []) == [*old, *new], "its place is taken"
    odd = run(NOW + 100, "odd")
    assert in_zone([*old, *odd], [(NOW, NOW + 30)], []) == [*old, *odd], "behind it comes another one"
    away = run(NOW + 9 * HOUR, "away")
    assert in_zone([*old, *away, *run(NOW + 200)], [(NOW, NOW + 30), (NOW + 200, NOW + 220)], []) == [
        *old, *run(NOW, "away"), *run(NOW + 200),
    ]  # fmt: skip


def test_a_run_that_was_over_when_the_versions_were_recorded_is_not_moved() -> None:
    """It would explain what somebody does to its packages while he holds the lock."""
    old = run(NOW - 3 * HOUR, "tool", "other")
    seen = [(NOW, NOW + 30)]
    assert in_zone(recorded(old, {"tool": "1", "other": "1"}), seen, []) == run(NOW, "tool", "other")
    for versions in ({"tool": "2", "other": "1"}, {"tool": "1", "other": "3"}, {"tool": "1"}):
        stays = recorded(old, versions)
        assert in_zone(stays, seen, []) == stays


def test_what_was_told_of_is_moved_again_though_its_versions_are_recorded_by_then() -> None:
    away = recorded(run(NOW - 3 * HOUR), {"tool": "2"})
    (moved,) = in_zone(away, [(NOW, NOW + 30)], [(NOW, NOW + 20)])
    assert moved.begin == NOW


def test_which_deeds_were_over_is_known_by_the_first_that_begins_with_what_was_recorded() -> None:
    def over(versions: dict[str, str], *deeds: tuple[str, str, str]) -> list[bool]:
        log = [Deed("tool:amd64", *deed, NOW, NOW, NOW, NOW) for deed in deeds]
        return [one.past for one in recorded(log, versions)]

    first, second = ("upgrade", "1", "2"), ("upgrade", "2", "3")
    assert over({"tool": "1"}, first, second) == [False, False]
    assert over({"tool:amd64": "2"}, first, second) == [True, False]
    assert over({"tool": "3"}, first, second) == [True, True]
    assert over({"tool": "3", "tool:amd64": "1"}, first) == [False]
    assert over({}, first, second) == [False, False], "nothing was recorded"
    assert over({"x": "1"}, ("install", "", "1"), ("remove", "1", "")) == [False, False]
    assert over({"x": "1"}, ("install", "0.9", "1")) == [False], "its settings were left"
    assert over({"x": "1"}, ("remove", "1", "")) == [False], "so they were until then"
    assert over({"x": "1"}, ("upgrade", "1", "2")) == [True]
    assert over({"tool": "1"}, ("install", "", "1")) == [True]
    assert over({"tool": "1"}, ("remove", "1", ""), ("install", "", "1")) == [False, False]
    assert over({"tool": "1"}, ("upgrade", "1", "1")) == [False], "it was installed again"
