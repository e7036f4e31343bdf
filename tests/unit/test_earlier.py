"""What the state and the alert log tell of each other at a start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hostguardd.engine.earlier import distrust
from hostguardd.record import SCHEMA
from hostguardd.store.baseline import Baseline
from hostguardd.store.database import Database


def line(number: int, generation: int) -> bytes:
    """An alert of that number, which tells of a generation."""
    said = {"schema": SCHEMA, "chain": "0" * 64, "code": "baseline.approved"}
    return json.dumps(
        {
            "@timestamp": "2026-01-01T00:00:00Z",
            "message": "",
            "event": {"sequence": number, "id": "x"},
            "hostguard": said | {"details": {"generation": generation}},
        }
    ).encode()


class Log:
    """Lines from number `first` on, as far as they are kept; each tells of a generation or of none (0)."""

    def __init__(self, first: int, *generations: int) -> None:
        self.lines = [(number, line(number, made)) for number, made in enumerate(generations, first)]

    def read(self, after: int) -> Any:
        """As `AlertLog.read`."""
        return (one for one in self.lines if one[0] > after)


@pytest.mark.parametrize(("log", "untold"), [
    (Log(8), [2, 3]),
    (Log(8, 0, 2), [3]),
    (Log(8, 2, 3), []),
    (Log(9, 0), []),  # the line that would tell is no longer kept
])  # fmt: skip
def test_what_the_log_does_not_tell_is_told(tmp_path: Path, log: Log, untold: list[int]) -> None:
    baseline = Baseline(Database(tmp_path / "baseline.db"))
    baseline.finish_capture(baseline.begin_capture(), 1, "hostguardd", "", reviewed=False)
    baseline.remember_all({"head": "7 x", "told": 1})
    for number in (2, 3):
        made = baseline.approve(number, "alice", "")
    told: list[tuple[str, Any]] = []
    distrust(made, baseline, log, lambda code, **more: told.append((code, more["generation"])))  # type: ignore[arg-type]
    assert told == [("baseline.untold", number) for number in untold]


def test_a_state_that_never_noted_what_was_told_is_not_doubted(tmp_path: Path) -> None:
    baseline = Baseline(Database(tmp_path / "baseline.db"))
    made = baseline.finish_capture(baseline.begin_capture(), 1, "hostguardd", "", reviewed=False)
    told: list[str] = []
    distrust(made, baseline, Log(1), lambda code, **more: told.append(code))  # type: ignore[arg-type]
    assert not told
