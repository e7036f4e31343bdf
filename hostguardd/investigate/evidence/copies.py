"""Copies of files as evidence: the end of what is long, without secrets, and each with a word if it moved
meanwhile.

The rules kept: what is read is what was looked at (the same inode), or it is said; nothing but regular files
is read; a file that may hold secrets is read whole, or in parts that no secret reaches across.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Any, Final

from ...host.texts import TextHost, mark
from ...record import escape
from ..logs.redact import logged, typed
from ..scene import Scene
from .archive import TooLarge, stored
from .books import Books
from .gathering import LOGGED, MIB, PACKED, TYPED, Found, Place
from .packed import repacked
from .secrets import PROGRAM, anywhere, without_secrets

WHOLE: Final = 16 * MIB
"""Files up to this are read at once, so that they can be searched for secrets."""

CHUNK: Final = MIB
KEY: Final = 64 * 1024
"""Bytes of the longest key."""

FILES: Final = 30_000


class Copies:
    """Files of one host into one archive. `own` is the archive's (device, inode), so that it does not become
    a part of itself."""

    def __init__(
        self, scene: Scene, texts: TextHost, books: Books, secrets: bool, own: tuple[int, int] | None
    ) -> None:
        self._scene = scene
        self._texts = texts
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
        searched = place.cleared
        if searched and not self._secrets:  # before it is cut: half a key looks like none
            if path.endswith(PACKED):
                data, searched = self._unpacked(path, data, cleared)
            else:
                data, cleared = without_secrets(path, data)
                data = _worded(path, data, cleared)
        offset = _start(place, len(data), place.most)
        cut = len(data) > place.most
        data = data[offset : offset + place.most]
        member = self._books.archive.add(f"files/{stored(path)}", data, seen.st_mtime)
        told: dict[str, Any] = {"sha256": member.sha256, "offset": offset, "bytes": len(data), "cut": cut}
        told |= self._said(searched, cleared)
        self._stored(path, member.name, read.stat, told)

    def _unpacked(self, path: bytes, data: bytes, cleared: list[str]) -> tuple[bytes, bool]:
        """A packed file without secrets, and whether they were looked for; `cleared` is told."""
        if self._scene.hurry():  # what comes late is worth more as it was than not at all
            return data, False
        clear = self._clear(path, cleared)
        again = repacked(path, data, lambda read: Cleared(read, clear).read, self._scene.hurry)
        return again if cleared and again is not None else data, again is not None

    def _clear(self, path: bytes, cleared: list[str]) -> Callable[[bytes], bytes]:
        """What takes the secrets out of a part; `cleared` is told."""

        def clear(part: bytes) -> bytes:
            data, found = anywhere(part)
            cleared.extend(found)
            return _worded(path, data, cleared)

        return clear

    def _said(self, searched: bool, cleared: list[str]) -> dict[str, Any]:
        """What the manifest says of secrets."""
        if cleared and searched:
            return {"without": sorted(set(cleared))}
        return {} if searched or self._secrets else {"searched": False}

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
        cleared: list[str] = []

        def read(count: int) -> bytes:
            nonlocal offset, swapped
            wanted = min(count, CHUNK, start + size - offset)
            if not wanted:
                return b""
            part = self._texts.read(path, wanted, offset)
            if part.data is None or part.stat is None or _which(part.stat) != _which(seen):
                swapped = True
                return b""
            offset += len(part.data)
            return part.data

        program = self._texts.read(path, len(PROGRAM)).data == PROGRAM
        source = read
        searched = place.cleared and not path.endswith(PACKED)
        if searched and not self._secrets and not program:
            source = Cleared(read, self._clear(path, cleared)).read
        member, short = self._books.archive.stream(f"files/{stored(path)}", size, source, seen.st_mtime)
        told: dict[str, Any] = {
            "sha256": member.sha256,
            "offset": start,
            "bytes": size,
            "cut": size < seen.st_size,
        }
        told |= self._said(searched, cleared)
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


class Cleared:
    """A stream whose parts are cleared by `clear`, each of whole lines and keys, and that stays as long as it
    is: what is shorter for it ends in blanks, and the end of what is longer is cut."""

    def __init__(self, read: Callable[[int], bytes], clear: Callable[[bytes], bytes]) -> None:
        self._read = read
        self._clear = clear
        self._held = self._ready = b""

    def read(self, count: int) -> bytes:
        """Up to so many bytes, b"" at the end."""
        if not self._ready:
            part = self._read(CHUNK)
            raw = self._held + part
            end = _seam(raw) if part else len(raw)
            self._held = raw[end:]
            cleared = raw[:end]
            if cleared.strip(b"\0"):  # a hole is as long as it likes
                cleared = self._clear(cleared)
            tail = b"\n" if raw[:end].endswith(b"\n") else b""
            self._ready = cleared.removesuffix(tail)[: end - len(tail)].ljust(end - len(tail)) + tail
        given, self._ready = self._ready[:count], self._ready[count:]
        return given


def _worded(path: bytes, data: bytes, cleared: list[str]) -> bytes:
    """The same without passwords among its words; `cleared` is told."""
    worded = typed(data) if path.endswith(TYPED) else logged(data) if path.startswith(LOGGED) else data
    if worded != data:
        cleared.append("passwords")
    return worded


def _seam(raw: bytes) -> int:
    """Where a part may end: behind a line, and ahead of a key whose end may not be there yet."""
    end = raw.rfind(b"\n") + 1 or len(raw)
    key = raw.rfind(b"-----BEGIN ", max(1, end - KEY), end)
    return end if key < 0 else key


def _start(place: Place, size: int, most: int) -> int:
    """Where to begin in a file of which `most` bytes are taken: at the beginning of a record."""
    start = 0 if place.head else max(0, size - most)
    return -(-start // place.record) * place.record


def _which(seen: os.stat_result) -> tuple[int, int]:
    """Which file it is, whatever it is called."""
    return seen.st_dev, seen.st_ino
