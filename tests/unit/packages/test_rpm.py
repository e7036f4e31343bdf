"""rpm's knowledge, on a host whose packages rpm itself installed, one of them signed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import stat
import time
from pathlib import Path

import pytest

from hostguardd.host.bundle import image
from hostguardd.packages import rpmrun
from hostguardd.packages.interface import Level
from hostguardd.packages.rpm import Rpm
from tests import packaged, rights
from tests.packaged import copied, departures, manager

pytestmark = [
    pytest.mark.skipif(
        any(shutil.which(name) is None for name in ("rpm", "rpmbuild", "rpmsign", "gpg")),
        reason="rpm, rpmbuild, rpmsign and gpg are not all installed",
    ),
    pytest.mark.skipif(not rights.ROOT, reason="needs root, as rpm changes its root to install there"),
]

ODD = b"/usr/share/tool/it's \xe9 \xff odd"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packaged.redhat(tmp_path_factory.mktemp("redhat"))


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return copied(made, tmp_path / "root")


def test_a_clean_host_departs_in_nothing(root: Path) -> None:
    packages = manager(root)
    assert isinstance(packages, Rpm)
    assert packages.problem == ""
    assert departures(packages) == {}


def test_only_a_verified_signature_counts(root: Path) -> None:
    plain, tool = manager(root).installed()
    assert (tool.package, tool.version, tool.level) == ("tool.noarch", "1.0-1", Level.SIGNED)
    assert "RSA" in tool.signature
    assert tool.signature.endswith("verified")
    assert abs(tool.at - time.time()) < 3600
    assert (plain.package, plain.level, plain.signature) == (
        "plain.noarch",
        Level.DIGEST,
        "it bears no signature",
    )


def test_without_its_key_a_signature_is_not_verified(root: Path) -> None:
    key = packaged.run("rpm", "--dbpath", root / packaged.FOLDER, "-q", "gpg-pubkey").decode().strip()
    packaged.run("rpm", "--dbpath", root / packaged.FOLDER, "--force-debian", "-e", key)
    tool = manager(root).installed()[-1]
    assert tool.level is Level.DIGEST
    assert "no such key" in tool.signature


def test_owners(root: Path) -> None:
    asked = [b"/bin/tool", b"/etc/tool.conf", ODD, b"/var/log/tool.log", b"/usr/bin/plain", b"/usr/bin/other"]
    owners = manager(root).owners(asked)
    assert set(owners) == set(asked[:-1])
    assert owners[b"/bin/tool"] == ("tool.noarch", "1.0-1", Level.SIGNED, False)
    assert owners[b"/etc/tool.conf"].config
    assert owners[b"/usr/bin/plain"].level is Level.DIGEST
    assert manager(root).holds(b"/bin")
    assert not manager(root).holds(b"/usr/bin/tool")
    assert not manager(root).holds(b"/srv")


def test_a_file_that_another_package_replaced_is_that_ones(root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    packaged.lay(tree, {"usr/bin/tool": (0o755, b"#!/bin/sh\necho other\n")})
    made = packaged.rpm(tmp_path, "other", tree, "/usr/bin/tool\n")
    packaged.put(root, made, replace=True)
    (root / "usr/share/tool/data").write_text("patched\n")
    packages = manager(root)
    assert packages.owners([b"/usr/bin/tool"])[b"/usr/bin/tool"][::2] == ("other.noarch", Level.DIGEST)
    assert departures(packages).keys() == {b"/usr/share/tool/data"}
    assert dict(Rpm(image(os.fsencode(root))).paths())[b"/usr/bin/tool"] == "other.noarch"


def test_what_departs_is_told(root: Path) -> None:
    (root / "usr/bin/plain").write_bytes(b"#!/bin/xx\n")  # as long as it was
    (root / "etc/tool.conf").write_bytes(b"a = 2000\n")
    (root / "usr/share/tool/data").unlink()
    (root / "usr/lib/systemd/system/tool.service").chmod(0o666)
    os.chown(root / "usr/share/doc/tool/README", 1000, 1000)
    (root / "usr/bin/tool-link").unlink()
    (root / "usr/bin/tool-link").symlink_to("/tmp/evil")
    os.removexattr(root / "usr/bin/tool", "security.capability")
    os.unlink(os.fsencode(root) + ODD)
    os.mkdir(os.fsencode(root) + ODD)
    (root / "usr/lib/x86_64-linux-gnu/libtool.so.1").chmod(stat.S_ISUID | 0o755)
    found = departures(manager(root))
    assert {path: [word for word in one.changed if word != "mtime"] for path, one in found.items()} == {
        b"/usr/bin/plain": ["content"],
        b"/etc/tool.conf": ["content", "size"],
        b"/usr/share/tool/data": ["missing"],
        b"/usr/lib/systemd/system/tool.service": ["mode"],
        b"/usr/share/doc/tool/README": ["owner", "group"],
        b"/usr/bin/tool-link": ["link"],
        b"/usr/bin/tool": ["capabilities"],
        ODD: ["type"],
        b"/usr/lib/x86_64-linux-gnu/libtool.so.1": ["mode"],
    }
    assert "mode 0644, now 4755" in found[b"/usr/lib/x86_64-linux-gnu/libtool.so.1"].detail
    assert "cap_net_raw=ep, now none" in found[b"/usr/bin/tool"].detail
    assert "tool, now /tmp/evil" in found[b"/usr/bin/tool-link"].detail
    assert [path for path, one in found.items() if one.owner.config] == [b"/etc/tool.conf"]


def test_what_was_only_touched_says_so(root: Path) -> None:
    os.utime(root / "usr/bin/plain", (1, 1))
    assert departures(manager(root))[b"/usr/bin/plain"].changed == ("mtime",)


def test_capabilities_that_no_package_gave_are_told(root: Path) -> None:
    value = bytes.fromhex("01000002 00002000 00000000 00000000 00000000".replace(" ", ""))
    os.setxattr(root / "usr/bin/plain", "security.capability", value)
    found = departures(manager(root))[b"/usr/bin/plain"]
    assert found.changed == ("capabilities",)
    assert "cap_sys_admin" in found.detail


def test_ghosts_and_what_packages_ask_not_to_verify(root: Path) -> None:
    (root / "usr/share/tool/cache").write_bytes(b"grown since")
    assert departures(manager(root)) == {}  # and the ghost has never been there
    (root / "var/log/tool.log").write_bytes(b"grown since")
    (root / "var/log/tool.log").chmod(0o600)
    assert departures(manager(root)) == {}
    (root / "var/log/tool.log").chmod(0o644)
    found = departures(manager(root))[b"/var/log/tool.log"]
    assert (found.changed, found.owner.config) == (("mode",), True)


def test_a_name_with_a_newline_is_one_name(root: Path) -> None:
    """rpmbuild refuses such names, so one is written into the header, as a forger would."""
    forge(root, b"libtool.so.1\0", b"lib\n'ol so.1\0")
    library = root / "usr/lib/x86_64-linux-gnu/libtool.so.1"
    library.rename(library.with_name("lib\n'ol so.1"))
    packages = manager(root)
    path = b"/usr/lib/x86_64-linux-gnu/lib\n'ol so.1"
    assert set(packages.owners([path])) == {path}
    assert departures(packages) == {}
    library.with_name("lib\n'ol so.1").write_bytes(b"evil")
    assert set(departures(packages)) == {path}


def forge(root: Path, before: bytes, after: bytes) -> None:
    """Change bytes of the installed headers."""
    assert len(before) == len(after)
    place = root / packaged.FOLDER / "rpmdb.sqlite"
    if not place.exists():
        pytest.skip("this rpm keeps no SQLite database")
    with contextlib.closing(sqlite3.connect(place)) as database, database:
        for number, blob in database.execute("SELECT hnum, blob FROM Packages").fetchall():
            if before in blob:
                database.execute(
                    "UPDATE Packages SET blob=? WHERE hnum=?", (blob.replace(before, after), number)
                )


def test_a_forged_header_is_doubted_and_its_files_still_compared(root: Path) -> None:
    evil = b"#!/bin/sh\necho evil\n"
    packages = manager(root)
    (root / "usr/bin/tool").write_bytes(evil)
    before = departures(packages)[b"/usr/bin/tool"]
    assert before.owner.level is Level.SIGNED
    old = hashlib.sha256(packaged.FILES["usr/bin/tool"][1]).hexdigest().encode()
    forge(root, old, hashlib.sha256(evil).hexdigest().encode())
    packages = manager(root)
    (doubt,) = (one for one in packages.doubts() if one.grave)
    assert doubt.about == "tool.noarch"
    assert "broken" in doubt.says
    assert packages.owners([b"/usr/bin/tool"])[b"/usr/bin/tool"].level is Level.DIGEST
    assert "content" not in departures(packages)[b"/usr/bin/tool"].changed  # what the forger wanted


def test_what_it_did_is_read_from_dnfs_log_and_from_the_headers(root: Path) -> None:
    (root / "var/log/dnf.rpm.log").write_text(
        "2026-01-05T10:00:00+0100 INFO --- logging initialized ---\n"
        "2026-01-05T10:00:01+0100 SUBDEBUG Upgrade: bash-5.1.8-9.el9.x86_64\n"
        "2026-01-05T10:00:01+0100 SUBDEBUG Upgraded: bash-5.1.8-6.el9.x86_64\n"
        "2026-01-05T10:00:02+0100 SUBDEBUG Erase: telnet-1:0.17-85.el9.x86_64\n"
    )
    found = list(manager(root).transactions(0))
    upgrade, erase, *installs = found
    assert upgrade[1:] == ("upgrade", "bash.x86_64", "", "5.1.8-9.el9", "/var/log/dnf.rpm.log:2")
    assert upgrade.at == 1767603601.0
    assert erase[1:5] == ("remove", "telnet.x86_64", "1:0.17-85.el9", "")
    assert {one.package for one in installs} == {"gpg-pubkey", "plain.noarch", "tool.noarch"}
    assert list(manager(root).transactions(time.time() + 3600)) == []


def told(root: Path) -> list[tuple[str, ...]]:
    """What it did by its logs, with the line of the log that says so."""
    found = [one for one in manager(root).transactions(0) if one.source.startswith("/var/log/")]
    return [tuple(map(str, one[1:])) for one in found]


def test_what_it_did_is_read_from_dnf5s_log(root: Path) -> None:
    """As Fedora has it from 41 on; the format is that of libdnf5's rpm/transaction.cpp."""
    call = '[{}] INFO RPM callback {} stop "{}" amount 9 total 9\n'
    acpi, new, old = "acpi-0:1.7-21.fc41.x86_64", "vim-2:9.1-1.fc41.x86_64", "vim-2:9.0-1.fc41.x86_64"
    (root / "var/log/dnf5.log").write_text(
        '2024-09-20T10:30:35+0000 [714] INFO --- DNF5 launched with arguments: "dnf upgrade" ---\n'
        f'2024-09-20T10:30:54+0000 [714] INFO RPM callback install start "{acpi}" total 9\n'
        + "2024-09-20T10:30:54+0000 " + call.format(714, "install", acpi)
        + "2024-09-20T10:30:55+0000 " + call.format(714, "install", new)
        + "2024-09-20T10:30:56+0000 " + call.format(714, "uninstall", old)
        + "2024-09-20T10:40:00+0000 " + call.format(799, "uninstall", new)
    )  # fmt: skip
    assert told(root) == [
        ("install", "acpi.x86_64", "", "1.7-21.fc41", "/var/log/dnf5.log:3"),
        ("upgrade", "vim.x86_64", "2:9.0-1.fc41", "2:9.1-1.fc41", "/var/log/dnf5.log:4"),
        ("remove", "vim.x86_64", "2:9.1-1.fc41", "", "/var/log/dnf5.log:6"),
    ]
    first = next(iter(manager(root).transactions(0)))
    assert first.at == 1726828254.0


def test_what_it_did_is_read_from_yums_log_which_has_no_years(root: Path) -> None:
    log = root / "var/log/yum.log"
    log.write_text(
        "Dec 30 23:59:59 Installed: tmux-1.8-4.el7.x86_64\n"
        "Jan 02 10:00:00 Updated: 1:openssl-libs-1.0.1e-51.el7_2.5.x86_64\n"
        "Jan 02 10:00:01 Erased: postfix\n"
        "no line of yum's\n"
    )
    written = time.mktime((2024, 1, 2, 10, 0, 1, 0, 0, -1))
    os.utime(log, (written, written))
    assert told(root) == [
        ("install", "tmux.x86_64", "", "1.8-4.el7", "/var/log/yum.log:1"),
        ("upgrade", "openssl-libs.x86_64", "", "1:1.0.1e-51.el7_2.5", "/var/log/yum.log:2"),
        ("remove", "postfix", "", "", "/var/log/yum.log:3"),
    ]
    first, *_, last = list(manager(root).transactions(0))[:3]
    assert time.localtime(first.at)[:3] == (2023, 12, 30)
    assert last.at == written


def test_a_database_of_garbage_is_a_problem_and_no_exception(root: Path) -> None:
    for path in (root / packaged.FOLDER).iterdir():
        path.write_bytes(os.urandom(10_000))
    packages = Rpm(image(os.fsencode(root)))
    assert packages.problem
    assert packages.installed() == []
    assert packages.owners([b"/usr/bin/tool"]) == {}
    assert list(packages.doubts()) == []
    list(packages.verify(lambda: False))


@pytest.mark.parametrize(
    ("program", "problem"),
    [(b"/bin/no-such-rpm", "cannot be run"), (b"writable", "may be written by others")],
)
def test_only_a_trusted_rpm_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: bytes, problem: str
) -> None:
    place = tmp_path / "writable"
    place.write_text("#!/bin/sh\necho evil\n")
    place.chmod(0o777)
    monkeypatch.setattr(rpmrun, "PROGRAM", os.path.join(os.fsencode(tmp_path), program))
    assert problem in rpmrun.trusted(rpmrun.PROGRAM)


def test_rpm_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpmrun, "trusted", lambda: "")
    monkeypatch.setattr(rpmrun, "PROGRAM", b"/bin/sleep")
    monkeypatch.setattr(rpmrun, "SILENCE", 0.3)
    with pytest.raises(rpmrun.RpmError, match="said nothing"):
        list(rpmrun.asked([b"60"], lambda: False))
    began = time.monotonic()
    assert list(rpmrun.asked([b"60"], lambda: time.monotonic() - began > 0.2)) == []
    assert time.monotonic() - began < 5


def test_rpm_gets_no_environment_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpmrun, "trusted", lambda: "")
    monkeypatch.setattr(rpmrun, "PROGRAM", shutil.which("env", path="/usr/bin:/bin").encode())  # type: ignore[union-attr]
    monkeypatch.setenv("LD_PRELOAD_OF_OURS", "x")
    told = b"".join(rpmrun.asked([], lambda: False)).split()
    assert sorted(line.partition(b"=")[0] for line in told) == [b"HOME", b"LC_ALL", b"PATH"]


def test_an_answer_that_broke_off_is_no_answer(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = manager(root)
    assert packages.problem == ""
    ends = tmp_path / "ends"
    ends.write_text('#!/bin/sh\n/usr/bin/rpm "$@" | head -n 3\nkill -9 $$\n')
    ends.chmod(0o755)
    monkeypatch.setattr(rpmrun, "trusted", lambda: "")
    monkeypatch.setattr(rpmrun, "PROGRAM", os.fsencode(ends))
    assert packages.owners([b"/usr/bin/tool", b"/usr/bin/plain"]) == {}
    assert "signal 9" in packages.problem


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".rpmmacros", "%_keyring fs\n%_keyringpath {}\n"),
        (".popt", 'rpm alias -q --define "_keyring fs" --define "_keyringpath {}" -q\n'),
    ],
)
def test_no_setting_says_which_keys_are_believed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """/etc/rpm and /etc/popt are read as those of a home are."""
    monkeypatch.setitem(rpmrun.ENVIRONMENT, "HOME", str(tmp_path))
    (tmp_path / "keys").mkdir()
    (tmp_path / name).write_text(text.format(tmp_path / "keys"))
    assert manager(root).installed()[-1].level is Level.SIGNED
