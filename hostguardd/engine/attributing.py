"""Alerts about files, with whoever made the change: asks the witness when a finding is told.

The rules: an alert never waits for its actor. What the kernel has told by then counts, and when nobody can be
named the alert says why, and who was logged in. What was said of a finding is kept until it is written down
beside it: so a line that must be written again says the same again.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, Protocol

from ..actors.model import Actor, Answer, Change, Presence, Unattributed
from ..attributed import Asked, actor_json, clause, ecs, question
from ..attributes import Names
from ..describe import TELLING, Event
from ..diff import changed
from ..model import Alert, Drift, Finding
from ..record import Record, timestamp

REMEMBERED: Final = 4096
"""Files whose latest told change is remembered: what made that is not asked about again."""

MOST_ASKED: Final = 2000
"""Members of a group that are asked about one by one."""

MOST_ACTORS: Final = 16
"""Actors that a group lists, those of the most members."""


MOST_SAID: Final = 32_768
"""Findings of which it is kept what was said; more are not told between two writings."""

TOO_MANY: Final[Record] = {
    "rung": "none",
    "confidence": "none",
    "unattributed": "so many files changed at once that not each was asked about",
}


class Said(NamedTuple):
    """What was asked about a finding, the answer, and what the alert says of it."""

    asked: Asked
    answer: Answer
    told: Record


class Asking(Protocol):
    """What is needed of the witness."""

    def attribute(
        self, path: bytes, change: Change, ctime: int | None, since: int, seen: int, /
    ) -> Answer: ...

    def present(self) -> Sequence[Presence]: ...


class Attribution:
    """Adds actors to alerts. `names` are those of accounts, `approved` is when the baseline was made, `last`
    the finding of an id as it was told last, None if it was not."""

    def __init__(
        self,
        asking: Asking,
        names: Names,
        approved: Callable[[], int],
        wall: Callable[[], int],
        last: Callable[[str], Finding | None] = lambda id: None,
    ) -> None:
        self._last = last
        self._asking = asking
        self._names = names
        self._approved = approved
        self._wall = wall
        self._told: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        self._said: OrderedDict[str, Said] = OrderedDict()
        self.named = 0
        """Findings that were told with an actor."""
        self.unnamed = 0

    def one(self, alert: Alert, finding: Finding, event: Event, parts: Sequence[Finding] = ()) -> Alert:
        """The alert of one finding, or of an act: an account is asked about by the tables that are part of
        it, for whoever wrote them all made it."""
        if event not in TELLING:
            return alert
        said = self._say(finding)
        by_parts = [one for one in map(self._say, parts) if one is not None]
        whos = {one.answer.who.key if isinstance(one.answer, Actor) else None for one in by_parts}
        if said is None and len(whos) == 1 and None not in whos:
            said = self._keep(finding, by_parts[0])
        if said is None:
            return alert
        return replace(
            alert,
            message=alert.message + clause(said.answer, self._names),
            fields={**alert.fields, **ecs(said.answer, self._names)},
            data={**alert.data, "actor": said.told},
        )

    def group(self, alerts: Sequence[Alert], findings: Sequence[Finding], event: Event) -> list[Alert]:
        """The alerts of a group: who made how many of its changes."""
        asked = [one for one in findings if question(one.drift) is not None]
        if not asked or event not in TELLING:
            return [*alerts]
        counted: Counter[tuple[int, int]] = Counter()
        actors: dict[tuple[int, int], Said] = {}
        present = self._asking.present()
        for one in asked[:MOST_ASKED]:
            said = self._say(one, present)
            if said is not None and isinstance(said.answer, Actor):
                counted[said.answer.who.key] += 1
                actors.setdefault(said.answer.who.key, said)
        for one in asked[MOST_ASKED:]:
            self._keep(one, Said(Asked(b"", Change(0), None, 0), Unattributed(""), TOO_MANY))
        told = [{**actors[key].told, "count": count} for key, count in counted.most_common(MOST_ACTORS)]
        if not told:
            return [*alerts]
        only = (
            next(iter(actors.values())).answer
            if counted.total() == len(findings) and len(actors) == 1
            else None
        )
        return [
            replace(
                alert,
                message=alert.message + ("" if only is None else clause(only, self._names)),
                data={**alert.data, "actors": told, "attributed": counted.total()},
            )
            for alert in alerts
        ]

    def answer(self, finding: Finding) -> Answer | None:
        """Who made a change; None for what nobody is asked about."""
        said = self._say(finding)
        return None if said is None else said.answer

    def take(self, id: str) -> Record:
        """What was said of a finding since it was last asked for; nothing if nothing was."""
        said = self._said.pop(id, None)
        return {} if said is None else said.told

    def _say(self, finding: Finding, present: Sequence[Presence] | None = None) -> Said | None:
        """Who made a change; None for what nobody is asked about."""
        asked = question(self._since(finding))
        if asked is None:
            return None
        said = self._said.get(finding.id)
        if said is not None and said.asked == asked:
            return said
        answer = self._ask(asked)
        present = self._asking.present() if present is None else present
        told = actor_json(answer, self._names, () if isinstance(answer, Actor) else present)
        if isinstance(answer, Actor) and (since := began(answer, present)):
            told["since"] = timestamp(since)
        return self._keep(finding, Said(asked, answer, told))

    def _since(self, finding: Finding) -> Drift:
        """What of a drift came since it was told last: who made what was there before was asked then."""
        drift, last = finding.drift, self._last(finding.id)
        if last is None:
            return drift
        before, after = last.drift.after, drift.after
        if before is None and after is None:
            return drift
        names = changed(drift.fact, before.row(), after.row()) if before and after else ()
        return Drift(drift.fact, before, after, names)

    def _keep(self, finding: Finding, said: Said) -> Said:
        self._said[finding.id] = said
        self._said.move_to_end(finding.id)
        if len(self._said) > MOST_SAID:
            self._said.popitem(last=False)
        return said

    def _ask(self, asked: Asked) -> Answer:
        since, seen = max((asked.since, self._approved()), self._told.pop(asked.path, (0, 0)))
        answer = self._asking.attribute(asked.path, asked.change, asked.ctime, since, seen)
        if asked.ctime is not None:
            self._told[asked.path] = max((since, seen), (asked.ctime, self._wall()))
            if len(self._told) > REMEMBERED:
                self._told.popitem(last=False)
        if isinstance(answer, Actor):
            self.named += 1
        else:
            self.unnamed += 1
        return answer


def began(actor: Actor, present: Sequence[Presence]) -> int:
    """When the actor's session began, in wall-clock nanoseconds; 0 where that is not known."""
    session = actor.who.session
    if session is None or session < 0:
        return 0
    number = str(session).encode()
    return next((one.since for one in present if one.session == number), 0)
