"""What a selective watch takes, by mode, name and first bytes."""

from __future__ import annotations

import stat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.fact import odd_name
from hostguardd.sensors import selection
from hostguardd.sensors.selection import Selection, kind_of
from hostguardd.watchlist import Watch
from tests.fakehost import FakeFiles

PROGRAMS = Watch("p", (b"/tmp",), select=frozenset({"program", "odd"}))
PAGES = Watch("w", (b"/tmp",), select=frozenset({"program", "page"}), names=(b"*.ph[pt]*", b".htaccess"))


def takes(files: FakeFiles, name: bytes, watch: Watch, chosen: Selection | None = None) -> bool:
    with files.open_folder(b"/tmp") as opened:
        row = opened.entry(name)
        assert row is not None
        return (chosen or Selection()).takes(opened, row, watch)


@pytest.mark.parametrize(
    ("name", "content", "mode", "program", "page"),
    [
        (b"data", b"text", 0o644, False, False),
        (b"empty", b"", 0o644, False, False),
        (b"run", b"text", 0o744, True, True),
        (b"others", b"text", 0o645, True, True),
        (b"lends", b"text", 0o4644, True, True),
        (b"script", b"#!/bin/sh\n", 0o600, True, True),
        (b"image", b"\x7fELF\2\1\1", 0o600, True, True),
        (b"late", b" #!/bin/sh", 0o644, False, False),
        (b"x.PHP", b"text", 0o644, False, True),
        (b"x.phtml", b"", 0o644, False, True),
        (b".htaccess", b"", 0o644, False, True),
        (b"logo.gif", b"GIF89a\0<?PHP system($_GET[0]);", 0o644, False, True),
        (b"logo.png", b"\x89PNG\r\n", 0o644, False, False),
        (b"...", b"text", 0o644, True, False),
        (b"name ", b"text", 0o644, True, False),
        (b".hidden", b"text", 0o644, False, False),
    ],
)
def test_files(name: bytes, content: bytes, mode: int, program: bool, page: bool) -> None:
    files = FakeFiles()
    files.write(b"/tmp/" + name, content, mode)
    assert takes(files, name, PROGRAMS) is program
    assert takes(files, name, PAGES) is page


def test_folders_lead_below_and_other_types_are_taken_by_their_name_alone() -> None:
    files = FakeFiles()
    files.folder(b"/tmp/folder")
    files.special(b"/tmp/socket", stat.S_IFSOCK)
    files.symlink(b"/etc/passwd", b"/tmp/link")
    files.symlink(b"/etc/passwd", b"/tmp/.. ")
    assert takes(files, b"folder", PROGRAMS)
    assert not takes(files, b"socket", PROGRAMS)
    assert not takes(files, b"link", PROGRAMS)
    assert takes(files, b".. ", PROGRAMS)


def test_the_first_bytes_are_read_once_for_each_state_and_memory_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(selection, "REMEMBERED", 2)
    files, chosen = FakeFiles(), Selection()
    asked: list[bytes] = []
    for name in (b"a", b"b", b"c"):
        files.write(b"/tmp/" + name, b"#!x")

    def look(name: bytes) -> None:
        with files.open_folder(b"/tmp") as opened:

            def head(asked_for: bytes, count: int) -> bytes:
                asked.append(asked_for)
                return b"#!"

            monkeypatch.setattr(opened, "head", head)
            assert chosen.takes(opened, opened.entry(name) or (), PROGRAMS)

    for name in (b"a", b"a", b"b", b"c", b"c", b"a"):
        look(name)
    assert asked == [b"a", b"b", b"c", b"a"]
    files.write(b"/tmp/a", b"#!y")
    look(b"a")
    assert asked[4:] == [b"a"], "it is another state"


@given(st.binary(max_size=600))
def test_any_beginning_has_an_answer(head: bytes) -> None:
    assert kind_of(head) <= {"program", "page"}


@pytest.mark.parametrize(
    "name", [b"...", b".. ", b"..x", b"x ", b" x", b" ", b"a\nb", b"\x1b[0m", b". .", b"\xc2\xa0"]
)
def test_odd_names(name: bytes) -> None:
    assert odd_name(name)


@pytest.mark.parametrize(
    "name", [b"", b".", b"..", b".x", b"x", b"a b", b"x.", b"\xff", "日本".encode(), b".X11-unix"]
)
def test_other_names(name: bytes) -> None:
    assert not odd_name(name)
