"""The approved baseline, as far as an inquiry needs it: is this thing known, changed, or new?

The rule kept: it is read and never written, and when it is not there the answer is that nobody was asked.
"""

from __future__ import annotations

from pathlib import Path

from .. import diff
from ..errors import HostguardError
from ..fact import key_of
from ..model import Fact, Generation, Row, Value
from ..store.baseline import Baseline
from ..store.database import Database
from .interface import Known


class Approved:
    """The current generation. `problem` says why there is none to ask ("" if there is)."""

    def __init__(self, path: Path | None) -> None:
        self.generation: Generation | None = None
        self.problem = "this host has no baseline"
        self._database: Database | None = None
        self._baseline: Baseline | None = None
        self._rows: dict[tuple[type[Fact], Value], dict[Value | Row, Row]] = {}
        if path is not None:
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            self._database = Database(path, readonly=True)
            self._baseline = Baseline(self._database, readonly=True)
            self.generation = self._baseline.current()
        except FileNotFoundError:
            return
        except PermissionError:
            self.problem = f"{path} may not be read by this account"
            return
        except (OSError, HostguardError) as error:
            self.problem = str(error)
            return
        self.problem = "" if self.generation else "the baseline holds no approved generation yet"

    def of(self, fact: type[Fact], scope: Value) -> dict[Value | Row, Row]:
        """The approved rows of one scope by their key within it."""
        if self._baseline is None or self.generation is None:
            return {}
        known = self._rows.get((fact, scope))
        if known is None:
            known = {key_of(fact, row): row for row in self._baseline.rows(fact, scope)}
            if len(self._rows) > 256:  # an inquiry walks from scope to scope and does not come back
                self._rows.clear()
            self._rows[fact, scope] = known
        return known

    def scopes(self, fact: type[Fact]) -> list[Value]:
        """The scopes with approved rows."""
        return self._baseline.scopes(fact) if self._baseline is not None and self.generation else []

    def known(self, seen: Fact) -> Known:
        """How something seen now stands to what is approved."""
        if self.generation is None:
            return Known.NOT_ASKED
        fact, row = type(seen), seen.row()
        before = self.of(fact, row[0]).get(key_of(fact, row))
        if before is None:
            return Known.NEW
        return Known.CHANGED if diff.changed(fact, before, row) else Known.KNOWN

    def close(self) -> None:
        """Let go of the file."""
        if self._database is not None:
            self._database.close()
            self._database = None
            self._baseline = None
