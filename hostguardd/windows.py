"""Change windows: what somebody announced that they would change, and whether a finding is that. Pure.

The theory. A window lowers how loudly a change is told, so it is what an intruder would open, or wait for.
So it names places; it ends; and it covers only what came about while it was open. What is grave anywhere
(who may become root, what is loaded into every program, we ourselves, whatever the policy calls critical)
it covers only where it names that very path.

When a thing came about is told by its ctime, which nobody but the kernel sets. Something else in its place
may be older than its coming, as when a folder was moved; and what is gone has none. Of these counts when
they were first seen, but only in a window at whose opening nothing was left unseen (`whole`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from . import globs
from .describe import TELLING, Event
from .manifest import is_own
from .model import Alert, Drift, FileFact, Finding, SetIdFact, Severity, under
from .readers import path_of
from .record import escape, timestamp

SECOND: Final = 1_000_000_000
TICK: Final = SECOND // 100
"""By how much a ctime may lie before the moment at which it was given: the kernel's coarse clock."""

GRAVE: Final = globs.compile_paths(
    (
        b"/etc/ld.so.preload", b"/etc/passwd", b"/etc/shadow", b"/etc/group", b"/etc/gshadow",
        b"/etc/sudoers", b"/etc/sudoers.d", b"/etc/sudoers.d/**", b"/etc/doas.conf",
        b"/root/.ssh", b"/root/.ssh/**", b"/etc/hostguardd", b"/etc/hostguardd/**",
    )
)  # fmt: skip
"""Covered only where they are named, even where a site's rules call them less than critical."""

RIGHTS: Final = frozenset({"setuid", "setgid", "capability"})


@dataclass(frozen=True, slots=True)
class Window:
    """One announcement. `paths` are as in `[[watch]]`, each with all that lies below it; none: everywhere.

    `opened`, `until` (when it is to end) and `closed` (when it did, 0: not yet) are wall-clock nanoseconds.
    `whole`: nothing was left unseen when it opened, and since then nothing could become news by itself.
    `begun` and `deadline`: from and until which CLOCK_BOOTTIME of which `boot` it lasts. `left`: how much of
    it was left when that was last written down. `outside`: how many findings were told outside it meanwhile.
    """

    id: str
    actor: str
    reason: str
    paths: tuple[bytes, ...]
    opened: int
    until: int
    whole: bool
    boot: str = ""
    begun: int = 0
    deadline: int = 0
    left: int = 0
    closed: int = 0
    outside: int = 0
    ended: bool = False


def named(actor: str, reason: str, paths: tuple[bytes, ...], at: int) -> str:
    """The id of a window."""
    seed = json.dumps([actor, reason, [escape(path) for path in paths], at])
    return "w" + hashlib.sha256(seed.encode()).hexdigest()[:7]


NAMED: Final = 8
"""Paths that a sentence names."""


def places(window: Window) -> str:
    """Where it holds, in words."""
    if not window.paths:
        return "every file but the critical ones"
    more = f" and {len(window.paths) - NAMED} more" if len(window.paths) > NAMED else ""
    return ", ".join(escape(path) for path in window.paths[:NAMED]) + more


@lru_cache(maxsize=64)
def _pattern(paths: tuple[bytes, ...]) -> Any:
    every = paths or (b"/",)
    return globs.compile_paths([*every, *(path.rstrip(b"/") + b"/**" for path in every)])


def lies_in(window: Window, path: bytes) -> bool:
    """Whether the window names the path or a folder above it."""
    return _pattern(window.paths).fullmatch(path) is not None


def covers(window: Window, finding: Finding, now: int, own: Iterable[bytes] = ()) -> bool:
    """Whether a finding that is new at `now` (wall-clock nanoseconds) is what was announced. `own` are our
    own folders."""
    subject = finding.drift.subject
    if not isinstance(subject, FileFact | SetIdFact) or not lies_in(window, subject.path):
        return False
    if _grave(finding, subject.path, own) and not _names(window, subject.path):
        return False
    return _in_time(window, finding.drift, now)


def _names(window: Window, path: bytes) -> bool:
    return any(not globs.has_magic(one) and globs.unquoted(one) == path for one in window.paths)


def _grave(finding: Finding, path: bytes, own: Iterable[bytes]) -> bool:
    return (
        finding.verdict.severity is Severity.CRITICAL
        or bool(RIGHTS & finding.drift.gained())
        or GRAVE.fullmatch(path) is not None
        or is_own(path)
        or any(under(path, folder) for folder in own)
    )


def _in_time(window: Window, drift: Drift, now: int) -> bool:
    if now < window.opened:
        return False  # the clock was set back: nothing can be said of when
    before, after = drift.before, drift.after
    first_seen = window.whole and not window.closed
    if not isinstance(after, FileFact | SetIdFact):
        return first_seen
    if after.ctime >= window.opened - TICK:
        return after.ctime <= (window.closed or now) + TICK
    same = isinstance(before, FileFact | SetIdFact) and before.inode == after.inode
    return first_seen and not same


def lowered(alert: Alert, window: Window) -> Alert:
    """The alert of what a window covers: it says all that it would have said, quietly."""
    inside = f" (expected, window {window.id}: {window.reason})"
    return replace(
        alert,
        severity=Severity.INFO,
        message=alert.message + inside,
        data={
            **alert.data,
            "judged": alert.severity.label,
            "window": {"id": window.id, "reason": window.reason},
        },
    )


def counts_outside(finding: Finding, event: Event) -> bool:
    """Whether a finding that no window covers is worth its place in the count at the end: what every host
    tells all the time is not."""
    return event in TELLING and finding.verdict.severity >= Severity.MEDIUM


def window_json(window: Window) -> dict[str, Any]:
    """A window as it is told."""
    return {
        "id": window.id,
        "actor": window.actor,
        "reason": window.reason,
        "paths": [escape(path) for path in window.paths],
        "opened": timestamp(window.opened),
        "until": timestamp(window.closed or window.until),
        "state": "ended" if window.ended else "closing" if window.closed else "open",
        "outside": window.outside,
    }


def pack(window: Window) -> str:
    """As JSON text."""
    return json.dumps(
        {
            "id": window.id, "actor": window.actor, "reason": window.reason,
            "paths": [path.hex() for path in window.paths], "opened": window.opened, "until": window.until,
            "whole": window.whole, "boot": window.boot, "begun": window.begun, "deadline": window.deadline,
            "left": window.left, "closed": window.closed, "outside": window.outside, "ended": window.ended,
        }
    )  # fmt: skip


_TYPES: Final = {
    "id": str, "actor": str, "reason": str, "opened": int, "until": int, "whole": bool, "boot": str,
    "begun": int, "deadline": int, "left": int, "closed": int, "outside": int, "ended": bool,
}  # fmt: skip


def unpack(text: object) -> Window | None:
    """The inverse of `pack`; None for what is not understood, which announces nothing."""
    try:
        told = json.loads(text) if isinstance(text, str) else None
        if not isinstance(told, dict):
            return None
        if any(type(told.get(name)) is not kind for name, kind in _TYPES.items()):
            return None
        paths = tuple(path_of(bytes.fromhex(path).decode()) for path in told["paths"])
        return Window(paths=paths, **{name: told[name] for name in _TYPES})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
