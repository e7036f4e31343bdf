"""Which keys of the package manager are believed: in memory, and from one start to the next in the state
database, beside the baseline.

The rules kept here: a key is believed only when it was told, and from the next transaction on; but those that
are there when nothing was ever noted, which are as good as what is approved then. What is damaged believes
none, so that each is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from ..errors import StoreError
from .judged import Notes

NOTE: Final = "packages.keys"


class Keyring:
    """The names of keys, each by what it holds."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._believed = _recalled(notes)
        self._told: set[str] = set()

    @property
    def believed(self) -> list[str] | None:
        """None where that was never noted."""
        return None if self._believed is None else sorted(self._believed)

    def untold(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Those of some new ones that were not told yet."""
        return tuple(key for key in keys if key not in self._told)

    def tell(self, keys: Iterable[str]) -> None:
        """They were told."""
        self._told.update(keys)

    def renew(self, there: Iterable[str]) -> None:
        """What was told counts from now on, if it is still there; what is gone is new when it comes back."""
        known = frozenset(there)
        if self._believed is not None:
            known &= self._believed | self._told
        self._told.clear()
        if known != self._believed:
            self._believed = known
            with suppress(StoreError):  # a full disk: then they are told once more after the next start
                self._notes.remember(NOTE, json.dumps(sorted(known)))


def _recalled(notes: Notes) -> frozenset[str] | None:
    note = notes.recall(NOTE)
    if note is None:
        return None
    try:
        found = json.loads(note if isinstance(note, str) else "")
    except (ValueError, RecursionError):
        return frozenset()
    return frozenset(map(str, found)) if isinstance(found, list) else frozenset()
