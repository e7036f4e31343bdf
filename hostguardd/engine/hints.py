"""When to look at what was hinted: critical paths at once, the rest when it has gone quiet.

An editor's save is five events and a package's file three; answering each would be five alerts. So
a hinted key waits until it has been quiet for `settle`, but never longer than `settle_max` after
its first hint; a key that the policy calls urgent does not wait, for the intruder's next act may be
to kill us.

The rule this room keeps: **no hint is lost and memory is bounded.** Every key that was hinted is
covered by a later `Due`. Where there are too many names of a folder, the whole folder is looked at
instead, and where there is too much altogether, everything (`EVERYTHING`, a quick sweep): less
exact, never less covered. Time comes in with each call; nothing here reads a clock or waits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from ..model import Hint, join

Key: TypeAlias = tuple[bytes, bytes | None]


class Due(NamedTuple):
    """Look at `names` of `folder` (None: the folder itself and all names in it).

    `deep`: and at everything below them.
    """

    folder: bytes
    names: frozenset[bytes] | None
    deep: bool


EVERYTHING = Due(b"/", None, True)
"""Too much happened to say where: a quick sweep of all that is watched."""

PER_FOLDER = 1_000
IN_ALL = 20_000


class Lane:
    """Keys that wait by the same two delays. Every operation is O(1), amortised over collapses.

    The delays are the same for all keys, so the one longest quiet and the one longest waiting stand
    at the front of two ordered maps, and there is nothing to sort. Needs times that do not go back.
    """

    def __init__(self, settle: int, settle_max: int, per_folder: int, in_all: int) -> None:
        self._settle = settle
        self._settle_max = settle_max
        self._per_folder = per_folder
        self._in_all = in_all
        self._latest: OrderedDict[Key, int] = OrderedDict()  # last hint; the longest quiet first
        self._first: OrderedDict[Key, int] = OrderedDict()  # first hint; the longest waiting first
        self._deep: set[Key] = set()
        self._names: dict[bytes, set[bytes | None]] = {}
        self._everything: int | None = None  # when to look at everything

    def __len__(self) -> int:
        return len(self._latest)

    def add(self, folder: bytes, name: bytes | None, deep: bool, now: int) -> None:
        """Take a hint that came at `now`."""
        if self._everything is not None:
            return
        names = self._names.setdefault(folder, set())
        key: Key = (folder, None if None in names else name)
        if key in self._latest:
            self._latest[key] = now
            self._latest.move_to_end(key)
            if deep:
                self._deep.add(key)
            return
        if name is None or len(names) >= self._per_folder:
            self._collapse(folder, deep, now)
        else:
            self._insert(key, deep, now)
        if len(self._latest) > self._in_all:
            self._everything = next(iter(self._first.values())) + self._settle_max
            for held in (self._latest, self._first, self._deep, self._names):
                held.clear()

    def due(self, now: int) -> list[Due]:
        """What is to be looked at by `now`, taken out of the lane; grouped by folder."""
        if self._everything is not None:
            if now < self._everything:
                return []
            self._everything = None
            return [EVERYTHING]
        ready: list[tuple[Key, bool]] = []
        for held, delay in ((self._first, self._settle_max), (self._latest, self._settle)):
            while held:
                key, since = next(iter(held.items()))
                if since + delay > now:
                    break
                ready.append((key, self._remove(key)))
        return list(_grouped(ready))

    def next_due(self) -> int | None:
        """The earliest time at which `due` has something; None when nothing waits."""
        if self._everything is not None:
            return self._everything
        if not self._latest:
            return None
        quiet = next(iter(self._latest.values())) + self._settle
        return min(quiet, next(iter(self._first.values())) + self._settle_max)

    def _insert(self, key: Key, deep: bool, now: int) -> None:
        self._latest[key] = now
        self._first[key] = now
        self._names.setdefault(key[0], set()).add(key[1])
        if deep:
            self._deep.add(key)

    def _remove(self, key: Key) -> bool:
        """Forget one key; whether it was deep."""
        del self._latest[key], self._first[key]
        names = self._names[key[0]]
        names.discard(key[1])
        if not names:
            del self._names[key[0]]
        if key in self._deep:
            self._deep.discard(key)
            return True
        return False

    def _collapse(self, folder: bytes, deep: bool, now: int) -> None:
        """Put one key for the whole folder in the place of those of its names."""
        # It may not wait longer than its oldest name would have. Which one that is would have to be
        # searched for; the oldest of all is a bound for it, and keeps the map in order.
        oldest = next(iter(self._first.values()), now)
        for name in tuple(self._names[folder]):
            deep = self._remove((folder, name)) or deep
        self._insert((folder, None), deep, now)
        self._first[folder, None] = oldest
        self._first.move_to_end((folder, None), last=False)


def _grouped(ready: Iterable[tuple[Key, bool]]) -> Iterable[Due]:
    names: dict[tuple[bytes, bool], set[bytes]] = {}
    for (folder, name), deep in ready:
        if name is None:
            yield Due(folder, None, deep)
        else:
            names.setdefault((folder, deep), set()).add(name)
    for (folder, deep), found in names.items():
        yield Due(folder, frozenset(found), deep)


class Settler:
    """Takes hints, says what to look at and when. For one thread; times are nanoseconds."""

    def __init__(
        self,
        urgent: Callable[[bytes], bool],
        settle: int,
        settle_max: int,
        per_folder: int = PER_FOLDER,
        in_all: int = IN_ALL,
    ) -> None:
        """`urgent(path)` says of a path whether it must not wait; `settle` and `settle_max` as above.

        At most `per_folder` names of a folder and `in_all` keys are held, urgent and others apart.
        """
        self._urgent = urgent
        self._now = Lane(0, 0, per_folder, in_all)
        self._later = Lane(settle, settle_max, per_folder, in_all)
        self._clock = 0

    def __len__(self) -> int:
        """How many keys wait."""
        return len(self._now) + len(self._later)

    def add(self, hint: Hint) -> None:
        """Take one hint."""
        # Hints come from one queue in order; a slightly older one must not disorder the lanes.
        self._clock = max(self._clock, hint.at)
        path = hint.folder if hint.name is None else join(hint.folder, hint.name)
        lane = self._now if self._urgent(path) else self._later
        lane.add(hint.folder, hint.name, hint.deep, self._clock)

    def due(self, now: int) -> list[Due]:
        """What is to be looked at by `now`, the urgent first. It is no longer held afterwards."""
        return self._now.due(now) + self._later.due(now)

    def next_due(self) -> int | None:
        """The earliest time at which `due` will have something, possibly past; None: nothing waits."""
        times = [at for at in (self._now.next_due(), self._later.next_due()) if at is not None]
        return min(times, default=None)
