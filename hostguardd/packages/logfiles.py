"""The logs of package managers below /var/log, with what was rotated of them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Final

from ..host.texts import TextHost

FOLDER: Final = b"/var/log"
MOST: Final = 64 * 1024**2
MOST_NAMES: Final = 200_000


def rotated(texts: TextHost, base: bytes, since: float) -> list[bytes]:
    """The paths of a log and its rotated ones that were written since then, the oldest first."""
    found = []
    for name in texts.names(FOLDER, MOST_NAMES) or ():
        one = re.fullmatch(re.escape(base) + rb"(?:[.-](\d{1,8}))?(?:\.gz)?", name)
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
    if data.startswith(b"\x1f\x8b"):
        try:
            data = zlib.decompressobj(wbits=31).decompress(data, MOST)
        except zlib.error:
            return
    yield from enumerate(data.split(b"\n"), 1)
