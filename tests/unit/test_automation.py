"""Configuration management is known by what the kernel keeps of it, and only where that is certain."""

from __future__ import annotations

from typing import Any

import pytest

from hostguardd.automation import automation
from hostguardd.config import parse
from hostguardd.errors import ConfigError

CONFIG = parse([("t", '[automation]\nunits = ["puppet.service"]\nusers = ["ansible"]')]).automation


def actor(**more: Any) -> dict[str, Any]:
    """As an alert tells it."""
    return {"rung": "audit", "confidence": "certain", "pid": 7, "user": "root"} | more


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (actor(unit="puppet.service"), "puppet.service"),
        (actor(login="ansible", session=3, unit="session-3.scope"), "ansible"),
        (actor(login="ansible", unit="puppet.service"), "puppet.service"),
        (actor(), ""),
        (actor(login="alice", unit="ssh.service"), ""),
        (actor(user="ansible", effective_user="ansible", executable="/usr/bin/puppet"), ""),
        (actor(unit="puppet.service.evil.service"), ""),
        (actor(unit="puppet.service", confidence="likely"), ""),
        (actor(unit="puppet.service", confidence="circumstance"), ""),
        ({"rung": "none", "confidence": "none", "candidates": [actor(unit="puppet.service")]}, ""),
        ({"unit": "puppet.service"}, ""),
        ({"confidence": "certain", "unit": ["puppet.service"], "login": None}, ""),
        ({}, ""),
    ],
)
def test_who_counts(told: dict[str, Any], found: str) -> None:
    assert automation(told, CONFIG) == found


def test_nobody_counts_where_nobody_is_named() -> None:
    assert automation(actor(unit="", login=""), parse([]).automation) == ""


@pytest.mark.parametrize(
    "text",
    ['units = ["puppet"]', 'units = ["a/b.service"]', 'users = ["a b"]', 'users = ["1000"]', "units = 7"],
)
def test_names_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"automation\.(units|users)"):
        parse([("t", f"[automation]\n{text}")])
