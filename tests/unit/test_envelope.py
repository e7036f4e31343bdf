"""What a line of the alert log is sent as: RFC 5424 to the letter, and JSON to the last byte."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hostguardd import envelope
from hostguardd.envelope import (
    DAMAGED,
    HEARTBEAT,
    LAST,
    SPARED,
    Entry,
    entry,
    heartbeat,
    shortened,
    syslog,
)
from hostguardd.model import Severity
from hostguardd.record import GENESIS, Identity, render
from tests.alerts import IDENTITY, NOW, alert, check

AUTHPRIV = 10
MESSAGE = re.compile(
    rb"<(?P<pri>[1-9][0-9]{0,2})>1 (?P<at>-|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)"
    rb" (?P<host>[!-~]{1,255}) hostguardd - (?P<msgid>[!-~]{1,32}) \[hostguard@32473"
    rb'(?P<data>(?: [a-z]+="(?:[^"\\\]]|\\["\\\]])*")*)\] (?P<msg>.+)',
    re.DOTALL,
)
"""RFC 5424, section 6, as far as we use it."""


def line(sequence: int = 7, hostname: str = "web1", **more: Any) -> bytes:
    identity = Identity(hostname, IDENTITY.host_id, IDENTITY.boot_id, IDENTITY.version)
    return render(alert(**{"id": "0a1b2c", **more}), identity, sequence, GENESIS)


def parts(message: bytes) -> dict[str, bytes]:
    found = MESSAGE.fullmatch(message)
    assert found is not None, message
    return found.groupdict()


def test_a_message_to_the_letter() -> None:
    sent = line(severity=Severity.CRITICAL, action="added", kind="setid", message="Someone: /tmp/日本")
    assert syslog(entry(sent), AUTHPRIV, 8192) == (
        b"<82>1 2025-11-23T13:20:00.000000Z web1 hostguardd - added "
        b'[hostguard@32473 seq="7" id="0a1b2c" severity="critical" kind="setid"] ' + sent
    )


SEVERITIES = sorted(set(Severity) - {Severity.IGNORE})


@pytest.mark.parametrize("severity", SEVERITIES)
def test_severities(severity: Severity) -> None:
    one = entry(line(severity=severity))
    assert one.severity is severity
    assert int(parts(syslog(one, 3, 4096))["pri"]) == 24 + envelope.SYSLOG_SEVERITIES[severity]


def test_the_fast_path_is_the_one_taken() -> None:
    sent = line()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(envelope, "_parsed", lambda line: pytest.fail("parsed"))
        assert entry(sent).line is sent


hosts = st.text(st.characters(exclude_categories=()), max_size=40)
texts = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=60),
    st.sampled_from(
        [
            '"host":{"hostname":"evil"',
            '"schema":1,"kind":"x","severity":"info","chain":"' + GENESIS + '"}}',
            "\\",
            "]",
        ]
    ),
)
data = st.dictionaries(st.sampled_from(["key", "diff", "kind", "schema", "host", "x"]), texts, max_size=3)


@settings(deadline=None)
@given(
    st.integers(1, 10**19),
    hosts,
    st.sampled_from(SEVERITIES),
    texts,
    data,
    st.sampled_from(["added", "a_b", "é"]),
)
def test_the_fast_path_says_what_parsing_says(
    sequence: int, hostname: str, severity: Severity, message: str, more: dict[str, str], action: str
) -> None:
    fields = {"file.path": message, "process.name": hostname}
    sent = line(
        sequence, hostname, severity=severity, message=message, data=more, action=action, fields=fields
    )
    assert entry(sent) == envelope._parsed(sent)
    assert entry(sent).sequence == sequence


sizes = st.integers(1024, 20_000)
long = st.one_of(texts, st.builds(lambda piece, times: piece * times, texts, st.integers(1, 3000)))
DEEP = ("file.path", "process.command_line", "process.name", "user.name")


@settings(deadline=None)
@given(hosts, long, long, st.dictionaries(st.sampled_from(DEEP), long), sizes)
def test_a_message_keeps_its_limit_and_its_json(
    hostname: str, message: str, key: str, fields: dict[str, str], limit: int
) -> None:
    sent = line(
        hostname=hostname, message=message, fields=fields, data={"key": key, "diff": message, "advice": key}
    )
    made = syslog(entry(sent), AUTHPRIV, limit)
    assert len(made) <= limit
    record = json.loads(parts(made)["msg"])
    assert record["hostguard"].get("chain", GENESIS) == GENESIS
    if len(sent) + 500 <= limit:
        assert parts(made)["msg"] == sent


words = st.one_of(texts, st.text(st.characters(exclude_categories=()), max_size=600))


@settings(deadline=None)
@given(
    st.integers(0, 10**30),
    st.sampled_from(SEVERITIES),
    words,
    words,
    words,
    words,
    words,
    sizes,
)
@example(0, Severity.LOW, "\t", '"] \\', "\t \n", "2025\t", "\t]", 1024)
def test_nothing_in_an_entry_breaks_out_of_its_field(
    sequence: int,
    severity: Severity,
    name: str,
    kind: str,
    action: str,
    at: str,
    host: str,
    limit: int,
) -> None:
    one = Entry(sequence, severity, name, kind, action, at, host, b'{"message":1}')
    made = syslog(one, 23, limit)
    assert len(made) <= limit
    found = parts(made)
    assert found["msg"] == b'{"message":1}'
    assert not any(byte < 0x20 or byte > 0x7E for byte in made)
    assert [pair.split(b"=")[0] for pair in re.findall(rb' [a-z]+="', found["data"])] == [
        b" seq", b" id", b" severity", b" kind",
    ] or b'\\"' in found["data"]  # fmt: skip


@settings(deadline=None)
@given(st.binary(max_size=3000), sizes)
def test_a_damaged_line_is_sent_as_what_it_is(raw: bytes, limit: int) -> None:
    one = entry(raw)
    assert (one.sequence, one.kind, one.severity) == (0, DAMAGED, Severity.HIGH)
    made = syslog(one, AUTHPRIV, limit)
    assert len(made) <= limit
    assert json.loads(parts(made)["msg"])["hostguard"]["kind"] == DAMAGED


FORGED: list[dict[str, Any]] = [
    {"event": {"severity": [1]}},
    {"event": {"severity": {}}},
    {"event": {"id": "x" * 9000}},
    {"event": {"id": '"] <0>1 \n', "action": "a b\n\x1b"}},
    {"event": {"sequence": 10**4000}},
    {"@timestamp": "2025 evil"},
    {"@timestamp": "²"},
    {"@timestamp": "x" * 9000},
    {"host": "x"},
    {"host": {"hostname": "a\ud800b c\n"}},
    {"hostguard": {"kind": "k" * 9000}},
    {"hostguard": {"kind": ["\ud800"] * 9}},
    {"huge": "x" * 20_000},
]


@pytest.mark.parametrize("forged", FORGED, ids=range(len(FORGED)))
def test_a_forged_line_harms_nobody(forged: dict[str, Any]) -> None:
    record = json.loads(line())
    for key, value in forged.items():
        if isinstance(record.get(key), dict) and isinstance(value, dict):
            record[key] |= value
        else:
            record[key] = value
    one = entry(json.dumps(record).encode())
    for limit in (1024, 2048, 8192):
        made = syslog(one, AUTHPRIV, limit)
        assert len(made) <= limit
        json.loads(parts(made)["msg"])
        assert b"\n" not in made


def test_a_number_beyond_reason_is_shown_as_the_last() -> None:
    assert b'seq="%d"' % LAST in syslog(Entry(10**30, Severity.LOW, "", "", "", "", "", b"{}"), 1, 1024)


def test_what_is_left_out_is_named_and_goes_in_its_order() -> None:
    sent = line(data={"diff": "d" * 4000, "before": {"a": "b" * 2000}, "key": "/k"}, message="m")
    record = json.loads(shortened(sent, 3200))
    assert record["hostguard"]["cut"] == ["hostguard.diff"]
    assert record["hostguard"]["before"]["a"].startswith("bbb")
    record = json.loads(shortened(sent, 1200))
    assert record["hostguard"]["cut"] == list(SPARED[:2])
    assert (record["hostguard"]["key"], record["message"]) == ("/k", "m")


def test_a_long_sentence_is_shortened_last() -> None:
    record = json.loads(shortened(line(message="m" * 5000), 2048))
    assert record["hostguard"]["cut"] == ["message"]
    assert record["message"].startswith("mmmm")
    assert record["message"].endswith("…")
    assert "key" not in record["hostguard"]


@pytest.mark.parametrize("raw", [b"x" * 2000, b"[1," + b" " * 2000 + b"2]", b'{"hostguard":1}' + b" " * 2000])
def test_what_is_none_of_ours_is_not_cut_but_replaced(raw: bytes) -> None:
    assert json.loads(shortened(raw, 1024))["hostguard"]["cut"] == ["*"]


@pytest.mark.parametrize(
    "raw", [b'{"hostguard":' + b"[" * 970 + b"]" * 970 + b"}", b'{"x":"' + b"y" * 2_000_000 + b'"}']
)
def test_what_would_cost_too_much_to_shorten_is_replaced(raw: bytes) -> None:
    assert json.loads(shortened(raw, 1024))["hostguard"]["cut"] == ["*"]


def test_a_heartbeat() -> None:
    one = heartbeat(NOW, {"hostname": "web1", "id": "42"}, {"sent": 12, "waiting": 0})
    assert (one.sequence, one.kind, one.severity) == (0, HEARTBEAT, Severity.INFO)
    found = parts(syslog(one, AUTHPRIV, 1024))
    record = json.loads(found["msg"])
    assert found["msgid"] == b"heartbeat"
    assert record["hostguard"] == {
        "schema": 1,
        "kind": "heartbeat",
        "severity": "info",
        "sent": 12,
        "waiting": 0,
    }
    assert record["host"] == {"hostname": "web1", "id": "42"}
    assert record["@timestamp"] == one.at == "2025-11-23T13:20:00.000000Z"


def test_the_lines_here_are_such_as_the_log_has() -> None:
    check(line())
