"""Which time stamps give a hand away, and which do not: the table, and real files under touch and mv."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hostguardd.diff import drift
from hostguardd.host.files import LinuxFiles
from hostguardd.model import FileFact
from hostguardd.sentences import sentence
from tests.alerts import NAMES
from tests.daemon import until

SECOND = 10**9
DAY = 86_400 * SECOND
BUILT = 1_600_000_000 * SECOND
NOW = 1_700_000_000 * SECOND
LATER = NOW + DAY
OTHER = b"\2" * 32
FILE = FileFact(
    b"/etc", b"x", stat.S_IFREG | 0o644, 0, 0, 9, BUILT, NOW, 7, 1, 0, b"", b"\1" * 32, b"", 0, 0
)  # fmt: skip


@pytest.mark.parametrize(
    ("case", "fields", "words"),
    [
        ("written", {"sha256": OTHER, "mtime": LATER, "ctime": LATER}, set()),
        ("written, and its old time put back", {"sha256": OTHER, "ctime": LATER}, {"backdated"}),
        ("and an older one", {"sha256": OTHER, "mtime": BUILT - DAY, "ctime": LATER}, {"backdated"}),
        ("and one between", {"sha256": OTHER, "mtime": NOW - DAY, "ctime": LATER}, {"backdated"}),
        ("only longer, content unread", {"size": 10, "sha256": None, "ctime": LATER}, {"backdated"}),
        ("touched", {"mtime": LATER, "ctime": LATER}, set()),
        ("touched into the past", {"mtime": BUILT - 1, "ctime": LATER}, {"backdated"}),
        ("touched into the future", {"mtime": LATER + DAY, "ctime": LATER}, {"future"}),
        ("its mode", {"mode": stat.S_IFREG | 0o600, "ctime": LATER}, set()),
        ("nothing but the ctime", {"ctime": LATER}, set()),
        ("under a clock that was set back", {"ctime": NOW - DAY}, {"backdated"}),
        ("under a clock that was set right", {"ctime": NOW - SECOND}, set()),
        ("updated", {"sha256": OTHER, "inode": 8, "mtime": BUILT + DAY, "ctime": LATER}, set()),
        ("downgraded", {"sha256": OTHER, "inode": 8, "mtime": BUILT - DAY, "ctime": LATER}, set()),
        ("reinstalled", {"inode": 8, "ctime": LATER}, set()),
        ("replaced under the same time", {"sha256": OTHER, "inode": 8, "ctime": LATER}, {"backdated"}),
        ("of another time zone", {"sha256": OTHER, "inode": 8, "mtime": NOW + DAY // 2}, set()),
        ("a link in its place", {"mode": stat.S_IFLNK, "mtime": BUILT, "inode": 8, "ctime": LATER}, set()),
    ],
)  # fmt: skip
def test_changes(case: str, fields: dict[str, Any], words: set[str]) -> None:
    assert FileFact.turns(FILE, replace(FILE, **fields)) == words, case


def test_builds_that_give_all_files_one_time_of_1970_are_no_forgery() -> None:
    before = replace(FILE, mtime=SECOND)
    assert not FileFact.turns(before, replace(before, sha256=OTHER, inode=8, ctime=LATER))


def test_what_is_new_has_no_past_but_may_have_a_future() -> None:
    assert not FileFact.turns(None, FILE)
    assert FileFact.turns(None, replace(FILE, mtime=NOW + 2 * DAY)) == {"future"}


def test_a_folder_is_never_forged() -> None:
    folder = replace(FILE, mode=stat.S_IFDIR | 0o755)
    assert not FileFact.turns(folder, replace(folder, mtime=1, ctime=LATER))
    assert not FileFact.turns(None, replace(folder, mtime=LATER * 2))


def write_and_touch(path: Path) -> None:
    before = path.stat()
    path.write_text("changed")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_and_touch(path: Path) -> None:
    before = path.stat()
    new = path.with_name("new")
    new.write_text("changed")
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.rename(path)


def set_back(path: Path) -> None:
    os.utime(path, (1_500_000_000, 1_500_000_000))


def restore(path: Path) -> None:
    """As an unpacked archive: another inode, an older time."""
    new = path.with_name("new")
    new.write_text("changed")
    os.utime(new, (1_500_000_000, 1_500_000_000))
    new.rename(path)


def write(path: Path) -> None:
    path.write_text("changed")


@pytest.mark.parametrize(
    ("act", "forged"),
    [(write_and_touch, True), (replace_and_touch, True), (set_back, True), (restore, False), (write, False)],
)
def test_real_files(tmp_path: Path, act: Callable[[Path], None], forged: bool) -> None:
    path = tmp_path / "file"
    path.write_text("approved")
    folder = LinuxFiles(b"/").open_folder(os.fsencode(tmp_path))
    row = folder.entry(b"file")
    assert row is not None
    before = folder.deep(row, lambda: False)
    stamped = path.stat().st_ctime_ns
    until(lambda: time.time_ns() > stamped + SECOND // 10, "the clock that stamps files moved on")
    act(path)
    row = folder.entry(b"file")
    assert row is not None
    after = folder.deep(row, lambda: False)
    folder.close()
    assert before is not None
    assert after is not None
    found = drift(FileFact, (before.row, after.row))
    assert found is not None
    assert ("backdated" in found.gained()) is forged
    said = sentence(found, NAMES)
    assert (("older than the change" in said) or ("mtime did not move" in said)) is forged
