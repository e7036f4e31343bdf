"""The demo's clock. The demo itself is played by `tests/system/test_demo.py`."""

from __future__ import annotations

import queue
import time
from typing import Any

import pytest

from hostguardd.demo import CHANGES, answer


def test_an_alert_from_before_the_change_took_no_negative_time(capsys: pytest.CaptureFixture[str]) -> None:
    arrived: queue.SimpleQueue[tuple[float, dict[str, Any]]] = queue.SimpleQueue()
    since = time.monotonic()
    arrived.put((since - 0.004, {"message": "of before", "hostguard": {"kind": "file", "severity": "low"}}))
    arrived.put((since + 0.1, {"message": "/x changed", "hostguard": {"kind": "file", "severity": "high"}}))
    assert answer(CHANGES[0], "/x", since, arrived) == pytest.approx(0.1)
    assert capsys.readouterr().out == "   0.00 s  low       of before\n   0.10 s  high      /x changed\n"
