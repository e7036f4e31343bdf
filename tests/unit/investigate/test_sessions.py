"""Who is logged in: three witnesses, what hiding from one of them leaves, and hosts without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostguardd.investigate.checks.sessions import look
from hostguardd.investigate.interface import Verdict
from hostguardd.utmp import BOOT_TIME, DEAD_PROCESS, SIZE
from tests.fakelive import FakeLive
from tests.records import NOW, A, record
from tests.scenes import Findings, looked, scene

HOME = "198.51.100.7"
UP = 1000.0
"""Seconds since boot."""

PASSWD = (
    "root:x:0:0::/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/bash\nbob:x:1001:1001::/home/bob:/bin/bash\n"
    "apache:x:48:48::/srv:/sbin/nologin\nold:x:1002:1002::/home/old:/sbin/nologin\n"
)
BOOT = record("reboot", "6.1.0", "~", NOW - int(UP), BOOT_TIME, 0)


class Boots:
    """A host that came up UP seconds before NOW."""

    def id(self) -> str:
        return "b"

    def began(self) -> int:
        return int((NOW - UP) * 1e9)

    def ending(self) -> bool:
        return False


class Machine:
    """A host with sshd and login, on which people log in as they do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("run/systemd/sessions", "var/log", "dev/pts", "etc"):
            (root / folder).mkdir(parents=True)
        (root / "etc/passwd").write_text(PASSWD)
        self.live = FakeLive(now=UP)
        self.sshd = self.live.add_process(b"/usr/sbin/sshd", age=900.0)
        self.utmp: list[bytes] = [BOOT]
        self.wtmp: list[bytes] = [BOOT]
        self.numbers = iter(range(1, 99))
        self.pids: dict[str, int] = {}

    def login(
        self, user: str = "alice", number: int = 0, host: str = A, age: float = 300.0, uid: int = 1000,
        unit: bool = True, logind: bool = True, utmp: bool = True, wtmp: bool = True,
    ) -> int:  # fmt: skip
        """ssh: sshd's own process, a shell on a terminal, and their records; the shell's pid."""
        name = str(next(self.numbers))
        scope = f"session-{name}.scope".encode() if unit else b"sshd.service"
        sshd = self.live.add_process(
            b"/usr/libexec/openssh/sshd-session", parent=self.sshd, age=age, uid=uid, unit=scope
        )
        shell = self.live.add_process(
            b"/bin/bash", parent=sshd, age=age, uid=uid, tty=136 << 8 | number, unit=scope, login=True
        )
        one = record(user, host, f"pts/{number}", NOW - int(age), pid=sshd)
        self.pids[user] = sshd
        if utmp:
            self.utmp.append(one)
        if wtmp:
            self.wtmp.append(one)
        (self.root / "dev/pts" / str(number)).touch()
        os.utime(self.root / "dev/pts" / str(number), (NOW - 42,) * 2)
        if logind:
            (self.root / "run/systemd/sessions" / name).write_text(
                f"UID={uid}\nUSER={user}\nSTATE=active\nREMOTE=1\nREMOTE_HOST={host}\nSERVICE=sshd\nCLASS=user\n"
                f"TTY=pts/{number}\nLEADER={sshd}\nREALTIME={NOW - int(age)}000000\n"
            )
        return shell

    def look(self, utmp: bool = True, **more: object) -> Findings:
        if utmp:
            (self.root / "run/utmp").write_bytes(b"".join(self.utmp))
        (self.root / "var/log/wtmp").write_bytes(b"".join(self.wtmp))
        ports = {"live": self.live, "boots": Boots(), **more}
        where = scene(os.fsencode(self.root), now=float(NOW), **ports)  # type: ignore[arg-type]
        return looked(lambda at: look(at, 0.0), where)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def bad(found: Findings) -> list[str]:
    return [one.name for one in found.items if one.verdict is not Verdict.FINE]


def test_who_is_here_from_where_since_when_idle_and_doing_what(machine: Machine) -> None:
    shell = machine.login()
    machine.live.add_process(
        b"/usr/bin/vim", parent=shell, age=20.0, uid=1000, tty=136 << 8, session=shell,
        argv=(b"vim", b"notes\x1b[2J"), unit=b"session-1.scope",
    )  # fmt: skip
    found = machine.look()
    assert bad(found) == []
    one = found.named(f"alice on pts/0 from {A}")
    assert one.details["since"] == NOW - 300
    assert one.details["idle"] == 42
    assert one.details["doing"] == "vim notes\\x1b[2J"
    assert one.details["seen by"] == ["utmp", "logind", "processes"]
    assert found.named("logged in now").details["count"] == 1


def test_a_record_taken_out_of_utmp(machine: Machine) -> None:
    machine.login("alice", 0)
    machine.login("bob", 1, uid=1001)
    del machine.utmp[2]
    found = machine.look()
    assert found.suspicious == ["bob on pts/1, unrecorded"]
    one = found.named("bob on pts/1, unrecorded")
    assert one.technique == "T1070"
    assert "do not show it" in one.says
    assert one.next
    assert found.named(f"bob on pts/1 from {A}").verdict is Verdict.FINE


def test_a_record_zeroed_in_place(machine: Machine) -> None:
    machine.login()
    machine.utmp[1] = bytes(SIZE)
    found = machine.look()
    assert set(found.suspicious) == {"alice on pts/0, unrecorded", "/run/utmp (records)"}
    assert "show nobody at all" in found.named("alice on pts/0, unrecorded").says


def test_no_output_at_all(machine: Machine) -> None:
    machine.login()
    machine.utmp = []
    found = machine.look()
    assert set(found.suspicious) == {"alice on pts/0, unrecorded", "/run/utmp"}
    machine.live.kill(machine.pids["alice"])
    assert "/run/utmp" in machine.look().suspicious


def test_a_record_cut_off(machine: Machine) -> None:
    machine.utmp.append(record()[:100])
    assert machine.look().suspicious == ["/run/utmp (records)"]


def test_wiped_from_both_records_by_one_who_forgot_that_others_are_there(machine: Machine) -> None:
    """Neither utmp nor wtmp has it; that sshd writes records shows from a session that is over."""
    machine.wtmp += [
        record("bob", line="pts/5", at=NOW - 800),
        record("", "", "pts/5", NOW - 700, DEAD_PROCESS),
    ]
    machine.login(utmp=False, wtmp=False)
    assert machine.look().suspicious == ["alice on pts/0, unrecorded"]


def test_the_log_remembers_from_where(machine: Machine) -> None:
    machine.wtmp += [
        record("bob", line="pts/5", at=NOW - 800),
        record("", "", "pts/5", NOW - 700, DEAD_PROCESS),
    ]
    machine.login(utmp=False, wtmp=False, logind=False)
    log = machine.root / "var/log/auth.log"
    log.write_text(f"2025-11-23T13:15:01+00:00 h sshd[7]: Accepted password for alice from {HOME} port 5\n")
    found = machine.look()
    assert found.suspicious == ["alice on pts/0, unrecorded"]
    assert found.named(f"alice on pts/0 from {HOME}").verdict is Verdict.FINE


def test_another_name_in_the_record(machine: Machine) -> None:
    machine.login("alice", 0)
    pid = machine.pids["alice"]
    machine.utmp[1] = record("bob", A, "pts/0", NOW - 300, pid=pid)
    found = machine.look()
    assert found.suspicious == ["bob on pts/0, renamed"]
    assert "it is alice who logged in" in found.named("bob on pts/0, renamed").says


def test_a_name_with_and_without_its_domain_is_one(machine: Machine) -> None:
    machine.login("alice", 0)
    machine.utmp[1] = record("EXAMPLE\\Alice", A, "pts/0", NOW - 300, pid=machine.pids["alice"])
    assert machine.look().suspicious == []


def test_a_record_whose_session_is_gone(machine: Machine) -> None:
    machine.utmp.append(record("bob", line="pts/7", pid=4711))
    found = machine.look()
    assert bad(found) == ["bob on pts/7, stale"]
    assert found.named("bob on pts/7, stale").verdict is Verdict.NOTABLE


def test_logind_lost_a_session_that_still_runs(machine: Machine) -> None:
    machine.login("alice", 0)
    machine.login("bob", 1, uid=1001)
    (machine.root / "run/systemd/sessions/2").unlink()
    assert machine.look().suspicious == ["session 2 of bob"]


def test_a_session_that_passed_by_pam(machine: Machine) -> None:
    machine.login("alice", 0)
    machine.login("root", 1, uid=0, unit=False, logind=False)
    found = machine.look()
    assert found.suspicious == []
    assert "root on pts/1, unmanaged" in bad(found)


def test_a_host_whose_programs_write_no_utmp(machine: Machine) -> None:
    """Debian 13 and others: no utmp; or one that other programs made, without sshd's sessions."""
    machine.login(utmp=False, wtmp=False)
    machine.wtmp = []
    found = machine.look(utmp=False)
    assert bad(found) == []
    assert "keeps no utmp" in found.named("logged in now").says
    machine.utmp = [BOOT]
    assert bad(machine.look()) == []


def test_windows_that_write_records_say_nothing_of_sshd(machine: Machine) -> None:
    machine.login(utmp=False, wtmp=False)
    machine.wtmp += [record("alice", ":0", line="pts/5", at=NOW - 800)]
    assert machine.look().suspicious == []


def test_a_container_with_nothing_but_sshd(machine: Machine) -> None:
    machine.login(utmp=False, wtmp=False, logind=False, unit=False)
    machine.wtmp, machine.utmp = [], []
    (machine.root / "run/systemd/sessions").rmdir()
    found = machine.look()
    assert bad(found) == []
    assert found.named("alice on pts/0 from an unknown origin").details["seen by"] == ["processes"]


def test_windows_and_multiplexers_are_no_logins(machine: Machine) -> None:
    tmux = machine.live.add_process(b"/usr/bin/tmux", age=50.0, uid=1000)
    machine.live.add_process(b"/bin/bash", parent=tmux, age=40.0, uid=1000, tty=136 << 8 | 9)
    found = machine.look()
    assert bad(found) == []
    assert found.named("logged in now").details["terminals"] == ["pts/9: alice, bash"]


def test_a_console(machine: Machine) -> None:
    login = machine.live.add_process(b"/usr/bin/login", age=100.0, tty=4 << 8 | 1)
    machine.live.add_process(b"/bin/bash", parent=login, age=90.0, tty=4 << 8 | 1)
    machine.utmp.append(record("root", "", "tty1", NOW - 90, pid=login))
    found = machine.look()
    assert bad(found) == []
    assert found.named("root on tty1 from console").details["origin"] == "console"


def test_a_login_by_an_account_that_has_no_shell(machine: Machine) -> None:
    machine.login("apache", 0, uid=48)
    machine.login("old", 1, uid=1002)
    found = machine.look()
    assert found.suspicious == [f"apache on pts/0 from {A}"]
    assert found.named(f"old on pts/1 from {A}").verdict is Verdict.NOTABLE


def test_an_account_that_is_not_there(machine: Machine) -> None:
    machine.wtmp.insert(0, record("alice", at=NOW - 30 * 86400))
    machine.login("ghost", 0, uid=4242)
    assert machine.look().suspicious == [f"ghost on pts/0 from {A}"]
    (machine.root / "etc/nsswitch.conf").write_text("passwd: files ldap\n")
    assert machine.look().suspicious == []


def test_a_session_without_a_terminal(machine: Machine) -> None:
    machine.login()
    session = machine.root / "run/systemd/sessions/1"
    session.write_text(session.read_text().replace("TTY=pts/0\n", ""))
    found = machine.look()
    assert found.named(f"alice from {A} without a terminal").verdict is Verdict.FINE


def test_a_shell_without_a_terminal_that_passed_by_pam(machine: Machine) -> None:
    """`ssh -T`: in no record there is; logind has it, unless a back door let it in."""
    sshd = machine.live.add_process(
        b"/usr/sbin/sshd", parent=machine.sshd, unit=b"sshd.service", comm=b"sshd"
    )
    machine.live.add_process(b"/bin/sh", parent=sshd, unit=b"sshd.service", argv=(b"sh", b"-i"))
    found = machine.look()
    assert bad(found) == []  # nothing here knows logind
    assert found.named("root by sshd without a terminal").details["doing"] == "sh -i"
    machine.login()
    found = machine.look()
    assert bad(found) == ["root without a terminal, unmanaged"]


def test_what_ends_while_we_look_is_nothing(machine: Machine) -> None:
    """A record goes a moment before its session."""
    machine.login("alice", 0)
    shell = machine.login("bob", 1, uid=1001)
    del machine.utmp[2]
    (machine.root / "run/systemd/sessions/2").unlink()
    seen = 0

    class Ending(FakeLive):
        def pids(self) -> list[int]:
            nonlocal seen
            seen += 1
            if seen == 3:  # the sensor's look, ours, and then
                machine.live.kill(shell)
                machine.live.kill(machine.pids["bob"])
            return list(machine.live.pids())

        def process(self, pid: int) -> object:  # type: ignore[override]
            return machine.live.process(pid)

    assert bad(machine.look(live=Ending(now=UP))) == []
    assert seen >= 3


def test_an_image_has_no_sessions(tmp_path: Path) -> None:
    found = looked(look, scene(os.fsencode(tmp_path)))
    assert found.suspicious == []
    assert any("no running kernel" in one.reason for one in found.unseen)


def test_this_machine() -> None:
    found = looked(look, scene())
    assert found.suspicious == []
    assert found.named("logged in now").verdict is Verdict.FINE
