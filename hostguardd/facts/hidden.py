"""Facts about what one view of the host shows and another hides. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..fact import Fact


@dataclass(frozen=True, slots=True)
class HiddenFact(Fact):
    """One thing that is there and is kept out of a list: a healthy host has none.

    `view` is `processes`, `ports` or `files` (the scope); `name` is `pid 4711`, `tcp 31337` or a path.
    `detail` says which view shows it and which does not.
    """

    view: str
    name: bytes
    detail: bytes

    KIND: ClassVar[str] = "hidden"
    KEY: ClassVar[tuple[str, ...]] = ("view", "name")
    QUICK: ClassVar[int] = 3
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"detail"})

    @property
    def label(self) -> bytes:
        return self.view.encode() + b" " + self.name
