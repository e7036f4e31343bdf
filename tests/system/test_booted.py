"""A host of our own, booted by systemd: the unit as it is shipped, and the alerts of a bad day.

The host is a copy of the one of `guest.py`, in which `booted.py` acts. What it brought out is judged here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostguardd.errors import Exit
from hostguardd.store.chain import read, verify
from tests.alerts import check
from tests.daemon import PROMISED_END, ROOT
from tests.system import guest

SETTINGS = """\
[processes]
managed = "1s"
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def day(debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root of a host after its one day."""
    root = guest.copied(debian, tmp_path_factory.mktemp("booted") / "root")
    guest.install(root, settings=SETTINGS, unit="[Service]\nWatchdogSec=8\n")
    shutil.copy(ROOT / "tests/system/booted.py", root)
    shutil.copy(ROOT / "packaging/actors/fanotify.conf", root)
    guest.program(root, "/usr/bin/python3 /booted.py")
    guest.boot(root, 600)
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def result(day: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((day / "result.json").read_text())
    return found


@pytest.fixture(scope="module")
def alerts(day: Path) -> list[dict[str, Any]]:
    """Every line of the host's log, held against the schema."""
    return [check(line) for _, line in read(str(day / "var/log/hostguardd"), 0)]


def test_the_unit_reaches_active(result: dict[str, Any]) -> None:
    assert result["start"]["code"] == 0, result["journal"]
    assert result["active"] == "active"
    assert result["watching"] is not None
    assert result["status text"] == "watching"


@pytest.mark.parametrize("change", ["passwd", "port", "service", "setid"])
def test_a_change_is_told(result: dict[str, Any], change: str) -> None:
    assert result["changes"][change] is not None, result["journal"]


def test_the_alerts_say_who_and_how_bad(alerts: list[dict[str, Any]]) -> None:
    of = {alert["hostguard"].get("key", ""): alert for alert in alerts}
    passwd = of["/etc/passwd"]
    assert passwd["hostguard"]["finding_severity"] == "critical"
    assert "+eve:x:0:0::/:/bin/sh" in passwd["hostguard"]["diff"]
    port = next(alert for key, alert in of.items() if "0.0.0.0:4444" in key)
    assert "http.server" in port["process"]["command_line"]
    assert port["server"]["port"] == 4444
    assert of["/tmp/tool"]["hostguard"]["finding_severity"] == "critical"
    assert of["/etc/systemd/system/backdoor.service"]["event"]["action"] == "file-added"


def test_where_no_witness_is_to_be_had(result: dict[str, Any], alerts: list[dict[str, Any]]) -> None:
    """A network of its own has no audit records, and the unit as it is shipped no file events."""
    checks = json.loads(result["doctor"]["said"])["checks"]
    (actors,) = (one for one in checks if one["name"] == "actors")
    assert actors["ok"], actors
    assert "alerts cannot name who made a change" in actors["message"]
    assert "audit" in actors["message"]
    assert "file events: Operation not permitted" in actors["message"]
    assert "rules.d" in actors["advice"]
    passwd = next(one["hostguard"] for one in alerts if one["hostguard"].get("key") == "/etc/passwd")
    actor = passwd["actor"]
    assert actor["unattributed"] == actors["message"].partition(": ")[2]
    assert (actor["rung"], actor["confidence"]) == ("none", "circumstance")
    assert [(one["user"], one["source"]) for one in actor["logged_in"]] == [("carol", "203.0.113.9")]


def test_the_drop_in_for_file_events(result: dict[str, Any]) -> None:
    assert (result["unit"]["code"], result["unit"]["said"]) == (0, "")


def test_drift_becomes_the_new_truth(result: dict[str, Any]) -> None:
    assert result["drift"]["code"] == Exit.DRIFT
    assert result["baseline"]["code"] == Exit.OK, result["baseline"]["said"]
    left = json.loads(result["drift after"]["said"])["findings"]
    assert not [one["label"] for one in left if "/etc" in one["label"] or "4444" in one["label"]]
    assert result["verify"]["code"] == Exit.OK, result["verify"]["said"]


def test_reload_restart_and_stop(result: dict[str, Any]) -> None:
    assert result["reload"]["code"] == 0
    assert result["reloaded"] is not None
    assert result["restarted"] is not None, "a daemon that hangs is ended by WatchdogSec and started again"
    assert int(result["restarts"]) >= 1
    assert result["gap"] is not None, "and the gap is told"
    assert result["stop"]["code"] == 0
    assert result["stop"]["seconds"] < PROMISED_END + 8, "with what systemctl takes, on a busy machine"
    assert result["inactive"] == ["inactive", "success"]


def test_the_log_that_was_brought_out_is_whole(day: Path, alerts: list[dict[str, Any]]) -> None:
    assert [alert["event"]["sequence"] for alert in alerts] == list(range(1, len(alerts) + 1))
    found = verify(str(day / "var/log/hostguardd"))
    assert found.ok, found.sentence
    assert alerts[-1]["rule"]["name"] == "daemon.stopping"


def test_diagnostics_in_the_journal_are_json(result: dict[str, Any]) -> None:
    ours = [line for line in result["journal"].splitlines() if line.startswith("{")]
    assert ours
    assert all({"event", "level", "timestamp"} <= json.loads(line).keys() for line in ours)
