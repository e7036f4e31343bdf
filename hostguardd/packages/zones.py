"""Which zone a manager's log was written in. Pure.

dpkg writes local time without saying whose, and who updates a host by ssh may have brought a zone along. What
the log tells is moved by quarters of an hour until it falls into the time in which the manager was seen at
work; by the order of the log, the latest first, and only where one moment fits. What was over when versions
were recorded is not moved behind that: whoever holds the lock would choose when it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from .evidence import APART, NEXT_RUN
from .interface import Deed

Span = tuple[float, float]

QUARTER: Final = 900.0
FARTHEST: Final = 26 * 3600.0
"""Seconds between the zones that are farthest apart."""

EARLY: Final = 60.0
LATE: Final = 5.0
"""Seconds by which a run may begin before it was seen, and end afterwards."""


def in_zone(deeds: Sequence[Deed], seen: Iterable[Span], known: Iterable[Span]) -> list[Deed]:
    """The deeds (in the order of the log) by this host's clock. `seen` is when a manager was seen at work,
    `known` when those worked that were told of."""
    free = list(seen)
    told = list(known)
    found: list[Deed] = []
    sure = False  # what comes before this in the log is in its place
    for run in reversed(_runs(deeds)):
        span = min(one.begin for one in run), max(one.ended for one in run)
        if any(_touch(span, one) for one in (*free, *told)):
            free = [one for one in free if not _touch(span, one)]
        elif not sure:
            fits = [(shift, one) for one in free for shift in _shifts(span, one)]
            past = any(one.past for one in run)
            if len(fits) == 1 and (not past or any(_touch(fits[0][1], one) for one in told)):
                ((shift, place),) = fits
                run = [_moved(one, shift) for one in run]
                free.remove(place)
            else:
                sure = True
        found[:0] = run
    return found


def recorded(deeds: Iterable[Deed], versions: Mapping[str, str]) -> list[Deed]:
    """The deeds (in the order of the log), those marked that were over when these versions were recorded:
    neither they nor an earlier one on the package begin with what was installed then."""
    begun: set[str] = set()
    found: list[Deed] = []
    for deed in deeds:
        package = deed.package
        was = versions.get(package, versions.get(package.partition(":")[0], ""))
        if deed.before == was or (not was and deed.action in ("install", "remove")):  # settings may be left
            begun.add(package)
        found.append(deed._replace(past=bool(versions) and package not in begun))
    return found


def _runs(deeds: Sequence[Deed]) -> list[list[Deed]]:
    """The deeds of each run; of several one behind the other, as apt has them."""
    found: list[list[Deed]] = []
    end = run = 0.0
    for deed in deeds:
        silence = abs(deed.begin - end)
        if not found or ((deed.run != run or not run) and silence > (NEXT_RUN if deed.run else APART)):
            found.append([])
            end = deed.ended
        found[-1].append(deed)
        end, run = max(end, deed.ended), deed.run
    return found


def _touch(one: Span, other: Span) -> bool:
    return one[0] - LATE <= other[1] and other[0] <= one[1] + LATE


def _shifts(span: Span, place: Span) -> list[float]:
    """By how much a span may be moved into a place."""
    most = int(FARTHEST / QUARTER)
    return [
        number * QUARTER
        for number in range(-most, most + 1)
        if place[0] - EARLY <= span[0] + number * QUARTER and span[1] + number * QUARTER <= place[1] + LATE
    ]


def _moved(deed: Deed, by: float) -> Deed:
    return deed._replace(
        begin=deed.begin + by, unpacked=deed.unpacked + by, ended=deed.ended + by, over=deed.over + by,
        run=deed.run + by if deed.run else 0.0,
    )  # fmt: skip
