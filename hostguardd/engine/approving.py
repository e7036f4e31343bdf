"""Findings into a new generation, and the alerts that say so, whoever asked for it.

The rule kept here: every approval is itself an alert with its actor. While alerts cannot be written, none is
given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from ..attributes import Names
from ..causes import NOTHING, Key, group
from ..config import Config
from ..describe import finding_alert, group_alerts
from ..errors import HostguardError
from ..host.clock import Clock
from ..model import Alert, Finding, Generation, Severity
from ..store.baseline import Baseline
from ..store.database import Database
from ..store.findings import ACCEPTED, Findings
from ..store.stories import Stories
from .announcer import Announcer
from .grouping import cause_words
from .interface import Diagnose


class State(Protocol):
    """What is needed of the engine."""

    config: Config
    clock: Clock
    database: Database
    baseline: Baseline
    findings: Findings
    stories: Stories
    announcer: Announcer
    diagnose: Diagnose

    @property
    def names(self) -> Names: ...

    def tell(self, code: str, /, **params: int | float | str | bytes) -> Alert: ...

    def backup(self) -> None: ...


def accept(
    engine: State, chosen: Sequence[Finding], actor: str, reason: str, code: str = "baseline.accepted"
) -> Generation:
    """Make some open findings the truth. `code` is the condition that tells of it. HostguardError where
    nobody would be told."""
    tellable(engine)
    keys = [(f.drift.fact, f.drift.subject.row()[: len(f.drift.fact.KEY)]) for f in chosen]
    at = engine.clock.wall()
    told = counted(chosen, {one.id: group(engine.stories.of(one.id)) for one in chosen})
    with engine.database.transaction():
        made = engine.baseline.approve(at, actor, reason, keys)
        for finding in chosen:
            engine.findings.close(finding.id, ACCEPTED, at)
    moved(engine)
    over = [replace(one, last_seen=at) for one in chosen]
    engine.announcer.tell(
        *(
            group_alerts(over, at, engine.names, "accepted")
            if len(over) > engine.config.hints.storm
            else (finding_alert(one, "accepted", at, engine.names, made) for one in over)
        )
    )
    engine.tell(
        code,
        generation=made.number,
        actor=actor,
        **told,
        reason=reason or "no reason given",
        digest=made.digest,
    )
    return made


def tellable(engine: State) -> None:
    """HostguardError while alerts cannot be written: a restart meanwhile would leave an approval untold."""
    if problem := engine.announcer.unwritable:
        raise HostguardError(f"alerts cannot be written ({problem}): nothing was approved")


def moved(engine: State) -> None:
    """After every approval: prune, and a copy in case the original breaks."""
    engine.baseline.prune(engine.config.baseline.keep)
    engine.backup()


def counted(findings: Iterable[Finding], keys: Mapping[str, Key]) -> dict[str, int | str]:
    """What an approval says of the findings it takes. `keys` are the groups of those that have a story."""
    severities: Counter[Severity] = Counter()
    explained: Counter[Key] = Counter()
    for one in findings:
        severities[one.verdict.severity] += 1
        explained[keys.get(one.id, NOTHING)] += 1
    return {
        "changes": severities.total(),
        "summary": summary(severities),
        "causes": cause_words(explained),
        "unexplained": explained[NOTHING],
    }


def summary(counts: Counter[Severity]) -> str:
    """`1 critical, 2 low`, the loudest first."""
    words = [f"{counts[one]} {one.label}" for one in sorted(counts, reverse=True) if counts[one] > 0]
    return ", ".join(words) or "none that was told"
