r"""Text of /proc to values. Pure: bytes come in, and nothing that a hostile process can put there
(a name with `) R 1 1`, a path with a newline, arguments that are no UTF-8) leads to a wrong column.

Sources: proc(5), proc_pid_stat(5), cgroups(7).
"""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from .live import Socket

PF_KTHREAD: Final = 0x00200000  # linux/sched.h
PF_EXITING: Final = 0x00000004
DELETED_SUFFIX: Final = b" (deleted)"


class Stat(NamedTuple):
    """The columns of /proc/PID/stat that matter here. `started` is in clock ticks since boot. `ended`:
    a zombie, or on its way to be one, with nothing left of what it was but its number."""

    comm: bytes
    ended: bool
    parent: int
    session: int
    tty: int
    kernel: bool
    threads: int
    started: int


def stat(text: bytes) -> Stat | None:
    """/proc/PID/stat; None when it is cut short. The name may itself hold brackets and spaces."""
    start, end = text.find(b"("), text.rfind(b")")
    rest = text[end + 1 :].split()
    if start < 0 or end < start or len(rest) < 20:
        return None
    try:
        flags = int(rest[6])
        return Stat(
            text[start + 1 : end],
            rest[0] in (b"Z", b"X") or bool(flags & PF_EXITING),
            int(rest[1]),
            int(rest[3]),
            int(rest[4]),
            bool(flags & PF_KTHREAD),
            int(rest[17]),
            int(rest[19]),
        )
    except ValueError:
        return None


_UID = re.compile(rb"^Uid:\t\d+\t(\d+)\t", re.MULTILINE)
_NSPID = re.compile(rb"^NSpid:((?:\t\d+)+)$", re.MULTILINE)


def status(text: bytes) -> tuple[int, bool] | None:
    """(effective uid, whether it lives in a pid namespace below ours) of /proc/PID/status.

    `Name:` comes first and is escaped by the kernel, so that no name can add a line.
    """
    uid = _UID.search(text)
    if uid is None:
        return None
    numbers = _NSPID.search(text)
    return int(uid[1]), numbers is not None and numbers[1].count(b"\t") > 1


def unit(text: bytes) -> bytes:
    """The system manager's unit in /proc/PID/cgroup: the first service or scope of the path.

    Below it may be a user's own manager or a container's tree, which is not ours to name.
    """
    path = b""
    for line in text.split(b"\n"):
        _, _, rest = line.partition(b":")
        controllers, _, found = rest.partition(b":")
        if controllers == b"name=systemd" or (controllers == b"" and not path):
            path = found
    for part in path.removesuffix(DELETED_SUFFIX).split(b"/"):
        if part.endswith((b".service", b".scope")):
            return part
    return b""


def arguments(text: bytes) -> tuple[bytes, ...]:
    """/proc/PID/cmdline. A process may have overwritten it with anything, padded with NULs."""
    text = text.rstrip(b"\0")
    return tuple(text.split(b"\0")) if text else ()


def login(text: bytes) -> bool:
    """Whether /proc/PID/loginuid names somebody: (uid_t) -1 is nobody."""
    return text.strip() not in (b"", b"4294967295", b"-1")


def fork_mark(text: bytes) -> bytes:
    """How many threads there are and the newest pid, of /proc/loadavg. How many run is no matter."""
    return text[text.find(b"/") :].rstrip()


INET_STATES: Final = {"tcp": (0x0A,), "udp": (0x07,), "raw": (0x01, 0x07)}


def inet_table(text: bytes, proto: str) -> list[Socket]:
    """Waiting sockets of /proc/net/{tcp,udp,raw}{,6}; the inode stands in for the cookie."""
    states = INET_STATES[proto.rstrip("6")]
    found = []
    for line in text.split(b"\n")[1:]:
        parts = line.split()
        if len(parts) < 10 or int(parts[3], 16) not in states:
            continue
        address, _, port = parts[1].partition(b":")
        inode = int(parts[9])
        found.append(Socket(inode, _address(address), int(port, 16), int(parts[7]), inode))
    return found


def _address(hexed: bytes) -> bytes:
    """The kernel prints addresses as 32-bit words in its own byte order."""
    packed = bytes.fromhex(hexed.decode("ascii"))
    if sys.byteorder == "little":
        packed = b"".join(packed[i : i + 4][::-1] for i in range(0, len(packed), 4))
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed).encode()


def packet_table(text: bytes, interface: Callable[[int], bytes]) -> list[Socket]:
    """Packet sockets of /proc/net/packet that receive; the inode stands in for the cookie."""
    found = []
    for line in text.split(b"\n")[1:]:
        parts = line.split()
        if len(parts) < 9 or not (parts[4].isdigit() and parts[7].isdigit() and parts[8].isdigit()):
            continue
        try:
            protocol, index, inode = int(parts[3], 16), int(parts[4]), int(parts[8])
        except ValueError:
            continue
        if protocol:
            found.append(Socket(inode, interface(index) if index else b"any", protocol, int(parts[7]), inode))
    return found


_UNIX = re.compile(rb"^[0-9a-f]{8,16}: [0-9A-F]{8} [0-9]{8} ([0-9A-F]{8}) (\d{4}) \d{2} +(\d+) (.+)$", re.M)
SO_ACCEPTCON: Final = 0x10000  # linux/net.h


def unix_table(text: bytes) -> list[Socket]:
    """Listening Unix sockets of /proc/net/unix."""
    return [
        Socket(int(inode), path, 0, None, int(inode))
        for flags, _, inode, path in _UNIX.findall(text)
        if int(flags, 16) & SO_ACCEPTCON
    ]
