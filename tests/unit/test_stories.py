"""Stories of findings: what is written is read again, and an older database gets room for them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from hostguardd.store.database import VERSION, Database
from hostguardd.store.stories import Stories
from hostguardd.story import Cause, Story, unpack

STORY = Story(Cause.PACKAGE, "openssl 3.0.2-1 brings it", "t1", "signed", {"pid": 4, "exe": "/usr/bin/dpkg"})


def test_a_story_is_read_as_it_was_written() -> None:
    assert unpack(STORY.pack()) == STORY
    assert unpack(Story().pack()) == Story()
    assert Story().pack() == '{"cause":"unexplained"}'


@pytest.mark.parametrize("text", ["", "[", "[]", "7", '{"cause":"magic"}', '{"actor":[1]}', "[" * 100_000])
def test_a_damaged_story_explains_nothing(text: str) -> None:
    assert unpack(text) == Story()


def test_stories_are_kept_and_forgotten_with_their_findings(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    stories = Stories(database)
    stories.put("a", STORY)
    assert stories.of("a") == STORY
    assert stories.of("b") == Story()
    stories.prune()
    assert stories.of("a") == Story()


def older(path: Path) -> None:
    """What the format before stories left."""
    Database(path).close()
    other = sqlite3.connect(path)
    other.executescript("DROP TABLE story; PRAGMA user_version = 2; INSERT INTO meta VALUES('kept', 7);")
    other.close()


def test_an_older_database_is_brought_up_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    older(path)
    for _ in range(2):
        database = Database(path)
        assert database.connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
        assert database.connection.execute("SELECT value FROM meta WHERE name = 'kept'").fetchone()[0] == 7
        Stories(database).put("a", STORY)
        database.close()


def test_who_only_reads_an_older_database_leaves_it_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    older(path)
    before = path.read_bytes()
    database = Database(path, readonly=True)
    assert Stories(database).of("a") == Story()
    database.close()
    assert path.read_bytes() == before
