"""Texts of the host without the secrets in them: hashes of passwords and private keys. Pure.

The rule kept: evidence goes to other machines and other people, and what they need is what was done, not
what opens the next door. So secrets are found by what they look like, not by the names of files; and what
was left out is said.
"""

from __future__ import annotations

import re
from typing import Final

TABLES: Final = frozenset({b"shadow", b"gshadow", b"passwd", b"group", b"opasswd"})
"""Tables of accounts, whose second field is a password; with what editors and tools add to their names."""

BLANK: Final = b"(left out)"

_TABLE = re.compile(
    rb"\A([a-z]+)(?:[-+~]|\.(?:bak|old|orig|save|edit|rpm[a-z]+|dpkg-[a-z]+|ucf-[a-z]+|[0-9]+))?\Z"
)
_LINE = re.compile(rb"^([^:\n]*):([^:\n]*)", re.M)
_HISTORY = re.compile(rb"^([^:\n]*:[^:\n]*:[^:\n]*):([^\n]*)", re.M)
"""pam_pwhistory(8): user, uid, count, the old hashes."""

_CRYPT = re.compile(rb"\$(?:1|2[abxy]?|3|5|6|7|8|y|gy|sm3|sha1|md5|apr1|argon2(?:id|i|d))[$,][^\s:\"'\0]{8,}")
"""crypt(5): `$id$…`, anywhere."""

_KEY = re.compile(
    rb"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[ \t]*\r?\n)"
    rb"((?:[^\n]{0,200}\r?\n){0,8}?[A-Za-z0-9+/=]{16,}[^\0]{0,65536}?)"
    rb"(?=-----END |\Z|\0)"
)
"""RFC 7468 and what resembles it. A program that only knows the words has no lines of base64 after them."""

_PUTTY = re.compile(
    rb"(PuTTY-User-Key-File-[0-9]+:[^\0]{0,65536}?\nPrivate-Lines:[^\n]*\n)[^\0]{0,65536}?(?=\nPrivate-MAC|\Z)"
)

_WIREGUARD = re.compile(rb"^([ \t]*(?:PrivateKey|PresharedKey)[ \t]*=[ \t]*)[A-Za-z0-9+/]{42,}=*", re.M)


def without_secrets(name: bytes, data: bytes) -> tuple[bytes, list[str]]:
    """The same without secrets, and what was left out. `name` is the file's, without its folder."""
    if b"\0" in data[:8192]:  # a program: its bytes are evidence, and no table or key
        return data, []
    found: list[str] = []
    table = _TABLE.match(name)
    if table is not None and table[1] in TABLES:
        if table[1] == b"opasswd":
            cleared = _HISTORY.sub(lambda line: line[1] + b":" + BLANK if line[2] else line[0], data)
        else:
            cleared = _LINE.sub(_blanked, data)
        if cleared != data:
            found.append("password hashes")
            data = cleared
    for pattern, put, what in (
        (_KEY, rb"\1" + BLANK + b"\n", "private keys"),
        (_PUTTY, rb"\1" + BLANK, "private keys"),
        (_WIREGUARD, rb"\1" + BLANK, "private keys"),
        (_CRYPT, BLANK, "password hashes"),
    ):
        data, number = pattern.subn(put, data)
        if number and what not in found:
            found.append(what)
    return data, found


def _blanked(line: re.Match[bytes]) -> bytes:
    """The beginning of a line; what says that there is no password, or that it is locked, stays."""
    name, field = line[1], line[2]
    locked = field[: len(field) - len(field.lstrip(b"!"))]
    rest = field[len(locked) :]
    return name + b":" + (field if rest in (b"", b"*", b"x", b"*NP*", b"*LK*") else locked + BLANK)
