"""The loop's inbox: urgent first, bounded, and nobody who wakes it is overheard."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.engine.inbox import BOUND, Inbox, Priority


def in_thread(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


@given(st.lists(st.sampled_from(list(Priority)), max_size=min(BOUND.values())))
def test_urgent_first_and_in_order_within(priorities: list[Priority]) -> None:
    inbox: Inbox[tuple[Priority, int]] = Inbox()
    for at, priority in enumerate(priorities):
        assert inbox.put(priority, (priority, at), lambda: True)
    got = [inbox.get(0.0) for _ in priorities]
    assert got == sorted((priority, at) for at, priority in enumerate(priorities))
    assert inbox.get(0.0) is None


@pytest.mark.parametrize("priority", list(Priority))
def test_each_priority_has_an_end_and_room_for_the_others(priority: Priority) -> None:
    inbox: Inbox[int] = Inbox()
    for number in range(BOUND[priority]):
        assert inbox.put(priority, number, lambda: True)
    assert not inbox.put(priority, -1, lambda: True)
    other = next(one for one in Priority if one is not priority)
    assert inbox.put(other, 1, lambda: True)


def test_who_waits_for_room_goes_on_when_there_is_some() -> None:
    inbox: Inbox[int] = Inbox()
    for number in range(BOUND[Priority.BULK]):
        inbox.put(Priority.BULK, number)
    done: list[bool] = []
    thread = in_thread(lambda: done.append(inbox.put(Priority.BULK, 99)))
    thread.join(0.15)
    assert thread.is_alive()
    got = [inbox.get(0.0)]
    thread.join(5.0)
    assert done == [True]
    while (item := inbox.get(0.0)) is not None:
        got.append(item)
    assert got == [*range(BOUND[Priority.BULK]), 99]


def test_who_waits_for_room_can_be_told_to_stop() -> None:
    inbox: Inbox[int] = Inbox()
    for number in range(BOUND[Priority.LIVE]):
        inbox.put(Priority.LIVE, number)
    stop = threading.Event()
    done: list[bool] = []
    thread = in_thread(lambda: done.append(inbox.put(Priority.LIVE, 99, stop.is_set)))
    stop.set()
    thread.join(5.0)
    assert done == [False]


def test_an_item_ends_the_wait() -> None:
    inbox: Inbox[str] = Inbox()
    got: list[str | None] = []
    thread = in_thread(lambda: got.append(inbox.get(30.0)))
    inbox.put(Priority.BULK, "x")
    thread.join(5.0)
    assert got == ["x"]


def test_waking_ends_the_wait() -> None:
    inbox: Inbox[str] = Inbox()
    thread = in_thread(lambda: inbox.get(30.0))
    thread.join(0.05)
    inbox.wake()
    thread.join(5.0)
    assert not thread.is_alive()


def test_waking_just_before_the_wait_is_not_lost() -> None:
    inbox: Inbox[str] = Inbox()
    inbox.wake()
    began = time.monotonic()
    assert inbox.get(30.0) is None
    assert time.monotonic() - began < 5.0
    began = time.monotonic()
    assert inbox.get(0.1) is None
    assert time.monotonic() - began >= 0.09


def test_closing_lets_everybody_go() -> None:
    inbox: Inbox[int] = Inbox()
    for number in range(BOUND[Priority.BULK]):
        inbox.put(Priority.BULK, number)
    done: list[bool] = []
    thread = in_thread(lambda: done.append(inbox.put(Priority.BULK, 99)))
    inbox.close()
    thread.join(5.0)
    assert done == [False]
    assert inbox.get(0.0) is None
    assert not inbox.put(Priority.URGENT, 1)


def test_many_at_once_lose_nothing() -> None:
    inbox: Inbox[tuple[int, int]] = Inbox()
    threads = [
        in_thread(lambda who=who: [inbox.put(list(Priority)[who % 5], (who, at)) for at in range(500)])  # type: ignore[misc]
        for who in range(8)
    ]
    got: list[tuple[int, int]] = []
    until = time.monotonic() + 20.0
    while len(got) < 4000 and time.monotonic() < until:
        item = inbox.get(0.2)
        if item is not None:
            got.append(item)
    for thread in threads:
        thread.join(5.0)
    assert sorted(got) == [(who, at) for who in range(8) for at in range(500)]
    for who in range(8):
        assert [at for one, at in got if one == who] == list(range(500))
