"""The journal's files: what is active, what was archived, and what a clean-up may take away.

The theory. journald writes to `system.journal` and `user-UID.journal`, and when it rotates one, renames it
to `NAME@….journal` (`…~` after a crash) and begins another with an id of its own. Old archives are removed
by vacuuming, always the oldest. So an active file is whole as long as it is itself (the id in its
header) and its count of entries has not gone down, or an archive beside it has its id; and archives
were vacuumed if what is gone is older than what stayed. To remove all of several archives at once is
what `--vacuum-time=1s` does for an intruder: no limit of journald's own asks for that.

Sources: systemd.io/JOURNAL_FILE_FORMAT, journalctl(1), journald.conf(5).
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from ..host.texts import TextHost, stamp
from ..model import Blind, LogFact, join, split
from .growing import Case

FOLDERS: Final = (b"/var/log/journal", b"/run/log/journal")
SIGNATURE: Final = b"LPKSHHRH"
HEADER: Final = 208
NAMES: Final = 10_000
MOST: Final = 512
"""Archives of one folder that are kept in memory, the newest."""

_ARCHIVE = re.compile(rb"(system|user-\d+)@.*\.journal~?\Z", re.DOTALL)
_ACTIVE = re.compile(rb"(system|user-\d+|remote|remote-[^@]*)\.journal\Z", re.DOTALL)


class Header(NamedTuple):
    """Of a journal file: its id, the least bytes it must have, how many entries, the last one's number,
    when the first was written (microseconds since the epoch)."""

    id: bytes
    least: int
    entries: int
    last: int
    first: int


def header(data: bytes) -> Header | None:
    """The header of a journal file that begins with `data`, None when it is none."""
    if len(data) < HEADER or not data.startswith(SIGNATURE):
        return None
    id_, size, arena = data[24:40], *struct.unpack_from("<QQ", data, 88)
    entries, last, _, _, first = struct.unpack_from("<QQQQQ", data, 152)
    return Header(id_, size + arena, entries, last, first)


class Archive(NamedTuple):
    """An archived file: its id, and when its first entry was written. `entries` 0: it may go at any time."""

    id: bytes
    entries: int
    first: int


class Journals:
    """All folders of journals. `cases` are those of the active files, by path."""

    def __init__(self, texts: TextHost, cases: dict[bytes, Case]) -> None:
        self._texts = texts
        self.cases = cases
        self._known: dict[bytes, Header] = {}
        self._marks: dict[bytes, tuple[int, int]] = {}
        self._archives: dict[bytes, dict[bytes, Archive]] = {}
        self._headers: dict[tuple[bytes, int], Archive] = {}
        self._folders: dict[bytes, int] = {}
        self.dirty: set[bytes] = set()

    def moved(self) -> bool:
        """Whether a file or a folder is not as it was last seen."""
        if any(stamp(self._texts, folder) != at for folder, at in self._folders.items()):
            return True
        return any(self._mark(path) != mark for path, mark in self._marks.items())

    def look(self) -> list[Blind]:
        """Find out what happened to them."""
        blinds: list[Blind] = []
        folders: dict[bytes, int] = {}
        for top in FOLDERS:
            folders[top] = stamp(self._texts, top)
            for name in self._texts.names(top, NAMES) or ():
                folder = join(top, name)
                seen = self._texts.lstat(folder)
                if seen is not None and stat.S_ISDIR(seen.st_mode):
                    folders[folder] = seen.st_mtime_ns
                    if self._folders.get(folder) != seen.st_mtime_ns:
                        self._list(folder)
        for gone in self._archives.keys() - folders.keys():
            self._judge_archives(gone, self._archives.pop(gone), {})
        for path in list(self.cases):
            if (problem := self._active(path)) is not None:
                blinds.append(problem)
        self._folders = folders
        return blinds

    # -- inside ----------------------------------------------------------------------------------

    def _mark(self, path: bytes) -> tuple[int, int]:
        """Entries are written through mmap(2), which moves mtime only now and then: the inode and the
        size must do for a poll."""
        seen = self._texts.lstat(path)
        return (0, 0) if seen is None else (seen.st_ino, seen.st_size)

    def _list(self, folder: bytes) -> None:
        """What lies in a folder of journals now."""
        archives: dict[bytes, Archive] = {}
        for name in self._texts.names(folder, NAMES) or ():
            path = join(folder, name)
            if _ACTIVE.match(name):
                self.cases.setdefault(path, Case("logs", path))
            elif _ARCHIVE.match(name) and len(archives) < MOST:
                found = self._archive(path)
                if found is not None:
                    archives[found.id] = found
        before = self._archives.get(folder)
        self._archives[folder] = archives
        if before is not None:
            self._judge_archives(folder, before, archives)

    def _archive(self, path: bytes) -> Archive | None:
        seen = self._texts.lstat(path)
        if seen is None or not stat.S_ISREG(seen.st_mode):
            return None
        key = (path, seen.st_ino)
        if key not in self._headers:
            found = header(self._texts.read(path, HEADER).data or b"")
            if found is None:
                return None
            if len(self._headers) > 4 * MOST:
                self._headers.clear()
            self._headers[key] = Archive(found.id, found.entries, found.first)
        return self._headers[key]

    def _judge_archives(
        self, folder: bytes, before: dict[bytes, Archive], after: dict[bytes, Archive]
    ) -> None:
        """Was it vacuumed, or did somebody delete what would have stayed?"""
        gone = [one for id_, one in before.items() if id_ not in after and one.entries]
        stayed = [one for id_, one in before.items() if id_ in after and one.entries]
        if not gone or self._flushed(folder):
            return
        newest = max(one.first for one in gone)
        if (not stayed and len(gone) > 1) or any(one.first < newest for one in stayed):
            active = join(folder, b"system.journal")
            case = self.cases.setdefault(active, Case("logs", active))
            case.happened("pruned", b"%d archived journals" % len(gone))
            self.dirty.add(active)

    def _active(self, path: bytes) -> Blind | None:
        """One active file."""
        case, before = self.cases[path], self._known.get(path)
        seen = self._texts.lstat(path)
        self._marks[path] = (0, 0) if seen is None else (seen.st_ino, seen.st_size)
        if seen is not None and stat.S_ISREG(seen.st_mode):
            text = self._texts.read(path, HEADER)
            if text.problem:
                return Blind(LogFact.KIND, path, f"this journal cannot be read: {text.problem}")
            now, size = header(text.data or b""), text.stat.st_size if text.stat else 0
        else:
            now, size = None, 0
        known = before.id if before is not None else case.head
        entries = before.entries if before is not None else case.entries
        if now is not None and now.id == known:
            lost = now.least - size
            if lost > 0 and (case.state, case.lost) != ("truncated", lost):
                self._tell(case, "truncated", lost)
            elif now.entries < entries:
                self._tell(case, "edited", 0, b"%d entries are gone" % (entries - now.entries))
        elif known and not self._archived(path, known):
            self._tell(case, _word(seen), case.size)
        elif seen is not None and not stat.S_ISREG(seen.st_mode) and case.state not in ("linked", "replaced"):
            self._tell(case, _word(seen), 0)
        if now is None:
            if before is not None or case.head:
                self._known.pop(path, None)
                case.head, case.entries, case.size = b"", 0, 0
                self.dirty.add(path)
            return None
        if now.id != case.head:
            self.dirty.add(path)
            case.head, case.headed, case.inode = now.id, HEADER, seen.st_ino if seen else 0
            case.size, case.entries = size, now.entries
        self._known[path] = now
        return None

    def checkpoint(self) -> None:
        """Bring the rows up to what was seen last."""
        for path, known in self._known.items():
            self.cases[path].entries = known.entries
        self.dirty.clear()

    def _tell(self, case: Case, state: str, lost: int, detail: bytes = b"") -> None:
        case.happened(state, detail, lost)
        self.dirty.add(case.path)

    def _archived(self, path: bytes, known: bytes) -> bool:
        """Whether the file with this id is an archive now, or was moved to the disk (journalctl --flush)."""
        folder, _ = split(path)
        if known in self._archives.get(folder, {}):
            return True
        return any(one.id == known for one in self._fresh(folder)) or self._flushed(folder)

    def _flushed(self, folder: bytes) -> bool:
        """Whether the journals of a folder in memory were moved to the disk."""
        return (
            folder.startswith(b"/run/")
            and self._texts.lstat(b"/var" + folder.removeprefix(b"/run")) is not None
        )

    def _fresh(self, folder: bytes) -> Iterator[Archive]:
        """The archives there are at this moment."""
        for name in self._texts.names(folder, NAMES) or ():
            if _ARCHIVE.match(name) and (found := self._archive(join(folder, name))) is not None:
                yield found


def _word(seen: os.stat_result | None) -> str:
    if seen is None:
        return "gone"
    if stat.S_ISLNK(seen.st_mode):
        return "linked"
    if not stat.S_ISREG(seen.st_mode):
        return "replaced"
    return "rewritten" if seen.st_size else "emptied"
