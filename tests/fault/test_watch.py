"""What goes wrong with inotify, made to go wrong: limits, refusals, slow and failing receivers, death."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hostguardd.host.clock import SystemClock
from hostguardd.model import join
from hostguardd.sensors.watch import Hint, Overflow, Signal, Watcher, WatcherDied, WatchFailed
from hostguardd.sensors.watched import RESERVE
from tests.ear import Ear, eventually, watching

ROOT = Path(__file__).parents[2]


@pytest.fixture
def top(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path)


@pytest.fixture
def ear() -> Ear:
    return Ear()


def folders(top: bytes, count: int) -> list[bytes]:
    found = [join(top, b"%03d" % number) for number in range(count)]
    for folder in found:
        os.mkdir(folder)
    return found


def storm(folder: bytes, renames: int) -> bytes:
    """Rename one file again and again, so that each event has another name; its last name."""
    now = join(folder, b"0")
    with open(now, "wb"):
        pass
    for number in range(1, renames):
        following = join(folder, b"%d" % number)
        os.rename(now, following)
        now = following
    return now


def queue_limit() -> int:
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


def test_a_receiver_that_sleeps_overflows_the_kernel_once_and_hints_go_on(ear: Ear, top: bytes) -> None:
    limit = queue_limit()
    if limit > 65_536:
        pytest.skip(f"fs.inotify.max_queued_events is {limit}: overflowing it takes too long")
    with watching(ear) as watcher:
        watcher.add(top)
        with open(join(top, b"first"), "wb"):
            pass
        assert ear.hinted(top, b"first")
        ear.hold()
        began = time.monotonic_ns()
        storm(top, 40_000 + 2 * limit)
        ended = time.monotonic_ns()
        ear.release()
        assert ear.until(lambda: bool(ear.of(Overflow)))
        with open(join(top, b"last"), "wb"):
            pass
        assert ear.hinted(top, b"last")
        (overflow,) = ear.of(Overflow)
        assert isinstance(overflow, Overflow)
        assert began - 2 * 10**9 < overflow.since < ended, "the span begins when nothing had been lost"
        assert overflow.until > overflow.since
        assert len(ear.heard) < 60_000
        assert watcher.alive()


def test_a_process_that_is_stopped_overflows_and_says_since_when(top: bytes) -> None:
    limit = queue_limit()
    if limit > 65_536:
        pytest.skip(f"fs.inotify.max_queued_events is {limit}: overflowing it takes too long")
    program = """
import os, sys
from hostguardd.host.clock import SystemClock
from hostguardd.sensors.watch import Overflow, Watcher
def deliver(signal):
    if isinstance(signal, Overflow):
        os.write(1, b"overflow %d %d\\n" % (signal.since, signal.until))
    elif signal.name == b"last":
        os.write(1, b"last\\n")
watcher = Watcher(deliver, SystemClock(), 100)
watcher.start()
watcher.add(os.fsencode(sys.argv[1]))
os.write(1, b"ready\\n")
sys.stdin.read()
watcher.stop()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program, os.fsdecode(top)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        stopped = time.monotonic_ns()
        storm(top, limit)
        child.send_signal(signal.SIGCONT)
        word, since, until = child.stdout.readline().split()
        assert word == b"overflow"
        assert stopped - 2 * 10**9 < int(since) < time.monotonic_ns()
        assert int(until) > stopped
        os.rename(join(top, b"%d" % (limit - 1)), join(top, b"last"))
        assert child.stdout.readline() == b"last\n", "one overflow is told once"
        child.communicate()
    assert child.returncode == 0


def test_the_budget_ends_and_its_end_is_for_critical_folders(ear: Ear, top: bytes) -> None:
    first, *others = folders(top, 10)
    with watching(ear, budget=8) as watcher:
        for folder in (first, *others):
            watcher.add(folder)
        assert watcher.folders() == 6
        assert ear.until(lambda: len(ear.of(WatchFailed)) == 4)
        assert watcher.unwatched() == {errno.ENOSPC: (4, tuple(others[5:]))}
        for folder in (first, *others):
            watcher.add(folder)
        watcher.add(others[-1], critical=True)
        watcher.add(others[-2], critical=True)
        assert watcher.folders() == 8
        watcher.add(others[-3], critical=True)
        assert watcher.folders() == 8, "a critical folder took the watch of another"
        assert watcher.unwatched()[errno.ENOSPC].folders == 2
        for folder in others[-3:]:
            with open(join(folder, b"file"), "wb"):
                pass
            assert ear.hinted(folder, b"file")
        assert {s.folder for s in ear.heard if isinstance(s, WatchFailed)} == set(others[4:])


def test_a_folder_that_failed_is_hinted_deep_once_it_can_be_watched(ear: Ear, top: bytes) -> None:
    found = folders(top, 4)
    with watching(ear, budget=2) as watcher:
        for folder in found:
            watcher.add(folder)
        assert watcher.unwatched()[errno.ENOSPC].folders == 2
        os.rmdir(found[3])
        watcher.forget(found[0])
        watcher.retry()
        assert ear.hinted(top, b"002", deep=True)
        assert watcher.unwatched() == {}, "what vanished is no longer counted"


def test_a_large_budget_keeps_a_fixed_reserve(ear: Ear, top: bytes) -> None:
    with watching(ear, budget=4 * RESERVE + 3) as watcher:
        for folder in folders(top, 3 * RESERVE + 9):
            watcher.add(folder)
        assert watcher.folders() == 3 * RESERVE + 3


def test_a_folder_that_may_not_be_read_is_told_with_its_errno(ear: Ear, top: bytes) -> None:
    (secret,) = folders(top, 1)
    os.chmod(secret, 0)
    with watching(ear) as watcher:

        def add() -> None:
            if os.geteuid() == 0:
                # The file system's user is the thread's own: nobody, and so without CAP_DAC_*.
                ctypes.CDLL(None).setfsuid(65534)
            watcher.add(secret)

        for _ in range(2):
            thread = threading.Thread(target=add)
            thread.start()
            thread.join()
        assert ear.until(lambda: bool(ear.heard))
        assert watcher.folders() == 0
        assert ear.heard == [WatchFailed(secret, errno.EACCES)]
        assert watcher.unwatched() == {errno.EACCES: (1, (secret,))}
        os.chmod(secret, 0o700)
        watcher.add(secret)
        assert watcher.unwatched() == {}


def test_a_path_that_is_too_long_is_told(ear: Ear, top: bytes) -> None:
    with watching(ear) as watcher:
        deep = top + b"/d" * 2_500
        watcher.add(deep)
        assert ear.until(lambda: ear.heard == [WatchFailed(deep, errno.ENAMETOOLONG)])


def in_namespace(flags: str, program: str, *arguments: str) -> object:
    """What `program` prints as JSON, run as root of user (and other) namespaces of its own."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, flags, "true"], capture_output=True).returncode:
        pytest.skip(f"no namespaces here (unshare {flags})")
    done = subprocess.run(
        [unshare, flags, sys.executable, "-c", program, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LIMITED = """
import json, os, sys, time
from pathlib import Path
from hostguardd.host.clock import SystemClock
from hostguardd.sensors.watch import Watcher, WatchFailed
# Of this user namespace alone, unlike fs.inotify.*, which is everybody's: never touch that one here.
limit = Path("/proc/sys/user/max_inotify_watches")
limit.write_text("20")
heard = []
watcher = Watcher(heard.append, SystemClock(), 5000)
watcher.start()
folders = [os.fsencode(sys.argv[1]) + b"/%03d" % n for n in range(30)]
for folder in folders:
    os.mkdir(folder)
    watcher.add(folder)
missed = watcher.unwatched()
found = {"watched": watcher.folders(), "unwatched": {code: missed[code].folders for code in missed}}
watcher.add(folders[29], critical=True)
found["critical"] = watcher.folders(), watcher.unwatched()[28].folders
(open(folders[29] + b"/file", "w")).close()
limit.write_text("100")
watcher.retry()
deadline = time.monotonic() + 10
while sum(getattr(s, "deep", False) for s in heard) < 10 and time.monotonic() < deadline:
    time.sleep(0.01)
found["told"] = len({s.folder for s in heard if isinstance(s, WatchFailed)})
found["hinted"] = any(getattr(s, "name", None) == b"file" for s in heard)
found["deep"] = sum(getattr(s, "deep", False) for s in heard)
found["after"] = watcher.folders(), len(watcher.unwatched())
watcher.stop()
print(json.dumps(found))
"""


def test_the_kernels_own_limit(top: bytes) -> None:
    assert in_namespace("-Ur", LIMITED, os.fsdecode(top)) == {
        "watched": 20,
        "unwatched": {str(errno.ENOSPC): 10},
        "critical": [20, 10],
        "told": 11,
        "hinted": True,
        "deep": 10,
        "after": [30, 0],
    }


MOUNTED_TWICE = """
import json, os, subprocess, sys, time
from hostguardd.host.clock import SystemClock
from hostguardd.sensors.watch import Watcher
top = os.fsencode(sys.argv[1])
for name in (b"/a", b"/b"):
    os.mkdir(top + name)
subprocess.run(["mount", "--bind", top + b"/a", top + b"/b"], check=True)
heard = []
watcher = Watcher(heard.append, SystemClock(), 100)
watcher.start()
for name in (b"/a", b"/b", b"/a"):
    watcher.add(top + name)
def hinted(file, count):
    (open(top + b"/a/" + file, "w")).close()
    deadline = time.monotonic() + 10
    names = lambda: sorted({os.fsdecode(os.path.basename(s.folder)) for s in heard if s.name == file})
    while len(names()) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return names()
found = {"both": hinted(b"x", 2), "watches": watcher.folders()}
watcher.forget(top + b"/a")
found["one"] = hinted(b"y", 1), watcher.folders()
watcher.forget(top + b"/b")
found["none"] = watcher.folders()
subprocess.run(["umount", top + b"/b"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", top + b"/b"], check=True)
watcher.add(top + b"/b")
subprocess.run(["umount", top + b"/b"], check=True)
deadline = time.monotonic() + 10
while (watcher.folders() or not any(s.deep for s in heard)) and time.monotonic() < deadline:
    time.sleep(0.01)
found["unmounted"] = [os.fsdecode(s.name) for s in heard if s.deep], watcher.folders()
watcher.stop()
print(json.dumps(found))
"""


def test_a_folder_seen_through_two_mounts_is_hinted_under_both(top: bytes) -> None:
    assert in_namespace("-Urm", MOUNTED_TWICE, os.fsdecode(top)) == {
        "both": ["a", "b"],
        "watches": 1,
        "one": [["b"], 1],
        "none": 0,
        "unmounted": [["b"], 0],
    }


class Moody(Ear):
    """Raises for the first `sulks` signals."""

    def __init__(self, sulks: int) -> None:
        super().__init__()
        self.sulks = sulks

    def __call__(self, told: Signal) -> None:
        if self.sulks > 0:
            self.sulks -= 1
            raise ValueError("not today")
        super().__call__(told)


def test_a_receiver_that_raises_is_told_what_it_missed(top: bytes) -> None:
    ear = Moody(sulks=1)
    with watching(ear) as watcher:
        watcher.add(top)
        os.mkdir(join(top, b"lost"))
        assert ear.until(lambda: bool(ear.of(Overflow)))
        (overflow,) = ear.of(Overflow)
        assert isinstance(overflow, Overflow)
        assert "ValueError: not today" in overflow.reason
        os.mkdir(join(top, b"heard"))
        assert ear.hinted(top, b"heard", deep=True)
        assert watcher.alive()


def test_what_could_not_be_told_at_all_is_told_later(top: bytes) -> None:
    ear = Moody(sulks=2)
    with watching(ear) as watcher:
        watcher.add(top)
        os.mkdir(join(top, b"lost"))
        assert ear.until(lambda: bool(ear.of(Overflow))), "nothing happens, yet it is tried again"
        ear.sulks = 1
        watcher.add(top + b"/d" * 2_500)
        assert ear.until(lambda: bool(ear.of(WatchFailed)))


def test_a_receiver_that_always_raises_is_no_living_watcher(top: bytes) -> None:
    ear = Moody(sulks=10**9)
    with watching(ear) as watcher:
        watcher.add(top)
        number = 0

        def dead() -> bool:
            nonlocal number
            number += 1
            os.mkdir(join(top, b"%d" % number))
            return not watcher.alive()

        assert eventually(dead)


class Liar(SystemClock):
    """Fails when told to."""

    broken = False

    def mono(self) -> int:
        if self.broken:
            raise RuntimeError("the clock stopped")
        return super().mono()


def test_a_reader_that_dies_says_so_and_gives_everything_back(ear: Ear, top: bytes) -> None:
    clock = Liar()
    watcher = Watcher(ear, clock, 100)
    watcher.start()
    watcher.add(top)
    assert watcher.alive()
    clock.broken = True
    os.mkdir(join(top, b"new"))
    assert ear.until(lambda: bool(ear.of(WatcherDied)))
    assert ear.of(WatcherDied) == [WatcherDied("the inotify reader failed: RuntimeError: the clock stopped")]
    assert eventually(lambda: not watcher.alive())
    watcher.add(top)
    assert not any("inotify" in os.readlink(f"/proc/self/fd/{fd}") for fd in open_fds())
    watcher.stop()


def open_fds() -> list[str]:
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")]


def test_without_a_descriptor_to_be_had_it_is_dead_from_the_start(ear: Ear, top: bytes) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/", os.O_RDONLY)
    os.close(free)
    watcher = Watcher(ear, SystemClock(), 100)
    for spare in (0, 1):
        ear.forget()
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + spare, hard))
        try:
            watcher.start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert ear.heard == [WatcherDied(f"inotify is not to be had: {os.strerror(errno.EMFILE)}")]
        assert not watcher.alive()
        assert free == os.open("/", os.O_RDONLY), "nothing is left open"
        os.close(free)
    watcher.add(top)
    watcher.stop()


def test_stop_does_not_wait_for_a_receiver_that_hangs(ear: Ear, top: bytes) -> None:
    with watching(ear) as watcher:
        watcher.add(top)
        ear.hold()
        storm(top, 500)
        began = time.monotonic()
        watcher.stop()
        assert time.monotonic() - began < 5  # and not until it is let go
        ear.release()
        assert eventually(lambda: not watcher.alive())
        assert not any("inotify" in os.readlink(f"/proc/self/fd/{fd}") for fd in open_fds())


def test_hints_carry_on_beside_failures(ear: Ear, top: bytes) -> None:
    (good,) = folders(top, 1)
    with watching(ear) as watcher:
        watcher.add(top + b"/d" * 2_500)
        watcher.add(good)
        os.mkdir(join(good, b"new"))
        assert ear.hinted(good, b"new", deep=True)
        assert [type(told) for told in ear.heard] == [WatchFailed, Hint]
