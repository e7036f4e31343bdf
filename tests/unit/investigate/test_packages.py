"""The check of packaged files: what an intruder does to them, and a clean host."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostguardd.investigate.checks import packages
from hostguardd.investigate.checks.packages import judge
from hostguardd.investigate.interface import Verdict
from hostguardd.packages.interface import Departure, Level, NoPackages, Owner
from tests import packaged, rights
from tests.packaged import copied, deb, install, manager
from tests.scenes import Findings, looked, scene

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
needs_rpm = pytest.mark.skipif(
    not rights.ROOT or any(shutil.which(name) is None for name in ("rpm", "rpmbuild", "rpmsign", "gpg")),
    reason="needs root, rpm, rpmbuild, rpmsign and gpg",
)


@pytest.fixture(scope="module")
def made_debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packaged.debian(tmp_path_factory.mktemp("debian"))


@pytest.fixture(scope="module")
def made_redhat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packaged.redhat(tmp_path_factory.mktemp("redhat"))


@pytest.fixture
def debian(made_debian: Path, tmp_path: Path) -> Path:
    return copied(made_debian, tmp_path / "root")


@pytest.fixture
def redhat(made_redhat: Path, tmp_path: Path) -> Path:
    return copied(made_redhat, tmp_path / "root")


def found(root: Path) -> Findings:
    return looked(packages.look, scene(os.fsencode(root), packages=manager(root)))


def complete(findings: Findings) -> None:
    """Whatever is not fine says what it means, what to do and where it was seen."""
    for item in findings.items:
        if item.verdict is not Verdict.FINE:
            assert item.means
            assert item.next
            assert item.evidence


@needs_dpkg
def test_a_clean_debian(debian: Path) -> None:
    findings = found(debian)
    assert findings.of(Verdict.NOTABLE) == []
    assert findings.suspicious == []
    assert findings.unseen == []
    database = findings.named("package database")
    assert (database.details["digest"], database.details["signed"]) == (1, 0)
    assert "not that nobody changed file and database" in database.says
    (moment,) = findings.moments
    assert (moment.kind, moment.says) == ("package", "dpkg: install tool:all 1.0-1")


@needs_dpkg
def test_what_an_intruder_changes_on_debian(debian: Path) -> None:
    (debian / "usr/bin/tool").write_bytes(b"#!/bin/sh\necho evil\n")
    (debian / "usr/lib/x86_64-linux-gnu/libtool.so.1").write_bytes(b"\x7fELF evil")
    (debian / "usr/lib/systemd/system/tool.service").write_bytes(b"[Service]\nExecStart=/tmp/x\n")
    (debian / "etc/tool.conf").write_bytes(b"a = 2\n")
    (debian / "usr/share/tool/data").write_bytes(b"evil\n")
    (debian / "usr/share/doc/tool/README").unlink()
    findings = found(debian)
    assert sorted(findings.suspicious) == [
        "/usr/bin/tool",
        "/usr/lib/systemd/system/tool.service",
        "/usr/lib/x86_64-linux-gnu/libtool.so.1",
    ]
    assert {item.name for item in findings.of(Verdict.NOTABLE)} == {"/etc/tool.conf", "/usr/share/tool/data"}
    assert findings.named("/usr/bin/tool").technique == "T1554"
    assert findings.named("/usr/bin/tool").details["level"] == "digest"
    assert "settings of tool 1.0-1" in findings.named("/etc/tool.conf").says
    complete(findings)


@needs_dpkg
def test_the_package_manager_itself_comes_first(debian: Path, tmp_path: Path) -> None:
    install(debian, deb(tmp_path, "dpkg", {"usr/bin/dpkg": (0o755, b"\x7fELF dpkg")}))
    assert found(debian).named("dpkg itself").verdict is Verdict.FINE
    (debian / "usr/bin/dpkg").write_bytes(b"\x7fELF evil")
    findings = found(debian)
    assert findings.suspicious == ["dpkg itself", "/usr/bin/dpkg"]
    complete(findings)


@needs_dpkg
def test_a_compiled_program_where_data_was(debian: Path) -> None:
    (debian / "usr/share/tool/data").write_bytes(b"\x7fELF evil")
    assert found(debian).suspicious == ["/usr/share/tool/data"]


@needs_dpkg
def test_names_that_would_play_with_a_terminal_are_escaped(debian: Path) -> None:
    odd = os.fsencode(debian) + b"/usr/share/tool/it's \xe9 \xff odd"
    os.unlink(odd)
    os.symlink(b"/tmp/\x1b[2J", odd)
    item = found(debian).named("/usr/share/tool/it's \\xe9 \\xff odd")
    assert item.evidence[0].text.isprintable()
    assert "\\x1b[2J" in item.evidence[0].text


@needs_dpkg
def test_another_installers_tree_is_one_item(debian: Path, tmp_path: Path) -> None:
    many = {f"usr/lib/node_modules/npm/lib/{number}.js": (0o644, b"%d" % number) for number in range(40)}
    install(debian, deb(tmp_path, "nodejs", many))
    for number in range(30):
        (debian / f"usr/lib/node_modules/npm/lib/{number}.js").write_bytes(b"newer")
    findings = found(debian)
    item = findings.named("package nodejs: files of /usr/lib/node_modules/npm")
    assert (item.verdict, item.details["count"]) == (Verdict.NOTABLE, 30)
    assert findings.suspicious == []
    assert item.details["sample"] == found(debian).named(item.name).details["sample"]
    complete(findings)


@needs_dpkg
def test_a_diversion_of_nobodys_is_told(debian: Path) -> None:
    (debian / "var/lib/dpkg/diversions").write_bytes(b"/usr/bin/tool\n/usr/bin/tool.real\n:\n")
    (debian / "usr/bin/tool").rename(debian / "usr/bin/tool.real")
    (debian / "usr/bin/tool").write_bytes(b"a wrapper")
    findings = found(debian)
    item = findings.named("/usr/bin/tool")
    assert item.verdict is Verdict.NOTABLE
    assert "/usr/bin/tool.real" in item.says
    complete(findings)


@needs_dpkg
def test_a_rewritten_digest_is_told(debian: Path) -> None:
    os.utime(debian / "var/lib/dpkg/info/tool.list", (1, 1))
    findings = found(debian)
    (item,) = findings.of(Verdict.NOTABLE)
    assert "written after it was unpacked" in item.says
    assert item.details["packages"] == ["tool"]
    complete(findings)


@needs_rpm
def test_a_clean_redhat(redhat: Path) -> None:
    findings = found(redhat)
    assert findings.of(Verdict.NOTABLE) == []
    assert findings.suspicious == []
    assert findings.unseen == []
    assert findings.named("package database").details["signed"] == 1
    assert {moment.says.split()[2]: moment.verdict for moment in findings.moments} == {
        "tool.noarch": Verdict.FINE,
        "plain.noarch": Verdict.FINE,
        "gpg-pubkey": Verdict.NOTABLE,
    }


@needs_rpm
def test_what_an_intruder_changes_on_redhat(redhat: Path) -> None:
    (redhat / "usr/bin/plain").chmod(stat.S_ISUID | 0o755)
    (redhat / "usr/bin/tool").write_bytes(b"evil")
    (redhat / "usr/share/doc/tool/README").chmod(0o646)
    (redhat / "etc/tool.conf").chmod(0o600)
    (redhat / "usr/bin/tool-link").unlink()
    (redhat / "usr/bin/tool-link").symlink_to("/tmp/evil")
    os.utime(redhat / "usr/share/tool/data", (1, 1))
    findings = found(redhat)
    assert sorted(findings.suspicious) == [
        "/usr/bin/plain",
        "/usr/bin/tool",
        "/usr/bin/tool-link",
        "/usr/share/doc/tool/README",
    ]
    assert findings.named("/usr/bin/plain").technique == "T1548.001"
    assert findings.named("/usr/bin/tool").details["level"] == "signed"
    assert {item.name for item in findings.of(Verdict.NOTABLE)} == {"/etc/tool.conf"}
    complete(findings)


@needs_rpm
def test_a_forged_header_is_suspicious_though_its_file_agrees(redhat: Path) -> None:
    place = redhat / packaged.FOLDER / "rpmdb.sqlite"
    if not place.exists():
        pytest.skip("this rpm keeps no SQLite database")
    with contextlib.closing(sqlite3.connect(place)) as database, database:
        for number, blob in database.execute("SELECT hnum, blob FROM Packages").fetchall():
            forged = blob.replace(b"tool.service\0", b"evil.service\0")
            database.execute("UPDATE Packages SET blob=? WHERE hnum=?", (forged, number))
    folder = redhat / "usr/lib/systemd/system"
    (folder / "tool.service").rename(folder / "evil.service")
    findings = found(redhat)
    assert findings.suspicious == ["package tool.noarch"]
    assert "broken" in findings.named("package tool.noarch").says
    complete(findings)


def test_without_a_package_manager_nothing_is_claimed(tmp_path: Path) -> None:
    findings = looked(packages.look, scene(os.fsencode(tmp_path), packages=NoPackages()))
    assert findings.items == []
    (unseen,) = findings.unseen
    assert "neither rpm nor dpkg" in unseen.reason


OWNER = Owner("p", "1", Level.DIGEST)
CONFIG = OWNER._replace(config=True)
FILE = stat.S_IFREG | 0o644


@pytest.mark.parametrize(
    ("path", "owner", "changed", "now", "verdict"),
    [
        (b"/usr/bin/x", OWNER, ("content",), FILE, Verdict.SUSPICIOUS),
        (b"/usr/bin/x", OWNER, ("mtime",), FILE, Verdict.FINE),
        (b"/usr/bin/x", OWNER, ("missing",), 0, Verdict.NOTABLE),
        (b"/usr/bin/x", OWNER, ("owner",), FILE, Verdict.SUSPICIOUS),
        (b"/usr/lib64/security/pam_unix.so", OWNER, ("content", "size"), FILE, Verdict.SUSPICIOUS),
        (b"/usr/lib/python3.11/site.py", OWNER, ("content",), FILE, Verdict.SUSPICIOUS),
        (b"/usr/lib/python3.11/site-packages/x/y.py", OWNER, ("content",), FILE, Verdict.NOTABLE),
        (b"/usr/lib/python3/dist-packages/x.pth", OWNER, ("content",), FILE, Verdict.NOTABLE),
        (b"/usr/lib/python3/dist-packages/x/y.py", OWNER, ("content",), FILE, Verdict.NOTABLE),
        (b"/usr/lib/python3/dist-packages/hostguardd/y.py", OWNER, ("content",), FILE, Verdict.SUSPICIOUS),
        (b"/usr/lib/hostguardd/site/hostguardd/y.py", OWNER, ("content",), FILE, Verdict.SUSPICIOUS),
        (b"/etc/x", CONFIG, ("content", "size", "mtime"), FILE, Verdict.NOTABLE),
        (b"/etc/x", CONFIG, ("mode",), FILE | 0o002, Verdict.SUSPICIOUS),
        (b"/var/log/x", CONFIG, ("size", "mtime"), FILE, Verdict.FINE),
        (b"/run/x", OWNER, ("missing",), 0, Verdict.FINE),
        (b"/usr/share/doc/x", OWNER, ("missing",), 0, Verdict.FINE),
        (b"/var/spool/x", OWNER, ("mode",), stat.S_IFDIR | 0o1777, Verdict.NOTABLE),
        (b"/var/spool/x", OWNER, ("mode",), stat.S_IFDIR | 0o777, Verdict.SUSPICIOUS),
        (b"/usr/bin/x", OWNER, ("mode",), stat.S_IFREG | 0o6644, Verdict.SUSPICIOUS),
        (b"/boot/efi/EFI/x.efi", OWNER, ("mode",), stat.S_IFREG | 0o777, Verdict.FINE),
        (b"/boot/efi/EFI/x.EFI", OWNER, ("content", "mode"), stat.S_IFREG | 0o777, Verdict.SUSPICIOUS),
        (b"/dev/x", OWNER, ("device",), stat.S_IFCHR | 0o600, Verdict.SUSPICIOUS),
        (b"/etc/pki/tls/certs/ca-bundle.crt", OWNER, ("content",), FILE, Verdict.NOTABLE),
    ],
)
def test_judging(path: bytes, owner: Owner, changed: tuple[str, ...], now: int, verdict: Verdict) -> None:
    detail = f"mode 0644, now {stat.S_IMODE(now):04o}" if "mode" in changed else ""
    judged = judge(Departure(path, owner, changed, detail), now, elf=False)
    assert judged.verdict is verdict
    assert bool(judged.means) == (verdict is not Verdict.FINE)


def test_a_set_id_program_with_less_of_its_mode_gained_nothing() -> None:
    one = Departure(b"/usr/bin/x", OWNER, ("mode",), "mode 4755, now 4711")
    assert judge(one, stat.S_IFREG | 0o4711, elf=True).verdict is Verdict.NOTABLE


def test_many_departures_are_one_item(tmp_path: Path) -> None:
    class Many(NoPackages):
        problem = ""

        def verify(self, stop: object, only: object = None) -> Iterator[Departure]:
            owner = Owner("p", "1", Level.DIGEST)
            return (Departure(b"/srv/%d" % number, owner, ("content",), "x") for number in range(20_000))

    findings = looked(packages.look, scene(os.fsencode(tmp_path), packages=Many("")))
    (item,) = findings.of(Verdict.NOTABLE)
    assert item.details["count"] == 20_000
    assert isinstance(item.details["sample"], list)
    assert len(item.details["sample"]) <= 20
