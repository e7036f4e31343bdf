"""The files sensor: every entry the watches name, one folder at a time.

A folder is the scope of its entries, so an unchanged folder is one comparison later on, and a hint
about a file is a look at a single key. Folders of very many names are cut into slices, so that memory
depends on no folder's size.

`on_folder` is called with each folder *before* it is listed: whoever watches for hints sets the
watch then, and nothing can fall between the list and the watch.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..config import Watch
from ..host.files import Deep, FileHost, Folder, Stop, glob_paths
from ..host.mounts import MountMap
from ..model import CONTENT, Blind, Depth, FileFact, Row, Sweep, Value, join, split, under
from ..watches import FolderPlan, Watches
from .interface import Request

if TYPE_CHECKING:  # the crew's processes import this room, and have no use for that one
    from .crew import Crew

SLICE = 4096
"""Entries of a folder looked at in one sweep; beyond, the folder comes in slices."""

MOST_NAMES = 2_000_000
"""Names in one folder beyond which it is Blind rather than a danger to the daemon's memory."""

KERNEL = (b"/proc/", b"/sys/", b"/dev/")
"""No link is followed there: /etc/mtab leads to a file of the process that asks."""

KIND = FileFact.KIND


class FilesSensor:
    """`Sensor` of FileFacts. `crew` (other processes) reads contents in a full sweep; without one the
    calling thread does.

    `wall` gives wall-clock nanoseconds; `largest` is the size in bytes above which a content is not
    read (and says so).
    """

    fact = FileFact

    def __init__(
        self,
        host: FileHost,
        watches: Sequence[Watch],
        wall: Callable[[], int],
        *,
        on_folder: Callable[[bytes], None] = lambda folder: None,
        crew: Crew | None = None,
        largest: int = 1 << 62,
    ) -> None:
        self._host = host
        self._configured = resolved(host, watches)
        self.watches = Watches(self._configured)
        self._wall = wall
        self._on_folder = on_folder
        self._crew = crew
        self._largest = largest

    # -- the sensor's contract -------------------------------------------------------------------

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """Everything the watches name, in no particular order."""
        mounts = MountMap(self._host.mounts)
        folders: list[bytes] = []
        for parent, names in self._starts().items():
            yield from self._keys(parent, frozenset(names), depth, stop, folders, {})
        folders.reverse()
        if depth is Depth.FULL and self._crew is not None:
            yield from self._shared(folders, stop, self._crew)
            return
        while folders and not stop():
            yield from self._visit(folders.pop(), depth, mounts, stop, folders)

    def visit(self, folder: bytes, mounts: MountMap, stop: Stop, below: list[bytes]) -> Iterator[Sweep]:
        """One folder, closely; folders in it are added to `below`. For the crew's processes."""
        return self._visit(folder, Depth.FULL, mounts, stop, below)

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """The keys that were asked for; `deep` requests descend."""
        mounts: MountMap | None = None
        for request in requests:
            folder = request.scope
            assert isinstance(folder, bytes)
            below: list[bytes] = []
            if request.keys is not None:
                yield from self._keys(folder, request.keys, request.depth, stop, below, request.prefixes)
            elif not self.watches.plan(folder).empty:
                below = [folder]
            if request.keys is not None and not request.deep:
                continue
            mounts = mounts or MountMap(self._host.mounts)
            while below and not stop():
                more: list[bytes] = []
                yield from self._visit(below.pop(), request.depth, mounts, stop, more)
                if request.deep:
                    below += more

    # -- inside ----------------------------------------------------------------------------------

    def anchors(self) -> list[bytes]:
        """Folders above what is watched, in which its appearing or renaming would show."""
        found: set[bytes] = set()
        for path in self._named():
            while path != b"/":
                path = split(path)[0]
                found.add(path)
        return sorted(found)

    def _named(self) -> list[bytes]:
        """Every path that a watch names, wildcards tried on the host as it is now."""
        named = list(self.watches.literal)
        for pattern in self.watches.patterns:
            named += glob_paths(self._host, pattern, lambda path: self.watches.at(path) is not None)
        return named

    def _starts(self) -> dict[bytes, set[bytes]]:
        """Named entries that no watched folder above leads to, by folder."""
        starts: dict[bytes, set[bytes]] = {}
        for path in self._named():
            parent, name = split(path)
            if self.watches.plan(parent).inherited is None:
                starts.setdefault(parent, set()).add(name)
        return starts

    def _keys(
        self,
        folder: bytes,
        names: frozenset[Value],
        depth: Depth,
        stop: Stop,
        below: list[bytes],
        prefixes: object,
    ) -> Iterator[Sweep]:
        """One sweep of some entries of a folder; folders among them are added to `below`."""
        began = self._wall()
        plan = self.watches.plan(folder)
        wanted = frozenset(n for n in names if isinstance(n, bytes) and plan.reach(n) is not None)
        if not wanted:
            return
        lengths = prefixes if isinstance(prefixes, dict) else {}
        found = _Found(self, plan, depth, stop)
        try:
            opened = self._host.open_folder(folder)
        except OSError as error:
            yield Sweep(
                FileFact, folder, depth, [], _closed(folder, error), wanted, began=began, ended=self._wall()
            )
            return
        with opened:
            for name in sorted(wanted):
                row = opened.entry(name) if name else opened.entry(b".")
                if row is not None:
                    found.take(opened, row, below, int(lengths.get(name, -1)))
        yield found.sweep(folder, began, self._wall(), only=wanted)

    def _visit(
        self, folder: bytes, depth: Depth, mounts: MountMap, stop: Stop, below: list[bytes]
    ) -> Iterator[Sweep]:
        """All watched entries of one folder, in slices when there are many."""
        began = self._wall()
        plan = self.watches.plan(folder)
        if plan.empty or mounts.pseudo(folder):
            return
        self._on_folder(folder)
        # Not even lstat(2) may touch a network mount: it hangs when the server does.
        away = [m for m in mounts.within(folder).values() if m.network]
        avoid = frozenset(split(m.point)[1] for m in away)
        blinds = tuple(
            Blind(KIND, m.point, f"{m.fstype.decode(errors='replace')} mount, not walked") for m in away
        )
        try:
            with self._host.open_folder(folder) as opened:
                rows = opened.entries(SLICE, avoid)
                if rows is not None:
                    found = _Found(self, plan, depth, stop, blinds)
                    if plan.plain and depth is Depth.QUICK:
                        found.rows = rows
                        _subfolders(rows, plan, below)
                    else:
                        for row in rows:
                            found.take(opened, row, below)
                    if not stop():
                        yield found.sweep(folder, began, self._wall())
                    return
                names = [name for name in opened.names(MOST_NAMES) if name not in avoid]
                for at in range(0, len(names), SLICE):
                    found = _Found(self, plan, depth, stop, blinds)
                    for name in names[at : at + SLICE]:
                        one = opened.entry(name)
                        if one is not None:
                            found.take(opened, one, below)
                    if stop():
                        return
                    low = names[at] if at else None
                    high = names[at + SLICE] if at + SLICE < len(names) else None
                    yield found.sweep(folder, began, self._wall(), span=(low, high))
        except OSError as error:
            yield Sweep(
                FileFact, folder, depth, [], _closed(folder, error) + blinds, began=began, ended=self._wall()
            )

    def _shared(self, folders: list[bytes], stop: Stop, crew: Crew) -> Iterator[Sweep]:
        """A full sweep by other processes; this one only hands out folders and takes in rows."""
        with crew.at_work(self._host.root, self._configured, self._largest) as workers:
            yield from workers.sweep(folders, self._announce, stop)

    def _announce(self, folder: bytes) -> bool:
        """Before a folder is handed out: set the watch. Whether it is to be visited at all."""
        if self.watches.plan(folder).empty:
            return False
        self._on_folder(folder)
        return True

    def deep(self, opened: Folder, row: Row, watch: Watch, prefix: int, stop: Stop) -> Deep | None:
        """Look closely at one entry, as its watch asks."""
        return opened.deep(row, stop, prefix=prefix, text=watch.diff, largest=self._largest)


class _Found:
    """What one look has gathered so far."""

    def __init__(
        self, sensor: FilesSensor, plan: FolderPlan, depth: Depth, stop: Stop, blinds: tuple[Blind, ...] = ()
    ) -> None:
        self._sensor = sensor
        self._plan = plan
        self._depth = depth
        self._stop = stop
        self.rows: list[Row] = []
        self.blinds = list(blinds)
        self.contents: dict[bytes, bytes] = {}

    def take(self, opened: Folder, row: Row, below: list[bytes], prefix: int = -1) -> None:
        """Add one entry, closely if the sweep is a full one."""
        name = row[1]
        assert isinstance(name, bytes)
        reach = self._plan.reach(name)
        if reach is None or self._stop():
            return
        if self._depth is Depth.FULL:
            deep = self._sensor.deep(opened, row, reach.watch, prefix, self._stop)
            if deep is None:
                return
            row = deep.row
            if deep.problem:
                self.blinds.append(Blind(KIND, join(opened.path, name), CONTENT + deep.problem))
            if deep.text is not None and isinstance(row[12], bytes):
                self.contents[row[12]] = deep.text
        self.rows.append(row)
        if reach.levels != 0 and stat.S_ISDIR(row[2]):  # type: ignore[arg-type]
            below.append(join(opened.path, name))

    def sweep(
        self,
        folder: bytes,
        began: int,
        ended: int,
        only: frozenset[Value] | None = None,
        span: tuple[Value, Value] | None = None,
    ) -> Sweep:
        """The result. A look that was broken off is limited to what it reached."""
        return Sweep(
            FileFact,
            folder,
            self._depth,
            self.rows,
            tuple(self.blinds),
            only,
            span,
            self.contents,
            began,
            ended,
        )


def _subfolders(rows: Iterable[Row], plan: FolderPlan, below: list[bytes]) -> None:
    """Add the folders among plain rows."""
    assert plan.inherited is not None
    if plan.inherited.levels == 0:
        return
    for row in rows:
        if row[2] & 0o170000 == stat.S_IFDIR:  # type: ignore[operator]  # S_ISDIR, without the call
            below.append(join(plan.folder, row[1]))  # type: ignore[arg-type]


def _closed(folder: bytes, error: OSError) -> tuple[Blind, ...]:
    """Blind for a folder that cannot be opened; nothing for one that is simply not there (any more)."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)) or error.errno == 40:  # ELOOP: now a link
        return ()
    return (Blind(KIND, folder, f"folder: {error.strerror or error}"),)


def resolved(host: FileHost, watches: Sequence[Watch]) -> tuple[Watch, ...]:
    """The watches with the real places added of named paths that lead through symbolic links.

    `/bin/x` on a host whose /bin is a link to usr/bin is the entry /usr/bin/x; a named link to a
    folder is watched as a link, and the folder it leads to as well.
    """
    first = Watches(watches)
    found = []
    for watch in watches:
        more: list[bytes] = []
        for path in watch.paths:
            if any(c in path for c in b"*?["):
                continue
            try:
                real = host.real(path)
            except OSError:
                continue
            if real.startswith(KERNEL):
                continue
            if real not in (path, b"/") and first.at(real) is None and not under(path, real):
                more.append(real)
        found.append(replace(watch, paths=watch.paths + tuple(dict.fromkeys(more))) if more else watch)
    return tuple(found)
