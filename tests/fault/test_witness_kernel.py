"""The kernel we run on as a witness: real processes, real file events. Skipped where it may not be asked."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hostguardd.actors import procevents
from hostguardd.actors.model import Actor, Change, Rung
from hostguardd.engine.witness import Witness
from hostguardd.host.audit import Status
from hostguardd.host.kernel import Audit
from hostguardd.host.proclink import CONNECTOR, ProcLink
from hostguardd.host.procread import ProcReader
from hostguardd.host.witnesses import LinuxWitnesses
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
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, CONNECTOR) as door:
        forged = message(procevents.FORK, time.monotonic_ns(), 1, 1, 4_000_000, 4_000_000)
        if group:
            with suppress(ConnectionRefusedError):  # sent all the same
                door.sendto(forged, (0, procevents.CN_IDX_PROC))
        else:
            door.sendto(forged, (pid, 0))
        assert os.spawnl(os.P_WAIT, "/bin/true", "true") == 0
        heard, _ = link.read()
    link.close()
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
