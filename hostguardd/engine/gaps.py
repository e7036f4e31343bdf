"""When deeds were lost, so that nobody is named for a change of that time. By the wall clock."""

from __future__ import annotations

from typing import Final

from ..actors.model import Rung

MOST: Final = 64
"""Spans that are kept of a rung; of more, the oldest two become one, with what lies between them."""


class Gaps:
    """The spans of time in which a rung lost something."""

    def __init__(self) -> None:
        self._spans: dict[Rung, list[tuple[int, int]]] = {}

    def add(self, rung: Rung, begin: int, end: int) -> None:
        """Something was lost between the two; never earlier than what was added before."""
        spans = self._spans.setdefault(rung, [])
        if spans and begin <= spans[-1][1]:
            first, last = spans.pop()
            begin, end = min(begin, first), max(end, last)
        spans.append((begin, end))
        if len(spans) > MOST:
            spans[:2] = [(spans[0][0], spans[1][1])]

    def touch(self, rung: Rung, begin: int, end: int) -> bool:
        """Whether something may have been lost between the two."""
        return any(first <= end and begin <= last for first, last in self._spans.get(rung, ()))
