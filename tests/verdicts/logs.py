"""What the packaged rules say of logs: (drift, rule, severity, technique). Each rule has at least one."""

from __future__ import annotations

from hostguardd.model import Drift, Severity
from tests.alerts import EVENT, LOG, LOGIN, drift

IGNORE, INFO, LOW, MEDIUM, HIGH, CRITICAL = Severity

SAMPLES: list[tuple[Drift, str, Severity, str]] = [
    (drift(None, LOG), "log", HIGH, "T1070.002"),
    (drift(None, LOGIN), "login", MEDIUM, "T1078.003"),
    (drift(None, EVENT), "event", MEDIUM, "T1110"),
]
