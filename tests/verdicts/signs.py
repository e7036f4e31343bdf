"""What the packaged rules say of signs of processes: (drift, rule, severity, technique)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hostguardd.model import Drift, Severity
from tests.alerts import PROCESS, drift

IGNORE, INFO, LOW, MEDIUM, HIGH, CRITICAL = Severity


def new(signs: bytes, **fields: Any) -> Drift:
    return drift(None, replace(PROCESS, signs=signs, **fields))


def gained(signs: bytes, before: bytes = b"", **fields: Any) -> Drift:
    old = replace(PROCESS, signs=before, **fields)
    return drift(old, replace(old, signs=signs))


SAMPLES: list[tuple[Drift, str, Severity, str]] = [
    (new(b"false-name"), "process-masquerades", CRITICAL, "T1036.005"),
    (gained(b"preload-odd"), "process-preloaded-from-odd-place", CRITICAL, "T1574.006"),
    (new(b"preload-odd", role="session"), "process-preloaded-from-odd-place", CRITICAL, "T1574.006"),
    (gained(b"library-temporary"), "process-library-from-odd-place", CRITICAL, "T1055"),
    (gained(b"library-deleted library-hidden"), "process-library-from-odd-place", CRITICAL, "T1055"),
    (gained(b"library-memory", b"library-jit"), "process-code-from-memory", CRITICAL, "T1620"),
    (new(b"script-odd", role="session"), "process-script-from-odd-place", CRITICAL, "T1059"),
    (
        new(b"script-temporary", role="session", script=b"/tmp/x.py"),
        "session-script-temporary",
        MEDIUM,
        "T1059",
    ),
    (
        new(b"script-temporary", role="helper", script=b"/tmp/x.py"),
        "process-from-temporary-place",
        CRITICAL,
        "T1036.005",
    ),
    (new(b"", role="session", exe=b"/tmp/.mount_a/usr/bin/a"), "session-appimage", MEDIUM, "T1036.005"),
    (new(b"", exe=b"/tmp/.mount_a/usr/bin/a"), "process-from-temporary-place", CRITICAL, "T1036.005"),
    (new(b"working-hidden"), "process-works-in-hidden-place", HIGH, "T1564.001"),
    (gained(b"preload"), "process-preloaded", HIGH, "T1574.006"),
    (gained(b"traced"), "service-traced", HIGH, "T1055.008"),
    (gained(b"traced", role="session"), "process-usual-sign", LOW, "T1574"),
    (gained(b"writable"), "process-program-writable", MEDIUM, "T1222.002"),
    (gained(b"library-path-odd"), "process-libraries-looked-for", MEDIUM, "T1574.006"),
    (gained(b"library-gone"), "process-library-gone", MEDIUM, "T1055"),
    (gained(b"library-deleted"), "process-usual-sign", LOW, "T1574"),
    (gained(b"library-jit"), "process-usual-sign", LOW, "T1574"),
    (new(b"", exe=b"/usr/bin/journalctl"), "journal-reader", IGNORE, "T1654"),
    (
        new(b"preload-odd", exe=b"/usr/bin/journalctl"),
        "process-preloaded-from-odd-place",
        CRITICAL,
        "T1574.006",
    ),
    (new(b"false-name", exe=b"/usr/bin/journalctl"), "process-masquerades", CRITICAL, "T1036.005"),
    (new(b"preload-known library-jit"), "unknown-service", HIGH, "T1543"),
]
