"""Paths by their hashes say the same as a dictionary of paths."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostguardd.packages.index import BITS, PathIndex

PARTS = st.lists(st.sampled_from([b"a", b"b", b"c", b"\xff"]), min_size=1, max_size=5)
PATHS = PARTS.map(lambda parts: b"/" + b"/".join(parts))
KEYS = st.integers(0, (1 << BITS) - 1)


@given(st.lists(st.tuples(PATHS, KEYS)), PATHS)
def test_keys_and_folders(listing: list[tuple[bytes, int]], asked: bytes) -> None:
    index = PathIndex(listing)
    keys = [key for path, key in listing if path == asked]
    assert index.key(asked) == (min(keys) if keys else None)
    assert index.holds(asked) == any(path.startswith(asked + b"/") for path, _ in listing)
