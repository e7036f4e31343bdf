"""How a finding came to be, as far as that is known: who made the change, and what makes it legitimate. Pure.

The rules: a story adds to a finding and takes nothing from it. What explains a change lowers how loudly it is
told; what the policy judged stays with the finding, and nothing is approved by being explained. And a finding
that was told again and again is explained by no more than the least of it: what an intruder wrote into a file
stays in it when an administrator edits that file afterwards. Only a package of which the digest was compared
explains all that came before, as just what it brings is there then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final


class Cause(StrEnum):
    """What a change is explained by, the best explanation first.

    PACKAGE: a package that the package manager installed brings just this. WINDOW: somebody announced it.
    AUTOMATION: made by a unit or a user that the configuration names as configuration management. SESSION:
    made in somebody's login session. UNEXPLAINED: none of these is known.
    """

    PACKAGE = "package"
    WINDOW = "window"
    AUTOMATION = "automation"
    SESSION = "session"
    UNEXPLAINED = "unexplained"


ORDER: Final = tuple(Cause)

KEPT: Final = 5
"""How often a finding may have been told before, by somebody else or for another reason, and all is kept."""

COMPARED: Final = ("signed", "digest")
"""Levels of a package's word that come from its digest; what it merely lists may hold anything."""

WHO: Final = ("executable", "user", "login", "session", "source", "unit", "cron", "unattributed")
"""What of an actor makes it another one."""


@dataclass(frozen=True, slots=True)
class Story:
    """`because` says in a clause what explains it (`openssl 3.0.2-1 brings it`); `act` is the id of the
    transaction or window it is part of; `level` how far the explanation can be trusted (`signed`, `digest`).
    `actor` is what the alert told under `hostguard.actor`, `told` when that was (wall-clock nanoseconds).
    `earlier` is how the finding was told before, the latest last; of `lost` tellings nothing is kept."""

    cause: Cause = Cause.UNEXPLAINED
    because: str = ""
    act: str = ""
    level: str = ""
    actor: Mapping[str, Any] = field(default_factory=dict)
    told: int = 0
    earlier: tuple[Story, ...] = ()
    lost: int = 0

    @property
    def whole(self) -> bool:
        """Whether it explains what was there before, too: a package did, whose digest was compared."""
        return self.cause is Cause.PACKAGE and self.level in COMPARED

    @property
    def standing(self) -> tuple[Story, ...]:
        """Those tellings that what is there now may come from, the latest last."""
        found: list[Story] = []
        for one in (self, *reversed(self.earlier)):
            found.append(one)
            if one.whole:
                break
        return tuple(reversed(found))

    @property
    def covers(self) -> Cause:
        """What explains all of it: the least of those that stand."""
        standing = self.standing
        if self.lost and not standing[0].whole:
            return Cause.UNEXPLAINED
        return max((one.cause for one in standing), key=ORDER.index)

    def pack(self) -> str:
        """As JSON text, without what is not known."""
        return json.dumps(self._plain(), separators=(",", ":"))

    def _plain(self) -> dict[str, Any]:
        told = {
            "cause": str(self.cause), "because": self.because, "act": self.act, "level": self.level,
            "actor": dict(self.actor), "told": self.told, "earlier": [one._plain() for one in self.earlier],
            "lost": self.lost,
        }  # fmt: skip
        return {name: value for name, value in told.items() if value}


def after(old: Story, new: Story) -> Story:
    """`new`, told of a finding that was told as `old` before. What the same actor did again takes the place
    of what was told of that."""
    if _alike(old, new):
        return replace(new, earlier=old.earlier, lost=old.lost)
    brief = {name: old.actor[name] for name in old.actor if name not in ("parents", "candidates")}
    earlier = (*old.earlier, replace(old, actor=brief, earlier=(), lost=0))
    return replace(new, earlier=earlier[-KEPT:], lost=old.lost + max(0, len(earlier) - KEPT))


def _alike(old: Story, new: Story) -> bool:
    return (old.cause, old.act, old.level) == (new.cause, new.act, new.level) and all(
        old.actor.get(name) == new.actor.get(name) for name in WHO
    )


def unpack(text: str) -> Story:
    """The inverse of `Story.pack`. What is not understood explains nothing."""
    try:
        return _story(json.loads(text))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return Story()


def _story(told: Any, deep: bool = True) -> Story:
    cause = Cause(told.get("cause", Cause.UNEXPLAINED))
    because, act, level = (str(told.get(name, "")) for name in ("because", "act", "level"))
    actor, at, lost = told.get("actor", {}), told.get("told", 0), told.get("lost", 0)
    earlier = tuple(_story(one, deep=False) for one in told.get("earlier", ())) if deep else ()
    if not isinstance(actor, dict) or type(at) is not int or type(lost) is not int:
        raise ValueError("it is no story")
    return Story(cause, because, act, level, actor, at, earlier, lost)
