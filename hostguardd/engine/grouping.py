"""Open findings by what explains them, and what is told of that in lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..causes import NOTHING, SIGNED, Key, group
from ..model import Finding, Severity
from ..record import clean, escape, timestamp
from ..store.stories import Stories
from ..story import ORDER, Cause, Story

NAMED: Final = 3
"""Findings that a group names, the loudest."""

MOST: Final = 100
"""Groups that are told one by one."""

BRIEF: Final = (
    "confidence",
    "pid",
    "executable",
    "user",
    "login",
    "source",
    "tty",
    "unit",
    "cron",
    "unattributed",
)
"""What of an actor is told of each finding in a list."""


@dataclass(slots=True)
class Group:
    """Findings that are decided about together."""

    key: Key
    severities: Counter[Severity] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)
    first: int = 0
    last: int = 0

    def add(self, finding: Finding) -> None:
        """One more, no louder than those before."""
        self.severities[finding.verdict.severity] += 1
        if len(self.names) < NAMED:
            self.names.append(escape(finding.drift.subject.label))
        self.first = min(self.first or finding.first_seen, finding.first_seen)
        self.last = max(self.last, finding.last_seen)

    @property
    def count(self) -> int:
        """How many."""
        return self.severities.total()

    def json(self) -> dict[str, Any]:
        """As it is told."""
        ordered = sorted(self.severities, reverse=True)
        return {
            "id": self.key.id,
            "cause": str(self.key.cause),
            "level": self.key.level,
            "what": clean(self.key.what),
            "count": self.count,
            "worst": ordered[0].label,
            "by_severity": {one.label: self.severities[one] for one in ordered},
            "names": self.names,
            "first_seen": timestamp(self.first),
            "last_seen": timestamp(self.last),
        }


def groups(findings: Iterable[Finding], stories: Stories) -> list[Group]:
    """Findings (the loudest first) by what explains them: the best explained first, the rest last."""
    keys = dict(keyed(stories))
    found: dict[str, Group] = {}
    for finding in findings:
        key = keys.get(finding.id, NOTHING)
        found.setdefault(key.id, Group(key)).add(finding)
    return sorted(
        found.values(), key=lambda one: (ORDER.index(one.key.cause), one.key.level != SIGNED, -one.count)
    )


def keyed(stories: Stories) -> Iterator[tuple[str, Key]]:
    """The group of each open finding that has a story."""
    same: dict[str, Key] = {NOTHING.id: NOTHING}
    for id, story in stories.open():
        key = group(story)
        yield id, same.setdefault(key.id, key)


def named(keys: Mapping[str, Key]) -> Callable[[str], str]:
    """By the id of a finding the name of its group."""
    return lambda id: keys.get(id, NOTHING).id


def groups_json(found: Sequence[Group]) -> dict[str, Any]:
    """Groups as they are told: of very many, those that explain most; what nothing explains always."""
    told = found if len(found) <= MOST else [*found[: MOST - 1], found[-1]]
    return {"groups": [one.json() for one in told], "more_groups": len(found) - len(told)}


def brief(story: Story) -> dict[str, Any]:
    """A story in a list. `cause` is that of all of it, `because` is said of how it was told last."""
    key = group(story)
    return {
        "cause": str(key.cause),
        "group": key.id,
        "because": clean(story.because),
        "level": story.level,
        "act": story.act,
        "actor": {name: story.actor[name] for name in BRIEF if name in story.actor},
        "earlier": len(story.earlier) + story.lost,
    }


WORDS: Final[Mapping[Cause, str]] = {
    Cause.PACKAGE: "by packages", Cause.WINDOW: "announced", Cause.AUTOMATION: "by configuration management",
    Cause.SESSION: "in login sessions", Cause.UNEXPLAINED: "unexplained",
}  # fmt: skip


def cause_words(counts: Mapping[Key, int]) -> str:
    """`312 by signed packages, 5 in login sessions, 2 unexplained`."""
    found: Counter[str] = Counter()
    for key, count in sorted(
        counts.items(), key=lambda one: (ORDER.index(one[0].cause), one[0].level != SIGNED)
    ):
        unsigned = key.cause is Cause.PACKAGE and key.level != SIGNED
        word = "by unsigned packages" if unsigned else WORDS[key.cause]
        found["by signed packages" if key.level == SIGNED else word] += count
    return ", ".join(f"{count} {word}" for word, count in found.items() if count > 0) or "nothing"
