"""What control requests about groups of findings do: show some, and accept them in one stroke.

The rules kept here: what nothing explains is no group that could be accepted; and accepted is what was shown,
in the group in which it was shown, which its token names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from ..causes import NOTHING, Key
from ..control.job import Job
from ..errors import HostguardError, UsageError
from ..model import Finding
from ..story import Cause
from .approving import accept
from .engine import Engine
from .grouping import groups, groups_json, keyed
from .queries import PAGE, Queries, generation_json
from .review import shown

TAKEN: Final = (Cause.PACKAGE, Cause.AUTOMATION, Cause.SESSION)
"""Causes of which groups are accepted here. What was announced is accepted by its window, when that has
ended."""


class GroupCalls:
    """Answers jobs on the engine's thread."""

    def __init__(self, engine: Engine, queries: Queries) -> None:
        self._engine = engine
        self._queries = queries
        self.calls: Mapping[str, Callable[[Job], None]] = {"group": self._show, "group-accept": self._accept}

    def _show(self, job: Job) -> None:
        self._flush()
        offset = job.args["offset"]
        chosen = self._chosen(job.args["ids"])
        page = [one for one, _ in chosen[offset : offset + PAGE]]
        job.finish(
            {
                "findings": self._queries.listed(page),
                **groups_json(groups((one for one, _ in chosen), self._engine.stories)),
                "more": offset + PAGE if len(chosen) > offset + PAGE else None,
                "token": self._token(chosen),
            }
        )

    def _accept(self, job: Job) -> None:
        self._flush()
        chosen = self._chosen(job.args["ids"])
        if not chosen:
            raise UsageError("nothing of that group is open any more")
        if job.args["token"] != self._token(chosen):
            raise UsageError("the group changed since it was shown: look again; nothing was accepted")
        findings = [one for one, _ in chosen]
        made = accept(self._engine, findings, job.actor, job.args["reason"])
        job.finish({"generation": generation_json(made), "accepted": [one.id for one in findings]})

    def _flush(self) -> None:
        """What still waits may be of the group, or take something out of it."""
        if not self._engine.announcer.flush(parked=False):
            raise HostguardError("alerts cannot be written: what is in the group cannot be said")

    def _chosen(self, ids: Collection[str]) -> list[tuple[Finding, Key]]:
        """The open findings of groups, named by their ids or their causes, the loudest first."""
        if NOTHING.id in ids:
            raise UsageError(
                "what nothing explains is not accepted as a group: hostguardctl explain ID, then accept ID"
            )
        found = [
            (finding, key)
            for id, key in keyed(self._engine.stories)
            if key.cause in TAKEN and (key.id in ids or key.cause in ids)
            for finding, _ in filter(None, [self._engine.findings.get(id)])
        ]
        return sorted(found, key=lambda one: (-one[0].verdict.severity, one[0].first_seen, one[0].id))

    def _token(self, chosen: Collection[tuple[Finding, Key]]) -> str:
        keys = {finding.id: key.id for finding, key in chosen}
        findings = [finding for finding, _ in chosen]
        return shown(self._queries.current().number, findings, lambda id: keys[id]).token
