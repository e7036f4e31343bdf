"""What the kernel does and what the watcher makes of it: real inotify on a real file system."""

from __future__ import annotations

import errno
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostguardd.host.clock import SystemClock
from hostguardd.model import join, split
from hostguardd.sensors.watch import Hint, Overflow, Signal, Watcher, WatcherDied
from hostguardd.sensors.watched import Watched
from tests.ear import Ear, eventually, watching

ODD = [b"plain", b"\xff\xfe", b"new\nline", b"esc\x1b[2J", "‮rtl".encode(), b" ", b"n" * 255]


@pytest.fixture
def top(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path)


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def watcher(ear: Ear) -> Iterator[Watcher]:
    with watching(ear) as started:
        yield started


def write(path: bytes, text: bytes = b"text") -> None:
    with open(path, "wb") as file:
        file.write(text)


def set_xattr(path: bytes) -> None:
    try:
        os.setxattr(path, b"user.note", b"x")
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            pytest.skip("no user.* attributes on this file system")
        raise


def append(path: bytes) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def replace(path: bytes) -> None:
    write(path + b".tmp")
    os.rename(path + b".tmp", path)


CHANGES: dict[str, Callable[[bytes], None]] = {
    "written": append,
    "mode": lambda path: os.chmod(path, 0o4755),
    "owner": lambda path: os.chown(path, os.getuid(), os.getgid()),
    "times": lambda path: os.utime(path, (1, 1)),
    "attribute": set_xattr,
    "deleted": os.unlink,
    "moved away": lambda path: os.rename(path, path + b".old"),
    "replaced": replace,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_change_of_a_file_is_hinted(
    watcher: Watcher, ear: Ear, top: bytes, change: Callable[[bytes], None]
) -> None:
    write(join(top, b"file"))
    watcher.add(top)
    before = time.monotonic_ns()
    change(join(top, b"file"))
    assert ear.hinted(top, b"file")
    found = next(s for s in ear.heard if isinstance(s, Hint) and s.name == b"file")
    assert before <= found.at <= time.monotonic_ns()


@pytest.mark.parametrize("name", ODD)
def test_names_are_the_bytes_they_are(watcher: Watcher, ear: Ear, top: bytes, name: bytes) -> None:
    watcher.add(top)
    write(join(top, name))
    assert ear.hinted(top, name)
    os.mkdir(join(top, b"in"))
    os.mkdir(join(join(top, b"in"), name))
    watcher.add(join(join(top, b"in"), name))
    write(join(join(join(top, b"in"), name), b"below"))
    assert ear.hinted(join(join(top, b"in"), name), b"below")


def test_reading_raises_nothing(watcher: Watcher, ear: Ear, top: bytes) -> None:
    write(join(top, b"file"))
    watcher.add(top)
    with open(join(top, b"file"), "rb") as file:
        file.read()
    os.listdir(top)
    write(join(top, b"last"))
    assert ear.hinted(top, b"last")
    assert {name for _, name, _ in ear.hints()} == {b"last"}


def test_a_hard_link_is_hinted_where_it_appears(watcher: Watcher, ear: Ear, top: bytes) -> None:
    """And only there: of the link count that changes under the old name inotify says nothing."""
    for name in (b"a", b"b"):
        os.mkdir(join(top, name))
        watcher.add(join(top, name))
    write(join(top, b"a/file"))
    assert ear.hinted(join(top, b"a"), b"file")
    os.link(join(top, b"a/file"), join(top, b"b/twin"))
    assert ear.hinted(join(top, b"b"), b"twin")


@pytest.mark.parametrize("come", [os.mkdir, lambda path: os.rename(split(path)[0] + b".away", path)])
def test_a_folder_that_appears_is_hinted_deep(
    watcher: Watcher, ear: Ear, top: bytes, come: Callable[[bytes], None]
) -> None:
    os.mkdir(join(top, b"t"))
    os.mkdir(join(top, b"t.away"))
    watcher.add(join(top, b"t"))
    come(join(top, b"t/new"))
    assert ear.hinted(join(top, b"t"), b"new", deep=True)


def test_the_folder_itself_is_hinted_by_its_parent_and_its_name(
    watcher: Watcher, ear: Ear, top: bytes
) -> None:
    os.mkdir(join(top, b"t"))
    watcher.add(join(top, b"t"))
    os.chmod(join(top, b"t"), 0o700)
    assert ear.hinted(top, b"t")
    os.rmdir(join(top, b"t"))
    assert ear.hinted(top, b"t", deep=True)
    assert eventually(lambda: watcher.folders() == 0)


def test_a_renamed_tree_is_no_longer_told_of_under_its_old_name(
    watcher: Watcher, ear: Ear, top: bytes
) -> None:
    os.makedirs(join(top, b"old/in"))
    os.makedirs(join(top, b"older"))
    for folder in (b"", b"old", b"old/in", b"older"):
        watcher.add(join(top, folder) if folder else top)
    os.rename(join(top, b"old"), join(top, b"new"))
    assert ear.hinted(top, b"old", deep=True)
    assert ear.hinted(top, b"new", deep=True)
    assert eventually(lambda: watcher.folders() == 2)
    watcher.add(join(top, b"new"))
    watcher.add(join(top, b"new/in"))
    ear.forget()
    write(join(top, b"new/in/file"))
    write(join(top, b"older/file"))
    assert ear.hinted(join(top, b"new/in"), b"file")
    assert ear.hinted(join(top, b"older"), b"file")
    assert not any(folder.startswith(join(top, b"old/")) for folder, _, _ in ear.hints())


def test_a_tree_moved_out_and_replaced_is_watched_anew(watcher: Watcher, ear: Ear, top: bytes) -> None:
    os.makedirs(join(top, b"seen/conf"))
    watcher.add(join(top, b"seen"))
    watcher.add(join(top, b"seen/conf"))
    os.rename(join(top, b"seen/conf"), join(top, b"out"))
    os.mkdir(join(top, b"seen/conf"))
    assert ear.hinted(join(top, b"seen"), b"conf", deep=True)
    assert eventually(lambda: watcher.folders() == 1)
    watcher.add(join(top, b"seen/conf"))
    ear.forget()
    write(join(top, b"out/stray"))
    write(join(top, b"seen/conf/file"))
    assert ear.hinted(join(top, b"seen/conf"), b"file")
    assert b"stray" not in {name for _, name, _ in ear.hints()}


def test_adding_again_under_another_name_follows_a_rename_nobody_saw(ear: Ear, top: bytes) -> None:
    os.mkdir(join(top, b"a"))
    watched = Watched(100, ear)
    watched.add(join(top, b"a"))
    os.rename(join(top, b"a"), join(top, b"b"))
    watched.add(join(top, b"b"))
    assert list(watched.paths.values()) == [join(top, b"b")]
    os.mkdir(join(top, b"a"))
    os.rename(join(top, b"b"), join(top, b"c"))
    os.mkdir(join(top, b"b"))
    watched.add(join(top, b"c"))
    assert list(watched.paths.values()) == [join(top, b"c")], "no watch is left on the stranger at b"
    assert watched.inotify.living() == set(watched.paths)
    watched.close()


def test_watches_that_ended_unheard_are_pruned(ear: Ear, top: bytes) -> None:
    watched = Watched(100, ear)
    for name in (b"a", b"b"):
        os.mkdir(join(top, name))
        watched.add(join(top, name))
    os.rmdir(join(top, b"a"))
    assert len(watched.paths) == 2
    watched.prune()
    assert list(watched.paths.values()) == [join(top, b"b")]
    watched.close()


def test_only_true_folders_are_watched_and_what_vanished_is_no_failure(
    watcher: Watcher, ear: Ear, top: bytes
) -> None:
    os.mkdir(join(top, b"folder"))
    os.symlink(b"folder", join(top, b"link"))
    write(join(top, b"file"))
    for name in (b"link", b"file", b"nothing", b"file/below"):
        watcher.add(join(top, name))
    assert watcher.folders() == 0
    assert watcher.unwatched() == {}
    assert ear.heard == []


def test_adding_twice_is_adding_once(watcher: Watcher, ear: Ear, top: bytes) -> None:
    for _ in range(3):
        watcher.add(top)
    assert watcher.folders() == 1
    write(join(top, b"file"))
    assert ear.hinted(top, b"file")


def test_forgetting_takes_the_tree_and_nothing_beside_it(watcher: Watcher, ear: Ear, top: bytes) -> None:
    for name in (b"t", b"t/in", b"t2"):
        os.mkdir(join(top, name))
    for name in (b"t", b"t/in", b"t2"):
        watcher.add(join(top, name))
    watcher.forget(join(top, b"t"))
    assert watcher.folders() == 1
    write(join(top, b"t/in/file"))
    write(join(top, b"t2/file"))
    assert ear.hinted(join(top, b"t2"), b"file")
    assert {folder for folder, _, _ in ear.hints()} == {join(top, b"t2")}


def test_nothing_falls_between_when_every_deep_hint_is_swept(top: bytes) -> None:
    """The promise to the engine: add before listing, sweep what is hinted deep, and all is seen."""
    inbox: queue.Queue[Signal] = queue.Queue()
    seen: set[bytes] = set()
    wanted = {join(top, b"%d/b/c/d/file%d" % (i % 40, i)) for i in range(120)}

    def sweep(path: bytes, watcher: Watcher) -> None:
        seen.add(path)
        watcher.add(path)
        try:
            names = os.listdir(path)
        except NotADirectoryError:
            return
        for name in names:
            sweep(join(path, name), watcher)

    def build() -> None:
        for path in wanted:
            os.makedirs(split(path)[0], exist_ok=True)
            write(path)

    with watching(inbox.put) as watcher:
        watcher.add(top)
        builder = threading.Thread(target=build)
        builder.start()
        deadline = time.monotonic() + 10
        while not wanted <= seen and time.monotonic() < deadline:
            signal = inbox.get(timeout=10)
            assert isinstance(signal, Hint)
            path = join(signal.folder, signal.name or b"")
            if signal.deep:
                sweep(path, watcher)
            else:
                seen.add(path)
        builder.join()
    assert wanted <= seen


def test_folders_may_be_added_by_many_threads_while_they_come_and_go(
    watcher: Watcher, ear: Ear, top: bytes
) -> None:
    def churn(number: int) -> None:
        for round_ in range(200):
            folder = join(top, b"%d-%d" % (number, round_ % 5))
            os.mkdir(folder)
            watcher.add(folder)
            os.rmdir(folder)
            watcher.add(folder)

    threads = [threading.Thread(target=churn, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert eventually(lambda: watcher.folders() == 0), "a watch that ended stays in the table"
    assert watcher.alive()
    assert ear.of(WatcherDied) == []


def test_stop_ends_threads_and_descriptors(ear: Ear, top: bytes) -> None:
    def descriptors() -> set[str]:
        return {os.readlink(f"/proc/self/fd/{fd}") for fd in _fds()}

    threads = threading.active_count()
    with watching(ear) as watcher:
        watcher.add(top)
        assert watcher.alive()
        assert any("inotify" in target for target in descriptors())
        began = time.monotonic()
        watcher.stop()
        assert time.monotonic() - began < 5
        assert not watcher.alive()
        watcher.stop()
        watcher.add(top)
    assert eventually(lambda: threading.active_count() == threads)
    assert not any("inotify" in target for target in descriptors())


def _fds() -> Iterator[str]:
    for fd in os.listdir("/proc/self/fd"):
        if os.path.lexists(f"/proc/self/fd/{fd}"):
            yield fd


def test_before_start_nothing_happens(ear: Ear, top: bytes) -> None:
    watcher = Watcher(ear, SystemClock(), 10)
    watcher.add(top)
    watcher.forget(top)
    watcher.retry()
    assert not watcher.alive()
    assert watcher.folders() == 0
    assert watcher.unwatched() == {}
    watcher.stop()


def test_a_storm_on_few_files_is_few_hints_and_no_overflow(watcher: Watcher, ear: Ear, top: bytes) -> None:
    write(join(top, b"a"))
    write(join(top, b"b"))
    watcher.add(top)
    ear.hold()
    for round_ in range(20_000):
        os.chmod(join(top, (b"a", b"b")[round_ % 2]), 0o600 + round_ % 8)
    write(join(top, b"last"))
    ear.release()
    assert ear.hinted(top, b"last")
    assert ear.of(Overflow) == []
    assert len(ear.heard) < 100
