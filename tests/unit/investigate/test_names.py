"""Names made to be overlooked."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostguardd.investigate.checks import names
from hostguardd.investigate.interface import Verdict
from tests.fakepackages import FakePackages
from tests.scenes import Findings, looked, scene
from tests.trees import OWNED, clean, put


def look(root: Path, packages: FakePackages | None = None) -> Findings:
    return looked(names.look, scene(bytes(root), packages=packages or FakePackages(OWNED)))


def test_a_clean_host_has_none(tmp_path: Path) -> None:
    clean(tmp_path)
    put(tmp_path, "/root/.ssh/authorized_keys")
    put(tmp_path, "/home/carol/.config/.x/y")
    put(tmp_path, "/opt/app/.git/config")
    put(tmp_path, "/srv/www/.htaccess")
    put(tmp_path, "/tmp/.X11-unix/.keep")
    assert not [one for one in look(tmp_path).items if one.name != "/tmp/.X11-unix/.keep"]


@pytest.mark.parametrize(
    "path",
    [
        "/usr/share/.../kit", "/usr/lib/.. /kit", "/dev/shm/.a/agent", "/etc/. /x", "/tmp/.. /x",
        "/var/tmp/.x/y",
        "/usr/bin/ls\u200b", "/etc/...", "/dev/.udevdb2/x", "/usr/bin/.hide/x",
    ],
)  # fmt: skip
def test_names_that_hide(tmp_path: Path, path: str) -> None:
    put(clean(tmp_path), path, mode=0o755)
    found = look(tmp_path)
    assert len(found.suspicious) == 1
    assert found.items[0].technique == "T1564.001"
    assert [one.kind for one in found.moments] == ["file"]


def test_a_name_that_passes_for_the_folder_above(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/lib/..x")
    assert look(tmp_path).named("/usr/lib/..x").verdict is Verdict.NOTABLE


def test_an_odd_name_in_a_home_is_worth_a_note(tmp_path: Path) -> None:
    put(clean(tmp_path), "/home/carol/Icon\r")
    assert [one.verdict for one in look(tmp_path).items] == [Verdict.NOTABLE]


def test_what_a_package_brought_is_its_own(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/lib/jvm/.java/x")
    put(tmp_path, "/usr/lib/.hidden/x")
    owned = {**OWNED, b"/usr/lib/jvm/.java": "jdk", b"/usr/lib/.hidden/x": "other"}
    assert not look(tmp_path, FakePackages(owned)).items


def test_a_hostile_name_is_shown_escaped(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/bin/ls\x1b[2J\n")
    (item,) = look(tmp_path).items
    assert item.name == "/usr/bin/ls\\x1b[2J\\x0a"
