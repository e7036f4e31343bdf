"""What the packaged rules say of logs and histories: (drift, rule, severity, technique)."""

from __future__ import annotations

from dataclasses import replace

from hostguardd.model import Drift, LogFact, Severity
from tests.alerts import LOG, drift

IGNORE, INFO, LOW, MEDIUM, HIGH, CRITICAL = Severity

WHOLE = replace(LOG, state="whole", incidents=0)
WTMP = replace(WHOLE, view="records", path=b"/var/log/wtmp")
HISTORY = replace(WHOLE, view="histories", path=b"/root/.bash_history", owner=b"root")


def happened(fact: LogFact, state: str) -> Drift:
    """The drift of a whole file to which something was done."""
    return drift(fact, replace(fact, state=state, incidents=fact.incidents + 1))


SAMPLES: list[tuple[Drift, str, Severity, str]] = [
    (drift(None, WHOLE), "log-new", IGNORE, "T1070.002"),
    (drift(None, HISTORY), "log-new", IGNORE, "T1070.002"),
    (drift(HISTORY, None), "log-dropped", INFO, ""),
    (drift(LOG, WHOLE), "log-whole", INFO, ""),
    (happened(WTMP, "edited"), "logins-erased", CRITICAL, "T1070.002"),
    (happened(WTMP, "linked"), "logins-erased", CRITICAL, "T1070.002"),
    (happened(HISTORY, "locked"), "history-locked", MEDIUM, "T1070.003"),
    (happened(HISTORY, "emptied"), "history-wiped", HIGH, "T1070.003"),
    (drift(None, replace(HISTORY, state="linked", incidents=1)), "history-wiped", HIGH, "T1070.003"),
    (happened(WHOLE, "locked"), "log-locked", HIGH, "T1562"),
    (happened(WHOLE, "linked"), "log-redirected", HIGH, "T1070.002"),
    (happened(WHOLE, "truncated"), "log-wiped", CRITICAL, "T1070.002"),
    (happened(WHOLE, "gone"), "log-wiped", CRITICAL, "T1070.002"),
    (happened(WHOLE, "pruned"), "log-wiped", CRITICAL, "T1070.002"),
    # What was done twice is told twice.
    (drift(LOG, replace(LOG, incidents=2)), "log-wiped", CRITICAL, "T1070.002"),
]
