r"""Text of /proc to values. Pure: bytes come in, and nothing that a hostile process can put there
(a name with `) R 1 1`, a path with a newline, arguments that are no UTF-8) leads to a wrong column.

Sources: proc(5), proc_pid_stat(5), cgroups(7).
"""

from __future__ import annotations

import re
import socket
import struct
import sys
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from .live import Connection, Socket

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


_CODE = re.compile(rb"\nVmExe:\t *(\d{1,18}) kB\nVmLib:\t *(\d{1,18}) kB\n")


def code(text: bytes) -> int:
    """KiB mapped to be executed, of /proc/PID/status; 0 for a thread of the kernel.

    Found first and matched then: this is asked of every process, each minute.
    """
    at = text.find(b"\nVmExe:\t")
    found = _CODE.match(text, at) if at >= 0 else None
    return int(found[1]) + int(found[2]) if found else 0


def tracer(text: bytes) -> int:
    """Who traces it, of /proc/PID/status; 0 for nobody."""
    at = text.find(b"\nTracerPid:\t")
    number = text[at + 12 : at + 24].partition(b"\n")[0] if at >= 0 else b""
    return int(number) if number.isdigit() else 0


LINKER: Final = frozenset({b"LD_PRELOAD", b"LD_AUDIT", b"LD_LIBRARY_PATH"})


def linker(text: bytes) -> dict[bytes, bytes]:
    """What /proc/PID/environ tells the dynamic linker: variables that are set to anything."""
    if b"LD_" not in text:
        return {}
    pairs = (word.partition(b"=") for word in text.split(b"\0") if word.startswith(b"LD_"))
    return {name: value for name, _, value in pairs if name in LINKER and value}


_MAPPED = re.compile(
    rb"^[0-9a-f]+-[0-9a-f]+ ..x. [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ [1-9]\d* +(/.*)$", re.MULTILINE
)


def mapped(text: bytes) -> list[bytes]:
    """Paths of the files in /proc/PID/maps that are mapped to be executed, each once."""
    return list(dict.fromkeys(_MAPPED.findall(text)))


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


_REAL_UID = re.compile(rb"^Uid:\t(\d+)\t", re.MULTILINE)


def real_uid(text: bytes) -> int | None:
    """The real uid in /proc/PID/status."""
    found = _REAL_UID.search(text)
    return int(found[1]) if found else None


def recorded(text: bytes) -> int | None:
    """The number in /proc/PID/loginuid or sessionid; None for -1, which is nobody and none."""
    text = text.strip()
    return int(text) if text.isdigit() and len(text) < 11 and text != b"4294967295" else None


def variable(environ: bytes, name: bytes) -> bytes:
    """A variable in /proc/PID/environ, b"" when it is not set."""
    mark = b"\0" + name + b"="
    at = (b"\0" + environ).find(mark)
    return b"" if at < 0 else environ[at + len(mark) - 1 :].partition(b"\0")[0]


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


CONNECTED: Final = frozenset({0x01, 0x02, 0x08})  # linux/tcp_states.h: established, syn-sent, close-wait


def connections(text: bytes) -> list[Connection]:
    """Sockets with a peer in /proc/net/{tcp,udp}{,6}."""
    found = []
    for line in text.split(b"\n")[1:]:
        parts = line.split()
        if len(parts) < 10 or int(parts[3], 16) not in CONNECTED:
            continue
        (own, _, port), (peer, _, peer_port) = (word.partition(b":") for word in parts[1:3])
        addresses = [plain(_address(one)) for one in (own, peer)]
        ports = int(port, 16), int(peer_port, 16)
        found.append(Connection(addresses[0], ports[0], addresses[1], ports[1], int(parts[7]), int(parts[9])))
    return found


def plain(address: bytes) -> bytes:
    """An IPv4 address that an IPv6 socket talks to, as IPv4 writes it."""
    return address.removeprefix(b"::ffff:") if b"." in address else address


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


_DIRENT = struct.Struct("=QqHB")


def dirents(buffer: bytes) -> list[tuple[bytes, int]]:
    """(name, DT_* type) of the entries in an answer of getdents64(2), without `.` and `..`."""
    found, at, end = [], 0, len(buffer)
    while at + _DIRENT.size < end:
        _, _, length, kind = _DIRENT.unpack_from(buffer, at)
        if length <= _DIRENT.size or at + length > end:
            break
        name = buffer[at + _DIRENT.size : at + length].split(b"\0", 1)[0]
        if name not in (b"", b".", b".."):
            found.append((name, kind))
        at += length
    return found


_PORT = re.compile(rb"^ *\d+: [0-9A-F]{8,32}:([0-9A-F]{4}) [0-9A-F]{8,32}:[0-9A-F]{4} ([0-9A-F]{2}) ", re.M)


def inet_ports(text: bytes, states: frozenset[int] | None = None) -> frozenset[int]:
    """The local ports in /proc/net/{tcp,udp}{,6}, of sockets in these states or in any."""
    return frozenset(
        int(port, 16) for port, state in _PORT.findall(text) if states is None or int(state, 16) in states
    )


_LOCAL = re.compile(rb"^ *\|-- ([0-9.]+)\n +/32 host LOCAL$", re.M)


def local_addresses(trie: bytes) -> list[bytes]:
    """This host's IPv4 addresses in /proc/net/fib_trie."""
    return sorted(set(_LOCAL.findall(trie)))


def local_addresses_6(text: bytes) -> list[bytes]:
    """This host's IPv6 addresses in /proc/net/if_inet6, but for those of one link only."""
    words = (line.split() for line in text.split(b"\n"))
    packed = {bytes.fromhex(one[0].decode()) for one in words if len(one) == 6 and _HEX.fullmatch(one[0])}
    return sorted(socket.inet_ntop(socket.AF_INET6, one).encode() for one in packed if one[:2] != b"\xfe\x80")


_HEX = re.compile(rb"[0-9a-f]{32}")


def numbers(text: bytes) -> list[int]:
    """One number a line, as in cgroup.procs; other lines are passed over."""
    return [int(line) for line in text.split(b"\n") if line.isdigit() and len(line) < 11]


def port_ranges(text: bytes) -> frozenset[int]:
    """`8080,9000-9010` of net.ipv4.ip_local_reserved_ports."""
    found: set[int] = set()
    for part in text.strip().split(b","):
        low, _, high = part.partition(b"-")
        if low.isdigit() and len(low) < 6 and (high or low).isdigit() and len(high) < 6:
            found.update(range(int(low), min(int(high or low), 65535) + 1))
    return frozenset(found)


ESTABLISHED: Final = b"01"


def remote_ends(text: bytes, inodes: Collection[bytes]) -> set[tuple[bytes, int]]:
    """Where the established connections in /proc/net/tcp{,6} with these socket inodes lead to."""
    found = set()
    for line in text.split(b"\n")[1:]:
        parts = line.split()
        if len(parts) > 9 and parts[9] in inodes and parts[3] == ESTABLISHED:
            address, _, port = parts[2].partition(b":")
            found.add((_address(address).removeprefix(b"::ffff:"), int(port, 16)))
    return found
