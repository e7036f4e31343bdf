"""What the packaged rules say of accounts: (drift, rule, severity, technique). Each rule has at least one."""

from __future__ import annotations

from hostguardd.model import Drift, Severity
from tests.alerts import ACCOUNT, KEY, drift

IGNORE, INFO, LOW, MEDIUM, HIGH, CRITICAL = Severity

SAMPLES: list[tuple[Drift, str, Severity, str]] = [
    (drift(None, ACCOUNT), "account", CRITICAL, "T1136.001"),
    (drift(None, KEY), "ssh-key", CRITICAL, "T1098.004"),
]
