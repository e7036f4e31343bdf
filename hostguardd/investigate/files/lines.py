"""Settings read line by line: what each look at a file of options is made of. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ..interface import Verdict
from .deeds import LONGEST, code

MOST: Final = 2000
"""Lines of one file that are looked at."""


class Option(NamedTuple):
    """One line. `clause` completes "`LINE` …"; `means` is what an intruder would have it for."""

    line: int
    shown: bytes
    clause: str
    verdict: Verdict
    means: str = ""


def counting(text: bytes, *, joined: bool = False) -> list[tuple[int, bytes]]:
    """The lines that count, as far as they are looked at. `joined`: in that format a backslash goes on;
    behind a note it may do so or not."""
    lines = code(text, joined=joined)[:MOST]
    if joined and any(b"#" in one and one.rstrip().endswith(b"\\") for one in text.split(b"\n")):
        lines = list(dict.fromkeys(lines + code(text, joined=False)[:MOST]))
    return [(number, line if len(line) <= LONGEST else narrow(line)[:LONGEST]) for number, line in lines]


def narrow(line: bytes) -> bytes:
    """The same without the blanks that push what matters out of sight."""
    return b" ".join(line.split())


def cut(text: bytes) -> int:
    """How long the first line is that is not looked at to its end, 0 without one."""
    if len(text) > LONGEST:
        for _, line in code(text):
            if len(line) > LONGEST and (length := len(narrow(line))) > LONGEST:
                return length
    return 0


def each(
    pattern: bytes, clause: str, verdict: Verdict, means: str, *, joined: bool = False
) -> Callable[[bytes], Iterator[Option]]:
    """A look at a file of which each line that bears a pattern is told alike."""
    told = re.compile(pattern)

    def look(text: bytes) -> Iterator[Option]:
        return (
            Option(number, line, clause, verdict, means)
            for number, line in counting(text, joined=joined)
            if told.search(line)
        )

    return look
