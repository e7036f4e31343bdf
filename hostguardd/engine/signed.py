"""Acceptance of what signed packages bring, where the configuration asks for it (`[baseline]
accept_packages`).

The rules kept here: accepted is only what was told, and whose story says that a package whose signature
verifies brings exactly this; one generation for each transaction of the package manager, so that what is
said of it afterwards waits for a person; and that it was accepted is told with the count.
"""

from __future__ import annotations

import json
from typing import Final

from ..errors import HostguardError
from ..model import Finding
from ..packages.interface import Level
from ..store.findings import OPEN
from ..story import Cause, Story
from .approving import State, accept
from .coverage import SECOND

ACTOR: Final = "hostguardd (signed packages)"
QUIET: Final = 5 * SECOND
"""How long after its last story a transaction counts as told in full."""

KEPT: Final = 256
"""Transactions known to have had their generation, the latest."""

NOTE: Final = "accepted packages"


def takes(story: Story) -> bool:
    """Whether a story explains all of a change, and may be believed."""
    return story.cause is Cause.PACKAGE and story.level == Level.SIGNED.label and story.act != ""


class SignedPackages:
    """What waits for its transaction to be over."""

    def __init__(self, engine: State) -> None:
        self._engine = engine
        self._waiting: dict[str, tuple[int, set[str]]] = {}

    def noted(self, id: str, story: Story) -> None:
        """A finding was told with this story."""
        if self._wanted() and takes(story):
            _, ids = self._waiting.get(story.act, (0, set()))
            ids.add(id)
            self._waiting[story.act] = self._engine.clock.mono(), ids

    def settle(self) -> None:
        """Accept what is due. What cannot be accepted stays open."""
        now = self._engine.clock.mono()
        for act in [act for act, (at, _) in self._waiting.items() if now - at >= QUIET]:
            _, ids = self._waiting.pop(act)
            try:
                self._accept(act, ids)
            except HostguardError as error:
                self._engine.diagnose("signed packages were not accepted", {"problem": str(error)})

    def _accept(self, act: str, ids: set[str]) -> None:
        engine = self._engine
        done = self._done()
        if not self._wanted() or act in done or not engine.announcer.flush(parked=False):
            return
        chosen = [one for id in sorted(ids) if (one := self._still(id, act)) is not None]
        if not chosen:
            return
        engine.baseline.remember(NOTE, json.dumps([*done, act][-KEPT:]))
        accept(engine, chosen, ACTOR, f"signed packages ({act})", "baseline.packages-accepted")

    def _still(self, id: str, act: str) -> Finding | None:
        """The finding, if it is open and its story is what it was."""
        found, story = self._engine.findings.get(id), self._engine.stories.of(id)
        return found[0] if found and found[1] == OPEN and takes(story) and story.act == act else None

    def _wanted(self) -> bool:
        return self._engine.config.baseline.accept_packages == "signed"

    def _done(self) -> list[str]:
        try:
            found = json.loads(str(self._engine.baseline.recall(NOTE) or "[]"))
        except ValueError:
            return []
        return [str(one) for one in found] if isinstance(found, list) else []
