"""Updates on a booted host with the shipped configuration: one quiet alert each, and an intruder is loud."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostguardd.store.chain import read
from tests.alerts import check
from tests.daemon import ROOT
from tests.system import guest

PATIENCE = 600.0
COUNT, FILES = 20, 50

GROWTH = 8 * 1024
"""KiB that the daemon may be larger after twenty packages of fifty files."""

SECONDS = 30.0
"""From the end of the manager to the alert, on a busy machine."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE + 300)]


@pytest.fixture(scope="module")
def day(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root of a host after its updates."""

    def live(root: Path) -> None:
        guest.copied(debian, root)
        guest.install(root)
        shutil.copy(ROOT / "tests/system/update_day.py", root)
        guest.program(root, "/usr/bin/python3 /update_day.py")
        guest.boot(root, PATIENCE)

    with guest.kept(tmp_path_factory.mktemp("updates"), "HOSTGUARD_UPDATES", live) as root:
        yield root


@pytest.fixture(scope="module")
def result(day: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((day / "result.json").read_text())
    assert "failed" not in found, found["failed"]
    for part in found["parts"].values():
        assert "failed" not in part, part["failed"]
    return found


@pytest.fixture(scope="module")
def told(day: Path, result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The alerts of each part, but for those about the daemon itself."""
    lines = [check(line) for _, line in read(str(day / "var/log/hostguardd"), 0)]
    begins = [(name, part["from"]) for name, part in result["parts"].items()]
    ends = [begin for _, begin in begins[1:]] + [len(lines)]
    return {
        name: [one for one in lines[begin:end] if one["hostguard"]["kind"] != "health"]
        for (name, begin), end in zip(begins, ends, strict=True)
    }


def quiet(told: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = [(one["hostguard"]["kind"], one["hostguard"]["severity"]) for one in told]
    assert kinds == [("transaction", "info")], [one["message"] for one in told]
    found: dict[str, Any] = told[0]["hostguard"]
    return found


def own(told: list[dict[str, Any]]) -> dict[str, str]:
    """Severity by path of what is told alone."""
    return {
        one["file"]["path"]: one["hostguard"]["severity"]
        for one in told
        if one["hostguard"]["kind"] == "file"
    }


def test_twenty_packages_by_apt_are_one_alert(told: dict[str, list[dict[str, Any]]]) -> None:
    found = quiet(told["by_apt"])
    transaction = found["transaction"]
    assert (transaction["manager"], transaction["level"]) == ("dpkg", "digest")
    assert transaction["package_count"] == COUNT
    assert {(one["from"], one["to"]) for one in transaction["packages"]} == {("1.0", "1.1")}
    assert found["count"] - transaction["passed"] >= COUNT * FILES
    assert transaction["by"]["program"] in ("/usr/bin/dpkg", "/usr/bin/apt-get")


def test_an_intruder_in_the_middle_of_one_is_loud(
    told: dict[str, list[dict[str, Any]]], result: dict[str, Any]
) -> None:
    assert result["told while at work"] == 0
    told_then = told["with_company"]
    assert [one["hostguard"]["kind"] for one in told_then].count("transaction") == 1
    alone = own(told_then)
    for path in (
        "/usr/lib/planted",
        "/usr/share/trial-03/007",
        "/usr/bin/trial-05",
        "/var/lib/dpkg/info/trial-05.md5sums",
    ):
        assert alone[path] in ("high", "critical"), path
    assert len(told_then) <= 7, [one["message"] for one in told_then]


def test_what_is_purged_is_one_alert(told: dict[str, list[dict[str, Any]]]) -> None:
    transaction = quiet(told["removed"])["transaction"]
    assert [(one["name"], one["action"], one["from"]) for one in transaction["packages"]] == [
        ("trial-07:all", "remove", "1.2"),
        ("trial-08:all", "remove", "1.2"),
    ]


def test_one_that_nobody_watched_is_one_alert(told: dict[str, list[dict[str, Any]]]) -> None:
    assert quiet(told["unwatched"])["transaction"]["package_count"] == COUNT - 2


def test_what_scripts_made_and_what_the_administrator_keeps_is_told_beside(
    told: dict[str, list[dict[str, Any]]],
) -> None:
    found = told["with_scripts"]
    assert [one["hostguard"]["kind"] for one in found].count("transaction") == 1
    named = json.dumps([one for one in found if one["hostguard"]["kind"] != "transaction"])
    for path in ("/usr/lib/trial-made", "/etc/trial-made.conf", "/etc/trial-00.conf"):
        assert f'"{path}"' in named, path
    assert own(found)["/usr/lib/trial-made"] == "high"
    (follows,) = (one for one in found if one["message"].startswith("Led to packages"))
    assert {one["key"] for one in follows["hostguard"]["members"]} >= {
        "/etc/alternatives/trial-pick",
        "/usr/bin/trial-pick",
        "/etc/systemd/system/multi-user.target.wants/trial-00.service",
    }


def test_without_a_package_manager_each_is_loud_at_once(told: dict[str, list[dict[str, Any]]]) -> None:
    assert own(told["forged_alone"]) == {
        "/usr/bin/trial-02": "high",
        "/var/lib/dpkg/info/trial-02.md5sums": "high",
    }


def test_who_approves_right_behind_it_finds_it_explained(
    told: dict[str, list[dict[str, Any]]], result: dict[str, Any]
) -> None:
    assert quiet(told["approved_at_once"])["transaction"]["package_count"] == 2
    assert result["left"] == []


def test_it_is_told_soon_and_costs_little(result: dict[str, Any]) -> None:
    parts = [part for part in result["parts"].values() if "seconds" in part]
    assert len(parts) == 6
    assert max(part["seconds"] for part in parts) < SECONDS
    first, *_, last = parts
    assert last["memory after"] - first["memory before"] < GROWTH


def test_all_of_it_stays_open_with_its_severity(result: dict[str, Any]) -> None:
    counts = result["status"]["open"]
    assert counts["high"] > (COUNT - 2) * (FILES - 5)
    assert counts["critical"] >= COUNT - 2
