"""What control requests ask: one method for each call of the table in `control.calls` that approves nothing.

A check looks at everything and judges it, as a periodic sweep does; the rest only reads what there is. What
takes long to read is read aside (`reading`), so that the loop goes on watching.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from .. import __version__
from ..control.job import Job
from ..describe import finding_json
from ..errors import BaselineError, HostguardError
from ..host.own import cost
from ..model import Depth, Finding, Generation, Severity
from ..record import escape, timestamp
from ..subjects import fact_json
from ..windows import window_json
from .blinds import note_blinds
from .coverage import SECOND
from .doctor import examine, examine_host
from .engine import Engine
from .explaining import explain
from .forwarded import destinations
from .grouping import brief, groups, groups_json
from .reading import aside, send_alerts, verification
from .work import Work

PAGE = 500
"""Findings in one answer: each is some kilobytes while it is on its way, and there may be 100,000."""

JUDGED_WITHIN = 60.0
"""Seconds that an answer waits for what a package manager's transaction explains."""

LEAST_OF_ALL = "nothing is approved yet: the first capture is still running"


class Queries:
    """Answers jobs on the engine's thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.calls: Mapping[str, Callable[[Job], None]] = {
            "status": self._status,
            "drift": self._drift,
            "explain": self._explain,
            "check": self._check,
            "history": self._history,
            "diff": self._diff,
            "alerts": self._alerts,
            "verify": self._verify,
            "doctor": self._doctor,
        }

    def _status(self, job: Job) -> None:
        engine = self._engine
        current = engine.baseline.current()
        counts = engine.announcer.counts()
        watched, unwatched = engine.coverage.folders(), engine.coverage.unwatched()
        sequence, head = engine.log.head
        spent = cost()
        job.finish(
            {
                "version": __version__,
                "pid": os.getpid(),
                "state": engine.state,
                "progress": engine.looking.progress(),
                "since": timestamp(engine.started),
                "mode": "unprivileged" if os.geteuid() else "root",
                "generation": generation_json(current) if current else None,
                "open": {s.label: counts.get(s, 0) for s in sorted(Severity, reverse=True) if s},
                "windows": [window_json(one) for one in engine.windows.all() if not one.ended],
                "coverage": {
                    "watched_folders": watched,
                    "unwatched_folders": sum(unwatched.values()),
                    "unwatched": {os.strerror(code): count for code, count in unwatched.items()},
                    "overflows": engine.coverage.overflows,
                    "live": engine.coverage.alive,
                    "blinds": [
                        {"kind": b.kind, "scope": escape(b.scope), "reason": b.reason}
                        for b in engine.baseline.blinds()
                    ],
                },
                "sensors": self._sensors(),
                "log": {
                    "sequence": sequence,
                    "head": head,
                    "size": engine.log.size,
                    "unwritable": engine.announcer.unwritable or False,
                },
                "destinations": destinations(engine.config, sequence, engine.clock.wall()),
                "actors": self._actors(),
                "memory_rss": spent.resident,
                "cpu_seconds": round(spent.processor, 3),
            }
        )

    def _actors(self) -> dict[str, Any]:
        engine = self._engine
        witness, told = engine.witness, engine.attribution
        if witness is None or told is None:
            return {"rungs": [], "missing": {}, "named": 0, "unnamed": 0, "losses": {}}
        return {
            "rungs": [one.value for one in witness.rungs.standing],
            "missing": dict(witness.rungs.missing),
            "losses": dict(witness.rungs.losses),
            "named": told.named,
            "unnamed": told.unnamed,
        }

    def _sensors(self) -> dict[str, Any]:
        engine = self._engine
        offset = engine.clock.wall() - engine.clock.mono()

        def stamp(at: float) -> str | None:
            return timestamp(int(at * SECOND) + offset) if at else None

        found = {}
        for name, p in engine.looking.schedule.items():
            paced = (
                f"it takes {p.cpu:.1f} s of CPU, so it comes every {p.spacing:.0f} s to stay within its share"
            )
            found[name] = {
                "interval": p.interval,
                "last_began": stamp(p.began),
                "last_ended": stamp(p.ended),
                "entries": p.entries,
                "duration": p.ended - p.began if p.ended > p.began > 0 else None,
                "cpu": p.cpu,
                "running": p.running,
                "next": stamp(p.due),
                "paced": paced if p.paced else False,
            }
        return found

    def _drift(self, job: Job) -> None:
        engine = self._engine
        engine.announcer.flush(parked=False)
        job.finish(
            {"generation": self.current().number, **self.open_page(job.args["severity"], job.args["offset"])}
        )

    def open_page(self, least: Severity = Severity.INFO, offset: int = 0) -> dict[str, Any]:
        """A page of the open findings, and at which offset the next one begins (None: no more)."""
        engine = self._engine
        page = list(islice(engine.announcer.open(least), offset, offset + PAGE + 1))
        return {
            "findings": self.listed(page[:PAGE]),
            "more": offset + PAGE if len(page) > PAGE else None,
            **groups_json([] if offset else groups(engine.announcer.open(least), engine.stories)),
        }

    def listed(self, findings: Iterable[Finding]) -> list[dict[str, Any]]:
        """Findings in a list, each with what explains it."""
        stories, names = self._engine.stories, self._engine.names
        return [finding_json(one, names) | {"story": brief(stories.of(one.id))} for one in findings]

    def _explain(self, job: Job) -> None:
        explain(self._engine, job)

    def _check(self, job: Job) -> None:
        engine = self._engine
        self.current()
        before = {finding.id for finding in engine.announcer.open()}

        def finish(work: Work) -> None:
            job.finish(
                {
                    **self.open_page(),
                    "new": sum(finding.id not in before for finding in engine.announcer.open()),
                    "blinds": [
                        {"kind": b.kind, "scope": escape(b.scope), "reason": b.reason}
                        for b in work.blinds.values()
                    ],
                    "more_blinds": work.more_blinds,
                    "duration": round(time.monotonic() - work.began, 3),
                    "took": {name: round(seconds, 3) for name, seconds in work.took.items()},
                }
            )

        depth = Depth.FULL if job.args["full"] else Depth.QUICK
        engine.looking.everything("check", self.swept(job, finish), depth=depth, job=job)

    def _history(self, job: Job) -> None:
        baseline = self._engine.baseline
        told = [generation_json(g) | {"trust": baseline.trust(g.number)} for g in baseline.history()]
        job.finish({"generations": told})

    def _diff(self, job: Job) -> None:
        current = self.current()
        new = job.args["b"] or current.number
        old = job.args["a"] or (current.parent or current.number)
        names, offset = self._engine.names, job.args["offset"]
        page = list(islice(self._engine.baseline.diff(old, new), offset, offset + PAGE + 1))
        changes = [
            {
                "kind": d.fact.KIND,
                "label": escape(d.subject.label),
                "action": d.action.value,
                "changed": list(d.changed),
                "before": d.before and fact_json(d.before, names),
                "after": d.after and fact_json(d.after, names),
            }
            for d in page[:PAGE]
        ]
        more = offset + PAGE if len(page) > PAGE else None
        job.finish({"a": old, "b": new, "changes": changes, "more": more})

    def _doctor(self, job: Job) -> None:
        known = examine(self._engine)
        aside(job, lambda: job.finish({"checks": known + examine_host()}))

    def _verify(self, job: Job) -> None:
        folder, head, path = self._engine.log.folder, self._engine.log.head, self._engine.database.path
        aside(job, lambda: job.finish(verification(folder, head, path)))

    def _alerts(self, job: Job) -> None:
        engine = self._engine
        aside(job, lambda: send_alerts(job, engine.log, lambda: engine.state == "stopping"))

    # -- what others answer with, too ------------------------------------------------------------

    def current(self) -> Generation:
        """The generation in force. Raises BaselineError where there is none yet."""
        current = self._engine.baseline.current()
        if current is None:
            raise BaselineError(LEAST_OF_ALL)
        return current

    def swept(self, job: Job, finish: Callable[[Work], None]) -> Callable[[Work], None]:
        """After a sweep that somebody waited for: tell what it found, then `finish`; unless it was broken
        off."""
        engine = self._engine

        ended: list[float] = []

        def end(work: Work) -> None:
            ended.append(time.monotonic())
            # What was found is being held against its package.
            if engine.provenance.settling and time.monotonic() < ended[0] + JUDGED_WITHIN:
                engine.defer(lambda: end(work))
                return
            if work.failed or work.cancelled:
                job.fail(
                    HostguardError(f"the sweep was broken off: {work.failed or 'another one took its place'}")
                )
                return
            try:
                engine.announcer.flush(parked=False)
                note_blinds(work, engine.baseline, engine.clock.wall(), engine.tell)
                finish(work)
            except HostguardError as error:
                job.fail(error)

        return end


def generation_json(g: Generation) -> dict[str, Any]:
    """A generation as it is told."""
    return {
        "number": g.number,
        "at": timestamp(g.at),
        "actor": g.actor,
        "reason": g.reason,
        "reviewed": g.reviewed,
        "digest": g.digest,
        "facts": g.facts,
        "parent": g.parent,
    }
