"""The engine: one loop that owns the store and the alert log, and sends everybody else to look.

The rules kept here: only this loop writes; it never reads a file of the host and never waits for a
client, so a hint on a critical path is answered in milliseconds whatever else goes on. What it is
asked for by control requests is in `commands` and `queries`; this room is about what happens by itself:
start, hints, periodic sweeps, losses, the clock, the end.
"""

from __future__ import annotations

import os
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .. import __version__, health
from ..automation import automation
from ..config import Config
from ..control.job import Job
from ..errors import BaselineError, ConfigError, HostguardError, StoreError
from ..facts.accounts import USERS
from ..homes import plausible
from ..host.atwork import PackageManagers, account_tool
from ..host.bundle import Host
from ..host.clock import Clock, read, step_between
from ..host.clockset import ClockSet
from ..model import AccountFact, Alert, Generation, Hint, split
from ..store.alertlog import AlertLog
from ..store.baseline import Baseline
from ..store.database import Database
from ..store.findings import Findings
from ..store.stories import Stories
from .announcer import Announcer
from .attributing import Attribution
from .coverage import SECOND, Coverage, Loss
from .earlier import distrust, expect, judge_again, recall, tell_gap, verify_aside
from .expected import Windows
from .forwarded import delivered
from .inbox import Inbox, Priority
from .interface import Diagnose, Door, Notifier
from .judges import Clerks
from .keeper import Keeper
from .lanes import Batch, Done
from .life import Life, alive_at
from .looking import Looking
from .parts import Parts, SystemNames, build, rehouse
from .provenance import Provenance
from .pulse import Pulse
from .reboots import note_ending, tell_reboot
from .rungs import file_systems
from .signed import SignedPackages
from .unsteady import Unsteady
from .update import OwnUpdate
from .witness import Witness
from .work import Work

TICK = 1.0
HOME = AccountFact.columns().index("home")

MOST_TROUBLE = 10
"""Errors nobody foresaw, one after the other, after which the service manager had better start anew."""

OWNERS = "packages.owners"
"""Whose each packaged path was before the next transaction."""

BACKUP = "baseline.backup"
"""The copy of the state made after each approval, beside the original."""


class Engine:
    """Everything between the parts. `run` returns when `stop` was called."""

    def __init__(
        self,
        config: Config,
        reload: Callable[[], Config],
        database: Database,
        log: AlertLog,
        host: Host,
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
        self.host = host
        self.clock = clock
        self._notifier = notifier
        self.diagnose = diagnose
        self._uid = uid
        self.started = clock.wall()
        self.state = "starting"
        self.door: Door | None = None
        self._signals: deque[str] = deque()
        self._stopping = ""
        self.inbox: Inbox[object] = Inbox()
        self.names = SystemNames()
        self.baseline = Baseline(database)
        self.findings = Findings(database)
        self.stories = Stories(database)
        self.windows = Windows(
            self.baseline,
            self.stories,
            clock,
            self.tell,
            boot=host.boots.id,
            longest=lambda: self.config.windows.longest,
            own=self._own_folders,
            whole=self._nothing_unseen,
            last_look=lambda: self.looking.sweep_now("files.quick", "setid"),
            flush=lambda: self.announcer.flush(parked=False),
        )
        self._clock_set = ClockSet()
        self.provenance = Provenance(
            PackageManagers(),
            Clerks(self.inbox.wake),
            self.baseline,
            self.names,
            clock.mono,
            clock.wall,
            self._approved_at,
            looking=lambda: self.coverage.next_due() is not None or self.looking.hinted,
            unsteady=Unsteady(clock, self._clock_set.taken),
            root=host.files.root,
            place=os.fsencode(Path(config.paths.state) / OWNERS),
        )
        self.witness: Witness | None = None
        if host.witnesses is not None:
            self.witness = Witness(host.witnesses, self._relevant, clock.mono, clock.wall, hint=self._seen)
        self.attribution = (
            None
            if self.witness is None
            else Attribution(self.witness, self.names, self._approved_at, clock.wall, self.findings.open_one)
        )
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
            provenance=self.provenance,
            account_tool=account_tool,
            attribution=self.attribution,
            stories=self.stories,
            windows=self.windows,
            automation=lambda actor: automation(actor, self.config.automation),
        )
        self.signed = SignedPackages(self)
        self.stories.heard = self.signed.noted
        self.looking = Looking(
            self.inbox, database, self.baseline, clock, self.tell, on_through=self._went_through
        )
        self.update = OwnUpdate(
            database, self.baseline, self.findings, host.texts, clock, self.tell, self.announcer.add
        )
        self._life = Life(
            self.baseline, log, clock, notifier, diagnose, watchdog, self.looking.stuck,
            lambda: self.announcer.unwritable,
        )  # fmt: skip
        self._max_watches = max_watches
        self.parts: Parts
        self.coverage: Coverage
        self.keeper: Keeper
        self._deferred: list[Callable[[], None]] = []
        self._lost_since = 0
        self._looked = False
        self._trouble = 0
        self._told_trouble = ""
        self._doubt = ""
        self._clocks = read(clock)
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
        self.looking.start()
        self.coverage.start()
        self._open_witness()
        if self.witness is not None:
            self.witness.start()
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
            self.looking.batch(item)
            self._notice_homes(item)
        elif isinstance(item, Done):
            self.looking.done(item)
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
        if problem != self._told_trouble:
            self._told_trouble = problem
            self.tell("sensor.failed", sensor="engine", problem=problem)
        if isinstance(error, StoreError):
            self.announcer.resweep = True

    def _patience(self) -> float:
        """Seconds until something is due by itself."""
        now = self.clock.mono()
        times = [now + int(TICK * SECOND)]
        dues = [self.announcer.due()]
        if self.state == "watching":
            dues += [self.looking.next_due() or 0, self.coverage.next_due() or 0]
        times += [due for due in dues if due]
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
                self.looking.look(self.coverage.due(now))
            if self.announcer.resweep and not self.announcer.unwritable:
                self.announcer.resweep = False
                self.looking.sweep_now("files.quick", "files.full")
            self.looking.periodic(hurried=bool(self._lost_since))
        elif self.looking.capture_due():
            self._capture()
        self._upkeep(now / SECOND)

    def _upkeep(self, now: float) -> None:
        """The log, the control socket, clock steps, our signs of life."""
        if self._doubt:
            problem, self._doubt = self._doubt, ""
            self.tell("baseline.tampered", problem=problem)
        if repair := self.log.take_repaired():
            self.tell("log.repaired", repair=repair)
        if self.log.take_given():
            self.tell("log.reserve-used")
        if unsent := self.log.take_unsent():
            self.tell("log.unsent-lost", count=unsent)
        self.log.keep_reserve()
        if self.door and (lost := self.door.take_lost()):
            self.tell("control.lost", problem=lost)
        clocks = read(self.clock)
        if step := step_between(self._clocks, clocks):
            self.tell("clock.stepped", step=step)
            self.windows.stepped()
        self.provenance.heed_clock()
        self._clocks = clocks
        if self.witness is not None and (lost := self.witness.tend(self.clock.mono())):
            self.tell("actors.lost", what=lost)
        self.update.overdue()
        self.windows.tick()
        self.signed.settle()
        deferred, self._deferred = self._deferred, []
        for call in deferred:
            call()
        self._life.show(now, heartbeats=bool(self.config.destinations))

    def tell(self, code: str, /, **params: int | float | str | bytes) -> Alert:
        """Alert about ourselves."""
        alert = health.alert(code, self.clock.wall(), **params)
        self.announcer.tell(alert)
        self.diagnose(alert.message, {"code": code})
        return alert

    # -- start and end ---------------------------------------------------------------------------

    def _assemble(self, config: Config) -> None:
        """The parts that follow from the configuration."""
        self.config = config
        self.log.delivered = delivered(config)
        limit = config.hints.max_watches or self._max_watches
        self.coverage = Coverage(
            config.hints,
            self.clock,
            limit=limit,
            wake=self.inbox.wake,
            urgent=lambda path: self.parts.urgent(path),
            relevant=lambda folder, name: self.parts.relevant(folder, name),
        )
        self.parts = build(config, self.host, self.clock, self.coverage.add, os.getpid())
        self.coverage.pulse = Pulse(
            self.host.files,
            lambda: self.parts,
            self.clock,
            self.coverage.hint,
            config.sweeps.pulse,
            self.coverage.pulse_failed,
        )
        self.keeper = self._keeper()
        self.looking.rewire(self.parts, self.keeper)

    def _keeper(self) -> Keeper:
        """Who judges with the present parts."""
        return Keeper(
            self.baseline,
            self.findings,
            self.parts.policy,
            self.parts.watches.find,
            self.parts.left_out,
            lambda change: None if self.update.takes(change) else self.announcer.add(change),
            self.announcer.pending,
            self.clock.wall,
        )

    def _notice_homes(self, batch: Batch) -> None:
        """Other homes in the table of accounts: look at what is named in them, from now on and at once."""
        tables = [
            sweep.rows
            for sweep in batch.sweeps
            if sweep.fact is AccountFact and sweep.scope == USERS and sweep.only is None
        ]
        if not tables or not tables[-1]:
            return  # no table, or none that could be read
        named = plausible(home for row in tables[-1] if isinstance(home := row[HOME], bytes))
        if named == self.parts.named:
            return
        self.windows.unseen()
        before = set(self.parts.watches.literal)
        self.parts = rehouse(self.parts, self.config, named, self.host, self.clock, self.coverage.add)
        self.keeper = self._keeper()
        self._anchor()
        self._open_witness()
        new = sorted({split(path)[0] for path in self.parts.watches.literal if path not in before})
        self.looking.exchange(self.parts, self.keeper, new if self.state == "watching" else [])

    # -- who did it ------------------------------------------------------------------------------

    def _open_witness(self) -> None:
        """Have the witness see what the present parts look at."""
        if self.witness is not None:
            watched, others = file_systems(self.host.files.mounts(), self.parts.watches)
            self.witness.open(self.config.actors.rungs, watched, others)

    def defer(self, call: Callable[[], None]) -> None:
        """Have it called when a turn of the loop or two is over."""
        self._deferred.append(call)

    def _approved_at(self) -> int:
        current = self.baseline.current()
        return 0 if current is None else current.at

    def _relevant(self, folder: bytes, name: bytes | None) -> bool:
        return self.parts.relevant(folder, name)

    def _seen(self, folder: bytes, name: bytes) -> None:
        """A file event is a hint where inotify has no watch left."""
        if self.coverage.unwatched():
            self.coverage.hint(Hint(folder, name or None, self.clock.mono()))

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
        tell_reboot(self.baseline, self.host, alive_at(self.baseline) or 0, self.tell)
        current = self.baseline.current()
        if current is None:
            self._capture()
        else:
            tell_gap(self.baseline, self.log, self.clock.wall(), self.tell)
            recall(self.parts.recalling, self.baseline)
            distrust(current, self.baseline, self.log, self.tell)
            judge_again(self.database, self.baseline, self.findings, self.parts.recalling)
            self._verify()
            expect(self.parts.polled, self.baseline)
            self.update.resume()
            self.windows.resume()
            self.state = "watching"
            self.tell("daemon.started", version=__version__, generation=current.number)
            self.looking.sweep_now("files.quick", "setid")
            self._know_owners()
        self._notifier.notify("READY=1")
        self._notifier.notify(f"STATUS={self.state}")

    def _capture(self) -> None:
        """Capture the first generation: what there is now, which nobody has reviewed."""

        def done(made: Generation, _work: Work) -> None:
            self.state, self._looked = "watching", True
            self._notifier.notify("STATUS=watching")
            self.tell("baseline.captured-unreviewed", generation=made.number, facts=made.facts)
            self.backup()
            self._know_owners()

        def failed(problem: str, unwritable: bool) -> None:
            if self._stopping or problem == self._told_trouble:
                return
            self._told_trouble = problem
            if unwritable:
                self.tell("store.unwritable", problem=f"the capture failed and is tried again: {problem}")
            else:
                self.tell("sensor.failed", sensor="capture", problem=problem)

        self.state = "capturing"
        self.looking.capture(done, failed)

    def _end(self) -> None:
        self.state = "stopping"
        self._notifier.notify("STOPPING=1")
        waiting = self.looking.stop()
        self.inbox.close()
        self.tell("daemon.stopping", reason=self._stopping or "error")
        self.announcer.flush(parked=not self.update.going_on)  # it may be we who were told to be quiet
        self.provenance.stop()
        self._clock_set.close()
        self._life.note()
        note_ending(self.baseline, self.host)
        for job in waiting:
            job.fail(HostguardError("the daemon is stopping"))
        self.coverage.stop()
        if self.witness is not None:
            self.witness.close()
        self.looking.join()

    def _reconfigure(self) -> None:
        """SIGHUP: the new configuration if it is right, else the old one stays."""
        self._notifier.notify(f"RELOADING=1\nMONOTONIC_USEC={self.clock.mono() // 1000}")
        try:
            config = self._reload()
        except ConfigError as error:
            self.tell("config.refused", problem="; ".join(error.problems))
        else:
            config = replace(config, paths=self.config.paths)
            self.looking.cancel_periodic(*self.looking.schedule)
            self.windows.unseen()
            self.coverage.stop()
            self._assemble(config)
            self.coverage.start()
            self._open_witness()
            self._anchor()
            recall(self.parts.recalling, self.baseline)
            expect(self.parts.polled, self.baseline)
            summary = f"{len(config.watches)} watches, {len(config.rules)} rules"
            self.tell("config.reloaded", summary=summary)
            if self.state == "watching":
                self.looking.sweep_now("files.quick", "setid")
        self._notifier.notify("READY=1")

    def _know_owners(self) -> None:
        """Have whose each path is written down, where that is watched and was never done."""
        known = (Path(self.config.paths.state) / OWNERS).exists() and self.provenance.keys_known
        if not known and self.parts.watches.find(b"/usr/bin/dpkg") is not None:
            self.provenance.begin()

    # -- losses ---------------------------------------------------------------------------------

    def _lost(self, loss: Loss) -> None:
        """Hints were lost: say so, and look at everything at once."""
        offset = self.clock.wall() - self.clock.mono()
        since, until = loss.since + offset, loss.until + offset
        self.windows.unseen()
        self.tell(loss.code, since=since, until=until, **loss.params)
        if loss.code == "coverage.watcher-dead":
            self.coverage.restart()
            self._anchor()
        if loss.code in ("coverage.watcher-dead", "coverage.overflow"):
            self._lost_since = min(self._lost_since or loss.since, loss.since)
            self.looking.sweep_now("files.quick", "setid")

    def _went_through(self, name: str) -> None:
        """A periodic look was complete: what was lost before it is made good."""
        if name == "files.full":
            self._verify()
        if name != "files.quick":
            return
        self.coverage.retry()
        self._looked = True
        self.windows.looked()
        if self.update.conclude() is not None:
            self.backup()
        if self._lost_since:
            since, self._lost_since = self._lost_since, 0
            offset = self.clock.wall() - self.clock.mono()
            self.announcer.flush(parked=False)
            self.tell("coverage.restored", since=since + offset, until=self.clock.wall())

    def _nothing_unseen(self) -> bool:
        """Whether everything that is watched was looked at, and is watched live."""
        return self._looked and not self._lost_since and self.coverage.alive and not self.coverage.unwatched()

    def _own_folders(self) -> list[bytes]:
        paths = self.config.paths
        return [os.fsencode(one) for one in (paths.state, paths.log, paths.run, paths.forward)]

    def _verify(self) -> None:
        """Check the baseline's digest beside the loop, which then tells what is wrong with it."""

        def doubt(problem: str) -> None:
            self._doubt = problem
            self.inbox.wake()

        verify_aside(self.database.path, doubt)

    def backup(self) -> None:
        """A copy of the state beside the original; watching goes on without it."""
        try:
            self.database.backup(Path(self.config.paths.state) / BACKUP)
        except StoreError as error:
            self.tell("store.unwritable", problem=str(error))
