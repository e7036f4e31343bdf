"""What several tests of hostguardctl need: an engine that answers, and a way to run a command against it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hostguardd import cli
from tests.fakeengine import FakeEngine, Run


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path) as engine:
        yield engine


@pytest.fixture
def run(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command against the engine: (exit code, standard output, standard error)."""

    def runner(*argv: str) -> tuple[int, str, str]:
        code = cli.main(["--config", str(engine.config), *argv])
        told = capsys.readouterr()
        return code, told.out, told.err

    return runner
