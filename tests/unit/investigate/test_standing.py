"""How a file stands to the baseline: known, changed, new, or not asked where nobody watched its folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostguardd.investigate.approved import Approved
from hostguardd.investigate.files.standing import MOST_TOGETHER, standing, standing_of_all
from hostguardd.investigate.interface import Known
from hostguardd.investigate.scene import Scene
from hostguardd.model import FileFact
from tests.scenes import scene
from tests.state import State


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Scene]:
    """A host whose baseline holds one folder, as it was."""
    root = tmp_path / "root"
    for name in ("watched/same", "watched/other", "else/file"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1\n")
    (root / "link").symlink_to("watched")
    found = scene(os.fsencode(root))
    with found.host.files.open_folder(b"/watched") as opened:
        rows = [opened.deep(row, lambda: False) for row in opened.entries(100) or ()]
    State(tmp_path / "baseline.db", [FileFact.of(one.row) for one in rows if one is not None]).close()
    found.approved = Approved(tmp_path / "baseline.db")
    yield found
    found.approved.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def test_standing(where: Scene, root: Path) -> None:
    (root / "watched/other").write_text("2\n")
    (root / "watched/new").touch()
    assert standing(where, b"/watched/same") is Known.KNOWN
    assert standing(where, b"/link/same") is Known.KNOWN
    assert standing(where, b"/watched/other") is Known.CHANGED
    assert standing(where, b"/watched/new") is Known.NEW
    assert standing(where, b"/else/file") is Known.NOT_ASKED
    assert standing(where, b"/nowhere/file") is Known.NOT_ASKED


def test_without_a_baseline_nobody_is_asked(tmp_path: Path) -> None:
    assert standing(scene(os.fsencode(tmp_path)), b"/etc/passwd") is Known.NOT_ASKED


def test_what_was_approved_and_is_gone_has_changed(where: Scene, root: Path) -> None:
    (root / "watched/same").unlink()
    assert standing(where, b"/watched/same") is Known.CHANGED


def test_files_that_are_told_as_one(where: Scene, root: Path) -> None:
    assert standing_of_all(where, [b"/watched/same", b"/watched/other"]) is Known.KNOWN
    assert standing_of_all(where, [b"/watched/same", b"/else/file"]) is Known.NOT_ASKED
    assert standing_of_all(where, [b"/watched/same"] * (MOST_TOGETHER + 1)) is Known.NOT_ASKED
    assert standing_of_all(where, []) is Known.NOT_ASKED
    (root / "watched/new").touch()
    assert standing_of_all(where, [b"/watched/new", b"/watched/same", b"/else/file"]) is Known.NEW
