"""Whose each path was before a transaction: a file in our own state folder, written after the one before.

A package manager forgets what it took away. So that a file which is gone is known to have been a package's,
its paths are kept as hashes, twelve bytes each, and looked up on the disk: nothing of it stays in memory.
The hashes are keyed, so that nobody can choose a path that meets a packaged one.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Self

HASH: Final = 8
ENTRY: Final = HASH + 4
MOST_PATHS: Final = 4_000_000
LARGEST: Final = 256 * 1024**2
MOST_HEAD: Final = 16 * 1024**2


def write(place: bytes, paths: Iterable[tuple[bytes, str]], versions: Mapping[str, str]) -> None:
    """Put a file of all `paths` with their packages in place of the one before. Raises OSError."""
    key = secrets.token_bytes(16)
    names: dict[str, int] = {}
    entries: list[bytes] = []
    for path, package in paths:
        number = names.setdefault(package, len(names))
        entries.append(_hash(path, key) + number.to_bytes(4, "big"))
        if len(entries) > MOST_PATHS:
            raise OSError("more paths than any host has packaged")
    entries.sort()
    for package in versions:
        names.setdefault(package, len(names))
    packages = [[name, versions.get(name, "")] for name in names]
    head = json.dumps({"key": key.hex(), "packages": packages})
    scratch = place + b".new"
    with suppress(FileNotFoundError):
        os.unlink(scratch)
    with open(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(head.encode() + b"\n")
        for entry in entries:
            file.write(entry)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, place)


class Former:
    """What such a file says. What is not there, or is none, knows nothing."""

    def __init__(
        self,
        key: bytes = b"",
        packages: Sequence[tuple[str, str]] = (),
        data: bytes | mmap.mmap = b"",
        at: int = 0,
    ) -> None:
        self._key = key
        self._packages = packages
        self._data = data
        self._at = at
        self._count = (len(data) - at) // ENTRY

    @classmethod
    def open(cls, place: bytes) -> Self:
        """The file at `place`."""
        nothing = cls()
        try:
            fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return nothing
        try:
            size = os.fstat(fd).st_size
            if not 0 < size <= LARGEST:
                return nothing
            data = mmap.mmap(fd, size, prot=mmap.PROT_READ)
        except (OSError, ValueError):
            return nothing
        finally:
            os.close(fd)
        end = data.find(b"\n", 0, MOST_HEAD)
        try:
            head = json.loads(data[: max(end, 0)])
            packages = [(str(name), str(version)) for name, version in head["packages"]]
            return cls(bytes.fromhex(head["key"]), packages, data, end + 1)
        except (ValueError, KeyError, TypeError, RecursionError):
            return nothing

    @property
    def versions(self) -> dict[str, str]:
        """The packages there were, with their versions."""
        return dict(self._packages)

    def owner(self, path: bytes) -> str:
        """Whose a path was; "" if nobody's."""
        wanted = _hash(path, self._key)
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if self._hash_at(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        if low >= self._count or self._hash_at(low) != wanted:
            return ""
        at = self._at + low * ENTRY + HASH
        number = int.from_bytes(self._data[at : at + 4], "big")
        return self._packages[number][0] if number < len(self._packages) else ""

    def _hash_at(self, number: int) -> bytes:
        at = self._at + number * ENTRY
        return self._data[at : at + HASH]


def _hash(path: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(path, digest_size=HASH, key=key).digest()
