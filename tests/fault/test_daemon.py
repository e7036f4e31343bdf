"""The whole daemon in bad weather: ended, reloaded, stopped, blinded, starved of disk, lied to.

Each test runs the real daemon on a tree of its own (`tests/daemon.py`); what it told is held against
the schema and the chain when the test is over.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hostguardd.errors import Exit
from hostguardd.record import escape, unescape
from hostguardd.store.database import APPLICATION_ID, Database
from tests.daemon import PROMISED_END, Guard, guarding, members, refused, until

LARGE = 6 * 2**30
"""Bytes of a sparse file, which takes seconds to read and no room."""


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A daemon on ten files, not started yet."""
    made = Guard(tmp_path)
    for number in range(10):
        (made.tree / f"file{number}").write_text(f"{number}\n")
    with guarding(made):
        yield made


def heavy(guard: Guard) -> None:
    """Make reading the tree take long."""
    with (guard.tree / "heavy").open("wb") as file:
        file.truncate(LARGE)


def reading(guard: Guard) -> set[int]:
    """The readers that have the heavy file open."""

    def met() -> set[int]:
        return {pid for pid in members(guard.pid) if pid != guard.pid and holds(pid, guard.tree / "heavy")}

    return until(met, "the heavy file is being read")


def holds(pid: int, path: Path) -> bool:
    """Whether a process has a file open."""
    try:
        return any(os.readlink(link) == str(path) for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False  # it ended, or closed one meanwhile: ask again


def needs_root(why: str) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"{why} needs root")


@contextmanager
def disk(where: Path, size: str) -> Iterator[Path]:
    """A file system of that size."""
    needs_root("mounting a small tmpfs")
    where.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "hostguard-test", str(where)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"may not mount a tmpfs here: {done.stderr.decode(errors='replace').strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


def fill(folder: Path) -> Path:
    """Take all the space that is left."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return ballast


# Life and death


def test_the_first_start_captures_and_says_that_nobody_reviewed_it(guard: Guard) -> None:
    guard.start()
    told = guard.told("baseline.captured-unreviewed")
    assert told["hostguard"]["severity"] == "high"
    assert "nobody has reviewed it" in told["message"]
    status = guard.call("status")
    assert status["generation"]["reviewed"] is False
    assert not guard.findings()
    assert guard.ctl("doctor").returncode == Exit.DRIFT
    assert guard.ctl("baseline", "--yes", "-m", "looked at").returncode == Exit.OK
    assert guard.call("status")["generation"]["reviewed"] is True


def test_the_end_comes_within_two_seconds(guard: Guard) -> None:
    guard.start()
    assert guard.stop() < PROMISED_END
    assert guard.told("daemon.stopping")
    assert not guard.run.joinpath("control.sock").exists()


def test_the_end_comes_within_two_seconds_during_the_first_capture(guard: Guard) -> None:
    heavy(guard)
    guard.start(wait=False)
    reading(guard)
    assert guard.call("status")["state"] == "capturing"
    assert guard.stop() < PROMISED_END
    (guard.tree / "heavy").unlink()
    guard.start()
    history = guard.call("history")["generations"]
    assert [g["number"] for g in history] == [1], "what was cut off is no generation"
    assert guard.call("verify")["ok"]


def test_the_end_comes_within_two_seconds_during_a_full_sweep(guard: Guard) -> None:
    guard.start()
    heavy(guard)
    waiting = threading.Thread(target=lambda: refused(lambda: guard.call("check", full=True)))
    waiting.start()
    reading(guard)
    assert guard.stop() < PROMISED_END
    waiting.join(10)
    assert not waiting.is_alive(), "who waited for the sweep was told"


def test_the_end_comes_within_two_seconds_although_a_reader_hangs(guard: Guard) -> None:
    guard.start()
    heavy(guard)
    waiting = threading.Thread(target=lambda: refused(lambda: guard.call("check", full=True)))
    waiting.start()
    for reader in reading(guard):
        os.kill(reader, signal.SIGSTOP)
    assert guard.stop() < PROMISED_END
    waiting.join(10)


def test_a_kill_is_told_as_a_gap_at_the_next_start(guard: Guard) -> None:
    guard.start()
    (guard.tree / "file0").write_text("told just before the end\n")
    last = guard.hears(guard.tree / "file0", "opened")["@timestamp"]
    guard.kill()
    (guard.tree / "file3").write_text("while nobody watched\n")
    (guard.tree / "file4").unlink()
    guard.start()
    gap = guard.told("daemon.gap")["hostguard"]["details"]
    assert gap["until"] > gap["since"]
    began = datetime.fromtimestamp(gap["since"] / 1e9, UTC)
    assert began >= datetime.fromisoformat(last) - timedelta(milliseconds=1), "what was told was watched"
    assert guard.hears(guard.tree / "file3", "opened")
    assert guard.hears(guard.tree / "file4", "opened")
    assert guard.told("daemon.started")
    assert guard.call("verify")["ok"]


def test_a_second_daemon_is_refused_and_the_first_goes_on(guard: Guard) -> None:
    guard.start()
    first = guard.call("status")
    for config in (guard.config, elsewhere(guard)):
        second = subprocess.run(
            [*guard.python, "-m", "hostguardd.daemon", "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == Exit.USAGE
        assert "another" in second.stderr
    assert guard.call("status")["pid"] == first["pid"] == guard.pid
    assert guard.call("status")["log"] == first["log"], "nothing was written to the first one's log"
    (guard.tree / "file0").write_text("still watched\n")
    assert guard.hears(guard.tree / "file0")


def elsewhere(guard: Guard) -> Path:
    """The configuration of a daemon with a state of its own, but the first one's socket."""
    path = guard.folder / "second.toml"
    text = guard.config.read_text()
    for place in ("state", "log"):
        text = text.replace(
            json.dumps(str(guard.folder / place)), json.dumps(str(guard.folder / f"{place}2"))
        )
    path.write_text(text)
    return path


# The service manager


def test_the_service_manager_is_told_of_every_turn(guard: Guard) -> None:
    guard.start(watchdog=0.6)
    manager = guard.manager
    assert manager is not None
    assert manager.told("READY", "1")
    until(lambda: manager.told("WATCHDOG", "1"), "a ping")
    before = time.monotonic()
    guard.signal(signal.SIGHUP)
    until(lambda: manager.told("READY", "1", since=before), "ready after the reload")
    words = [message for at, message in manager.heard if at > before and "WATCHDOG" not in message]
    assert "RELOADING" in words[0]
    assert words[0]["MONOTONIC_USEC"].isdigit()
    before = time.monotonic()
    guard.stop()
    assert manager.told("STOPPING", "1", since=before)


def test_pings_stop_with_the_loop_and_come_again_with_it(guard: Guard) -> None:
    guard.start(watchdog=0.3)
    manager = guard.manager
    assert manager is not None
    until(lambda: manager.told("WATCHDOG"), "a ping")
    guard.signal(signal.SIGSTOP)
    until(lambda: state_of(guard.pid) == "T", "it is stopped")
    quiet = time.monotonic() + 1.0  # three times what the manager would wait
    heard = len(manager.heard)
    until(lambda: time.monotonic() > quiet, "a second passes")
    assert len(manager.heard) <= heard + 1, "one may have been under way"
    guard.signal(signal.SIGCONT)
    until(lambda: manager.told("WATCHDOG", since=quiet), "a ping")


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_reload_puts_the_new_configuration_in_force(guard: Guard) -> None:
    guard.start()
    other = guard.folder / "other"
    other.mkdir()
    guard.configure(more=f'[[watch]]\nname = "other"\npaths = [{json.dumps(str(other))}]\n')
    guard.signal(signal.SIGHUP)
    guard.told("config.reloaded")
    guard.call("check")
    (other / "new").write_text("x")
    assert guard.hears(other / "new")
    (guard.tree / "file0").write_text("x")
    assert guard.hears(guard.tree / "file0")


def test_a_wrong_configuration_is_refused_and_the_old_one_stays(guard: Guard) -> None:
    guard.start()
    good = guard.config.read_text()
    guard.config.write_text(good + '\n[sweps]\nquick = 1\n\n[[rule]]\nname = "x"\nseverity = "loud"\n')
    guard.signal(signal.SIGHUP)
    problem = guard.told("config.refused")["message"]
    assert "sweps" in problem, "every mistake is named"
    assert "sweeps" in problem, "with a suggestion"
    assert "loud" in problem
    (guard.tree / "file0").write_text("x")
    assert guard.hears(guard.tree / "file0")
    guard.config.unlink()
    guard.signal(signal.SIGHUP)
    assert "cannot be read" in guard.told("config.refused", 2)["message"]
    guard.config.write_text(good)
    guard.signal(signal.SIGHUP)
    assert guard.told("config.reloaded")


def test_a_reload_during_the_first_capture_captures_what_the_new_one_names(guard: Guard) -> None:
    heavy(guard)
    guard.start(wait=False)
    reading(guard)
    (guard.tree / "heavy").unlink()
    other = guard.folder / "other"
    other.mkdir()
    (other / "old").write_text("x")
    guard.configure(more=f'[[watch]]\nname = "other"\npaths = [{json.dumps(str(other))}]\n')
    guard.signal(signal.SIGHUP)
    guard.watching()
    assert not guard.findings()
    assert guard.call("check")["findings"] == [], "both are part of the baseline"
    (other / "old").write_text("changed")
    assert guard.hears(other / "old", "opened")
    (guard.tree / "file0").write_text("x")
    assert guard.hears(guard.tree / "file0", "opened")


# The baseline, damaged


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def scribble(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def no_database(path: Path) -> None:
    path.write_text("This is not a database, but it is long enough to look like a file.\n" * 40)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [cut, empty, scribble, no_database, remove])
def test_a_damaged_baseline_is_restored_from_its_copy_and_that_is_told(
    guard: Guard, damage: Callable[[Path], None]
) -> None:
    guard.start()
    guard.approve()
    (guard.tree / "file0").write_text("drift")
    guard.hears(guard.tree / "file0")
    guard.stop()
    damage(guard.state / "baseline.db")
    guard.start()
    assert guard.told("baseline.damaged")["hostguard"]["severity"] == "critical"
    assert guard.told("baseline.restored")["hostguard"]["details"]["generation"] == 2
    assert guard.call("status")["generation"]["number"] == 2
    assert guard.finds(guard.tree / "file0"), "compared with what was approved, not captured anew"
    assert guard.call("verify")["ok"]
    if damage is not remove:
        assert list(guard.state.glob("baseline.db.damaged-*")), "kept as evidence"


@pytest.mark.parametrize("damage", [cut, empty, scribble, no_database])
def test_a_damaged_baseline_without_a_copy_ends_it_and_that_is_told(
    guard: Guard, damage: Callable[[Path], None]
) -> None:
    guard.start()
    guard.stop()
    (guard.state / "baseline.backup").unlink()
    damage(guard.state / "baseline.db")
    before = (guard.state / "baseline.db").read_bytes()
    guard.start(wait=False)
    assert guard.wait() == Exit.BASELINE
    assert "baseline.db" in guard.said().splitlines()[-1]
    assert guard.coded("baseline.damaged")
    assert (guard.state / "baseline.db").read_bytes() == before, "evidence is left alone"


def foreign(path: Path) -> None:
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipes(name)")
    other.commit()
    other.close()


def newer(path: Path) -> None:
    other = sqlite3.connect(path)
    assert other.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    other.execute("PRAGMA user_version = 99")
    other.commit()
    other.close()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [(foreign, "another program"), (newer, "newer hostguardd"), (pipe, "not a regular file")],
)
def test_a_foreign_baseline_ends_it_untouched_and_that_is_told(
    guard: Guard, damage: Callable[[Path], None], sentence: str
) -> None:
    guard.start()
    guard.stop()
    path = guard.state / "baseline.db"
    damage(path)
    before = path.lstat()
    guard.start(wait=False)
    assert guard.wait() == Exit.BASELINE
    assert sentence in guard.said().splitlines()[-1]
    assert sentence in guard.coded("baseline.damaged")[-1]["message"]
    assert path.lstat().st_ino == before.st_ino
    assert guard.once().returncode == Exit.BASELINE


# The disk, full


def test_a_full_disk_during_the_capture_is_told_and_the_capture_ends_once_there_is_room(
    tmp_path: Path,
) -> None:
    with disk(tmp_path / "disk", "2m") as small:
        guard = Guard(tmp_path, state=small / "state", tree=tmp_path / "tree")
        for number in range(300):
            (guard.tree / f"file{number:03}").write_text(str(number))
        with guarding(guard):
            ballast = fill(small)
            with ballast.open("r+b") as file:
                file.truncate(ballast.stat().st_size - 230 * 1024)
            guard.start(wait=False)
            guard.told("store.unwritable")
            assert guard.call("status")["state"] == "capturing"
            assert guard.call("status")["generation"] is None
            ballast.unlink()
            guard.watching()
            assert guard.call("status")["generation"]["facts"] > 300
            assert guard.call("verify")["ok"]
            assert not guard.findings()
            (guard.tree / "file000").write_text("x")
            assert guard.hears(guard.tree / "file000", "opened")
            guard.stop()


def test_alerts_that_found_no_room_are_told_once_there_is_some(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "1m") as small:
        guard = Guard(tmp_path, log=small / "log", tree=tmp_path / "tree")
        for number in range(60):
            (guard.tree / f"file{number:02}").write_text(str(number))
        with guarding(guard):
            guard.start()
            ballast = fill(small)
            for number in range(60):
                (guard.tree / f"file{number:02}").write_text("while the disk was full")
            until(lambda: guard.call("status")["log"]["unwritable"], "the log cannot be written")
            assert guard.finds(guard.tree / "file59"), "drift tells what the log could not take"
            assert guard.call("explain", id=guard.finds(guard.tree / "file59")["id"])
            assert guard.ctl("doctor").returncode == Exit.DRIFT
            ballast.unlink()
            for number in range(60):
                assert guard.hears(guard.tree / f"file{number:02}", "opened")
            assert guard.told("log.unwritable")["hostguard"]["severity"] == "critical"
            assert guard.call("status")["log"]["unwritable"] is False
            assert len(guard.findings()) >= 60
            guard.stop()


def test_findings_that_the_state_had_no_room_for_are_neither_lost_nor_told_twice(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "2m") as small:
        guard = Guard(
            tmp_path,
            state=small / "state",
            tree=tmp_path / "tree",
            sections="[sweeps]\nquick = 1\nduty = 1.0",
        )
        for number in range(60):
            (guard.tree / f"file{number:02}").write_text(str(number))
        with guarding(guard):
            guard.start()
            ballast = fill(small)
            for number in range(60):
                (guard.tree / f"file{number:02}").write_text("while the disk was full")
            assert guard.hears(guard.tree / "file59", "opened")
            guard.told("store.unwritable")
            began = guard.call("status")["sensors"]["files.quick"]["last_ended"] or ""
            until(
                lambda: (guard.call("status")["sensors"]["files.quick"]["last_ended"] or "") > began,
                "another sweep",
            )
            assert len(guard.findings()) == 60, "drift tells them although they are not written down"
            ballast.unlink()
            guard.call("check")
            until(lambda: guard.once().stdout.count("tree/file") == 60, "the state is whole")
            for number in range(60):
                assert len(guard.about(guard.tree / f"file{number:02}")) == 1
            assert len(guard.coded("store.unwritable")) < 5
            guard.stop()
        guard.start()
        assert len(guard.findings()) == 60
        guard.close()


# Hints, lost


def limit(name: str) -> int:
    return int(Path(f"/proc/sys/fs/inotify/{name}").read_text())


def test_an_overflow_is_told_with_its_span_and_every_change_is_found(guard: Guard) -> None:
    if limit("max_queued_events") > 65_536:
        pytest.skip("overflowing fs.inotify.max_queued_events takes too long")
    guard.start()
    began = time.time_ns()
    guard.signal(signal.SIGSTOP)
    for number in range(limit("max_queued_events") + 100):
        (guard.tree / f"flood{number % 2}").touch()
        os.rename(guard.tree / f"flood{number % 2}", guard.tree / f"flood{2 + number % 2}")
    (guard.tree / "file7").unlink()
    (guard.tree / "file8").write_text("behind the flood\n")
    (guard.tree / "last").write_text("new\n")
    guard.signal(signal.SIGCONT)
    lost = guard.told("coverage.overflow")["hostguard"]["details"]
    assert lost["since"] <= began + 10**9 <= lost["until"] + 10**9
    assert lost["until"] <= time.time_ns()
    whole = guard.told("coverage.restored")["hostguard"]["details"]
    assert abs(whole["since"] - lost["since"]) < 10**6
    for name in ("file7", "file8", "last", "flood2", "flood3"):
        assert guard.hears(guard.tree / name, "opened"), name
    assert guard.findings().keys() == {
        str(guard.tree / n) for n in ("file7", "file8", "last", "flood2", "flood3")
    }
    assert guard.call("status")["coverage"]["overflows"] >= 1


def test_beyond_the_watch_limit_changes_are_found_by_sweeps(tmp_path: Path) -> None:
    guard = Guard(tmp_path, sections="[hints]\nmax_watches = 8\n[sweeps]\nquick = 1\nduty = 1.0")
    for number in range(40):
        (guard.tree / f"d{number:02}").mkdir()
        (guard.tree / f"d{number:02}" / "file").write_text("x")
    with guarding(guard):
        guard.start()
        told = guard.told("coverage.watch-limit")["hostguard"]["details"]
        assert told["limit"] == 8
        assert told["count"] >= 32
        coverage = guard.call("status")["coverage"]
        assert coverage["watched_folders"] <= 8
        assert coverage["unwatched_folders"] >= 32
        for number in range(40):
            (guard.tree / f"d{number:02}" / "file").write_text("changed")
        for number in range(40):
            assert guard.hears(guard.tree / f"d{number:02}" / "file", "opened")
        assert len(guard.coded("coverage.watch-limit")) == 1, "said once, not at every sweep"
        guard.stop()


# Names and numbers


HOSTILE = (
    b"new\nline",
    b"esc\x1b[31mred\x1b[0m",
    "rtl\u202egnp.exe".encode(),
    b"latin\xe9\xff",
    b"\xed\xa0\x80 surrogate",
    b"back\\slash",
    b"n" * 255,
    "日本語".encode(),
    b"[bold]rich",
    b'quote" <b>&amp;',
    b"-rf",
    b" ",
    b"\x7f\xc2\x9b1m",
)


def test_hostile_names_come_through_whole_and_harmless(guard: Guard) -> None:
    guard.start()
    tree = os.fsencode(guard.tree)
    for name in HOSTILE:
        with open(tree + b"/" + name, "wb") as file:
            file.write(b"x\n")
    for name in HOSTILE:
        guard.hears(escape(tree + b"/" + name), "opened")
    findings = guard.findings()
    assert {unescape(label) for label in findings} == {tree + b"/" + name for name in HOSTILE}
    shown = guard.ctl("drift", "--all")
    data = guard.ctl("drift", "--json")
    assert shown.returncode == data.returncode == Exit.DRIFT
    assert {unescape(f["label"]) for f in json.loads(data.stdout)["findings"]} == {
        tree + b"/" + name for name in HOSTILE
    }
    pages = [shown.stdout, data.stdout, guard.ctl("alerts").stdout, guard.ctl("alerts", "--json").stdout]
    pages += [guard.ctl("explain", finding["id"]).stdout for finding in findings.values()]
    pages += [guard.once().stdout, guard.said()]
    for page in pages:
        assert page
        for bad in ("\x1b", "\u202e", "\x7f", "\x9b", "\udced"):
            assert bad not in page
    for label in findings:
        assert label in shown.stdout


@pytest.mark.slow
def test_a_folder_of_two_hundred_thousand_names(tmp_path: Path) -> None:
    guard = Guard(tmp_path)
    many = guard.tree / "many"
    many.mkdir()
    for number in range(200_000):
        os.mknod(many / f"{number:06}", 0o100644) if os.geteuid() == 0 else (many / f"{number:06}").touch()
    with guarding(guard):
        guard.start()
        assert guard.call("status")["generation"]["facts"] >= 200_001
        (many / "123456").write_text("x")
        (many / "199999").unlink()
        (many / "0new").write_text("x")
        for name in ("123456", "199999", "0new"):
            assert guard.hears(many / name, "opened")
        guard.call("check", full=True)
        assert len(guard.findings()) == 3
        assert guard.call("status")["memory_rss"] < 160 * 2**20
        guard.stop()
    shutil.rmtree(many)


SCRIBBLE = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
while True:
    os.pwrite(fd, os.urandom(16), 0)
"""


@contextmanager
def scribbling(path: Path) -> Iterator[None]:
    """Somebody writes to the file all the time, and never closes it."""
    writer = subprocess.Popen([sys.executable, "-c", SCRIBBLE, str(path)])
    before = path.read_bytes()[:16]
    try:
        until(lambda: path.read_bytes()[:16] != before, "it is written to")
        yield
    finally:
        writer.kill()
        writer.wait()


def test_what_changes_while_it_is_captured_is_unstable_and_no_noise(guard: Guard) -> None:
    restless = guard.tree / "restless"
    restless.write_bytes(b"x" * 2**20)
    with scribbling(restless):
        guard.start()
        state = sqlite3.connect(f"file:{guard.state}/baseline.db?mode=ro", uri=True)
        unstable = state.execute("SELECT name FROM file_base WHERE unstable").fetchall()
        state.close()
        assert unstable == [(b"restless",)]
        assert guard.call("check", full=True)["findings"] == []
    assert guard.call("check", full=True)["findings"] == []
    restless.chmod(0o777)
    assert guard.finds(restless)["changed"] == ["mode"]


def test_writing_all_the_time_hides_no_change_of_what_was_captured_at_rest(guard: Guard) -> None:
    guard.start()
    with scribbling(guard.tree / "file5"):
        guard.call("check", full=True)
        assert guard.finds(guard.tree / "file5")


# Commands


def test_every_command_against_the_real_daemon(guard: Guard) -> None:
    unreached = guard.ctl("status")
    assert unreached.returncode == Exit.UNREACHABLE
    assert "not running" in unreached.stderr
    assert guard.once().returncode == Exit.BASELINE
    guard.start()
    assert guard.ctl("status").returncode == Exit.OK
    assert guard.ctl("drift").returncode == Exit.OK
    assert guard.ctl("check").returncode == Exit.OK
    assert guard.ctl("check", "--full").returncode == Exit.OK
    assert guard.ctl("verify").returncode == Exit.OK
    assert guard.ctl("config", "check").returncode == Exit.OK
    (guard.tree / "file0").write_text("zero\n")
    (guard.tree / "file1").unlink()
    (guard.tree / "loud").write_text("new\n")
    ids = {name: guard.finds(guard.tree / name)["id"] for name in ("file0", "file1", "loud")}
    drift = guard.ctl("drift")
    assert drift.returncode == Exit.DRIFT
    assert all(word in drift.stdout for word in ("file0", "file1", "loud", "CRITICAL", "MEDIUM"))
    assert "file0" not in guard.ctl("drift", "--severity", "critical").stdout
    assert guard.ctl("check").returncode == Exit.DRIFT
    assert guard.ctl("check", "--full").returncode == Exit.DRIFT
    explained = guard.ctl("explain", ids["file0"]).stdout
    assert "-0" in explained, "text files may be quoted"
    assert "+zero" in explained
    assert guard.ctl("explain", "nonsense").returncode == Exit.USAGE
    assert guard.ctl("accept", "nonsense").returncode == Exit.USAGE
    assert guard.ctl("accept", ids["file0"], "-m", "my edit").returncode == Exit.OK
    assert guard.hears(guard.tree / "file0", "accepted")
    assert guard.findings().keys() == {str(guard.tree / "file1"), str(guard.tree / "loud")}
    assert guard.ctl("accept", ids["file0"]).returncode == Exit.USAGE, "it is not open any more"
    assert guard.ctl("baseline").returncode == Exit.USAGE, "nobody is there to be asked"
    refused = guard.ctl("baseline", "--yes", "-m", "all of it")
    assert refused.returncode == Exit.DRIFT
    assert "nothing explains 2 findings (1 critical, 1 medium" in refused.stderr
    assert guard.findings(), "nothing was approved"
    assert guard.ctl("baseline", "--yes", "--unexplained", "-m", "all of it").returncode == Exit.OK
    assert guard.ctl("drift").returncode == Exit.OK
    history = json.loads(guard.ctl("history", "--json").stdout)["generations"]
    assert [(g["number"], g["reason"]) for g in history] == [
        (1, "first start"),
        (2, "my edit"),
        (3, "all of it"),
    ]
    between = json.loads(guard.ctl("diff", "1", "3", "--json").stdout)["changes"]
    assert {(c["label"], c["action"]) for c in between if str(guard.tree / "") in c["label"] + "/"} >= {
        (str(guard.tree / "file0"), "changed"),
        (str(guard.tree / "file1"), "removed"),
        (str(guard.tree / "loud"), "added"),
    }
    last = guard.ctl("diff").stdout
    assert "file1" in last
    assert "file0" not in last, "the previous and the present one"
    assert guard.ctl("diff", "1", "9").returncode == Exit.USAGE
    assert guard.ctl("rollback", "1", "-m", "not meant").returncode == Exit.OK
    assert guard.finds(guard.tree / "file0")
    assert guard.finds(guard.tree / "loud")
    assert guard.ctl("rollback", "77").returncode == Exit.USAGE
    assert guard.ctl("verify").returncode == Exit.OK
    shown = guard.ctl("alerts", "-n", "0", "--json").stdout.splitlines()
    assert [json.loads(line)["event"]["sequence"] for line in shown] == list(range(1, len(shown) + 1))
    assert guard.ctl("alerts", "--severity", "critical").stdout.count("\n") < len(shown)
    for code in ("baseline.accepted", "baseline.approved", "baseline.rolledback"):
        told = guard.told(code)
        assert told["hostguard"]["severity"] == "high"
        assert re.match(rf"\S+ \(uid {os.geteuid()}\), (login uid \d+.*, )?pid \d+ ", told["message"]), "who"
    assert "accepted 1 findings as normal (1 medium; 1 " in guard.told("baseline.accepted")["message"]
    assert "(2 changes: 1 critical, 1 medium; 2 " in guard.told("baseline.approved")["message"]
    assert guard.told("baseline.approved")["hostguard"]["details"].keys() >= {"causes", "unexplained"}


def test_a_control_socket_that_is_removed_is_told_and_made_again(guard: Guard) -> None:
    guard.start()
    Path(guard.socket).unlink()
    told = guard.told("control.lost")
    assert f"{guard.socket} was taken away; it is there again" in told["message"]
    assert guard.ctl("status").returncode == Exit.OK
    assert doctors(guard)["control socket"]["ok"]


def test_the_doctor_says_that_the_readers_group_does_not_exist(tmp_path: Path) -> None:
    made = Guard(tmp_path / "guard")
    made.config.write_text(made.config.read_text().replace('group = ""', 'group = "no-such-group"'))
    with guarding(made) as guard:
        guard.start()
        check = doctors(guard)["control socket"]
        assert not check["ok"]
        assert "there is no group no-such-group" in check["message"]
        assert "[control]" in check["advice"]


def doctors(guard: Guard) -> dict[str, dict[str, Any]]:
    """What the doctor says, by the name of the check."""
    return {check["name"]: check for check in guard.call("doctor")["checks"]}


def test_what_is_put_back_is_told_as_over(guard: Guard) -> None:
    guard.start()
    path = guard.tree / "moved"
    os.rename(guard.tree / "file0", path)
    guard.finds(path)
    os.rename(path, guard.tree / "file0")
    assert guard.hears(path, "cleared")
    guard.approve()
    (guard.tree / "file0").chmod(0o600)
    assert guard.hears(guard.tree / "file0", "changed" if guard.about(guard.tree / "file0") else "opened")


def test_nothing_is_approved_that_was_not_shown(guard: Guard) -> None:
    guard.start()
    (guard.tree / "file0").write_text("shown")
    guard.finds(guard.tree / "file0")
    review = guard.call("review")
    (guard.tree / "file1").write_text("not shown")
    guard.finds(guard.tree / "file1")
    approved = guard.call("approve", token=review["token"], reason="")
    assert (approved["generation"]["number"], approved["left"]) == (2, 1)
    assert [one["label"] for one in guard.call("drift")["findings"]] == [str(guard.tree / "file1")]
    assert len(guard.call("check", full=True)["findings"]) == 1, (
        "and is still compared with what was approved"
    )
    assert guard.approve()["generation"]["number"] == 3
    error = refused(lambda: guard.call("approve", token=review["token"], reason=""))
    assert error.exit == Exit.USAGE


def test_how_far_the_host_was_trusted_is_kept_with_the_generation(guard: Guard) -> None:
    guard.start()
    (guard.tree / "file0").write_text("shown")
    guard.finds(guard.tree / "file0")
    trust = "all 100 packaged files match, 1 thing suspicious: /usr/bin/less"
    made = guard.call("approve", token=guard.call("review")["token"], reason="first", trust=trust)
    assert made["generation"]["trust"] == trust
    assert [one["trust"] for one in guard.call("history")["generations"]] == ["", trust]
    assert any(trust in one["message"] for one in guard.alerts() if "approved generation" in one["message"])


def test_what_moved_on_since_it_was_shown_stays_open(guard: Guard) -> None:
    guard.start()
    (guard.tree / "file0").write_text("shown")
    guard.finds(guard.tree / "file0")
    review = guard.call("review")
    (guard.tree / "file0").write_text("shown, and then changed")
    assert guard.hears(guard.tree / "file0", "changed")
    assert guard.call("approve", token=review["token"], reason="")["left"] == 1
    (guard.tree / "file1").unlink()
    guard.finds(guard.tree / "file1")
    review = guard.call("review")
    (guard.tree / "file1").write_text("file1")
    assert guard.hears(guard.tree / "file1", "changed")
    assert guard.call("approve", token=review["token"], reason="")["left"] == 1
    assert [one["label"] for one in guard.call("drift")["findings"]] == [str(guard.tree / "file1")]


def test_two_checks_at_once_are_both_answered(guard: Guard) -> None:
    guard.start()
    (guard.tree / "file0").write_text("x")
    answers: list[int] = []
    several = [
        threading.Thread(target=lambda: answers.append(len(guard.call("check", full=True)["findings"])))
        for _ in range(3)
    ]
    for one in several:
        one.start()
    for one in several:
        one.join(60)
    assert answers == [1, 1, 1]


def test_once_compares_and_writes_nothing(guard: Guard) -> None:
    guard.start()
    guard.stop()
    before = {
        path: path.read_bytes() for path in (*guard.state.iterdir(), *guard.log.iterdir()) if path.is_file()
    }
    same = guard.once("--root", "/")
    assert same.returncode == Exit.OK, same.stdout
    assert "0 findings against generation 1" in same.stdout
    (guard.tree / "loud").write_text("x")
    (guard.tree / "file0").write_text("x")
    other = guard.once()
    assert other.returncode == Exit.DRIFT
    first, second, *_ = other.stdout.splitlines()
    assert str(guard.tree / "loud") in first, "the loudest first"
    assert "file0" in second
    after = {path: path.read_bytes() for path in before}
    assert after == before


def test_once_looks_at_a_mounted_image(guard: Guard, tmp_path: Path) -> None:
    guard.start()
    guard.stop()
    image = tmp_path / "image"
    shutil.copytree(guard.tree, image / guard.tree.relative_to("/"))
    (image / guard.tree.relative_to("/") / "file9").write_text("in the image")
    (guard.tree / "file0").write_text("on this host")
    seen = guard.once("--root", str(image))
    assert seen.returncode == Exit.DRIFT
    assert f"{guard.tree}/file9 changed: content" in seen.stdout
    assert "content" not in next(line for line in seen.stdout.splitlines() if f"{guard.tree}/file0" in line)
    assert "blind" in seen.stdout, "no live kernel belongs to an image"
    assert "(listener)" in seen.stdout
    assert "(process)" in seen.stdout


def test_once_says_in_a_sentence_that_there_is_no_such_root(guard: Guard, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for wrong, why in (("nowhere", "No such file or directory"), ("file", "Not a directory")):
        said = guard.once("--root", str(tmp_path / wrong))
        assert said.returncode == Exit.USAGE
        assert said.stderr == f"hostguardd: --root {tmp_path / wrong}: {why}\n"


def test_once_before_a_reader_that_has_seen_enough(guard: Guard) -> None:
    guard.start()
    guard.stop()
    (guard.tree / "file0").write_text("x")
    gone, ours = os.pipe()
    os.close(gone)
    with open(ours, "wb") as out:
        argv = [sys.executable, "-m", "hostguardd.daemon", "--config", str(guard.config), "--once"]
        said = subprocess.run(
            argv, stdout=out, stderr=subprocess.PIPE, cwd="/", env=os.environ | guard.environ, check=False
        )
    assert (said.returncode, said.stderr) == (Exit.DRIFT, b"")


# Somebody else's hand


def test_verify_says_that_the_baseline_is_gone_and_still_looks_at_the_log(guard: Guard) -> None:
    guard.start()
    (guard.state / "baseline.db").unlink()
    said = guard.ctl("verify")
    assert said.returncode == Exit.BASELINE
    assert f"{guard.state}/baseline.db is gone" in " ".join(said.stdout.split())
    assert "chain unbroken" in said.stdout


def test_an_edited_row_of_the_baseline_is_found_by_verify(guard: Guard) -> None:
    guard.start()
    assert guard.ctl("verify").returncode == Exit.OK
    state = sqlite3.connect(guard.state / "baseline.db")
    state.execute("UPDATE file_base SET sha256 = x'00' WHERE name = ?", (b"file0",))
    state.commit()
    state.close()
    said = guard.ctl("verify")
    assert said.returncode == Exit.DRIFT
    assert "generation 1" in said.stdout
    assert "baseline.db" in said.stdout
    assert guard.call("verify")["log"]["problem"] == ""


def test_an_edited_line_of_the_alert_log_is_named_by_verify(guard: Guard) -> None:
    guard.start()
    for number in range(3):
        (guard.tree / f"loud{number}").write_text("x")
        guard.hears(guard.tree / f"loud{number}")
    path = guard.log / "alerts.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"loud1 ", b"l0ud1 ", 1))
    number = 1 + next(i for i, line in enumerate(whole.splitlines()) if b"loud1 " in line)
    said = guard.ctl("verify")
    assert said.returncode == Exit.DRIFT
    assert f"alerts.jsonl, line {number}:" in said.stdout
    path.write_bytes(whole)
    assert guard.ctl("verify").returncode == Exit.OK


def test_a_log_that_was_cut_while_nobody_watched_is_told(guard: Guard) -> None:
    guard.start()
    (guard.tree / "loud").write_text("x")
    guard.hears(guard.tree / "loud")
    guard.stop()
    path = guard.log / "alerts.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    guard.start()
    guard.stop()
    said = path.read_bytes()
    assert b"lines are lost" in said
    assert json.loads(said.splitlines()[len(lines) - 2])["event"]["sequence"] == len(lines) + 1
    shutil.rmtree(guard.log)  # its numbers are not without gaps any more, which is the point


# Without rights


NOBODY = 65534


@pytest.fixture
def commons() -> Iterator[Path]:
    """A folder that everybody may enter, with a copy of what it takes to run."""
    needs_root("running as somebody else")
    folder = Path(tempfile.mkdtemp(prefix="hostguardd-test-"))
    folder.chmod(0o755)
    for room in ("hostguardd", "psutil", "structlog", "watchdog", "sdnotify", "inotify_simple"):
        spec = importlib.util.find_spec(room)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(origin.parent, folder / "lib" / room, ignore=ignore)
        else:
            shutil.copy(origin, folder / "lib" / origin.name)
    yield folder
    shutil.rmtree(folder)


def everybodys_python(lib: Path) -> str:
    """A Python that an ordinary user may run, and that runs us."""
    for name in (sys.executable, "/usr/bin/python3", "/usr/bin/python3.12", "/usr/bin/python3.13"):
        ran = subprocess.run(
            ["/bin/sh", "-c", 'exec "$0" -c "import hostguardd.daemon"', name],
            env={"PYTHONPATH": str(lib)},
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            check=False,
        )
        if ran.returncode == 0:
            return name
    pytest.skip("no Python of 3.11 or newer here that an ordinary user may run")


def test_an_ordinary_user_is_told_what_cannot_be_seen(commons: Path) -> None:
    more = '[[watch]]\nname = "secret"\npaths = ["/etc/shadow"]\n'
    guard = Guard(commons / "own", quiet=("setid",), more=more)
    guard.python, guard.user = [everybodys_python(commons / "lib")], NOBODY
    guard.environ["PYTHONPATH"] = str(commons / "lib")
    guard.folder.chmod(0o777)
    opened, closed, folder = (guard.tree / name for name in ("opened", "closed", "folder"))
    for path in (opened, closed):
        path.write_text("x")
    closed.chmod(0o600)
    folder.mkdir(mode=0o700)
    with guarding(guard):
        guard.start()
        assert guard.call("status")["mode"] == "unprivileged"
        assert f"uid {NOBODY}" in guard.told("daemon.unprivileged")["message"]
        blinds = {b["scope"]: b["reason"] for b in guard.call("status")["coverage"]["blinds"]}
        for path in (closed, folder, Path("/etc/shadow")):
            assert "Permission denied" in blinds[str(path)]
        assert "may not be" in blinds["processes of others"]
        opened.write_text("changed")
        assert guard.hears(opened, "opened")
        closed.write_text("changed, too")
        assert "sha256" not in guard.finds(closed)["changed"], "it cannot know the content"
        told = guard.call("doctor")["checks"]
        assert {check["name"] for check in told if not check["ok"]} >= {"capabilities", "blind spots"}
        folder.chmod(0o755)
        guard.call("check", full=True)
        assert guard.told("coverage.seen-again")["hostguard"]["details"]["scope"] == str(folder)
        guard.stop()


def test_the_database_reader_takes_no_notice_of_a_daemon_at_work(guard: Guard) -> None:
    guard.start()
    (guard.tree / "loud").write_text("x")
    guard.hears(guard.tree / "loud")
    seen = guard.once()
    assert seen.returncode == Exit.DRIFT
    Database(guard.state / "baseline.db", readonly=True).close()


@pytest.mark.slow
def test_weeks_of_alerts_make_nothing_grow(guard: Guard) -> None:
    """As many rotations as a busy host has in months: the log, the state and the memory stay as they are."""
    settings = guard.config.read_text()
    guard.config.write_text(settings.replace("reserve = 0", 'reserve = 0\nrotate = "64KiB"\nkeep = 3'))
    path = guard.tree / "loud"
    path.write_text("as approved\n")
    with guarding(guard.start()):
        guard.approve()
        sizes, memory = [], []
        for week in range(4):
            for number in range(120):
                head = guard.call("status")["log"]["sequence"]
                path.write_text(f"{week} {number}\n")
                until(lambda head=head: guard.call("status")["log"]["sequence"] > head, "it is told")  # type: ignore[misc]
                guard.alerts()  # before they are rotated away
            status = guard.call("status")
            memory.append(status["memory_rss"])
            sizes.append(sum(entry.stat().st_size for entry in os.scandir(guard.log)))
        assert status["log"]["sequence"] > 480
        assert len(list(guard.log.glob("alerts-*.jsonl"))) == 3
        assert max(sizes) <= 5 * 64 * 1024
        assert memory[-1] - memory[0] <= 4 * 2**20, memory
        assert sum(entry.stat().st_size for entry in os.scandir(guard.state)) <= 8 * 2**20
