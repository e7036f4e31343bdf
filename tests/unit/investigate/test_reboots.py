"""Reboots: who told of them, what led to them, and records that lack one."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostguardd.host.journal import Booted, Journal, NoJournal, booted
from hostguardd.investigate.checks.reboots import look
from hostguardd.investigate.interface import Verdict
from hostguardd.investigate.logins.boots import lines
from hostguardd.investigate.logins.register import stamp
from hostguardd.packages.interface import NoPackages, Transaction
from hostguardd.utmp import BOOT_TIME, DEAD_PROCESS, NEW_TIME, OLD_TIME, RUN_LVL
from tests.fakelive import FakeLive
from tests.records import NOW, A, record
from tests.scenes import Findings, looked, scene

DAY = 86_400
WHEN = NOW - 2 * DAY
"""When the host came up last."""


def boot(at: int = WHEN) -> bytes:
    return record("reboot", "6.1.0", "~", at, BOOT_TIME, 0)


def down(at: int = WHEN - 60) -> bytes:
    return record("shutdown", "6.1.0", "~", at, RUN_LVL, 0)


OLD = [
    boot(NOW - 40 * DAY),
    record("root", A, at=NOW - 30 * DAY),
    record("", "", "pts/0", NOW - 29 * DAY, DEAD_PROCESS),
]


class Boots:
    """A host that came up at WHEN."""

    def __init__(self, at: float = WHEN) -> None:
        self.at = at

    def id(self) -> str:
        return "b"

    def began(self) -> int:
        return int(self.at * 1e9)

    def ending(self) -> bool:
        return False


class FakeJournal(NoJournal):
    """A journal that knows boots."""

    present = True

    def __init__(self, *known: Booted, problem: str = "") -> None:
        self.known, self.problem = list(known), problem

    def boots(self) -> tuple[list[Booted], str]:
        return self.known, self.problem


class Updated(NoPackages):
    """A host whose kernel was updated."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = at

    def transactions(self, since: float):  # type: ignore[no-untyped-def]
        if self.at >= since:
            yield Transaction(self.at, "upgrade", "kernel", "6.0", "6.1", "/var/log/dpkg.log:7")


class Machine:
    """A host by its records of boots."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("run", "var/log", "etc"):
            (root / folder).mkdir(parents=True)
        (root / "etc/passwd").write_text(
            "root:x:0:0::/root:/bin/bash\nalice:x:1000:1000::/:/bin/bash\nbob:x:1001:1001::/:/bin/bash\n"
        )
        (root / "etc/group").write_text("wheel:x:10:alice\n")
        self.live = FakeLive(now=2.0 * DAY)

    def look(self, *wtmp: bytes, utmp: tuple[bytes, ...] = (boot(),), packages: NoPackages | None = None,
             **more: object) -> Findings:  # fmt: skip
        (self.root / "var/log/wtmp").write_bytes(b"".join(wtmp))
        (self.root / "run/utmp").write_bytes(b"".join(utmp))
        ports = {"live": self.live, "boots": Boots(), **more}
        where = scene(os.fsencode(self.root), now=float(NOW), packages=packages, **ports)  # type: ignore[arg-type]
        return looked(look, where)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def bad(found: Findings) -> dict[str, Verdict]:
    return {one.name: one.verdict for one in found.items if one.verdict is not Verdict.FINE}


def test_a_reboot_that_nobody_explains(machine: Machine) -> None:
    found = machine.look(*OLD, down(), boot())
    assert bad(found) == {"this boot": Verdict.NOTABLE}
    one = found.named("this boot")
    assert "nobody was there" in one.says
    assert one.details["seen by"] == ["records", "kernel"]
    assert [(moment.kind, moment.at, moment.verdict) for moment in found.moments] == [
        ("reboot", WHEN, Verdict.NOTABLE)
    ]


def test_a_reboot_by_an_administrator(machine: Machine) -> None:
    found = machine.look(*OLD, record("alice", A, at=WHEN - 500), down(), boot())
    assert bad(found) == {}
    assert f"alice from {A} was logged in" in found.named("this boot").says
    found = machine.look(*OLD, record("bob", A, at=WHEN - 500), down(), boot())
    assert bad(found) == {"this boot": Verdict.NOTABLE}  # who could not have done it


def test_a_reboot_by_sudo(machine: Machine) -> None:
    log = machine.root / "var/log/auth.log"
    log.write_text(
        "2025-11-21T13:18:40+00:00 h sudo: alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls reboot\n"
        "2025-11-21T13:18:50+00:00 h sudo: bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/sbin/reboot\n"
    )
    found = machine.look(*OLD, down(), boot())
    assert bad(found) == {}
    assert "bob asked for it (/usr/sbin/reboot)" in found.named("this boot").says
    assert any(one.source == "/var/log/auth.log:2" for one in found.named("this boot").evidence)


def test_a_reboot_after_an_update(machine: Machine) -> None:
    found = machine.look(*OLD, down(), boot(), packages=Updated(WHEN - 600))
    assert bad(found) == {}
    assert "packages had been updated (kernel)" in found.named("this boot").says


def test_a_crash(machine: Machine) -> None:
    found = machine.look(*OLD, record("alice", A, at=WHEN - 500), boot())
    assert bad(found) == {"this boot": Verdict.NOTABLE}
    assert "crashed" in found.named("this boot").means


def test_old_boots_and_the_first_of_all_are_only_told(machine: Machine) -> None:
    found = machine.look(
        boot(NOW - 40 * DAY), down(NOW - 31 * DAY), boot(NOW - 30 * DAY), boot(NOW - 20 * DAY),
        boots=Boots(NOW - 20 * DAY),
    )  # fmt: skip
    assert bad(found) == {}
    assert found.named("reboots").details["count"] == 3
    assert bad(machine.look(boot())) == {}


def test_a_boot_taken_out_of_wtmp(machine: Machine) -> None:
    found = machine.look(*OLD, record("alice", A, at=WHEN + 900))
    assert bad(found) == {"this boot, unrecorded": Verdict.SUSPICIOUS}
    assert found.named("this boot, unrecorded").technique == "T1070"


def test_a_boot_whose_record_was_rotated_away(machine: Machine) -> None:
    (machine.root / "var/log/wtmp.1").write_bytes(record("alice", A, at=WHEN + 50))
    assert bad(machine.look(record("alice", A, at=WHEN + 900))) == {}


def test_a_clock_that_was_wrong_when_the_host_came_up(machine: Machine) -> None:
    found = machine.look(
        *OLD,
        record("alice", A, at=WHEN - 500),
        down(),
        boot(WHEN + 9 * 3600 + 20),
        utmp=(boot(WHEN + 9 * 3600),),
    )
    assert "this boot, unrecorded" not in bad(found)


def test_containers_have_no_boots(machine: Machine) -> None:
    (machine.root / "run/systemd").mkdir()
    (machine.root / "run/systemd/container").write_text("podman")
    assert bad(machine.look(*OLD)) == {}


def test_hosts_whose_records_have_no_boots(machine: Machine) -> None:
    assert bad(machine.look(record("alice", A, at=WHEN + 900), utmp=())) == {}


def test_what_the_journal_knows(machine: Machine) -> None:
    wtmp = [
        boot(NOW - 40 * DAY),
        down(NOW - 31 * DAY),
        boot(NOW - 30 * DAY),
        record("alice", A, at=WHEN - 500),
        down(),
        boot(),
    ]
    first = Booted("a", NOW - 30.0 * DAY + 7 * DAY, WHEN - 50.0)  # what was vacuumed is not there any more
    last = Booted("b", WHEN + 3.0, float(NOW))
    found = machine.look(*wtmp, journal=FakeJournal(first, last))
    assert bad(found) == {}
    assert found.named("this boot").details["seen by"] == ["records", "journal", "kernel"]
    hidden = Booted("c", NOW - 10.0 * DAY, NOW - 9.0 * DAY)
    first = first._replace(last=NOW - 11.0 * DAY)
    found = machine.look(*wtmp, journal=FakeJournal(first, hidden, last))
    (name,) = bad(found)
    assert name.endswith(", unrecorded")
    assert machine.look(journal=FakeJournal(problem="it is not")).unseen


def test_what_the_kernel_wrote_into_a_log(machine: Machine) -> None:
    line = "2025-11-21T13:20:0{}+00:00 h kernel: [    0.000000] Linux version 6.1.0 (gcc)\n"
    for name in ("messages", "kern.log"):
        (machine.root / "var/log" / name).write_text("x\n" + line.format(1))
    found = machine.look(*OLD, record("alice", A, at=WHEN - 500), down(), boot())
    assert bad(found) == {}
    assert found.named("this boot").details["seen by"] == ["records", "log", "kernel"]
    (machine.root / "var/log/messages").write_text(
        line.format(1) + "2025-11-22T09:00:00+00:00 h kernel: Linux version 6.1.0\n"
    )
    found = machine.look(
        *OLD, record("alice", A, at=WHEN - 500), down(), boot(), boot(NOW - 60), boots=Boots(NOW - 60)
    )
    assert "boot at 2025-11-22 09:00:00 UTC, unrecorded" in bad(found)


def test_the_clock_was_set(machine: Machine) -> None:
    step = [record("", "", "|", NOW - 5000, OLD_TIME), record("", "", "{", NOW - 90_000, NEW_TIME)]
    found = machine.look(boot(), *step)
    assert list(bad(found).values()) == [Verdict.NOTABLE]
    assert "set back by 85000 s" in found.of(Verdict.NOTABLE)[0].says


def test_a_log_of_one_endless_line_has_an_end(machine: Machine) -> None:
    import time

    path = machine.root / "var/log/messages"
    path.write_bytes(b"COMMAND=Linux version 6 reboo" * 800_000)
    began = time.monotonic()
    assert list(lines(scene(os.fsencode(machine.root)).host.texts, float(NOW))) == []
    assert time.monotonic() - began < 10


def test_this_machine() -> None:
    found = looked(look, scene())
    assert found.suspicious == []
    assert found.named("this boot").verdict is Verdict.FINE


TABLE = """\
-1 0123456789abcdef0123456789abcdef Sun 2025-11-23 13:20:00 UTC—Sun 2025-11-23 13:30:00 UTC
 0 1123456789abcdef0123456789abcdef Sun 2025-11-23 13:31:00 UTC—Sun 2025-11-23 13:32:00 UTC
""".encode()
JSON = (
    b'[{"index":-1,"boot_id":"0123456789abcdef0123456789abcdef","first_entry":1763904000000000,'
    b'"last_entry":1763904600000000},{"index":0,"boot_id":"1123456789abcdef0123456789abcdef",'
    b'"first_entry":1763904660000000,"last_entry":1763904720000000}]\n'
)


def test_boots_as_journalctl_prints_them() -> None:
    assert booted(JSON) == booted(TABLE)
    assert [(one.first, one.last) for one in booted(TABLE)] == [(NOW, NOW + 600), (NOW + 660, NOW + 720)]
    newer = TABLE.replace(b"\xe2\x80\x94", b"  ").replace(b"-1 ", b"IDX BOOT ID FIRST ENTRY LAST ENTRY\n -1 ")
    assert booted(newer) == booted(JSON)


@given(st.binary(max_size=300))
def test_anything_that_journalctl_prints(said: bytes) -> None:
    for text in (said, b"[" + said, b"[{" + said + b"}]"):
        assert isinstance(booted(text), list)


def test_a_journalctl_that_fails_or_is_not_there(tmp_path: Path) -> None:
    program = tmp_path / "journalctl"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    assert Journal(str(program)).boots() == ([], f"{program} ended with status 3")
    assert "cannot be started" in Journal(str(tmp_path / "none")).boots()[1]


def test_a_time_is_said_once(machine: Machine) -> None:
    """In a report the name of a thing stands before what is said of it, in a time line its time does."""
    (machine.root / "var/log/messages").write_text(
        "2025-11-22T09:00:00+00:00 h kernel: Linux version 6.1.0\n"
    )
    step = [record("", "", "|", NOW - 5000, OLD_TIME), record("", "", "{", NOW - 90_000, NEW_TIME)]
    found = machine.look(*OLD, down(), boot(), boot(NOW - 60), *step, boots=Boots(NOW - 60))
    lines = [one.says if one.name in one.says else f"{one.name}: {one.says}" for one in found.items]
    assert sum("unrecorded" in line for line in lines) == 1
    assert sum(line.startswith("boot at ") for line in lines) > 2
    for line in lines:
        times = re.findall(r"[\d-]{10} [\d:]{8} UTC", line)
        assert len(times) == len({*times}), line
    assert found.moments
    assert not [one.says for one in found.moments if stamp(one.at) in one.says]
