"""How a finding came to be, as far as that is known: who made the change, and what makes it legitimate. Pure.

The rule: a story adds to a finding and takes nothing from it. What explains a change lowers how loudly it is
told; what the policy judged stays with the finding, and nothing is approved by being explained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


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


@dataclass(frozen=True, slots=True)
class Story:
    """`because` says in a clause what explains it (`openssl 3.0.2-1 brings it`); `act` is the id of the
    transaction or window it is part of; `level` how far the explanation can be trusted (`signed`, `digest`).
    `actor` is what the alert told under `hostguard.actor`."""

    cause: Cause = Cause.UNEXPLAINED
    because: str = ""
    act: str = ""
    level: str = ""
    actor: Mapping[str, Any] = field(default_factory=dict)

    def pack(self) -> str:
        """As JSON text, without what is not known."""
        told = {
            "cause": str(self.cause), "because": self.because, "act": self.act, "level": self.level,
            "actor": dict(self.actor),
        }  # fmt: skip
        return json.dumps({name: value for name, value in told.items() if value}, separators=(",", ":"))


def unpack(text: str) -> Story:
    """The inverse of `Story.pack`. What is not understood explains nothing."""
    try:
        told = json.loads(text)
        cause = Cause(told.get("cause", Cause.UNEXPLAINED))
        actor = told.get("actor", {})
        because, act, level = (str(told.get(name, "")) for name in ("because", "act", "level"))
    except (ValueError, AttributeError, RecursionError):
        return Story()
    return Story(cause, because, act, level, actor if isinstance(actor, dict) else {})
