"""Texts of the host without the secrets in them: hashes of passwords and private keys. Pure, and linear in
what is given.

The rule kept: evidence goes to other machines and other people, and what they need is what was done, not
what opens the next door. So secrets are found by what they look like, and in tables of accounts and files of
keys by the file's name as well, whatever else stands there; and what was left out is said.
"""

from __future__ import annotations

import re
from typing import Final

TABLES: Final = frozenset({b"shadow", b"gshadow", b"passwd", b"group", b"opasswd"})
"""Tables of accounts, whose second field is a password; with what editors and tools add to their names."""

BLANK: Final = b"(left out)"

PROGRAM: Final = b"\x7fELF"
"""How a program begins. Its bytes are evidence, keys that it brought along included."""

_TABLE = re.compile(
    rb"\A\.?([a-z]+)(?:[-+~]|\.(?:bak|old|orig|save|sw[a-z]|edit|rpm[a-z]+|dpkg-[a-z]+|ucf-[a-z]+|[0-9]+))?\Z"
)
_LINE = re.compile(rb"^([^:\n]*):([^:\n]*)", re.M)
_HISTORY = re.compile(rb"^([^:\n]*:[^:\n]*:[^:\n]*):([^\n]*)", re.M)
"""pam_pwhistory(8): user, uid, count, the old hashes."""

_SHADOW = re.compile(rb"^([^:\n]{1,64}):([^:\n]{1,400})(?=(?::[0-9]{0,10}){6}:[^:\n]{0,20}$)", re.M)
"""A line of shadow(5), in whatever file."""

_CRYPT = re.compile(
    rb"\$(?:1|2[abxy]?|3|5|6|7|8|y|gy|sm3|sha1|md5|apr1|argon2(?:id|i|d))[$,][^\s:\"'\0]{8,}"
    rb"|\{(?:S?SHA[0-9]{0,3}|S?MD5|SMD5|CRYPT|PBKDF2[\w-]{0,20})\}[A-Za-z0-9+/=$.]{8,}"
)
"""crypt(5): `$id$…`, and RFC 2307, anywhere."""

_BETWEEN: Final = rb"(?:\\[rn]|[\s\0>|#\"',;*])*+"
_KEY = re.compile(
    rb"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    + _BETWEEN
    # a header ends with its line, and so in one place only
    + rb"(?:[A-Za-z-]{1,40}: [^\r\n\0\\]{0,200}+(?:\\[rn]|[\r\n\0])"
    + _BETWEEN
    + rb"){0,8})"
    rb"[A-Za-z0-9+/=]{16}(?:\\[rn]|[A-Za-z0-9+/=\s\0>|#\"',;*])*+"
)
"""RFC 7468 and what resembles it, quoted or not: headers, then base64 and what stands between its lines. A
program that only knows the words has no base64 after them, and a line of a log ends it."""

_PUTTY = re.compile(rb"(Private-Lines:[^\S\n]*[0-9]{1,5}[^\S\n]*\n)(?:[A-Za-z0-9+/=]+[\s\0]+)+")

_KEPT_KEYS = re.compile(
    rb"(?:\A|/)(?:ssh_host_\w+_key|id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?|(?:ssl|tls)/private/[^/]+|krb5cc_[^/]+|"
    rb"[^/]*\.(?:keytab|p12|pfx|jks|keystore|kdbx|ppk))(?:[-~]|\.(?:bak|old|orig|save|rpm\w+|dpkg-\w+))?\Z"
)
_PACKED_KEYS: Final = (
    b"\5\2",  # krb5.keytab(5)
    b"\5\4",  # a cache of tickets
    b"SSH PRIVATE KEY FILE FORMAT 1.1\n",
    b"\xfe\xed\xfe\xed",  # a key store of Java
)
"""What holds nothing but keys: by its name, and by how it begins."""

_WIREGUARD = re.compile(rb"^([ \t]*(?:PrivateKey|PresharedKey)[ \t]*=[ \t]*)[A-Za-z0-9+/]{42,}=*", re.M)


def without_secrets(path: bytes, data: bytes) -> tuple[bytes, list[str]]:
    """The same without secrets, and what was left out. `path` is the file's, or as much of it as is known."""
    found: list[str] = []
    table = _TABLE.match(path.rpartition(b"/")[2])
    if table is not None and table[1] in TABLES:
        if table[1] == b"opasswd":
            cleared = _HISTORY.sub(lambda line: line[1] + b":" + BLANK if line[2] else line[0], data)
        else:
            cleared = _LINE.sub(_blanked, data)
        if cleared != data:
            found.append("password hashes")
            data = cleared
    elif data.startswith(PROGRAM):
        return data, []
    data, more = anywhere(data)
    if data and "private keys" not in more and (data.startswith(_PACKED_KEYS) or _KEPT_KEYS.search(path)):
        data, more = BLANK, [*more, "private keys"]
    return data, list(dict.fromkeys((*found, *more)))


def anywhere(data: bytes) -> tuple[bytes, list[str]]:
    """The same for a part of a file, of whatever name."""
    found: list[str] = []
    for pattern, put, what in (
        (_KEY, rb"\1" + BLANK + b"\n", "private keys"),
        (_PUTTY, rb"\1" + BLANK + b"\n", "private keys"),
        (_WIREGUARD, rb"\1" + BLANK, "private keys"),
        (_SHADOW, _blanked, "password hashes"),
        (_CRYPT, BLANK, "password hashes"),
    ):
        cleared = pattern.sub(put, data)
        if cleared != data and what not in found:
            found.append(what)
        data = cleared
    return data, found


def _blanked(line: re.Match[bytes]) -> bytes:
    """The beginning of a line; what says that there is no password, or that it is locked, stays."""
    name, field = line[1], line[2]
    locked = field[: len(field) - len(field.lstrip(b"!"))]
    rest = field[len(locked) :]
    return name + b":" + (field if rest in (b"", b"*", b"x", b"*NP*", b"*LK*") else locked + BLANK)
