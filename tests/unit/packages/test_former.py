"""Whose each path was: written once, asked on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostguardd.packages import former
from hostguardd.packages.former import Former, write


def test_what_was_written_is_found_and_nothing_else(tmp_path: Path) -> None:
    place = os.fsencode(tmp_path / "owners")
    paths = [(b"/usr/%d\xff" % number, f"package{number % 7}") for number in range(5000)]
    write(place, paths, {"package1": "1.0", "bare": "2"})
    found = Former.open(place)
    assert all(found.owner(path) == package for path, package in paths)
    assert found.owner(b"/usr/5000\xff") == found.owner(b"") == ""
    assert (found.versions["package1"], found.versions["bare"]) == ("1.0", "2")
    assert (tmp_path / "owners").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "owners").stat().st_size < 5000 * 12 + 1000


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", b"{}\n", b"[1]\n", b'{"key": "00", "packages": [["a"]]}\n', b"[" * 99999],
)
def test_what_is_none_knows_nothing(tmp_path: Path, data: bytes) -> None:
    place = tmp_path / "owners"
    assert Former.open(os.fsencode(place)).owner(b"/usr") == ""
    place.write_bytes(data)
    assert Former.open(os.fsencode(place)).owner(b"/usr") == ""
    (tmp_path / "link").symlink_to(place)
    assert Former.open(os.fsencode(tmp_path / "link")).versions == {}


def test_a_torn_file_says_less_and_raises_nothing(tmp_path: Path) -> None:
    place = tmp_path / "owners"
    write(os.fsencode(place), [(b"/usr/%d" % number, "package") for number in range(100)], {})
    data = place.read_bytes()
    for size in range(0, len(data), 7):
        place.write_bytes(data[:size])
        assert Former.open(os.fsencode(place)).owner(b"/usr/5") in ("", "package")


def test_more_paths_than_any_host_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(former, "MOST_PATHS", 10)
    with pytest.raises(OSError, match="more paths"):
        write(os.fsencode(tmp_path / "owners"), [(b"/%d" % number, "x") for number in range(11)], {})
    assert not (tmp_path / "owners").exists()
