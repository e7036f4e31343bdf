"""A finding as an alert, and a storm of them as one group.

An alert carries a sentence for people and, for everything else, the complete facts before and after
as data. The rule: **nothing that was found is left out of the data**, be it one of ten thousand in a
storm: a storm is told once, in as few lines as hold the name of every member.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

from .attributes import Names
from .model import (
    Action,
    Alert,
    Drift,
    Fact,
    FileFact,
    Finding,
    Generation,
    ListenerFact,
    SetIdFact,
    Severity,
    split,
)
from .record import Record, clean, escape, timestamp
from .sentences import sentence
from .subjects import fact_json, fields
from .words.book import BOOK
from .words.interface import short

__all__ = ["Event", "Names", "fact_json", "finding_alert", "finding_json", "group_alerts", "sentence"]

Event: TypeAlias = Literal["opened", "changed", "cleared", "accepted"]
"""What became of a finding: it appeared, its subject moved on, it went away, it was approved."""

PART_MEMBERS = 500
PART_BYTES = 90_000
TOP_FOLDERS = 20

CATEGORIES: Mapping[str, str] = {
    "file": "file", "setid": "file", "listener": "network", "process": "process",
    **{fact.KIND: words.category for fact, words in BOOK.items()},
}  # fmt: skip
"""ECS `event.category` by kind."""

TYPES: Mapping[tuple[str, Action], str] = {
    (kind, action): word
    for kind, words in {
        "file": ("creation", "deletion", "change"),
        "setid": ("creation", "deletion", "change"),
        "listener": ("start", "end", "info"),
        "process": ("start", "end", "change"),
        **{fact.KIND: words.types for fact, words in BOOK.items()},
    }.items()
    for action, word in zip((Action.ADDED, Action.REMOVED, Action.CHANGED), words, strict=True)
}
"""ECS `event.type` by kind, from the values that ECS expects for its category."""

COUNTED: Mapping[str, tuple[str, str]] = {
    "file": ("file", "files"),
    "setid": ("set-id file", "set-id files"),
    "listener": ("listener", "listeners"),
    "process": ("service", "services"),
    **{fact.KIND: (words.one, words.many) for fact, words in BOOK.items()},
}
"""One and many of a kind."""

TELLING = ("opened", "changed")
"""Events that are as loud as their finding; the others are good news."""


def finding_alert(
    finding: Finding,
    event: Event,
    at: int,
    names: Names,
    generation: Generation | None = None,
    parts: Sequence[Finding] = (),
) -> Alert:
    """The alert for what became of `finding` at `at` (wall-clock nanoseconds).

    `opened` and `changed` are as loud as the finding; `cleared` and `accepted` are good news, INFO.
    `generation` is the one it was accepted into; `parts` are findings that the same act made.
    """
    drift, verdict = finding.drift, finding.verdict
    told = event in TELLING
    category = CATEGORIES[drift.fact.KIND]
    data: Record = {
        "key": escape(drift.subject.label),
        "finding": finding.id,
        "state": event,
        "generation": finding.generation,
        "finding_severity": verdict.severity.label,
        "advice": verdict.advice,
        **_sides(drift, names),
        "first_seen": timestamp(finding.first_seen),
        "last_seen": timestamp(finding.last_seen),
    }
    if finding.diff and told:
        data["diff"] = finding.diff.splitlines()
    if parts:
        data["count"] = len(parts)
        data["members"] = [_member(one) for one in parts]
    if generation is not None:
        data["accepted"] = {
            "generation": generation.number,
            "actor": generation.actor,
            "reason": generation.reason,
        }
    return Alert(
        id=_event_id(finding, event),
        at=at,
        kind=drift.fact.KIND,
        action=f"{drift.fact.KIND}-{drift.action.value if told else event}",
        severity=verdict.severity if told else Severity.INFO,
        message=_MESSAGES[event](sentence(drift, names), generation) + _with(parts),
        rule=verdict.rule,
        technique=verdict.technique if told else "",
        fields={
            "event.category": [category],
            "event.type": [TYPES[drift.fact.KIND, drift.action] if told else "info"],
            **fields(drift.subject, names),
        },
        data=data,
    )


def finding_json(finding: Finding, names: Names) -> Record:
    """`finding` for the control socket and `--json`. `diff` is text with harmless lines."""
    drift, verdict = finding.drift, finding.verdict
    return {
        "id": finding.id,
        "kind": drift.fact.KIND,
        "label": escape(drift.subject.label),
        "action": drift.action.value,
        "severity": verdict.severity.label,
        "rule": verdict.rule,
        "technique": verdict.technique,
        "advice": verdict.advice,
        "message": sentence(drift, names),
        **_sides(drift, names),
        "first_seen": timestamp(finding.first_seen),
        "last_seen": timestamp(finding.last_seen),
        "generation": finding.generation,
        "diff": "\n".join(clean(line) for line in finding.diff.splitlines()),
    }


def act_alerts(head: Finding, parts: Sequence[Finding], at: int, names: Names) -> list[Alert]:
    """The parts of an act that followed its `head`: said quietly, for the head has said what they mean.
    Their techniques stay, as of all that is told of a change."""
    said = f"Part of the same act ({sentence(head.drift, names)}): "
    return [
        replace(alert, severity=Severity.INFO, data={**alert.data, "head": head.id})
        for alert in group_alerts(parts, at, names, deed=said, quiet=True)
    ]


NAMED = 6
"""How many parts of an act a sentence names."""

LOUDEST_NAMED = 3
"""How many of the loudest members of a group its sentence names."""


def _with(parts: Sequence[Finding]) -> str:
    if not parts:
        return ""
    named = ", ".join(short(escape(one.drift.subject.label)) for one in parts[:NAMED])
    more = f" and {len(parts) - NAMED} more" if len(parts) > NAMED else ""
    return f" (with it: {named}{more})"


def group_alerts(
    findings: Sequence[Finding],
    at: int,
    names: Names,
    event: Event = "opened",
    deed: str = "",
    *,
    quiet: bool = False,
) -> list[Alert]:
    """A storm told as one group, in numbered parts that together name every member. `deed` begins its
    sentence; if it is `quiet`, no member is louder than another.

    Members come loudest first, so the first part is as loud as the whole and the rest as loud as
    what is in them. A part holds up to PART_MEMBERS members or about PART_BYTES of them.
    """
    if not findings:
        return []
    members = sorted(findings, key=_loudest_first)
    whole = hashlib.sha256("\n".join(_event_id(one, event) for one in members).encode()).hexdigest()[:20]
    message, summary = _summary(members, event)
    message += _loudest(members) if event in TELLING and not quiet else ""
    parts = list(_parts(members))
    told = event in TELLING
    alerts = []
    for number, part in enumerate(parts, 1):
        verdict = part[0].verdict
        alerts.append(
            Alert(
                id=f"{whole}-{number}",
                at=at,
                kind="group",
                action=f"group-{event}",
                severity=verdict.severity if told else Severity.INFO,
                message=deed + message + (f" (part {number} of {len(parts)})" if len(parts) > 1 else ""),
                rule=verdict.rule,
                technique=_techniques(part) if told else "",
                fields=_group_fields(part, told),
                data={
                    "key": whole,
                    "state": event,
                    "generation": part[0].generation,
                    "advice": verdict.advice,
                    **summary,
                    "part": number,
                    "parts": len(parts),
                    "members": [_member(one) for one in part],
                },
            )
        )
    return alerts


def _loudest_first(finding: Finding) -> tuple[int, str, bytes]:
    return -finding.verdict.severity, finding.drift.fact.KIND, finding.drift.subject.label


def _summary(members: Sequence[Finding], event: Event) -> tuple[str, Record]:
    """The sentence about a group, and its counts."""
    told = event in TELLING
    by_action = Counter((one.drift.fact.KIND, one.drift.action.value if told else event) for one in members)
    by_severity = Counter(one.verdict.severity for one in members)
    by_folder = Counter(_place(one.drift.subject) for one in members)
    counted = ", ".join(
        f"{count} {COUNTED[kind][count != 1]} {done}" for (kind, done), count in by_action.most_common()
    )
    findings = "finding" if len(members) == 1 else "findings at once"
    return f"{len(members)} {findings}: {counted}{_mostly(by_folder, len(members))}", {
        "count": len(members),
        "by_action": {f"{kind}-{done}": count for (kind, done), count in by_action.most_common()},
        "by_severity": {
            severity.label: by_severity[severity] for severity in sorted(by_severity, reverse=True)
        },
        "by_folder": [
            {"folder": escape(folder), "count": count} for folder, count in by_folder.most_common(TOP_FOLDERS)
        ],
    }


MOST_TECHNIQUES = 20
"""Techniques that a group carries as a whole, those of its loudest members; each member has its own."""


def _techniques(part: Sequence[Finding]) -> str:
    """All techniques of a group's part, in the order of its members."""
    found = dict.fromkeys(one for member in part for one in member.verdict.technique.split())
    return " ".join([*found][:MOST_TECHNIQUES])


def _loudest(members: Sequence[Finding]) -> str:
    """Those that are louder than the rest, by name: whoever floods the log must not bury them in it."""
    top = members[0].verdict.severity
    above = [one for one in members if one.verdict.severity is top]
    if len(above) == len(members):
        return ""
    named = ", ".join(
        f"{COUNTED[one.drift.fact.KIND][0]} {short(escape(one.drift.subject.label))} {one.drift.action.value}"
        for one in above[:LOUDEST_NAMED]
    )
    more = f" and {len(above) - LOUDEST_NAMED} more" if len(above) > LOUDEST_NAMED else ""
    return f"; {top.label}: {named}{more}"


def _group_fields(part: Sequence[Finding], told: bool) -> Record:
    pairs = {(one.drift.fact.KIND, one.drift.action) for one in part}
    return {
        "event.category": sorted({CATEGORIES[kind] for kind, _ in pairs}),
        "event.type": sorted({TYPES[pair] for pair in pairs}) if told else ["info"],
    }


def _accepted(said: str, generation: Generation | None) -> str:
    if generation is None:
        return f"Accepted: {said}"
    reason = f": {generation.reason}" if generation.reason else ""
    return f"Accepted into generation {generation.number} by {generation.actor}{reason}. It was: {said}"


_MESSAGES: Mapping[Event, Callable[[str, Generation | None], str]] = {
    "opened": lambda said, _: said,
    "changed": lambda said, _: f"Changed further: {said}",
    "cleared": lambda said, _: f"As approved again. It was: {said}",
    "accepted": _accepted,
}


def _event_id(finding: Finding, event: Event) -> str:
    """The same for the same event told twice: volatile fields, such as a pid, have no say in it."""
    after = finding.drift.after
    row = (
        ()
        if after is None
        else tuple(None if column in after.VOLATILE else getattr(after, column) for column in after.columns())
    )
    return hashlib.sha256(repr((finding.id, event, row)).encode()).hexdigest()[:20]


def _sides(drift: Drift, names: Names) -> Record:
    return {
        "changed": list(drift.changed),
        "before": None if drift.before is None else fact_json(drift.before, names),
        "after": None if drift.after is None else fact_json(drift.after, names),
    }


def _member(finding: Finding) -> Record:
    drift = finding.drift
    return {
        "finding": finding.id,
        "kind": drift.fact.KIND,
        "action": drift.action.value,
        "severity": finding.verdict.severity.label,
        "rule": clean(finding.verdict.rule),
        "technique": clean(finding.verdict.technique).split(),
        "key": escape(drift.subject.label),
        "changed": list(drift.changed),
    }


def _parts(members: Sequence[Finding]) -> Iterator[list[Finding]]:
    part: list[Finding] = []
    weight = 0
    for one in members:
        # What its object takes in the line, near enough: the rest of it is about 145 bytes.
        words = (*one.drift.changed, one.verdict.rule, *one.verdict.technique.split())
        own = 145 + len(escape(one.drift.subject.label)) + sum(len(word) + 3 for word in words)
        if part and (len(part) == PART_MEMBERS or weight + own > PART_BYTES):
            yield part
            part, weight = [], 0
        part.append(one)
        weight += own
    yield part


def _place(fact: Fact) -> bytes:
    """The folder a fact is counted under; what lies in none is counted under its scope."""
    match fact:
        case FileFact():
            return fact.folder
        case SetIdFact():
            return split(fact.path)[0]
        case ListenerFact():
            return fact.proto.encode()
        case _:
            return split(fact.label)[0]


def _mostly(by_folder: Counter[bytes], count: int) -> str:
    """The deepest folder under which two thirds of all lie: `, mostly below /usr/lib (380)`."""
    below: Counter[bytes] = Counter()
    for folder, members in by_folder.items():
        while folder.startswith(b"/") and folder != b"/":
            below[folder] += members
            folder = split(folder)[0]
    common = [folder for folder, members in below.items() if members * 3 >= count * 2]
    if not common:
        return ""
    deepest = max(common, key=len)
    share = "all" if below[deepest] == count else "mostly"
    more = "" if share == "all" else f" ({below[deepest]})"
    return f", {share} below {short(escape(deepest))}{more}"
