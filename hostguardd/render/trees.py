"""Items that hang under one another, as a tree that can be drawn. Pure.

The rule kept: every item comes exactly once, whatever the names of parents say: that of nobody makes a root,
a circle is cut where it was entered, and no depth is deeper than can be drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

Data: TypeAlias = Mapping[str, Any]

DEEPEST: Final = 24
"""Levels that are drawn; what hangs deeper is drawn there."""

_DIGITS = re.compile("([0-9]+)")


class Node(NamedTuple):
    """An item at a depth from 0. `last`: no sibling comes after it."""

    depth: int
    item: Data
    last: bool


def is_tree(items: Iterable[Data]) -> bool:
    """Whether any of them hangs under another."""
    return any(item["parent"] for item in items)


def tree(items: Sequence[Data]) -> Iterator[Node]:
    """Depth first, children in the order in which they are given."""
    names = {item["name"] for item in items}
    below: dict[str, list[int]] = {}
    roots: list[int] = []
    for number, item in enumerate(items):
        parent = item["parent"]
        if parent in names and parent != item["name"]:
            below.setdefault(parent, []).append(number)
        else:
            roots.append(number)
    known = set(roots)
    drawn = [False] * len(items)
    opened: set[str] = set()
    # What is in a circle hangs under no root: it begins where it is met.
    for start in (roots, [number for number in range(len(items)) if number not in known]):
        waiting = [(number, 0) for number in reversed(start)]
        while waiting:
            number, depth = waiting.pop()
            if drawn[number]:
                continue
            drawn[number] = True
            item = items[number]
            children = [] if item["name"] in opened else below.get(item["name"], [])
            opened.add(item["name"])
            after = waiting[-1] if waiting else None
            yield Node(depth, item, after is None or after[1] < depth)
            waiting += [(child, min(depth + 1, DEEPEST)) for child in reversed(children) if not drawn[child]]


def pruned(items: Sequence[Data], most: int) -> list[Data]:
    """Up to `most` of them in their order: those that are not fine first, and what they hang under."""
    if len(items) <= most:
        return list(items)
    by_name = {item["name"]: item for item in items}
    kept: dict[str, None] = {}
    for item in sorted(items, key=lambda one: one["verdict"] == "fine"):
        chain: list[str] = []
        name = item["name"]
        while name in by_name and name not in kept and name not in chain:
            chain.append(name)
            name = by_name[name]["parent"]
        if len(kept) + len(chain) > most:
            break
        kept.update(dict.fromkeys(chain))
    return [item for item in items if item["name"] in kept]


def natural(item: Data) -> list[tuple[int, str]]:
    """Orders names as people do: `pid 9` before `pid 10`."""
    pieces = _DIGITS.split(item["name"][:200])
    return [(int(piece) if n % 2 else 0, "" if n % 2 else piece) for n, piece in enumerate(pieces)]
