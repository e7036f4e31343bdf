"""What the live sensors ask of the running kernel: processes, sockets, and nothing else.

`LiveHost` is the port. `host.proc.ProcHost` is the real thing, `NoLiveHost` stands in when there is
no live kernel to ask (`--root DIR`), and the tests have one they can edit. The rules every one of
them keeps: nothing raises for what it meets; a process that vanishes at any moment is None or simply
not there; "not allowed to look" (None) is told from "looked, and there is none" (an empty value).
Names, paths and arguments are raw bytes and hostile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

RUNNING: Final = "running"
REPLACED: Final = "replaced"
DELETED: Final = "deleted"
ANONYMOUS: Final = "anonymous"
STATES: Final = (RUNNING, REPLACED, DELETED, ANONYMOUS)
"""States of a running image, the worst last: as `model.ProcessFact.state`."""

PROTOCOLS: Final = ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "sctp", "sctp6", "packet", "unix")
"""Every kind of socket that is looked for; the scopes of the listeners sensor."""


class Process(NamedTuple):
    """One living thread group, as proc(5) shows it.

    `started` is clock ticks since boot and, with `pid`, names it for good. `kernel`: a thread of the
    kernel (PF_KTHREAD, which no program can set). `uid` is the effective one. `exe` is the path of
    the running image without the kernel's " (deleted)", b"" when it has none, None when we may not
    know; `state` is one of STATES (REPLACED also while `unread` says that the two files were not
    compared yet). `cwd` is b"" when it cannot be read. `unit` is the system manager's unit it runs in
    (`sshd.service`, `session-3.scope`), b"" when none. `login` is whether a login user is recorded
    for it (loginuid). `namespace` is "" for our own pid namespace, else the other one's name
    (`pid:[4026532301]`). `tracer` is the pid of whoever traces it (ptrace(2)), 0 for nobody. `code` is how
    many KiB of it are mapped to be executed: it moves when a library is mapped.
    """

    pid: int
    parent: int
    started: int
    kernel: bool
    session: int
    tty: int
    uid: int
    comm: bytes
    exe: bytes | None
    state: str
    argv: tuple[bytes, ...]
    cwd: bytes
    unit: bytes
    login: bool
    namespace: str
    tracer: int = 0
    code: int = 0


class Inside(NamedTuple):
    """What a process runs besides its image.

    `linker` are the variables of its environment that tell the dynamic linker what to load (ld.so(8)), as
    it was started. `mapped` are the paths of files mapped to be executed, as proc(5) writes them
    (`… (deleted)`, `/memfd:name (deleted)`). `claimed` is the program that its first argument names by path,
    if there is one there and it is another than the one that runs; else b"". `mode` is the mode of its
    image's file. `script` is what lies behind the descriptor that it was told to read its script from
    (`/dev/fd/3`), b"" when there is none.
    """

    linker: Mapping[bytes, bytes]
    mapped: Sequence[bytes]
    claimed: bytes
    mode: int
    script: bytes = b""


class Socket(NamedTuple):
    """One socket that waits for others. `cookie` names it for good (no socket gets it again).

    `address` is as people write it (`0.0.0.0`, `::`, `fe80::1%eth0`), the interface of a packet socket
    (`any` when it is bound to none) or a Unix socket's path (`@name` when abstract). `port` is the
    protocol number of a raw or packet socket, 0 for Unix. `uid` is who
    made it, None when the kernel does not tell. `inode` is 0 for the kernel's own.
    """

    cookie: int
    address: bytes
    port: int
    uid: int | None
    inode: int


class Sockets(NamedTuple):
    """One protocol's sockets. A `problem` is a sentence saying why (some of) them were not seen."""

    found: Sequence[Socket] = ()
    problem: str = ""


class Owners(NamedTuple):
    """Who holds sockets: inode -> pids, oldest process first. `hidden` counts processes whose files we
    may not see; 0 says that an inode without a holder really has none here."""

    holders: Mapping[int, Sequence[int]]
    hidden: int


class Connection(NamedTuple):
    """One socket that talks to a peer. Addresses as people write them; `uid` is who made it, `inode` is 0
    when nobody holds it any more."""

    address: bytes
    port: int
    peer: bytes
    peer_port: int
    uid: int
    inode: int


class Connections(NamedTuple):
    """One protocol's connections; there may be hundreds of thousands. `problem` as in `Sockets`."""

    found: Sequence[Connection] = ()
    problem: str = ""


class Origin(NamedTuple):
    """Whence a process came, and where its standard streams lead.

    `login` is the account that logged in (loginuid; None: nobody did), `session` the number of that login
    (audit's; 0: none), `real` the real uid. `client` is what sshd(8) tells of the other end in the
    environment that the process was started with (SSH_CONNECTION: address and port of the client, then ours),
    `leave` what sudo(8), pkexec(1) or doas(1) tell there (`SUDO_UID=1000`): whoever starts a program may
    write there what he likes. `streams` is where descriptors 0, 1 and 2
    point (`socket:[4711]`). What is closed, or not for us to see, is b"".
    """

    login: int | None
    session: int
    real: int
    client: bytes
    streams: tuple[bytes, bytes, bytes]
    leave: bytes = b""


CONNECTED: Final = ("tcp", "tcp6", "udp", "udp6", "sctp", "sctp6")
"""The protocols whose sockets talk to one peer."""


class LiveHost(Protocol):
    """The running kernel."""

    blind: str
    """"" or the sentence why nothing at all can be seen."""

    def uptime(self) -> float:
        """Seconds since boot, suspended time included: the time that `started` counts in."""
        ...

    def seconds(self, ticks: int) -> float:
        """`Process.started` as seconds since boot."""
        ...

    def fork_mark(self) -> bytes:
        """A value that moves whenever a process or thread comes or goes. Costs microseconds."""
        ...

    def pids(self) -> Sequence[int]:
        """Every process there is, in ascending order."""
        ...

    def process(self, pid: int) -> Process | None:
        """That process, or None when it is gone (or only waits to be reaped)."""
        ...

    def image(self, pid: int) -> bytes:
        """Where /proc/PID/exe points, for comparing; b"" when that cannot be seen. Costs microseconds."""
        ...

    def is_at_our_root(self, pid: int) -> bool:
        """Whether its root is ours, so that paths mean to it what they mean to us. A container's is not."""
        ...

    def inside(self, pid: int) -> Inside | None:
        """What it runs besides its image; None when it is gone, or we may not look."""
        ...

    def digest(self, pid: int) -> bytes | None:
        """SHA-256 of the running image; None when it was not read. Reads nothing itself."""
        ...

    def unread(self, pid: int) -> int:
        """How many bytes `read` would read; 0 when the image is known, or absurdly large."""
        ...

    def read(self, pid: int, stop: Callable[[], bool]) -> None:
        """Read what `digest` and `state` of the running image need. Asks `stop` every few MiB; when
        that is true, nothing is known afterwards."""
        ...

    def has_timer(self, unit: bytes) -> bool:
        """Whether a timer of the same name starts that service unit."""
        ...

    def sockets(self, proto: str) -> Sockets:
        """The sockets of one of PROTOCOLS. A protocol the kernel does not have simply has none."""
        ...

    def socket_mark(self) -> bytes:
        """A value that moves when the number of sockets of any kind does. Costs microseconds."""
        ...

    def cookies(self, proto: str) -> bytes:
        """A value that moves whenever `sockets` would find others than before, and is cheap to have."""
        ...

    def connections(self, proto: str) -> Connections:
        """The connections of one of CONNECTED, also those that are being made. Walks over all of them."""
        ...

    def origin(self, pid: int) -> Origin | None:
        """Whence that process came; None when it is gone."""
        ...

    def is_joint(self, pid: int, descriptor: int) -> bool:
        """Whether that descriptor leads to a pipe, a FIFO or a socket, whatever its name."""
        ...

    def owners(self, inodes: Collection[int]) -> Owners:
        """Which processes hold these sockets open."""
        ...

    def dynamic_ports(self) -> range:
        """The ports the kernel hands out by itself (ip_local_port_range)."""
        ...

    def net_namespaces(self) -> Mapping[str, Sequence[int]]:
        """Network namespaces other than our own: name -> the processes seen in it, as `pids` has them."""
        ...


class NoLiveHost:
    """There is no live kernel behind these files: a mounted image in a rescue."""

    blind = "there is no running kernel behind this root: only its files can be looked at"

    def uptime(self) -> float:
        """Always 0."""
        return 0.0

    def seconds(self, ticks: int) -> float:
        """Nothing ever started."""
        return 0.0

    def fork_mark(self) -> bytes:
        """Nothing ever happens."""
        return b""

    def pids(self) -> Sequence[int]:
        """None."""
        return ()

    def process(self, pid: int) -> Process | None:
        """None."""
        return None

    def image(self, pid: int) -> bytes:
        """Nothing."""
        return b""

    def is_at_our_root(self, pid: int) -> bool:
        """No."""
        return False

    def inside(self, pid: int) -> Inside | None:
        """None."""
        return None

    def digest(self, pid: int) -> bytes | None:
        """None."""
        return None

    def unread(self, pid: int) -> int:
        """Nothing."""
        return 0

    def read(self, pid: int, stop: Callable[[], bool]) -> None:
        """Nothing."""

    def has_timer(self, unit: bytes) -> bool:
        """None."""
        return False

    def sockets(self, proto: str) -> Sockets:
        """None, and why."""
        return Sockets((), self.blind)

    def socket_mark(self) -> bytes:
        """Nothing ever happens."""
        return b""

    def cookies(self, proto: str) -> bytes:
        """Nothing ever changes."""
        return b""

    def connections(self, proto: str) -> Connections:
        """None, and why."""
        return Connections((), self.blind)

    def origin(self, pid: int) -> Origin | None:
        """None."""
        return None

    def is_joint(self, pid: int, descriptor: int) -> bool:
        """No."""
        return False

    def owners(self, inodes: Collection[int]) -> Owners:
        """Nobody."""
        return Owners({}, 0)

    def dynamic_ports(self) -> range:
        """None."""
        return range(0)

    def net_namespaces(self) -> Mapping[str, Sequence[int]]:
        """None."""
        return {}
