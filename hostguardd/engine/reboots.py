"""Whether the host was rebooted since we last watched, and whether anybody had announced it.

Two witnesses of a shutdown in order: ourselves, when we were ended while the system manager took the
host down; and its record in wtmp(5), written at the end of a shutdown, after our last sign of life. A host
that came up without either lost its power, crashed, or was made to by a hand that wanted no record
(sysrq, `reboot -ff`, the hypervisor).
"""

from __future__ import annotations

from typing import Final

from ..errors import StoreError
from ..host.bundle import Host
from ..host.texts import TextHost
from ..sensors.wtmp import WTMP, rotated
from ..store.baseline import Baseline
from ..utmp import RUN_LVL, logins, stride
from .interface import Tell

BOOT: Final = "boot"
ENDED: Final = "ended"
"""What is remembered: the boot we last watched, and the one that we saw end in order."""

RECORDS: Final = 4096
"""Records of wtmp that are read, from its end."""

WIDEST: Final = 400
SLACK: Final = 120
"""Seconds that our last sign of life may be younger than the record: it is noted now and then, and again
while everything ends."""


def tell_reboot(baseline: Baseline, host: Host, alive: int, tell: Tell) -> None:
    """Tell of a reboot since the boot that is remembered, and remember this one. `alive` is our last sign
    of life in wall-clock nanoseconds, 0 if there is none."""
    boot, before = host.boots.id(), baseline.recall(BOOT)
    if not boot or boot == before:
        return
    if isinstance(before, str):
        clean = baseline.recall(ENDED) == before or announced(host.texts, alive // 10**9 - SLACK)
        tell("host.rebooted" if clean else "host.rebooted-unclean", booted=host.boots.began())
    _remember(baseline, BOOT, boot)


def note_ending(baseline: Baseline, host: Host) -> None:
    """At our own end: remember it when the whole host is ending."""
    if host.boots.ending():
        _remember(baseline, ENDED, host.boots.id())


def _remember(baseline: Baseline, name: str, value: str) -> None:
    try:
        baseline.remember(name, value)
    except StoreError:
        return  # told as what it is by whoever else writes; a reboot told twice harms nobody


def announced(texts: TextHost, since: int) -> bool:
    """Whether wtmp, or what was rotated of it last, has a shutdown after `since` (seconds)."""
    for path in (WTMP, *rotated(texts)):
        entry = texts.lstat(path)
        if entry is None or entry.st_mtime < since:
            continue
        width = stride(texts.read(path, 64 * WIDEST).data or b"", entry.st_size)
        start = max(0, entry.st_size // width - RECORDS) * width
        records = logins(texts.read(path, RECORDS * width, start).data or b"", width)
        if any(one.kind == RUN_LVL and one.user == b"shutdown" and one.at >= since for one in records):
            return True
    return False
