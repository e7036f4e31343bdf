"""Where a log's old content went: rotation, proven by what is in the archives and not by their names.

The theory. Whoever rotates a log keeps its content somewhere near, at least for a while: under another
name (rename), as a copy (copytruncate), compressed at once or later. So a log whose content is no
longer where it was has been rotated if a file beside it *begins with all that was read of it*, compressed
or not: the first lines are easily kept by whoever takes out others. Names only say where to look. Of a log
that is longer than `COMPARED` the beginning and the length must do. What no decompressor of the standard
library reads (zstd, lz4, compress) is believed by its magic number and its times.

Sources: logrotate(8), RFC 1952 (gzip ends in the size of what was compressed).
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import re
import stat
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from ..globs import GlobError, compile_name
from ..host.texts import TextHost
from ..model import join, split
from .growing import Prefix

MOST: Final = 64
"""Archives of one log that are looked into, the newest first."""

NAMES: Final = 10_000
"""Names of one folder that are considered."""

PACKED: Final = 64 * 1024
"""Compressed bytes that are read to find the beginning of what they hold."""

COMPARED: Final = 64 * 1024**2
"""Bytes of a log up to which its archive must hold the very same."""

CHUNK: Final = 256 * 1024
"""Bytes that are read or unpacked at a time."""

XZ_MEMORY: Final = 80 * 1024**2
"""Bytes that xz may ask for: what `xz -9` needs (xz(1))."""

OPAQUE: Final = (b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\x1f\x9d", b"LZIP", b"\x89LZO")
"""Magic numbers of zstd, lz4, compress, lzip and lzop."""

USUAL: Final = (b"old", b"OLD", b"archive", b"archives", b"rotated", b"backup")
"""Folders beside logs into which some hosts rotate, besides those that logrotate's settings name."""

SETTINGS: Final = 64 * 1024
_OLDDIR = re.compile(rb"^\s*olddir\s+([^\s#]+)", re.MULTILINE)
_ARCHIVED = re.compile(
    rb"(?i)([-_.](\d{1,6}|\d{8}|\d{4}-\d\d-\d\d)([-_.T]?\d+)*|\.old|~)"
    rb"(\.[a-z]{1,6})?(\.(gz|xz|bz2|zst|lz4|z|lzo|lz))?\Z|\.(gz|xz|bz2|zst|lz4|z|lzo|lz)\Z"
)


def archived(name: bytes) -> bool:
    """Whether a name says that nothing is written to the file any more: `x.1`, `x-20251123.gz`,
    `x.2025-11-23.log`, `x.old`."""
    return _ARCHIVED.search(name) is not None


def log_of(name: bytes) -> bytes:
    """What the log is called whose archive has this name, perhaps without its extension; b"" when it is
    no archive: `x` for `x.1`, `x-20251123.gz` and `x-20251123.log`."""
    found = _ARCHIVED.search(name)
    return name[: found.start()] if found is not None else b""


def unpacked(data: bytes, most: int) -> bytes | None:
    """The first bytes, at most `most`, of what `data` is the compressed beginning of; `data` itself when
    it is not compressed, None when nobody here can tell."""
    most = max(most, 1)  # 0 would mean no limit
    try:
        if (tool := _decompressor(data)) is not None:
            found: bytes = tool.decompress(data, most)
            return found
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
        return b""
    return None if data.startswith(OPAQUE) else data[:most]


def _decompressor(data: bytes) -> Any:
    """What unpacks that which begins so; None when it is not compressed."""
    if data.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31)
    if data.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor(memlimit=XZ_MEMORY)
    return bz2.BZ2Decompressor() if data.startswith(b"BZh") else None


def contents(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What `chunks` hold, unpacked a CHUNK at a time where they are compressed, as far as that goes."""
    first = next(chunks, b"")
    tool = _decompressor(first)
    if tool is None:
        yield first
        yield from chunks
        return
    try:
        for chunk in chain((first,), chunks):
            left = chunk
            while left:
                if tool.eof:  # several were written one behind the other
                    tool = _decompressor(left)
                    if tool is None:
                        return
                out = tool.decompress(left, CHUNK)
                yield out
                while len(out) == CHUNK:
                    out = tool.decompress(getattr(tool, "unconsumed_tail", b""), CHUNK)
                    yield out
                left = tool.unused_data if tool.eof else b""
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
        return


class Archives:
    """Looks for old content below the folders where it may have gone."""

    def __init__(self, texts: TextHost) -> None:
        self._texts = texts

    def hold(
        self,
        path: bytes,
        *,
        size: int,
        headed: int,
        head: bytes,
        since: int,
        known: tuple[int, bytes] = (0, b""),
    ) -> bool:
        """Whether a file near the log `path` holds what the log held: `size` bytes, the first `headed` of
        them with the digest `head`, last written at `since` (wall-clock nanoseconds) or later. `known`: how
        many bytes were read, and their `Prefix.digest`."""
        for one, seen, _ in self.candidates(path):
            text = self._texts.read(one, max(PACKED, headed))
            if text.data is None or text.stat is None:
                continue
            begins = unpacked(text.data, headed)
            if begins is None:
                if text.stat.st_mtime_ns >= since - 1_000_000_000:
                    return True
                continue
            if len(begins) < headed or hashlib.sha256(begins).digest() != head:
                continue
            if text.data.startswith(b"\x1f\x8b"):
                length = self._gzip_size(one, text.stat.st_size)
                if length is not None and length < size & 0xFFFFFFFF:
                    continue
            elif begins == text.data[: len(begins)] and seen < size:
                continue
            if self._holds_all(one, *known):
                return True
        return False

    def _holds_all(self, path: bytes, size: int, digest: bytes) -> bool:
        """Whether a file begins with all that was read of a log."""
        if not size or size > COMPARED:
            return True
        found = Prefix()
        for part in contents(self._chunks(path, size + CHUNK)):
            found.feed(part[: size - found.size])
            if found.size == size:
                return found.digest() == digest
        return False

    def _chunks(self, path: bytes, most: int) -> Iterator[bytes]:
        """A file's bytes, up to `most`."""
        at = 0
        while at < most and (data := self._texts.read(path, CHUNK, at).data):
            at += len(data)
            yield data

    def candidates(self, path: bytes) -> Iterator[tuple[bytes, int, int]]:
        """Files that may be archives of the log `path`, each with its size and mtime, the newest first."""
        folder, name = split(path)
        stem = _stem(name)
        found = []
        for place in (folder, *self._olddirs(folder)):
            for other in self._texts.names(place, NAMES) or ():
                one = join(place, other)
                if other.startswith(stem) and one != path:
                    seen = self._texts.lstat(one)
                    if seen is not None and stat.S_ISREG(seen.st_mode):
                        found.append((seen.st_mtime_ns, one, seen.st_size))
        found.sort(reverse=True)
        for at, one, size in found[:MOST]:
            yield one, size, at

    def _gzip_size(self, path: bytes, size: int) -> int | None:
        """What gzip wrote down of the size before, modulo 2^32; None when it cannot be read."""
        end = self._texts.read(path, 4, max(size - 4, 0)).data
        return int.from_bytes(end, "little") if end and len(end) == 4 else None

    def _olddirs(self, folder: bytes) -> list[bytes]:
        """Folders into which logs of `folder` are rotated, as far as logrotate's settings tell."""
        found = {join(folder, name) for name in USUAL}
        settings = [b"/etc/logrotate.conf"]
        settings += [
            join(b"/etc/logrotate.d", one) for one in self._texts.names(b"/etc/logrotate.d", 512) or ()
        ]
        for path in settings:
            for one in _OLDDIR.findall(self._texts.read(path, SETTINGS).data or b""):
                found.add(one if one.startswith(b"/") else join(folder, one))
        return sorted(found)


def _stem(name: bytes) -> bytes:
    """What the names of a log's archives begin with (`x-20251123.log` for `x.log`, too)."""
    stem, dot, extension = name.rpartition(b".")
    return stem if dot and stem and extension in (b"log", b"txt", b"err", b"out") else name


def expand(texts: TextHost, globs: tuple[bytes, ...], most: int = 2000) -> list[bytes]:
    """The paths that match `globs` (which may hold wildcards in any component), sorted, at most `most`."""
    found: set[bytes] = set()
    for glob in globs:
        places = [b"/"]
        for part in glob.strip(b"/").split(b"/"):
            places = [one for place in places for one in _matches(texts, place, part)][:most]
        found.update(places)
    return sorted(found)[:most]


def _matches(texts: TextHost, folder: bytes, part: bytes) -> list[bytes]:
    if not set(part) & set(b"*?[\\"):
        path = join(folder, part)
        return [path] if texts.lstat(path) is not None else []
    try:
        pattern = compile_name(part)
    except GlobError:
        return []
    return [join(folder, name) for name in texts.names(folder, NAMES) or () if pattern.match(name)]
