"""An opened store with an approved generation, for tests that need one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hostguardd.model import Fact, FileFact
from hostguardd.store.baseline import Baseline
from hostguardd.store.database import Database
from hostguardd.store.findings import Findings
from tests.alerts import FILE, NOW

FOLDER = replace(FILE, name=b"d", mode=0o040755, size=4096, sha256=b"", links=2)


def file(path: bytes, **more: object) -> FileFact:
    """A plain file at `path`."""
    folder, _, name = path.rpartition(b"/")
    return replace(FILE, folder=folder or b"/", name=name, **more)  # type: ignore[arg-type]


def folder(path: bytes, **more: object) -> FileFact:
    """A plain folder at `path`."""
    above, _, name = path.rpartition(b"/")
    return replace(FOLDER, folder=above or b"/", name=name, **more)  # type: ignore[arg-type]


class State:
    """A database with what belongs to it."""

    def __init__(self, path: Path, facts: Iterable[Fact] | None = None) -> None:
        self.path = path
        self.database = Database(path)
        self.baseline = Baseline(self.database)
        self.findings = Findings(self.database)
        if facts is not None:
            self.capture(facts)

    def capture(self, facts: Iterable[Fact]) -> None:
        """Make `facts` a generation."""
        number = self.baseline.begin_capture()
        for fact in facts:
            self.baseline.add(number, type(fact), [fact.row()])
        self.baseline.finish_capture(number, NOW, "a test", "", reviewed=True)

    def close(self) -> None:
        self.database.close()
