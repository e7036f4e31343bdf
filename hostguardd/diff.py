"""(approved rows, one sweep) -> what differs. Pure, and the daemon's hottest loop.

The rule kept here: an unchanged scope costs one comparison of two lists, and nothing else is ever
built for it. A key that the sweep could not see is never reported as removed, and a value that is
not known (None) is never reported as changed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .fact import key_of
from .model import Drift, Fact, Row, Sweep

Pair = tuple[Row | None, Row | None]
"""(approved row, row seen now); None where there is none."""


def compare(approved: Sequence[Row], sweep: Sweep) -> list[Pair]:
    """The keys of one scope that are not as approved, in key order of the sweep, removed ones last.

    `approved` holds the scope's rows sorted by key, as wide as the sweep's (`fact.QUICK` fields or
    all); with `sweep.only` it must be limited to those keys.
    """
    if approved == sweep.rows:
        return []
    fact = sweep.fact
    left = {key_of(fact, row): row for row in approved}
    pairs: list[Pair] = []
    for row in sweep.rows:
        before = left.pop(key_of(fact, row), None)
        if before != row:
            pairs.append((before, row))
    pairs += [(row, None) for row in left.values() if not unseen(sweep, row)]
    return pairs


def unseen(sweep: Sweep, row: Row) -> bool:
    """Whether a row missing from the sweep lies in a part of it that could not be looked at."""
    return any(blind.covers(row[0], row[1]) for blind in sweep.blinds)


def changed(fact: type[Fact], before: Row, after: Row, ignore: Collection[str] = ()) -> tuple[str, ...]:
    """Names of the compared fields in which two full rows of the same key differ, in row order."""
    names = fact.columns()
    skip = fact.VOLATILE | fact.noise(before, after)
    return tuple(
        name
        for name, old, new in zip(names, before, after, strict=True)
        if old != new and old is not None and new is not None and name not in skip and name not in ignore
    )


def drift(fact: type[Fact], pair: Pair, ignore: Collection[str] = ()) -> Drift | None:
    """The drift of a pair of full rows, or None when they differ only in what is not compared."""
    before, after = pair
    if before is None or after is None:
        return Drift(
            fact,
            None if before is None else fact.of(before),
            None if after is None else fact.of(after),
            (),
        )
    names = changed(fact, before, after, ignore)
    return Drift(fact, fact.of(before), fact.of(after), names) if names else None


def apply(rows: Sequence[Row], drifts: Sequence[Drift]) -> list[Row]:
    """`rows` with every drift made true, sorted; what an approval does to a scope."""
    if not drifts:
        return list(rows)
    fact = drifts[0].fact
    table = {row[: len(fact.KEY)]: row for row in rows}
    for item in drifts:
        key = item.subject.row()[: len(fact.KEY)]
        if item.after is None:
            table.pop(key, None)
        else:
            table[key] = item.after.row()
    return [table[key] for key in sorted(table)]
