"""What an administrator was shown, and the approval of just that.

The rule kept here: nothing becomes approved that was not shown. A busy host moves on between a review
and its approval; what came or changed meanwhile is left as it is, open and against the old baseline, and
does not keep anybody from approving the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from ..model import Fact, Finding, Row
from ..store.baseline import Baseline

Explained: TypeAlias = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Review:
    """The drift that was shown against a generation: sixteen bytes for each finding, by its id."""

    generation: int
    shown: dict[str, bytes] = field(default_factory=dict)

    @property
    def token(self) -> str:
        """What names exactly this drift against exactly this generation."""
        total = hashlib.sha256(str(self.generation).encode())
        for id, digest in self.shown.items():
            total.update(id.encode() + digest)
        return total.hexdigest()[:32]

    def missing(self, findings: Iterable[Finding], explained: Explained) -> list[Finding]:
        """Those of the open findings that were not shown, or not as they are now, or not so explained."""
        return [one for one in findings if self.shown.get(one.id) != _digest(one, explained)]


def shown(generation: int, findings: Iterable[Finding], explained: Explained = lambda id: "") -> Review:
    """What is open now, as it is to be shown. `explained` names what explains a finding."""
    return Review(generation, {one.id: _digest(one, explained) for one in findings})


@contextmanager
def aside(baseline: Baseline, findings: Collection[Finding]) -> Iterator[None]:
    """Keep what was seen of some findings out of what is approved meanwhile. Within one transaction."""
    kept: list[tuple[type[Fact], Row, Row | None]] = []
    for fact, key in map(_key, findings):
        seen = baseline.seen(fact, key[0], {key[1]})
        if key in seen:
            kept.append((fact, key, seen[key]))
            baseline.forget(fact, key)
    yield
    for fact, key, row in kept:
        baseline.note(fact, key, row)


def _key(finding: Finding) -> tuple[type[Fact], Row]:
    fact = finding.drift.fact
    return fact, finding.drift.subject.row()[: len(fact.KEY)]


def _digest(finding: Finding, explained: Explained) -> bytes:
    """The same for a drift that says the same: what is volatile, such as a pid, has no say in it."""
    after = finding.drift.after
    row = after and [
        None if column in after.VOLATILE else value
        for column, value in zip(after.columns(), after.row(), strict=True)
    ]
    return hashlib.sha256(repr((row, explained(finding.id))).encode()).digest()[:16]
