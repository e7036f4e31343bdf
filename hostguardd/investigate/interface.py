"""The words of an inquiry: what a check finds, what it could not see, and when things happened. Pure.

A check is a function from the scene to Items, Unseens and Moments, in any order; it raises for nothing that
it meets on the host. What it looks at and why stands in its row of `inquiry.CHECKS`.

Every text in here is made of `record.escape` (or of our own words): bytes of the host come in through `text`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, TypeAlias

from ..record import escape

LONGEST: Final = 2000
"""Characters of one text that are kept."""


class Verdict(IntEnum):
    """What is to be thought of something. Ordered, so that `max` finds the worst.

    NOTABLE is for what an administrator should know and can explain; SUSPICIOUS is for what an intruder
    leaves and a healthy host does not have: a clean host must show none.
    """

    FINE = 0
    UNSEEN = 1
    NOTABLE = 2
    SUSPICIOUS = 3

    @property
    def label(self) -> str:
        """The word used in reports."""
        return "could not look" if self is Verdict.UNSEEN else self.name.lower()


class Known(IntEnum):
    """How something stands to the approved baseline. NOT_ASKED: there is none, or it holds no such thing.

    A check marks what it tells with it, and may make more of what is new or changed. To make less of what is
    known, where an administrator reviewed it, is left to `Approved.lowered`, so that it is done once.
    """

    NOT_ASKED = 0
    KNOWN = 1
    CHANGED = 2
    NEW = 3

    @property
    def label(self) -> str:
        """The word used in reports, "" when the baseline was not asked."""
        return "" if self is Known.NOT_ASKED else self.name.lower()

    @classmethod
    def of_all(cls, found: Collection[Known]) -> Known:
        """How things stand that are told as one: new or changed if one of them is, known only if all are."""
        worst = max(found, default=cls.NOT_ASKED)
        return cls.NOT_ASKED if worst is cls.KNOWN and cls.NOT_ASKED in found else worst


class Confidence(IntEnum):
    """How far a time can be believed.

    FORGEABLE: whoever may write the file sets it (mtime, a shell's history). LIKELY: a program wrote it
    and only root could rewrite it (wtmp, text logs, ctime). SURE: the kernel says so now (a process's start),
    or it stands in a chain that was verified (the alert log).
    """

    FORGEABLE = 0
    LIKELY = 1
    SURE = 2

    @property
    def label(self) -> str:
        """The word used in reports."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was read: `source` is a path (with `:line` where there are lines), a socket table, a command
    that shows the same; `text` the words found there, escaped."""

    source: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was looked at.

    `name` is what it is about (a path, an account, `tcp 0.0.0.0:22`, `pid 4711 /usr/sbin/sshd`), the same in
    every inquiry of an unchanged host; `says` one sentence: what it is and, if it is not fine, why. `means`
    says what an intruder would have it for, `next` what to do about it; both are "" for what is fine.
    `details` are the rest, by short names, as str, int, float, bool or lists of those. `parent` is the name
    of the item that this one hangs under (a process's parent). `technique` is an ATT&CK id.
    """

    name: str
    verdict: Verdict
    says: str
    means: str = ""
    next: str = ""
    known: Known = Known.NOT_ASKED
    technique: str = ""
    details: Mapping[str, object] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that could not be looked at: `reason` is a sentence, `remedy` what would make it visible (for
    an ordinary user mostly `sudo hostguardctl investigate`), "" when nothing would."""

    scope: str
    reason: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened: `at` in seconds since the epoch, until `until` if it lasted (0: it did not, or
    has not ended). `kind` is one of MOMENTS. `who` is the account, "" if that is not known. `known` is that
    of what it happened to, as in the item that tells of the same thing."""

    at: float
    kind: str
    says: str
    source: str
    confidence: Confidence
    verdict: Verdict = Verdict.FINE
    who: str = ""
    until: float = 0.0
    known: Known = Known.NOT_ASKED


MOMENTS: Final = (
    "login", "refusal", "switch", "reboot", "file", "listener", "process", "package", "account", "alert",
    "log", "history",
)  # fmt: skip
"""What a moment may be of; the lanes of the time line."""

Found: TypeAlias = Item | Unseen | Moment
"""What a check yields."""


def text(raw: bytes, longest: int = LONGEST) -> str:
    """Bytes of the host as text that can be shown: escaped, and cut (with `…`) when long."""
    shown = escape(raw[: longest * 4])
    return shown if len(shown) <= longest and len(raw) <= longest * 4 else shown[: longest - 1] + "…"


_PLAIN: Final = re.compile(r"[\w%+,./:=@-]+", re.ASCII)


def word(shown: str) -> str:
    """What `text` shows, as one word of a command that an administrator may copy: whatever somebody called
    their file, the shell makes of it that name and nothing else."""
    if _PLAIN.fullmatch(shown):
        return shown
    if "\\" not in shown and "'" not in shown:
        return f"'{shown}'"
    # bash, zsh and ksh read `\\` and `\xNN` in $'…' just as `record.escape` writes them. Other shells take
    # it for a `$` before a quoted word, which therefore must not hold a quote, escaped or not.
    return "$'" + shown.replace("'", r"\x27") + "'"


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found. `items` are the worst first; `more` were found and are not in it.

    `counts` are of all items by verdict. `took` is in seconds; `cut` says that its time ran out.
    """

    check: str
    verdict: Verdict
    items: tuple[Item, ...]
    unseen: tuple[Unseen, ...]
    counts: Mapping[Verdict, int]
    more: int
    took: float
    cut: bool = False
