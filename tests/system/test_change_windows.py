"""A deployment that was announced by ssh, with a reboot in the middle: quiet, and what came beside it is not.

The host is a copy of the one of `guest.py`, in which `windows_day.py` acts; judged here is what that brought.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostguardd.store.chain import read
from tests.alerts import check
from tests.daemon import ROOT
from tests.system import guest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

INSIDE = (
    "/usr/local/bin/tool", "/etc/nginx/conf.d/site.conf", "/etc/nginx/fastcgi.conf", "/usr/local/bin/later",
)  # fmt: skip
OUTSIDE = ("/etc/cron.d/evil", "/usr/local/bin/root")


@pytest.fixture(scope="module")
def day(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """What commands answered, and every alert."""
    root = guest.copied(debian, tmp_path_factory.mktemp("windows") / "root")
    guest.install(root)
    shutil.copy(ROOT / "tests/system/windows_day.py", root)
    guest.program(root, "/usr/bin/python3 /windows_day.py")
    result = guest.boot(root, 600)
    if "failed" not in result:
        result = guest.boot(root, 600)
    assert "failed" not in result, result["failed"] + result["journal"]
    yield result, [check(line) for _, line in read(str(root / "var/log/hostguardd"), 0)]
    shutil.rmtree(root)


def about(alerts: list[Any], path: str) -> list[Any]:
    """Alerts about a file, while it was open."""
    return [
        one
        for one in alerts
        if one["hostguard"].get("key") == path and one["hostguard"].get("state") in ("opened", "changed")
    ]


def coded(alerts: list[Any], code: str) -> list[Any]:
    return [one for one in alerts if one.get("rule", {}).get("name") == code]


def test_who_announced_it_is_told_and_from_where(day: tuple[dict[str, Any], list[Any]]) -> None:
    _, alerts = day
    [opened] = coded(alerts, "window.opened")
    assert opened["hostguard"]["severity"] == "high"
    assert "root (uid 0)" in opened["message"]
    assert ", from 127.0.0.1 announced changes until" in opened["message"]


@pytest.mark.parametrize("path", INSIDE)
def test_what_was_announced_is_quiet(day: tuple[dict[str, Any], list[Any]], path: str) -> None:
    result, alerts = day
    told = about(alerts, path)
    assert told
    for one in told:
        assert one["hostguard"]["severity"] == "info"
        assert one["hostguard"]["judged"] != "info"
        assert one["hostguard"]["window"] == {"id": result["opened"]["window"]["id"], "reason": "deploy 42"}


@pytest.mark.parametrize("path", OUTSIDE)
def test_what_came_beside_it_is_loud(day: tuple[dict[str, Any], list[Any]], path: str) -> None:
    told = about(day[1], path)
    assert told
    for one in told:
        assert one["hostguard"]["severity"] == "critical"
        assert "window" not in one["hostguard"]


def test_it_goes_on_after_the_reboot_and_its_end_is_loud(day: tuple[dict[str, Any], list[Any]]) -> None:
    _, alerts = day
    [resumed] = coded(alerts, "window.resumed")
    [opened] = coded(alerts, "window.opened")
    assert resumed["hostguard"]["details"]["length"] < opened["hostguard"]["details"]["length"]
    [ended] = coded(alerts, "window.ended-outside")
    assert ended["hostguard"]["details"]["outside"] >= len(OUTSIDE)


def test_one_decision_takes_what_lay_inside_and_nothing_else(day: tuple[dict[str, Any], list[Any]]) -> None:
    result, _ = day
    left = {one["label"] for one in result["drift"]["findings"]}
    assert set(OUTSIDE) <= left
    assert not left & set(INSIDE)
    assert len(result["accepted"]["accepted"]) >= len(INSIDE)
