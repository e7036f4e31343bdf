"""What could not be looked at, so that it can be taken in: each thing once, and what root alone may look at
in one line for each kind of place. Pure.

The rule kept: nothing but repetition is left out. A line says how many places it stands for, and what each
check itself tells of names them all.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from ..words.interface import counted
from .interface import Unseen
from .scene import SUDO

NAMED: Final = 4
"""Places that a line names."""

KINDS: Final = (
    ("homes", re.compile(r"/(?:root|home/[^/]+)(?:/|\Z)")),
    ("logs", re.compile(r"/var/log(?:/|\Z)")),
    ("temporary folders", re.compile("/(?:tmp|var/tmp|dev/shm|run/user)/")),
    ("settings", re.compile("/etc/")),
    ("other places", re.compile("/")),
)
"""(what places are called, how their paths begin), the first that fits."""

DENIED: Final = (os.strerror(errno.EACCES), os.strerror(errno.EPERM))
"""What the kernel says to whoever may not. An ordinary user is sent to root for other reasons as well
(too many names, a damaged file), and those stand for themselves: root may see no more."""

_PATH = re.compile(r"(?:\A|\s)(/.*)", re.DOTALL)
_FIRST = re.compile(r"(?<!\S)/[^\s:,;]*")


class Told(NamedTuple):
    """A line, and the check that it is of: the first that wanted to look there."""

    check: str
    unseen: Unseen


def together(found: Iterable[Told]) -> list[Told]:
    """The lines, in the order in which their first was told."""
    once: dict[Unseen, Told] = {}
    for told in found:
        once.setdefault(told.unseen, told)
    groups: dict[object, list[Told]] = {}
    for one, told in once.items():
        refused = one.remedy == SUDO and any(word in one.reason for word in DENIED)
        path = _place(one) if refused else ""
        kind: object = next((kind for kind, pattern in KINDS if pattern.match(path)), one)
        groups.setdefault(kind, []).append(told)
    return [group[0] if len(group) == 1 else _line(str(key), group) for key, group in groups.items()]


def _place(one: Unseen) -> str:
    """The path that it is about, "" for none: the end of its scope, or the first in its reason."""
    if found := _PATH.search(one.scope):
        return found[1]
    found = _FIRST.search(one.reason)
    return found[0] if found else ""


def _line(kind: str, group: list[Told]) -> Told:
    places = sorted({_place(told.unseen) for told in group}, key=lambda path: (path.count("/"), path))
    named = ", ".join(places[:NAMED]) + (f" and {len(places) - NAMED} more" if len(places) > NAMED else "")
    reason = f"{counted(len(places), 'place')} that root alone may look into: {named}"
    return Told(group[0].check, Unseen(kind, reason, SUDO))
