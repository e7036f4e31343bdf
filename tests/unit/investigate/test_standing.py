"""How a file stands to the baseline: known, changed, new, or not asked where nobody watched its folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hostguardd.fact import key_of
from hostguardd.investigate.approved import Approved
from hostguardd.investigate.files.standing import standing
from hostguardd.investigate.interface import Known
from hostguardd.investigate.scene import Scene
from hostguardd.model import Fact, FileFact, Row, Value
from tests.scenes import scene


class Remembered(Approved):
    """Approves what lay in one folder when it was made."""

    def __init__(self, where: Scene, folder: bytes) -> None:
        super().__init__(None)
        self.generation: Any = object()
        self._folder = folder
        with where.host.files.open_folder(folder) as opened:
            found = [opened.deep(row, lambda: False) for row in opened.entries(100) or ()]
        rows = [one.row for one in found if one is not None]
        self._known: dict[Value | Row, Row] = {key_of(FileFact, row): row for row in rows}

    def of(self, fact: type[Fact], scope: Value) -> dict[Value | Row, Row]:
        return self._known if (fact, scope) == (FileFact, self._folder) else {}


@pytest.fixture
def where(tmp_path: Path) -> Scene:
    for name in ("watched/same", "watched/other", "else/file"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1\n")
    (tmp_path / "link").symlink_to("watched")
    found = scene(os.fsencode(tmp_path))
    found.approved = Remembered(found, b"/watched")
    return found


def test_standing(where: Scene, tmp_path: Path) -> None:
    (tmp_path / "watched/other").write_text("2\n")
    (tmp_path / "watched/new").touch()
    assert standing(where, b"/watched/same") is Known.KNOWN
    assert standing(where, b"/link/same") is Known.KNOWN
    assert standing(where, b"/watched/other") is Known.CHANGED
    assert standing(where, b"/watched/new") is Known.NEW
    assert standing(where, b"/else/file") is Known.NOT_ASKED
    assert standing(where, b"/nowhere/file") is Known.NOT_ASKED


def test_without_a_baseline_nobody_is_asked(tmp_path: Path) -> None:
    assert standing(scene(os.fsencode(tmp_path)), b"/etc/passwd") is Known.NOT_ASKED


def test_what_was_approved_and_is_gone_has_changed(where: Scene, tmp_path: Path) -> None:
    (tmp_path / "watched/same").unlink()
    assert standing(where, b"/watched/same") is Known.CHANGED
