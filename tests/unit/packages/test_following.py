"""What update-alternatives and ldconfig write down, and whatever else may stand there."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.packages.following import ENTRY, HEAD, MAGIC, alternatives, cached

PAGER = b"""auto
/usr/bin/pager
pager.1.gz
/usr/share/man/man1/pager.1.gz

/bin/more
50

/usr/bin/less
77
/usr/share/man/man1/less.1.gz

"""


def test_alternatives_as_they_are_written_down() -> None:
    """The first has no page, which is an empty line."""
    assert list(alternatives(b"pager", PAGER)) == [
        (b"pager", b"/usr/bin/pager", [b"/bin/more", b"/usr/bin/less"]),
        (b"pager.1.gz", b"/usr/share/man/man1/pager.1.gz", [b"/usr/share/man/man1/less.1.gz"]),
    ]


def cache(*paths: bytes, magic: bytes = MAGIC, name: bytes = b"") -> bytes:
    """What ldconfig writes, where a library is found by its own name; or by another one."""
    strings = b"".join(path + b"\0" for path in paths)
    at = HEAD.size + ENTRY.size * len(paths)
    entries = b""
    for path in paths:
        found = at + path.rfind(b"/") + 1 if not name else HEAD.size + ENTRY.size * len(paths) + len(strings)
        entries += ENTRY.pack(0x303, found, at, 0, 0)
        at += len(path) + 1
    return HEAD.pack(magic, len(paths), len(strings)) + entries + strings + (name and name + b"\0")


def test_a_cache_names_its_libraries() -> None:
    assert cached(cache(b"/lib/a.so.1", b"/lib/b.so")) == {b"/lib/a.so.1", b"/lib/b.so"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        cache(b"/lib/a.so.1", magic=b"ld.so-1.7.0\0\0\0\0\0\0\0\0\0"),
        HEAD.pack(MAGIC, 2**32 - 1, 0),
        HEAD.pack(MAGIC, 1, 0) + ENTRY.pack(0, 2**32 - 1, 2**32 - 1, 0, 0),
        HEAD.pack(MAGIC, 1, 0) + ENTRY.pack(0, 0, 0, 0, 0),
        cache(b"/lib/a.so.1", b"evil.so"),
        cache(b"/lib/a.so.1")[:-1],
        cache(b"/lib/a.so.1", name=b"libc.so.6"),
    ],
)
def test_what_is_none_names_none(data: bytes) -> None:
    assert cached(data) == set()


@given(st.binary(max_size=300))
def test_garbage_raises_nothing(data: bytes) -> None:
    cached(MAGIC + struct.pack("=II20x", len(data) // 24, 0) + data)
    for _, _, targets in alternatives(b"x", data):
        assert all(path.startswith(b"/") for path in targets)
