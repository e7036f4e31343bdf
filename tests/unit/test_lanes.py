"""Lanes with real threads: order, batches, breaking off, giving way, and what counts as stuck."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from hostguardd.engine.inbox import Inbox, Priority
from hostguardd.engine.lanes import BATCH_ROWS, Batch, Done, Lane, Task
from hostguardd.model import Depth, FileFact, Row, Sweep

Stop = Callable[[], bool]


def sweep(name: bytes, rows: int = 1) -> Sweep:
    made: list[Row] = [(name, b"%d" % number) for number in range(rows)]
    return Sweep(FileFact, name, Depth.QUICK, made)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


class Bench:
    """A lane and what came out of it."""

    def __init__(self) -> None:
        self.inbox: Inbox[object] = Inbox()
        self.lane = Lane("test", self.inbox, Priority.BULK)
        self.lane.start()

    def take(self) -> object:
        end = time.monotonic() + 10.0
        while time.monotonic() < end:
            if (item := self.inbox.get(0.1)) is not None:
                return item
        raise AssertionError("nothing came")

    def done(self) -> tuple[list[Sweep], Done]:
        """All sweeps up to the next end of a task."""
        sweeps: list[Sweep] = []
        while True:
            item = self.take()
            if isinstance(item, Done):
                return sweeps, item
            assert isinstance(item, Batch)
            sweeps += item.sweeps


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.lane.stop()
    made.inbox.close()
    made.lane.join(5.0)


def test_tasks_run_in_turn_and_bring_everything(bench: Bench) -> None:
    for name in (b"a", b"b"):
        bench.lane.submit(Task(name.decode(), lambda stop, n=name: (sweep(n + b"%d" % i) for i in range(5))))  # type: ignore[misc]
    for name in (b"a", b"b"):
        sweeps, done = bench.done()
        assert [one.scope for one in sweeps] == [name + b"%d" % i for i in range(5)]
        assert (done.task.name, done.error, done.task.cancelled) == (name.decode(), None, False)
        assert done.task.entries == 10
        assert done.task.cpu >= 0.0
    until(lambda: bench.lane.idle)


def test_first_goes_before_what_waits(bench: Bench) -> None:
    gate = threading.Event()

    def held(stop: Stop) -> Iterator[Sweep]:
        gate.wait(10.0)
        yield from ()

    bench.lane.submit(Task("held", held))
    bench.lane.submit(Task("later", lambda stop: iter(())))
    bench.lane.submit(Task("sooner", lambda stop: iter(())), first=True)
    gate.set()
    names = [bench.done()[1].task.name for _ in range(3)]
    assert names.index("sooner") < names.index("later")


def test_many_rows_come_in_batches(bench: Bench) -> None:
    count = 8 * BATCH_ROWS // 64
    bench.lane.submit(Task("big", lambda stop: (sweep(b"%d" % i, 64) for i in range(count))))
    batches = []
    while isinstance(item := bench.take(), Batch):
        batches.append(sum(len(one.rows) for one in item.sweeps))
    assert sum(batches) == count * 64
    assert max(batches) <= BATCH_ROWS + 64
    assert len(batches) >= 7


def test_a_slow_task_is_heard_of_while_it_runs(bench: Bench) -> None:
    gate = threading.Event()

    def slow(stop: Stop) -> Iterator[Sweep]:
        yield sweep(b"first")
        time.sleep(0.1)
        yield sweep(b"second")
        gate.wait(30.0)

    bench.lane.submit(Task("slow", slow))
    heard: list[object] = []
    while b"second" not in heard:  # together with the first, or after it where that took its time, too
        item = bench.take()
        assert isinstance(item, Batch)
        heard += [one.scope for one in item.sweeps]
    gate.set()
    assert heard == [b"first", b"second"]


def endless(stop: Stop) -> Iterator[Sweep]:
    number = 0
    while not stop():
        number += 1
        yield sweep(b"%d" % number)


def test_a_task_that_is_broken_off_ends_and_says_so(bench: Bench) -> None:
    bench.lane.submit(Task("endless", endless))
    bench.take()
    bench.lane.cancel(lambda task: task.name == "endless")
    _, done = bench.done()
    assert done.task.cancelled
    assert done.error is None


def noting(ran: list[str], name: str) -> Callable[[Stop], Iterator[Sweep]]:
    """What writes down that it ran."""

    def produce(stop: Stop) -> Iterator[Sweep]:
        ran.append(name)
        yield from ()

    return produce


def test_so_does_one_that_still_waited(bench: Bench) -> None:
    gate = threading.Event()
    ran: list[str] = []

    def held(stop: Stop) -> Iterator[Sweep]:
        gate.wait(10.0)
        yield from ()

    bench.lane.submit(Task("held", held))
    bench.lane.submit(Task("waits", noting(ran, "waits")))
    bench.lane.submit(Task("kept", noting(ran, "kept")))
    bench.lane.cancel(lambda task: task.name == "waits")
    gate.set()
    ended = {done.task.name: done.task.cancelled for _, done in (bench.done() for _ in range(3))}
    assert ended == {"held": False, "waits": True, "kept": False}
    assert ran == ["kept"]


def test_an_error_nobody_foresaw_ends_the_task_not_the_lane(bench: Bench) -> None:
    def broken(stop: Stop) -> Iterator[Sweep]:
        yield sweep(b"before")
        raise ZeroDivisionError("nobody foresaw this")

    bench.lane.submit(Task("broken", broken))
    bench.lane.submit(Task("fine", lambda stop: iter([sweep(b"x")])))
    assert isinstance(bench.done()[1].error, ZeroDivisionError)
    sweeps, done = bench.done()
    assert [one.scope for one in sweeps] == [b"x"]
    assert done.error is None


def test_what_a_task_holds_is_let_go_when_it_is_broken_off(bench: Bench) -> None:
    closed = threading.Event()

    def holding(stop: Stop) -> Iterator[Sweep]:
        try:
            yield from endless(lambda: False)
        finally:
            closed.set()

    bench.lane.submit(Task("holding", holding))
    bench.take()
    bench.lane.cancel(lambda task: True)
    bench.done()
    assert closed.wait(5.0)


def test_stops_while_it_waits_for_room(bench: Bench) -> None:
    bench.lane.submit(Task("endless", endless))
    time.sleep(0.3)  # long enough to fill the inbox; shorter only tests less
    began = time.monotonic()
    bench.lane.stop()
    bench.lane.join(10.0)
    assert time.monotonic() - began < 5.0  # for whoever waits for room there will be none


def test_keeps_to_its_share(bench: Bench) -> None:
    def busy(stop: Stop) -> Iterator[Sweep]:
        for number in range(4):
            end = time.thread_time() + 0.06
            while time.thread_time() < end:
                pass
            yield sweep(b"%d" % number)

    began = time.monotonic()
    bench.lane.submit(Task("busy", busy, pace=0.25))
    _, done = bench.done()
    assert done.task.cpu >= 0.2
    assert time.monotonic() - began >= done.task.cpu * 3.0


def test_rests_no_longer_than_it_is_wanted(bench: Bench) -> None:
    def busy(stop: Stop) -> Iterator[Sweep]:
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass
        yield sweep(b"1")

    bench.lane.submit(Task("busy", busy, pace=0.001))
    bench.take()
    began = time.monotonic()
    bench.lane.cancel(lambda task: True)
    bench.done()
    assert time.monotonic() - began < 10.0  # a rest of a hundred seconds


def test_stuck_is_only_who_works_without_a_sign(bench: Bench) -> None:
    gate = threading.Event()

    def deaf(stop: Stop) -> Iterator[Sweep]:
        gate.wait(10.0)
        yield from ()

    assert not bench.lane.stalled(0.0)
    time.sleep(1.2)
    bench.lane.submit(Task("deaf", deaf))
    until(lambda: bench.lane._current is not None)
    assert not bench.lane.stalled(1.1), "a lane that was idle for long has just begun"
    until(lambda: bench.lane.stalled(0.2))
    gate.set()
    bench.done()
    until(lambda: not bench.lane.stalled(0.0))


def test_asking_whether_to_stop_is_a_sign(bench: Bench) -> None:
    end = time.monotonic() + 1.6

    def careful(stop: Stop) -> Iterator[Sweep]:
        while time.monotonic() < end and not stop():
            time.sleep(0.01)
        yield from ()

    bench.lane.submit(Task("careful", careful))
    while time.monotonic() < end - 0.1:
        assert not bench.lane.stalled(1.3)
        time.sleep(0.02)
    bench.done()
