"""What a line of parents says: the cron line it ran under, the sshd above it.

Only programs of root in folders that only root may write to count as what they are called: a copy of sshd in
somebody's home is not sshd, nor is one in a mount namespace of somebody's own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from .model import Link, Peer, Presence

SYSTEM: Final = (
    b"/usr/sbin/",
    b"/usr/bin/",
    b"/sbin/",
    b"/bin/",
    b"/usr/libexec/",
    b"/usr/lib/",
    b"/usr/local/sbin/",
)
SSHD_NAMES: Final = frozenset((b"sshd", b"sshd-session", b"sshd-auth", b"dropbear"))
CRON_NAMES: Final = frozenset((b"cron", b"crond", b"anacron", b"atd", b"fcron"))
LOGIN_NAMES: Final = SSHD_NAMES | CRON_NAMES | {
    b"login", b"systemd", b"systemd-executor", b"gdm-session-worker", b"lightdm", b"sddm-helper", b"su",
    b"sudo",
}  # fmt: skip
DELETED: Final = b" (deleted)"


def is_sshd(exe: bytes | None) -> bool:
    """Whether that program is an ssh server of the system."""
    return _named(exe, SSHD_NAMES)


def is_cron(exe: bytes | None) -> bool:
    """Whether that program runs jobs at their time."""
    return _named(exe, CRON_NAMES)


def logs_in(exe: bytes | None) -> bool:
    """Whether that program may log others in, wherever it lies; one that is not known may."""
    return exe is None or exe.removesuffix(DELETED).rpartition(b"/")[2] in LOGIN_NAMES


def _named(exe: bytes | None, names: frozenset[bytes]) -> bool:
    if exe is None:
        return False
    path = exe.removesuffix(DELETED)  # an update replaced it; its sessions live on
    return path.rpartition(b"/")[2] in names and path.startswith(SYSTEM)


def only(peers: Sequence[Peer]) -> Peer | None:
    """Who is at the other end, if it is one address only: who forwards connections has more."""
    if len({one.address for one in peers}) != 1:
        return None
    return peers[0] if len(peers) == 1 else Peer(peers[0].address)


def cron_line(chain: Sequence[Link]) -> bytes | None:
    """The job's command: of the first process below cron that runs a program, `sh -c COMMAND`. `chain` begins
    with the process itself."""
    above = [index for index, link in enumerate(chain) if is_cron(link.exe) and link.uid == 0]
    if not above or above[0] == 0:
        return None
    words = (chain[above[0] - 1].command or b"").rstrip(b"\0").split(b"\0")
    if len(words) > 2 and words[1] == b"-c":
        return words[2]
    return b" ".join(words) or None


_SESSION_LINE = re.compile(rb"^([A-Z_]+)=(.*)$", re.M)


def logind(text: bytes) -> dict[bytes, bytes]:
    """A file of /run/systemd/sessions, as sd-login(3) reads it: NAME=value, quoted as a shell would."""
    return {name: value.strip(b'"').replace(b"\\", b"") for name, value in _SESSION_LINE.findall(text)}


def presence(name: bytes, text: bytes) -> Presence | None:
    """A person's session as logind wrote it down; None for one of a service or of the greeter, or one that
    ended."""
    said = logind(text)
    if said.get(b"CLASS", b"user") not in (b"user", b"user-early") or said.get(b"STATE") == b"closing":
        return None
    if not said.get(b"USER"):
        return None
    began = said.get(b"REALTIME", b"")
    since = int(began) * 1000 if began.isdigit() and len(began) < 18 else 0
    return Presence(said[b"USER"], said.get(b"TTY", b""), said.get(b"REMOTE_HOST", b""), name, since)
