"""What is shown of a report: the worst in full, the rest as rows, and of what is too much only how much.
Pure.

The rule kept: an intruder can make a million names, each as long as a name may be. Every text is cut where it
stops being read, every check has its share of the page, and the worst come first in it. The JSON has it all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from ..alike import alike, apart
from ..trees import Node, is_tree, natural, pruned, tree
from .room import LONG, SHORT, Room, cut
from .timeline import Clock, timeline

Data: TypeAlias = Mapping[str, Any]

SHARE: Final = 1_800_000
"""Characters for the rows of all checks together."""

FULL: Final = 1_000_000
"""Characters for what is told in full."""

ASIDE: Final = 200_000
"""Characters for what was not looked at, and as many for what to ask."""

CARDS: Final = 150
"""Suspicious things that are told in full, and as many notable ones."""

ODD_ROWS: Final = 400
FINE_ROWS: Final = 200
TREE: Final = 1200
QUESTIONS: Final = 20
ALIKE: Final = 6
"""Items of one card that are not folded away."""

EVIDENCE: Final = 4

COLUMNS: Final = 4
"""Details that get a column of their own in a check's table."""

NARROW: Final = 26
"""Characters on average up to which a detail fits one."""

GROUPS: Final = (
    ("Since the baseline", ("drift", "alerts")),
    ("Who was here", ("sessions", "logins", "refusals", "switches", "accounts", "histories")),
    ("What runs", ("processes", "rootkit", "hidden", "probes")),
    ("The network", ("listeners", "connections")),
    (
        "Files and settings",
        ("settings", "folders", "packages", "unowned", "setid", "names", "strays", "recent"),
    ),
    ("Logs and reboots", ("reboots", "garbled", "logging")),
)
"""Where a check is shown; one that is not named here comes under `OTHERS`."""

OTHERS: Final = "More"

TIMES: Final = frozenset(
    {"at", "since", "began", "ended", "first", "last", "changed", "modified", "installed"}
)
"""Details that are seconds since the epoch, where they are numbers."""

MARKS: Final = {"fine": "✓", "could not look": "?", "notable": "!", "suspicious": "✕"}
"""Verdict -> the sign before its word."""

VERDICTS: Final = {
    "fine": "Fine",
    "could not look": "Not all was seen",
    "notable": "Notable",
    "suspicious": "Suspicious",
}
"""Verdict -> what the whole host is called for it."""


class Seat(NamedTuple):
    """An item in a check's table: `cells` in its columns, `rest` the details without one, `card` where it is
    told in full (0: nowhere)."""

    item: Data
    says: str
    cells: list[str]
    rest: list[tuple[str, str]]
    card: int


class Branch(NamedTuple):
    """A node of a tree. `opens`: a list begins before it; `leaf`: nothing hangs under it; `closes` lists end
    behind it; `end`: it is the last of all."""

    node: Node
    seat: Seat
    opens: bool
    leaf: bool
    closes: int
    end: bool


class Page(NamedTuple):
    """One check. `sourced`: any of its seats has evidence; `hidden` items have none; `looked` at in all."""

    number: int
    check: Data
    columns: list[str]
    seats: list[Seat]
    branches: list[Branch]
    hidden: int
    looked: int
    opened: bool
    sourced: bool


def page(report: Data) -> dict[str, Any]:
    """The variables of the template."""
    clock = Clock(report["look"]["zone"])
    full = Room(FULL)
    suspicious = full.of(_worst(report, "suspicious"), 1400, _told)
    notable = full.of(_worst(report, "notable"), 1400, _told)
    cards = {id(item): number for number, (_, item) in enumerate([*suspicious, *notable], 1)}
    pages = _pages(report["checks"], cards, clock)
    return {
        "report": report,
        "clock": clock,
        "marks": MARKS,
        "verdicts": VERDICTS,
        "cut": cut,
        "label": label,
        "suspicious": suspicious,
        "notable": notable,
        "alike": alike,
        "unfolded": ALIKE,
        "apart": apart,
        "number": lambda item: cards[id(item)],
        "found": {word: sum(check["counts"][word] for check in report["checks"]) for word in MARKS},
        "groups": _grouped(pages),
        "places": {one.check["name"]: one.number for one in pages},
        "titles": {check["name"]: check["title"] for check in report["checks"]},
        "timeline": timeline(report["timeline"]["moments"], report["look"]["ended"], clock),
        "blind": Room(ASIDE).of(
            report["unseen"], 600, lambda one: _cuts(one["scope"], one["reason"], one["remedy"])
        ),
        "asked": Room(ASIDE).of(
            report["ask"], 200, lambda one: _cuts(one["account"], *one["questions"][:QUESTIONS])
        ),
    }


def label(name: str) -> str:
    """The name of a detail as a heading."""
    return cut(name.replace("_", " "), 40)


def value(name: str, found: object, clock: Clock) -> str:
    """A detail as text."""
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, list | tuple):
        return ", ".join(value(name, one, clock) for one in found)
    if isinstance(found, int | float) and name in TIMES and found >= 1e8:
        return clock.of(found)
    return "" if found is None else str(found)


def _worst(report: Data, verdict: str) -> list[tuple[Data, Data]]:
    """(check, item) of what is told in full: one of each check before a second one of any."""
    lists = [
        [(check, item) for item in check["items"] if item["verdict"] == verdict] for check in report["checks"]
    ]
    deepest = min(CARDS, max(map(len, lists), default=0))
    turns = [pair for turn in range(deepest) for one in lists for pair in one[turn : turn + 1]]
    return turns[:CARDS]


def _cuts(*texts: str) -> list[str]:
    return [cut(text) for text in texts]


def _told(pair: tuple[Data, Data]) -> Iterator[str]:
    """What a card says."""
    item = pair[1]
    yield from _cuts(item["name"], item["says"], item["means"], item["next"])
    for one in item["evidence"][:EVIDENCE]:
        yield from (cut(one["source"], SHORT), cut(one["text"], SHORT))


def _grouped(pages: Sequence[Page]) -> list[tuple[str, list[Page]]]:
    groups: dict[str, list[Page]] = {title: [] for title in (*(title for title, _ in GROUPS), OTHERS)}
    group_of = {name: title for title, names in GROUPS for name in names}
    for one in pages:
        groups[group_of.get(one.check["name"], OTHERS)].append(one)
    return [(title, several) for title, several in groups.items() if several]


def _pages(checks: Sequence[Data], cards: Mapping[int, int], clock: Clock) -> list[Page]:
    share = SHARE // max(1, len(checks))
    return [_page(number, check, cards, Room(share), clock) for number, check in enumerate(checks, 1)]


def _page(number: int, check: Data, cards: Mapping[int, int], room: Room, clock: Clock) -> Page:
    items = check["items"]
    as_tree = is_tree(items)
    columns = [] if as_tree else _columns(items, clock)
    seats: list[Seat] = []
    odd = fine = 0
    for item in pruned(items, TREE) if as_tree else items:
        if item["verdict"] != "fine":
            odd += 1
        else:
            fine += 1
        if not as_tree and (odd > ODD_ROWS or fine > FINE_ROWS):
            break
        seat = _seat(item, columns, cards.get(id(item), 0), clock)
        if not room.fits(900 + 120 * (len(seat.cells) + len(seat.rest)), *_written(seat)):
            break
        seats.append(seat)
    branches: list[Branch] = []
    if as_tree:
        branches, seats = _branches(seats), []
    return Page(
        number,
        check,
        columns,
        seats,
        branches,
        len(items) - len(seats) - len(branches) + check["more"],
        sum(check["counts"].values()),
        check["verdict"] == "suspicious",
        any(seat.item["evidence"] for seat in seats),
    )


def _columns(items: Sequence[Data], clock: Clock) -> list[str]:
    """The details most items have, where they are short and say more than the name does."""
    there: Counter[str] = Counter()
    length: Counter[str] = Counter()
    for item in items:
        for name, found in item["details"].items():
            if name != "ask" and not isinstance(found, list):
                there[name] += 1
                length[name] += len(value(name, found, clock))
    fitting = [
        name for name, number in there.items() if number * 2 > len(items) and length[name] <= number * NARROW
    ]
    return fitting[:COLUMNS]


def _seat(item: Data, columns: Sequence[str], card: int, clock: Clock) -> Seat:
    details = item["details"]
    return Seat(
        item,
        "" if item["says"].rstrip(".") == item["name"] else cut(apart(item), SHORT if card else LONG),
        [cut(value(name, details.get(name), clock), 120) for name in columns],
        [
            (label(name), cut(value(name, found, clock), SHORT))
            for name, found in list(details.items())[:12]
            if name not in columns and name != "ask" and value(name, found, clock)
        ],
        card,
    )


def _written(seat: Seat) -> Iterator[str]:
    """What a seat says."""
    yield from (cut(seat.item["name"], SHORT), seat.says, *seat.cells, *(found for _, found in seat.rest))
    for one in seat.item["evidence"][:EVIDENCE]:
        yield from (cut(one["source"], SHORT), cut(one["text"], SHORT))


def _branches(seats: Sequence[Seat]) -> list[Branch]:
    of = {id(seat.item): seat for seat in seats}
    nodes = list(tree(sorted((seat.item for seat in seats), key=natural)))
    branches = []
    depth = -1
    for number, node in enumerate(nodes, 1):
        end = number == len(nodes)
        after = -1 if end else nodes[number].depth
        closes = max(0, node.depth - after)
        branches.append(Branch(node, of[id(node.item)], node.depth > depth, after <= node.depth, closes, end))
        depth = node.depth
    return branches
