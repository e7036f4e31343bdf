"""Those who saw it: reads what the kernel tells of deeds and processes, and answers who changed a file.

The rules kept here: what is missing (a right, a kernel's feature, the administrator's audit rules) is a
sentence and the next rung, never a failure; what was lost is told, and nobody is named for that time.
Everything is read by whoever comes first, the own thread when something happens or the loop when it asks,
under one lock, so that an answer has all that the kernel had told by then.

The order in which a round is read matters, see `_round`: a deed is in the queue of file events after the
messages about the process that did it are in the connector's.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from ..actors import obstacles, procevents
from ..actors.attribution import attribute
from ..actors.auditrecords import KEY, Assembler, Event
from ..actors.deeds import of_event, of_mask
from ..actors.fanevents import FanEvent, Mask
from ..actors.lineage import cron_line, is_sshd, logind
from ..actors.model import Answer, Change, Deed, Image, Link, Process, Rung, Touch, Unattributed, Who
from ..actors.procevents import ProcEvent
from ..actors.table import NOW, Table
from ..actors.touches import Key, Touches
from ..actors.ttys import tty_name
from ..host.witnesses import AuditPort, FanPort, ProcPort, WitnessHost

MASK: Final = int(
    Mask.MODIFY
    | Mask.ATTRIB
    | Mask.CLOSE_WRITE
    | Mask.CREATE
    | Mask.DELETE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.ONDIR
    | Mask.OPEN_EXEC
)
PROGRAMS: Final = int(Mask.OPEN_EXEC)
_EXEC, _OVERFLOW = int(Mask.OPEN_EXEC), int(Mask.Q_OVERFLOW)
_FOLDER, _GOES = int(Mask.ONDIR), int(Mask.MOVED_FROM | Mask.MOVED_TO | Mask.DELETE)

MOMENT: Final = 1_000_000
"""Nanoseconds to which an audit record's time is cut."""
FLOOD: Final = 2000
"""Messages in one round beyond which /proc is not asked at each exec: those processes have long gone."""
SESSIONS: Final = 4096
TRIES: Final = 3
"""Programs of a session above which an sshd is looked for: most sessions have none."""
FOLDERS: Final = 4096
RESYNC: Final = 5 * 10**9
SPAN: Final = 100_000_000
MANY: Final = 30
NAP: Final = 0.0003

PATIENCE: Final = 500
"""Milliseconds between looks whether we are to end."""
FILES_PATIENCE: Final = 50
"""Milliseconds after which file events are read at the latest. Nobody is woken by them where messages about
processes come: whoever lives shortly ends with one, and what lives on can wait."""


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
    """The rungs there are, and what they saw. `relevant(folder, name)`: whether anybody will ask about it.
    `hint(folder, name)`: told of each such file event. `sshd(exe)`: whether that program is an ssh server."""

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
        self._sshd = sshd
        self.table = Table(host.details)
        self.touches = Touches()
        self._assembler = Assembler(key)
        self._key = key
        self._wanted: frozenset[str] = frozenset()
        self.locked = False
        """Whether audit's rules are locked until the next boot."""
        self._audit: AuditPort | None = None
        self._processes: ProcPort | None = None
        self._files: FanPort | None = None
        self.missing: dict[str, str] = {}
        """By witness (audit, processes, files), why it is not there."""
        self.unmarked: dict[bytes, str] = {}
        """File systems whose events are not told, and why."""
        self.losses: dict[str, int] = {}
        """How often each witness lost something."""
        self.seen = 0
        """Deeds that were noted."""
        self._seen_until = 0
        self._settled = 0
        self._resynced = 0
        self._folders: OrderedDict[tuple[bytes, int, bytes], tuple[bytes | None, bool]] = OrderedDict()
        self._sources: OrderedDict[int, bytes | None] = OrderedDict()
        self._tried: Counter[int] = Counter()
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._bell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread: threading.Thread | None = None

    # -- start and end ---------------------------------------------------------------------------

    def open(
        self, rungs: Iterable[str], file_systems: Iterable[bytes], programs: Iterable[bytes] = ()
    ) -> None:
        """Stand on these rungs (`audit`, `fanotify`), as far as they are there. `file_systems` are folders
        whose file systems are marked for all that is done there, `programs` those from which programs are
        run."""
        self._wanted = frozenset(rungs)
        with self._lock:
            if Rung.FANOTIFY.value in self._wanted:
                self._open_files(file_systems, programs)
            self._refresh()

    def refresh(self) -> None:
        """See whether the administrator's rules came or went, and what was lost can be had again."""
        with self._lock:
            if self._refresh():
                self._wake()

    def _refresh(self) -> bool:
        """Open and close what there is and is not a reason for; whether the set of ports changed."""
        before = self._ports()
        self._open_audit()
        if self.rungs and self._processes is None:
            try:
                self._processes = self._host.processes()
                self.missing.pop("processes", None)
                self.table.scan(self._host.pids())
            except OSError as error:
                self.missing["processes"] = f"the kernel does not tell us of processes: {error.strerror}"
        elif not self.rungs and self._processes is not None:
            self._processes.close()
            self._processes = None
        if self._ports() == before:
            return False
        self._seen_until = self._settled = self._mono()
        return True

    def _open_audit(self) -> None:
        if Rung.AUDIT.value not in self._wanted:
            return
        state = self._host.audit_state()
        enabled = None if state.status is None else state.status.enabled
        self.locked = enabled == obstacles.LOCKED
        obstacle = "" if state.problem else obstacles.audit(enabled, state.rules, self._key)
        if state.status is None and not state.problem:
            obstacle = "the kernel has no audit system, or it may not be asked here"
        try:
            if not obstacle and self._audit is None:
                self._audit = self._host.audit()
        except OSError as error:
            obstacle = f"the kernel's audit records cannot be read: {error.strerror}"
        if obstacle:
            self.missing["audit"] = obstacle
            if self._audit is not None:
                self._audit.close()
                self._audit = None
        else:
            self.missing.pop("audit", None)

    def _open_files(self, file_systems: Iterable[bytes], programs: Iterable[bytes]) -> None:
        try:
            self._files = self._host.files()
        except OSError as error:
            self.missing["files"] = f"the kernel does not tell us of file events: {error.strerror}"
            return
        marked = 0
        for path, mask in [*((one, MASK) for one in file_systems), *((one, PROGRAMS) for one in programs)]:
            try:
                self._files.mark(path, mask)
                marked += mask == MASK
            except OSError as error:
                if mask == MASK:
                    self.unmarked[path] = error.strerror or str(error)
        if not marked:
            self._files.close()
            self._files = None
            why = "; ".join(f"{os.fsdecode(path)}: {reason}" for path, reason in self.unmarked.items())
            self.missing["files"] = f"no file system can be marked for file events ({why})"

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The rungs we stand on, the best first."""
        found = []
        if self._audit is not None:
            found.append(Rung.AUDIT)
        if self._files is not None:
            found.append(Rung.FANOTIFY)
        return tuple(found)

    def start(self) -> None:
        """Read whenever something comes, on a thread of our own."""
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)
        self._thread.start()

    def _ports(self) -> list[AuditPort | ProcPort | FanPort]:
        return [port for port in (self._files, self._processes, self._audit) if port is not None]

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._bell[1], b"!")

    def _run(self) -> None:
        pace = Pace(self._mono)
        while not self._stop.is_set():
            with self._lock:
                ports = self._ports()
                others = [port for port in ports if port is not self._files]
                waiting = select.poll()
                for fd in (self._bell[0], *(port.fileno() for port in others or ports)):
                    waiting.register(fd, select.POLLIN)
                patience = FILES_PATIENCE if self._files is not None and others else PATIENCE
            while ports == self._ports() and not self._stop.is_set():
                if waiting.poll(patience) or patience == FILES_PATIENCE:
                    if pace.busy():
                        time.sleep(NAP)
                    self._hush()
                    self.drain()

    def _hush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._bell[0], 64)

    def close(self) -> None:
        """Give everything back."""
        self._stop.set()
        self._wake()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            for port in self._ports():
                port.close()
            self._audit = self._processes = self._files = None
            for fd in self._bell:
                os.close(fd)

    # -- reading ---------------------------------------------------------------------------------

    def drain(self) -> None:
        """Take in all that the kernel has told by now."""
        with self._lock:
            self._round()

    def _failed(self, name: str, error: OSError) -> None:
        """A witness that cannot be read any more is none; `refresh` tries to have it again."""
        self.missing[name] = f"what the kernel tells cannot be read any more: {error.strerror}"
        self.losses[name] = self.losses.get(name, 0) + 1

    def _read_files(self) -> Sequence[FanEvent]:
        if self._files is None:
            return ()
        try:
            return self._files.read()
        except OSError as error:
            self._failed("files", error)
            self._files.close()
            self._files = None
            return ()

    def _read_audit(self) -> tuple[Sequence[tuple[int, bytes]], bool]:
        if self._audit is None:
            return (), False
        try:
            return self._audit.read()
        except OSError as error:
            self._failed("audit", error)
            self._audit.close()
            self._audit = None
            return (), True

    def _read_processes(self) -> tuple[Sequence[ProcEvent], bool]:
        if self._processes is None:
            return (), False
        try:
            return self._processes.read()
        except OSError as error:
            self._failed("processes", error)
            self._processes.close()
            self._processes = None
            return (), True

    def _round(self) -> None:
        """One reading of everything.

        File events carry no time: those read now came after the reading before (`since`), and before its
        end (`until`). Messages about processes carry theirs, and one that came before a deed was sent before
        it; so they are read after the file events, and those later than these are applied after them. Audit's
        come last: by then the processes are known.
        """
        begun, since = self._mono(), self._seen_until
        events = self._read_files()
        until = self._mono()
        records, lost_records = self._read_audit()
        messages, lost = self._read_processes()
        flood = len(messages) > FLOOD
        late = [one for one in messages if one.at > until]
        early = [one for one in messages if one.at <= until] if late else messages
        fresh = self._apply(early, look=not flood)
        if lost:
            self._resync()
        if events:
            self._file_events(events, since, until)
        for process in fresh:
            self.table.settle(process)
            self._note_session(process)
        for process in self._apply(late, look=not flood):
            self._note_session(process)
        self._seen_until = begun
        if not lost and not flood:
            self._settled = begun
        if lost_records:
            self.losses["audit"] = self.losses.get("audit", 0) + 1
            self._assembler.forget()
        offset = self._wall() - self._mono()
        for kind, body in records:
            event = self._assembler.take(kind, body)
            if event is not None:
                self._audited(event, offset)

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
        self.losses["processes"] = self.losses.get("processes", 0) + 1
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
                self.losses["files"] = self.losses.get("files", 0) + 1
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
        if self._files is not None:
            self._files.moved()

    def _folder(self, handle: tuple[bytes, int, bytes]) -> tuple[bytes | None, bool]:
        """The path of a folder, and whether anything in it matters to anybody."""
        known = self._folders.get(handle)
        if known is None:
            path = None if self._files is None else self._files.path(handle)
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
            (event.pid, process.started if process is not None else event.at // MOMENT),
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
        return self._with_origin(who, process)

    # -- who -------------------------------------------------------------------------------------

    def _who(self, process: Process, image: Image) -> Who:
        who = self.table.who(process, tty_name)
        if image is not process.image:
            who = who._replace(exe=image.exe, command=image.command)
        return self._with_origin(who, process)

    def _with_origin(self, who: Who, process: Process | None) -> Who:
        source = None
        if who.session is not None and who.session >= 0:
            source = self._source(who.session, who.parents)
        chain = (Link(who.pid, who.exe, who.command, who.uid), *who.parents)
        return who._replace(source=source, cron=cron_line(chain))

    def _note_session(self, process: Process) -> None:
        """A new session is looked up when its first program starts: then its sshd is surely still there."""
        session = process.session
        if session is None or session < 0 or session in self._sources or self._tried[session] >= TRIES:
            return
        self._tried[session] += 1
        if len(self._tried) > SESSIONS:
            self._tried.clear()
        if any(self._sshd(one.image.exe) for one in islice(self.table.line(process), 2)):
            self._source(session, self.table.links(process))

    def _source(self, session: int, parents: Iterable[Link]) -> bytes | None:
        """The address behind a session; remembered, because sessions have their number for good."""
        if session in self._sources:
            return self._sources[session]
        found = next(self._peers(parents), None) or self._told(session)
        if found is not None:
            self._sources[session] = found
            if len(self._sources) > SESSIONS:
                self._sources.popitem(last=False)
        return found

    def _peers(self, parents: Iterable[Link]) -> Iterator[bytes]:
        """What the sshd above it is connected to, if that is one address only: a forwarding has more."""
        for link in parents:
            if self._sshd(link.exe):
                peers = self._host.peers(link.pid)
                if len(peers) == 1:
                    yield peers[0]

    def _told(self, session: int) -> bytes | None:
        """What logind wrote of a session that came from elsewhere."""
        said = logind(self._host.session(session))
        return said.get(b"REMOTE_HOST") or None if said.get(b"REMOTE") == b"1" else None

    # -- answers ---------------------------------------------------------------------------------

    def attribute(
        self,
        path: bytes,
        change: Change,
        ctime: int | None,
        since: int = 0,
        inode: tuple[int, int] | None = None,
        folder: tuple[int, int] | None = None,
    ) -> Answer:
        """Who made that change. `inode` is (device, inode) of the file, `folder` that of its folder: what
        audit's records are found by when their paths are not ours."""
        if not self.rungs:
            return Unattributed(self.why())
        with self._lock:
            self._round()
            name = path.rpartition(b"/")[2]
            keys: list[Key] = [path]
            keys += [inode] if inode else []
            keys += [(*folder, name)] if folder else []
            found = [self._bounded(one) for one in self.touches.of(keys)]
        return attribute(found, change, ctime, since)

    def why(self) -> str:
        """Why nobody can be named at all."""
        return "; ".join(self.missing.values()) or "attribution is switched off"

    def _bounded(self, touch: Touch) -> Touch:
        """Who does not hold the file open any more wrote to it until now at the latest."""
        if not touch.holder or (touch.file is not None and self._host.holds(touch.holder, touch.file)):
            return touch
        return replace(touch, end=self._wall())
