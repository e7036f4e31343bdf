"""The kernel's audit rules in force, as auditctl(8) would write them. Pure; linux/audit.h.

A rule is told as a line one could hand to auditctl again, as far as it is understood; what is not
understood stays a number, so that two rules that differ never read the same.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

AUDIT_GET: Final = 1000
AUDIT_LIST_RULES: Final = 1013
AUDIT_GET_FEATURE: Final = 1019

_STATUS = struct.Struct("=10I")
_HEAD = struct.Struct("=3I")
_WORDS = struct.Struct("=64I")
FIELDS: Final = 64
_MASK, _FIELDS, _VALUES, _FLAGS, _LENGTH, _BUFFER = 12, 268, 524, 780, 1036, 1040

LISTS: Final = {0: b"user", 1: b"task", 2: b"entry", 3: b"watch", 4: b"exit", 5: b"exclude", 6: b"filesystem",
                7: b"io_uring"}  # fmt: skip
ACTIONS: Final = {0: b"never", 1: b"possible", 2: b"always"}
OPERATORS: Final = {
    0x08000000: b"&", 0x48000000: b"&=", 0x10000000: b"<", 0x20000000: b">", 0x30000000: b"!=",
    0x40000000: b"=", 0x50000000: b"<=", 0x60000000: b">=",
}  # fmt: skip
NAMES: Final = {
    0: b"pid", 1: b"uid", 2: b"euid", 3: b"suid", 4: b"fsuid", 5: b"gid", 6: b"egid", 7: b"sgid", 8: b"fsgid",
    9: b"auid", 10: b"pers", 11: b"arch", 12: b"msgtype", 13: b"subj_user", 14: b"subj_role",
    15: b"subj_type", 16: b"subj_sen", 17: b"subj_clr", 18: b"ppid", 19: b"obj_user", 20: b"obj_role",
    21: b"obj_type", 22: b"obj_lev_low", 23: b"obj_lev_high", 24: b"loginuid_set", 25: b"sessionid",
    26: b"fstype", 100: b"devmajor", 101: b"devminor", 102: b"inode", 103: b"exit", 104: b"success",
    105: b"path", 106: b"perm", 107: b"dir", 108: b"filetype", 109: b"obj_uid", 110: b"obj_gid",
    111: b"field_compare", 112: b"exe", 113: b"saddr_fam", 200: b"a0", 201: b"a1", 202: b"a2", 203: b"a3",
    210: b"key",
}  # fmt: skip
TEXTS: Final = frozenset((13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 105, 107, 112, 210))
"""Fields whose value is the length of their part of the buffer."""

ARCH, PATH, PERM, DIR, KEY, EXIT_LIST, ALWAYS = 11, 105, 106, 107, 210, 4, 2
EQUAL: Final = 0x40000000
ARCHES: Final = {0xC000003E: b"b64", 0x40000003: b"b32", 0xC00000B7: b"b64", 0x40000028: b"b32",
                 0xC0000015: b"b64", 0x80000016: b"b64", 0xC00000F3: b"b64"}  # fmt: skip
X86_64: Final = 0xC000003E
UNSET: Final = 0xFFFFFFFF
SIGNED: Final = frozenset((103, 104))

SYSCALLS: Final = {
    2: b"open", 42: b"connect", 43: b"accept", 49: b"bind", 56: b"clone", 57: b"fork", 58: b"vfork",
    59: b"execve", 62: b"kill", 76: b"truncate", 77: b"ftruncate", 82: b"rename", 83: b"mkdir", 84: b"rmdir",
    85: b"creat", 86: b"link", 87: b"unlink", 88: b"symlink", 90: b"chmod", 91: b"fchmod", 92: b"chown",
    93: b"fchown", 94: b"lchown", 101: b"ptrace", 105: b"setuid", 106: b"setgid", 113: b"setreuid",
    114: b"setregid", 117: b"setresuid", 119: b"setresgid", 133: b"mknod", 155: b"pivot_root",
    159: b"adjtimex", 161: b"chroot", 164: b"settimeofday", 165: b"mount", 166: b"umount2", 167: b"swapon",
    168: b"swapoff", 169: b"reboot", 170: b"sethostname", 171: b"setdomainname", 175: b"init_module",
    176: b"delete_module", 188: b"setxattr", 189: b"lsetxattr", 190: b"fsetxattr", 197: b"removexattr",
    198: b"lremovexattr", 199: b"fremovexattr", 227: b"clock_settime", 246: b"kexec_load", 257: b"openat",
    258: b"mkdirat", 260: b"fchownat", 263: b"unlinkat", 264: b"renameat", 265: b"linkat", 266: b"symlinkat",
    268: b"fchmodat", 272: b"unshare", 304: b"open_by_handle_at", 305: b"clock_adjtime", 308: b"setns",
    310: b"process_vm_readv", 311: b"process_vm_writev", 313: b"finit_module", 316: b"renameat2",
    319: b"memfd_create", 320: b"kexec_file_load", 321: b"bpf", 322: b"execveat", 437: b"openat2",
    452: b"fchmodat2",
}  # fmt: skip
"""System calls of x86_64 that rules are written about."""


class Status(NamedTuple):
    """struct audit_status. `enabled` 0, 1, or 2 (locked until the next boot). `failure` 0 silent, 1
    printk, 2 panic. `pid` of the audit daemon, 0 when nobody reads."""

    enabled: int
    failure: int
    pid: int
    rate_limit: int
    backlog_limit: int


def status(body: bytes) -> Status | None:
    """struct audit_status; None when it is cut short. Older kernels send fewer fields."""
    if len(body) < 24:
        return None
    _, enabled, failure, pid, rate, backlog, *_ = _STATUS.unpack(
        body[: _STATUS.size].ljust(_STATUS.size, b"\0")
    )
    return Status(enabled, failure, pid, rate, backlog)


def lost(body: bytes) -> int | None:
    """How many records the kernel lost, of struct audit_status."""
    return int(_STATUS.unpack_from(body)[6]) if len(body) >= _STATUS.size else None


def waiting(body: bytes) -> int:
    """How many records the kernel has yet to send, of struct audit_status."""
    return int(_STATUS.unpack_from(body)[7]) if len(body) >= _STATUS.size else 0


def immutable(body: bytes) -> bool | None:
    """Of struct audit_features: whether nobody, root neither, may change a login once it is set."""
    if len(body) < 16:
        return None
    return bool(struct.unpack_from("=4I", body)[2] & LOGINUID_IMMUTABLE)


LOGINUID_IMMUTABLE: Final = 0x2


class _Field(NamedTuple):
    number: int
    operator: int
    value: int
    text: bytes


def rule(body: bytes) -> bytes:
    """struct audit_rule_data as a line. A rule that is cut short is told by its bytes."""
    if len(body) < _BUFFER:
        return b"unreadable " + body.hex().encode()
    flags, action, count = _HEAD.unpack_from(body)
    mask = _WORDS.unpack_from(body, _MASK)
    fields = _fields(body, min(count, FIELDS))
    every = all(word == 0xFFFFFFFF for word in mask[:-1])
    line = _watch(fields) if every and (flags & 7, action) == (EXIT_LIST, ALWAYS) else None
    if line is not None:
        return line
    arch = next((field.value for field in fields if field.number == ARCH), 0)
    words = [b"-a %s,%s" % (_named(ACTIONS, action), _named(LISTS, flags & 7)), _arch(fields)]
    words += [] if every or flags & 7 != EXIT_LIST else [_syscalls(mask, arch)]
    words += [_word(field) for field in fields if field.number != ARCH]
    return b" ".join(word for word in words if word)


def _fields(body: bytes, count: int) -> list[_Field]:
    numbers, values, operators = (_WORDS.unpack_from(body, at) for at in (_FIELDS, _VALUES, _FLAGS))
    found, at = [], _BUFFER
    for number, value, operator in zip(numbers[:count], values[:count], operators[:count], strict=True):
        text = b""
        if number in TEXTS:
            text, at = body[at : at + value], at + value
        found.append(_Field(number, operator, value, text))
    return found


def _watch(fields: list[_Field]) -> bytes | None:
    """`-w PATH -p PERM -k KEY`, when that is all there is to it."""
    if not fields or fields[0].number not in (PATH, DIR) or any(f.operator != EQUAL for f in fields):
        return None
    if any(field.number not in (PERM, KEY) for field in fields[1:]) or len(fields) < 2:
        return None
    words = [b"-w " + fields[0].text + (b"/" if fields[0].number == DIR else b"")]
    words += [_word(field, b"-p ") for field in fields[1:]]
    return b" ".join(words)


def _word(field: _Field, perm: bytes = b"-F perm=") -> bytes:
    if field.number == KEY:
        return b" ".join(b"-k " + key for key in field.text.split(b"\1"))
    if field.number == PERM and field.operator == EQUAL:
        return perm + b"".join(
            one for bit, one in ((4, b"r"), (2, b"w"), (1, b"x"), (8, b"a")) if field.value & bit
        )
    operator = _named(OPERATORS, field.operator)
    value = field.text if field.number in TEXTS else _value(field)
    return b"-F " + _named(NAMES, field.number) + operator + value


def _value(field: _Field) -> bytes:
    if field.number in SIGNED and field.value >> 31:
        return b"%d" % (field.value - (1 << 32))
    return b"-1" if field.value == UNSET else b"%d" % field.value


def _arch(fields: list[_Field]) -> bytes:
    return b" ".join(
        b"-F arch" + _named(OPERATORS, field.operator) + (ARCHES.get(field.value) or b"0x%x" % field.value)
        for field in fields
        if field.number == ARCH
    )


def _syscalls(mask: tuple[int, ...], arch: int) -> bytes:
    names = SYSCALLS if arch == X86_64 else {}
    numbers = [32 * word + bit for word, bits in enumerate(mask) for bit in range(32) if bits >> bit & 1]
    return b"-S " + b",".join(names.get(number, b"%d" % number) for number in numbers)


def _named(names: dict[int, bytes], number: int) -> bytes:
    return names.get(number, b"%d?" % number)
