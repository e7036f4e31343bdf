"""The history of logins: every way of taking one out of the records, and histories that nobody touched."""

from __future__ import annotations

import gzip
import os
import sqlite3
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.investigate.checks.logins import look
from hostguardd.investigate.interface import Known, Verdict
from hostguardd.investigate.logins.habits import Habits, elsewhere, network
from hostguardd.investigate.logins.register import Session
from hostguardd.utmp import BOOT_TIME, DEAD_PROCESS, LOGIN_PROCESS, SIZE
from tests.fakelive import FakeLive
from tests.records import NOW, A, record
from tests.scenes import Findings, looked, scene

DAY = 86_400
HOME = "198.51.100.7"
PASSWD = (
    "root:x:0:0::/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\nbob:x:1001:1001::/home/bob:/bin/bash\n"
    "apache:x:48:48::/srv:/sbin/nologin\npostgres:x:26:26::/srv:/bin/bash\n"
)


class Boots:
    """A host that came up 30 days ago."""

    def id(self) -> str:
        return "b"

    def began(self) -> int:
        return (NOW - 30 * DAY) * 10**9

    def ending(self) -> bool:
        return False


def boot(at: int = NOW - 30 * DAY) -> bytes:
    return record("reboot", "6.1.0", "~", at, BOOT_TIME, 0)


def visit(user: str, at: int, host: str = HOME, line: str = "pts/0", pid: int = 900) -> list[bytes]:
    """A login and its logout."""
    return [
        record(user, host, line, at, pid=pid, address=host if host.count(".") == 3 else ""),
        record("", "", line, at + 600, DEAD_PROCESS, pid),
    ]


class Machine:
    """A host on which alice came in daily from HOME at nine in the morning (UTC), for a month."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("run", "var/log", "etc", "var/lib/lastlog"):
            (root / folder).mkdir(parents=True)
        (root / "etc/passwd").write_text(PASSWD)
        self.wtmp = [boot()]
        morning = NOW // DAY * DAY + 9 * 3600
        for day in range(29, 0, -1):
            self.wtmp += visit("alice", morning - day * DAY, pid=900 + day)
            self.wtmp += visit("alice", morning - day * DAY + 3600, pid=950 + day)
        self.last = morning - DAY + 3600

    def lastlog(self, **times: int) -> None:
        """lastlog as sshd writes it, by uid."""
        slots = bytearray(1100 * 292)
        for user, at in times.items():
            uid = {"root": 0, "alice": 1000, "bob": 1001}[user]
            struct.pack_into("=I32s256s", slots, uid * 292, at, b"pts/0", HOME.encode())
        (self.root / "var/log/lastlog").write_bytes(slots)

    def write(self, *records: bytes, name: str = "wtmp", at: int = 0) -> Path:
        path = self.root / "var/log" / name
        data = b"".join(records)
        path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        times = [
            struct.unpack_from("=i", data, start + 340)[0] for start in range(0, len(data) - SIZE + 1, SIZE)
        ]
        moved = at or max([*times, 0]) or NOW
        os.utime(path, (moved, moved))
        return path

    def look(self, **more: object) -> Findings:
        if not (self.root / "var/log/wtmp").exists() and not os.path.lexists(self.root / "var/log/wtmp"):
            self.write(*self.wtmp)
        ports = {"live": FakeLive(now=30.0 * DAY), "boots": Boots(), **more}
        where = scene(os.fsencode(self.root), now=float(NOW), **ports)  # type: ignore[arg-type]
        return looked(look, where)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield Machine(tmp_path)
    time.tzset()


def bad(found: Findings) -> list[str]:
    return [one.name for one in found.items if one.verdict is not Verdict.FINE]


def test_a_history_that_nobody_touched(machine: Machine) -> None:
    machine.lastlog(alice=machine.last)
    found = machine.look()
    assert bad(found) == []
    assert found.unseen == []
    one = found.named(f"alice from {HOME}")
    assert one.details["count"] == 58
    assert one.details["hours"] == ["09: 29", "10: 29"]
    assert len(found.moments) == 12
    moment = found.moments[-1]
    assert (moment.at, moment.until, moment.who) == (machine.last, machine.last + 600, "alice")


def test_a_record_zeroed(machine: Machine) -> None:
    machine.wtmp[9] = bytes(SIZE)
    found = machine.look()
    assert "/var/log/wtmp (zeroed)" in found.suspicious
    one = found.named("/var/log/wtmp (zeroed)")
    assert one.technique == "T1070"
    assert one.evidence[0].source == "/var/log/wtmp, record 10"


def test_a_record_garbled(machine: Machine) -> None:
    machine.wtmp[9] = b"\xff" * SIZE
    assert "/var/log/wtmp (garbled)" in machine.look().suspicious


def test_a_login_taken_out_by_its_name(machine: Machine) -> None:
    """Its logout, which holds no name, stays."""
    del machine.wtmp[-2]
    found = machine.look()
    assert found.suspicious == ["/var/log/wtmp (orphan)"]


def test_a_login_and_its_logout_taken_out(machine: Machine) -> None:
    """lastlog remembers."""
    machine.lastlog(alice=machine.last)
    del machine.wtmp[-2:]
    found = machine.look()
    assert found.suspicious == ["alice on pts/0, missing"]
    assert "lastlog knows of a login of alice" in found.named("alice on pts/0, missing").says


def test_a_login_taken_out_while_it_lasts(machine: Machine) -> None:
    (machine.root / "run/utmp").write_bytes(boot() + record("bob", A, "pts/3", NOW - 50))
    assert machine.look().suspicious == ["bob on pts/3, missing"]
    (machine.root / "run/utmp").write_bytes(boot() + record("bob", A, "pts/3", NOW - 3))
    assert machine.look().suspicious == []  # who came while we looked


def test_windows_and_screens_write_utmp_alone(machine: Machine) -> None:
    ones = [record("bob", host, "pts/3", NOW - 50) for host in ("203.0.113.9:S.0", ":0", "tmux(99).%0")]
    (machine.root / "run/utmp").write_bytes(boot() + b"".join(ones))
    assert bad(machine.look()) == []


def test_the_end_cut_off_and_the_file_written(machine: Machine) -> None:
    machine.write(*machine.wtmp[:-4], at=NOW)
    assert bad(machine.look()) == ["/var/log/wtmp (times)"]


def test_a_file_whose_time_was_set_back(machine: Machine) -> None:
    machine.write(*machine.wtmp, at=NOW - 20 * DAY)
    assert machine.look().suspicious == ["/var/log/wtmp (times)"]


def test_cut_in_the_middle_of_a_record(machine: Machine) -> None:
    machine.write(b"".join(machine.wtmp)[:-100])
    assert "/var/log/wtmp (length)" in machine.look().suspicious


def test_emptied(machine: Machine) -> None:
    machine.lastlog(alice=machine.last)
    machine.write(at=NOW)
    found = machine.look()
    assert found.suspicious == ["/var/log/wtmp (beginning)"]
    assert "is empty" in found.named("/var/log/wtmp (beginning)").says


def test_replaced_by_one_that_begins_later(machine: Machine) -> None:
    machine.lastlog(alice=machine.last)
    machine.write(*visit("bob", NOW - 100))
    assert "/var/log/wtmp (beginning)" in machine.look().suspicious


def test_rotated(machine: Machine) -> None:
    machine.lastlog(alice=machine.last)
    machine.write(*machine.wtmp, name="wtmp.1")
    machine.write(at=NOW)
    assert bad(machine.look()) == []
    (machine.root / "var/log/wtmp.1").unlink()
    machine.write(*machine.wtmp, name="wtmp-20251101.gz")
    assert bad(machine.look()) == []


def test_an_archive_taken_out_of_the_row(machine: Machine) -> None:
    for number in (1, 3):
        machine.write(*machine.wtmp, name=f"wtmp.{number}")
    machine.write(at=NOW)
    assert bad(machine.look()) == ["/var/log/wtmp (archives)"]


def test_led_to_nowhere(machine: Machine) -> None:
    (machine.root / "var/log/wtmp").symlink_to("/dev/null")
    assert machine.look().suspicious == ["/var/log/wtmp"]


def test_a_host_that_does_not_write_wtmp_any_more(machine: Machine) -> None:
    """An upgrade left the old file; logins go to lastlog2 alone."""
    path = machine.root / "var/lib/lastlog/lastlog2.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE Lastlog2(Name TEXT PRIMARY KEY, Time INTEGER, TTY TEXT, RemoteHost TEXT)")
        made.execute("INSERT INTO Lastlog2 VALUES('alice', ?, 'pts/1', ?)", (NOW - 50, HOME))
        made.commit()

    class Later(Boots):
        def began(self) -> int:
            return (NOW - 3600) * 10**9

    assert bad(machine.look(boots=Later())) == []
    assert machine.look().suspicious == ["alice on pts/1, missing"]


def test_lastlog_wiped_of_one(machine: Machine) -> None:
    for number in range(3):
        machine.wtmp += visit("bob", machine.last + 1000 + number, pid=700 + number)
    machine.lastlog(alice=NOW - 100, bob=0)
    machine.wtmp += visit("alice", NOW - 100)
    assert bad(machine.look()) == ["bob in lastlog"]


def test_what_a_power_cut_leaves(machine: Machine) -> None:
    machine.wtmp += [bytes(SIZE), boot(NOW - 2000)]
    found = machine.look()
    assert found.suspicious == []
    assert bad(found) == ["/var/log/wtmp (zeroed)"]


def test_an_unusual_origin(machine: Machine) -> None:
    machine.wtmp += visit("alice", machine.last + DAY - 3600, A)
    found = machine.look()
    assert bad(found) == [f"alice from {A}"]
    assert "never came from there before" in found.named(f"alice from {A}").says
    assert [one.verdict for one in found.moments[-2:]] == [Verdict.FINE, Verdict.NOTABLE]


def test_another_address_of_a_network_that_is_known(machine: Machine) -> None:
    machine.wtmp += visit("alice", machine.last + DAY - 3600, "198.51.9.200")
    assert bad(machine.look()) == []


def test_an_unusual_hour(machine: Machine) -> None:
    early = [one for day in range(60, 29, -1) for one in visit("alice", machine.last - day * DAY)]
    machine.wtmp = early + machine.wtmp + visit("alice", machine.last + 16 * 3600)
    found = machine.look()
    assert bad(found) == [f"alice from {HOME}"]
    assert "02:00" in found.named(f"alice from {HOME}").says


def test_of_who_is_hardly_known_nothing_is_unusual(machine: Machine) -> None:
    machine.wtmp += visit("bob", machine.last + 16 * 3600, A)
    assert bad(machine.look()) == []


def test_accounts_that_nobody_should_log_in_by(machine: Machine) -> None:
    at = machine.last + 1000
    for number, user in enumerate(("apache", "postgres", "root", "ghost")):
        machine.wtmp += visit(user, at + 1000 * number, A)
    found = machine.look()
    assert set(found.suspicious) == {f"apache from {A}", f"ghost from {A}"}
    assert set(bad(found)) == {f"{user} from {A}" for user in ("apache", "ghost", "root", "postgres")}
    assert all(found.named(name).next and found.named(name).means for name in bad(found))


def test_old_logins_of_accounts_that_are_gone(machine: Machine) -> None:
    machine.wtmp[1:1] = visit("carol", NOW - 29 * DAY - 50_000)
    assert bad(machine.look()) == []


def test_refused_logins(machine: Machine) -> None:
    tried = [record("root", A, "ssh:notty", NOW - n, LOGIN_PROCESS) for n in range(40, 0, -1)]
    machine.write(*tried, name="btmp")
    found = machine.look()
    assert bad(found) == []
    assert found.named("refused logins in btmp").details["origins"] == [f"{A}: 40"]
    assert "40 refused logins are recorded, 40 of them" in found.named("refused logins in btmp").says
    machine.write(*tried[:10], bytes(SIZE), *tried[11:], name="btmp")
    assert machine.look().suspicious == ["/var/log/btmp (zeroed)"]


def test_no_refused_login(machine: Machine) -> None:
    machine.write(name="btmp")
    assert machine.look().named("refused logins in btmp").says == "no refused logins are recorded"


def test_a_huge_file_of_garbage(machine: Machine) -> None:
    os.truncate(machine.write(), 2 << 30)
    began = time.monotonic()
    found = machine.look()
    assert time.monotonic() - began < 10
    assert any("too large to be read whole" in one.reason for one in found.unseen)
    assert "/var/log/wtmp (zeroed)" in found.suspicious


def test_many_logins_are_bounded_on_the_time_line(machine: Machine) -> None:
    machine.wtmp += [one for n in range(6000, 0, -1) for one in visit("alice", NOW - n * 10)]
    began = time.monotonic()
    found = machine.look()
    assert time.monotonic() - began < 10
    assert len(found.moments) == 5000
    assert any("older logins of this time" in one.reason for one in found.unseen)


def test_hostile_names_are_shown_harmlessly(machine: Machine) -> None:
    machine.wtmp.append(record("a\x1b[2J", "h\n\x1b", "pts/\x07", NOW - 10))
    for one in machine.look().items:
        assert (one.name + one.says).isprintable()


def test_a_record_that_may_not_be_read(machine: Machine) -> None:
    (machine.root / "var/log/btmp").mkdir()
    found = machine.look()
    assert [one.scope for one in found.unseen] == ["/var/log/btmp"]


def test_a_host_without_records(tmp_path: Path) -> None:
    found = looked(look, scene(os.fsencode(tmp_path)))
    assert bad(found) == []
    assert "keeps no record" in found.named("login history").says


def test_this_machine() -> None:
    assert looked(look, scene()).suspicious == []


class Approved:
    """A baseline in which everything stands to it as `word` says."""

    def __init__(self, word: Known) -> None:
        self.word = word

    def known(self, fact: object) -> Known:
        return self.word


@pytest.mark.parametrize(
    ("word", "user", "verdict"),
    [
        (Known.NEW, "alice", Verdict.NOTABLE), (Known.KNOWN, "alice", Verdict.NOTABLE),
        (Known.KNOWN, "root", Verdict.NOTABLE), (Known.NEW, "root", Verdict.NOTABLE),
        (Known.KNOWN, "ghost", Verdict.SUSPICIOUS),
    ],
)  # fmt: skip
def test_what_the_baseline_says(machine: Machine, word: Known, user: str, verdict: Verdict) -> None:
    machine.write(*machine.wtmp, *visit(user, machine.last + DAY - 3600, A))
    where = scene(os.fsencode(machine.root), now=float(NOW))
    where.approved = Approved(word)  # type: ignore[assignment]
    found = looked(look, where)
    one = found.named(f"{user} from {A}")
    assert (one.known, one.verdict) == (word, verdict)
    assert (found.moments[-1].known, found.moments[-1].verdict) == (word, verdict)


# -- habits ------------------------------------------------------------------------------------------------


def habits(hours: list[int], days: int = 30) -> Habits:
    sessions = [
        Session("alice", HOME, "pts/0", float((number * days // len(hours)) * DAY + hour * 3600), 0, "")
        for number, hour in enumerate(hours)
    ]
    return Habits(sessions, float(days * DAY), lambda at: int(at // 3600) % 24)


def test_hours_are_a_ring() -> None:
    late = habits([23] * 60)
    assert not late.odd_hour("alice", 3600.0)
    assert late.odd_hour("alice", 2 * 3600.0)
    assert not habits([23] * 49).odd_hour("alice", 12 * 3600.0)
    assert not habits([23] * 60, days=10).odd_hour("alice", 12 * 3600.0)


@given(st.lists(st.integers(0, 23), min_size=50, max_size=60), st.integers(0, 23))
def test_an_hour_that_was_seen_is_usual(hours: list[int], more: int) -> None:
    one = habits([*hours, more])
    assert not one.odd_hour("alice", more * 3600.0)


@pytest.mark.parametrize(
    ("source", "of"),
    [
        ("203.0.113.9", "203.0.0.0/16"), ("2001:db8:1:2::5", "2001:db8:1::/48"),
        ("pc7.example.org", "example.org"), ("pc7.lan", "pc7.lan"), ("console", "console"), ("", ""),
    ],
)  # fmt: skip
def test_networks(source: str, of: str) -> None:
    assert network(source) == of


def test_where_accounts_come_from() -> None:
    assert not elsewhere(None, True)
    assert not elsewhere(b"passwd: files systemd\n", True)
    assert elsewhere(b"# passwd: files\npasswd:\tsss files systemd # x\n", True)
    assert not elsewhere(b"passwd:\tsss files [SUCCESS=merge] systemd\n", False)
    assert elsewhere(b"passwd: files ldap\n", False)
