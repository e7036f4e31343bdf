"""A transaction of the package manager as one alert: what became of which packages, and every file that is as
packaged. Pure.

The rule of `describe` holds here, too: nothing that was found is left out. A line holds some 1,500 paths; a
larger transaction takes several numbered ones.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from ..model import Alert, Finding, Severity
from ..record import Record, escape, timestamp
from .interface import Deed, Level
from .judging import OWN, STATUS, Became, Judged

SECOND: Final = 1_000_000_000
NAMED: Final = 3
"""Packages that a sentence names."""

MOST_PACKAGES: Final = 400
"""Packages that an alert lists; all are counted."""

PART_BYTES: Final = 64_000
"""Characters of paths in one alert."""

DONE: Final = {
    "install": "installed",
    "upgrade": "upgraded",
    "remove": "removed",
    "downgrade": "downgraded",
    "reinstall": "reinstalled",
}
TYPES: Final = {"install": "installation", "remove": "deletion"}
"""ECS `event.type`; of the others `change`."""


class Transaction(NamedTuple):
    """What happened. `by` says who ran it, as far as that is known: words for people by their names."""

    id: str
    manager: str
    deeds: Sequence[Deed]
    by: Mapping[str, str | int]


def identify(manager: str, deeds: Sequence[Deed]) -> str:
    """The id of a transaction: the same when it is told again after a crash, or further on."""
    first = deeds[0]
    seed = repr((manager, first.package, first.begin)).encode()
    return hashlib.sha256(seed).hexdigest()[:10]


def sentence(transaction: Transaction) -> str:
    """`dpkg upgraded 20 packages (curl 7.88.1 -> 7.88.2, ... and 17 more)`."""
    counted = Counter(DONE.get(deed.action, "changed") for deed in transaction.deeds)
    parts = []
    for word, count in counted.most_common():
        ones = [deed for deed in transaction.deeds if DONE.get(deed.action, "changed") == word]
        named = ", ".join(_named(deed) for deed in ones[:NAMED])
        more = f" and {count - NAMED} more" if count > NAMED else ""
        parts.append(f"{word} {count} {'package' if count == 1 else 'packages'} ({named}{more})")
    return f"{transaction.manager} {', '.join(parts)}"


def _named(deed: Deed) -> str:
    versions = " → ".join(dict.fromkeys(filter(None, (deed.before, deed.after))))
    return f"{deed.package} {versions}".rstrip()


def because(judged: Judged, manager: str) -> str:
    """The clause of a `Story`."""
    return f"{judged.says} ({manager}, {judged.level.label})"


def alerts(
    transaction: Transaction, members: Sequence[tuple[Finding, Judged]], apart: int, at: int
) -> list[Alert]:
    """The alerts that tell a transaction with what it explains. `apart` counts what is told beside it."""
    news = [one for one in members if one[1].became is Became.NEWS]
    levels = Counter(judged.level.label for _, judged in news)
    level = min((judged.level for finding, judged in news if _has_content(finding)), default=Level.LISTED)
    count = len(news)
    said = f"{count} {'change' if count == 1 else 'changes'} as packaged ({level.label})"
    beside = f", {apart} told beside it" if apart else ""
    who = _who(transaction.by)
    message = f"{sentence(transaction)}: {said}{beside}{who}"
    began = min(deed.begin for deed in transaction.deeds)
    ended = max(deed.ended for deed in transaction.deeds)
    data: Record = {
        "key": transaction.id,
        "state": "opened",
        "generation": members[0][0].generation if members else 0,
        "count": len(members),
        "advice": "Expected when somebody updated this host: accept it then (hostguardctl baseline). A level "
        "of digest or listed says that the package database, which belongs to root, is all there is to "
        "believe. What matches no package is told for itself.",
        "transaction": {
            "id": transaction.id,
            "manager": transaction.manager,
            "began": timestamp(int(began * SECOND)),
            "ended": timestamp(int(ended * SECOND)),
            "packages": [_package(deed) for deed in transaction.deeds[:MOST_PACKAGES]],
            "package_count": len(transaction.deeds),
            "level": level.label,
            "levels": dict(levels),
            "passed": len(members) - count,
            "apart": apart,
            **({"by": dict(transaction.by)} if transaction.by else {}),
        },
    }
    parts = _parts(members)
    whole = hashlib.sha256("\n".join(sorted(finding.id for finding, _ in members)).encode()).hexdigest()[:10]
    return [
        Alert(
            id=f"{transaction.id}-{whole}-{number}",
            at=at,
            kind="transaction",
            action="packages-changed",
            severity=Severity.INFO,
            message=message + (f" (part {number} of {len(parts)})" if len(parts) > 1 else ""),
            rule="package-transaction",
            fields={
                "event.category": ["package"],
                "event.type": sorted({TYPES.get(deed.action, "change") for deed in transaction.deeds}),
            },
            data={**data, "part": number, "parts": len(parts), "paths": part},
        )
        for number, part in enumerate(parts, 1)
    ]


def _has_content(finding: Finding) -> bool:
    """Whether its explanation is about a content, other than what the manager wrote down itself."""
    after = finding.drift.after
    label = finding.drift.subject.label
    own = label == STATUS or OWN.fullmatch(label) is not None
    return not own and getattr(after, "sha256", None) not in (None, b"")


def _package(deed: Deed) -> Record:
    found = {"name": deed.package, "action": deed.action, "from": deed.before, "to": deed.after}
    return {name: value for name, value in found.items() if value}


def _parts(members: Sequence[tuple[Finding, Judged]]) -> list[dict[str, list[str]]]:
    """Paths by the package that explains them, in pieces of some PART_BYTES."""
    parts: list[dict[str, list[str]]] = [{}]
    weight = 0
    for finding, judged in sorted(members, key=lambda one: one[0].drift.subject.label):
        assert judged.deed is not None
        path = escape(finding.drift.subject.label)
        if weight + len(path) > PART_BYTES:
            parts.append({})
            weight = 0
        parts[-1].setdefault(judged.deed.package, []).append(path)
        weight += len(path) + 3
    return parts


def _who(by: Mapping[str, str | int]) -> str:
    if "login" in by:
        return f"; run by {by['login']}"
    return ""
