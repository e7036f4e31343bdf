"""What one file of settings runs or opens, whichever check comes upon it.

`settings` reads all of them entry by entry; whoever tells of a file for another reason (nobody brought it,
its times do not fit) says by this what it would run, and hears whether that is what intruders do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from ...globs import compile_paths
from ...model import split
from ..interface import Evidence, Verdict, text
from ..logs.redact import redact
from ..scene import Scene
from .deeds import Deed, deeds, program
from .entries import crontab
from .kinds import KINDS, SPOOLS
from .options import LOOKS

LARGEST: Final = 1024**2
"""Bytes of one file that are read."""

SHOWN: Final = 3
"""Lines of one file that are told, the worst."""

_KINDS: Final = [(compile_paths(kind.globs), kind) for kind in KINDS]
_LOOKS: Final = [(compile_paths(look.globs), look) for look in LOOKS]
_BROUGHT: Final = re.compile(rb"(?:(?:/usr(?:/local)?)?/lib|/run)/")
"""Where packages and programs put the same kinds of files as administrators do below /etc."""


class Line(NamedTuple):
    """One line. `deed` is the worst there is to say against it, None for nothing."""

    number: int
    command: bytes
    deed: Deed | None

    @property
    def verdict(self) -> Verdict:
        """What is to be thought of it."""
        return self.deed.verdict if self.deed else Verdict.FINE


def running(scene: Scene, path: bytes) -> list[Line]:
    """The lines of a file that run something or open a door, the worst first; of a script those that are odd,
    or name a program by its path."""
    read = [one for one in (path, _BROUGHT.sub(b"/etc/", path, count=1)) if _is_known(one)]
    if not read:
        return []
    found = list(_lines(read[0], scene.host.texts.read(path, LARGEST).data or b""))
    return sorted(found, key=lambda line: (-line.verdict, line.number))[:SHOWN]


def _is_known(path: bytes) -> bool:
    return split(path)[0] in SPOOLS or any(globs.fullmatch(path) for globs, _ in (*_KINDS, *_LOOKS))


def _lines(path: bytes, data: bytes) -> Iterator[Line]:
    folder, name = split(path)
    kind = next((kind for globs, kind in _KINDS if globs.fullmatch(path)), None)
    entries = crontab(data, name) if folder in SPOOLS else kind.read(data) if kind else ()
    for entry in entries:
        worst = next(iter(deeds(entry.command)), None)
        if entry.command and (worst or not (kind and kind.scripts) or program(entry.command)):
            yield Line(entry.line, entry.command, worst)
    for globs, look in _LOOKS:
        for option in look.read(data) if globs.fullmatch(path) else ():
            if option.verdict > Verdict.FINE:
                yield Line(option.line, option.shown, Deed(option.verdict, option.clause, look.technique))


def against(lines: list[Line]) -> list[str]:
    """What is suspicious about them, as clauses."""
    return [
        f"line {line.number} {line.deed.clause}"
        for line in lines
        if line.deed and line.verdict is Verdict.SUSPICIOUS
    ]


def evidence(path: bytes, lines: list[Line]) -> tuple[Evidence, ...]:
    """The lines themselves."""
    return tuple(Evidence(f"{text(path)}:{line.number}", text(redact(line.command), 300)) for line in lines)
