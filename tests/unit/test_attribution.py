"""Touches and a change to a name, or to the reason why there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.actors import obstacles
from hostguardd.actors.attribution import SLACK, attribute
from hostguardd.actors.lineage import cron_line, is_sshd, logind
from hostguardd.actors.model import (
    Actor,
    Answer,
    Change,
    Confidence,
    Deed,
    Link,
    Rung,
    Touch,
    Unattributed,
    Who,
)
from hostguardd.actors.touches import PER_KEY, Touches
from hostguardd.actors.ttys import tty_name

SECOND = 10**9
AT = 1000 * SECOND


def who(pid: int, exe: bytes = b"/usr/bin/chmod") -> Who:
    return Who((pid, 1), pid, exe, None, 0, 0, -1, -1, b"", b"")


def touch(pid: int, deed: Deed, begin: int = AT, end: int = 0, rung: Rung = Rung.FANOTIFY) -> Touch:
    return Touch(rung, deed, begin, end or begin + 1_000_000, who(pid))


def reason(answer: Answer) -> str:
    assert isinstance(answer, Unattributed)
    return answer.reason


def test_the_only_one_is_named() -> None:
    found = attribute([touch(5, Deed.ATTRIBUTES)], Change.ATTRIBUTES, AT)
    assert isinstance(found, Actor)
    assert (found.who.pid, found.rung, found.confidence) == (5, Rung.FANOTIFY, Confidence.CERTAIN)


def test_two_that_could_have_done_it_are_candidates() -> None:
    found = attribute([touch(5, Deed.WRITTEN), touch(6, Deed.WRITTEN)], Change.CONTENT, AT)
    assert isinstance(found, Unattributed)
    assert [one.pid for one in found.candidates] == [5, 6]


def test_who_did_something_else_is_no_candidate() -> None:
    both = [touch(5, Deed.ATTRIBUTES), touch(6, Deed.DELETED, AT - 5 * SECOND)]
    found = attribute(both, Change.CREATED, AT)
    assert isinstance(found, Actor)
    assert found.who.pid == 5


def test_a_change_at_another_time_has_no_name() -> None:
    """Somebody else changed it whom nobody saw: through a mapping, or by another name of the same file."""
    assert "another time" in reason(attribute([touch(5, Deed.WRITTEN)], Change.CONTENT, AT + SECOND))
    assert "nothing" in reason(attribute([touch(5, Deed.WRITTEN)], Change.CONTENT, AT - SECOND))


def test_what_made_the_state_before_is_not_asked_about() -> None:
    before, after = touch(5, Deed.WRITTEN, AT - 10 * SECOND), touch(6, Deed.WRITTEN)
    found = attribute([before, after], Change.CONTENT, AT, since=AT - 10 * SECOND)
    assert isinstance(found, Actor)
    assert found.who.pid == 6


def test_who_holds_it_open_since_before_is_a_candidate() -> None:
    held = touch(5, Deed.HELD, AT - 10 * SECOND, AT + 10 * SECOND)
    found = attribute([held, touch(6, Deed.WRITTEN)], Change.CONTENT, AT, since=AT - SECOND)
    assert "2 processes" in reason(found)
    alone = attribute([held], Change.CONTENT, AT, since=AT - SECOND)
    assert "by whoever had it last" in reason(alone)
    audited = replace(held, rung=Rung.AUDIT)
    alone = attribute([audited], Change.CONTENT, AT, since=AT - SECOND)
    assert isinstance(alone, Actor)
    assert alone.confidence is Confidence.LIKELY
    closed = replace(audited, reason="closed")
    assert reason(attribute([closed], Change.CONTENT, AT, since=AT - SECOND)) == "closed"


def test_who_had_closed_it_when_the_state_before_was_seen_is_no_candidate() -> None:
    """An editor that still runs, whose work was approved meanwhile."""
    closed = touch(5, Deed.HELD, AT - 100 * SECOND, AT - 10 * SECOND)
    both = [closed, touch(6, Deed.WRITTEN)]
    found = attribute(both, Change.CONTENT, AT, since=AT - 10 * SECOND, seen=AT - 5 * SECOND)
    assert isinstance(found, Actor)
    assert found.who.pid == 6


def test_who_made_only_a_part_of_it_is_not_named_for_all() -> None:
    """Its content was changed while nobody looked, then somebody else changed its mode."""
    change = Change.CONTENT | Change.ATTRIBUTES
    assert "only a part" in reason(attribute([touch(5, Deed.ATTRIBUTES)], change, AT))
    both = [touch(5, Deed.ATTRIBUTES), touch(5, Deed.WRITTEN, AT - SECOND)]
    assert isinstance(attribute(both, change, AT), Actor)


def test_a_deed_without_a_name_leaves_none() -> None:
    unknown = Touch(Rung.FANOTIFY, Deed.WRITTEN, AT, AT, None, "its process was gone")
    found = attribute([unknown, touch(5, Deed.WRITTEN)], Change.CONTENT, AT)
    assert reason(found) == "its process was gone"


def test_two_rungs_that_agree_and_that_do_not() -> None:
    audit = touch(5, Deed.WRITTEN, rung=Rung.AUDIT)
    found = attribute([audit, touch(5, Deed.WRITTEN)], Change.CONTENT, AT)
    assert isinstance(found, Actor)
    assert found.rung is Rung.AUDIT
    assert "different processes" in reason(attribute([audit, touch(6, Deed.WRITTEN)], Change.CONTENT, AT))
    unknown = Touch(Rung.FANOTIFY, Deed.WRITTEN, AT, AT, None, "its process was gone")
    assert isinstance(attribute([audit, unknown], Change.CONTENT, AT), Actor)


def test_gone_has_no_time_of_its_own() -> None:
    found = attribute([touch(5, Deed.DELETED), touch(6, Deed.WRITTEN, AT - SECOND)], Change.REMOVED, None)
    assert isinstance(found, Actor)
    assert found.who.pid == 5


TOUCHES = st.builds(
    touch,
    st.integers(1, 3),
    st.sampled_from([*Deed]),
    st.integers(AT - SECOND, AT + SECOND),
    st.just(0),
    st.sampled_from([Rung.AUDIT, Rung.FANOTIFY]),
)


@given(st.lists(TOUCHES, max_size=6), st.sampled_from([*Change]), st.integers(AT - SECOND, AT + SECOND))
def test_a_name_is_that_of_the_only_suspect(touches: list[Touch], change: Change, ctime: int) -> None:
    """Whoever is named touched the file at the time of its last change; and one more suspect undoes the
    name."""
    found = attribute(touches, change, ctime)
    if isinstance(found, Actor):
        covering = [one for one in touches if one.begin - SLACK <= ctime <= one.end + SLACK]
        assert found.who.pid in {one.who.pid for one in covering if one.who is not None}
        (his, *_) = [one for one in touches if one.deed == found.deed and one.begin == found.at]
        other = replace(his, who=who(99))
        assert isinstance(attribute([*touches, other], change, ctime), Unattributed)


# -- the index ---------------------------------------------------------------------------------------


def test_touches_are_found_by_any_key_once() -> None:
    index = Touches()
    one = touch(5, Deed.WRITTEN)
    index.add([b"/etc/a", (1, 2), (1, 3, b"a")], one)
    assert index.of([b"/etc/a", (1, 2)]) == [one]
    assert index.of([(1, 3, b"a")]) == [one]
    assert index.of([b"/etc/b"]) == []


def test_the_index_is_bounded() -> None:
    index = Touches(100)
    for number in range(1000):
        index.add([b"/etc/%d" % number], touch(5, Deed.WRITTEN, AT + number))
    assert len(index) == 100
    assert index.of([b"/etc/0"]) == []
    assert index.since >= AT + 800


def test_a_flood_of_touches_pushes_nobody_out() -> None:
    """Who changed a file and then writes it a thousand times as another process does not hide the first."""
    index = Touches()
    index.add([b"/etc/a"], touch(5, Deed.WRITTEN, AT))
    for number in range(1000):
        index.add([b"/etc/a"], touch(6, Deed.WRITTEN, AT + 1 + number * 10**7))
    found = index.of([b"/etc/a"])
    assert len(found) == PER_KEY
    assert {one.who.pid for one in found if one.who is not None} == {5, 6}
    assert len(index) <= PER_KEY + 1


# -- words -------------------------------------------------------------------------------------------


def test_a_cron_line() -> None:
    job = Link(7, b"/bin/sh", b"/bin/sh\0-c\0/usr/local/bin/backup --all\0", 0)
    chain = [Link(8, b"/usr/bin/touch", None, 0), job, Link(2, b"/usr/sbin/cron", None, 0)]
    assert cron_line(chain) == b"/usr/local/bin/backup --all"
    assert cron_line(chain[:2]) is None
    assert cron_line([Link(2, b"/usr/sbin/cron", None, 0)]) is None
    assert cron_line([job, Link(2, b"/home/eve/cron", None, 0)]) is None
    assert cron_line([job, Link(2, b"/usr/sbin/cron", None, 1000)]) is None  # in a namespace of their own


def test_only_the_system_s_sshd_is_sshd() -> None:
    assert is_sshd(b"/usr/sbin/sshd")
    assert is_sshd(b"/usr/libexec/openssh/sshd-session")
    assert is_sshd(b"/usr/sbin/sshd (deleted)")
    assert not is_sshd(b"/home/eve/sshd")
    assert not is_sshd(b"/usr/bin/ssh")
    assert not is_sshd(None)


def test_what_logind_wrote() -> None:
    said = logind(b"# private\nUID=1000\nREMOTE=1\nREMOTE_HOST=192.0.2.7\nUSER=alice\n")
    assert (said[b"REMOTE"], said[b"REMOTE_HOST"]) == (b"1", b"192.0.2.7")


@pytest.mark.parametrize(
    ("device", "name"),
    [(0, b""), (136 << 8 | 5, b"pts5"), (4 << 8 | 1, b"tty1"), (4 << 8 | 64, b"ttyS0"), (9 << 8, None)],
)
def test_terminals(device: int, name: bytes | None) -> None:
    assert tty_name(device) == name


def test_what_keeps_audit_from_telling() -> None:
    ours = b"-w /etc/ -p wa -k hostguard"
    assert obstacles.audit(1, [ours], b"hostguard") == ""
    assert obstacles.audit(None, [ours], b"hostguard") == ""
    assert "switched off" in obstacles.audit(0, [ours], b"hostguard")
    assert "never,task" in obstacles.audit(1, [b"-a never,task", ours], b"hostguard")
    assert obstacles.audit(1, [b"-a never,task -F uid=33", ours], b"hostguard") == ""
    assert "has the key" in obstacles.audit(1, [b"-w /etc/ -p wa -k other"], b"hostguard")
    assert "has the key" in obstacles.audit(1, [b"-a never,exit -F dir=/etc -k hostguard"], b"hostguard")
    assert "locked" in obstacles.audit(2, [], b"hostguard")
