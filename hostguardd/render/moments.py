"""Moments of an inquiry as people would tell them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Data: TypeAlias = Mapping[str, Any]


def runs_of(moments: Sequence[Data]) -> list[list[Data]]:
    """The same said again and again, in a row, is one thing: three hundred refusals are not three hundred
    lines. What lasted has its own end, and stays by itself."""
    runs: list[list[Data]] = []
    for one in moments:
        if (
            runs
            and not one["until"]
            and all(one[name] == runs[-1][0][name] for name in ("says", "kind", "verdict", "until"))
        ):
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs
