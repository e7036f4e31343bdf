"""What can tell who did something, port by port, as the joiner sees it; and the real ones.

Each opener raises OSError where its kind of witness is not to be had; the joiner then says why, and stands on
the next rung.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ..actors.fanevents import FanEvent, Handle
from ..actors.lineage import presence
from ..actors.model import Details, Peer, Presence
from ..actors.procevents import ProcEvent
from ..utmp import USER_PROCESS, logins
from .audit import AUDIT_GET, lost, waiting
from .auditlink import AuditLink
from .fanotify import Fanotify
from .kernel import Audit
from .leases import open_to_write
from .netlink import AUDIT, Netlink
from .proclink import ProcLink
from .procread import ProcReader

SESSIONS: Final = "/run/systemd/sessions"
MOST: Final = 256
"""Sessions that are told."""


class AuditPort(Protocol):
    """The kernel's audit records."""

    def fileno(self) -> int:
        """For waiting."""
        ...

    def read(self) -> tuple[list[tuple[int, bytes]], bool]:
        """(record type, text) of what has come, and whether some were lost."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class ProcPort(Protocol):
    """Messages about processes."""

    def fileno(self) -> int:
        """For waiting."""
        ...

    def read(self) -> tuple[list[ProcEvent], bool]:
        """What has come, and whether some was lost."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class FanPort(Protocol):
    """Events of whole file systems."""

    def fileno(self) -> int:
        """For waiting."""
        ...

    def mark(self, path: bytes, mask: int) -> bytes:
        """Mark the file system that holds `path`. Raises OSError."""
        ...

    def unmark(self, path: bytes, mask: int) -> None:
        """No longer these events. Raises OSError."""
        ...

    def read(self) -> list[FanEvent]:
        """What has come."""
        ...

    def path(self, folder: tuple[bytes, int, bytes]) -> bytes | None:
        """The path of a folder as it is now; None when it is gone."""
        ...

    def handle(self, path: bytes) -> Handle | None:
        """What events call the file that is there now; None when that cannot be told."""
        ...

    def moved(self) -> None:
        """A folder was renamed."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class WitnessHost(Protocol):
    """All of them."""

    def audit(self) -> AuditPort:
        """Raises OSError."""
        ...

    def processes(self) -> ProcPort:
        """Raises OSError."""
        ...

    def files(self) -> FanPort:
        """Raises OSError."""
        ...

    def audit_state(self) -> Audit:
        """The audit system's status and rules; with a problem when they cannot be asked for."""
        ...

    def audit_lost(self) -> int | None:
        """The kernel's count of audit records that it lost; None when it does not tell."""
        ...

    def audit_waiting(self) -> int:
        """How many audit records the kernel made and has yet to send; 0 when it does not tell."""
        ...

    def details(self, pid: int) -> Details | None:
        """What /proc says of a process."""
        ...

    def pids(self) -> Sequence[int]:
        """Every process there is."""
        ...

    def peers(self, pid: int) -> Sequence[Peer]:
        """Where a process's established connections lead to."""
        ...

    def holds(self, pid: int, file: tuple[int, int]) -> bool:
        """Whether that process may have that file (device, inode) open now: also when it cannot be told."""
        ...

    def open_to_write(self, path: bytes) -> bool | None:
        """Whether anybody has that file open for writing now; None when it cannot be told."""
        ...

    def session(self, number: int) -> bytes:
        """What logind wrote about a session, b"" when it knows none."""
        ...

    def present(self) -> Sequence[Presence]:
        """Who is logged in now."""
        ...

    def place(self, path: bytes) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """(device, inode) of a file and of its folder; None for what is not there."""
        ...


class LinuxWitnesses(ProcReader):
    """Those of the kernel we run on. `state` asks for the audit system's rules."""

    def __init__(self, state: Callable[[], Audit]) -> None:
        super().__init__()
        self.audit_state = state

    def audit(self) -> AuditPort:
        """As `WitnessHost.audit`."""
        return AuditLink()

    def audit_lost(self) -> int | None:
        """As `WitnessHost.audit_lost`."""
        return next(map(lost, self._audit_status()), None)

    def audit_waiting(self) -> int:
        """As `WitnessHost.audit_waiting`."""
        return next(map(waiting, self._audit_status()), 0)

    def _audit_status(self) -> list[bytes]:
        """struct audit_status, if the kernel tells."""
        door = Netlink(AUDIT)
        try:
            found = door.ask(AUDIT_GET, one=AUDIT_GET)
        except OSError:
            return []
        finally:
            door.close()
        return [one.body for one in found if one.kind == AUDIT_GET]

    def processes(self) -> ProcPort:
        """As `WitnessHost.processes`."""
        return ProcLink()

    def files(self) -> FanPort:
        """As `WitnessHost.files`."""
        return Fanotify()

    def open_to_write(self, path: bytes) -> bool | None:
        """As `WitnessHost.open_to_write`."""
        return open_to_write(path)

    def session(self, number: int) -> bytes:
        """As `WitnessHost.session`: sessions of a login have the kernel's number for it as their name."""
        return _read(f"{SESSIONS}/{number}", 16 * 1024)

    def present(self) -> Sequence[Presence]:
        """As `WitnessHost.present`: of logind, and of utmp those that logind does not know."""
        try:
            names = sorted(name for name in os.listdir(SESSIONS) if not name.endswith(".ref"))
        except OSError:
            names = []
        found = [presence(name.encode(), _read(f"{SESSIONS}/{name}", 16 * 1024)) for name in names[:MOST]]
        known = [one for one in found if one is not None]
        ttys = {one.tty for one in known}
        for one in logins(_read("/run/utmp", MOST * 400)):
            if one.kind == USER_PROCESS and one.line not in ttys and os.path.exists(f"/proc/{one.pid}"):
                known.append(Presence(one.user, one.line, one.origin, b"", one.at * 10**9))
        return known

    def place(self, path: bytes) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """As `WitnessHost.place`."""
        return _place(path), _place(path.rpartition(b"/")[0] or b"/")


def _place(path: bytes) -> tuple[int, int] | None:
    try:
        seen = os.lstat(path)
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


def _read(path: str, most: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError:
        return b""
