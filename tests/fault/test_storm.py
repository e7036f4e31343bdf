"""A storm: thousands of changes at once. No final state may be missed, and the log must stay readable."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.daemon import Guard, guarding, until

FILES, CHANGES = 1_000, 5_000


def truth(tree: Path, before: dict[Path, bytes]) -> dict[str, str]:
    """Path -> what became of it, by looking."""
    now = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    found = {str(path): "removed" for path in before.keys() - now.keys()}
    found |= {str(path): "added" for path in now.keys() - before.keys()}
    return found | {str(path): "changed" for path in before.keys() & now.keys() if before[path] != now[path]}


def rage(tree: Path, dice: random.Random) -> None:
    """Change, remove, rename and add, again and again."""
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    for number in range(CHANGES):
        path = dice.choice(files)
        match dice.randrange(8):
            case 0:
                path.unlink(missing_ok=True)
            case 1 if path.exists():
                os.rename(path, path.with_name(f"renamed{number}"))
            case 2:
                path.with_name(f"new{number}").write_text(f"{number}\n")
            case _:
                path.write_text(f"changed {number}\n")


@pytest.mark.parametrize("severity", ["medium", "critical"])
def test_after_a_storm_drift_is_the_truth_and_the_log_names_every_path(tmp_path: Path, severity: str) -> None:
    guard = Guard(tmp_path)
    guard.config.write_text(guard.config.read_text().replace('"medium"', f'"{severity}"'))
    for number in range(FILES):
        path = guard.tree / f"folder{number % 20:02}" / f"file{number:04}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number}\n")
    before = {path: path.read_bytes() for path in guard.tree.rglob("*") if path.is_file()}
    with guarding(guard):
        guard.start()
        rage(guard.tree, random.Random(severity))
        expected = truth(guard.tree, before)
        assert len(expected) > FILES

        def settled() -> bool:
            told = guard.findings()
            return {what: one["action"] for what, one in told.items() if what in expected} == expected

        until(settled, "drift is the truth")
        guard.call("check", full=True)
        found = {what: one["action"] for what, one in guard.findings().items()}
        assert found == expected, "and a full check finds neither more nor less"
        last: dict[str, str] = {}
        for what, state, _ in guard.stories():
            last[what] = state
        told = {what for what, state in last.items() if state != "cleared"}
        assert told >= expected.keys(), "every path can be had from the log"
        assert not (told & {str(path) for path in before}) - expected.keys(), "what is over is told as over"
        assert len(guard.alerts()) < len(expected) / 4, "and it is no line for each"
        assert guard.call("status")["memory_rss"] < 160 * 2**20
        guard.stop()
