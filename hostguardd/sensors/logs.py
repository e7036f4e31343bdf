"""The logs sensor: logs, records of logins and histories as files that only grow.

The cheap part, every `interval`, asks for the times of the folders and files it knows. What moved is
looked at closely: its new part is read, and what was read last before it again. What was read longer ago
is read again in turn, `ROUND` bytes at a time, and as a whole in a FULL sweep.

Rows tell what a file was at its last *checkpoint*. They move with whatever happens, but for mere growth
only every `CHECKPOINT` seconds and all together, so that a busy log costs the store nothing. `recall`
hands them back after a restart: what was cut while nobody watched is then told.
"""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from .. import globs
from ..accounts import passwd
from ..host.files import FileHost
from ..host.texts import TextHost, stamp
from ..model import Blind, Depth, LogFact, Row, Sweep, join, split
from ..sections import LogsConfig
from .archives import Archives, archived, expand
from .growing import BLOCK, Case, immutable
from .grown import Budget, Grown
from .histories import Histories
from .interface import Request, answers
from .journals import FOLDERS, Journals
from .shelf import Shelf
from .slots import Placed

VIEWS: Final = ("histories", "logs", "records")
RECORDS: Final = (b"/var/log/wtmp", b"/var/log/btmp")
"""Records of logins that only grow. utmp(5)."""

PLACED: Final = (
    (b"/run/utmp", "utmp"),
    (b"/var/run/utmp", "utmp"),
    (b"/var/log/lastlog", "lastlog"),
    (b"/var/lib/lastlog/lastlog2.db", "database"),
    (b"/var/lib/wtmpdb/wtmp.db", "database"),
    (b"/var/log/wtmp.db", "database"),
)
"""Those that are written in place, and how. Not faillog, tallylog and faillock: a login that succeeds
clears them, so that an empty one says nothing."""

PASSING: Final = (b"/run/", b"/var/run/")
"""Folders that a reboot empties: nothing is remembered of them."""

CHECKPOINT: Final = 300.0
BUDGET: Final = 4 * 1024**2
"""Bytes of growth read in one look; the rest is read in the next ones."""

CAPTURE: Final = 64 * 1024**2
"""The same for a FULL sweep, for each file."""

ROUND: Final = 8 * BLOCK
SLOWLY: Final = 10.0
"""Seconds between two rounds of reading again."""

EXPAND: Final = 60.0
"""Seconds after which the globs are tried again, though no folder they lead to seems to have moved."""

EXTENSIONS: Final = (b"", b".log", b"_log")
"""What the name of a log may have besides the beginning of its archives' names."""

Stop = Callable[[], bool]


class LogsSensor:
    """`Sensor` of LogFacts, a scope for each view. `wall` and `mono` give nanoseconds.

    `changed` and `sweep` may be called from different threads.
    """

    fact = LogFact

    def __init__(
        self,
        files: FileHost,
        texts: TextHost,
        settings: LogsConfig,
        interval: float,
        wall: Callable[[], int],
        mono: Callable[[], int],
    ) -> None:
        self._texts = texts
        self._settings = settings
        self._interval = interval
        self._wall = wall
        self._mono = mono
        self._lock = threading.Lock()
        self._include = globs.compile_paths(settings.files)
        self._exclude = globs.compile_paths(settings.exclude)
        self._archives = Archives(texts)
        self._shelf = Shelf(texts)
        self._locked = partial(immutable, files)
        self._logs: dict[bytes, Grown] = {}
        self._records: dict[bytes, Grown] = {}
        self._placed: dict[bytes, Placed] = {}
        self._journal = Journals(texts, {})
        self._old: dict[bytes, Case] = {}
        self._histories = Histories(texts, files, self._old)
        self._folders: dict[bytes, int] = {}
        self._expanded = self._asked = self._round = self._kept = -1e9
        self._turn = 0
        self._begun = False

    # -- the sensor's contract -------------------------------------------------------------------

    def expect(self, rows: Iterable[Row]) -> None:
        """Approved `rows`: used where nothing newer is recalled."""
        self.recall(rows)

    def recall(self, rows: Iterable[Row]) -> None:
        """Rows that were last written down of these files, in an earlier life of ours. The first told of
        a file counts, and what was seen since counts more."""
        with self._lock:
            for row in rows:
                self._recall(Case(*row))  # type: ignore[arg-type]

    def changed(self) -> bool:
        """Whether a sweep may find anything new: some lstat(2)s every `interval`."""
        now = self._now()
        if now - self._asked < self._interval:
            return False
        self._asked = now
        if not self._begun or now - self._expanded >= EXPAND or now - self._round >= SLOWLY:
            return True
        with self._lock:
            return (
                self._refolded()
                or any(one.moved() for one in self._all())
                or self._journal.moved()
                or self._histories.moved()
                or (now - self._kept >= CHECKPOINT and self._behind())
            )

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """One sweep for each view. A FULL one reads everything again."""
        yield from self._sweeps(VIEWS, depth, stop)

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """Keys are paths."""
        return answers(requests, VIEWS, lambda view, depth: self._sweeps((view,), depth, stop))

    # -- inside ----------------------------------------------------------------------------------

    def _sweeps(self, views: Sequence[str], depth: Depth, stop: Stop) -> Iterator[Sweep]:
        began = self._wall()
        with self._lock:
            blinds = self._look(depth is Depth.FULL, stop)
            rows = None if blinds is None else self._rows()
        if blinds is None or rows is None:
            return
        for view in views:
            found = tuple(blind for kind, blind in blinds if kind == view)
            yield Sweep(LogFact, view, depth, rows[view], found, began=began, ended=self._wall())

    def _look(self, full: bool, stop: Stop) -> list[tuple[str, Blind]] | None:
        """Look at everything that moved; None when told to stop."""
        if stop():
            return None
        now, blinds = self._now(), list[tuple[str, Blind]]()
        if not self._begun or full or now - self._expanded >= EXPAND or self._refolded():
            self._expand(now)
        budget = Budget(BUDGET)
        for view, table in (("logs", self._logs), ("records", self._records)):
            for one in table.values():
                if stop():
                    return None
                if full or one.moved():
                    blind = one.look(Budget(CAPTURE) if full else budget, stop)
                    if blind is not None:
                        blinds.append((view, blind))
                if full:
                    one.verify(CAPTURE // BLOCK, stop)
        for placed in self._placed.values():
            if stop():
                return None
            if (blind := placed.look()) is not None:
                blinds.append(("records", blind))
        blinds += (("logs", blind) for blind in self._journal.look())
        blinds += (("histories", blind) for blind in self._histories.look(stop))
        if now - self._round >= SLOWLY:
            self._round = now
            self._again(stop)
        if stop():
            return None
        self._begun = True
        self._checkpoints(now)
        return blinds

    def _again(self, stop: Stop) -> None:
        """Read some of what was read long ago."""
        grown, left = [*self._logs.values(), *self._records.values()], ROUND
        for _ in grown:
            if left <= 0 or stop():
                break
            one = grown[self._turn % len(grown)]
            done = one.verify(max(left // BLOCK, 1), stop)
            left -= max(done, 1)
            if one.round:
                self._turn += 1

    def _checkpoints(self, now: float) -> None:
        """Bring the rows up to what was seen, at once where something happened."""
        every = now - self._kept >= CHECKPOINT
        if every:
            self._kept = now
        for one in (*self._all(), *self._histories.files.values()):
            if every or one.dirty:
                one.checkpoint()
        if every or self._journal.dirty:
            self._journal.checkpoint()

    def _behind(self) -> bool:
        return any(one.grew for one in (*self._logs.values(), *self._records.values()))

    def _rows(self) -> dict[str, list[Row]]:
        cases = [one.case for one in self._all()]
        cases += self._journal.cases.values()
        cases += (one.case for one in self._histories.files.values())
        rows: dict[str, list[Row]] = {view: [] for view in VIEWS}
        for row in sorted(case.row() for case in cases):
            rows[str(row[0])].append(row)
        return rows

    def _all(self) -> list[Grown | Placed]:
        return [*self._logs.values(), *self._records.values(), *self._placed.values()]

    def _expand(self, now: float) -> None:
        """Which logs there are now. One that was there stays a log, though it is gone."""
        self._expanded = now
        found = [
            path
            for path in expand(self._texts, self._settings.files)
            if path not in RECORDS
            and not archived(split(path)[1])
            and not self._exclude.match(path)
            and self._is_log(path)
        ]
        for path in found:
            if path not in self._logs:
                self._logs[path] = self._grown(Case("logs", path), known=False)
        for path in RECORDS:
            if path not in self._records and self._texts.lstat(path) is not None:
                self._records[path] = self._grown(Case("records", path), known=False)
        for path, kind in PLACED:
            if path not in self._placed and self._texts.lstat(path) is not None and not self._linked(path):
                self._placed[path] = self._place(Case("records", path), kind, known=False)
        folders = {split(path)[0] for path in (*found, *self._logs)}
        self._folders = {folder: stamp(self._texts, folder) for folder in folders}
        for folder in sorted(folders):
            for base, gone in self._shelf.look(folder).items():
                path = join(folder, base)
                log = next((self._logs[path + end] for end in EXTENSIONS if path + end in self._logs), None)
                if log is not None:
                    log.case.happened("pruned", b", ".join(gone[:4]))
                    log.dirty = True

    def _recall(self, case: Case) -> None:
        path = case.path
        if path.startswith(PASSING) or self._begun:
            return
        kinds = dict(PLACED)
        if case.view == "histories":
            self._old.setdefault(path, case)
        elif path.startswith(FOLDERS):
            self._journal.cases.setdefault(path, case)
        elif path in kinds:
            if path not in self._placed:
                self._placed[path] = self._place(case, kinds[path], known=True)
        elif case.view == "records":
            if path in RECORDS and path not in self._records:
                self._records[path] = self._grown(case, known=True)
        elif path not in self._logs and self._include.match(path) and not self._exclude.match(path):
            self._logs[path] = self._grown(case, known=True)

    def _is_log(self, path: bytes) -> bool:
        """Whether a path that a glob found is a log and no folder; links and odder things are told of."""
        seen = self._texts.lstat(path)
        return seen is not None and not stat.S_ISDIR(seen.st_mode)

    def _linked(self, path: bytes) -> bool:
        """Whether a folder above is a link, so that the file has another path, which is looked at too."""
        return path.startswith(b"/var/run/") and bool(self._texts.link(b"/var/run"))

    def _grown(self, case: Case, *, known: bool) -> Grown:
        records = case.view == "records"
        return Grown(case, self._texts, self._archives, self._locked, known=known, records=records)

    def _place(self, case: Case, kind: str, *, known: bool) -> Placed:
        return Placed(case, self._texts, kind, self._uids, known=known)

    def _uids(self) -> list[int]:
        text = self._texts.read(b"/etc/passwd", 4 * 1024**2).data or b""
        return [user.uid for user in passwd(text)[0] if user.uid is not None]

    def _refolded(self) -> bool:
        return any(stamp(self._texts, folder) != at for folder, at in self._folders.items())

    def _now(self) -> float:
        return self._mono() / 1e9
