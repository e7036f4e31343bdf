"""Names made to be overlooked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hostguardd.investigate.checks import names
from hostguardd.investigate.interface import Verdict
from tests.fakepackages import FakePackages
from tests.scenes import Findings, looked, scene
from tests.trees import OWNED, clean, owner, put

LATER = time.time() + 30 * 86400
"""A month on: nothing that a test made just now is new."""


def look(root: Path, packages: FakePackages | None = None, now: float = 0.0) -> Findings:
    return looked(names.look, scene(bytes(root), packages=packages or FakePackages(OWNED), now=now))


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


@pytest.mark.parametrize(("path", "mode", "verdict"), [
    ("usr/lib/x/.install/log", 0o644, Verdict.NOTABLE),
    ("usr/lib/x/.install/bin/agent", 0o755, Verdict.SUSPICIOUS),
    ("usr/bin/.ps", 0o755, Verdict.SUSPICIOUS),
    ("dev/ptyp", 0o644, Verdict.NOTABLE),
    ("dev/ptyp", 0o755, Verdict.SUSPICIOUS),
    ("tmp/.cache/log", 0o644, Verdict.NOTABLE),
])  # fmt: skip
def test_a_dot_name_is_judged_by_what_is_behind_it(
    tmp_path: Path, path: str, mode: int, verdict: Verdict
) -> None:
    put(clean(tmp_path), path, b"x", mode)
    (item,) = look(tmp_path, now=LATER).items
    assert item.verdict is verdict
    assert item.means
    assert item.next


def test_what_is_new_behind_it_is_suspicious_and_has_its_moment(tmp_path: Path) -> None:
    put(clean(tmp_path), "/usr/lib/x/.install/log")
    told = look(tmp_path)
    assert told.suspicious == ["/usr/lib/x/.install"]
    (moment,) = told.moments
    assert abs(moment.at - time.time()) < 60


def test_in_a_temporary_folder_all_is_new_and_a_checkout_is_a_checkout(tmp_path: Path) -> None:
    put(clean(tmp_path), "/tmp/a/.cache/x")
    put(tmp_path, "/tmp/b/.git/config")
    put(tmp_path, "/tmp/b/.ci/run", mode=0o755)
    assert not look(tmp_path).suspicious


def test_a_folder_of_many_names_is_looked_at_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST_INSIDE", 5)
    for number in range(50):
        put(clean(tmp_path), f"/usr/lib/x/.install/{number}")
    (item,) = look(tmp_path, now=LATER).items
    assert item.verdict is Verdict.NOTABLE


def test_alike_names_below_one_folder_are_told_as_one(tmp_path: Path) -> None:
    clean(tmp_path)
    for number in range(40):
        put(tmp_path, f"/tmp/work/{number}/.cache/x")
        put(tmp_path, f"/tmp/work/{number}/.. /x")
    put(tmp_path, "/tmp/other/.cache/x")
    found = look(tmp_path)
    counts = {one.name: one.details.get("count", 1) for one in found.items}
    assert counts == {
        f"names below /tmp/work: hidden-folder of {owner()}": 40,
        f"names below /tmp/work: odd-name of {owner()}": 40,
        "/tmp/other/.cache": 1,
    }
    assert len(found.moments) == 3


def test_many_decoys_do_not_hide_a_name_among_the_system_s_own(tmp_path: Path) -> None:
    clean(tmp_path)
    for number in range(40):
        put(tmp_path, f"/usr/lib/x/{number}/.. /x")
    assert len(look(tmp_path).suspicious) == 40
