"""The one walk over all file systems: what it collects, what it counts, what it leaves alone."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import pytest

from hostguardd.host import beneath
from hostguardd.host.mounts import Mount
from hostguardd.investigate.files import walk
from hostguardd.investigate.files.gathered import NEWEST
from hostguardd.investigate.files.walk import chosen, walked
from hostguardd.investigate.scene import Scene
from tests import rights
from tests.fakehost import FakeFiles, Faulty
from tests.scenes import scene
from tests.trees import clean, put

ROOT = pytest.mark.skipif(not rights.ROOT, reason="only root makes devices and gives files away")


def on(host: Path | FakeFiles) -> Scene:
    if isinstance(host, Path):
        return scene(bytes(host))
    return scene(b"/", files=host)


def mount(point: bytes, fstype: bytes, device: int, root: bytes = b"/", options: bytes = b"rw") -> Mount:
    return Mount(point, fstype, b"/dev/x", device, root, options)


def test_what_is_mounted_twice_is_walked_once_and_what_is_not_a_file_system_of_ours_never() -> None:
    walk, remote = chosen([
        mount(b"/", b"ext4", 1),
        mount(b"/proc", b"proc", 2),
        mount(b"/again", b"ext4", 1),
        mount(b"/part", b"ext4", 1, b"/srv/data"),
        mount(b"/home", b"xfs", 3),
        mount(b"/mnt", b"nfs4", 4),
        mount(b"/var/lib/docker/overlay2/x/merged", b"overlay", 5),
    ])  # fmt: skip
    assert [one.point for one in walk] == [b"/", b"/home"]
    assert [one.point for one in remote] == [b"/mnt"]


def test_a_part_whose_whole_is_not_mounted_is_walked() -> None:
    walk, _ = chosen([mount(b"/", b"ext4", 1), mount(b"/home", b"btrfs", 3, b"/@home")])
    assert [one.point for one in walk] == [b"/", b"/home"]


def test_everything_is_counted_and_little_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MOST", 10)
    monkeypatch.setattr(walk, "MOST_CHANGED", 10)
    clean(tmp_path)
    for number in range(40):
        put(tmp_path, f"/tmp/p{number}", mode=0o755)
        put(tmp_path, f"/usr/lib/f{number}")
        put(tmp_path, f"/var/log/l{number}")
    found = walked(on(tmp_path))
    assert found.counts["temporary"] == 40
    assert len(found.temporary) == 10
    assert found.counts["system"] >= 40
    assert len(found.changed) == 10
    assert found.tops[b"/var/log"].count == 40
    assert len(found.tops[b"/var/log"].newest) == NEWEST


def test_the_newest_of_the_changed_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MOST_CHANGED", 3)
    clean(tmp_path)
    for number in range(9):
        put(tmp_path, f"/usr/lib/f{number}")
        time.sleep(0.02)
    names = [os.path.basename(one.path) for one in walked(on(tmp_path)).newest if not one.mode & 0o111]
    assert names == [b"f8", b"f7", b"f6"]


def test_many_new_files_do_not_crowd_out_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MOST_CHANGED", 3)
    clean(tmp_path)
    put(tmp_path, "/usr/lib/program").chmod(0o755)
    for number in range(9):
        put(tmp_path, f"/usr/lib/f{number}")
    assert b"/usr/lib/program" in [one.path for one in walked(on(tmp_path)).newest]


def test_what_did_not_change_within_the_time_is_not_told(tmp_path: Path) -> None:
    clean(tmp_path)
    later = scene(bytes(tmp_path), now=time.time() + 30 * 86400)
    assert walked(later).counts["changed"] == 0
    assert walked(on(tmp_path)).counts["changed"] > 0


def test_a_folder_of_very_many_names_costs_no_memory_for_each(tmp_path: Path) -> None:
    files = FakeFiles()
    folder = files.folder(b"/var/spool/much")
    one = files.write(b"/var/spool/much/0")
    for number in range(200_000):
        folder.children[b"%d" % number] = one
    found = walked(on(files))
    assert found.entries > 200_000
    assert sum(len(top.newest) for top in found.tops.values()) < 20


def test_nor_does_a_folder_of_very_many_folders() -> None:
    files = FakeFiles()
    folder = files.folder(b"/srv/much")
    one = files.folder(b"/srv/much/0")
    for number in range(100_000):
        folder.children[b"%d" % number] = one
    where = on(files)
    files.opened = Forgetful()
    tracemalloc.start()
    try:
        found = walked(where)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.folders > 100_000
    assert peak < 100_000 * 30  # the names in one piece, and the fake's own list of them


class Forgetful(list[bytes]):
    """A list that keeps nothing."""

    def append(self, value: bytes) -> None:
        pass


def test_nobody_crowds_out_what_others_find_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "MOST_OF_TOP", 5)
    clean(tmp_path)
    for number in range(20):
        put(tmp_path, f"/tmp/.. {number}/x", mode=0o755)
        put(tmp_path, f"/home/carol/s{number}", mode=0o2755)
    put(tmp_path, "/usr/lib/.../kit")
    found = walked(on(tmp_path))
    assert found.counts["odd"] == 21
    assert b"/usr/lib/..." in [one.entry.path for one in found.odd]
    assert len(found.odd) == 6
    assert found.counts["lending"] == 21
    assert b"/usr/bin/passwd" in [one.fact.path for one in found.lending]
    assert len(found.lending) == 6


def test_what_is_read_of_them_is_bounded_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MOST_READ", 100)
    clean(tmp_path)
    for number in range(3):
        put(tmp_path, f"/opt/s{number}", b"x" * 60, mode=0o4755)
    read = [one for one in walked(on(tmp_path)).lending if one.fact.path.startswith(b"/opt")]
    assert len(read) == 3
    assert sum(not one.problem for one in read) == 1


def test_layers_of_containers_are_other_peoples_systems(tmp_path: Path) -> None:
    clean(tmp_path)
    put(tmp_path, "/var/lib/docker/overlay2/x/diff/usr/bin/su", mode=0o4755)
    put(tmp_path, "/var/lib/docker/overlay2/x/diff/usr/.../kit")
    found = walked(on(tmp_path))
    assert found.counts["layers-setid"] == 1
    assert not found.odd
    assert [one.fact.path for one in found.lending] == [b"/usr/bin/passwd"]


def test_a_network_mount_is_not_touched_and_told() -> None:
    files = FakeFiles()
    files.mount(b"/mnt/far", b"nfs4")
    files.write(b"/mnt/far/...", b"")
    found = walked(on(files))
    assert b"/mnt/far" not in files.opened
    assert [one.scope for one in found.unseen] == ["files below /mnt/far"]


def test_what_cannot_be_listed_is_told_once_with_how_many() -> None:
    files = FakeFiles()
    files.write(b"/srv/a/x")
    files.write(b"/srv/b/x")
    files.refused |= {b"/srv/a": 13, b"/srv/b": 13}
    (unseen,) = walked(scene(b"/", files=files, uid=1000)).unseen
    assert "2 places" in unseen.reason
    assert unseen.remedy == "sudo hostguardctl investigate"


def test_an_entry_that_cannot_be_looked_at_does_not_end_its_folder() -> None:
    files = FakeFiles()
    files.write(b"/usr/bin/a", mode=0o4755)
    files.write(b"/usr/bin/b", mode=0o4755)
    host = Faulty(files)
    host.refused[b"/usr/bin/a"] = 13
    found = walked(scene(b"/", files=host))
    assert [one.fact.path for one in found.lending] == [b"/usr/bin/b"]
    assert "1 place cannot" in found.unseen[0].reason


def test_a_capability_is_seen_without_any_bit() -> None:
    files = FakeFiles()
    files.write(b"/usr/bin/ping", b"x", mode=0o755)
    files.xattr(
        b"/usr/bin/ping", b"security.capability", bytes.fromhex("0100000200200000000000000000000000000000")
    )
    (one,) = walked(on(files)).lending
    assert one.fact.caps


@ROOT
def test_devices_and_files_of_nobody(tmp_path: Path) -> None:
    clean(tmp_path)
    os.mknod(tmp_path / "var/log/disk", 0o60600, os.makedev(8, 0))
    os.mknod(tmp_path / "dev/sda", 0o60600, os.makedev(8, 0))
    os.chown(put(tmp_path, "/usr/lib/left"), 4711, 0)
    found = walked(on(tmp_path))
    assert [one.path for one in found.devices] == [b"/var/log/disk"]
    assert found.orphan_counts == {4711: 1}


@pytest.mark.parametrize("call", ["openat2", "openat"])
def test_nothing_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    if call == "openat":
        monkeypatch.setattr(beneath.Openat2, "works", classmethod(lambda cls, base: False))
    clean(tmp_path)
    paths = [tmp_path, *tmp_path.rglob("*")]
    for path in paths:  # long ago, so that relatime would move it
        os.utime(path, (1_600_000_000, 1_700_000_000))
    before = {path: os.lstat(path).st_atime_ns for path in paths}
    walked(on(tmp_path))
    assert {path: os.lstat(path).st_atime_ns for path in before} == before


def test_the_walk_ends_when_its_time_is_up(tmp_path: Path) -> None:
    where = on(clean(tmp_path))
    where.stop = lambda: True  # type: ignore[method-assign]
    assert "broken off" in walked(where).unseen[-1].reason
