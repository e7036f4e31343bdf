"""The address behind a session: what the sshd above it is connected to, else what logind wrote down.

Never what a process says of itself: SSH_CONNECTION is set by whoever wants to. A session is looked up when
its first program starts, because its sshd is surely still there then; what was found stays, because the
kernel gives no number of a session twice.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from ..actors.lineage import logind, only
from ..actors.model import Link, Peer, Process, Who
from ..actors.table import Table
from ..host.witnesses import WitnessHost

SESSIONS: Final = 4096
TRIES: Final = 3
"""Programs of a session above which an sshd is looked for: most sessions have none."""


class Origins:
    """The addresses known. `sshd(exe)`: whether that program is an ssh server."""

    def __init__(self, host: WitnessHost, table: Table, sshd: Callable[[bytes | None], bool]) -> None:
        self._host = host
        self._table = table
        self._sshd = sshd
        self._known: OrderedDict[int, Peer] = OrderedDict()
        self._tried: Counter[int] = Counter()
        self._granted: OrderedDict[int, None] = OrderedDict()
        self._doubted: Counter[int] = Counter()

    def note(self, process: Process) -> None:
        """A process runs another program: look its session up, if it is a new one."""
        session = process.session
        if session is None or session < 0:
            return
        self._grant(session, process)  # while whoever logged it in is there
        if session in self._known or self._tried[session] >= TRIES:
            return
        self._tried[session] += 1
        if len(self._tried) > SESSIONS:
            self._tried.clear()
        if any(self._sshd(one.image.exe) for one in islice(self._table.line(process), 2)):
            self.of(session, self._table.links(process))

    def granted(self, who: Who, process: Process | None) -> bool:
        """Whether root logged that session in. Whoever has no login may give themselves any: the kernel asks
        for no right then. `process` is the one named, or one above it."""
        session = who.session
        if who.login is None or who.login < 0 or session is None or session < 0 or session in self._granted:
            return True
        if who.unit not in (b"session-%d.scope" % session, b"user@%d.service" % who.login):
            return process is not None and self._grant(session, process)
        return True

    def _grant(self, session: int, process: Process) -> bool:
        """As `granted`, by the line of parents. Asked a few times only: most are there at the first."""
        if session in self._granted:
            return True
        if self._doubted[session] >= TRIES:
            return False
        if not self._table.granted(process, session):
            self._doubted[session] += 1
            if len(self._doubted) > SESSIONS:
                self._doubted.clear()
            return False
        self._granted[session] = None
        if len(self._granted) > SESSIONS:
            self._granted.popitem(last=False)
        return True

    def of(self, session: int | None, parents: Iterable[Link]) -> Peer | None:
        """The address behind a session; None when there is none, or none is known."""
        if session is None or session < 0:
            return None
        if session in self._known:
            return self._known[session]
        found = next(self._peers(parents), None) or self._told(session)
        if found is not None:
            self._known[session] = found
            if len(self._known) > SESSIONS:
                self._known.popitem(last=False)
        return found

    def _peers(self, parents: Iterable[Link]) -> Iterator[Peer]:
        """What each sshd above is connected to. Only those of root count, so not what somebody calls sshd in
        a namespace of their own."""
        for link in parents:
            if link.uid == 0 and self._sshd(link.exe):
                peer = only(self._host.peers(link.pid))
                if peer is not None:
                    yield peer

    def _told(self, session: int) -> Peer | None:
        """What logind wrote of a session that came from elsewhere."""
        said = logind(self._host.session(session))
        host = said.get(b"REMOTE_HOST") if said.get(b"REMOTE") == b"1" else None
        return Peer(host) if host else None
