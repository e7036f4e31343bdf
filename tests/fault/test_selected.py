"""A folder where anybody may write, before the whole daemon: programs are told, data are not."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Guard, guarding

CROWD = 5_000

COMMON = """
[[watch]]
name = "common"
paths = [{common}]
select = ["program", "odd"]
names = ["*.php"]

[[rule]]
name = "common-folder"
kind = "file"
where.path = [{below}]
where.type = "dir"
severity = "ignore"

[[rule]]
name = "common"
kind = "file"
where.path = [{common}, {below}]
severity = "low"
advice = "A test."
"""


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A daemon that watches a common folder for programs, beside its tree with a critical file."""
    common = tmp_path / "common"
    common.mkdir()
    (common / "known").write_text("#!/bin/sh\n")
    more = COMMON.format(common=f'"{common}"', below=f'"{common}/**"')
    made = Guard(tmp_path, more=more)
    (made.tree / "loud").write_text("critical\n")
    with guarding(made):
        yield made.start()


def test_programs_scripts_and_odd_names_are_told_and_nothing_else(guard: Guard) -> None:
    common = guard.folder / "common"
    (common / "deep/er").mkdir(parents=True)
    for name in ("data", "deep/data", "deep/er/notes.txt"):
        (common / name).write_text("no program\n")
    (common / "deep/er/script").write_text("#!/bin/sh\nexit\n")
    (common / "deep/image").write_bytes(b"\x7fELF" + bytes(60))
    (common / "x.PHP").write_text("<html>")
    (common / "...").write_text("odd")
    for name in ("deep/er/script", "deep/image", "x.PHP", "..."):
        assert guard.hears(common / name, "opened")["hostguard"]["severity"] == "low"
    (common / "data").chmod(0o755)
    guard.hears(common / "data", "opened")
    (common / "deep/data").write_text("#!/bin/sh\n")
    guard.hears(common / "deep/data", "opened")
    names = ("data", "deep/data", "deep/er/script", "deep/image", "x.PHP", "...")
    assert guard.findings().keys() == {str(common / name) for name in names}
    guard.call("check", full=True)
    assert guard.findings().keys() == {str(common / name) for name in names}, "every look takes the same"


def test_what_is_taken_away_again_is_over_with_its_folder(guard: Guard) -> None:
    common = guard.folder / "common"
    (common / "deep/er").mkdir(parents=True)
    (common / "deep/er/script").write_text("#!/bin/sh\n")
    guard.hears(common / "deep/er/script", "opened")
    shutil.rmtree(common / "deep")
    guard.hears(common / "deep/er/script", "cleared")
    assert guard.findings() == {}
    (common / "known").unlink()
    assert guard.finds(common / "known"), "which was approved"


def test_a_crowd_of_files_delays_nothing_critical(guard: Guard) -> None:
    common = guard.folder / "common"
    for number in range(CROWD):
        (common / f"data{number}").write_bytes(b"no program" * 10)
        if number == CROWD // 2:
            (common / "amid").write_text("#!/bin/sh\n")
            (guard.tree / "loud").write_text("changed in the middle of it\n")
            written = time.monotonic()
    told = guard.hears(guard.tree / "loud", "opened")
    assert time.monotonic() - written < 40
    assert told["event"]["sequence"] < guard.hears(common / "amid", "opened")["event"]["sequence"]
    (common / "last").write_text("#!/bin/sh\n")
    guard.hears(common / "last", "opened")
    assert guard.findings().keys() == {
        str(path) for path in (guard.tree / "loud", common / "amid", common / "last")
    }
    assert guard.call("status")["memory_rss"] < 120 * 2**20
