"""Acts: what one deed of somebody makes is one alert that lists its parts. Pure.

The theory. A deed has a *head*, the finding that says what it means (an account was added), and *parts*,
which only show how it was written down (/etc/passwd, its copy /etc/passwd-, the new home's first files).
The head is told at once, with the parts that are known by then. Account tools lock the tables while they
write them, and are waited for, so that the head can say it all. Parts that follow within `WINDOW` are told
once, together, and quietly, for all that they could say loudly has been said.

The rule kept here: **nothing becomes a part that says more than its head**. A table of accounts is a part
only where nothing but its content moved and somebody's account explains that; its mode or owner, a finding
about another account, or a louder one about the same are told for themselves. Of a new home only what was
copied from /etc/skel as it was approved is a part: a home is a word in a line of passwd, and may as well be
/etc/cron.d or somebody else's.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..describe import Event
from ..facts.accounts import USERS
from ..model import AccountFact, Action, Drift, FileFact, Finding, under

Told: TypeAlias = tuple[Finding, Event]

SECOND = 1_000_000_000
WINDOW = 2 * SECOND
"""How long after its latest part an act may go on. useradd(8) writes eight files, each with fsync(2)."""

LONGEST = 10 * SECOND
"""How long after its head it may."""

TABLE = re.compile(rb"/etc/(?:passwd|shadow|group|gshadow|subuid|subgid)(-|\+|\.lock|\.[0-9]+)?")
"""The tables of accounts; the copies, drafts and locks that account tools make beside them."""

CONTENT = frozenset({"size", "mtime", "ctime", "inode", "links", "sha256"})
TELLING = ("opened", "changed")
SKELETON = b"/etc/skel"
"""What useradd(8) puts into a new home is copied from there."""

Approved: TypeAlias = Callable[[bytes], FileFact | None]
"""The approved fact of a path."""


def nothing(path: bytes) -> FileFact | None:
    """An `Approved` that knows of no file."""
    return None


@dataclass(slots=True, eq=False)
class Act:
    """One deed: its head, when that was told and when its latest part came (monotonic nanoseconds)."""

    head: Finding
    told: int
    latest: int
    homes: set[bytes] = field(default_factory=set)


@dataclass(slots=True)
class Gathered:
    """What is told together: a head and its parts."""

    head: Told
    parts: list[Told]


class Acts:
    """The acts that are going on, by the name of their account. `approved` tells what a skeleton holds."""

    def __init__(self, approved: Approved = nothing) -> None:
        self._open: dict[bytes, Act] = {}
        self._approved = approved

    def continues(self, finding: Finding, event: Event, now: int) -> Act | None:
        """The act whose head was told and of which a finding is a part, so that it needs no alert of its
        own."""
        self._close(now)
        act = self._of(finding, event)
        if act is not None:
            act.latest = now
        return act

    def gather(self, told: Sequence[Told], now: int) -> tuple[list[Gathered], list[Told]]:
        """Heads with their parts, and all that is no part of any."""
        by_name: dict[bytes, list[Told]] = {}
        for one in told:
            subject = one[0].drift.subject
            if is_head(*one) and isinstance(subject, AccountFact):
                by_name.setdefault(subject.name, []).append(one)
        if not by_name:
            return [], list(told)
        found: dict[Act, Gathered] = {}
        for name, ones in by_name.items():
            ones.sort(key=_foremost)
            found[self._begin(name, ones[0][0], now)] = Gathered(ones[0], ones[1:])
        heads = {id(one) for ones in by_name.values() for one in ones}
        rest: list[Told] = []
        for one in told:
            if id(one) in heads:
                continue
            act = self._of(*one)
            (found[act].parts if act in found else rest).append(one)
        return list(found.values()), rest

    def _begin(self, name: bytes, head: Finding, now: int) -> Act:
        act = self._open[name] = Act(head, now, now)
        subject = head.drift.after
        if head.drift.action is Action.ADDED and isinstance(subject, AccountFact):
            act.homes.add(subject.home.rstrip(b"/"))
        return act

    def _close(self, now: int) -> None:
        for name, act in list(self._open.items()):
            if now - act.latest > WINDOW or now - act.told > LONGEST:
                del self._open[name]

    def _of(self, finding: Finding, event: Event) -> Act | None:
        """The open act that a finding is a part of."""
        if event not in TELLING:
            return None
        subject = finding.drift.subject
        if isinstance(subject, AccountFact):
            act = self._open.get(subject.name)
            return act if act is not None and _same_deed(act.head, finding) else None
        if not isinstance(subject, FileFact) or not self._open:
            return None
        if TABLE.fullmatch(subject.path):
            # All tables are written by one tool: the act that had its head told last.
            act = max(self._open.values(), key=lambda act: act.told)
            if not _says_nothing_more(finding.drift):
                return None
            return act if _writes(act.head, subject.path) else None
        if finding.drift.action is not Action.ADDED:
            return None
        return next((act for act in self._open.values() if self._copied(subject, act)), None)

    def _copied(self, file: FileFact, act: Act) -> bool:
        """Whether a new file is the copy of one in the skeleton, in the home that an act made."""
        for home in act.homes:
            if file.path != home and under(file.path, home):
                model = self._approved(SKELETON + file.path[len(home) :])
                if model is not None and _looks(model) == _looks(file) != ():
                    return True
        return False


def _looks(file: FileFact) -> tuple[object, ...]:
    """What a copy has in common with its model; nothing when its content was not read."""
    if file.sha256 is None and stat.S_ISREG(file.mode):
        return ()
    return file.mode, file.sha256, file.target, file.xattrs


def _writes(head: Finding, path: bytes) -> bool:
    """Whether what became of the head's account is written into that table, too. Ranges of subordinate ids
    are given to an account that comes and taken from one that goes, subuid(5); no password moves them."""
    return head.drift.action is not Action.CHANGED or not path.startswith(b"/etc/sub")


def _same_deed(head: Finding, finding: Finding) -> bool:
    """Whether a further finding about the head's account only completes what that told: what it left
    unknown, or the group that came with the user."""
    if finding.verdict.severity > head.verdict.severity:
        return False
    told, now = head.drift.after, finding.drift.after
    if told is None or now is None or head.drift.action is not finding.drift.action:
        return False
    if told.row()[0] != now.row()[0]:
        return head.drift.action is Action.ADDED and told.row()[0] == USERS
    names = type(told).columns()
    return all(
        old == new or old is None or name in told.VOLATILE
        for name, old, new in zip(names, told.row(), now.row(), strict=True)
    )


def is_head(finding: Finding, event: Event) -> bool:
    """Whether a finding says what somebody's deed means."""
    return event in TELLING and isinstance(finding.drift.subject, AccountFact)


def wants_head(finding: Finding, event: Event) -> bool:
    """Whether a finding may be a part of an act that is not known yet: a table was written."""
    subject = finding.drift.subject
    table = isinstance(subject, FileFact) and TABLE.fullmatch(subject.path) is not None
    return event in TELLING and table and _says_nothing_more(finding.drift)


def _says_nothing_more(drift: Drift) -> bool:
    """Whether only the content of a table moved, or its copy was made with a table's usual mode."""
    if drift.action is Action.CHANGED:
        return set(drift.changed) <= CONTENT
    copy = TABLE.fullmatch(drift.subject.label)
    return copy is not None and copy[1] is not None


def _foremost(told: Told) -> tuple[int, bool]:
    """The loudest first, and of those the user before the group of the same name."""
    subject = told[0].drift.subject
    return -told[0].verdict.severity, isinstance(subject, AccountFact) and subject.database != "users"
