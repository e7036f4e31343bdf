"""One deed is one alert with its parts; what says more than its head is told for itself."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hostguardd.engine.acts import LONGEST, WINDOW, Acts
from hostguardd.engine.announcer import Announcer
from hostguardd.engine.company import EARLY_HOLD, PARTS_HOLD
from hostguardd.engine.keeper import Change
from hostguardd.host.atwork import FRESH, JUST_WRITTEN, account_tool
from hostguardd.model import Fact, FileFact, Finding, Severity, split
from tests.alerts import ACCOUNT, FILE, NAMES, NOW, finding
from tests.state import State
from tests.unit.test_announcer import Log

LOUD = Severity.CRITICAL


def table(path: bytes, **more: object) -> Finding:
    """A table of accounts with new content, or with what `more` says besides."""
    folder, name = split(path)
    before = replace(FILE, folder=folder, name=name)
    after = replace(before, size=9, sha256=b"\x09" * 32, inode=5, **more)  # type: ignore[arg-type]
    return finding(before, after, LOUD, path.decode())


def account(name: bytes = b"mallory", severity: Severity = LOUD, **more: object) -> Finding:
    after = replace(ACCOUNT, name=name, home=b"/home/" + name, **more)  # type: ignore[arg-type]
    return finding(None, after, severity, f"account-{name.decode()}-{after.database}")


def new(path: bytes) -> Finding:
    folder, name = split(path)
    return finding(None, replace(FILE, folder=folder, name=name), Severity.HIGH, path.decode())


def test_an_account_takes_its_tables_along() -> None:
    parts = [table(b"/etc/" + name) for name in (b"passwd", b"shadow-", b"group", b"gshadow", b"subuid-")]
    parts.append(new(b"/etc/passwd.lock"))
    (act,), rest = Acts().gather([*((one, "opened") for one in parts), (account(), "opened")], 0)
    assert act.head[0] == account()
    assert [one for one, _ in act.parts] == parts
    assert rest == []


def test_the_group_of_the_same_name_is_a_part_and_another_account_is_none() -> None:
    user, group = account(), account(database="groups", severity=Severity.MEDIUM)
    other = account(b"root")
    acts, _ = Acts().gather([(group, "opened"), (user, "opened"), (other, "opened")], 0)
    assert [(one.head[0].id, [part.id for part, _ in one.parts]) for one in acts] == [
        (user.id, [group.id]),
        (other.id, []),
    ]


def test_of_two_accounts_each_takes_along_what_is_its_own() -> None:
    acts = Acts(skeleton)
    first, second = account(), account(b"trudy")
    home = new(b"/home/trudy/.bashrc")
    found, rest = acts.gather([(first, "opened"), (second, "opened"), (home, "opened")], 0)
    assert [(one.head[0].id, [part.id for part, _ in one.parts]) for one in found] == [
        (first.id, []),
        (second.id, [home.id]),
    ]
    assert rest == []
    late = acts.continues(new(b"/home/mallory/.bashrc"), "opened", 1)
    assert late is not None
    assert late.head == first


def test_another_password_explains_no_ranges_of_subordinate_ids() -> None:
    head = finding(ACCOUNT, replace(ACCOUNT, secret=b"\x07" * 32), LOUD, "password")
    shadow, ranges = table(b"/etc/shadow"), table(b"/etc/subuid")
    (act,), rest = Acts().gather([(head, "opened"), (shadow, "opened"), (ranges, "opened")], 0)
    assert [one for one, _ in act.parts] == [shadow]
    assert [one for one, _ in rest] == [ranges]


def test_without_an_account_that_explains_it_a_table_is_told_for_itself() -> None:
    found = [(table(b"/etc/passwd"), "opened")]
    assert Acts().gather(found, 0) == ([], found)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "louder",
    [
        table(b"/etc/shadow", mode=stat.S_IFREG | 0o666),
        table(b"/etc/shadow", uid=1000),
        table(b"/etc/passwd", xattrs=b"user.x=00"),
        table(b"/etc/sudoers"),
        new(b"/root/.ssh/authorized_keys"),
        new(b"/etc/passwd"),
    ],
    ids=lambda one: f"{one.id} {','.join(one.drift.changed)}",
)
def test_what_says_more_than_its_head_is_no_part(louder: Finding) -> None:
    acts = Acts()
    (act,), rest = acts.gather([(account(), "opened"), (louder, "opened")], 0)
    assert act.parts == []
    assert rest == [(louder, "opened")]
    assert not acts.continues(louder, "opened", 1)


def skeleton(path: bytes) -> FileFact | None:
    """The approved /etc/skel of a host."""
    return replace(FILE, folder=b"/etc/skel", name=b".bashrc") if path == b"/etc/skel/.bashrc" else None


def test_what_a_new_home_has_of_the_skeleton_is_a_part_and_nothing_else_in_it() -> None:
    acts = Acts(skeleton)
    acts.gather([(account(), "opened")], 0)
    assert acts.continues(new(b"/home/mallory/.bashrc"), "opened", 1)
    assert not acts.continues(new(b"/home/mallory2/.bashrc"), "opened", 1)
    assert not acts.continues(new(b"/home/mallory/.rhosts"), "opened", 1)
    assert not acts.continues(new(b"/home/mallory/.config/systemd/user/x.service"), "opened", 1)
    for differs in ({"sha256": b"\x09" * 32}, {"sha256": None}, {"mode": stat.S_IFREG | 0o666}):
        own = replace(FILE, folder=b"/home/mallory", name=b".bashrc", **differs)
        assert not acts.continues(finding(None, own, Severity.HIGH), "opened", 1)
    changed = finding(FILE, replace(FILE, folder=b"/home/mallory", size=9), LOUD)
    assert not acts.continues(changed, "changed", 1)


@pytest.mark.parametrize(
    "home",
    [b"/", b"//", b"/root", b"", b"/etc", b"/etc/", b"/etc/cron.d", b"/home/alice", b"/usr/lib/systemd"],
)
def test_a_home_lends_no_cover_to_what_lies_there(home: bytes) -> None:
    acts = Acts(skeleton)
    evil = finding(None, replace(ACCOUNT, home=home), LOUD)
    acts.gather([(evil, "opened")], 0)
    for path in (
        b"/root/.profile", b"/etc/cron.d/x", b"/etc/sudoers.d/x", b"/home/alice/.rhosts",
        b"/usr/lib/systemd/system/x.service",
    ):  # fmt: skip
        assert not acts.continues(new(path), "opened", 1)


def test_an_act_goes_on_while_parts_come_but_not_for_ever() -> None:
    acts = Acts()
    acts.gather([(account(), "opened")], 0)
    at = 0
    while at + WINDOW <= LONGEST:
        at += WINDOW
        assert acts.continues(table(b"/etc/shadow"), "opened", at)
    assert not acts.continues(table(b"/etc/shadow"), "changed", at + WINDOW)
    acts.gather([(account(), "opened")], at)
    assert not acts.continues(table(b"/etc/shadow"), "changed", at + WINDOW + 1)


def test_the_same_account_louder_than_before_is_told_again() -> None:
    acts = Acts()
    acts.gather([(account(severity=Severity.HIGH), "opened")], 0)
    assert acts.continues(account(severity=Severity.MEDIUM), "changed", 1)
    assert not acts.continues(account(severity=LOUD), "changed", 1)
    assert not acts.continues(account(b"root", severity=Severity.LOW), "opened", 1)


# -- as it is told -----------------------------------------------------------------------------------


class Bench:
    """An announcer over a real store, and a package manager that a test sets to work."""

    def __init__(self, path: Path) -> None:
        self.state = State(path, [])
        self.log = Log(self.state)
        self.now = NOW
        self.tool = False
        self.announcer = Announcer(
            self.state.database, self.state.baseline, self.state.findings, self.log, NAMES,
            lambda: self.now, lambda: self.now, storm=20, diagnose=lambda what, about: None,
            account_tool=lambda: self.tool,
        )  # fmt: skip

    def add(self, *found: Finding) -> None:
        for one in found:
            fact: Fact = one.drift.subject
            self.announcer.add(
                Change(type(fact), fact.row()[: len(fact.KEY)], fact.row(), finding=one, event="opened")
            )

    def pass_time(self, nanoseconds: int) -> None:
        end = self.now + nanoseconds
        while (due := self.announcer.due()) and due <= end:
            self.now = max(self.now, due)
            self.announcer.flush_due()
        self.now = end

    def told(self) -> list[tuple[str, str, int]]:
        """(action, severity, how many members) of each alert."""
        found = [
            (one.action, one.severity.label, len(one.data.get("members", ())))  # type: ignore[arg-type]
            for one in self.log.alerts
        ]
        self.log.alerts.clear()
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "baseline.db")
    yield made
    made.state.close()


def test_useradd_is_one_loud_alert_and_one_quiet_list_of_what_followed(bench: Bench) -> None:
    bench.add(account(), table(b"/etc/passwd"))
    bench.pass_time(1)
    assert bench.told() == [("account-added", "critical", 1)]
    for path in (b"/etc/shadow", b"/etc/group", b"/etc/gshadow"):
        bench.now += 20_000_000
        bench.add(table(path))
        bench.pass_time(0)
    bench.add(table(b"/etc/subuid"))
    bench.pass_time(PARTS_HOLD // 2)
    assert bench.told() == []
    bench.pass_time(PARTS_HOLD)
    assert bench.told() == [("group-opened", "info", 4)]
    assert bench.announcer.due() == 0
    assert len(list(bench.state.findings.open())) == 6, "each part is an open finding of its own"


def test_a_thousand_new_accounts_are_a_storm_like_any_other(bench: Bench) -> None:
    bench.add(*(account(b"u%d" % number) for number in range(1000)))
    bench.pass_time(3_000_000_000)
    told = bench.told()
    assert len(told) < 30
    assert sum(max(1, members) for _, _, members in told) == 1000


def test_the_skeleton_is_what_was_approved(bench: Bench) -> None:
    bench.state.capture([replace(FILE, folder=b"/etc/skel", name=b".bashrc")])
    bench.add(account(), new(b"/home/mallory/.bashrc"), new(b"/home/mallory/.profile"))
    bench.pass_time(2 * PARTS_HOLD)
    assert bench.told() == [
        ("account-added", "critical", 0),
        ("file-added", "high", 0),
        ("group-opened", "info", 1),
    ]


def test_parts_keep_nobody_else_waiting(bench: Bench) -> None:
    bench.add(account())
    bench.pass_time(1)
    bench.add(table(b"/etc/shadow"), table(b"/etc/sudoers"))
    bench.pass_time(1)
    assert [action for action, _, _ in bench.told()] == ["account-added", "file-changed"]
    bench.add(finding(None, FILE, Severity.LOW, "slow"))
    bench.pass_time(PARTS_HOLD // 2)
    assert bench.told() == [("file-added", "low", 0)]


def test_parts_are_told_when_the_daemon_ends(bench: Bench) -> None:
    bench.add(account())
    bench.pass_time(1)
    bench.add(table(b"/etc/shadow"))
    assert bench.announcer.flush()
    assert bench.told() == [("account-added", "critical", 0), ("group-opened", "info", 1)]


def test_parts_survive_a_log_that_cannot_be_written(bench: Bench) -> None:
    bench.add(account())
    bench.pass_time(1)
    bench.told()
    bench.log.broken = 28
    bench.add(table(b"/etc/shadow"))
    bench.pass_time(3 * PARTS_HOLD)
    bench.log.broken = 0
    bench.pass_time(3 * PARTS_HOLD)
    assert ("group-opened", "info", 1) in bench.told()


def test_while_an_account_tool_is_at_work_its_tables_wait_for_what_they_mean(bench: Bench) -> None:
    bench.tool = True
    bench.add(table(b"/etc/passwd"), new(b"/etc/passwd.lock"))
    bench.pass_time(EARLY_HOLD // 4)
    bench.add(table(b"/etc/shadow"), table(b"/etc/sudoers"))
    bench.pass_time(EARLY_HOLD // 4)
    assert bench.told() == [("file-changed", "critical", 0)], "sudoers is no table of accounts"
    bench.tool = False
    bench.add(account())
    bench.pass_time(1)
    assert bench.told() == [("account-added", "critical", 3)]
    assert bench.announcer.due() == 0


def test_tables_that_nobody_explains_are_loud_within_a_second_whoever_holds_a_lock(bench: Bench) -> None:
    bench.tool = True
    bench.add(table(b"/etc/passwd"))
    bench.pass_time(EARLY_HOLD - 1)
    bench.add(table(b"/etc/passwd", links=2), table(b"/etc/shadow", mode=stat.S_IFREG | 0o666))
    bench.pass_time(1)
    assert {action for action, _, _ in bench.told()} == {"file-changed"}
    assert bench.announcer.due() == 0
    bench.tool = False
    bench.add(table(b"/etc/group"))
    assert bench.announcer.due() == bench.now, "without a lock nothing waits"


def test_the_lock_of_an_account_tool_is_seen_while_it_is_fresh(tmp_path: Path) -> None:
    lock = tmp_path / "passwd.lock"
    assert not account_tool((str(lock),), ())
    lock.touch()
    assert account_tool((str(tmp_path / "shadow.lock"), str(lock)), ())
    later = lock.stat().st_mtime + FRESH + 1
    assert not account_tool((str(lock),), (), lambda: later)


def test_an_account_tool_that_gave_its_locks_back_a_moment_ago_is_seen(tmp_path: Path) -> None:
    copy = tmp_path / "subuid-"
    assert not account_tool((), (str(copy),))
    copy.touch()
    os.utime(copy, (1, 1))  # as tools copy it, with the time of the table
    assert account_tool((), (str(tmp_path / "passwd-"), str(copy)))
    later = copy.stat().st_ctime + JUST_WRITTEN + 0.1
    assert not account_tool((), (str(copy),), lambda: later)


def files(count: int) -> list[Finding]:
    return [new(b"/usr/lib/x/%d" % number) for number in range(count)]
