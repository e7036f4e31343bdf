"""The words of a departure, and capabilities as text and as they stand on a file."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.packages.expected import (
    Capabilities,
    Expected,
    Seen,
    differences,
    from_text,
    from_xattr,
    to_text,
)
from hostguardd.packages.interface import ATTRIBUTES

REGULAR = stat.S_IFREG | 0o755


def seen(**given: object) -> Seen:
    return Seen(REGULAR, 0, 0, 10, 5, 0)._replace(**given)  # type: ignore[arg-type]


def test_what_is_not_said_is_not_asked() -> None:
    assert differences(Expected(b"/x", 0), seen(user=5, mode=stat.S_IFDIR)) == ([], [])


def test_words_are_those_of_the_interface_and_in_its_order() -> None:
    expected = Expected(
        b"/x", 0, stat.S_IFREG, REGULAR, 1, 1, 11, 11, "sha256", "ab", 6, None, 3, "cap_kill=ep"
    )
    words, clauses = differences(expected, seen(mode=stat.S_IFREG | 0o4755))
    assert words == ["content", "size", "mode", "owner", "group", "device", "capabilities", "mtime"]
    assert words == sorted(words, key=ATTRIBUTES.index)
    assert len(clauses) == len(words)


def test_a_file_of_another_type_departs_in_that_alone() -> None:
    words, (clause,) = differences(
        Expected(b"/x", 0, stat.S_IFREG, REGULAR, 1), seen(mode=stat.S_IFLNK, link=b"/tmp/\x1b")
    )
    assert words == ["type"]
    assert "a symbolic link to /tmp/" in clause
    assert "\x1b" not in clause


@pytest.mark.parametrize(
    ("text", "capabilities"),
    [
        ("", Capabilities()),
        ("= cap_net_raw+ep", Capabilities(1 << 13, 0, True)),
        ("cap_net_raw=ep", Capabilities(1 << 13, 0, True)),
        ("cap_net_admin,cap_net_raw+p", Capabilities(3 << 12)),
        ("cap_chown=i cap_kill=p", Capabilities(1 << 5, 1)),
        ("cap_chown+ep cap_chown-e", Capabilities(1, 0, False)),
        ("cap_nonsense=ep", None),
        ("\x1b", None),
    ],
)
def test_capabilities_as_text(text: str, capabilities: Capabilities | None) -> None:
    assert from_text(text) == capabilities


def test_capabilities_as_they_stand_on_a_file() -> None:
    raw = bytes.fromhex("0100000200200000000000000000000000000000")
    assert from_xattr(raw) == Capabilities(1 << 13, 0, True)
    assert to_text(from_xattr(raw)) == "cap_net_raw"
    assert from_xattr(b"") == Capabilities()
    assert from_xattr(b"\x01") is None


@given(st.binary(max_size=40), st.text(max_size=40))
def test_garbage_raises_nothing(raw: bytes, text: str) -> None:
    to_text(from_xattr(raw))
    from_text(text)
