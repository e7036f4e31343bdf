"""Which of two versions is the older one, as rpm has it."""

from __future__ import annotations

import pytest

from hostguardd.packages.rpmversion import is_older


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.0-1", "2.0-1"),
        ("1.9-1", "1.10-1"),
        ("1.0-1", "1.0-2"),
        ("1.0-1", "1.0.1-1"),
        ("2.0-1", "1:1.0-1"),
        ("1:1.0-1", "2:0.1-1"),
        ("1.0~rc1-1", "1.0-1"),
        ("1.0~rc1-1", "1.0~rc2-1"),
        ("1.0-1", "1.0^git1-1"),
        ("1.0^git1-1", "1.0.1-1"),
        ("1.0^git1-1", "1.0^git2-1"),
        ("1.0~rc1-1", "1.0~rc1^git1-1"),
        ("1.0a-1", "1.0b-1"),
        ("1.0a-1", "1.0.1-1"),
        ("1.0-1", "1.0a-1"),
        ("1-1.el8", "1-1.el9"),
        ("10.fc39-1", "10.fc40-1"),
        ("1.0" + "9" * 5000 + "-1", "1.1" + "9" * 5000 + "-1"),
    ],
)
def test_versions_are_ordered(older: str, newer: str) -> None:
    assert is_older(older, newer)
    assert not is_older(newer, older)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1.0-1", "1.0-1"), ("1.0-1", "0:1.0-1"), ("1.00-1", "1.0-1"), ("1_0-1", "1.0-1"), ("", "")],
)
def test_what_is_the_same_is_not_older(one: str, other: str) -> None:
    assert not is_older(one, other)
    assert not is_older(other, one)
