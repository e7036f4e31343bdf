"""From where somebody approves: what the kernel and logind say, nothing that a client can choose."""

from __future__ import annotations

import os

import pytest

from hostguardd.actors.lineage import only
from hostguardd.actors.model import Details, Peer
from hostguardd.control.whence import FARTHEST, whence
from hostguardd.host.kernel import LinuxKernel
from hostguardd.host.witnesses import LinuxWitnesses

SSHD = b"/usr/sbin/sshd"
PTS3 = 136 << 8 | 3


class Processes:
    """A line of processes, by pid."""

    def __init__(self) -> None:
        self.known: dict[int, Details] = {}
        self.connections: dict[int, list[Peer]] = {}
        self.sessions: dict[int, bytes] = {}
        self.asked = 0

    def add(self, pid: int, parent: int, exe: bytes, uid: int = 0, **more: object) -> None:
        fields: dict[str, object] = {
            "pid": pid, "parent": parent, "started": 1, "sid": pid, "tty": 0, "uid": uid, "euid": uid,
            "login": 1000, "session": 3, "exe": exe, "command": exe, "unit": b"session-3.scope", "at": 2,
        }  # fmt: skip
        self.known[pid] = Details(**(fields | more))  # type: ignore[arg-type]

    def details(self, pid: int) -> Details | None:
        self.asked += 1
        return self.known.get(pid)

    def peers(self, pid: int) -> list[Peer]:
        return self.connections.get(pid, [])

    def session(self, number: int) -> bytes:
        return self.sessions.get(number, b"")


@pytest.fixture
def host() -> Processes:
    """hostguardctl, by sudo, in a shell of alice's that came by ssh."""
    made = Processes()
    made.add(50, 40, b"/usr/bin/python3.11", tty=PTS3)
    made.add(40, 30, b"/usr/bin/sudo", tty=PTS3)
    made.add(30, 20, b"/usr/bin/bash", 1000, tty=PTS3)
    made.add(20, 10, SSHD, 1000)
    made.add(10, 1, SSHD)
    made.add(1, 0, b"/usr/lib/systemd/systemd")
    made.connections[10] = [Peer(b"192.0.2.7", 4242)]
    return made


def test_session_terminal_and_address(host: Processes) -> None:
    assert whence(50, host) == "session 3, terminal pts3, from 192.0.2.7"


def test_who_is_gone_or_alone_comes_from_nowhere(host: Processes) -> None:
    assert whence(7, host) == ""
    host.add(60, 1, b"/usr/bin/python3.11", session=-1, unit=b"puppet.service")
    assert whence(60, host) == "in puppet.service"
    host.add(61, 1, b"/usr/bin/python3.11", session=None, unit=None)
    assert whence(61, host) == ""


@pytest.mark.parametrize(("exe", "uid"), [(b"/home/alice/sshd", 0), (SSHD, 1000), (None, 0)])
def test_what_only_looks_like_an_ssh_server_names_no_address(host: Processes, exe: bytes, uid: int) -> None:
    host.add(10, 1, exe, uid)
    host.connections[20] = [Peer(b"203.0.113.9", 4242)]
    assert whence(50, host) == "session 3, terminal pts3"


def test_two_connections_of_one_address_are_that_address(host: Processes) -> None:
    host.connections[10] = [Peer(b"192.0.2.7", 4242), Peer(b"192.0.2.7", 4243)]
    assert whence(50, host).endswith("from 192.0.2.7")
    found = only(host.connections[10])
    assert found is not None
    assert found.port == 0, "which of them is not known"


def test_an_ssh_server_with_several_connections_names_none(host: Processes) -> None:
    host.connections[10] = [Peer(b"192.0.2.7", 4242), Peer(b"203.0.113.9", 4242)]
    assert "from" not in whence(50, host)
    host.sessions[3] = b"REMOTE=1\nREMOTE_HOST=198.51.100.1\n"
    assert whence(50, host).endswith("from 198.51.100.1"), "logind knows"
    host.sessions[3] = b"REMOTE=0\nREMOTE_HOST=198.51.100.1\n"
    assert "from" not in whence(50, host)


def test_hostile_words_are_harmless(host: Processes) -> None:
    host.connections.clear()
    host.sessions[3] = b"REMOTE=1\nREMOTE_HOST=a\x1b[2J\xff\n"
    host.add(50, 40, b"/x", tty=PTS3)
    assert whence(50, host) == r"session 3, terminal pts3, from a\x1b[2J\xff"


def test_a_ring_of_parents_ends(host: Processes) -> None:
    host.add(10, 20, b"/usr/bin/bash")
    assert "from" not in whence(50, host)
    assert host.asked == FARTHEST + 1


def test_the_real_host_knows_ourselves() -> None:
    host = LinuxWitnesses(LinuxKernel().audit)
    seen = host.details(os.getpid())
    assert seen is not None
    assert ("session" in whence(os.getpid(), host)) is (seen.session is not None and seen.session >= 0)
