"""The pulse: a cheap look, each second, at the marks of what is urgent. What moved becomes a Hint.

inotify says nothing of chattr(1), of truncate(2) by path, of a write through mmap(2), through a
descriptor that stays open, or through a hard link in a folder that nobody watches; and nothing at all
of a folder for which no watch was left. All of these move a ctime, though, or an inode, or a size. So
what the policy calls critical is asked for its marks as often as that: each path it names, and what
lies in the folders it names.

The rules kept: **a hint is only hurry** (the pulse judges nothing, and what it misses a sweep finds);
and **its cost has an end**: `BEAT` paths in one beat, in turn when there are more. It has a thread of
its own, so that a file system which hangs holds up nobody else.
"""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from ..globs import has_magic, unquoted
from ..host.clock import Clock
from ..host.files import FileHost, Mark
from ..host.globbing import glob_paths
from ..host.mounts import MountMap
from ..model import Hint, join, split
from ..watches import Watches

BEAT = 500
"""Paths that one beat looks at (measured: 1.9 µs each)."""

MOST = 5_000
"""Paths in all. Who makes more files in /etc/cron.d than that is told of by inotify and the sweeps."""

SETTINGS = b"/etc"
"""Below it the rest of what is watched is looked at as well, `SLOW` paths in one beat: small files, by which
much is decided, and of which the kernel tells nothing when their chattr(1) flags move."""

SLOW = 250
AGAIN = 600
"""Beats after which the places are worked out anew, wildcards and folders that came meanwhile included; it
is also done when the configuration or a home is another one."""

BELOW = b"/**"


class Places(Protocol):
    """What the pulse needs to know of the configuration (`engine.parts.Parts`)."""

    @property
    def watches(self) -> Watches: ...

    def urgent(self, path: bytes) -> bool:
        """Whether a change at `path` must be told at once."""
        ...

    def urgent_globs(self) -> tuple[bytes, ...]:
        """The globs of paths that make it so."""
        ...


class Pulse:
    """Beats in a thread between `start` and `stop`; `beat` is one beat, for one thread at a time.

    A beat that fails in a way nobody foresaw is tried again at its next turn; `failed` hears of it, of each
    problem once, and of its end by "".
    """

    def __init__(
        self,
        host: FileHost,
        places: Callable[[], Places],
        clock: Clock,
        deliver: Callable[[Hint], None],
        interval: float,
        failed: Callable[[str], None] = lambda problem: None,
    ) -> None:
        self._host = host
        self._failed = failed
        self._problem = ""
        self._places_now = places
        self._places = places()
        self._clock = clock
        self._deliver = deliver
        self._interval = interval
        self._marks: dict[bytes, Mark | None] = {}
        self._turns: list[list[bytes]] = []
        self._slow: list[list[bytes]] = []
        self._beats = 0
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="hostguardd-pulse", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End at the next beat; a file system that hangs is not waited for."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(0.2)

    def _run(self) -> None:
        self._try()
        while not self._end.wait(self._interval):
            self._try()

    def _try(self) -> None:
        problem = ""
        try:
            self.beat()
        except Exception as error:  # noqa: BLE001 - told, for nobody would miss a thread that is gone
            problem = f"{type(error).__name__}: {error}"
            self._beats = 0
        if problem != self._problem:
            self._problem = problem
            self._failed(problem)

    def __len__(self) -> int:
        """How many paths are looked at."""
        return len(self._marks)

    def beat(self) -> None:
        """Look at those whose turn it is; hint what moved."""
        if self._beats % AGAIN == 0 or self._places_now() is not self._places:
            self._arrange()
        self._beats += 1
        if not self._turns:
            return
        turn = self._turns[self._beats % len(self._turns)]
        if self._slow:
            turn = [*turn, *self._slow[self._beats % len(self._slow)]]
        mark, known = self._host.mark, self._marks
        moved = [(path, found) for path in turn if (found := mark(path)) != known[path]]
        for path, found in moved:
            before, known[path] = known[path], found
            self._hint(path)
            if _is_folder(before) or _is_folder(found):
                self._relist(path)

    def _hint(self, path: bytes) -> None:
        folder, name = split(path)
        self._deliver(Hint(folder, name, self._clock.mono()))

    def _relist(self, folder: bytes) -> None:
        """Names came or went in a folder: they are hinted, and looked at from now on."""
        held = {path for path in self._marks if split(path)[0] == folder}
        there = set(self._below(folder))
        for path in sorted(there ^ held):
            self._hint(path)
        if there - held:
            self._beats = 0  # the new ones join with the next beat

    def _arrange(self) -> None:
        """Work out what to look at, in the homes that there are now. What is new among it is not hinted:
        there is nothing to compare."""
        self._places = self._places_now()
        found: dict[bytes, Mark | None] = {}
        mark = self._host.mark
        for path in self._all():
            if path not in found:
                found[path] = self._marks[path] if path in self._marks else mark(path)
                if len(found) >= MOST:
                    break
        self._turns = _in_turns(list(found), BEAT)
        rest: dict[bytes, Mark | None] = {}
        for path in self._settings():
            if path not in found and path not in rest:
                rest[path] = self._marks[path] if path in self._marks else mark(path)
                if len(rest) >= MOST:
                    break
        self._slow = _in_turns(list(rest), SLOW)
        self._marks = found | rest

    def _settings(self) -> Iterator[bytes]:
        """Files watched below SETTINGS, urgent or not; folders move with each name, which is hinted."""
        folders = [SETTINGS]
        while folders:
            folder = folders.pop()
            if self._places.watches.plan(folder).empty:
                continue
            for path in self._names(folder):
                watch = self._places.watches.find(path)
                if watch is None or watch.growing:
                    continue
                if _is_folder(self._host.mark(path)):
                    folders.append(path)
                else:
                    yield path

    def _all(self) -> Iterator[bytes]:
        """Urgent paths that are there or might come to a folder that is, and what lies below them."""
        mounts = MountMap(self._host.mounts)
        bases = list(self._places.watches.literal)
        deep: list[bytes] = []
        for glob in self._places.urgent_globs():
            base = glob.removesuffix(BELOW)
            if b"**" in base:
                continue
            if not has_magic(base):
                deep.append(unquoted(base))
                continue
            deep += glob_paths(
                self._host, base, lambda path: mounts.away(path) is not None, lambda path, error: None
            )
        bases = [path for path in dict.fromkeys(deep + bases) if mounts.away(path) is None]
        there = {folder: self._host.mark(folder) for folder in {split(path)[0] for path in bases}}
        bases = [path for path in bases if _is_folder(there[split(path)[0]]) or path == b"/"]
        wanted = [path for path in bases if self._wanted(path)]
        yield from wanted
        named = frozenset(deep).intersection(bases)
        folders = list(dict.fromkeys([*named, *wanted]))
        for _ in range(8):  # levels; critical folders are shallow
            folders = [path for path in folders if self._is_walked(path)]
            if not folders:
                return
            folders = [path for folder in folders for path in self._below(folder)]
            yield from folders

    def _is_walked(self, path: bytes) -> bool:
        """Whether it is a folder whose entries a watch reaches."""
        return _is_folder(self._host.mark(path)) and not self._places.watches.plan(path).empty

    def _below(self, folder: bytes) -> list[bytes]:
        """Urgent entries of a folder."""
        return [path for path in self._names(folder) if self._wanted(path)]

    def _names(self, folder: bytes) -> list[bytes]:
        """Paths of the entries of a folder."""
        try:
            with self._host.open_folder(folder) as opened:
                return [join(folder, name) for name in opened.names(MOST)]
        except OSError:
            return []

    def _wanted(self, path: bytes) -> bool:
        """Whether it is urgent, and no log: what grows all day is not its business."""
        if not self._places.urgent(path):
            return False
        watch = self._places.watches.find(path)
        return watch is not None and not watch.growing


def _in_turns(paths: list[bytes], most: int) -> list[list[bytes]]:
    """`paths` dealt out to as few turns as it takes for `most` in each."""
    count = -(-len(paths) // most)
    return [paths[at::count] for at in range(count)]


def _is_folder(mark: Mark | None) -> bool:
    return mark is not None and stat.S_ISDIR(mark[0])
