"""What control requests about change windows do: open, extend, end, list, and accept what lay inside one.

The rule kept here: what is accepted in one stroke is what was shown, which its token names, and only of a
window that has ended, so that nothing joins it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..control.job import Job
from ..errors import HostguardError, UsageError
from ..model import Finding
from ..windows import Window, window_json
from .approving import accept
from .engine import Engine
from .queries import PAGE, Queries, generation_json
from .review import shown


class WindowCalls:
    """Answers jobs on the engine's thread."""

    def __init__(self, engine: Engine, queries: Queries) -> None:
        self._engine = engine
        self._queries = queries
        self.calls: Mapping[str, Callable[[Job], None]] = {
            "windows": self._list,
            "window": self._show,
            "window-open": self._open,
            "window-extend": self._extend,
            "window-end": self._end,
            "window-accept": self._accept,
        }

    def _list(self, job: Job) -> None:
        job.finish({"windows": [self._told(one) for one in self._engine.windows.all()]})

    def _show(self, job: Job) -> None:
        self._flush()
        window, offset = self._engine.windows.get(job.args["id"]), job.args["offset"]
        ids = self._engine.stories.open_of_act(window.id)
        job.finish(
            {
                "window": self._told(window),
                "findings": self._queries.listed(self._findings(ids[offset : offset + PAGE])),
                "more": offset + PAGE if len(ids) > offset + PAGE else None,
                "token": "" if offset else self._token(self._findings(ids)),
            }
        )

    def _open(self, job: Job) -> None:
        self._queries.current()
        made = self._engine.windows.open(job.actor, job.args["reason"], job.args["paths"], job.args["length"])
        job.finish({"window": self._told(made)})

    def _extend(self, job: Job) -> None:
        made = self._engine.windows.extend(job.args["id"], job.actor, job.args["length"])
        job.finish({"window": self._told(made)})

    def _end(self, job: Job) -> None:
        job.finish({"window": self._told(self._engine.windows.end(job.args["id"], job.actor))})

    def _accept(self, job: Job) -> None:
        self._flush()
        window = self._engine.windows.get(job.args["id"])
        if not window.ended:
            raise UsageError(f"window {window.id} has not ended yet: hostguardctl expect --end {window.id}")
        inside = self._findings(self._engine.stories.open_of_act(window.id))
        if not inside:
            raise UsageError(f"nothing that lay inside window {window.id} is open")
        if job.args["token"] != self._token(inside):
            raise UsageError("what lies inside changed since it was shown: look again; nothing was accepted")
        reason = job.args["reason"] or f"{window.reason} (window {window.id})"
        made = accept(self._engine, inside, job.actor, reason)
        job.finish({"generation": generation_json(made), "accepted": [one.id for one in inside]})

    def _flush(self) -> None:
        """What still waits may be of a window, or take something out of it."""
        if not self._engine.announcer.flush(parked=False):
            raise HostguardError("alerts cannot be written: what lies inside cannot be said")

    def _findings(self, ids: list[str]) -> list[Finding]:
        found = (self._engine.findings.get(id) for id in ids)
        return [one[0] for one in found if one is not None]

    def _token(self, inside: list[Finding]) -> str:
        return shown(self._queries.current().number, inside).token

    def _told(self, window: Window) -> dict[str, Any]:
        return window_json(window) | {"inside": len(self._engine.stories.open_of_act(window.id))}
