"""The cross-view sensor: what one view of the host shows and another hides, and names made to be overlooked.

A healthy host has none of the first kind, so every one is news. Two looks share the work:

* `HiddenSensor` looks at everything, by the hour: lists against lists, ids that the kernel answers for, ports
  that it will not lend, the important folders. Of four million ids it asks for the recent ones and
  a slice of the rest, so that all have been asked for after four runs, and for all at once as soon as the
  kernel counts more threads than it lists;
* `HiddenGlance` compares every few seconds what costs a few milliseconds: the lists of processes and of
  sockets, and the count of threads. When that does not add up it goes through all ids in small steps.

Both tell the same rows for the same thing. Other network and pid namespaces than ours are not looked
into; their processes are listed in ours all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from ..facts.hidden import LIBC, UNLISTED
from ..host.mounts import Mount, MountMap
from ..host.views import Listing, ViewHost
from ..model import Blind, Depth, HiddenFact, Row, Sweep, Value, join, under
from . import unlisted
from .interface import Request, answers
from .oddnames import DT_DIR, oddity, wants_mode
from .unlisted import Finds, Found, Stop, confirmed

KIND: Final = HiddenFact.KIND
PROCESSES, PORTS, FILES = "processes", "ports", "files"
VIEWS: Final = (PROCESSES, PORTS, FILES)
PRELOAD: Final = b"/etc/ld.so.preload"

PLACES: Final[tuple[tuple[bytes, int], ...]] = (
    (b"/", 0), (b"/boot", 1), (b"/dev", 3), (b"/dev/shm", 2), (b"/etc", 2), (b"/home", 1), (b"/lib", 0),
    (b"/opt", 1), (b"/root", 1), (b"/srv", 1), (b"/tmp", 1), (b"/usr", 0), (b"/usr/bin", 0),
    (b"/usr/games", 0), (b"/usr/include", 0), (b"/usr/lib", 1), (b"/usr/lib/systemd", 2), (b"/usr/lib64", 1),
    (b"/usr/libexec", 1), (b"/usr/local", 2), (b"/usr/sbin", 0), (b"/usr/share", 0), (b"/usr/lib/modules", 2),
    (b"/var", 1), (b"/var/spool", 2), (b"/var/tmp", 1), (b"/var/www", 2),
)  # fmt: skip
"""Folders that are looked at, and how many levels below them."""

MOST_FOLDERS: Final = 4096
MOST_TOLD: Final = 1000
"""Odd entries that are told, so that a folder full of them costs no memory."""

COUNTS_FOLDERS: Final = frozenset({b"ext2", b"ext3", b"ext4", b"xfs", b"tmpfs", b"devtmpfs"})
"""File systems where a folder has two links and one for each folder in it."""

GLANCE: Final = 20.0
"""Seconds between two glances."""

TABLES: Final = 60.0
"""Seconds between two comparisons of the tables of sockets: /proc/net/tcp walks a large hash, 10 ms."""

STEP: Final = 32 * 1024
"""Ids that are asked for in one step of a hunt: some 20 ms."""

SURE: Final = 3
"""Glances that find the count of threads wrong, before that alone is told."""


def row(view: str, name: bytes, found: Found) -> Row:
    """A HiddenFact's row."""
    return (view, name, found.sign, found.program, found.detail)


def rows(view: str, finds: Finds) -> list[Row]:
    """The rows of one view, sorted."""
    return [row(view, name, found) for name, found in sorted(finds.items())]


class HiddenSensor:
    """`Sensor` of HiddenFacts, a scope for each view. `wall` gives wall-clock nanoseconds. `ports`: also
    try each port of this host, whether it could be bound."""

    fact = HiddenFact

    def __init__(
        self,
        host: ViewHost,
        mounts: Callable[[], list[Mount]],
        wall: Callable[[], int],
        *,
        ports: bool = True,
    ) -> None:
        self._host = host
        self._try_ports = ports
        self._mounts = mounts
        self._wall = wall
        self._next = 0  # where the next slice of ids begins

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """One sweep for each view. `depth` makes no difference."""
        for view, look in ((PROCESSES, self._processes), (PORTS, self._ports), (FILES, self._all_files)):
            began = self._wall()
            finds: Finds = {}
            blinds: tuple[Blind, ...] = ()
            if self._host.blind and view != FILES:
                blinds = (Blind(KIND, view.encode(), self._host.blind),)
            else:
                finds, blinds = look(stop)
            if stop():
                return
            yield Sweep(HiddenFact, view, depth, rows(view, finds), blinds, began=began, ended=self._wall())

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """Where hints lead (a folder's path, names in it), and single things by view and name."""
        places: MountMap | None = None
        for request in requests:
            if isinstance(request.scope, bytes):
                places = places or MountMap(self._mounts)
                yield from self._hinted(request, places, stop)
                continue
            yield from answers([request], VIEWS, lambda view, depth: self.sweep(depth, stop))

    # -- processes and ports -----------------------------------------------------------------------

    def _processes(self, stop: Stop) -> tuple[Finds, tuple[Blind, ...]]:
        host = self._host
        finds = confirmed(lambda: unlisted.differing_lists(host), host, stop)
        others = confirmed(lambda: unlisted.mentioned(host), host, stop)
        missing = unlisted.uncounted(host)
        suspects: list[int] = []
        for ids in self._ids(everything=missing > 0):
            suspects += unlisted.answering(host, ids, stop)
        if suspects:
            others |= confirmed(lambda: unlisted.check_pids(host, suspects), host, stop)
        finds = {**others, **finds}
        if missing and not finds:
            finds = confirmed(lambda: unlisted.miscounted(unlisted.uncounted(host)), host, stop)
        return finds, ()

    def _ids(self, *, everything: bool) -> list[range]:
        """The ids to ask for this time: those given out lately, where most live, and a slice of all."""
        newest, most = self._host.limits()
        if everything or most <= unlisted.SLICE:
            return [range(1, most)]
        start = self._next if self._next < most else 0
        self._next = start + unlisted.SLICE
        return [
            range(max(1, newest - unlisted.RECENT), newest + 1),
            range(max(1, start), min(self._next, most)),
        ]

    def _ports(self, stop: Stop) -> tuple[Finds, tuple[Blind, ...]]:
        finds = confirmed(lambda: unlisted.differing_tables(self._host), self._host, stop)
        if not self._try_ports:
            reason = "ports are not tried by bind(2): [hidden] ports is false"
            return finds, (Blind(KIND, PORTS.encode(), reason),)
        for proto in ("tcp", "udp"):
            try:
                finds = {**self._silent_ports(proto, stop), **finds}
            except OSError as error:
                reason = f"{proto} ports cannot be tried by bind(2): {error.strerror or error}"
                return finds, (Blind(KIND, PORTS.encode(), reason),)
        return finds, ()

    def _silent_ports(self, proto: str, stop: Stop) -> Finds:
        """Ports that somebody holds and no table shows. Raises OSError."""
        host = self._host
        held = unlisted.held_ports(host, proto, stop)
        told = host.told(proto) if held else frozenset()
        suspects = [port for port in held if port not in told]
        if not suspects or stop():
            return {}
        return confirmed(lambda: unlisted.check_ports(host, proto, suspects), host, stop)

    # -- files -----------------------------------------------------------------------------------

    def _all_files(self, stop: Stop) -> tuple[Finds, tuple[Blind, ...]]:
        finds: Finds = {}
        blinds: list[Blind] = []
        suspects: list[bytes] = []
        places = MountMap(self._mounts)
        for folder, seen in self._folders(places, stop):
            if seen.problem:
                blinds.append(Blind(KIND, folder, seen.problem))
            elif len(finds) < MOST_TOLD:
                finds |= self._odd_in(folder, seen)
            if self._hidden_in(folder, seen, places):
                suspects.append(folder)
        if suspects:
            finds |= confirmed(lambda: self._hidden_in_all(suspects, places), self._host, stop)
        if not self._host.blind:
            finds |= confirmed(self._preload, self._host, stop)
        return dict(sorted(finds.items())[:MOST_TOLD]), tuple(blinds)

    def _folders(self, places: MountMap, stop: Stop) -> Iterator[tuple[bytes, Listing]]:
        """The folders to look at and what is in them, each once, those on network mounts left out."""
        done: set[bytes] = set()
        for top, levels in PLACES:
            pending = [(top, levels)]
            while pending and len(done) < MOST_FOLDERS and not stop():
                folder, below = pending.pop()
                new = folder not in done and places.away(folder) is None and not places.pseudo(folder)
                if not new and below <= 0:
                    continue
                listing = self._host.folder(folder)
                if listing is None:
                    continue
                if new:
                    done.add(folder)
                    yield folder, listing
                if below > 0:
                    names = (name for name, kind in listing.raw.items() if kind == DT_DIR)
                    pending += [(join(folder, name), below - 1) for name in names]

    def _hidden_in_all(self, folders: Sequence[bytes], places: MountMap) -> Finds:
        """What is hidden in these folders."""
        finds: Finds = {}
        for folder in folders:
            seen = self._host.folder(folder)
            if seen is not None and len(finds) < MOST_TOLD:
                finds |= self._hidden_in(folder, seen, places)
        return finds

    def _hidden_in(self, folder: bytes, seen: Listing, places: MountMap) -> Finds:
        """Entries that the C library leaves out; folders that only the link count knows of."""
        detail = b"the kernel lists it and the C library leaves it out: a preloaded library hides it"
        finds = {join(folder, name): Found(LIBC, b"", detail) for name in seen.raw.keys() - seen.names}
        home = places.home(folder)
        if seen.links is None or seen.links < 2 or home is None or home.fstype not in COUNTS_FOLDERS:
            return finds
        if 0 in seen.raw.values() or places.within(folder):
            return finds  # no types are told, or some of the folders are of another file system
        missing = seen.links - 2 - sum(kind == DT_DIR for kind in seen.raw.values())
        if missing > 0:
            text = b"its link count tells of %d folders that no list shows" % missing
            finds[folder] = Found(UNLISTED, b"", text)
        return finds

    def _odd_in(self, folder: bytes, seen: Listing, only: frozenset[bytes] | None = None) -> Finds:
        """Entries whose names are odd there."""
        finds: Finds = {}
        for name, kind in seen.raw.items():
            if only is None or name in only:
                path = join(folder, name)
                mode = self._host.mode(path) if wants_mode(path, kind) else 0
                sign, clause = oddity(path, kind, mode)
                if sign and len(finds) < MOST_TOLD:
                    finds[path] = Found(sign, b"", clause.encode())
        return finds

    def _preload(self) -> Finds:
        """The list of preloaded libraries, when it is shown to the kernel's callers only."""
        plain, raw = self._host.texts(PRELOAD)
        if plain == raw or plain:
            return {}
        named = b", ".join(raw.split())[:200]
        return {
            PRELOAD: Found(
                LIBC, named, b"programs cannot see this file, which loads a library into each of them"
            )
        }

    def _hinted(self, request: Request, places: MountMap, stop: Stop) -> Iterator[Sweep]:
        """The names in a folder that something happened to."""
        folder = request.scope
        assert isinstance(folder, bytes)
        if stop() or not is_place(folder) or places.away(folder) is not None:
            return
        began = self._wall()
        seen = self._host.folder(folder)
        if seen is None or seen.problem:
            return
        names = frozenset(seen.raw) if request.keys is None else request.keys
        wanted = frozenset(name for name in names if isinstance(name, bytes))
        finds = self._odd_in(folder, seen, wanted)
        # What a library hides is for the whole look to say, and is not taken back here.
        only: frozenset[Value] = frozenset(
            join(folder, name) for name in wanted if name in seen.names or name not in seen.raw
        )
        found = [one for one in rows(FILES, finds) if one[1] in only]
        yield Sweep(HiddenFact, FILES, Depth.FULL, found, only=only, began=began, ended=self._wall())


def is_place(folder: bytes) -> bool:
    """Whether the whole look would come to that folder."""
    for top, levels in PLACES:
        if under(folder, top) and folder[len(top) :].strip(b"/").count(b"/") + (folder != top) <= levels:
            return True
    return False


class HiddenGlance:
    """The cheap part, every few seconds, as one of the polled sensors.

    What it says is only about what it found itself, now or before: a thing that it does not find is
    still for the whole look to judge.
    """

    fact = HiddenFact

    def __init__(self, host: ViewHost, wall: Callable[[], int]) -> None:
        self._host = host
        self._wall = wall
        self._due = 0.0
        self._tables_due = 0.0
        self._told: set[tuple[str, bytes]] = set()
        self._wrong = 0  # glances in a row that found the count of threads wrong
        self._missing = 0
        self._hunt: range | None = None
        self._suspects: list[int] = []
        self._known: list[int] = []

    def changed(self) -> bool:
        """Whether it is time to look."""
        return not self._host.blind and (self._hunt is not None or self._host.now() >= self._due)

    def expect(self, rows: Iterable[Row]) -> None:
        """Nothing: what is hidden has no time to come up in."""

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """What it found, and what it found before and finds no more. Nothing in a FULL look, which is
        the whole sensor's."""
        if depth is Depth.FULL or self._host.blind:
            return
        if self._hunt is not None:
            self._step(stop)
            if self._hunt is not None:
                return
        elif self._host.now() < self._due:
            return
        self._due = self._host.now() + GLANCE
        yield from self._glance(stop)

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """Nothing: the whole sensor answers."""
        return iter(())

    def _glance(self, stop: Stop) -> Iterator[Sweep]:
        host, began = self._host, self._wall()
        processes = confirmed(lambda: unlisted.differing_lists(host), host, stop)
        if self._known:
            processes = {**confirmed(lambda: unlisted.check_pids(host, self._known), host, stop), **processes}
        views = {PROCESSES: {**processes, **self._counted(bool(processes))}}
        if host.now() >= self._tables_due:
            self._tables_due = host.now() + TABLES
            views[PORTS] = confirmed(lambda: unlisted.differing_tables(host), host, stop)
        if stop():
            return
        for view, finds in views.items():
            keys = {(view, name) for name in finds}
            before = {key for key in self._told if key[0] == view}
            if keys or before:
                only: frozenset[Value] = frozenset(name for _, name in keys | before)
                yield Sweep(
                    HiddenFact,
                    view,
                    Depth.QUICK,
                    rows(view, finds),
                    only=only,
                    began=began,
                    ended=self._wall(),
                )
            self._told = (self._told - before) | keys

    def _counted(self, explained: bool) -> Finds:
        """Compare the counts of threads: another difference than before begins a hunt; one that stays
        although nothing was found is told."""
        missing = unlisted.uncounted(self._host)
        self._wrong = self._wrong + 1 if missing else 0
        if missing and missing != self._missing:
            self._suspects = []
            self._hunt = range(1, self._host.limits()[1])
        elif missing and not explained and self._wrong >= SURE:
            return unlisted.miscounted(missing)
        self._missing = missing
        return {}

    def _step(self, stop: Stop) -> None:
        """Ask for some more ids; after the last, look again at once."""
        assert self._hunt is not None
        now, later = range(self._hunt.start, min(self._hunt.start + STEP, self._hunt.stop)), self._hunt.stop
        self._suspects += unlisted.answering(self._host, now, stop)
        if stop():
            return
        self._hunt = range(now.stop, later) if now.stop < later else None
        if self._hunt is None:
            self._known = self._suspects
