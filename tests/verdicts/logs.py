"""What the packaged rules say of logs: (drift, rule, severity, technique). Each rule has at least one."""

from __future__ import annotations

from dataclasses import replace

from hostguardd.model import Drift, Severity
from tests.alerts import EVENT, LOGIN, PROCESS, drift

IGNORE, INFO, LOW, MEDIUM, HIGH, CRITICAL = Severity

_ROOT = replace(LOGIN, user=b"root")
_SUDO = replace(EVENT, topic="switched", level=1, source=b"alice", user=b"root")
_READER = replace(PROCESS, exe=b"/usr/bin/journalctl", parent_exe=b"/usr/bin/python3.11", role="helper")

SAMPLES: list[tuple[Drift, str, Severity, str]] = [
    (drift(None, LOGIN), "login", MEDIUM, "T1078.003"),
    (drift(LOGIN, None), "login-forgotten", IGNORE, "T1078.003"),
    (drift(None, replace(LOGIN, view="unrecorded")), "login-unrecorded", CRITICAL, "T1070"),
    (drift(None, replace(LOGIN, user=b"www-data")), "login-of-a-service", HIGH, "T1078.001"),
    (drift(None, replace(_ROOT, origin=b"console")), "login-console", MEDIUM, "T1078.003"),
    (drift(None, _ROOT), "login-root", HIGH, "T1078.003"),
    (drift(None, EVENT), "logins-refused", LOW, "T1110"),
    (drift(EVENT, replace(EVENT, level=3)), "logins-refused-often", MEDIUM, "T1110"),
    (drift(EVENT, None), "event-forgotten", IGNORE, "T1110"),
    (drift(None, replace(EVENT, topic="guessed")), "password-guessed", CRITICAL, "T1110.001"),
    (drift(None, replace(EVENT, topic="sprayed")), "password-sprayed", HIGH, "T1110.003"),
    (drift(None, replace(_SUDO, source=b"www-data")), "switched-by-a-service", HIGH, "T1548.003"),
    (
        drift(None, replace(_SUDO, source=b"apache", topic="denied")),
        "switched-by-a-service",
        HIGH,
        "T1548.003",
    ),
    (drift(None, _SUDO), "switched-to-root", MEDIUM, "T1548.003"),
    (drift(None, replace(_SUDO, user=b"postgres")), "switched", LOW, "T1548.003"),
    (drift(None, replace(_SUDO, topic="denied")), "switch-denied", MEDIUM, "T1548.003"),
    (
        drift(None, replace(EVENT, topic="garbled", source=b"/var/log/messages")),
        "garbled-line",
        MEDIUM,
        "T1190",
    ),
    (drift(None, replace(EVENT, topic="crashed", source=b"httpd")), "crashes", LOW, "T1190"),
    (drift(None, replace(EVENT, topic="other")), "event", MEDIUM, "T1110"),
    (drift(None, _READER), "journal-reader", IGNORE, "T1654"),
]
