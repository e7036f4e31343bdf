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
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from ..actors import procevents
from ..actors.attribution import SLACK, attribute
from ..actors.auditrecords import KEY, Assembler, Event
from ..actors.deeds import of_event, of_mask
from ..actors.fanevents import FanEvent, Mask
from ..actors.lineage import cron_line, is_sshd
from ..actors.model import (
    Actor,
    Answer,
    Change,
    Deed,
    Image,
    Link,
    Presence,
    Process,
    Rung,
    Touch,
    Unattributed,
    Who,
)
from ..actors.procevents import ProcEvent
from ..actors.table import NOW, Table
from ..actors.touches import Key, Touches
from ..actors.ttys import tty_name
from ..host.witnesses import WitnessHost
from .origins import Origins
from .rungs import Rungs

_EXEC, _OVERFLOW = int(Mask.OPEN_EXEC), int(Mask.Q_OVERFLOW)
_FOLDER, _GOES = int(Mask.ONDIR), int(Mask.MOVED_FROM | Mask.MOVED_TO | Mask.DELETE)

MOMENT: Final = 1_000_000
"""Nanoseconds to which an audit record's time is cut."""
FLOOD: Final = 2000
"""Messages in one round beyond which /proc is not asked at each exec: those processes have long gone."""
FOLDERS: Final = 4096
SECOND: Final = 10**9
RESYNC: Final = 5 * SECOND
TEND: Final = 30 * SECOND
"""How often rules and rights are looked at again."""
TELL: Final = 600 * SECOND
"""How often a loss is told."""

STRETCH: Final = 10 * SECOND
MOST_EVENTS: Final = 20_000
"""File events of such a stretch beyond which single writes are no longer told."""

SPAN: Final = 100_000_000
MANY: Final = 30
NAP: Final = 0.0003

PATIENCE: Final = 500
"""Milliseconds between looks whether we are to end."""
FILES_PATIENCE: Final = 50
"""Milliseconds after which file events are read at the latest. Nobody is woken by them where messages about
processes come: whoever lives shortly ends with one, and what lives on can wait."""

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
        self._relevant = relevant
        self._mono, self._wall = mono, wall
        self._hint = hint
        self.rungs = Rungs(host, key)
        self.table = Table(host.details)
        self.touches = Touches()
        self.seen = 0
        """Deeds that were noted."""
        self._origins = Origins(host, self.table, sshd)
        self._assembler = Assembler(key)
        self._seen_until = 0
        self._settled = 0
        self._resynced = -RESYNC
        self._tended = 0
        self._events = 0
        self._counted = 0
        self._told: dict[str, tuple[int, int]] = {}
        self._whos: dict[Who, Who] = {}
        self._gaps: dict[Rung, tuple[int, int]] = {}  # wall-clock spans in which deeds were last lost
        self._folders: OrderedDict[tuple[bytes, int, bytes], tuple[bytes | None, bool]] = OrderedDict()
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._bell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread: threading.Thread | None = None

    # -- start and end ---------------------------------------------------------------------------

    def open(
        self, rungs: Iterable[str], file_systems: Iterable[bytes], programs: Iterable[bytes] = ()
    ) -> None:
        """Stand on these rungs (`audit`, `fanotify`), as far as they are there, from now on. `file_systems`
        are folders whose file systems are marked for all that is done there, `programs` those from which
        programs are run. What was seen before stays."""
        with self._lock:
            self._folders.clear()
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
        messages, lost = self.rungs.read_processes()
        self.table.told = self.rungs.processes is not None
        flood = len(messages) > FLOOD
        late = [one for one in messages if one.at > until]
        early = [one for one in messages if one.at <= until] if late else messages
        fresh = self._apply(early, look=not flood)
        if lost:
            self._resync()
        self._count(len(events), until)
        if events:
            self._file_events(events, since, until)
        for process in fresh:
            self.table.settle(process)
            self._origins.note(process)
        for process in self._apply(late, look=not flood):
            self._origins.note(process)
        self._seen_until = begun
        if not lost and not flood:
            self._settled = begun
        if lost_records:
            self.rungs.losses["audit"] += 1
            self._assembler.forget()
        offset = self._wall() - self._mono()
        if lost_records:
            self._gaps[Rung.AUDIT] = since + offset, self._wall()
        for kind, body in records:
            event = self._assembler.take(kind, body)
            if event is not None:
                self._audited(event, offset)

    def _count(self, events: int, now: int) -> None:
        """See whether file events come too fast to be read at what it may cost."""
        self._events += events
        if now - self._counted > STRETCH:
            if self._events > MOST_EVENTS and now - self._counted < 2 * STRETCH:
                self.rungs.calm()
            self._counted, self._events = now, 0

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
                table.uid(pid, first, second)
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
        self._resynced = now
        self.table.lost(self._settled, now, self._host.pids())

    # -- file events -----------------------------------------------------------------------------

    def _file_events(self, events: Sequence[FanEvent], since: int, until: int) -> None:
        offset = self._wall() - self._mono()
        still: dict[int, int] = {}
        for event in events:
            if event.mask & _EXEC:
                still[event.pid] = still.get(event.pid, 0) + 1
        for event in events:
            mask = event.mask
            if mask & _OVERFLOW:
                self.rungs.losses["files"] += 1
                self._gaps[Rung.FANOTIFY] = since + offset, until + offset
                continue
            if event.folder is None:
                continue
            if mask & _EXEC:
                still[event.pid] -= 1
                self._opened(event, since, until)
            deed = of_mask(mask)
            if not deed:
                continue
            if mask & _FOLDER and mask & _GOES:
                self._moved()
            folder, wanted = self._folder(event.folder)
            if folder is None or not wanted:
                continue
            self._touched(event, folder, deed, since, until, offset, bool(still.get(event.pid)))

    def _moved(self) -> None:
        self._folders.clear()
        if self.rungs.files is not None:
            self.rungs.files.moved()

    def _folder(self, handle: tuple[bytes, int, bytes]) -> tuple[bytes | None, bool]:
        """The path of a folder, and whether anything in it matters to anybody."""
        known = self._folders.get(handle)
        if known is None:
            path = None if self.rungs.files is None else self.rungs.files.path(handle)
            known = path, path is not None and self._relevant(path, None)
            if path is not None:
                self._folders[handle] = known
                if len(self._folders) > FOLDERS:
                    self._folders.popitem(last=False)
        return known

    def _opened(self, event: FanEvent, since: int, until: int) -> None:
        assert event.folder is not None
        process, _ = self.table.find(event.pid, since, until)
        folder = self._folder(event.folder)[0]
        if process is not None and folder is not None:
            self.table.opened(process, folder.rstrip(b"/") + b"/" + event.name)

    def _touched(
        self, event: FanEvent, folder: bytes, deed: Deed, since: int, until: int, offset: int, more: bool
    ) -> None:
        """`more`: this process opens another program later in this round."""
        own = event.name in (b"", b".")
        if not own and not self._relevant(folder, event.name):
            return
        path = folder if own else folder.rstrip(b"/") + b"/" + event.name
        process, reason = self.table.find(event.pid, since, until)
        who = None
        if process is not None:
            image = process.image
            if process.unsettled and self.table.settle(process) < process.unsettled and more:
                image = process.before or image
            who = self._who(process, image)
        self.seen += 1
        for part in (deed & Deed.HELD, deed & ~Deed.HELD):
            if part:
                begin = since
                if part is Deed.HELD and process is not None:
                    begin = min(since, process.started)
                touch = Touch(Rung.FANOTIFY, part, begin + offset, until + offset, who, reason)
                self.touches.add((path,), touch)
        if self._hint is not None:
            self._hint(folder, b"" if own else event.name)

    # -- audit -----------------------------------------------------------------------------------

    def _audited(self, event: Event, offset: int) -> None:
        """An event of ours. The process is the record's; what the table knows of it only adds to that."""
        deeds = [*of_event(event)]
        if not deeds:
            return
        process, _ = self.table.find(event.pid, event.at - offset, event.at - offset + MOMENT)
        who = self._audited_who(event, process)
        self.seen += 1
        for deed, keys in deeds:
            for part in (deed & Deed.HELD, deed & ~Deed.HELD):
                if part is Deed.HELD:
                    file = next((key for key in keys if isinstance(key, tuple) and len(key) == 2), None)
                    touch = self._held(event, who, process, file)
                    self.touches.add(keys, touch)
                elif part:
                    end = max(self._wall(), event.at + MOMENT)  # told when the call had ended
                    self.touches.add(keys, Touch(Rung.AUDIT, part, event.at, end, who))

    def _held(self, event: Event, who: Who, process: Process | None, file: tuple[int, int] | None) -> Touch:
        """A file was opened for writing: until when it may have been written to. Most have closed it by now,
        or are gone."""
        if process is not None and process.ended:
            end = self._wall() - self._mono() + process.ended
        elif file is None or self._host.holds(event.pid, file):
            return Touch(Rung.AUDIT, Deed.HELD, event.at, NOW, who, "", event.pid, file)
        else:
            end = self._wall()
        return Touch(Rung.AUDIT, Deed.HELD, event.at, max(end, event.at + MOMENT), who)

    def _audited_who(self, event: Event, process: Process | None) -> Who:
        links: tuple[Link, ...] = ()
        unit = command = None
        if process is not None and process.uid is not None and process.uid != event.uid:
            process = None
        if process is not None:
            known = self.table.who(process, tty_name)
            links, unit = known.parents, known.unit
            command = known.command if known.exe in (None, event.exe) else None
        if not links and event.parent:
            above = self.table.meet_parent(event.parent, event.at - (self._wall() - self._mono()))
            if above is not None:
                links = (self.table.link(above), *self.table.links(above))
        who = Who(
            (event.pid, process.started if process is not None else _alike(event)),
            event.pid,
            event.exe or None,
            command or event.title,
            event.uid,
            event.euid,
            -1 if event.login is None else event.login,
            -1 if event.session is None else event.session,
            event.tty,
            unit,
            links,
        )
        return self._with_origin(who)

    # -- who -------------------------------------------------------------------------------------

    def _who(self, process: Process, image: Image) -> Who:
        who = self.table.who(process, tty_name)
        if image is not process.image:
            who = who._replace(exe=image.exe, command=image.command)
        return self._with_origin(who)

    def _with_origin(self, who: Who) -> Who:
        chain = (Link(who.pid, who.exe, who.command, who.uid), *who.parents)
        who = who._replace(source=self._origins.of(who.session, who.parents), cron=cron_line(chain))
        if len(self._whos) > 256:
            self._whos.clear()
        return self._whos.setdefault(who, who)  # one process touches much

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
            self._round()
            found = [self._bounded(one) for one in self.touches.of(keys)]
            answer = attribute(found, change, ctime, since, seen)
            return self._doubted(answer, ctime)

    def _doubted(self, answer: Answer, ctime: int | None) -> Answer:
        """Nobody is named for a change among deeds that were lost, nor for a removal before them: who made
        it may be among them."""
        if not isinstance(answer, Actor):
            return answer
        began, ended = self._gaps.get(answer.rung, (0, 0))
        first = answer.at if ctime is None else ctime
        last = NOW if ctime is None else ctime
        if not ended or first - SLACK > ended or last + SLACK < began:
            return answer
        reason = f"the kernel's {LOSSES[LOSER[answer.rung]]} were lost at that time"
        return Unattributed(reason, answer.rung, (answer.who,))

    def present(self) -> Sequence[Presence]:
        """Who is logged in now."""
        return self._host.present()

    def why(self) -> str:
        """Why nobody can be named at all."""
        return "; ".join(self.rungs.missing.values()) or "attribution is switched off"

    def _bounded(self, touch: Touch) -> Touch:
        """Who does not hold the file open any more wrote to it until now at the latest."""
        if not touch.holder or (touch.file is not None and self._host.holds(touch.holder, touch.file)):
            return touch
        return replace(touch, end=self._wall())


def _alike(event: Event) -> int:
    """Stands for a process of which nothing but its records is known: the same for all of them."""
    return hash((event.parent, event.exe, event.uid, event.login, event.session))
