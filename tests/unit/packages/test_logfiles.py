"""The logs of package managers: what was rotated and packed of them, and what nothing here can unpack."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hostguardd.host.bundle import image
from hostguardd.packages.logfiles import lines, rotated, unread


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "var/log"
    folder.mkdir(parents=True)
    return folder


def test_rotated_ones_come_the_oldest_first(tmp_path: Path, logs: Path) -> None:
    for name in (
        "dpkg.log",
        "dpkg.log.1",
        "dpkg.log.2.gz",
        "dpkg.log.10.xz",
        "dpkg.log.bak",
        "dpkg.log.3.zst",
    ):
        (logs / name).write_bytes(b"x")
    texts = image(os.fsencode(tmp_path)).texts
    names = [path.rpartition(b"/")[2] for path in rotated(texts, b"dpkg.log", 0.0)]
    assert names == [b"dpkg.log.10.xz", b"dpkg.log.2.gz", b"dpkg.log.1", b"dpkg.log"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_what_is_packed_is_read(tmp_path: Path, logs: Path, pack: Callable[[bytes], bytes]) -> None:
    (logs / "dpkg.log.1").write_bytes(pack(b"one\ntwo"))
    texts = image(os.fsencode(tmp_path)).texts
    assert list(lines(texts, b"/var/log/dpkg.log.1")) == [(1, b"one"), (2, b"two")]


@pytest.mark.parametrize("head", [b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh9"])
def test_what_is_damaged_has_no_lines(tmp_path: Path, logs: Path, head: bytes) -> None:
    (logs / "dpkg.log.1").write_bytes(head + bytes(range(256)))
    assert list(lines(image(os.fsencode(tmp_path)).texts, b"/var/log/dpkg.log.1")) == []


def test_what_cannot_be_unpacked_is_named(tmp_path: Path, logs: Path) -> None:
    for name in ("dnf5.log.1.zst", "dpkg.log.2.lz4", "yum.log.1.gz", "auth.log.1.zst", "dnf5.log.2.zst"):
        (logs / name).write_bytes(b"x")
    os.utime(logs / "dnf5.log.2.zst", (1, 1))
    texts = image(os.fsencode(tmp_path)).texts
    assert unread(texts, 1000.0) == [b"/var/log/dnf5.log.1.zst", b"/var/log/dpkg.log.2.lz4"]
