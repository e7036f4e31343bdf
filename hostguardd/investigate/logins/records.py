"""The records of logins as files: which there are, and what of each is read.

The rule kept: any file has an end here. Of one that is longer than `LARGEST` the newest part is read (of a
compressed one the oldest, as it can be read in no other way), and what was left out is said.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ...host.pages import Column, values_of
from ...host.texts import TextHost
from ...model import join, split
from ...sensors.archives import OPAQUE, contents
from ...utmp import LAYOUTS, Login, logins, stride
from ...words.interface import counted
from ..interface import text

LARGEST: Final = 16 << 20
"""Bytes of one file that are read: some 43,000 records."""

ARCHIVES: Final = 12
"""Rotated files of one record that are read, the newest."""

TOGETHER: Final = 32 << 20
"""Bytes of a record and its archives that are read together."""

CHUNK: Final = 9600 * 100
"""Bytes that are read at a time: whole records in either layout."""

NAMES: Final = 100_000
"""Names of a folder among which archives are looked for."""

DATABASE: Final = 32 << 20
"""Bytes of a database that is read; a larger one is not."""

ROWS: Final = TOGETHER // max(LAYOUTS)
"""Rows of a database that are read, the newest: as many as records."""


@dataclass(slots=True)
class Book:
    """One file of records. `size` is in bytes, `skipped` how many of them ahead of what is read are not;
    `rest` are those behind the last whole record. `problem` is a clause, "" when it can be read. `cut`: it
    holds more than is read. `link` is where it leads if it is a symbolic link. `at` is when it was last
    written to; `count`, `first` and `last` tell of the records, once they were read: how many, and the times
    of the first and of the last sound one. Times are in seconds since the epoch."""

    path: bytes
    size: int = 0
    at: float = 0.0
    width: int = 384
    skipped: int = 0
    rest: int = 0
    problem: str = ""
    cut: bool = False
    packed: bool = False
    link: bytes = b""
    count: int = 0
    first: int = 0
    last: int = 0

    @property
    def name(self) -> str:
        """Its path, to show."""
        return text(self.path)

    def records(self, texts: TextHost) -> Iterator[tuple[int, Login]]:
        """Its records with their numbers, from 0."""
        if self.problem:
            return
        number = self.skipped // self.width
        rest = b""
        for part in self._parts(texts):
            data = rest + part
            whole = len(data) - len(data) % self.width
            rest = data[whole:]
            for one in logins(data[:whole], self.width):
                self.count += 1
                if one.sane:
                    self.first = self.first or one.at
                    self.last = one.at
                yield number, one
                number += 1
        self.rest = len(rest)

    def _parts(self, texts: TextHost) -> Iterator[bytes]:
        """What is read of it, in pieces."""
        if not self.packed:
            yield from _chunks(texts, self.path, self.skipped, self.size)
            return
        left = LARGEST
        for part in contents(_chunks(texts, self.path, 0, LARGEST)):
            yield part[:left]
            left -= len(part)
            if left <= 0:
                self.cut = True
                return


def book(texts: TextHost, path: bytes, largest: int = LARGEST) -> Book | None:
    """The file at `path`; None when there is none."""
    entry = texts.lstat(path)
    link = texts.link(path) if entry is not None and stat.S_ISLNK(entry.st_mode) else b""
    head = texts.read(path, CHUNK)
    if head.problem:
        return Book(path, problem=head.problem, link=link)
    if head.data is None or head.stat is None:
        return Book(path, problem="leads nowhere", link=link) if link else None
    found = Book(path, head.stat.st_size, head.stat.st_mtime, link=link)
    if head.data.startswith((b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh")):
        found.packed, found.size = True, 0
        found.width = stride(next(contents(iter((head.data,))), b""))
    elif head.data.startswith(OPAQUE):
        found.problem = "is compressed in a way that only its own program can read"
    else:
        if found.size > largest:
            whole = min(LAYOUTS) * max(LAYOUTS)
            found.skipped = (found.size - largest + whole - 1) // whole * whole
            found.cut = True
            tail = texts.read(path, CHUNK, found.skipped).data or b""
            found.width = stride(tail, found.size)
        else:
            found.width = stride(head.data, found.size)
    return found


def books(texts: TextHost, path: bytes) -> list[Book]:
    """A record and what was rotated of it, the oldest first."""
    folder, base = split(path)
    archives = []
    for name in texts.names(folder, NAMES) or ():
        if name.startswith((base + b".", base + b"-")):
            entry = texts.lstat(join(folder, name))
            if entry is not None and stat.S_ISREG(entry.st_mode):
                archives.append((entry.st_mtime_ns, join(folder, name)))
    archives.sort(reverse=True)
    found: list[Book] = []
    left = TOGETHER
    for one in (path, *(name for _, name in archives[:ARCHIVES])):
        if left < CHUNK:
            break
        opened = book(texts, one, min(LARGEST, left))
        if opened is not None:
            left -= LARGEST if opened.packed else opened.size - opened.skipped
            found.append(opened)
    return found[::-1]


def rows(
    texts: TextHost, path: bytes, table: bytes, stop: Callable[[], bool]
) -> tuple[int, list[list[Column]], str]:
    """The newest rows of a table of the SQLite file at `path` with the number of the first of them, and the
    clause why some cannot be read ("": all can, or there is no such file)."""
    found = texts.read(path, DATABASE + 1)
    if found.data is None:
        return 1, [], found.problem
    if len(found.data) > DATABASE:
        return 1, [], "is larger than what is read of a database"
    waiting = texts.lstat(path + b"-wal")
    made = values_of(found.data, table, ROWS, stop)
    if made is None:
        return 1, [], "is no whole database"
    count, values = made
    late = "has changes beside it that are not written into it yet" if waiting and waiting.st_size else ""
    if stop():
        late = "was not read to its end: the time ran out"
    elif count > len(values):
        late = f"has {counted(count, 'row')}, of which the last {ROWS} were read"
    return count - len(values) + 1, values, late


def _chunks(texts: TextHost, path: bytes, start: int, end: int) -> Iterator[bytes]:
    while start < end and (data := texts.read(path, min(CHUNK, end - start), start).data):
        yield data
        start += len(data)
