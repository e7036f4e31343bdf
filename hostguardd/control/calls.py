"""The table of control calls: name -> who may, what arguments, within which limits. Pure.

The rule: what a caller may do is read off `CALLS`, never traced through branches; and a handler only
ever sees arguments that were checked here, with every default filled in. Unknown calls, unknown
arguments and wrong types are refused with a sentence rather than ignored, because a misspelt
argument that silently means "everything" is how the wrong finding gets accepted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeAlias

from ..errors import UsageError
from ..model import Severity
from ..readers import path_of

VERSION = 1
"""The protocol's `v`. A request of another version is refused, naming both."""

MAX_REQUEST = 64 * 1024
"""Bytes of a request line, its newline included."""

Args: TypeAlias = Mapping[str, Any]


class Who(Enum):
    """READ: root, the daemon's own user, the configured group. ADMIN: only the first two."""

    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument: `parse` checks and converts its JSON value, or raises ValueError saying why.

    An argument without a default must be given.
    """

    parse: Callable[[object], object]
    default: object = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One row of the table. `patience`: seconds a client waits for a sign of life (None: for ever)."""

    who: Who
    doc: str
    args: Mapping[str, Arg] = field(default_factory=dict)
    patience: float | None = 30.0


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _text(limit: int) -> Callable[[object], str]:
    """A string of at most `limit` printable characters, so that it can be stored and shown as it is."""

    def parse(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a string")
        if len(value) > limit:
            raise ValueError(f"is {len(value)} characters long, the limit is {limit}")
        if not value.isprintable():
            raise ValueError("may hold printable characters only")
        return value

    return parse


def _number(low: int, high: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError("must be a whole number")
        if not low <= value <= high:
            raise ValueError(f"must lie between {low} and {high}")
        return value

    return parse


def _severity(value: object) -> Severity:
    found = {s.label: s for s in Severity if s is not Severity.IGNORE}.get(str(value))
    if found is None:
        raise ValueError("must be one of info, low, medium, high, critical")
    return found


def _moment(value: object) -> int:
    """Wall-clock nanoseconds of an ISO 8601 string (UTC when it names no zone) or of epoch seconds."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be an ISO 8601 time or seconds since the epoch")
    try:
        if isinstance(value, str):
            when = datetime.fromisoformat(value)
            value = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError("is not a time: give ISO 8601 or seconds since the epoch") from None
    return int(value * 1_000_000_000)


def _ids(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 1000:
        raise ValueError("must be a list of 1 to 1000 finding ids")
    return tuple(_ID(item) for item in value)


def _paths(value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > 100:
        raise ValueError("must be a list of at most 100 paths")
    return tuple(dict.fromkeys(path_of(_text(1000)(item)) for item in value))


def _said(value: object) -> str:
    text = _REASON(value)
    if not text.strip():
        raise ValueError("must say something")
    return text


_ID = _text(64)
_REASON = _text(500)
_GENERATION = _number(1, 2**53)
_COUNT = _number(0, 2**53)

CALLS: Mapping[str, Call] = {
    "status": Call(Who.READ, "state, coverage, sweeps and costs of the daemon"),
    "drift": Call(
        Who.READ,
        "the open findings, at least this severe",
        {"severity": Arg(_severity, Severity.INFO), "offset": Arg(_COUNT, 0)},
    ),
    "explain": Call(Who.READ, "everything known of one finding", {"id": Arg(_ID, required=True)}),
    "check": Call(
        Who.READ,
        "sweep now, quick or full, and tell the findings",
        {"full": Arg(_flag, False)},
        patience=None,
    ),
    "review": Call(Who.ADMIN, "a full sweep and its drift, with the token to approve it", patience=None),
    "approve": Call(
        Who.ADMIN,
        "make what a review showed the next generation",
        {"token": Arg(_ID, required=True), "reason": Arg(_REASON, ""), "trust": Arg(_REASON, "")},
        patience=None,
    ),
    "findings": Call(
        Who.READ,
        "open findings by their ids, with the token to accept them",
        {"ids": Arg(_ids, required=True)},
    ),
    "accept": Call(
        Who.ADMIN,
        "take single findings into a new generation; with a token: as they were shown",
        {"ids": Arg(_ids, required=True), "token": Arg(_ID), "reason": Arg(_REASON, "")},
        patience=None,
    ),
    "windows": Call(Who.READ, "the change windows that are open, and those that ended last"),
    "window": Call(
        Who.READ,
        "a change window, and what lies inside, with the token to accept it",
        {"id": Arg(_ID, required=True), "offset": Arg(_COUNT, 0)},
    ),
    "window-open": Call(
        Who.ADMIN,
        "announce changes for `length` seconds, in `paths` or anywhere",
        {
            "length": Arg(_number(1, 10**7), required=True),
            "reason": Arg(_said, required=True),
            "paths": Arg(_paths, ()),
        },
    ),
    "window-extend": Call(
        Who.ADMIN,
        "let a change window be open for `length` seconds from now",
        {"id": Arg(_ID, required=True), "length": Arg(_number(1, 10**7), required=True)},
    ),
    "window-end": Call(Who.ADMIN, "end a change window before its time", {"id": Arg(_ID, required=True)}),
    "window-accept": Call(
        Who.ADMIN,
        "take what lay inside a change window, as it was shown, into a new generation",
        {"id": Arg(_ID, required=True), "token": Arg(_ID, required=True), "reason": Arg(_REASON, "")},
        patience=None,
    ),
    "group": Call(
        Who.READ,
        "open findings of groups, named by id or cause, with the token to accept them",
        {"ids": Arg(_ids, required=True), "offset": Arg(_COUNT, 0)},
    ),
    "group-accept": Call(
        Who.ADMIN,
        "take groups of findings, as they were shown, into a new generation",
        {"ids": Arg(_ids, required=True), "token": Arg(_ID, required=True), "reason": Arg(_REASON, "")},
        patience=None,
    ),
    "history": Call(Who.READ, "the generations of the baseline"),
    "diff": Call(
        Who.READ,
        "what differs between two generations (the previous and the current one)",
        {"a": Arg(_GENERATION), "b": Arg(_GENERATION), "offset": Arg(_COUNT, 0)},
    ),
    "rollback": Call(
        Who.ADMIN,
        "make an older generation the current truth again",
        {"number": Arg(_GENERATION, required=True), "reason": Arg(_REASON, "")},
        patience=None,
    ),
    "alerts": Call(
        Who.READ,
        "lines of the alert log, the last `limit` of them (0: all), then new ones if followed",
        {
            "follow": Arg(_flag, False),
            "since": Arg(_moment),
            "severity": Arg(_severity, Severity.INFO),
            "limit": Arg(_COUNT, 0),
        },
        patience=None,
    ),
    "verify": Call(Who.READ, "check the baseline's digests and the alert log's chain", patience=None),
    "updating": Call(
        Who.ADMIN,
        "the package manager is about to replace hostguardd's own files",
        {"version": Arg(_ID, required=True)},
    ),
    "test-alert": Call(Who.ADMIN, "write one marked alert, which goes to every destination"),
    "doctor": Call(Who.READ, "what keeps this host from being watched well", patience=None),
}


def parse_request(line: bytes) -> tuple[str, dict[str, Any]]:
    """(call, complete and checked arguments) of one request line; UsageError says what is wrong.

    An argument that is null counts as not given.
    """
    request = _decode(line)
    version, name, given = request.get("v"), request.get("call"), request.get("args", {})
    if version != VERSION or isinstance(version, bool):
        raise UsageError(f"this daemon speaks version {VERSION} of the control protocol, not {version!r:.40}")
    call = CALLS.get(name) if isinstance(name, str) else None
    if call is None:
        raise UsageError(f"no such call: {name!r:.80}; known are {', '.join(CALLS)}")
    if not isinstance(given, dict):
        raise UsageError(f"{name}: args must be an object")
    unknown = sorted(set(given) - set(call.args))
    if unknown:
        raise UsageError(f"{name}: no such argument: {unknown[0]!r:.80}")
    return str(name), {key: _value(f"{name}: {key}", arg, given.get(key)) for key, arg in call.args.items()}


def _value(where: str, arg: Arg, given: object) -> object:
    if given is None:
        if arg.required:
            raise UsageError(f"{where} is missing")
        return arg.default
    try:
        return arg.parse(given)
    except ValueError as problem:
        raise UsageError(f"{where} {problem}") from None


def _decode(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise UsageError("the request is not one line of JSON") from None
    if not isinstance(request, dict):
        raise UsageError("the request is not a JSON object")
    return request
