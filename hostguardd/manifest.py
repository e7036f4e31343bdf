"""What our own package says it is made of, and whether a file is that. Pure.

The package is built with a list of its files (packaging/manifest.py). When the package manager announced
that it will replace us, what differs in our own files afterwards is held against that list: what agrees is
the update, what does not is drift like any other.

The rules kept here: a path is ours by its name alone, so that an old daemon knows what a newer package may
bring; and to agree is to be exactly what the package says, root's, without rights or attributes of its own.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Mapping
from typing import NamedTuple

from .fact import Row, whole
from .facts.files import FileFact, decode_xattrs

PLACE = b"/usr/lib/hostguardd/manifest"
LARGEST = 4 * 1024 * 1024
"""Bytes of a manifest, at most: ours has some hundred kilobytes."""

_OWN = re.compile(
    rb"/usr/(?:.*/)?_?hostguard(?:d|ctl)\b.*|/etc/hostguardd/hostguardd\.toml(?:\.rpmnew)?(?:;[0-9a-f]+)?",
    re.DOTALL,
)
_LINE = re.compile(rb"(?:sha256:([0-9a-f]{64}) ([0-7]{4})|link:(.*) -) (/.*)")
_HARMLESS = frozenset({b"security.selinux", b"security.ima", b"security.evm"})
"""Attributes that the system itself gives every file."""


class Entry(NamedTuple):
    """What the package says of a path: content and mode, or where a link points."""

    sha256: bytes | None
    mode: int
    target: bytes | None = None


Manifest = Mapping[bytes, Entry]


def parse(text: bytes) -> dict[bytes, Entry]:
    """Path -> entry. A line that is none is passed over: what it was to say agrees with nothing then.

    The manifest cannot name its own digest: it agrees when it is what was read as the manifest.
    """
    found = {PLACE: Entry(hashlib.sha256(text).digest(), 0o644)}
    for line in text.split(b"\n"):
        if match := _LINE.fullmatch(line):
            digest, mode, target, path = match.groups()
            found[path] = (
                Entry(bytes.fromhex(digest.decode()), int(mode, 8)) if digest else Entry(None, 0, target)
            )
    return found


def is_own(path: bytes) -> bool:
    """Whether a path can only be our package's."""
    return _OWN.fullmatch(path) is not None


def agrees(manifest: Manifest, path: bytes, row: Row | None) -> bool:
    """Whether what was seen at our own `path` (None: nothing) is what the package says.

    A settings file that the package would not overwrite lies beside the administrator's as `.rpmnew`.
    """
    said = manifest.get(path)
    if said is None and path.endswith(b".rpmnew"):
        said = manifest.get(path.removesuffix(b".rpmnew"))
    if row is None:
        return said is None and not any(other.startswith(path + b"/") for other in manifest)
    seen = FileFact.of(row)
    if seen.uid or seen.gid or seen.unstable or not decode_xattrs(seen.xattrs or b"").keys() <= _HARMLESS:
        return False
    kind, mode = stat.S_IFMT(whole(seen.mode)), stat.S_IMODE(whole(seen.mode))
    if kind == stat.S_IFDIR:
        return mode == 0o755 and any(other.startswith(path + b"/") for other in manifest)
    if said is None:
        return False
    if kind == stat.S_IFLNK:
        return said.target is not None and seen.target == said.target
    same = said.sha256 is not None and (seen.sha256, mode) == (said.sha256, said.mode)
    return kind == stat.S_IFREG and seen.links == 1 and same
