"""An update of ourselves: what the package manager replaces is a recorded approval rather than an alarm.

The package announces it before it touches a file (`hostguardctl updating`). From then on what differs in
our own files is held back, for `WAIT` at most; and the daemon that the package starts when all is in place
holds it against the package's own list (`manifest`). What agrees becomes a generation, with the name of who
announced it; what does not is told as drift.

The rules kept here: an announcement is itself a loud alert with its actor, on its way before anything is
held back, as an intruder with root's rights could make one; what is held back is bounded in time and by
name, and is told in the end if nobody explains it; nothing but our own files is ever held back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from .. import __version__
from ..errors import HostguardError
from ..host.clock import Clock
from ..host.texts import TextHost
from ..manifest import LARGEST, PLACE, agrees, is_own, parse
from ..model import FileFact, Generation, Row, Value, join
from ..store.baseline import Baseline
from ..store.database import Database
from ..store.findings import ACCEPTED, Findings
from .interface import Tell
from .keeper import Change

SECOND = 1_000_000_000
WAIT = 15 * 60 * SECOND
"""From the announcement to the new daemon's first look: the package manager installs all its other packages
in between."""

NOTE = "updating"
"""The name under which an announcement survives the restart it is about."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Who announced an update to what, at which wall-clock nanoseconds."""

    at: int
    actor: str
    version: str


class OwnUpdate:
    """What was announced, and what is held back for it. `emit` takes a change that is to be told."""

    def __init__(
        self,
        database: Database,
        baseline: Baseline,
        findings: Findings,
        texts: TextHost,
        clock: Clock,
        tell: Tell,
        emit: Callable[[Change], None],
    ) -> None:
        self._database = database
        self._baseline = baseline
        self._findings = findings
        self._texts = texts
        self._clock = clock
        self._tell = tell
        self._emit = emit
        self._announced: Announcement | None = None
        self._until = 0
        self._restarted = False
        self._held: dict[Row, Change] = {}

    def announce(self, actor: str, version: str) -> int:
        """The package manager is about to replace our files. Returns nanoseconds that this may take."""
        announced = Announcement(self._clock.wall(), actor, version)
        self._tell("package.announced", actor=actor, version=version, wait=WAIT)
        self._baseline.remember(NOTE, json.dumps([announced.at, actor, version]))
        self._announced, self._until = announced, self._clock.mono() + WAIT
        return WAIT

    def resume(self) -> None:
        """At our start: was this start announced?"""
        announced = _read(self._baseline.recall(NOTE))
        if announced is None:
            return
        left = WAIT - (self._clock.wall() - announced.at)
        self._announced = announced
        self._until = self._clock.mono() + min(max(left, 0), WAIT)
        self._restarted = True

    @property
    def going_on(self) -> bool:
        """Whether an update was announced and is not over."""
        return self._announced is not None

    def takes(self, change: Change) -> bool:
        """Hold a change back, if it is of a file of ours and an update is going on."""
        if self._announced is None or change.fact is not FileFact or not is_own(_path(change.key)):
            return False
        self._held[change.key] = change
        return True

    def overdue(self) -> None:
        """Tell what was held back for an update that does not end."""
        announced = self._announced
        if announced is None or self._clock.mono() < self._until:
            return
        self._forget()
        self._tell("package.overdue", actor=announced.actor, wait=WAIT)
        self._release()

    def conclude(self) -> Generation | None:
        """All our files were looked at after the restart: accept what is the package's, tell the rest.

        Returns the generation that this made, if it made one.
        """
        announced = self._announced
        if announced is None or not self._restarted:
            return None
        manifest = parse(self._texts.read(PLACE, LARGEST).data or b"")
        agreed = [
            change
            for key, change in self._held.items()
            if not change.restored and agrees(manifest, _path(key), change.row)
        ]
        made = self._approve(announced, agreed) if agreed else None
        current = made or self._baseline.current()
        self._forget()
        for change in agreed if made else ():
            del self._held[change.key]
        self._tell(
            "package.updated",
            version=__version__,
            actor=announced.actor,
            changes=len(agreed) if made else 0,
            generation=current.number if current else 0,
            digest=current.digest if current else "",
        )
        self._release()
        return made

    def _approve(self, announced: Announcement, agreed: list[Change]) -> Generation | None:
        """A generation with what agreed; None if it could not be made, and all of it is to be told."""
        at = self._clock.wall()
        keys = [(change.fact, change.key) for change in agreed]
        try:
            with self._database.transaction():
                for change in agreed:
                    self._baseline.keep_content(change.contents.items())
                    self._baseline.note(change.fact, change.key, change.row)
                    if (known := self._findings.of_key(change.fact, change.key)) is not None:
                        self._findings.close(known.id, ACCEPTED, at)
                return self._baseline.approve(
                    at, announced.actor, f"update of hostguardd to {announced.version}", keys
                )
        except HostguardError:
            return None

    def _forget(self) -> None:
        """The announcement is over."""
        self._announced, self._restarted = None, False
        try:
            self._baseline.remember(NOTE, None)
        except HostguardError:
            pass  # a full disk: the next start finds it overdue

    def _release(self) -> None:
        held, self._held = self._held, {}
        for change in held.values():
            self._emit(change)


def _read(note: Value) -> Announcement | None:
    """The announcement that was written down. What is damaged announces nothing: all is drift then."""
    if not isinstance(note, str):
        return None
    try:
        match json.loads(note):
            case [int(at), str(actor), str(version)]:
                return Announcement(at, actor, version)
    except ValueError:
        pass
    return None


def _path(key: Row) -> bytes:
    folder, name = key
    assert isinstance(folder, bytes)
    assert isinstance(name, bytes)
    return join(folder, name)
