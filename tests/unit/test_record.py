"""Escaping has an exact inverse, nothing harmful passes, and a line says what the schema says."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.errors import AlertLogError
from hostguardd.model import Severity
from hostguardd.record import (
    GENESIS,
    TEXT_LIMIT,
    clean,
    digest,
    escape,
    parse,
    render,
    sequence_of,
    timestamp,
    unescape,
)
from tests.alerts import IDENTITY, NOW, alert, check

HARMFUL = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

PIECES = (b"\\", b"\\x41", b"\n", b"\x1b[2J", b"\xe2\x80\xae", b"\xff", b"\xc3", b"a", b"\xf3\xa0\x80\x81")

hostile = st.one_of(
    st.binary(max_size=64),
    st.text(max_size=32).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from(PIECES)).map(b"".join),
)


@given(hostile)
def test_unescape_is_the_exact_inverse_of_escape(raw: bytes) -> None:
    assert unescape(escape(raw)) == raw


@given(hostile, hostile)
def test_different_bytes_look_different(one: bytes, other: bytes) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@given(hostile)
def test_nothing_harmful_is_left(raw: bytes) -> None:
    text = escape(raw)
    assert not {unicodedata.category(char) for char in text} & HARMFUL
    assert clean(text) == text


@given(st.text(alphabet=st.characters(), max_size=40))
def test_clean_leaves_nothing_harmful_and_changes_nothing_twice(text: str) -> None:
    once = clean(text)
    assert not {unicodedata.category(char) for char in once.replace("\t", "")} & HARMFUL
    assert clean(once) == once


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"/etc/passwd", "/etc/passwd"),
        ("/srv/日本語 ü".encode(), "/srv/日本語 ü"),
        ("全\u3000角".encode(), "全\u3000角"),
        (b"a\nb\x1b[31m\x7f", r"a\x0ab\x1b[31m\x7f"),
        (b"back\\slash", r"back\\slash"),
        (b"\\x41", r"\\x41"),
        ("\u202egnp".encode(), r"\xe2\x80\xaegnp"),
        (b"latin\xe9", r"latin\xe9"),
        ("\x85\u2028".encode(), r"\xc2\x85\xe2\x80\xa8"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),
    ],
)
def test_escaping_by_example(raw: bytes, text: str) -> None:
    assert escape(raw) == text


@pytest.mark.parametrize("text", ["\\", "\\q", "a\\x4", "\\xZZ", "\\\\\\"])
def test_what_was_never_escaped_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="stray backslash"):
        unescape(text)


def test_an_undecodable_byte_in_text_is_shown_as_that_byte() -> None:
    assert clean("user\udcff") == r"user\xff"
    assert clean("\ud800") == r"\xed\xa0\x80"


@pytest.mark.parametrize(
    ("ns", "digits", "text"),
    [
        (0, 6, "1970-01-01T00:00:00.000000Z"),
        (1_763_904_000_123_456_789, 6, "2025-11-23T13:20:00.123456Z"),
        (1_763_904_000_123_456_789, 9, "2025-11-23T13:20:00.123456789Z"),
        (-1, 9, "1969-12-31T23:59:59.999999999Z"),
        (-62_000_000_000 * 10**9, 6, "0005-04-19T09:46:40.000000Z"),
        (10**21, 6, "@1000000000000.000000"),
        (2**63 * 10**9, 9, "@9223372036854775808.000000000"),
    ],
)
def test_times(ns: int, digits: int, text: str) -> None:
    assert timestamp(ns, digits) == text


def test_a_line_and_back() -> None:
    told = alert(
        7, kind="file", action="file-changed", severity=Severity.CRITICAL, rule="accounts", technique="T1098",
        message="/etc/passwd changed",
        fields={"file.path": b"/etc/passwd", "file.size": 12, "file.inode": None},
        data={
            "key": "/etc/passwd", "finding": "f", "state": "opened", "generation": 2,
            "changed": ("mode", "uid"), "before": {"uid": 0}, "after": None, "first_seen": timestamp(NOW),
        },
    )  # fmt: skip
    line = render(told, IDENTITY, 42, "ab" * 32)
    record = check(line)
    assert record["@timestamp"] == "2025-11-23T13:20:00.000000Z"
    assert record["event"] == {
        "sequence": 42, "id": "a7", "kind": "alert", "category": ["host"], "type": ["info"],
        "action": "file-changed", "severity": 99,
    }  # fmt: skip
    assert record["file"] == {"path": "/etc/passwd", "size": 12}
    assert record["host"] == {"hostname": "web1", "id": IDENTITY.host_id, "boot": {"id": IDENTITY.boot_id}}
    assert record["rule"] == {"name": "accounts"}
    assert record["threat"]["technique"] == {"id": ["T1098"]}
    assert record["hostguard"]["chain"] == "ab" * 32
    assert record["hostguard"]["changed"] == ["mode", "uid"]
    assert record["hostguard"]["severity"] == "critical"
    assert sequence_of(line) == sequence_of(line + b"\n") == 42
    assert digest(line) != digest(line + b"\n")


@given(hostile, st.text(max_size=30))
def test_hostile_bytes_survive_and_hostile_text_does_no_harm(raw: bytes, text: str) -> None:
    line = render(
        alert(message=f"x{text}", fields={"file.path": raw, "file.name": text}, data={"more": {text: [raw]}}),
        IDENTITY,
        1,
        GENESIS,
    )
    assert unescape(check(line)["file"]["path"]) == raw


def test_a_text_cannot_forge_the_number_of_its_line() -> None:
    forged = 'a","event":{"sequence":99,"'
    line = render(alert(message=forged, rule=forged), IDENTITY, 5, GENESIS)
    assert sequence_of(line) == 5
    assert check(line)["message"] == forged
    at_the_year_20000 = render(alert(at=10**21, message=forged), IDENTITY, 6, GENESIS)
    assert sequence_of(at_the_year_20000) == 6


def test_a_very_long_string_is_cut_and_says_so() -> None:
    record = check(render(alert(message="m" * (TEXT_LIMIT + 5)), IDENTITY, 1, GENESIS))
    assert record["message"].endswith("… (5 more characters)")


def test_the_longest_path_is_not_cut() -> None:
    raw = b"/" + b"\x01" * 4095
    record = check(render(alert(fields={"file.path": raw}), IDENTITY, 1, GENESIS))
    assert unescape(record["file"]["path"]) == raw


@pytest.mark.parametrize(
    "fields",
    [
        {"event.sequence": 9},
        {"host.name": "liar"},
        {"file": "x", "file.path": "y"},
        {"file.path": "x", "file": "y"},
    ],
)
def test_a_subject_cannot_set_what_is_not_its_own(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="field"):
        render(alert(fields=fields), IDENTITY, 1, GENESIS)


def test_data_cannot_replace_what_the_chain_needs() -> None:
    record = check(render(alert(data={"chain": "x", "schema": 9, "kind": "?"}), IDENTITY, 1, GENESIS))
    assert record["hostguard"] == {"chain": GENESIS, "schema": 1, "kind": "health", "severity": "info"}


def test_a_value_without_a_json_form_is_our_mistake() -> None:
    with pytest.raises(TypeError, match="cannot hold a object"):
        render(alert(data={"x": object()}), IDENTITY, 1, GENESIS)
    with pytest.raises(ValueError, match="Out of range"):
        render(alert(data={"x": float("nan")}), IDENTITY, 1, GENESIS)


def _without(*path: str) -> bytes:
    record: Any = json.loads(render(alert(), IDENTITY, 1, GENESIS))
    inner = record
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return json.dumps(record).encode()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "is not JSON"),
        (b"\0\0\0", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"@timestamp":"2025', "is not JSON"),
        (b"[1]", "not a JSON object"),
        (b"{}", "no event or no hostguard"),
        (_without("event", "sequence"), "no usable number"),
        (_without("hostguard", "chain"), "holds no digest"),
        (_without("message"), "message is missing"),
        (_without("event", "id"), "id is missing"),
        (render(alert(), IDENTITY, 1, GENESIS).replace(b'"schema":1', b'"schema":2'), "record schema 2"),
        (render(alert(), IDENTITY, 1, GENESIS).replace(b'"sequence":1', b'"sequence":true'), "number"),
        (render(alert(), IDENTITY, 1, GENESIS).replace(b'"sequence":1', b'"sequence":-1'), "number"),
        (render(alert(), IDENTITY, 1, "Z" * 64), "holds no digest"),
    ],
)
def test_what_is_no_alert_is_refused_by_name(line: bytes, says: str) -> None:
    with pytest.raises(AlertLogError, match=says):
        parse(line)


def test_severities_grow_with_their_numbers() -> None:
    lines = [
        check(render(replace(alert(), severity=severity), IDENTITY, 1, GENESIS))
        for severity in (Severity.INFO, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL)
    ]
    assert [line["event"]["severity"] for line in lines] == [1, 21, 47, 73, 99]
