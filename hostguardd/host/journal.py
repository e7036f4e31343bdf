"""The journal's entries about logins, as journalctl(1) tells them: the door to a log that is no text.

The journal's files are a format of systemd's own, so its own program reads them. Rules kept: nobody
waits for that program (its pipe is read as far as there is something, and it waits while nobody reads);
it ends with us, whatever ends us (PR_SET_PDEATHSIG, and its pipe); it is reaped; and when it dies it is
started again behind the last entry that was seen.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

from ..loglines import Entry, entry
from .ready import ready

PROGRAMS: Final = ("/usr/bin/journalctl", "/bin/journalctl")
SOCKET: Final = "/run/systemd/journal/socket"
"""Is there when journald runs, systemd-journald.service(8)."""

FACILITIES: Final = tuple(f"SYSLOG_FACILITY={number}" for number in (4, 10, 11))
"""auth, authpriv and ftp, RFC 5424 section 6.2.1."""

FIELDS: Final = "MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_UID,_EXE"

BACKLOG: Final = 5000
"""Entries of the past that are read at the start."""

INQUIRED: Final = 50_000
"""The same for somebody who asks for a span of time."""

KERNEL: Final = "SYSLOG_FACILITY=0"
"""What the kernel says."""

PATIENCE: Final = 10.0
"""Seconds that reading them may take."""

AGAIN: Final = 10.0
"""Seconds between two starts of a program that keeps dying."""

TOGETHER: Final = 48 << 20
"""Bytes of messages of the past."""

LONGEST: Final = 1 << 20
"""Bytes of one entry; a longer one is left out."""

ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

START: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: prctl(2)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""What turns into journalctl: set up in the child itself, as no code may run between fork and exec."""


class Booted(NamedTuple):
    """A boot that the journal has entries of: their times, in seconds since the epoch."""

    id: str
    first: float
    last: float


_TABLE: Final = re.compile(
    rb" *-?\d+ ([0-9a-f]{32}) \w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC\W+"
    rb"\w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC *"
)


def booted(text: bytes) -> list[Booted]:
    """What `journalctl --list-boots` printed, as JSON or as a table (in UTC)."""
    if text.lstrip().startswith(b"["):
        try:
            rows = json.loads(text)
            found = [
                Booted(str(row["boot_id"]), row["first_entry"] / 1e6, row["last_entry"] / 1e6) for row in rows
            ]
        except (ValueError, TypeError, KeyError, RecursionError):
            return []
    else:
        lines = (_TABLE.fullmatch(line) for line in text.split(b"\n"))
        found = [Booted(one[1].decode(), _time(one[2]), _time(one[3])) for one in lines if one is not None]
    return sorted(found, key=lambda one: one.first)


def _time(text: bytes) -> float:
    try:
        return datetime.fromisoformat(text.decode()).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0


class Feed(Protocol):
    """Entries since the feed was opened, after those of the past."""

    problem: str
    """"" or the clause why there are none."""

    def past(self, stop: Callable[[], bool], since: float = 0) -> list[Entry]:
        """The newest entries there are; with a `since` (seconds since the epoch) more of them, none older,
        and the kernel's too. Takes up to PATIENCE seconds."""
        ...

    def new(self, most: int) -> list[Entry]:
        """Up to about `most` bytes of those that came since. Never waits."""
        ...


class JournalHost(Protocol):
    """The journal, if the host has one."""

    @property
    def present(self) -> bool:
        """Whether there is a journal to read."""
        ...

    def open(self) -> Feed:
        """Read it from its newest entries on."""
        ...

    def boots(self) -> tuple[list[Booted], str]:
        """The boots it has entries of, the oldest first, and the clause why there are none. Takes up to
        PATIENCE seconds."""
        ...


class NoJournal:
    """There is no journal that could be read."""

    present = False

    def open(self) -> Feed:
        """Nothing will come."""
        return NoFeed()

    def boots(self) -> tuple[list[Booted], str]:
        """None."""
        return [], ""


class NoFeed:
    """A feed of nothing."""

    problem = "there is no journal to be read"

    def past(self, stop: Callable[[], bool], since: float = 0) -> list[Entry]:
        """None."""
        return []

    def new(self, most: int) -> list[Entry]:
        """None."""
        return []


class Journal:
    """The journal of this host. `program` is journalctl, "" to look for it."""

    def __init__(self, program: str = "", socket: str = SOCKET) -> None:
        self._program = program or next((one for one in PROGRAMS if os.access(one, os.X_OK)), "")
        self._socket = socket

    @property
    def present(self) -> bool:
        """As `JournalHost.present`."""
        return bool(self._program) and os.path.exists(self._socket)

    def open(self) -> Feed:
        """As `JournalHost.open`."""
        return JournalFeed(self._program)

    def boots(self) -> tuple[list[Booted], str]:
        """As `JournalHost.boots`. Some releases know no JSON here and print a table all the same."""
        try:
            said = subprocess.run(
                [self._program, "-q", "--list-boots", "-o", "json", "--no-pager"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=PATIENCE,
                check=False,
                env=ENVIRONMENT,
            )
        except subprocess.TimeoutExpired:
            return [], f"{self._program} took longer than {PATIENCE:.0f} s"
        except OSError as error:
            return [], f"{self._program} cannot be started: {error.strerror}"
        found = booted(said.stdout)
        problem = f"{self._program} ended with status {said.returncode}" if said.returncode else ""
        return found, "" if found else problem


class JournalFeed:
    """journalctl as a child of ours; it ends with this object."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._child: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] = lambda: None
        self._buffer = b""
        self._since = time.time()
        self._cursor = ""
        self._again = 0.0
        self.problem = ""

    def past(self, stop: Callable[[], bool], since: float = 0) -> list[Entry]:
        """As `Feed.past`."""
        found, size = list[Entry](), 0
        deadline = time.monotonic() + PATIENCE
        self._since = time.time()
        if since:
            self._start("-n", str(INQUIRED), f"--since=@{int(since)}", KERNEL)
        else:
            self._start("-n", str(BACKLOG))
        while self._child is not None and not stop() and time.monotonic() < deadline:
            if self._child.stdout is not None:
                ready([self._child.stdout.fileno()], 0.05)
            entries = self._read(1 << 20)
            found += entries
            size += sum(len(one.line.text) for one in entries)
            if size > TOGETHER:
                self.problem = f"its messages are longer than {TOGETHER >> 20} MiB: the newest were not read"
                break
        self._close()
        return found

    def new(self, most: int) -> list[Entry]:
        """As `Feed.new`."""
        if self._child is None:
            if time.monotonic() < self._again:
                return []
            self._again = time.monotonic() + AGAIN
            behind = f"--after-cursor={self._cursor}" if self._cursor else f"--since=@{int(self._since)}"
            self._start("-f", "--no-tail", behind)
        return self._read(most)

    def _start(self, *how: str) -> None:
        self._close()
        self._buffer = b""
        command = [self._program, "-q", "-o", "json", "--no-pager", f"--output-fields={FIELDS}"]
        wrapped = [
            sys.executable,
            "-I",
            "-S",
            "-B",
            "-c",
            START,
            str(os.getpid()),
            *command,
            *how,
            *FACILITIES,
        ]
        try:
            child = subprocess.Popen(
                wrapped,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=ENVIRONMENT,
                process_group=0,
            )
        except OSError as error:
            self.problem = f"{self._program} cannot be started: {error.strerror}"
            return
        assert child.stdout is not None
        os.set_blocking(child.stdout.fileno(), False)
        self._child = child
        self._end = weakref.finalize(self, _end, child)

    def _read(self, most: int) -> list[Entry]:
        """What the pipe holds, up to about `most` bytes."""
        child = self._child
        if child is None or child.stdout is None:
            return []
        parts, ended = [self._buffer], False
        while most > 0:
            part = child.stdout.read(min(most, 1 << 18))
            if not part:
                ended = part == b""
                break
            parts.append(part)
            most -= len(part)
        lines = b"".join(parts).split(b"\n")
        self._buffer = lines.pop()
        if len(self._buffer) > LONGEST:
            self._buffer = b"#"  # no JSON: the rest of it is dropped with the line
        found = [one for one in map(entry, lines) if one is not None]
        if found:
            self.problem = ""
            self._cursor = found[-1].cursor or self._cursor
        if ended:
            status = self._close()
            if status:
                self.problem = f"{self._program} ended with status {status}"
        return found

    def _close(self) -> int:
        """End the child and reap it; its exit status, 0 when there was none."""
        child, self._child = self._child, None
        if child is None:
            return 0
        try:
            status = child.wait(0.2)  # at the end of its output it is about to end by itself
        except subprocess.TimeoutExpired:
            status = 0
        self._end()
        return status


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill and reap."""
    child.kill()
    if child.stdout is not None:
        child.stdout.close()
    child.wait()
