"""The table of acts, and what is expected of the watcher for each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TypeAlias

Deed: TypeAlias = Generator[None, None, None]
"""Does the deed up to its `yield`, and puts things right after it."""

FILES = 1.0
"""Seconds within which a change of a file is told; of a mount, too."""

ACCOUNTS = 5.0
"""The same for accounts and keys as such, which are read again when their files move."""

LIVE = 10.0
"""The same for what is polled: listeners, processes, modules, settings in force."""

LOGS = 10.0
"""The same for logs, histories and records of logins."""

CHECK = 60.0
"""What is looked for by the hour: the act asks for a look at once (`hostguardctl check`)."""


SIDE_BY_SIDE = ("network", "processes")
"""Families whose acts do not touch the same things, and take seconds to be told by their nature."""


ONE_BY_ONE = ("logs", "tricks", "watcher")
"""Families whose acts would upset one another, however long each takes."""


class NotHere(Exception):
    """This host cannot do it; the reason is a sentence."""


class Shown(Exception):
    """No alert but somebody else is to tell it (`hostguardctl verify`), and did: in this sentence."""


@dataclass(frozen=True)
class Act:
    """One row. An alert must hold all of `names` (the thing) and one of `techniques`; without names, the
    deed itself sees who tells it.

    A technique stands for its sub-techniques, too. Names are looked for in the whole line as it
    stands in the log, so that `"kind":"account"` asks for an alert of that kind, alone or in a group.
    `at_most` limits the alerts that one act makes; 0 for no limit.
    """

    name: str
    family: str
    does: str
    techniques: tuple[str, ...]
    names: tuple[str, ...]
    within: float
    deed: Callable[[], Deed]
    at_most: int = 0

    @property
    def alone(self) -> bool:
        """Whether it is waited for before the next begins; what takes long is done side by side."""
        return self.family not in SIDE_BY_SIDE and (self.within <= LIVE or self.family in ONE_BY_ONE)


ACTS: dict[str, Act] = {}
"""All rows by name, in the order in which they are done."""


def act(
    technique: str, does: str, *names: str, within: float = FILES, at_most: int = 0
) -> Callable[[Callable[[], Deed]], Callable[[], Deed]]:
    """Make a row of a deed. `technique` may be several, separated by spaces."""

    def register(deed: Callable[[], Deed]) -> Callable[[], Deed]:
        add(deed.__name__.replace("_", "-"), deed, technique, does, *names, within=within, at_most=at_most)
        return deed

    return register


def add(
    name: str,
    deed: Callable[[], Deed],
    technique: str,
    does: str,
    *names: str,
    within: float = FILES,
    at_most: int = 0,
) -> None:
    """Make a row. The family is the room that the deed was written in."""
    assert name not in ACTS, name
    family = deed.__module__.rpartition(".")[2]
    ACTS[name] = Act(name, family, does, tuple(technique.split()), names, within, deed, at_most)


def families() -> Iterator[str]:
    """The rooms in their order."""
    yield from dict.fromkeys(one.family for one in ACTS.values())
