"""The witnesses there are: opens what the kernel and the administrator give, says why the rest is missing.

The rule: what is missing is a sentence and the next rung, never a failure. What failed or was not there is
tried again when the loop tends to it, so that rules loaded an hour later count from then on. The audit group
is opened only while rules of ours are in force: else it would send us everybody else's records for nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from ..actors import obstacles
from ..actors.fanevents import FanEvent, Mask
from ..actors.model import Rung
from ..actors.procevents import ProcEvent
from ..host.mounts import Mount
from ..host.witnesses import AuditPort, FanPort, ProcPort, WitnessHost
from ..watches import Watches

MASK: Final = int(
    Mask.MODIFY
    | Mask.ATTRIB
    | Mask.CLOSE_WRITE
    | Mask.CREATE
    | Mask.DELETE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.ONDIR
    | Mask.OPEN_EXEC
)
PROGRAMS: Final = int(Mask.OPEN_EXEC)

Port = AuditPort | ProcPort | FanPort


def file_systems(mounts: Iterable[Mount], watches: Watches) -> tuple[list[bytes], list[bytes]]:
    """Mount points of file systems that hold what is watched, and of the others: from those only programs
    are run. One of each device; windows into the kernel, other machines' and containers' are left out."""
    watched: dict[int, bytes] = {}
    others: dict[int, bytes] = {}
    for mount in mounts:
        if mount.network or mount.pseudo or mount.container:
            continue
        holds = watches.leads(mount.point) or not watches.plan(mount.point).empty
        (watched if holds else others).setdefault(mount.device, mount.point)
    return [*watched.values()], [point for device, point in others.items() if device not in watched]


class Rungs:
    """The open ports. Called by one thread at a time."""

    def __init__(self, host: WitnessHost, key: bytes) -> None:
        self._host = host
        self._key = key
        self._wanted: frozenset[str] = frozenset()
        self._marks: tuple[tuple[bytes, int], ...] = ()
        self.audit: AuditPort | None = None
        self.processes: ProcPort | None = None
        self.files: FanPort | None = None
        self.missing: dict[str, str] = {}
        """By witness (audit, processes, files), why it is not there."""
        self.unmarked: dict[bytes, str] = {}
        """File systems whose events are not told, and why."""
        self.calmed = False
        """Whether so much is written here that single writes are no longer told, see `calm`."""
        self.locked = False
        """Whether audit's rules are locked until the next boot."""
        self.forgeable = False
        """Whether root may give any process another login."""
        self.losses: Counter[str] = Counter()
        """How often each witness lost something."""
        self._given_up: int | None = None

    @property
    def standing(self) -> tuple[Rung, ...]:
        """The rungs we stand on, the best first."""
        there = ((Rung.AUDIT, self.audit), (Rung.FANOTIFY, self.files))
        return tuple(rung for rung, port in there if port is not None)

    def ports(self) -> list[Port]:
        """What is open."""
        return [port for port in (self.files, self.processes, self.audit) if port is not None]

    # -- opening ---------------------------------------------------------------------------------

    def want(self, rungs: Iterable[str], watched: Iterable[bytes], programs: Iterable[bytes]) -> bool:
        """Stand on these rungs from now on, as far as they are there, with these file systems; as
        `refresh`."""
        self._wanted = frozenset(rungs)
        marks = (*((one, MASK) for one in watched), *((one, PROGRAMS) for one in programs))
        if marks != self._marks or Rung.FANOTIFY.value not in self._wanted:
            self._marks = marks
            self._drop_files()
        return self.refresh()

    def refresh(self) -> bool:
        """Open and close what there is and is not a reason for; whether the processes' messages begin
        anew."""
        self._open_audit()
        if Rung.FANOTIFY.value in self._wanted and self.files is None:
            self._open_files()
        if not self.standing:
            if self.processes is not None:
                self.processes.close()
                self.processes = None
            return False
        if self.processes is not None:
            return False
        try:
            self.processes = self._host.processes()
        except OSError as error:
            self.missing["processes"] = f"the kernel does not tell us of processes: {error.strerror}"
            return True  # without messages, who is there must be looked for
        self.missing.pop("processes", None)
        return True

    def _open_audit(self) -> None:
        if Rung.AUDIT.value not in self._wanted:
            self.missing.pop("audit", None)
            self._drop_audit()
            return
        state = self._host.audit_state()
        enabled = None if state.status is None else state.status.enabled
        self.locked = enabled == obstacles.LOCKED
        self.forgeable = state.immutable is False
        obstacle = "" if state.problem else obstacles.audit(enabled, state.rules, self._key)
        if state.status is None and not state.problem:
            obstacle = "the kernel has no audit system, or it may not be asked here"
        try:
            if not obstacle and self.audit is None:
                self.audit = self._host.audit()
                self._given_up = self._host.audit_lost()
        except OSError as error:
            obstacle = f"the kernel's audit records cannot be read: {error.strerror}"
        if obstacle:
            self.missing["audit"] = obstacle
            self._drop_audit()
        else:
            self.missing.pop("audit", None)

    def _open_files(self) -> None:
        try:
            self.files = self._host.files()
        except OSError as error:
            self.missing["files"] = f"the kernel does not tell us of file events: {error.strerror}"
            return
        self.unmarked = {}
        marked = 0
        for path, mask in self._marks:
            try:
                self.files.mark(path, mask)
                marked += mask == MASK
            except OSError as error:
                if mask == MASK:
                    self.unmarked[path] = error.strerror or str(error)
        if marked:
            self.missing.pop("files", None)
            return
        self._drop_files()
        why = "; ".join(f"{os.fsdecode(path)}: {reason}" for path, reason in self.unmarked.items())
        self.missing["files"] = f"no file system can be marked for file events ({why})"

    def calm(self) -> None:
        """Have writes told no longer one by one, but only when a file that was open to write is closed: a
        database may write more often than anybody could read. Who closes a file is then a candidate only."""
        if self.files is None or self.calmed:
            return
        self.calmed = True
        for path, mask in self._marks:
            if mask == MASK and path not in self.unmarked:
                with contextlib.suppress(OSError):
                    self.files.unmark(path, int(Mask.MODIFY))

    def _drop_audit(self) -> None:
        if self.audit is not None:
            self.audit.close()
            self.audit = None

    def _drop_files(self) -> None:
        self.missing.pop("files", None)
        self.calmed = False
        if self.files is not None:
            self.files.close()
            self.files = None

    def close(self) -> None:
        """Give everything back."""
        for port in self.ports():
            port.close()
        self.audit = self.processes = self.files = None

    # -- reading ---------------------------------------------------------------------------------

    def read_files(self) -> Sequence[FanEvent]:
        """File events that have come."""
        if self.files is None:
            return ()
        try:
            return self.files.read()
        except OSError as error:
            self._drop_files()
            self._failed("files", error)
            return ()

    def read_audit(self) -> tuple[Sequence[tuple[int, bytes]], bool]:
        """Audit records that have come, and whether some were lost."""
        if self.audit is None:
            return (), False
        try:
            return self.audit.read()
        except OSError as error:
            self._failed("audit", error)
            self._drop_audit()
            return (), True

    def gave_up(self) -> bool:
        """Whether the kernel's count of audit records that it lost moved since this was last asked."""
        if self.audit is None:
            return False
        count = self._host.audit_lost()
        before, self._given_up = self._given_up, count
        if count is None or before is None or count == before:
            return False
        self.losses["audit"] += 1
        return True

    def read_processes(self) -> tuple[Sequence[ProcEvent], bool]:
        """Messages about processes that have come, and whether some were lost."""
        if self.processes is None:
            return (), False
        try:
            return self.processes.read()
        except OSError as error:
            self._failed("processes", error)
            self.processes.close()
            self.processes = None
            return (), True

    def _failed(self, name: str, error: OSError) -> None:
        """A witness that cannot be read any more is none, until `refresh` has it again."""
        self.missing[name] = f"what the kernel tells cannot be read any more: {error.strerror}"
        self.losses[name] += 1
