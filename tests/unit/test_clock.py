"""Clock steps are told from sleep and from slewing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostguardd.host.clock import TOLERANCE, Reading, SystemClock, read, step_between

SECOND = 1_000_000_000
times = st.integers(0, 2**62)


@given(start=times, elapsed=times, step=st.integers(-(2**61), 2**61))
def test_a_step_is_found_with_its_size_and_direction(start: int, elapsed: int, step: int) -> None:
    before = Reading(wall=start, boot=0)
    after = Reading(wall=start + elapsed + step, boot=elapsed)
    assert step_between(before, after) == (step if abs(step) > TOLERANCE else 0)


def test_sleep_is_no_step() -> None:
    assert step_between(Reading(0, 0), Reading(8 * 3600 * SECOND, 8 * 3600 * SECOND)) == 0


def test_the_tolerance_is_the_callers() -> None:
    assert step_between(Reading(0, 0), Reading(5, 0), tolerance=4) == 5
    assert step_between(Reading(0, 0), Reading(-4, 0), tolerance=4) == 0


def test_the_systems_clocks_run() -> None:
    clock = SystemClock()
    before, mono = read(clock), clock.mono()
    after = read(clock)
    assert after.boot >= before.boot
    assert clock.mono() >= mono
    assert before.boot >= mono - SECOND
    assert step_between(before, after) == 0
