"""An alert as one line of ECS JSON, and a line back as a record. Pure: bytes and nouns only.

This is the one door through which the host's strings leave the program. A file name is chosen by
whoever made the file, so it may move a cursor, hide half a line from right to left, or end a line
early and forge the next. The rule kept here: **no string of a line holds a character that a
terminal, a log viewer or a line reader acts upon**, and yet nothing is lost. Bytes are escaped with
an exact inverse; text (a sentence that already quotes escaped bytes) is made harmless once more,
which leaves the already escaped as it is.

Lines are numbered without gaps and each holds the digest of the one before, so that a line edited,
cut, inserted or moved shows (`store.chain` looks for that). Field names follow the Elastic Common
Schema 8.17; what is ours is under `hostguard`. `schema/alert.schema.json` describes a line in full.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from .errors import AlertLogError
from .model import Alert, Severity

Record: TypeAlias = dict[str, Any]

SCHEMA = 1
ECS_VERSION = "8.17.0"
GENESIS = "0" * 64
"""What the first line of all holds in place of a digest."""

TEXT_LIMIT = 32 * 1024
"""Characters of one string. A path of 4096 bytes, every one of them escaped, fits twice."""

SEVERITY_NUMBERS: Mapping[Severity, int] = {
    Severity.INFO: 1,
    Severity.LOW: 21,
    Severity.MEDIUM: 47,
    Severity.HIGH: 73,
    Severity.CRITICAL: 99,
}
"""`event.severity`: the middle-to-upper end of the bands common in ECS detection rules."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ESCAPE = re.compile(r"\\(?:\\|x([0-9a-f]{2}))")
_HEAD = re.compile(rb'\{"@timestamp":"[0-9TZ:.-]+","event":\{"sequence":([1-9][0-9]{0,17}),')
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks: the same in every line of one run of the daemon.

    `host_id` is machine-id(5), `boot_id` that of /proc/sys/kernel/random/boot_id, "" if unknown.
    """

    hostname: str
    host_id: str
    boot_id: str
    version: str


def escape(raw: bytes) -> str:
    r"""Printable text for any bytes. `unescape` is its exact inverse.

    Printable UTF-8 stands for itself and a backslash is doubled; every byte of anything else
    (control characters, bidirectional and other format characters, line and paragraph separators,
    private and unassigned code points, bytes that are no UTF-8) becomes `\xNN`.
    """
    text = raw.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join("\\\\" if char == "\\" else _harmless(char) for char in text)


def unescape(text: str) -> bytes:
    """The bytes `escape` was given. ValueError if `text` cannot have come from it."""
    pieces: list[bytes] = []
    at = 0
    for found in _ESCAPE.finditer(text):
        pieces.append(_literal(text[at : found.start()]))
        pieces.append(b"\\" if found[1] is None else bytes.fromhex(found[1]))
        at = found.end()
    pieces.append(_literal(text[at:]))
    return b"".join(pieces)


def clean(text: str) -> str:
    r"""Text without anything a terminal acts upon; what is harmful becomes `\xNN` as in `escape`.

    Backslashes and tabs stay, so that text which quotes escaped bytes comes out as it went in:
    `clean(escape(b)) == escape(b)`. Text that was never escaped is therefore not recoverable to the
    last byte; hand bytes over where that matters.
    """
    if text.isprintable():
        return text
    return "".join(char if char == "\t" else _harmless(char) for char in text)


def _harmless(char: str) -> str:
    """`char` itself if it only prints, else its bytes as `\\xNN`."""
    if char.isprintable() or unicodedata.category(char) == "Zs":
        return char
    # A lone surrogate is how Python spells an undecodable byte; one that is not is kept as it is.
    errors = "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", errors))


def _literal(text: str) -> bytes:
    if "\\" in text:
        raise ValueError(f"not an escaped string: stray backslash in {text!r}")
    return text.encode()


def timestamp(ns: int, digits: int = 6) -> str:
    """Nanoseconds since the epoch as ISO 8601 in UTC with 6 or 9 digits of the second.

    A time beyond the years 1 to 9999, which some file systems can hold, is `@seconds.fraction`.
    """
    seconds, rest = divmod(ns, 1_000_000_000)
    fraction = f"{rest:09d}"[:digits]
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return f"@{seconds}.{fraction}"
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f".{fraction}Z"


def digest(line: bytes) -> str:
    """What the next line holds as `hostguard.chain`: SHA-256 of `line` without its newline."""
    return hashlib.sha256(line).hexdigest()


def render(alert: Alert, identity: Identity, sequence: int, chain: str) -> bytes:
    """The line for `alert`, without the newline that ends it in the log.

    `sequence` counts from 1, `chain` is the `digest` of the line before or GENESIS. Values of None
    are left out of `alert.fields`. Raises ValueError when two fields want the same place, TypeError
    for a value that has no JSON form: both are our own mistakes, not the host's.
    """
    subject: Record = {}
    for name, value in alert.fields.items():
        if value is not None:
            _place(subject, name, _plain(value))
    event = subject.pop("event", {})
    category, kind = event.pop("category", ["host"]), event.pop("type", ["info"])
    record: Record = {
        "@timestamp": timestamp(alert.at),
        "event": {
            "sequence": sequence,
            "id": alert.id,
            "kind": "alert",
            "category": category,
            "type": kind,
            "action": clean(alert.action),
            "severity": SEVERITY_NUMBERS[alert.severity],
        },
        "message": _text(alert.message),
        "ecs": {"version": ECS_VERSION},
        "agent": {"type": "hostguardd", "version": identity.version},
        "host": {
            "hostname": clean(identity.hostname),
            "id": identity.host_id,
            "boot": {"id": identity.boot_id},
        },
    }
    if alert.rule:
        record["rule"] = {"name": clean(alert.rule)}
    if alert.technique:
        record["threat"] = {"framework": "MITRE ATT&CK", "technique": {"id": clean(alert.technique).split()}}
    _extend(record["event"], event)
    _extend(record, subject)
    ours = _plain(alert.data)
    assert isinstance(ours, dict)
    record["hostguard"] = ours | {
        "schema": SCHEMA,
        "kind": alert.kind,
        "severity": alert.severity.label,
        "chain": chain,
    }
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def parse(line: bytes) -> Record:
    """The record of one line, its newline taken off or not.

    Checks what reading needs: an object with a number, a chain digest and a schema that we know.
    Raises AlertLogError with a phrase that goes on after "line 7": `is not JSON: …`.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise AlertLogError(f"is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise AlertLogError("is not a JSON object")
    event, ours = record.get("event"), record.get("hostguard")
    if not isinstance(event, dict) or not isinstance(ours, dict):
        raise AlertLogError("is not an alert: it has no event or no hostguard object")
    schema = ours.get("schema")
    if schema != SCHEMA:
        raise AlertLogError(f"has record schema {schema!r}; this version reads {SCHEMA}")
    sequence = event.get("sequence")
    if type(sequence) is not int or sequence < 1:
        raise AlertLogError(f"has no usable number: event.sequence is {sequence!r}")
    chain = ours.get("chain")
    if not isinstance(chain, str) or not _DIGEST.fullmatch(chain):
        raise AlertLogError("holds no digest of the line before it (hostguard.chain)")
    for name, holder in (("id", event), ("@timestamp", record), ("message", record)):
        if not isinstance(holder.get(name), str):
            raise AlertLogError(f"is not an alert: {name} is missing")
    return record


def sequence_of(line: bytes) -> int | None:
    """The number of a line, without parsing it where `render`'s order of members allows; None if none."""
    found = _HEAD.match(line)
    if found:
        return int(found[1])
    try:
        number: int = parse(line)["event"]["sequence"]
    except AlertLogError:
        return None
    return number


def _text(text: str) -> str:
    text = clean(text)
    if len(text) <= TEXT_LIMIT:
        return text
    return f"{text[:TEXT_LIMIT]}… ({len(text) - TEXT_LIMIT} more characters)"


def _plain(value: object) -> object:
    """`value` with every string in it harmless, in types that JSON knows."""
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, bytes):
        return _text(escape(value))
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(inner) for key, inner in value.items()}
    if isinstance(value, AbstractSet):
        return sorted((_plain(inner) for inner in value), key=str)
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    raise TypeError(f"an alert cannot hold a {type(value).__name__}")


def _extend(record: Record, more: Record) -> None:
    """Add members to `record` that it does not have yet."""
    taken = record.keys() & more.keys()
    if taken:
        raise ValueError(f"not for an alert's fields to set: {', '.join(sorted(taken))}")
    record |= more


def _place(tree: Record, dotted: str, value: object) -> None:
    """Put `value` at `dotted` in nested objects."""
    *folders, leaf = dotted.split(".")
    for name in folders:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise ValueError(f"field {dotted} lies below one that holds a value")
    if leaf in tree:
        raise ValueError(f"field {dotted} is set twice")
    tree[leaf] = value
