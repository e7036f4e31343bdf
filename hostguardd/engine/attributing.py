"""Alerts about files, with whoever made the change: asks the witness when a finding is told.

The rule: an alert never waits for its actor. What the kernel has told by then counts, and when nobody can be
named the alert says why, and who was logged in.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from ..actors.model import Actor, Answer, Change, Presence
from ..attributed import Asked, actor_json, clause, ecs, question
from ..attributes import Names
from ..describe import TELLING, Event
from ..model import Alert, Finding

REMEMBERED: Final = 4096
"""Files whose latest told change is remembered: what made that is not asked about again."""

MOST_ASKED: Final = 2000
"""Members of a group that are asked about one by one."""

MOST_ACTORS: Final = 16
"""Actors that a group lists, those of the most members."""


class Asking(Protocol):
    """What is needed of the witness."""

    def attribute(
        self, path: bytes, change: Change, ctime: int | None, since: int, seen: int, /
    ) -> Answer: ...

    def present(self) -> Sequence[Presence]: ...


class Attribution:
    """Adds actors to alerts. `names` are those of accounts, `approved` is when the baseline was made."""

    def __init__(
        self, asking: Asking, names: Names, approved: Callable[[], int], wall: Callable[[], int]
    ) -> None:
        self._asking = asking
        self._names = names
        self._approved = approved
        self._wall = wall
        self._told: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        self.named = 0
        """Findings that were told with an actor."""
        self.unnamed = 0

    def one(self, alert: Alert, finding: Finding, event: Event) -> Alert:
        """The alert of one finding."""
        asked = question(finding.drift)
        if asked is None or event not in TELLING:
            return alert
        answer = self._ask(asked)
        named = isinstance(answer, Actor)
        said = actor_json(answer, self._names, () if named else self._asking.present())
        return replace(
            alert,
            message=alert.message + clause(answer, self._names),
            fields={**alert.fields, **ecs(answer, self._names)},
            data={**alert.data, "actor": said},
        )

    def group(self, alerts: Sequence[Alert], findings: Sequence[Finding], event: Event) -> list[Alert]:
        """The alerts of a group: who made how many of its changes."""
        asked = [one for one in (question(finding.drift) for finding in findings) if one is not None]
        if not asked or event not in TELLING:
            return [*alerts]
        counted: Counter[tuple[int, int]] = Counter()
        actors: dict[tuple[int, int], Actor] = {}
        for one in asked[:MOST_ASKED]:
            answer = self._ask(one)
            if isinstance(answer, Actor):
                counted[answer.who.key] += 1
                actors.setdefault(answer.who.key, answer)
        said = [
            {**actor_json(actors[key], self._names), "count": count}
            for key, count in counted.most_common(MOST_ACTORS)
        ]
        if not said:
            return [*alerts]
        only = next(iter(actors.values())) if counted.total() == len(findings) and len(actors) == 1 else None
        return [
            replace(
                alert,
                message=alert.message + ("" if only is None else clause(only, self._names)),
                data={**alert.data, "actors": said, "attributed": counted.total()},
            )
            for alert in alerts
        ]

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
