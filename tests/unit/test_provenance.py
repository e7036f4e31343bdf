"""Changes wait for the package manager, within bounds; what is judged is told once, and nothing is lost."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hostguardd.actors.model import Actor, Confidence, Link, Presence, Rung, Unattributed, Who
from hostguardd.actors.model import Answer as Answer_
from hostguardd.actors.model import Deed as Done
from hostguardd.describe import Event
from hostguardd.engine import provenance as room
from hostguardd.engine.announcer import HOLD, RETRY, Announcer
from hostguardd.engine.attributing import Attribution
from hostguardd.engine.keeper import Change
from hostguardd.engine.provenance import (
    COMPLETE,
    INTERIM,
    LAST_CALL,
    LONGEST,
    POLL,
    SETTLE,
    SETTLE_LONGEST,
    TRIES,
    URGENT,
    Provenance,
)
from hostguardd.host.atwork import AtWork
from hostguardd.model import FileFact, Finding, SetIdFact, Severity
from hostguardd.packages.evidence import Answer, Question, Seen
from hostguardd.packages.interface import Deed, Level
from hostguardd.record import render
from hostguardd.store.stories import Stories
from hostguardd.story import Cause
from tests.alerts import IDENTITY, LISTENER, NAMES, NOW, check, finding
from tests.state import State, file
from tests.unit.test_announcer import Log

SECOND = 10**9
AT = NOW / SECOND
DPKG = AtWork("dpkg", 812, b"/usr/bin/dpkg", 1000)


class FakeJudge:
    """Answers when a test lets it; knows which paths are of the package `tool`, and how those departed."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.pending: Question | None = None
        self.ready: Answer | None = None
        self.slow = False
        self.stopped = False
        self.problem = ""
        self.tool: set[bytes] = set()
        self.settings: set[bytes] = set()
        self.words: dict[bytes, tuple[str, ...]] = {}
        self.deeds: tuple[Deed, ...] = (
            Deed("tool:all", "upgrade", "1.0", "1.1", AT - 5, AT + 3, AT + 4, AT - 5),
        )
        self.doubts: tuple[tuple[str, str], ...] = ()
        self.ctimes: dict[bytes, int] = {}
        self.level, self.manager = Level.DIGEST, "dpkg"

    @property
    def busy(self) -> bool:
        return self.pending is not None

    @property
    def answered(self) -> bool:
        if self.pending is not None and not self.slow:
            self.ready = self.ready or self.answer(self.pending)
        return self.ready is not None

    def ask(self, question: Question) -> None:
        assert self.pending is None
        self.asked.append(question)
        self.pending = question

    def take(self) -> Answer | None:
        found, self.ready, self.pending = self.ready, None, None
        return found

    def stop(self) -> None:
        self.stopped = True

    def answer(self, question: Question) -> Answer:
        seen = {
            path: Seen(
                "tool" if path in self.tool else "", "1.1", self.level, path in self.settings,
                words=self.words.get(path, ()), inode=77, ctime=self.ctimes.get(path, NOW - SECOND),
            )
            for path in question.paths
        }  # fmt: skip
        return Answer(self.manager, self.problem, self.deeds, seen, {}, self.doubts)


class Managers:
    def __init__(self) -> None:
        self.working: AtWork | None = None
        self.moved = 0
        self.asked = 0

    def at_work(self) -> AtWork | None:
        self.asked += 1
        return self.working

    def marks(self) -> tuple[tuple[str, int], ...]:
        return (("/var/lib/dpkg/status", self.moved),)


class Bench:
    """An announcer over a real store, with a package manager and its judge in a test's hand."""

    def __init__(self, path: Path) -> None:
        self.state = State(path, [])
        self.log = Log(self.state)
        self.now = NOW
        self.managers, self.judge = Managers(), FakeJudge()
        self.looking = False
        self.unsteady = 0
        self.actors: dict[bytes, Actor] = {}
        self.start()
        # The first judging knows how the records stand.
        self.provenance._marks = self.managers.marks()
        self.provenance._renew = False

    def attribute(self, path: bytes, *_: object) -> Answer_:
        """Who did it, as a test says."""
        return self.actors.get(path, Unattributed("nobody was seen"))

    def present(self) -> Sequence[Presence]:
        return ()

    def start(self) -> None:
        """As the daemon does."""
        self.provenance = Provenance(
            self.managers, self.judge, self.state.baseline, NAMES, lambda: self.now, lambda: self.now,
            lambda: NOW - 3600 * SECOND, looking=lambda: self.looking, unsteady=lambda: self.unsteady,
            place=b"/owners",
        )  # fmt: skip
        self.announcer = Announcer(
            self.state.database, self.state.baseline, self.state.findings, self.log, NAMES,
            lambda: self.now, lambda: self.now, storm=20, diagnose=lambda what, about: None,
            provenance=self.provenance, attribution=Attribution(self, NAMES, lambda: 1, lambda: self.now),
        )  # fmt: skip

    def add(
        self,
        path: bytes,
        severity: Severity = Severity.HIGH,
        event: Event = "opened",
        **more: object,
    ) -> Change:
        fact = file(path, **more)
        one = replace(finding(None, fact, severity, path.decode()), first_seen=NOW, last_seen=self.now)
        gone = event == "cleared"
        made = Change(FileFact, fact.row()[:2], None if gone else fact.row(), gone, one, event)
        self.announcer.add(made)
        return made

    def brings(self, *paths: bytes) -> None:
        """The package's own, changed."""
        self.judge.tool.update(paths)
        for path in paths:
            self.add(path)

    def pass_time(self, nanoseconds: int) -> None:
        end = self.now + nanoseconds
        while (due := self.announcer.due()) and due <= end:
            self.now = max(self.now, due)
            self.announcer.flush_due()
        self.now = end

    def told(self) -> list[dict[str, Any]]:
        found = [check(render(one, IDENTITY, 1, "0" * 64)) for one in self.log.alerts]
        self.log.alerts.clear()
        return found

    def kinds(self) -> list[tuple[str, str]]:
        return [(one["hostguard"]["kind"], one["hostguard"]["severity"]) for one in self.told()]

    def story(self, path: bytes) -> tuple[str, str, str]:
        one = self.found(path)
        story = Stories(self.state.database).of(one.id)
        return story.cause.value, story.level, story.because

    def found(self, path: bytes) -> Finding:
        return next(one for one in self.state.findings.open() if one.drift.subject.label == path)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "baseline.db")
    yield made
    made.state.close()


# -- what waits, and until when ----------------------------------------------------------------------


def test_without_a_package_manager_nothing_waits_for_one(bench: Bench) -> None:
    bench.add(b"/usr/bin/tool", Severity.CRITICAL)
    bench.pass_time(1)
    assert bench.kinds() == [("file", "critical")]
    assert bench.judge.asked == []


def test_all_waits_for_the_end_of_the_lock_and_is_one_alert(bench: Bench) -> None:
    bench.managers.working = DPKG
    bench.brings(b"/usr/bin/tool", b"/usr/lib/tool.so")
    bench.pass_time(60 * SECOND)
    assert bench.told() == []
    assert bench.judge.asked == []
    assert [one.drift.subject.label for one in bench.announcer.open()] == [
        b"/usr/bin/tool",
        b"/usr/lib/tool.so",
    ]
    bench.managers.working = None
    bench.pass_time(SETTLE + POLL)
    (only,) = bench.told()
    assert only["message"] == (
        "dpkg upgraded 1 package (tool:all 1.0 → 1.1): 2 changes as packaged (digest); run by alice"
    )
    assert only["hostguard"]["paths"] == {"tool:all": ["/usr/bin/tool", "/usr/lib/tool.so"]}
    assert only["hostguard"]["transaction"]["by"] == {
        "pid": 812,
        "program": "/usr/bin/dpkg",
        "login": "alice",
    }
    assert bench.story(b"/usr/bin/tool") == ("package", "digest", "tool 1.1 brings it (dpkg, digest)")
    assert bench.found(b"/usr/bin/tool").verdict.severity is Severity.HIGH


@pytest.mark.parametrize(
    "path",
    [
        b"/etc/ld.so.preload", b"/etc/shadow", b"/etc/passwd-", b"/etc/sudoers", b"/etc/sudoers.d/tool",
        b"/root/.ssh/authorized_keys", b"/etc/ssh/authorized_keys.d/root", b"/usr/local/bin/tool",
        b"/usr/bin/hostguardctl", b"/tmp/tool", b"/home/alice/.profile", b"/etc/crontab",
    ],
)  # fmt: skip
def test_what_no_package_brings_waits_for_nobody(bench: Bench, path: bytes) -> None:
    bench.managers.working = DPKG
    bench.add(path, Severity.CRITICAL)
    bench.pass_time(1)
    assert bench.kinds() == [("file", "critical")]


def test_nothing_but_files_waits(bench: Bench) -> None:
    bench.managers.working = DPKG
    one = finding(None, LISTENER, Severity.HIGH, "door")
    bench.announcer.add(
        Change(type(LISTENER), LISTENER.row()[: len(LISTENER.KEY)], LISTENER.row(), finding=one)
    )
    bench.pass_time(HOLD)
    assert bench.kinds() == [("listener", "high")]


def test_a_lock_that_is_never_given_back_silences_nobody(bench: Bench) -> None:
    bench.managers.working = DPKG
    bench.brings(b"/usr/bin/tool")
    bench.add(b"/usr/bin/planted", Severity.MEDIUM)
    bench.pass_time(LAST_CALL - SECOND)
    assert bench.told() == []
    bench.pass_time(2 * SECOND)
    assert bench.kinds() == [("transaction", "info"), ("file", "medium")]
    bench.add(b"/usr/bin/second", Severity.CRITICAL)
    bench.pass_time(SETTLE_LONGEST)
    assert bench.kinds() == [("file", "critical")], "of this lock nobody waits for the end any more"


def test_a_package_manager_that_never_answers_makes_nothing_wait_longer(bench: Bench) -> None:
    bench.managers.working = DPKG
    bench.judge.slow = True
    bench.brings(b"/usr/bin/tool")
    began = bench.now
    bench.add(b"/usr/bin/planted", Severity.MEDIUM)
    while not (told := bench.told()):
        bench.pass_time(SECOND)
        assert bench.now - began <= LONGEST + SECOND
    assert {one["hostguard"]["kind"] for one in told} <= {"file", "group"}
    assert "/usr/bin/planted" in json.dumps(told)
    bench.add(b"/usr/bin/second")
    bench.judge.slow = False  # the answer to what nobody waits for any more
    bench.managers.working = None
    bench.pass_time(SETTLE_LONGEST)
    (one,) = bench.told()
    assert one["file"]["path"] == "/usr/bin/second"
    assert len(bench.judge.asked) >= 2


@pytest.mark.parametrize("path", [b"/etc/cron.d/planted", b"/etc/cron.daily/planted"])
def test_a_crontab_waits_for_nobodys_end(bench: Bench, path: bytes) -> None:
    bench.managers.working = DPKG
    bench.judge.tool.add(b"/etc/cron.d/tool")
    bench.add(b"/etc/cron.d/tool", Severity.CRITICAL)
    bench.add(path, Severity.CRITICAL)
    bench.pass_time(URGENT + 2 * POLL)
    (one,) = bench.told()
    assert one["file"]["path"] == path.decode()
    bench.pass_time(60 * SECOND)
    assert len(bench.judge.asked) == 1
    bench.managers.working = None
    bench.pass_time(2 * SETTLE)
    assert bench.kinds() == [("transaction", "info")]


@pytest.mark.parametrize(
    ("path", "after"),
    [(b"/etc/cron.d/tool", URGENT + 2 * POLL), (b"/etc/pam.d/tool", COMPLETE + INTERIM + 2 * SECOND)],
)
def test_settings_that_differ_from_the_package_wait_for_nobodys_end_either(
    bench: Bench, path: bytes, after: int
) -> None:
    bench.managers.working = DPKG
    bench.brings(path)
    bench.judge.settings.add(path)
    bench.judge.words[path] = ("content",)
    bench.add(b"/etc/ld.so.cache")
    bench.pass_time(after)
    (one,) = bench.told()
    assert one["file"]["path"] == path.decode()


def test_what_is_loud_and_no_packages_is_told_while_the_manager_still_works(bench: Bench) -> None:
    bench.managers.working = DPKG
    bench.brings(b"/usr/bin/tool")
    bench.add(b"/usr/bin/planted")
    bench.add(b"/usr/bin/drafted.dpkg-new")
    bench.add(b"/usr/share/doc/quiet", Severity.LOW)
    bench.pass_time(COMPLETE - SECOND)
    assert bench.told() == []
    bench.pass_time(INTERIM + 2 * SECOND)
    (one,) = bench.told()
    assert one["file"]["path"] == "/usr/bin/planted"
    assert [len(asked.paths) for asked in bench.judge.asked] == [2]
    bench.pass_time(3 * INTERIM)
    assert bench.told() == []
    assert len(bench.judge.asked) == 1, "what was fine is not asked about again and again"
    bench.managers.working = None
    bench.pass_time(2 * SETTLE)
    assert [kind for kind, _ in bench.kinds()] == ["transaction", "file", "file"]
    assert bench.story(b"/usr/bin/tool")[0] == "package"


def test_what_is_written_again_and_again_has_been_there_since_it_came(bench: Bench) -> None:
    bench.managers.working = DPKG
    began, number = bench.now, 0
    while not (told := bench.told()):
        bench.add(b"/usr/lib/planted", Severity.CRITICAL, "changed" if number else "opened")
        bench.pass_time(20 * SECOND)
        assert bench.now - began <= COMPLETE + INTERIM + 20 * SECOND
        number += 1
    assert told[0]["file"]["path"] == "/usr/lib/planted"


def test_a_database_that_cannot_be_read_meanwhile_says_nothing_yet(bench: Bench) -> None:
    bench.managers.working = DPKG
    bench.judge.problem = "it is locked"
    bench.brings(b"/usr/bin/tool")
    bench.pass_time(COMPLETE + 2 * INTERIM)
    assert bench.told() == []
    bench.judge.problem = ""
    bench.managers.working = None
    bench.pass_time(2 * SETTLE)
    assert bench.kinds() == [("transaction", "info")]


def test_a_short_one_is_known_by_its_records(bench: Bench) -> None:
    bench.managers.moved = 1
    bench.brings(b"/usr/bin/tool")
    bench.pass_time(HOLD)
    assert bench.told() == []
    bench.pass_time(SETTLE)
    assert bench.kinds() == [("transaction", "info")]
    bench.add(b"/usr/bin/tool", Severity.CRITICAL, "changed", ctime=NOW + 60 * SECOND)
    bench.pass_time(1)
    assert bench.kinds() == [("file", "critical")], "the records have not moved since"
    assert bench.story(b"/usr/bin/tool") == ("unexplained", "", ""), "what explained it explains it no more"


def test_what_changed_during_a_known_one_belongs_to_it_however_late(bench: Bench) -> None:
    bench.managers.moved = 1
    bench.brings(b"/usr/bin/tool")
    bench.pass_time(2 * SETTLE)
    (first,) = bench.told()
    bench.now += 3600 * SECOND
    bench.brings(b"/usr/bin/late")
    bench.pass_time(HOLD)
    assert bench.told() == []
    bench.pass_time(SETTLE)
    (second,) = bench.told()
    assert second["hostguard"]["transaction"]["id"] == first["hostguard"]["transaction"]["id"]
    assert second["event"]["id"] != first["event"]["id"]


def test_hints_that_still_wait_are_waited_for_and_not_for_ever(bench: Bench) -> None:
    bench.managers.moved = 1
    bench.looking = True
    bench.brings(b"/usr/bin/tool")
    bench.pass_time(SETTLE_LONGEST - SECOND)
    assert bench.told() == []
    bench.pass_time(2 * SECOND)
    assert bench.kinds() == [("transaction", "info")]


def test_what_keeps_changing_is_told_in_the_end(bench: Bench) -> None:
    bench.managers.moved = 1
    bench.judge.ctimes[b"/usr/bin/restless"] = 5
    bench.add(b"/usr/bin/restless", Severity.CRITICAL)
    bench.pass_time((TRIES + 2) * (SETTLE + POLL))
    (only,) = bench.told()
    assert only["hostguard"]["severity"] == "critical"
    assert only["message"].endswith("it keeps changing while it is compared")
    assert len(bench.judge.asked) == TRIES + 1


def test_a_lock_that_comes_and_goes_does_not_hold_back_for_ever_what_keeps_changing(bench: Bench) -> None:
    bench.managers.moved = 1
    began, number = bench.now, 0
    while not (told := bench.told()):
        bench.managers.working = DPKG if number % 16 == 0 else None
        bench.add(b"/usr/lib/planted", Severity.CRITICAL, "changed" if number else "opened")
        bench.pass_time(SECOND // 2)
        assert bench.now - began < LONGEST + SETTLE_LONGEST
        number += 1
    assert told[0]["hostguard"]["severity"] == "critical"


def test_a_change_that_is_replaced_while_it_is_judged_is_judged_again(bench: Bench) -> None:
    bench.managers.moved = 1
    bench.judge.slow = True
    bench.brings(b"/usr/bin/tool")
    bench.pass_time(2 * SETTLE)
    assert bench.judge.busy
    bench.judge.words[b"/usr/bin/tool"] = ("content",)
    bench.judge.ready = bench.judge.answer(bench.judge.asked[0])._replace(seen={})
    bench.add(b"/usr/bin/tool", size=2)
    bench.judge.slow = False
    bench.pass_time(3 * SETTLE)
    (only,) = bench.told()
    assert only["hostguard"]["package"] == {"says": "it is not what tool 1.1 brings: ", "tampered": True}
    assert only["file"]["size"] == 2


def test_their_number_is_bounded_and_what_is_complete_is_told_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_HELD", 10)
    bench.managers.working = DPKG
    bench.brings(*(b"/usr/bin/tool%d" % n for n in range(7)))
    for number in range(3):
        bench.add(b"/usr/lib/half%d" % number, Severity.CRITICAL)
    bench.pass_time(SETTLE)
    (first,) = bench.told()
    assert first["hostguard"]["count"] == 7
    assert len(bench.provenance.held) == 3
    bench.judge.tool.update(b"/usr/lib/half%d" % n for n in range(3))
    bench.managers.working = None
    bench.pass_time(3 * SETTLE)
    (second,) = bench.told()
    assert second["hostguard"]["count"] == 3
    assert second["hostguard"]["transaction"]["id"] == first["hostguard"]["transaction"]["id"]


def test_when_nearly_nothing_of_too_many_is_complete_all_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_HELD", 10)
    bench.managers.working = DPKG
    for number in range(25):
        bench.add(b"/usr/lib/half%02d" % number, Severity.CRITICAL)
        bench.pass_time(1)
    bench.pass_time(SETTLE)
    assert len(bench.log.alerts) == 20, "who came last waits"
    bench.managers.working = None
    bench.pass_time(2 * SETTLE)
    told = bench.told()
    members = [one["key"] for alert in told for one in alert["hostguard"].get("members", ())]
    assert len(members) + sum(one["hostguard"]["kind"] == "file" for one in told) == 25


# -- what becomes of it ------------------------------------------------------------------------------


def test_what_it_does_not_explain_is_loud_beside_it(bench: Bench) -> None:
    bench.managers.working = DPKG
    bench.brings(b"/usr/bin/tool", b"/usr/share/tool/patched")
    bench.judge.words[b"/usr/share/tool/patched"] = ("content",)
    bench.add(b"/usr/lib/planted", Severity.CRITICAL)
    for number in range(3):
        bench.add(b"/usr/share/doc/low%d" % number, Severity.LOW)
    bench.managers.working = None
    bench.pass_time(3 * SETTLE)
    told = bench.told()
    assert [(one["hostguard"]["kind"], one["hostguard"]["severity"]) for one in told] == [
        ("transaction", "info"),
        ("file", "critical"),
        ("file", "high"),
        ("group", "low"),
    ]
    assert told[0]["hostguard"]["transaction"]["apart"] == 5
    assert told[3]["message"].startswith("While dpkg upgraded 1 package (tool:all 1.0 → 1.1), 3 findings")
    assert bench.story(b"/usr/lib/planted") == ("unexplained", "", "no package brings it")


def test_a_patched_file_is_high_whatever_its_rule_says(bench: Bench) -> None:
    bench.managers.moved = 1
    bench.judge.tool.add(b"/usr/share/doc/tool/README")
    bench.judge.words[b"/usr/share/doc/tool/README"] = ("content",)
    bench.add(b"/usr/share/doc/tool/README", Severity.LOW)
    bench.pass_time(2 * SETTLE)
    (only,) = bench.told()
    assert only["hostguard"]["severity"] == "high"
    assert only["hostguard"]["finding_severity"] == "low"
    assert bench.found(b"/usr/share/doc/tool/README").verdict.severity is Severity.LOW


def test_a_flood_of_them_does_not_bury_the_planted_one(bench: Bench) -> None:
    bench.managers.moved = 1
    for number in range(60):
        path = b"/usr/share/tool/%02d" % number
        bench.judge.tool.add(path)
        bench.judge.words[path] = ("content",)
        bench.add(path, Severity.CRITICAL)
    bench.add(b"/usr/lib/planted")
    bench.pass_time(2 * SETTLE)
    alone = [one["file"]["path"] for one in bench.told() if one["hostguard"]["kind"] == "file"]
    assert "/usr/lib/planted" in alone
    assert len(alone) <= 22


def test_drafts_that_came_and_went_are_counted_beside(bench: Bench) -> None:
    bench.managers.working = DPKG
    bench.brings(b"/usr/bin/tool")
    bench.add(b"/usr/bin/tool.dpkg-new")
    bench.add(b"/usr/bin/tool.dpkg-new", event="cleared")
    bench.add(b"/usr/bin/passing")
    bench.add(b"/usr/bin/passing", event="cleared")
    bench.managers.working = None
    monkey = bench.judge.answer

    def gone(question: Question) -> Answer:
        found = monkey(question)
        names = (b"/usr/bin/tool.dpkg-new", b"/usr/bin/passing")
        return found._replace(seen={**found.seen, **{name: Seen() for name in names}})

    bench.judge.answer = gone  # type: ignore[method-assign]
    bench.pass_time(3 * SETTLE)
    told = bench.told()
    (transaction,) = (one for one in told if one["hostguard"]["kind"] == "transaction")
    assert (transaction["hostguard"]["count"], transaction["hostguard"]["transaction"]["passed"]) == (2, 1)
    states = [
        one["hostguard"]["state"] for one in told if one.get("file", {}).get("path") == "/usr/bin/passing"
    ]
    assert states == ["opened", "cleared"], "who came and went in the meantime is told"


def test_without_an_answer_all_is_told_as_it_would_have_been(bench: Bench) -> None:
    bench.managers.moved = 1
    bench.judge.problem = "the package database could not be read"
    bench.brings(b"/usr/bin/tool")
    bench.pass_time(2 * SETTLE)
    (only,) = bench.told()
    assert only["hostguard"]["severity"] == "high"
    assert "the package database could not be read" in only["message"]


def test_a_forged_database_is_told_once(bench: Bench) -> None:
    bench.judge.doubts = (("tool.noarch", "its header is broken"),)
    for number in (1, 2):
        bench.managers.moved = number
        bench.brings(b"/usr/bin/tool%d" % number)
        bench.pass_time(2 * SETTLE)
    assert [one["rule"]["name"] for one in bench.told()] == [
        "package.forged", "package-transaction", "package-transaction",
    ]  # fmt: skip


def test_what_it_gets_right_again_is_told_with_it(bench: Bench) -> None:
    bench.managers.moved = 1
    bench.brings(b"/usr/bin/tool")
    bench.pass_time(2 * SETTLE)
    bench.told()
    bench.managers.moved = 2
    bench.add(b"/usr/bin/tool", event="cleared")
    bench.pass_time(2 * SETTLE)
    (only,) = bench.told()
    assert only["hostguard"]["transaction"]["passed"] == 1
    assert not list(bench.state.findings.open())


# -- told first, written down after ------------------------------------------------------------------


def test_a_log_that_fails_is_tried_again_and_not_all_the_time(bench: Bench) -> None:
    bench.managers.moved = 1
    bench.brings(b"/usr/bin/tool")
    bench.log.broken = 28
    bench.pass_time(20 * RETRY)
    assert bench.log.calls < 45
    assert not list(bench.state.findings.open())
    bench.log.broken = 0
    bench.pass_time(2 * RETRY)
    assert [kind for kind, _ in bench.kinds()] == ["health", "transaction"]
    assert bench.story(b"/usr/bin/tool")[0] == Cause.PACKAGE


def test_a_restart_while_it_waits_loses_nothing_and_knows_what_was_judged(bench: Bench) -> None:
    bench.managers.moved = 1
    bench.brings(b"/usr/bin/tool")
    bench.start()
    assert not list(bench.state.findings.open())
    bench.brings(b"/usr/bin/tool")
    bench.pass_time(2 * SETTLE)
    (first,) = bench.told()
    bench.start()
    bench.add(b"/usr/bin/other", ctime=NOW + 600 * SECOND)
    bench.pass_time(HOLD)
    assert bench.kinds() == [("file", "high")], "nothing new since"
    bench.brings(b"/usr/bin/late")
    bench.pass_time(2 * SETTLE)
    (late,) = bench.told()
    assert late["hostguard"]["transaction"]["id"] == first["hostguard"]["transaction"]["id"]


@pytest.mark.parametrize("note", ["", "{}", "[1]", '[[["a", "b"]], [], 0]', "[" * 100_000, "[[], [[]], 0]"])
def test_a_damaged_note_is_none(bench: Bench, note: str) -> None:
    bench.state.baseline.remember("packages", note)
    bench.start()
    bench.brings(b"/usr/bin/tool")
    bench.pass_time(2 * SETTLE)
    assert bench.kinds() == [("transaction", "info")]
    assert json.loads(str(bench.state.baseline.recall("packages")))


def test_who_asks_for_all_gets_all_unexplained(bench: Bench) -> None:
    bench.managers.working = DPKG
    bench.brings(b"/usr/bin/tool", b"/usr/lib/tool.so")
    assert bench.announcer.flush(parked=False)
    assert bench.told() == []
    assert bench.announcer.flush()
    (group,) = bench.told()
    assert group["message"].startswith("While dpkg installed or removed packages, 2 findings at once")
    bench.managers.working = None
    bench.pass_time(10 * SETTLE)
    assert bench.told() == []


def test_the_file_of_owners_is_made_anew_after_each(bench: Bench) -> None:
    bench.managers.moved = 1
    bench.brings(b"/usr/bin/tool")
    bench.pass_time(3 * SETTLE)
    assert [bool(one.paths) for one in bench.judge.asked] == [True, False]
    assert not bench.judge.busy


def test_locks_are_not_asked_for_at_each_change(bench: Bench) -> None:
    bench.managers.working = DPKG
    for number in range(1000):
        bench.add(b"/usr/lib/%d" % number)
    assert bench.managers.asked < 3


def test_a_set_id_file_elsewhere_is_judged_too(bench: Bench) -> None:
    bench.managers.moved = 1
    bench.judge.tool.add(b"/opt/tool/su")
    before = SetIdFact(b"/", b"/opt/tool/su", stat.S_IFREG | 0o4755, 0, 0, 1, NOW, 3, b"\1" * 32, b"")
    after = replace(before, inode=77, ctime=NOW - SECOND, sha256=b"\2" * 32)
    one = finding(before, after, Severity.LOW, "su")
    bench.announcer.add(Change(SetIdFact, after.row()[:2], after.row(), finding=one, event="opened"))
    bench.pass_time(2 * SETTLE)
    assert bench.kinds() == [("transaction", "info")]


def test_a_log_that_speaks_of_the_future_is_not_believed(bench: Bench) -> None:
    bench.judge.deeds = (
        Deed("tool:all", "upgrade", "1.0", "1.1", AT - 5, AT + 9e9, AT + 9e9, AT - 5),
        Deed("other:all", "upgrade", "1.0", "1.1", AT + 9e8, AT + 9e9, AT + 9e9, AT + 9e8),
    )
    bench.managers.moved = 1
    bench.brings(b"/usr/bin/tool")
    bench.pass_time(2 * SETTLE)
    (only,) = bench.told()
    assert only["hostguard"]["transaction"]["package_count"] == 1
    assert only["hostguard"]["transaction"]["ended"][:4] == "2025"
    bench.now += 3600 * SECOND
    bench.add(b"/usr/bin/tool", event="changed", ctime=bench.now)
    bench.pass_time(HOLD)
    assert bench.kinds() == [("file", "high")], "and nothing waits for it any more"


def test_what_was_done_before_the_first_baseline_is_part_of_it(bench: Bench) -> None:
    bench.managers.moved = 7
    fresh = Provenance(
        bench.managers, bench.judge, bench.state.baseline, NAMES, lambda: bench.now, lambda: bench.now,
        lambda: 0,
    )  # fmt: skip
    one = finding(None, file(b"/usr/bin/tool"), Severity.HIGH, "tool")
    change = Change(FileFact, (b"/usr/bin", b"tool"), file(b"/usr/bin/tool").row(), finding=one)
    assert not fresh.admit(change, bench.now)
    bench.managers.moved = 8
    assert fresh.admit(change, bench.now + SECOND)


# -- what scripts of packages make -----------------------------------------------------------------------


def by_script(package: str, holder: int = DPKG.pid) -> Actor:
    command = f"/bin/sh\0/var/lib/dpkg/info/{package}.postinst\0configure\0".encode()
    parents = (
        Link(813, b"/usr/bin/dash", command, 0),
        Link(holder, b"/usr/bin/dpkg", b"dpkg\0", 0),
    )
    who = Who((900, 1), 900, b"/usr/bin/ln", b"ln\0", 0, 0, 1000, 3, None, None, parents)
    return Actor(Rung.AUDIT, Confidence.CERTAIN, who, Done.CREATED, NOW)


def test_what_scripts_make_is_one_alert_as_loud_as_the_loudest(bench: Bench) -> None:
    made = (
        b"/etc/ssl/certs/ca-certificates.crt", b"/etc/ld.so.cache", b"/etc/systemd/system/x.wants/a.service",
    )  # fmt: skip
    for path in made:
        bench.actors[path] = by_script("tool" if b"systemd" in path else "ca-certificates")
    bench.actors[b"/usr/lib/planted"] = by_script("tool", holder=4711)
    bench.managers.working = DPKG
    bench.brings(b"/usr/bin/tool")
    for path in made:
        bench.add(path, Severity.CRITICAL if path.endswith(b"crt") else Severity.HIGH)
    bench.add(b"/usr/lib/planted")
    bench.add(b"/usr/lib/planted2")
    bench.pass_time(5 * SECOND)
    bench.managers.working = None
    bench.pass_time(2 * SETTLE)
    told = bench.told()
    assert {one["file"]["path"] for one in told if "file" in one and one["hostguard"]["kind"] == "file"} == {
        "/usr/lib/planted", "/usr/lib/planted2",
    }  # fmt: skip
    (group,) = (one for one in told if one["hostguard"]["kind"] == "group")
    assert group["message"].startswith(
        "Made by scripts of ca-certificates, tool, and no package vouches for it: 3 findings at once"
    )
    assert group["hostguard"]["severity"] == "critical"
    assert {one["key"].encode() for one in group["hostguard"]["members"]} == set(made)
    assert bench.story(made[0])[0] == "unexplained"
    assert bench.found(made[0]).verdict.severity is Severity.CRITICAL


def test_the_only_one_that_a_script_made_stands_alone(bench: Bench) -> None:
    bench.actors[b"/usr/lib/made"] = by_script("tool")
    bench.managers.working = DPKG
    bench.add(b"/usr/lib/made")
    bench.pass_time(5 * SECOND)
    bench.managers.working = None
    bench.pass_time(2 * SETTLE)
    (one,) = bench.told()
    assert one["file"]["path"] == "/usr/lib/made"
    assert "no package brings it; a script of tool made it" in one["message"]


# -- whose clock it is -----------------------------------------------------------------------------------


def forged(bench: Bench, path: bytes) -> tuple[str, str]:
    """Kind and severity of the only alert about a file that is in every way like a package brought it."""
    bench.managers.moved += 1
    bench.brings(path)
    bench.pass_time(10 * SECOND)
    ((kind, severity),) = bench.kinds()
    return kind, severity


def test_a_clock_that_was_set_back_into_a_transaction_explains_nothing(bench: Bench) -> None:
    assert forged(bench, b"/usr/bin/tool") == ("transaction", "info")
    bench.unsteady = NOW + 10 * SECOND
    assert forged(bench, b"/usr/bin/tool2") == ("file", "high")
    assert "the clock was set" in bench.story(b"/usr/bin/tool2")[2]
    bench.unsteady = 0
    bench.start()
    assert forged(bench, b"/usr/bin/tool3") == ("file", "high"), "ending the daemon gains nothing"
    later = (bench.now + 60 * SECOND) / SECOND
    bench.now += 70 * SECOND
    bench.judge.deeds = (Deed("tool:all", "upgrade", "1.1", "1.2", later, later + 3, later + 4, later),)
    bench.judge.ctimes[b"/usr/bin/tool4"] = int((later + 2) * SECOND)
    bench.managers.moved += 1
    bench.judge.tool.add(b"/usr/bin/tool4")
    bench.add(b"/usr/bin/tool4", ctime=int((later + 2) * SECOND))
    bench.pass_time(10 * SECOND)
    assert bench.kinds() == [("transaction", "info")]


def test_a_signature_does_not_depend_on_the_clock(bench: Bench) -> None:
    bench.unsteady = NOW + 10 * SECOND
    bench.judge.level = Level.SIGNED
    bench.judge.manager = "rpm"
    assert forged(bench, b"/usr/bin/tool") == ("transaction", "info")


@pytest.mark.parametrize("hours", [-11, -0.25, 5.75, 9])
def test_a_log_in_another_zone_is_joined_by_the_lock(bench: Bench, hours: float) -> None:
    bench.judge.deeds = tuple(
        deed._replace(
            begin=deed.begin + hours * 3600, unpacked=deed.unpacked + hours * 3600,
            ended=deed.ended + hours * 3600, run=deed.run + hours * 3600,
        )
        for deed in bench.judge.deeds
    )  # fmt: skip
    bench.managers.working = DPKG
    bench.brings(b"/usr/bin/tool")
    bench.pass_time(5 * SECOND)
    bench.managers.working = None
    bench.pass_time(10 * SECOND)
    assert bench.kinds() == [("transaction", "info")]


def test_a_log_in_another_zone_that_nobody_saw_at_work_explains_nothing(bench: Bench) -> None:
    bench.judge.deeds = tuple(
        deed._replace(begin=deed.begin - 3600, unpacked=deed.unpacked - 3600, ended=deed.ended - 3600)
        for deed in bench.judge.deeds
    )
    assert forged(bench, b"/usr/bin/tool") == ("file", "high")
