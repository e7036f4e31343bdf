"""The demo's clock. The demo itself is played by `tests/system/test_demo.py`."""

from __future__ import annotations

import queue
import time
from typing import Any

import pytest

from hostguardd.config import parse
from hostguardd.defaults import default_sources
from hostguardd.demo import CHANGES, answer, set_bit
from hostguardd.watches import Watches


def test_an_alert_from_before_the_change_took_no_negative_time(capsys: pytest.CaptureFixture[str]) -> None:
    arrived: queue.SimpleQueue[tuple[float, dict[str, Any]]] = queue.SimpleQueue()
    since = time.monotonic()
    arrived.put((since - 0.004, {"message": "of before", "hostguard": {"kind": "file", "severity": "low"}}))
    arrived.put((since + 0.1, {"message": "/x changed", "hostguard": {"kind": "file", "severity": "high"}}))
    assert answer(CHANGES[0], "/x", since, arrived) == pytest.approx(0.1)
    assert capsys.readouterr().out == "   0.00 s  low       of before\n   0.10 s  high      /x changed\n"


def test_the_set_uid_bit_is_answered_by_whoever_tells_it_under_the_packaged_watches() -> None:
    """Where a watch takes all programs, no second finding comes from the set-id sensor."""
    (change,) = (one for one in CHANGES if one.act is set_bit)
    path = "/tmp/hostguardd-demo-x/helper"
    watch = Watches(parse(default_sources()).watches).find(path.encode())
    teller = "file" if watch is not None and watch.of_programs else "setid"
    alert = {"message": f"{path} changed", "hostguard": {"kind": teller, "severity": "critical"}}
    assert change.answered_by(alert, path)
