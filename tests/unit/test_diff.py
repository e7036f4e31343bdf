"""What differs: the properties that everything else relies on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hostguardd.diff import Pair, apply, changed, compare, drift
from hostguardd.fact import key_of
from hostguardd.model import (
    Action,
    Blind,
    Depth,
    Fact,
    FileFact,
    ListenerFact,
    ProcessFact,
    Row,
    SetIdFact,
    Sweep,
    Value,
)
from tests.alerts import FILE, LISTENER, PROCESS, SETID

FOLDER = b"/etc"
digests = st.one_of(st.none(), st.sampled_from([b"", b"\x01" * 32, b"\x02" * 32]))
files = st.builds(
    lambda name, mode, size, inode, digest, unstable: replace(
        FILE, folder=FOLDER, name=name, mode=mode, size=size, inode=inode, sha256=digest, unstable=unstable
    ).row(),
    st.sampled_from([b"a", b"b", b"c", b"\xff\n", b"zz"]),
    st.sampled_from([0o100644, 0o104755, 0o040755, 0o120777]),
    st.integers(0, 3),
    st.integers(1, 3),
    digests,
    st.sampled_from([0, 0, 0, 1]),
)


def table(rows: list[Row], width: int = 2) -> list[Row]:
    """Rows sorted, one for each key."""
    return [row for _, row in sorted({row[:width]: row for row in rows}.items())]


tables = st.lists(files, max_size=6).map(table)
scopes = st.sampled_from([b"/etc", b"/etc/a", b"/etc/b", b"/", b"/var", b"*"])
blinds = st.lists(scopes.map(lambda scope: Blind("file", scope, "no")), max_size=2).map(tuple)


def sweep(rows: list[Row], *, fact: type[Fact] = FileFact, scope: Value = FOLDER, **more: Any) -> Sweep:
    return Sweep(fact, scope, Depth.FULL, rows, **more)


def key(pair: Pair) -> Row:
    row = pair[1] or pair[0]
    assert row is not None
    return row[:2]


@given(tables, blinds)
def test_nothing_differs_from_itself(rows: list[Row], unseen: tuple[Blind, ...]) -> None:
    assert compare(rows, sweep(list(rows), blinds=unseen)) == []
    assert all(drift(FileFact, (row, row)) is None for row in rows)


@given(tables, tables)
def test_applying_the_drift_gives_what_was_seen(before: list[Row], after: list[Row]) -> None:
    pairs = compare(before, sweep(after))
    exact = [
        found
        for pair in pairs
        if (found := drift(FileFact, pair)) is not None
    ]  # fmt: skip
    told = {found.subject.row()[:2] for found in exact}
    result = {row[:2]: row for row in apply(before, exact)}
    wanted = {row[:2]: row for row in after}
    assert result.keys() == wanted.keys()
    for name, row in wanted.items():
        if name in told:
            assert result[name] == row
        else:  # they differ in nothing that is compared
            assert drift(FileFact, (result[name], row)) is None


@given(tables, tables)
def test_every_key_that_differs_is_told_once(before: list[Row], after: list[Row]) -> None:
    pairs = compare(before, sweep(after))
    keys = [key(pair) for pair in pairs]
    assert len(keys) == len(set(keys))
    assert set(keys) == {row[:2] for row in {*before} ^ {*after}}
    added_or_changed = [key(pair) for pair in pairs if pair[1] is not None]
    assert added_or_changed == sorted(added_or_changed)


@given(tables, tables, blinds)
def test_what_could_not_be_seen_is_never_removed(
    before: list[Row], after: list[Row], unseen: tuple[Blind, ...]
) -> None:
    for old, new in compare(before, sweep(after, blinds=unseen)):
        if new is None:
            assert old is not None
            assert not any(blind.covers(old[0], old[1]) for blind in unseen)


@given(tables, tables, blinds)
def test_a_blind_hides_nothing_that_was_seen(
    before: list[Row], after: list[Row], unseen: tuple[Blind, ...]
) -> None:
    there = [pair for pair in compare(before, sweep(after)) if pair[1] is not None]
    assert [pair for pair in compare(before, sweep(after, blinds=unseen)) if pair[1] is not None] == there


@given(files, files)
def test_what_is_not_known_never_changed(before: Row, after: Row) -> None:
    names = FileFact.columns()
    for name in changed(FileFact, before, after):
        at = names.index(name)
        assert before[at] is not None
        assert after[at] is not None
        assert before[at] != after[at]


@given(files, files, st.frozensets(st.sampled_from(FileFact.columns())))
def test_what_is_left_out_never_changed(before: Row, after: Row, ignore: frozenset[str]) -> None:
    with_all = changed(FileFact, before, after)
    assert changed(FileFact, before, after, ignore) == tuple(n for n in with_all if n not in ignore)


@given(files, files)
def test_drift_has_both_sides_and_a_direction(before: Row, after: Row) -> None:
    forth, back = drift(FileFact, (before, after)), drift(FileFact, (after, before))
    if not before[15] and not after[15]:
        assert (forth is None) == (back is None)
    if forth is not None:
        assert (forth.before, forth.after) == (FileFact.of(before), FileFact.of(after))
        assert forth.action is Action.CHANGED
    added = drift(FileFact, (None, after))
    assert added is not None
    assert added.action is Action.ADDED


def test_volatile_fields_are_no_drift() -> None:
    other = replace(LISTENER, pid=1, started=1, inode=1, port=1)
    assert drift(ListenerFact, (LISTENER.row(), other.row())) is None
    found = drift(ListenerFact, (LISTENER.row(), replace(other, exe=b"/tmp/other").row()))
    assert found is not None
    assert found.changed == ("exe",)


def test_what_became_unreadable_is_no_drift() -> None:
    assert drift(FileFact, (FILE.row(), replace(FILE, sha256=None, xattrs=None, flags=None).row())) is None


def test_the_key_within_a_scope() -> None:
    assert key_of(FileFact, FILE.row()) == b"passwd"
    assert key_of(SetIdFact, SETID.row()) == b"/tmp/.x"
    assert key_of(ListenerFact, LISTENER.row()) == b"0.0.0.0:4444"
    assert key_of(ProcessFact, PROCESS.row()) == (b"/usr/sbin/inetd", 0, b"/usr/lib/systemd/systemd", b"")


def test_keys_of_several_fields() -> None:
    other = replace(PROCESS, uid=33)
    pairs = compare(
        table([PROCESS.row(), other.row()], 5),
        sweep([replace(other, exe=b"/x").row()], fact=ProcessFact, scope="host"),
    )
    assert [(before and before[1:3], after and after[1:3]) for before, after in pairs] == [
        (None, (b"/x", 33)),
        ((b"/usr/sbin/inetd", 0), None),
        ((b"/usr/sbin/inetd", 33), None),
    ]


def test_quick_rows_are_compared_with_quick_rows() -> None:
    quick = FILE.row()[: FileFact.QUICK]
    moved = replace(FILE, mtime=5).row()[: FileFact.QUICK]
    assert compare([quick], sweep([quick])) == []
    assert compare([quick], sweep([moved])) == [(quick, moved)]


def test_nothing_to_apply() -> None:
    assert apply([FILE.row()], []) == [FILE.row()]
