"""Touches and a change to the one who made it, or to the reason why nobody is named.

The theory. What changed says which deeds can have done it (`EXPLAIN`). Of the touches since the state before
was last seen, those with such a deed are the suspects. One process is named only when

* all parts of the change are explained: who changed its mode did not change its content;
* every suspect is that process: two that could have made the same change are two candidates. What was over
  when the state before came about is not suspected, nor what may have made that state;
* nothing that could have made it was seen without a process;
* it is known to have done something: who closes a file that was open for writing need not be who wrote to it,
  for it may have been handed to them (fanotify);
* the file's last change (its ctime) lies within a touch of that process: else somebody changed it whom we
  did not see, or saw before we looked.

The audit rung is asked first, then fanotify; each for itself, for one may have seen what the other did not.
When one saw a process that the other did not name, nobody is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .model import Actor, Answer, Change, Confidence, Deed, Rung, Touch, Unattributed, Who

APPEARS = Deed.CREATED | Deed.MOVED_HERE | Deed.LINKED
GOES = Deed.DELETED | Deed.MOVED_AWAY
EXPLAIN: Final = {
    Change.CREATED: APPEARS | Deed.WRITTEN | Deed.HELD | Deed.ATTRIBUTES,
    Change.REMOVED: GOES | Deed.MOVED_HERE,
    Change.CONTENT: APPEARS | GOES | Deed.WRITTEN | Deed.HELD,
    Change.ATTRIBUTES: APPEARS | GOES | Deed.ATTRIBUTES | Deed.WRITTEN,
    Change.TIMES: APPEARS | GOES | Deed.ATTRIBUTES | Deed.WRITTEN | Deed.HELD,
}
"""Deeds that can have made a change. What a file is replaced by may differ in everything, and what is written
loses its set-id bits and its capabilities."""

SLACK: Final = 12_000_000
"""Nanoseconds by which a file's ctime may be earlier than the moment it was set: the kernel's coarse clock
moves once a tick, which is 10 ms at most."""

SOON: Final = 100_000_000
"""Nanoseconds after it was opened that a file is written to by whoever opened it, if it was closed since."""

RUNGS: Final = (Rung.AUDIT, Rung.FANOTIFY)


def attribute(
    touches: Sequence[Touch], change: Change, ctime: int | None, since: int = 0, seen: int = 0
) -> Answer:
    """Who made `change`. `ctime` is the file's, wall-clock nanoseconds, None when it is gone; `since` the
    ctime that it had in the state before, 0 when there was none: what made that state is not asked about;
    `seen` when it was still so, 0 when that is not known."""
    answers = {}
    for rung in RUNGS:
        own = [one for one in touches if one.rung is rung and not _earlier(one, since, seen)]
        answers[rung] = _by(rung, own, change, ctime)
    named = next((one for one in answers.values() if isinstance(one, Actor)), None)
    if named is None:
        refused = [one for one in answers.values() if isinstance(one, Unattributed)]
        return max(refused, key=lambda one: (len(one.candidates), one.rung is not Rung.NONE))
    whos = {who.pid: who for one in answers.values() for who in _whos(one)}
    if len(whos) > 1:
        reason = "the kernel's audit records and its file events name different processes"
        return Unattributed(reason, named.rung, tuple(whos.values()))
    return named


def explaining(change: Change) -> Deed:
    """The deeds that can have made some part of a change."""
    wanted = Deed(0)
    for one in change:
        wanted |= EXPLAIN[one]
    return wanted


def _whos(answer: Answer) -> tuple[Who, ...]:
    return (answer.who,) if isinstance(answer, Actor) else answer.candidates


def _by(rung: Rung, touches: Sequence[Touch], change: Change, ctime: int | None) -> Answer:
    wanted = explaining(change)
    suspects = [one for one in touches if one.deed & wanted]
    if ctime is not None:
        suspects = [one for one in suspects if one.begin <= ctime + SLACK]
    if not suspects:
        return Unattributed("nothing that could have made this change was seen")
    known = {one.who.key: one.who for one in suspects if one.who is not None}
    candidates = tuple(known.values())
    if len(known) > 1:
        return Unattributed(f"{len(known)} processes could have made this change", rung, candidates)
    unknown = [one for one in suspects if one.who is None]
    if unknown:
        return Unattributed(unknown[-1].reason, rung, candidates)
    if not all(any(one.deed & EXPLAIN[part] for one in suspects) for part in change):
        return Unattributed("only a part of this change was seen", rung, candidates)
    return _covered(rung, suspects, ctime, candidates)


def _earlier(touch: Touch, since: int, seen: int) -> bool:
    """Whether it was over when the state before was made, or may have made that one. Who holds a file open
    may do both."""
    if touch.deed is Deed.HELD:
        return touch.end + SLACK < max(since, seen)
    return touch.begin - SLACK <= since


def _covered(rung: Rung, suspects: list[Touch], ctime: int | None, candidates: tuple[Who, ...]) -> Answer:
    within = suspects
    if ctime is not None:
        within = [one for one in suspects if one.begin - SLACK <= ctime <= one.end + SLACK]
        if not within:
            reason = "its last change came at another time than any that was seen"
            return Unattributed(reason, rung, candidates)
    exact = [one for one in within if one.deed & ~Deed.HELD]
    last = (exact or within)[-1]
    assert last.who is not None
    if rung is Rung.FANOTIFY and not exact:
        reason = "it was closed after it had been open for writing, by whoever had it last"
        return Unattributed(reason, rung, candidates)
    if not exact and last.reason and (ctime is None or ctime > last.begin + SOON):
        return Unattributed(last.reason, rung, candidates)
    sure = exact and not any(one.who and one.who.guessed for one in suspects)
    confidence = Confidence.CERTAIN if sure else Confidence.LIKELY
    return Actor(rung, confidence, last.who, last.deed, last.begin)
