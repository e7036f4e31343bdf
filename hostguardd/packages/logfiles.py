"""The logs of package managers below /var/log, with what was rotated of them."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Final

from ..host.texts import TextHost

FOLDER: Final = b"/var/log"
MOST: Final = 64 * 1024**2
MOST_NAMES: Final = 200_000
XZ_MEMORY: Final = 80 * 1024**2
"""Bytes that xz may ask for: what `xz -9` needs (xz(1))."""

OPAQUE: Final = re.compile(rb"(?:dpkg|dnf\.rpm|dnf5|yum)\.log[.-]\d{1,8}\.(?:zst|lz4|lzo|lz|Z)")
"""What no decompressor of the standard library reads."""

_UNPACK: Final[tuple[tuple[bytes, Callable[[bytes], bytes]], ...]] = (
    (b"\x1f\x8b", lambda data: zlib.decompressobj(wbits=31).decompress(data, MOST)),
    (b"\xfd7zXZ\0", lambda data: lzma.LZMADecompressor(memlimit=XZ_MEMORY).decompress(data, MOST)),
    (b"BZh", lambda data: bz2.BZ2Decompressor().decompress(data, MOST)),
)


def rotated(texts: TextHost, base: bytes, since: float) -> list[bytes]:
    """The paths of a log and its rotated ones that were written since then, the oldest first."""
    found = []
    for name in texts.names(FOLDER, MOST_NAMES) or ():
        one = re.fullmatch(re.escape(base) + rb"(?:[.-](\d{1,8}))?(?:\.(?:gz|xz|bz2))?", name)
        path = FOLDER + b"/" + name
        if one is None or (seen := texts.lstat(path)) is None or seen.st_mtime < since:
            continue
        number = int(one[1] or 0)
        # `.1`, `.2` and so on count backwards, `-20260101` forwards; the log itself is the newest.
        found.append((one[1] is None, number if number > 9999 else -number, path))
    return [path for *_, path in sorted(found)]


def lines(texts: TextHost, path: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines of a log with their numbers, of as much of it as is read: its first `MOST` bytes."""
    data = texts.read(path, MOST).data or b""
    for magic, unpack in _UNPACK:
        if data.startswith(magic):
            try:
                data = unpack(data)
            except (zlib.error, lzma.LZMAError, OSError):
                return
            break
    yield from enumerate(data.split(b"\n"), 1)


def unread(texts: TextHost, since: float) -> list[bytes]:
    """The paths of those that were written since then, and that nothing here can unpack."""
    paths = [FOLDER + b"/" + name for name in texts.names(FOLDER, MOST_NAMES) or () if OPAQUE.fullmatch(name)]
    return sorted(
        path for path in paths if (seen := texts.lstat(path)) is not None and seen.st_mtime >= since
    )
