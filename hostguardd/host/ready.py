"""Waits for descriptors by poll(2): select(2) knows none beyond FD_SETSIZE, and a process may hold more."""

from __future__ import annotations

import math
import select
from collections.abc import Iterable


def ready(among: Iterable[int], seconds: float, events: int = select.POLLIN) -> list[int]:
    """Those of the descriptors `among` at which `events` (or an end, or an error) came within `seconds`."""
    poll = select.poll()
    for fd in among:
        poll.register(fd, events)
    return [fd for fd, _ in poll.poll(max(0, math.ceil(seconds * 1000)))]
