"""The approved baseline, as far as an inquiry needs it: is this thing known, changed, or new?

The rule kept: it is read and never written, and when it is not there the answer is that nobody was asked.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from .. import diff
from ..errors import HostguardError
from ..fact import key_of
from ..model import Fact, Generation, Row, Value
from ..store.baseline import Baseline
from ..store.database import Database
from ..store.findings import Findings
from .interface import Item, Known, Moment, Verdict

Told = TypeVar("Told", Item, Moment)


class Approved:
    """The current generation, its baseline and open findings; None of them where there is none to ask, and
    `problem` says why ("" if there is)."""

    def __init__(self, path: Path | None) -> None:
        self.generation: Generation | None = None
        self.problem = "this host has no baseline"
        self.baseline: Baseline | None = None
        self.findings: Findings | None = None
        self._database: Database | None = None
        self._rows: dict[tuple[type[Fact], Value], dict[Value | Row, Row]] = {}
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            self._database = Database(path, readonly=True)
            baseline = Baseline(self._database, readonly=True)
            self.generation = baseline.current()
        except FileNotFoundError:
            return
        except PermissionError:
            self.problem = f"{path} may not be read by this account"
            return
        except (OSError, HostguardError) as error:
            self.problem = str(error)
            return
        if self.generation is None:
            self.problem = "the baseline holds no approved generation yet"
            return
        self.problem, self.baseline, self.findings = "", baseline, Findings(self._database)

    def of(self, fact: type[Fact], scope: Value) -> dict[Value | Row, Row]:
        """The approved rows of one scope by their key within it."""
        if self.baseline is None:
            return {}
        known = self._rows.get((fact, scope))
        if known is None:
            known = {key_of(fact, row): row for row in self.baseline.rows(fact, scope)}
            if len(self._rows) > 256:  # an inquiry walks from scope to scope and does not come back
                self._rows.clear()
            self._rows[fact, scope] = known
        return known

    def scopes(self, fact: type[Fact]) -> list[Value]:
        """The scopes with approved rows."""
        return [] if self.baseline is None else self.baseline.scopes(fact)

    def known(self, seen: Fact) -> Known:
        """How something seen now stands to what is approved."""
        if self.baseline is None:
            return Known.NOT_ASKED
        fact, row = type(seen), seen.row()
        before = self.of(fact, row[0]).get(key_of(fact, row))
        if before is None:
            return Known.NEW
        return Known.CHANGED if diff.changed(fact, before, row) else Known.KNOWN

    def explains(self, known: Known) -> bool:
        """Whether an administrator reviewed this very thing: what nobody reviewed explains nothing."""
        return known is Known.KNOWN and self.generation is not None and self.generation.reviewed

    def lowered(self, told: Told) -> Told:
        """What a check tells, a grade less bad where an administrator has explained it."""
        if told.verdict < Verdict.NOTABLE or not self.explains(told.known):
            return told
        assert self.generation is not None
        verdict = Verdict.NOTABLE if told.verdict is Verdict.SUSPICIOUS else Verdict.FINE
        if isinstance(told, Moment):
            return replace(told, verdict=verdict)
        lower = replace(
            told, verdict=verdict, says=f"{told.says}; so approved in generation {self.generation.number}"
        )
        return lower if verdict is Verdict.NOTABLE else replace(lower, means="", next="", technique="")

    def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()
            self._database = self.baseline = self.findings = None
