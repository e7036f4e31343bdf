"""Witnesses that a test can make say anything: the ports of `hostguardd.host.witnesses`, in memory."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hostguardd.actors.fanevents import FanEvent, Handle
from hostguardd.actors.model import Details, Peer, Presence
from hostguardd.actors.procevents import EXEC, EXIT, FORK, SID, UID, ProcEvent
from hostguardd.host.audit import Status
from hostguardd.host.kernel import Audit

SECOND = 10**9
WALL = 1_800_000_000 * SECOND
"""What the wall clock shows when the monotonic one shows 0."""


@dataclass
class FakeClock:
    """Both clocks; moved by hand."""

    now: int = 1000 * SECOND

    def mono(self) -> int:
        """Monotonic nanoseconds."""
        return self.now

    def wall(self) -> int:
        """Wall-clock nanoseconds."""
        return WALL + self.now


class FakePort:
    """A socket that nothing comes from, for waiting."""

    def __init__(self) -> None:
        self.pair = socket.socketpair()
        self.closed = False

    def fileno(self) -> int:
        """For waiting."""
        return self.pair[0].fileno()

    def close(self) -> None:
        """Remembered."""
        self.closed = True
        for one in self.pair:
            one.close()


class FakeAudit(FakePort):
    """Audit records that wait to be read."""

    def __init__(self, host: FakeWitnesses) -> None:
        super().__init__()
        self._host = host

    def read(self) -> tuple[list[tuple[int, bytes]], bool]:
        """All that wait."""
        found, self._host.records = self._host.records, []
        lost, self._host.records_lost = self._host.records_lost, False
        return found, lost


class FakeProcesses(FakePort):
    """Messages that wait to be read."""

    def __init__(self, host: FakeWitnesses) -> None:
        super().__init__()
        self._host = host

    def read(self) -> tuple[list[ProcEvent], bool]:
        """All that wait."""
        if self._host.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        found, self._host.messages = self._host.messages, []
        lost, self._host.messages_lost = self._host.messages_lost, False
        return found, lost


class FakeFiles(FakePort):
    """File events that wait to be read. A folder's handle is its path."""

    def __init__(self, host: FakeWitnesses) -> None:
        super().__init__()
        self._host = host
        self.marks: dict[bytes, int] = {}

    def mark(self, path: bytes, mask: int) -> bytes:
        """Remembered."""
        if path in self._host.unmarkable:
            raise OSError(self._host.unmarkable[path], os.strerror(self._host.unmarkable[path]))
        self.marks[path] = self.marks.get(path, 0) | mask
        return b"fs"

    def unmark(self, path: bytes, mask: int) -> None:
        """Remembered."""
        self.marks[path] &= ~mask

    def read(self) -> list[FanEvent]:
        """All that wait."""
        found, self._host.events = self._host.events, []
        return found

    def path(self, folder: tuple[bytes, int, bytes]) -> bytes | None:
        """The handle."""
        return folder[2] or None

    def handle(self, path: bytes) -> Handle | None:
        """The path."""
        return (1, path)

    def moved(self) -> None:
        """Nothing is remembered."""


@dataclass
class FakeWitnesses:
    """A host whose kernel tells what the test wants. `alive` is /proc."""

    clock: FakeClock = field(default_factory=FakeClock)
    alive: dict[int, Details] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    unmarkable: dict[bytes, int] = field(default_factory=dict)
    records: list[tuple[int, bytes]] = field(default_factory=list)
    unsent: list[tuple[int, bytes]] = field(default_factory=list)
    """Records of audit that a thread of the kernel's has yet to send."""
    records_lost: bool = False
    given_up: int | None = 0
    """Records that never came to the group, as the kernel counts them."""
    messages: list[ProcEvent] = field(default_factory=list)
    messages_lost: bool = False
    events: list[FanEvent] = field(default_factory=list)
    connected: dict[int, list[Peer]] = field(default_factory=dict)
    sessions: dict[int, bytes] = field(default_factory=dict)
    held: set[tuple[int, tuple[int, int]]] = field(default_factory=set)
    written: set[bytes] = field(default_factory=set)
    """Files that somebody has open for writing."""
    broken: bool = False
    logged_in: list[Presence] = field(default_factory=list)
    places: dict[bytes, tuple[tuple[int, int] | None, tuple[int, int] | None]] = field(default_factory=dict)
    state: Audit = field(
        default_factory=lambda: Audit(Status(1, 1, 1, 0, 8192), (b"-w /etc/ -p wa -k hostguard",))
    )

    def _may(self, name: str) -> None:
        if name in self.refused:
            raise OSError(self.refused[name], os.strerror(self.refused[name]))

    def audit(self) -> FakeAudit:
        """As `WitnessHost.audit`."""
        self._may("audit")
        return FakeAudit(self)

    def processes(self) -> FakeProcesses:
        """As `WitnessHost.processes`."""
        self._may("processes")
        return FakeProcesses(self)

    def files(self) -> FakeFiles:
        """As `WitnessHost.files`."""
        self._may("files")
        return FakeFiles(self)

    def audit_state(self) -> Audit:
        """As `WitnessHost.audit_state`."""
        return self.state

    def audit_lost(self) -> int | None:
        """As `WitnessHost.audit_lost`."""
        return self.given_up

    def audit_waiting(self) -> int:
        """As `WitnessHost.audit_waiting`; asked once more, what waited has come."""
        waiting = len(self.unsent)
        self.records += self.unsent[:1]
        del self.unsent[:1]
        return waiting

    def details(self, pid: int) -> Details | None:
        """As `WitnessHost.details`."""
        found = self.alive.get(pid)
        return None if found is None else found._replace(at=self.clock.now)

    def pids(self) -> Sequence[int]:
        """As `WitnessHost.pids`."""
        return [*self.alive]

    def peers(self, pid: int) -> Sequence[Peer]:
        """As `WitnessHost.peers`."""
        return self.connected.get(pid, [])

    def holds(self, pid: int, file: tuple[int, int]) -> bool:
        """As `WitnessHost.holds`."""
        return (pid, file) in self.held

    def open_to_write(self, path: bytes) -> bool | None:
        """As `WitnessHost.open_to_write`."""
        return path in self.written

    def session(self, number: int) -> bytes:
        """As `WitnessHost.session`."""
        return self.sessions.get(number, b"")

    def present(self) -> Sequence[Presence]:
        """As `WitnessHost.present`."""
        return self.logged_in

    def place(self, path: bytes) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """As `WitnessHost.place`."""
        return self.places.get(path, (None, None))

    # -- deeds -----------------------------------------------------------------------------------

    def process(self, pid: int, parent: int = 1, exe: bytes = b"/usr/bin/sh", **more: Any) -> Details:
        """A process that lives since now."""
        made = Details(pid, parent, self.clock.now, pid, 0, 0, 0, -1, -1, exe, exe + b"\0", b"", 0)
        made = made._replace(**more)
        self.alive[pid] = made
        return made

    def fork(self, parent: int, child: int) -> None:
        """It forks; what /proc shows is what it is itself."""
        self._tick()
        self.messages.append(ProcEvent(FORK, self.clock.now, child, parent))
        if parent in self.alive:
            self.alive[child] = self.alive[parent]._replace(pid=child, parent=parent, started=self.clock.now)

    def exec(self, pid: int, exe: bytes, *words: bytes, told: bool = True) -> None:
        """It runs another program."""
        self._tick()
        if told:
            folder, _, name = exe.rpartition(b"/")
            self.events.append(FanEvent(0x1000, pid, (b"fs", 1, folder), name))
            self.events.append(FanEvent(0x1000, pid, (b"fs", 1, b"/lib64"), b"ld-linux-x86-64.so.2"))
        self.messages.append(ProcEvent(EXEC, self.clock.now, pid))
        if pid in self.alive:
            self.alive[pid] = self.alive[pid]._replace(exe=exe, command=b"\0".join((exe, *words)) + b"\0")

    def become(self, pid: int, uid: int) -> None:
        """It is another user now."""
        self._tick()
        self.messages.append(ProcEvent(UID, self.clock.now, pid, uid, uid))
        if pid in self.alive:
            self.alive[pid] = self.alive[pid]._replace(uid=uid, euid=uid)

    def lead(self, pid: int) -> None:
        """It leads a session of its own."""
        self._tick()
        self.messages.append(ProcEvent(SID, self.clock.now, pid))

    def exit(self, pid: int) -> None:
        """It is gone."""
        self._tick()
        self.alive.pop(pid, None)
        self.messages.append(ProcEvent(EXIT, self.clock.now, pid))

    def touch(self, pid: int, path: bytes, mask: int) -> int:
        """It does something to a file; the wall-clock time of it."""
        self._tick()
        folder, _, name = path.rpartition(b"/")
        self.events.append(FanEvent(mask, pid, (b"fs", 1, folder), name))
        return self.clock.wall()

    def record(self, serial: int, *bodies: tuple[int, bytes]) -> int:
        """An event of audit; the wall-clock time of it, cut to milliseconds."""
        self._tick()
        at = self.clock.wall()
        head = b"audit(%d.%03d:%d): " % (at // SECOND, at // 10**6 % 1000, serial)
        self.records += [(kind, head + body) for kind, body in bodies]
        return at

    def _tick(self) -> None:
        self.clock.now += 20_000_000


def message(what: int, at: int, *words: int, idx: int = 1, val: int = 1) -> bytes:
    """A datagram of the process connector."""
    body = struct.pack("=IIQ", what, 0, at) + struct.pack(f"={len(words)}I", *words)
    body = body.ljust(40, b"\0")
    return (
        struct.pack("=IHHII", 36 + len(body), 3, 0, 0, 0)
        + struct.pack("=IIIIHH", idx, val, 0, 0, len(body), 0)
        + body
    )


def fan_record(mask: int, pid: int, *infos: bytes, version: int = 3) -> bytes:
    """An event of fanotify as read(2) gives it."""
    body = b"".join(infos)
    return struct.pack("=IBBHQii", 24 + len(body), version, 0, 24, mask, -1, pid) + body


def fan_name(folder: bytes, name: bytes, fsid: bytes = b"fsid1234", kind: int = 2) -> bytes:
    """The information record about a folder and a name in it."""
    inner = fsid + struct.pack("=Ii", len(folder), 1) + folder + name + b"\0"
    inner += bytes(-(4 + len(inner)) % 4)
    return struct.pack("=BBH", kind, 0, 4 + len(inner)) + inner
