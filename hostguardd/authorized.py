"""authorized_keys as sshd(8) reads it, and where sshd_config(5) says such files lie. Pure.

A line that sshd would not understand is kept by a mark and shows nothing of what it holds: the file may
be a link that somebody laid to one with secrets.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

from .accounts import Bad, bounded, lines, mark

USUAL = (b".ssh/authorized_keys", b".ssh/authorized_keys2")
"""AuthorizedKeysFile's default."""

MOST_FILES = 16
"""Places that are taken from sshd_config."""

_TYPE = re.compile(rb"[a-z][a-z0-9.@-]{2,62}[a-z0-9]")
_BLANK = re.compile(rb"[ \t]+")
_DIRECTIVE = re.compile(rb"[ \t]*authorizedkeysfile[ \t]*(?:=|[ \t])[ \t]*(.*)", re.IGNORECASE)
_WORD = re.compile(rb'"([^"]*)"|([^\s"]+)')
_TOKEN = re.compile(rb"%(.)", re.DOTALL)


class Key(NamedTuple):
    """A key that opens the account. `fingerprint` is as ssh-keygen(1) shows it."""

    fingerprint: bytes
    type: bytes
    options: tuple[bytes, ...]
    comment: bytes
    line: int

    @property
    def authority(self) -> bool:
        """Whether it does not come in itself but vouches for others."""
        return any(option.lower() == b"cert-authority" for option in self.options)


def parse(text: bytes) -> tuple[list[Key], list[Bad]]:
    """The keys in a file in the order of their lines, and the lines that are none."""
    found: list[Key] = []
    bad: list[Bad] = []
    for count, line, cut in lines(text):
        key = _key(line, (), count)
        if key is None:
            options, rest = split_options(line)
            key = _key(rest, options, count) if rest else None
        if key is not None:
            found.append(key)
        if key is None or cut:
            bad.append(Bad(count, mark(line), "is no key that sshd would understand"))
    return found, bad


def _key(line: bytes, options: tuple[bytes, ...], count: int) -> Key | None:
    """`TYPE BASE64 COMMENT`; the type must be the one that the key itself names, RFC 4253 section 6.6."""
    type, *rest = _BLANK.split(line.strip(), 2)
    if not rest or not _TYPE.fullmatch(type):
        return None
    try:
        blob = binascii.a2b_base64(rest[0].rstrip(b"\r"), strict_mode=True)
    except binascii.Error:
        return None
    if not blob.startswith(len(type).to_bytes(4, "big") + type):
        return None
    fingerprint = b"SHA256:" + b64encode(sha256(blob).digest()).rstrip(b"=")
    return Key(fingerprint, type, options, bounded(rest[1].strip()) if len(rest) > 1 else b"", count)


def split_options(line: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """The options at the beginning of a line, and what follows them. They are separated by commas and end
    at the first blank that is not between quotes; within these a quote is written as backslash, quote."""
    found: list[bytes] = []
    began = at = 0
    quoted = False
    while at < len(line):
        sign = line[at : at + 1]
        if sign == b"\\" and line[at + 1 : at + 2] == b'"':
            at += 1
        elif sign == b'"':
            quoted = not quoted
        elif sign == b"," and not quoted:
            found.append(line[began:at])
            began = at + 1
        elif sign in (b" ", b"\t") and not quoted:
            break
        at += 1
    found.append(line[began:at])
    return tuple(bounded(option) for option in found if option), line[at:].lstrip(b" \t")


def places(text: bytes) -> list[bytes]:
    """What AuthorizedKeysFile names in a sshd_config, in any Match block."""
    found: list[bytes] = []
    for _, line, _ in lines(text):
        directive = _DIRECTIVE.match(line) if len(line) < 4096 else None
        if directive is None:
            continue
        for quoted, plain in _WORD.findall(directive[1]):
            word = quoted or plain
            if word.startswith(b"#"):
                break
            if word.lower() != b"none":
                found.append(word)
    return found


def files(patterns: Iterable[bytes], name: bytes, uid: int | None, home: bytes) -> Iterator[bytes]:
    """The absolute paths that `patterns` of sshd_config stand for, for one account."""
    known = {b"%": b"%", b"h": home, b"u": name, b"U": str(uid).encode() if uid is not None else b""}
    for pattern in patterns:
        path = _TOKEN.sub(lambda token: known.get(token[1], token[0]), pattern)
        if not path.startswith(b"/"):
            path = home.rstrip(b"/") + b"/" + path
        parts = [part for part in path.split(b"/") if part not in (b"", b".")]
        if path.startswith(b"/") and parts and b"\0" not in path and len(path) < 4096:
            yield b"/" + b"/".join(parts)
