"""Who is at the other end of the control socket: the kernel's word for it, never the client's.

The rule: permission is decided by what the kernel noted at connect(2) (SO_PEERCRED and SO_PEERGROUPS,
unix(7)): uid and groups cannot be lied about. The process' name and login uid are read from /proc
for the record only; a pid may be reused and a name chosen freely, so nothing is decided by them.
"""

from __future__ import annotations

import array
import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass

from ..errors import ForbiddenError
from ..record import escape
from .calls import CALLS, Who

_SO_PEERGROUPS = 59  # asm-generic/socket.h; Python's socket module does not name it
_MAX_GROUPS = 256  # what fits the 1024 bytes that socket.getsockopt allows
_NO_LOGIN = 0xFFFFFFFF  # /proc/PID/loginuid of what no login started, proc(5)


@dataclass(frozen=True, slots=True)
class Caller:
    """A peer as the kernel noted it when it connected; `groups` holds gid and supplementary groups."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class Access:
    """Who may what: `admins` are uids, `readers` a gid (None: no such group), `group` its name."""

    admins: frozenset[int]
    readers: int | None
    group: str

    def allows(self, who: Who, caller: Caller) -> bool:
        """Whether `caller` may make calls of that sort."""
        if caller.uid in self.admins:
            return True
        return who is Who.READ and self.readers is not None and self.readers in caller.groups

    def refusal(self, name: str, caller: Caller) -> ForbiddenError | None:
        """Why `caller` may not make that call, saying who may and who asked; None if they may."""
        who = CALLS[name].who
        if self.allows(who, caller):
            return None
        return ForbiddenError(f"{name} is for {self.sentence(who)}; you are {user_name(caller.uid)}")

    def sentence(self, who: Who) -> str:
        """`root`, or `root and members of the group hostguard`."""
        users = " and ".join(["root", *(user_name(uid) for uid in sorted(self.admins - {0}))])
        if who is Who.ADMIN or not self.group:
            return users
        missing = "" if self.readers is not None else " (which does not exist here)"
        return f"{users} and members of the group {self.group}{missing}"


def peer_of(connection: socket.socket) -> Caller:
    """The peer of a connected Unix stream socket.

    A caller in more than 256 groups is judged by its primary group alone: too few rights, never too
    many.
    """
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    pid, uid, gid = struct.unpack("iII", packed)
    groups = array.array("I")
    try:
        groups.frombytes(connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MAX_GROUPS))
    except OSError:  # ERANGE: more groups than fit; ENOPROTOOPT: a kernel older than 4.13
        groups = array.array("I")
    return Caller(pid, uid, gid, frozenset(groups) | {gid})


def describe_caller(caller: Caller, proc: str = "/proc") -> str:
    """`alice (uid 1000), login uid 1000, pid 4711 hostguardctl`, as safe text for the record.

    After sudo or su the login uid still names the human: `root (uid 0), login uid 1000 alice, …`.
    """
    parts = [user_name(caller.uid)]
    login = _login_uid(caller.pid, proc)
    if login is not None:
        name = "" if login == caller.uid else _name_of(login)
        parts.append(f"login uid {login} {name}".rstrip())
    parts.append(f"pid {caller.pid} {_comm(caller.pid, proc)}".rstrip())
    return ", ".join(parts)


def user_name(uid: int) -> str:
    """`alice (uid 1000)`, or `uid 1000` when nobody knows it."""
    name = _name_of(uid)
    return f"{name} (uid {uid})" if name else f"uid {uid}"


def group_id(name: str) -> int | None:
    """The gid of a group's name; None when there is no such group, or no name."""
    try:
        return grp.getgrnam(name).gr_gid if name else None
    except KeyError:
        return None


def _name_of(uid: int) -> str:
    try:
        return escape(os.fsencode(pwd.getpwuid(uid).pw_name))
    except KeyError:
        return ""


def _login_uid(pid: int, proc: str) -> int | None:
    raw = _read(f"{proc}/{pid}/loginuid").strip()
    return int(raw) if raw.isdigit() and int(raw) != _NO_LOGIN else None


def _comm(pid: int, proc: str) -> str:
    return escape(_read(f"{proc}/{pid}/comm").removesuffix(b"\n"))


def _read(path: str) -> bytes:
    """The file's first bytes; nothing when the process is gone or the kernel has no such file."""
    try:
        with open(path, "rb") as file:
            return file.read(256)
    except OSError:
        return b""
