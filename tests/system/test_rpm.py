"""The package as it is installed: rpmlint's word, its bytes, and its life on a host booted by systemd.

`rpm_day.py` acts in that host (see `guest.py`); what it brought out is judged here. `make rpm-check` runs
this; the whole suite leaves it out, as it takes as long again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostguardd.errors import Exit
from hostguardd.health import message_id
from hostguardd.store.chain import read, verify
from tests.alerts import check
from tests.daemon import ROOT
from tests.system import guest

PACKAGES = "systemd,systemd-sysv,dbus,libpam-systemd,procps,python3,rpm,man-db,sudo"
PROMISED_READY = 2.0
MOST_EXPOSED = 3.5
MOST_EXPOSED_FORWARDER = 1.5

SETTINGS = """\
[processes]
managed = "1s"

[[watch]]
name = "many"
paths = ["/srv/many"]
"""

SHIM = """\
Name: shim
Version: 1
Release: 1
Summary: What the host has by its other package manager
License: none
BuildArch: noarch
{provides}
%description
%files
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def build(tree: Path, out: Path, *, epoch: int = 0) -> Path:
    """The package of a tree."""
    made = subprocess.run(
        [tree / "packaging/build", sys.executable, str(out)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {"HOSTGUARD_WHEELS": str(ROOT / "build/wheels")}
        | ({"SOURCE_DATE_EPOCH": str(epoch)} if epoch else {}),
    )
    assert made.returncode == 0, made.stderr
    (found,) = (
        out.glob("hostguardd-*[!c].rpm")
        if not list(out.glob("*.src.rpm"))
        else (path for path in out.glob("*.rpm") if not path.name.endswith(".src.rpm"))
    )
    return found


def copy_of_tree(target: Path) -> Path:
    """The tree without what is made in it."""
    names = (
        "hostguardd",
        "etc",
        "systemd",
        "packaging",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "pyproject.toml",
    )
    target.mkdir()
    for name in names:
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(ROOT / name, target)
    return target


def edit(path: Path, pattern: str, by: str) -> None:
    text, count = re.subn(pattern, by, path.read_text(), flags=re.MULTILINE)
    assert count, f"{pattern} is not in {path}"
    path.write_text(text)


def version(tree: Path, number: str) -> Path:
    edit(tree / "hostguardd/__init__.py", r"^__version__ = .*", f'__version__ = "{number}"')
    edit(tree / "packaging/hostguardd.spec", r"^Version:.*", f"Version: {number}")
    edit(tree / "packaging/hostguardd.spec", r" - [0-9.]+-1$", f" - {number}-1")
    return tree


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not os.environ.get("HOSTGUARD_RPM"):
        pytest.skip("`make rpm-check` runs this")
    if shutil.which("rpmbuild") is None:
        pytest.skip("rpmbuild is not installed")
    return tmp_path_factory.mktemp("rpm")


@pytest.fixture(scope="module")
def package(folder: Path) -> Path:
    """The package of this tree."""
    return build(ROOT, folder / "now")


@pytest.fixture(scope="module")
def newer(folder: Path) -> Path:
    """A later version: a file changed, one more, one less, another default in the settings."""
    tree = version(copy_of_tree(folder / "newer-tree"), "99.0")
    edit(tree / "hostguardd/progress.py", r"\Z", "# of a later version\n")
    (tree / "hostguardd/later.py").write_text('"""More."""\n')
    (tree / "hostguardd/py.typed").unlink()
    edit(tree / "etc/hostguardd.toml", r"\Z", "# One more line.\n")
    return build(tree, folder / "newer", epoch=1_800_000_000)


@pytest.fixture(scope="module")
def older(folder: Path) -> Path:
    """An earlier version, whose store had an earlier format."""
    tree = version(copy_of_tree(folder / "older-tree"), "0.0.9")
    edit(tree / "packaging/hostguardd.spec", r"^%global store_format.*", "%global store_format 1")
    return build(tree, folder / "older", epoch=1_700_000_000)


def shim(package: Path, folder: Path) -> Path:
    """A package that provides what ours requires, for a host whose own packages rpm does not know."""
    requires = subprocess.run(
        ["rpm", "-qp", "--requires", package], capture_output=True, text=True, check=True
    )
    names = {
        line.split()[0]
        for line in requires.stdout.splitlines()
        if not line.startswith(("rpmlib(", "config(", "("))
    }
    provides = [f"Provides: {name}" for name in sorted(names)] + ["Provides: python3 = 3.11.2"]
    spec = folder / "shim.spec"
    spec.write_text(SHIM.format(provides="\n".join(provides)))
    subprocess.run(
        ["rpmbuild", "--quiet", "-bb", "--define", f"_topdir {folder}/shim", spec],
        check=True,
        capture_output=True,
    )
    (made,) = (folder / "shim/RPMS").rglob("*.rpm")
    return made


@pytest.fixture(scope="module")
def day(folder: Path, package: Path, newer: Path, older: Path) -> Iterator[Path]:
    """The root of a host after its one day."""
    root = guest.copied(guest.debian(PACKAGES), folder / "root")
    shutil.copy(ROOT / "tests/system/rpm_day.py", root)
    guest.program(root, "/usr/bin/python3 /rpm_day.py")
    (root / "packages").mkdir()
    for name, path in (("now", package), ("next", newer), ("old", older), ("shim", shim(package, folder))):
        shutil.copy(path, root / f"packages/{name}.rpm")
    (root / "etc/rpm").mkdir(exist_ok=True)
    (root / "etc/rpm/macros").write_text("%_dbpath /var/lib/rpm\n")
    (root / "etc/hostguardd/conf.d").mkdir(parents=True)
    (root / "etc/hostguardd/conf.d/test.toml").write_text(SETTINGS)
    drop_in = root / "etc/systemd/system/hostguardd.service.d"
    drop_in.mkdir()
    (drop_in / "test.conf").write_text("[Service]\nWatchdogSec=10\nTimeoutStopSec=3\n")
    guest.boot(root, 1000)
    if keep := os.environ.get("HOSTGUARD_KEEP"):
        shutil.copy(root / "result.json", keep)
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def result(day: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((day / "result.json").read_text())
    return found


def test_the_same_tree_gives_the_same_bytes(package: Path, folder: Path) -> None:
    epoch = int(
        subprocess.run(
            ["rpm", "-qp", "--qf", "%{BUILDTIME}", package], capture_output=True, check=True
        ).stdout
    )
    again = build(ROOT, folder / "again", epoch=epoch)
    for path in sorted(package.parent.iterdir()):
        assert (again.parent / path.name).read_bytes() == path.read_bytes(), path.name


def test_rpmlint_has_no_complaint(package: Path) -> None:
    if shutil.which("rpmlint") is None:
        pytest.skip("rpmlint is not installed")
    ran = subprocess.run(
        [
            "rpmlint",
            "--config",
            ROOT / "packaging/rpmlint.toml",
            *package.parent.glob("*.rpm"),
            ROOT / "packaging/hostguardd.spec",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert " 0 errors, 0 warnings" in ran.stdout, ran.stdout


def test_what_lets_alerts_name_somebody_is_there_and_in_force_for_nobody(package: Path) -> None:
    """Whether the kernel is asked who did what is the administrator's to say."""
    listed = subprocess.run(["rpm", "-qlp", package], capture_output=True, text=True, check=True).stdout
    for name in ("hostguardd.rules", "fanotify.conf"):
        places = [one for one in listed.splitlines() if name in one]
        assert places == [f"/usr/share/doc/hostguardd/{name}"]


def test_it_is_installed_whole(result: dict[str, Any]) -> None:
    assert result["install"]["code"] == 0, result["install"]["said"]
    assert not result["install"]["said"]
    assert (result["verify package"]["code"], result["verify package"]["said"]) == (0, "")
    assert result["enable"]["code"] == 0, result["journal"]
    assert result["active"] == "active"
    assert result["watching"] is not None, result["journal"]
    assert result["baseline"]["code"] == Exit.OK, result["baseline"]["said"]


def test_the_sandbox_hides_nothing(result: dict[str, Any]) -> None:
    """What a run without any sandbox sees differs in nothing from what the unit captured."""
    assert result["once"]["code"] == Exit.OK, result["once"]["said"]


def test_an_inquiry_needs_nothing_else(result: dict[str, Any], day: Path) -> None:
    assert result["inquiry"]["code"] in (0, 1), result["inquiry"]["said"]
    assert (day / "srv/inquiry.html").read_text().startswith("<!doctype html>")
    assert '"this check failed' not in result["inquiry"]["said"]


def test_it_is_little_exposed(result: dict[str, Any]) -> None:
    (told,) = result["exposure"]
    assert float(re.findall(r"[0-9]+[.][0-9]+", told)[0]) <= MOST_EXPOSED


def test_every_change_is_told_and_accepted(result: dict[str, Any]) -> None:
    assert [name for name, seconds in result["changes"].items() if seconds is None] == []
    assert len(result["changes"]) >= 12
    assert result["drift"]["code"] == Exit.DRIFT
    assert result["accept"]["code"] == Exit.OK, result["accept"]["said"]
    assert result["check"]["code"] == Exit.OK, result["check"]["said"]
    assert result["silent after accept"] == []


def test_who_may_what(result: dict[str, Any]) -> None:
    reader = {name: ran["code"] for name, ran in result["reader"].items()}
    assert reader["status"] == reader["alerts"] == reader["drift"] == Exit.OK, result["reader"]
    refused = ("baseline", "accept", "rollback", "updating")
    assert {reader[name] for name in refused} == {Exit.FORBIDDEN}
    assert all("is for root" in result["reader"][name]["said"] for name in refused)
    for ran in result["anybody"].values():
        assert ran["code"] == Exit.FORBIDDEN
        assert ran["said"].startswith("hostguardctl: ")
    assert result["rollback"]["code"] == Exit.OK, result["rollback"]["said"]
    assert result["rolled back"] is not None
    assert result["baseline after"]["code"] == Exit.OK


def test_an_upgrade_is_one_restart_and_no_alarm(result: dict[str, Any]) -> None:
    assert result["upgrade"]["code"] == 0, result["upgrade"]["said"]
    assert result["updated"] is not None, result["after upgrade"]
    assert result["silent after upgrade"] == [], result["after upgrade"]
    assert result["drift after upgrade"]["code"] == Exit.OK, result["drift after upgrade"]["said"]
    assert result["version"] == "99.0"
    rules = [rule for rule, _ in result["after upgrade"]]
    assert rules.count("daemon.started") == 1
    assert rules[0] == "package.announced"
    assert "login uid" in result["after upgrade"][0][1] or "pid" in result["after upgrade"][0][1]
    last = result["history"][-1]
    assert "99.0-1" in last["reason"]
    assert "root (uid 0)" in last["actor"]
    assert (result["verify upgraded"]["code"], result["verify upgraded"]["said"]) == (0, "")


def test_a_downgrade_below_the_state_is_refused(result: dict[str, Any]) -> None:
    assert result["downgrade"]["code"] != 0
    assert "was written by a newer version" in result["downgrade"]["said"]
    assert "hostguardd-99.0-1" in result["not downgraded"]
    assert result["active after refusal"] == "active"
    assert result["silent after refusal"] == []


@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_it_comes_back_and_says_when_nobody_watched(result: dict[str, Any], signal: str) -> None:
    assert result[signal]["back"] is not None
    assert result[signal]["gap"] is not None
    assert result[signal]["findings"] == []


def test_it_starts_without_its_folder_in_run(result: dict[str, Any]) -> None:
    assert result["without /run"]["code"] == 0
    assert result["answers"] is not None


def test_doctor_is_content_here_and_notices_what_blinds(result: dict[str, Any]) -> None:
    # A host in a container may not set its clock, so nothing there says whether it is right.
    bad = [check for check in result["doctor"] if not check["ok"] and check["name"] != "clock"]
    assert not bad
    for name in ("blinded", "weakened"):
        assert result[name]["code"] == Exit.DRIFT
    weakened = {check["name"]: check for check in json.loads(result["weakened"]["said"])["checks"]}
    assert "CAP_SYS_PTRACE" in weakened["capabilities"]["message"]
    blinded = {check["name"]: check for check in json.loads(result["blinded"]["said"])["checks"]}
    assert not blinded["sandbox"]["ok"]
    for word in ("/tmp", "/home", "/root", "the network"):
        assert word in blinded["sandbox"]["message"], blinded["sandbox"]
    assert "systemctl cat hostguardd" in blinded["sandbox"]["advice"]


def test_alerts_leave_by_a_process_that_can_do_nothing_else(result: dict[str, Any]) -> None:
    found = result["forward"]
    assert found["idle"] != "failed", found["said"]
    assert found["start"]["code"] == 0, found["said"]
    assert found["connected"] is not None, found["said"]
    assert found["test"]["code"] == Exit.OK, found["test"]["said"]
    assert found["journal"] is not None
    assert found["heartbeat"] is not None
    assert found["user"] == "hostguard-forward"
    assert found["capabilities"] == ["0" * 16]
    assert found["resident"] <= 32 * 1024
    assert found["stop"]["code"] == 0
    assert found["doctor"]["code"] == Exit.DRIFT
    assert "hostguardd-forward is not running" in found["doctor"]["said"]
    (told,) = found["exposure"]
    assert float(re.findall(r"[0-9]+[.][0-9]+", told)[0]) <= MOST_EXPOSED_FORWARDER, told


def test_a_large_host_is_ready_at_once(result: dict[str, Any]) -> None:
    assert result["facts"] > 100_000
    assert result["ready"]["code"] == 0
    assert result["ready"]["seconds"] <= PROMISED_READY


def test_the_journal_explains_what_the_daemon_says(result: dict[str, Any]) -> None:
    assert "was captured from the host as it is" in result["journal explained"]
    assert "What was wrong before now counts as normal." in result["journal explained"]
    assert len(message_id("daemon.started")) == 32


def test_what_is_the_administrators_stays(result: dict[str, Any], day: Path) -> None:
    assert result["remove"]["code"] == 0, result["remove"]["said"]
    assert result["inactive"] == "inactive"
    assert result["left"] == [
        "/etc/hostguardd/conf.d/test.toml", "/var/lib/hostguardd/baseline.db",
        "/var/log/hostguardd/alerts.jsonl",
    ]  # fmt: skip


def test_the_log_that_was_brought_out_is_whole(day: Path) -> None:
    alerts = [check(line) for _, line in read(str(day / "var/log/hostguardd"), 0)]
    assert [alert["event"]["sequence"] for alert in alerts] == list(range(1, len(alerts) + 1))
    found = verify(str(day / "var/log/hostguardd"))
    assert found.ok, found.sentence
