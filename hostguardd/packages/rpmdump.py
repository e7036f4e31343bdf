"""What rpm is asked for, and how its answers are read. Pure.

The rule kept: strings come through `:shescape`, so that no name, not even one with a newline or with bytes
that are no UTF-8, can pass for another field; what does not parse is told, never guessed.

Sources: rpm's docs/manual/queryformat.md, lib/formats.c (shescapeFormat), rpmfiles.h (RPMFILE_*, RPMVERIFY_*,
RPMFILE_STATE_*), rpmpgp.h (PGPHASHALGO_*), lib/rpmdb.c and lib/package.c (what -vv says of each header). The
words are the same from 4.14 (EL 8) to 4.20 (EL 10); later ones name a key by its fingerprint.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from ..record import clean, escape
from .expected import Expected

PACKAGE: Final = (
    r"%{DBINSTANCE} %{NAME:shescape} %{EPOCH} %{VERSION:shescape} %{RELEASE:shescape} %{ARCH:shescape}"
    r" %{INSTALLTIME} %{FILEDIGESTALGO} %{BASENAMES:arraysize}\n"
)
"""The format of a package's line."""

FILES: Final = (
    r"[%{=DBINSTANCE} %{FILENAMES:shescape} %{FILEDIGESTS:shescape} %{FILEMODES} %{FILEUSERNAME:shescape}"
    r" %{FILEGROUPNAME:shescape} %{LONGFILESIZES} %{FILELINKTOS:shescape} %{FILEFLAGS} %{FILEVERIFYFLAGS}"
    r" %{FILESTATES} %{FILECAPS:shescape} %{FILERDEVS} %{FILEMTIMES}\n]"
)
"""The format of a package's files."""

NAMES: Final = (
    r"[%{=DBINSTANCE} %{FILENAMES:shescape} %{FILEFLAGS} %{FILESTATES} %{FILEMODES} %{FILEVERIFYFLAGS}\n]"
)
"""The same, of names alone."""

KEYS: Final = r"[%{=DBINSTANCE} %{PUBKEYS:shescape}\n]"
"""The format of what a key holds."""

_STRING: Final = rb"('(?:[^']|'\\'')*'|\(none\))"
_NUMBER: Final = rb"(-?\d{1,20}|\(none\))"


def _pattern(query: str) -> re.Pattern[bytes]:
    """The lines that a format makes."""
    parts = [
        _STRING if tag.endswith(":shescape}") else _NUMBER
        for tag in query.strip("[]").removesuffix(r"\n").split()
    ]
    return re.compile(b" ".join(parts) + b"\n")


LONGEST: Final = 64 * 1024
"""Bytes of one line; a path has 4096."""

LONGEST_KEY: Final = 1024**2
"""The same of KEYS: a key bears the signatures of many others."""


class Lines:
    """Lines of a format, as the bytes of rpm come in. `garbage` counts bytes that were none."""

    def __init__(self, query: str) -> None:
        self._pattern = _pattern(query)
        self._longest = LONGEST_KEY if query == KEYS else LONGEST
        self._left = b""
        self.garbage = 0

    def feed(self, data: bytes) -> Iterator[tuple[bytes, ...]]:
        """The fields of each line that is whole by now; strings still quoted (see `string`)."""
        data = self._left + data
        at = 0
        while (found := self._pattern.match(data, at)) is not None:
            yield found.groups()
            at = found.end()
        if len(data) - at > self._longest:  # what begins here is no line, and no more bytes make it one
            end = data.find(b"\n", at)
            end = len(data) if end < 0 else end + 1
            self.garbage += end - at
            self._left = data[end:]
            yield from self.feed(b"")
        else:
            self._left = data[at:]

    def close(self) -> None:
        """No more comes."""
        self.garbage += len(self._left)
        self._left = b""


def string(field: bytes) -> bytes:
    """A quoted string; b"" for what the package does not have."""
    return field[1:-1].replace(b"'\\''", b"'") if field.startswith(b"'") else b""


def number(field: bytes) -> int:
    """A number; -1 for what the package does not have."""
    return int(field) if field != b"(none)" else -1


class Package(NamedTuple):
    """An installed package. `number` is that of its header; `algorithm` is "" if nobody here knows it."""

    number: int
    name: str
    version: str
    at: float
    algorithm: str
    files: int


ALGORITHMS: Final = {
    -1: "md5",
    0: "md5",
    1: "md5",
    2: "sha1",
    8: "sha256",
    9: "sha384",
    10: "sha512",
    11: "sha224",
}


def package(fields: tuple[bytes, ...]) -> Package:
    """Of a line of PACKAGE."""
    name, version, release, arch = (escape(string(fields[at])) for at in (1, 3, 4, 5))
    epoch = number(fields[2])
    full = f"{epoch}:{version}-{release}" if epoch > 0 else f"{version}-{release}"
    shown = f"{name}.{arch}" if arch else name
    algorithm = ALGORITHMS.get(number(fields[7]), "")
    return Package(
        number(fields[0]), shown, full, float(max(number(fields[6]), 0)), algorithm, max(number(fields[8]), 0)
    )


KEY: Final = "gpg-pubkey"
"""What rpm before 6 keeps its keys as: packages without files."""


# -- files -------------------------------------------------------------------------------------------------

CONFIG, MISSINGOK, GHOST = 1 << 0, 1 << 3, 1 << 6
"""Of FILEFLAGS."""

DIGEST, SIZE, LINKTO, USER, GROUP, MTIME, MODE, RDEV, CAPS = (1 << bit for bit in range(9))
"""Of FILEVERIFYFLAGS."""

NORMAL, REPLACED, NOTINSTALLED, NETSHARED, WRONGCOLOR, MISSING = 0, 1, 2, 3, 4, -1
"""Of FILESTATES."""

ABSENT: Final = frozenset((NOTINSTALLED, NETSHARED))
"""States of files that are not this package's: left out, as documents may be, or on a file server."""

PRESENT: Final = frozenset((NORMAL, MISSING))
"""States of files that are this package's own (MISSING: it keeps no states)."""


def is_config(flags: int) -> bool:
    """Whether the path is meant to change here: configuration, and what comes into being later."""
    return bool(flags & (CONFIG | GHOST))


def is_listed_only(flags: int, mode: int, verify: int) -> bool:
    """Whether nothing is compared of what it holds, or of where it leads: what comes into being later, or
    what the package asks not to have verified."""
    kind = stat.S_IFMT(mode & 0xFFFF)
    asked = {stat.S_IFREG: DIGEST, stat.S_IFLNK: LINKTO}.get(kind, 0)
    return bool(flags & GHOST) or verify & asked != asked


def is_free(mode: int, verify: int) -> bool:
    """Whether the package asks not to have its rights verified, so that nothing vouches for them."""
    kind = stat.S_IFMT(mode & 0xFFFF)
    asked = USER | GROUP if kind == stat.S_IFLNK else USER | GROUP | MODE
    asked |= CAPS if kind == stat.S_IFREG else 0
    return verify & asked != asked


def expected(
    fields: tuple[bytes, ...],
    algorithm: str,
    users: Mapping[bytes, int],
    groups: Mapping[bytes, int],
    key: int,
) -> Expected | None:
    """What a line of FILES asks for; None if nothing."""
    names = ("name", "digest", "user", "group", "link", "caps")
    texts = dict(zip(names, (string(fields[at]) for at in (1, 2, 4, 5, 7, 11)), strict=True))
    mode, size, flags, verify, state, device, mtime = (number(fields[at]) for at in (3, 6, 8, 9, 10, 12, 13))
    path = texts["name"]
    if not path.startswith(b"/") or b"\0" in path or len(path) > 4096 or state in ABSENT:
        return None
    mode &= 0xFFFF
    kind = stat.S_IFMT(mode)
    if flags & GHOST:
        verify &= ~(DIGEST | SIZE | MTIME | LINKTO | CAPS)
    if state == REPLACED:
        verify = 0  # another package's file lies there; that one is asked
    elif state == WRONGCOLOR:
        verify &= ~(DIGEST | SIZE | MTIME | RDEV)
    regular = kind == stat.S_IFREG
    digest = texts["digest"].decode("ascii", "replace").lower() if regular and verify & DIGEST else ""
    return Expected(
        path,
        key,
        type=None if flags & GHOST or state not in PRESENT else kind,
        mode=mode if verify & MODE and kind != stat.S_IFLNK else None,
        user=users.get(texts["user"], 0) if verify & USER else None,
        group=groups.get(texts["group"], 0) if verify & GROUP else None,
        size=size if regular and verify & SIZE else None,
        largest=size if regular and size >= 0 and not flags & GHOST else 1 << 62,
        algorithm=algorithm,
        digest=digest if algorithm else "",
        mtime=mtime if regular and verify & MTIME else None,
        link=texts["link"] if kind == stat.S_IFLNK and verify & LINKTO else None,
        device=device if kind in (stat.S_IFCHR, stat.S_IFBLK) and verify & RDEV else None,
        capabilities=texts["caps"].decode("ascii", "replace") if regular and verify & CAPS else None,
        absent=bool(flags & (GHOST | MISSINGOK)) or state == REPLACED,
    )


# -- signatures ----------------------------------------------------------------------------------------------

_READ: Final = re.compile(rb"(read|skipping) h#\s*(\d{1,10})")
_SIGNED: Final = re.compile(
    rb"Header (?:OpenPGP )?(V\d [^\n:]{1,200}?[Ss]ignature, [^\n:]{1,200}(?:: [0-9a-f]+)?): (\w+)"
)


class Signature(NamedTuple):
    """What rpm said of a header's signature. `verified`: by a key of this host; `broken`: the header is not
    the one that was signed, or not even the one that was digested."""

    verified: bool
    broken: bool
    says: str


def signatures(told: Iterable[bytes]) -> dict[int, Signature]:
    """Header -> its signature, by the lines that `rpm -vv` writes to its standard error."""
    found: dict[int, Signature] = {}
    at, skipped = -1, False
    for line in told:
        read = _READ.search(line)
        if read is not None:
            at, skipped = int(read[2]), read[1] == b"skipping"
            if skipped:
                found[at] = Signature(False, True, "its header is broken")
        signed = _SIGNED.search(line)
        if signed is None or at < 0:
            continue
        verified, says = signed[2] == b"OK", clean(signed[1].decode("utf-8", "backslashreplace"))
        before = found.get(at)
        if skipped or (before is not None and before.broken):
            found[at] = Signature(False, True, f"its header is broken: {says}: {clean(signed[2].decode())}")
        elif before is None or (verified and not before.verified):  # one of several suffices
            reason = {b"OK": "verified", b"NOKEY": "the host has no such key"}.get(
                signed[2], clean(signed[2].decode())
            )
            found[at] = Signature(verified, signed[2] == b"BAD", f"{says}: {reason}")
    return found
