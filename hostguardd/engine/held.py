"""Changes that wait, one for each key: in the order in which they came, and found by scope."""

from __future__ import annotations

from collections.abc import Iterator

from ..model import Fact, Row, Value, under
from .keeper import Change


class Held:
    """Changes in the order in which they came, one for each key, and found by scope."""

    def __init__(self) -> None:
        self._changes: dict[tuple[type[Fact], Row], Change] = {}
        self._keys: dict[tuple[type[Fact], Value], set[Row]] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def __iter__(self) -> Iterator[Change]:
        return iter(self._changes.values())

    def get(self, fact: type[Fact], key: Row) -> Change | None:
        """The change of a key."""
        return self._changes.get((fact, key))

    def put(self, change: Change) -> None:
        """Take a change, in place of an older one of the same key and behind all others."""
        self._changes.pop((change.fact, change.key), None)
        self._changes[change.fact, change.key] = change
        self._keys.setdefault((change.fact, change.key[0]), set()).add(change.key)

    def drop(self, change: Change) -> None:
        """It waits no longer."""
        del self._changes[change.fact, change.key]
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
