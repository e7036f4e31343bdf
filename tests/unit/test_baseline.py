"""Generations against a plain model of them: whatever is done in whatever order, both say the same."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hostguardd.errors import BaselineError, UsageError
from hostguardd.model import Blind, Fact, FileFact, ProcessFact, Row, SetIdFact, Value
from hostguardd.store.baseline import KEEP_CONTENT, Baseline
from tests.alerts import FILE, NOW, PROCESS, SETID
from tests.state import State, file, folder

Key: TypeAlias = tuple[type[Fact], Row]

NAMES = [b"a", b"b", b"\xff\n", b"c"]
KEYS: list[Key] = [
    *((FileFact, (where, name)) for where in (b"/etc", b"/etc/d", b"/etc-x") for name in NAMES),
    *((SetIdFact, (b"/", b"/bin/" + name)) for name in NAMES),
    *((ProcessFact, ("host", b"/sbin/" + name, uid, b"/init", b"")) for name in NAMES[:2] for uid in (0, 1)),
]
SAMPLES: dict[type[Fact], Fact] = {FileFact: FILE, SetIdFact: SETID, ProcessFact: PROCESS}


def row_of(key: Key, version: int) -> Row:
    fact, values = key
    varied = {FileFact: "size", SetIdFact: "size", ProcessFact: "instances"}[fact]
    return replace(SAMPLES[fact], **dict(zip(fact.KEY, values, strict=True)), **{varied: version}).row()


keys = st.sampled_from(KEYS)
versions = st.integers(1, 4)
tables = st.dictionaries(keys, versions, max_size=8)


class Generations(RuleBasedStateMachine):
    """The store and a model of it made of dictionaries."""

    @initialize(first=tables)
    def capture(self, first: dict[Key, int]) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.state = State(self.folder / "baseline.db")
        self.generations: dict[int, dict[Key, Row]] = {}
        self.digests: dict[int, str] = {}
        self.seen: dict[Key, Row | None] = {}
        self.at = NOW
        number = self.baseline.begin_capture()
        rows = {key: row_of(key, version) for key, version in first.items()}
        for fact in SAMPLES:
            mine = [row for (kind, _), row in rows.items() if kind is fact]
            self.baseline.add(number, fact, mine[::-1])
        assert self.baseline.current() is None, "not before it is finished"
        made = self.baseline.finish_capture(number, self.at, "test", "", reviewed=False)
        assert (made.number, made.facts, made.reviewed) == (1, len(rows), False)
        self.generations[1] = rows
        self.digests[1] = made.digest

    @property
    def baseline(self) -> Baseline:
        return self.state.baseline

    @property
    def last(self) -> int:
        return max(self.generations)

    @property
    def approved(self) -> dict[Key, Row]:
        return self.generations[self.last]

    @rule(key=keys, version=st.one_of(st.none(), versions))
    def note(self, key: Key, version: int | None) -> None:
        row = None if version is None else row_of(key, version)
        with self.state.database.transaction():
            self.baseline.note(*key, row)
        self.seen[key] = row

    @rule(key=keys)
    def forget(self, key: Key) -> None:
        with self.state.database.transaction():
            self.baseline.forget(*key)
        self.seen.pop(key, None)

    @rule(key=keys)
    def note_but_take_it_back(self, key: Key) -> None:
        try:
            with self.state.database.transaction():
                self.baseline.note(*key, row_of(key, 4))
                self.baseline.forget(*KEYS[0])
                raise BaselineError("on purpose")
        except BaselineError:
            pass  # nothing of it may remain

    def follow(self, rows: dict[Key, Row], number: int, digest: str, facts: int) -> None:
        assert number == self.last + 1
        assert facts == len(rows)
        self.generations[number] = rows
        self.digests[number] = digest

    def with_seen(self, chosen: set[Key]) -> dict[Key, Row]:
        rows = dict(self.approved)
        for key in chosen & self.seen.keys():
            row = self.seen[key]
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        return rows

    @rule()
    def approve_all(self) -> None:
        rows = self.with_seen(set(self.seen))
        made = self.baseline.approve(self.at, "test", "all")
        self.seen = {}
        self.follow(rows, made.number, made.digest, made.facts)

    @rule(chosen=st.lists(keys, max_size=4))
    def approve_some(self, chosen: list[Key]) -> None:
        rows = self.with_seen(set(chosen))
        made = self.baseline.approve(self.at, "test", "some", chosen)
        for key in chosen:
            self.seen.pop(key, None)
        self.follow(rows, made.number, made.digest, made.facts)

    @rule(scope=st.sampled_from([b"/etc", b"/etc/d"]))
    def approve_without_a_scope(self, scope: bytes) -> None:
        rows = self.with_seen(set(self.seen))
        rows = {key: row for key, row in rows.items() if not (key[0] is FileFact and row[0] == scope)}
        made = self.baseline.approve(self.at, "test", "", dropped=[(FileFact, scope)])
        self.seen = {}
        self.follow(rows, made.number, made.digest, made.facts)

    @rule(data=st.data())
    def rollback(self, data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(sorted(self.generations)))
        rows = dict(self.generations[target])
        made = self.baseline.rollback(target, self.at, "test", "back")
        assert made.digest == self.digests[target], "the same rows have the same digest"
        self.seen = {}
        self.follow(rows, made.number, made.digest, made.facts)

    @rule(keep=st.integers(1, 4))
    def prune(self, keep: int) -> None:
        gone = self.baseline.prune(keep)
        doomed = sorted(self.generations)[: max(0, len(self.generations) - 1 - keep)]
        assert gone == len(doomed)
        for number in doomed:
            del self.generations[number], self.digests[number]

    @rule()
    def open_again(self) -> None:
        self.state.close()
        self.state = State(self.state.path)
        assert self.baseline.discarded == 0

    @rule(first=tables)
    def a_capture_that_was_cut_off(self, first: dict[Key, int]) -> None:
        number = self.baseline.begin_capture()
        for (fact, values), version in first.items():
            self.baseline.add(number, fact, [row_of((fact, values), version)])
        self.state.close()
        self.state = State(self.state.path)
        assert self.baseline.discarded == len(first)

    @precondition(lambda self: len(self.generations) > 1)
    @rule(data=st.data())
    def diff(self, data: st.DataObject) -> None:
        numbers = st.sampled_from(sorted(self.generations))
        old, new = data.draw(numbers), data.draw(numbers)
        before, after = self.generations[old], self.generations[new]
        found = {
            (drift.fact, drift.subject.row()[: len(drift.fact.KEY)]): (
                drift.before.row() if drift.before else None,
                drift.after.row() if drift.after else None,
            )
            for drift in self.baseline.diff(old, new)
        }
        keys_ = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert found == {key: (before.get(key), after.get(key)) for key in keys_}

    @invariant()
    def both_say_the_same(self) -> None:
        current = self.baseline.current()
        assert current is not None
        assert current.number == self.last
        assert [g.number for g in self.baseline.history()] == sorted(self.generations)
        self.baseline.verify()
        for number, digest in self.digests.items():
            assert self.baseline.digest(number) == (digest, len(self.generations[number]))
        for fact in SAMPLES:
            scopes = {key[0] for kind, key in {*self.approved, *self.seen} if kind is fact}
            assert set(self.baseline.scopes(fact)) == scopes
            for scope in scopes:
                rows = sorted(r for (kind, k), r in self.approved.items() if kind is fact and k[0] == scope)
                assert self.baseline.rows(fact, scope) == rows
                assert self.baseline.rows(fact, scope, quick=True) == [row[: fact.QUICK] for row in rows]
                seen = {k: row for (kind, k), row in self.seen.items() if kind is fact and k[0] == scope}
                assert self.baseline.seen(fact, scope) == seen

    def teardown(self) -> None:
        if hasattr(self, "state"):
            self.state.close()
            shutil.rmtree(self.folder)


TestGenerations = Generations.TestCase
TestGenerations.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


# -- one by one ----------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = State(tmp_path / "baseline.db", [file(b"/etc/%02d" % n, size=n) for n in range(20)])
    yield made
    made.close()


def names(rows: object) -> list[bytes]:
    return [row[1] for row in rows]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("only", "span", "expected"),
    [
        (None, None, range(20)),
        ({b"05", b"03", b"nothing"}, None, [3, 5]),
        (set(), None, []),
        (None, (None, b"03"), [0, 1, 2]),
        (None, (b"17", None), [17, 18, 19]),
        (None, (b"08", b"10"), [8, 9]),
        (None, (b"\xff", None), []),
    ],
)
def test_a_scope_can_be_limited(
    state: State, only: set[Value] | None, span: tuple[Value, Value] | None, expected: list[int]
) -> None:
    wanted = [b"%02d" % number for number in expected]
    assert names(state.baseline.rows(FileFact, b"/etc", only, span)) == wanted
    for number in range(20):
        state.baseline.note(FileFact, (b"/etc", b"%02d" % number), None)
    assert sorted(names(state.baseline.seen(FileFact, b"/etc", only, span))) == wanted


def test_keys_of_several_fields_can_be_asked_for(tmp_path: Path) -> None:
    made = State(tmp_path / "x.db", [PROCESS, replace(PROCESS, uid=33)])
    key = (PROCESS.exe, 33, PROCESS.parent_exe, PROCESS.script)
    assert [row[2] for row in made.baseline.rows(ProcessFact, "host", {key})] == [33]  # type: ignore[arg-type]
    made.close()


def test_scopes_below_a_path(tmp_path: Path) -> None:
    made = State(tmp_path / "x.db", [file(p) for p in (b"/a/x", b"/a/b/x", b"/a/b/c/x", b"/ab/x", b"/a-b/x")])
    made.baseline.note(FileFact, (b"/a/new", b"x"), file(b"/a/new/x").row())
    assert sorted(made.baseline.scopes(FileFact, b"/a")) == [b"/a", b"/a/b", b"/a/b/c", b"/a/new"]  # type: ignore[type-var]
    assert sorted(made.baseline.scopes(FileFact, b"/a/b")) == [b"/a/b", b"/a/b/c"]  # type: ignore[type-var]
    assert len(made.baseline.scopes(FileFact, b"/")) == 6
    made.close()


def test_accepting_many_of_a_large_baseline_takes_a_moment(tmp_path: Path) -> None:
    made = State(tmp_path / "x.db")
    number = made.baseline.begin_capture()
    with made.database.transaction():
        made.baseline.add(number, FileFact, (file(b"/usr/%06d" % n).row() for n in range(50_000)))
    made.baseline.finish_capture(number, NOW, "", "", reviewed=True)
    chosen: list[Key] = [(FileFact, (b"/usr", b"%06d" % n)) for n in range(0, 50_000, 250)]
    with made.database.transaction():
        for fact, key in chosen:
            made.baseline.note(fact, key, None)
    began = time.process_time()
    made.baseline.approve(NOW, "", "", chosen)
    assert time.process_time() - began < 3.0  # 200 scans of the table would be some 4 s and more
    made.close()


def test_unknown_generations_are_named(state: State) -> None:
    with pytest.raises(UsageError, match=r"no generation 7 \(kept: 1\)"):
        state.baseline.rollback(7, NOW, "", "")
    with pytest.raises(UsageError, match="no generation 3"):
        list(state.baseline.diff(1, 3))


def test_nothing_is_approved_before_the_first(tmp_path: Path) -> None:
    made = State(tmp_path / "x.db")
    assert made.baseline.current() is None
    with pytest.raises(BaselineError, match="no approved baseline"):
        made.baseline.approve(NOW, "", "")
    made.close()


def test_what_could_not_be_seen_keeps_its_since(state: State) -> None:
    one, two = Blind("file", b"/a", "closed to us"), Blind("file", b"/b", "closed to us")
    other = Blind("setid", b"/a", "closed to us")
    state.baseline.set_blinds("file", [one], NOW)
    state.baseline.set_blinds("setid", [other], NOW)
    state.baseline.set_blinds("file", [one, two], NOW + 9)
    assert state.baseline.blinds_of("file") == [(one, NOW), (two, NOW + 9)]
    assert state.baseline.blinds() == [one, two, other]
    state.baseline.set_blinds("file", [], NOW)
    assert state.baseline.blinds() == [other]


def test_texts_are_kept_while_somebody_may_ask(state: State) -> None:
    base = state.baseline
    texts = {bytes([n]) * 32: b"text %d\n" % n for n in range(1, 4)}
    base.keep_content(texts.items())
    assert [base.content(digest) for digest in texts] == list(texts.values())
    assert base.content(None) is None
    assert base.content(b"\x09" * 32) is None
    base.keep_content([(b"\x08" * 32, b"x" * (KEEP_CONTENT + 1))])
    assert base.content(b"\x08" * 32) is None, "too large to keep"
    base.note(FileFact, (b"/etc", b"00"), file(b"/etc/00", sha256=b"\x02" * 32).row())
    base.forget_contents()
    kept = [digest[0] for digest in texts if base.content(digest)]
    assert kept == [1, 2], "what is approved, and what is seen"


def test_values_are_remembered(state: State) -> None:
    for value in (1, "text", b"\0\xff", None):
        state.baseline.remember("it", value)
        assert state.baseline.recall("it") == value
    assert state.baseline.recall("other") is None


def test_how_far_a_host_was_trusted_goes_with_its_generation(state: State) -> None:
    for number in (1, 2, 3):
        state.baseline.keep_trust(number, f"trust of {number}")
        state.baseline.approve(number, "a test", "")
    state.baseline.prune(1)
    kept = [one.number for one in state.baseline.history()]
    assert [state.baseline.trust(number) for number in (1, 2, 3)] == [
        f"trust of {number}" if number in kept else "" for number in (1, 2, 3)
    ]
    assert state.baseline.trust(1) == ""
    assert state.baseline.trust(3) == "trust of 3"


def test_a_folder_is_a_row_like_others(tmp_path: Path) -> None:
    made = State(tmp_path / "x.db", [folder(b"/etc/d"), file(b"/etc/d/x")])
    assert FileFact.is_folder(made.baseline.rows(FileFact, b"/etc")[0])
    made.close()
