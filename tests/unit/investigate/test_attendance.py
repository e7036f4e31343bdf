"""Who was logged in when: sessions, boots and traces of editors, by real records and databases."""

from __future__ import annotations

import gzip
import os
import sqlite3
import struct
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.host.pages import rows_of, values_of
from hostguardd.investigate.logins.attendance import Attendance, attendance
from hostguardd.investigate.logins.records import LARGEST
from hostguardd.investigate.logins.register import CRASH, DOWN, LOGOUT, LOST, OPEN, REPLACED, Register
from hostguardd.utmp import BOOT_TIME, DEAD_PROCESS, LOGIN_PROCESS, NEW_TIME, OLD_TIME, RUN_LVL, logins
from tests.fakelive import FakeLive
from tests.records import NOW, A, record
from tests.scenes import scene


def boot(at: int) -> bytes:
    return record("reboot", "6.1.0", "~", at, BOOT_TIME, 0)


def down(at: int) -> bytes:
    return record("shutdown", "6.1.0", "~", at, RUN_LVL, 0)


def logout(at: int, line: str = "pts/0", pid: int = 900) -> bytes:
    return record("", "", line, at, DEAD_PROCESS, pid)


def write(root: Path, *records: bytes, name: str = "var/log/wtmp") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(records))
    return path


def look(root: Path, **more: object) -> Attendance:
    return attendance(scene(os.fsencode(root), now=NOW + 1000, **more))  # type: ignore[arg-type]


def ends(found: Attendance) -> list[tuple[str, float, float, str]]:
    return [(one.user, one.began - NOW, one.ended and one.ended - NOW, one.end) for one in found.sessions]


def register(*records: bytes) -> Register:
    found = Register()
    found.part("wtmp")
    for number, one in enumerate(logins(b"".join(records))):
        found.feed(number, one)
    found.finish()
    return found


def odd(*records: bytes) -> list[tuple[str, str]]:
    return [(one.what, one.source) for one in register(*records).odd]


def test_a_session_ends_with_its_logout_the_next_login_a_shutdown_or_a_boot(tmp_path: Path) -> None:
    write(
        tmp_path,
        boot(NOW - 900), record(at=NOW - 800), logout(NOW - 700),
        record("bob", line="pts/1", at=NOW - 650), record("carol", line="pts/1", at=NOW - 600),
        down(NOW - 500), boot(NOW - 400), record("dave", line="tty1", host="", at=NOW - 300),
        boot(NOW - 200), record("erin", at=NOW - 100),
    )  # fmt: skip
    found = look(tmp_path)
    assert ends(found) == [
        ("alice", -800, -700, LOGOUT), ("bob", -650, -600, REPLACED), ("carol", -600, -500, DOWN),
        ("dave", -300, -200, CRASH), ("erin", -100, 0, OPEN),
    ]  # fmt: skip
    assert [(one.at - NOW, one.down and one.down - NOW) for one in found.boots] == [
        (-900, 0), (-400, -500), (-200, 0),
    ]  # fmt: skip
    assert found.sessions[0].origin == A
    assert found.sessions[3].origin == "console"


def test_who_was_there(tmp_path: Path) -> None:
    write(
        tmp_path,
        record("root", line="tty1", host="", at=NOW - 30 * 86400),
        record(at=NOW - 800), logout(NOW - 700), record("bob", at=NOW - 600),
    )  # fmt: skip
    found = look(tmp_path)
    assert [one.user for one in found.at(NOW - 750)] == ["root", "alice"]
    assert [one.user for one in found.at(NOW - 650)] == ["root"]
    assert [one.user for one in found.at(NOW)] == ["root", "bob"]
    assert found.covers(NOW)
    assert not found.covers(NOW - 31 * 86400)
    (tmp_path / "none").mkdir()
    assert not look(tmp_path / "none").covers(NOW)


def test_a_session_without_an_end_is_believed_while_something_of_it_is_there(tmp_path: Path) -> None:
    live = FakeLive(now=5000.0)
    here = live.add_process(b"/usr/sbin/sshd", age=3000.0)
    write(
        tmp_path,
        record("here", line="pts/0", at=NOW - 1990, pid=here),
        record("gone", line="pts/1", at=NOW - 1980, pid=70),
        record("used", line="pts/2", at=NOW - 4000, pid=here),
        record("noted", line="pts/3", at=NOW - 1970, pid=71),
    )  # fmt: skip
    write(tmp_path, record("noted", line="pts/3", at=NOW - 1970, pid=71), name="run/utmp")
    found = look(tmp_path, live=live)
    assert {one.user: one.end for one in found.sessions} == {
        "here": OPEN, "gone": LOST, "used": LOST, "noted": OPEN,
    }  # fmt: skip


def test_who_is_here_although_no_record_of_the_past_says_so(tmp_path: Path) -> None:
    write(tmp_path, record(at=NOW - 50), name="run/utmp")
    session = tmp_path / "run/systemd/sessions/7"
    session.parent.mkdir(parents=True)
    session.write_text(
        f"USER=bob\nSTATE=active\nREMOTE=1\nREMOTE_HOST={A}\nSERVICE=sshd\nCLASS=user\n"
        f"TTY=pts/4\nLEADER=7\nREALTIME={NOW}000000\n"
    )
    found = look(tmp_path)
    assert [(one.user, one.source) for one in found.at(NOW)] == [
        ("alice", "/run/utmp"), ("bob", "/run/systemd/sessions/7"),
    ]  # fmt: skip


def test_short_sessions_one_after_the_other_are_several(tmp_path: Path) -> None:
    write(tmp_path, *(one for n in range(9) for one in (record(at=NOW + n), logout(NOW + n))))
    assert len(look(tmp_path).sessions) == 9


def test_archives_come_first_compressed_or_not(tmp_path: Path) -> None:
    for age, name in ((3, "wtmp.3.gz"), (2, "wtmp-20251101"), (1, "wtmp.1")):
        data = record(f"user{age}", at=NOW - age * 1000) + logout(NOW - age * 1000 + 10)
        path = write(tmp_path, gzip.compress(data) if name.endswith("gz") else data, name=f"var/log/{name}")
        os.utime(path, (NOW - age * 1000,) * 2)
    write(tmp_path, record("now"))
    found = look(tmp_path)
    assert [one.user for one in found.sessions] == ["user3", "user2", "user1", "now"]
    assert found.sessions[0].source == "/var/log/wtmp.3.gz, record 1"
    assert found.covers(NOW - 2999)


def database(path: Path, *rows: tuple[object, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as made:
        made.execute(
            "CREATE TABLE IF NOT EXISTS wtmp(ID INTEGER PRIMARY KEY, Type INTEGER, User TEXT NOT NULL, "
            "Login INTEGER, Logout INTEGER, TTY TEXT, RemoteHost TEXT, Service TEXT) STRICT"
        )
        made.executemany(
            "INSERT INTO wtmp(Type, User, Login, Logout, TTY, RemoteHost, Service) VALUES(?,?,?,?,?,?,?)",
            rows,
        )
        made.commit()


def test_what_wtmpdb_tells(tmp_path: Path) -> None:
    micro = 10**6
    database(
        tmp_path / "var/lib/wtmpdb/wtmp.db",
        (1, "reboot", (NOW - 900) * micro, (NOW - 500) * micro, "~", "6.12", None),
        (3, "alice", (NOW - 800) * micro, (NOW - 700) * micro, "pts/0", A, "sshd"),
        (3, "bob", (NOW - 650) * micro, None, "pts/1", A, "sshd"),
        (1, "reboot", (NOW - 400) * micro, None, "~", "6.12", None),
        (3, "carol", (NOW - 300) * micro, None, "tty1", None, "login"),
    )
    found = look(tmp_path)
    assert not found.database
    assert ends(found) == [
        ("alice", -800, -700, LOGOUT), ("bob", -650, -400, DOWN), ("carol", -300, 0, OPEN),
    ]  # fmt: skip
    assert [(one.at - NOW, one.down and one.down - NOW) for one in found.boots] == [(-900, 0), (-400, -500)]
    assert found.sessions[2].origin == "console"
    assert found.sessions[0].source == "/var/lib/wtmpdb/wtmp.db, row 2"


def test_values_of_rows_that_fit_and_of_those_that_do_not(tmp_path: Path) -> None:
    path = tmp_path / "wtmp.db"
    database(path, *((3, f"user{n}", n, None, "pts/0", A, "sshd") for n in range(1, 3000)))
    database(path, (3, "long", 1, 2, "pts/0", "x" * 9000, "sshd"), (3, "after", 1, 2, "pts/0", A, "sshd"))
    told = values_of(path.read_bytes(), b"wtmp", 5000)
    assert told is not None
    count, values = told
    assert len(values) == count == rows_of(path.read_bytes()) == 3001
    assert values[0] == [None, 3, b"user1", 1, None, b"pts/0", A.encode(), b"sshd"]
    assert values[-2] == [None, 3, b"long", 1, 2, b"pts/0"]
    assert values[-1][2] == b"after"
    assert values_of(path.read_bytes(), b"other", 5000) == (0, [])
    assert values_of(path.read_bytes(), b"wtmp", 2) == (3001, values[-2:])
    stopped = values_of(path.read_bytes(), b"wtmp", 5000, lambda: True)
    assert stopped is not None
    assert stopped[0] < 3001


SIZE = 4096
CELL = b"\x20\1\x20" + b"\x08" * 31  # a row of 31 columns: zeros, which take no bytes


def forged(root: int, *pages: bytes) -> bytes:
    """A file with a table `wtmp` whose root is the page of that number; the first after the schema is 2."""
    name = b"table" + b"wtmp" * 2 + bytes([root])
    row = bytes([6 + len(name), 1, 6, 23, 21, 21, 1, 0]) + name
    first = bytearray(SIZE)
    first[:18] = b"SQLite format 3\0" + SIZE.to_bytes(2, "big")
    first[100:110] = page_of(0x0D, [SIZE - len(row)])
    first[-len(row) :] = row
    return bytes(first) + b"".join(page.ljust(SIZE, b"\0") for page in pages)


def page_of(kind: int, offsets: list[int], last: int = 0) -> bytes:
    right = struct.pack(">I", last) if kind == 5 else b""
    return (
        struct.pack(">BHHHB", kind, 0, len(offsets), 0, 0)
        + right
        + struct.pack(f">{len(offsets)}H", *offsets)
    )


def test_a_forged_database_that_is_one() -> None:
    page = page_of(0x0D, [SIZE - len(CELL)]).ljust(SIZE - len(CELL), b"\0") + CELL
    assert values_of(forged(2, page), b"wtmp", 10) == (1, [[0] * 31])
    inner = page_of(5, [2000], 4).ljust(2000, b"\0") + struct.pack(">I", 3) + b"\1"
    assert rows_of(forged(2, inner, page, page)) == 2


@pytest.mark.parametrize(
    "pages",
    [
        [page_of(0x0D, [SIZE - len(CELL)] * 1500).ljust(SIZE - len(CELL), b"\0") + CELL],
        [page_of(0x0D, [SIZE - 2]).ljust(SIZE - 2, b"\0") + CELL[:2], CELL[2:]],
        [page_of(5, [], 2)],
        [page_of(5, [], 3), page_of(5, [], 2)],
        [page_of(5, [], 9)],
    ],
    ids=["one cell for all rows", "a cell in two pages", "a page below itself", "a circle", "no such page"],
)
def test_no_byte_is_part_of_two_rows_and_no_page_is_visited_twice(pages: list[bytes]) -> None:
    assert values_of(forged(2, *pages), b"wtmp", 5000) is None


@given(st.binary(max_size=3000))
def test_any_bytes_are_a_database_or_none(data: bytes) -> None:
    for given_ in (data, b"SQLite format 3\0\x02\0" + data):
        values_of(given_, b"wtmp", 5000)


def test_steps_of_the_clock() -> None:
    found = register(record("", "", "{", NOW, NEW_TIME), record("", "", "|", NOW, OLD_TIME),
                   record("", "", "{", NOW + 7200, NEW_TIME))  # fmt: skip
    assert [(one.before, one.after) for one in found.steps] == [(NOW, NOW + 7200)]


BLANK = bytes(384)


def test_records_that_were_zeroed_or_garbled() -> None:
    assert odd(record(), BLANK, record(at=NOW + 10)) == [("zeroed", "wtmp, record 2")]
    assert odd(record(), b"\xff" * 384, record(at=NOW + 10)) == [("garbled", "wtmp, record 2")]
    assert odd(record(), record(at=NOW - 90_000)) == [("backwards", "wtmp, record 2")]
    assert odd(boot(NOW), record(), logout(NOW + 5), down(NOW + 10)) == []


def test_zeros_that_a_power_cut_left() -> None:
    found = register(record(), BLANK, record(at=NOW + 10), BLANK, BLANK, boot(NOW + 20))
    assert [(one.what, one.crash) for one in found.odd] == [
        ("zeroed", False), ("zeroed", True), ("zeroed", True),
    ]  # fmt: skip
    found = register(record(), down(NOW + 5), BLANK, boot(NOW + 20))
    assert [one.crash for one in found.odd] == [False]


def test_a_logout_without_its_login() -> None:
    """What zap and its like leave: the record that holds no name."""
    assert odd(boot(NOW - 9), logout(NOW)) == [("orphan", "wtmp, record 2")]
    assert odd(record(), logout(NOW + 5), logout(NOW + 500, pid=950)) == [("orphan", "wtmp, record 3")]
    assert odd(boot(NOW - 9), record(), logout(NOW + 5), logout(NOW + 6)) == []  # told twice
    assert odd(logout(NOW)) == []  # its login may be in an archive
    assert odd(boot(NOW - 9), logout(NOW, "tty1")) == []  # a getty that nobody used
    getty = record("LOGIN", "", "pts/0", NOW - 5, LOGIN_PROCESS)
    assert odd(boot(NOW - 9), getty, logout(NOW)) == []  # the same in a container


def test_a_clock_that_is_set_after_the_host_came_up() -> None:
    """What was written until then has another year; nobody logs in before."""
    future = NOW + 400 * 86400
    getty = record("LOGIN", "", "tty1", future + 3, LOGIN_PROCESS)
    found = register(boot(future), getty, record(), logout(NOW + 60), record(at=NOW + 100))
    assert [(one.what, one.crash) for one in found.odd] == [("backwards", True)]
    found = register(boot(future), record(at=future + 9), record())
    assert [(one.what, one.crash) for one in found.odd] == [("backwards", False)]


def test_a_huge_file_of_garbage_has_an_end(tmp_path: Path) -> None:
    path = write(tmp_path, b"")
    os.truncate(path, 2 << 30)
    began = time.monotonic()
    found = look(tmp_path)
    assert time.monotonic() - began < 10
    (book,) = found.books
    assert book.cut
    assert LARGEST - 384 * 400 <= book.size - book.skipped <= LARGEST
    assert found.register.odds["zeroed"] == (book.size - book.skipped) // 384


def test_a_bomb_in_an_archive_has_an_end(tmp_path: Path) -> None:
    write(tmp_path, gzip.compress(bytes(200 << 20)), name="var/log/wtmp.1.gz")
    write(tmp_path, record())
    found = look(tmp_path)
    assert found.books[0].cut
    assert found.register.odds["zeroed"] == LARGEST // 384
    assert [one.user for one in found.sessions] == ["alice"]


@given(st.lists(st.binary(min_size=384, max_size=384), max_size=8))
def test_any_bytes_are_records(records: list[bytes]) -> None:
    found = register(*records)
    assert all(not one.ended or one.ended >= one.began for one in found.sessions)


def test_this_machine() -> None:
    found = attendance(scene())
    assert found.at(time.time()) is not None


def test_it_is_made_once(tmp_path: Path) -> None:
    one = scene(os.fsencode(tmp_path))
    assert attendance(one) is attendance(one)
