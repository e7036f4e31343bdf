"""A running kernel that a test can edit: processes, sockets, time. It keeps the port's rules.

    host = FakeLive()
    sshd = host.add_process(b"/usr/sbin/sshd")
    host.listen("tcp", b"0.0.0.0", 22, sshd)
    host.tick(5)

What is not said about a process is what a quiet service of a systemd host has: started by init, root,
in a unit of its own name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from hostguardd.host.live import (
    RUNNING,
    Connection,
    Connections,
    Inside,
    Origin,
    Owners,
    Process,
    Socket,
    Sockets,
)

HZ = 100
ORDINARY = Inside({}, (b"/usr/lib64/libc.so.6",), b"", 0o100755)
"""What runs in a process of which nothing is said."""


@dataclass
class FakeSocket:
    """A socket and who holds it."""

    proto: str
    socket: Socket
    holders: list[int]


@dataclass
class FakeLive:
    """An editable `LiveHost`. `calls` counts what was asked, to show what a poll costs."""

    now: float = 1000.0
    blind: str = ""
    hidden: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    timers: set[bytes] = field(default_factory=set)
    spaces: dict[str, list[int]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    vanishing: set[int] = field(default_factory=set)
    """Pids that are listed but gone when one looks."""
    reading: dict[int, float] = field(default_factory=dict)
    """Seconds that it takes to read a process's image; no time, if it is not named here."""

    def __post_init__(self) -> None:
        self._processes: dict[int, Process] = {}
        self._contents: dict[int, bytes] = {}
        self.insides: dict[int, Inside] = {}
        self.at_our_root: set[int] = set()
        self._read: set[bytes] = set()
        self._sockets: list[FakeSocket] = []
        self._connections: list[tuple[str, Connection, list[int]]] = []
        self.origins: dict[int, Origin] = {}
        self.plain: set[bytes] = set()
        self._newest = 100
        self._numbers = count(5000)
        self.add_process(b"/usr/lib/systemd/systemd", pid=1, parent=0, age=1000.0, unit=b"init.scope")

    # -- what a test does to the host --------------------------------------------------------------

    def wall(self) -> int:
        """Wall-clock nanoseconds that go with `now`."""
        return 1_700_000_000_000_000_000 + int(self.now * 1e9)

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def add_process(
        self,
        exe: bytes | None,
        *,
        pid: int = 0,
        parent: int = 1,
        age: float = 0.0,
        uid: int = 0,
        comm: bytes | None = None,
        argv: tuple[bytes, ...] | None = None,
        unit: bytes | None = None,
        state: str = RUNNING,
        kernel: bool = False,
        tty: int = 0,
        session: int = 0,
        login: bool = False,
        namespace: str = "",
        cwd: bytes = b"/",
        content: bytes | None = None,
    ) -> int:
        """A new process; its pid."""
        if not pid:
            self._newest += 1
            pid = self._newest
        name = (exe or b"").rpartition(b"/")[2]
        if unit is None:
            unit = name + b".service" if parent == 1 else b""
        self._processes[pid] = Process(
            pid=pid,
            parent=parent,
            started=round((self.now - age) * HZ),
            kernel=kernel,
            session=session or pid,
            tty=tty,
            uid=uid,
            comm=name[:15] if comm is None else comm,
            exe=exe,
            state=state,
            argv=(exe or b"",) if argv is None else argv,
            cwd=cwd,
            unit=unit,
            login=login,
            namespace=namespace,
        )
        self._contents[pid] = exe or b"" if content is None else content
        return pid

    def fork(self, pid: int) -> int:
        """A child that still is a copy of `pid`."""
        parent = self._processes[pid]
        self._newest += 1
        child = parent._replace(pid=self._newest, parent=pid, started=round(self.now * HZ))
        self.insides[child.pid] = self.insides.get(pid, ORDINARY)
        self._processes[child.pid] = child
        self._contents[child.pid] = self._contents[pid]
        for one in self._sockets:
            if pid in one.holders:
                one.holders.append(child.pid)
        return child.pid

    def execute(self, pid: int, exe: bytes, *argv: bytes) -> None:
        """execve(2): another program in the same process."""
        self.edit(pid, exe=exe, argv=argv or (exe,), comm=exe.rpartition(b"/")[2][:15], state=RUNNING)
        self.insides.pop(pid, None)
        self._contents[pid] = exe

    def edit(self, pid: int, **fields: object) -> None:
        """Change what a process looks like."""
        self._processes[pid] = self._processes[pid]._replace(**fields)  # type: ignore[arg-type]

    def run_inside(
        self,
        pid: int,
        linker: Mapping[bytes, bytes] | None = None,
        mapped: Sequence[bytes] = (),
        claimed: bytes = b"",
        mode: int = 0o100755,
    ) -> None:
        """Change what a process runs besides its image; the kernel counts what it maps."""
        self.insides[pid] = Inside(linker or {}, (*ORDINARY.mapped, *mapped), claimed, mode)
        self.edit(pid, code=100 * (1 + len(mapped)))

    def kill(self, pid: int) -> None:
        """End a process: init adopts its children, its last sockets close."""
        del self._processes[pid]
        for one in list(self._processes.values()):
            if one.parent == pid:
                self.edit(one.pid, parent=1)
        for sock in self._sockets:
            if pid in sock.holders:
                sock.holders.remove(pid)
        self._sockets = [one for one in self._sockets if one.holders or not one.socket.inode]

    def listen(self, proto: str, address: bytes, port: int, *pids: int, uid: int | None = 0) -> FakeSocket:
        """A socket that waits, held by `pids` (by the kernel itself when there are none)."""
        number = next(self._numbers)
        made = FakeSocket(proto, Socket(number, address, port, uid, number if pids else 0), list(pids))
        self._sockets.append(made)
        return made

    def connect(
        self, proto: str, port: int, peer: bytes, peer_port: int, *pids: int, uid: int = 0,
        address: bytes = b"192.0.2.1",
    ) -> int:  # fmt: skip
        """A connection, held by `pids`; its inode."""
        number = next(self._numbers)
        made = Connection(address, port, peer, peer_port, uid, number if pids else 0)
        self._connections.append((proto, made, list(pids)))
        return number

    def come_from(
        self,
        pid: int,
        *,
        login: int | None = None,
        session: int = 0,
        real: int | None = None,
        client: bytes = b"",
        streams: tuple[bytes, bytes, bytes] = (b"/dev/null",) * 3,
        leave: bytes = b"",
    ) -> None:
        """Change whence a process came."""
        real = self._processes[pid].uid if real is None else real
        self.origins[pid] = Origin(login, session, real, client, streams, leave)

    def close(self, made: FakeSocket) -> None:
        """Close a socket for good."""
        self._sockets.remove(made)

    # -- the port ----------------------------------------------------------------------------------

    def _count(self, what: str) -> None:
        self.calls[what] = self.calls.get(what, 0) + 1

    def uptime(self) -> float:
        return self.now

    def seconds(self, ticks: int) -> float:
        return ticks / HZ

    def fork_mark(self) -> bytes:
        self._count("fork_mark")
        return b"/%d %d" % (len(self._processes), self._newest)

    def pids(self) -> Sequence[int]:
        self._count("pids")
        return sorted(self._processes)

    def process(self, pid: int) -> Process | None:
        self._count("process")
        return None if pid in self.vanishing else self._processes.get(pid)

    def image(self, pid: int) -> bytes:
        self._count("image")
        process = self._processes.get(pid)
        return process.exe or b"" if process is not None else b""

    def is_at_our_root(self, pid: int) -> bool:
        return pid in self.at_our_root

    def inside(self, pid: int) -> Inside | None:
        self._count("inside")
        return self.insides.get(pid, ORDINARY) if pid in self._processes else None

    def digest(self, pid: int) -> bytes | None:
        self._count("digest")
        content = self._contents[pid] if pid in self._processes else None
        return hashlib.sha256(content).digest() if content in self._read and content is not None else None

    def unread(self, pid: int) -> int:
        if pid not in self._processes or self._contents[pid] in self._read:
            return 0
        return 1 + int(self.reading.get(pid, 0.0) * 1e9)

    def read(self, pid: int, stop: Callable[[], bool]) -> None:
        self._count("read")
        if self.unread(pid) and not stop():
            self.now += self.reading.get(pid, 0.0)
            self._read.add(self._contents[pid])

    def has_timer(self, unit: bytes) -> bool:
        return unit in self.timers

    def sockets(self, proto: str) -> Sockets:
        self._count("sockets")
        found = tuple(one.socket for one in self._sockets if one.proto == proto)
        return Sockets(found, self.problems.get(proto, ""))

    def socket_mark(self) -> bytes:
        self._count("socket_mark")
        return b"%d" % len(self._sockets)

    def cookies(self, proto: str) -> bytes:
        return b" ".join(b"%d" % one.socket.cookie for one in self._sockets if one.proto == proto)

    def owners(self, inodes: Collection[int]) -> Owners:
        self._count("owners")
        holders = {
            one.socket.inode: sorted(one.holders, key=lambda pid: (self._processes[pid].started, pid))
            for one in self._sockets
            if one.socket.inode in inodes and one.holders
        }
        for _, made, pids in self._connections:
            if made.inode in inodes and pids:
                holders[made.inode] = pids
        return Owners(holders, self.hidden)

    def connections(self, proto: str) -> Connections:
        found = tuple(made for name, made, _ in self._connections if name == proto)
        return Connections(found, self.problems.get(proto, ""))

    def origin(self, pid: int) -> Origin | None:
        if pid not in self._processes:
            return None
        return self.origins.get(
            pid, Origin(None, 0, self._processes[pid].uid, b"", (b"/dev/null", b"/dev/null", b"/dev/null"))
        )

    def is_joint(self, pid: int, descriptor: int) -> bool:
        origin = self.origin(pid)
        stream = origin.streams[descriptor] if origin is not None and descriptor < 3 else b""
        return (
            stream != b"" and stream not in self.plain and not stream.startswith((b"/dev/null", b"/dev/pts"))
        )

    def dynamic_ports(self) -> range:
        return range(32768, 61000)

    def net_namespaces(self) -> Mapping[str, Sequence[int]]:
        return self.spaces
