"""What the watcher tells the engine: hints, and where there will be none.

Whatever is not a `Hint` means that hints were or will be missing, so the engine answers each by a
health alert and by sweeping what was blind. Times are monotonic nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..model import Hint


@dataclass(frozen=True, slots=True)
class Overflow:
    """Hints were lost, nobody knows of what. Told once for each time it happened; what happens
    again before it could be told is the same one, longer.

    `since`: the last time at which nothing was waiting to be read, so that nothing older can be
    missing. `until`: when the loss was noticed; later changes are hinted again. `reason` is the end
    of a sentence.
    """

    since: int
    until: int
    reason: str


@dataclass(frozen=True, slots=True)
class WatchFailed:
    """`folder` could not be watched: ENOSPC (limit or budget), EACCES, ENAMETOOLONG, … (errno(3)).

    Told once, when it fails that did not fail before. Where a limit is reached these come by the
    thousand (up to `watched.REMEMBERED`); `Watcher.unwatched` has the count at any time.
    """

    folder: bytes
    errno: int


@dataclass(frozen=True, slots=True)
class WatcherDied:
    """There will be no more hints from this watcher. `reason` is the end of a sentence."""

    reason: str


Signal: TypeAlias = Hint | Overflow | WatchFailed | WatcherDied
