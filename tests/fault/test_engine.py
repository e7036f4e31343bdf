"""The loop in bad weather that only an argument can make: a clock that jumps, a lane or a reader that
hangs, a watcher that dies. Everything but the liar is real: files, inotify, SQLite, the alert log.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hostguardd.config import parse
from hostguardd.defaults import default_sources
from hostguardd.engine import looking
from hostguardd.engine.commands import Commands
from hostguardd.engine.engine import Engine
from hostguardd.host.boots import NoBoots
from hostguardd.host.bundle import Host
from hostguardd.host.clock import SystemClock
from hostguardd.host.files import LinuxFiles
from hostguardd.host.live import NoLiveHost
from hostguardd.host.texts import LinuxTexts, Text, TextHost
from hostguardd.host.views import LinuxViews
from hostguardd.model import Depth, ListenerFact, Sweep
from hostguardd.sensors import crew
from hostguardd.store.alertlog import AlertLog
from hostguardd.store.database import Database
from hostguardd.store.reserve import Reserve
from hostguardd.utmp import BOOT_TIME, RUN_LVL
from tests.alerts import IDENTITY
from tests.daemon import LIVE, Guard, guarding, members, until
from tests.records import record

SECOND = 10**9
HOUR = 3600 * SECOND


class Liar(SystemClock):
    """The kernel's clocks, moved; and broken for whoever asks while it is."""

    def __init__(self) -> None:
        self.set = self.slept = 0
        self.broken_for = ""

    def wall(self) -> int:
        return super().wall() + self.set + self.slept

    def mono(self) -> int:
        if self.broken_for and threading.current_thread().name == self.broken_for:
            raise RuntimeError("the clock stopped")
        return super().mono()

    def boot(self) -> int:
        return super().boot() + self.slept


class Deaf(LinuxFiles):
    """A host whose folders, once `hung` is set, hang when they are opened, as on a dead mount."""

    def __init__(self) -> None:
        super().__init__()
        self.hung = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def open_folder(self, path: bytes) -> Any:
        if not self.free.is_set():
            self.hung.set()
            self.free.wait()
        return super().open_folder(path)


class Boots(NoBoots):
    """Boots as a test names them."""

    boot = "one"
    down = False

    def id(self) -> str:
        return self.boot

    def began(self) -> int:
        return 1_763_904_000 * SECOND

    def ending(self) -> bool:
        return self.down


class Wtmp(LinuxTexts):
    """The real files, but a wtmp of a test's own in place of the host's."""

    place: Path | None = None

    def _mine(self, path: bytes) -> bytes:
        mine = self.place is not None and path.startswith(b"/var/log")
        return os.fsencode(self.place) + path[8:] if mine and self.place else path

    def names(self, folder: bytes, limit: int) -> list[bytes] | None:
        return super().names(self._mine(folder), limit)

    def lstat(self, path: bytes) -> os.stat_result | None:
        return super().lstat(self._mine(path))

    def read(self, path: bytes, limit: int, offset: int = 0) -> Text:
        return super().read(self._mine(path), limit, offset)


class Words:
    """What the service manager would hear."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def notify(self, message: str) -> None:
        self.heard.append(message)


class Inside(Guard):
    """The engine in a thread of ours, watching its tree."""

    def __init__(self, folder: Path, sections: str = "") -> None:
        # Logs and records of logins lie in a folder of ours: nobody else writes to them.
        quiet = [kind for kind in LIVE if kind not in ("login", "event")]
        super().__init__(folder, sections=sections, quiet=quiet)
        self.clock, self.files, self.words_heard = Liar(), Deaf(), Words()
        self.boots = Boots()
        self.wtmp = Wtmp(self.files)
        self.texts: TextHost = self.wtmp
        self.views = LinuxViews(self.files, NoLiveHost.blind)
        self.engine: Engine
        for number in range(5):
            (self.tree / f"file{number}").write_text(f"{number}\n")

    def host(self) -> Host:
        """What it watches."""
        return Host(self.files, NoLiveHost(), self.texts, self.views, boots=self.boots)

    @contextmanager
    def running(self) -> Iterator[None]:
        """From its start until it watches, and to its end."""
        config = parse(default_sources(str(self.config)))
        self.state.mkdir(exist_ok=True)
        log = AlertLog(str(self.log), config.alerts, IDENTITY)
        database = Database(self.state / "baseline.db")
        self.engine = Engine(
            config,
            lambda: config,
            database,
            log,
            self.host(),
            self.clock,
            self.words_heard,
            lambda message, fields: None,
            max_watches=1000,
            watchdog=0.06,
        )
        loop = threading.Thread(target=self.engine.run, args=[Commands(self.engine).handle], name="loop")
        loop.start()
        try:
            until(lambda: self.engine.state == "watching", "it watches")
            yield
        finally:
            self.files.free.set()
            self.engine.signal("stop")
            loop.join(20)
            assert not loop.is_alive()
            log.close()
            database.close()


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    made = Inside(tmp_path)
    with guarding(made):
        yield made


@pytest.mark.parametrize("step", [5 * HOUR, -5 * HOUR])
def test_a_clock_that_is_set_is_told_and_nothing_else_minds(inside: Inside, step: int) -> None:
    with inside.running():
        inside.clock.set = step
        told = inside.told("clock.stepped")["hostguard"]["details"]["step"]
        assert abs(told - step) < SECOND
        (inside.tree / "file0").write_text("changed\n")
        assert inside.hears(inside.tree / "file0", "opened")
        inside.clock.set = 0
        inside.told("clock.stepped", 2)
        (inside.tree / "loud").write_text("new\n")
        assert inside.hears(inside.tree / "loud", "opened")
        assert len(inside.coded("clock.stepped")) == 2


def test_a_reserve_that_was_given_up_is_taken_again_though_nothing_is_told(tmp_path: Path) -> None:
    inside = Inside(tmp_path)
    settings = inside.config.read_text()
    assert "reserve = 0" in settings
    inside.config.write_text(settings.replace("reserve = 0", 'reserve = "64kB"'))
    with guarding(inside), inside.running():
        reserve = inside.log / "alerts.reserve"
        assert reserve.exists()
        inside.told("baseline.captured-unreviewed")  # it watches before it says so
        told: list[object] = []

        def give_up() -> None:
            """On the loop, which looks after it between any two things that a thread of ours does."""
            reserve.unlink()
            inside.engine.log._reserve = Reserve(str(reserve), 64 << 10)
            told.append(inside.engine.log.head)

        inside.engine.defer(give_up)
        until(lambda: told and reserve.exists(), "it is there again")
        assert [inside.engine.log.head] == told


def test_alerts_that_went_before_every_destination_had_them_are_told(inside: Inside) -> None:
    with inside.running():
        inside.engine.log._unsent = 3
        assert inside.told("log.unsent-lost")["message"].startswith("3 alerts were removed")
        assert inside.engine.log.take_unsent() == 0


def test_sleep_is_no_step(inside: Inside) -> None:
    with inside.running():
        inside.clock.slept = 8 * HOUR
        (inside.tree / "file0").write_text("changed\n")
        assert inside.hears(inside.tree / "file0", "opened")["@timestamp"]
        pings = len(inside.words_heard.heard)
        until(lambda: len(inside.words_heard.heard) > pings + 3, "it goes on")
        assert not inside.coded("clock.stepped")


def test_a_clock_set_back_between_two_runs_makes_no_gap_of_negative_length(inside: Inside) -> None:
    with inside.running():
        pass
    inside.clock.set = -HOUR
    with inside.running():
        inside.told("daemon.started")
        assert not inside.coded("daemon.gap")
    inside.clock.set = HOUR
    with inside.running():
        assert inside.told("daemon.gap")["hostguard"]["details"]["gap"] > HOUR


@pytest.mark.parametrize("witness", ["nobody", "ourselves", "wtmp", "wtmp.1"])
def test_a_reboot_is_told_and_whether_it_was_announced(inside: Inside, tmp_path: Path, witness: str) -> None:
    inside.wtmp.place = tmp_path / "log-of-logins"
    inside.wtmp.place.mkdir()
    now = inside.clock.wall() // SECOND
    old = record("shutdown", "6.1.0", "~", now - 9000, RUN_LVL) + record("reboot", "6.1.0", "~", 5, BOOT_TIME)
    (inside.wtmp.place / "wtmp").write_bytes(old)
    with inside.running():
        inside.boots.down = witness == "ourselves"
    with inside.running():
        inside.told("daemon.started")
        assert not inside.coded("host.rebooted"), "the same boot"
        assert not inside.coded("host.rebooted-unclean")
    inside.boots.boot = "two"
    if witness.startswith("wtmp"):
        (inside.wtmp.place / witness).write_bytes(old + record("shutdown", "6.1.0", "~", now, RUN_LVL))
    code, other = "host.rebooted", "host.rebooted-unclean"
    if witness == "nobody":
        code, other = other, code
    with inside.running():
        told = inside.told(code)
        assert "2025-11-23 13:20:00 UTC" in told["message"]
        assert not inside.coded(other)
    with inside.running():
        inside.told("daemon.started", 3)
        assert len(inside.coded(code)) == 1, "told once"


def test_what_the_logs_and_the_records_tell(inside: Inside, tmp_path: Path) -> None:
    inside.wtmp.place = logs = tmp_path / "logs"
    logs.mkdir()
    now = inside.clock.wall() // SECOND
    stamp = time.strftime("%b %e %H:%M:%S", time.localtime(now))
    known = f"{stamp} web1 su[9]: (to root) alice on pts/0\n"
    (logs / "secure").write_text(known)
    (logs / "wtmp").write_bytes(record(at=now - 9000))
    with inside.running():
        refused = f"{stamp} web1 sshd[77]: Failed password for root from 198.51.100.7 port 4242 ssh2\n"
        let_in = f"{stamp} web1 sshd[78]: Accepted password for root from 198.51.100.7 port 4243 ssh2\n"
        with (logs / "secure").open("a") as file:
            file.write(known + refused * 12 + let_in)
        with (logs / "wtmp").open("ab") as file:
            file.write(record(at=now) + record("root", "198.51.100.7", at=now))
        guessed = inside.hears("guessed root from 198.51.100.7 by sshd", "opened")
        assert guessed["threat"]["technique"]["id"] == ["T1110.001"]
        assert guessed["source"]["ip"] == "198.51.100.7"
        assert "after this account had been refused there" in guessed["message"]
        told = inside.hears("refused sshd from 198.51.100.7", "opened")
        assert "refused 12 logins from 198.51.100.7, who tried root" in told["message"]
        login = inside.hears("root from 198.51.100.7", "opened")
        assert login["rule"]["name"] == "login-root"
        assert "First login of root from 198.51.100.7 (sshd, pts/0)" in login["message"]
        names = {
            what for what, _, alert in inside.stories() if alert["hostguard"]["kind"] in ("event", "login")
        }
        assert len(names) == 3, "what was there before is not told"


def test_a_watcher_that_dies_is_told_replaced_and_what_it_missed_is_found(inside: Inside) -> None:
    with inside.running():
        inside.clock.broken_for = "hostguardd-inotify"
        (inside.tree / "file1").write_text("the last hint\n")
        told = inside.told("coverage.watcher-dead")
        assert "the clock stopped" in told["message"]
        (inside.tree / "file2").write_text("nobody hints at this\n")
        inside.clock.broken_for = ""
        inside.told("coverage.restored")
        for name in ("file1", "file2"):
            assert inside.hears(inside.tree / name, "opened")
        (inside.tree / "file3").write_text("hinted at again\n")
        assert inside.hears(inside.tree / "file3", "opened")


def test_pings_stop_while_a_lane_hangs(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "STALL", 0.3)
    with inside.running():
        heard = inside.words_heard.heard
        until(lambda: "WATCHDOG=1" in heard, "a ping")
        inside.files.free.clear()
        (inside.tree / "file0").write_text("x\n")
        assert inside.files.hung.wait(20), "a lane hangs"
        until(inside.engine.looking.stuck, "that is noticed")
        pings = heard.count("WATCHDOG=1")
        turns = inside.engine.clock.mono() + SECOND // 2
        until(lambda: inside.engine.clock.mono() > turns, "half a second passes")
        assert heard.count("WATCHDOG=1") <= pings + 1, "one may have been under way"
        inside.files.free.set()
        until(lambda: heard.count("WATCHDOG=1") > pings + 1, "a ping")
        assert inside.hears(inside.tree / "file0", "opened")


def test_a_reader_that_hangs_is_a_failure_of_the_sweep_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = Inside(tmp_path, "[sweeps]\nfull = 1\nduty = 1.0\npace = 1.0")
    with guarding(inside), inside.running():
        with (inside.tree / "heavy").open("wb") as file:
            file.truncate(6 * 2**30)
        reader = until(
            lambda: next((pid for pid in children() if holds(pid, inside.tree / "heavy")), None), "a reader"
        )
        os.kill(reader, signal.SIGSTOP)
        with monkeypatch.context() as short:  # and not before: on a busy machine a reader takes long to start
            short.setattr(crew, "SILENCE", 0.5)
            told = inside.told("sensor.failed")
        assert "no word from the readers" in told["message"]
        until(lambda: reader not in children(), "the reader was ended")
        (inside.tree / "heavy").unlink()
        (inside.tree / "file0").write_text("x\n")
        assert inside.hears(inside.tree / "file0", "opened")
        assert not inside.about(inside.tree / "file4"), "what was not seen is not gone"


class Broken:
    """A live sensor that fails whenever it is asked, until it is mended; and one beside it that works."""

    fact = ListenerFact

    def __init__(self) -> None:
        self.broken = True
        self.asked = 0

    def changed(self) -> bool:
        self.asked += 1
        return self.broken

    def expect(self, rows: object) -> None:
        """Nothing."""

    def sweep(self, depth: Depth, stop: object) -> Iterator[Sweep]:
        if self.broken:
            raise ZeroDivisionError("a line nobody foresaw")
        yield Sweep(ListenerFact, "tcp", depth, [], began=1, ended=1)

    def look(self, requests: object, stop: object) -> Iterator[Sweep]:
        return self.sweep(Depth.FULL, stop)


def test_a_sensor_that_fails_is_told_once_and_blinds_no_other(inside: Inside) -> None:
    broken, other = Broken(), Broken()
    other.broken = False
    with inside.running():
        parts = inside.engine.parts
        inside.engine.looking.rewire(
            replace(parts, polled=(broken, other), hinted=(broken,)), inside.engine.keeper
        )
        assert inside.told("sensor.failed")["message"].startswith("The listener sensor failed")
        asked = other.asked
        until(lambda: other.asked > asked + 3, "the other is still asked")
        (inside.tree / "file0").write_text("a hint leads to both of them\n")
        assert inside.hears(inside.tree / "file0", "opened")
        broken.broken = False
        inside.told("sensor.recovered")
        assert len(inside.coded("sensor.failed")) <= 2, "once by poll, once by hint"


def children() -> list[int]:
    """Our own child processes."""
    return [pid for pid in members(os.getsid(0)) if parent_of(pid) == os.getpid()]


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def holds(pid: int, path: Path) -> bool:
    """Whether a process has a file open, and is no copy of ourselves that has yet to become another."""
    try:
        if Path(f"/proc/{pid}/cmdline").read_bytes() == Path("/proc/self/cmdline").read_bytes():
            return False
        return any(os.readlink(link) == str(path) for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
