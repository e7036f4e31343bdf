"""The memory that keeps a restart from looking like an absence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostguardd.model import Row
from hostguardd.sensors.glimpses import Glimpses


def rows(*names: str) -> dict[Row, Row]:
    return {("host", name): ("host", name, 1) for name in names}


def names(found: list[Row]) -> list[object]:
    return [row[1] for row in found]


def test_what_is_away_for_less_than_the_grace_is_present() -> None:
    seen = Glimpses(30, 2)
    assert names(seen.present(rows("b", "a"), 0)) == ["a", "b"]
    assert names(seen.present(rows("a"), 10)) == ["a", "b"]
    assert seen.due == 40
    assert names(seen.present(rows("a"), 39.9)) == ["a", "b"]
    assert names(seen.present(rows("a"), 40)) == ["a"]
    assert seen.due is None


def test_what_was_not_looked_at_for_long_has_the_whole_grace_all_the_same() -> None:
    seen = Glimpses(30, 2)
    seen.present(rows("a"), 0)
    assert names(seen.present({}, 3600)) == ["a"]
    assert names(seen.present({}, 3629)) == ["a"]
    assert names(seen.present({}, 3630)) == []


def test_what_comes_back_is_away_anew() -> None:
    seen = Glimpses(30, 2)
    seen.present(rows("a"), 0)
    seen.present({}, 1)
    seen.present(rows("a"), 29)
    assert seen.due is None
    assert names(seen.present({}, 31)) == ["a"]
    assert names(seen.present({}, 60)) == ["a"]
    assert names(seen.present({}, 61)) == []


def test_the_newest_row_is_kept() -> None:
    seen = Glimpses(30, 2)
    seen.present({("host", "a"): ("host", "a", 1)}, 0)
    seen.present({("host", "a"): ("host", "a", 2)}, 1)
    assert seen.present({}, 2) == [("host", "a", 2)]


def test_expected_rows_count_as_seen_but_never_hide_what_was_seen() -> None:
    seen = Glimpses(30, 2)
    seen.present({("host", "a"): ("host", "a", 2)}, 0)
    seen.expect([("host", "a", 1), ("host", "b", 1)], 5)
    assert ("host", "b") in seen
    assert seen.due == 35
    assert seen.present({}, 6) == [("host", "a", 2), ("host", "b", 1)]
    assert names(seen.present({}, 35)) == ["a"]


@given(st.lists(st.sets(st.sampled_from("abcde")), max_size=20), st.integers(0, 5))
def test_present_is_everything_seen_within_the_grace(looks: list[set[str]], grace: int) -> None:
    seen = Glimpses(grace, 2)
    for now, look in enumerate(looks):
        found = names(seen.present(rows(*look), now))
        recent = set().union(look, *looks[max(0, now - grace) : now])
        assert found == sorted(recent)
