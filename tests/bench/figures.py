"""What a bench hands back, and the table it is shown in: ours, the peer's, the ratio, the goal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Figure:
    """One measured thing. `met` is None where there is no goal, only something worth knowing."""

    what: str
    ours: str
    peer: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


def compared(what: str, ours: float, peer: str, theirs: float, at_most: float) -> Figure:
    """Seconds of ours beside seconds of a peer, of which we may take the share `at_most`."""
    ratio = ours / theirs
    return Figure(
        what, f"{ours:.2f} s", f"{peer} {theirs:.2f} s", ratio, f"≤ {at_most:.3g} ×", ratio <= at_most
    )


def bounded(what: str, value: float, unit: str, at_most: float) -> Figure:
    """A value of ours with a bound of its own."""
    return Figure(what, f"{value:.4g} {unit}", "", None, f"≤ {at_most:g} {unit}", value <= at_most)


def told(what: str, ours: str, met: bool | None = None, goal: str = "") -> Figure:
    """Something to know, or to hold, that is no number."""
    return Figure(what, ours, "", None, goal, met)


def table(figures: Sequence[Figure]) -> str:
    """Aligned text; the last column says whether the goal was met."""
    verdict = {None: "", True: "met", False: "MISSED"}
    rows = [("", "hostguardd", "beside", "ratio", "goal", "")]
    rows += [
        (f.what, f.ours, f.peer, "" if f.ratio is None else f"{f.ratio:.3f}", f.goal, verdict[f.met])
        for f in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` of all do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]
