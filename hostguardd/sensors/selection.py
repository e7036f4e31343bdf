"""Which entries a selective watch takes: programs and scripts, pages with code, odd names.

In a folder where anybody may write, a million names may lie and each of them be huge. So the mode and the
name decide where they can; of other regular files the first bytes alone are read, once for each state
of a file (device, inode, ctime): what is known of the last ones asked for is kept, within bounds.
"""

from __future__ import annotations

import re
import stat
from collections import OrderedDict
from functools import lru_cache

from ..fact import odd_name, whole
from ..globs import compile_texts
from ..host.files import Folder
from ..model import Row
from ..watchlist import Watch

HEAD = 512
"""Bytes of a content that are looked at: the code of a page may stand behind an image's header."""

REMEMBERED = 16_384
"""Files whose beginning is remembered (some 200 bytes each, at the most)."""

LARGEST = 256 * 1024**2
"""Bytes beyond which the content of an entry taken is not read: anybody can make a program of 8 TB of
nothing, and there is no end to how many."""

RUNS = 0o6111
"""Mode bits of which a program has one: somebody may execute it, or it lends its owner's rights."""

PROGRAMS = (b"\x7fELF", b"#!")
PAGES = (b"<?php", b"<?=", b"<%")

State = tuple[int, int, int]


class Selection:
    """Says which entries are taken. For one thread at a time; a lost race costs another reading."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[State, frozenset[str]] = OrderedDict()

    def takes(self, opened: Folder, row: Row, watch: Watch) -> bool:
        """Whether the entry of `row` is a fact of this watch."""
        name, mode = row[1], row[2]
        assert isinstance(name, bytes)
        assert isinstance(mode, int)
        if stat.S_ISDIR(mode):
            return True
        if "odd" in watch.select and odd_name(name):
            return True
        if watch.names and _names(watch.names).fullmatch(name.lower()) is not None:
            return True
        if not stat.S_ISREG(mode):
            return False
        if "regular" in watch.select or ("program" in watch.select and mode & RUNS):
            return True
        return bool(watch.select & {"program", "page"} and watch.select & self._kind(opened, row))

    def _kind(self, opened: Folder, row: Row) -> frozenset[str]:
        """What the beginning of a regular file makes it."""
        name = row[1]
        assert isinstance(name, bytes)
        state: State = (opened.device, whole(row[8]), whole(row[7]))
        known = self._kinds.get(state)
        if known is not None:
            return known
        found = kind_of(opened.head(name, HEAD)) if row[5] else frozenset()
        self._kinds[state] = found
        while len(self._kinds) > REMEMBERED:
            self._kinds.popitem(last=False)
        return found


def kind_of(head: bytes) -> frozenset[str]:
    """`program` and `page`, as the first bytes of a file show it."""
    found = set()
    if head.startswith(PROGRAMS):
        found.add("program")
    lowered = head.lower()
    if any(sign in lowered for sign in PAGES):
        found.add("page")
    return frozenset(found)


@lru_cache(maxsize=256)
def _names(globs: tuple[bytes, ...]) -> re.Pattern[bytes]:
    return compile_texts(globs)
