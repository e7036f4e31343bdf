"""The real kernel: what an intruder does inside processes is a fact at once, and names the thing.

What runs below this test is a helper or a session's program, which is no fact before it is a minute old,
or never: it is its sign that makes it one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostguardd.host.proc import ProcHost
from hostguardd.model import Depth, ProcessFact
from hostguardd.sections import ProcessesConfig
from hostguardd.sensors.processes import ROUNDS, ProcessesSensor
from tests.rights import NAMESPACES

SLEEP = shutil.which("sleep") or "/bin/sleep"

MAP = """
    import ctypes, mmap, os, sys, time
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    name = sys.argv[1]
    fd = os.memfd_create(name) if "/" not in name else os.open(name, os.O_RDWR | os.O_CREAT, 0o755)
    os.truncate(fd, 8192)
    sys.stdin.readline()
    assert libc.mmap(None, 8192, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE, fd, 0) != 2**64 - 1
    time.sleep(60)
"""

NAME = """
    import ctypes, sys, time
    ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)  # PR_SET_NAME
    time.sleep(60)
"""


def never() -> bool:
    return False


class Watching:
    """Polls the sensor as the daemon does."""

    def __init__(self) -> None:
        self.host = ProcHost()
        self.sensor = ProcessesSensor(self.host, ProcessesConfig(), time.time_ns)
        self.started: list[subprocess.Popen[bytes]] = []
        self.facts: list[ProcessFact] = []
        self.look()

    def look(self) -> None:
        for sweep in self.sensor.sweep(Depth.QUICK, never):
            self.facts = [ProcessFact.of(row) for row in sweep.rows]

    def start(self, *argv: str, **options: object) -> int:
        made: subprocess.Popen[bytes] = subprocess.Popen(argv, **options)  # type: ignore[call-overload]
        self.started.append(made)
        return made.pid

    def python(self, code: str, *argv: str, **options: object) -> int:
        return self.start(sys.executable, "-c", textwrap.dedent(code), *argv, **options)

    def until(self, pid: int, sign: str, seconds: float = 30.0) -> ProcessFact:
        """The fact that tells of that process once it has the sign."""
        return self.wait(lambda fact: fact.pid == pid and sign in fact.traits(), seconds)

    def wait(self, met: Callable[[ProcessFact], bool], seconds: float) -> ProcessFact:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.sensor.changed():
                self.look()
            if found := next(filter(met, self.facts), None):
                return found
            time.sleep(0.05)
        raise AssertionError(f"no such fact within {seconds} s")

    def end(self) -> None:
        for one in reversed(self.started):  # whoever traces another goes first, and lets it go
            one.kill()
            one.wait()
        self.host.close()


@pytest.fixture
def watching() -> Iterator[Watching]:
    made = Watching()
    yield made
    made.end()


@pytest.fixture
def hidden() -> Iterator[Path]:
    """A hidden folder in a temporary one."""
    folder = Path(f"/dev/shm/.signs-{os.getpid()}")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def a_library() -> str:
    """Any library that can be preloaded without effect."""
    maps = Path("/proc/self/maps").read_text()
    return next(line.split()[-1] for line in maps.splitlines() if "/libc" in line and ".so" in line)


def test_a_preloaded_library(watching: Watching, hidden: Path) -> None:
    library = str(hidden / "x.so")
    shutil.copy(a_library(), library)
    padding = {f"A{number}": "x" * 100_000 for number in range(4)}
    pid = watching.start(SLEEP, "60", env=padding | {"LD_PRELOAD": library})
    found = watching.until(pid, "preload-odd")
    assert f"LD_PRELOAD={library}".encode() in found.evidence
    assert "library-temporary" in found.traits()


@pytest.mark.parametrize(("name", "sign"), [("x", "library-memory"), ("doublemapper", "")])
def test_code_in_memory(watching: Watching, name: str, sign: str) -> None:
    pid = watching.python(MAP, name, stdin=subprocess.DEVNULL)
    if sign:
        assert b"/memfd:x" in watching.until(pid, sign).evidence
    else:
        with pytest.raises(AssertionError):
            watching.wait(lambda fact: fact.pid == pid, 2)


def test_code_from_a_file_that_is_gone(watching: Watching, hidden: Path) -> None:
    path = hidden / "code"
    pid = watching.python(MAP, str(path), stdin=subprocess.DEVNULL)
    assert os.fsencode(path) in watching.until(pid, "library-temporary").evidence
    path.unlink()


def test_code_that_comes_later_is_seen_at_the_minutes_look(watching: Watching) -> None:
    pid = watching.python(MAP, "late", stdin=subprocess.PIPE)
    with pytest.raises(AssertionError):
        watching.wait(lambda fact: fact.pid == pid, 2)
    stream = watching.started[-1].stdin
    assert stream is not None
    with stream:
        stream.write(b"\n")
    deadline = time.monotonic() + 30
    while b"late" not in Path(f"/proc/{pid}/maps").read_bytes():
        assert time.monotonic() < deadline
    # The minute is over, and it is this process's turn.
    watching.sensor._everything = watching.sensor._due = 0.0
    watching.sensor._round = pid % ROUNDS
    assert b"/memfd:late (deleted)" in watching.until(pid, "library-memory").evidence


@pytest.mark.parametrize("name", ["sshd", "kworker/3:1", "python3 "])
def test_a_name_that_is_another_s(watching: Watching, name: str) -> None:
    found = watching.until(watching.python(NAME, name), "masquerade")
    assert name.encode() in found.evidence


def test_the_path_of_another_program(watching: Watching) -> None:
    other = os.path.realpath(shutil.which("ls") or "/bin/ls")
    pid = watching.start(other, "60", executable=os.path.realpath(SLEEP))
    if os.path.realpath(f"/proc/{pid}/exe") != os.path.realpath(SLEEP) or "coreutils" in other:
        pytest.skip("one image is many programs here")
    assert watching.until(pid, "false-name").evidence == other.encode()


def test_a_script_in_a_hidden_temporary_folder(watching: Watching, hidden: Path) -> None:
    (hidden / "x.sh").write_text("sleep 60; true\n")
    pid = watching.start(shutil.which("sh") or "/bin/sh", str(hidden / "x.sh"))
    assert watching.until(pid, "script-odd").script == os.fsencode(hidden / "x.sh")


def test_a_script_in_memory(watching: Watching) -> None:
    code = """
        import os, sys
        fd = os.memfd_create("x", 0)
        os.write(fd, b"#!%s\\nsleep 60; true\\n" % sys.argv[1].encode())
        os.execve(fd, ["x"], os.environ)
    """
    pid = watching.python(code, shutil.which("bash") or "/bin/sh")
    assert b"/memfd:x" in watching.until(pid, "script-odd").evidence


def test_a_hidden_working_folder(watching: Watching, hidden: Path) -> None:
    pid = watching.start(SLEEP, "60", cwd=hidden)
    assert watching.until(pid, "working-hidden").evidence == os.fsencode(hidden)


def test_a_program_executed_in_place(watching: Watching, hidden: Path) -> None:
    shutil.copy(SLEEP, hidden / "implant")
    script = f"sleep 2; exec {hidden}/implant 60"
    pid = watching.start(shutil.which("sh") or "/bin/sh", "-c", script)
    began = time.monotonic()
    found = watching.wait(lambda fact: fact.pid == pid and fact.exe.endswith(b"/implant"), 40)
    assert "temporary" in found.traits()
    assert time.monotonic() - began < 30  # everything is looked at again after a minute


def test_who_traces(watching: Watching) -> None:
    code = """
        import ctypes, os, sys, time
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.ptrace(0x4206, int(sys.argv[1]), None, None) == 0  # PTRACE_SEIZE
        print(flush=True)
        time.sleep(60)
    """
    traced = watching.start(SLEEP, "60")
    tracer = watching.python(code, str(traced), stdout=subprocess.PIPE)
    stream = watching.started[-1].stdout
    assert stream is not None
    with stream:
        if not stream.readline():
            pytest.skip("nobody may be traced here")
    process = watching.host.process(traced)
    assert process is not None
    assert process.tracer == tracer


@pytest.mark.skipif(not NAMESPACES, reason="mounting needs root with CAP_SYS_ADMIN")
@pytest.mark.parametrize("other", [True, False], ids=["another-program", "a-copy-of-it"])
def test_a_program_mounted_over_another_in_a_namespace_of_its_own(
    watching: Watching, tmp_path: Path, *, other: bool
) -> None:
    shown, run = tmp_path / "shown", tmp_path / "run"
    shutil.copy(SLEEP, shown)
    shutil.copy(SLEEP, run)
    if other:
        with run.open("ab") as more:
            more.write(b"another one")
    script = f"mount --bind {run} {shown} && exec {shown} 60"
    pid = watching.start("unshare", "-m", "sh", "-c", script)
    if other:
        assert watching.until(pid, "masquerade").evidence.split(b", ")[0] == os.fsencode(shown)
        return
    with pytest.raises(AssertionError):
        watching.until(pid, "masquerade", 3.0)
