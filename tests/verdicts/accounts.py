"""What the packaged rules say of accounts: (drift, rule, severity, technique). Each rule has at least one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hostguardd.facts.accounts import DAMAGED, GROUPS, AccountFact
from hostguardd.model import Drift, Severity
from tests.alerts import ACCOUNT, KEY, drift

IGNORE, INFO, LOW, MEDIUM, HIGH, CRITICAL = Severity

ALICE = replace(ACCOUNT, name=b"alice", id=1000, groups=b"users")
ROOT = replace(ACCOUNT, name=b"root", id=0, gid=0, home=b"/root", groups=b"")
SERVICE = replace(
    ACCOUNT, name=b"nginx", id=990, shell=b"/sbin/nologin", password="unset", secret=b"", groups=b""
)
GROUP = AccountFact(
    GROUPS,
    b"wheel",
    10,
    None,
    b"",
    b"",
    b"",
    "nowhere",
    b"",
    None,
    groups=b"",
    twins=b"",
    subordinate=b"",
    line=11,
)
LINE = AccountFact(
    DAMAGED,
    b"/etc/passwd 0a1b2c3d",
    None,
    None,
    b"",
    b"",
    b"names no account",
    "",
    b"",
    None,
    b"",
    b"",
    b"",
    7,
)
AUTHORITY = replace(KEY, role="authority", options=b"cert-authority")


def to(before: AccountFact, **fields: Any) -> Drift:
    return drift(before, replace(before, **fields))


SAMPLES: list[tuple[Drift, str, Severity, str]] = [
    (to(ALICE, id=0), "account-gained-root", CRITICAL, "T1078.003"),
    (drift(None, replace(ACCOUNT, id=0)), "account-gained-root", CRITICAL, "T1078.003"),
    (to(ALICE, password="none", secret=b""), "account-without-password", CRITICAL, "T1098"),
    (drift(None, replace(SERVICE, password="none")), "account-without-password", CRITICAL, "T1098"),
    (to(ALICE, twins=b"bob"), "account-of-another", CRITICAL, "T1078.003"),
    (to(ALICE, subordinate=b"uid 0:65536"), "account-subordinate-ids", HIGH, "T1098"),
    (drift(None, replace(SERVICE, name=b"+", id=None)), "accounts-from-elsewhere", CRITICAL, "T1136"),
    (to(ALICE, shell=b"/tmp/sh"), "account-shell-in-odd-place", CRITICAL, "T1098"),
    (to(ALICE, shell=b"/usr/lib/.x/nologin"), "account-shell-in-odd-place", CRITICAL, "T1098"),
    (drift(None, ACCOUNT), "account-added-powerful", CRITICAL, "T1136.001 T1098"),
    (drift(None, ALICE), "account-added", CRITICAL, "T1136.001"),
    (drift(None, replace(ALICE, shell=b"")), "account-added", CRITICAL, "T1136.001"),
    (drift(None, replace(ALICE, password=None, secret=None)), "account-added", CRITICAL, "T1136.001"),
    (drift(None, SERVICE), "service-account-added", MEDIUM, "T1136.001"),
    (to(ALICE, groups=b"users,wheel"), "account-joined-powerful", CRITICAL, "T1098"),
    (to(SERVICE, gid=0), "account-joined-powerful", CRITICAL, "T1098"),
    (to(SERVICE, password="set", secret=b"\1"), "account-opened", CRITICAL, "T1098"),
    (to(replace(ALICE, password="locked"), password="set"), "account-opened", CRITICAL, "T1098"),
    (to(SERVICE, shell=b"/bin/bash"), "account-shell-opened", CRITICAL, "T1098"),
    (to(SERVICE, shell=b""), "account-shell-opened", CRITICAL, "T1098"),
    (to(ALICE, id=990), "account-id-changed", CRITICAL, "T1078.003"),
    (to(ALICE, gid=990), "account-id-changed", CRITICAL, "T1078.003"),
    (to(ROOT, secret=b"\1"), "root-password-changed", CRITICAL, "T1098"),
    (to(ROOT, password="locked"), "root-password-changed", CRITICAL, "T1098"),
    (to(ALICE, password="locked"), "account-locked", LOW, "T1531"),
    (to(ALICE, secret=b"\1"), "account-password-changed", MEDIUM, "T1098"),
    (to(ALICE, shell=b"/bin/zsh"), "account-shell-changed", HIGH, "T1098"),
    (to(SERVICE, shell=b"/bin/false"), "account-shell-changed", HIGH, "T1098"),
    (to(ALICE, home=b"/srv/x"), "account-shell-changed", HIGH, "T1098"),
    (to(ALICE, groups=b"audio,users"), "account-groups-changed", MEDIUM, "T1098"),
    (to(ACCOUNT, groups=b""), "account-groups-changed", MEDIUM, "T1098"),
    (to(ALICE, expires=20000), "account-expiry-changed", MEDIUM, "T1098"),
    (drift(ALICE, None), "account-removed", HIGH, "T1531"),
    (to(ALICE, comment=b"Alice"), "account-described", LOW, "T1098"),
    (drift(None, replace(GROUP, name=b"eve", id=0)), "group-of-root", CRITICAL, "T1098"),
    (to(GROUP, password="set", secret=b"\1"), "group-opened", CRITICAL, "T1098"),
    (
        to(replace(GROUP, password="set"), password="nowhere", secret=b"\1"),
        "group-password-changed",
        MEDIUM,
        "T1098",
    ),
    (to(GROUP, groups=b"eve"), "group-members-changed", CRITICAL, "T1098"),
    (drift(None, GROUP), "group-added", LOW, "T1136.001"),
    (drift(GROUP, None), "group-removed", LOW, "T1531"),
    (to(GROUP, id=11), "group-changed", HIGH, "T1098"),
    (to(GROUP, comment=b"eve"), "group-changed", HIGH, "T1098"),
    (drift(None, LINE), "account-table-damaged", HIGH, "T1136.001"),
    (drift(LINE, None), "account-table-mended", INFO, ""),
    (drift(None, replace(KEY, role="damaged")), "ssh-keys-damaged", LOW, "T1098.004"),
    (drift(None, AUTHORITY), "ssh-authority-added", CRITICAL, "T1098.004"),
    (drift(None, KEY), "ssh-key-added", CRITICAL, "T1098.004"),
    (drift(KEY, replace(KEY, comment=b"alice")), "ssh-key-described", LOW, "T1098.004"),
    (drift(replace(KEY, options=b"restrict"), KEY), "ssh-key-changed", HIGH, "T1098.004"),
    (drift(KEY, None), "ssh-key-removed", MEDIUM, "T1531"),
]  # fmt: skip
