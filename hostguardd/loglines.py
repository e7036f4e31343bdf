"""Lines of logs taken apart: when, which program, what it said; and which lines are no text at all. Pure.

The rule kept: any bytes are a line. Nothing is believed of it but its shape, every pattern is linear, and
what is longer than `LONGEST` is cut before anybody looks for words in it.

Sources: RFC 3164 and rsyslog's RSYSLOG_TraditionalFileFormat and RSYSLOG_FileFormat, vsftpd.conf(5)
(`vsftpd_log_file`), auditd(8).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

LONGEST: Final = 2048
"""Bytes of a line in which words are looked for."""

OVERLONG: Final = 8192
"""Bytes past which no log daemon writes a line by itself (rsyslog's default $MaxMessageSize)."""

RUN: Final = 256
"""So many times the same byte in a row is a filled buffer and no message."""

MANY: Final = 8
"""Control characters, or bytes that are no UTF-8, that may happen in a line."""

SAMPLE: Final = 400
"""Bytes of a line that are kept to show."""


class Line(NamedTuple):
    """`at`: seconds since the epoch, 0 when the line does not say. `pid` as the line writes it."""

    at: int
    program: bytes
    pid: bytes
    text: bytes


_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1
    )
}
_TRADITIONAL = re.compile(rb"(?:<\d{1,3}>)?([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) ")
_ISO = re.compile(
    rb"(?:<\d{1,3}>)?(?:1 )?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,]\d{1,9})?(Z|[+-]\d\d:?\d\d)? "
)
_TAG = re.compile(
    rb"(\(?[A-Za-z0-9_/][\w.@/+-]{0,63}(?:\(pam_\w{1,32}\)|\))?)(?:\[(\d{1,10})\])?(?:: ?|(?<=\]) )"
)
_AUDIT = re.compile(rb"(?:node=\S{1,255} )?type=(\w{1,32}) msg=audit\((\d{1,10})\.\d{1,6}:\d{1,20}\): ?")
_VSFTPD = re.compile(
    rb"[A-Z][a-z]{2} ([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4}) \[pid (\d{1,10})\] "
)


def parse(raw: bytes, now: int, offset: int = 0) -> Line:
    """`raw` (without its newline) as a line. `now` gives the year that the traditional format leaves
    out, `offset` is the host's zone in seconds east of Greenwich. What has no known head is all text.
    A carriage return at its end belongs to the end, as in logs that another system handed on."""
    raw = raw[:LONGEST].removesuffix(b"\r")
    if found := _TRADITIONAL.match(raw):
        at = _year(found.groups(), now, offset)
    elif found := _ISO.match(raw):
        at = _iso(found[1], found[2], offset)
    elif found := _AUDIT.match(raw):
        return Line(int(found[2]), b"audit", b"", found[1] + b" " + raw[found.end() :])
    elif found := _VSFTPD.match(raw):
        month, day, hour, minute, second, year, pid = found.groups()
        at = _seconds(int(year), month, (day, hour, minute, second), offset)
        return Line(at, b"vsftpd", pid, raw[found.end() :])
    else:
        return Line(0, b"", b"", raw)
    return _tagged(raw, found.end(), at)


def _tagged(raw: bytes, start: int, at: int) -> Line:
    """The rest of a line behind its time: host and tag, or the tag alone (`logger -s`, busybox)."""
    tag = _TAG.match(raw, start)
    if tag is None:
        space = raw.find(b" ", start, start + 256)
        tag = _TAG.match(raw, space + 1) if space >= 0 else None
    if tag is None:
        return Line(at, b"", b"", raw[start:])
    name = tag[1] if b"(pam_" in tag[1] else tag[1].strip(b"()")
    return Line(at, name, tag[2] or b"", raw[tag.end() :])


def _year(parts: tuple[bytes, ...], now: int, offset: int) -> int:
    """The time of the traditional format: the latest year in which it lies not in the future."""
    month, *rest = parts
    newest = _year_of(now)
    for year in (newest + 1, newest, newest - 1):
        at = _seconds(year, month, rest, offset)
        if at and at <= now + 86400:
            return at
    return 0


@lru_cache(16)
def _year_of(now: int) -> int:
    return datetime.fromtimestamp(now, UTC).year


def _seconds(year: int, month: bytes, rest: Iterable[bytes], offset: int) -> int:
    day, hour, minute, second = rest
    begun = _minute(year, month, day, hour, minute)
    return max(0, begun + min(int(second), 59) - offset) if begun else 0


@lru_cache(8192)
def _minute(year: int, month: bytes, day: bytes, hour: bytes, minute: bytes) -> int:
    """When a minute began, 0 when there is none. Remembered, as lines come in order."""
    try:
        when = datetime(year, _MONTHS[month], int(day), int(hour), int(minute), tzinfo=UTC)
    except (KeyError, ValueError):
        return 0
    return int(when.timestamp())


def _iso(text: bytes, zone: bytes | None, offset: int) -> int:
    """ISO 8601; `offset` is for what names no zone."""
    try:
        when = datetime.fromisoformat((text + (zone or b"")).decode())
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC) - timedelta(seconds=offset)
        return max(0, int(when.timestamp()))
    except (ValueError, OverflowError):
        return 0


class Entry(NamedTuple):
    """An entry of the journal: a line, what the journal itself knows of who wrote it (`exe` b"" and `uid`
    None: not known), and the cursor behind which the next one stands."""

    line: Line
    exe: bytes
    uid: int | None
    cursor: str


def entry(raw: bytes) -> Entry | None:
    """One line of `journalctl -o json`, systemd.journal-fields(7); None for what is none."""
    try:
        given = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(given, dict):
        return None
    micros, uid, cursor = given.get("__REALTIME_TIMESTAMP"), given.get("_UID"), given.get("__CURSOR")
    line = Line(
        int(micros) // 10**6 if isinstance(micros, str) and micros.isdecimal() and len(micros) < 20 else 0,
        _plain(given.get("SYSLOG_IDENTIFIER"))[:64],
        (_plain(given.get("SYSLOG_PID")) or _plain(given.get("_PID")))[:10],
        _plain(given.get("MESSAGE")),
    )
    number = int(uid) if isinstance(uid, str) and uid.isdecimal() and len(uid) < 11 else None
    return Entry(line, _plain(given.get("_EXE")), number, cursor if isinstance(cursor, str) else "")


def _plain(value: object) -> bytes:
    """A field's bytes: text, or a list of numbers where they are no text; of several values the first."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, list) and value:
        if all(isinstance(one, int) and 0 <= one < 256 for one in value):
            return bytes(value)
        return _plain(value[0])
    return b""


# -- lines that are no text ------------------------------------------------------------------------

_CONTROL: Final = bytes(code for code in range(32) if code not in b"\t\r\x1b") + b"\x7f"
_ODD = re.compile(rb"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\xff#]")
_COLOUR = re.compile(rb"\x1b\[[0-9;]{0,16}[A-Za-z]")
_ESCAPED = re.compile(rb"#(?!011|012|015|033)[0-3][0-7]{2}")
"""How rsyslog writes a control byte ($EscapeControlCharactersOnReceive); a tab or line end is none."""
_RULER: Final = b" -=*#_.~+\t"
_RUN = re.compile(rb"(.)\1{%d}" % (RUN - 1), re.DOTALL)


def garbled(raw: bytes) -> str:
    """What makes a line no text, "" if it is one: `control bytes`, `no UTF-8`, `one byte repeated`,
    `overlong`. Such a line is what remains of bytes sent where a name or a message was expected."""
    size = len(raw)
    if size <= RUN and not _ODD.search(raw):
        return ""
    head = raw[:OVERLONG]
    if len(head) - len(head.translate(None, _CONTROL)) >= MANY:
        return "control bytes"
    if head.count(b"\x1b") >= MANY and _COLOUR.sub(b"", head).count(b"\x1b") >= MANY:
        return "control bytes"
    if b"#" in head and len(_ESCAPED.findall(head)) >= MANY:
        return "control bytes"
    if not head.isascii():
        wrong = _undecodable(head)
        if wrong >= 2 * MANY and wrong * 8 >= len(head):
            return "no UTF-8"
    if size > RUN and (run := _run(head)) and run not in _RULER:
        return "one byte repeated"
    return "overlong" if size > OVERLONG else ""


def _run(head: bytes) -> bytes:
    """The byte that fills a stretch of RUN bytes. Looked for at every RUN-th place: linear."""
    for start in range(0, len(head) - RUN // 2 + 1, RUN // 2):
        part = head[start : start + RUN // 2]
        if part == part[:1] * len(part) and len(part) == RUN // 2 and part[:1] not in _RULER:
            around = head[max(0, start - RUN // 2) : start + RUN]
            if found := _RUN.search(around):
                return found[1]
    return b""


def _undecodable(head: bytes) -> int:
    """How many bytes of it are no UTF-8 (a character cut off at the very end is)."""
    text = head.decode("utf-8", "surrogateescape")
    return sum("\udc80" <= one <= "\udcff" for one in text)


# -- from where ------------------------------------------------------------------------------------

CONSOLE: Final = b"console"
"""The origin of what happens at this host itself: its consoles, its screens, its multiplexers."""

_VIA = re.compile(rb"(\S+) via mosh \[\d+\]")
_LOCAL = re.compile(
    rb":.*|tmux\(\d+\).*|mosh \[\d+\]|tty\w*|pts/\d+|/dev/.*|localhost(?:\.localdomain)?", re.DOTALL
)


@lru_cache(4096)
def origin(host: bytes) -> bytes:
    """An origin as all records write it: an address without brackets, zone or `::ffff:`, else the name."""
    host = host.strip(b"\0 ")
    if via := _VIA.fullmatch(host):
        host = via[1]
    if not host or host == b"?" or _is_local(host):
        return CONSOLE
    if host.startswith(b"[") and host.endswith(b"]"):
        host = host[1:-1]
    if host.lower().startswith(b"::ffff:") and b"." in host:
        host = host[7:]
    address, percent, _ = host.partition(b"%")
    return address if percent and b":" in address else host


def _is_local(host: bytes) -> bool:
    """A display (`:0`), a line of this host (`:pts/0:S.0` of screen(1)); `::1` is an address."""
    return not host.startswith(b"::") and _LOCAL.fullmatch(host) is not None
