"""Which of the changes that wait keep company: the parts of acts, and what waits for the head of its act.

Pure but for `account_tool`, which is asked only when a table of accounts was written. `acts` says what an act
is; this room knows which waiting changes belong to one, and until when they wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from ..model import Fact, Row
from .acts import Act, Acts, Told, is_head, wants_head
from .keeper import Change

SECOND = 1_000_000_000

PARTS_HOLD = SECOND
"""How long the parts of an act wait for further ones after the latest came; its head waits for nothing."""

EARLY_HOLD = SECOND
"""How long a table of accounts that is being written by an account tool waits for what that means."""

Key: TypeAlias = tuple[type[Fact], Row]


def to_tell(change: Change) -> Iterator[Told]:
    """What of a change goes to the log, in order."""
    yield from change.untold
    if change.finding is not None:
        yield change.finding, change.event


def tells_head(change: Change) -> bool:
    """Whether it tells what somebody's deed means."""
    return any(is_head(*one) for one in to_tell(change))


def is_table(change: Change) -> bool:
    """Whether all it tells is that a table of accounts was written."""
    told = list(to_tell(change))
    return bool(told) and all(wants_head(*one) for one in told)


class Company:
    """`parts_due` and `early_due` are monotonic nanoseconds, 0 when nobody waits."""

    def __init__(self, acts: Acts, account_tool: Callable[[], bool]) -> None:
        self._acts = acts
        self._account_tool = account_tool
        self._parts: dict[Key, Act] = {}
        self._early: set[Key] = set()
        self.parts_due = 0
        self.early_due = 0

    def admit(self, change: Change, now: int) -> bool:
        """Whether a change that came waits with others."""
        key = change.fact, change.key
        self._parts.pop(key, None)
        acts = self._acts_of(change, now)
        if is_table(change) and not any(acts) and (key in self._early or self._account_tool()):
            self._early.add(key)
            self.early_due = self.early_due or now + EARLY_HOLD
            return True
        self._early.discard(key)
        return self._join(key, acts, now)

    def without_late(self, waiting: Iterable[Change], now: int) -> list[Change]:
        """Those of `waiting` that are no part of an act, even of one whose head was told since they came."""
        return [one for one in waiting if not self._join((one.fact, one.key), self._acts_of(one, now), now)]

    def of_their_own(self, waiting: Iterable[Change]) -> list[Change]:
        """Those of `waiting` that keep no company. If one tells what an act was,
        nobody waits for that any longer."""
        others = [one for one in waiting if (one.fact, one.key) not in self._parts]
        own = [one for one in others if (one.fact, one.key) not in self._early]
        if not self._early or not any(map(tells_head, own)):
            return own
        self.release()
        return others

    def parts(self, waiting: Iterable[Change]) -> dict[Act, list[Change]]:
        """Those of `waiting` that are parts, by their acts."""
        found: dict[Act, list[Change]] = {}
        for one in waiting:
            if (act := self._parts.get((one.fact, one.key))) is not None:
                found.setdefault(act, []).append(one)
        return found

    def release(self) -> None:
        """No head came, or it is here: what waited for it waits no longer."""
        self._early.clear()
        self.early_due = 0

    def dismiss(self, change: Change) -> None:
        """It waits no longer."""
        self._parts.pop((change.fact, change.key), None)

    def clear(self) -> None:
        """Nobody keeps company any longer."""
        self._parts.clear()
        self.release()

    def __len__(self) -> int:
        """How many wait with others."""
        return len(self._parts) + len(self._early)

    def _acts_of(self, change: Change, now: int) -> list[Act | None]:
        """The act that each thing it tells belongs to, of those whose head was told."""
        return [self._acts.continues(*one, now) for one in to_tell(change)]

    def _join(self, key: Key, acts: list[Act | None], now: int) -> bool:
        """Make it a part, if all that it tells belongs to an act."""
        act = acts[0] if acts and None not in acts else None
        if act is None:
            return False
        self._parts[key] = act
        self.parts_due = now + PARTS_HOLD
        return True
