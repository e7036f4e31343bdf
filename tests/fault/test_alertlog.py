"""The alert log in bad weather: full disks, kills at any instant, torn tails, somebody else's hand."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostguardd.errors import AlertLogError
from hostguardd.sections import AlertLogConfig
from hostguardd.store.alertlog import NEXT, AlertLog, verify
from tests.alerts import IDENTITY, alert

PLAIN = AlertLogConfig(rotate=1 << 20, keep=4, reserve=0)
SMALL = AlertLogConfig(rotate=4000, keep=3, reserve=0)
RESERVE = 128 * 1024


def opened(folder: Path, config: AlertLogConfig = PLAIN) -> AlertLog:
    return AlertLog(str(folder), config, IDENTITY)


def mount(where: Path, options: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    where.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "hostguard-test", str(where)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"may not mount a tmpfs here: {done.stderr.decode(errors='replace').strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    where = tmp_path / "disk"
    mount(where, "size=1m")
    yield where
    subprocess.run(["umount", "--lazy", str(where)], check=True)


def fill(folder: Path) -> Path:
    """Take all the space that is left."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        forever(lambda: file.write(b"\0" * 4096))
    return ballast


def forever(work: Callable[[], object]) -> None:
    while True:
        work()


def held(log: AlertLog) -> bool:
    return log.reserve_held


# No space


def test_on_a_full_disk_the_reserve_is_given_up_and_the_alert_written(disk: Path) -> None:
    log = opened(disk, AlertLogConfig(rotate=1 << 20, keep=4, reserve=RESERVE))
    assert held(log)
    log.append([alert(0)])
    ballast = fill(disk)
    written = [log.append([alert(number) for number in range(20)])[-1]]
    assert not held(log)
    with pytest.raises(AlertLogError, match="No space left") as caught:
        forever(lambda: written.append(log.append([alert(number) for number in range(50)])[-1]))
    assert caught.value.errno == errno.ENOSPC
    assert log.take_given()
    assert not log.take_given(), "told once"
    assert written[-1] > 100, "the reserve held more than a hundred alerts"
    assert log.head[0] == written[-1]
    assert verify(str(disk), log.head).ok
    ballast.unlink()
    assert log.append([alert(1)]) == [written[-1] + 1]
    assert held(log), "taken again once there was room"
    found = verify(str(disk), log.head)
    assert found.ok, found.sentence
    assert found.lines == written[-1] + 1


def test_without_a_reserve_a_full_disk_leaves_the_log_as_it_was(disk: Path) -> None:
    log = opened(disk)
    log.append([alert(0)])
    fill(disk)
    before = (disk / "alerts.jsonl").read_bytes()
    for _ in range(3):
        with pytest.raises(AlertLogError, match=r"cannot write alert log .*No space left"):
            log.append([alert(number) for number in range(100)])
    assert (disk / "alerts.jsonl").read_bytes() == before
    (disk / "ballast").unlink()
    assert log.append([alert(2)]) == [2]
    assert log.repaired == ""
    assert verify(str(disk), log.head).ok


def test_a_reserve_is_not_taken_from_a_disk_that_has_no_room_for_twice_its_size(disk: Path) -> None:
    log = opened(disk, AlertLogConfig(reserve=700 * 1024))
    assert not held(log)
    assert log.append([alert(0)]) == [1]
    assert sorted(path.name for path in disk.iterdir()) == ["alerts.jsonl"]


def test_a_torn_tail_on_a_full_disk_is_dropped_and_said(disk: Path) -> None:
    log = opened(disk)
    log.append([alert(0)])
    log.close()
    with (disk / "alerts.jsonl").open("ab") as file:
        file.write(b"{" * 20_000)
    fill(disk)
    log = opened(disk)
    assert "20000 bytes that are no whole line; dropped, for they could not be kept (No space" in log.repaired
    assert verify(str(disk), log.head).ok
    assert log.append([alert(1)]) == [2]


def test_a_rotation_that_is_not_possible_does_not_stop_an_alert(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    mount(disk, "size=4m,nr_inodes=3")
    try:
        log = opened(disk, SMALL)
        (disk / "last-inode").touch()
        for number in range(60):
            assert log.append([alert(number)]) == [number + 1]
        said = log.take_repaired()
        assert "could not be rotated (No space left on device) and grows on" in said
        assert 1 <= said.count("grows on") <= 12, (
            "said once for each time the file grew by its size, not always"
        )
        (disk / "last-inode").unlink()
        for number in range(20):
            log.append([alert(number)])
        assert (disk / "alerts-000000000001.jsonl").exists()
        assert verify(str(disk), log.head).lines == 80
        log.close()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_write_that_stops_half_way_is_taken_back(tmp_path: Path) -> None:
    """Without root: the limit on file sizes cuts a write short and fails the next."""
    log = opened(tmp_path)
    log.append([alert(0)])
    before = (tmp_path / "alerts.jsonl").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 1000, hard))
    try:
        with pytest.raises(AlertLogError) as caught:
            log.append([alert(number) for number in range(100)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno == errno.EFBIG
    assert (tmp_path / "alerts.jsonl").read_bytes() == before
    assert log.append([alert(1)]) == [2]
    assert verify(str(tmp_path), log.head).ok


# Killed


def victim(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.alertlog_victim", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(("scenario", "at_least"), [("rotate", 60), ("torn", 15), ("lost", 15)])
def test_killed_before_every_system_call_nothing_acknowledged_is_lost(
    tmp_path: Path, scenario: str, at_least: int
) -> None:
    assert int(victim(scenario, str(tmp_path))) >= at_least


def test_killed_at_random_moments_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    assert int(victim("random", str(tmp_path), str(os.getpid()))) > 60


def test_a_file_that_waits_for_its_rename_is_taken_up(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append([alert(number) for number in range(3)])
    log.close()
    (tmp_path / "alerts.jsonl").rename(tmp_path / NEXT)
    log = opened(tmp_path)
    assert log.append([alert(3)]) == [4]
    assert verify(str(tmp_path), log.head).lines == 4


# Torn


@pytest.mark.parametrize(
    "tail",
    [
        b'{"@timestamp":"2025',
        b"\0" * 8192,
        b"\0" * 8192 + b"\n",
        b"\n" * 100_000,
        b'{"@timestamp":1}\n' * 5000,
        b"x" * 3_000_000,
        os.urandom(100_000),
    ],
    ids=["half a line", "zeros", "a line of zeros", "newlines", "others' lines", "long", "random"],
)
def test_a_torn_tail_is_moved_aside_and_said(tmp_path: Path, tail: bytes) -> None:
    log = opened(tmp_path)
    log.append([alert(number) for number in range(200)])
    head = log.head
    log.close()
    with (tmp_path / "alerts.jsonl").open("ab") as file:
        file.write(tail)
    log = opened(tmp_path)
    assert log.head == head
    assert (
        f"ended in {len(tail)} bytes that are no whole line; moved to {tmp_path}/alerts.torn-" in log.repaired
    )
    (kept,) = tmp_path.glob("alerts.torn-*")
    assert kept.read_bytes() == tail
    assert log.append([alert(1)]) == [201]
    assert verify(str(tmp_path), log.head).ok
    log.close()
    assert opened(tmp_path).repaired == "", "said once"


def test_a_log_of_nothing_but_rubbish_goes_on_behind_the_rotated_ones(tmp_path: Path) -> None:
    log = opened(tmp_path, SMALL)
    log.append([alert(number) for number in range(5)])
    log.close()
    (tmp_path / "alerts.jsonl").rename(tmp_path / "alerts-000000000001.jsonl")
    (tmp_path / "alerts.jsonl").write_bytes(b"\0" * 500)
    log = opened(tmp_path, SMALL)
    assert "500 bytes" in log.repaired
    assert log.append([alert(1)]) == [6]
    assert verify(str(tmp_path), log.head).ok


# Somebody else's hand


def in_use(folder: Path) -> AlertLog:
    log = opened(folder)
    log.append([alert(number) for number in range(10)])
    return log


def test_a_log_removed_while_in_use_is_put_back(tmp_path: Path) -> None:
    log = in_use(tmp_path)
    (tmp_path / "alerts.jsonl").unlink()
    assert log.append([alert(1)]) == [11]
    assert log.take_repaired() == "the alert log was removed while in use; it was put back"
    found = verify(str(tmp_path), log.head)
    assert (found.ok, found.lines) == (True, 11)


def test_a_log_whose_whole_folder_was_removed_is_put_back(tmp_path: Path) -> None:
    log = in_use(tmp_path / "log")
    shutil.rmtree(tmp_path / "log")
    assert log.append([alert(1)]) == [11]
    assert verify(str(tmp_path / "log"), log.head).lines == 11


def test_a_log_renamed_away_is_put_back(tmp_path: Path) -> None:
    log = in_use(tmp_path)
    (tmp_path / "alerts.jsonl").rename(tmp_path / "alerts.jsonl.1")
    assert log.append([alert(1)]) == [11]
    assert verify(str(tmp_path), log.head).lines == 11


def test_a_log_replaced_by_another_is_put_back_and_the_other_kept(tmp_path: Path) -> None:
    log = in_use(tmp_path)
    (tmp_path / "forged").write_bytes(b"all is well\n")
    (tmp_path / "forged").replace(tmp_path / "alerts.jsonl")
    assert log.append([alert(1)]) == [11]
    assert "was replaced" in log.repaired
    (foreign,) = tmp_path.glob("alerts.foreign-*")
    assert foreign.read_bytes() == b"all is well\n"
    assert verify(str(tmp_path), log.head).lines == 11


def test_lines_that_somebody_else_added_are_moved_aside(tmp_path: Path) -> None:
    log = in_use(tmp_path)
    good = (tmp_path / "alerts.jsonl").read_bytes()
    with (tmp_path / "alerts.jsonl").open("ab") as file:
        file.write(good.splitlines(keepends=True)[-1])
    assert log.append([alert(1)]) == [11]
    assert "bytes in the alert log are not ours; moved to" in log.repaired
    assert (tmp_path / "alerts.jsonl").read_bytes().startswith(good)
    assert verify(str(tmp_path), log.head).ok


@pytest.mark.parametrize("keep", [0, 5])
def test_a_log_cut_while_in_use_goes_on_with_the_next_number_so_that_the_gap_stays(
    tmp_path: Path, keep: int
) -> None:
    log = in_use(tmp_path)
    lines = (tmp_path / "alerts.jsonl").read_bytes().splitlines(keepends=True)
    os.truncate(tmp_path / "alerts.jsonl", len(b"".join(lines[:keep])) + (20 if keep else 0))
    assert log.append([alert(1)]) == [11]
    assert "the alert log was cut by" in log.repaired
    found = verify(str(tmp_path), log.head)
    assert (found.line, "missing" in found.problem) == (keep + 1, True)
    assert f"numbers {keep + 1} to 10" in found.problem


# Speed


def test_a_storm_of_ten_thousand_does_not_take_seconds(tmp_path: Path) -> None:
    log = opened(tmp_path, AlertLogConfig(reserve=0))
    alerts = [
        alert(number, data={"key": f"/usr/lib/{number}", "before": {"size": 1}}) for number in range(10_000)
    ]
    began = time.process_time()
    log.append(alerts)
    assert time.process_time() - began < 2
