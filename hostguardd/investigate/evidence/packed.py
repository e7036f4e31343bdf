"""Packed logs without secrets: unpacked, cleared and packed anew, where that is worth its time.

The rules kept: a file in which nothing was found stays as it is, byte by byte. And a small file may unpack to
anything, and ask for any memory: what becomes too long or too large is left as it was, which is said.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from functools import partial
from typing import Final

from .gathering import MIB

MOST: Final = 64 * MIB
"""Bytes when unpacked: to search more takes too long."""

XZ_MEMORY: Final = 24 * MIB
"""`xz` packs by default so that 9 MiB unpack it, `xz -8` so that 33 do."""
QUICK: Final = 0
"""How hard xz is packed again: each step more doubles the memory."""

Read = Callable[[int], bytes]


def repacked(
    path: bytes, data: bytes, clear: Callable[[Read], Read], stop: Callable[[], bool] = lambda: False
) -> bytes | None:
    """What `data` unpacks to, without what `clear` takes out of a stream, packed as its name says; None for
    what cannot be unpacked, or is too long, and when `stop` says so."""
    unpack, pack = KINDS[path[path.rfind(b".") :]]
    done = io.BytesIO()
    total = 0

    def counted(count: int) -> bytes:
        nonlocal total
        part = source(count)
        total += len(part)
        return part

    try:
        source = unpack(data)
        read = clear(counted)
        with pack(done) as again:
            while part := read(MIB):
                if total > MOST or stop():
                    return None
                again.write(part)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return None
    return done.getvalue()


def _xz(data: bytes) -> Read:
    """Of one stream after another, as xz(1) writes them."""
    unpacker = lzma.LZMADecompressor(memlimit=XZ_MEMORY)

    def read(count: int) -> bytes:
        nonlocal unpacker, data
        while True:
            if unpacker.eof:
                data = unpacker.unused_data.lstrip(b"\0")  # streams may be padded, xz(1)
                if not data:
                    return b""
                unpacker = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
            elif unpacker.needs_input and not data:
                raise EOFError
            fed, data = data, b""
            if part := unpacker.decompress(fed, count):
                return part

    return read


KINDS: Final[dict[bytes, tuple[Callable[[bytes], Read], Callable[[io.BytesIO], io.BufferedIOBase]]]] = {
    b".gz": (
        lambda data: gzip.GzipFile(fileobj=io.BytesIO(data)).read,
        lambda out: gzip.GzipFile("", "wb", 6, out, 0),
    ),
    b".bz2": (
        lambda data: bz2.BZ2File(io.BytesIO(data)).read,
        partial(bz2.BZ2File, mode="wb", compresslevel=1),
    ),
    b".xz": (_xz, partial(lzma.LZMAFile, mode="wb", preset=QUICK)),
}
"""What is unpacked and packed again, by the end of the name: what logrotate(8) may be told to use, but zstd,
which Python has from 3.14 on."""
