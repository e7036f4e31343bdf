"""The tables of accounts as glibc reads them, whatever stands in them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd import accounts
from hostguardd.accounts import group, gshadow, number, passwd, shadow, subordinate
from hostguardd.facts.accounts import USERS, AccountFact
from hostguardd.model import Row
from hostguardd.sensors.account_rows import damaged_rows, digest, group_rows, password, user_rows

HASH = b"$y$j9T$salt$hashhashhash"


@pytest.mark.parametrize(
    ("text", "id"),
    [
        (b"0", 0),
        (b"00", 0),
        (b"+0", 0),
        (b"-0", 0),
        (b" 0", 0),
        (b"1000", 1000),
        (b"4294967295", 4294967295),
        (b"4294967296", 4294967295),
        (b"-1", 4294967295),
        (b"9" * 5000, 4294967295),
        (b"-18446744073709551615", 1),
    ],
)
def test_ids_are_what_strtoul_makes_of_them(text: bytes, id: int) -> None:
    assert number(text) == id


@pytest.mark.parametrize("text", [b"", b"x", b"0x0", b"0 ", b"1_0", b"\xd9\xa0", b"+", b"1.0"])
def test_what_is_no_id(text: bytes) -> None:
    assert number(text) is None


def test_a_table_with_everything_in_it() -> None:
    text = (
        b"root:x:0:0:root:/root:/bin/bash\n"
        b"# a comment\n\n"
        b"  toor::+00:0\n"
        b"no colon\n"
        b"eve:x:abc:1:::\n"
        b":x:1:1:::\n"
        b"+@admins::::::\n"
        b"a\0b:x:5:5:::\n"
        b"b\xff:x:5:5:c:/h:/bin/sh:extra:fields\n"
        b"last:x:6:6:::"
    )
    users, bad = passwd(text)
    assert [(user.name, user.uid, user.line) for user in users] == [
        (b"root", 0, 1),
        (b"toor", 0, 4),
        (b"+@admins", None, 8),
        (b"b\xff", 5, 10),
        (b"last", 6, 11),
    ]
    assert users[1].shell == users[1].home == b""
    assert users[3].shell == b"/bin/sh:extra:fields"
    assert [one.line for one in bad] == [5, 6, 7, 9]


def test_what_a_damaged_line_holds_is_not_told() -> None:
    for parse in (passwd, group, shadow, gshadow):
        _, bad = parse(b"root:" + HASH + b":\nroot:" + HASH + b"\n:" + HASH + b"\n")
        for one in bad:
            assert b"salt" not in one.mark
            assert "salt" not in one.reason


def test_a_line_keeps_its_mark_where_others_come_and_go() -> None:
    _, (one,) = passwd(b"broken\n")
    _, (other,) = passwd(b"root:x:0:0:::\nbroken\n")
    assert (one.mark, one.line, other.line) == (other.mark, 1, 2)


def test_long_fields_keep_their_difference() -> None:
    (one,), _ = passwd(b"a:x:1:1:" + b"x" * 10**6 + b"::")
    (other,), _ = passwd(b"a:x:1:1:" + b"x" * 10**6 + b"y::")
    assert len(one.comment) < 5000
    assert one.comment != other.comment


@pytest.mark.parametrize(
    ("field", "line", "state"),
    [
        (b"x", None, None),
        (b"x", b"", "none"),
        (b"", None, "none"),
        (b"x", b"!", "unset"),
        (b"x", b"!!", "unset"),
        (b"x", b"*", "unset"),
        (b"x", b"!*", "unset"),
        (b"*", b"", "unset"),
        (b"x", b"!" + HASH, "locked"),
        (b"x", HASH, "set"),
        (HASH, b"!", "set"),
    ],
)
def test_states_of_passwords(field: bytes, line: bytes | None, state: str | None) -> None:
    found, secret = password(b"alice", field, line)
    assert found == state
    assert secret is None or HASH not in secret


def test_locking_is_no_other_password_and_two_accounts_show_no_common_one() -> None:
    assert password(b"alice", b"x", HASH)[1] == password(b"alice", b"x", b"!" + HASH)[1]
    assert digest(b"alice", HASH) != digest(b"bob", HASH)


def users_of(
    text: bytes, groups: bytes = b"", shadowed: bytes = b"", gshadowed: bytes = b""
) -> dict[bytes, AccountFact]:
    rows = user_rows(passwd(text)[0], group(groups)[0], shadow(shadowed)[0], gshadow(gshadowed)[0], ({}, {}))
    return {fact.name: fact for fact in map(AccountFact.of, rows)}


def test_who_is_in_which_group() -> None:
    found = users_of(
        b"alice:x:1000:1000:::\nbob:x:1001:10:::\n",
        b"alice:x:1000:\nwheel:x:10:alice, eve\ndocker:x:990:\n",
        gshadowed=b"docker:!::bob\n",
    )
    assert found[b"alice"].groups == b"wheel"
    assert found[b"bob"].groups == b"docker,wheel"
    (docker, wheel) = (
        AccountFact.of(row)
        for row in group_rows(
            group(b"wheel:x:10:alice,eve\ndocker:x:990:\n")[0],
            {b"alice", b"bob"},
            gshadow(b"docker:!:root:bob,mallory\nwheel:" + HASH + b"::\n")[0],
            True,
        )
    )
    assert (docker.groups, docker.comment, docker.password) == (b"mallory", b"root", "nowhere")
    assert (wheel.groups, wheel.password) == (b"eve", "set")
    assert "powerful" in wheel.traits()


def test_the_first_line_of_a_name_counts_and_later_ones_of_an_id_are_twins() -> None:
    found = users_of(b"a:x:5:5:::/bin/sh\nb:x:5:5:::/bin/sh\na:x:0:0:::/bin/sh\nc:x:6:6:::\n")
    assert found[b"a"].id == 5
    assert [found[name].twins for name in (b"a", b"b", b"c")] == [b"", b"a", b""]


def test_expiry() -> None:
    found = users_of(b"a:x:1:1:::\nb:x:2:2:::\n", shadowed=b"a:!:1:0:9:7::20000:\nb:!:1:0:9:7:::\n")
    assert (found[b"a"].expires, found[b"b"].expires) == (20000, -1)


@pytest.mark.parametrize(
    ("shell", "lets_in"),
    [(b"", True), (b"/bin/bash", True), (b"/usr/sbin/nologin", False), (b"/bin/false", False),
     (b"/bin/sync", False), (b"nologin", True)],
)  # fmt: skip
def test_which_shells_let_somebody_in(shell: bytes, lets_in: bool) -> None:
    fact = AccountFact(USERS, b"a", 1, 1, b"/", shell, b"", "set", b"", -1, b"", b"", b"", 1)
    assert ("login" in fact.traits()) is lets_in


FIELDS = st.sampled_from(
    [b"", b"x", b"root", b"0", b"-1", b"+", b"+@g", b"\0", b"\xff", b"!", HASH, b"a,b,,c", b"9" * 40]
)
LINES = st.lists(FIELDS, max_size=11).map(b":".join)
TEXTS = st.one_of(st.binary(max_size=300), st.lists(LINES, max_size=12).map(b"\n".join))


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_whatever_stands_in_them_rows_come_out(one: bytes, two: bytes, three: bytes, four: bytes) -> None:
    users, bad = passwd(one)
    groups, bad_groups = group(two)
    shadowed, _ = shadow(three)
    gshadowed, _ = gshadow(four)
    rows: list[Row] = user_rows(users, groups, shadowed, gshadowed, None)
    rows += group_rows(groups, {user.name for user in users}, gshadowed, True)
    rows += damaged_rows({b"/etc/passwd": bad, b"/etc/group": bad_groups})
    keys = [row[:2] for row in rows]
    assert len(keys) == len(set(keys))
    for row in rows:
        fact = AccountFact.of(row)
        assert fact.row() == row
        assert fact.traits() <= AccountFact.TRAITS
        for name, value in zip(AccountFact.columns(), row, strict=True):
            if name not in ("name", "comment", "home", "shell", "groups", "twins"):  # passwd is no secret
                assert not isinstance(value, bytes) or HASH not in value


@given(st.lists(LINES, max_size=6), st.binary(max_size=40).filter(lambda line: b"\n" not in line))
def test_a_bad_line_takes_no_other_with_it(good: list[bytes], bad: bytes) -> None:
    sound = b"sound:x:77:77:::/bin/sh"
    names = {user.name for user in passwd(b"\n".join([*good, sound]))[0]}
    assert {user.name for user in passwd(b"\n".join([*good, bad, sound]))[0]} >= names


def test_a_million_lines_and_a_line_of_a_megabyte_take_no_time() -> None:
    began = time.process_time()
    for parse in (passwd, group, shadow, gshadow):
        parse(b"\n" * 10**6)
        parse(b":" * 10**6)
        parse(b"a" * 10**6)
        parse(b"g:x:1:" + b"m," * 10**5)
        parse(b"x\n" * 10**5)
    assert time.process_time() - began < 20
    assert accounts.MOST < 10**5


def test_ranges_of_subordinate_ids() -> None:
    text = b"alice:100000:65536\n1000:0:1\n# x\nbad\nbob:x:1\nbob:1:0\n\nalice:5:1\n"
    found = subordinate(text)
    assert found == {b"alice": {b"100000:65536", b"5:1"}, b"1000": {b"0:1"}}
    users = passwd(b"alice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n")[0]
    rows = user_rows(users, None, {}, {}, (found, {b"bob": {b"9:9"}}))
    place = AccountFact.columns().index("subordinate")
    assert [row[place] for row in rows] == [b"uid 0:1,uid 100000:65536,uid 5:1", b"gid 9:9"]


@given(st.binary())
def test_any_table_of_subordinate_ids_is_read(text: bytes) -> None:
    assert all(b":" in one for ranges in subordinate(text).values() for one in ranges)
