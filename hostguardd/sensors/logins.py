"""The logins sensor: which account was used from where, and who is here though no record says so.

Origins come from every record there is: utmp(5) and wtmp(5) with what was rotated of it, the files in
which logind keeps its sessions, and the lines in which sshd and login tell of one (by the events sensor).
The rule kept: an origin is an address, whichever record tells of it, so that one login is one fact.

Whoever wipes records forgets that there are several. A session that logind knows, or a terminal below
sshd, of which utmp knows nothing is told, but only where utmp would know: a host whose programs write no
utmp is not one whose utmp was wiped.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ..host.live import LiveHost
from ..host.texts import TextHost
from ..loglines import CONSOLE, origin
from ..model import Blind, Depth, LoginFact, Row, Sweep
from ..tidings import NOT_DOORS, SWITCHERS
from ..utmp import BOOT_TIME, USER_PROCESS, Login, logins, origin_of
from .interface import Request, answers
from .wtmp import LARGEST, WTMP, History, Seen, Who, note

KIND: Final = LoginFact.KIND
ORIGINS: Final = "origins"
UNRECORDED: Final = "unrecorded"
VIEWS: Final = (ORIGINS, UNRECORDED)

UTMP: Final = b"/run/utmp"
UTMP_BEFORE: Final = b"/var/run/utmp"
SESSIONS: Final = b"/run/systemd/sessions"

MOST: Final = 4096
"""Origins that are told of; of more the latest."""

REMEMBERED: Final = 30 * 86400
"""Seconds for which an origin is remembered that no record has any more."""

SOME: Final = 1024
"""Sessions of logind that are read."""

WALK: Final = 60.0
"""Seconds after which terminals and records are compared although no record moved."""

GRACE: Final = 10.0
"""Seconds that a session and its record may be apart: they neither begin nor end together."""

RECORDING: Final = (b"sshd", b"login", b"remote")
"""Services that write a record for each of their sessions on a terminal."""

Stop = Callable[[], bool]


class Session(NamedTuple):
    """A session as logind keeps it."""

    name: bytes
    user: bytes
    source: bytes
    service: bytes
    line: bytes
    leader: int
    at: int


class LoginsSensor:
    """`Sensor` of LoginFacts. `arrivals` are logins heard of elsewhere: (user, origin) -> (service, at).
    `wall` and `mono` give nanoseconds; `interval` seconds pass between two looks."""

    fact = LoginFact

    def __init__(
        self,
        texts: TextHost,
        live: LiveHost,
        arrivals: dict[Who, tuple[bytes, int]],
        interval: float,
        wall: Callable[[], int],
        mono: Callable[[], int],
    ) -> None:
        self._texts = texts
        self._live = live
        self._arrivals = arrivals
        self._interval = interval
        self._wall = wall
        self._mono = mono
        self._lock = threading.Lock()
        self._history = History(texts)
        self._mark: tuple[object, ...] | None = None
        self._due = self._walk = 0.0
        self._recorded: set[tuple[bytes, int]] = set()
        self._services: set[bytes] = set()
        self._missed: dict[bytes, float] = {}
        self._met: dict[Who, Seen] = {}
        self._known = self._was_full = False  # whether there ever was a utmp, and records in it

    # -- the sensor's contract -------------------------------------------------------------------

    def changed(self) -> bool:
        """Whether any record moved; asks for three entries, at most every `interval`."""
        now = self._mono() / 1e9
        if now < self._due:
            return False
        self._due = now + self._interval
        if self._mark is None or self._mark != self._marks():
            return True
        return not self._live.blind and (
            now >= self._walk or any(now >= due for due in self._missed.values())
        )

    def expect(self, rows: Iterable[Row]) -> None:
        """Nothing: an origin that left the records is no news."""

    def recall(self, rows: Iterable[Row]) -> None:
        """Origins that were seen before we were started anew: logind and the lines of logs forget."""
        with self._lock:
            for row in rows:
                one = LoginFact.of(row)
                if one.view == ORIGINS:
                    note(self._met, (one.user, one.origin), Seen(one.service, one.line, one.at, 0))

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """One sweep of the origins, one of sessions that no record tells of."""
        began = self._wall()
        if stop():
            return
        with self._lock:
            found = self._look(stop)
        for view, (rows, blinds) in (found or {}).items():
            yield Sweep(LoginFact, view, depth, rows, blinds, began=began, ended=self._wall())

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """Keys are names."""
        return answers(requests, VIEWS, lambda view, depth: self.sweep(depth, stop))

    # -- looking ---------------------------------------------------------------------------------

    def _marks(self) -> tuple[object, ...]:
        """What moves when a record does."""
        marks: list[object] = [len(self._arrivals), next(reversed(self._arrivals.items()), None)]
        for path in (UTMP, UTMP_BEFORE, WTMP, SESSIONS):
            entry = self._texts.lstat(path)
            marks.append(entry and (entry.st_ino, entry.st_size, entry.st_mtime_ns))
        return tuple(marks)

    def _look(self, stop: Stop) -> dict[str, tuple[list[Row], tuple[Blind, ...]]] | None:
        """Rows and blinds by scope; None when stopped, which loses nothing."""
        marks = self._marks()
        blinds: list[Blind] = []
        found: dict[Who, Seen] = {}
        history, problems = self._history.read()
        blinds += [_blind(path, problem) for path, problem in problems.items()]
        for who, seen in history.items():
            note(found, who, seen)
        present, problem = self._present()
        if problem:
            blinds.append(_blind(UTMP, problem))
        for one in present or ():
            if one.kind == USER_PROCESS and one.user:
                note(found, (one.user, origin_of(one)), Seen(b"", one.line, one.at, 1))
        sessions = logind(self._texts)
        for who, seen in self._remember(sessions).items():
            note(found, who, seen)
        if stop():
            return None
        unrecorded = self._unrecorded(sessions, present, problem, stop)
        if unrecorded is None:
            return None
        self._mark = marks
        latest = sorted(found.items(), key=lambda item: item[1].at)[-MOST:]
        rows: list[Row] = [(ORIGINS, _name(who), *who, *seen) for who, seen in latest]
        none = (Blind(KIND, UNRECORDED.encode(), self._live.blind),) if self._live.blind else ()
        return {ORIGINS: (_unique(rows), tuple(blinds)), UNRECORDED: (_unique(unrecorded), none)}

    def _remember(self, sessions: list[Session]) -> dict[Who, Seen]:
        """Who is or was here by records that forget: logind's, and the lines of logs."""
        now = self._wall() // 10**9
        met = {who: seen._replace(active=0) for who, seen in self._met.items() if now - seen.at <= REMEMBERED}
        for who, (service, at) in list(self._arrivals.items()):
            note(met, who, Seen(service, b"", at, 0))
        for session in sessions:
            seen = Seen(session.service, session.line, session.at, 1)
            note(met, (session.user, session.source), seen)
        latest = sorted(met.items(), key=lambda item: (item[1].active, item[1].at))[-MOST:]
        self._met = dict(latest)
        return self._met

    def _present(self) -> tuple[list[Login] | None, str]:
        """The records of utmp, None when there is none; and why it cannot be read."""
        for path in (UTMP, UTMP_BEFORE):
            text = self._texts.read(path, LARGEST)
            if text.problem:
                return None, text.problem
            if text.data is not None:
                self._known = True
                return list(logins(text.data)), ""
        return None, ""

    # -- sessions and their records ----------------------------------------------------------------

    def _unrecorded(
        self, sessions: list[Session], present: list[Login] | None, problem: str, stop: Stop
    ) -> list[Row] | None:
        """Sessions that are there and that utmp knows nothing of; None when stopped."""
        if self._live.blind or problem or not self._known:
            return []
        now = self._mono() / 1e9
        terminals = self._under_sshd({session.name: session for session in sessions}, stop)
        if terminals is None:
            return None
        self._walk = now + WALK
        there = {session.line: session for session in sessions if session.line}
        there |= {session.line: session for session in terminals}
        records = {one.line: one for one in present or () if one.kind == USER_PROCESS and one.user}
        for line, session in there.items():
            if line in records:
                self._services.add(session.service)
        there_now = {(line, session.leader) for line, session in there.items()}
        self._recorded = {key for key in there_now if key[0] in records or key in self._recorded}
        # A utmp that not even knows when the host came up was emptied, or is not there any more.
        full = any(one.sane and one.kind in (BOOT_TIME, USER_PROCESS) for one in present or ())
        self._was_full |= full
        emptied = self._was_full and not full
        rows: list[Row] = []
        missed: dict[bytes, float] = {}
        for line, session in there.items():
            if line in records or session.service not in RECORDING:
                continue
            if not (
                emptied
                or session.service in self._services
                or (line, session.leader) in self._recorded
                or self._history.knows((session.user, session.source), session.line, session.at)
            ):
                continue
            due = missed[line] = self._missed.get(line, now + GRACE)
            if now >= due:
                name = session.user + b" on " + line
                rows.append(
                    (UNRECORDED, name, session.user, session.source, session.service, line, session.at, 1)
                )
        self._missed = missed
        return rows

    def _under_sshd(self, sessions: Mapping[bytes, Session], stop: Stop) -> list[Session] | None:
        """Terminals on which something runs that sshd started, by the processes; None when stopped."""
        live = self._live
        found: dict[bytes, Session] = {}
        for pid in live.pids():
            if stop():
                return None
            process = live.process(pid)
            if process is None or process.namespace or process.kernel:
                continue
            line = terminal(process.tty)
            if not line.startswith(b"pts/") or line in found:
                continue
            parent = live.process(process.parent)
            if parent is None or not os.path.basename(parent.exe or b"").startswith(b"sshd"):
                continue
            name = process.unit.removeprefix(b"session-").removesuffix(b".scope")
            known = sessions.get(name)
            user = known.user if known else b"uid %d" % process.uid
            source = known.source if known else b""
            at = self._wall() // 10**9 - int(live.uptime() - live.seconds(process.started))
            found[line] = Session(name, user, source, b"sshd", line, pid, at)
        return list(found.values())


def logind(texts: TextHost) -> list[Session]:
    """logind's sessions of people: none of cron's, no greeter, no one's service manager."""
    found = []
    for name in texts.names(SESSIONS, SOME) or ():
        if name.endswith(b".ref") or name.startswith(b"."):
            continue
        text = texts.read(SESSIONS + b"/" + name, 1 << 16)
        if text.data is not None and (session := _session(name, text.data)) is not None:
            found.append(session)
    return found


def _name(who: Who) -> bytes:
    user, source = who
    return user + (b" at the " if source == CONSOLE else b" from ") + source


def _unique(rows: list[Row]) -> list[Row]:
    """Sorted, one row for each key."""
    return [row for _, row in sorted({row[1]: row for row in rows}.items())]


def _blind(path: bytes, problem: str) -> Blind:
    return Blind(KIND, path, f"this record of logins cannot be read: {problem}")


def _session(name: bytes, data: bytes) -> Session | None:
    """A file of /run/systemd/sessions (logind's own, and stable for a decade: `KEY=value` lines)."""
    values: dict[bytes, bytes] = {}
    for line in data.split(b"\n")[:200]:
        key, equals, value = line.partition(b"=")
        if equals:
            values[key] = value.strip(b'"')
    service = values.get(b"SERVICE", b"").removesuffix(b"-l")
    kind = values.get(b"CLASS", b"user")
    if (
        not values.get(b"USER")
        or service in SWITCHERS
        or service in NOT_DOORS
        or not kind.startswith(b"user")
    ):
        return None
    if values.get(b"STATE") == b"closing":
        return None
    source = origin(values.get(b"REMOTE_HOST", b"")) if values.get(b"REMOTE", b"1") != b"0" else CONSOLE
    micros, leader = values.get(b"REALTIME", b""), values.get(b"LEADER", b"")
    return Session(
        name,
        values[b"USER"][:64],
        source[:256],
        service[:64],
        values.get(b"TTY", b"").removeprefix(b"/dev/")[:64],
        int(leader) if leader.isdigit() and len(leader) < 11 else 0,
        int(micros) // 10**6 if micros.isdigit() and len(micros) < 20 else 0,
    )


def terminal(device: int) -> bytes:
    """`pts/N`, `ttyN` or `ttySN` of the device number that proc_pid_stat(5) gives; b"" for any other."""
    major, minor = (device >> 8) & 0xFFF, (device & 0xFF) | ((device >> 12) & 0xFFF00)
    if 136 <= major <= 143:
        return b"pts/%d" % ((major - 136) * 256 + minor)
    if major == 4 and minor:
        return b"ttyS%d" % (minor - 64) if minor >= 64 else b"tty%d" % minor
    return b""
