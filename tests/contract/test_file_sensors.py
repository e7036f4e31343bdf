"""The rules of every sensor, kept by the two that look at files; over the fake host and over real folders."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostguardd.host.files import LinuxFiles
from hostguardd.host.mounts import Mount
from hostguardd.model import CONTENT, Blind, Depth, FileFact, SetIdFact, Sweep, join, split, under
from hostguardd.sections import SetIdConfig
from hostguardd.sensors import files as files_room
from hostguardd.sensors.files import FilesSensor
from hostguardd.sensors.interface import Request
from hostguardd.sensors.setid import SetIdSensor
from hostguardd.watchlist import Watch
from tests.contract.test_sensors import HOSTILE, SensorContract, drifts, never, table
from tests.fakehost import FakeFiles, Faulty

NAME = HOSTILE.rpartition(b"/")[2]


class FakeFilesContract(SensorContract):
    """Over an edited fake host."""

    def host(self) -> FakeFiles:
        self.files = FakeFiles()
        self.files.write(b"/etc/passwd", b"root:x:0:0::/root:/bin/sh\n")
        self.files.write(b"/etc/d/x", b"x")
        self.files.write(b"/usr/bin/su", b"su", 0o4755)
        self.files.write(b"/usr/bin/wall", b"wall", 0o2755)
        self.files.write(b"/usr/bin/ls", b"ls", 0o755)
        self.files.symlink(b"passwd", b"/etc/link")
        self.files.special(b"/etc/fifo", stat.S_IFIFO)
        self.faulty = Faulty(self.files)
        return self.files


class TestFiles(FakeFilesContract):
    """The files sensor over the fake host."""

    def sensor(self) -> FilesSensor:
        self.host()
        return FilesSensor(
            self.faulty, [Watch("etc", (b"/etc",)), Watch("su", (b"/usr/bin/su",))], self.files.wall
        )

    def add(self) -> None:
        self.files.write(b"/etc/d/new", b"new")

    def remove(self) -> None:
        self.files.remove(b"/etc/d/new")

    def hostile(self) -> None:

        self.files.write(b"/etc/d/" + NAME, b"")

    def test_hostile_names_come_through_unchanged(self) -> None:
        sensor = self.sensor()
        self.hostile()
        rows = [row for sweep in sensor.sweep(Depth.FULL, never) for row in sweep.rows]
        assert (b"/etc/d", NAME) in [row[:2] for row in rows]

    def hide(self) -> None:
        self.files.refused[b"/etc/d"] = errno.EACCES
        self.files.refused[b"/etc/passwd"] = errno.EIO

    def vanish(self) -> None:
        self.faulty.hidden |= {b"/etc/passwd", b"/etc/d/x", b"/usr/bin/su"}


class SetIdRules:
    """Where the set-id sensor has rules of its own: it looks closely at whatever depth, by folder."""

    sensor: Callable[[], SetIdSensor]

    @pytest.mark.parametrize("depth", list(Depth))
    def test_rows_are_sorted_unique_and_as_wide_as_asked(self, depth: Depth) -> None:
        for sweep in self.sensor().sweep(depth, never):
            assert sweep.rows == sorted(sweep.rows)
            assert len({row[:2] for row in sweep.rows}) == len(sweep.rows)
            assert {len(row) for row in sweep.rows} <= {len(SetIdFact.columns())}

    def test_quick_rows_are_the_beginning_of_full_ones(self) -> None:
        sensor = self.sensor()
        assert table(sensor.sweep(Depth.QUICK, never)) == table(sensor.sweep(Depth.FULL, never))

    def test_looking_at_some_keys_agrees_with_the_sweep(self) -> None:
        sensor = self.sensor()
        sweep = next(one for one in sensor.sweep(Depth.FULL, never) if one.rows)
        folder, name = split(SetIdFact.of(sweep.rows[-1]).path)
        (seen,) = sensor.look([Request(folder, frozenset({name}))], never)
        assert seen.rows == [sweep.rows[-1]]
        assert seen.only == frozenset({join(folder, name)})
        assert seen.scope == sweep.scope


class TestSelected(TestFiles):
    """The files sensor where only programs and odd names are facts, beside other files."""

    def sensor(self) -> FilesSensor:
        self.host()
        for number in range(5):
            self.files.write(b"/etc/d/data%d" % number, b"no program")
        self.files.write(b"/etc/passwd", b"#!/bin/sh\n", 0o644)
        watch = Watch("etc", (b"/etc",), select=frozenset({"program", "odd"}))
        return FilesSensor(self.faulty, [watch, Watch("su", (b"/usr/bin/su",))], self.files.wall)

    def add(self) -> None:
        self.files.write(b"/etc/d/new", b"\x7fELF")


class TestSetId(SetIdRules, FakeFilesContract):
    """The set-id sensor over the fake host."""

    def sensor(self) -> SetIdSensor:
        self.host()
        return SetIdSensor(self.faulty, SetIdConfig(), self.files.wall)

    def add(self) -> None:
        self.files.write(b"/tmp/x", b"x", 0o4755)

    def remove(self) -> None:
        self.files.remove(b"/tmp/x")

    def hostile(self) -> None:
        self.files.write(b"/srv/" + NAME, b"", 0o4755)

    def hide(self) -> None:
        self.files.refused[b"/etc"] = errno.EACCES
        self.files.refused[b"/usr/bin/su"] = errno.EIO
        self.files.mount(b"/mnt/nfs", b"nfs4")

    def vanish(self) -> None:
        self.faulty.hidden.add(b"/usr/bin/su")


class RealContract(SensorContract):
    """Over real folders."""

    @pytest.fixture(autouse=True)
    def _folders(self, tmp_path: Path) -> None:
        self.top = tmp_path
        for name in ("etc/d", "usr/bin"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        (tmp_path / "etc/d/x").write_text("x")
        (tmp_path / "etc/link").symlink_to("passwd")
        os.mkfifo(tmp_path / "etc/fifo")
        for name, mode in (("su", 0o4755), ("wall", 0o2755), ("ls", 0o755)):
            (tmp_path / "usr/bin" / name).write_text(name)
            (tmp_path / "usr/bin" / name).chmod(mode)

        self.clock = iter(range(1, 1 << 60))
        self.linux = LinuxFiles(os.fsencode(self.top))

    def wall(self) -> int:
        return next(self.clock)


class TestRealFiles(RealContract):
    """The files sensor over real folders."""

    def sensor(self) -> FilesSensor:
        watches = [Watch("etc", (b"/etc",)), Watch("su", (b"/usr/bin/su",))]
        self.faulty = Faulty(self.linux)
        return FilesSensor(self.faulty, watches, self.wall)

    def add(self) -> None:
        (self.top / "etc/d/new").write_text("new")

    def remove(self) -> None:
        (self.top / "etc/d/new").unlink()

    def hostile(self) -> None:
        Path(os.fsdecode(os.fsencode(self.top) + b"/etc/d/" + NAME)).write_text("x")

    test_hostile_names_come_through_unchanged = TestFiles.test_hostile_names_come_through_unchanged

    def hide(self) -> None:
        self.faulty.refused[b"/etc/d"] = errno.EACCES
        self.faulty.refused[b"/etc/passwd"] = errno.EIO

    def vanish(self) -> None:
        self.faulty.hidden |= {b"/etc/passwd", b"/etc/d/x", b"/usr/bin/su"}


class OneMount(Faulty):
    """The folder as if it were a file system."""

    def mounts(self) -> list[Mount]:
        return [Mount(b"/", b"ext4", b"/dev/vda", 1, b"/", b"rw")]


class TestRealSetId(SetIdRules, RealContract):
    """The set-id sensor over real folders."""

    def sensor(self) -> SetIdSensor:
        self.faulty = OneMount(self.linux)
        return SetIdSensor(self.faulty, SetIdConfig(), self.wall)

    def add(self) -> None:
        (self.top / "etc/d/new").write_text("new")
        (self.top / "etc/d/new").chmod(0o4755)

    def remove(self) -> None:
        (self.top / "etc/d/new").unlink()

    def hostile(self) -> None:
        path = Path(os.fsdecode(os.fsencode(self.top) + b"/etc/d/" + NAME))
        path.write_text("x")
        path.chmod(0o4755)

    def test_hostile_names_come_through_unchanged(self) -> None:
        sensor = self.sensor()
        self.hostile()
        rows = [row for sweep in sensor.sweep(Depth.FULL, never) for row in sweep.rows]
        assert (b"/", b"/etc/d/" + NAME) in [row[:2] for row in rows]

    def hide(self) -> None:
        self.faulty.refused[b"/etc/d"] = errno.EACCES
        self.faulty.refused[b"/usr/bin"] = errno.EIO

    def vanish(self) -> None:
        self.faulty.hidden.add(b"/usr/bin/su")


# -- the files sensor's own rules, over the fake host ------------------------------------------------------


@pytest.fixture
def host() -> FakeFiles:
    made = FakeFiles()
    made.write(b"/etc/passwd", b"root\n")
    made.write(b"/etc/d/x", b"x")
    return made


def swept(sensor: FilesSensor | SetIdSensor, depth: Depth = Depth.FULL) -> list[Sweep]:
    return list(sensor.sweep(depth, never))


def paths(sweeps: list[Sweep]) -> list[bytes]:
    found: list[bytes] = []
    for sweep in sweeps:
        for row in sweep.rows:
            found.append(row[1] if sweep.fact is SetIdFact else join(row[0], row[1]))  # type: ignore[arg-type]
    return sorted(found)


def blinds(sweeps: list[Sweep]) -> dict[bytes, str]:
    return {blind.scope: blind.reason for sweep in sweeps for blind in sweep.blinds}


def sensor(host: FakeFiles | Faulty, *watches: Watch, **more: int) -> FilesSensor:
    return FilesSensor(host, watches, lambda: 1, **more)  # type: ignore[arg-type]


ETC = Watch("etc", (b"/etc",))


def test_watching_the_root_watches_everything_once(host: FakeFiles) -> None:
    everything = [b"/", b"/etc", b"/etc/d", b"/etc/d/x", b"/etc/passwd"]
    watching = sensor(host, Watch("all", (b"/",)))
    for depth in Depth:
        sweeps = swept(watching, depth)
        names = sorted((row[0], row[1]) for sweep in sweeps for row in sweep.rows)
        assert names == sorted((p.rpartition(b"/")[0] or b"/", p.rpartition(b"/")[2]) for p in everything)


def test_only_what_is_watched_is_a_row(host: FakeFiles) -> None:
    host.write(b"/etc/x.swp")
    watching = sensor(
        host,
        Watch("etc", (b"/etc",), exclude=(b"*.swp",)),
        Watch("one", (b"/srv/app/conf",)),
        Watch("flat", (b"/opt",), depth=1),
    )
    host.write(b"/srv/app/conf")
    host.write(b"/srv/app/other")
    host.write(b"/opt/a/b")
    assert paths(swept(watching)) == [
        b"/etc", b"/etc/d", b"/etc/d/x", b"/etc/passwd", b"/opt", b"/opt/a", b"/srv/app/conf",
    ]  # fmt: skip


def test_absent_paths_are_fine_and_news_when_they_come(host: FakeFiles) -> None:
    watching = sensor(host, Watch("p", (b"/etc/ld.so.preload", b"/no/such/folder/x")))
    before = swept(watching)
    assert paths(before) == []
    assert not blinds(before)
    host.write(b"/etc/ld.so.preload", b"/tmp/evil.so\n")
    assert [d.subject.label for d in drifts(before, swept(watching))] == [b"/etc/ld.so.preload"]


def test_a_named_link_is_watched_as_a_link_and_where_it_leads(host: FakeFiles) -> None:
    host.write(b"/usr/bin/x")
    host.symlink(b"usr/bin", b"/bin")
    watching = sensor(host, Watch("bin", (b"/bin", b"/bin/x")))
    assert paths(swept(watching)) == [b"/bin", b"/usr/bin", b"/usr/bin/x"]


def test_links_that_lead_in_circles(host: FakeFiles) -> None:
    host.symlink(b"/b", b"/a")
    host.symlink(b"/a", b"/b")
    host.symlink(b"/etc", b"/etc/d/up")
    watching = sensor(host, ETC, Watch("loop", (b"/a", b"/b/x")))
    assert paths(swept(watching)) == [b"/a", b"/etc", b"/etc/d", b"/etc/d/up", b"/etc/d/x", b"/etc/passwd"]


def test_a_folder_of_many_names_comes_in_slices(host: FakeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_room, "SLICE", 10)
    for number in range(95):
        host.write(b"/etc/%03d" % number)
    watching = sensor(host, ETC)
    for depth in Depth:
        parts = [sweep for sweep in swept(watching, depth) if sweep.scope == b"/etc"]
        spans = [part.span for part in parts if part.span]
        assert len(spans) == 10
        assert spans[0][0] is None
        assert spans[-1][1] is None
        assert [high for _, high in spans[:-1]] == [low for low, _ in spans[1:]]
        assert sum(len(part.rows) for part in parts) == 97
        for part in parts:
            low, high = part.span or (None, None)
            assert all((low is None or r[1] >= low) and (high is None or r[1] < high) for r in part.rows)  # type: ignore[operator]


def test_too_many_names_are_blind(host: FakeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_room, "SLICE", 10)
    monkeypatch.setattr(files_room, "MOST_NAMES", 50)
    for number in range(60):
        host.write(b"/etc/%03d" % number)
    assert list(blinds(swept(sensor(host, ETC)))) == [b"/etc"]


@pytest.mark.parametrize("depth", list(Depth))
def test_an_entry_that_cannot_be_looked_at_is_blind_alone(host: FakeFiles, depth: Depth) -> None:
    faulty = Faulty(host)
    faulty.refused[b"/etc/passwd"] = errno.EIO
    watching = sensor(faulty, ETC)
    sweeps = swept(watching, depth)
    assert paths(sweeps) == [b"/etc", b"/etc/d", b"/etc/d/x"]
    assert list(blinds(sweeps)) == [b"/etc/passwd"]
    (sweep,) = watching.look([Request(b"/etc", frozenset({b"passwd"}))], never)
    assert [blind.scope for blind in sweep.blinds] == [b"/etc/passwd"]


def test_very_many_that_cannot_be_looked_at_are_one_blind(host: FakeFiles) -> None:
    faulty = Faulty(host)
    for number in range(300):
        host.write(b"/etc/%03d" % number)
        faulty.refused[b"/etc/%03d" % number] = errno.EACCES
    sweeps = swept(sensor(faulty, ETC))
    assert list(blinds(sweeps)) == [b"/etc"]
    assert "300 entries" in blinds(sweeps)[b"/etc"]
    assert b"/etc/passwd" in paths(sweeps)


def test_content_that_is_too_large_is_known_but_for_that(host: FakeFiles) -> None:
    host.write(b"/etc/large", b"x" * 5000)
    sweeps = swept(sensor(host, ETC, largest=4096))
    (row,) = [row for sweep in sweeps for row in sweep.rows if row[1] == b"large"]
    fact = FileFact.of(row)
    assert (fact.size, fact.sha256) == (5000, None)
    assert blinds(sweeps)[b"/etc/large"].startswith(CONTENT)


def test_what_is_written_while_it_is_read_is_read_again(host: FakeFiles) -> None:
    writes = iter([b"second", b"third"])

    def write(path: bytes) -> None:
        if path == b"/etc/passwd" and (more := next(writes, None)):
            host.write(path, more)

    host.on_read = write
    (fact,) = [FileFact.of(r) for s in swept(sensor(host, ETC)) for r in s.rows if r[1] == b"passwd"]
    assert (fact.size, fact.unstable) == (5, 0)


def test_what_never_stops_being_written_says_so(host: FakeFiles) -> None:
    host.on_read = lambda path: host.append(path, b"x")
    (fact,) = [FileFact.of(r) for s in swept(sensor(host, ETC)) for r in s.rows if r[1] == b"passwd"]
    assert fact.unstable == 1


def test_the_beginning_of_a_growing_file(host: FakeFiles) -> None:
    watching = sensor(host, Watch("log", (b"/log",), growing=True))
    host.write(b"/log", b"approved\n")
    (before,) = [row for sweep in swept(watching) for row in sweep.rows]
    host.on_read = lambda path: host.append(path, b"more\n")
    host.append(b"/log", b"more\n")
    request = Request(b"/", frozenset({b"log"}), prefixes={b"log": 9})
    (sweep,) = watching.look([request], never)
    (after,) = sweep.rows
    assert [name for name, a, b in zip(FileFact.columns(), before, after, strict=True) if a != b] == [
        "mtime",
        "ctime",
    ]


def test_texts_come_along_where_the_watch_wants_them(host: FakeFiles) -> None:
    sweeps = swept(sensor(host, ETC, Watch("text", (b"/etc/passwd",), diff=True)))
    contents = {text for sweep in sweeps for text in sweep.contents.values()}
    assert contents == {b"root\n"}


def test_a_quick_sweep_reads_no_content(host: FakeFiles) -> None:
    host.on_read = lambda path: pytest.fail(f"read {path!r}")
    swept(sensor(host, ETC), Depth.QUICK)


def test_folders_are_announced_before_they_are_listed(host: FakeFiles) -> None:
    faulty, order = Faulty(host), []
    faulty.before = lambda step, path: order.append((step, path)) if step == "open" else None
    watching = FilesSensor(faulty, [ETC], lambda: 1, on_folder=lambda path: order.append(("watch", path)))
    swept(watching)
    for folder in (b"/etc", b"/etc/d"):
        assert order.index(("watch", folder)) < order.index(("open", folder))


# -- mounts -------------------------------------------------------------------------------------------


def untouched(host: FakeFiles, faulty: Faulty, top: bytes) -> None:
    def before(step: str, path: bytes) -> None:
        assert not under(path, top), f"{step} {path!r}"

    faulty.before = before


@pytest.mark.parametrize("fstype", [b"nfs4", b"cifs", b"fuse.sshfs", b"autofs"])
@pytest.mark.parametrize(
    "watch",
    [Watch("all", (b"/home",)), Watch("deep", (b"/home/eve/.ssh",)), Watch("glob", (b"/home/*/.ssh",))],
    ids=lambda watch: watch.name,
)
def test_a_network_mount_is_not_touched_and_named(host: FakeFiles, fstype: bytes, watch: Watch) -> None:
    host.write(b"/home/bob/.ssh/authorized_keys")
    host.mount(b"/home/eve", fstype)
    host.write(b"/home/eve/.ssh/authorized_keys")
    faulty = Faulty(host)
    watching = sensor(faulty, watch)
    untouched(host, faulty, b"/home/eve")
    for depth in Depth:
        sweeps = swept(watching, depth)
        if watch.name != "glob":
            assert all(scope.startswith(b"/home/eve") for scope in blinds(sweeps))
            assert blinds(sweeps)
        if watch.name != "deep":
            assert b"/home/bob/.ssh/authorized_keys" in paths(sweeps)
    list(watching.look([Request(b"/home", frozenset({b"eve"}), deep=True)], never))
    watching.anchors()


def test_a_mount_point_is_a_row_that_says_so(host: FakeFiles) -> None:
    before = swept(sensor(host, ETC))
    host.mount(b"/etc/d", b"tmpfs")
    found = {d.subject.label: d for d in drifts(before, swept(sensor(host, ETC)))}
    assert "device" in found[b"/etc/d"].changed
    assert "mountpoint" in found[b"/etc/d"].gained()
    assert found[b"/etc/d/x"].action.value == "removed", "it is hidden by what is mounted over it"


def test_windows_into_the_kernel_are_not_walked(host: FakeFiles) -> None:
    host.mount(b"/srv/proc", b"proc")
    host.write(b"/srv/proc/1/exe")
    assert paths(swept(sensor(host, Watch("srv", (b"/srv",))))) == [b"/srv", b"/srv/proc"]


# -- wildcards in folders ---------------------------------------------------------------------------------

SSH = Watch("ssh", (b"/home/*/.ssh",))
GRUB = Watch("grub", (b"/boot/grub*/grubenv", b"/boot/*.conf"))


@pytest.mark.parametrize("depth", list(Depth))
def test_what_a_wildcard_named_and_is_gone_is_missed(host: FakeFiles, depth: Depth) -> None:
    host.write(b"/home/bob/.ssh/keys")
    host.write(b"/boot/grub2/grubenv")
    host.write(b"/boot/x.conf")
    host.write(b"/boot/other")
    watching = sensor(host, SSH, GRUB)
    before = swept(watching, depth)
    assert paths(swept(watching)) == [
        b"/boot/grub2/grubenv",
        b"/boot/x.conf",
        b"/home/bob/.ssh",
        b"/home/bob/.ssh/keys",
    ]
    host.rename(b"/home/bob/.ssh", b"/home/bob/other")
    host.remove(b"/boot/grub2/grubenv")
    host.remove(b"/boot/x.conf")
    rows = {(row[0], row[1]) for sweep in before for row in sweep.rows}
    gone = set()
    for sweep in swept(watching, depth):
        for scope, name in rows:
            if scope == sweep.scope and (sweep.only is None or name in sweep.only):
                gone |= {(scope, name)} - {(row[0], row[1]) for row in sweep.rows}
    assert gone >= {(b"/home/bob", b".ssh"), (b"/boot/grub2", b"grubenv"), (b"/boot", b"x.conf")}


def test_where_a_wildcard_cannot_be_tried_is_blind(host: FakeFiles) -> None:
    host.write(b"/home/bob/.ssh/keys")
    host.refused[b"/home"] = errno.EACCES
    assert list(blinds(swept(sensor(host, SSH)))) == [b"/home"]


def test_a_home_full_of_files_hides_nothing(host: FakeFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostguardd.host.globbing.MOST_GLOBBED", 10)
    host.write(b"/home/bob/.ssh/keys")
    for number in range(50):
        host.write(b"/home/bob/%d" % number)
    assert b"/home/bob/.ssh/keys" in paths(swept(sensor(host, SSH)))


@pytest.mark.parametrize("depth", list(Depth))
def test_what_is_no_program_is_no_fact_of_a_selective_watch(host: FakeFiles, depth: Depth) -> None:
    host.write(b"/tmp/d/data", b"x" * 100)
    host.write(b"/tmp/d/run", b"x", 0o755)
    host.write(b"/tmp/d/script", b"#!/bin/sh\n")
    host.special(b"/tmp/d/socket", stat.S_IFSOCK)
    watching = sensor(host, Watch("tmp", (b"/tmp",), select=frozenset({"program"})))
    assert paths(swept(watching, depth)) == [b"/tmp", b"/tmp/d", b"/tmp/d/run", b"/tmp/d/script"]


def test_what_becomes_a_program_by_a_write_is_one_at_the_next_look(host: FakeFiles) -> None:
    host.write(b"/tmp/x", b"text")
    watching = sensor(host, Watch("tmp", (b"/tmp",), select=frozenset({"program"})))
    before = swept(watching)
    host.write(b"/tmp/x", b"#!/bin/sh\n")
    assert [d.subject.label for d in drifts(before, swept(watching))] == [b"/tmp/x"]


def test_a_giant_program_in_a_selective_watch_is_known_but_not_read(
    host: FakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_room, "LARGEST", 4)
    host.write(b"/tmp/x", b"12345", 0o755)
    watching = sensor(host, Watch("tmp", (b"/tmp",), select=frozenset({"program"})))
    found = swept(watching)
    assert b"/tmp/x" in paths(found)
    assert list(blinds(found)) == [b"/tmp/x"]
    assert not any(sweep.postponed for sweep in found)


def test_a_folder_on_the_way_to_what_is_named_leads_there_when_it_comes_and_goes(host: FakeFiles) -> None:
    watched: list[bytes] = []
    named = Watch("autostart", (b"/home/eve/.config/autostart", b"/home/eve/.config/fish/*.fish"))
    host.folder(b"/home/eve")
    watching = FilesSensor(host, [named], lambda: 1, on_folder=watched.append)
    assert watching.watches.leads(b"/home/eve/.config")
    assert not watching.watches.leads(b"/home/eve/.cache")
    before = swept(watching)
    host.write(b"/home/eve/.config/autostart/x.desktop", b"x")
    host.write(b"/home/eve/.config/fish/x.fish", b"x")
    host.write(b"/home/eve/.config/other", b"x")
    hint = Request(b"/home/eve", frozenset({b".config"}), deep=True)
    came = list(watching.look([hint], never))
    assert paths(came) == [
        b"/home/eve/.config/autostart",
        b"/home/eve/.config/autostart/x.desktop",
        b"/home/eve/.config/fish/x.fish",
    ]
    assert {b"/home/eve/.config", b"/home/eve/.config/autostart", b"/home/eve/.config/fish"} <= set(watched)
    assert paths(before) == []
    host.remove(b"/home/eve/.config")
    gone = list(watching.look([hint], never))
    assert paths(gone) == []
    assert (b"/home/eve/.config", frozenset({b"autostart"})) in [(s.scope, s.only) for s in gone]


@pytest.mark.parametrize("name", [b".bashrc", b".bash*"])
def test_a_home_on_a_network_mount_is_neither_listed_nor_an_anchor(host: FakeFiles, name: bytes) -> None:
    faulty = Faulty(host)
    host.mount(b"/home/eve", b"nfs4")
    watching = FilesSensor(faulty, [Watch("rc", (join(b"/home/eve", name),))], lambda: 1)
    untouched(host, faulty, b"/home/eve")
    found = swept(watching)
    assert paths(found) == []
    assert [under(scope, b"/home/eve") for scope in blinds(found)] == [True]
    assert watching.anchors() == [b"/", b"/home"]


def test_anchors_lead_to_what_is_watched(host: FakeFiles) -> None:
    host.write(b"/home/bob/.ssh/keys")
    watching = sensor(host, SSH, Watch("p", (b"/etc/ld.so.preload",)))
    assert watching.anchors() == [b"/", b"/etc", b"/home", b"/home/bob"]


# -- set-id -----------------------------------------------------------------------------------------------


def setid(host: FakeFiles | Faulty, **more: object) -> SetIdSensor:
    return SetIdSensor(host, SetIdConfig(**more), lambda: 1)  # type: ignore[arg-type]


def test_what_lends_rights(host: FakeFiles) -> None:
    host.write(b"/a/suid", mode=0o4755)
    host.write(b"/a/suid-for-nobody", mode=0o4000)
    host.write(b"/a/sgid", mode=0o2755)
    host.write(b"/a/locking", mode=0o2644)
    host.write(b"/a/caps", mode=0o755)
    host.xattr(b"/a/caps", b"security.capability", b"\x01\0\0\x02")
    host.write(b"/a/caps-not-executable", mode=0o644)
    host.xattr(b"/a/caps-not-executable", b"security.capability", b"\x01\0\0\x02")
    host.write(b"/a/plain", mode=0o755)
    host.folder(b"/a/folder", 0o2775)
    assert paths(swept(setid(host))) == [b"/a/caps", b"/a/sgid", b"/a/suid", b"/a/suid-for-nobody"]


def test_homes_that_all_lie_on_a_network_mount_are_blind_once(host: FakeFiles) -> None:
    host.mount(b"/home", b"nfs4")
    host.write(b"/home/eve/.ssh/x")
    faulty = Faulty(host)
    watching = sensor(faulty, Watch("w", (b"/home/*/.ssh", b"/home/*/.prof*", b"/home/bob/.ssh")))
    untouched(host, faulty, b"/home")
    sweeps = swept(watching)
    assert blinds(sweeps) == {b"/home": "nfs4 mount, not walked"}
    assert sum(len(sweep.blinds) for sweep in sweeps) == 2, "once for the globs, once for the path"


def test_what_leads_to_a_named_place_is_looked_into(host: FakeFiles) -> None:
    """A hint about ~/.config is one about ~/.config/units, and what is made on the way is watched first."""
    order: list[bytes] = []
    watching = FilesSensor(
        host, [Watch("w", (b"/root/.config/units", b"/srv/*/.x/y"))], lambda: 1, on_folder=order.append
    )
    request = Request(b"/root", frozenset({b".config"}))
    assert paths(list(watching.look([request], never))) == []
    host.write(b"/root/.config/units/a/b")
    assert order == [b"/root/.config"]
    order.clear()
    assert paths(list(watching.look([request], never))) == [
        b"/root/.config/units", b"/root/.config/units/a", b"/root/.config/units/a/b",
    ]  # fmt: skip
    assert order == [b"/root/.config", b"/root/.config/units", b"/root/.config/units/a"]
    host.write(b"/srv/eve/.x/y")
    assert paths(list(watching.look([Request(b"/srv", frozenset({b"eve"}))], never))) == [b"/srv/eve/.x/y"]
    assert list(watching.look([Request(b"/srv", frozenset({b"x"}))], never)) == []


def test_each_file_system_is_a_scope_of_its_own(host: FakeFiles) -> None:
    host.write(b"/su", mode=0o4755)
    for point, fstype in ((b"/home", b"ext4"), (b"/run", b"tmpfs"), (b"/proc", b"proc"), (b"/net", b"nfs4")):
        host.mount(point, fstype)
        host.write(point + b"/x", mode=0o4755)
    sweeps = swept(setid(host))
    assert {s.scope: [row[1] for row in s.rows] for s in sweeps} == {
        b"/": [b"/su"],
        b"/home": [b"/home/x"],
        b"/run": [b"/run/x"],
        b"": [],
    }
    assert list(blinds(sweeps)) == [b"/net"]
    assert b"/net/x" in paths(swept(setid(host, network=True)))


def test_the_same_folder_mounted_twice_is_walked_once(host: FakeFiles) -> None:
    host.write(b"/su", mode=0o4755)
    host.bind(b"/", b"/mnt/loop/again")
    assert paths(swept(setid(host))) == [b"/su"]


@pytest.mark.parametrize("engine", [b"docker/overlay2", b"containers/storage", b"kubelet/pods"])
def test_container_layers_are_named_not_walked(host: FakeFiles, engine: bytes) -> None:
    host.write(b"/var/lib/" + engine + b"/x/su", mode=0o4755)
    host.mount(b"/var/lib/" + engine + b"/y/shm", b"tmpfs")
    host.write(b"/var/lib/" + engine + b"/y/shm/su", mode=0o4755)
    sweeps = swept(setid(host))
    assert paths(sweeps) == []
    assert blinds(sweeps)
    assert len(paths(swept(setid(host, containers=True)))) == 2


def test_what_is_excluded_is_named_and_no_hint_leads_there(host: FakeFiles) -> None:
    host.write(b"/srv/x/y/su", mode=0o4755)
    host.write(b"/srv/one", mode=0o4755)
    host.write(b"/srv/two", mode=0o4755)
    looking = setid(host, exclude=(b"/srv/x", b"/srv/one"))
    sweeps = swept(looking)
    assert paths(sweeps) == [b"/srv/two"]
    assert set(blinds(sweeps)) == {b"/srv/x", b"/srv/one"}
    for request in (
        Request(b"/srv/x", None, deep=True),
        Request(b"/srv/x/y", frozenset({b"su"})),
        Request(b"/srv", frozenset({b"one", b"x"}), deep=True),
    ):
        assert paths(list(looking.look([request], never))) == []


def test_a_folder_that_is_moved_in_is_looked_through(host: FakeFiles) -> None:
    host.write(b"/root/kit/deep/su", mode=0o4755)
    host.write(b"/tmp/other", mode=0o4755)
    watched: list[bytes] = []
    looking = SetIdSensor(host, SetIdConfig(), lambda: 1, watched.append)
    host.rename(b"/root/kit", b"/tmp/kit")
    (sweep,) = looking.look([Request(b"/tmp", frozenset({b"kit"}), deep=True)], never)
    assert [row[:2] for row in sweep.rows] == [(b"/", b"/tmp/kit/deep/su")]
    assert sweep.only == frozenset({b"/tmp/kit", b"/tmp/kit/deep/su"})
    assert set(watched) == {b"/tmp/kit", b"/tmp/kit/deep"}


def test_a_hint_about_a_folder_is_not_a_walk_of_all_below(host: FakeFiles) -> None:
    host.write(b"/usr/su", mode=0o4755)
    host.write(b"/usr/deep/su", mode=0o4755)
    looking = setid(host)
    host.opened.clear()
    assert paths(list(looking.look([Request(b"/usr", None)], never))) == [b"/usr/su"]
    assert host.opened == [b"/usr"]
    assert len(paths(list(looking.look([Request(b"/usr", None, deep=True)], never)))) == 2


def test_a_file_that_is_no_more_is_missed_by_a_hint(host: FakeFiles) -> None:
    host.write(b"/tmp/su", mode=0o4755)
    looking = setid(host)
    before = swept(looking)
    host.chmod(b"/tmp/su", 0o755)
    (sweep,) = looking.look([Request(b"/tmp", frozenset({b"su"}))], never)
    assert [d.action.value for d in drifts(before, [sweep])] == ["removed"]


def test_one_that_is_swapped_while_we_look_is_what_it_is_then(host: FakeFiles) -> None:
    host.write(b"/tmp/su", mode=0o4755)
    faulty = Faulty(host)

    def swap(step: str, path: bytes) -> None:
        if step == "deep":
            host.remove(path)
            host.special(path, stat.S_IFIFO)

    faulty.before = swap
    assert paths(swept(setid(faulty))) == []


def test_blinds_say_why(host: FakeFiles) -> None:
    faulty = Faulty(host)
    host.write(b"/a/su", mode=0o4755)
    faulty.refused |= {b"/etc": errno.EACCES, b"/a/su": errno.EIO}
    assert {blind for sweep in swept(setid(faulty)) for blind in sweep.blinds} == {
        Blind("setid", b"/etc", "entry cannot be read: Permission denied"),
        Blind("setid", b"/a/su", "entry cannot be read: Input/output error"),
    }


@pytest.fixture(autouse=True)
def _no_leaks() -> Iterator[None]:
    """Every folder that was opened is closed again."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before + 2
