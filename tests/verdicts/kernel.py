"""What the packaged rules say of kernel: (drift, rule, severity, technique). Each rule has at least one."""

from __future__ import annotations

from hostguardd.model import Drift, Severity
from tests.alerts import MODULE, MOUNT, SETTING, drift

IGNORE, INFO, LOW, MEDIUM, HIGH, CRITICAL = Severity

SAMPLES: list[tuple[Drift, str, Severity, str]] = [
    (drift(None, MOUNT), "mount", HIGH, "T1564.013"),
    (drift(None, MODULE), "module", HIGH, "T1547.006"),
    (drift(None, SETTING), "setting", HIGH, "T1562"),
]
