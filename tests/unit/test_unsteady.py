"""A clock that was set leaves a doubt about everything that was begun before the later of both times."""

from __future__ import annotations

import errno
import os

import pytest

from hostguardd.engine.unsteady import MOST_AHEAD, Unsteady
from hostguardd.host.clockset import ClockSet

SECOND = 10**9
HOUR = 3600 * SECOND
NOW = 1_700_000_000 * SECOND


class Clocks:
    def __init__(self) -> None:
        self.ran = self.set = 0
        self.touched = False

    def wall(self) -> int:
        return NOW + self.ran + self.set

    def mono(self) -> int:
        return self.ran

    def boot(self) -> int:
        return self.ran

    def taken(self) -> bool:
        touched, self.touched = self.touched, False
        return touched


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_a_clock_that_runs_leaves_no_doubt(clocks: Clocks) -> None:
    unsteady = Unsteady(clocks, clocks.taken)
    clocks.ran += HOUR
    assert unsteady() == 0


@pytest.mark.parametrize("by", [-2 * HOUR, 2 * HOUR])
def test_until_the_later_of_both_times(clocks: Clocks, by: int) -> None:
    unsteady = Unsteady(clocks, clocks.taken)
    clocks.ran += SECOND
    clocks.set = by
    until = NOW + SECOND + max(0, by)
    assert unsteady() == until
    clocks.ran += 5 * HOUR
    assert unsteady() == until


def test_one_that_was_set_back_and_forth_between_two_looks(clocks: Clocks) -> None:
    unsteady = Unsteady(clocks, clocks.taken)
    clocks.ran, clocks.touched = 5 * SECOND, True
    assert unsteady() == NOW + 5 * SECOND


def test_one_that_stood_far_ahead_leaves_no_doubt_for_years(clocks: Clocks) -> None:
    clocks.set = 10_000 * 24 * HOUR
    unsteady = Unsteady(clocks, clocks.taken)
    clocks.set = 0
    assert unsteady() == NOW + MOST_AHEAD


def test_the_kernel_tells_when_it_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """It really asks; nobody sets the clock of a host for a test."""
    asked = ClockSet()
    assert not asked.taken()

    def cancelled(fd: int, count: int) -> bytes:
        raise OSError(errno.ECANCELED, "Operation canceled")

    monkeypatch.setattr(os, "read", cancelled)
    assert asked.taken()
    monkeypatch.undo()
    asked.close()
    assert not asked.taken()
