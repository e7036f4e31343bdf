"""Who looks when: the lanes, the schedule, and what is done with what they bring.

The rules kept here: what somebody waits for goes before what comes by itself; and a sweep that was broken
off counts for nothing (no capture is finished from it, no blind spot forgotten).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..control.job import Job
from ..errors import StoreError
from ..host.clock import Clock
from ..host.own import give_back
from ..model import (
    Depth,
    FileFact,
    Generation,
    Sweep,
    join,
    split,
)
from ..sections import Sweeps
from ..sensors.interface import Request
from ..store.baseline import Baseline
from ..store.database import Database
from .blinds import note_blinds
from .coverage import SECOND
from .hints import EVERYTHING, Due
from .inbox import Inbox, Priority
from .interface import Tell
from .keeper import Keeper
from .lanes import Batch, Done, Lane, Task
from .parts import Parts
from .schedule import Periodic
from .work import Work

STALL = 120.0
"""Seconds without progress after which a lane counts as stuck."""

RETRY = 10.0
"""Seconds before a capture that failed is tried again."""

SELDOM = ("files.full", "setid")
SWEPT = "swept "
SOON = 60.0
"""Seconds after a start before a seldom look that is overdue."""

HINT_BYTES = 16 * 1024**2
"""Content that is read in a look a hint asked for. More is read in a lane where nothing urgent waits:
whoever may write to a watched file could otherwise stop all hints with one that is large."""

Produce = Callable[[Callable[[], bool]], Iterator[Sweep]]


class Looking:
    """All looking, on the loop's thread. `rewire` hands it the parts of a configuration.

    `on_through` is told the name of each periodic look that went through.
    """

    def __init__(
        self,
        inbox: Inbox[object],
        database: Database,
        baseline: Baseline,
        clock: Clock,
        tell: Tell,
        on_through: Callable[[str], None],
    ) -> None:
        self.lanes = {
            "urgent": Lane("urgent", inbox, Priority.URGENT),
            "hints": Lane("hints", inbox, Priority.HINTS),
            "live": Lane("live", inbox, Priority.LIVE),
            "bulk": Lane("bulk", inbox, Priority.BULK),
            "asked": Lane("asked", inbox, Priority.BULK),
            "inventory": Lane("inventory", inbox, Priority.BULK),
        }
        self._database = database
        self._baseline = baseline
        self._clock = clock
        self._tell = tell
        self._on_through = on_through
        self.schedule: dict[str, Periodic] = {}
        self._works: list[Work] = []
        self._failing: dict[str, set[str]] = {}
        self._capture_due = 0.0
        self._parts: Parts
        self._keeper: Keeper
        self._settings: Sweeps

    def rewire(self, parts: Parts, keeper: Keeper) -> None:
        """Work with these parts from now on. What already runs ends with the old ones, but a capture
        begins anew: it must hold what the new ones name."""
        self._cancel(lambda work: work.capture is not None)
        self._parts, self._keeper = parts, keeper
        self._settings = sweeps = parts.config.sweeps
        now = self._now()
        live = min(sweeps.listeners, sweeps.processes, sweeps.mounts)
        self.schedule = {
            "files.quick": Periodic("files.quick", sweeps.quick, sweeps.duty, now + sweeps.quick),
            "files.full": Periodic("files.full", sweeps.full, sweeps.duty),
            "setid": Periodic("setid", sweeps.setid, sweeps.duty),
            "live": Periodic("live", live, 0.0, now),
            **{name: Periodic(name, getattr(sweeps, name), sweeps.duty, now) for name in parts.seldom},
        }
        for name in SELDOM:
            self.schedule[name].due = now + self._time_to(name)

    def exchange(self, parts: Parts, keeper: Keeper, new: list[bytes]) -> None:
        """Work with these parts, which watch a little more or less. What runs goes on, a capture too; what
        they name at or below the `new` folders is looked at now."""
        self._parts, self._keeper = parts, keeper
        if new:
            task = Task("homes", lambda stop: parts.files.below(new, stop))
            self._begin(Work("homes", lambda work: None), "hints", task)

    def _time_to(self, name: str) -> float:
        """Seconds until a seldom look is due, counted from the last one, whoever ran then: neither
        reloads nor restarts can put it off for ever."""
        interval, last = self.schedule[name].interval, self._baseline.recall(SWEPT + name)
        if not isinstance(last, int):
            return interval
        since = (self._clock.wall() - last) / SECOND
        return min(max(interval - since, SOON), interval)

    def _remember(self, name: str) -> None:
        """Write down that a seldom look went through just now."""
        try:
            self._baseline.remember(SWEPT + name, self._clock.wall())
        except StoreError:
            return  # then it comes sooner after the next start

    def start(self) -> None:
        """Start the lanes."""
        for lane in self.lanes.values():
            lane.start()

    def stop(self) -> list[Job]:
        """Stop the lanes; returns who still waits."""
        for lane in self.lanes.values():
            lane.stop()
        return [work.job for work in self._works if work.job is not None]

    def join(self) -> None:
        """Wait a moment for the lanes' threads."""
        for lane in self.lanes.values():
            lane.join(1.0)

    def progress(self) -> dict[str, object] | None:
        """What somebody waits for, and how far it is; None when nobody does."""
        for work in self._works:
            if work.job is not None or work.capture is not None:
                return {"work": work.name, "done": work.entries, "total": max(work.total, work.entries)}
        return None

    @property
    def hinted(self) -> bool:
        """Whether something is looked at because of a hint."""
        return not (self.lanes["urgent"].idle and self.lanes["hints"].idle)

    def stuck(self) -> list[str]:
        """Lanes that work and make no progress."""
        return [lane.name for lane in self.lanes.values() if lane.stalled(STALL)]

    def _now(self) -> float:
        return self._clock.mono() / SECOND

    def _begin(self, work: Work, lane: str, task: Task) -> None:
        """Hand a work's first or further task to a lane."""
        if work not in self._works:
            self._works.append(work)
        self.lanes[lane].submit(work.task(task))

    # -- what somebody waits for -----------------------------------------------------------------

    def capture(self, done: Callable[[Generation, Work], None], failed: Callable[[str, bool], None]) -> None:
        """Capture a generation from the host as it is; tried again as long as it fails.

        `failed` is told why, and whether it was the state that could not be written.
        """
        number = self._baseline.begin_capture()

        def finish(work: Work) -> None:
            problem, unwritable = work.failed, work.unwritable
            try:
                if not problem and not work.cancelled:
                    made = self._baseline.finish_capture(
                        number, self._clock.wall(), "hostguardd itself", "first start", reviewed=False
                    )
                else:
                    self._baseline.discard()
            except StoreError as error:
                problem, unwritable = str(error), True
            if problem:
                failed(problem, unwritable)
            if problem or work.cancelled:
                self._capture_due = self._now() + (RETRY if problem else 0.0)
                return
            note_blinds(work, self._baseline, self._clock.wall(), self._tell)
            done(made, work)

        self._capture_due = 0.0
        self.everything("capture", finish, capture=number)

    def capture_due(self) -> bool:
        """Whether a capture failed and it is time to try again."""
        return 0.0 < self._capture_due <= self._now()

    def everything(
        self,
        name: str,
        finish: Callable[[Work], None],
        *,
        depth: Depth = Depth.FULL,
        job: Job | None = None,
        capture: int | None = None,
    ) -> None:
        """A sweep of all sensors that somebody waits for: at full speed, in place of the periodic ones
        it makes needless. A quick one leaves a full sweep that runs alone."""
        current = self._baseline.current()
        total = current.facts if current else 0
        parts = self._parts
        kinds = tuple(sensor.fact.KIND for sensor in parts.sensors())
        work = Work(name, finish, kinds, depth is Depth.FULL, job, capture, total)
        replaced = ("files.quick", "setid", *parts.seldom)
        if depth is Depth.FULL:
            replaced += ("files.full",)
        self.cancel_periodic(*replaced)
        work.finish = self._instead_of(replaced, finish)
        for lane, sensor in (
            *parts.live(),
            ("asked", parts.hurried if depth is Depth.FULL else parts.files),
            ("inventory", parts.setid),
        ):
            self._begin(work, lane, Task(sensor.fact.KIND, _sweeping(sensor.sweep, depth)))

    def _instead_of(self, names: tuple[str, ...], finish: Callable[[Work], None]) -> Callable[[Work], None]:
        """`finish`, after counting the periodic looks of these names as done if all went well."""

        def end(work: Work) -> None:
            for name in () if work.failed or work.cancelled else names:
                self.schedule[name].covered(self._now())
                if name in SELDOM:
                    self._remember(name)
            finish(work)

        return end

    # -- what comes by itself --------------------------------------------------------------------

    def sweep_now(self, *names: str) -> None:
        """Make periodic sweeps due at once; those that run are begun anew."""
        self.cancel_periodic(*names)
        for name in names:
            self.schedule[name].hurry(self._now())

    def cancel_periodic(self, *names: str) -> None:
        """Break off sweeps nobody waits for; they come again by themselves."""
        for name in names:
            if self.schedule[name].running:
                self._cancel(lambda work, name=name: work.name == name)  # type: ignore[misc]
                self.schedule[name].broken(self._now())

    def _cancel(self, which: Callable[[Work], bool]) -> None:
        for lane in self.lanes.values():
            lane.cancel(lambda task: isinstance(task.purpose, Work) and which(task.purpose))

    def next_due(self) -> int | None:
        """Monotonic nanoseconds at which a periodic look is due.

        What waits for a busy lane does not count: the end of the task there wakes the loop.
        """
        times = [p.due for p in self.schedule.values() if not p.running and self._lane_of(p.name).idle]
        return int(min(times) * SECOND) if times else None

    def periodic(self, *, hurried: bool) -> None:
        """Start what is due. `hurried`: hints were lost, so the quick sweep is not paced."""
        now = self._now()
        for name, periodic in self.schedule.items():
            if periodic.running or now < periodic.due or not self._lane_of(name).idle:
                continue
            periodic.start(now)
            self._submit_periodic(name, hurried or not periodic.ended)

    def _lane_of(self, name: str) -> Lane:
        """The lane of a periodic look."""
        return self.lanes[LANES.get(name, "inventory")]

    def _submit_periodic(self, name: str, hurried: bool) -> None:
        parts, pace = self._parts, self._settings.pace
        if name == "live":
            work, task = Work(name, self.ended), Task(name, parts.poll)
        elif name == "setid" or name in parts.seldom:
            sensor = parts.seldom.get(name, parts.setid)
            work = Work(name, self.ended, (sensor.fact.KIND,), True)
            task = Task(name, _sweeping(sensor.sweep, Depth.FULL), pace=pace, background=True)
        elif name == "files.full":
            work = Work(name, self.ended, (FileFact.KIND,), True)
            task = Task(name, _sweeping(parts.files.sweep, Depth.FULL), background=True)
        else:
            work = Work(name, self.ended, (FileFact.KIND,))
            task = Task(name, _sweeping(parts.files.sweep, Depth.QUICK), pace=1.0 if hurried else pace)
            task.background = not hurried
        self._begin(work, LANES.get(name, "inventory"), task)

    def ended(self, work: Work) -> None:
        """A periodic look ended."""
        periodic = self.schedule.get(work.name)
        if periodic is None:
            return
        self._note_failure(work)
        if work.cancelled or work.failed:
            if periodic.running:
                periodic.broken(self._now())
            return
        periodic.end(self._now(), work.cpu, work.entries)
        over = self._failing.pop(work.name, set())
        if work.name == "files.quick":  # which has looked at all that hints were about
            over |= self._failing.pop("hint", set())
        for sensor in sorted(over):
            self._tell("sensor.recovered", sensor=sensor)
        note_blinds(work, self._baseline, self._clock.wall(), self._tell)
        if work.name in SELDOM:
            self._remember(work.name)
        self._on_through(work.name)

    def _note_failure(self, work: Work) -> None:
        """Tell once that a sensor fails."""
        failing = self._failing.setdefault(work.name, set())
        if work.failed and work.culprit not in failing:
            failing.add(work.culprit)
            self._tell("sensor.failed", sensor=work.culprit, problem=work.failed)

    # -- hints -----------------------------------------------------------------------------------

    def _looked(self, work: Work) -> None:
        """A look that hints asked for ended. If it failed, what it was to see is for the sweeps to find."""
        if not work.failed:
            return
        if work.culprit not in self._failing.get(work.name, ()):
            self.sweep_now("files.quick", "setid")
        self._note_failure(work)

    def look(self, due: list[Due]) -> None:
        """Look at what hints settled on: critical paths in their own lane."""
        for lane, requests in zip(("urgent", "hints"), self._requests(due), strict=True):
            if requests:
                self._begin(Work("hint", self._looked), lane, Task("hint", _looking(self._parts, requests)))

    def _requests(self, due: list[Due]) -> tuple[list[Request], list[Request]]:
        """(for critical paths, for the others)."""
        loud: list[Request] = []
        rest: list[Request] = []
        for item in due:
            if item == EVERYTHING:
                self.sweep_now("files.quick", "setid")
                continue
            folder, names, deep = item
            if names is None:
                rest.append(Request(folder, None, deep, largest=HINT_BYTES))
                folder, name = split(folder)
                names = frozenset({name})
            growing = frozenset(name for name in names if self._grows(join(folder, name)))
            urgent = frozenset(n for n in names - growing if self._parts.urgent(join(folder, n)))
            if growing:
                rest.append(Request(folder, growing, depth=Depth.QUICK))
            if urgent:
                loud.append(Request(folder, urgent, deep, largest=HINT_BYTES))
            if others := names - growing - urgent:
                rest.append(Request(folder, others, deep, largest=HINT_BYTES))
        return loud, rest

    def _grows(self, path: bytes) -> bool:
        """Whether it is an append-only file, which is not read again for every line."""
        watch = self._parts.watches.find(path)
        return watch is not None and watch.growing

    # -- what came back --------------------------------------------------------------------------

    def batch(self, batch: Batch) -> None:
        """Sweeps of a task: into the generation being captured, or judged."""
        work = batch.task.purpose
        assert isinstance(work, Work)
        if batch.task.cancelled:
            return
        if work.job is not None and work.job.cancelled:
            self._cancel(lambda other: other is work)
            return
        if work.capture is not None:
            self._take(batch, work, work.capture)
        follow: list[Request] = []
        later: list[Request] = []
        for sweep in batch.sweeps:
            work.blind(sweep.blinds)
            if sweep.postponed:
                later.append(Request(sweep.scope, sweep.postponed))
            if work.name == "live" and sweep.fact.KIND not in work.kinds:
                work.kinds += (sweep.fact.KIND,)
            where = sweep.scope if isinstance(sweep.scope, bytes) else str(sweep.scope).encode()
            work.progress(batch.task.name, len(sweep.rows), where.decode("utf-8", "backslashreplace"))
        if work.capture is None:
            follow = [replace(one, largest=HINT_BYTES) for one in self._keeper.handle_all(batch.sweeps)]
        files = self._parts.files
        if follow:
            self._begin(work, "hints", Task("closer", lambda stop: files.look(follow, stop)))
        if later:
            self._begin(work, "inventory", Task("contents", lambda stop: files.look(later, stop)))

    def _take(self, batch: Batch, work: Work, number: int) -> None:
        """Rows of a capture. One that is not complete must not become a baseline."""
        try:
            with self._database.transaction():
                for sweep in batch.sweeps:
                    self._baseline.add(number, sweep.fact, sweep.rows)
                    self._baseline.keep_content(sweep.contents.items())
        except StoreError as error:
            work.failed, work.unwritable = str(error), True
            self._cancel(lambda other: other is work)

    def done(self, done: Done) -> None:
        """A task ended; with the last one its work does."""
        work = done.task.purpose
        assert isinstance(work, Work)
        if work.ended(done.task, done.error):
            self._works.remove(work)
            work.finish(work)
            if work.kinds and work.name != "live":
                self._database.shrink()
                give_back()


LANES = {"files.quick": "bulk", "files.full": "bulk", "live": "live"}
"""The lane of each periodic look; that of the others is `inventory`."""


def _sweeping(sweep: Callable[[Depth, Callable[[], bool]], Iterator[Sweep]], depth: Depth) -> Produce:
    """The sweep as a task's work."""
    return lambda stop: sweep(depth, stop)


def _looking(parts: Parts, asked: list[Request]) -> Produce:
    """A look where hints lead, as a task's work."""
    return lambda stop: parts.look(asked, stop)
