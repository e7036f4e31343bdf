"""The mounts sensor: what a mount lies on, which options count, when it looks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.diff import drift
from hostguardd.host.mounts import parse_mountinfo
from hostguardd.model import Depth, Drift, MountFact
from hostguardd.sensors.mounts import MountsSensor, Places, rows_of
from hostguardd.watches import Watches
from hostguardd.watchlist import Watch
from tests.fakekernel import FakeKernel

WATCHES = Watches(
    (
        Watch("etc", (b"/etc", b"/usr", b"/var/spool/cron")),
        Watch("keys", (b"/home/*/.ssh", b"/boot/grub*/grubenv")),
        Watch("site", (b"/srv/www/site",), exclude=(b"/srv/www/site/cache/**",)),
    )
)


def never() -> bool:
    return False


class Watcher:
    """Polls the sensor as the daemon does."""

    def __init__(self) -> None:
        self.kernel = FakeKernel()
        self.sensor = MountsSensor(self.kernel, WATCHES, 0.5, self.kernel.wall)
        self.facts = self.look()
        self.kernel.tick(0.5)
        self.sensor.changed()

    def look(self) -> dict[tuple[bytes, int], MountFact]:
        (sweep,) = self.sensor.sweep(Depth.QUICK, never)
        return {(fact.point, fact.layer): fact for fact in map(MountFact.of, sweep.rows)}

    def news(self, seconds: float = 0.5) -> list[Drift]:
        """The drift after so long, if the sensor asks for a sweep at all."""
        self.kernel.tick(seconds)
        if not self.sensor.changed():
            return []
        before, self.facts = self.facts, self.look()
        rows = [{key: fact.row() for key, fact in facts.items()} for facts in (before, self.facts)]
        pairs = [(rows[0].get(key), rows[1].get(key)) for key in before | self.facts]
        found = [drift(MountFact, pair) for pair in pairs if pair[0] != pair[1]]
        return [one for one in found if one]


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.mark.parametrize(
    ("point", "place"),
    [
        (b"/etc", "watched"),
        (b"/etc/ssh", "watched"),
        (b"/usr/bin/ls", "watched"),
        (b"/", "watched"),
        (b"/var", "watched"),
        (b"/var/spool", "watched"),
        (b"/var/spool/cron/crontabs", "watched"),
        (b"/home", "watched"),
        (b"/home/alice", "watched"),
        (b"/home/alice/.ssh", "watched"),
        (b"/boot", "watched"),
        (b"/srv", "watched"),
        (b"/srv/www/site/x", "watched"),
        (b"/srv/www/site/cache/x", "other"),
        (b"/srv/other", "other"),
        (b"/home/alice/mnt", "other"),
        (b"/var/lib/docker/overlay2/x/merged", "other"),
        (b"/proc", "other"),
        (b"/proc/sys/fs/binfmt_misc", "other"),
        (b"/proc/4711", "process"),
        (b"/proc/4711/fd", "process"),
        (b"/proc/self", "process"),
    ],
)
def test_what_a_mount_lies_on(point: bytes, place: str) -> None:
    places = Places(WATCHES)
    assert places.of(point) == place
    places.keep([point])
    assert places.of(point) == place


def test_a_mount_over_another_is_another_layer(watcher: Watcher) -> None:
    watcher.kernel.mount(b"/run", b"ext4", b"/dev/sdb1")
    (found,) = watcher.news()
    assert (found.action.value, found.subject.row()[1:3]) == ("added", (b"/run", 1))
    watcher.kernel.unmount(b"/run")
    (found,) = watcher.news()
    assert found.action.value == "removed"


def test_a_mount_that_the_kernel_does_not_tell_of_is_seen_in_some_seconds(watcher: Watcher) -> None:
    watcher.kernel.mount(b"/etc", b"tmpfs", told=False)
    assert watcher.news() == []
    (found,) = watcher.news(5)
    assert found.subject.label == b"/etc"


def test_what_moved_stays_news_until_it_was_looked_at(watcher: Watcher) -> None:
    watcher.kernel.mount(b"/etc", b"tmpfs")
    watcher.kernel.tick(0.5)
    assert watcher.sensor.changed()
    watcher.kernel.tick(0.1)
    assert watcher.sensor.changed()
    watcher.look()
    assert not watcher.sensor.changed()


@pytest.mark.parametrize(
    ("before", "after", "gained"),
    [
        (b"rw,nosuid,nodev", b"rw,nodev", {"suid"}),
        (b"rw,nosuid,nodev,noexec", b"rw", {"suid", "devices", "executable"}),
        (b"ro,nosuid", b"rw,nosuid", {"writable"}),
    ],
)
def test_an_option_lost_is_a_trait_gained(
    watcher: Watcher, before: bytes, after: bytes, gained: set[str]
) -> None:
    watcher.kernel.mount(b"/data", b"ext4", options=before)
    watcher.news()
    watcher.kernel.unmount(b"/data")
    watcher.kernel.mount(b"/data", b"ext4", options=after)
    (found,) = watcher.news()
    assert found.changed == ("options",)
    assert found.gained() == gained


def test_options_that_move_by_themselves_are_no_change() -> None:
    def row(options: bytes, source: bytes = b"tmpfs", fstype: bytes = b"tmpfs") -> object:
        text = b"30 1 0:7 / /run/user/1 rw,nosuid - %s %s %s\n" % (fstype, source, options)
        return rows_of(parse_mountinfo(text), Places(WATCHES))

    assert row(b"rw,size=99k,nr_inodes=5,mode=700") == row(b"rw,size=12k,nr_inodes=6,mode=700")
    assert row(b"rw,size=99k,mode=700") != row(b"rw,size=99k,mode=777")
    assert row(b"rw,fd=5,pipe_ino=1", fstype=b"autofs") == row(b"rw,fd=7,pipe_ino=2", fstype=b"autofs")
    assert row(b"rw,addr=10.0.0.1,vers=4", fstype=b"nfs4") == row(b"rw,addr=10.0.0.2,vers=4", fstype=b"nfs4")


def test_what_autofs_mounts_is_told_apart_unless_it_is_no_file_system_of_its_own(watcher: Watcher) -> None:
    watcher.kernel.mount(b"/home/alice", b"autofs", b"auto.home")
    watcher.kernel.mount(b"/home/alice", b"nfs4", b"server:/alice")
    watcher.kernel.mount(b"/home/alice/.ssh", b"tmpfs")
    watcher.kernel.mount(b"/home/alice", b"ext4", b"/dev/sda1", root=b"/tmp/x")
    facts = watcher.look()
    assert facts[b"/home/alice", 0].place == "watched"
    assert facts[b"/home/alice", 1].place == "automount"
    assert facts[b"/home/alice", 2].place == "watched"
    assert facts[b"/home/alice/.ssh", 0].place == "watched"


def test_a_bind_mount_says_so_and_a_subvolume_does_not(watcher: Watcher) -> None:
    watcher.kernel.mount(b"/a", b"ext4", root=b"/b c")
    watcher.kernel.mount(b"/d", b"btrfs", root=b"/@d")
    facts = watcher.look()
    assert "bind" in facts[b"/a", 0].traits()
    assert facts[b"/a", 0].root == b"/b c"
    assert "bind" not in facts[b"/d", 0].traits()


def test_a_carriage_return_in_a_name_ends_no_line(watcher: Watcher) -> None:
    watcher.kernel.mount(b"/etc/x\ry", b"tmpfs")
    (found,) = watcher.news()
    assert found.subject.label == b"/etc/x\ry"


@given(st.binary(max_size=400))
def test_garbage_is_passed_over(text: bytes) -> None:
    rows = rows_of(parse_mountinfo(text), Places(WATCHES))
    assert rows == sorted(rows, key=lambda row: row[:3])


@given(st.binary(max_size=40), st.integers(0, 60))
def test_a_bad_line_spoils_no_other(noise: bytes, cut: int) -> None:
    good = b"30 1 0:7 / /data rw - ext4 /dev/sda1 rw\n"
    text = good + good.replace(b"/data", b"/other")[:cut] + noise.replace(b"\n", b" ") + b"\n" + good
    found = rows_of(parse_mountinfo(text), Places(WATCHES))
    assert [row[2] for row in found if row[1] == b"/data"][:2] == [0, 1]


@pytest.mark.parametrize(
    ("fstype", "away"),
    [
        ("fuse", True),
        ("fuse.sshfs", True),
        ("nfs4", True),
        ("fuseblk", False),
        ("fusectl", False),
        ("ext4", False),
    ],
)
def test_what_a_program_may_leave_unanswered_is_no_place_to_look(fstype: str, away: bool) -> None:
    """FUSE need not name a subtype: mount(2) of plain `fuse` held whoever looked below it for ever."""
    line = f"36 35 0:42 / /srv/x rw - {fstype} source rw\n"
    (mount,) = parse_mountinfo(line.encode())
    assert mount.network is away
