"""A package manager at work in a change window: each explains what it can, what is tampered with is loud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostguardd import health
from hostguardd.engine.announcer import Announcer
from hostguardd.engine.expected import Windows
from hostguardd.engine.provenance import POLL, SETTLE
from hostguardd.model import Alert, Severity
from hostguardd.store.stories import Stories
from tests.alerts import NAMES, NOW
from tests.unit.test_provenance import DPKG, Bench


class Announced(Bench):
    """The same, with a window over /usr/lib and /usr/share."""

    def start(self) -> None:
        super().start()
        stories = Stories(self.state.database)
        self.windows = Windows(
            self.state.baseline, stories, self, self.tell, boot=lambda: "one", longest=lambda: 3600.0,
            own=lambda: (), whole=lambda: True, last_look=lambda: None,
            flush=lambda: self.announcer.flush(parked=False),
        )  # fmt: skip
        self.announcer = Announcer(
            self.state.database, self.state.baseline, self.state.findings, self.log, NAMES,
            self.mono, self.wall, storm=20, diagnose=lambda what, about: None,
            provenance=self.provenance, stories=stories, windows=self.windows,
        )  # fmt: skip

    def tell(self, code: str, /, **params: int | float | str | bytes) -> Alert:
        alert = health.alert(code, self.now, **params)
        self.announcer.tell(alert)
        return alert

    def wall(self) -> int:
        return self.now

    mono = boot = wall

    def by_path(self) -> dict[str, dict[str, Any]]:
        return {one["file"]["path"]: one["hostguard"] for one in self.told() if "file" in one}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Announced]:
    made = Announced(tmp_path / "baseline.db")
    made.windows.open("alice", "upgrade", (b"/usr/lib", b"/usr/share"), 1800)
    made.told()
    yield made
    made.state.close()


def test_each_explains_what_it_can(bench: Announced) -> None:
    bench.managers.working = DPKG
    bench.judge.tool |= {b"/usr/lib/tool.so", b"/usr/share/patched"}
    bench.judge.words[b"/usr/share/patched"] = ("content",)
    for name in (b"/usr/lib/tool.so", b"/usr/share/patched", b"/usr/lib/by-hand", b"/usr/bin/planted"):
        bench.add(name, ctime=NOW)
        bench.judge.ctimes[name] = NOW
    bench.pass_time(SETTLE)
    assert bench.told() == []
    bench.managers.working = None
    bench.pass_time(3 * SETTLE + POLL)
    told = bench.by_path()
    assert told["/usr/lib/by-hand"]["severity"] == "info"
    assert told["/usr/lib/by-hand"]["window"]["reason"] == "upgrade"
    for loud in ("/usr/share/patched", "/usr/bin/planted"):
        assert told[loud]["severity"] == "high"
        assert "window" not in told[loud]
    causes = {
        path: bench.story(path)[0]
        for path in (b"/usr/lib/tool.so", b"/usr/lib/by-hand", b"/usr/share/patched")
    }
    assert causes == {
        b"/usr/lib/tool.so": "package",
        b"/usr/lib/by-hand": "window",
        b"/usr/share/patched": "unexplained",
    }
    assert bench.windows.all()[0].outside == 2
    assert not len(bench.provenance.held)


def test_what_waits_for_the_manager_stays_loud_where_a_window_is_opened_later(bench: Announced) -> None:
    bench.managers.working = DPKG
    bench.add(b"/usr/bin/before", ctime=NOW)
    bench.windows.open("alice", "more", (b"/usr/bin",), 1800)
    assert not [one for one in bench.told() if "file" in one], "it waits on"
    bench.add(b"/usr/bin/before", event="changed", ctime=NOW + 1)
    bench.managers.working = None
    bench.pass_time(3 * SETTLE + POLL)
    assert bench.by_path()["/usr/bin/before"]["severity"] == Severity.HIGH.label
