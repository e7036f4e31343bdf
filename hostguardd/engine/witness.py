"""Those who saw it: reads what the kernel tells of deeds and processes, and answers who changed a file.

The rules kept here: what was lost is told, and nobody is named for that time. Everything is read by whoever
comes first, a thread of its own when something happens or the loop when it asks, under one lock, so that an
answer has all that the kernel had told by then. What there is to read, and why not more, is in `rungs`.

The order in which a round is read matters, see `_round`: a deed is in the queue of file events after the
messages about the process that did it are in the connector's.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from ..actors import procevents, programs
from ..actors.attribution import APPEARS, SLACK, attribute, explaining
from ..actors.auditrecords import KEY
from ..actors.handles import FLOODED
from ..actors.lineage import is_sshd
from ..actors.model import Actor, Answer, Change, Confidence, Deed, Presence, Process, Rung, Unattributed
from ..actors.procevents import ProcEvent
from ..actors.table import NOW, Table
from ..actors.touches import Key, Touches
from ..host.witnesses import WitnessHost
from .auditdeeds import AuditDeeds
from .filedeeds import FileDeeds
from .gaps import Gaps
from .naming import Naming
from .origins import Origins
from .rungs import Rungs

FLOOD: Final = 2000
"""Messages in one round beyond which /proc is not asked at each exec: those processes have long gone."""
SECOND: Final = 10**9
RESYNC: Final = 5 * SECOND
TEND: Final = 30 * SECOND
"""How often rules and rights are looked at again."""
TELL: Final = 600 * SECOND
"""How often a loss is told."""

SPAN: Final = 100_000_000
MANY: Final = 30
NAP: Final = 0.0006
"""Seconds in which messages gather where there are many: a round costs more than what it reads, and with half
of this it takes nearly twice the processor while no more is named."""

TRIES: Final = 20
MOMENT: Final = 0.001
"""How often, and seconds between, the kernel is asked whether it has sent all of audit's records."""

PATIENCE: Final = 500
"""Milliseconds between looks whether we are to end."""
FILES_PATIENCE: Final = 50
"""Milliseconds after which file events are read at the latest. Nobody is woken by them where messages about
processes come: whoever lives shortly ends with one, and what lives on can wait."""

MOVES: Final = Deed.MOVED_HERE | Deed.MOVED_AWAY
"""Deeds to a folder that change all that is in it."""

LOSER: Final = {Rung.AUDIT: "audit", Rung.FANOTIFY: "files"}
LOSSES: Final = {"audit": "audit records", "processes": "reports of processes", "files": "file events"}


class Pace:
    """Whether so much happens that it is cheaper to take several messages in one round. On a quiet host each
    is taken at once, and the command line of a process that lives a millisecond is still there to be read."""

    def __init__(self, mono: Callable[[], int]) -> None:
        self._mono = mono
        self._since = 0
        self._rounds = 0
        self._busy = False

    def busy(self) -> bool:
        """Counts a round; whether the last tenth of a second had many."""
        self._rounds += 1
        now = self._mono()
        if now - self._since > SPAN:
            self._busy = self._rounds > MANY and now - self._since < 2 * SPAN
            self._since, self._rounds = now, 0
        return self._busy


class Witness:
    """Asks the rungs there are. `relevant(folder, name)`: whether anybody will ask about it. `hint(folder,
    name)`: told of each such file event. `sshd(exe)`: whether that program is an ssh server."""

    def __init__(
        self,
        host: WitnessHost,
        relevant: Callable[[bytes, bytes | None], bool],
        mono: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], int] = time.time_ns,
        *,
        key: bytes = KEY,
        hint: Callable[[bytes, bytes], None] | None = None,
        sshd: Callable[[bytes | None], bool] = is_sshd,
    ) -> None:
        self._host = host
        self._mono, self._wall = mono, wall
        self.rungs = Rungs(host, key)
        self.table = Table(host.details, self._hear)
        self._heard: list[ProcEvent] = []
        self._missed = 0  # how often messages were lost, and how often that was known before this round
        self._missed_before = 0
        self.touches = Touches()
        self._origins = Origins(host, self.table, sshd)
        naming = Naming(self.table, self._origins)
        self._files = FileDeeds(self.rungs, self.table, self.touches, naming, relevant, hint)
        self._audit = AuditDeeds(host, self.table, self.touches, naming, wall, key)
        self._seen_until = 0
        self._settled = 0
        self._resynced = -RESYNC
        self._tended = 0
        self._told: dict[str, tuple[int, int]] = {}
        self._gaps = Gaps()
        self._hasty = 0  # monotonic time at which waiting for audit's records was given up
        self._counted = 0  # wall-clock time at which audit was last asked what it lost
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._bell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread: threading.Thread | None = None

    @property
    def seen(self) -> int:
        """Deeds that were noted."""
        return self._files.seen + self._audit.seen

    # -- start and end ---------------------------------------------------------------------------

    def open(
        self, rungs: Iterable[str], file_systems: Iterable[bytes], programs: Iterable[bytes] = ()
    ) -> None:
        """Stand on these rungs (`audit`, `fanotify`), as far as they are there, from now on. `file_systems`
        are folders whose file systems are marked for all that is done there, `programs` those from which
        programs are run. What was seen before stays."""
        with self._lock:
            self._files.forget()
            self._changed(lambda: self.rungs.want(rungs, file_systems, programs))

    def start(self) -> None:
        """Read whenever something comes, on a thread of our own."""
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self._thread.start()

    def _changed(self, change: Callable[[], bool]) -> None:
        before = self.rungs.ports()
        if change():
            self.table.lost(0, self._mono(), self._host.pids())
        if self.rungs.ports() != before:
            self._seen_until = self._settled = self._mono()
            with contextlib.suppress(BlockingIOError):
                os.write(self._bell[1], b"!")

    def tend(self, now: int) -> str:
        """Now and then: see whether rules came or went, and what was lost can be had again. What was lost
        since it was last told, as a clause; "" for nothing."""
        if now - self._tended >= TEND:
            self._tended = now
            with self._lock:
                self._changed(self.rungs.refresh)
                self._count_lost()
        found = []
        for name, count in self.rungs.losses.items():
            before, at = self._told.get(name, (0, now - TELL))
            if count > before and now - at >= TELL:
                self._told[name] = count, now
                found.append(LOSSES[name])
        return " and ".join(found)

    def _run(self) -> None:
        pace = Pace(self._mono)
        while not self._stop.is_set():
            with self._lock:
                ports, files = self.rungs.ports(), self.rungs.files
                others = [port for port in ports if port is not files]
                waiting = select.poll()
                for fd in (self._bell[0], *(port.fileno() for port in others or ports)):
                    waiting.register(fd, select.POLLIN)
                patience = FILES_PATIENCE if files is not None and others else PATIENCE
            while ports == self.rungs.ports() and not self._stop.is_set():
                if waiting.poll(patience) or patience == FILES_PATIENCE:
                    if pace.busy():
                        time.sleep(NAP)
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._bell[0], 64)
                    self.drain()

    def close(self) -> None:
        """Give everything back."""
        self._stop.set()
        with contextlib.suppress(BlockingIOError):
            os.write(self._bell[1], b"!")
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self.rungs.close()
            for fd in self._bell:
                os.close(fd)

    # -- reading ---------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take in all that the kernel has told by now."""
        with self._lock:
            self._round()

    def _round(self) -> None:
        """One reading of everything.

        File events carry no time: those read now came after the reading before (`since`), and before its
        end (`until`). Messages about processes carry theirs, and one that came before a deed was sent before
        it; so they are read after the file events, and those later than these are applied after them. Audit's
        come last: by then the processes are known.
        """
        begun, since = self._mono(), self._seen_until
        events = self.rungs.read_files()
        until = self._mono()
        records, lost_records = self.rungs.read_audit()
        self._hear()
        messages, self._heard = self._heard, []
        missed = self._missed
        lost = missed > self._missed_before
        self.table.told = self.rungs.processes is not None
        flood = len(messages) > FLOOD
        late = [one for one in messages if one.at > until]
        early = [one for one in messages if one.at <= until] if late else messages
        fresh = self._apply(early, look=not flood and not lost)
        if lost:
            self._resync()
        elif self.table.unlooked and begun - self._resynced >= RESYNC:
            self._look_again(begun)
        self._files.count(events, until)
        if events:
            offset = self._wall() - self._mono()
            if lost_events := self._files.take(events, since, begun, until, offset):
                self.rungs.losses["files"] += lost_events
                self._gaps.add(Rung.FANOTIFY, since + offset, until + offset)
        for process in fresh:
            programs.settle(process, begun)
            self._origins.note(process)
        for process in self._apply(late, look=not flood and not lost):
            self._origins.note(process)
        self._missed_before = missed
        if not self._heard:
            self.table.caught_up()
        self._seen_until = begun
        if not lost and not flood:
            self._settled = begun
        if lost_records:
            self.rungs.losses["audit"] += 1
            self._audit.lost()
        offset = self._wall() - self._mono()
        if lost_records:
            self._gaps.add(Rung.AUDIT, since + offset, self._wall())
        for kind, body in records:
            self._audit.take(kind, body, offset)
        if self._wall() - self._counted > SECOND:
            self._count_lost()

    def _all_come(self) -> None:
        """A round, and more of them while the kernel has yet to send audit records: it makes one before a
        deed is done, but a thread of its own sends them. On a host where they never end nobody waits for a
        second."""
        patient = self.rungs.audit is not None and self._mono() - self._hasty > SECOND
        for _ in range(TRIES if patient else 0):
            waiting = self._host.audit_waiting()
            self._round()
            if not waiting:
                return
            time.sleep(MOMENT)
        if patient:
            self._hasty = self._mono()
        self._round()

    def _hear(self) -> bool:
        """Messages about processes that have come. Who is another by them is told to the table before they
        are applied, because /proc knows it already. Whether none were lost."""
        messages, lost = self.rungs.read_processes()
        self._missed += lost
        for one in messages:
            if one.what == procevents.EXEC or one.what == procevents.UID:
                self.table.ahead(one.pid, one.at, uid=one.what == procevents.UID)
        self._heard += messages
        return self._missed == self._missed_before

    def _count_lost(self) -> None:
        """Records that the kernel gave up before they came to the group (backlog, rate, memory) are missed by
        nobody who reads it: only its own count tells."""
        since, self._counted = self._counted, self._wall()
        if self.rungs.gave_up():
            self._gaps.add(Rung.AUDIT, since, self._counted)

    def _apply(self, messages: Sequence[ProcEvent], *, look: bool) -> list[Process]:
        """Messages to the table; the processes that run another program now."""
        table = self.table
        fresh = []
        for what, at, pid, first, second in messages:
            if what == procevents.FORK:
                table.fork(first, pid, at)
            elif what == procevents.EXEC:
                process = table.exec(pid, at, look=look)
                if process is not None:
                    fresh.append(process)
            elif what == procevents.EXIT:
                table.exit(pid, at)
            elif what == procevents.UID:
                table.uid(pid, first, second, at)
            else:
                table.sid(pid)
        return fresh

    def _resync(self) -> None:
        """Messages about processes were lost: see who is there now, though not at every loss of a flood."""
        self.rungs.losses["processes"] += 1
        now = self._mono()
        if now - self._resynced < RESYNC:
            self.table.lost(self._settled, now, None)
            return
        self._look_again(now)

    def _look_again(self, now: int) -> None:
        self._resynced = now
        self.table.lost(self._settled, now, self._host.pids())

    # -- answers ---------------------------------------------------------------------------------

    def attribute(
        self, path: bytes, change: Change, ctime: int | None, since: int = 0, seen: int = 0
    ) -> Answer:
        """Who made that change, see `attribution`. Files are also found by their inodes, and names by that of
        their folder: what an audit record calls a file need not be what it is called here."""
        if not self.rungs.standing:
            return Unattributed(self.why())
        keys: list[Key] = [path]
        if self.rungs.audit is not None:
            inode, folder = self._host.place(path)
            keys += [inode] if inode else []
            keys += [(*folder, path.rpartition(b"/")[2])] if folder else []
        with self._lock:
            self._all_come()
            own = self.touches.of(keys)
            fresh = max((one.begin for one in own if one.deed & APPEARS), default=0)
            moved = [one for one in self.touches.of(_above(path)) if one.deed & MOVES and one.end > fresh]
            found = sorted([*own, *moved], key=lambda one: one.begin)
            found = [self._audit.bounded(one) for one in found]
            answer = attribute(found, change, ctime, since, seen)
            answer = self._doubted(answer, ctime, self.touches.kept_since(keys))
            if isinstance(answer, Actor) and ctime is not None:
                return self._alone(answer, path, change, ctime)
            return answer

    def _doubted(self, answer: Answer, ctime: int | None, kept: int) -> Answer:
        """Nobody is named for a change among deeds that were lost, nor for a removal before them: who made
        it may be among them; nor where deeds of that time were dropped here (those since `kept` are there).
        Where nothing was seen at all, that is why."""
        named = isinstance(answer, Actor)
        if not named and answer.rung is not Rung.NONE:
            return answer
        rungs = (answer.rung,) if named else self.rungs.standing
        if Rung.AUDIT in rungs:
            self._count_lost()
        first = ctime if ctime is not None else answer.at if isinstance(answer, Actor) else NOW
        last = NOW if ctime is None else ctime
        if first - SLACK <= kept:
            return Unattributed(FLOODED, answer.rung, (answer.who,) if isinstance(answer, Actor) else ())
        for rung in rungs:
            if self._gaps.touch(rung, first - SLACK, last + SLACK):
                reason = f"the kernel's {LOSSES[LOSER[rung]]} were lost at that time"
                return Unattributed(reason, rung, (answer.who,) if isinstance(answer, Actor) else ())
        return answer

    def _alone(self, answer: Actor, path: bytes, change: Change, ctime: int) -> Answer:
        """Nobody is named for what another may have done right after them: by another name of the file, or
        in memory, which is told only when it is given back. What was moved here, others may have made."""
        who, moved = answer.who, answer.deed & APPEARS
        file = None if moved or self.rungs.files is None else self.rungs.files.handle(path)
        if file and (reason := self._files.handles.doubt(file, who.pid, change, ctime)):
            return Unattributed(reason, answer.rung, (who,))
        if not explaining(change) & Deed.HELD:
            return answer
        written = self._host.open_to_write(path)
        if written is False or (written is None and answer.rung is Rung.AUDIT):
            return answer
        inode, _ = self._host.place(path)
        if written and inode and not self._host.holds(who.pid, inode):
            return Unattributed("another process has it open for writing", answer.rung, (who,))
        return replace(answer, confidence=Confidence.LIKELY)

    def present(self) -> Sequence[Presence]:
        """Who is logged in now."""
        return self._host.present()

    def why(self) -> str:
        """Why nobody can be named at all."""
        return "; ".join(self.rungs.missing.values()) or "attribution is switched off"


def _above(path: bytes) -> list[Key]:
    """The folders that a path leads through."""
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(2, len(parts))]
