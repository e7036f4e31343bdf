"""The state file: what is damaged, foreign, from the future or no file is refused and said so."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hostguardd.errors import BaselineDamaged, BaselineError, BaselineForeign, StoreError
from hostguardd.model import FACTS
from hostguardd.store.baseline import Baseline
from hostguardd.store.database import VERSION, Database
from tests.alerts import NOW
from tests.state import State, file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state file with some rows in it, closed."""
    made = State(tmp_path / "baseline.db")
    with made.database.transaction():
        made.capture(file(b"/etc/%d" % n) for n in range(2000))
    made.close()
    return made.path


def opened(path: Path) -> Database:
    database = Database(path)
    database.close()
    return database


def verify(path: Path) -> None:
    """Open and check the digest; BaselineDamaged, whoever finds it."""
    database = Database(path)
    try:
        Baseline(database).verify()
    finally:
        database.close()


def fill(database: Database, baseline: Baseline) -> None:
    """More than fits."""
    with database.transaction():
        baseline.note(FACTS[0], (b"/etc", b"7"), None)
        baseline.keep_content((b"%032d" % n, os.urandom(60_000)) for n in range(50))


def change_mind(database: Database, baseline: Baseline) -> None:
    """Write, and then find something else wrong."""
    with database.transaction():
        baseline.remember("a", 1)
        baseline.note(FACTS[0], (b"/etc", b"7"), None)
        assert baseline.seen(FACTS[0], b"/etc")
        raise BaselineError("something else went wrong")


def test_a_new_one_is_ours_alone(tmp_path: Path) -> None:
    opened(tmp_path / "new.db")
    assert stat.S_IMODE((tmp_path / "new.db").stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["new.db"]


def test_opens_again(path: Path) -> None:
    database = Database(path)
    current = Baseline(database).verify()
    assert current.facts == 2000
    database.close()


def test_what_a_killed_creation_left_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "x.db.new").write_bytes(b"half")
    opened(tmp_path / "x.db")


def test_the_log_of_another_database_is_not_taken_for_ours(path: Path, tmp_path: Path) -> None:
    """The file was moved away, as we advise, but not what SQLite keeps beside it."""
    old = Database(path)
    Baseline(old).remember("mark", "of the old one")
    wal = path.with_name(path.name + "-wal").read_bytes()
    old.close()
    path.unlink()
    path.with_name(path.name + "-wal").write_bytes(wal)
    new = Database(path)
    baseline = Baseline(new)
    assert baseline.recall("mark") is None
    assert baseline.current() is None
    new.close()


@pytest.mark.parametrize("part", [0.9, 0.5, 0.1])
def test_cut_short(path: Path, part: float) -> None:
    os.truncate(path, int(path.stat().st_size * part))
    with pytest.raises(BaselineDamaged, match=str(path)):
        opened(path)


def test_cut_to_nothing(path: Path) -> None:
    os.truncate(path, 0)
    with pytest.raises(BaselineDamaged, match="empty"):
        opened(path)


@pytest.mark.parametrize("place", range(1, 40, 3))
def test_a_page_of_garbage_is_found_at_the_latest_by_the_digest(path: Path, place: int) -> None:
    with path.open("r+b") as handle:
        handle.seek(place * 4096)
        handle.write(b"\xa5" * 4096)
    with pytest.raises(BaselineDamaged):
        verify(path)


def test_a_row_changed_by_hand_is_found_by_the_digest(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("UPDATE file_base SET uid = 1000 WHERE name = ?", (b"7",))
    other.commit()
    other.close()
    database = Database(path)
    with pytest.raises(BaselineDamaged, match="digest"):
        Baseline(database).verify()
    database.close()


def test_garbage(path: Path) -> None:
    path.write_bytes(os.urandom(8192))
    with pytest.raises(BaselineDamaged):
        opened(path)


@pytest.mark.parametrize(
    "table", ["meta", "blind", "content", "finding", "generation", "file_base", "setid_seen"]
)
def test_a_table_is_missing(path: Path, table: str) -> None:
    other = sqlite3.connect(path)
    other.execute(f"DROP TABLE {table}")
    other.commit()
    other.close()
    with pytest.raises(BaselineDamaged, match=table):
        opened(path)


def test_a_sqlite_file_of_another_program(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.executescript("CREATE TABLE t(x); INSERT INTO t VALUES(1);")
    other.close()
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(BaselineForeign, match="another program"):
        opened(tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == before


def test_one_from_the_future(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute(f"PRAGMA user_version = {VERSION + 1}")
    other.close()
    with pytest.raises(BaselineForeign, match="newer"):
        opened(path)


def test_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    opened(tmp_path / "real.db")
    (tmp_path / "link").symlink_to("real.db")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("folder", "fifo", "link", "dangling"):
        with pytest.raises(BaselineForeign, match="not a regular file"):
            opened(tmp_path / name)


def test_readonly_makes_nothing_and_changes_nothing(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Database(tmp_path / "absent.db", readonly=True)
    assert not (tmp_path / "absent.db").exists()
    database = Database(path, readonly=True)
    with pytest.raises(StoreError):
        Baseline(database, readonly=True).remember("a", 1)
    database.close()


@pytest.mark.parametrize("beside", [True, False])
def test_what_a_killed_daemon_left_is_read_and_stays(path: Path, beside: bool) -> None:
    child = os.fork()
    if not child:
        database = Database(path)
        Baseline(database).remember("a", "of the log")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    if not beside:
        path.with_name("baseline.db-shm").unlink()
    before = contents(path.parent)
    assert before["baseline.db-wal"]
    database = Database(path, readonly=True)
    assert Baseline(database, readonly=True).recall("a") == "of the log"
    database.close()
    after = contents(path.parent)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == (set() if beside else {"baseline.db-shm"})


def test_what_is_read_while_the_daemon_runs_is_new(path: Path) -> None:
    daemon = Database(path)
    Baseline(daemon).remember("a", "now")
    # Another process: in this one, SQLite would share the daemon's view of the index.
    read = (
        "import sys; from pathlib import Path; from hostguardd.store.baseline import Baseline;"
        "from hostguardd.store.database import Database;"
        "print(Baseline(Database(Path(sys.argv[1]), readonly=True), readonly=True).recall('a'))"
    )
    before = contents(path.parent)
    told = subprocess.run([sys.executable, "-c", read, str(path)], check=True, capture_output=True, text=True)
    assert told.stdout == "now\n"
    assert contents(path.parent) == before
    daemon.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir()}


def test_who_holds_it_is_no_damage(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("BEGIN IMMEDIATE")
    database = Database(path)
    database.connection.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(StoreError, match="locked"), database.transaction():
        pass
    other.execute("ROLLBACK")
    with database.transaction():
        pass
    database.close()
    other.close()


def test_all_or_nothing(path: Path) -> None:
    database = Database(path)
    baseline = Baseline(database)
    with pytest.raises(BaselineError):
        change_mind(database, baseline)
    assert baseline.recall("a") is None
    assert not baseline.seen(FACTS[0], b"/etc")
    with database.transaction():
        baseline.remember("a", 1)
        with database.transaction():
            baseline.remember("b", 2)
    assert (baseline.recall("a"), baseline.recall("b")) == (1, 2)
    database.close()


def test_a_full_disk_loses_nothing_that_was_there(path: Path) -> None:
    database = Database(path)
    baseline = Baseline(database)
    before = baseline.verify()
    database.connection.execute(f"PRAGMA max_page_count = {path.stat().st_size // 4096}")
    with pytest.raises(StoreError, match="full"):
        fill(database, baseline)
    assert baseline.seen(FACTS[0], b"/etc") == {}
    assert baseline.verify() == before
    database.connection.execute("PRAGMA max_page_count = 1000000")
    with database.transaction():
        baseline.remember("alive", NOW)
    database.close()


def test_a_copy_can_take_the_place_of_the_original(path: Path, tmp_path: Path) -> None:
    database = Database(path)
    Baseline(database).remember("mark", "kept")
    database.backup(tmp_path / "copy.db")
    database.backup(tmp_path / "copy.db")
    database.close()
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    copy = Database(tmp_path / "copy.db")
    assert Baseline(copy).verify().facts == 2000
    assert Baseline(copy).recall("mark") == "kept"
    copy.close()


def test_a_copy_that_cannot_be_made_is_said(path: Path, tmp_path: Path) -> None:
    database = Database(path)
    with pytest.raises(StoreError, match="cannot copy"):
        database.backup(tmp_path / "no" / "such" / "folder.db")
    database.close()
