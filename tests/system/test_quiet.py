"""The quiet hour: ordinary life on a booted host with the shipped configuration raises no false alert."""

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

PATIENCE = 900.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE + 300)]


@pytest.fixture(scope="module")
def hour(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root of a host after its quiet hour."""

    def live(root: Path) -> None:
        guest.copied(debian, root)
        guest.install(root)
        shutil.copy(ROOT / "tests/system/quiet.py", root)
        guest.program(root, "/usr/bin/python3 /quiet.py")
        guest.boot(root, PATIENCE)

    with guest.kept(tmp_path_factory.mktemp("quiet"), "HOSTGUARD_HOUR", live) as root:
        yield root


@pytest.fixture(scope="module")
def result(hour: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((hour / "result.json").read_text())
    assert "failed" not in found, found["failed"]
    return found


@pytest.fixture(scope="module")
def everything(hour: Path, result: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What was told after the approval, each with the part of the hour it fell in."""
    parts = result["parts"]
    lines = [check(line) for _, line in read(str(hour / "var/log/hostguardd"), 0)]
    return [
        ([name for name, part in parts.items() if part["from"] <= number][-1], line)
        for number, line in enumerate(lines)
        if number >= result["from"]
    ]


@pytest.fixture(scope="module")
def told(everything: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Of this what is louder than info."""
    return [(part, line) for part, line in everything if line["hostguard"]["severity"] != "info"]


def list_of(told: list[tuple[str, dict[str, Any]]]) -> str:
    """The list that is the result of the hour."""
    lines = ((part, line, line.get("rule", {}).get("name", "")) for part, line in told)
    return "".join(
        f"\n  {part:16} {line['hostguard']['severity']:8} {rule:24} {line['message'][:200]}"
        for part, line, rule in lines
    )


def about_ourselves(part: str, line: dict[str, Any]) -> bool:
    """What the administrator of this hour did to the daemon itself, and wants to see noted."""
    rule = line.get("rule", {}).get("name")
    if part == "the end":
        return bool(rule == "daemon.stopping")  # the host is powered off
    return part == "own_service" and rule in ("config.reloaded", "daemon.stopping", "daemon.gap")


def about_transient_units(part: str, line: dict[str, Any]) -> bool:
    """Units made by hand with systemd-run: a way to run something by and by, which is to be told."""
    return part == "timers" and "/run/systemd/transient/run-" in line["message"]


WANTED = (about_ourselves, about_transient_units)


def test_every_part_of_the_hour_took_place(result: dict[str, Any]) -> None:
    assert not {name: part["failed"] for name, part in result["parts"].items() if "failed" in part}


def test_a_lease_was_had_and_renewed(result: dict[str, Any]) -> None:
    assert result["network"], "no pair of interfaces could be made"
    assert len(result["leases"]) > 1, result["leases"]


def test_nothing_is_told_that_nobody_wants_to_know(told: list[tuple[str, dict[str, Any]]]) -> None:
    false = [(part, line) for part, line in told if not any(wanted(part, line) for wanted in WANTED)]
    assert not false, f"{len(false)} false alerts:{list_of(false)}"


def test_a_package_that_comes_is_renewed_and_goes_is_one_quiet_alert_each(
    everything: list[tuple[str, dict[str, Any]]],
) -> None:
    ours = [line for _, line in everything if "trial-tool" in json.dumps(line)]
    told = [
        (one["hostguard"]["kind"], [deed["action"] for deed in one["hostguard"]["transaction"]["packages"]])
        for one in ours
        if one["hostguard"]["kind"] == "transaction"
    ]
    assert told == [("transaction", [action]) for action in ("install", "upgrade", "remove")]
    assert len(ours) == 3, list_of([("packages", one) for one in ours])
