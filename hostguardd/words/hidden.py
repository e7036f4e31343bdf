"""What is hidden, in words. Pure."""

from __future__ import annotations

from ..attributes import Names
from ..facts.hidden import HiddenFact
from .interface import Words, said


def _hidden(fact: HiddenFact, names: Names) -> str:
    return f"{said(fact.name)} ({said(fact.detail)})"


HIDDEN = Words(
    "hidden thing",
    "hidden things",
    "malware",
    ("indicator", "info", "indicator"),
    lambda fact, names: f"Hidden: {_hidden(fact, names)}",
    lambda fact, names: f"No longer hidden: {_hidden(fact, names)}",
    lambda before, after, changed, names: f"Hidden: {_hidden(after, names)}",
    lambda fact, names: {},
)
