"""What control requests do: one method for each call of the table in `control.calls` that changes something;
`queries` answers the others.

The rules kept here: nothing becomes approved that the administrator was not shown (`review` keeps
what that was, and its token names it); and every approval is itself an alert with its actor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..control.job import Job
from ..errors import HostguardError, UsageError
from ..model import FileFact, Finding, Value
from ..store.findings import ACCEPTED, OPEN
from .announced import WindowCalls
from .approving import accept, counted, moved, tellable
from .coverage import SECOND
from .engine import Engine
from .forwarded import destinations
from .groupcalls import GroupCalls
from .grouping import keyed, named
from .queries import Queries, generation_json
from .review import Review, aside, shown
from .work import Work


class Commands:
    """Answers jobs on the engine's thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queries = Queries(engine)
        self._shown: Review | None = None
        self._calls: Mapping[str, Callable[[Job], None]] = {
            **self._queries.calls,
            **WindowCalls(engine, self._queries).calls,
            **GroupCalls(engine, self._queries).calls,
            "review": self._review,
            "approve": self._approve,
            "findings": self._findings,
            "accept": self._accept,
            "rollback": self._rollback,
            "updating": self._updating,
            "test-alert": self._test_alert,
        }

    def handle(self, job: Job) -> None:
        """Answer, or start what will answer."""
        try:
            self._calls[job.call](job)
        except HostguardError as error:
            job.fail(error)

    def _review(self, job: Job) -> None:
        self._queries.current()

        def finish(_work: Work) -> None:
            current = self._queries.current()
            self._shown = shown(
                current.number, self._engine.findings.open(), named(dict(keyed(self._engine.stories)))
            )
            job.finish(
                {
                    **self._queries.open_page(),
                    "generation": generation_json(current),
                    "token": self._shown.token,
                }
            )

        self._engine.looking.everything("review", self._queries.swept(job, finish), job=job)

    def _approve(self, job: Job) -> None:
        engine = self._engine
        engine.announcer.flush()
        tellable(engine)
        review = self._shown
        if (
            review is None
            or job.args["token"] != review.token
            or review.generation != self._queries.current().number
        ):
            raise UsageError("the baseline changed since that review, or another one was made: look again")
        keys = dict(keyed(engine.stories))
        later = review.missing(engine.findings.open(), named(keys))
        left = {finding.id for finding in later}
        approved = counted((one for one in engine.findings.open() if one.id not in left), keys)
        dropped: list[tuple[type[FileFact], Value]] = [
            (FileFact, scope)
            for scope in engine.baseline.scopes(FileFact)
            if isinstance(scope, bytes) and engine.parts.watches.plan(scope).empty
        ]
        at = engine.clock.wall()
        with engine.database.transaction():
            with aside(engine.baseline, later):
                made = engine.baseline.approve(at, job.actor, job.args["reason"], dropped=dropped)
            if trust := job.args["trust"]:
                engine.baseline.keep_trust(made.number, trust)
            engine.findings.close_all(ACCEPTED, at)
            for finding in later:
                engine.findings.put(finding)
            engine.findings.prune()
            engine.stories.prune()
        moved(engine)
        engine.tell(
            "baseline.approved",
            generation=made.number,
            actor=job.actor,
            **approved,
            reason="; ".join(filter(None, (job.args["reason"] or "no reason given", trust))),
            digest=made.digest,
        )
        self._shown = None
        job.finish({"generation": generation_json(made) | {"trust": trust}, "left": len(later)})

    def _findings(self, job: Job) -> None:
        chosen = self._chosen(job)
        job.finish({"findings": self._queries.listed(chosen), "token": self._token(chosen)})

    def _accept(self, job: Job) -> None:
        chosen = self._chosen(job)
        if job.args["token"] not in {None, self._token(chosen)}:
            raise UsageError("it changed since it was shown: look again; nothing was accepted")
        made = accept(self._engine, chosen, job.actor, job.args["reason"])
        job.finish({"generation": generation_json(made), "accepted": [finding.id for finding in chosen]})

    def _rollback(self, job: Job) -> None:
        engine = self._engine
        engine.announcer.flush()
        tellable(engine)
        number, at = job.args["number"], engine.clock.wall()
        if number == self._queries.current().number:
            raise UsageError(f"generation {number} is the one in force")
        with engine.database.transaction():
            made = engine.baseline.rollback(number, at, job.actor, job.args["reason"])
            engine.findings.close_all("void", at)
        moved(engine)
        engine.windows.unseen()
        engine.tell(
            "baseline.rolledback",
            generation=made.number,
            number=number,
            actor=job.actor,
            reason=job.args["reason"] or "no reason given",
            digest=made.digest,
        )
        engine.looking.sweep_now("files.quick", "setid", "live")
        job.finish({"generation": generation_json(made)})

    def _chosen(self, job: Job) -> list[Finding]:
        self._engine.announcer.flush()
        return [self._open_one(id) for id in dict.fromkeys(job.args["ids"])]

    def _token(self, chosen: Iterable[Finding]) -> str:
        return shown(self._queries.current().number, chosen).token

    def _open_one(self, id: str) -> Finding:
        found = self._engine.findings.get(id)
        if found is None or found[1] != OPEN:
            what = "no finding" if found is None else f"not open any more ({found[1]})"
            raise UsageError(f"{id}: {what}; hostguardctl drift lists the open ones. Nothing was accepted")
        return found[0]

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
        self._queries.current()
        wait = self._engine.update.announce(job.actor, job.args["version"])
        job.finish({"wait": wait / SECOND})
