"""Changes that wait, one for each key: in the order in which they came, and found by scope."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..model import Fact, Row, Value, under
from .keeper import Change


class Held:
    """Changes in the order in which they came, one for each key, and found by scope."""

    def __init__(self) -> None:
        self._changes: dict[tuple[type[Fact], Row], Change] = {}
        self._keys: dict[tuple[type[Fact], Value], set[Row]] = {}
        self._since: dict[tuple[type[Fact], Row], int] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self._changes.values())

    def get(self, fact: type[Fact], key: Row) -> Change | None:
        """The change of a key."""
        return self._changes.get((fact, key))

    def since(self, change: Change) -> int:
        """When the first change of its key was put."""
        return self._since.get((change.fact, change.key), 0)

    def put(self, change: Change, now: int = 0) -> None:
        """Take a change, in place of an older one of the same key and behind all others."""
        self._since.setdefault((change.fact, change.key), now)
        self._changes.pop((change.fact, change.key), None)
        self._changes[change.fact, change.key] = change
        self._keys.setdefault((change.fact, change.key[0]), set()).add(change.key)

    def drop(self, change: Change) -> None:
        """It waits no longer."""
        del self._changes[change.fact, change.key]
        self._since.pop((change.fact, change.key), None)
        keys = self._keys[change.fact, change.key[0]]
        keys.discard(change.key)
        if not keys:
            del self._keys[change.fact, change.key[0]]

    def of(self, fact: type[Fact], scope: Value, below: bool) -> dict[Row, Change]:
        """The changes of a scope, or also of all scopes that are paths under it."""
        if below and isinstance(scope, bytes):
            places = [
                p for p in self._keys if p[0] is fact and isinstance(p[1], bytes) and under(p[1], scope)
            ]
        else:
            places = [(fact, scope)]
        return {key: self._changes[fact, key] for place in places for key in self._keys.get(place, ())}


def after(earlier: Change | None, change: Change) -> Change:
    """`change` in place of an `earlier` one: if it has nothing to tell, what that one had still stands."""
    if earlier is None or change.finding is not None or earlier.finding is None:
        return change
    return replace(
        change,
        finding=earlier.finding,
        event=earlier.event,
        contents={**earlier.contents, **change.contents},
        story=earlier.story,
    )


def onto(earlier: Change | None, change: Change) -> Change:
    """`change` in place of an `earlier` one that was not told yet."""
    change = after(earlier, change)
    if earlier is None:
        return change
    change = replace(change, untold=earlier.untold)
    before, now = earlier.finding, change.finding
    if before is None or now is None or before is now:
        return change
    if earlier.event == "opened" and change.event == "changed":  # never told: so it is new
        return replace(change, event="opened")
    if earlier.event == "cleared" and change.event == "opened":  # nor that it was over: it is the same one
        return replace(change, event="changed", finding=replace(now, first_seen=before.first_seen))
    if earlier.event != "cleared" and change.event == "cleared":
        return replace(change, untold=earlier.untold or ((before, earlier.event),))
    return change
