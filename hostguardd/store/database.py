"""The one SQLite file: opening it, its tables, and telling a damaged file from a foreign one.

The tables of facts are derived from the fact classes, so that a new kind of fact needs no line
here. `synchronous=FULL` with WAL: what was committed survives a crash of the machine (SQLite,
"PRAGMA synchronous"). No syntax newer than SQLite 3.26 (EL 8).

For each kind there are two tables: `KIND_base` holds the approved rows, each with the span of
generations it belongs to (`since` <= g < `until`), so that a generation costs only what changed;
`KIND_seen` holds, for every key that is not as approved *now*, the row last seen (`gone` = 1: seen
to be missing).
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..errors import BaselineDamaged, BaselineForeign, StoreError
from ..model import FACTS, Fact

APPLICATION_ID = 0x68677264  # "hgrd"
VERSION = 3
OPEN_END = 1 << 40
"""`until` of a row that belongs to the current generation."""

_TABLE = re.compile(r"CREATE TABLE (\w+)")
_FIXED = """
CREATE TABLE generation(
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL,
    reviewed INTEGER NOT NULL, digest TEXT NOT NULL, facts INTEGER NOT NULL, parent INTEGER NOT NULL
);
CREATE TABLE finding(
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, key BLOB NOT NULL, status TEXT NOT NULL,
    rule TEXT NOT NULL, severity INTEGER NOT NULL, technique TEXT NOT NULL, advice TEXT NOT NULL,
    generation INTEGER NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    closed INTEGER NOT NULL, changed TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL,
    diff TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX finding_key ON finding(kind, key, status);
CREATE INDEX finding_open ON finding(status, severity);
CREATE TABLE content(sha256 BLOB PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE blind(kind TEXT NOT NULL, scope BLOB NOT NULL, reason TEXT NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY(kind, scope)) WITHOUT ROWID;
CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""
_STORY = "CREATE TABLE story(finding TEXT PRIMARY KEY, told TEXT NOT NULL) WITHOUT ROWID;"

MIGRATIONS = {2: _STORY}
"""What makes the next format of each older one that is still opened."""


def _fact_tables(fact: type[Fact]) -> str:
    """DDL for one kind of fact. Column types are left to the values: rows are already typed."""
    columns = ", ".join(fact.columns())
    keys = ", ".join(fact.KEY)
    return (
        f"CREATE TABLE {fact.KIND}_base({columns}, since INTEGER NOT NULL, until INTEGER NOT NULL,"
        f" PRIMARY KEY({keys}, since)) WITHOUT ROWID;\n"
        f"CREATE TABLE {fact.KIND}_seen({columns}, gone INTEGER NOT NULL,"
        f" PRIMARY KEY({keys})) WITHOUT ROWID;\n"
    )


def schema() -> str:
    """The whole DDL of the present version."""
    return _FIXED + _STORY + "".join(_fact_tables(fact) for fact in FACTS)


def _create(path: Path) -> None:
    """Make an empty database beside `path` and rename it there: no half-made file is ever in place.

    What another database left beside `path` goes first: SQLite would take its log for the new one's.
    """
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(scratch)
    try:
        connection.executescript(
            f"BEGIN; {schema()} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {VERSION}; COMMIT;"
        )
    finally:
        connection.close()
    _put_in_place(scratch, path)


def _put_in_place(scratch: Path, path: Path) -> None:
    """fsync `scratch` and rename it to `path`, durably."""
    with scratch.open("rb") as handle:
        os.fsync(handle.fileno())
    scratch.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _as_it_is(path: Path) -> str:
    """The URI (SQLite, "URI Filenames") by which a database is read and nothing of it is changed: to open it
    otherwise makes its log and index anew, and to close it folds what a killed daemon left there into it.

    `readonly_shm`: an index that nobody keeps is built once more in memory. Only where a log has none beside
    it does SQLite know no way but to make one.
    """
    uri = path.absolute().as_uri()
    if os.path.lexists(f"{path}-shm"):
        return f"{uri}?mode=ro&readonly_shm=1"
    wal = path.with_name(path.name + "-wal")
    return f"{uri}?mode=ro" if wal.exists() and wal.stat().st_size else f"{uri}?immutable=1"


class Database:
    """An open state database. One thread owns it; `transaction()` is the only way to write."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        if not os.path.lexists(path):
            if readonly:
                raise FileNotFoundError(path)
            _create(path)
        if not stat.S_ISREG(path.lstat().st_mode):
            raise BaselineForeign(f"{path} is not a regular file: refusing to use it as the baseline")
        where = _as_it_is(path) if readonly else str(path)
        self.connection = sqlite3.connect(where, isolation_level=None, check_same_thread=False, uri=readonly)
        try:
            if not path.stat().st_size:
                raise BaselineDamaged(f"{path} is empty: it was cut to nothing")
            self._prepare(readonly)
        except sqlite3.OperationalError as error:  # locked, a full disk, not permitted: not its fault
            self.connection.close()
            raise StoreError(f"cannot use {path}: {error}") from error
        except sqlite3.DatabaseError as error:
            self.connection.close()
            raise BaselineDamaged(f"{path} is damaged: {error}") from error
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self, readonly: bool) -> None:
        run = self.connection.execute
        run("PRAGMA trusted_schema = OFF")
        run("PRAGMA busy_timeout = 5000")
        run("PRAGMA cache_size = -4096")
        run("PRAGMA temp_store = FILE")
        self._migrate(self._check_kind(), readonly)
        tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
        problem = run("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise BaselineDamaged(f"{self.path} is damaged: {' '.join(problem.split())}")
        names = {row[0] for row in run(f"{tables} UNION ALL {tables.replace('master', 'temp_master')}")}
        if missing := set(_TABLE.findall(schema())) - names:
            raise BaselineDamaged(f"{self.path} is damaged: no table {', '.join(sorted(missing))}")
        if readonly:
            run("PRAGMA query_only = ON")
        else:
            run("PRAGMA journal_mode = WAL")
            run("PRAGMA synchronous = FULL")

    def _migrate(self, version: int, readonly: bool) -> None:
        """Bring an older format up to the present one, all or nothing. Who only reads finds the tables that
        came since, empty, and leaves the file as it is."""
        for step in range(version, VERSION):
            if readonly:
                self.connection.executescript(MIGRATIONS[step].replace("CREATE TABLE", "CREATE TEMP TABLE"))
            else:
                self.connection.executescript(
                    f"BEGIN IMMEDIATE; {MIGRATIONS[step]} PRAGMA user_version = {step + 1}; COMMIT;"
                )

    def _check_kind(self) -> int:
        """The file's format; an error where it is none that can be used."""
        owner = self.connection.execute("PRAGMA application_id").fetchone()[0]
        if owner != APPLICATION_ID:
            raise BaselineForeign(f"{self.path} is a SQLite file of another program: refusing to touch it")
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise BaselineForeign(
                f"{self.path} has format {version}, this version knows {VERSION}: it was written by a newer"
                " hostguardd; install that one again or move the file away"
            )
        if version < min(MIGRATIONS):
            raise BaselineForeign(
                f"{self.path} has format {version}, this version knows {VERSION}: it is of a trial version"
                " that knew fewer kinds of facts; move the file away, and a new baseline is captured"
            )
        return int(version)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; StoreError when it cannot be written. Nested use joins the outer one."""
        if self.connection.in_transaction:
            yield self.connection
            return
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield self.connection
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"cannot write {self.path}: {error}") from error
        finally:
            if bool(self.connection.in_transaction):  # not when SQLite itself rolled back, as on a full disk
                self.connection.execute("ROLLBACK")

    def backup(self, target: Path) -> None:
        """A consistent copy at `target`, put in place by rename; StoreError when it cannot be made."""
        scratch = target.with_name(target.name + ".new")
        try:
            scratch.unlink(missing_ok=True)
            os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
            with closing(sqlite3.connect(scratch)) as copy:
                self.connection.backup(copy, pages=-1)
            _put_in_place(scratch, target)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot copy {self.path} to {target}: {error}") from error

    def shrink(self) -> None:
        """Give the page cache back; the next sweep fills it again."""
        self.connection.execute("PRAGMA shrink_memory")

    def close(self) -> None:
        """Close; a clean close folds the WAL back into the file."""
        self.connection.close()
