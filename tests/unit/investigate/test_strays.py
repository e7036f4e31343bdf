"""Things where none of their kind belongs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostguardd.investigate.checks import strays
from hostguardd.investigate.interface import Verdict
from tests import rights
from tests.fakepackages import FakePackages
from tests.scenes import Findings, looked, scene
from tests.trees import OWNED, clean, put, share

ROOT = pytest.mark.skipif(not rights.ROOT, reason="only root makes devices and gives files away")


def look(root: Path, packages: FakePackages | None = None) -> Findings:
    return looked(strays.look, scene(bytes(root), packages=packages or FakePackages(OWNED)))


def test_a_clean_host(tmp_path: Path) -> None:
    put(clean(tmp_path), "/tmp/notes.txt")
    put(tmp_path, "/dev/shm/PostgreSQL.1", mode=0o600)
    (tmp_path / "usr/share").mkdir()
    found = look(tmp_path)
    assert not found.of(Verdict.SUSPICIOUS)
    assert not found.of(Verdict.NOTABLE)


@pytest.mark.parametrize("path", ["/dev/shm/x", "/tmp/.x/agent", "/var/tmp/.y", "/run/user/.z"])
def test_programs_that_hide_among_temporary_files(tmp_path: Path, path: str) -> None:
    put(clean(tmp_path), path, b"\x7fELF", 0o755)
    found = look(tmp_path)
    assert found.suspicious == [path]
    assert len(found.moments) == 1


def test_other_programs_there_come_as_one(tmp_path: Path) -> None:
    for number in range(20):
        put(clean(tmp_path), f"/tmp/build/t{number}", b"\x7fELF", 0o755)
    (item,) = look(tmp_path).of(Verdict.NOTABLE)
    assert item.name == "programs below /tmp/"
    assert item.details["files"] == 20


def test_programs_among_the_logs(tmp_path: Path) -> None:
    put(clean(tmp_path), "/var/log/cross/auto-color", b"\x7fELF\2", 0o755)
    put(tmp_path, "/var/log/x/run", "#!/bin/sh\n", 0o755)
    put(tmp_path, "/var/log/app.log", "2026-01-01 started\n", 0o755)
    put(tmp_path, "/var/log/core", b"\x7fELF\2", 0o600)
    found = look(tmp_path)
    assert [one.name for one in found.of(Verdict.SUSPICIOUS)] == ["/var/log/cross/auto-color"]
    assert [one.name for one in found.of(Verdict.NOTABLE)] == ["/var/log/x/run"]


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        ("/etc/foo.conf", Verdict.SUSPICIOUS),
        ("/usr/bin/ls", Verdict.SUSPICIOUS),
        ("/usr/lib/systemd/system/x.service", Verdict.SUSPICIOUS),
        ("/root/.profile", Verdict.SUSPICIOUS),
        ("/opt/tool/run", Verdict.SUSPICIOUS),
        ("/usr/lib/x/", Verdict.SUSPICIOUS),
        ("/opt/team/", Verdict.NOTABLE),
        ("/etc/cron.d/tidy", Verdict.FINE),
    ],
)
def test_rights_to_write_that_no_mode_shows(tmp_path: Path, path: str, verdict: Verdict) -> None:
    place = clean(tmp_path) / path.strip("/")
    if path.endswith("/"):
        place.mkdir(parents=True)
    elif not place.exists():
        put(tmp_path, path)
    share(place, 6)
    share(put(tmp_path, "/etc/only-read"), 4)
    share(put(tmp_path, "/home/carol/ours"), 6)
    found = look(tmp_path)
    told = [one for one in found.items if "an ACL lets others" in one.says]
    # What lies in its folders is for `folders` to tell.
    assert [(one.name, one.verdict) for one in told] == [(path.rstrip("/"), verdict)] * bool(verdict)


@ROOT
def test_devices(tmp_path: Path) -> None:
    clean(tmp_path)
    os.mknod(tmp_path / "var/log/disk", 0o60600, os.makedev(8, 0))
    (tmp_path / "var/named/dev").mkdir(parents=True)
    os.mknod(tmp_path / "var/named/dev/null", 0o20666, os.makedev(1, 3))
    put(tmp_path, "/srv/chroot/etc/passwd")
    (tmp_path / "srv/chroot/dev").mkdir()
    os.mknod(tmp_path / "srv/chroot/dev/sda", 0o60600, os.makedev(8, 0))
    os.mknod(tmp_path / "var/log/whiteout", 0o20000, 0)
    os.mknod(tmp_path / "var/log/inaccessible", 0o60000, 0)
    found = look(tmp_path)
    assert found.suspicious == ["/var/log/disk"]
    assert [one.name for one in found.of(Verdict.NOTABLE)] == ["devices in /srv/chroot"]
    assert found.named("devices of chroots").details["paths"] == ["/var/named/dev/null"]


def test_what_anybody_may_write_to(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/bin/tool", mode=0o777).chmod(0o777)
    put(tmp_path, "/usr/share/x.txt").chmod(0o666)
    (tmp_path / "usr/lib/open").mkdir(parents=True)
    (tmp_path / "usr/lib/open").chmod(0o777)
    found = look(tmp_path)
    assert found.suspicious == ["/usr/bin/tool"]
    assert {one.name for one in found.of(Verdict.NOTABLE)} == {"/usr/share/x.txt", "/usr/lib/open"}


@pytest.mark.parametrize("path", ["/usr/bin/ls", "/etc/sudoers.d/", "/usr/bin/"])
def test_what_anybody_may_write_to_though_a_package_brought_it(tmp_path: Path, path: str) -> None:
    """dpkg keeps no modes."""
    place = clean(tmp_path) / path.strip("/")
    if path.endswith("/"):
        place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o777)
    packages = FakePackages({**OWNED, os.fsencode(path.rstrip("/")): "x"})
    assert look(tmp_path, packages).suspicious == [path.rstrip("/")]


@ROOT
def test_what_belongs_to_somebody_who_logs_in(tmp_path: Path) -> None:
    os.chown(clean(tmp_path) / "usr/bin/ls", 1000, 0)
    os.chown(put(tmp_path, "/usr/lib/tool/x"), 1000, 0)
    os.chown(put(tmp_path, "/usr/local/bin/x"), 1000, 0)
    found = look(tmp_path)
    assert found.suspicious == ["of the system, and of carol"]
    assert (
        "carol owns 1 packaged path in the system's folders, such as /usr/bin/ls"
        in found.of(Verdict.SUSPICIOUS)[0].says
    )
    os.chown(tmp_path / "usr/bin/ls", 0, 0)
    assert "such as /usr/lib/tool/x" in look(tmp_path).named("of the system, and of carol").says


@ROOT
def test_files_of_nobody(tmp_path: Path) -> None:
    os.chown(put(clean(tmp_path), "/usr/lib/left"), 4711, 0)
    os.chown(put(tmp_path, "/srv/left"), 4712, 0)
    os.chown(put(tmp_path, "/usr/lib/inside"), 100_033, 0)
    found = look(tmp_path)
    assert found.named("files of uid 4711").verdict is Verdict.NOTABLE
    assert found.named("files of uid 4712").verdict is Verdict.FINE
    assert found.named("files of uid 100033").verdict is Verdict.FINE
