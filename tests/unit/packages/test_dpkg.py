"""dpkg's knowledge, on a host whose packages dpkg itself installed."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from hostguardd.host import workers
from hostguardd.model import Blind
from hostguardd.packages import checking, dpkg, dpkgdb
from hostguardd.packages.dpkg import Dpkg
from hostguardd.packages.interface import Level
from tests import packaged
from tests.packaged import copied, deb, departures, install, manager

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")

ODD = b"/usr/share/tool/it's \xe9 \xff odd"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packaged.debian(tmp_path_factory.mktemp("debian"))


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return copied(made, tmp_path / "root")


def test_a_clean_host_departs_in_nothing(root: Path) -> None:
    packages = manager(root)
    assert isinstance(packages, Dpkg)
    assert packages.problem == ""
    assert departures(packages) == {}
    assert list(packages.doubts()) == []
    (tool,) = packages.installed()
    assert (tool.package, tool.version, tool.level, tool.signature) == ("tool", "1.0-1", Level.DIGEST, "")
    assert tool.files > len(packaged.FILES)
    assert abs(tool.at - time.time()) < 3600


def test_owners_are_known_by_either_name_of_a_folder(root: Path) -> None:
    asked = [b"/bin/tool", b"/usr/bin/tool", b"/etc/tool.conf", ODD, b"/usr/bin/other", b"/usr/bin"]
    owners = manager(root).owners(asked)
    assert set(owners) == {b"/bin/tool", b"/usr/bin/tool", b"/etc/tool.conf", ODD, b"/usr/bin"}
    assert owners[b"/bin/tool"] == ("tool", "1.0-1", Level.DIGEST, False)
    assert owners[b"/etc/tool.conf"].config
    assert owners[b"/usr/bin"].level is Level.LISTED
    assert manager(root).holds(b"/bin")
    assert not manager(root).holds(b"/usr/bin/tool")
    assert not manager(root).holds(b"/srv")


def test_what_departs_is_told(root: Path) -> None:
    (root / "usr/bin/tool").write_bytes(b"#!/bin/sh\necho evil\n")
    (root / "etc/tool.conf").write_bytes(b"a = 2\n")
    (root / "usr/share/tool/data").unlink()
    os.unlink(os.fsencode(root) + ODD)
    os.mkfifo(os.fsencode(root) + ODD)
    found = departures(manager(root))
    assert {path: one.changed for path, one in found.items()} == {
        b"/usr/bin/tool": ("content",),
        b"/etc/tool.conf": ("content",),
        b"/usr/share/tool/data": ("missing",),
        ODD: ("type",),
    }
    assert [path for path, one in found.items() if one.owner.config] == [b"/etc/tool.conf"]
    assert found[b"/usr/bin/tool"].owner.level is Level.DIGEST
    assert "a file, now a FIFO" in found[ODD].detail


def test_only_some_are_compared(root: Path) -> None:
    (root / "usr/bin/tool").write_bytes(b"evil")
    (root / "usr/share/tool/data").write_bytes(b"evil")
    assert set(departures(manager(root), [b"/bin/tool", b"/nowhere"])) == {b"/usr/bin/tool"}


def test_atimes_stay(root: Path) -> None:
    path = root / "usr/bin/tool"
    os.utime(path, (1, path.stat().st_mtime))
    departures(manager(root))
    assert path.stat().st_atime == 1


def test_a_settings_file_may_be_a_link(root: Path) -> None:
    (root / "etc/tool.conf").rename(root / "etc/mine.conf")
    (root / "etc/tool.conf").symlink_to("mine.conf")
    assert departures(manager(root)) == {}


def test_a_huge_file_is_not_read(root: Path) -> None:
    with (root / "usr/bin/tool").open("ab") as file:
        file.truncate(1 << 40)
    began = time.monotonic()
    assert departures(manager(root))[b"/usr/bin/tool"].changed == ("content",)
    assert time.monotonic() - began < 10


def test_rewritten_digests_hide_the_file_and_are_doubted(root: Path) -> None:
    evil = b"#!/bin/sh\necho evil\n"
    (root / "usr/bin/tool").write_bytes(evil)
    sums = root / "var/lib/dpkg/info/tool.md5sums"
    digest = hashlib.md5(evil, usedforsecurity=False).hexdigest().encode()
    sums.write_bytes(re.sub(rb"\w+(?=  usr/bin/tool\n)", digest, sums.read_bytes()))
    past = time.time() - 90 * 86400
    os.utime(root / "var/lib/dpkg/info/tool.list", (past, past))
    packages = manager(root)
    assert departures(packages) == {}  # a database that its own intruder wrote
    assert packages.owners([b"/usr/bin/tool"])[b"/usr/bin/tool"].level is Level.DIGEST
    (doubt,) = packages.doubts()
    assert doubt[:2] == ("tool", "its digests were written after it was unpacked")


@pytest.mark.parametrize("name", ["tool.md5sums", "tool.postinst"])
def test_what_is_rewritten_soon_after_it_was_unpacked_is_doubted(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the host was not copied since, so that its inodes are those which dpkg made."""
    monkeypatch.setattr(dpkg, "SOON", 0.5)
    info = root / "var/lib/dpkg/info"
    for path in info.glob("tool.*"):
        os.utime(path)
    time.sleep(1)
    (info / name).write_bytes((info / "tool.md5sums").read_bytes())
    (doubt,) = manager(root).doubts()
    assert doubt.source == f"/var/lib/dpkg/info/{name}"
    past = time.time() - 1800
    os.utime(info / "tool.list", (past, past))
    assert list(manager(root).doubts()) == []  # it may be a copy


def test_a_script_that_the_next_update_runs_is_doubted_when_it_came_later(root: Path) -> None:
    info = root / "var/lib/dpkg/info"
    (info / "tool.postinst").write_bytes(b"#!/bin/sh\n/opt/x\n")
    assert list(manager(root).doubts()) == []  # with its package
    past = time.time() - 90 * 86400
    for name in ("tool.list", "tool.md5sums"):
        os.utime(info / name, (past, past))
    (doubt,) = manager(root).doubts()
    assert doubt[:2] == ("tool", "its scripts, which dpkg runs as root, were written after it was unpacked")
    assert doubt.source == "/var/lib/dpkg/info/tool.postinst"


def test_a_package_without_digests_is_doubted_and_its_files_only_listed(root: Path, tmp_path: Path) -> None:
    install(root, deb(tmp_path, "bare", {"usr/bin/bare": (0o755, b"bare")}, sums=False))
    (root / "var/lib/dpkg/info/bare.md5sums").unlink(missing_ok=True)  # newer ones make some themselves
    (root / "usr/bin/bare").write_bytes(b"evil")
    packages = manager(root)
    assert packages.owners([b"/usr/bin/bare"])[b"/usr/bin/bare"].level is Level.LISTED
    assert departures(packages) == {}
    assert [doubt.about for doubt in packages.doubts()] == ["bare"]


def test_a_diverted_file_lies_where_it_was_put(root: Path, tmp_path: Path) -> None:
    (root / "var/lib/dpkg/diversions").write_bytes(b"/usr/bin/tool\n/usr/bin/tool.real\n:\n")
    (root / "usr/bin/tool").rename(root / "usr/bin/tool.real")
    (root / "usr/bin/tool").write_bytes(b"a wrapper")
    (found,) = departures(manager(root)).values()
    assert (found.path, found.changed, found.diverted) == (b"/usr/bin/tool", (), True)
    assert "/usr/bin/tool.real" in found.detail
    owners = manager(root).owners([b"/usr/bin/tool", b"/usr/bin/tool.real"])
    assert set(owners) == {b"/usr/bin/tool.real"}
    (root / "usr/bin/tool.real").write_bytes(b"evil")
    assert departures(manager(root))[b"/usr/bin/tool.real"].changed == ("content",)


def test_a_package_diverts_anothers_file_and_owns_its_own(root: Path, tmp_path: Path) -> None:
    (root / "var/lib/dpkg/diversions").write_bytes(b"/usr/bin/tool\n/usr/bin/tool.distrib\nwrapper\n")
    (root / "usr/bin/tool").rename(root / "usr/bin/tool.distrib")
    install(root, deb(tmp_path, "wrapper", {"usr/bin/tool": (0o755, b"wrapper")}))
    packages = manager(root)
    assert departures(packages) == {}
    owners = packages.owners([b"/usr/bin/tool", b"/usr/bin/tool.distrib"])
    assert {path: owner.package for path, owner in owners.items()} == {
        b"/usr/bin/tool": "wrapper",
        b"/usr/bin/tool.distrib": "tool",
    }


def test_an_override_is_the_mode_that_is_expected(root: Path) -> None:
    (root / "var/lib/dpkg/statoverride").write_bytes(b"alice root 4750 /usr/bin/tool\n")
    (found,) = departures(manager(root)).values()
    assert set(found.changed) <= {"mode", "owner", "group"}
    assert "mode 4750, now 0755" in found.detail
    assert "owner uid 1000" in found.detail


def test_what_dpkg_was_told_not_to_unpack_is_not_missing(root: Path) -> None:
    (root / "usr/share/doc/tool/README").unlink()
    assert departures(manager(root))[b"/usr/share/doc/tool/README"].changed == ("missing",)
    folder = root / "etc/dpkg/dpkg.cfg.d"
    folder.mkdir(parents=True)
    (folder / "docs").write_text("path-exclude=/usr/share/doc/*\npath-include /usr/share/doc/*/copyright\n")
    assert departures(manager(root)) == {}


def test_a_removed_package_owns_nothing(root: Path) -> None:
    packaged.dpkg(root, "--remove", "tool")
    assert (root / "etc/tool.conf").exists()
    packages = manager(root)
    assert packages.installed() == []
    assert packages.owners([b"/etc/tool.conf"]) == {}


def test_what_it_did_is_read_from_its_logs(root: Path) -> None:
    lines = (
        "2020-05-01 10:00:00 upgrade tool:all 0.9 1.0\n2020-05-01 10:00:01 status installed tool:all 1.0\n"
    )
    (root / "var/log/dpkg.log.2.gz").write_bytes(gzip.compress(lines.encode()))
    packages = manager(root)
    told = [(one.action, one.package, one.before, one.after) for one in packages.transactions(0)]
    assert told == [("upgrade", "tool:all", "0.9", "1.0"), ("install", "tool:all", "", "1.0-1")]
    (last,) = packages.transactions(time.time() - 3600)
    assert last.source.startswith("/var/log/dpkg.log:")


GARBAGE = bytes(range(256)) * 40


@pytest.mark.parametrize(
    "name", ["info/tool.list", "info/tool.md5sums", "diversions", "statoverride", "status"]
)
@pytest.mark.parametrize("data", [b"", GARBAGE, b"\n" * 10_000, b"/" * 50_000, b"\xff\0\n\n"])
def test_garbage_in_the_database_raises_nothing(root: Path, name: str, data: bytes) -> None:
    (root / "var/lib/dpkg" / name).write_bytes(data)
    packages = manager(root)
    list(packages.verify(lambda: False))
    list(packages.doubts())
    packages.installed()
    packages.owners([b"/usr/bin/tool"])
    if name == "status":
        assert packages.problem


def test_lines_that_say_nothing_are_told(root: Path) -> None:
    with (root / "var/lib/dpkg/info/tool.md5sums").open("ab") as file:
        file.write(b"no digest at all\n")
    (blind,) = (one for one in manager(root).verify(lambda: False) if isinstance(one, Blind))
    assert "1 lines" in blind.reason


def test_a_fifo_for_a_database_holds_nobody(root: Path) -> None:
    (root / "var/lib/dpkg/status").unlink()
    os.mkfifo(root / "var/lib/dpkg/status")
    assert "no regular file" in manager(root).problem


def test_a_host_that_refuses_md5_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise ValueError("disabled for FIPS")

    monkeypatch.setattr(hashlib, "md5", refuse)
    (root / "usr/share/tool/data").unlink()
    found = list(manager(root).verify(lambda: False))
    assert [one.scope for one in found if isinstance(one, Blind)] == [b"*"]
    assert [one.path for one in found if not isinstance(one, Blind)] == [b"/usr/share/tool/data"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_a_blind(root: Path) -> None:
    (root / "usr/bin/tool").chmod(0)
    (blind,) = manager(root).verify(lambda: False)
    assert isinstance(blind, Blind)
    assert (blind.kind, blind.scope) == ("package", b"/usr/bin/tool")


def test_many_files_are_shared_out_among_processes(root: Path, tmp_path: Path) -> None:
    many = {f"usr/share/many/{number}": (0o644, b"%d" % number) for number in range(2000)}
    install(root, deb(tmp_path, "many", many))
    assert departures(manager(root)) == {}
    (root / "usr/share/many/1234").write_bytes(b"evil")
    (root / "usr/share/many/1999").unlink()
    assert set(departures(manager(root))) == {b"/usr/share/many/1234", b"/usr/share/many/1999"}
    assert list(manager(root).verify(lambda: True)) == []


@pytest.mark.parametrize("start", ["raise SystemExit(3)  # %s", "import time  # %s\ntime.sleep(60)"])
def test_readers_that_die_or_fall_silent_are_a_blind(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    many = {f"usr/share/many/{number}": (0o644, b"%d" % number) for number in range(200)}
    install(root, deb(tmp_path, "many", many))
    monkeypatch.setattr(workers, "START", start)
    monkeypatch.setattr(checking, "SILENCE", 0.5)
    (blind,) = manager(root).verify(lambda: False)
    assert isinstance(blind, Blind)
    assert blind.scope == b"*"
    assert "not everything was compared" in blind.reason


def test_what_it_did_since_it_was_started_counts_too(root: Path) -> None:
    """dpkg folds it into its status when it ends."""
    status, updates = root / "var/lib/dpkg/status", root / "var/lib/dpkg/updates"
    text = status.read_text()
    (updates / "0000").write_text(text.replace("Version: 1.0-1", "Version: 1.5-1"))
    (updates / "0001").write_text(text.replace("Version: 1.0-1", "Version: 2.0-1"))
    (updates / "tmp.i").write_text(text.replace("Version: 1.0-1", "Version: 9.0-1"))
    assert [one.version for one in manager(root).installed()] == ["2.0-1"]
    status.write_text(text.replace("Package: tool", "Package: other"))
    assert sorted(one.package for one in manager(root).installed()) == ["other", "tool"]
    (updates / "0001").write_text(text.replace("ok installed", "ok not-installed"))
    assert [one.package for one in manager(root).installed()] == ["other"]


ZERO = b"0" * 32


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\n\n", ZERO + b"  ../etc/x\n", ZERO + b"  a..b\nbad\n" + ZERO + b" *c",
        b"/a\0b\n/c\n/../d\n/.\n",
        ZERO + b"  //x\n" + ZERO + b"  ./x\n" + ZERO + b"  y", b"/" + b"a" * 5000 + b"\n/b\n/.\n",
        b"xx" + ZERO + b"  y\n", ZERO + b"  " + b"a" * 5000 + b"\n",
    ],
)  # fmt: skip
def test_tables_are_read_as_a_whole_as_line_by_line(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = dpkgdb.listed(text), dpkgdb.digests(text)
    monkeypatch.setattr(dpkgdb, "_all_plain", lambda *_: False)
    assert (dpkgdb.listed(text), dpkgdb.digests(text)) == whole


def test_settings_are_known_as_soon_as_they_are_in_place(root: Path, tmp_path: Path) -> None:
    """Though dpkg still asks about others, as long as nobody answers."""
    paths = ("etc/first.conf", "etc/second.conf")
    conffiles = "".join(f"/{path}\n" for path in paths)
    made = [
        deb(tmp_path, "two", dict.fromkeys(paths, (0o644, text)), conffiles, version=version)
        for version, text in (("1.0-1", b"a = 1\n"), ("2.0-1", b"a = 2\n"))
    ]
    install(root, made[0])
    (root / "etc/second.conf").write_text("mine\n")
    command = (
        "dpkg", f"--root={root}", "--force-not-root", "--force-bad-path", "--log",
        root / "var/log/dpkg.log", "--install", made[1],
    )  # fmt: skip
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as asking:
        assert asking.stdin is not None
        assert asking.stdout is not None
        told = b""
        while b"[default=N]" not in told:
            told += (more := os.read(asking.stdout.fileno(), 4096))
            assert more, told
        assert (root / "etc/first.conf").read_bytes() == b"a = 2\n"
        assert departures(manager(root)).keys() == {b"/etc/second.conf"}
        asking.stdin.write(b"n\n")
        asking.stdin.flush()
        asking.stdout.read()
    assert departures(manager(root)).keys() == {b"/etc/second.conf"}
