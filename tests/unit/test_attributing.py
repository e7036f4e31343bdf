"""Alerts with an actor: what they say, that they keep to the schema, and what is packaged for it."""

from __future__ import annotations

import configparser
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hostguardd.actors import obstacles
from hostguardd.actors.auditrecords import KEY
from hostguardd.actors.model import (
    Actor,
    Answer,
    Change,
    Confidence,
    Deed,
    Link,
    Peer,
    Presence,
    Rung,
    Unattributed,
    Who,
)
from hostguardd.attributed import question
from hostguardd.config import parse
from hostguardd.defaults import default_sources
from hostguardd.describe import finding_alert, group_alerts
from hostguardd.engine.attributing import MOST_ASKED, Attribution, began
from hostguardd.engine.parts import SystemNames
from hostguardd.homes import Homes, expand
from hostguardd.model import AccountFact, Drift, FileFact, Finding, Severity, Verdict
from hostguardd.record import render, timestamp
from hostguardd.watches import Watches
from tests.alerts import ACCOUNT, IDENTITY, check

ROOT = Path(__file__).parents[2]
SECOND = 10**9
AT = 1_800_000_000 * SECOND
BEFORE = FileFact(
    b"/etc", b"passwd", 0o100644, 0, 0, 10, AT - SECOND, AT - SECOND, 5, 1, 0, None, b"a" * 32, b"", 0, 0
)
AFTER = replace(BEFORE, mode=0o100666, ctime=AT)
WHO = Who(
    (4712, 1),
    4712,
    b"/usr/bin/chm\xffod\n",
    b"chmod\x00666\0/etc/passwd\0",
    0,
    0,
    0,
    3,
    b"pts1",
    b"session-3.scope",
    (Link(4711, b"/bin/bash", b"bash\0", 0), Link(1, None, None, 0)),
    Peer(b"192.0.2.7", 4242),
)


class FakeAsking:
    """Answers as it is told to, and remembers the questions."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[bytes, Change, int | None, int, int]] = []

    def attribute(self, path: bytes, change: Change, ctime: int | None, since: int, seen: int, /) -> Answer:
        self.asked.append((path, change, ctime, since, seen))
        return self.answer

    def present(self) -> Sequence[Presence]:
        return [Presence(b"alice", b"pts/1", b"192.0.2.7", b"3", AT)]


def drift(before: FileFact | None, after: FileFact | None, *changed: str) -> Drift:
    return Drift(FileFact, before, after, changed)


def finding(one: Drift) -> Finding:
    return Finding("abc", one, Verdict("rule", Severity.HIGH, "T1222", "Look."), 1, AT, AT)


NAMED = Actor(Rung.AUDIT, Confidence.CERTAIN, WHO, Deed.ATTRIBUTES | Deed.WRITTEN, AT)
REFUSED = Unattributed("2 processes could have made this change", Rung.FANOTIFY, (WHO, WHO))


@pytest.mark.parametrize("answer", [NAMED, REFUSED, Unattributed("nobody is asked")])
def test_every_answer_keeps_to_the_schema(answer: Answer) -> None:
    told = finding(drift(BEFORE, AFTER, "mode", "ctime"))
    alert = Attribution(FakeAsking(answer), SystemNames(), lambda: 7, lambda: 8).one(
        finding_alert(told, "opened", AT, SystemNames()), told, "opened"
    )
    check(render(alert, IDENTITY, 1, "0" * 64))
    group = group_alerts([told] * 3, AT, SystemNames())
    for one in Attribution(FakeAsking(answer), SystemNames(), lambda: 7, lambda: 8).group(
        group, [told] * 3, "opened"
    ):
        check(render(one, IDENTITY, 1, "0" * 64))


def test_an_actor_is_named_in_the_sentence_and_in_ecs() -> None:
    told = finding(drift(BEFORE, AFTER, "mode", "ctime"))
    attribution = Attribution(FakeAsking(NAMED), SystemNames(), lambda: 7, lambda: 8)
    alert = attribution.one(finding_alert(told, "opened", AT, SystemNames()), told, "opened")
    assert alert.message.endswith(
        r"; by /usr/bin/chm\xffod\x0a (pid 4712) as root, logged in as root from 192.0.2.7"
    )
    assert alert.fields["process.pid"] == 4712
    assert alert.fields["process.parent.executable"] == "/bin/bash"
    assert alert.fields["source.ip"] == "192.0.2.7"
    assert alert.fields["source.port"] == 4242
    assert alert.data["actor"]["confidence"] == "certain"  # type: ignore[index]
    assert attribution.named == 1


def test_a_candidate_never_stands_where_an_actor_would() -> None:
    told = finding(drift(BEFORE, AFTER, "mode", "ctime"))
    plain = finding_alert(told, "opened", AT, SystemNames())
    alert = Attribution(FakeAsking(REFUSED), SystemNames(), lambda: 7, lambda: 8).one(plain, told, "opened")
    assert (alert.message, alert.fields) == (plain.message, plain.fields)
    said = alert.data["actor"]
    assert isinstance(said, dict)
    assert said["confidence"] == "circumstance"
    assert len(said["candidates"]) == 2
    assert said["logged_in"][0]["user"] == "alice"


def test_what_was_told_is_not_asked_about_again() -> None:
    asking = FakeAsking(NAMED)
    attribution = Attribution(asking, SystemNames(), lambda: 7, lambda: 8)
    for ctime in (AT, AT + SECOND):
        told = finding(drift(BEFORE, replace(AFTER, ctime=ctime), "mode", "ctime"))
        attribution.one(finding_alert(told, "opened", AT, SystemNames()), told, "opened")
    assert [one[-2:] for one in asking.asked] == [(BEFORE.ctime, 7), (AT, 8)]


def test_good_news_has_no_actor() -> None:
    told = finding(drift(BEFORE, AFTER, "mode"))
    plain = finding_alert(told, "cleared", AT, SystemNames())
    assert (
        Attribution(FakeAsking(NAMED), SystemNames(), lambda: 7, lambda: 8).one(plain, told, "cleared")
        is plain
    )


@pytest.mark.parametrize(
    ("one", "change"),
    [
        (drift(None, AFTER), Change.CREATED),
        (drift(BEFORE, None), Change.REMOVED),
        (drift(BEFORE, AFTER, "mode", "ctime"), Change.ATTRIBUTES),
        (drift(BEFORE, AFTER, "sha256", "mtime", "ctime"), Change.CONTENT),
        (drift(BEFORE, AFTER, "sha256", "mode"), Change.CONTENT | Change.ATTRIBUTES),
        (drift(BEFORE, AFTER, "inode"), Change.CONTENT),
        (drift(BEFORE, AFTER, "mtime", "ctime"), Change.TIMES),
    ],
)
def test_what_is_asked(one: Drift, change: Change) -> None:
    asked = question(one)
    assert asked is not None
    assert asked.change == change
    assert asked.ctime == (None if one.after is None else AT)


# -- what is packaged --------------------------------------------------------------------------------


def rules() -> list[str]:
    text = (ROOT / "packaging/actors/hostguardd.rules").read_text()
    return [line for line in text.splitlines() if line.startswith("-a")]


def test_the_rules_have_our_key_and_stand_in_the_way_of_nothing() -> None:
    assert all(f" -F key={KEY.decode()}" in line for line in rules())
    listed = [f"-w {re.search('dir=([^ ]+)', line)[1]}/ -p wa -k {KEY.decode()}" for line in rules()]  # type: ignore[index]
    assert obstacles.audit(1, [line.encode() for line in listed], KEY) == ""


def test_the_rules_are_about_what_is_watched() -> None:
    """A folder nobody watches would be recorded for nothing."""
    homes = Homes(frozenset({b"/root"}), frozenset())
    watches = Watches(expand(parse(default_sources()), homes).watches)
    for line in rules():
        folder = re.search(r"dir=([^ ]+)", line)
        assert folder is not None
        path = folder[1].encode()
        assert watches.find(path + b"/x") is not None or watches.leads(path), path


def test_the_drop_in_adds_calls_and_takes_nothing() -> None:
    unit = configparser.RawConfigParser()
    unit.read(ROOT / "packaging/actors/fanotify.conf")
    assert dict(unit["Service"]) == {
        "capabilityboundingset": "CAP_LEASE",
        "systemcallfilter": "fanotify_init fanotify_mark open_by_handle_at",
    }


# -- what is kept of it ------------------------------------------------------------------------------


def attributing(answer: Answer) -> tuple[FakeAsking, Attribution]:
    asking = FakeAsking(answer)
    return asking, Attribution(asking, SystemNames(), lambda: 7, lambda: 8)


def test_what_must_be_told_again_is_told_as_before() -> None:
    """The line could not be written: whoever is asked a second time may answer something else."""
    asking, attribution = attributing(NAMED)
    told = finding(drift(BEFORE, AFTER, "mode", "ctime"))
    plain = finding_alert(told, "opened", AT, SystemNames())
    first = attribution.one(plain, told, "opened")
    asking.answer = REFUSED
    assert attribution.one(plain, told, "opened") == first
    assert attribution.take(told.id) == first.data["actor"]
    assert attribution.take(told.id) == {}, "once"
    assert attribution.one(plain, told, "opened") != first, "another telling"


def test_each_member_of_a_group_is_kept() -> None:
    _, attribution = attributing(REFUSED)
    members = [replace(finding(drift(BEFORE, AFTER, "mode")), id=f"f{n}") for n in range(MOST_ASKED + 1)]
    attribution.group(group_alerts(members, AT, SystemNames()), members, "opened")
    assert attribution.take("f0")["logged_in"] == [
        {
            "user": "alice",
            "tty": "pts/1",
            "source": "192.0.2.7",
            "session": "3",
            "since": timestamp(AT),
        }
    ]
    assert "not each was asked about" in attribution.take(f"f{MOST_ASKED}")["unattributed"]


def test_an_account_is_made_by_whoever_wrote_the_table() -> None:
    _, attribution = attributing(NAMED)
    head = finding(Drift(AccountFact, None, ACCOUNT, ()))
    part = replace(finding(drift(BEFORE, AFTER, "sha256")), id="part")
    plain = finding_alert(head, "opened", AT, SystemNames(), parts=[part])
    alert = attribution.one(plain, head, "opened", [part])
    check(render(alert, IDENTITY, 1, "0" * 64))
    assert alert.data["actor"] == attribution.take(head.id) == attribution.take("part")
    assert "; by /usr/bin/chm" in alert.message


def test_an_account_whose_tables_were_written_by_several_has_no_actor() -> None:
    asking, attribution = attributing(NAMED)
    head = finding(Drift(AccountFact, None, ACCOUNT, ()))
    parts = [replace(finding(drift(BEFORE, AFTER, "sha256")), id=id) for id in ("one", "two")]
    attribution.one(finding_alert(parts[0], "opened", AT, SystemNames()), parts[0], "opened")
    asking.answer = replace(NAMED, who=WHO._replace(key=(9, 9)))
    attribution.one(finding_alert(head, "opened", AT, SystemNames()), head, "opened", parts)
    assert attribution.take(head.id) == {}


def test_asked_is_who_made_what_came_since_it_was_told_last() -> None:
    """Somebody wrote it, and that was told; now somebody else changes its mode."""
    asking = FakeAsking(NAMED)
    written = replace(BEFORE, sha256=b"b" * 32, ctime=AT - 1)
    told = finding(drift(BEFORE, written, "sha256"))
    attribution = Attribution(asking, SystemNames(), lambda: 7, lambda: 8, lambda id: told)
    now = finding(drift(BEFORE, replace(written, mode=0o100666, ctime=AT), "sha256", "mode"))
    attribution.one(finding_alert(now, "changed", AT, SystemNames()), now, "changed")
    gone = finding(drift(BEFORE, None))
    attribution.one(finding_alert(gone, "changed", AT, SystemNames()), gone, "changed")
    assert [(one[1], one[3]) for one in asking.asked] == [(Change.ATTRIBUTES, AT - 1), (Change.REMOVED, AT)]
    assert asking.asked[0][2] == AT


def test_an_account_whose_table_nobody_is_named_for_has_no_actor() -> None:
    _, attribution = attributing(REFUSED)
    head = finding(Drift(AccountFact, None, ACCOUNT, ()))
    part = replace(finding(drift(BEFORE, AFTER, "sha256")), id="part")
    plain = finding_alert(head, "opened", AT, SystemNames(), parts=[part])
    assert attribution.one(plain, head, "opened", [part]) is plain
    assert attribution.take(head.id) == {}
    assert attribution.take("part")["unattributed"]


def test_since_when_the_session_is_there() -> None:
    _, attribution = attributing(NAMED)
    told = finding(drift(BEFORE, AFTER, "mode", "ctime"))
    alert = attribution.one(finding_alert(told, "opened", AT, SystemNames()), told, "opened")
    assert alert.data["actor"]["since"] == timestamp(AT)  # type: ignore[index]
    check(render(alert, IDENTITY, 1, "0" * 64))
    other = replace(NAMED, who=WHO._replace(session=4))
    assert began(other, FakeAsking(NAMED).present()) == 0
