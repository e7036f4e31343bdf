"""Logs under the whole daemon: what is cut while it watches, while it is dead, and after it was approved."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Guard, guarding, until

LINE = "Nov 23 13:20:00 web1 sshd[812]: Accepted publickey for alice from 203.0.113.9 port 4242 ssh2\n"


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("secure.log", "messages.log", "cron.log"):
        (logs / name).write_text(LINE * 400)
    section = f"[logs]\nfiles = [{json.dumps(str(logs / '*.log'))}]\n[sweeps]\nlogs = '200ms'"
    made = Guard(tmp_path / "guard", sections=section)
    with guarding(made):
        yield made


def test_cut_awake_dead_and_again(guard: Guard) -> None:
    logs = guard.folder.parent / "logs"
    guard.start()
    shutil.copy(logs / "cron.log", logs / "cron.log.1")
    os.truncate(logs / "cron.log", 0)
    os.truncate(logs / "secure.log", 0)
    told = guard.hears(logs / "secure.log", "opened")
    assert told["threat"]["technique"]["id"] == ["T1070.002"]
    assert "was emptied" in told["message"]
    assert str(logs / "secure.log") == told["file"]["path"]
    guard.approve()

    guard.stop()
    (logs / "messages.log").unlink()
    (logs / "messages.log").write_text(LINE)
    (logs / "cron.log").rename(logs / "cron.log.2")
    once = guard.once()
    assert f"The log {logs}/messages.log was " in once.stdout
    assert "cron.log" not in once.stdout
    guard.start()
    told = guard.hears(logs / "messages.log", "opened")
    assert "without its old content" in told["message"] or "was cut short" in told["message"]

    (logs / "secure.log").write_text(LINE * 9)
    (logs / "new.log").write_text(LINE)
    guard.call("review")  # whatever was written by now has been seen
    os.truncate(logs / "secure.log", 100)
    told = until(lambda: guard.about(logs / "secure.log", "opened")[1:], "it is told again")[0]
    assert "not for the first time" in told["message"]
    guard.kill()
    guard.start()
    os.truncate(logs / "new.log", 0)
    assert guard.hears(logs / "new.log", "opened")
    assert not guard.about(logs / "cron.log"), "it was rotated"
    assert len(guard.about(logs / "messages.log", "opened")) == 1, "told once"
