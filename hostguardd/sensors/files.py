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

from ..globs import has_magic, unquoted
from ..host.files import Deep, FileHost, Folder, Stop, is_gone
from ..host.globbing import glob_paths
from ..host.mounts import Mount, MountMap
from ..model import CONTENT, Blind, Depth, FileFact, Row, Sweep, Value, join, split, under
from ..watches import FolderPlan, Watches
from ..watchlist import Watch
from .interface import Request
from .selection import LARGEST, Selection

if TYPE_CHECKING:  # the crew's processes import this room, and have no use for that one
    from .crew import Crew

SLICE = 4096
"""Entries of a folder looked at in one sweep; beyond, the folder comes in slices."""

MOST_NAMES = 2_000_000
"""Names in one folder beyond which it is Blind rather than a danger to the daemon's memory."""

MOST_LOST = 20
"""Entries of one look that are named one by one when they cannot be looked at."""

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
        self._selection = Selection()

    # -- the sensor's contract -------------------------------------------------------------------

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """Everything the watches name, in no particular order."""
        mounts = MountMap(self._host.mounts)
        folders: list[bytes] = []
        yield from self._begin((b"/",), Request(b"", None, depth=depth), mounts, stop, folders)
        folders.reverse()
        if depth is Depth.FULL and self._crew is not None:
            yield from self._shared(folders, stop, self._crew)
            return
        while folders and not stop():
            yield from self._visit(folders.pop(), depth, mounts, stop, folders)

    def below(self, tops: Sequence[bytes], stop: Stop) -> Iterator[Sweep]:
        """Everything the watches name at or below these folders, there or not, closely."""
        mounts = MountMap(self._host.mounts)
        folders: list[bytes] = []
        yield from self._begin(tops, Request(b"", None), mounts, stop, folders)
        while folders and not stop():
            yield from self._visit(folders.pop(), Depth.FULL, mounts, stop, folders)

    def visit(self, folder: bytes, mounts: MountMap, stop: Stop, below: list[bytes]) -> Iterator[Sweep]:
        """One folder, closely; folders in it are added to `below`. For the crew's processes."""
        return self._visit(folder, Depth.FULL, mounts, stop, below)

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """The keys that were asked for; `deep` requests descend."""
        mounts = MountMap(self._host.mounts)
        for request in requests:
            folder = request.scope
            assert isinstance(folder, bytes)
            below: list[bytes] = []
            if request.keys is not None:
                yield from self._keys(folder, request.keys, request, mounts, stop, below)
            elif not self.watches.plan(folder).empty:
                below = [folder]
            names = [name for name in request.keys or () if isinstance(name, bytes)]
            leading = [path for name in sorted(names) if self.watches.leads(path := join(folder, name))]
            if request.keys is not None and not request.deep:
                below = []
            if leading:
                how = Request(b"", None, depth=request.depth, largest=request.largest)
                yield from self._begin(leading, how, mounts, stop, below)
            elif not below:
                continue
            while below and not stop():
                more: list[bytes] = []
                yield from self._visit(below.pop(), request.depth, mounts, stop, more, request.largest)
                if request.deep or leading:
                    below += more

    # -- inside ----------------------------------------------------------------------------------

    def anchors(self) -> list[bytes]:
        """Folders above what is watched, in which its appearing or renaming would show."""
        found: set[bytes] = set()
        mounts = MountMap(self._host.mounts)
        for path, _ in self._named(mounts, []):
            while mounts.away(path) is not None:  # a watch there would wait for the other machine
                path = split(path)[0]
            while path not in found:
                found.add(path)
                path = split(path)[0]
        return sorted(found)

    def _begin(
        self, tops: Sequence[bytes], how: Request, mounts: MountMap, stop: Stop, folders: list[bytes]
    ) -> Iterator[Sweep]:
        """The named entries at or below `tops` that no watched folder above leads to; the folders among
        them are added to `folders`."""
        closed: list[Blind] = []
        everywhere = b"/" in tops
        announced: set[bytes] = set()
        for parent, names in self._starts(mounts, closed).items():
            top = next((top for top in tops if under(parent, top)), None)
            if top is None:
                continue
            if stop():
                return
            self._announce_way(top, parent, mounts, announced)
            if names is None:
                yield from self._visit(parent, how.depth, mounts, stop, folders, how.largest)
            else:
                yield from self._keys(parent, frozenset(names), how, mounts, stop, folders)
        if closed and everywhere and not stop():
            now = self._wall()
            yield Sweep(FileFact, b"", how.depth, [], tuple(dict.fromkeys(closed)), began=now, ended=now)

    def _announce_way(self, top: bytes, folder: bytes, mounts: MountMap, done: set[bytes]) -> None:
        """Have the folders from `top` down to `folder` watched, in this order: what appears in one of them
        after that is hinted at."""
        way = [folder]
        while way[-1] != top and way[-1] != b"/":
            way.append(split(way[-1])[0])
        for place in reversed(way):
            if place not in done and mounts.away(place) is None:
                done.add(place)
                self._on_folder(place)

    def _named(self, mounts: MountMap, closed: list[Blind]) -> Iterator[tuple[bytes, bytes | None]]:
        """(folder, name) of every path that a watch names, there or not; no name: a wildcard names some.

        Wildcards in folders are tried on the host as it is now, and where they could not be tried is
        added to `closed`.
        """
        yield from map(split, self.watches.literal)
        for pattern in self.watches.patterns:
            above, last = split(pattern)
            name = None if has_magic(last) else unquoted(last)
            for folder in glob_paths(
                self._host,
                above,
                lambda path: _is_away(path, mounts, closed),
                lambda path, error: closed.extend(_closed(path, error)),
            ):
                yield folder, name

    def _starts(self, mounts: MountMap, closed: list[Blind]) -> dict[bytes, set[bytes] | None]:
        """Named entries that no watched folder above leads to, by folder; None: all that are named."""
        starts: dict[bytes, set[bytes] | None] = {}
        # In the order of folders, so that their plans are worked out once for all homes there may be.
        for folder, name in sorted(self._named(mounts, closed), key=lambda one: one[0]):
            if name != b"" and self.watches.plan(folder).inherited is not None:
                continue
            if name is None and _is_away(folder, mounts, closed):
                continue
            names = starts.setdefault(folder, set())
            if name is None:
                starts[folder] = None
            elif names is not None:
                names.add(name)
        return starts

    def _keys(
        self,
        folder: bytes,
        names: frozenset[Value],
        how: Request,
        mounts: MountMap,
        stop: Stop,
        below: list[bytes],
    ) -> Iterator[Sweep]:
        """One sweep of some entries of a folder; folders among them are added to `below`."""
        began = self._wall()
        plan = self.watches.plan(folder)
        wanted = frozenset(n for n in names if isinstance(n, bytes) and plan.reach(n) is not None)
        if not wanted:
            return
        found = _Found(self, plan, how.depth, stop, limit=how.largest)
        # Not even lstat(2) may touch a network mount: it hangs when the server does.
        away = {name: mount for name in wanted if (mount := mounts.away(join(folder, name))) is not None}
        found.blinds += dict.fromkeys(_distant(mount) for mount in away.values())
        try:
            if len(away) < len(wanted):
                with self._host.open_folder(folder) as opened:
                    for name in sorted(wanted - away.keys()):
                        found.look(opened, name, below, how.prefixes.get(name, -1))
        except OSError as error:
            found.blinds += _closed(folder, error)
        if not stop():
            yield found.sweep(folder, began, self._wall(), only=wanted)

    def _visit(
        self,
        folder: bytes,
        depth: Depth,
        mounts: MountMap,
        stop: Stop,
        below: list[bytes],
        limit: int = 1 << 62,
    ) -> Iterator[Sweep]:
        """All watched entries of one folder, in slices when there are many."""
        began = self._wall()
        plan = self.watches.plan(folder)
        if plan.empty:
            return
        if mounts.pseudo(folder):
            blind = Blind(KIND, folder, "a window into the kernel is mounted on it, which holds no files")
            yield Sweep(FileFact, folder, depth, [], (blind,), began=began, ended=began)
            return
        self._on_folder(folder)
        away = [mount for mount in mounts.within(folder).values() if mount.network]
        avoid = frozenset(split(mount.point)[1] for mount in away)
        blinds = tuple(_distant(mount) for mount in away)
        try:
            with self._host.open_folder(folder) as opened:
                rows = opened.entries(SLICE, avoid)
                if rows is not None:
                    found = _Found(self, plan, depth, stop, blinds, limit)
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
                    found = _Found(self, plan, depth, stop, blinds, limit)
                    for name in names[at : at + SLICE]:
                        found.look(opened, name, below)
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

    def deep(
        self, opened: Folder, row: Row, watch: Watch, prefix: int, stop: Stop, limit: int
    ) -> tuple[Deep | None, bool]:
        """Look closely at one entry, as its watch asks; and whether its content is to be read later."""
        largest = min(self._largest, LARGEST) if watch.selective else self._largest
        most = min(limit, largest)
        deep = opened.deep(row, stop, prefix=prefix, text=watch.diff, largest=most)
        size = 0 if deep is None else deep.row[5]
        assert isinstance(size, int)
        return deep, most < size <= largest

    def takes(self, opened: Folder, row: Row, watch: Watch) -> bool:
        """Whether the entry is one of those that its watch is about."""
        return not watch.selective or self._selection.takes(opened, row, watch)


class _Found:
    """What one look has gathered so far."""

    def __init__(
        self,
        sensor: FilesSensor,
        plan: FolderPlan,
        depth: Depth,
        stop: Stop,
        blinds: tuple[Blind, ...] = (),
        limit: int = 1 << 62,
    ) -> None:
        self._sensor = sensor
        self._plan = plan
        self._depth = depth
        self._stop = stop
        self._limit = limit
        self.postponed: set[Value] = set()
        self.rows: list[Row] = []
        self.blinds = list(blinds)
        self.lost: list[Blind] = []
        self.contents: dict[bytes, bytes] = {}

    def look(self, opened: Folder, name: bytes, below: list[bytes], prefix: int = -1) -> None:
        """Look at one entry by name ("" is the root folder's own)."""
        try:
            row = opened.entry(name or b".")
        except OSError as error:
            self.lost += _closed(join(opened.path, name), error, "entry")
            return
        if row is not None:
            self.take(opened, row, below, prefix, name)

    def take(
        self, opened: Folder, row: Row, below: list[bytes], prefix: int = -1, name: bytes | None = None
    ) -> None:
        """Add one entry, closely if the sweep is a full one."""
        if name is None:
            name = row[1]  # type: ignore[assignment]
        assert isinstance(name, bytes)
        reach = self._plan.reach(name)
        if reach is None or self._stop() or not self._sensor.takes(opened, row, reach.watch):
            return
        if self._depth is Depth.FULL:
            deep, later = self._sensor.deep(opened, row, reach.watch, prefix, self._stop, self._limit)
            if deep is None:
                return
            row = deep.row
            if later and row[12] is None:
                self.postponed.add(name)
            elif deep.problem:
                self.blinds.append(Blind(KIND, join(opened.path, name), CONTENT + deep.problem))
            if deep.text is not None and isinstance(row[12], bytes):
                self.contents[row[12]] = deep.text
        self.rows.append(row if name else (row[0], name, *row[2:]))
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
        """The result."""
        if len(self.lost) > MOST_LOST:
            self.lost = [Blind(KIND, folder, f"{len(self.lost)} entries: {self.lost[0].reason}")]
        return Sweep(
            FileFact,
            folder,
            self._depth,
            self.rows,
            (*self.blinds, *self.lost),
            only,
            span,
            self.contents,
            began,
            ended,
            frozenset(self.postponed),
        )


def _subfolders(rows: Iterable[Row], plan: FolderPlan, below: list[bytes]) -> None:
    """Add the folders among plain rows."""
    assert plan.inherited is not None
    if plan.inherited.levels == 0:
        return
    for row in rows:
        if row[2] & 0o170000 == stat.S_IFDIR:  # type: ignore[operator]  # S_ISDIR, without the call
            below.append(join(plan.folder, row[1]))  # type: ignore[arg-type]


def _closed(path: bytes, error: OSError, what: str = "folder") -> tuple[Blind, ...]:
    """Blind for what cannot be looked at; nothing for what is simply not there (any more)."""
    return () if is_gone(error) else (Blind(KIND, path, f"{what} cannot be read: {error.strerror or error}"),)


def _distant(mount: Mount) -> Blind:
    """Blind for what lies on a network mount."""
    return Blind(KIND, mount.point, f"{mount.fstype.decode(errors='replace')} mount, not walked")


def _is_away(path: bytes, mounts: MountMap, closed: list[Blind]) -> bool:
    """Whether `path` lies on a network mount; that is Blind then."""
    mount = mounts.away(path)
    if mount is not None:
        closed.append(_distant(mount))
    return mount is not None


def resolved(host: FileHost, watches: Sequence[Watch]) -> tuple[Watch, ...]:
    """The watches with the real places added of named paths that lead through symbolic links.

    `/bin/x` on a host whose /bin is a link to usr/bin is the entry /usr/bin/x; a named link to a
    folder is watched as a link, and the folder it leads to as well.
    """
    first: Watches | None = None
    away = MountMap(host.mounts).away
    found = []
    for watch in watches:
        more: list[bytes] = []
        for path in watch.paths:
            if has_magic(path):
                continue
            try:
                real = host.real(path, away)
            except OSError:
                continue
            if real.startswith(KERNEL):
                continue
            if real in (path, b"/") or under(path, real):
                continue
            first = first or Watches(watches)
            if first.at(real) is None:
                more.append(real)
        found.append(replace(watch, paths=watch.paths + tuple(dict.fromkeys(more))) if more else watch)
    return tuple(found)
