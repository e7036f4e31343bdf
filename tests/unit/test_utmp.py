"""Records of logins: any bytes are records, and what an editor did to them shows."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd import utmp
from hostguardd.utmp import Login

NOON = 1_763_904_000


def login(at: int = NOON, user: bytes = b"alice", kind: int = utmp.USER_PROCESS, **more: object) -> Login:
    fields = {
        "kind": kind, "pid": 812, "line": b"pts/0", "id": b"ts/0", "user": user, "host": b"203.0.113.9",
        "session": 812, "at": at, "micros": 7, "address": bytes(16),
    }  # fmt: skip
    return Login(**(fields | more))  # type: ignore[arg-type]


def packed(one: Login, width: int = utmp.SIZE) -> bytes:
    return utmp.LAYOUTS[width].pack(*one)


def wtmp(*ones: Login, width: int = utmp.SIZE) -> bytes:
    return b"".join(packed(one, width) for one in ones)


@pytest.mark.parametrize("width", list(utmp.LAYOUTS))
def test_layouts_are_as_wide_as_they_say(width: int) -> None:
    assert utmp.LAYOUTS[width].size == width


def test_where_glibc_keeps_things() -> None:
    """Offsets of bits/utmp.h: type 0, pid 4, line 8, id 40, user 44, host 76, session 336, time 340."""
    raw = bytearray(384)
    struct.pack_into("=h", raw, 0, 7)
    struct.pack_into("=i", raw, 4, 812)
    raw[8:13], raw[40:44], raw[44:49], raw[76:80] = b"pts/0", b"ts/0", b"alice", b"evil"
    struct.pack_into("=iII", raw, 336, 3, NOON, 9)
    raw[348:352] = bytes([203, 0, 113, 9])
    (one,) = utmp.logins(bytes(raw), utmp.SIZE)
    assert one[:9] == (7, 812, b"pts/0", b"ts/0", b"alice", b"evil", 3, NOON, 9)
    assert one._replace(host=b"").origin == b"203.0.113.9"


@pytest.mark.parametrize("width", list(utmp.LAYOUTS))
@pytest.mark.parametrize("count", [1, 2, 25, 96])
def test_both_sizes_are_told_apart(width: int, count: int) -> None:
    """25 wide records are as long as so many others: then what they hold decides."""
    data = wtmp(*[login(NOON + n) for n in range(count)], width=width)
    assert utmp.stride(data) == width
    assert [one.at for one in utmp.logins(data)] == [NOON + n for n in range(count)]


@pytest.mark.parametrize(
    ("host", "address", "origin"),
    [
        (b"evil.example", bytes([1, 2, 3, 4]) + bytes(12), b"evil.example"),
        (b"", bytes([1, 2, 3, 4]) + bytes(12), b"1.2.3.4"),
        (b"", bytes.fromhex("20010db8000000000000000000000009"), b"2001:db8::9"),
        (b"", bytes(16), b""),
    ],
)
def test_origins(host: bytes, address: bytes, origin: bytes) -> None:
    assert login(host=host, address=address).origin == origin


@given(st.binary(max_size=4000), st.sampled_from([None, *utmp.LAYOUTS]))
def test_any_bytes_are_records(data: bytes, width: int | None) -> None:
    found = list(utmp.logins(data, width))
    assert len(found) == len(data) // (width or utmp.stride(data))
    assert len(list(utmp.flaws(found))) <= len(found)
    for one in found:
        assert isinstance(one.origin, bytes)


@given(st.binary(max_size=2000), st.sampled_from(list(utmp.LASTLOG)))
def test_any_bytes_are_last_logins(data: bytes, width: int) -> None:
    for one in utmp.lasts(data, width, 1000):
        assert 1000 <= one.uid < 1000 + len(data) // width


def test_what_only_appends_has_no_flaw() -> None:
    day = [
        login(kind=utmp.BOOT_TIME, user=b"reboot"),
        login(NOON + 60),
        login(NOON + 59, kind=utmp.DEAD_PROCESS, user=b""),
        login(NOON - 500_000, kind=utmp.BOOT_TIME, user=b"reboot"),
        login(NOON - 499_000),
    ]
    assert list(utmp.flaws(day)) == []


def test_the_traces_of_an_editor() -> None:
    blank = next(utmp.logins(bytes(384), utmp.SIZE))
    edited = [login(), blank, login(kind=77), login(NOON + 9), login(NOON - 200_000)]
    assert list(utmp.flaws(edited)) == [(1, "zeroed"), (2, "garbled"), (4, "backwards")]


def test_last_logins_by_uid() -> None:
    data = bytes(292) + utmp.LASTLOG[292].pack(NOON, b"pts/3", b"203.0.113.9")
    assert list(utmp.lasts(data, 292)) == [(1, NOON, b"pts/3", b"203.0.113.9")]
    assert (utmp.lastlog_stride(292 * 5), utmp.lastlog_stride(296 * 5)) == (292, 296)


def test_this_host_s_own_records() -> None:
    path = Path("/var/log/wtmp")
    if not path.exists() or not path.stat().st_size:
        pytest.skip("this host keeps no wtmp")
    data = path.read_bytes()
    assert any(one.sane for one in utmp.logins(data))
