"""Who is logged in now, as three witnesses have it: utmp, logind, and the processes on each terminal.

A session is known to all three or somebody took it out of one: who(1) and w(1) believe utmp, loginctl(1)
believes logind, and neither of them can take the processes away.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ...host.live import Process
from ...sensors import logins
from ...sensors.logins import logind, terminal
from ...utmp import BOOT_TIME, USER_PROCESS, Login
from ..scene import Scene
from .attendance import utmp

DOORS: Final = {b"sshd": b"sshd", b"login": b"login", b"mosh-server": b"mosh"}
"""Beginnings of the names of programs that let people in -> what they are called."""

RECORDING: Final = logins.RECORDING

SESSION: Final = (b"session-", b".scope")


@dataclass(slots=True)
class Seat:
    """A terminal and who sits there. `leader` is the first process of its session, `door` the program that
    let it in (b"" for terminals that no login has: windows, tmux, sudo); `running` all its processes."""

    line: bytes
    record: Login | None = None
    session: logins.Session | None = None
    leader: Process | None = None
    door: bytes = b""
    running: list[Process] = field(default_factory=list)

    @property
    def is_login(self) -> bool:
        """Whether somebody logged in there."""
        return self.record is not None or self.session is not None or bool(self.door)


@dataclass(slots=True)
class Presence:
    """Who is here. `bare` are logind's sessions without a terminal, `silent` what a login program started
    without one, outside of all those; `scopes` are the sessions by name that processes are in, each with one
    of them. `managed`: logind keeps sessions on this host. `records` are all of utmp, None when there is no
    utmp."""

    seats: dict[bytes, Seat]
    bare: list[logins.Session]
    silent: list[tuple[bytes, Process]]
    scopes: Mapping[bytes, Process]
    managed: bool
    records: list[Login] | None

    @property
    def emptied(self) -> bool:
        """Whether utmp holds neither the boot nor anybody: also of a quiet host it has the boot."""
        kinds = (BOOT_TIME, USER_PROCESS)
        return self.records is not None and not any(one.sane and one.kind in kinds for one in self.records)


def presence(scene: Scene) -> Presence:
    """Look who is here."""
    live = scene.host.live
    processes = {pid: found for pid in live.pids() if (found := live.process(pid)) is not None}
    texts = scene.host.texts
    managed = texts.lstat(logins.SESSIONS) is not None
    return gather(utmp(texts)[0], logind(texts), processes, managed=managed)


def gather(
    records: list[Login] | None,
    sessions: Iterable[logins.Session],
    processes: Mapping[int, Process],
    *,
    managed: bool,
) -> Presence:
    """Put the three together by terminal."""
    seats: dict[bytes, Seat] = {}
    scopes: dict[bytes, Process] = {}
    bare = []
    silent = []

    def seat(line: bytes) -> Seat:
        return seats.setdefault(line, Seat(line))

    for one in records or ():
        if one.kind == USER_PROCESS and one.user and one.sane:
            seat(one.line).record = one
    for session in sessions:
        if session.line:
            seat(session.line).session = session
        else:
            bare.append(session)
    for process in processes.values():
        if process.kernel or process.namespace:
            continue
        if process.unit.startswith(SESSION[0]) and process.unit.endswith(SESSION[1]):
            scopes.setdefault(process.unit[len(SESSION[0]) : -len(SESSION[1])], process)
        line = terminal(process.tty)
        if not line:
            door = _door(process, processes)
            if door and not process.comm.startswith(tuple(DOORS)) and not process.unit.startswith(SESSION[0]):
                silent.append((door, process))
            continue
        here = seat(line)
        here.running.append(process)
        if process.session == process.pid:
            here.leader = process
            here.door = _door(process, processes)
    for here in seats.values():
        here.running.sort(key=lambda process: process.started)
    return Presence(seats, bare, silent, scopes, managed, records)


def _door(leader: Process, processes: Mapping[int, Process]) -> bytes:
    """The program that let the first process of a session in, which is its parent."""
    parent = processes.get(leader.parent)
    if parent is None:
        return b""
    name = os.path.basename(parent.exe) if parent.exe else parent.comm
    return next((door for start, door in DOORS.items() if name.startswith(start)), b"")
