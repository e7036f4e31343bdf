"""Which folders are watched, which could not be, and under which name the kernel's answers go.

One entry for each watch: descriptor -> path (measured: 155 bytes; a tree of names takes 270). There
is no way back from path to descriptor, because none is needed: `add` always asks the kernel, which
answers with the descriptor of the *inode*. That makes the table heal itself: a folder that was
moved without our hearing of it goes under its new name as soon as a sweep adds it, and a folder
that two mounts show gets hints under both names rather than under the last one an intruder chose.

Every public method is safe from any thread. The lock is not held while the kernel resolves the
path of a folder to be added, which on a dead mount may take for ever.
"""

from __future__ import annotations

import errno
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ..host.inotify import Flag, Inotify
from .signals import Signal, WatchFailed

MASK = int(
    Flag.ATTRIB
    | Flag.CREATE
    | Flag.DELETE
    | Flag.MOVED_FROM
    | Flag.MOVED_TO
    | Flag.CLOSE_WRITE
    | Flag.DELETE_SELF
    | Flag.MOVE_SELF
    | Flag.ONLYDIR
    | Flag.DONT_FOLLOW
    | Flag.EXCL_UNLINK
)
"""What a watch reports: no opens, no reads, no single writes, or our own sweeps would flood us.

So there is no hint, and the next quick sweep has to find it, when a file is written and not closed,
shortened by truncate(2), written through mmap(2), or gets a second link (the first name's link count
changes; the new name is hinted).
"""

RESERVE = 256
SAMPLES = 8
REMEMBERED = 20_000
NAMES = 8

VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR})
"""The folder is gone or is no folder any more: the sweep that follows sees that for itself."""


class Unwatched(NamedTuple):
    """How many folders failed with one errno (of all, at most `REMEMBERED` are counted); some of them."""

    folders: int
    samples: tuple[bytes, ...]


class Watched:
    """The watches of one inotify instance.

    `budget` is the most watches to take; the last `RESERVE` of them (a quarter, if that is less)
    are for critical folders. `tell` receives a `WatchFailed` for each folder that newly fails; it
    is called with the lock held, so it must be quick and not call back.
    """

    def __init__(self, budget: int, tell: Callable[[Signal], None]) -> None:
        """Raises OSError where there is no inotify instance to be had."""
        self.inotify = Inotify()
        self.paths: dict[int, bytes] = {}
        self._also: dict[int, tuple[bytes, ...]] = {}  # further names of the same folder
        self._critical: set[int] = set()
        self._failed: dict[bytes, tuple[int, bool]] = {}  # errno, critical
        self._counts: Counter[int] = Counter()
        self._budget = budget
        self._ordinary = budget - min(RESERVE, budget // 4)
        self._tell = tell
        self._lock = threading.Lock()
        self._adding = 0
        self._ended: set[int] = set()  # watches that ended before `add` came back with them
        self._closed = False

    def add(self, folder: bytes, critical: bool = False) -> bool:
        """Watch `folder`; whether it is watched now. Adding it again costs one system call."""
        return not self._hopeless(folder, critical) and self._try(folder, critical)

    def names(self, wd: int) -> tuple[bytes, ...]:
        """All names of one watch; () if it is not ours any more."""
        path = self.paths.get(wd)
        return () if path is None else (path, *self._also.get(wd, ()))

    def aliased(self) -> bool:
        """Whether any folder is known under more than one name."""
        return bool(self._also)

    def forget(self, folders: Iterable[bytes]) -> None:
        """Stop watching these folders and all below them. One pass over all watches."""
        with self._lock:
            if not self._closed:
                self._forget(folders)

    def moved(self, wds: Iterable[int]) -> list[bytes]:
        """These folders have been renamed: forget them and all below; the names they had."""
        with self._lock:
            names = [name for wd in wds for name in self.names(wd)]
            if names:
                self._forget(names)
            return names

    def ended(self, wd: int) -> None:
        """The kernel ended a watch (IN_IGNORED)."""
        with self._lock:
            if wd in self.paths:
                self._drop(wd)
            elif self._adding:
                self._ended.add(wd)

    def prune(self) -> None:
        """Drop what the kernel has ended without our hearing of it, as in an overflow."""
        with self._lock:
            held = set(self.paths)
        living = self.inotify.living()
        if living is None:
            return
        with self._lock:
            for wd in held - living:
                self._drop(wd)

    def retry(self) -> list[bytes]:
        """Add again what failed; those that are watched now. What has vanished is dropped."""
        with self._lock:
            failed = list(self._failed.items())
        return [folder for folder, (_, critical) in failed if self._try(folder, critical)]

    def unwatched(self) -> Mapping[int, Unwatched]:
        """What could not be watched, by errno."""
        with self._lock:
            samples: dict[int, list[bytes]] = {code: [] for code in self._counts}
            for folder, (code, _) in self._failed.items():
                if len(samples[code]) < SAMPLES:
                    samples[code].append(folder)
            return {code: Unwatched(self._counts[code], tuple(found)) for code, found in samples.items()}

    def close(self) -> None:
        """Give the inotify instance back; every later `add` does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._release()

    def _try(self, folder: bytes, critical: bool) -> bool:
        if not self._enter():
            return False
        wd, code = self._ask(folder)
        with self._lock:
            self._adding -= 1
            if self._closed:
                self._release()
                return False
            if code == errno.ENOSPC and critical and self._evict():
                wd, code = self._ask(folder)
            if wd in self._ended:
                code = errno.ENOENT
            elif not code:
                code = self._hold(wd, folder, critical)
            if not self._adding:
                self._ended.clear()
            if code:
                self._fail(folder, code, critical)
            elif self._failed:
                self._unfail(folder)
            return not code

    def _enter(self) -> bool:
        """Begin a system call outside the lock; False after `close`."""
        with self._lock:
            if not self._closed:
                self._adding += 1
            return not self._closed

    def _release(self) -> None:
        # A descriptor that is closed under a running system call may be somebody else's by then.
        if not self._adding:
            self.inotify.close()

    def _hopeless(self, folder: bytes, critical: bool) -> bool:
        """Whether `folder` is known not to fit in the budget, so that asking again is noise."""
        full = not critical and len(self.paths) >= self._ordinary
        return full and self._failed.get(folder) == (errno.ENOSPC, False)

    def _ask(self, folder: bytes) -> tuple[int, int]:
        """(watch descriptor, 0) or (-1, errno)."""
        try:
            return self.inotify.add(folder, MASK), 0
        except OSError as error:
            return -1, error.errno or errno.EIO

    def _hold(self, wd: int, folder: bytes, critical: bool) -> int:
        """Enter a watch; 0, or ENOSPC when the budget has no room for it."""
        known = self.paths.get(wd)
        if known is None:
            full = len(self.paths) >= (self._budget if critical else self._ordinary)
            if full and not (critical and self._evict()):
                self.inotify.remove(wd)
                return errno.ENOSPC
            self.paths[wd] = folder
        elif known != folder and folder not in self._also.get(wd, ()):
            self._rename(wd, known, folder)
        if critical:
            self._critical.add(wd)
        return 0

    def _rename(self, wd: int, known: bytes, folder: bytes) -> None:
        """A watched inode turns up under another name: a second one if the first still leads to it."""
        other, _ = self._ask(known)
        if other == wd:
            self._also[wd] = (*self._also.get(wd, ()), folder)[-NAMES:]
            return
        if other >= 0 and other not in self.paths:
            self.inotify.remove(other)
        self.paths[wd] = folder
        self._also.pop(wd, None)

    def _evict(self) -> bool:
        """Give up the youngest watch that is not critical; False if there is none."""
        for wd in reversed(self.paths):
            if wd not in self._critical:
                folder = self.paths[wd]
                self._drop(wd)
                self.inotify.remove(wd)
                self._fail(folder, errno.ENOSPC, critical=False)
                return True
        return False

    def _forget(self, folders: Iterable[bytes]) -> None:
        tops = tuple(folder.rstrip(b"/") + b"/" for folder in folders)
        for wd in [wd for wd, path in self.paths.items() if (path + b"/").startswith(tops)]:
            left = [name for name in self._also.get(wd, ()) if not (name + b"/").startswith(tops)]
            if left:
                self.paths[wd], self._also[wd] = left[0], tuple(left[1:])
            else:
                self._drop(wd)
                self.inotify.remove(wd)
        for wd, names in list(self._also.items()):
            kept = tuple(name for name in names if not (name + b"/").startswith(tops))
            if kept:
                self._also[wd] = kept
            else:
                del self._also[wd]
        for folder in [folder for folder in self._failed if (folder + b"/").startswith(tops)]:
            self._unfail(folder)

    def _drop(self, wd: int) -> None:
        self.paths.pop(wd, None)
        self._also.pop(wd, None)
        self._critical.discard(wd)

    def _fail(self, folder: bytes, code: int, critical: bool) -> None:
        if code in VANISHED:
            self._unfail(folder)
            return
        if self._failed.get(folder) == (code, critical):
            return
        self._unfail(folder)
        if len(self._failed) >= REMEMBERED and not critical:
            return
        self._failed[folder] = (code, critical)
        self._counts[code] += 1
        self._tell(WatchFailed(folder, code))

    def _unfail(self, folder: bytes) -> None:
        code, _ = self._failed.pop(folder, (0, False))
        if code:
            self._counts[code] -= 1
            if not self._counts[code]:
                del self._counts[code]
