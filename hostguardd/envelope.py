"""What a line of the alert log is sent as: an `Entry`, and the syslog message made of it. Pure.

RFC 5424: `<PRI>1 TIMESTAMP HOSTNAME hostguardd - MSGID [hostguard@… …] MSG`, where MSG is the line itself. It
is UTF-8 without the byte order mark of section 6.4: receivers hand MSG to JSON parsers, which refuse one.

A receiver has a size that it takes (section 6.1 demands 2048 bytes, most take 8192), and cuts off what is
longer, which leaves no JSON. So a line is shortened here instead, by what can best be missed, and the record
names what was left out in `hostguard.cut`: the whole of it stays in the alert log under its number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .errors import AlertLogError
from .model import Severity
from .record import ECS_VERSION, SCHEMA, SEVERITY_NUMBERS, clean, escape, parse, timestamp

APP_NAME: Final = b"hostguardd"
SD_ID: Final = b"hostguard@32473"
"""Section 6.3.2 asks for a number of one's own; this is the one that RFC 5612 sets aside for want of it."""

SYSLOG_SEVERITIES: Final[Mapping[Severity, int]] = {
    Severity.CRITICAL: 2,  # critical
    Severity.HIGH: 3,  # error
    Severity.MEDIUM: 4,  # warning
    Severity.LOW: 5,  # notice
    Severity.INFO: 6,  # informational
}
"""RFC 5424, section 6.2.1. Nothing is an emergency (0): that is written to every terminal."""

LAST: Final = 10**18 - 1
"""The highest number that a message shows."""

HEARTBEAT: Final = "heartbeat"
DAMAGED: Final = "damaged"

SPARED: Final = (
    "hostguard.diff", "hostguard.before", "hostguard.after", "hostguard.members", "hostguard.by_folder",
    "process.command_line", "hostguard.advice", "file", "process", "hostguard.changed", "hostguard.blind",
)  # fmt: skip
"""What a message that is too long does without, in this order."""

NOTHING_FITS: Final[Mapping[str, Any]] = {
    "message": "too long for this destination: see the alert log",
    "hostguard": {"schema": 1, "kind": DAMAGED, "cut": ["*"]},
}
"""What is sent of a line that cannot be shortened, because it is none of ours or holds giants elsewhere."""

EVENT: Final = ("sequence", "id", "severity")
OURS: Final = ("schema", "kind", "severity", "chain")
"""What is left of one that is: enough to find it."""

PARSED: Final = 1024 * 1024
"""Bytes of a line beyond which it is not taken apart: that takes ten times as much memory."""

_BY_NUMBER = {number: severity for severity, number in SEVERITY_NUMBERS.items()}
_HEAD = re.compile(
    rb'\{"@timestamp":"([0-9TZ:.-]+)","event":\{"sequence":([1-9][0-9]{0,17}),"id":"([0-9a-f-]{1,64})",'
    rb'"kind":"alert","category":\[[a-z",]*\],"type":\[[a-z",]*\],"action":"([a-z.-]{1,64})",'
    rb'"severity":([0-9]{1,2})[,}]'
)
_HOST = re.compile(rb'"host":\{"hostname":"([^"\\]*)"')
_KIND = re.compile(rb'"schema":1,"kind":"([a-z-]{1,32})","severity":"[a-z]+","chain":"[0-9a-f]{64}"\}\}$')
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_UNFIT = re.compile(rb"[^\x21-\x7e]+")  # PRINTUSASCII
_TO_ESCAPE = re.compile(rb'["\\\]]')


class Entry(NamedTuple):
    """One line of the alert log, or a heartbeat, with what must be known of it to send it.

    `sequence` is 0 for a heartbeat and for a line that is damaged; `at` the time as in the line (RFC 3339,
    UTC), `action` what happened (`event.action`), `kind` the fact's kind (or "heartbeat", "damaged"), `line`
    the JSON without its newline.
    """

    sequence: int
    severity: Severity
    id: str
    kind: str
    action: str
    at: str
    hostname: str
    line: bytes


def entry(line: bytes) -> Entry:
    """The entry of a line. One that is no record of ours is sent all the same, as what it is: damaged.

    Lines are written in one order of members (`record.render`), which spares the parsing of nearly all.
    """
    head, host, kind = _HEAD.match(line), _HOST.search(line), _KIND.search(line)
    if head and host and kind and (severity := _BY_NUMBER.get(int(head[5]))):
        return Entry(
            int(head[2]),
            severity,
            head[3].decode(),
            kind[1].decode(),
            head[4].decode(),
            head[1].decode(),
            host[1].decode("utf-8", "replace"),
            line,
        )
    return _parsed(line)


def _parsed(line: bytes) -> Entry:
    try:
        record = parse(line)
    except AlertLogError as error:
        told = {
            "message": f"a line of the alert log {error}",
            "hostguard": {
                "schema": SCHEMA,
                "kind": DAMAGED,
                "line": escape(line[:4096]),
            },
        }
        return Entry(0, Severity.HIGH, "", DAMAGED, DAMAGED, "", "", _json(told))
    event, ours = record["event"], record["hostguard"]
    host, number = record.get("host"), event.get("severity")
    return Entry(
        event["sequence"],
        _BY_NUMBER.get(number, Severity.HIGH) if isinstance(number, int) else Severity.HIGH,
        event["id"],
        str(ours.get("kind", "")),
        str(event.get("action", "")),
        record["@timestamp"],
        str(host.get("hostname", "")) if isinstance(host, dict) else "",
        line,
    )


def heartbeat(now: int, host: Mapping[str, str], told: Mapping[str, Any]) -> Entry:
    """The sign of life at `now` (ns since the epoch) of `host`, its `hostname` and `id`; `told` is what it
    says under `hostguard`."""
    at = timestamp(now)
    record = {
        "@timestamp": at,
        "event": {
            "kind": "metric",
            "category": ["host"],
            "type": ["info"],
            "action": HEARTBEAT,
        },
        "message": "hostguardd is forwarding",
        "ecs": {"version": ECS_VERSION},
        "host": dict(host),
        "hostguard": {"schema": SCHEMA, "kind": HEARTBEAT, "severity": "info", **told},
    }
    return Entry(0, Severity.INFO, "", HEARTBEAT, HEARTBEAT, at, str(host.get("hostname", "")), _json(record))


def syslog(one: Entry, facility: int, limit: int) -> bytes:
    """The message, without framing, in at most `limit` bytes (1 KiB or more)."""
    head = b'<%d>1 %s %s %s - %s [%s seq="%d" id="%s" severity="%s" kind="%s"] ' % (
        facility * 8 + SYSLOG_SEVERITIES.get(one.severity, 6),
        one.at.encode() if _TIME.fullmatch(one.at) else b"-",
        _word(one.hostname, 255),
        APP_NAME,
        _word(one.action, 32),
        SD_ID,
        min(one.sequence, LAST),
        _value(one.id, 64),
        one.severity.label.encode(),
        _value(one.kind, 32),
    )
    return head + shortened(one.line, limit - len(head))


def _word(value: str, most: int) -> bytes:
    """A field of the header: printable ASCII without blanks, or the nil value."""
    return _UNFIT.sub(b"_", value.encode("utf-8", "backslashreplace"))[:most] or b"-"


def _value(value: str, most: int) -> bytes:
    """The value of a parameter, section 6.3.3. Ours are plain words; of a forged one, what is harmless."""
    harmless = clean(value[:most]).replace("\t", " ").encode("ascii", "backslashreplace")
    return _TO_ESCAPE.sub(rb"\\\g<0>", harmless[:most])


def shortened(line: bytes, limit: int) -> bytes:
    """The line itself where it fits into `limit` bytes, else without what can be missed, which it names.

    Whatever the line is, what comes out is JSON, of at most `limit` bytes as far as 110 are enough.
    """
    if len(line) <= limit:
        return line
    if len(line) > PARSED:
        return _json(NOTHING_FITS)
    try:
        return _shortened(line, limit)
    except RecursionError:
        return _json(NOTHING_FITS)


def _shortened(line: bytes, limit: int) -> bytes:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return _json(NOTHING_FITS)
    ours = record.get("hostguard") if isinstance(record, dict) else None
    if not isinstance(ours, dict):
        return _json(NOTHING_FITS)
    cut: list[str] = []
    ours["cut"] = cut
    for dotted in SPARED:
        if _without(record, dotted):
            cut.append(dotted)
            if len(made := _json(record)) <= limit:
                return made
    # What is left is a sentence and a key that quote something long.
    whole = {name: str(place[name]) for place, name in ((record, "message"), (ours, "key")) if name in place}
    cut += ["message"] if "message" in whole else []
    cut += ["hostguard.key"] if "key" in whole else []
    for share in (limit // 16, limit // 64, 0):
        for place, name in ((record, "message"), (ours, "key")):
            if name in whole:
                place[name] = whole[name][:share] + "…"
        if len(made := _json(record)) <= limit:
            return made
    event = record.get("event")
    least = {
        **NOTHING_FITS,
        "@timestamp": record.get("@timestamp"),
        "event": {name: event.get(name) for name in EVENT} if isinstance(event, dict) else {},
        "hostguard": {name: ours.get(name) for name in OURS} | {"cut": ["*"]},
    }
    made = _json(least)
    return made if len(made) <= limit else _json(NOTHING_FITS)


def _without(record: dict[str, Any], dotted: str) -> bool:
    """Take a member out; whether it was there."""
    *folders, leaf = dotted.split(".")
    place: Any = record
    for name in folders:
        place = place.get(name) if isinstance(place, dict) else None
    if not isinstance(place, dict) or leaf not in place:
        return False
    del place[leaf]
    return True


def _json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
