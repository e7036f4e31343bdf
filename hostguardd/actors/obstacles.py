"""What keeps the audit rung from being stood on, as sentences with advice. Pure.

Checked before the records are read: a host whose administrator installed no rules of ours is not made to
send us everybody else's records.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

LOCKED: Final = 2


def audit(enabled: int | None, rules: Sequence[bytes], key: bytes) -> str:
    """Empty when records of ours may come. `enabled` None: not known, and believed to be on."""
    if enabled == 0:
        return "audit is switched off in the kernel (auditctl -e 1 switches it on)"
    if any(_silences(rule) for rule in rules):
        return (
            "the audit rule `-a never,task` keeps system calls from being recorded (auditctl -d never,task)"
        )
    if not any(_ours(rule, key) for rule in rules):
        locked = ", and rules are locked until the next boot" if enabled == LOCKED else ""
        rules_d = "install hostguardd.rules in /etc/audit/rules.d"
        return f"no audit rule has the key {key.decode()} ({rules_d}){locked}"
    return ""


def _silences(rule: bytes) -> bool:
    """Whether it keeps every task from being audited: with a condition it is only some."""
    return rule.split() in ([b"-a", b"never,task"], [b"-a", b"task,never"])


def _ours(rule: bytes, key: bytes) -> bool:
    words = rule.split()
    return (b"-k", key) in pairwise(words) and not any(word.startswith(b"never,") for word in words)
