"""When the host came up, by every witness: wtmp or wtmpdb, the journal, logs, and the kernel itself.

The theory: each boot is told of by several, at times that are seconds apart. A witness that should know of a
boot and does not was edited, or did not watch; which of the two, the check says.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from ...host.texts import TextHost
from ...loglines import LONGEST, Line, parse
from ...model import join, split
from ...sensors.wtmp import NAMES, PACKED
from ..interface import text, word
from ..scene import Scene
from .attendance import Attendance

SAME: Final = 300
"""Seconds between what two witnesses say of one boot."""

ZONES: Final = 15 * 3600
QUARTER: Final = 900
"""A hardware clock that runs in local time makes records of a boot wrong by quarters of hours."""

LOGS: Final = (
    b"/var/log/messages", b"/var/log/kern.log", b"/var/log/syslog", b"/var/log/dmesg",
    b"/var/log/auth.log", b"/var/log/secure",
)  # fmt: skip
"""Texts in which the kernel tells of a boot, or sudo of a command that makes one."""

TAIL: Final = 8 << 20
"""Bytes of each that are looked through, from its end."""

MOST: Final = 1000
"""Boots of the journal that are taken, the newest."""

LINES: Final = 400
"""Lines of each that are taken."""

RECORDS: Final = "records"
JOURNAL: Final = "journal"
KERNEL_LOG: Final = "log"
KERNEL: Final = "kernel"

_WORTH: Final = re.compile(
    rb"Linux version \d|COMMAND=[^\n]{0,256}(?:reboot|shutdown|poweroff|halt|kexec|init [06])"
)
_COMMAND: Final = re.compile(
    rb" *(\S{1,64}) : .*COMMAND=(\S{0,128}/"
    rb"(?:(?:reboot|shutdown|poweroff|halt|kexec)\b|(?:tel)?init [06]|systemctl (?:-\S+ )?"
    rb"(?:reboot|poweroff|halt|kexec)).{0,200})",
    re.DOTALL,
)


@dataclass(slots=True)
class CameUp:
    """One boot. `down` is when the host was shut down in order before it, 0 if nobody says so; `before` the
    last that is known of the time ahead of it, 0 if nothing is. `told` are the witnesses, each with where."""

    at: float
    down: float = 0.0
    before: float = 0.0
    told: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Order:
    """Somebody had the host go down by sudo."""

    at: float
    who: str
    command: str
    source: str


@dataclass(slots=True)
class Boots:
    """All boots, the oldest first, and what asked for one. `problem` is why the journal does not tell."""

    found: list[CameUp]
    orders: list[Order]
    problem: str


def boots(scene: Scene, past: Attendance) -> Boots:
    """Ask every witness."""
    found = [CameUp(one.at, one.down, one.before, {RECORDS: one.source}) for one in past.boots]
    booted, problem = scene.host.journal.boots() if scene.host.journal.present else ([], "")
    last = 0.0
    for one in booted[-MOST:]:
        told = {JOURNAL: f"journalctl -b {word(text(one.id.encode(), 32))}"}
        # What is left of an old boot may begin long after it: its record is any since the boot before.
        _add(found, CameUp(one.first, 0.0, last, told), one.first - last + SAME if last else one.first)
        last = one.last
    orders = []
    logged: list[float] = []
    for at, order, source in lines(scene.host.texts, scene.now):
        if order is not None:
            orders.append(order)
        elif not any(abs(at - other) <= SAME for other in logged):
            logged.append(at)
            _add(found, CameUp(at, told={KERNEL_LOG: source}), SAME)
    began = scene.host.boots.began() / 1e9
    if began:
        _add(found, CameUp(began, told={KERNEL: "uptime -s; grep btime /proc/stat"}), SAME, wide=True)
    return Boots(sorted(found, key=lambda one: one.at), orders, problem)


def _add(found: list[CameUp], new: CameUp, early: float, *, wide: bool = False) -> None:
    """One more word on a boot that another witness has up to `early` seconds before, or the first on another
    one. `wide`: it is of the latest, whose records may have been written by a clock that was not set yet."""
    (witness,) = new.told
    for one in reversed(found):
        apart = new.at - one.at
        off = abs(apart) % QUARTER
        shifted = wide and abs(apart) <= ZONES and min(off, QUARTER - off) <= SAME / 5
        if (-SAME <= apart <= early or shifted) and witness not in one.told:
            one.told |= new.told
            if new.before <= one.at:
                one.before = max(one.before, new.before)
            return
    found.append(new)


def lines(texts: TextHost, now: float) -> Iterator[tuple[float, Order | None, str]]:
    """Lines of logs that tell of a boot (None), or of somebody who asked for one: (at, order, source)."""
    for path in _logs(texts):
        entry = texts.lstat(path)
        start = max(0, (0 if entry is None else entry.st_size) - TAIL)
        data = texts.read(path, TAIL, start).data or b""
        number, counted = 1, 0
        for match in islice(_WORTH.finditer(data), LINES):
            begin = data.rfind(b"\n", max(0, match.start() - LONGEST), match.start()) + 1
            end = data.find(b"\n", match.end(), match.end() + LONGEST)
            line = _parsed(data[begin : end if end >= 0 else match.end() + LONGEST], now)
            number, counted = number + data.count(b"\n", counted, begin), begin
            source = text(path) if start else f"{text(path)}:{number}"
            if not line.at:
                continue
            if line.program == b"kernel" and b"Linux version " in line.text:
                yield float(line.at), None, source
            elif line.program == b"sudo" and (found := _COMMAND.match(line.text)):
                order = Order(float(line.at), text(found[1]), text(found[2], 200), source)
                yield order.at, order, source


def _parsed(raw: bytes, now: float) -> Line:
    """A line with its time by the zone that was in force then."""
    offset = time.localtime(now).tm_gmtoff
    line = parse(raw, int(now), offset)
    then = time.localtime(line.at).tm_gmtoff
    return line if then == offset else parse(raw, int(now), then)


def _logs(texts: TextHost) -> Iterator[bytes]:
    """The logs, and of each what was rotated last and is no archive yet."""
    for path in LOGS:
        folder, name = split(path)
        names = [
            one for one in texts.names(folder, NAMES) or () if one.startswith((name + b".", name + b"-"))
        ]
        plain = sorted(one for one in names if not one.endswith(PACKED))
        yield path
        yield from (join(folder, one) for one in (plain[:1] if name + b".1" in plain else plain[-1:]))
