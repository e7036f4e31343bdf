"""The logins sensor: one origin by every record, rotation, garbage, and sessions whose record was wiped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.host.files import LinuxFiles
from hostguardd.host.live import NoLiveHost
from hostguardd.host.texts import LinuxTexts
from hostguardd.model import Depth, LoginFact, Row
from hostguardd.sensors.logins import LoginsSensor, _session
from hostguardd.utmp import BOOT_TIME, DEAD_PROCESS, LOGIN_PROCESS
from tests.fakelive import FakeLive
from tests.records import record

NOW = 1_763_904_000
A = "203.0.113.9"


BOOT = record("reboot", "6.1.0", "~", NOW - 5000, BOOT_TIME, 0)


class Host:
    """A folder as the root of a host, its processes, and the sensor over both."""

    def __init__(self, root: Path, kernel: bool = True) -> None:
        self.root = root
        for folder in ("run/systemd/sessions", "var/log"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        self.live = FakeLive()
        self.arrivals: dict[tuple[bytes, bytes], tuple[bytes, int]] = {}
        self.sshd = self.live.add_process(b"/usr/sbin/sshd", age=900.0)
        self.sensor = LoginsSensor(
            LinuxTexts(LinuxFiles(os.fsencode(root))),
            self.live if kernel else NoLiveHost(), self.arrivals, 2.0,
            lambda: NOW * 10**9, lambda: int(self.live.now * 1e9),
        )  # fmt: skip

    def utmp(self, *records: bytes) -> None:
        (self.root / "run/utmp").write_bytes(b"".join(records))

    def wtmp(self, *records: bytes, name: str = "wtmp") -> None:
        with (self.root / "var/log" / name).open("ab") as handle:
            handle.write(b"".join(records))

    def session(self, name: str = "3", **values: object) -> None:
        given = {
            "USER": "alice", "STATE": "active", "REMOTE": 1, "REMOTE_HOST": A, "SERVICE": "sshd",
            "CLASS": "user",
            "TYPE": "tty", "LEADER": 900, "REALTIME": NOW * 10**6, **values,
        }  # fmt: skip
        text = "# This is private data. Do not parse.\n" + "".join(
            f"{key}={value}\n" for key, value in given.items()
        )
        (self.root / "run/systemd/sessions" / name).write_text(text)

    def shell(self, line: int = 0, unit: bytes = b"session-3.scope") -> int:
        """A shell that sshd started on a terminal."""
        child = self.live.add_process(b"/usr/libexec/openssh/sshd-session", parent=self.sshd, unit=unit)
        return self.live.add_process(b"/bin/bash", parent=child, tty=(136 << 8) | line, unit=unit, login=True)

    def rows(self) -> dict[str, list[Row]]:
        return {str(sweep.scope): sweep.rows for sweep in self.sensor.sweep(Depth.QUICK, lambda: False)}

    def origins(self) -> list[str]:
        return [str(LoginFact.of(row).name, "latin-1") for row in self.rows()["origins"]]

    def unrecorded(self, wait: float = 11.0) -> list[str]:
        self.rows()
        self.live.tick(wait)
        return [str(LoginFact.of(row).name, "latin-1") for row in self.rows()["unrecorded"]]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_one_origin_by_every_record(host: Host) -> None:
    host.utmp(BOOT, record(at=NOW, address=A))
    host.wtmp(
        BOOT, record(at=NOW - 50), record("bob", "", "tty1"), record("", "", "pts/0", kind=DEAD_PROCESS)
    )
    host.session(REMOTE_HOST=f"::ffff:{A}")
    host.arrivals[b"alice", A.encode()] = (b"sshd", NOW - 1)
    (alice, bob) = (LoginFact.of(row) for row in host.rows()["origins"])
    assert (alice.name, alice.user, alice.origin) == (b"alice from 203.0.113.9", b"alice", A.encode())
    assert (alice.service, alice.line, alice.at, alice.active) == (b"sshd", b"pts/0", NOW, 1)
    assert (bob.name, bob.origin, bob.active) == (b"bob at the console", b"console", 0)


def test_whatever_names_the_other_side_chose_the_address_counts(host: Host) -> None:
    host.wtmp(record("alice", "trusted.example", address=A), record("bob", "x" * 256, address="2001:db8::7"))
    assert host.origins() == ["alice from 203.0.113.9", "bob from 2001:db8::7"]


def test_displays_and_multiplexers_are_the_console(host: Host) -> None:
    host.wtmp(
        record(host=":0"), record(host="tmux(81).%0"), record(host=":pts/0:S.0"), record(host="", line="tty1")
    )
    assert host.origins() == ["alice at the console"]


def test_what_is_no_login_is_none(host: Host) -> None:
    host.utmp(
        BOOT, record("LOGIN", "", "tty1", kind=LOGIN_PROCESS), record("", "", "pts/0", kind=DEAD_PROCESS)
    )
    host.session("1", CLASS="greeter", USER="gdm", REMOTE=0)
    host.session("2", CLASS="background", USER="root", SERVICE="crond", REMOTE=0)
    host.session("3", USER="root", SERVICE="cron", REMOTE=0)
    host.session("4", CLASS="manager", SERVICE="systemd-user", REMOTE=0)
    host.session("5", SERVICE="su-l", USER="root", REMOTE=0)
    host.session("6", STATE="closing")
    os.mkfifo(host.root / "run/systemd/sessions/3.ref")
    assert host.origins() == []


def test_rotated_records_count_as_long_as_they_are_there(host: Host) -> None:
    host.wtmp(record(host="198.51.100.1"), name="wtmp-20251101")
    host.wtmp(record(host="198.51.100.2"), name="wtmp.1")
    host.wtmp(record(host="198.51.100.3"), name="wtmp.2.gz")
    host.wtmp(record(host="198.51.100.4"))
    assert host.origins() == [f"alice from 198.51.100.{n}" for n in (1, 2, 4)]
    (host.root / "var/log/wtmp-20251101").unlink()
    os.rename(host.root / "var/log/wtmp", host.root / "var/log/wtmp-20251201")
    host.wtmp(record(host="198.51.100.5"))
    assert host.origins() == [f"alice from 198.51.100.{n}" for n in (2, 4, 5)]


def test_only_what_was_added_is_read_again(host: Host) -> None:
    host.wtmp(*(record(host=f"198.51.100.{n}") for n in range(50)))
    assert len(host.origins()) == 50
    host.wtmp(record(host="198.51.100.77")[:100])
    assert len(host.origins()) == 50
    host.wtmp(record(host="198.51.100.77")[100:], record(host="198.51.100.78"))
    assert len(host.origins()) == 52


def test_a_look_is_due_when_a_record_moved(host: Host) -> None:
    host.utmp(BOOT)
    assert host.sensor.changed()
    host.rows()
    host.live.tick(2)
    assert not host.sensor.changed()
    host.wtmp(record())
    assert not host.sensor.changed(), "not before the interval"
    host.live.tick(2)
    assert host.sensor.changed()
    host.rows()
    host.live.tick(2)
    host.session()
    assert host.sensor.changed()
    host.rows()
    host.live.tick(2)
    host.arrivals[b"alice", b"198.51.100.1"] = (b"sshd", NOW)
    assert host.sensor.changed()


def test_a_record_that_was_wiped_while_the_session_lasts(host: Host) -> None:
    host.utmp(BOOT, record())
    host.session()
    host.shell()
    assert host.unrecorded() == []
    host.utmp(BOOT)
    assert host.unrecorded(wait=5) == [], "they may be apart for a moment"
    assert host.unrecorded() == ["alice on pts/0"]
    row = LoginFact.of(host.rows()["unrecorded"][0])
    assert (row.user, row.origin, row.line) == (b"alice", A.encode(), b"pts/0")


def test_all_records_wiped_while_sessions_last(host: Host) -> None:
    host.utmp(BOOT, record(), record("root", "", "tty1", pid=950))
    host.session()
    host.session("4", USER="root", SERVICE="login", TTY="tty1", REMOTE=0, LEADER=950)
    host.shell()
    assert host.unrecorded() == []
    host.utmp()
    assert host.unrecorded() == ["alice on pts/0", "root on tty1"]
    (host.root / "run/utmp").unlink()
    assert host.unrecorded() == ["alice on pts/0", "root on tty1"]


def test_a_record_that_was_wiped_before_we_started(host: Host) -> None:
    host.utmp(BOOT, record("bob", line="pts/1"))
    host.shell(0)
    host.shell(1, b"session-4.scope")
    host.session()
    host.session("4", USER="bob")
    assert host.unrecorded() == ["alice on pts/0"], "the other session of sshd has its record"


def test_wtmp_knows_what_utmp_forgot(host: Host) -> None:
    host.utmp(BOOT)
    host.wtmp(record())
    host.session()
    host.shell()
    assert host.unrecorded() == ["alice on pts/0"]


@pytest.mark.parametrize("records", [None, (), (BOOT,)])
def test_a_host_that_writes_no_such_records_was_not_wiped(
    host: Host, records: tuple[bytes, ...] | None
) -> None:
    if records is not None:
        host.utmp(*records)
    host.session(TTY="pts/0")
    host.shell()
    assert host.unrecorded() == []


def test_terminals_that_nobody_records(host: Host) -> None:
    host.utmp(BOOT, record(line="pts/9"))
    host.shell(9)
    host.rows()
    tmux = host.live.add_process(b"/usr/bin/tmux")
    host.live.add_process(b"/bin/bash", parent=tmux, tty=(136 << 8) | 5)
    inner = host.live.add_process(b"/usr/sbin/sshd", namespace="pid:[9]")
    host.live.add_process(b"/bin/bash", parent=inner, tty=(136 << 8) | 6, namespace="pid:[9]")
    assert host.unrecorded() == []


def test_a_session_that_ended_is_not_missed(host: Host) -> None:
    host.utmp(BOOT, record())
    host.session()
    shell = host.shell()
    host.rows()
    host.live.kill(shell)
    (host.root / "run/systemd/sessions/3").unlink()
    host.utmp(BOOT, record("", "", "pts/0", kind=DEAD_PROCESS))
    assert host.unrecorded() == []


def test_an_image_has_origins_and_no_sessions(tmp_path: Path) -> None:
    host = Host(tmp_path, kernel=False)
    host.wtmp(record())
    sweeps = {str(sweep.scope): sweep for sweep in host.sensor.sweep(Depth.FULL, lambda: False)}
    assert len(sweeps["origins"].rows) == 1
    assert sweeps["origins"].blinds == ()
    assert sweeps["unrecorded"].rows == []
    assert len(sweeps["unrecorded"].blinds) == 1


def test_what_forgets_is_remembered_over_a_restart(host: Host, tmp_path: Path) -> None:
    host.session()
    host.arrivals[b"bob", b"198.51.100.1"] = (b"sshd", NOW)
    before = host.rows()["origins"]
    (host.root / "run/systemd/sessions/3").unlink()
    host.arrivals.clear()
    assert host.origins() == ["alice from 203.0.113.9", "bob from 198.51.100.1"]
    again = Host(tmp_path)
    again.sensor.recall(before)
    assert again.origins() == ["alice from 203.0.113.9", "bob from 198.51.100.1"]
    assert [row[-1] for row in again.rows()["origins"]] == [0, 0], "nobody is here any more"


@given(st.binary(max_size=2000))
def test_any_bytes_are_a_session_or_none(data: bytes) -> None:
    _session(b"3", data)


def test_garbage_is_read_over(host: Host) -> None:
    host.utmp(os.urandom(5000))
    host.wtmp(os.urandom(384 * 20), b"\xff" * 384, record(user="\0", host=""), b"rest")
    host.session("7", USER="x" * 5000, REMOTE_HOST="\x1b[31m" * 90, LEADER="-1", REALTIME="9" * 50)
    for row in host.rows()["origins"]:
        assert len(LoginFact.of(row).name) < 400
