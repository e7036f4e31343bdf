"""The host's text logs, read once for all checks: which there are, what of them is read, what is left unread.

The rules kept: nothing is written and no atime moved; of each log, with its rotated parts, as much is read as
lies within the inquiry's days, from the end backwards, and never more than the limits below; what that
leaves out is said, with the span that was read. Lines are believed as they stand: anybody may write there
with logger(1).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ...host.texts import TextHost
from ...loglines import parse
from ...model import join, split
from ...sensors.archives import OPAQUE, PACKED, Archives, contents, log_of, unpacked
from ...sensors.journals import FOLDERS
from ..interface import Unseen, text, word
from ..scene import SUDO, Scene
from .passage import NEWLINE, Passage

FILE: Final = 64 * 1024**2
"""Bytes of one file that are read at most: of a plain one its end, of a compressed one its beginning."""

TOGETHER: Final = 256 * 1024**2
"""Bytes of all logs that are read at most."""

PATIENCE: Final = 15.0
"""Seconds that reading all of them may take."""

CHUNK: Final = 256 * 1024
PROBE: Final = 4096
STEPS: Final = (64 * 1024, 8 * 1024**2)
"""Bytes by which the beginning of the inquiry's days is looked for from the end: first, and at most."""

HALF: Final = 64 * 1024
"""Bytes of a line without an end that are kept."""

NAMES: Final = (
    b"secure", b"auth.log", b"authlog", b"messages", b"syslog", b"kern.log", b"daemon.log", b"user.log",
    b"cron", b"cron.log", b"maillog", b"mail.log", b"vsftpd.log", b"proftpd/proftpd.log", b"pureftpd.log",
    b"audit/audit.log",
)  # fmt: skip
"""Logs below /var/log that tell of the host itself, the most telling first."""

LOGINS: Final = (b"/secure", b"/auth.log", b"/authlog")
"""How the paths of logs end that tell of logins."""

FRESH: Final = 86400
"""Seconds after its last line in which such a log counts as one that is written."""

Stop = Callable[[], bool]


@dataclass(slots=True)
class Part:
    """One file of a log. `start` is where reading begins; `packed`: it is compressed; `cut`: not all of it
    that should be is read, and if `hurried` for want of time."""

    path: bytes
    size: int
    at: int
    packed: bool = False
    start: int = 0
    cut: bool = False
    hurried: bool = False


@dataclass(slots=True)
class Log:
    """One log and its files, the oldest first. `problem`: why nothing of it can be read (a clause)."""

    path: bytes
    parts: list[Part] = field(default_factory=list)
    problem: str = ""


@dataclass(slots=True)
class Reading:
    """What came of it: a passage for each log by path, what was not read, how much was, and how fast."""

    passages: dict[bytes, Passage] = field(default_factory=dict)
    logs: dict[bytes, Log] = field(default_factory=dict)
    unseen: list[Unseen] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0


def reading(scene: Scene) -> Reading:
    """All logs of the scene. Ask by `scene.once(reading)`."""
    return _Reader(scene).read()


class _Reader:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._texts: TextHost = scene.host.texts
        self._archives = Archives(self._texts)
        self._now, self._since = int(scene.now), int(scene.since)
        self._offset = time.localtime(self._now).tm_gmtoff
        self._left = TOGETHER
        self._found = Reading()

    def read(self) -> Reading:
        """Every log in turn."""
        began = time.monotonic()
        stop = self._deadline(began)
        for log in self._logs():
            self._found.logs[log.path] = log
            if log.problem:
                self._unseen(log.path, log.problem)
            if not log.parts:
                continue
            passage = self._passage(log.path)
            for part in log.parts:
                if stop():
                    self._unseen(part.path, "there was no time left for it", "")
                    break
                self._part(passage, part, stop)
            passage.end()
        self._journal(stop)
        self._found.bytes = TOGETHER - self._left
        self._found.seconds = time.monotonic() - began
        return self._found

    def _deadline(self, began: float) -> Stop:
        return lambda: self._scene.stop() or time.monotonic() - began > PATIENCE

    def _passage(self, path: bytes) -> Passage:
        few = self._scene.config.events.refusals
        made = self._found.passages[path] = Passage(path, self._now, self._since, self._offset, few)
        return made

    def _unseen(self, path: bytes, reason: str, remedy: str = SUDO) -> None:
        remedy = "" if self._scene.is_root and remedy == SUDO else remedy
        self._found.unseen.append(Unseen(text(path), reason, remedy))

    # -- which there are -------------------------------------------------------------------------

    def _logs(self) -> Iterator[Log]:
        """Those that are there, within the limits."""
        paths = dict.fromkeys((*(b"/var/log/" + name for name in NAMES), *self._scene.config.events.files))
        for path in paths:
            log = Log(path)
            parts = self._parts(path, log)
            left = TOGETHER
            for part in parts:  # newest first: what the limits leave out is the oldest
                if part.packed:
                    part.cut = part.size > FILE
                else:
                    part.start, part.cut = self._begin(part)
                left -= min(part.size - part.start, FILE)
                if left < 0:
                    self._unseen(part.path, f"only {TOGETHER >> 20} MiB of a log are read, its newest", "")
                    break
                log.parts.insert(0, part)
            if log.parts or log.problem:
                yield log

    def _parts(self, path: bytes, log: Log) -> list[Part]:
        """The live file and what was rotated from it within the days, the newest first."""
        found = []
        seen = self._texts.read(path, 0)
        if seen.problem:
            log.problem = seen.problem
        elif seen.stat is not None:
            found.append(Part(path, seen.stat.st_size, int(seen.stat.st_mtime)))
        name = split(path)[1]
        stems = (name, name.removesuffix(b".log"))
        for one, size, at in self._archives.candidates(path):
            if at // 10**9 >= self._since and log_of(split(one)[1]) in stems and size:
                head = self._texts.read(one, 8)
                if head.data is None:
                    self._unseen(one, head.problem or "it vanished")
                elif head.data.startswith(OPAQUE):
                    self._unseen(one, "nothing here can unpack it", f"zstdcat {word(text(one))}")
                else:
                    found.append(Part(one, size, at // 10**9, unpacked(head.data, 1) != head.data[:1]))
        return found

    def _begin(self, part: Part) -> tuple[int, bool]:
        """Where the days begin in a plain file, looked for from its end; whether less than that is read.

        A line that is younger than what stands behind it is of another year: the traditional format has none.
        """
        at, step, newest = part.size, STEPS[0], self._now + 2 * FRESH
        known = self._now - self._since < 300 * FRESH
        while at > 0:
            at = max(0, at - step)
            if part.size - at > FILE:
                return part.size - FILE, True
            data = self._texts.read(part.path, PROBE, at).data or b""
            when = next((one for line in data.split(NEWLINE)[at > 0 : 20] if (one := self._when(line))), 0)
            if when and (when < self._since or (known and when > newest + FRESH)):
                return at, False
            newest = min(newest, when) if when else newest
            step = min(2 * step, STEPS[1])
        return 0, False

    def _when(self, line: bytes) -> int:
        return parse(line, self._now, self._offset).at

    # -- reading them ----------------------------------------------------------------------------

    def _part(self, passage: Passage, part: Part, stop: Stop) -> None:
        """One file through the passage."""
        number = self._count(part) if part.start else 0
        first, taken, half, dropping = True, 0, b"", bool(part.start)
        passage.open(part.path, number)
        chunks = contents(self._chunks(part)) if part.packed else self._chunks(part)
        for chunk in chunks:
            if stop() or taken >= FILE or self._left <= 0:
                part.cut, part.hurried = True, taken < FILE and self._left > 0
                break
            taken += len(chunk)
            self._left -= len(chunk)
            if first and not part.start and chunk.startswith(b"\0"):
                passage.hollow(part.path)
            first = False
            head, newline, rest = chunk.rpartition(NEWLINE)
            if not newline:
                half = (half + chunk)[:HALF]
                continue
            whole = half + head
            if dropping:  # a line whose beginning was not read
                whole, dropping = whole.partition(NEWLINE)[2], False
            passage.lines(whole)
            half = rest[:HALF]
        if half and not part.cut:
            passage.lines(half)
        passage.close()
        if part.cut:
            why = "there was no time left for it" if part.hurried else "it is too long"
            last = passage.pulse.last
            span = f", from {_day(passage.covered)} to {_day(last)}" if last else ""
            self._unseen(part.path, f"{why}: {taken / 2**20:.1f} MiB of it were read{span}", "")

    def _count(self, part: Part) -> int:
        """How many lines stand before what is read, with the one that is cut; -1: too many to be counted."""
        if part.start > FILE:
            return -1
        lines = 1
        for at in range(0, part.start, CHUNK):
            lines += (self._texts.read(part.path, min(CHUNK, part.start - at), at).data or b"").count(NEWLINE)
        return lines

    def _chunks(self, part: Part) -> Iterator[bytes]:
        at = part.start
        while data := self._texts.read(part.path, PACKED if part.packed else CHUNK, at).data:
            at += len(data)
            yield data

    def _journal(self, stop: Stop) -> None:
        """The journal, where no text log tells of logins."""
        for path, passage in self._found.passages.items():
            if path.endswith(LOGINS) and self._now - passage.pulse.last <= FRESH:
                return
        files = list(self._journals())
        if not self._scene.host.journal.present:
            if files:
                self._unseen(files[0], "only systemd reads its journal", "journalctl --directory")
            elif not any(path.endswith(LOGINS) for path in self._found.logs):
                self._unseen(b"logins", "neither a log of logins nor a journal is there to be read", "")
            return
        for path in files:  # journalctl leaves out in silence what this account may not read
            if problem := self._texts.read(path, 0).problem:
                self._unseen(path, problem)
        feed = self._scene.host.journal.open()
        passage = self._passage(b"journal")
        for entry in feed.past(stop, self._since):
            passage.entry(entry)
        passage.close()
        if feed.problem:
            self._unseen(b"journal", feed.problem)

    def _journals(self) -> Iterator[bytes]:
        """The host's own journals."""
        for folder in FOLDERS:
            for name in self._texts.names(folder, 1000) or ():
                path = join(join(folder, name), b"system.journal")
                if self._texts.lstat(path) is not None:
                    yield path


def _day(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
