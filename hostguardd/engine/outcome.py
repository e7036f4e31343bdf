"""What came of judging the changes of a transaction: which of them it explains, and how the others are told.

The rules kept here: what is not explained is told as loudly as it was judged, and what is of a package and
not as packaged at HIGH at least; the loudest of it stand alone, as one of them may be what an intruder hoped
to bury in an update; every finding keeps its severity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ..actors.model import Answer
from ..describe import TELLING, Event, Names, finding_alert, group_alerts
from ..health import alert as health_alert
from ..model import Alert, Drift, Finding, Severity
from ..packages.judging import Apart, Became, Judged
from ..packages.telling import NAMED, Transaction, alerts, because, sentence
from ..story import Cause, Story
from .company import to_tell
from .expected import window_of
from .keeper import Change
from .scripted import script

LEAST_TAMPERED: Final = Severity.HIGH

OF_SCRIPTS: Final = (Apart.STRAY, Apart.SIDE)
"""What a script of a package may have made."""

Told = tuple[Finding, Event, Judged]


@dataclass(slots=True)
class Outcome:
    """`explained` are changes with what explains them, by transaction; `apart` are the others. `doubts` are
    clauses about what of the package database is forged, `keys` those that are believed newly."""

    manager: str
    explained: list[tuple[Transaction, list[tuple[Change, Judged]]]] = field(default_factory=list)
    apart: list[tuple[Change, Judged]] = field(default_factory=list)
    doubts: list[tuple[str, str]] = field(default_factory=list)
    keys: tuple[str, ...] = ()
    deed: str = ""
    """What the manager did, as the beginning of a sentence; "" where nothing is known of it."""
    holders: frozenset[int] = frozenset()
    """The processes that were seen to hold the manager's lock."""
    scripts: list[str] = field(default_factory=list)
    """The packages whose scripts made some of what FOLLOWS."""

    def ask(self, who: Callable[[Finding], Answer | None]) -> None:
        """Find out what of it scripts of packages made."""
        if not self.holders:
            return
        apart = []
        for change, judged in self.apart:
            package, finding = "", change.finding
            if finding is not None and change.event in TELLING and judged.apart in OF_SCRIPTS:
                answer = who(finding)
                package = script(answer, self.holders) if answer is not None else ""
            if package:
                says = f"{judged.says}; a script of {package} made it"
                judged = judged._replace(apart=Apart.FOLLOWS, says=says)
                self.scripts = list(dict.fromkeys([*self.scripts, package]))
            apart.append((change, judged))
        self.apart = apart

    def alerts(
        self,
        at: int,
        names: Names,
        most: int,
        one: Callable[[Alert, Finding, Event], Alert],
        group: Callable[[Sequence[Alert], Sequence[Finding], Event], Sequence[Alert]],
    ) -> list[Alert]:
        """All that is to be told; `most` of what is apart stand alone. `one` and `group` add who did it."""
        found = [health_alert("package.forged", at, what=what, says=says) for what, says in self.doubts]
        found += [health_alert("package.key-added", at, manager=self.manager, key=key) for key in self.keys]
        for transaction, members in self.explained:
            told = [(_subject(change), judged) for change, judged in members]
            lines = alerts(transaction, told, len(self.apart), at)
            found += group(lines, [finding for finding, _ in told], "opened")
        alone, made, rest = self._shared_out(most)
        for finding, event, judged in alone:
            found.append(_why(one(finding_alert(finding, event, at, names), finding, event), judged, event))
        by_scripts = f"Made by scripts of {_several(self.scripts)}" if self.scripts else "Led to packages"
        by_scripts += ", and no package vouches for it: "
        while_it = f"While {self.deed}, " if self.deed else ""
        for deed, ones in ((by_scripts, made), (while_it, rest)):
            by_event: dict[Event, list[Finding]] = {}
            for finding, event, _ in ones:
                by_event.setdefault(event, []).append(finding)
            for event, findings in by_event.items():
                found += group(group_alerts(findings, at, names, event, deed), findings, event)
        return found

    def _shared_out(self, most: int) -> tuple[list[Told], list[Told], list[Told]]:
        """What is apart: alone, what follows from packages, and the rest."""
        told = [(*one, judged) for change, judged in self.apart for one in to_tell(change)]
        turn: Counter[str] = Counter()
        order = []
        for number, (finding, _, judged) in enumerate(told):  # one for each clause before another one
            says = judged.says if judged.apart is not Apart.STRAY else ""
            turn[says] += bool(says)
            order.append((turn[says], -finding.verdict.severity, number))
        told = [told[number] for *_, number in sorted(order)]
        alone: list[Told] = []
        made: list[Told] = []
        rest: list[Told] = []
        for one in told:
            if one[2].apart is Apart.FOLLOWS and one[1] in TELLING:
                made.append(one)
                continue
            loud = one[1] in TELLING and _stands_alone(one[0], one[2])
            (alone if loud and len(alone) < most else rest).append(one)
        single, made = _single(made)
        lone, rest = _single(rest)
        return [*alone, *single, *lone], made, rest

    def part(self, which: Callable[[Change, Judged], bool]) -> list[Change]:
        """Take some of what is apart out of it."""
        found = [change for change, judged in self.apart if which(change, judged)]
        self.apart = [one for one in self.apart if not which(*one)]
        return found

    def changes(self) -> Iterator[Change]:
        """All changes, each with the story that is to be written down with it."""
        for transaction, members in self.explained:
            for change, judged in members:
                says = because(judged, self.manager)
                yield replace(change, story=Story(Cause.PACKAGE, says, transaction.id, judged.level.label))
        for change, judged in self.apart:
            yield replace(change, story=Story(because=judged.says))


def _single(told: list[Told]) -> tuple[list[Told], list[Told]]:
    """Those that are the only ones of their event, of which a group would only hide the name; the others."""
    several = Counter(event for _, event, _ in told)
    return [one for one in told if several[one[1]] == 1], [one for one in told if several[one[1]] > 1]


def _several(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def announced(change: Change, judged: Judged) -> bool:
    """Whether a change window covers what no package explains. What is of a package and not as packaged is
    as loud in a window as elsewhere: nobody announces that."""
    return window_of(change) != "" and judged.apart is not Apart.TAMPERED


def _stands_alone(finding: Finding, judged: Judged) -> bool:
    if judged.apart is Apart.TAMPERED:
        return True
    return judged.apart is not Apart.SIDE and finding.verdict.severity >= Severity.HIGH


def _why(alert: Alert, judged: Judged, event: Event) -> Alert:
    """The alert with what the package manager says, and as loud as that is."""
    if event == "cleared" or not judged.says:
        return alert
    loud = judged.apart is Apart.TAMPERED
    return replace(
        alert,
        severity=max(alert.severity, LEAST_TAMPERED) if loud else alert.severity,
        message=f"{alert.message}; {judged.says}",
        data={**alert.data, "package": {"says": judged.says, "tampered": loud}},
    )


def _subject(change: Change) -> Finding:
    """The one finding that stands for a change."""
    assert change.finding is not None
    return change.finding


def drift_of(change: Change) -> tuple[Drift, Became] | None:
    """The drift to judge, and what became of it; None where there is nothing to tell."""
    if change.finding is None:
        return None
    if change.event != "cleared":
        return change.finding.drift, Became.NEWS
    if change.untold:
        return change.untold[-1][0].drift, Became.PASSED
    return change.finding.drift, Became.OVER


def beginning(transactions: Sequence[Transaction], manager: str) -> str:
    """What begins the sentence about what is told beside."""
    if transactions:
        return "; ".join(sentence(one) for one in transactions[:3])
    return f"{manager} worked" if manager else ""
