"""What an actor explains, what of it is kept, and how findings are put together to be decided about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.causes import NOTHING, Key, group, of_actor
from hostguardd.story import KEPT, ORDER, Cause, Story, after, unpack

ALICE: Mapping[str, Any] = {
    "rung": "audit", "confidence": "certain", "pid": 4711, "executable": "/usr/bin/vim", "user": "root",
    "login": "alice", "session": 3, "tty": "pts0", "source": "192.0.2.7",
    "since": "2026-11-26T08:12:03.000000Z",
    "parents": [{"pid": 4710, "executable": "/usr/bin/sudo"}, {"pid": 4700, "executable": "/bin/bash"}],
}  # fmt: skip
SESSION = Story(Cause.SESSION, "alice", actor=ALICE)
PACKAGE = Story(Cause.PACKAGE, "curl 8-1 brings it", "t1", "signed")
WINDOW = Story(Cause.WINDOW, "expected: deploy", "w1")
PUPPET = Story(Cause.AUTOMATION, "made by puppet.service", actor={"unit": "puppet.service"})
PLAIN = Story()


def told(*stories: Story) -> Story:
    """A finding that was told so, one after the other."""
    found = stories[0]
    for one in stories[1:]:
        found = after(found, one)
    return found


def test_a_session_says_who_from_where_and_since_when() -> None:
    assert of_actor(ALICE, "") == (
        Cause.SESSION,
        "root by sudo, logged in as alice from 192.0.2.7 on pts0 since 2026-11-26T08:12:03Z",
    )
    assert of_actor({**ALICE, "user": "alice"}, "")[1].startswith("alice, logged in from 192.0.2.7")
    assert of_actor({**ALICE, "parents": []}, "")[1].startswith("root, logged in as alice from")


@pytest.mark.parametrize(
    "actor",
    [
        {},
        {"confidence": "none", "unattributed": "why", "logged_in": [{"user": "alice"}]},
        {**ALICE, "confidence": "likely"},
        {**ALICE, "cron": "run-parts /etc/cron.daily"},
        {name: ALICE[name] for name in ALICE if name not in ("tty", "source")},
        {name: ALICE[name] for name in ALICE if name != "login"},
        {name: ALICE[name] for name in ALICE if name != "session"},
    ],
    ids=["nothing", "circumstance", "likely", "cron", "from-nowhere", "no-login", "no-session"],
)
def test_what_is_no_login_session_explains_nothing(actor: Mapping[str, Any]) -> None:
    assert of_actor(actor, "") == (Cause.UNEXPLAINED, "")


def test_configuration_management_needs_a_certain_actor_too() -> None:
    assert of_actor(ALICE, "ansible") == (Cause.AUTOMATION, "made by ansible")
    assert of_actor({**ALICE, "confidence": "likely"}, "ansible")[0] is Cause.UNEXPLAINED


def test_what_was_there_before_is_not_explained_by_who_came_after() -> None:
    assert told(PLAIN, SESSION).covers is Cause.UNEXPLAINED
    assert told(SESSION, PUPPET).covers is Cause.SESSION
    assert told(PUPPET, SESSION).covers is Cause.SESSION
    assert told(SESSION, PLAIN, SESSION).covers is Cause.UNEXPLAINED


def test_a_package_explains_all_that_came_before_and_nothing_after() -> None:
    assert told(PLAIN, PACKAGE).covers is Cause.PACKAGE
    assert told(PLAIN, PACKAGE, SESSION).covers is Cause.SESSION
    assert told(PLAIN, PACKAGE, PLAIN).covers is Cause.UNEXPLAINED


def test_a_package_that_merely_lists_it_explains_nothing_that_was_there() -> None:
    listed = replace(PACKAGE, level="listed")
    assert told(PLAIN, listed).covers is Cause.UNEXPLAINED
    assert listed.covers is Cause.PACKAGE
    assert told(*several(KEPT + 3), listed).covers is Cause.UNEXPLAINED


def several(number: int) -> list[Story]:
    return [replace(SESSION, actor={**ALICE, "session": one}) for one in range(number)]


def test_who_told_it_before_is_kept_and_bounded() -> None:
    found = told(*several(KEPT + 1))
    assert [one.actor["session"] for one in found.standing] == [*range(KEPT + 1)]
    assert found.covers is Cause.SESSION
    more = told(*several(KEPT + 3))
    assert (len(more.earlier), more.lost) == (KEPT, 2)
    assert more.covers is Cause.UNEXPLAINED, "what is not known explains nothing"
    assert after(more, PACKAGE).covers is Cause.PACKAGE
    assert unpack(more.pack()) == more


def test_the_same_again_takes_no_room() -> None:
    again = told(*[replace(SESSION, actor={**ALICE, "pid": pid}, told=pid) for pid in range(50)])
    assert (again.earlier, again.lost, again.told) == ((), 0, 49)


CAUSES = st.sampled_from([PLAIN, SESSION, PUPPET, WINDOW, PACKAGE, *several(9)])


@given(st.lists(CAUSES, min_size=1, max_size=30))
def test_nothing_is_explained_by_more_than_the_least_since_the_last_package(stories: list[Story]) -> None:
    since = list(stories)
    for at, one in enumerate(stories):
        if one.cause is Cause.PACKAGE:
            since = stories[at:]
    least = max(ORDER.index(one.cause) for one in since)
    found = told(*stories)
    assert ORDER.index(found.covers) >= least
    assert unpack(found.pack()) == found
    assert len(found.earlier) <= KEPT


def test_groups() -> None:
    assert group(PLAIN) == NOTHING
    assert group(PACKAGE).id == "packages"
    assert group(replace(PACKAGE, level="digest")).id == "packages-digest"
    assert group(replace(PACKAGE, level="")).id == "packages-listed"
    assert group(WINDOW) == Key("w1", Cause.WINDOW, "expected: deploy")
    alice, bob = group(SESSION), group(replace(SESSION, actor={**ALICE, "login": "bob"}))
    assert alice.id != bob.id
    assert group(told(SESSION, replace(SESSION, actor={**ALICE, "login": "bob"}))).id not in (
        alice.id,
        bob.id,
    )
    assert group(told(PLAIN, SESSION)) == NOTHING
    assert group(told(PLAIN, PACKAGE, SESSION)).id == alice.id
    assert (
        group(replace(SESSION, actor={**ALICE, "pid": 9, "executable": "/bin/cp", "tty": "pts3"})).id
        == alice.id
    )


@pytest.mark.parametrize(
    "text",
    ['{"earlier":7}', '{"earlier":[7]}', '{"told":"x"}', '{"lost":null}', '{"earlier":[{"cause":"x"}]}'],
)
def test_a_damaged_story_explains_nothing(text: str) -> None:
    assert unpack(text) == Story()
