"""The nouns of the project: facts, sweeps, drift, findings, alerts. Frozen, slotted, pure.

Two shapes of the same thing live here, and the difference is the daemon's speed:

* a **row** is a plain tuple in the order of the fact's fields. Sweeps carry rows, the store keeps
  rows, `diff` compares rows; a sweep of an unchanged tree never builds anything else;
* a **fact** is the frozen dataclass around a row, built only for what differs.

Values in a row are `int`, `str`, `bytes` or `None`. `None` means *not known* (not looked at, or not
allowed to look) and is never compared; a thing that is known to be absent has an explicit empty
value (`b""`, `""`, `0`). That is how a file that became unreadable is Blind and never "changed".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from .fact import TEMPORARY, Fact, Row, Value, join, path_traits, split, under
from .facts.accounts import AccountFact, KeyFact
from .facts.files import TYPE_NAMES, FileFact, SetIdFact, decode_xattrs, encode_xattrs
from .facts.hidden import HiddenFact
from .facts.kernel import ModuleFact, MountFact, SettingFact
from .facts.live import ListenerFact, ProcessFact, kernel_name, sharers
from .facts.logs import EventFact, LogFact, LoginFact

__all__ = [
    "BY_KIND", "CONTENT", "FACTS", "TEMPORARY", "TYPE_NAMES",
    "AccountFact", "Action", "Alert", "Blind", "Depth", "Drift", "EventFact", "Fact", "FileFact", "Finding",
    "Generation", "HiddenFact", "Hint", "KeyFact", "ListenerFact", "LogFact", "LoginFact", "ModuleFact",
    "MountFact", "ProcessFact", "Row", "SetIdFact", "SettingFact", "Severity", "Sweep", "Value", "Verdict",
    "decode_xattrs", "encode_xattrs", "join", "kernel_name", "path_traits", "sharers", "split", "under",
]  # fmt: skip


class Severity(IntEnum):
    """How loud. Ordered, so that `max` finds the loudest. IGNORE raises nothing at all."""

    IGNORE = 0
    INFO = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5

    @property
    def label(self) -> str:
        """The word used in configuration, alerts and on the terminal."""
        return self.name.lower()


class Depth(Enum):
    """How closely a sweep looks. QUICK reads metadata only; FULL reads contents too."""

    QUICK = "quick"
    FULL = "full"


class Action(Enum):
    """What happened to a key between the baseline and now."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


FACTS: tuple[type[Fact], ...] = (
    FileFact, SetIdFact, ListenerFact, ProcessFact, AccountFact, KeyFact, MountFact, ModuleFact, SettingFact,
    LoginFact, LogFact, EventFact, HiddenFact,
)  # fmt: skip
"""Every kind there is, in the order in which they are stored, digested and shown."""

BY_KIND: Mapping[str, type[Fact]] = {fact.KIND: fact for fact in FACTS}


CONTENT = "content: "
"""How the reason of a Blind begins when it is only a file's content that was not read."""


@dataclass(frozen=True, slots=True)
class Blind:
    """A scope that could not be looked at, and why. A result, never an error.

    `scope` is an absolute path (the path and all below it), a namespace name, or `*` for all of a
    kind. `reason` is a sentence.
    """

    kind: str
    scope: bytes
    reason: str

    @property
    def of_content(self) -> bool:
        """Whether only the content could not be read, the rest being known."""
        return self.reason.startswith(CONTENT)

    def covers(self, scope: Value, key: Value = None) -> bool:
        """Whether the thing at (`scope`, `key`) lies in the part that was not seen."""
        if self.scope == b"*":
            return True
        if isinstance(scope, str):
            scope = scope.encode()
        if not isinstance(scope, bytes):
            return False
        if under(scope, self.scope):
            return True
        if isinstance(key, bytes):
            return under(key if key.startswith(b"/") else join(scope, key), self.scope)
        return False


@dataclass(frozen=True, slots=True)
class Sweep:
    """One look at one scope: what was there, what could not be seen, when.

    `rows` are sorted by key and hold the first `fact.QUICK` fields (QUICK) or all (FULL). `only`
    limits the look to some keys of the scope (a hint), `span` to the keys from its first up to but
    not including its second value (a slice of a huge folder; None: no end); with neither the whole
    scope was listed. A baseline key within the limits that is missing from `rows` is gone.
    `contents` holds texts of files whose rule asks for diffs, by digest; `postponed` are keys whose
    content was too large to be read in this look, and is to be read in another. `began` and `ended` are
    wall-clock nanoseconds.
    """

    fact: type[Fact]
    scope: Value
    depth: Depth
    rows: list[Row]
    blinds: tuple[Blind, ...] = ()
    only: frozenset[Value] | None = None
    span: tuple[Value, Value] | None = None
    contents: Mapping[bytes, bytes] = field(default_factory=dict)
    began: int = 0
    ended: int = 0
    postponed: frozenset[Value] = frozenset()


@dataclass(frozen=True, slots=True)
class Hint:
    """Something happened about `name` in `folder` (None: to the folder itself or all in it).

    `deep` asks for everything below, as after a folder was moved in. `at` is monotonic nanoseconds.
    """

    folder: bytes
    name: bytes | None
    at: int
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Drift:
    """One key that is not as approved. `changed` names the fields, in row order."""

    fact: type[Fact]
    before: Fact | None
    after: Fact | None
    changed: tuple[str, ...]

    @property
    def action(self) -> Action:
        """Added, removed or changed."""
        if self.before is None:
            return Action.ADDED
        return Action.REMOVED if self.after is None else Action.CHANGED

    @property
    def subject(self) -> Fact:
        """The newer side that exists."""
        found = self.after or self.before
        assert found is not None
        return found

    def gained(self) -> frozenset[str]:
        """Traits it has now and did not have before."""
        if self.after is None:
            return frozenset()
        had = self.before.traits() if self.before is not None else frozenset()
        return (self.after.traits() - had) | self.fact.turns(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy says of a drift: how loud, which rule, which technique, what to do."""

    rule: str
    severity: Severity
    technique: str
    advice: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A drift that was judged. Open until it is accepted into a generation or clears by itself.

    `id` is short, stable while the finding is open, and the same after a crash. `generation` is the
    baseline it was measured against. Times are wall-clock nanoseconds.
    """

    id: str
    drift: Drift
    verdict: Verdict
    generation: int
    first_seen: int
    last_seen: int
    diff: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """What is written to the alert log, before it has a number.

    `kind` is a fact's kind, `group` (many findings as one), or `health` (about ourselves). `id` is
    deterministic: the same event told twice has the same id. `fields` are ECS fields of the subject
    by dotted name (`file.path`); `data` is what goes under `hostguard.` (before, after, changed, …).
    Strings in both may still be hostile: `record` escapes. `at` is wall-clock nanoseconds.
    """

    id: str
    at: int
    kind: str
    action: str
    severity: Severity
    message: str
    rule: str = ""
    technique: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Generation:
    """One approved baseline: who approved it, when, why, and the digest of all its rows.

    `actor` is a sentence (`alice (uid 1000) by sudo, pid 4711`), `at` wall-clock nanoseconds,
    `reviewed` is False for the one captured at first start, `facts` counts rows.
    """

    number: int
    at: int
    actor: str
    reason: str
    reviewed: bool
    digest: str
    facts: int
    parent: int
