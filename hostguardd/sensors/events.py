"""The events sensor: what the lines of logs tell, be it text logs or, where there are none, the journal.

A look reads what was written since the last one, a bounded part of it; what a flood leaves unread is
counted and told as Blind. Lines of text logs are believed as they stand, since anybody may write there by
logger(1): an event is a reason to look, never a proof. The journal knows who wrote a line, and what it
knows to be another's is not believed.

Where text logs of logins exist the journal is left alone: it would tell the same again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from ..facts.logs import TOPICS
from ..host.journal import Feed, JournalHost
from ..host.texts import TextHost
from ..loglines import LONGEST, Entry, Line, garbled, parse
from ..model import Blind, Depth, EventFact, Row, Sweep
from ..sections import EventsConfig
from ..tidings import Accepted, Switched, genuine, tell, worth
from .interface import Request, answers
from .tails import Tail
from .tally import LONG, Tally

KIND: Final = EventFact.KIND
KEY: Final = len(EventFact.KEY)

LOGINS: Final = (b"auth.log", b"secure", b"authlog")
"""Names of text logs that tell of logins."""

STALE: Final = 86400
"""Seconds after its last line in which a log counts as one that is written: cron writes by the hour."""

RECENT: Final = 60.0
"""Seconds for which numbers that are not compared may be behind, and for which what was skipped is told."""

LATE: Final = 120
"""Seconds the journal may be behind before that is told."""

HEARD: Final = 2048
"""Lines remembered so that one that two logs hold counts once."""

MOST: Final = 1 << 20
"""Bytes of one log, or of the journal's entries, that one look reads."""

TOGETHER: Final = 2 << 20
LEAST: Final = 64 << 10
"""Bytes of all logs together that one look reads; of each at least so many."""

UNTOLD: Final = frozenset({b"/var/log/audit/audit.log"})
"""Logs that are no plain text by their nature (auditd's enriched lines hold a control byte)."""

LASTING: Final = (Accepted, Switched)
"""What is remembered longer than a window."""

Stop = Callable[[], bool]


class EventsSensor:
    """`Sensor` of EventFacts, a scope for each topic. `wall` and `mono` give nanoseconds; `interval`
    seconds pass between two looks. `tally.arrivals` is what it heard of logins."""

    fact = EventFact

    def __init__(
        self,
        texts: TextHost,
        journal: JournalHost,
        settings: EventsConfig,
        interval: float,
        wall: Callable[[], int],
        mono: Callable[[], int],
    ) -> None:
        self.tally = Tally(settings)
        self._settings = settings
        self._journal = journal
        self._interval = interval
        self._wall = wall
        self._mono = mono
        self._lock = threading.Lock()
        self._tails = [Tail(texts, path) for path in settings.files]
        self._feed: Feed | None = None
        self._heard: OrderedDict[tuple[bytes, bytes, bytes], tuple[bytes, int]] = OrderedDict()
        self._blinds: dict[bytes, tuple[str, float]] = {}
        self._told: tuple[Blind, ...] = ()
        self._due = self._recent = 0.0

    # -- the sensor's contract -------------------------------------------------------------------

    def changed(self) -> bool:
        """Read what was written, at most every `interval`; whether that tells anything new."""
        now = self._seconds()
        if now < self._due:
            return False
        with self._lock:
            self._due = now + self._interval
            self._read(lambda: False)
            if self.tally.news or self._present_blinds() != self._told:
                return True
            return now >= self._recent

    def expect(self, rows: Iterable[Row]) -> None:
        """Nothing: what is approved and not in the logs any more is no news."""

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """One sweep for each topic."""
        began = self._wall()
        if stop():
            return
        with self._lock:
            self._read(stop)
            rows = self.tally.rows(began // 10**9)
            blinds = self._told = self._present_blinds()
            self._recent = self._seconds() + RECENT
        for topic, found in rows.items():
            if stop():
                return
            yield Sweep(EventFact, topic, depth, found, blinds, began=began, ended=self._wall())

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """Keys are names."""
        return answers(requests, TOPICS, lambda topic, depth: self.sweep(depth, stop))

    # -- reading ---------------------------------------------------------------------------------

    def _seconds(self) -> float:
        return self._mono() / 1e9

    def _read(self, stop: Stop) -> None:
        """Count what every log tells."""
        now = self._wall() // 10**9
        offset = time.localtime(now).tm_gmtoff
        until = self._seconds() + RECENT
        left = TOGETHER
        for tail in self._tails:
            first = not tail.begun
            lines, skipped, problem = tail.read(MOST if first else max(LEAST, min(MOST, left)))
            left -= sum(map(len, lines))
            self._lines(tail.path, lines, now, offset, first)
            if problem:
                self._blinds[tail.path] = (f"this log cannot be read: {problem}", 0.0)
            elif skipped:
                self._blinds[tail.path] = (
                    f"{skipped} bytes were written here faster than they could be read, and were left out",
                    until,
                )
            elif tail.path in self._blinds and not self._blinds[tail.path][1]:
                del self._blinds[tail.path]
        self._read_journal(now, stop, until)

    def _lines(self, log: bytes, lines: list[bytes], now: int, offset: int, first: bool) -> None:
        plain = log not in UNTOLD
        for raw in lines:
            what = garbled(raw) if plain else ""
            if what:
                line = parse(raw, now, offset)
                if not first or self._within(line.at, now):
                    self.tally.garbled(log, line.program, what, min(line.at or now, now), raw)
            if worth(raw):
                self._line(log, parse(raw, now, offset), now, first)

    def _line(self, source: bytes, line: Line, now: int, first: bool) -> None:
        """Count what a line tells. Of the past only what has a time, and is not too old."""
        if first and not line.at:
            return
        told = tell(line)
        if not told or self._twice(source, line):
            return
        at = min(line.at or now, now)
        for tiding in told:
            if now - at <= (LONG if isinstance(tiding, LASTING) else self._settings.window):
                self.tally.take(tiding, at, _shown(line))

    def _within(self, at: int, now: int) -> bool:
        return at > 0 and now - at <= self._settings.window

    def _twice(self, source: bytes, line: Line) -> bool:
        """Whether another log told the same: many a host writes one line to two of them."""
        key = (line.program, line.pid, line.text)
        known = self._heard.get(key)
        if known is not None and known[0] != source and abs(known[1] - line.at) <= 2:
            return True
        self._heard[key] = (source, line.at)
        self._heard.move_to_end(key)
        if len(self._heard) > HEARD:
            self._heard.popitem(last=False)
        return False

    # -- the journal -----------------------------------------------------------------------------

    def _read_journal(self, now: int, stop: Stop, until: float) -> None:
        """The journal's entries, where no text log tells of logins."""
        self._blinds.pop(b"journal", None)
        if any(tail.seen and now - tail.seen <= STALE and tail.path.endswith(LOGINS) for tail in self._tails):
            self._feed = None
            return
        if self._feed is None:
            if not self._journal.present:
                if not any(tail.seen for tail in self._tails):
                    self._blinds[b"journal"] = (
                        "neither a log of logins nor a journal is there to be read",
                        0.0,
                    )
                return
            self._feed = self._journal.open()
            for entry in self._feed.past(stop):
                self._entry(entry, now, first=True)
        entries = self._feed.new(MOST)
        for entry in entries:
            self._entry(entry, now, first=False)
        if self._feed.problem:
            self._blinds[b"journal"] = (self._feed.problem + ", and no log tells of logins", 0.0)
        elif entries and entries[-1].line.at and now - entries[-1].line.at > LATE:
            behind = now - entries[-1].line.at
            self._blinds[b"journal"] = (
                f"more is written than can be read at once: it is read {behind} s late",
                until,
            )

    def _entry(self, entry: Entry, now: int, *, first: bool) -> None:
        line = entry.line
        if not genuine(line.program, entry.exe, entry.uid):
            return
        what = garbled(line.text)
        if what and (not first or self._within(line.at, now)):
            self.tally.garbled(b"journal", line.program, what, min(line.at or now, now), line.text)
        text = line.text[:LONGEST]
        if worth(line.program + b": " + text):
            self._line(b"journal", line._replace(text=text), now, first)

    def _present_blinds(self) -> tuple[Blind, ...]:
        """What could not be read, as it is now; what was skipped is told for a while."""
        now = self._seconds()
        for scope, (_, until) in list(self._blinds.items()):
            if until and now >= until:
                del self._blinds[scope]
        return tuple(Blind(KIND, scope, reason) for scope, (reason, _) in sorted(self._blinds.items()))


def _shown(line: Line) -> bytes:
    """What may be shown of a line: of a command only its name, as its arguments may hold a secret."""
    head, command, rest = line.text.partition(b"COMMAND=")
    program = b": ".join(part for part in (line.program, head) if part)
    return program + command + rest.partition(b" ")[0]
