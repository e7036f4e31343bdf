"""No hint is lost, memory is bounded, and nothing waits longer than it may."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from hostguardd.engine.hints import EVERYTHING, Due, Settler
from hostguardd.model import Hint, join, under

SETTLE, MOST = 10, 30


def never(path: bytes) -> bool:
    return False


def settler(per_folder: int = 1_000, in_all: int = 20_000) -> Settler:
    return Settler(lambda path: path.startswith(b"/etc/pass"), SETTLE, MOST, per_folder, in_all)


def test_an_ordinary_name_waits_until_it_is_quiet() -> None:
    waiting = settler()
    waiting.add(Hint(b"/usr", b"a", 100))
    waiting.add(Hint(b"/usr", b"a", 105))
    assert waiting.next_due() == 115
    assert waiting.due(114) == []
    assert waiting.due(115) == [Due(b"/usr", frozenset({b"a"}), False)]
    assert waiting.next_due() is None
    assert waiting.due(1000) == []


def test_a_name_that_never_rests_is_looked_at_all_the_same() -> None:
    waiting = settler()
    looked = []
    for now in range(100, 200):
        waiting.add(Hint(b"/var", b"busy", now))
        looked += [now] * len(waiting.due(now))
    assert looked == [130, 161, 192]


def test_an_urgent_name_does_not_wait() -> None:
    waiting = settler()
    waiting.add(Hint(b"/usr", b"a", 100))
    waiting.add(Hint(b"/etc", b"passwd", 100))
    assert waiting.next_due() == 100
    assert waiting.due(100) == [Due(b"/etc", frozenset({b"passwd"}), False)]
    assert waiting.next_due() == 110


def test_names_of_a_folder_come_together_the_deep_ones_apart() -> None:
    waiting = settler()
    for name, deep in ((b"a", False), (b"b", True), (b"c", False)):
        waiting.add(Hint(b"/usr", name, 100, deep))
    assert sorted(waiting.due(110)) == [
        Due(b"/usr", frozenset({b"a", b"c"}), False),
        Due(b"/usr", frozenset({b"b"}), True),
    ]


def test_deep_stays_deep_when_a_shallow_hint_follows() -> None:
    waiting = settler()
    waiting.add(Hint(b"/usr", b"a", 100, deep=True))
    waiting.add(Hint(b"/usr", b"a", 101))
    assert waiting.due(111) == [Due(b"/usr", frozenset({b"a"}), True)]


def test_a_hint_for_the_folder_swallows_its_names_and_keeps_their_deadline() -> None:
    waiting = settler()
    waiting.add(Hint(b"/usr", b"a", 100, deep=True))
    waiting.add(Hint(b"/usr", None, 108))
    waiting.add(Hint(b"/usr", b"b", 117))
    waiting.add(Hint(b"/usr", b"c", 126))
    assert len(waiting) == 1
    assert waiting.next_due() == 130, "the first hint's deadline"
    assert waiting.due(130) == [Due(b"/usr", None, True)]


def test_many_names_become_their_folder() -> None:
    waiting = settler(per_folder=3)
    for number in range(3):
        waiting.add(Hint(b"/usr", b"%d" % number, 100))
    assert len(waiting) == 3
    waiting.add(Hint(b"/usr", b"3", 101))
    assert len(waiting) == 1
    assert waiting.due(130) == [Due(b"/usr", None, False)]


def test_too_much_becomes_everything_and_urgent_names_still_do_not_wait() -> None:
    waiting = settler(in_all=5)
    for number in range(8):
        waiting.add(Hint(b"/%d" % number, b"x", 100 + number))
    assert len(waiting) == 0
    assert waiting.next_due() == 130
    waiting.add(Hint(b"/etc", b"passwd", 110))
    assert waiting.due(129) == [Due(b"/etc", frozenset({b"passwd"}), False)]
    assert waiting.due(130) == [EVERYTHING]
    waiting.add(Hint(b"/usr", b"a", 131))
    assert waiting.due(141) == [Due(b"/usr", frozenset({b"a"}), False)]


def test_a_policy_that_calls_everything_urgent_is_bounded_too() -> None:
    waiting = Settler(lambda path: True, SETTLE, MOST, in_all=5)
    for number in range(8):
        waiting.add(Hint(b"/%d" % number, b"x", 100))
    assert waiting.due(100) == [EVERYTHING]


def test_the_root_has_a_place() -> None:
    waiting = settler()
    waiting.add(Hint(b"/", b"", 100))
    waiting.add(Hint(b"/", b"usr", 100, deep=True))
    assert sorted(waiting.due(110)) == [
        Due(b"/", frozenset({b""}), False),
        Due(b"/", frozenset({b"usr"}), True),
    ]


folders = st.sampled_from([b"/", b"/usr", b"/usr/bin", b"/etc", b"/var/log"])
names = st.one_of(st.none(), st.sampled_from([b"a", b"b", b"c", b"d", b"passwd", b"\xff"]))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("hint"), folders, names, st.booleans(), st.integers(0, 15)),
        st.tuples(st.just("due"), st.integers(0, 15)),
    ),
    max_size=80,
)


def covers(due: Due, hint: Hint) -> bool:
    """Whether doing `due` looks at all that `hint` asks for."""
    if due == EVERYTHING:
        return True
    if due.folder != hint.folder:
        path = hint.folder if hint.name is None else join(hint.folder, hint.name)
        tops = (due.folder,) if due.names is None else tuple(join(due.folder, name) for name in due.names)
        return due.deep and any(under(path, top) for top in tops)
    return (due.names is None or hint.name in due.names) and (due.deep or not hint.deep)


@given(steps, st.integers(1, 4), st.integers(1, 8))
def test_no_hint_is_lost_or_late_and_memory_is_bounded(
    script: list[tuple[object, ...]], per_folder: int, in_all: int
) -> None:
    waiting = Settler(lambda path: path == b"/etc/passwd", SETTLE, MOST, per_folder, in_all)
    open_: list[Hint] = []
    now = 0

    def look() -> None:
        nonlocal open_
        announced = waiting.next_due()
        found = waiting.due(now)
        assert bool(found) == (announced is not None and announced <= now)
        open_ = [hint for hint in open_ if not any(covers(due, hint) for due in found)]
        assert all(now < hint.at + MOST for hint in open_), "a hint waits longer than it may"
        assert not any(hint.name == b"passwd" and hint.folder == b"/etc" for hint in open_)
        for due in found:
            assert due.names is None or 0 < len(due.names) <= per_folder

    for step in script:
        *what, elapsed = step
        assert isinstance(elapsed, int)
        now += elapsed
        if what[0] == "due":
            look()
        else:
            _, folder, name, deep = what
            assert isinstance(folder, bytes)
            assert name is None or isinstance(name, bytes)
            hint = Hint(folder, name, now, bool(deep))
            waiting.add(hint)
            open_.append(hint)
        assert len(waiting) <= 2 * in_all
        assert (waiting.next_due() is None) == (not open_) or waiting.next_due() is not None
    while (following := waiting.next_due()) is not None:
        now = max(now, following)
        look()
    assert open_ == []
    assert len(waiting) == 0


def test_a_storm_costs_microseconds_a_hint() -> None:
    waiting = Settler(never, SETTLE, MOST)
    hints = [Hint(b"/usr/%d" % (n % 50), b"%d" % (n % 7_000), n // 1_000) for n in range(100_000)]
    began = time.process_time()
    for hint in hints:
        waiting.add(hint)
        if hint.at % 20 == 0:
            waiting.due(hint.at)
    assert time.process_time() - began < 2.0
