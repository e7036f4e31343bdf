"""Findings: what is open, under which id, and what is remembered of those that are closed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.model import FileFact, Finding, Severity
from hostguardd.store import findings as room
from hostguardd.store.findings import ACCEPTED, CLEARED, OPEN, key_blob, pack, unpack
from tests.alerts import FILE, LISTENER, NOW, PROCESS, SETID, finding
from tests.state import State, file


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = State(tmp_path / "baseline.db", [])
    yield made
    made.close()


def about(path: bytes, severity: Severity = Severity.HIGH, name: str = "f1", at: int = NOW) -> Finding:
    return replace(finding(None, file(path), severity, name), first_seen=at)


values = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=20), st.text(max_size=5))


@given(st.lists(values, max_size=5).map(tuple))
def test_rows_come_back(row: tuple[object, ...]) -> None:
    assert unpack(pack(row)) == row  # type: ignore[arg-type]
    assert unpack(pack(None)) is None


@given(st.lists(values, max_size=3).map(tuple), st.lists(values, max_size=3).map(tuple))
def test_keys_are_told_apart(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    same = one == other and [type(value) for value in one] == [type(value) for value in other]
    assert (key_blob(one) == key_blob(other)) is same  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "one",
    [
        finding(None, FILE, Severity.CRITICAL, "a", "-x\n+y"),
        finding(FILE, None, Severity.LOW, "b"),
        finding(FILE, replace(FILE, uid=7, target=None), Severity.HIGH, "c"),
        finding(None, LISTENER, Severity.INFO, "d"),
        finding(PROCESS, replace(PROCESS, instances=4), Severity.MEDIUM, "e"),
        finding(SETID, replace(SETID, caps=b"\xff\0"), Severity.MEDIUM, "f"),
    ],
    ids=lambda one: one.id,
)
def test_a_finding_comes_back_as_it_was(state: State, one: Finding) -> None:
    state.findings.put(one)
    assert state.findings.get(one.id) == (one, OPEN)
    key = one.drift.subject.row()[: len(one.drift.fact.KEY)]
    assert state.findings.of_key(one.drift.fact, key) == one
    assert list(state.findings.open()) == [one]


def test_the_loudest_and_oldest_first(state: State) -> None:
    made = [
        about(b"/a", Severity.LOW, "a", NOW + 1),
        about(b"/b", Severity.CRITICAL, "b", NOW + 3),
        about(b"/c", Severity.CRITICAL, "c", NOW + 2),
        about(b"/d", Severity.INFO, "d", NOW),
    ]
    for one in made:
        state.findings.put(one)
    assert [one.id for one in state.findings.open()] == ["c", "b", "a", "d"]
    assert [one.id for one in state.findings.open(Severity.LOW)] == ["c", "b", "a"]
    assert state.findings.counts() == {Severity.CRITICAL: 2, Severity.LOW: 1, Severity.INFO: 1}


@pytest.mark.parametrize("status", [ACCEPTED, CLEARED])
def test_closed_is_remembered_but_not_open(state: State, status: str) -> None:
    one = about(b"/a")
    state.findings.put(one)
    state.findings.close(one.id, status, NOW)
    assert list(state.findings.open()) == []
    assert state.findings.counts() == {}
    assert state.findings.of_key(FileFact, (b"/", b"a")) is None
    assert state.findings.get(one.id) == (one, status)
    state.findings.close(one.id, "other", NOW)
    assert state.findings.get(one.id) == (one, status), "what is closed stays as it was closed"


def test_all_at_once(state: State) -> None:
    for name in (b"a", b"b"):
        state.findings.put(about(b"/" + name, name=name.decode()))
    state.findings.close_all(ACCEPTED, NOW)
    assert list(state.findings.open()) == []


def test_an_id_is_the_same_until_it_is_closed(state: State) -> None:
    key = (b"/etc", b"passwd")
    first = state.findings.identify(FileFact, key, 1)
    assert state.findings.identify(FileFact, key, 1) == first
    assert state.findings.identify(FileFact, (b"/etc", b"group"), 1) != first
    assert state.findings.identify(FileFact, key, 2) != first
    state.findings.put(about(b"/etc/passwd", name=first))
    assert state.findings.identify(FileFact, key, 1) == first
    state.findings.close(first, CLEARED, NOW)
    assert state.findings.identify(FileFact, key, 1) != first


def test_an_id_is_never_given_out_twice_though_old_ones_are_forgotten(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "KEEP_CLOSED", 3)
    ids: list[str] = []
    for number in range(12):
        ids.append(state.findings.identify(FileFact, (b"/etc", b"passwd"), 1))
        state.findings.put(about(b"/etc/passwd", name=ids[-1]))
        state.findings.close(ids[-1], CLEARED, NOW + number)
        state.findings.prune()
    assert len(set(ids)) == 12


def test_only_the_newest_closed_ones_are_kept(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "KEEP_CLOSED", 5)
    for number in range(10):
        state.findings.put(about(b"/%d" % number, name=str(number)))
        if number:
            state.findings.close(str(number), ACCEPTED, NOW + number)
    state.findings.prune()
    kept = [number for number in range(10) if state.findings.get(str(number))]
    assert kept == [0, 5, 6, 7, 8, 9], "open ones are never forgotten"
