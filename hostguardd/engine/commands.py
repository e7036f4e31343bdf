"""What control requests do: one method for each call of the table in `control.calls`.

The rules kept here: nothing becomes approved that the administrator was not shown (`review` keeps
what that was, and its token names it); every approval is itself an alert with its actor; and long
reading of the log or the whole baseline happens in a thread with handles of its own, so that the
loop goes on watching.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from .. import __version__
from ..control.job import Job
from ..describe import finding_alert, finding_json
from ..errors import BaselineError, HostguardError, UsageError
from ..host.own import cost
from ..model import Depth, FileFact, Finding, Generation, Severity, Value
from ..record import escape, parse, timestamp
from ..store import chain
from ..store.baseline import Baseline
from ..store.database import Database
from ..store.findings import ACCEPTED, OPEN
from ..subjects import fact_json
from .coverage import SECOND
from .doctor import examine, examine_host
from .engine import Engine
from .forwarded import destinations
from .review import Review, aside, review
from .work import Work

FOLLOW_EVERY = 0.2
PAGE = 500
"""Findings in one answer: each is some kilobytes while it is on its way, and there may be 100,000."""

LEAST_OF_ALL = "nothing is approved yet: the first capture is still running"


class Commands:
    """Answers jobs on the engine's thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._shown: Review | None = None
        self._calls: Mapping[str, Callable[[Job], None]] = {
            "status": self._status,
            "drift": self._drift,
            "explain": self._explain,
            "check": self._check,
            "review": self._review,
            "approve": self._approve,
            "accept": self._accept,
            "history": self._history,
            "diff": self._diff,
            "rollback": self._rollback,
            "alerts": self._alerts,
            "verify": self._verify,
            "doctor": self._doctor,
            "updating": self._updating,
            "test-alert": self._test_alert,
        }

    def handle(self, job: Job) -> None:
        """Answer, or start what will answer."""
        try:
            self._calls[job.call](job)
        except HostguardError as error:
            job.fail(error)

    # -- reading ---------------------------------------------------------------------------------

    def _status(self, job: Job) -> None:
        engine = self._engine
        current = engine.baseline.current()
        counts = engine.findings.counts()
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
                "generation": _generation(current) if current else None,
                "open": {s.label: counts.get(s, 0) for s in sorted(Severity, reverse=True) if s},
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
                "memory_rss": spent.resident,
                "cpu_seconds": round(spent.processor, 3),
            }
        )

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
        engine.announcer.flush()
        job.finish(
            {"generation": self._current().number, **self._open(job.args["severity"], job.args["offset"])}
        )

    def _open(self, least: Severity = Severity.INFO, offset: int = 0) -> dict[str, Any]:
        """A page of the open findings, and at which offset the next one begins (None: no more)."""
        page = list(islice(self._engine.announcer.open(least), offset, offset + PAGE + 1))
        told = [finding_json(finding, self._engine.names) for finding in page[:PAGE]]
        return {"findings": told, "more": offset + PAGE if len(page) > PAGE else None}

    def _explain(self, job: Job) -> None:
        ahead = (one for one in self._engine.announcer.open() if one.id == job.args["id"])
        found = self._engine.findings.get(job.args["id"]) or next(((one, OPEN) for one in ahead), None)
        if found is None:
            raise UsageError(f"there is no finding {job.args['id']}: hostguardctl drift lists the open ones")
        finding, status = found
        job.finish({"finding": finding_json(finding, self._engine.names) | {"status": status}})

    def _check(self, job: Job) -> None:
        engine = self._engine
        self._current()
        before = {finding.id for finding in engine.announcer.open()}

        def finish(work: Work) -> None:
            self._swept(work)
            job.finish(
                {
                    **self._open(),
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
        engine.looking.everything("check", self._guarded(job, finish), depth=depth, job=job)

    def _history(self, job: Job) -> None:
        job.finish({"generations": [_generation(g) for g in self._engine.baseline.history()]})

    def _diff(self, job: Job) -> None:
        current = self._current()
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
        _aside(job, lambda: job.finish({"checks": known + examine_host()}))

    def _test_alert(self, job: Job) -> None:
        engine = self._engine
        engine.announcer.flush()
        alert = engine.tell("alert.tested", actor=job.actor)
        engine.announcer.flush()
        if engine.announcer.unwritable:
            raise HostguardError(f"it could not be written: {engine.announcer.unwritable}")
        sequence = engine.log.head[0]
        found = destinations(engine.config, sequence, engine.clock.wall())
        job.finish({"id": alert.id, "sequence": sequence, "destinations": found})

    def _updating(self, job: Job) -> None:
        self._current()
        wait = self._engine.update.announce(job.actor, job.args["version"])
        job.finish({"wait": wait / SECOND})

    # -- moving the baseline ---------------------------------------------------------------------

    def _review(self, job: Job) -> None:
        self._current()

        def finish(work: Work) -> None:
            self._swept(work)
            current = self._current()
            self._shown = review(current.number, self._engine.findings)
            job.finish({**self._open(), "generation": _generation(current), "token": self._shown.token})

        self._engine.looking.everything("review", self._guarded(job, finish), job=job)

    def _approve(self, job: Job) -> None:
        engine = self._engine
        engine.announcer.flush()
        shown = self._shown
        if shown is None or job.args["token"] != shown.token or shown.generation != self._current().number:
            raise UsageError("the baseline changed since that review, or another one was made: look again")
        later = shown.missing(engine.findings)
        approved = Counter(engine.findings.counts())
        approved.subtract(finding.verdict.severity for finding in later)
        dropped: list[tuple[type[FileFact], Value]] = [
            (FileFact, scope)
            for scope in engine.baseline.scopes(FileFact)
            if isinstance(scope, bytes) and engine.parts.watches.plan(scope).empty
        ]
        at = engine.clock.wall()
        with engine.database.transaction():
            with aside(engine.baseline, later):
                made = engine.baseline.approve(at, job.actor, job.args["reason"], dropped=dropped)
            engine.findings.close_all(ACCEPTED, at)
            for finding in later:
                engine.findings.put(finding)
            engine.findings.prune()
        self._moved(made)
        engine.tell(
            "baseline.approved",
            generation=made.number,
            actor=job.actor,
            changes=approved.total(),
            summary=_summary(approved),
            reason=job.args["reason"] or "no reason given",
            digest=made.digest,
        )
        self._shown = None
        job.finish({"generation": _generation(made), "left": len(later)})

    def _accept(self, job: Job) -> None:
        engine = self._engine
        engine.announcer.flush()
        chosen = [self._open_one(id) for id in dict.fromkeys(job.args["ids"])]
        keys = [(f.drift.fact, f.drift.subject.row()[: len(f.drift.fact.KEY)]) for f in chosen]
        at = engine.clock.wall()
        with engine.database.transaction():
            made = engine.baseline.approve(at, job.actor, job.args["reason"], keys)
            for finding in chosen:
                engine.findings.close(finding.id, ACCEPTED, at)
        self._moved(made)
        engine.announcer.tell(
            *(finding_alert(replace(f, last_seen=at), "accepted", at, engine.names, made) for f in chosen)
        )
        engine.tell(
            "baseline.accepted",
            generation=made.number,
            actor=job.actor,
            changes=len(chosen),
            summary=_summary(Counter(finding.verdict.severity for finding in chosen)),
            reason=job.args["reason"] or "no reason given",
            digest=made.digest,
        )
        job.finish({"generation": _generation(made), "accepted": [finding.id for finding in chosen]})

    def _rollback(self, job: Job) -> None:
        engine = self._engine
        engine.announcer.flush()
        number, at = job.args["number"], engine.clock.wall()
        if number == self._current().number:
            raise UsageError(f"generation {number} is the one in force")
        with engine.database.transaction():
            made = engine.baseline.rollback(number, at, job.actor, job.args["reason"])
            engine.findings.close_all("void", at)
        self._moved(made)
        engine.tell(
            "baseline.rolledback",
            generation=made.number,
            number=number,
            actor=job.actor,
            reason=job.args["reason"] or "no reason given",
            digest=made.digest,
        )
        engine.looking.sweep_now("files.quick", "setid", "live")
        job.finish({"generation": _generation(made)})

    def _moved(self, made: Generation) -> None:
        """After every approval: prune, and a copy in case the original breaks."""
        engine = self._engine
        engine.baseline.prune(engine.config.baseline.keep)
        engine.backup()

    def _open_one(self, id: str) -> Finding:
        found = self._engine.findings.get(id)
        if found is None or found[1] != OPEN:
            what = "no finding" if found is None else f"not open any more ({found[1]})"
            raise UsageError(f"{id}: {what}; hostguardctl drift lists the open ones. Nothing was accepted")
        return found[0]

    def _current(self) -> Generation:
        current = self._engine.baseline.current()
        if current is None:
            raise BaselineError(LEAST_OF_ALL)
        return current

    # -- long work -------------------------------------------------------------------------------

    def _swept(self, work: Work) -> None:
        """After a sweep that somebody waited for: tell what it found before answering."""
        self._engine.announcer.flush()
        self._engine.looking.note_blinds(work)

    def _guarded(self, job: Job, finish: Callable[[Work], None]) -> Callable[[Work], None]:
        """`finish`, unless the sweep was broken off."""

        def end(work: Work) -> None:
            if work.failed or work.cancelled:
                job.fail(
                    HostguardError(f"the sweep was broken off: {work.failed or 'another one took its place'}")
                )
                return
            try:
                finish(work)
            except HostguardError as error:
                job.fail(error)

        return end

    def _verify(self, job: Job) -> None:
        folder, head, path = self._engine.log.folder, self._engine.log.head, self._engine.database.path
        _aside(job, lambda: job.finish(_verification(folder, head, path)))

    def _alerts(self, job: Job) -> None:
        log, args = self._engine.log, job.args

        damaged = 0

        def wanted(line: bytes) -> bool:
            nonlocal damaged
            try:
                record = parse(line)
                severity = Severity[str(record["hostguard"]["severity"]).upper()]
                at = str(record["@timestamp"])
            except (HostguardError, KeyError, TypeError):
                damaged += 1  # which and how is what `verify` tells
                return False
            return severity >= args["severity"] and (args["since"] is None or at >= timestamp(args["since"]))

        def run() -> None:
            last, count = 0, 0
            newest: deque[bytes] = deque(maxlen=args["limit"] or None)
            for number, line in log.read(0):
                last = number
                if not wanted(line):
                    continue
                count += 1
                if args["limit"]:
                    newest.append(line)
                elif not self._put(job, line):
                    return
            for line in newest:
                if not self._put(job, line):
                    return
            while args["follow"] and not job.cancelled and self._engine.state != "stopping":
                if log.head[0] == last:
                    time.sleep(FOLLOW_EVERY)
                    continue
                for number, line in log.read(last):
                    last = number
                    if wanted(line):
                        count += 1
                        if not self._put(job, line):
                            return
            job.finish({"count": count, "damaged": damaged})

        _aside(job, run)

    def _put(self, job: Job, line: bytes) -> bool:
        """Hand a line on, waiting for a slow reader; False when there is none any more."""
        while job.full and not job.cancelled:
            job.room(1.0)
        job.item(line)
        return not job.cancelled


def _aside(job: Job, run: Callable[[], None]) -> None:
    """Do long reading in a thread of its own."""

    def guarded() -> None:
        try:
            run()
        except HostguardError as error:
            job.fail(error)
        except Exception as error:  # noqa: BLE001 - the thread's edge: somebody waits for an answer
            job.fail(HostguardError(f"{job.call} failed: {type(error).__name__}: {error}"))

    threading.Thread(target=guarded, name=f"answer-{job.call}", daemon=True).start()


def _verification(folder: str, head: tuple[int, str], path: Any) -> dict[str, Any]:
    """Check the log's chain and the baseline's digest, with handles of our own."""
    found = chain.verify(folder, head)
    told: dict[str, Any] = {"generation": 0, "facts": 0, "digest": "", "problem": ""}
    try:
        database = Database(path, readonly=True)
        try:
            current = Baseline(database, readonly=True).verify()
            told |= {"generation": current.number, "facts": current.facts, "digest": current.digest}
        finally:
            database.close()
    except FileNotFoundError:
        told |= {"problem": f"{path} is gone: it was taken away while hostguardd runs", "missing": True}
    except HostguardError as error:
        told["problem"] = str(error)
    log = {
        "lines": found.lines,
        "first": found.first,
        "last": found.last,
        "problem": "" if found.ok else found.sentence,
    }
    return {"ok": found.ok and not told["problem"], "baseline": told, "log": log}


def _summary(counts: Counter[Severity]) -> str:
    """`1 critical, 2 low`, the loudest first."""
    words = [f"{counts[one]} {one.label}" for one in sorted(counts, reverse=True) if counts[one] > 0]
    return ", ".join(words) or "none that was told"


def _generation(g: Generation) -> dict[str, Any]:
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
