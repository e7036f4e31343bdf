"""What a log tells in another zone falls into the time in which somebody was at work, or stays as it is."""

from __future__ import annotations

from hostguardd.packages.interface import Deed
from hostguardd.packages.zones import QUARTER, in_zone

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
