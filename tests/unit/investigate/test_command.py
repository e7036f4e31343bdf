"""The files that an inquiry leaves: what was not finished is removed, and which one failed is said."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from hostguardd.errors import UsageError
from hostguardd.investigate.command import Leaving
from tests import inquiries
from tests.scenes import scene

FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="nothing here is always full")


def quiet(_: object) -> None:
    pass


def test_what_was_not_finished_is_removed(tmp_path: Path) -> None:
    page, bundle = tmp_path / "page", tmp_path / "bundle"
    with suppress(KeyboardInterrupt), Leaving(str(page), str(bundle)):
        assert page.exists()
        assert bundle.exists()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_that_somebody_else_removed_it_matters_no_more(tmp_path: Path) -> None:
    with Leaving(str(tmp_path / "page"), None):
        (tmp_path / "page").unlink()


def test_what_is_there_already_stays_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "bundle").write_text("mine")
    leaving = Leaving(str(tmp_path / "page"), str(tmp_path / "bundle"))
    with pytest.raises(UsageError, match="bundle is there already"):
        leaving.__enter__()
    assert [one.name for one in tmp_path.iterdir()] == ["bundle"]


def leave(leaving: Leaving, root: Path, failing: str) -> None:
    """Let it write everything, with no room for one of its files."""
    with leaving, open("/dev/full", "wb", buffering=0) as full:
        os.dup2(full.fileno(), leaving._files[failing].fileno())
        leaving.write(scene(bytes(root)), inquiries.clean(), False, quiet)


@FULL
@pytest.mark.parametrize("failing", ["page", "bundle"])
def test_a_full_disk_is_told_of_the_file_that_it_hit(tmp_path: Path, failing: str) -> None:
    leaving = Leaving(str(tmp_path / "page"), str(tmp_path / "bundle"))
    with pytest.raises(UsageError, match=f"cannot write .*/{failing}: No space"):
        leave(leaving, tmp_path, failing)
    assert not (tmp_path / failing).exists()
