"""Packed logs without secrets: unpacked, cleared and packed anew, where that is worth its time.

The rule kept: a file in which nothing was found stays as it is, byte by byte. And a small file may unpack to
anything: what becomes too long is left as it was, which is said.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable
from typing import Final

from .gathering import MIB

MOST: Final = 64 * MIB
"""Bytes when unpacked: to search more takes too long."""


def repacked(data: bytes, clear: Callable[[Callable[[int], bytes]], Callable[[int], bytes]]) -> bytes | None:
    """What `data` unpacks to, without what `clear` takes out of a stream, packed; None for what cannot be
    unpacked, or is too long."""
    done = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed, gzip.GzipFile("", "wb", 6, done, 0) as again:
            read = clear(packed.read)
            while part := read(MIB):
                if packed.tell() > MOST:
                    return None
                again.write(part)
    except (OSError, EOFError, zlib.error):
        return None
    return done.getvalue()
