"""Reading the images of running programs within a budget of time.

Whoever runs a program decides how large its file is: an ordinary user may start a crowd of huge ones.
Therefore no row waits for a digest. A sweep reads what its budget allows, the small ones first, so
that a crowd of huge ones starves nobody else; the rest is told as not known (None) and read by the
sweeps that follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ..host.live import LiveHost
from ..model import Depth

BUDGET: Final[Mapping[Depth, float]] = {Depth.QUICK: 0.25, Depth.FULL: 20.0}
"""Seconds after which a sweep begins to read no further image."""

AGAIN: Final = 1.0
"""Seconds after which what the budget did not allow is due."""


def read_images(host: LiveHost, pids: Iterable[int], depth: Depth, stop: Callable[[], bool]) -> bool:
    """Read the images of these processes; False when the time did not suffice for all of them."""
    end = host.uptime() + BUDGET[depth]
    for size, pid in sorted((host.unread(pid), pid) for pid in set(pids)):
        if not size or not host.unread(pid):  # it may run what another one runs, too
            continue
        if stop() or host.uptime() >= end:
            return False
        host.read(pid, stop)
    return True
