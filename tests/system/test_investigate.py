"""Inquiries into a booted host: before anything was done to it, watched, and after everything was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostguardd.investigate.inquiry import CHECKS
from tests.daemon import ROOT
from tests.inquiries import schema
from tests.system import guest
from tests.system.inquiries.plants import PLANTS, Plant

PATIENCE = 600.0
FULL, QUICK = 60.0, 10.0
"""Seconds that an inquiry may take, with and without a look at every packaged file."""
SLACK = 2.0
MEMORY = 128
"""MiB."""
GRADES = ("fine", "could not look", "notable", "suspicious")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE + 300)]


@pytest.fixture(scope="module")
def host(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root of a host after all inquiries into it."""

    def live(root: Path) -> None:
        guest.copied(debian, root)
        guest.install(root)
        guest.packaged(root)
        for folder in ("techniques", "inquiries"):
            shutil.copytree(
                ROOT / "tests/system" / folder,
                root / "trial/tests/system" / folder,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        guest.program(root, "/usr/bin/env -C /trial /usr/bin/python3 -m tests.system.inquiries")
        guest.boot(root, PATIENCE)

    with guest.kept(tmp_path_factory.mktemp("inquiry"), "HOSTGUARD_INQUIRY", live) as root:
        yield root


@pytest.fixture(scope="module")
def result(host: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((host / "result.json").read_text())
    assert "failed" not in found, found["failed"]
    return found


RUNS = (
    "clean", "quick", "clean by alice", "watched", "broken, watched", "broken", "broken by alice",
)  # fmt: skip


@pytest.mark.parametrize("run", RUNS)
def test_every_report_is_as_published(result: dict[str, Any], run: str) -> None:
    found = result[run]
    assert "report" in found, found
    schema().validate(found["report"])
    assert found["code"] == (1 if found["report"]["verdict"] == "suspicious" else 0)
    assert found["wrong"] == ""
    failed = [one for one in found["report"]["unseen"] if "this check failed" in one["reason"]]
    assert not failed


@pytest.mark.parametrize("run", RUNS)
def test_it_is_quick_and_light(result: dict[str, Any], run: str) -> None:
    found = result[run]
    limit = FULL if found["report"]["look"]["options"]["packages"] else QUICK
    assert found["seconds"] <= limit * SLACK
    assert found["peak"] <= MEMORY


@pytest.mark.parametrize("run", ["clean", "quick", "clean by alice", "watched"])
def test_a_clean_host_shows_nothing_suspicious(result: dict[str, Any], run: str) -> None:
    assert told(result[run], "suspicious") == []


def told(found: dict[str, Any], grade: str) -> list[str]:
    return [
        f"{check['name']}: {item['says']}"
        for check in found["report"]["checks"]
        for item in check["items"]
        if item["verdict"] == grade
    ]


def test_a_clean_host_has_little_to_explain(result: dict[str, Any]) -> None:
    """Its accounts, keys, units and the host itself were all made a minute before."""
    assert len(told(result["clean"], "notable")) <= 20, told(result["clean"], "notable")
    assert len(told(result["watched"], "notable")) <= 8, told(result["watched"], "notable")


def test_every_check_was_asked(result: dict[str, Any]) -> None:
    asked = [check["name"] for check in result["broken"]["report"]["checks"]]
    assert asked == [check.name for check in CHECKS]


def test_nothing_on_the_host_was_moved(result: dict[str, Any]) -> None:
    assert result["moved"] == []


def test_an_ordinary_user_is_told_what_only_root_sees(result: dict[str, Any]) -> None:
    report = result["clean by alice"]["report"]
    assert report["remedy"] == "sudo hostguardctl investigate"
    assert any(one["remedy"] for one in report["unseen"])
    assert not report["look"]["root"]


def test_the_first_approval_keeps_how_far_the_host_could_be_trusted(result: dict[str, Any]) -> None:
    assert "HOW FAR THIS HOST CAN BE TRUSTED" in result["approved"]
    (*_, newest) = sorted(result["history"]["generations"], key=lambda one: one["number"])
    assert "packaged paths match (dpkg" in newest["trust"]
    assert "nothing suspicious" in newest["trust"]


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_what_was_planted_is_found_without_a_baseline(result: dict[str, Any], plant: Plant) -> None:
    find(result, "broken", plant)


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_what_was_planted_is_found_with_a_baseline(result: dict[str, Any], plant: Plant) -> None:
    find(result, "broken, watched", plant)


def find(result: dict[str, Any], run: str, plant: Plant) -> None:
    assert plant.name not in result["planted"], result["planted"][plant.name]
    checks = [one for one in result[run]["report"]["checks"] if one["name"] in plant.checks]
    found = [
        item
        for check in checks
        for item in check["items"]
        if all(word in json.dumps(item, ensure_ascii=False) for word in plant.words)
    ]
    assert found, [item["says"] for check in checks for item in check["items"]]
    worst = max(found, key=lambda item: GRADES.index(item["verdict"]))
    assert GRADES.index(worst["verdict"]) >= GRADES.index(plant.verdict), worst
    assert worst["means"]
    assert worst["next"]
    assert worst["evidence"]


def test_the_baseline_tells_new_from_known(result: dict[str, Any]) -> None:
    items = [item for check in result["broken, watched"]["report"]["checks"] for item in check["items"]]
    known = {item["known"] for item in items}
    assert {"known", "new", "changed"} <= known


def test_the_story_is_in_one_line(result: dict[str, Any]) -> None:
    report = result["broken, watched"]["report"]
    moments = report["timeline"]["moments"]
    assert [one["at"] for one in moments] == sorted(one["at"] for one in moments)
    kinds = {one["kind"] for one in moments}
    assert {"login", "refusal", "reboot", "file", "alert"} <= kinds


def test_the_page_and_the_evidence_were_left(host: Path, result: dict[str, Any]) -> None:
    assert "<title>" in (host / "trial/report.html").read_text()
    assert (host / "trial/evidence.tar.gz").stat().st_size > 100_000
    assert "SUSPICIOUS" in result["page"]
