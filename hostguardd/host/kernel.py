"""What sensors ask of the kernel itself: mounts, texts of /proc and /sys, interfaces, rules in force.

`KernelHost` is the port, `LinuxKernel` the running one, `NoKernel` stands in where there is none (`--root
DIR`), and the tests have one they can edit. The rules every one of them keeps: nothing raises for what
it meets, nothing that is asked changes anything or loads a module, and "there is none" is told from
"we may not look".
"""

from __future__ import annotations

import errno
import os
import select
import time
from typing import Final, NamedTuple, Protocol

from . import audit, links
from .filters import Filters
from .firewall import Firewall
from .links import Link
from .live import NoLiveHost
from .netlink import AUDIT, ROUTE, Netlink
from .reading import READ_FLAGS, read_open

TEXT: Final = 4 * 1024 * 1024
ONCE: Final = 4096


class Seen(NamedTuple):
    """A text of /proc or /sys. `data` is None when there is no such file; with a `problem` (a clause)
    when it may not be read."""

    data: bytes | None
    problem: str = ""


class Audit(NamedTuple):
    """The audit system: its status (None: there is none, or it may not be asked) and the rules in force,
    as lines, in the kernel's order. `problem` is a sentence. `immutable`: whether a login that is set stays;
    None when that is not known."""

    status: audit.Status | None = None
    rules: tuple[bytes, ...] = ()
    problem: str = ""
    immutable: bool | None = None


class Interfaces(NamedTuple):
    """Network interfaces of our namespace. `problem` is a sentence."""

    found: tuple[Link, ...] = ()
    problem: str = ""


class KernelHost(Protocol):
    """The running kernel's own state."""

    blind: str
    """"" or the sentence why nothing at all can be seen."""

    def uptime(self) -> float:
        """Seconds since boot, suspended time included."""
        ...

    def mounts(self) -> Seen:
        """mountinfo, proc(5), of process 1 where we may read it, else our own."""
        ...

    def remounted(self) -> bool:
        """Whether the table of mounts may have moved since this was asked last. Costs microseconds."""
        ...

    def text(self, path: bytes, limit: int = TEXT) -> Seen:
        """Up to `limit` bytes of a file of /proc or /sys."""
        ...

    def names(self, folder: bytes) -> list[bytes] | None:
        """The names in a folder of /proc or /sys, sorted; None when it cannot be listed."""
        ...

    def exists(self, path: bytes) -> bool:
        """Whether there is such an entry in /proc or /sys."""
        ...

    def link(self, path: bytes) -> bytes:
        """Where a link of /proc or /sys points; b"" when it is none or barred."""
        ...

    def interfaces(self) -> Interfaces:
        """The network interfaces."""
        ...

    def audit(self) -> Audit:
        """The audit system."""
        ...

    def firewall_mark(self) -> bytes:
        """A value that moves whenever `firewall` would find others than before."""
        ...

    def firewall(self) -> Firewall:
        """The firewall in force."""
        ...


class NoKernel:
    """There is no running kernel behind these files."""

    blind = NoLiveHost.blind

    def uptime(self) -> float:
        """Always 0."""
        return 0.0

    def mounts(self) -> Seen:
        """None."""
        return Seen(None)

    def remounted(self) -> bool:
        """Never."""
        return False

    def text(self, path: bytes, limit: int = TEXT) -> Seen:
        """None."""
        return Seen(None)

    def names(self, folder: bytes) -> list[bytes] | None:
        """None."""
        return None

    def exists(self, path: bytes) -> bool:
        """Nothing does."""
        return False

    def link(self, path: bytes) -> bytes:
        """None."""
        return b""

    def interfaces(self) -> Interfaces:
        """None."""
        return Interfaces()

    def audit(self) -> Audit:
        """None."""
        return Audit()

    def firewall_mark(self) -> bytes:
        """Nothing ever changes."""
        return b""

    def firewall(self) -> Firewall:
        """None."""
        return Firewall()


class LinuxKernel:
    """`KernelHost` of the machine we run on. `proc` is where procfs is."""

    blind = ""

    def __init__(self, proc: bytes = b"/proc") -> None:
        self._proc = proc
        self._table = -1
        self._poll = select.poll()
        self._route = Netlink(ROUTE)
        self._audit = Netlink(AUDIT)
        self._filters = Filters(lambda path: self.text(path).data)
        self._raw: tuple[int, Interfaces] | None = None

    def uptime(self) -> float:
        """As `KernelHost.uptime`."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    # -- mounts ----------------------------------------------------------------------------------

    def _open_table(self) -> int:
        """A file descriptor kept for life: nobody can put another table in its place by mounting over
        /proc, and the kernel tells by poll(2) that it moved. Raises OSError."""
        if self._table < 0:
            for source in (b"1", b"self"):
                try:
                    self._table = os.open(b"%s/%s/mountinfo" % (self._proc, source), READ_FLAGS)
                    break
                except OSError as error:
                    failed = error
            else:
                raise failed
            self._poll.register(self._table, select.POLLPRI)
        return self._table

    def mounts(self) -> Seen:
        """As `KernelHost.mounts`. A table read in several parts may have moved between them: it is read
        until two readings agree."""
        try:
            handle = self._open_table()
            before = _whole(handle)
            for _ in range(4):
                data = _whole(handle)
                if data == before:
                    break
                before = data
        except OSError as error:
            return Seen(None, error.strerror or str(error))
        return Seen(data)

    def remounted(self) -> bool:
        """As `KernelHost.remounted`: poll(2) on mountinfo, proc(5)."""
        try:
            self._open_table()
        except OSError:
            return False
        return bool(self._poll.poll(0))

    # -- texts -----------------------------------------------------------------------------------

    def text(self, path: bytes, limit: int = TEXT) -> Seen:
        """As `KernelHost.text`."""
        try:
            handle = os.open(path, READ_FLAGS)
        except OSError as error:
            return Seen(
                None, "" if error.errno in (errno.ENOENT, errno.ENOTDIR) else os.strerror(error.errno or 0)
            )
        try:
            return Seen(_whole(handle, limit))
        except OSError as error:
            return Seen(None, error.strerror or str(error))
        finally:
            os.close(handle)

    def names(self, folder: bytes) -> list[bytes] | None:
        """As `KernelHost.names`."""
        try:
            return sorted(os.listdir(folder))
        except OSError:
            return None

    def exists(self, path: bytes) -> bool:
        """As `KernelHost.exists`."""
        return os.path.lexists(path)

    def link(self, path: bytes) -> bytes:
        """As `KernelHost.link`."""
        try:
            return os.readlink(path)
        except OSError:
            return b""

    # -- netlink ---------------------------------------------------------------------------------

    def interfaces(self) -> Interfaces:
        """As `KernelHost.interfaces`. The bytes of an unchanged answer are not read again."""
        try:
            messages = self._route.dump(links.RTM_GETLINK, links.request())
        except OSError as error:
            return Interfaces((), f"the network interfaces cannot be listed: {error.strerror}")
        mark = hash(tuple(message.body for message in messages))
        if self._raw is None or self._raw[0] != mark:
            self._raw = (mark, Interfaces(tuple(links.links(messages))))
        return self._raw[1]

    def audit(self) -> Audit:
        """As `KernelHost.audit`. A kernel without it, or a network namespace other than the first, has
        nobody at this door."""
        try:
            found = self._audit.ask(audit.AUDIT_GET, one=audit.AUDIT_GET)
            state = next((audit.status(m.body) for m in found if m.kind == audit.AUDIT_GET), None)
            rules = self._audit.ask(audit.AUDIT_LIST_RULES)
            found = self._audit.ask(audit.AUDIT_GET_FEATURE, one=audit.AUDIT_GET_FEATURE)
        except OSError as error:
            if error.errno in (errno.EPROTONOSUPPORT, errno.EINVAL, errno.EAFNOSUPPORT):
                return Audit()
            return Audit(problem=f"the audit system cannot be asked for its rules: {error.strerror}")
        lines = tuple(audit.rule(m.body) for m in rules if m.kind == audit.AUDIT_LIST_RULES)
        immutable = next((audit.immutable(m.body) for m in found if m.kind == audit.AUDIT_GET_FEATURE), None)
        return Audit(state, lines, immutable=immutable)

    def firewall_mark(self) -> bytes:
        """As `KernelHost.firewall_mark`."""
        return self._filters.mark()

    def firewall(self) -> Firewall:
        """As `KernelHost.firewall`."""
        return self._filters.look()

    def close(self) -> None:
        """Give everything back."""
        self._route.close()
        self._audit.close()
        self._filters.close()
        if self._table >= 0:
            os.close(self._table)
            self._table = -1


def _whole(handle: int, limit: int = TEXT) -> bytes:
    """A file of /proc from its beginning, up to `limit` bytes."""
    if limit <= ONCE:
        return os.pread(handle, limit, 0)  # a file of /proc gives that much in one read
    return read_open(handle, limit)
