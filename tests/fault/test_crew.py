"""The crew's processes, killed, stopped, silent, abandoned: an error or an end, never a hole."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hostguardd.host import workers
from hostguardd.host.files import LinuxFiles
from hostguardd.model import Depth, Row, Sweep
from hostguardd.sensors import crew as room
from hostguardd.sensors.crew import Crew, CrewError
from hostguardd.sensors.files import FilesSensor
from hostguardd.watchlist import Watch
from tests.daemon import until

ROOT = Path(__file__).parents[2]
ALL = (Watch("all", (b"/w",)),)


def never() -> bool:
    return False


def children() -> set[int]:
    """Our child processes, dead ones that nobody waited for among them."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    before = children()
    yield

    def reaped() -> bool:
        workers.dismiss([])  # reaps those whose end took longer than anybody waited
        return children() <= before

    until(reaped, "no process is left behind")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for folder in range(60):
        (tmp_path / f"w/{folder:02}/deep/er").mkdir(parents=True)
        for name in range(10):
            (tmp_path / f"w/{folder:02}/deep/{name}").write_text(f"{folder} {name}")
    return tmp_path


def sensor(tree: Path, crew: Crew | None) -> FilesSensor:
    return FilesSensor(LinuxFiles(os.fsencode(tree)), ALL, time.time_ns, crew=crew)


def rows(sweeps: Iterator[Sweep]) -> list[Row]:
    return sorted(row for sweep in sweeps for row in sweep.rows)


@contextmanager
def ended_within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_the_crew_sees_what_one_thread_sees(tree: Path) -> None:
    alone = rows(sensor(tree, None).sweep(Depth.FULL, never))
    assert len(alone) == 60 * 13 + 1
    for count in (1, 3):
        assert rows(sensor(tree, Crew(count)).sweep(Depth.FULL, never)) == alone


def test_every_folder_is_announced_before_it_is_handed_out(tree: Path) -> None:
    announced: list[bytes] = []
    watching = FilesSensor(
        LinuxFiles(os.fsencode(tree)), ALL, time.time_ns, crew=Crew(2), on_folder=announced.append
    )
    swept = [sweep.scope for sweep in watching.sweep(Depth.FULL, never) if sweep.only is None]
    assert len(swept) == 181
    assert set(announced) == {*swept, b"/"}, "and what leads there, in which it may be replaced"


def test_folders_that_nobody_wants_do_not_end_the_sweep(tree: Path) -> None:
    wanted = [b"/w/%02d" % number for number in range(60)]
    shunned = [b"/w/no/%d" % number for number in range(500)]
    with Crew(1).at_work(os.fsencode(tree), ALL, 1 << 62) as shift:
        swept = shift.sweep([*wanted, *shunned], lambda folder: b"/no/" not in folder, never)
        assert {sweep.scope for sweep in swept} >= set(wanted)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_reader_that_is_killed_fails_the_sweep(tree: Path, how: signal.Signals) -> None:
    before = children()
    sweeps: list[Sweep] = []
    (tree / "w/00/giant").touch()
    os.truncate(tree / "w/00/giant", 10**12)  # so that it is not through before it is hit
    swept = sensor(tree, Crew(1)).sweep(Depth.FULL, never)
    with ended_within(20.0), pytest.raises(CrewError, match="died"):
        kill_one_and_go_on(swept, sweeps, before, how)
    for sweep in sweeps:
        if sweep.scope == b"/w":
            continue
        assert sweep.rows, "what was looked at is whole: nothing in it seems to be gone"


def kill_one_and_go_on(
    swept: Iterator[Sweep], sweeps: list[Sweep], before: set[int], how: signal.Signals
) -> None:
    while len(sweeps) < 3:
        sweeps.append(next(swept))
    os.kill(max(children() - before), how)
    sweeps.extend(swept)


def hit_and_sweep(tree: Path, how: signal.Signals) -> None:
    """A crew of one, which is hit before it begins."""
    before = children()
    with Crew(1).at_work(os.fsencode(tree), ALL, 1 << 62) as shift:
        os.kill(max(children() - before), how)
        list(shift.sweep([b"/w"] * 10, lambda folder: True, never))


def test_one_that_is_killed_before_it_begins(tree: Path) -> None:
    with ended_within(20.0), pytest.raises(CrewError, match="died"):
        hit_and_sweep(tree, signal.SIGKILL)


def test_one_that_falls_silent_fails_the_sweep(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SILENCE", 0.5)
    with ended_within(20.0), pytest.raises(CrewError, match="no word"):
        hit_and_sweep(tree, signal.SIGSTOP)


def test_stop_ends_it_at_once_and_nobody_is_left(tree: Path) -> None:
    (tree / "w/giant").touch()
    os.truncate(tree / "w/giant", 10**12)
    stop = threading.Event()
    began = time.monotonic()
    threading.Timer(0.6, stop.set).start()
    list(sensor(tree, Crew(2)).sweep(Depth.FULL, stop.is_set))
    assert 0.5 < time.monotonic() - began < 0.6 + 5.0  # to read the giant takes minutes


def test_whoever_stops_listening_ends_it_too(tree: Path) -> None:
    (tree / "w/00/giant").touch()
    os.truncate(tree / "w/00/giant", 10**12)  # so that one of them is at work
    swept = sensor(tree, Crew(2)).sweep(Depth.FULL, never)
    for _ in range(3):
        next(swept)
    with ended_within(5.0):
        swept.close()  # type: ignore[attr-defined]


def test_a_huge_file_is_no_silence(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that reads for long says so."""
    monkeypatch.setattr(room, "SILENCE", 4.0)
    (tree / "w/giant").touch()
    os.truncate(tree / "w/giant", 10**12)
    began = time.monotonic()
    list(sensor(tree, Crew(1)).sweep(Depth.FULL, lambda: time.monotonic() - began > 6.5))


def test_long_paths_and_much_news_block_nobody(tmp_path: Path) -> None:
    """More is on its way in both directions than the pipes hold."""
    name = "n" * 250
    here = os.open(tmp_path, os.O_RDONLY)
    os.mkdir("w", dir_fd=here)
    path = "w"
    for _ in range(14):
        below = os.open(path, os.O_RDONLY, dir_fd=here)
        os.mkdir(name, dir_fd=below)
        os.close(below)
        path = f"{path}/{name}"
    below = os.open(path, os.O_RDONLY, dir_fd=here)
    for number in range(300):
        os.mkdir(f"{number:03}" + "f" * 200, dir_fd=below)
        for file in range(3):
            os.close(os.open(f"{number:03}" + "f" * 200 + f"/{file}", os.O_CREAT | os.O_WRONLY, dir_fd=below))
    os.close(below)
    os.close(here)
    began = time.monotonic()
    found = rows(sensor(tmp_path, Crew(1)).sweep(Depth.FULL, lambda: time.monotonic() - began > 60.0))
    assert len(found) == 1 + 14 + 300 + 900


def test_readers_end_with_their_parent(tree: Path) -> None:
    (tree / "w/giant").touch()
    os.truncate(tree / "w/giant", 10**12)
    script = f"""
import sys, os, time
sys.path.insert(0, {str(ROOT)!r})
from hostguardd.watchlist import Watch
from hostguardd.sensors.crew import Crew
with Crew(2).at_work({os.fsencode(tree)!r}, (Watch("all", (b"/w",)),), 1 << 62) as shift:
    print(*(worker.process.pid for worker in shift._workers), flush=True)
    for sweep in shift.sweep([b"/w"], lambda folder: True, lambda: False):
        pass
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    time.sleep(0.3)
    parent.kill()
    _, said = parent.communicate()
    end = time.monotonic() + 10.0
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < end, "a reader outlived its parent"
        time.sleep(0.05)
    assert said == "", "and nobody complained"


def test_one_that_ends_late_is_reaped_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the end of a process that was killed may take longer than anybody waits for it."""
    monkeypatch.setattr(workers, "PATIENCE", 0.01)
    worker = workers.Worker.hire("hostguardd.sensors.reader")
    pid = worker.process.pid
    monkeypatch.setattr(worker.process, "kill", lambda: os.kill(pid, signal.SIGSTOP))
    workers.dismiss([worker])
    monkeypatch.undo()
    del worker
    gc.collect()  # which complains about a process that nobody waits for any more
    os.kill(pid, signal.SIGKILL)

    def gone() -> bool:
        workers.dismiss([])
        return not Path(f"/proc/{pid}").exists()

    until(gone, "it is reaped")


def test_a_paced_crew_takes_its_share_only(tree: Path) -> None:
    began, before = time.monotonic(), os.times()
    rows(sensor(tree, Crew(1, pace=0.2)).sweep(Depth.FULL, never))
    spent = os.times()
    cpu = spent.children_user + spent.children_system - before.children_user - before.children_system
    assert cpu / (time.monotonic() - began) < 0.8  # starting up is not paced
