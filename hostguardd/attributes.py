"""Raw attributes as words: modes, chattr(1) flags, ACLs, capabilities, labels, sizes, times.

The sensors keep attributes as the kernel gives them, because that is what compares exactly. Here
they become what an administrator would type or read: the text forms of getfacl(1), getcap(8) and
lsattr(1). The rule: **what is not understood is shown as hexadecimal, never left out**, for the odd
attribute is the one worth seeing.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Mapping
from typing import Protocol

from .model import decode_xattrs
from .record import clean, digest, escape, timestamp


class Names(Protocol):
    """Names of users and groups, as getpwuid(3) and getgrgid(3) know them; "" when unknown."""

    def user(self, uid: int) -> str:
        """The name of `uid`."""
        ...

    def group(self, gid: int) -> str:
        """The name of `gid`."""
        ...


FLAG_LETTERS: Mapping[int, str] = {
    0x00000001: "s", 0x00000002: "u", 0x00000004: "c", 0x00000008: "S", 0x00000010: "i",
    0x00000020: "a", 0x00000040: "d", 0x00000080: "A", 0x00000400: "m", 0x00000800: "E",
    0x00001000: "I", 0x00004000: "j", 0x00008000: "t", 0x00010000: "D", 0x00020000: "T",
    0x00080000: "e", 0x00100000: "V", 0x00800000: "C", 0x02000000: "x", 0x10000000: "N",
    0x20000000: "P", 0x40000000: "F",
}  # fmt: skip
"""FS_*_FL of linux/fs.h with the letters of chattr(1)."""

CAPABILITIES = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid",
    "setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw",
    "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct",
    "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod",
    "lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog",
    "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore",
)  # fmt: skip
"""Bits of linux/capability.h in order, without their `cap_`."""

_CAP_WORDS = {0x01000000: 1, 0x02000000: 2, 0x03000000: 2}  # revision: 32-bit words per set
_CAP_EFFECTIVE = 0x000001
_ACL_TAGS = {0x01: "user:", 0x02: "user:", 0x04: "group:", 0x08: "group:", 0x10: "mask:", 0x20: "other:"}
_ACL_BITS = (("r", 4), ("w", 2), ("x", 1))
_HEX_LIMIT = 128
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def user(uid: int, names: Names) -> str:
    """The user's name, or the bare number when it has none."""
    return clean(names.user(uid)) or str(uid)


def group(gid: int, names: Names) -> str:
    """The group's name, or the bare number when it has none."""
    return clean(names.group(gid)) or str(gid)


def mode(value: int) -> str:
    """The permission bits as chmod(1) takes them: `0644`, `4755`."""
    return f"{stat.S_IMODE(value):04o}"


def flags(value: int) -> str:
    """chattr(1) flags as letters in lsattr's manner; bits without a letter as `+0x…`."""
    letters = "".join(letter for bit, letter in FLAG_LETTERS.items() if value & bit)
    rest = value & ~sum(FLAG_LETTERS)
    return f"{letters}+{rest:#x}" if rest else letters


def xattrs(blob: bytes, names: Names) -> list[str]:
    """Extended attributes as `name=value` in the order of their names."""
    return [f"{escape(name)}={xattr(name, value, names)}" for name, value in decode_xattrs(blob).items()]


def xattr(name: bytes, value: bytes, names: Names) -> str:
    """One value as its own tool would write it; as text if it is text; else `0x…`."""
    if name == b"security.capability":
        return capabilities(value)
    if name.startswith(b"system.posix_acl_"):
        return acl(value, names)
    text = value.removesuffix(b"\0")  # labels end in a NUL that is no part of them
    if text and text.isascii() and text.decode().isprintable() and len(text) <= 4 * _HEX_LIMIT:
        return escape(text)
    return _hex(value)


def acl(value: bytes, names: Names) -> str:
    """A POSIX ACL in the short text form of setfacl(1): `user::rw-,user:alice:r--,…`.

    The value is acl_ea_header and acl_ea_entry of the kernel's posix_acl_xattr.h.
    """
    if len(value) % 8 != 4 or value[:4] != b"\x02\0\0\0":
        return _hex(value)
    entries = []
    for tag, permissions, who in struct.iter_unpack("<HHI", value[4:]):
        if tag not in _ACL_TAGS or permissions > 7:
            return _hex(value)
        name = {0x02: user, 0x08: group}.get(tag)
        letters = "".join(letter if permissions & bit else "-" for letter, bit in _ACL_BITS)
        entries.append(f"{_ACL_TAGS[tag]}{name(who, names) if name else ''}:{letters}")
    return ",".join(entries)


def capabilities(value: bytes) -> str:
    """File capabilities in the text form of cap_from_text(3): `cap_net_raw=ep`.

    The value is vfs_cap_data or vfs_ns_cap_data of linux/capability.h; the latter's root user in
    another namespace is appended as `[rootid=N]`.
    """
    magic = int.from_bytes(value[:4], "little")
    words = _CAP_WORDS.get(magic & 0xFF000000)
    namespaced = magic & 0xFF000000 == 0x03000000
    if words is None or len(value) != 4 + 8 * words + 4 * namespaced:
        return _hex(value)
    permitted = inheritable = 0
    for word in range(words):
        low, high = struct.unpack_from("<II", value, 4 + 8 * word)
        permitted |= low << 32 * word
        inheritable |= high << 32 * word
    by_flags: dict[str, list[str]] = {}
    for bit in range(32 * words):
        letters = "e" if magic & _CAP_EFFECTIVE and (permitted | inheritable) >> bit & 1 else ""
        letters += "i" if inheritable >> bit & 1 else ""
        letters += "p" if permitted >> bit & 1 else ""
        if letters:
            name = CAPABILITIES[bit] if bit < len(CAPABILITIES) else str(bit)
            by_flags.setdefault(letters, []).append(f"cap_{name}")
    text = " ".join(f"{','.join(found)}={letters}" for letters, found in by_flags.items()) or "="
    return f"{text} [rootid={int.from_bytes(value[-4:], 'little')}]" if namespaced else text


def size(count: int) -> str:
    """Bytes in decimal units with about two significant digits: `812 B`, `1.2 kB`, `34 MB`."""
    amount, unit = float(count), 0
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit and amount < 9.95 else f"{amount:.0f} {_UNITS[unit]}"


def moment(ns: int) -> str:
    """A time for a sentence, to the second, in UTC: `2026-11-23 13:18:42 UTC`."""
    text = timestamp(ns)
    return text if text.startswith("@") else f"{text[:10]} {text[11:19]} UTC"


def _hex(value: bytes) -> str:
    if len(value) <= _HEX_LIMIT:
        return f"0x{value.hex()}"
    return f"0x{value[:_HEX_LIMIT].hex()}… ({len(value)} bytes, sha256 {digest(value)})"
