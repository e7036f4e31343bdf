"""What is written beside a finding: what the alert said, the better explanation, and who told it before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hostguardd.describe import Event
from hostguardd.engine.chronicle import Chronicle
from hostguardd.engine.keeper import Change
from hostguardd.model import FileFact
from hostguardd.store.database import Database
from hostguardd.store.stories import Stories
from hostguardd.story import Cause, Story
from tests.alerts import FILE, NOW, finding
from tests.tales import ALICE, NOBODY, PACKAGE, WINDOW


class Bench:
    """A chronicle over a real store; `said` is what the next alert says of the actor."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)
        self.stories = Stories(self.database)
        self.said: Mapping[str, Any] = {}
        self.robot = ""
        self.now = NOW
        self.chronicle = Chronicle(
            self.stories, lambda id: self.said, lambda actor: self.robot, lambda: self.now
        )

    def tell(self, event: Event, earlier: Change | None = None, story: Story | None = None) -> Change:
        """A change that is told, and could not be written down yet."""
        self.now += 1
        change = Change(
            FileFact, FILE.row()[:2], FILE.row(), finding=finding(None, FILE), event=event, story=story
        )
        return self.chronicle.told(change, earlier)

    def write(self, event: Event, story: Story | None = None) -> Story:
        """The same, written down."""
        told = self.tell(event, story=story).story
        assert told is not None
        self.stories.put("f1", told)
        return told


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "state.db")
    yield made
    made.database.close()


def test_an_actor_explains_what_nothing_better_does(bench: Bench) -> None:
    bench.said = ALICE
    assert bench.write("opened").cause is Cause.SESSION
    bench.robot = "puppet.service"
    assert bench.write("opened").cause is Cause.AUTOMATION
    for better in (PACKAGE, WINDOW):
        told = bench.write("opened", replace(better, actor={}, told=0))
        assert (told.cause, told.because, told.act) == (better.cause, better.because, better.act)
        assert told.actor == ALICE
    assert bench.write("opened").told == bench.now


def test_what_the_package_manager_denies_is_said_beside_the_session(bench: Bench) -> None:
    bench.said = ALICE
    told = bench.write("opened", Story(because="it is not what curl 8-1 brings: content"))
    assert told.cause is Cause.SESSION
    assert told.because.endswith("; it is not what curl 8-1 brings: content")


def test_nobody_explains_nothing(bench: Bench) -> None:
    bench.said = NOBODY
    told = bench.write("opened")
    assert (told.cause, told.because) == (Cause.UNEXPLAINED, "")
    assert told.actor["logged_in"] == NOBODY["logged_in"]


def test_a_change_that_was_told_before_it_was_written_is_not_lost(bench: Bench) -> None:
    bench.said = NOBODY
    first = bench.tell("opened")
    bench.said = ALICE
    second = bench.tell("changed", first)
    assert second.story is not None
    assert second.story.earlier[0].actor["unattributed"] == NOBODY["unattributed"]
    assert second.story.covers is Cause.UNEXPLAINED


def test_another_finding_of_the_same_key_begins_anew(bench: Bench) -> None:
    bench.said = NOBODY
    first = bench.tell("opened")
    assert first.finding is not None
    other = replace(first, finding=replace(first.finding, id="f0"))
    bench.said = ALICE
    told = bench.tell("changed", other).story
    assert told is not None
    assert told.earlier == ()


def test_the_end_of_a_finding_keeps_its_story(bench: Bench) -> None:
    bench.said = ALICE
    told = bench.write("opened")
    bench.said = {}
    assert bench.write("cleared", WINDOW) == told


def test_what_came_and_went_before_it_was_told_has_a_story_too(bench: Bench) -> None:
    bench.said = ALICE
    assert bench.write("cleared").cause is Cause.SESSION


def test_lists_are_bounded(bench: Bench) -> None:
    bench.said = {**NOBODY, "candidates": [{"pid": 1}] * 100, "logged_in": [{"user": "x"}] * 100}
    told = bench.write("opened")
    assert len(told.actor["candidates"]) < 10
    assert len(told.actor["logged_in"]) < 10


def test_what_tells_nothing_has_no_story(bench: Bench) -> None:
    change = Change(FileFact, FILE.row()[:2], FILE.row())
    assert bench.chronicle.told(change, None) is change
