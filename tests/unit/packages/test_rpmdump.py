"""How rpm's answers are read: its lines, its words about signatures, and what a line asks of a file."""

from __future__ import annotations

import stat

from hypothesis import given
from hypothesis import strategies as st

from hostguardd.packages import rpmdump
from hostguardd.packages.rpmdump import FILES, NAMES, Lines, signatures


def quoted(text: bytes) -> bytes:
    return b"'" + text.replace(b"'", b"'\\''") + b"'"


@given(st.lists(st.binary(max_size=40).filter(lambda one: b"\0" not in one), max_size=8), st.integers(1, 50))
def test_any_names_come_back_however_the_pieces_are_cut(names: list[bytes], piece: int) -> None:
    data = b"".join(b"7 %b 0 0 33188 -1\n" % quoted(name) for name in names)
    lines = Lines(NAMES)
    found = [
        rpmdump.string(fields[1])
        for at in range(0, len(data), piece)
        for fields in lines.feed(data[at : at + piece])
    ]
    lines.close()
    assert found == names
    assert lines.garbage == 0


def test_garbage_is_counted_and_does_not_grow() -> None:
    lines = Lines(NAMES)
    found: list[tuple[bytes, ...]] = []
    for _ in range(100):
        found += lines.feed(b"\xff" * 10_000)
    found += lines.feed(b"\n7 '/usr' 0 0 16877 -1\n")
    lines.close()
    assert lines.garbage > 900_000
    assert len(lines._left) == 0


def fields(**given: bytes) -> tuple[bytes, ...]:
    defaults = {
        "number": b"7", "name": b"'/usr/bin/x'", "digest": b"'%b'" % (b"a" * 64), "mode": b"33261",
        "user": b"'root'", "group": b"'root'", "size": b"10", "link": b"''", "flags": b"0",
        "verify": b"4294967295", "state": b"0", "caps": b"(none)", "device": b"0", "mtime": b"5",
    }  # fmt: skip
    line = b" ".join((defaults | given).values()) + b"\n"
    (found,) = Lines(FILES).feed(line)
    return found


def test_what_a_line_asks() -> None:
    one = rpmdump.expected(fields(), "sha256", {b"root": 0}, {b"root": 0}, 3)
    assert one is not None
    assert (one.path, one.key, one.mode, one.size, one.digest) == (b"/usr/bin/x", 3, 33261, 10, "a" * 64)
    assert (one.user, one.group, one.mtime, one.capabilities, one.absent) == (0, 0, 5, "", False)


def test_states_of_files() -> None:
    assert rpmdump.expected(fields(state=b"2"), "sha256", {}, {}, 0) is None  # left out, as documents may be
    assert rpmdump.expected(fields(state=b"3"), "sha256", {}, {}, 0) is None  # on a file server
    replaced = rpmdump.expected(fields(state=b"1"), "sha256", {}, {}, 0)
    assert replaced is not None
    assert (replaced.type, replaced.digest, replaced.mode, replaced.absent) == (None, "", None, True)
    other_colour = rpmdump.expected(fields(state=b"4"), "sha256", {}, {}, 0)
    assert other_colour is not None
    assert (other_colour.digest, other_colour.size) == ("", None)
    assert other_colour.mode is not None


def test_names_that_are_no_paths_ask_nothing() -> None:
    for name in (b"''", b"'usr/bin/x'", b"'/" + b"x" * 5000 + b"'"):
        assert rpmdump.expected(fields(name=name), "sha256", {}, {}, 0) is None


def test_an_unknown_account_is_roots_as_rpm_has_it() -> None:
    one = rpmdump.expected(fields(user=b"'nosuch'"), "sha256", {b"root": 0}, {b"root": 0}, 0)
    assert one is not None
    assert one.user == 0


def test_a_link_is_asked_where_it_leads() -> None:
    mode = b"%d" % (stat.S_IFLNK | 0o777)
    one = rpmdump.expected(fields(mode=mode, link=b"'there'", digest=b"''"), "sha256", {}, {}, 0)
    assert one is not None
    assert (one.link, one.mode, one.size, one.digest, one.mtime) == (b"there", None, None, "", None)


TOLD = b"""\
D: loading keyring from rpmdb
D:  read h#       1 Header V3 RSA/SHA256 Signature, key ID fd431d51: OK
D:  read h#       2
Header V4 RSA/SHA512 Signature, key ID 9003fd83: NOKEY
Header SHA256 digest: OK
D:  read h#       3
Header SHA256 digest: OK
Header SHA1 digest: OK
error: rpmdbNextIterator: skipping h#       4
Header V4 RSA/SHA512 Signature, key ID 9003fd83: BAD
Header SHA256 digest: BAD (Expected 00 != 11)
error: rpmdbNextIterator: skipping h#       5 blob size(3): BAD, 8 + 16 * il(1) + dl(2)
D:  read h#       6
Header OpenPGP V4 EdDSA/SHA512 signature, key fingerprint: 31645531c4ee: OK
D:  read h#       7
Header V4 EdDSA/SHA512 Signature, key ID 0000aaaa: NOKEY
Header V4 RSA/SHA512 Signature, key ID 9003fd83: OK
"""


def test_signatures_as_rpm_4_14_to_4_20_tell_them() -> None:
    found = signatures(TOLD.split(b"\n"))
    assert {number: (one.verified, one.broken) for number, one in found.items()} == {
        1: (True, False),
        2: (False, False),
        4: (False, True),
        5: (False, True),
        6: (True, False),
        7: (True, False),
    }
    assert found[1].says == "V3 RSA/SHA256 Signature, key ID fd431d51: verified"
    assert "no such key" in found[2].says


@given(st.lists(st.binary(max_size=60)))
def test_garbage_signs_nothing(told: list[bytes]) -> None:
    assert not any(one.verified for one in signatures(told).values())
