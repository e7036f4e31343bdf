"""Files that lend their rights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostguardd.host.mounts import Mount
from hostguardd.investigate.checks import setid
from hostguardd.investigate.interface import Verdict
from tests.fakehost import FakeFiles
from tests.fakepackages import FakePackages
from tests.scenes import Findings, looked, scene
from tests.trees import OWNED, SHELL, clean, put

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has set-uid root files to plant")


def look(root: Path, packages: FakePackages | None = None) -> Findings:
    return looked(setid.look, scene(bytes(root), packages=packages or FakePackages(OWNED)))


def test_a_clean_host_has_only_what_packages_brought(tmp_path: Path) -> None:
    found = look(clean(tmp_path))
    assert [(one.name, one.verdict) for one in found.items] == [("/usr/bin/passwd", Verdict.FINE)]
    assert not found.moments


@pytest.mark.parametrize(
    "path", ["/usr/local/share/.sh", "/usr/bin/upd", "/tmp/x", "/home/carol/x", "/opt/a/tool"]
)
def test_set_uid_root_that_nobody_brought(tmp_path: Path, path: str) -> None:
    put(clean(tmp_path), path, b"\x7fELF", 0o4755)
    found = look(tmp_path)
    assert found.suspicious == [path]
    item = found.named(path)
    assert "set-uid" in item.says
    assert item.technique == "T1548.001"
    assert item.means
    assert item.next
    assert [one.verdict for one in found.moments] == [Verdict.SUSPICIOUS]


def test_a_copy_of_a_shell_is_named_as_such_even_where_others_are_excused(tmp_path: Path) -> None:
    clean(tmp_path)
    put(tmp_path, "/var/lib/machines/x/etc/passwd", "root:x:0:0::/root:/bin/sh\n")
    put(tmp_path, "/var/lib/machines/x/usr/bin/su", b"\x7fELF su", 0o4755)
    put(tmp_path, "/var/lib/machines/x/usr/bin/shell", SHELL, 0o4755)
    found = look(tmp_path)
    assert found.suspicious == ["/var/lib/machines/x/usr/bin/shell"]
    assert "it is /usr/bin/bash" in found.items[1].says
    assert found.named("another system in /var/lib/machines/x").verdict is Verdict.NOTABLE


def test_a_packaged_shell_with_the_bit_set(tmp_path: Path) -> None:
    (clean(tmp_path) / "usr/bin/bash").chmod(0o4755)
    assert look(tmp_path).suspicious == ["/usr/bin/bash"]


@pytest.mark.parametrize("name", ["vim.tiny", "tac", "tee"])
def test_a_packaged_program_that_reads_or_writes_whatever_it_is_told(tmp_path: Path, name: str) -> None:
    path = f"/usr/bin/{name}"
    put(clean(tmp_path), path, b"\x7fELF x", 0o4755)
    found = look(tmp_path, FakePackages({**OWNED, path.encode(): "x"}))
    assert found.suspicious == [path]


def test_a_packaged_program_with_the_bit_set_where_the_package_manager_keeps_no_modes(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/bin/xxd", b"\x7fELF xxd", 0o4755)
    found = look(tmp_path, FakePackages({**OWNED, b"/usr/bin/xxd": "xxd"}))
    assert [(one.name, one.verdict) for one in found.items] == [
        ("/usr/bin/passwd", Verdict.FINE), ("/usr/bin/xxd", Verdict.NOTABLE),
    ]  # fmt: skip


def test_another_program_in_a_packaged_place(tmp_path: Path) -> None:
    packages = FakePackages(OWNED, {b"/usr/bin/passwd": ("content", "mtime")})
    assert look(clean(tmp_path), packages).suspicious == ["/usr/bin/passwd"]


def test_a_script_is_told(tmp_path: Path) -> None:
    put(clean(tmp_path), "/srv/run.sh", "#!/bin/sh\nid\n", 0o4755)
    assert "it is a script" in look(tmp_path).named("/srv/run.sh").says


def test_set_gid_that_nobody_brought_is_worth_a_note(tmp_path: Path) -> None:
    put(clean(tmp_path), "/opt/game/score", b"\x7fELF", 0o2755)
    assert look(tmp_path).named("/opt/game/score").verdict is Verdict.NOTABLE


@pytest.mark.parametrize(("bit", "verdict"), [(7, Verdict.SUSPICIOUS), (13, Verdict.NOTABLE)])
def test_capabilities_by_what_they_give(bit: int, verdict: Verdict) -> None:
    files = FakeFiles()
    files.write(b"/etc/passwd", b"root:x:0:0::/root:/bin/bash\n")
    files.write(b"/opt/tool", b"x", mode=0o755)
    value = (0x02000001).to_bytes(4, "little") + (1 << bit).to_bytes(4, "little") + bytes(12)
    files.xattr(b"/opt/tool", b"security.capability", value)
    found = looked(setid.look, scene(b"/", files=files, packages=FakePackages()))
    assert found.named("/opt/tool").verdict is verdict


def test_without_a_package_manager_nobody_is_accused_of_coming_from_nowhere(tmp_path: Path) -> None:
    put(clean(tmp_path), "/tmp/x", b"\x7fELF", 0o4755)
    found = looked(setid.look, scene(bytes(tmp_path)))
    assert found.suspicious == ["/tmp/x"]
    assert found.named("/usr/bin/passwd").verdict is Verdict.NOTABLE


def test_a_read_only_image_is_its_own_matter() -> None:
    files = FakeFiles()
    files.mount(b"/snap/core/1", b"squashfs")
    files.write(b"/snap/core/1/usr/bin/su", b"su", mode=0o4755)
    found = looked(setid.look, scene(b"/", files=files, packages=FakePackages()))
    assert found.named("/snap/core/1/usr/bin/su").verdict is Verdict.FINE


def test_a_mount_without_set_uid_is_said(tmp_path: Path) -> None:
    files = FakeFiles()
    files.mount(b"/data")
    files._mounts[-1] = Mount(b"/data", b"ext4", b"/dev/vdb", files._mounts[-1].device, b"/", b"rw,nosuid")
    files.write(b"/data/x", b"x", mode=0o4755)
    found = looked(setid.look, scene(b"/", files=files, packages=FakePackages()))
    assert "nosuid" in found.named("/data/x").says
