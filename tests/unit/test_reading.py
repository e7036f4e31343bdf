"""Files read to their end or to a limit, whatever a single read hands out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostguardd.host import proc, reading
from hostguardd.host.reading import read_open, read_path


@pytest.fixture
def path(tmp_path: Path) -> bytes:
    place = tmp_path / "f"
    place.write_bytes(b"0123456789")
    return os.fsencode(place)


@pytest.mark.parametrize(
    ("limit", "offset", "data"),
    [
        (reading.ENDLESS, 0, b"0123456789"),
        (10, 0, b"0123456789"),
        (7, 0, b"0123456"),
        (7, 2, b"2345678"),
        (7, 8, b"89"),
        (7, 10, b""),
        (7, 99, b""),
        (0, 2, b""),
        (-1, 2, b""),
    ],
)
@pytest.mark.parametrize("block", [1, 3, reading.BLOCK])
def test_no_byte_more_or_less(
    path: bytes, limit: int, offset: int, data: bytes, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BLOCK", block)
    fd = os.open(path, os.O_RDONLY)
    try:
        os.lseek(fd, 5, os.SEEK_SET)
        assert read_open(fd, limit, offset) == data
        assert os.lseek(fd, 0, os.SEEK_CUR) == 5
    finally:
        os.close(fd)


def test_a_path_is_read_from_its_beginning(path: bytes) -> None:
    assert read_path(path) == b"0123456789"
    assert read_path(path, 4) == b"0123"


def test_what_cannot_be_opened_or_read_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        read_path(os.fsencode(tmp_path / "none"))
    with pytest.raises(IsADirectoryError):
        read_path(os.fsencode(tmp_path))
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.skipif(not os.path.exists("/proc/kallsyms"), reason="no kallsyms here")
def test_a_table_that_hands_out_a_page_at_a_time_comes_whole() -> None:
    with open("/proc/kallsyms", "rb") as table:
        head = table.read(100_000)
    assert read_path(b"/proc/kallsyms", 100_000) == head


def test_the_line_that_the_limit_cuts_is_no_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    host = proc.ProcHost()
    try:
        whole = host.inside(os.getpid())
        assert whole is not None
        assert len(whole.mapped) > 1
        for limit in range(1, 4000, 7):
            monkeypatch.setattr(proc, "MAPS", limit)
            part = host.inside(os.getpid())
            assert part is not None
            assert part.mapped == whole.mapped[: len(part.mapped)]
    finally:
        host.close()
