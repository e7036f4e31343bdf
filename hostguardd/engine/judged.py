"""What was known of package managers when they were judged last: a note that survives a restart. One that is
damaged says nothing."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Final, NamedTuple, Protocol, Self

from ..errors import StoreError
from ..model import Value

NOTE: Final = "packages"


class Notes(Protocol):
    """Small values that survive a restart."""

    def recall(self, name: str) -> Value: ...

    def remember(self, name: str, value: Value) -> None: ...


class Known(NamedTuple):
    """How their records stood, when the transactions were that were told of, and when that was (seconds since
    the epoch); until when the clock is in doubt (nanoseconds)."""

    marks: tuple[tuple[str, int], ...] = ()
    spans: tuple[tuple[float, float], ...] = ()
    at: float = 0.0
    doubtful: int = 0

    @classmethod
    def recall(cls, notes: Notes) -> Self | None:
        """None if nothing was ever noted."""
        note = notes.recall(NOTE)
        if note is None:
            return None
        try:
            marks, spans, at, *more = json.loads(note if isinstance(note, str) else "")
            return cls(
                tuple((str(path), int(mtime)) for path, mtime in marks),
                tuple((float(begin), float(end)) for begin, end in spans),
                float(at),
                int(more[0]) if more else 0,
            )
        except (ValueError, TypeError, OverflowError, RecursionError):
            return cls()

    def remember(self, notes: Notes) -> None:
        """Note it."""
        with suppress(StoreError):  # a full disk: then it is asked once more after the next start
            notes.remember(NOTE, json.dumps(self))
