"""The files of a real kernel at their worst: what blocks, grows, vanishes, has no end or an odd name."""

from __future__ import annotations

import errno
import gc
import hashlib
import itertools
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hostguardd.diff import compare
from hostguardd.host import beneath
from hostguardd.host import files as room
from hostguardd.host.files import LinuxFiles
from hostguardd.host.mounts import Mount
from hostguardd.model import CONTENT, Depth, FileFact, Sweep, decode_xattrs, join
from hostguardd.sections import SetIdConfig
from hostguardd.sensors.files import SLICE, FilesSensor
from hostguardd.sensors.interface import Request
from hostguardd.sensors.setid import SetIdSensor
from hostguardd.watchlist import Watch
from tests.fakehost import Faulty

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
ROOT = Path(__file__).parents[2]
ALL = (Watch("all", (b"/w",)),)


def never() -> bool:
    return False


@dataclass
class Tree:
    """A folder `w`, watched whole, seen through a `LinuxFiles` rooted above it."""

    top: Path

    def __post_init__(self) -> None:
        self.w = self.top / "w"
        self.w.mkdir()
        self.host = LinuxFiles(os.fsencode(self.top))
        self.faulty = Faulty(self.host)

    def sensor(self, largest: int = 1 << 62, watches: tuple[Watch, ...] = ALL) -> FilesSensor:
        return FilesSensor(self.faulty, watches, time.time_ns, largest=largest)

    def sweep(self, depth: Depth = Depth.FULL, largest: int = 1 << 62) -> list[Sweep]:
        return list(self.sensor(largest).sweep(depth, never))

    def facts(self) -> dict[bytes, FileFact]:
        found = [FileFact.of(row) for sweep in self.sweep() for row in sweep.rows]
        return {fact.path: fact for fact in found}


@pytest.fixture(params=["openat2", "openat"])
def tree(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Once with openat2(2) and once as on kernels without it."""
    if request.param == "openat":
        monkeypatch.setattr(beneath.Openat2, "works", classmethod(lambda cls, base: False))
    return Tree(tmp_path)


def blinds(sweeps: list[Sweep]) -> dict[bytes, str]:
    return {blind.scope: blind.reason for sweep in sweeps for blind in sweep.blinds}


def within(seconds: float, act: Callable[[], object]) -> None:
    began = time.monotonic()
    act()
    assert time.monotonic() - began < seconds


# -- what is there ---------------------------------------------------------------------------------------


def test_every_attribute_of_a_file(tree: Tree) -> None:
    path = tree.w / "f"
    path.write_bytes(b"content")
    path.chmod(0o640)
    os.link(path, tree.w / "g")
    st = path.lstat()
    fact = tree.facts()[b"/w/f"]
    assert (fact.mode, fact.uid, fact.gid, fact.size) == (st.st_mode, st.st_uid, st.st_gid, 7)
    assert (fact.mtime, fact.ctime, fact.inode, fact.links) == (st.st_mtime_ns, st.st_ctime_ns, st.st_ino, 2)
    assert fact.sha256 == hashlib.sha256(b"content").digest()
    assert (fact.device, fact.target, fact.unstable) == (0, b"", 0)


def test_when_an_entry_was_made(tmp_path: Path) -> None:
    began = time.time_ns()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    ended = time.time_ns()
    time.sleep(0.1)
    os.utime(tmp_path / "file", (1, 1))
    with LinuxFiles(bytes(tmp_path)).open_folder(b"/") as folder:
        if folder.born(b"file") is None:
            pytest.skip("this file system does not say")
        for name in (b"file", b"link"):
            at = folder.born(name)
            assert at is not None
            assert began - 50_000_000 <= at <= ended  # by the coarse clock
        assert folder.born(b"gone") is None


def test_links_say_where_they_lead_and_are_not_followed(tree: Tree) -> None:
    (tree.w / "link").symlink_to("/etc/passwd")
    (tree.w / "dangling").symlink_to("nowhere")
    (tree.w / "folder").symlink_to("/etc")
    facts = tree.facts()
    targets = {b"/w/link": b"/etc/passwd", b"/w/dangling": b"nowhere", b"/w/folder": b"/etc"}
    assert {path: facts[path].target for path in targets} == targets
    assert all(facts[path].type == "symlink" for path in targets)
    assert facts.keys() == {b"/w", *targets}


def test_extended_attributes_with_odd_names_and_values(tree: Tree) -> None:
    path = tree.w / "f"
    path.write_bytes(b"")
    odd = {b"user.a\nb=c\\": b"\0\xff\n", b"user.empty": b"", b"user.\xff\xfe": b"x" * 1000}
    try:
        for name, value in odd.items():
            os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"no user attributes here: {error}")
    blob = tree.facts()[b"/w/f"].xattrs
    assert blob is not None
    found = {name: value for name, value in decode_xattrs(blob).items() if name.startswith(b"user.")}
    assert found == odd


@needs_root
def test_flags_of_chattr_show(tree: Tree) -> None:
    path = tree.w / "f"
    path.write_bytes(b"")
    before = tree.facts()[b"/w/f"].flags
    if subprocess.run(["chattr", "+i", path], capture_output=True, check=False).returncode:
        pytest.skip("no chattr flags here")
    try:
        after = tree.facts()[b"/w/f"].flags
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    assert before is not None
    assert after == before | 0x10


# -- what is no plain file -----------------------------------------------------------------------------


def test_nothing_but_regular_files_is_opened(tree: Tree) -> None:
    os.mkfifo(tree.w / "fifo")
    server = socket.socket(socket.AF_UNIX)
    here = os.open(tree.w, os.O_RDONLY)
    try:
        server.bind(f"/proc/self/fd/{here}/socket")
    finally:
        os.close(here)
    expected = {b"/w/fifo": "fifo", b"/w/socket": "socket"}
    if os.geteuid() == 0:
        os.mknod(tree.w / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        os.mknod(tree.w / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 200))
        expected |= {b"/w/zero": "char", b"/w/disk": "block"}
    facts: dict[bytes, FileFact] = {}
    within(5.0, lambda: facts.update(tree.facts()))
    server.close()
    assert {path: facts[path].type for path in expected} == expected
    assert not blinds(tree.sweep())


def test_a_sparse_giant_is_not_read(tree: Tree) -> None:
    path = tree.w / "giant"
    path.touch()
    try:
        os.truncate(path, 10 * 10**12)
    except OSError:
        pytest.skip("the file system has no files of 10 TB")
    sweeps: list[Sweep] = []
    within(2.0, lambda: sweeps.extend(tree.sweep(largest=1 << 30)))
    (reason,) = blinds(sweeps).values()
    assert reason.startswith(CONTENT)
    assert "10000000000000 bytes" in reason
    (row,) = [row for sweep in sweeps for row in sweep.rows if row[1] == b"giant"]
    assert FileFact.of(row).size == 10 * 10**12
    assert FileFact.of(row).sha256 is None


def test_a_hint_s_look_postpones_what_is_large(tree: Tree) -> None:
    (tree.w / "large").write_bytes(b"x" * 5_000)
    (tree.w / "small").write_bytes(b"x")
    request = Request(b"/w", frozenset({b"large", b"small"}), largest=4_096)
    (sweep,) = tree.sensor().look([request], never)
    digests = {row[1]: row[12] for row in sweep.rows}
    assert digests[b"large"] is None
    assert digests[b"small"] is not None
    assert sweep.postponed == {b"large"}
    assert not sweep.blinds


def test_a_set_id_giant_of_nothing_is_told_and_not_read(tree: Tree) -> None:
    path = tree.w / "giant"
    path.touch()
    try:
        os.truncate(path, 10**12)
    except OSError:
        pytest.skip("the file system has no files of 1 TB")
    path.chmod(0o4755)
    sweeps: list[Sweep] = []
    sensor = SetIdSensor(tree.host, SetIdConfig(), time.time_ns)
    within(2.0, lambda: sweeps.extend(sensor.look([Request(b"/w", frozenset({b"giant"}))], never)))
    (row,) = [row for sweep in sweeps for row in sweep.rows]
    assert row[1] == b"/w/giant"
    assert row[8] is None
    assert blinds(sweeps)[b"/w/giant"].startswith(CONTENT)


def test_reading_a_giant_stops_within_a_tenth_of_a_second(tree: Tree) -> None:
    path = tree.w / "giant"
    path.touch()
    try:
        os.truncate(path, 10**12)
    except OSError:
        pytest.skip("the file system has no files of 1 TB")
    asked: list[float] = []

    def stop() -> bool:
        asked.append(time.monotonic())
        return len(asked) > 1 and asked[-1] - asked[0] > 0.3

    within(5.0, lambda: list(tree.sensor().sweep(Depth.FULL, stop)))
    assert max(b - a for a, b in itertools.pairwise(asked)) < 0.5


def test_the_beginning_of_a_giant_is_bounded_too(tree: Tree) -> None:
    path = tree.w / "log"
    path.touch()
    os.truncate(path, 1 << 36)
    request = Request(b"/w", frozenset({b"log"}), prefixes={b"log": 1 << 35})
    sweeps: list[Sweep] = []
    within(2.0, lambda: sweeps.extend(tree.sensor(largest=1 << 20).look([request], never)))
    assert b"/w/log" in blinds(sweeps)
    (row,) = sweeps[0].rows
    assert FileFact.of(row).size == 1 << 35


# -- what cannot be read ---------------------------------------------------------------------------------


def as_nobody(act: Callable[[Tree], None], tree: Tree) -> None:
    """`act` without the right to read everything."""
    if os.geteuid():
        act(tree)
        return
    tree.top.chmod(0o755)  # those above need not be passed: the root is open already
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            act(tree)
            status = 0
        except BaseException:  # noqa: BLE001 - a child must end here, whatever it met
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def check_unreadable(tree: Tree) -> None:
    for depth in Depth:
        sweeps = tree.sweep(depth)
        rows = {join(row[0], row[1]): row for s in sweeps for row in s.rows}  # type: ignore[arg-type]
        seen = blinds(sweeps)
        assert {b"/w/secret", b"/w/closed", b"/w/listable", b"/w/open"} <= rows.keys()
        assert {b"/w/closed", b"/w/listable/a", b"/w/listable/b"} <= seen.keys()
        assert not compare(
            [(b"/w/listable", name) for name in (b"a", b"b")],
            next(s for s in sweeps if s.scope == b"/w/listable"),
        ), "what cannot be looked at is not removed"
    assert FileFact.of(rows[b"/w/secret"]).sha256 is None
    assert "Permission denied" in seen[b"/w/secret"]


def test_without_the_right_to_read(tree: Tree) -> None:
    (tree.w / "open").write_text("x")
    (tree.w / "secret").write_text("x")
    for name, mode in (("closed", 0o000), ("listable", 0o744)):
        (tree.w / name).mkdir()
        for child in "ab":
            (tree.w / name / child).write_text("x")
        (tree.w / name).chmod(mode)
    if os.geteuid() == 0:
        (tree.w / "secret").chmod(0o600)
    else:
        (tree.w / "secret").chmod(0o000)
        (tree.w / "listable").chmod(0o444)
    try:
        as_nobody(check_unreadable, tree)
    finally:
        for name in ("closed", "listable"):
            (tree.w / name).chmod(0o755)


# -- what changes while we look ----------------------------------------------------------------------------


def swap_once(faulty: Faulty, step: str, path: bytes, act: Callable[[], object]) -> None:
    """Do something the first time `step` comes to `path`."""
    done: list[bytes] = []

    def before(what: str, where: bytes) -> None:
        if (what, where) == (step, path) and not done:
            done.append(where)
            act()

    faulty.before = before


def test_what_vanishes_between_list_and_read_is_not_there(tree: Tree) -> None:
    (tree.w / "f").write_text("x")
    (tree.w / "g").write_text("x")
    swap_once(tree.faulty, "deep", b"/w/f", (tree.w / "f").unlink)
    sweeps = tree.sweep()
    assert not blinds(sweeps)
    assert {row[1] for s in sweeps for row in s.rows} == {b"w", b"g"}


@pytest.mark.parametrize("to", ["symlink", "fifo", "folder", "file"])
def test_what_is_swapped_is_told_as_what_it_became(tree: Tree, to: str) -> None:
    victim = tree.w / "f"
    victim.write_text("x")
    (tree.top / "secret").write_text("never to be read")

    def swap() -> None:
        victim.unlink()
        match to:
            case "symlink":
                victim.symlink_to(tree.top / "secret")
            case "fifo":
                os.mkfifo(victim)
            case "folder":
                victim.mkdir()
            case _:
                victim.write_text("another")

    swap_once(tree.faulty, "deep", b"/w/f", swap)
    facts: dict[bytes, FileFact] = {}
    within(5.0, lambda: facts.update(tree.facts()))
    fact = facts[b"/w/f"]
    assert fact.type == {"folder": "dir"}.get(to, to)
    assert fact.inode == victim.lstat().st_ino
    assert fact.sha256 == (hashlib.sha256(b"another").digest() if to == "file" else b"")


def test_swapped_all_the_time_while_sweeps_run(tree: Tree) -> None:
    """Whatever is caught is one of the things that were there, whole; the secret is never read."""
    secret = tree.top / "secret"
    secret.write_text("never to be read")
    digest = hashlib.sha256(b"never to be read").digest()
    stop = threading.Event()

    def juggle() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            scratch = tree.top / "scratch"
            if number % 3 == 0:
                scratch.symlink_to(secret)
            elif number % 3 == 1:
                os.mkfifo(scratch)
            else:
                scratch.write_text("x")
            scratch.rename(tree.w / "f")

    thread = threading.Thread(target=juggle)
    thread.start()
    try:
        end = time.monotonic() + 1.0
        kinds = set()
        while time.monotonic() < end:
            fact = tree.facts().get(b"/w/f")
            if fact is not None:
                kinds.add(fact.type)
                assert fact.sha256 != digest
                assert fact.type != "file" or fact.sha256 in (
                    hashlib.sha256(b"x").digest(),
                    hashlib.sha256().digest(),
                )
    finally:
        stop.set()
        thread.join()
    assert kinds


def test_a_parent_swapped_for_a_link_is_never_followed(tree: Tree) -> None:
    outside = tree.top / "outside"
    outside.mkdir()
    (outside / "secret").write_text("x")
    (tree.w / "d").mkdir()
    (tree.w / "d" / "f").write_text("x")

    def swap() -> None:
        (tree.w / "d").rename(tree.top / "away")
        (tree.w / "d").symlink_to(outside)

    swap_once(tree.faulty, "open", b"/w/d", swap)
    sweeps = tree.sweep()
    assert b"secret" not in {row[1] for s in sweeps for row in s.rows}
    assert not blinds(sweeps)
    for scope in (b"/w/d", b"/w/d/deeper"):
        (sweep,) = tree.sensor().look([Request(scope, frozenset({b"secret"}))], never)
        assert sweep.rows == []
        assert not sweep.blinds


@pytest.mark.parametrize("size", [100, 3 * room.BLOCK])
def test_what_grows_while_it_is_read_is_read_again_or_unstable(tree: Tree, size: int) -> None:
    path = tree.w / "f"
    path.write_bytes(b"x" * size)
    stop = threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as handle:
            while not stop.is_set():
                handle.write(b"y")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        busy = [tree.facts()[b"/w/f"] for _ in range(20)]
    finally:
        stop.set()
        thread.join()
    for fact in busy:
        whole = hashlib.sha256(b"x" * size + b"y" * (fact.size - size)).digest()
        assert fact.unstable or fact.sha256 == whole
    calm = tree.facts()[b"/w/f"]
    assert not calm.unstable
    assert calm.sha256 == hashlib.sha256(path.read_bytes()).digest()


def test_attributes_set_while_it_is_read_are_those_of_the_same_moment(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree.w / "f"
    path.write_bytes(b"x" * 3 * room.BLOCK)
    try:
        os.setxattr(path, "user.a", b"old")
    except OSError as error:
        pytest.skip(f"no user attributes here: {error}")
    real = room._digest
    done: list[int] = []

    def digest(*args: object) -> object:
        if not done:
            done.append(1)
            time.sleep(0.02)  # past the clock tick of the file system
            os.setxattr(path, "user.a", b"new")
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "_digest", digest)
    fact = tree.facts()[b"/w/f"]
    assert fact.ctime == path.stat().st_ctime_ns
    assert fact.xattrs is not None
    assert decode_xattrs(fact.xattrs)[b"user.a"] == b"new"


def test_a_growing_file_is_measured_by_its_beginning(tree: Tree) -> None:
    path = tree.w / "log"
    path.write_bytes(b"approved\n")
    before = tree.facts()[b"/w/log"]
    with path.open("ab") as handle:
        handle.write(b"more\n")
    request = Request(b"/w", frozenset({b"log"}), prefixes={b"log": before.size})
    (sweep,) = tree.sensor().look([request], never)
    after = FileFact.of(sweep.rows[0])
    assert (after.size, after.sha256) == (before.size, before.sha256)


def test_the_atime_stays(tree: Tree) -> None:
    old = (1_000_000_000, 1_000_000_000)
    (tree.w / "d").mkdir()
    for name in ("f", "d", "d/g"):
        path = tree.w / name
        if name != "d":
            path.write_bytes(b"x" * 1000)
    for name in ("f", "d/g", "d", ""):
        os.utime(tree.w / name, old)
    tree.sweep()
    assert [(tree.w / name).lstat().st_atime for name in ("f", "d/g")] == [1e9, 1e9]


# -- names ------------------------------------------------------------------------------------------------

ODD = [
    b"new\nline",
    b"\x1b[31mred\x1b]0;title\x07",
    b"\xe2\x80\xaegnp.exe",
    b"\xff\xfe\xc0\x80",
    b"x" * 255,
    "ü".encode() * 127,
    b" ",
    b"...",
    b"-rf",
    b"*?[a]\\",
    b"\x01\x7f",
    b"new",
    b"new\n",
]


def test_names_of_all_kinds_come_through_as_they_are(tree: Tree) -> None:
    top = os.fsencode(tree.w)
    for name in ODD:
        with open(join(top, name), "wb") as handle:
            handle.write(name)
        os.mkdir(join(top, name[:250] + b".d"))
        with open(join(join(top, name[:250] + b".d"), name), "wb") as handle:
            handle.write(b"below")
    facts = tree.facts()
    for name in ODD:
        assert facts[b"/w/" + name].sha256 == hashlib.sha256(name).digest()
        assert facts[b"/w/" + name[:250] + b".d/" + name].sha256 == hashlib.sha256(b"below").digest()
    (sweep,) = tree.sensor().look([Request(b"/w", frozenset(ODD))], never)
    assert {row[1] for row in sweep.rows} == set(ODD)


# -- very many, very deep, in circles -----------------------------------------------------------------------


def test_a_folder_of_200_000_names_in_bounded_memory(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    empty = tmp_path / "empty"
    empty.touch()
    here = os.open(tree.w, os.O_RDONLY)
    try:
        for number in range(200_000):
            if number % 40_000 == 0:  # ext4 has at most 65,000 links of one inode
                empty.unlink()
                empty.touch()
            os.link(empty, b"n%06d" % number, dst_dir_fd=here)
    finally:
        os.close(here)
    try:
        tracemalloc.start()
        rows, last = 0, b""
        for sweep in tree.sensor().sweep(Depth.QUICK, never):
            assert len(sweep.rows) <= SLICE
            for row in sweep.rows:
                if row[0] == b"/w":
                    assert last < row[1]  # type: ignore[operator]
                    rows, last = rows + 1, row[1]  # type: ignore[assignment]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    finally:
        shutil.rmtree(tree.w)
    assert rows == 200_000
    assert peak < 24 * 2**20, f"{peak / 2**20:.0f} MiB"


def test_deeper_than_paths_can_be_is_named_and_not_entered(tree: Tree) -> None:
    here = os.open(tree.w, os.O_RDONLY)
    name = "d" * 200
    for _ in range(40):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    sweeps: list[Sweep] = []
    within(5.0, lambda: sweeps.extend(tree.sweep()))
    ((place, reason),) = blinds(sweeps).items()
    assert "too long" in reason
    assert 4000 < len(place) < 4400
    assert sum(len(s.rows) for s in sweeps) > 19
    looking = SetIdSensor(tree.faulty, SetIdConfig(), time.time_ns)
    tree.faulty.mounts = lambda: [Mount(b"/", b"ext4", b"", 0, b"/", b"")]  # type: ignore[method-assign]
    assert list(blinds(list(looking.sweep(Depth.FULL, never)))) == [place]
    shutil.rmtree(tree.w)


def test_links_in_circles(tree: Tree) -> None:
    (tree.w / "self").symlink_to("self")
    (tree.w / "up").symlink_to("..")
    (tree.w / "a").symlink_to("b")
    (tree.w / "b").symlink_to("a")
    within(5.0, tree.sweep)
    assert tree.facts().keys() == {b"/w", b"/w/self", b"/w/up", b"/w/a", b"/w/b"}
    with pytest.raises(OSError, match="symbolic links") as caught:
        tree.host.real(b"/w/a/x")
    assert caught.value.errno == errno.ELOOP
    loop = tree.sensor(watches=(Watch("loop", (b"/w/a/x", b"/w/self")),))
    assert [row[:2] for sweep in loop.sweep(Depth.FULL, never) for row in sweep.rows] == [(b"/w", b"self")]


LOOPS = """
import json, os, sys, time
sys.path.insert(0, {root!r})
from hostguardd.sections import SetIdConfig
from hostguardd.watchlist import Watch
from hostguardd.host.files import LinuxFiles
from hostguardd.host.mounts import parse_mountinfo
from hostguardd.model import Depth
from hostguardd.sensors.files import FilesSensor
from hostguardd.sensors.setid import SetIdSensor

top = os.fsencode({top!r})

class Here(LinuxFiles):
    def mounts(self):  # of this mount namespace, not of process 1
        found = parse_mountinfo(open("/proc/self/mountinfo", "rb").read())
        mine = [m._replace(point=m.point[len(top):] or b"/") for m in found if m.point.startswith(top)]
        root = [m for m in found if m.point == b"/"][-1]
        return [root._replace(point=b"/", fstype=b"ext4", root=top), *mine]

host = Here(top)
files = FilesSensor(host, (Watch("w", (b"/w",)),), time.time_ns).sweep(Depth.FULL, lambda: False)
setid = SetIdSensor(host, SetIdConfig(), time.time_ns).sweep(Depth.FULL, lambda: False)
print(json.dumps([
    sorted((row[0] + b"/" + row[1]).decode() for sweep in files for row in sweep.rows),
    sorted(row[1].decode() for sweep in setid for row in sweep.rows),
]))
"""


@needs_root
def test_bind_mounts_in_circles(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    w = tmp_path / "w"
    (w / "a" / "loop").mkdir(parents=True)
    (w / "again").mkdir()
    (w / "a" / "su").write_text("x")
    (w / "a" / "su").chmod(0o4755)
    (tmp_path / "run.py").write_text(LOOPS.format(root=str(ROOT), top=str(tmp_path)))
    script = textwrap.dedent(f"""
        mount --make-rprivate / && mount --bind {w} {w}/a/loop && mount --rbind {w} {w}/again &&
        exec {sys.executable} {tmp_path}/run.py
    """)
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script], capture_output=True, text=True, timeout=30, check=False
    )
    if "mount" in ran.stderr and "Traceback" not in ran.stderr:
        pytest.skip(f"mounting is refused here: {ran.stderr}")
    assert not ran.returncode, ran.stderr
    files, setid = json.loads(ran.stdout)
    assert len(files) == len(set(files)) < 60, "every mounted folder is entered once, and there are few"
    assert "/w/a/su" in files
    assert len(setid) == len(set(setid)) < 10
    assert any(path.endswith("/su") for path in setid)


# -- in the end ---------------------------------------------------------------------------------------------


def test_a_folder_that_leaves_in_the_middle_of_its_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostguardd.sensors.files.SLICE", 10)
    tree = Tree(tmp_path)
    for number in range(40):
        (tree.w / f"{number:02}").write_text("x")
    seen = 0
    for sweep in tree.sensor().sweep(Depth.FULL, never):
        seen += len(sweep.rows)
        if sweep.span and sweep.span[0] is None:
            shutil.rmtree(tree.w)
    assert seen == 11, "what had been seen, and nothing made up"


def test_another_root(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    (tmp_path / "etc").symlink_to("/")
    (tmp_path / "abs").symlink_to("/w/f")
    (tree.w / "f").write_text("x")
    assert tree.host.real(b"/abs") == b"/w/f"
    assert tree.host.real(b"/etc/w/f") == b"/w/f"
    assert tree.host.real(b"/../../w/./f") == b"/w/f"
    with pytest.raises(OSError, match="symbolic links"):
        tree.host.open_folder(b"/etc/w")


@pytest.fixture(autouse=True)
def _fds() -> Iterator[None]:
    """Nothing stays open but the root of each host that was made."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_a_root_is_let_go_with_its_host(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        assert LinuxFiles(bytes(tmp_path)).mounts()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before
