"""What was told is written down: what is seen to differ, the finding, how it came to be.

The rule kept here: if the state cannot be written, what was told is kept until it can, so that it is not told
again; within bounds, beyond which it is found and told once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ..errors import StoreError
from ..store.baseline import Baseline
from ..store.database import Database
from ..store.findings import CLEARED, Findings
from ..store.stories import Stories
from .chronicle import Chronicle
from .held import Held, after
from .keeper import Change

MOST_UNWRITTEN: Final = 20_000


class Recorder:
    """`failed` is called with the problem when the state cannot be written any more, `again` when it can be
    once more: what was put back meanwhile could not be compared with what was seen."""

    def __init__(
        self,
        database: Database,
        baseline: Baseline,
        findings: Findings,
        stories: Stories,
        chronicle: Chronicle,
        failed: Callable[[str], None],
        again: Callable[[], None],
    ) -> None:
        self._database = database
        self._baseline = baseline
        self._findings = findings
        self._stories = stories
        self._chronicle = chronicle
        self._failed = failed
        self._again = again
        self.unwritten = Held()
        """Told, and still to be written down."""
        self.unwritable = ""

    def write(self, changes: Iterable[Change]) -> None:
        """Commit what was told, or keep it until that can be done."""
        for change in changes:
            earlier = self.unwritten.get(change.fact, change.key)
            self.unwritten.put(after(earlier, self._chronicle.told(change, earlier)))
        if not self.unwritten:
            return
        try:
            with self._database.transaction():
                for change in self.unwritten:
                    self._write(change)
        except StoreError as error:
            self._keep(str(error))
            return
        self.unwritten = Held()
        if self.unwritable:
            self.unwritable = ""
            self._again()

    def _write(self, change: Change) -> None:
        self._baseline.keep_content(change.contents.items())
        if change.restored:
            self._baseline.forget(change.fact, change.key)
        else:
            self._baseline.note(change.fact, change.key, change.row)
        if change.finding is not None:
            self._findings.put(change.finding)  # also what is over: it may never have been written down
            if change.story is not None:
                self._stories.put(change.finding.id, change.story)
            if change.event == "cleared":
                self._findings.close(change.finding.id, CLEARED, change.finding.last_seen)

    def _keep(self, problem: str) -> None:
        """Say so once, and keep what was told within bounds."""
        first, self.unwritable = not self.unwritable, problem
        if first:
            self._failed(problem)
        if len(self.unwritten) > MOST_UNWRITTEN:
            self.unwritten = Held()
