"""From where somebody approves: session, terminal and address of a caller, or the unit that it runs in.

The rule: nothing that the client says of itself, such as SSH_CONNECTION, and nothing that is not known. The
address is that of the only connection of the ssh server above it, else what logind wrote down of its session.
All this is for the record: whoever is root can come from wherever they like.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from ..actors.lineage import is_sshd, logind, only
from ..actors.model import Details, Peer
from ..actors.ttys import tty_name
from ..record import escape

FARTHEST: Final = 64
"""Parents that are looked at."""


class Processes(Protocol):
    """What is needed of the host."""

    def details(self, pid: int) -> Details | None:
        """What /proc says of a process."""
        ...

    def peers(self, pid: int) -> Sequence[Peer]:
        """Where its established connections lead to."""
        ...

    def session(self, number: int) -> bytes:
        """What logind wrote about a session, b"" when it knows none."""
        ...


def whence(pid: int, host: Processes) -> str:
    """`session 3, terminal pts0, from 192.0.2.7`, or `in puppet.service`, as safe text; "" when nothing is
    known."""
    caller = host.details(pid)
    if caller is None:
        return ""
    said: list[str] = []
    if caller.session is not None and caller.session >= 0:
        said.append(f"session {caller.session}")
    elif caller.unit:
        said.append(f"in {escape(caller.unit)}")
    if terminal := tty_name(caller.tty):
        said.append(f"terminal {escape(terminal)}")
    if address := next(_peers(caller, host), None) or _told(caller.session, host):
        said.append(f"from {escape(address)}")
    return ", ".join(said)


def _peers(caller: Details, host: Processes) -> Iterator[bytes]:
    """What each ssh server above is connected to, if it is one address only."""
    above: Details | None = caller
    for _ in range(FARTHEST):
        above = host.details(above.parent) if above is not None and above.parent else None
        if above is None:
            return
        if above.uid == 0 and is_sshd(above.exe):
            found = only(host.peers(above.pid))
            if found is not None:
                yield found.address


def _told(session: int | None, host: Processes) -> bytes | None:
    """The address that logind knows of a session that came from elsewhere."""
    if session is None or session < 0:
        return None
    said = logind(host.session(session))
    return said.get(b"REMOTE_HOST") or None if said.get(b"REMOTE") == b"1" else None
