"""Lines of one log on their way through all that checks want to know of them. Pure, and the hot path.

The rule kept: every line is looked at once, and what most lines are (of the same minute, by a program that
lets nobody in) costs about a microsecond. Only what may tell something is taken apart.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from ...loglines import LONGEST, RUN, SAMPLE, Entry, Line, garbled, parse
from ...tidings import PROGRAMS, SAME, Accepted, Crashed, Denied, Refused, Switched, genuine, tell, worth
from .ledger import SESSION, Refusals, Where
from .pulse import Pulse

NEWLINE: Final = b"\n"
PLAIN: Final = bytes({*range(32, 127), *b"\t\n\r"} - {ord("#")})
"""What lines are made of that cannot be garbled but by their length."""

TELLING: Final = frozenset((*PROGRAMS, *SAME)) - {b"audit"}
KNOCKED: Final = TELLING - {b"kernel"}
"""Programs that speak when somebody comes, so that their silence says nothing."""

ALWAYS: Final = (b"/vsftpd.log", b"/proftpd.log")
"""Logs of a program's own, in which lines need not name it."""

KEPT: Final = 1000
"""Of each kind of happening, how many are kept one by one, the newest; counts go on."""

KINDS: Final = 1000
"""Programs and pairs of accounts that are counted one by one, as anybody may write names into a log."""

NEAR: Final = 300
"""Seconds between garbage and a crash that have to do with each other."""


OTHERS: Final = b"others"


class Odd(NamedTuple):
    """A line that is no text: by which program, and what is wrong with it (`loglines.garbled`)."""

    at: int
    program: bytes
    what: str
    where: Where
    sample: bytes
    size: int


class Fault(NamedTuple):
    """A program that crashed."""

    at: int
    program: bytes
    where: Where
    sample: bytes


class Turn(NamedTuple):
    """`by` became `user` by `service`, or (`denied`) wanted to. `command` is what sudo(8) was to run."""

    at: int
    service: bytes
    by: bytes
    user: bytes
    denied: bool
    where: Where
    sample: bytes
    command: bytes = b""


class Passage:
    """One log. `covered` is the time of the first line that was read, 0 when none had any. `pulse` is that of
    all its lines, `steady` of those that come by themselves and not because somebody knocked."""

    def __init__(self, path: bytes, now: int, since: int, offset: int, few: int) -> None:
        self.path = path
        self.covered = 0
        self.pulse, self.steady = Pulse(), Pulse()
        self.refusals = Refusals(few)
        self.odd: list[Odd] = []
        self.odds: Counter[tuple[bytes, str]] = Counter()
        self.faults: list[Fault] = []
        self.turns: list[Turn] = []
        self.turned: Counter[tuple[bytes, bytes, bytes, bool]] = Counter()
        self.hollows: list[bytes] = []
        self.holed: list[Where] = []
        self._now, self._since, self._offset = now, since, offset
        self._audit = path.endswith(b"/audit.log")
        self._always = path.endswith(ALWAYS)
        self._file = path
        self._number = 0
        self._counted = True
        self._minute = b""
        self._width = 12
        self._behind = 0
        self._within = False
        self._at = 0
        self._voices: dict[tuple[bytes, bytes, bytes, bool], tuple[int, dict[str, int]]] = {}

    # -- lines -----------------------------------------------------------------------------------

    def open(self, path: bytes, number: int) -> None:
        """What comes next are lines of the file `path`, from line `number` + 1 on; -1: nobody counted."""
        self._file, self._number, self._counted = path, max(number, 0), number >= 0

    def close(self) -> None:
        """The end of a file."""
        self.pulse.end(self._behind)
        self._behind = 0

    def end(self) -> None:
        """The end of the log."""
        self.refusals.end()
        self._voices.clear()

    def hollow(self, path: bytes) -> None:
        """A file begins with bytes that nobody wrote."""
        self.hollows.append(path)

    def lines(self, block: bytes) -> None:
        """Whole lines, without the last one's end."""
        if b"\r" in block:
            block = block.replace(b"\r\n", NEWLINE).removesuffix(b"\r")
        if self._audit:
            self._audited(block)
            return
        always = self._always
        odd = bool(block.translate(None, PLAIN))
        number, minute, width = self._number, self._minute, self._width
        for raw in block.split(NEWLINE):
            number += 1
            if raw[:width] != minute:
                self._number = number
                self._turn(raw)
                minute, width = self._minute, self._width
            self._behind += 1
            if not self._within:
                continue
            if (odd or len(raw) > RUN) and (what := garbled(raw)):
                self._number = number
                self._garbled(raw, what)
            if not always:
                end = raw.find(b": ", 16, 400)
                begin = raw.rfind(b" ", 0, end) + 1
                cut = raw.find(b"[", begin, end)
                program = raw[begin : cut if cut > 0 else end]
                if (
                    program not in TELLING
                    and b"pam_" not in raw
                    and b"sshd" not in raw
                    and b"refused conn" not in raw
                    and b"smashing" not in raw
                    and b"PAM_pwdb" not in raw
                ):
                    continue
            if worth(raw):
                self._number = number
                line = None if always else self._quick(raw, begin, cut, end)
                self._line(line or parse(raw, self._now, self._offset), self._where())
        self._number = number

    def _quick(self, raw: bytes, begin: int, cut: int, end: int) -> Line | None:
        """What `loglines.parse` would say of a line whose tag is at `begin`, its pid behind `cut`, its text
        behind `end`, when it is as most lines are; else None."""
        host = 16 if self._width == 12 else raw.find(b" ", 19) + 1
        if raw.find(b" ", host) + 1 != begin or cut < 0 or raw[end - 1 : end] != b"]" or end > LONGEST:
            return None
        second, pid = raw[self._width + 1 : self._width + 3], raw[cut + 1 : end - 1]
        if not (second.isdigit() and pid.isdigit() and len(pid) < 11):
            return None
        return Line(self._at - self._at % 60 + int(second), raw[begin:cut], pid, raw[end + 2 : LONGEST])

    def _audited(self, block: bytes) -> None:
        """Lines of auditd, which hold control bytes by nature, and their time in seconds."""
        number, minute = self._number, self._minute
        for raw in block.split(NEWLINE):
            number += 1
            begin = raw.find(b"audit(", 0, 300) + 6
            if raw[begin : begin + 8] != minute:
                minute = raw[begin : begin + 8]
                if begin > 5 and (when := raw[begin : begin + 10]).isdigit():
                    self._number = number
                    self._beat(int(when), raw)
            self._behind += 1
            if self._within and (b"type=USER_AUTH " in raw or b"type=USER_ERR " in raw):
                self._number = number
                self._line(parse(raw, self._now, self._offset), self._where())
        self._number, self._minute = number, minute

    def _where(self) -> Where:
        return Where(self._file, self._number if self._counted else 0)

    def _turn(self, raw: bytes) -> None:
        """A line of another minute, or of none."""
        line = parse(raw[:300], self._now, self._offset)
        at = line.at
        if (raw[3:4] == b" " and raw[7:8] == b" ") or raw[4:5] == b"-":
            self._width = 16  # Mon Jan  1 12:00, 2026-01-01T12:00
        else:
            self._width = 12
        self._minute = raw[: self._width] if at else NEWLINE  # no line has that
        if at:
            self._beat(at, raw)
            if self._within and line.program not in KNOCKED and b"pam_" not in line.program:
                self.steady.beat(min(at, self._now), 1, self._where(), raw)

    def _beat(self, at: int, raw: bytes) -> None:
        """The time a line says."""
        self._at = at
        self._within = at >= self._since
        self.covered = self.covered or at
        if self._within:
            self.pulse.beat(min(at, self._now), self._behind, self._where(), raw)
            self._behind = 0

    def _garbled(self, raw: bytes, what: str) -> None:
        if raw.count(b"\0") * 2 > len(raw):  # what a crash of the host leaves where a block was not written
            self.holed.append(self._where())
            del self.holed[:-KEPT]
            return
        line = parse(raw, self._now, self._offset)
        self._odd(line, what, self._where(), raw)

    def _odd(self, line: Line, what: str, where: Where, raw: bytes) -> None:
        key = (line.program, what)
        if key not in self.odds and len(self.odds) >= KINDS:
            key = (b"", what)
        self.odds[key] += 1
        self.odd.append(Odd(line.at or self._at, key[0], what, where, raw[:SAMPLE], len(raw)))
        if len(self.odd) > 2 * KEPT:
            del self.odd[:-KEPT]

    # -- the journal -----------------------------------------------------------------------------

    def entry(self, entry: Entry) -> None:
        """An entry of the journal, which knows who wrote it."""
        line = entry.line
        if line.at < self._since or not genuine(line.program, entry.exe, entry.uid):
            return
        self._number += 1
        self.covered = self.covered or line.at
        where = Where(self.path, 0)
        self.pulse.beat(line.at, 1, where, line.program + b": " + line.text[:200])
        if what := garbled(line.text):
            self._odd(line, what, where, line.text)
        text = line.text[:LONGEST]
        if worth(line.program + b": " + text):
            self._line(line._replace(text=text), where)

    # -- what they tell --------------------------------------------------------------------------

    def _line(self, line: Line, where: Where) -> None:
        at = min(line.at or self._at, self._now)
        if at < self._since:
            return
        sample = b": ".join(part for part in (line.program, line.text) if part)[:SAMPLE]
        for tiding in tell(line):
            if isinstance(tiding, Refused):
                self.refusals.refused(tiding, at, where, sample)
            elif isinstance(tiding, Accepted):
                self.refusals.accepted(tiding, at, where)
            elif isinstance(tiding, Crashed):
                self.faults.append(Fault(at, tiding.program, where, sample))
                del self.faults[: -2 * KEPT]
            else:
                self._turned(tiding, at, where, sample, line.text.partition(b" ; COMMAND=")[2])

    def _turned(
        self, tiding: Switched | Denied, at: int, where: Where, sample: bytes, command: bytes
    ) -> None:
        """A switch: one session may tell of it by several voices, and counts by the one that told most."""
        denied = isinstance(tiding, Denied)
        voice = tiding.voice if isinstance(tiding, Denied) else _voice(sample)
        who = (tiding.service, tiding.by[:64], tiding.user[:64], denied)
        if tiding.session:
            key = (tiding.service, tiding.session, tiding.user, denied)
            before, voices = self._voices.pop(key, (at, {}))
            if at - before > SESSION:
                voices = {}
            most = max(voices.values(), default=0)
            voices[voice] = voices.get(voice, 0) + 1
            self._voices[key] = (at, voices)
            if len(self._voices) > 4 * KEPT:
                del self._voices[next(iter(self._voices))]
            if voices[voice] <= most:
                return
        if who not in self.turned and len(self.turned) >= KINDS:
            who = (tiding.service, OTHERS, OTHERS, denied)
        self.turned[who] += 1
        self.turns.append(Turn(at, *who, where, sample, command))
        if len(self.turns) > 2 * KEPT:
            del self.turns[:-KEPT]


def _voice(sample: bytes) -> str:
    """Who told of a switch: PAM, or the program itself."""
    return "pam" if b"session opened" in sample else "own"
