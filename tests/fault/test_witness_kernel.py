"""The kernel we run on as a witness: real processes, real file events. Skipped where it may not be asked."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from hostguardd.actors import procevents
from hostguardd.actors.model import Actor, Change, Rung, Unattributed
from hostguardd.engine.witness import Witness
from hostguardd.host import auditlink, proclink
from hostguardd.host.audit import Status
from hostguardd.host.kernel import Audit, LinuxKernel
from hostguardd.host.leases import open_to_write
from hostguardd.host.proclink import CONNECTOR, ProcLink
from hostguardd.host.procread import ProcReader
from hostguardd.host.witnesses import LinuxWitnesses
from tests.bench.actors import rules
from tests.fakewitness import message


def no_rules() -> Audit:
    """No rule of ours is in force, and none is made for a test."""
    return Audit(Status(0, 1, 0, 0, 64), ())


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    top = os.fsencode(tmp_path)
    made = Witness(LinuxWitnesses(no_rules), lambda folder, _: folder.startswith(top))
    made.open(("audit", "fanotify"), [top], [b"/"])
    if made.rungs.standing != (Rung.FANOTIFY,) or made.rungs.processes is None:
        made.close()
        pytest.skip("; ".join(made.rungs.missing.values()))
    made.start()
    yield made
    made.close()


def asked(witness: Witness, path: bytes, change: Change, since: int = 0) -> Actor:
    """The actor, once its deed was read."""
    ctime = os.lstat(path).st_ctime_ns if os.path.lexists(path) else None
    found = witness.attribute(path, change, ctime, since)
    assert isinstance(found, Actor), found
    return found


@pytest.mark.parametrize("name", [b"plain", b"no \xff utf-8\n", b"x" * 255])
def test_a_real_change_of_any_name(witness: Witness, tmp_path: Path, name: bytes) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    child = subprocess.Popen([b"/usr/bin/touch", path])
    assert child.wait() == 0
    found = asked(witness, path, Change.CREATED).who
    assert found.pid == child.pid
    assert found.exe is not None
    assert os.path.basename(found.exe) == os.path.basename(os.path.realpath(b"/usr/bin/touch"))
    assert found.uid == os.getuid()
    assert found.parents[0].pid == os.getpid()
    time.sleep(0.1)
    since = os.lstat(path).st_ctime_ns
    gone = subprocess.Popen([b"/bin/rm", path])
    assert gone.wait() == 0
    assert asked(witness, path, Change.REMOVED, since).who.pid == gone.pid


def test_a_folder_that_was_renamed(witness: Witness, tmp_path: Path) -> None:
    """Paths that were remembered are not those of today."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "a").touch()
    witness.drain()
    old.rename(new)
    for _ in range(2):  # what came at the same time might have come with the folder
        witness.drain()
    child = subprocess.Popen(["/usr/bin/touch", new / "b"])
    assert child.wait() == 0
    assert asked(witness, os.fsencode(new / "b"), Change.CREATED).who.pid == child.pid


@pytest.mark.parametrize("group", [True, False])
def test_messages_that_are_not_the_kernel_s(group: bool) -> None:
    """Root may send to the group, or to us alone: that the child of another had our pid's fork."""
    try:
        link = ProcLink()
    except OSError as error:
        pytest.skip(f"the process connector: {error.strerror}")
    port = Path("/proc/net/netlink").read_text()
    ours = [line.split() for line in port.splitlines() if line.split()[1] == str(CONNECTOR)]
    pid = next(int(words[2]) for words in ours if int(words[-1]) == os.fstat(link.fileno()).st_ino)
    with closing(link), socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, CONNECTOR) as door:
        forged = message(procevents.FORK, time.monotonic_ns(), 1, 1, 4_000_000, 4_000_000)
        try:
            with suppress(ConnectionRefusedError):  # sent all the same
                door.sendto(forged, (0, procevents.CN_IDX_PROC) if group else (pid, 0))
        except PermissionError:
            pytest.skip("nobody but root may send to others")
        assert os.spawnl(os.P_WAIT, "/bin/true", "true") == 0
        heard, _ = link.read()
    assert heard, "what the kernel tells comes"
    assert 4_000_000 not in {one.pid for one in heard}


def test_ourselves_in_proc() -> None:
    reader = ProcReader()
    found = reader.details(os.getpid())
    assert found is not None
    assert (found.parent, found.uid, found.euid) == (os.getppid(), os.getuid(), os.geteuid())
    assert found.exe == os.fsencode(os.path.realpath("/proc/self/exe"))
    assert 0 < found.started < found.at
    assert reader.details(0) is None


def test_what_is_held_open(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("w"):
        seen = path.stat()
        assert ProcReader().holds(os.getpid(), (seen.st_dev, seen.st_ino))
    assert not ProcReader().holds(os.getpid(), (seen.st_dev, seen.st_ino))


def test_what_is_open_for_writing(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    link.symlink_to(path)
    with path.open("w"):
        assert open_to_write(os.fsencode(path))
        assert open_to_write(os.fsencode(link)) is False, "no file"
    with path.open():
        assert open_to_write(os.fsencode(path)) is False
    path.unlink()
    assert open_to_write(os.fsencode(path)) is None


# -- losses ------------------------------------------------------------------------------------------

LIMIT = Path("/proc/sys/fs/fanotify/max_queued_events")
SMALL = 32 * 1024
"""Bytes of a socket's room: enough for a few messages, and full by a burst."""


class Burst:
    """A folder of files, and a witness that reads only when it is asked."""

    def __init__(self, folder: Path, rung: Rung) -> None:
        self.folder, self.rung = folder, rung
        self.file = folder / "file"
        self.file.touch()
        self.witness: Witness

    def change(self, mode: int) -> tuple[int, int]:
        """A change of the file: by whom, and what came before it."""
        time.sleep(0.15)  # past what may be a change's time as well
        self.witness.drain()  # others do much on this host, too
        since = self.file.stat().st_ctime_ns
        child = subprocess.Popen(["/bin/chmod", f"{mode:o}", self.file])
        assert child.wait() == 0
        return child.pid, since

    def much(self, count: int = 300) -> None:
        """Much else happens here."""
        other = self.folder / "other"
        other.touch()
        for number in range(count):
            other.chmod(0o600 + number % 8)
        time.sleep(0.3)  # audit's records are sent by a thread of the kernel's

    def ask(self, since: int) -> Actor | Unattributed:
        path, ctime = os.fsencode(self.file), self.file.stat().st_ctime_ns
        return self.witness.attribute(path, Change.ATTRIBUTES, ctime, since)

    def named(self, mode: int) -> None:
        """Who makes a change now is known: at once, or when what others do on this host fits again."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            pid, since = self.change(mode)
            found = self.ask(since)
            while isinstance(found, Unattributed) and "was seen" in found.reason:
                assert time.monotonic() < deadline, found
                time.sleep(0.05)  # audit's record is sent by a thread of the kernel's, which may be late
                found = self.ask(since)
            if isinstance(found, Actor):
                assert (found.who.pid, found.rung) == (pid, self.rung)
                return
            assert "were lost at that time" in found.reason
        raise AssertionError(found)

    def unnamed(self, since: int, what: str) -> None:
        """Nobody is named for a change of that time, the reason is told, and the loss once."""
        found = self.ask(since)
        assert isinstance(found, Unattributed), found
        assert "were lost at that time" in found.reason
        assert self.witness.rungs.losses[what] > 0


@contextmanager
def bursting(rung: Rung) -> Iterator[Burst]:
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="watched-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, folder)
        state = no_rules
        if rung is Rung.AUDIT:
            if os.geteuid() != 0 or shutil.which("auditctl") is None:
                pytest.skip("auditctl needs root, and to be installed")
            try:
                stack.enter_context(rules(folder))
            except (subprocess.CalledProcessError, SystemExit) as error:
                pytest.skip(f"no rules of audit can be loaded: {error}")
            kernel = LinuxKernel()
            stack.callback(kernel.close)
            state = kernel.audit
        top = os.fsencode(folder)
        burst = Burst(folder, rung)
        burst.witness = Witness(LinuxWitnesses(state), lambda one, _: one.startswith(top))
        stack.callback(burst.witness.close)
        burst.witness.open((rung.value,), [top], [b"/"])
        if burst.witness.rungs.standing != (rung,) or burst.witness.rungs.processes is None:
            pytest.skip("; ".join(burst.witness.rungs.missing.values()))
        yield burst


def auditctl(*words: str) -> str:
    return subprocess.run(["auditctl", *words], check=True, capture_output=True, text=True).stdout


def number(name: str) -> str:
    """A number of audit's status."""
    return next(line.split()[1] for line in auditctl("-s").splitlines() if line.split()[0] == name)


def test_records_that_the_kernel_gave_up() -> None:
    """Its backlog was full: no reader of the group is told."""
    with bursting(Rung.AUDIT) as burst, ExitStack() as stack:
        burst.named(0o601)
        lost, wait = number("lost"), number("backlog_wait_time")
        stack.callback(auditctl, "-b", number("backlog_limit"))
        stack.callback(auditctl, "--backlog_wait_time", wait)
        pid, since = burst.change(0o602)
        auditctl("--backlog_wait_time", "0")
        auditctl("-b", "1")
        deadline = time.monotonic() + 20
        while number("lost") == lost:
            assert time.monotonic() < deadline, "the kernel gives nothing up"
            burst.much()
        stack.close()
        burst.unnamed(since, "audit")
        assert "audit records" in burst.witness.tend(time.monotonic_ns())
        burst.named(0o603)
        found = burst.ask(0)
        assert isinstance(found, Unattributed) or found.who.pid != pid


def test_records_that_did_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditlink, "ROOM", SMALL)
    with bursting(Rung.AUDIT) as burst:
        burst.named(0o601)
        _, since = burst.change(0o602)
        burst.much()
        burst.unnamed(since, "audit")
        assert "audit records" in burst.witness.tend(time.monotonic_ns())
        burst.named(0o603)


def test_file_events_that_did_not_fit() -> None:
    before = LIMIT.read_text() if LIMIT.exists() else ""
    try:
        LIMIT.write_text("512")
    except OSError as error:
        pytest.skip(f"the length of the queue cannot be set: {error.strerror}")
    with ExitStack() as stack:
        stack.callback(LIMIT.write_text, before)
        burst = stack.enter_context(bursting(Rung.FANOTIFY))
        LIMIT.write_text(before)
        burst.named(0o601)
        _, since = burst.change(0o602)
        for count in range(1000):  # events that are alike become one
            (burst.folder / str(count)).touch()
        burst.unnamed(since, "files")
        assert "file events" in burst.witness.tend(time.monotonic_ns())
        burst.named(0o603)


def test_reports_of_processes_that_did_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proclink, "ROOM", SMALL)
    with bursting(Rung.FANOTIFY) as burst:
        for count in range(100):
            assert subprocess.call(["/bin/true"]) == 0
            if count == 50:
                _, since = burst.change(0o602)
        found = burst.ask(since)
        assert isinstance(found, Unattributed), found
        assert burst.witness.rungs.losses["processes"] > 0
        assert "reports of processes" in burst.witness.tend(time.monotonic_ns())


def test_a_loss_lasts_until_all_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells it once, and of what it drops then nothing."""
    monkeypatch.setattr(proclink, "ROOM", 2 * SMALL)
    monkeypatch.setattr(proclink, "AT_ONCE", 8)
    try:
        link = ProcLink()
    except OSError as error:
        pytest.skip(f"the process connector: {error.strerror}")
    with closing(link):
        for _ in range(100):
            assert os.spawnl(os.P_WAIT, "/bin/true", "true") == 0
        told = [link.read() for _ in range(3)]
        assert [lost for _, lost in told] == [True] * 3
        assert all(heard for heard, _ in told)
        deadline = time.monotonic() + 10
        while link.read()[1]:
            assert time.monotonic() < deadline, "it ends"
