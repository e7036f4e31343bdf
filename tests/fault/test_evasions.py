"""How intruders hide from a tool like this, done to the whole daemon: each trick and its stated answer."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.daemon import Guard, guarding, until

# These are asked before the tree's own rule.
RULES = """
[[rule]]
name = "forged"
kind = "file"
gained = ["backdated"]
severity = "high"
technique = "T1070.006"
advice = "A test."

[[rule]]
name = "covered"
kind = "file"
actions = ["changed"]
gained = ["mountpoint"]
severity = "critical"
technique = "T1564.013"
advice = "A test."
"""


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A daemon on a small tree of two folders, watching; its pulse does not beat, as nothing is critical."""
    made = Guard(tmp_path, sections=RULES)
    for folder in ("bin", "conf"):
        (made.tree / folder).mkdir()
        for number in range(3):
            (made.tree / folder / f"file{number}").write_text(f"{folder} {number}\n")
    with guarding(made):
        yield made.start()


def settled(path: Path) -> None:
    """Wait until the clock that stamps files has moved on since the file's last change."""
    stamp = path.stat().st_ctime_ns
    until(lambda: time.time_ns() - stamp > 50_000_000, "the clock that stamps files moved on")


@contextmanager
def between_two_looks(guard: Guard) -> Iterator[None]:
    """While the daemon does not look."""
    guard.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        guard.signal(signal.SIGCONT)


def test_a_forged_mtime_is_told_as_one(guard: Guard) -> None:
    path = guard.tree / "bin/file0"
    settled(path)
    before = path.stat()
    with between_two_looks(guard):
        path.write_text("BIN 0\n")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    told = guard.hears(path, "opened")
    assert told["rule"]["name"] == "forged"
    assert "T1070.006" in told["threat"]["technique"]["id"]
    assert "although its mtime did not move" in told["message"]


def test_a_time_set_back_without_a_change_is_told_as_forged(guard: Guard) -> None:
    path = guard.tree / "bin/file0"
    settled(path)
    os.utime(path, (1_500_000_000, 1_500_000_000))
    told = guard.hears(path, "opened")
    assert told["rule"]["name"] == "forged"
    assert "older than the change" in told["message"]


def test_a_change_put_back_between_two_looks_is_told_as_touched(guard: Guard) -> None:
    path = guard.tree / "bin/file0"
    settled(path)
    before, content = path.stat(), path.read_bytes()
    with between_two_looks(guard):
        path.write_text("an implant\n")
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "something was changed and put back" in guard.hears(path, "opened")["message"]
    assert guard.finds(path)["changed"] == ["ctime"]


def test_a_replacement_by_rename_is_one_drift(guard: Guard) -> None:
    path = guard.tree / "bin/file0"
    new = guard.folder / "new"
    new.write_text("another program\n")
    new.rename(path)
    assert "another inode in its place" in guard.hears(path, "opened")["message"]
    assert guard.findings().keys() == {str(path)}
    assert {"sha256", "inode"} <= set(guard.finds(path)["changed"])
    assert len(guard.about(path)) == 1


def test_a_second_name_from_a_folder_nobody_watches_is_found_by_its_count(guard: Guard) -> None:
    path = guard.tree / "bin/file0"
    os.link(path, guard.folder / "second")
    guard.call("check")
    assert "links" in guard.finds(path)["changed"]


def test_a_file_linked_in_without_ever_having_had_a_name(guard: Guard) -> None:
    try:
        fd = os.open(guard.tree / "bin", os.O_TMPFILE | os.O_RDWR, 0o755)
    except OSError as error:
        pytest.skip(f"no O_TMPFILE here: {error.strerror}")
    os.write(fd, b"an implant\n")
    os.link(f"/proc/self/fd/{fd}", guard.tree / "bin/implant", src_dir_fd=fd, follow_symlinks=True)
    os.close(fd)
    assert guard.hears(guard.tree / "bin/implant", "opened")


def test_a_parent_folder_that_is_swapped_for_another(guard: Guard) -> None:
    other = guard.folder / "other"
    other.mkdir()
    (other / "file0").write_text("not the same\n")
    (other / "implant").write_text("new\n")
    (guard.tree / "bin").rename(guard.folder / "aside")
    other.rename(guard.tree / "bin")
    for name in ("file0", "file1", "implant"):
        guard.hears(guard.tree / "bin" / name, "opened")
    (guard.tree / "bin/file0").write_text("and watched from now on\n")
    until(lambda: len(guard.about(guard.tree / "bin/file0")) > 1, "the new folder is watched")
    quiet = len(guard.alerts())
    (guard.folder / "aside/file0").write_text("nobody's business any more\n")
    guard.call("check")
    assert len(guard.alerts()) == quiet


def test_the_watched_folder_itself_is_swapped(guard: Guard) -> None:
    other = guard.folder / "other"
    (other / "bin").mkdir(parents=True)
    (other / "bin/file0").write_text("not the same\n")
    guard.tree.rename(guard.folder / "aside")
    other.rename(guard.tree)
    assert guard.hears(guard.tree / "bin/file0", "opened")
    assert guard.hears(guard.tree / "conf/file0", "opened"), "which is gone with its folder"
    (guard.tree / "bin/file9").write_text("watched from now on\n")
    assert guard.hears(guard.tree / "bin/file9", "opened")


def test_a_folder_swapped_for_a_link_is_told_and_not_followed(guard: Guard) -> None:
    other = guard.folder / "other"
    (guard.tree / "bin").rename(other)
    (guard.tree / "bin").symlink_to(other)
    told = guard.hears(guard.tree / "bin", "opened")
    assert "it was a folder and is a symlink now" in told["message"]
    assert guard.hears(guard.tree / "bin/file0", "opened"), "nothing is there but through the link"


def test_a_link_that_points_elsewhere_now(guard: Guard) -> None:
    link = guard.tree / "conf/link"
    link.symlink_to("file0")
    guard.hears(link)
    guard.approve()
    beside = guard.folder / "beside"
    beside.symlink_to("/tmp/implant")
    beside.rename(link)
    until(lambda: "file0 → /tmp/implant" in guard.hears(link, "opened")["message"], "its new target is told")


def test_a_mount_over_a_watched_folder(guard: Guard) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    other = guard.folder / "other"
    other.mkdir()
    point = guard.tree / "bin"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "hostguard-test", str(point)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"may not mount here: {done.stderr.decode(errors='replace').strip()}")
    try:
        guard.call("check")
        until(
            lambda: {"file", "mount"} <= {one["hostguard"]["kind"] for one in guard.about(point)},
            "the entry is told, and the mount",
        )
        assert guard.finds(point / "file0"), "what lies beneath cannot be seen"
    finally:
        subprocess.run(["umount", str(point)], check=True)
    guard.call("check")
    assert guard.findings() == {}


def test_what_must_never_be_opened_is_told_and_stops_nobody(guard: Guard) -> None:
    place = guard.tree / "bin"
    os.mkfifo(place / "fifo")
    with (place / "sparse").open("wb") as sparse:
        try:
            sparse.truncate(10 * 2**40)
        except OSError as error:
            pytest.skip(f"no sparse file of 10 TB here: {error.strerror}")
    os.symlink("/dev/zero", place / "zero")
    if os.geteuid() == 0:
        os.mknod(place / "device", stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero
        guard.hears(place / "device", "opened")
    for name in ("fifo", "sparse", "zero"):
        guard.hears(place / name, "opened")
    (place / "file0").write_text("still told\n")
    assert guard.hears(place / "file0", "opened")


def test_what_was_written_late_through_memory_is_found_by_the_full_sweep(guard: Guard) -> None:
    """Nothing critical, so no pulse: mmap(2) gives no hint, but the bytes are read again."""
    path = guard.tree / "bin/file0"
    writer = "import mmap, sys; f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 0); m[0:3] = b'BIN'"
    subprocess.run(["python3", "-c", writer, str(path)], check=True)
    guard.call("check", full=True)
    assert "sha256" in guard.finds(path)["changed"]


def test_a_moved_clock_does_not_hide_a_change(guard: Guard) -> None:
    """A time of 1970 or of 2100 is as different as any."""
    for name, when in (("file0", 1), ("file1", 4_102_444_800)):
        path = guard.tree / "bin" / name
        path.write_text("changed\n")
        os.utime(path, (when, when))
        assert guard.hears(path, "opened")
