"""Audit and firewall in force, as settings: a setting for each rule of audit, each chain of a firewall.

Nothing here is taken from files: an intruder empties what is in force and leaves the files alone.
"""

from __future__ import annotations

from typing import Final

from ..host.audit import Status
from ..host.kernel import KernelHost
from .topics import Look, Said

ENABLED: Final = {0: b"off", 1: b"on", 2: b"locked"}
FAILURE: Final = {0: b"silent", 1: b"printk", 2: b"panic"}
RULES: Final = 2000
"""Rules of audit that are told one by one."""


def audit(host: KernelHost) -> Look:
    """Whether audit is on, whether somebody reads it, and every rule."""
    status, rules, problem, _ = host.audit()
    if status is None:
        return Look((), problem)
    seen: dict[bytes, int] = {}
    for rule in rules[:RULES]:
        seen[rule] = seen.get(rule, 0) + 1
    told = (
        Said(b"rule " + rule, b"in force" if count == 1 else b"%d times" % count)
        for rule, count in seen.items()
    )
    return Look((*_state(status), *told), problem)


def _state(status: Status) -> tuple[Said, ...]:
    return (
        Said(b"enabled", ENABLED.get(status.enabled, b"%d" % status.enabled)),
        Said(b"daemon", b"reads" if status.pid else b"none", b"pid %d" % status.pid),
        Said(b"on failure", FAILURE.get(status.failure, b"%d" % status.failure)),
        Said(b"rate limit", b"%d" % status.rate_limit),
        Said(b"backlog limit", b"%d" % status.backlog_limit),
    )


class FirewallTopic:
    """The firewall: read only when its mark moved, or when `forget` was called."""

    def __init__(self) -> None:
        self._mark: bytes | None = None
        self._last = Look()

    def forget(self) -> None:
        """Read it at the next look whatever the mark says."""
        self._mark = None

    def __call__(self, host: KernelHost) -> Look:
        """What is in force."""
        mark = host.firewall_mark()
        if mark != self._mark:
            pieces, problem = host.firewall()
            self._last = Look(
                tuple(Said(one.name, one.value, b"\n".join(one.lines)) for one in pieces), problem
            )
            self._mark = mark
        return self._last
