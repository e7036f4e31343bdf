"""When looks are due: intervals, the duty cycle that stretches them, and haste."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostguardd.engine.schedule import Periodic

seconds = st.floats(0.001, 1e6)


def test_an_interval_after_the_end() -> None:
    look = Periodic("quick", 600.0)
    look.start(10.0)
    assert look.running
    look.end(25.0, cpu=3.0, entries=7)
    assert (look.running, look.due, look.entries, look.cpu) == (False, 625.0, 7, 3.0)
    assert not look.paced


@given(interval=seconds, cpu=seconds, duty=st.floats(0.0001, 1.0), now=seconds)
def test_the_share_is_kept_whatever_it_costs(interval: float, cpu: float, duty: float, now: float) -> None:
    look = Periodic("full", interval, duty)
    look.start(now)
    look.end(now, cpu, 1)
    assert look.spacing >= interval
    assert cpu / look.spacing <= duty * 1.000001
    assert look.paced is (look.spacing > interval)
    assert look.due >= now + interval


def test_without_a_share_only_the_interval_counts() -> None:
    look = Periodic("live", 0.5)
    look.start(0.0)
    look.end(0.0, cpu=1000.0, entries=1)
    assert look.spacing == 0.5
    assert not look.paced


def test_what_was_broken_off_comes_again_soon() -> None:
    look = Periodic("full", 86400.0, due=1.0)
    look.start(100.0)
    look.broken(130.0)
    assert not look.running
    assert look.due == 135.0
    short = Periodic("live", 0.5)
    short.start(1.0)
    short.broken(2.0)
    assert short.due == 2.5


def test_haste_only_ever_makes_it_earlier() -> None:
    look = Periodic("quick", 600.0, due=700.0)
    look.hurry(50.0)
    assert look.due == 50.0
    look.hurry(60.0)
    assert look.due == 50.0
