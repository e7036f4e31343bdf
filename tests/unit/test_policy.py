"""The policy: first match wins, the unmatched is loudest; and the shipped rules say what they should."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.config import Config, parse
from hostguardd.defaults import POLICIES, default_sources
from hostguardd.globs import has_magic
from hostguardd.homes import Homes, expand
from hostguardd.model import (
    Action,
    Drift,
    FileFact,
    ListenerFact,
    ProcessFact,
    SetIdFact,
    Severity,
)
from hostguardd.policy import UNMATCHED, Policy
from hostguardd.rules import Rule
from hostguardd.watches import Watches
from tests.daemon import ROOT
from tests.verdicts import accounts, files, hidden, kernel, logs, records, signs
from tests.verdicts.files import added, changed, edited, file, removed

REG, DIR, LNK, SOCK = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFSOCK
INFO, LOW, MEDIUM, HIGH, CRITICAL = sorted(Severity)[1:]


def setid(path: str = "/usr/bin/su", **fields: Any) -> SetIdFact:
    return replace(SetIdFact(b"/", path.encode(), REG | 0o4755, 0, 0, 9, 1, 1, b"\1" * 32, b""), **fields)


def listener(proto: str = "tcp", endpoint: str = "0.0.0.0:22", **fields: Any) -> ListenerFact:
    fact = ListenerFact(proto, endpoint.encode(), 22, 0, b"/usr/sbin/sshd", b"sshd -D", b"\1" * 32, 1, 1, 1)
    return replace(fact, **fields)


def process(
    exe: str = "/usr/sbin/sshd", role: str = "service", state: str = "running", **fields: Any
) -> ProcessFact:
    fact = ProcessFact(
        "host", exe.encode(), 0, b"/usr/lib/systemd/systemd", b"", role, 1, state, b"\1" * 32,
        b"", b"sshd", 0, 7, 1, 1, exe.encode(),
    )  # fmt: skip
    return replace(fact, **fields)


EPHEMERAL = {"uid": 5, "exe": b"/usr/sbin/chronyd"}

SAMPLES: list[tuple[Drift, str, Severity, str]] = [
    # Set-id files anywhere.
    (added(setid("/tmp/.x/sh")), "new-set-id-file", CRITICAL, "T1548.001"),
    (changed(setid(), sha256=b"\2" * 32, ctime=2), "set-id-file-gained-more", CRITICAL, "T1548.001"),
    (changed(setid(), mode=REG | 0o6755), "set-id-file-gained-more", CRITICAL, "T1548.001"),
    (changed(setid(), ctime=2, inode=2), "set-id-file-touched", LOW, "T1070.006"),
    (removed(setid()), "set-id-file-gone", INFO, ""),
    # Listeners.
    (added(listener(endpoint="0.0.0.0:4444", exe=b"/tmp/nc")), "listener-from-odd-place", CRITICAL, "T1571"),
    (changed(listener(), exe=b"/usr/sbin/sshd (deleted)"), "listener-from-odd-place", CRITICAL, "T1571"),
    (changed(listener(), others=b"/usr/bin/nc"), "listener-shared", CRITICAL, "T1571"),
    (removed(listener()), "listener-gone", LOW, "T1489"),
    (added(listener("unix", "/run/x.sock")), "unix-listener", LOW, "T1571"),
    (added(listener("packet", "eth0 all", exe=b"/sbin/dhclient")), "packet-listener-known", INFO, ""),
    (added(listener("packet", "any all", exe=b"/tmp/nc")), "packet-listener-misplaced", CRITICAL, "T1040"),
    (added(listener("packet", "any all", exe=b"/usr/bin/nc")), "packet-listener", HIGH, "T1040"),
    (added(listener("raw", "1")), "raw-listener", HIGH, "T1205"),
    (added(listener("udp", "0.0.0.0:dynamic /usr/sbin/chronyd", **EPHEMERAL)), "dynamic-udp", LOW, "T1571"),
    (added(listener("udp6", "[::]:dynamic /usr/sbin/chronyd", **EPHEMERAL)), "dynamic-udp", LOW, "T1571"),
    (changed(listener(), sha256=b"\2" * 32), "listener-updated", MEDIUM, "T1554"),
    (changed(listener(exe=None), command=b"sshd -p 2"), "listener-changed-hands", HIGH, "T1571"),
    (changed(listener(), exe=b"/usr/bin/nc", uid=1000), "listener-changed-hands", HIGH, "T1571"),
    (added(listener(endpoint="0.0.0.0:4444", exe=b"/usr/bin/nc")), "new-listener", HIGH, "T1571"),
    (added(listener("udp", "0.0.0.0:53")), "new-listener", HIGH, "T1571"),
    # Processes.
    (added(process("/memfd:x", state="anonymous")), "process-without-file", CRITICAL, "T1620"),
    (added(process(comm=b"kworker/0:1")), "process-masquerades", CRITICAL, "T1036.005"),
    (added(process("/dev/shm/x")), "process-from-temporary-place", CRITICAL, "T1036.005"),
    (added(process(script=b"/var/tmp/x")), "process-from-temporary-place", CRITICAL, "T1036.005"),
    (added(process("/opt/.x/y", role="helper")), "process-from-hidden-place", HIGH, "T1564.001"),
    (added(process("/root/.pyenv/v/python", role="helper")), "process-of-users-tools", LOW, "T1564.001"),
    (added(process("/root/.pyenv/v/python")), "process-from-hidden-place", HIGH, "T1564.001"),
    (changed(process(), state="deleted"), "process-file-deleted", HIGH, "T1036"),
    (changed(process(), state="replaced"), "process-file-replaced", MEDIUM, "T1554"),
    (removed(process()), "service-missing", HIGH, "T1489"),
    (removed(process("/usr/sbin/rsyslogd")), "logger-missing", HIGH, "T1562.001 T1489"),
    (removed(process(role="helper")), "process-gone", INFO, ""),
    (added(process("/usr/bin/nc")), "unknown-service", HIGH, "T1543"),
    (added(process("/usr/bin/sh", role="helper")), "unknown-helper", LOW, "T1059"),
    (added(process("/usr/bin/vim", role="session")), "unknown-session-process", LOW, "T1059"),
    (changed(process(), sha256=b"\2" * 32), "service-program-changed", HIGH, "T1554"),
    (changed(process(), instances=3), "more-instances", MEDIUM, "T1036"),
    (changed(process(), role="helper"), "process-changed", MEDIUM, "T1036"),
]  # fmt: skip

SAMPLES += [
    *files.SAMPLES, *accounts.SAMPLES, *kernel.SAMPLES, *logs.SAMPLES, *records.SAMPLES, *hidden.SAMPLES,
    *signs.SAMPLES,
]  # fmt: skip


HOMES = Homes([b"/root", b"/var/www"])
"""The homes of the host that the samples are about; the others lie in /home."""


@cache
def shipped() -> Config:
    return expand(parse(default_sources(installed="/nonexistent/hostguardd.toml")), HOMES)


@cache
def shipped_policy() -> Policy:
    return Policy(shipped().rules, HOMES)


def title(value: object) -> str | None:
    if isinstance(value, Drift):
        return f"{value.fact.KIND}-{value.action.value}-{value.subject.label.decode()}"
    return None


@pytest.mark.parametrize(("drift", "rule", "severity", "technique"), SAMPLES, ids=title)
def test_shipped_verdicts(drift: Drift, rule: str, severity: Severity, technique: str) -> None:
    verdict = shipped_policy().judge(drift)
    assert (verdict.rule, verdict.severity, verdict.technique) == (rule, severity, technique)


def test_every_shipped_rule_is_reached_by_a_sample() -> None:
    assert {rule.name for rule in shipped().rules} == {rule for _, rule, _, _ in SAMPLES} - {"unmatched"}


def test_every_sample_of_a_watched_file_lies_in_a_shipped_watch() -> None:
    watches = Watches(shipped().watches)
    unseen = {
        drift.subject.label
        for drift, rule, _, _ in SAMPLES
        if drift.fact is FileFact and rule != "unmatched" and watches.find(drift.subject.label) is None
    }
    assert unseen == set()


def test_no_path_that_a_shipped_watch_names_is_left_to_no_rule() -> None:
    policy = shipped_policy()
    named = {path.decode() for watch in shipped().watches for path in watch.paths if not has_magic(path)}
    assert len(named) > 200
    for path in sorted(named):
        for mode in (stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777):
            for drift in (added(file(path, mode)), removed(file(path, mode)), edited(path)):
                assert policy.judge(drift).rule != "unmatched", (path, drift.action)


def test_every_shipped_rule_advises_and_names_a_technique() -> None:
    for rule in shipped().rules:
        assert re.match(r"[A-Z].{20,}[.]$", rule.advice, re.DOTALL), rule.name
        assert rule.technique or rule.severity == INFO, rule.name
        assert "!" not in rule.advice, f"{rule.name}: calm"


def test_beside_each_rule_that_ignores_stands_why() -> None:
    for name in POLICIES:
        text = (ROOT / "etc" / name).read_text()
        for entry in text.split("[[rule]]")[1:]:
            entry = entry.split("\n\n")[0]
            if 'severity = "ignore"' in entry:
                assert "\n# " in entry, f"{name}: {entry}"


def test_what_is_told_at_once_is_urgent_and_the_bulk_is_not() -> None:
    policy = shipped_policy()
    for drift, rule, severity, _ in SAMPLES:
        if (
            drift.fact is FileFact
            and severity == CRITICAL
            and rule not in ("file-gained-privileges", "mounted-over")
        ):
            assert policy.urgent(drift.subject.label), rule
    for path in (
        b"/usr/bin/ls",
        b"/usr/lib64/libc.so.6",
        b"/etc/motd",
        b"/boot/vmlinuz",
        b"/usr/share/doc/x",
    ):
        assert not policy.urgent(path)
    assert policy.urgent(b"/srv/unnamed")


def rule(name: str, severity: Severity = LOW, **conditions: Any) -> Rule:
    return Rule(name, severity, **conditions)


def verdict(drift: Drift, *rules: Rule) -> str:
    return Policy(rules).judge(drift).rule


def test_the_first_rule_that_matches_wins() -> None:
    assert verdict(edited("/x"), rule("one"), rule("two")) == "one"


def test_what_no_rule_names_is_the_loudest() -> None:
    assert Policy([]).judge(edited("/x")) == UNMATCHED
    assert UNMATCHED.severity == max(Severity)
    assert Policy([]).urgent(b"/x")


@pytest.mark.parametrize(
    ("conditions", "matches"),
    [
        ({}, True),
        ({"kind": "file"}, True),
        ({"kind": "process"}, False),
        ({"actions": frozenset({Action.CHANGED})}, True),
        ({"actions": frozenset({Action.ADDED, Action.REMOVED})}, False),
        ({"changed": frozenset({"sha256", "uid"})}, True),
        ({"changed": frozenset({"uid"})}, False),
        ({"only": frozenset({"sha256", "size", "mtime", "ctime", "uid"})}, True),
        ({"only": frozenset({"sha256", "size", "mtime"})}, False),
        ({"gained": frozenset({"setuid"})}, False),
        ({"where": {"path": (b"/no", b"/etc/*")}}, True),
        ({"where": {"label": (b"/etc/x",)}}, True),
        ({"where": {"folder": (b"/etc",), "name": (b"x",)}}, True),
        ({"where": {"folder": (b"/etc",), "name": (b"y",)}}, False),
        ({"where": {"type": (b"file",)}}, True),
        ({"where": {"type": (b"dir",)}}, False),
        ({"where": {"size": (b"11-",)}}, True),
        ({"where": {"size": (b"1-10",)}}, False),
        ({"where": {"mode": (b"0o100644",)}}, True),
        ({"where": {"exe": (b"**",)}}, False),
    ],
)
def test_conditions(conditions: dict[str, Any], matches: bool) -> None:
    assert (verdict(edited("/etc/x"), rule("r", **conditions)) == "r") is matches


def test_what_came_or_went_changed_no_field() -> None:
    only = rule("r", only=frozenset(FileFact.columns()))
    some = rule("r", changed=frozenset(FileFact.columns()))
    for drift in (added(file("/x")), removed(file("/x"))):
        assert verdict(drift, only) == verdict(drift, some) == "unmatched"


def test_a_quiet_rule_for_a_known_program_never_covers_an_unknown_one() -> None:
    quiet = rule("quiet", kind="listener", where={"exe": (b"/usr/sbin/**",), "uid": (b"0",)})
    assert verdict(added(listener()), quiet) == "quiet"
    assert verdict(added(listener(exe=None)), quiet) == "unmatched"
    assert verdict(added(listener(uid=None)), quiet) == "unmatched"


def test_what_was_removed_gains_nothing_and_what_was_added_gains_all() -> None:
    loud = rule("loud", gained=frozenset({"setuid"}))
    program = file("/x", REG | 0o4755)
    assert verdict(added(program), loud) == "loud"
    assert verdict(removed(program), loud) == "unmatched"
    assert verdict(changed(program, size=11), loud) == "unmatched"


@pytest.mark.parametrize(
    ("rules", "urgent"),
    [
        ([rule("a", CRITICAL, kind="file", where={"path": (b"/etc/*",)}), rule("b")], True),
        ([rule("a", CRITICAL, kind="file", where={"path": (b"/srv/*",)}), rule("b")], False),
        ([rule("a", CRITICAL, kind="file", gained=frozenset({"setuid"})), rule("b")], False),
        ([rule("a", CRITICAL), rule("b")], True),
        ([rule("a", CRITICAL, kind="process"), rule("b")], False),
        ([rule("a", HIGH, where={"path": (b"/etc/x",)}), rule("b", CRITICAL)], False),
        ([rule("a", HIGH, where={"path": (b"/etc/x",)}, changed=frozenset({"uid"}))], True),
        ([rule("a", HIGH, kind="file", where={"uid": (b"0",)})], True),
        ([rule("a", CRITICAL, where={"name": (b"x",)}, only=frozenset({"mode"})), rule("b")], True),
        ([rule("a", CRITICAL, where={"folder": (b"/usr",)}), rule("b")], False),
        ([rule("a", Severity.IGNORE, where={"path": (b"/etc/**",)})], False),
    ],
)
def test_urgent(rules: list[Rule], urgent: bool) -> None:
    policy = Policy(rules)
    assert policy.urgent(b"/etc/x") is urgent
    assert policy.urgent(b"/etc/x") is urgent, "also from the cache"


PATHS = st.sampled_from(["/etc/passwd", "/etc/x", "/srv/y", "/etc/cron.d/z", "/usr/bin/w"])
RULES = st.lists(
    st.builds(
        Rule,
        name=st.sampled_from("abc"),
        severity=st.sampled_from(Severity),
        kind=st.sampled_from(["", "file"]),
        actions=st.sets(st.sampled_from(Action)).map(frozenset),
        changed=st.sets(st.sampled_from(["mode", "sha256"])).map(frozenset),
        where=st.dictionaries(
            st.just("path"),
            st.lists(st.sampled_from([b"/etc/*", b"/etc/**", b"/**", b"/srv/y"]), min_size=1).map(tuple),
        ),
    ),
    max_size=5,
)


@given(RULES, PATHS, st.sampled_from([added, removed, None]))
def test_nothing_critical_about_a_named_path_is_ever_made_to_wait(
    rules: list[Rule], path: str, how: object
) -> None:
    """Unless only a critical rule without any globs makes it so, which is asked of the outcome alone."""
    drift = edited(path) if how is None else how(file(path))  # type: ignore[operator]
    policy = Policy(rules)
    found = policy.judge(drift)
    if found.severity == CRITICAL and not any(r.severity == CRITICAL and not r.where for r in rules):
        assert policy.urgent(path.encode())
