"""Blind spots: what could not be seen is told when it is new and when it is over, and written down."""

from __future__ import annotations

from ..model import Blind
from ..store.baseline import Baseline
from .interface import Tell
from .work import Work

TOLD_BLINDS = 5
"""Blind spots of one sweep that are told one by one; the rest is counted."""


def note_blinds(work: Work, baseline: Baseline, now: int, tell: Tell) -> None:
    """Compare what could not be seen with what could not be seen before, and write it down."""
    for kind in work.kinds:
        found = {scope: blind for (k, scope), blind in work.blinds.items() if k == kind}
        known = {blind.scope: (blind, since) for blind, since in baseline.blinds_of(kind)}
        if not work.full:  # a quick sweep did not try to read contents
            found |= {scope: b for scope, (b, _) in known.items() if b.of_content and scope not in found}
        if work.capture is None:
            _tell_blinds([found[scope] for scope in found.keys() - known.keys()], tell)
            for scope in known.keys() - found.keys():
                tell("coverage.seen-again", scope=scope, kind=kind, gap=now - known[scope][1])
        if found.keys() != known.keys():
            baseline.set_blinds(kind, found.values(), now)


def _tell_blinds(blinds: list[Blind], tell: Tell) -> None:
    blinds.sort(key=lambda blind: blind.scope)
    more = len(blinds) - TOLD_BLINDS
    for blind in blinds[:TOLD_BLINDS]:
        rest = f" (and {more} more places)" if more > 0 and blind is blinds[0] else ""
        tell("coverage.blind", scope=blind.scope, kind=blind.kind, problem=blind.reason + rest)
