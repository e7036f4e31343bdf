"""What text is written on: its width, its colours, its clock, and how long words are broken.

The rule: `Paper` measures first and colours last, so that a line is as wide as it looks, and every
string passes `clean` on its way in: nothing from outside reaches the terminal as anything but text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from ..record import clean

Data: TypeAlias = Mapping[str, Any]

STYLES: Mapping[str, str] = {
    "critical": "1;37;41",
    "high": "1;31",
    "medium": "1;33",
    "low": "36",
    "info": "2",
    "good": "32",
    "bad": "1;31",
    "warn": "33",
    "dim": "2",
    "strong": "1",
    "added": "32",
    "removed": "31",
    "hunk": "36",
}
"""Style -> SGR parameters (ECMA-48). Colours only underline what the words say already."""

SEVERITIES = ("critical", "high", "medium", "low", "info")
"""The worst first."""

_PAINT = re.compile("\x1b\\[[0-9;]*m")
_FRACTION = re.compile(r"\.[0-9]+")
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True, slots=True)
class Paper:
    """`width` in cells (0: lines are never broken), `now` with the zone that times are shown in."""

    width: int
    colour: bool
    now: datetime

    def paint(self, style: str, text: str) -> str:
        """`text`, made harmless, in that style; an unknown style is none."""
        text = clean(text)
        code = STYLES.get(style, "") if self.colour and text else ""
        return f"\x1b[{code}m{text}\x1b[0m" if code else text

    def wrap(self, text: str, indent: int = 0, style: str = "", first: str = "") -> list[str]:
        """`text` in lines that fit, each after `indent` spaces; `first` replaces the first indent.

        `first` must be painted already and `indent` cells wide. Words break at spaces; a word
        longer than the line (a path) breaks where the line ends, and nothing is left out.
        """
        room = max(20, self.width - indent) if self.width else 0
        lines = fold(clean(text).expandtabs(4), room)
        margins = [first or " " * indent] + [" " * indent] * (len(lines) - 1)
        return [margin + self.paint(style, line) for margin, line in zip(margins, lines, strict=True)]

    def when(self, value: object) -> str:
        """`3 min ago, 14:02:11`: how long ago, then the clock; the date instead of seconds if not today.

        For what has happened: where the daemon's clock is ahead of ours, that is `just now`.
        """
        moment = parse_time(value)
        if moment is None:
            return "" if value is None else clean(str(value))
        local = moment.astimezone(self.now.tzinfo)
        clock = f"{local:%H:%M:%S}" if local.date() == self.now.date() else f"{local:%Y-%m-%d %H:%M}"
        return f"{ago(max(self.now - moment, timedelta()))}, {clock}"

    def stamp(self, value: object, exact: bool = False) -> str:
        """Date and time in the reader's zone, always both; `exact` with the fraction it came with."""
        moment = parse_time(value)
        if moment is None:
            return clean(str(value or "-"))
        local = moment.astimezone(self.now.tzinfo)
        fraction = _FRACTION.search(str(value)) if exact else None
        return f"{local:%Y-%m-%d %H:%M:%S}" + (fraction[0] if fraction else "")

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int] = ()
    ) -> list[str]:
        """Columns under dim headings; the last column takes what room is left and wraps."""
        rows = [[clean(cell) for cell in row] for row in rows]
        aligned = frozenset(right)
        last = len(header) - 1
        widths = [max(map(cells, column)) for column in zip(header, *rows, strict=True)][:last]
        indent = sum(widths) + 2 * last

        def lead(row: Sequence[str]) -> str:
            return "".join(_pad(row[n], widths[n], n in aligned) + "  " for n in range(last))

        lines = [self.paint("dim", lead(header) + header[last])]
        for row in rows:
            lines += self.wrap(row[last], indent, first=lead(row))
        return lines


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * (width - cells(text))
    return space + text if right else text + space


def visible(line: str) -> str:
    """A painted line without its paint."""
    return _PAINT.sub("", line)


def cells(text: str) -> int:
    """Terminal cells that clean text takes: wide characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_cell(char) for char in text)


def _cell(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fold(text: str, room: int) -> list[str]:
    """`text` in lines of at most `room` cells (0: in one), broken at spaces where there are any."""
    if not room or cells(text) <= room:
        return [text.rstrip(" ")]
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        candidate = f"{line} {word}" if line else word
        if cells(candidate) <= room:
            line = candidate
            continue
        if line:
            lines.append(line.rstrip(" "))
        *whole, line = _chop(word, room)
        lines += whole
    lines.append(line.rstrip(" "))
    return lines


def _chop(word: str, room: int) -> Iterator[str]:
    piece, used = "", 0
    for char in word:
        wide = _cell(char)
        if used + wide > room:
            yield piece
            piece, used = "", 0
        piece += char
        used += wide
    yield piece


def as_map(value: object) -> Data:
    """An object of an answer; nothing for what is none."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: object) -> Sequence[Any]:
    """The same for a list."""
    return value if isinstance(value, list) else []


def parse_time(value: object) -> datetime | None:
    """ISO 8601 text, or nanoseconds since the epoch; None for what is neither."""
    try:
        if isinstance(value, datetime):
            return value
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if isinstance(value, int):
            return datetime.fromtimestamp(value / 1_000_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def ago(span: timedelta) -> str:
    """`3 min ago`, `in 7 min`, `just now`."""
    seconds = round(span.total_seconds())
    if not seconds:
        return "just now"
    return f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(-seconds)}"


def duration(seconds: float) -> str:
    """Seconds in the one unit that reads best: `250 ms`, `12 s`, `3 min`, `5 h`, `2 d`."""
    for size, unit in ((86400 * 2, "d"), (3600 * 2, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'d': 86400, 'h': 3600, 'min': 60}[unit]:.0f} {unit}"
    if seconds >= 10 or seconds == int(seconds):
        return f"{seconds:.0f} s"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def size(count: object) -> str:
    """Bytes for people: `812 B`, `1.4 kB`, `3.2 MB` (powers of 1000)."""
    if not isinstance(count, int | float) or isinstance(count, bool):
        return clean(str(count))
    value = float(count)
    for unit in _UNITS:
        if abs(value) < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"


def count(number: object, singular: str = "", plural: str = "") -> str:
    """`1,284 findings`: grouped digits and the noun that goes with them."""
    text = f"{number:,}" if isinstance(number, int) else clean(str(number))
    noun = singular if number == 1 else plural or singular + "s"
    return f"{text} {noun}" if singular else text
