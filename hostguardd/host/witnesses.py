"""What can tell who did something, port by port, as the joiner sees it; and the real ones.

Each opener raises OSError where its kind of witness is not to be had; the joiner then says why, and stands on
the next rung.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..actors.fanevents import FanEvent
from ..actors.model import Details
from ..actors.procevents import ProcEvent
from .auditlink import AuditLink
from .fanotify import Fanotify
from .kernel import Audit
from .proclink import ProcLink
from .procread import ProcReader


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

    def details(self, pid: int) -> Details | None:
        """What /proc says of a process."""
        ...

    def pids(self) -> Sequence[int]:
        """Every process there is."""
        ...

    def peers(self, pid: int) -> Sequence[bytes]:
        """Remote addresses of a process's established connections."""
        ...

    def holds(self, pid: int, file: tuple[int, int]) -> bool:
        """Whether that process may have that file (device, inode) open now: also when it cannot be told."""
        ...

    def session(self, number: int) -> bytes:
        """What logind wrote about a session, b"" when it knows none."""
        ...


class LinuxWitnesses(ProcReader):
    """Those of the kernel we run on. `state` asks for the audit system's rules."""

    def __init__(self, state: Callable[[], Audit]) -> None:
        super().__init__()
        self.audit_state = state

    def audit(self) -> AuditPort:
        """As `WitnessHost.audit`."""
        return AuditLink()

    def processes(self) -> ProcPort:
        """As `WitnessHost.processes`."""
        return ProcLink()

    def files(self) -> FanPort:
        """As `WitnessHost.files`."""
        return Fanotify()

    def session(self, number: int) -> bytes:
        """As `WitnessHost.session`: sessions of a login have the kernel's number for it as their name."""
        try:
            with open(f"/run/systemd/sessions/{number}", "rb") as file:
                return file.read(16 * 1024)
        except OSError:
            return b""
