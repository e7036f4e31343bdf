"""The logs sensor over a real folder: what only grows or is rotated is silent, all else is told once."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import sqlite3
import struct
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostguardd import utmp
from hostguardd.facts.logs import STATES
from hostguardd.host.files import LinuxFiles
from hostguardd.host.pages import rows_of
from hostguardd.host.texts import LinuxTexts
from hostguardd.model import Depth, LogFact, Row
from hostguardd.sections import LogsConfig
from hostguardd.sensors.archives import CHUNK, archived, contents, log_of, unpacked
from hostguardd.sensors.growing import BLOCK, Prefix
from hostguardd.sensors.histories import users
from hostguardd.sensors.journals import HEADER, header
from hostguardd.sensors.logs import CHECKPOINT, LogsSensor
from hostguardd.sentences import sentence
from tests import rights
from tests.alerts import LOG, NAMES, drift
from tests.unit.test_utmp import NOON, login, packed

LINE = "Nov 23 13:20:%02d web1 sshd[812]: Failed password for root from 203.0.113.9 port 4242 ssh2 %06d\n"
ALICE = os.geteuid() or 1000
"""An ordinary user's files are their own."""
NOBODY = 65534 if ALICE != 65534 else 65533


def lines(count: int, first: int = 0) -> bytes:
    return "".join(LINE % (n % 60, n) for n in range(first, first + count)).encode()


def content(path: str | Path, count: int, first: int) -> bytes:
    """What belongs into the file at `path`."""
    if Path(path).name != "wtmp":
        return lines(count, first)
    return b"".join(packed(login(NOON + first + n)) for n in range(count))


class Machine:
    """A host in a folder, and a sensor that watches it. `tick` is its clock."""

    def __init__(self, top: Path) -> None:
        self.top = top
        for folder in ("var/log/journal", "etc/logrotate.d", "root", "home/alice", "run"):
            (top / folder).mkdir(parents=True)
        (top / "etc/passwd").write_text(
            "root:x:0:0::/root:/bin/bash\n"
            f"alice:x:{ALICE}:1000::/home/alice:/bin/bash\n"
            f"nobody:x:{NOBODY}:65534::/:/bin/sh\n"
        )
        self.now = 1_000.0
        self.begin()

    def begin(self) -> LogsSensor:
        """A daemon's new life."""
        files = LinuxFiles(os.fsencode(self.top))
        self.sensor = LogsSensor(
            files,
            LinuxTexts(files),
            LogsConfig(),
            2.0,
            lambda: int(self.now * 1e9),
            lambda: int(self.now * 1e9),
        )
        return self.sensor

    def path(self, path: str) -> Path:
        return self.top / path.lstrip("/")

    def write(self, path: str, data: bytes) -> Path:
        place = self.path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return place

    def append(self, path: str, data: bytes) -> None:
        with self.path(path).open("ab") as file:
            file.write(data)

    def rows(self, depth: Depth = Depth.QUICK) -> list[Row]:
        found = list(self.sensor.sweep(depth, lambda: False))
        assert [sweep.scope for sweep in found] == ["histories", "logs", "records"]
        return [row for sweep in found for row in sweep.rows]

    def look(self, depth: Depth = Depth.QUICK) -> dict[str, str]:
        """What the poll finds: states by path, of all that are not whole."""
        self.now += 2.5
        if depth is Depth.FULL or self.sensor.changed():
            self.last = self.rows(depth)
        return {
            os.fsdecode(fact.path): fact.state if fact.incidents == 1 else f"{fact.state} {fact.incidents}"
            for fact in map(LogFact.of, self.last)
            if fact.incidents
        }

    def restart(self) -> None:
        """The daemon ends and begins again, with what the store kept."""
        rows = self.last
        self.begin().recall(rows)

    def busy(self) -> None:
        """The checkpoint's time has come."""
        self.now += CHECKPOINT
        self.look()


SECURE = "/var/log/secure"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.write(SECURE, lines(900))
    made.write("/var/log/messages", lines(30))
    made.write("/var/log/nginx/access.log", lines(3))
    made.write("/root/.bash_history", b"ls\n" * 200)
    made.write("/home/alice/.bash_history", b"make\n" * 200)
    rights.give(made.path("/home/alice/.bash_history"), ALICE)
    made.write("/var/log/wtmp", b"".join(packed(login(NOON + n)) for n in range(20)))
    assert made.look(Depth.FULL) == {}
    return made


# -- what a healthy host does ----------------------------------------------------------------------


def test_growing_is_silent_and_costs_the_store_nothing(machine: Machine) -> None:
    before = machine.last
    for n in range(5):
        machine.append(SECURE, lines(50, 1000 + n))
        assert machine.look() == {}
    assert machine.last == before
    machine.now += CHECKPOINT
    assert machine.look() == {}
    assert machine.last != before


def rename_and_create(path: Path) -> None:
    path.rename(f"{path}.1")
    path.write_bytes(b"")


def rename_only(path: Path) -> None:
    path.rename(f"{path}-20251123")


def copy_and_truncate(path: Path) -> None:
    shutil.copy(path, f"{path}.1")
    os.truncate(path, 0)


def compress(pack: Callable[[bytes], bytes], suffix: str) -> Callable[[Path], None]:
    def rotate(path: Path) -> None:
        Path(f"{path}-20251123.{suffix}").write_bytes(pack(path.read_bytes()))
        path.unlink()
        path.write_bytes(b"")

    return rotate


def into_olddir(path: Path) -> None:
    place = path.parent / "elsewhere"
    place.mkdir()
    (path.parents[2] / "etc/logrotate.d/x").write_text(f"{path} {{\n  olddir elsewhere\n}}\n")
    path.rename(place / f"{path.name}.1")


def twice(path: Path) -> None:
    path.rename(f"{path}.2")
    Path(f"{path}.1").write_bytes(content(path, 5, 7000))
    path.write_bytes(content(path, 1, 8000))


ROTATIONS = [
    rename_and_create, rename_only, copy_and_truncate, into_olddir, twice,
    compress(gzip.compress, "gz"), compress(lzma.compress, "xz"), compress(bz2.compress, "bz2"),
    compress(lambda data: b"\x28\xb5\x2f\xfd" + data[:99], "zst"),
]  # fmt: skip


@pytest.mark.parametrize("rotate", ROTATIONS)
@pytest.mark.parametrize("path", [SECURE, "/var/log/wtmp"])
@pytest.mark.parametrize("dead", [False, True])
def test_rotation_is_no_wipe(machine: Machine, rotate: Callable[[Path], None], path: str, dead: bool) -> None:
    machine.append(path, content(path, 9, 5000))
    machine.busy()
    if dead:
        machine.restart()
    rotate(machine.path(path))
    assert machine.look() == {}
    if machine.path(path).exists():
        machine.append(path, content(path, 7, 9000))
    assert machine.look() == {}
    assert machine.look(Depth.FULL) == {}


def test_a_rotation_that_kept_only_the_beginning_is_a_wipe(machine: Machine) -> None:
    path = machine.path(SECURE)
    Path(f"{path}.1").write_bytes(path.read_bytes()[:5000])
    os.truncate(path, 0)
    assert machine.look() == {SECURE: "emptied"}


def doctored(log: bytes) -> bytes:
    """The log without what one line of its end tells, as long as before."""
    at = log.rindex(b"203.0.113.9")
    return log[:at] + b"192.0.2.100" + log[at + 11 :]


@pytest.mark.parametrize(
    ("name", "pack"),
    [("1", bytes), ("gz", gzip.compress), ("xz", lzma.compress), ("bz2", bz2.compress)],
    ids=["plain", "gzip", "xz", "bzip2"],
)
@pytest.mark.parametrize("dead", [False, True])
def test_a_rotation_that_took_a_line_out_on_the_way_is_a_wipe(
    machine: Machine, name: str, pack: Callable[[bytes], bytes], dead: bool
) -> None:
    path = machine.path(SECURE)
    machine.busy()
    log = path.read_bytes()
    assert len(log) > BLOCK
    if dead:
        machine.restart()
    Path(f"{path}.{name}").write_bytes(pack(doctored(log)))
    os.truncate(path, 0)
    assert machine.look() == {SECURE: "emptied"}


def test_an_archive_in_several_pieces_is_one(machine: Machine) -> None:
    path = machine.path(SECURE)
    log = path.read_bytes()
    Path(f"{path}.gz").write_bytes(gzip.compress(log[:5000]) + gzip.compress(log[5000:]))
    found = b"".join(contents(iter([Path(f"{path}.gz").read_bytes()])))
    assert found == log


@given(
    st.lists(st.binary(max_size=300), max_size=5), st.sampled_from([b"", b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh9"])
)
def test_any_bytes_are_contents_that_end(chunks: list[bytes], magic: bytes) -> None:
    if chunks:
        chunks[0] = magic + chunks[0]
    for part in contents(iter(chunks)):
        assert len(part) <= CHUNK


def test_an_archive_s_name_proves_nothing(machine: Machine) -> None:
    path = machine.path(SECURE)
    Path(f"{path}.1").write_bytes(lines(2000, 9))
    Path(f"{path}-20251123.gz").write_bytes(gzip.compress(lines(2000, 10)))
    path.unlink()
    assert machine.look() == {SECURE: "gone"}


def test_after_a_long_time_in_the_dark_a_removed_archive_says_nothing(machine: Machine) -> None:
    for path in (machine.path(SECURE), machine.path(f"{SECURE}.1")):
        path.write_bytes(lines(5, 40_000))
        os.utime(path, (path.stat().st_mtime + 9 * 86_400,) * 2)
    machine.path(SECURE).unlink()
    machine.path(SECURE).write_bytes(lines(2, 60_000))
    machine.restart()
    assert machine.look() == {}


def test_an_archive_nobody_can_read_must_be_younger(machine: Machine) -> None:
    old = machine.write(f"{SECURE}-20251101.zst", b"\x28\xb5\x2f\xfd" + bytes(9))
    os.utime(old, (NOON, NOON))
    machine.look()
    machine.restart()
    machine.path(SECURE).write_bytes(b"")
    assert machine.look() == {SECURE: "emptied"}


# -- what an intruder does ------------------------------------------------------------------------


def cut(path: Path) -> None:
    os.truncate(path, 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def delete(path: Path) -> None:
    path.unlink()


def recreate(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"")


def to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/null")


def to_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def grep_away(path: Path) -> None:
    """`grep -v … > tmp; mv tmp log`, as `sed -i` does it."""
    new = path.with_name("tmp")
    data = path.read_bytes()
    new.write_bytes(data[:384] + data[768:])
    new.rename(path)


def grep_into(path: Path) -> None:
    path.write_bytes(path.read_bytes()[384:])


def overwrite(path: Path) -> None:
    """Change an address in place, and put the times back."""
    seen = path.stat()
    with path.open("r+b") as file:
        file.seek(seen.st_size // 2)
        file.write(b"X" * 12)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def overwrite_and_grow(path: Path) -> None:
    overwrite(path)
    with path.open("ab") as file:
        file.write(lines(1, 4000))


WIPES = [
    (cut, "truncated"), (empty, "emptied"), (delete, "gone"), (recreate, "emptied"), (to_nowhere, "linked"),
    (to_fifo, "replaced"), (grep_away, "rewritten"), (grep_into, "truncated"), (overwrite, "edited"),
]  # fmt: skip


@pytest.mark.parametrize(("wipe", "state"), WIPES, ids=lambda one: getattr(one, "__name__", one))
@pytest.mark.parametrize("dead", [False, True], ids=["awake", "dead"])
@pytest.mark.parametrize("path", [SECURE, "/var/log/wtmp", "/var/log/messages"])
def test_a_wipe_is_told_once(
    machine: Machine, wipe: Callable[[Path], None], state: str, dead: bool, path: str
) -> None:
    if dead:
        machine.restart()
    wipe(machine.path(path))
    told = machine.look()
    assert told == {path: state}
    machine.restart()
    assert machine.look() == told
    if not machine.path(path).is_file() or state == "linked":
        machine.path(path).unlink(missing_ok=True)
    machine.append(path, content(path, 4, 9000))
    assert machine.look() == told, "it stays what was done to it until somebody approves"
    os.truncate(machine.path(path), 0)
    assert machine.look() == {path: "emptied 2"}


def test_an_edit_before_what_is_written_meanwhile_is_found_by_reading_again(machine: Machine) -> None:
    overwrite_and_grow(machine.path(SECURE))
    machine.look()
    machine.now += 30
    machine.look()
    machine.now += 30
    assert machine.look() == {SECURE: "edited"}


def test_a_long_log_is_read_a_little_at_a_time_and_known_to_its_last_block(machine: Machine) -> None:
    path = "/var/log/long.log"
    machine.write(path, lines(200_000))
    for _ in range(9):
        assert machine.look() == {}
    machine.append(path, lines(1))
    with machine.path(path).open("r+b") as file:
        file.seek(15_000_000)
        file.write(b"evil")
    assert machine.look(Depth.FULL) == {path: "edited"}


def test_records_that_no_program_writes(machine: Machine) -> None:
    machine.append("/var/log/wtmp", bytes(384))
    assert machine.look() == {"/var/log/wtmp": "flawed"}


def test_utmp_slots_are_never_zeroed(machine: Machine) -> None:
    both = [login(), login(user=b"mallory")]
    machine.write("/run/utmp", b"".join(map(packed, both)))
    machine.now += 60
    assert machine.look() == {}
    machine.write("/run/utmp", packed(both[0]) + packed(login(kind=utmp.DEAD_PROCESS, user=b"", host=b"")))
    assert machine.look() == {}
    machine.write("/run/utmp", packed(both[0]) + bytes(384))
    assert machine.look() == {"/run/utmp": "erased"}


def lastlog(**at: int) -> bytes:
    raw = bytearray(292 * (ALICE + 1))
    for uid, when in ((0, at.get("root", 0)), (ALICE, at.get("alice", 0))):
        raw[uid * 292 : uid * 292 + 4] = struct.pack("=I", when)
    return bytes(raw)


def test_a_last_login_may_move_on_but_not_vanish(machine: Machine) -> None:
    path = "/var/log/lastlog"
    machine.write(path, lastlog(root=NOON, alice=NOON))
    machine.now += 60
    assert machine.look() == {}
    machine.write(path, lastlog(root=NOON + 60, alice=NOON))
    assert machine.look() == {}
    machine.write(path, lastlog(root=NOON + 60))
    assert machine.look() == {path: "erased"}


def test_the_last_login_of_an_account_that_shares_its_home_may_not_vanish_either(machine: Machine) -> None:
    table = machine.path("/etc/passwd")
    table.write_text(table.read_text() + "ops:x:500:500::/home/alice:/bin/sh\n")
    path, raw = "/var/log/lastlog", bytearray(lastlog(root=NOON))
    raw[500 * 292 : 500 * 292 + 4] = struct.pack("=I", NOON)
    machine.write(path, bytes(raw))
    machine.now += 60
    assert machine.look() == {}
    machine.write(path, lastlog(root=NOON))
    assert machine.look() == {path: "erased"}


def wtmpdb(path: Path, command: str) -> None:
    with closing(sqlite3.connect(path)) as made:
        made.execute(
            "CREATE TABLE IF NOT EXISTS wtmp(ID INTEGER PRIMARY KEY, Type INTEGER, User TEXT, Login INTEGER)"
        )
        made.execute(command)
        made.commit()


def test_logins_that_are_deleted_from_a_database(machine: Machine) -> None:
    path = machine.path("/var/lib/wtmpdb/wtmp.db")
    path.parent.mkdir(parents=True)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < 3000)"
    wtmpdb(path, f"INSERT INTO wtmp(Type, User, Login) {numbers} SELECT 1, 'alice', i FROM n")
    machine.now += 60
    assert machine.look() == {}
    assert rows_of(path.read_bytes()) == 3000
    wtmpdb(path, "DELETE FROM wtmp WHERE ID = 7")
    machine.look()
    assert machine.look() == {"/var/lib/wtmpdb/wtmp.db": "erased"}


# -- archives -------------------------------------------------------------------------------------

DAY = 86_400


@pytest.fixture
def shelf(machine: Machine) -> Machine:
    """A log with archives of the last days."""
    machine.now = 9_000_000.0
    for age in (1, 2, 3, 4):
        path = machine.write(f"{SECURE}.{age}", lines(50, age * 100))
        os.utime(path, (machine.now - age * DAY,) * 2)
    assert machine.look() == {}
    machine.now += 61
    assert machine.look() == {}
    return machine


def test_the_oldest_archives_may_go(shelf: Machine) -> None:
    for age in (4, 3):
        shelf.path(f"{SECURE}.{age}").unlink()
    assert shelf.look() == {}


def test_archives_may_be_packed_and_moved_on(shelf: Machine) -> None:
    for age in (4, 3, 2, 1):
        path = shelf.path(f"{SECURE}.{age}")
        new = shelf.write(f"{SECURE}.{age + 1}.gz", gzip.compress(path.read_bytes()))
        shutil.copystat(path, new)
        path.unlink()
    assert shelf.look() == {}


@pytest.mark.parametrize("ages", [(1,), (2, 3), (1, 2, 3, 4)])
def test_others_may_not(shelf: Machine, ages: tuple[int, ...]) -> None:
    for age in ages:
        shelf.path(f"{SECURE}.{age}").unlink()
    assert shelf.look() == {SECURE: "pruned"}
    assert shelf.look() == {SECURE: "pruned"}


def test_an_archive_is_not_written_to(shelf: Machine) -> None:
    shelf.append(f"{SECURE}.2", b"x")
    shelf.now += 61
    assert shelf.look() == {SECURE: "pruned"}


@pytest.mark.parametrize(
    ("name", "log"),
    [("secure.1", "secure"), ("access_ssl.log.2.gz", "access_ssl.log"), ("app-20251123.log", "app"),
     ("messages-20251123", "messages"), ("mail.err", ""), ("access.log", "")],
)  # fmt: skip
def test_whose_archive_it_is(name: str, log: str) -> None:
    assert log_of(name.encode()) == log.encode()


# -- histories ------------------------------------------------------------------------------------

HISTORY = "/home/alice/.bash_history"


def look_twice(machine: Machine) -> dict[str, str]:
    machine.look()
    return machine.look()


def test_a_shell_that_writes_its_history_anew_is_silent(machine: Machine) -> None:
    path = machine.path(HISTORY)
    path.write_bytes(b"")  # caught in the middle of it
    assert machine.look() == {}
    path.write_bytes(b"make\n" * 170 + b"ls\n")
    assert look_twice(machine) == {}
    path.with_suffix(".new").write_bytes(b"make\n" * 160)
    shutil.copystat(path, path.with_suffix(".new"))
    rights.give(path.with_suffix(".new"), ALICE)
    path.with_suffix(".new").rename(path)
    assert look_twice(machine) == {}


@pytest.mark.parametrize(
    ("wipe", "state"),
    [(empty, "emptied"), (delete, "gone"), (to_nowhere, "linked"), (to_fifo, "replaced"), (cut, "truncated"),
     (lambda path: path.chmod(0o400), "locked")],
)  # fmt: skip
@pytest.mark.parametrize("dead", [False, True], ids=["awake", "dead"])
def test_a_wiped_history_is_told_once(
    machine: Machine, wipe: Callable[[Path], None], state: str, dead: bool
) -> None:
    if dead:
        machine.restart()
    wipe(machine.path(HISTORY))
    told = look_twice(machine)
    assert told == {HISTORY: state}
    machine.restart()
    assert look_twice(machine) == told
    (row,) = [row for row in machine.last if row[1] == HISTORY.encode()]
    assert LogFact.of(row).owner == b"alice"


def test_who_leaves_takes_the_history_along(machine: Machine) -> None:
    machine.write("/etc/passwd", b"root:x:0:0::/root:/bin/bash\n")
    shutil.rmtree(machine.path("/home/alice"))
    assert look_twice(machine) == {}
    assert HISTORY.encode() not in [row[1] for row in machine.last]


@pytest.mark.parametrize("path", [HISTORY, SECURE])
def test_what_is_made_immutable_is_told(machine: Machine, path: str) -> None:
    place = machine.path(path)
    if shutil.which("chattr") is None or subprocess.run(["chattr", "+i", place], check=False).returncode:
        pytest.skip("this file system has no immutable files, or we may not make any")
    try:
        assert machine.look() == {path: "locked"}
        machine.restart()
        assert machine.look() == {path: "locked"}
    finally:
        subprocess.run(["chattr", "-i", place], check=True)
    machine.append(path, b"more\n")
    assert machine.look() == {path: "locked"}


def test_an_account_of_a_directory_service_has_a_history_too(machine: Machine) -> None:
    machine.write("/home/lea/.bash_history", b"make\n" * 99)
    assert machine.look() == {}
    machine.path("/home/lea/.bash_history").unlink()
    assert look_twice(machine) == {"/home/lea/.bash_history": "gone"}


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_its_words(state: str) -> None:
    before = replace(LOG, state="whole", incidents=0)
    told = sentence(drift(before, replace(LOG, state=state, detail=b"/dev/null")), NAMES)
    assert "/var/log/messages" in told
    assert f"is {state}" not in told or state == "whole"


def test_a_history_born_as_a_link_is_told(machine: Machine) -> None:
    machine.path("/root/.zsh_history").symlink_to("/dev/null")
    assert machine.look() == {"/root/.zsh_history": "linked"}


# -- the journal ----------------------------------------------------------------------------------

FOLDER = "/var/log/journal/0123456789abcdef0123456789abcdef"
ACTIVE = f"{FOLDER}/system.journal"


def journal(number: int, entries: int = 10, first: int = NOON, size: int = 4096) -> bytes:
    raw = bytearray(size)
    raw[:8] = b"LPKSHHRH"
    raw[24:40] = number.to_bytes(16, "big")
    struct.pack_into("<QQ", raw, 88, 256, size - 256)
    struct.pack_into("<QQQQQ", raw, 152, entries, number * 1000 + entries, 1, 0, first * 1_000_000)
    return bytes(raw)


@pytest.fixture
def journals(machine: Machine) -> Machine:
    for number in (1, 2, 3):
        machine.write(f"{FOLDER}/system@a-{number}.journal", journal(number, first=NOON + number))
    machine.write(ACTIVE, journal(9))
    machine.now += 60
    assert machine.look() == {}
    return machine


def test_the_journal_s_rotation_and_vacuuming_are_silent(journals: Machine) -> None:
    journals.path(ACTIVE).rename(journals.path(f"{FOLDER}/system@a-9.journal"))
    journals.write(ACTIVE, journal(10))
    journals.path(f"{FOLDER}/system@a-1.journal").unlink()
    assert journals.look() == {}
    journals.write(ACTIVE, journal(10, entries=99, size=8192))
    assert journals.look() == {}
    journals.restart()
    journals.path(ACTIVE).rename(journals.path(f"{FOLDER}/system@b.journal~"))
    journals.write(ACTIVE, journal(11))
    assert journals.look() == {}


@pytest.mark.parametrize(
    ("wipe", "state"),
    [(delete, "gone"), (empty, "emptied"), (cut, "emptied"), (to_nowhere, "linked"),
     (lambda path: os.truncate(path, 1000), "truncated"),
     (lambda path: path.write_bytes(journal(10)), "rewritten"),
     (lambda path: path.write_bytes(journal(9, entries=3)), "edited"),
     (lambda path: [one.unlink() for one in path.parent.glob("system@*")], "pruned"),
     (lambda path: (path.parent / "system@a-3.journal").unlink(), "pruned")],
)  # fmt: skip
def test_a_wiped_journal_is_told_once(journals: Machine, wipe: Callable[[Path], None], state: str) -> None:
    wipe(journals.path(ACTIVE))
    journals.now += 10
    if state == "emptied" and journals.path(ACTIVE).stat().st_size:
        state = "rewritten"
    assert journals.look() == {ACTIVE: state}
    assert journals.look() == {ACTIVE: state}
    journals.restart()
    assert journals.look() == {ACTIVE: state}


def test_a_real_journal_s_header() -> None:
    found = [
        path for top in ("/var/log/journal", "/run/log/journal") for path in Path(top).glob("*/*.journal")
    ]
    if not found:
        pytest.skip("this host keeps no journal")
    for path in found:
        seen = header(path.read_bytes()[:HEADER])
        assert seen is not None
        assert seen.least <= path.stat().st_size


# -- parsers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("messages", False), ("messages.1", True), ("messages-20251123", True),
        ("messages-20251123.gz", True),
        ("secure.2.xz", True), ("access.log", False), ("access.log.1", True), ("access-2025-11-23.log", True),
        ("catalina.2025-11-23.log", True), ("Xorg.0.log", True), ("postgresql-14-main.log", False),
        ("php8.1-fpm.log", False), ("x.log.old", True), ("system.log~", True), ("dnf.log", False),
        ("messages-2025112313.zst", True),
    ],
)  # fmt: skip
def test_names_of_archives(name: str, is_one: bool) -> None:
    assert archived(name.encode()) is is_one


@given(st.binary(max_size=3000), st.integers(0, 4096))
def test_any_bytes_unpack_to_few_or_none(data: bytes, most: int) -> None:
    for magic in (b"", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"BZh9", b"\x28\xb5\x2f\xfd"):
        found = unpacked(magic + data, most)
        assert found is None or len(found) <= max(most, 1)


def test_a_bomb_gives_no_more_than_was_asked_for() -> None:
    assert unpacked(gzip.compress(bytes(50_000_000)), 4096) == bytes(4096)
    assert unpacked(lzma.compress(bytes(50_000_000)), 4096) == bytes(4096)


@given(st.binary(max_size=2000))
def test_any_bytes_are_accounts(data: bytes) -> None:
    for user in users(data):
        assert user.home.startswith(b"/")
        assert b".." not in user.home.split(b"/")


@given(st.binary(max_size=600))
def test_any_bytes_are_a_journal_or_none(data: bytes) -> None:
    header(data)
    header(b"LPKSHHRH" + data)


@given(st.binary(max_size=3000), st.integers(0, 7))
@settings(max_examples=200)
def test_any_bytes_are_a_database_or_none(data: bytes, power: int) -> None:
    start = b"SQLite format 3\0" + (512 << power & 0xFFFF).to_bytes(2, "big")
    assert rows_of(data) is None
    found = rows_of(start + data)
    assert found is None or found >= 0


@given(st.lists(st.binary(max_size=90_000), max_size=4), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_every_block_of_a_prefix_can_be_proven_alone(pieces: list[bytes], wrong: int) -> None:
    made, again = Prefix(), Prefix()
    for piece in pieces:
        made.feed(piece)
    data = b"".join(pieces)
    again.feed(data)
    assert made.digest() == again.digest()
    for number in range(made.count):
        offset, length = made.span(number)
        block = bytearray(data[offset : offset + length])
        assert made.holds(number, bytes(block))
        block[wrong % length] ^= 1
        assert not made.holds(number, bytes(block))
    assert made.count == -(-len(data) // BLOCK)


# -- the real logrotate ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        "compress", "create 0600", "nocreate", "copytruncate", "copytruncate\ncompress",
        "compress\ndelaycompress",
        "dateext", "dateext\ncompress", "dateext\nextension .log", "rotate 3\nmaxage 1", "rotate 1",
        "createolddir\nolddir ../old", "compress\ncompresscmd /usr/bin/xz\ncompressext .xz",
        "compress\ncompresscmd /usr/bin/zstd\ncompressext .zst", "missingok\nnotifempty\nsharedscripts",
    ],
)  # fmt: skip
def test_logrotate_is_silent(machine: Machine, options: str) -> None:
    program = shutil.which("logrotate", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("logrotate is not installed")
    if "compresscmd" in options and not Path(options.split()[2]).exists():
        pytest.skip(f"{options.split()[2]} is not installed")
    log = "/var/log/app/app.log"
    machine.write(log, lines(500))
    machine.look()
    state = machine.write("/state", b"")
    state.chmod(0o600)
    keep = "" if "rotate" in options.split() else "rotate 3\n"
    config = machine.write("/etc/logrotate.d/app", f"{machine.path(log)} {{\n{keep}{options}\n}}\n".encode())
    config.chmod(0o600)
    for turn in range(5):
        for old in machine.path(log).parent.glob("app*-2*"):  # else only one a day is made
            old.rename(old.with_name(old.name.replace("-2", f"-1{turn}", 1)))
        subprocess.run([program, "-f", "-s", state, config], check=True)
        assert machine.look() == {}
        machine.path(log).touch()
        machine.append(log, lines(200, 1000 * turn))
        assert machine.look() == {}
