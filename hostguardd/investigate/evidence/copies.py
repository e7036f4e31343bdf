"""Copies of files as evidence: the end of what is long, without secrets, and each with a word if it moved
meanwhile.

The rules kept: what is read is what was looked at (the same inode), or it is said; nothing but regular files
is read; a file that may hold secrets is read whole, or not at all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Any, Final

from ...host.texts import mark
from ...model import split
from ...record import escape
from ..scene import Scene
from .archive import TooLarge, stored
from .books import Books
from .gathering import MIB, Found, Place
from .secrets import without_secrets

WHOLE: Final = 16 * MIB
"""Files up to this are read at once, so that they can be searched for secrets."""

CHUNK: Final = MIB
FILES: Final = 30_000


class Copies:
    """Files of one host into one archive. `own` is the archive's (device, inode), so that it does not become
    a part of itself."""

    def __init__(self, scene: Scene, books: Books, secrets: bool, own: tuple[int, int] | None) -> None:
        self._scene = scene
        self._texts = scene.host.texts
        self._books = books
        self._secrets = secrets
        self._own = own

    def take(self, found: Iterator[Found]) -> None:
        """All that is found, until the time is up."""
        for one in found:
            if self._scene.stop():
                return
            if len(self._books.entries) >= FILES:
                self._books.leave(escape(one.path), f"more than {FILES} files")
                continue
            self._file(one.path, one.place)

    def _file(self, path: bytes, place: Place) -> None:
        """One entry: its content where it is a regular file, else only what it is."""
        seen = self._texts.lstat(path)
        if seen is None:
            return
        if not stat.S_ISREG(seen.st_mode):
            target = {"target": escape(self._texts.link(path))} if stat.S_ISLNK(seen.st_mode) else {}
            self._books.note(path, "", seen, target)
            return
        if _which(seen) == self._own:
            return
        try:
            if seen.st_size <= WHOLE:
                self._small(path, place, seen)
            else:
                self._large(path, place, seen)
        except TooLarge:
            self._left_file(path, seen, "there was no room for it")

    def _small(self, path: bytes, place: Place, seen: os.stat_result) -> None:
        # /proc says 0 bytes of everything, and logs grow: more than was said is asked for.
        limit = place.most if not seen.st_size else min(seen.st_size + MIB, WHOLE)
        read = self._texts.read(path, limit)
        if read.data is None or read.stat is None:
            self._left_file(path, seen, read.problem or "it was gone")
            return
        if _which(read.stat) != _which(seen):
            self._left_file(path, seen, "another file took its place while it was read")
            return
        if len(read.data) > place.most and place.whole:
            self._left_file(path, seen, f"{len(read.data)} bytes are too many")
            return
        data = read.data
        cleared: list[str] = []
        if place.cleared and not self._secrets:  # before it is cut: half a key looks like none
            data, cleared = without_secrets(split(path)[1], data)
        offset = _start(place, len(data), place.most)
        cut = len(data) > place.most
        data = data[offset : offset + place.most]
        member = self._books.archive.add(f"files/{stored(path)}", data, seen.st_mtime)
        told: dict[str, Any] = {"sha256": member.sha256, "offset": offset, "bytes": len(data), "cut": cut}
        if cleared:
            told["without"] = cleared
        self._stored(path, member.name, read.stat, told)

    def _large(self, path: bytes, place: Place, seen: os.stat_result) -> None:
        if place.cleared and not self._secrets and place.most <= WHOLE:
            self._left_file(path, seen, "it is too large to be searched for secrets")
            return
        size = min(seen.st_size, place.most, self._books.archive.room)
        if size < seen.st_size and (place.whole or size < MIB):
            self._left_file(path, seen, f"{seen.st_size} bytes are too many")
            return
        start = offset = _start(place, seen.st_size, size)
        size = min(size, seen.st_size - start)
        swapped = False

        def read(count: int) -> bytes:
            nonlocal offset, swapped
            part = self._texts.read(path, min(count, CHUNK), offset)
            if part.data is None or part.stat is None or _which(part.stat) != _which(seen):
                swapped = True
                return b""
            offset += len(part.data)
            return part.data

        member, short = self._books.archive.stream(f"files/{stored(path)}", size, read, seen.st_mtime)
        told: dict[str, Any] = {
            "sha256": member.sha256,
            "offset": start,
            "bytes": size,
            "cut": size < seen.st_size,
        }
        if short:
            note = "another file took its place" if swapped else "it was cut"
            told["problem"] = f"{note} while it was read: zeros stand for what is missing"
            self._books.leave(escape(path), told["problem"])
        self._stored(path, member.name, seen, told)

    def _stored(self, path: bytes, name: str, seen: os.stat_result, told: dict[str, Any]) -> None:
        told["changed"] = mark(self._texts.lstat(path)) != mark(seen)
        if told["cut"]:
            self._books.leave(escape(path), f"only {told['bytes']} bytes from {told['offset']} on were taken")
        self._books.note(path, name, seen, told)
        self._books.files += 1

    def _left_file(self, path: bytes, seen: os.stat_result, why: str) -> None:
        self._books.leave(escape(path), why)
        self._books.note(path, "", seen, {"problem": why})


def _start(place: Place, size: int, most: int) -> int:
    """Where to begin in a file of which `most` bytes are taken: at the beginning of a record."""
    start = 0 if place.head else max(0, size - most)
    return -(-start // place.record) * place.record


def _which(seen: os.stat_result) -> tuple[int, int]:
    """Which file it is, whatever it is called."""
    return seen.st_dev, seen.st_ino
