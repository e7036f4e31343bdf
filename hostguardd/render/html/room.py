"""How much of a page is left. Pure.

The rule kept: what counts is what a text is long when it is escaped, as an intruder may take names of
nothing but quotation marks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from markupsafe import escape

LONG: Final = 600
SHORT: Final = 240
"""Characters of a text up to which it is shown."""

Anything = TypeVar("Anything")


def cut(text: object, most: int = LONG) -> str:
    """A text as far as anybody reads it."""
    said = str(text)
    return said if len(said) <= most else f"{said[: most - 1]}…"


class Room:
    """A part of the page, in characters of the file."""

    def __init__(self, characters: int) -> None:
        self.left = characters

    def fits(self, frame: int, *texts: str) -> bool:
        """Whether `texts` within `frame` characters of HTML have room; if so, it is taken."""
        needed = frame + sum(len(escape(text).encode()) for text in texts)
        if needed > self.left:
            return False
        self.left -= needed
        return True

    def of(
        self, things: Iterable[Anything], frame: int, texts: Callable[[Anything], Iterable[str]]
    ) -> list[Anything]:
        """The first of `things`, as many as have room."""
        kept = []
        for thing in things:
            if not self.fits(frame, *texts(thing)):
                break
            kept.append(thing)
        return kept
