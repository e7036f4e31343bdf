"""What brings no hint is noticed all the same: the pulse over real files, and the whole daemon under it."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostguardd.engine import pulse as room
from hostguardd.engine.pulse import Pulse
from hostguardd.host.clock import SystemClock
from hostguardd.host.files import LinuxFiles, Mark
from hostguardd.host.inode import FS_IOC_GETFLAGS
from hostguardd.model import Hint, Severity, join
from hostguardd.policy import Policy
from hostguardd.rules import Rule
from hostguardd.watches import Watches
from hostguardd.watchlist import Watch
from tests.daemon import Guard, guarding, until

FS_IOC_SETFLAGS = 0x40086602  # linux/fs.h
NOATIME = 0x80
TICK = 0.02


class Places:
    """Everything below `/etc/critical` is urgent, and the named file."""

    def __init__(self) -> None:
        globs = (b"/etc/critical", b"/etc/critical/**", b"/etc/passwd", b"/home/*/.keys", b"/etc/log")
        critical = Rule("c", Severity.CRITICAL, kind="file", where={"path": globs})
        rest = Rule("r", Severity.LOW)
        self.policy = Policy([critical, rest])
        log = Watch("log", (b"/etc/log",), growing=True)
        self.watches = Watches([Watch("etc", (b"/etc",)), Watch("home", (b"/home/*/.keys",)), log])

    def urgent_globs(self) -> tuple[bytes, ...]:
        return self.policy.urgent_globs()

    def urgent(self, path: bytes) -> bool:
        return self.watches.find(path) is not None and self.policy.urgent(path)


class Heart:
    """A pulse over a folder of the test, and what it hinted."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.hints: list[Hint] = []
        for folder in ("etc/critical/sub", "etc/dull", "home/eve"):
            (top / folder).mkdir(parents=True)
        for name in ("etc/passwd", "etc/critical/a", "etc/critical/sub/b", "etc/dull/x", "etc/log", "etc/y"):
            (top / name).write_text(name)
        places = Places()
        self.pulse = Pulse(
            LinuxFiles(os.fsencode(top)),
            lambda: places,
            SystemClock(),
            self.hints.append,
            1.0,
        )
        self.rest()

    def rest(self) -> None:
        """Two beats in which nothing happens; what came before is forgotten."""
        self.pulse.beat()
        stamp = time.time_ns()
        until(lambda: time.time_ns() - stamp > TICK * 1e9, "the clock that stamps files moved on")
        self.hints.clear()

    def feels(self, act: Callable[[], object]) -> set[bytes]:
        """The paths hinted by the beats after an act."""
        act()
        self.pulse.beat()
        found = {join(hint.folder, hint.name or b"") for hint in self.hints}
        self.rest()
        return found


@pytest.fixture
def heart(tmp_path: Path) -> Heart:
    return Heart(tmp_path)


def test_nothing_is_hinted_while_nothing_moves(heart: Heart) -> None:
    for _ in range(3):
        assert heart.feels(lambda: None) == set()
    assert len(heart.pulse) >= 5


def test_each_change_of_something_urgent_or_of_settings_is_hinted_and_of_nothing_else(heart: Heart) -> None:
    top = heart.top
    a, passwd = top / "etc/critical/a", top / "etc/passwd"
    assert heart.feels(lambda: passwd.chmod(0o600)) == {b"/etc/passwd"}
    assert heart.feels(lambda: os.truncate(a, 1)) == {b"/etc/critical/a"}
    assert heart.feels(lambda: os.truncate(top / "etc/critical/sub/b", 1)) == {b"/etc/critical/sub/b"}
    assert heart.feels(lambda: os.link(a, top / "elsewhere")) == {b"/etc/critical/a"}
    assert heart.feels(lambda: (top / "elsewhere").write_text("through another name")) == {b"/etc/critical/a"}
    assert heart.feels(lambda: os.replace(top / "etc/dull/x", passwd)) == {b"/etc/passwd", b"/etc/dull/x"}
    assert heart.feels(lambda: (top / "home/eve/other").write_text("elsewhere")) == set()
    assert heart.feels(lambda: (top / "etc/y").write_text("dull")) == {b"/etc/y"}
    assert heart.feels(lambda: (top / "etc/log").write_text("growing")) == set()


class Ailing(LinuxFiles):
    """Files of a host that now and then does what nobody foresaw."""

    well = True

    def mark(self, path: bytes) -> Mark | None:
        if not self.well:
            raise MemoryError("out of everything")
        return super().mark(path)


def test_a_beat_that_fails_is_told_once_and_does_not_end_the_pulse(tmp_path: Path) -> None:
    (tmp_path / "etc/critical").mkdir(parents=True)
    passwd = tmp_path / "etc/passwd"
    passwd.write_text("root")
    files, places = Ailing(os.fsencode(tmp_path)), Places()
    hints: list[Hint] = []
    said: list[str] = []
    pulse = Pulse(files, lambda: places, SystemClock(), hints.append, TICK, said.append)
    pulse.start()
    try:
        until(lambda: len(pulse) > 0, "it beats")
        files.well = False
        until(lambda: said == ["MemoryError: out of everything"], "the failure is told")
        time.sleep(5 * TICK)
        files.well = True
        until(lambda: said == ["MemoryError: out of everything", ""], "and its end, both once")
        passwd.chmod(0o600)
        until(lambda: any(hint.name == b"passwd" for hint in hints), "it beats on")
    finally:
        pulse.stop()


def test_what_comes_and_goes_in_an_urgent_folder_is_hinted_and_then_looked_at(heart: Heart) -> None:
    new = heart.top / "etc/critical/new"
    assert heart.feels(lambda: new.write_text("x")) == {b"/etc/critical", b"/etc/critical/new"}
    assert heart.feels(lambda: os.truncate(new, 0)) == {b"/etc/critical/new"}
    assert b"/etc/critical/new" in heart.feels(new.unlink)
    assert heart.feels(lambda: None) == set()


def test_a_name_that_appears_where_it_was_looked_for_is_hinted(heart: Heart) -> None:
    keys = heart.top / "home/eve/.keys"
    assert heart.feels(lambda: keys.write_text("x")) == {b"/home/eve/.keys"}


def test_more_than_one_beat_s_worth_is_looked_at_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "BEAT", 2)
    heart = Heart(tmp_path)
    passwd = tmp_path / "etc/passwd"
    passwd.chmod(0o600)
    (tmp_path / "etc/critical/a").chmod(0o600)
    for _ in range(len(heart.pulse)):
        heart.pulse.beat()
    assert {join(h.folder, h.name or b"") for h in heart.hints} == {b"/etc/passwd", b"/etc/critical/a"}


def test_there_is_an_end_to_what_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST", 3)
    assert len(Heart(tmp_path).pulse) == 3


# The whole daemon


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A daemon with a critical file, whose watches of folders ran out but for the anchors."""
    made = Guard(tmp_path, sections="[sweeps]\npulse = 0.2\n")
    (made.tree / "loud").write_bytes(b"critical\n" * 1000)
    (tmp_path / "unwatched").mkdir()
    with guarding(made):
        yield made


def attribute(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(8)))
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("l", flags ^ NOATIME))
    except OSError as error:
        pytest.skip(f"no chattr flags here: {error.strerror}")
    finally:
        os.close(fd)


def truncate(path: Path) -> None:
    os.truncate(path, 9)


def through_a_link(path: Path) -> None:
    """The link was there before; its folder is watched by nobody."""
    other = path.parent.parent / "unwatched" / "other"
    with other.open("r+b") as file:
        file.write(b"CRITICAL")


HELD: list[object] = []


def through_an_open_descriptor(path: Path) -> None:
    """Written, and not closed while the test runs."""
    file = path.open("r+b", buffering=0)
    file.write(b"CRITICAL")
    HELD.append(file)


def through_memory(path: Path) -> None:
    """As an implant patches a program: mapped, written, never closed."""
    with path.open("r+b") as file:
        view = mmap.mmap(file.fileno(), 0)
    view[:8] = b"CRITICAL"
    HELD.append(view)


def without_a_name(path: Path) -> None:
    """O_TMPFILE, linked beside, renamed over: the new inode never had another name."""
    try:
        fd = os.open(path.parent.parent / "unwatched", os.O_TMPFILE | os.O_RDWR, 0o644)
    except OSError as error:
        pytest.skip(f"no O_TMPFILE here: {error.strerror}")
    os.write(fd, b"CRITICAL\n" * 1000)
    beside = path.parent.parent / "unwatched" / "linked"
    # Only with a folder's descriptor does Python call linkat(2), which follows: open(2), O_TMPFILE.
    os.link(f"/proc/self/fd/{fd}", beside, src_dir_fd=fd, follow_symlinks=True)
    os.close(fd)
    os.rename(beside, path)


ACTS = [
    (attribute, {"flags", "ctime"}),
    (truncate, {"size", "sha256"}),
    (through_a_link, {"sha256"}),
    (through_an_open_descriptor, {"sha256"}),
    (through_memory, {"sha256"}),
    (without_a_name, {"sha256", "inode"}),
]


@pytest.mark.parametrize(("act", "fields"), ACTS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_the_kernel_does_not_hint_is_told_within_seconds(
    guard: Guard, act: Callable[[Path], None], fields: set[str]
) -> None:
    path = guard.tree / "loud"
    os.link(path, guard.folder / "unwatched" / "other")
    guard.start()
    before = time.monotonic()
    try:
        act(path)
        told = guard.hears(path, "opened")
        assert time.monotonic() - before < 20, "long before any sweep"
        assert fields <= set(guard.finds(path)["changed"])
        assert told["hostguard"]["severity"] == "critical"
    finally:
        for held in HELD:
            held.close()  # type: ignore[attr-defined]
        HELD.clear()


def test_a_beat_costs_little(tmp_path: Path) -> None:
    """A thousandth of a core at one beat a second is a millisecond; a slow machine is given three."""
    heart = Heart(tmp_path)
    for number in range(room.BEAT - len(heart.pulse)):
        (tmp_path / f"etc/critical/file{number:03}").write_text("x")
    heart.rest()
    heart.rest()
    assert len(heart.pulse) >= room.BEAT - 10

    def cost() -> int:
        began = time.thread_time_ns()
        heart.pulse.beat()
        return time.thread_time_ns() - began

    assert sorted(cost() for _ in range(20))[5] < 3_000_000
