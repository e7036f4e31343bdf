"""Items of which the same is to be said: one explanation for all of them. Pure.

Thirty hidden folders under thirty times the same sentence are read by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

Data: TypeAlias = Mapping[str, Any]

WORDS: Final = 3
"""How often a name is looked for, each time without its first word."""


class Alike(NamedTuple):
    """Items of one check that mean the same."""

    check: Data
    items: list[Data]

    @property
    def next(self) -> str:
        """What to do about all of them, "" if that is not the same for each."""
        first = str(self.items[0]["next"])
        return first if all(item["next"] == first for item in self.items) else ""


def alike(found: Iterable[tuple[Data, Data]]) -> list[Alike]:
    """(check, item) put together, in the order in which each sort comes first."""
    sorts: dict[tuple[str, str], Alike] = {}
    for check, item in found:
        sorts.setdefault((check["name"], item["means"]), Alike(check, [])).items.append(item)
    return list(sorts.values())


def apart(item: Data) -> str:
    """What is said of an item, for where its name stands already: without that name, or the end of it (`pid 7
    /bin/x` runs as root, and says so of /bin/x)."""
    said, name = str(item["says"]), str(item["name"])
    for _ in range(WORDS):
        rest = said.removeprefix(name)
        if rest and rest != said and rest[0] in " :,;":
            return rest.lstrip(" :,;") or said
        name = name.partition(" ")[2] or name
    return said
