"""What changed lately, and what explains it."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hostguardd.investigate.checks import recent
from hostguardd.investigate.files import explained
from hostguardd.investigate.interface import Confidence, Verdict
from hostguardd.investigate.scene import Options
from tests.fakepackages import FakePackages, installed_at
from tests.scenes import Findings, looked, scene
from tests.trees import OWNED, clean, put

RECORD = struct.Struct("=h2xi32s4s32s256s4xiII16s20x")
NOW = time.time()
OLD = installed_at(NOW - 400 * 86400, "base-files")


def login(root: Path, user: str, at: float, until: float, origin: str = "203.0.113.9") -> None:
    """A session in wtmp."""
    begin = RECORD.pack(7, 100, b"pts/0", b"ts/0", user.encode(), origin.encode(), 0, int(at), 0, bytes(16))
    end = RECORD.pack(8, 100, b"pts/0", b"ts/0", b"", b"", 0, int(until), 0, bytes(16))
    put(root, "/var/log/wtmp", begin + end)


def look(root: Path, packages: FakePackages) -> Findings:
    options = Options(days=1, packages=False)
    return looked(recent.look, scene(bytes(root), packages=packages, options=options))


def test_what_a_package_brought_is_explained_by_its_installation(tmp_path: Path) -> None:
    clean(tmp_path)
    packages = FakePackages(OWNED, done=[*OLD, *installed_at(time.time(), *set(OWNED.values()))])
    found = look(tmp_path, packages)
    assert not found.of(Verdict.SUSPICIOUS)
    assert not found.of(Verdict.NOTABLE)
    (run,) = [one for one in found.items if one.name.startswith("packages at")]
    assert "coreutils" in run.says
    assert not found.moments


def test_a_program_of_no_package_is_told_even_while_packages_are_installed(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/lib/libutil-cache.so", b"\x7fELF", 0o755)
    packages = FakePackages(OWNED, done=[*OLD, *installed_at(time.time(), *set(OWNED.values()))])
    (item,) = look(tmp_path, packages).of(Verdict.NOTABLE)
    assert item.name.startswith("/usr/lib at ")
    assert "libutil-cache.so" in item.says
    assert "no package owns it" in item.says


def test_who_was_logged_in_is_named(tmp_path: Path) -> None:
    clean(tmp_path)
    login(tmp_path, "carol", time.time() - 600, time.time() + 600)
    put(tmp_path, "/usr/lib/new.so", b"x", 0o755)
    found = look(tmp_path, FakePackages(OWNED, done=OLD))
    (item,) = [one for one in found.of(Verdict.NOTABLE) if one.name.startswith("/usr/lib ")]
    assert "carol from 203.0.113.9 on pts/0" in item.says
    assert item.details["logged_in"] == ["carol from 203.0.113.9 on pts/0"]
    assert found.moments


def test_a_program_that_came_while_nobody_was_there(tmp_path: Path) -> None:
    clean(tmp_path)
    login(tmp_path, "carol", time.time() - 86400 * 3, time.time() - 86400 * 2)
    put(tmp_path, "/usr/sbin/netd", b"x", 0o755)
    found = look(tmp_path, FakePackages(OWNED, done=OLD))
    (item,) = found.of(Verdict.SUSPICIOUS)
    assert item.name.startswith("/usr/sbin at ")
    assert "nobody was logged in then" in item.says
    moment = next(one for one in found.moments if one.verdict is Verdict.SUSPICIOUS)
    assert moment.confidence is Confidence.LIKELY


def test_a_packaged_program_of_other_content(tmp_path: Path) -> None:
    clean(tmp_path)
    packages = FakePackages(OWNED, {b"/usr/bin/ls": ("content",)}, OLD)
    (item,) = look(tmp_path, packages).of(Verdict.SUSPICIOUS)
    assert "changed since (content)" in item.says


def test_a_packaged_file_that_was_only_touched_is_fine(tmp_path: Path) -> None:
    found = look(clean(tmp_path), FakePackages(OWNED, done=OLD))
    assert "/usr/bin" not in {one.name[:8] for one in found.of(Verdict.NOTABLE)}


def test_what_is_as_packaged_does_not_hide_what_is_not(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/bin/added", b"x", 0o755)
    found = look(tmp_path, FakePackages(OWNED, done=OLD))
    (item,) = [one for one in found.of(Verdict.NOTABLE) if one.name.startswith("/usr/bin ")]
    assert item.details["names"] == ["added"]
    assert any(one.name.startswith("/usr/bin at ") for one in found.of(Verdict.FINE))


def test_what_was_before_the_records_begin_is_told_once(tmp_path: Path) -> None:
    for number in range(5):
        put(clean(tmp_path), f"/usr/lib/f{number}/x")
    found = look(tmp_path, FakePackages(OWNED, done=installed_at(time.time() + 3600, "late")))
    (item,) = found.of(Verdict.NOTABLE)
    assert item.name == "changes before the records"
    assert "/usr/lib/f0 (1)" in item.says


def test_a_forged_time_and_what_the_inode_says(tmp_path: Path) -> None:
    path = put(clean(tmp_path), "/usr/lib/x/old.so", b"x", 0o755)
    os.utime(path, (1_100_000_000, 1_100_000_000))
    found = look(tmp_path, FakePackages(OWNED, done=OLD))
    (item,) = [one for one in found.items if one.name.startswith("/usr/lib/x ")]
    assert "it says it is of 2004-11-09" in item.says


def test_a_time_of_its_own_within_the_span_comes_to_the_time_line_as_forgeable(tmp_path: Path) -> None:
    path = put(clean(tmp_path), "/usr/lib/x/some.so", b"x", 0o755)
    os.utime(path, (NOW - 7200, NOW - 7200))
    found = look(tmp_path, FakePackages(OWNED, done=OLD))
    (moment,) = [one for one in found.moments if one.confidence is Confidence.FORGEABLE]
    assert moment.at == pytest.approx(NOW - 7200)


def test_logs_and_homes_are_counted(tmp_path: Path) -> None:
    for number in range(30):
        put(clean(tmp_path), f"/var/log/app/{number}")
    found = look(tmp_path, FakePackages(OWNED, done=OLD))
    assert found.named("/var/log in all").details["entries"] == 30


def test_what_the_system_writes_by_itself_is_fine(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/lib/python3/dist-packages/__pycache__/x.cpython-311.pyc")
    put(tmp_path, "/etc/ld.so.cache")
    found = look(tmp_path, FakePackages(OWNED, done=OLD))
    assert not [one for one in found.of(Verdict.NOTABLE) if "python3" in one.name or "ld.so" in one.says]


def test_changes_of_a_tree_come_as_one(tmp_path: Path) -> None:
    clean(tmp_path)
    for number in range(60):
        put(tmp_path, f"/usr/local/lib/app/{number}/x.py")
    found = look(tmp_path, FakePackages(OWNED, done=OLD))
    (item,) = [one for one in found.items if one.name.startswith("/usr/local/lib ")]
    assert item.details["entries"] == 60
    assert "and 48 more" in item.says


def image(root: Path, count: int) -> FakePackages:
    """A host of so many packaged files, all put there just now."""
    owned = {b"/usr/share/data/%d" % number: "data" for number in range(count)}
    (root / "usr/share/data").mkdir(parents=True, exist_ok=True)
    for path in owned:
        (root / os.fsdecode(path.lstrip(b"/"))).touch()
    return FakePackages(OWNED | owned, done=OLD)


def test_a_host_that_was_put_there_is_told_once(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/bin/own", "#!/bin/sh\n", 0o755)
    found = look(tmp_path, image(tmp_path, explained.LEAST_DEPLOYED))
    assert not found.suspicious
    (item,) = found.of(Verdict.NOTABLE)
    assert item.name.startswith("the host was put here at ")
    assert "1 of them programs" in item.says
    assert item.details["programs"] == ["/usr/bin/own"]


def test_a_host_that_was_put_there_with_nothing_else() -> None:
    span = explained.Span(began=0.0, ended=1.0, packaged=506, made=True)
    says = recent.of_deployment(span, [], {}).says
    assert says.endswith("; nothing came with them that no package owns")


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies a second and a half apart does not belong together; a busy machine stands still for one."""
    monkeypatch.setattr(explained, "SETTLED", 1.0)


def touched(root: Path, packages: FakePackages) -> None:
    """As chown(1) does to a whole tree: every inode changes, and none is new."""
    time.sleep(1.5)
    for path in packages.paths:
        os.chown(root / os.fsdecode(path.lstrip(b"/")), -1, os.getgid())


@pytest.mark.usefixtures("brief")
def test_who_changes_all_inodes_puts_no_host_there(tmp_path: Path) -> None:
    packages = image(clean(tmp_path), explained.LEAST_DEPLOYED)
    touched(tmp_path, packages)
    put(tmp_path, "/usr/bin/own", "#!/bin/sh\n", 0o755)
    found = look(tmp_path, packages)
    assert not any(one.name.startswith("the host was put") for one in found.items)
    (item,) = [one for one in found.of(Verdict.NOTABLE) if one.name.startswith("very many changes at ")]
    assert f"{explained.LEAST_DEPLOYED + len(OWNED)} packaged paths" in item.says
    assert any("own" in one.says and one.name.startswith("/usr/bin at") for one in found.of(Verdict.NOTABLE))
    assert explained.deployed(scene(bytes(tmp_path), packages=packages)) == []


@pytest.mark.usefixtures("brief")
def test_what_the_package_manager_did_puts_no_host_there(tmp_path: Path) -> None:
    packages = image(clean(tmp_path), explained.LEAST_DEPLOYED)
    packages.done = [*OLD, *installed_at(time.time(), "data", *OWNED.values())]
    found = look(tmp_path, packages)
    assert not found.of(Verdict.NOTABLE)


def test_a_program_that_is_not_as_packaged_is_not_hidden_by_the_host_s_arrival(tmp_path: Path) -> None:
    packages = image(clean(tmp_path), explained.LEAST_DEPLOYED)
    packages.changed = {b"/usr/bin/ls": ("content",)}
    (item,) = look(tmp_path, packages).of(Verdict.SUSPICIOUS)
    assert item.details["names"] == ["ls"]


def test_a_program_that_is_not_as_packaged_is_not_hidden_by_its_package_s_installation(
    tmp_path: Path,
) -> None:
    done = [*OLD, *installed_at(time.time(), *OWNED.values())]
    packages = FakePackages(OWNED, {b"/usr/bin/ls": ("content",)}, done)
    (item,) = look(clean(tmp_path), packages).of(Verdict.SUSPICIOUS)
    assert item.details["names"] == ["ls"]


def test_what_was_not_compared_is_not_called_as_packaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "MOST_VERIFIED", 3)
    found = look(clean(tmp_path), FakePackages(OWNED, done=OLD))
    assert any("not compared with it" in one.says for one in found.items if one.name.startswith("/etc at"))
    (one,) = found.unseen
    assert "3 packaged files" in one.reason


def test_who_touches_few_packaged_files_puts_no_host_there(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/bin/own", "#!/bin/sh\n", 0o755)
    found = look(tmp_path, image(tmp_path, explained.LEAST_DEPLOYED // 2))
    assert not any(one.name.startswith("the host was put") for one in found.items)
    assert any("/usr/bin" in one.name for one in found.items if one.verdict > Verdict.FINE)


@pytest.mark.usefixtures("brief")
def test_what_changed_after_the_host_was_put_there_is_not_hidden_by_that(tmp_path: Path) -> None:
    packages = image(clean(tmp_path), explained.LEAST_DEPLOYED)
    time.sleep(1.5)
    put(tmp_path, "/usr/bin/late", "#!/bin/sh\n", 0o755)
    found = look(tmp_path, packages)
    assert any("late" in one.says for one in found.items if one.verdict > Verdict.FINE)


def test_logs_of_packages_that_nothing_here_unpacks_are_said(tmp_path: Path) -> None:
    put(clean(tmp_path), "/var/log/dnf5.log.1.zst", b"\x28\xb5\x2f\xfd")
    (one,) = look(tmp_path, FakePackages(OWNED, done=OLD)).unseen
    assert (one.scope, one.remedy) == ("/var/log/dnf5.log.1.zst", "zstdcat /var/log/dnf5.log.1.zst")


def test_what_a_run_made_is_explained_though_another_one_ended_shortly_before(tmp_path: Path) -> None:
    (clean(tmp_path) / "usr/bin/editor").symlink_to("/etc/alternatives/editor")
    done = [*OLD, *installed_at(time.time() - 1200, "other"), *installed_at(time.time(), *OWNED.values())]
    assert not look(tmp_path, FakePackages(OWNED, done=done)).of(Verdict.NOTABLE)


def test_many_changes_in_one_folder_are_judged_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at a group's verdict goes through all of it: one for each entry would take for ever."""
    asked: list[int] = []
    verdict: Callable[[recent.Group], Verdict] = vars(recent.Group)["verdict"].fget

    def counted(group: recent.Group) -> Verdict:
        asked.append(len(group.entries))
        return verdict(group)

    for number in range(200):
        put(clean(tmp_path) if not number else tmp_path, f"/usr/lib/many/{number}", b"x")
    monkeypatch.setattr(recent.Group, "verdict", property(counted))
    found = look(tmp_path, FakePackages(OWNED, done=OLD))
    assert any("/usr/lib/many" in item.name for item in found.items)
    assert max(asked) >= 200
    assert sum(asked) < 20 * 200


def test_one_change_elsewhere_is_one_entry(tmp_path: Path) -> None:
    put(clean(tmp_path), "/opt/tool/one", b"x")
    found = look(tmp_path, FakePackages(OWNED, done=OLD))
    assert any(one.says.startswith("1 entry below /opt/tool changed, last") for one in found.items)
