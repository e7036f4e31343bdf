"""The rows of a small SQLite file, and how many there are, from its bytes alone: no lock is taken, nothing
written. Pure.

The rule: any bytes have an answer, no page is visited twice, no byte of it is part of two rows, and so there
is never more to read than there are bytes. What is no such file, or was caught in the middle of a change, is
None.

Source: sqlite.org/fileformat2.html (1.3 the header, 1.6 b-tree pages, 2.1 records).
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, TypeAlias

MAGIC: Final = b"SQLite format 3\0"
LEAF: Final = 0x0D
INTERIOR: Final = 0x05
MOST_TABLES: Final = 64
MOST_NAMES: Final = 1000
"""Rows of the schema that are looked at: tables, and what else it names."""

MOST_COLUMNS: Final = 32
SMALLEST: Final = 4
"""Bytes that a cell takes at least (1.6)."""

Column: TypeAlias = int | bytes | None


def rows_of(data: bytes) -> int | None:
    """The rows of all tables in the file `data`, but for SQLite's own."""
    size = _page_size(data)
    if size is None:
        return None
    try:
        roots = [root for _, root in _tables(data, size)]
        return sum(count for _, count in _leaves(data, size, roots))
    except (struct.error, IndexError, ValueError):
        return None


def values_of(
    data: bytes, table: bytes, most: int, stop: Callable[[], bool] = lambda: False
) -> tuple[int, list[list[Column]]] | None:
    """The number of the rows of a table, whatever the case of its name, and the values of the last `most` of
    them; fewer when told to `stop`. Of a row that does not fit on a page the rest is left out; an INTEGER
    PRIMARY KEY stands there as None, 2.3."""
    size = _page_size(data)
    if size is None:
        return None
    count, last = 0, deque[list[Column]](maxlen=most)
    try:
        roots = [root for name, root in _tables(data, size) if name.lower() == table]
        for count, values in enumerate(_rows(data, size, roots[:1], MOST_COLUMNS), 1):
            last.append(values)
            if not count % 1024 and stop():
                break
    except (struct.error, IndexError, ValueError):
        return None
    return count, list(last)


def _page_size(data: bytes) -> int | None:
    """The size of a page of what is such a file."""
    if len(data) < 100 or not data.startswith(MAGIC):
        return None
    size = int.from_bytes(data[16:18], "big")
    size = 65536 if size == 1 else size
    return None if size < 512 or size & (size - 1) else size


def _leaves(data: bytes, size: int, roots: list[int]) -> Iterator[tuple[int, int]]:
    """(page number, cells) of each leaf of some tables' b-trees, in the order of their rows."""
    pages = len(data) // size
    todo, seen = roots[::-1], set(roots)
    if len(seen) < len(roots) or not all(0 < root <= pages for root in roots):
        raise ValueError("a root in two places, or beyond the end")
    while todo:
        number = todo.pop()
        start = (number - 1) * size
        at = start + (100 if number == 1 else 0)
        kind, cells = data[at], int.from_bytes(data[at + 3 : at + 5], "big")
        if kind == LEAF:
            yield number, cells
            continue
        if kind != INTERIOR or at + 12 + 2 * cells > start + size:
            raise ValueError("no page of a table")
        offsets = struct.unpack_from(f">{cells}H", data, at + 12)
        children = [struct.unpack_from(">I", data, start + one)[0] for one in offsets]
        children.append(struct.unpack_from(">I", data, at + 8)[0])
        for child in children:
            if child in seen or not 0 < child <= pages:
                raise ValueError("a page in two places, or beyond the end")
            seen.add(child)
        todo += reversed(children)


def _tables(data: bytes, size: int) -> list[tuple[bytes, int]]:
    """Names and root pages of the first tables that the schema (the table on page 1) names."""
    found = []
    for values in islice(_rows(data, size, [1], 4), MOST_NAMES):
        match values:
            case [b"table", bytes(name), _, int(root)] if not name.startswith(b"sqlite_") and root > 0:
                found.append((name, root))
    return found[:MOST_TABLES]


def _rows(data: bytes, size: int, roots: list[int], most: int) -> Iterator[list[Column]]:
    """The first `most` columns of each row of some tables."""
    for number, cells in _leaves(data, size, roots):
        start = (number - 1) * size
        at = start + (100 if number == 1 else 0)
        left = start + size - at - 8 - 2 * cells
        if left < 0:
            raise ValueError("cells beyond the page")
        for offset in struct.unpack_from(f">{cells}H", data, at + 8):
            values, end = _record(data, start + offset, size - data[20], most)
            left -= max(SMALLEST, end - start - offset)
            if left < 0 or end > start + size:
                raise ValueError("cells upon each other, or beyond the page")
            yield values


def _record(data: bytes, at: int, usable: int, most: int) -> tuple[list[Column], int]:
    """The first columns of a cell, as far as they lie on its page of so many `usable` bytes (1.6), and where
    it ends there."""
    payload, at = _varint(data, at)
    _, at = _varint(data, at)
    if payload > usable - 35:
        least = (usable - 12) * 32 // 255 - 23
        payload = least + (payload - least) % (usable - 4)
        payload = payload if payload <= usable - 35 else least
    begin, end = at, at + payload
    length, at = _varint(data, at)
    types: list[int] = []
    while at < begin + length and len(types) < most:
        kind, at = _varint(data, at)
        types.append(kind)
    at = begin + length
    values: list[Column] = []
    for kind in types:
        width = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)[kind] if kind < 12 else (kind - 12) // 2
        if at + width > end:
            break
        piece = data[at : at + width]
        at += width
        if kind == 0:
            values.append(None)
        elif kind < 12:
            values.append(kind - 8 if kind in (8, 9) else int.from_bytes(piece, "big", signed=True))
        else:
            values.append(piece)
    return values, end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer, and where what follows it begins."""
    value = 0
    for index in range(9):
        byte = data[at + index]
        if index == 8:
            return (value << 8) | byte, at + 9
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError("no integer")
