"""Moments as marks in lanes, one lane for each kind and one picture for each period. Pure.

The rule kept: a picture is as large as its pixels allow, not as there are moments. Moments that fall onto
one mark are counted, and the worst of them says how it looks; whatever is suspicious is also in the table
beneath.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from ..moments import runs_of
from .room import SHORT, Room, cut

Data: TypeAlias = Mapping[str, Any]

MARKS: Final = 150
"""Marks side by side."""

UNIT: Final = 4
"""Their distance, in units of the picture."""

HEIGHTS: Final = {"fine": 8, "could not look": 8, "notable": 14, "suspicious": 22}
LANE: Final = 24

ROWS: Final = 1000
"""Lines of the table."""

TABLE: Final = 700_000
"""Characters for it, and for what is said of marks."""

SAID: Final = 350_000

RANK: Final = {"fine": 0, "could not look": 1, "notable": 2, "suspicious": 3}

PERIODS: Final = (
    ("hour", "Last hour", 3600),
    ("day", "Last day", 86400),
    ("week", "Last week", 604800),
    ("all", "All", 0),
)
"""Name, title, length in seconds before the look ended."""

KINDS: Final = {
    "login": "Logins", "refusal": "Refusals", "switch": "Switches", "account": "Accounts",
    "reboot": "Reboots", "process": "Processes", "listener": "Ports", "file": "Files",
    "package": "Packages", "history": "Histories", "log": "Logs", "alert": "Alerts",
}  # fmt: skip
"""Kind -> title, in the order of the lanes."""


class Clock:
    """Times as the host's clock would show them. `zone` is in seconds east of UTC."""

    def __init__(self, zone: int) -> None:
        self._shift = timedelta(seconds=zone)
        hours, minutes = divmod(abs(zone) // 60, 60)
        self.name = f"UTC{'-' if zone < 0 else '+'}{hours:02d}:{minutes:02d}" if zone else "UTC"

    def show(self, at: str) -> str:
        """Date and time of a report's time."""
        return self.of(seconds(at))

    def of(self, at: float) -> str:
        """The same of seconds since the epoch."""
        try:
            return f"{datetime.fromtimestamp(at, UTC) + self._shift:%Y-%m-%d %H:%M:%S}"
        except (OverflowError, ValueError, OSError):
            return "-"


def seconds(at: str) -> float:
    """A report's time in seconds since the epoch."""
    return datetime.fromisoformat(at).timestamp()


class Mark(NamedTuple):
    """A rectangle. `look` is a class of the style sheet, `says` what it stands for."""

    x: int
    y: int
    width: int
    height: int
    look: str
    says: str


class Lane(NamedTuple):
    """One kind in one period. `says` describes it to who cannot see it."""

    kind: str
    title: str
    says: str
    marks: list[Mark]


class Picture(NamedTuple):
    """One period. `ticks` are the times along its axis."""

    name: str
    title: str
    ticks: list[str]
    lanes: list[Lane]
    total: int


class Row(NamedTuple):
    """A moment in the table, that came so many `times`, or lasted, `until` then. `periods` are those it
    falls into."""

    moment: Data
    when: str
    until: str
    times: int
    periods: str


class Timeline(NamedTuple):
    """All of it. `period` is the one shown first; `cut`: there was no room for some in the table."""

    pictures: list[Picture]
    kinds: list[tuple[str, str, int]]
    rows: list[Row]
    total: int
    period: str
    cut: bool


def timeline(moments: Sequence[Data], end: str, clock: Clock) -> Timeline:
    """The pictures and the table of `moments`, as of `end`, when the look ended."""
    ends = seconds(end)
    timed = [(seconds(one["at"]), seconds(one["until"]) if one["until"] else 0.0, one) for one in moments]
    counts = dict.fromkeys(KINDS, 0)
    for _, _, one in timed:
        counts[one["kind"]] += 1
    kinds = [(kind, KINDS[kind], count) for kind, count in counts.items() if count]
    bad = [at for at, _, one in timed if one["verdict"] == "suspicious"]
    first = min((at for at, _, _ in timed), default=ends - 1)
    said = Room(SAID)
    pictures = [
        _picture(
            name, title, ends - length if length else min(first, ends - 1), ends, timed, kinds, clock, said
        )
        for name, title, length in PERIODS
    ]
    rows = _rows(moments, ends, clock)
    lost = sum(row.times for row in rows) < len(timed)
    return Timeline(pictures, kinds, rows, len(timed), _opened(bad, pictures, ends), lost)


def _opened(bad: Sequence[float], pictures: Sequence[Picture], ends: float) -> str:
    """The shortest period with all that is suspicious; where nothing is, a week, if anything is in it."""
    if bad:
        return next(name for name, _, length in PERIODS if not length or ends - min(bad) <= length)
    return "week" if any(one.total for one in pictures if one.name == "week") else "all"


Timed: TypeAlias = list[tuple[float, float, Data]]


def _picture(
    name: str,
    title: str,
    begins: float,
    ends: float,
    timed: Timed,
    kinds: list[tuple[str, str, int]],
    clock: Clock,
    said: Room,
) -> Picture:
    scale = MARKS / (ends - begins)
    places: dict[str, dict[int, list[Data]]] = {kind: {} for kind, _, _ in kinds}
    spans: dict[str, set[int]] = {kind: set() for kind, _, _ in kinds}
    count = 0
    for at, until, one in timed:
        if until > at and until >= begins and at <= ends:
            covered = range(_place(at, begins, scale), _place(min(until, ends), begins, scale) + 1)
            spans[one["kind"]].update(covered)
        if begins <= at <= ends:
            count += 1
            places[one["kind"]].setdefault(_place(at, begins, scale), []).append(one)
    lanes = [
        Lane(
            kind,
            label,
            _described(label, places[kind]),
            [*_spans(spans[kind]), *_marks(places[kind], clock, said)],
        )
        for kind, label, _ in kinds
    ]
    ticks = [clock.of(begins + (ends - begins) * quarter / 4)[:16] for quarter in range(5)]
    return Picture(name, title, ticks, lanes, count)


def _place(at: float, begins: float, scale: float) -> int:
    return max(0, min(int((at - begins) * scale), MARKS - 1))


def _described(label: str, places: Mapping[int, list[Data]]) -> str:
    found = [one["verdict"] for several in places.values() for one in several]
    worst = max(found, key=RANK.__getitem__, default="")
    return f"{label}: {len(found)}" + (f", the worst {worst}" if found else "")


def _marks(places: Mapping[int, list[Data]], clock: Clock, said: Room) -> list[Mark]:
    marks = []
    for place, several in sorted(places.items()):
        worst = max(several, key=lambda one: RANK[one["verdict"]])
        height = HEIGHTS[worst["verdict"]]
        says = clock.show(worst["at"])
        if worst["verdict"] != "fine":
            says += f" {cut(worst['says'], 80)}"
        if len(several) > 1:
            says += f" (and {len(several) - 1:,} more)"
        if not said.fits(20, says):
            says = ""
        look = f"{worst['verdict'].split()[0]} {worst['confidence']}"
        marks.append(Mark(place * UNIT, LANE - 1 - height, UNIT - 1, height, look, says))
    return marks


def _spans(covered: set[int]) -> list[Mark]:
    """What lasted, as lines: neighbours joined."""
    runs: list[list[int]] = []
    for place in sorted(covered):
        if runs and runs[-1][1] == place - 1:
            runs[-1][1] = place
        else:
            runs.append([place, place])
    return [Mark(a * UNIT, LANE - 3, (b - a) * UNIT + UNIT - 1, 2, "span", "") for a, b in runs]


def _rows(moments: Sequence[Data], ends: float, clock: Clock) -> list[Row]:
    """The worst and the newest, in the order of time; the same again and again as one."""
    runs = runs_of(moments)
    best = sorted(range(len(runs)), key=lambda n: (-RANK[runs[n][0]["verdict"]], -n))[:ROWS]
    kept = Room(TABLE).of(
        best, 700, lambda n: (cut(runs[n][0]["says"], SHORT), cut(runs[n][0]["source"], SHORT))
    )
    rows = []
    for number in sorted(kept):
        first, last = runs[number][0], runs[number][-1]
        age = ends - seconds(last["at"])
        periods = " ".join(f"t-{name}" for name, _, length in PERIODS if not length or 0 <= age <= length)
        until = last["at"] if last is not first else first["until"]
        rows.append(
            Row(
                first, clock.show(first["at"]), clock.show(until) if until else "", len(runs[number]), periods
            )
        )
    return rows
