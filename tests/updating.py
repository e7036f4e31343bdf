"""A host below a folder whose packages are updated by the real manager, and the daemon's own parts that watch
it: sensor, keeper, announcer, and the process that asks the package manager. Only time is a test's own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostguardd.config import parse
from hostguardd.defaults import default_sources
from hostguardd.engine.announcer import Announcer
from hostguardd.engine.judges import Clerks, Judge
from hostguardd.engine.keeper import Keeper
from hostguardd.engine.parts import build
from hostguardd.engine.provenance import Provenance
from hostguardd.host.atwork import AtWork
from hostguardd.host.bundle import image
from hostguardd.host.clock import SystemClock
from hostguardd.model import Depth
from hostguardd.record import render
from hostguardd.store.stories import Stories
from tests.alerts import IDENTITY, NAMES, check
from tests.state import State
from tests.unit.test_announcer import Log

PATIENCE = 60.0


class Managers:
    """Who is at work, as a test says; records that moved whenever it says so."""

    def __init__(self) -> None:
        self.working: AtWork | None = None
        self.moved = 0

    def at_work(self) -> AtWork | None:
        return self.working

    def marks(self) -> tuple[tuple[str, int], ...]:
        return (("records", self.moved),)


class Watched:
    """`root` is the host's, `folder` is for our own state."""

    def __init__(self, root: Path, folder: Path, judge: Judge | None = None) -> None:
        self.host = image(os.fsencode(root))
        settings = folder / "settings.toml"
        settings.touch()
        config = parse(default_sources(str(settings)))
        self.clock = SystemClock()
        self.parts = build(config, self.host, self.clock, lambda path: None)
        self.state = State(folder / "baseline.db")
        self.managers = Managers()
        self.judge = judge or Clerks(lambda: None)
        self.place = os.fsencode(folder / "owners")
        self.log = Log(self.state)
        self.skipped = 0
        self.start()
        number = self.state.baseline.begin_capture()
        for sweep in self.parts.files.sweep(Depth.FULL, lambda: False):
            self.state.baseline.add(number, sweep.fact, sweep.rows)
        self.state.baseline.finish_capture(number, self.clock.wall(), "a test", "", reviewed=True)
        self.renew()

    def start(self) -> None:
        """As the daemon does when it starts: nothing that was not written down is known."""
        self.provenance = Provenance(
            self.managers, self.judge, self.state.baseline, NAMES, self.mono, self.clock.wall,
            lambda: current.at if (current := self.state.baseline.current()) else 0,
            root=self.host.files.root, place=self.place,
        )  # fmt: skip
        self.announcer = Announcer(
            self.state.database, self.state.baseline, self.state.findings, self.log, NAMES, self.mono,
            self.clock.wall, storm=20, diagnose=lambda what, about: None, provenance=self.provenance,
        )  # fmt: skip
        self.keeper = Keeper(
            self.state.baseline, self.state.findings, self.parts.policy, self.parts.watches.find,
            self.parts.left_out, self.announcer.add, self.announcer.pending, self.clock.wall,
        )  # fmt: skip

    def mono(self) -> int:
        return self.clock.mono() + self.skipped

    def renew(self) -> None:
        """Have whose each path is written down."""
        self.provenance.begin()
        self._until(lambda: self.provenance.step(self.mono()) is None and not self.judge.busy)
        assert self.provenance.keys_known

    def look(self) -> None:
        """Look at everything once."""
        for sweep in self.parts.files.sweep(Depth.FULL, lambda: False):
            self.keeper.handle(sweep)

    def update(self, did: Callable[[], object] = lambda: None) -> None:
        """Do something as a package manager does, and look."""
        did()
        self.managers.moved += 1
        self.look()

    def pass_time(self, seconds: float) -> None:
        """Let it pass while somebody is at work."""
        self.skipped += int(seconds * 1e9)
        self.announcer.flush_due()

    def told(self) -> list[dict[str, Any]]:
        """Let time pass until nothing waits; the alerts of that, as they are on the disk."""

        def over() -> bool:
            if not self.judge.busy and (due := self.announcer.due()) and due > self.mono():
                self.skipped += due - self.mono()
            self.announcer.flush_due()
            return not self.announcer.due() and not self.judge.busy

        self._until(over)
        found = [check(render(one, IDENTITY, 1, "0" * 64)) for one in self.log.alerts]
        self.log.alerts.clear()
        return found

    def stories(self) -> dict[str, tuple[str, str]]:
        """(cause, level) of each open finding, by path."""
        stories = Stories(self.state.database)
        return {
            one.drift.subject.label.decode(): ((story := stories.of(one.id)).cause.value, story.level)
            for one in self.state.findings.open()
        }

    def _until(self, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not met():
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def close(self) -> None:
        self.provenance.stop()
        self.state.close()
