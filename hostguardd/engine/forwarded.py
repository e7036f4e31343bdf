"""How alerts leave the host, as far as the daemon can tell: by what the forwarder leaves behind.

The daemon neither waits for it nor depends on it. It looks into the forwarder's folder when somebody asks,
and before it throws a full alert log away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ..config import Config
from ..store.cursors import read_cursor
from ..store.report import read_report
from ..store.standing import Standing


def destinations(config: Config, head: int, now: int) -> list[dict[str, Any]]:
    """How each destination stands at `now` (ns since the epoch), the alert log being at number `head`.

    `delivered` is by the destination's cursor, which is on the disk; the rest is what the forwarder last
    said, whose process is `alive` or not. `behind` counts numbers of the log.
    """
    if not config.destinations:
        return []
    alive, told = read_report(config.paths.forward, now)
    found = []
    for one in config.destinations:
        standing = asdict(Standing()) | told.get(one.name, {})
        reached = max(read_cursor(config.paths.forward, one.name).sequence, standing["delivered"])
        delivered = reached if reached <= head else 0  # a place in another log than ours is none
        found.append(
            {"name": one.name, "place": one.place, "alive": alive, "severity": one.severity.label}
            | standing
            | {"delivered": delivered, "behind": max(0, head - delivered)}
            | ({} if alive else {"state": "stopped"})
        )
    return found


def delivered(config: Config) -> Callable[[int], int] | None:
    """What says up to which number every destination has the alert log, whose newest number it is given; None
    where there is no destination."""
    names = [one.name for one in config.destinations]

    def least(head: int) -> int:
        reached = [read_cursor(config.paths.forward, name).sequence for name in names]
        return min(number if number <= head else 0 for number in reached)

    return least if names else None
