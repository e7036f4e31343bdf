"""The engine: one loop that owns the store and the alert log, and sends everybody else to look.

The rules kept here: only this loop writes; it never reads a file of the host and never waits for a
client, so a hint on a critical path is answered in milliseconds whatever else goes on. What it is
asked for by control requests is in `commands`; this room is about what happens by itself: start,
hints, periodic sweeps, losses, the clock, the end.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from .. import __version__, health
from ..config import Config
from ..control.job import Job
from ..errors import BaselineError, ConfigError, HostguardError, StoreError
from ..host.files import FileHost
from ..host.live import LiveHost
from ..model import (
    Alert,
    Blind,
    Depth,
    FileFact,
    ListenerFact,
    ProcessFact,
    SetIdFact,
    Sweep,
    join,
    split,
)
from ..sensors.interface import Request
from ..store.alertlog import AlertLog
from ..store.baseline import Baseline
from ..store.database import Database
from ..store.findings import Findings
from .announcer import Announcer
from .clock import Clock, read, step_between
from .coverage import SECOND, Coverage, Loss
from .hints import EVERYTHING, Due
from .inbox import Inbox, Priority
from .keeper import Keeper
from .lanes import Batch, Done, Lane, Task
from .parts import Parts, SystemNames, build
from .schedule import Periodic
from .work import Work

ALIVE_EVERY = 30.0
"""Seconds between two notes of being alive, from which the next start tells the gap."""

GAP_TOLD = 90 * SECOND
STALL = 120.0
"""Seconds without progress after which a lane counts as stuck."""

TICK = 1.0
MOST_TROUBLE = 10
"""Errors nobody foresaw, one after the other, after which the service manager had better start anew."""

BACKUP = "baseline.backup"
"""The copy of the state made after each approval, beside the original."""

LIVE_KINDS = (ListenerFact.KIND, ProcessFact.KIND)
ALL_KINDS = (FileFact.KIND, SetIdFact.KIND, *LIVE_KINDS)


class Notifier(Protocol):
    """The service manager: sd_notify(3) messages. Also without one, doing nothing."""

    def notify(self, message: str) -> None: ...


Diagnose = Callable[[str, Mapping[str, object]], None]
"""The daemon's own diagnostics (never the alert log)."""


class Engine:
    """Everything between the parts. `run` returns when `stop` was called."""

    def __init__(
        self,
        config: Config,
        reload: Callable[[], Config],
        database: Database,
        log: AlertLog,
        files: FileHost,
        live: LiveHost,
        clock: Clock,
        notifier: Notifier,
        diagnose: Diagnose,
        *,
        max_watches: int,
        watchdog: float = 0.0,
        uid: int = 0,
    ) -> None:
        self.config = config
        self._reload = reload
        self.database = database
        self.log = log
        self._files, self._live = files, live
        self.clock = clock
        self._notifier = notifier
        self.diagnose = diagnose
        self._watchdog = watchdog
        self._uid = uid
        self.started = clock.wall()
        self.state = "starting"
        self._signals: deque[str] = deque()
        self._stopping = ""
        self.inbox: Inbox[object] = Inbox()
        self.names = SystemNames()
        self.baseline = Baseline(database)
        self.findings = Findings(database)
        self.announcer = Announcer(
            database,
            self.baseline,
            self.findings,
            log,
            self.names,
            clock.mono,
            clock.wall,
            storm=config.hints.storm,
            diagnose=diagnose,
        )
        self.lanes = {
            "urgent": Lane("urgent", self.inbox, Priority.URGENT),
            "hints": Lane("hints", self.inbox, Priority.HINTS),
            "live": Lane("live", self.inbox, Priority.LIVE),
            "bulk": Lane("bulk", self.inbox, Priority.BULK),
            "inventory": Lane("inventory", self.inbox, Priority.BULK),
        }
        self._max_watches = max_watches
        self.parts: Parts
        self.coverage: Coverage
        self.keeper: Keeper
        self.schedule: dict[str, Periodic] = {}
        self.works: dict[str, Work] = {}
        self._lost_since = 0
        self._trouble = 0
        self._clocks = read(clock)
        self._alive_noted = 0.0
        self._pinged = 0.0
        self._assemble(config)

    # -- from other threads ----------------------------------------------------------------------

    def signal(self, name: str) -> None:
        """`stop` or `reload`, also from a signal handler."""
        self._signals.append(name)
        self.inbox.wake()

    def submit(self, job: Job) -> None:
        """A permitted control request."""
        self.inbox.put(Priority.CONTROL, job)

    # -- the loop --------------------------------------------------------------------------------

    def run(self, handle: Callable[[Job], None]) -> None:
        """Watch until told to stop. `handle` answers control requests, on this thread."""
        for lane in self.lanes.values():
            lane.start()
        self.coverage.start()
        self._begin()
        try:
            while not self._stopping:
                try:
                    self._step(self.inbox.get(self._patience()), handle)
                    self._trouble = 0
                except BaselineError:
                    raise
                except Exception as error:  # noqa: BLE001 - the loop's edge: told, and watched on
                    self._survive(error)
        finally:
            self._end()

    def _step(self, item: object, handle: Callable[[Job], None]) -> None:
        """One item, and what is due after it."""
        if isinstance(item, Batch):
            self._batch(item)
        elif isinstance(item, Done):
            self._done(item)
        elif isinstance(item, Job):
            handle(item)
        self._turn()

    def _survive(self, error: Exception) -> None:
        """An error nobody foresaw: tell it and go on, unless it keeps coming."""
        self._trouble += 1
        if self._trouble > MOST_TROUBLE:
            raise error
        problem = f"{type(error).__name__}: {error}"
        self.diagnose("the loop failed", {"problem": problem, "where": traceback.format_exc(limit=-3)})
        self.tell("sensor.failed", sensor="engine", problem=problem)
        if isinstance(error, StoreError):
            self.announcer.resweep = True

    def _patience(self) -> float:
        """Seconds until something is due by itself."""
        now = self.clock.mono()
        times = [now + int(TICK * SECOND)]
        if self.state == "watching":
            # What waits for a busy lane is woken for by the end of the task there.
            times += [
                int(p.due * SECOND)
                for p in self.schedule.values()
                if not p.running and self._lane_of(p.name).idle
            ]
        for due in (self.coverage.next_due() if self.state != "capturing" else None, self.announcer.due()):
            if due:
                times.append(due)
        return max(0.0, (min(times) - now) / SECOND)

    def _turn(self) -> None:
        """What is due, after each item."""
        while self._signals:
            name = self._signals.popleft()
            if name == "reload":
                self._reconfigure()
            else:
                self._stopping = name
        now = self.clock.mono()
        if (due := self.announcer.due()) and now >= due:
            self.announcer.flush_due()
        for loss in self.coverage.losses(now):
            self._lost(loss)
        if self.state == "watching":
            if (settled := self.coverage.next_due()) is not None and now >= settled:
                self._look(self.coverage.due(now))
            self._periodic(now / SECOND)
        self._upkeep(now / SECOND)

    def _upkeep(self, now: float) -> None:
        """Clock steps, the watchdog, the note of being alive."""
        if repair := self.log.take_repaired():
            self.tell("log.repaired", repair=repair)
        clocks = read(self.clock)
        if step := step_between(self._clocks, clocks):
            self.tell("clock.stepped", step=step)
        self._clocks = clocks
        stuck = [lane.name for lane in self.lanes.values() if lane.stalled(STALL)]
        if self._watchdog and not stuck and now - self._pinged >= self._watchdog / 3:
            self._pinged = now
            self._notifier.notify("WATCHDOG=1")
        if now - self._alive_noted >= ALIVE_EVERY:
            self._alive_noted = now
            self._note_alive()

    def _note_alive(self) -> None:
        try:
            self.baseline.remember("alive", self.clock.wall())
            self.baseline.remember("head", f"{self.log.head[0]} {self.log.head[1]}")
        except StoreError as error:  # a full disk must not end the watch
            self.diagnose("state cannot be written", {"problem": str(error)})

    def tell(self, code: str, **params: int | float | str | bytes) -> Alert:
        """Alert about ourselves."""
        alert = health.alert(code, self.clock.wall(), **params)
        self.announcer.tell(alert)
        self.diagnose(alert.message, {"code": code})
        return alert

    # -- start and end ---------------------------------------------------------------------------

    def _assemble(self, config: Config) -> None:
        """The parts that follow from the configuration."""
        self.config = config
        limit = config.hints.max_watches or self._max_watches
        parts: list[Parts] = []
        self.coverage = Coverage(
            config.hints,
            self.clock,
            limit=limit,
            wake=self.inbox.wake,
            urgent=lambda path: parts[0].urgent(path),
            relevant=lambda folder, name: parts[0].relevant(folder, name),
        )
        coverage = self.coverage
        self.parts = build(config, self._files, self._live, self.clock, coverage.add)
        parts.append(self.parts)
        self.keeper = Keeper(
            self.baseline,
            self.findings,
            self.parts.policy,
            self.parts.watches.find,
            self.announcer.add,
            self.announcer.pending,
            self.clock.wall,
        )
        sweeps = config.sweeps
        live = min(sweeps.listeners, sweeps.processes)
        now = self.clock.mono() / SECOND
        self.schedule = {
            "files.quick": Periodic("files.quick", sweeps.quick, sweeps.duty, now + sweeps.quick),
            "files.full": Periodic("files.full", sweeps.full, sweeps.duty, now + sweeps.full),
            "setid": Periodic("setid", sweeps.setid, sweeps.duty, now + sweeps.setid),
            "live": Periodic("live", live, 0.0, now),
        }

    def _anchor(self) -> None:
        """Watch first, and with the reserve of watches, what leads to the critical paths."""
        files = self.parts.files
        for path in self.parts.watches.literal:
            if self.parts.policy.urgent(path):
                self.coverage.add(split(path)[0], critical=True)
        for folder in files.anchors():
            self.coverage.add(folder, critical=True)

    def _begin(self) -> None:
        if self._uid:
            self.tell("daemon.unprivileged", uid=self._uid)
        self._anchor()
        current = self.baseline.current()
        if current is None:
            self.capture()
        else:
            self._tell_gap()
            self._expect()
            self.state = "watching"
            self.tell("daemon.started", version=__version__, generation=current.number)
            self.sweep_now("files.quick", "setid")
        self._notifier.notify("READY=1")
        self._notifier.notify(f"STATUS={self.state}")

    def _expect(self) -> None:
        """Hand the live sensors what is approved: after a boot, services still come up."""
        for sensor, fact in ((self.parts.listeners, ListenerFact), (self.parts.processes, ProcessFact)):
            for scope in self.baseline.scopes(fact):
                sensor.expect(self.baseline.rows(fact, scope))

    def _tell_gap(self) -> None:
        """From when to when nobody was watching."""
        alive, now = self.baseline.recall("alive"), self.clock.wall()
        if isinstance(alive, int) and now - alive > 0:
            self.tell("daemon.gap", since=alive, until=now, gap=now - alive)

    def _end(self) -> None:
        self.state = "stopping"
        self._notifier.notify("STOPPING=1")
        for lane in self.lanes.values():
            lane.stop()
        self.inbox.close()
        self.tell("daemon.stopping", reason=self._stopping or "error")
        self.announcer.flush()
        self._note_alive()
        for work in self.works.values():
            if work.job is not None:
                work.job.fail(HostguardError("the daemon is stopping"))
        self.coverage.stop()
        for lane in self.lanes.values():
            lane.join(1.0)

    def _reconfigure(self) -> None:
        """SIGHUP: the new configuration if it is right, else the old one stays."""
        self._notifier.notify(f"RELOADING=1\nMONOTONIC_USEC={self.clock.mono() // 1000}")
        try:
            config = self._reload()
        except ConfigError as error:
            self.tell("config.refused", problem="; ".join(error.problems))
        else:
            config = replace(config, paths=self.config.paths)
            self.cancel_periodic()
            self.coverage.stop()
            self._assemble(config)
            self.coverage.start()
            self._anchor()
            self._expect()
            summary = f"{len(config.watches)} watches, {len(config.rules)} rules"
            self.tell("config.reloaded", summary=summary)
            if self.state == "watching":
                self.sweep_now("files.quick")
        self._notifier.notify("READY=1")

    # -- looking ---------------------------------------------------------------------------------

    def capture(self, done: Callable[[], None] = lambda: None) -> None:
        """Capture a first generation from the host as it is."""
        number = self.baseline.begin_capture()

        def finish(work: Work) -> None:
            if work.cancelled or work.failed:
                self.diagnose("capture broken off", {"problem": work.failed or "cancelled"})
                self.baseline.discard()
                self.capture(done) if not self._stopping else None
                return
            made = self.baseline.finish_capture(
                number, self.clock.wall(), "hostguardd itself", "first start", reviewed=False
            )
            self.state = "watching"
            self._notifier.notify("STATUS=watching")
            self.tell("baseline.captured-unreviewed", generation=made.number, facts=made.facts)
            self.note_blinds(work)
            self.backup()
            for periodic in self.schedule.values():
                periodic.due = self.clock.mono() / SECOND + periodic.interval
            done()

        self.state = "capturing"
        self.everything("capture", finish, capture=number)

    def everything(
        self,
        name: str,
        finish: Callable[[Work], None],
        *,
        depth: Depth = Depth.FULL,
        job: Job | None = None,
        capture: int | None = None,
    ) -> Work:
        """A sweep of all sensors that somebody waits for: at full speed, before any periodic one."""
        current = self.baseline.current()
        work = Work(name, finish, ALL_KINDS, job, capture, total=current.facts if current else 0)
        self.works[f"{name} {id(work)}"] = work
        self.cancel_periodic()
        parts = self.parts
        files = parts.hurried if depth is Depth.FULL else parts.files
        for lane, kind, sensor in (
            ("live", "listeners", parts.listeners),
            ("live", "processes", parts.processes),
            ("bulk", "files", files),
            ("inventory", "setid", parts.setid),
        ):
            produce = _sweeping(sensor.sweep, depth)
            self.lanes[lane].submit(work.task(Task(kind, produce)))
        return work

    def sweep_now(self, *names: str) -> None:
        """Make periodic sweeps due at once."""
        for name in names:
            self.schedule[name].hurry(self.clock.mono() / SECOND)

    def cancel_periodic(self) -> None:
        """Break off what nobody waits for; it comes again by itself."""
        for lane in ("bulk", "inventory"):
            self.lanes[lane].cancel(
                lambda task: isinstance(task.purpose, Work) and task.purpose.name in self.schedule
            )
        for name in ("files.quick", "files.full", "setid"):
            if self.schedule[name].running:
                self.schedule[name].broken(self.clock.mono() / SECOND)

    def _periodic(self, now: float) -> None:
        if self.announcer.resweep and not self.announcer.unwritable:
            self.announcer.resweep = False
            self.sweep_now("files.quick", "files.full")
        for name, periodic in self.schedule.items():
            if periodic.running or now < periodic.due:
                continue
            lane = self._lane_of(name)
            if not lane.idle:
                continue
            periodic.start(now)
            work = Work(name, self._periodic_done)
            self.works[f"{name} {id(work)}"] = work
            lane.submit(work.task(self._periodic_task(name, work)))

    def _lane_of(self, name: str) -> Lane:
        """The lane of a periodic look."""
        return self.lanes[{"live": "live", "setid": "inventory"}.get(name, "bulk")]

    def _periodic_task(self, name: str, work: Work) -> Task:
        parts, pace = self.parts, self.config.sweeps.pace
        if name == "live":
            return Task(name, lambda stop: _poll(parts, stop))
        if name == "setid":
            work.kinds = (SetIdFact.KIND,)
            return Task(name, _sweeping(parts.setid.sweep, Depth.FULL), pace=pace, background=True)
        work.kinds = (FileFact.KIND,)
        depth = Depth.FULL if name == "files.full" else Depth.QUICK
        hurry = depth is Depth.QUICK and bool(self._lost_since or not self.schedule[name].ended)
        return Task(
            name, _sweeping(parts.files.sweep, depth), pace=1.0 if hurry else pace, background=not hurry
        )

    def _periodic_done(self, work: Work) -> None:
        periodic = self.schedule.get(work.name)
        now = self.clock.mono() / SECOND
        if periodic is None:
            return
        if work.failed:
            self.tell("sensor.failed", sensor=work.name, problem=work.failed)
        if work.cancelled or work.failed:
            periodic.broken(now)
            return
        periodic.end(now, work.cpu, work.entries)
        if work.kinds:
            self.note_blinds(work)
        if work.name == "files.quick" and self._lost_since:
            since, self._lost_since = self._lost_since, 0
            offset = self.clock.wall() - self.clock.mono()
            self.announcer.flush()
            self.tell("coverage.restored", since=since + offset, until=self.clock.wall())

    def _look(self, due: list[Due]) -> None:
        """Look at what hints settled on: critical paths in their own lane."""
        for urgent, requests in self._requests(due):
            if not requests:
                continue
            work = Work("hint", lambda work: None)
            task = Task("hint", _looking(self.parts, requests))
            self.lanes["urgent" if urgent else "hints"].submit(work.task(task))

    def _requests(self, due: list[Due]) -> list[tuple[bool, list[Request]]]:
        loud: list[Request] = []
        rest: list[Request] = []
        for item in due:
            if item == EVERYTHING:
                self.sweep_now("files.quick", "setid")
                continue
            folder, names, deep = item
            if names is None:
                rest.append(Request(folder, None, deep))
                above, name = split(folder)
                names, folder = frozenset({name}), above
            growing = frozenset(
                n for n in names if (w := self.parts.watches.find(join(folder, n))) and w.growing
            )
            if growing:
                rest.append(Request(folder, growing, depth=Depth.QUICK))
            urgent = frozenset(n for n in names - growing if self.parts.urgent(join(folder, n)))
            if urgent:
                loud.append(Request(folder, urgent, deep))
            if others := names - growing - urgent:
                rest.append(Request(folder, others, deep))
        return [(True, loud), (False, rest)]

    def _lost(self, loss: Loss) -> None:
        """Hints were lost: say so, and look at everything at once."""
        offset = self.clock.wall() - self.clock.mono()
        since, until = loss.since + offset, loss.until + offset
        self.tell(loss.code, since=since, until=until, **loss.params)
        if loss.code == "coverage.watcher-dead":
            self.coverage.restart()
            self._anchor()
        if loss.code in ("coverage.watcher-dead", "coverage.overflow"):
            self._lost_since = min(self._lost_since or loss.since, loss.since)
            if self.schedule["files.quick"].running:
                self.cancel_periodic()
            self.sweep_now("files.quick", "setid")

    # -- what came back --------------------------------------------------------------------------

    def _batch(self, batch: Batch) -> None:
        work = batch.task.purpose
        assert isinstance(work, Work)
        if batch.task.cancelled:
            return
        follow: list[Request] = []
        if work.capture is not None:
            self._capture_batch(batch, work.capture)
        for sweep in batch.sweeps:
            work.blind(sweep.blinds)
            where = sweep.scope if isinstance(sweep.scope, bytes) else str(sweep.scope).encode()
            work.progress(batch.task.name, len(sweep.rows), where.decode("utf-8", "backslashreplace"))
            if work.capture is None:
                follow += self.keeper.handle(sweep)
        if follow:
            files = self.parts.files
            task = Task("closer", lambda stop: files.look(follow, stop))
            self.lanes["hints"].submit(work.task(task))

    def _capture_batch(self, batch: Batch, number: int) -> None:
        with self.database.transaction():
            for sweep in batch.sweeps:
                self.baseline.add(number, sweep.fact, sweep.rows)
                self.baseline.keep_content(sweep.contents.items())

    def _done(self, done: Done) -> None:
        work = done.task.purpose
        assert isinstance(work, Work)
        if done.error is not None:
            problem = f"{type(done.error).__name__}: {done.error}"
            self.diagnose("a look failed", {"task": done.task.name, "problem": problem})
        if work.ended(done.task, done.error):
            for name in [name for name, other in self.works.items() if other is work]:
                del self.works[name]
            work.finish(work)

    def note_blinds(self, work: Work) -> None:
        """Compare what could not be seen with what could not be seen before, and write it down."""
        now = self.clock.wall()
        for kind in work.kinds:
            found = {scope: blind for (k, scope), blind in work.blinds.items() if k == kind}
            known = {blind.scope: (blind, since) for blind, since in self.baseline.blinds_of(kind)}
            if work.capture is None:
                self._tell_blinds([found[s] for s in found.keys() - known.keys()])
                for scope in known.keys() - found.keys():
                    gap = now - known[scope][1]
                    self.tell("coverage.seen-again", scope=scope, kind=kind, gap=gap)
            if found.keys() != known.keys():
                self.baseline.set_blinds(kind, found.values(), now)

    def backup(self) -> None:
        """A copy of the state beside the original; watching goes on without it."""
        try:
            self.database.backup(Path(self.config.paths.state) / BACKUP)
        except StoreError as error:
            self.tell("store.unwritable", problem=str(error))

    def _tell_blinds(self, blinds: list[Blind]) -> None:
        blinds.sort(key=lambda blind: blind.scope)
        for blind in blinds[:5]:
            more = f" (and {len(blinds) - 5} more places)" if blind is blinds[0] and len(blinds) > 5 else ""
            self.tell("coverage.blind", scope=blind.scope, kind=blind.kind, problem=blind.reason + more)


def _sweeping(
    sweep: Callable[[Depth, Callable[[], bool]], Iterator[Sweep]], depth: Depth
) -> Callable[[Callable[[], bool]], Iterator[Sweep]]:
    """The sweep as a task's work."""
    return lambda stop: sweep(depth, stop)


def _looking(parts: Parts, asked: list[Request]) -> Callable[[Callable[[], bool]], Iterator[Sweep]]:
    """A look by everybody whom a hint may concern, as a task's work."""

    def produce(stop: Callable[[], bool]) -> Iterator[Sweep]:
        yield from parts.files.look(asked, stop)
        yield from parts.setid.look(asked, stop)

    return produce


def _poll(parts: Parts, stop: Callable[[], bool]) -> Iterator[Sweep]:
    """Ask the live sensors cheaply, and sweep with those that have something."""
    for sensor in (parts.listeners, parts.processes):
        if sensor.changed():
            yield from sensor.sweep(Depth.QUICK, stop)
