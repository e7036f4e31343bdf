"""Who holds a package manager's lock, and whether that is one."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostguardd.host.atwork import INTERPRETER, AtWork, PackageManagers, held_inodes

HOLD = """
import fcntl, sys
lock = open(sys.argv[1], "r+b")
fcntl.lockf(lock, fcntl.LOCK_EX)
print(1, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    made = tmp_path / "lock"
    made.touch()
    return made


def managers(lock: Path, *programs: bytes) -> PackageManagers:
    return PackageManagers(
        places={"dpkg": (str(lock.parent / "absent"), str(lock))},
        records={},
        programs={"dpkg": frozenset(programs)},
    )


def test_the_lock_counts_by_who_holds_it(lock: Path) -> None:
    ours = os.readlink("/proc/self/exe").encode()
    if INTERPRETER.fullmatch(ours):
        pytest.skip("we run by the distribution's interpreter, whose scripts count instead of it")
    assert managers(lock, ours).at_work() is None
    with lock.open("r+b") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        found = managers(lock, ours).at_work()
        assert found is not None
        assert (found.manager, found.pid, found.program) == ("dpkg", os.getpid(), ours)
        assert managers(lock, b"/usr/bin/dpkg").at_work() is None, "anybody may hold it"
    assert managers(lock, ours).at_work() is None
    assert PackageManagers("/nonexistent").at_work() is None


def test_a_lock_for_reading_is_anybodys(lock: Path) -> None:
    with lock.open("rb") as held:
        fcntl.lockf(held, fcntl.LOCK_SH)
        assert managers(lock, os.readlink("/proc/self/exe").encode()).at_work() is None


@pytest.fixture
def holder(lock: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A copy of a program that holds the lock."""
    program = tmp_path / "manager"
    shutil.copy(os.path.realpath(sys.executable), program)
    child = subprocess.Popen(
        [program, "-I", "-S", "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "LD_LIBRARY_PATH": f"{sys.base_prefix}/lib", "PYTHONHOME": sys.base_prefix},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == b"1\n"
    yield child, program
    child.kill()
    child.communicate()


def test_a_manager_that_replaces_its_own_program_is_still_one(
    lock: Path, holder: tuple[subprocess.Popen[bytes], Path]
) -> None:
    child, program = holder
    known = os.fsencode(program)
    assert managers(lock, known).at_work() == AtWork("dpkg", child.pid, known, _login(child.pid))
    program.unlink()
    found = managers(lock, known).at_work()
    assert found is not None
    assert found.program == known


def _login(pid: int) -> int | None:
    number = int(Path(f"/proc/{pid}/loginuid").read_text())
    return None if number == 0xFFFFFFFF else number


def test_marks_move_with_the_records(tmp_path: Path) -> None:
    status = tmp_path / "status"
    host = PackageManagers(places={}, records={"dpkg": (str(status), str(tmp_path / "absent"))})
    assert host.marks() == ()
    status.touch()
    before = host.marks()
    os.utime(status, ns=(1, 1))
    assert host.marks() != before


def test_lines_of_proc_locks() -> None:
    text = (
        b"1: POSIX  ADVISORY  WRITE 812 fd:00:1049 0 EOF\n"
        b"1: -> POSIX  ADVISORY  WRITE 9 fd:00:1050 0 EOF\n"
        b"2: FLOCK  ADVISORY  WRITE 7 00:2f:77 0 EOF\n"
        b"3: POSIX  ADVISORY  READ 7 00:2f:78 0 EOF\ngarbage\n"
    )
    assert held_inodes(text) == {1049: 812}
    assert held_inodes(os.urandom(64)) == held_inodes(b"") == {}
