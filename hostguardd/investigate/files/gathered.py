"""What the walk over the file systems brings home: the words for it, and how little of it is kept. Pure."""

from __future__ import annotations

import heapq
import stat
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ...model import Row, SetIdFact, join
from ..interface import Unseen

SYSTEM: Final = (
    b"/bin", b"/boot", b"/efi", b"/etc", b"/lib", b"/lib32", b"/lib64", b"/libx32", b"/sbin", b"/usr",
    b"/var/spool/at", b"/var/spool/cron", b"/var/spool/anacron",
)  # fmt: skip
"""Where programs, settings and what runs by itself lie: what changes there has a reason."""

SYSTEM_BELOW: Final = tuple(top + b"/" for top in SYSTEM)

NEWEST: Final = 5
"""Changed entries of one folder of others' things that are kept, the newest."""


class Entry(NamedTuple):
    """What lstat(2) says of one entry; times are nanoseconds since the epoch."""

    path: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    ctime: int

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)


class Odd(NamedTuple):
    """An entry with a name made to be overlooked. `sign` as of HiddenFact, "" for one like `..x`."""

    entry: Entry
    sign: str
    clause: str


class Lending(NamedTuple):
    """A file that lends rights. `image`: it lies in a read-only image mounted here. `nosuid`: the mount
    option that takes the effect from it. `problem`: why its content is not known."""

    fact: SetIdFact
    mtime: int
    image: bool
    nosuid: bool
    problem: str = ""


@dataclass(slots=True)
class Top:
    """The changed entries below one folder of others' things: how many, and the newest of them."""

    count: int = 0
    newest: list[tuple[int, Entry]] = field(default_factory=list)

    def add(self, at: int, row: Row) -> None:
        """One more."""
        self.count += 1
        keep_newest(self.newest, at, row, NEWEST)


@dataclass(slots=True)
class Walked:
    """What was collected. `counts` are exact; of each list only so many are kept."""

    entries: int = 0
    folders: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    lending: list[Lending] = field(default_factory=list)
    odd: list[Odd] = field(default_factory=list)
    changed: list[tuple[int, Entry]] = field(default_factory=list)
    """A heap of the newest in the system's folders, programs apart."""
    programs: list[tuple[int, Entry]] = field(default_factory=list)
    tops: dict[bytes, Top] = field(default_factory=dict)
    """Changed entries elsewhere, by the first folders of their path."""
    writable: list[Entry] = field(default_factory=list)
    shared: list[Entry] = field(default_factory=list)
    """Those to which an ACL lets others write."""
    given: list[Entry] = field(default_factory=list)
    """Those of the system's that belong to people."""
    temporary: list[Entry] = field(default_factory=list)
    telling: list[Entry] = field(default_factory=list)
    """Those programs among temporary files that hide, or lie in memory that programs share."""
    among_logs: list[Entry] = field(default_factory=list)
    """What may be executed among the logs; many a careless service writes its own so."""
    devices: list[Entry] = field(default_factory=list)
    orphans: dict[int, list[Entry]] = field(default_factory=dict)
    """Files of uids that no account has: a few of each."""
    orphan_counts: Counter[int] = field(default_factory=Counter)
    unseen: list[Unseen] = field(default_factory=list)

    @property
    def newest(self) -> list[Entry]:
        """The changed entries of the system's folders that were kept, the newest first."""
        return [one for _, one in sorted(self.changed + self.programs, reverse=True)]


def keep_newest(heap: list[tuple[int, Entry]], at: int, row: Row, most: int) -> None:
    """Add an entry to a heap of the newest `most`."""
    if len(heap) < most:
        heapq.heappush(heap, (at, entry_of(row)))
    elif at > heap[0][0]:
        heapq.heapreplace(heap, (at, entry_of(row)))


def entry_of(row: Row) -> Entry:
    """The Entry of a QUICK row of FileFact."""
    folder, name, mode, uid, gid, size, mtime, ctime, *_ = row
    return Entry(join(folder, name), mode, uid, gid, size, mtime, ctime)  # type: ignore[arg-type]


def in_system(path: bytes) -> bool:
    """Whether a path lies in the system's folders."""
    return (path + b"/").startswith(SYSTEM_BELOW)
