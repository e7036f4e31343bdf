"""What a package says of one path, and in which words what is there departs from it. Pure.

The rule kept: what the package does not say is not asked (None), and a departure names both sides.

Sources: rpm's lib/verify.c and rpmfi, capabilities(7), cap_from_text(3), linux/capability.h.
"""

from __future__ import annotations

import re
import stat
import struct
from typing import Final, NamedTuple

from ..record import clean, escape

Identity = tuple[int, int, int]
"""Which inode is meant, and since which change of it: device, inode, ctime (nanoseconds; 0 for a folder)."""

ANOTHER: Final = "it is not the same any more that was to be compared"


class Expected(NamedTuple):
    """One packaged path. `key` is a number by which the manager knows it again. None: nothing is said of it.

    `type` is that of st_mode; `user` and `group` are ids. `largest` bounds what is read: a longer file cannot
    be the packaged one. `absent` allows that there is nothing, `instead` that a symbolic link stands there.
    `identity` is that of what is meant to be compared, and nothing else.
    """

    path: bytes
    key: int
    type: int | None = None
    mode: int | None = None
    user: int | None = None
    group: int | None = None
    size: int | None = None
    largest: int = 1 << 62
    algorithm: str = ""
    digest: str = ""
    mtime: int | None = None
    link: bytes | None = None
    device: int | None = None
    capabilities: str | None = None
    absent: bool = False
    instead: bool = False
    identity: Identity | None = None


class Seen(NamedTuple):
    """What is there. `digest` is None if the content was not read."""

    mode: int
    user: int
    group: int
    size: int
    mtime: int
    device: int
    link: bytes = b""
    digest: str | None = None
    capabilities: bytes = b""


TYPES: Final = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}

DIGITS: Final = 12
"""Of a digest that are told."""


def differences(expected: Expected, seen: Seen) -> tuple[list[str], list[str]]:
    """What departs, in words of ATTRIBUTES and their order, and each in a clause."""
    words: list[str] = []
    clauses: list[str] = []

    def told(word: str, before: object, after: object) -> None:
        words.append(word)
        clauses.append(f"{word} {before}, now {after}")

    kind = stat.S_IFMT(seen.mode)
    if expected.type is not None and kind != expected.type:
        told("type", TYPES.get(expected.type, "unknown"), TYPES.get(kind, "unknown"))
        if kind == stat.S_IFLNK:
            clauses[-1] += f" to {escape(seen.link)}"
        return words, clauses  # the rest is then of something else
    size_differs = expected.size is not None and kind == stat.S_IFREG and seen.size != expected.size
    if expected.digest and kind == stat.S_IFREG:
        if size_differs or seen.size > expected.largest:
            told("content", "packaged", "another one (not read, as its size tells)")
        elif seen.digest is not None and seen.digest != expected.digest:
            told("content", clean(expected.digest[:DIGITS]), f"{seen.digest[:DIGITS]} ({expected.algorithm})")
    if size_differs:
        told("size", expected.size, seen.size)
    if expected.mode is not None and kind != stat.S_IFLNK and (expected.mode ^ seen.mode) & 0o7777:
        told("mode", f"{expected.mode & 0o7777:04o}", f"{seen.mode & 0o7777:04o}")
    if (expected.user is not None and expected.user != seen.user) or (
        expected.group is not None and expected.group != seen.group
    ):
        user = seen.user if expected.user is None else expected.user
        if user != seen.user:
            told("owner", f"uid {user}", f"uid {seen.user}")
        if expected.group is not None and expected.group != seen.group:
            told("group", f"gid {expected.group}", f"gid {seen.group}")
    if expected.link is not None and kind == stat.S_IFLNK and expected.link != seen.link:
        told("link", escape(expected.link), escape(seen.link))
    if expected.device is not None and (expected.device ^ seen.device) & 0xFFFF:  # rpm keeps no more of it
        told("device", expected.device, seen.device)
    if expected.capabilities is not None and kind == stat.S_IFREG:
        packaged, present = from_text(expected.capabilities), from_xattr(seen.capabilities)
        if packaged != present:
            told("capabilities", clean(expected.capabilities) or "none", to_text(present))
    if expected.mtime is not None and kind == stat.S_IFREG and expected.mtime != seen.mtime:
        told("mtime", expected.mtime, seen.mtime)
    return words, clauses


# -- capabilities -----------------------------------------------------------------------------------------

NAMES: Final = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control",
    "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
    "perfmon", "bpf", "checkpoint_restore",
)  # fmt: skip
"""By number, without `cap_`."""

_CLAUSE: Final = re.compile(r"([a-z0-9_,]*)((?:[=+-][eip]*)+)")


class Capabilities(NamedTuple):
    """Bits by number, as they stand on a file."""

    permitted: int = 0
    inheritable: int = 0
    effective: bool = False


def from_text(text: str) -> Capabilities | None:
    """As cap_from_text(3) reads it; None when it cannot be read."""
    sets = {"e": 0, "i": 0, "p": 0}
    for clause in text.lower().split():
        found = _CLAUSE.fullmatch(clause)
        if found is None:
            return None
        which = 0
        for name in found[1].split(","):
            short = name.removeprefix("cap_")
            if name in ("", "all"):
                which |= (1 << len(NAMES)) - 1
            elif short in NAMES:
                which |= 1 << NAMES.index(short)
            elif short.isdigit() and int(short) < 64:
                which |= 1 << int(short)
            else:
                return None
        for operator, flags in re.findall(r"([=+-])([eip]*)", found[2]):
            for flag in sets:
                if operator == "=" or (operator == "-" and flag in flags):
                    sets[flag] &= ~which
                if operator != "-" and flag in flags:
                    sets[flag] |= which
    return Capabilities(sets["p"], sets["i"], bool(sets["e"]))


def from_xattr(raw: bytes) -> Capabilities | None:
    """`security.capability`: struct vfs_cap_data of revision 1 to 3; none when it is empty."""
    if not raw:
        return Capabilities()
    if len(raw) < 12:
        return None
    numbers = struct.unpack_from(f"<{len(raw) // 4}I", raw)
    permitted, inheritable = numbers[1], numbers[2]
    if len(numbers) >= 5:
        permitted |= numbers[3] << 32
        inheritable |= numbers[4] << 32
    return Capabilities(permitted, inheritable, bool(numbers[0] & 1))


def to_text(capabilities: Capabilities | None) -> str:
    """In words for a person."""
    if capabilities is None:
        return "some that cannot be read"
    bits = capabilities.permitted | capabilities.inheritable
    names = [name for number, name in enumerate(NAMES) if bits >> number & 1]
    names += [str(number) for number in range(len(NAMES), 64) if bits >> number & 1]
    return ",".join(f"cap_{name}" for name in names) or "none"
