"""A tar archive that is written as it goes, knows how large it may become, and lists the digest of all in it.

The rules kept: nothing but regular files; names that no program can be led astray by, whatever they are
called on the host; never more bytes than allowed, and what had no room is left out whole and said; nothing
is kept in memory but lists.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import Callable
from typing import BinaryIO, Final, NamedTuple

LONGEST_PART: Final = 200
LONGEST: Final = 900
"""Characters of a stored name: NAME_MAX is 255 and PATH_MAX 4096, and where it is unpacked other names come
before."""

SLACK: Final = 512 * 1024
"""Bytes kept free for what the compressor holds back and for what ends an archive."""

HEADERS: Final = 2048
"""Bytes that a member needs besides its content."""

SUMS: Final = "SHA256SUMS"

_ODD = re.compile(rb"[^A-Za-z0-9._+@=:,-]")


class TooLarge(Exception):
    """There is no room for it."""


class Member(NamedTuple):
    """What was stored."""

    name: str
    size: int
    sha256: str


def stored(path: bytes) -> str:
    """A harmless relative name for a path: printable ASCII, no `..`, every part short enough. Two paths
    never share one."""
    parts = [_part(part) for part in path.split(b"/") if part]
    name = "/".join(parts) or "%2F"
    return name if len(name) <= LONGEST else f"long/{_digest(path)}~{parts[-1][-100:]}"


def _part(part: bytes) -> str:
    name = _ODD.sub(lambda odd: b"%%%02X" % odd[0][0], part).decode("ascii")
    if name in (".", ".."):
        name = name.replace(".", "%2E")
    return name if len(name) <= LONGEST_PART else f"{name[:150]}~{_digest(part)}"


def _digest(name: bytes) -> str:
    return hashlib.sha256(name).hexdigest()[:32]


class _Counted(io.RawIOBase):
    """Where the archive goes: counted and digested on the way."""

    def __init__(self, target: BinaryIO) -> None:
        self.target: BinaryIO | _Nowhere = target
        self.written = 0
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.target.write(data)
        self.digest.update(data)
        self.written += len(data)
        return len(data)


class _Nowhere(io.RawIOBase):
    """Takes everything and keeps nothing."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        return len(data)


class _Exact(io.RawIOBase):
    """`size` bytes of a source that may end early: the rest is zeros, and `short` says so."""

    def __init__(self, read: Callable[[int], bytes], size: int) -> None:
        self._read = read
        self._left = size
        self.short = False
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = b"" if self.short else self._read(wanted)[:wanted]
        while not self.short and len(data) < wanted:
            more = self._read(wanted - len(data))[: wanted - len(data)]
            if more:
                data += more
            else:
                self.short = True
        data += bytes(wanted - len(data))
        self._left -= len(data)
        self.digest.update(data)
        return data


class Archive:
    """`name` is the folder that everything lies in, `limit` the most bytes that `target` gets, `now` in
    seconds."""

    def __init__(self, target: BinaryIO, name: str, limit: int, now: float) -> None:
        self._target = target
        self._out = _Counted(target)
        self._name = name
        self._limit = limit
        self._now = max(0, int(now))
        # No name and no level 9: that would take three times as long for a few percent.
        self._gzip = gzip.GzipFile("", "wb", 6, self._out, self._now)
        self._tar = tarfile.open(fileobj=self._gzip, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._listed: dict[str, str] = {}
        self._kept_free = SLACK

    @property
    def room(self) -> int:
        """How many bytes may still be added, if they cannot be compressed at all."""
        return max(0, self._limit - self._out.written - self._kept_free - HEADERS)

    def reserve(self, size: int) -> None:
        """Keep `size` more bytes free for what comes at the end; minus gives back."""
        self._kept_free += size

    def add(self, name: str, data: bytes, at: float = -1) -> Member:
        """A file. Raises TooLarge."""
        member, _ = self.stream(name, len(data), io.BytesIO(data).read, at)
        return member

    def stream(
        self, name: str, size: int, read: Callable[[int], bytes], at: float = -1
    ) -> tuple[Member, bool]:
        """A file of exactly `size` bytes by `read`; whether it ended early (zeros stand for the rest). Raises
        TooLarge."""
        if name in self._listed or size > self.room:
            raise TooLarge(name)
        entry = tarfile.TarInfo(f"{self._name}/{name}")
        entry.size = size
        entry.mode = 0o600
        entry.mtime = min(max(0, int(at)), 2**33 - 1) if at >= 0 else self._now
        source = _Exact(read, size)
        self._tar.addfile(entry, source)
        member = Member(name, size, source.digest.hexdigest())
        self._listed[name] = member.sha256
        self._kept_free += len(name) + 128  # its line among the sums
        return member, source.short

    def close(self) -> tuple[int, str]:
        """The list of digests, and the end. Bytes written in all, and their SHA-256."""
        lines = "".join(f"{digest}  {name}\n" for name, digest in self._listed.items()).encode("ascii")
        self._kept_free = 0
        self.stream(SUMS, len(lines), io.BytesIO(lines).read)
        self._tar.close()
        self._gzip.close()
        self._target.flush()
        return self._out.written, self._out.digest.hexdigest()

    def abandon(self) -> None:
        """It will never be whole: what is held back goes nowhere."""
        self._out.target = _Nowhere()
        self._tar.close()
        self._gzip.close()
