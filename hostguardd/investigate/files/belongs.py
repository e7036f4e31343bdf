"""Whom files belong to: the package that brought them, whether they still are as it brought them, whose home.

The rule kept: where no package manager can be asked, a file without an owner proves nothing, and is not
told as one that nobody brought.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from ...fact import TEMPORARY
from ...homes import plausible
from ...model import split
from ...packages.interface import Departure, Owner
from ..interface import text
from ..scene import Scene

QUIET: Final = frozenset({"mtime", "unreadable", "missing"})
"""Departures that say nothing of what a file does."""


class Belongs(NamedTuple):
    """`owner`: the package, None without one. `changed`: how the file departs from it, in words of
    `packages.ATTRIBUTES`, what says nothing left out. `asked`: whether there was anybody to ask."""

    owner: Owner | None
    changed: tuple[str, ...] = ()
    asked: bool = True

    @property
    def stray(self) -> bool:
        """Whether no package brought it, for sure."""
        return self.asked and self.owner is None

    @property
    def as_brought(self) -> bool:
        """Whether a package brought it and it is still the same."""
        return self.owner is not None and not self.changed

    @property
    def says(self) -> str:
        """A clause about it."""
        if not self.asked:
            return "no package manager could be asked whose it is"
        if self.owner is None:
            return "no package owns it"
        name = f"{self.owner.package} {self.owner.version}".strip()
        return f"of package {name}" + (f", changed since ({', '.join(self.changed)})" if self.changed else "")


def belongs(scene: Scene, paths: Collection[bytes], *, compare: bool = True) -> Mapping[bytes, Belongs]:
    """Whom each of `paths` belongs to. Those that have an owner are compared with what it brought, unless
    that is of no interest. One call for many paths: each reads the package manager's lists."""
    if not paths:
        return {}
    if scene.packages.problem:
        return dict.fromkeys(paths, Belongs(None, (), asked=False))
    owners = scene.packages.owners(paths)
    found = {path: Belongs(owners.get(path)) for path in paths}
    if owners and compare:
        for one in scene.packages.verify(scene.stop, only=list(owners)):
            if isinstance(one, Departure) and not one.diverted and one.path in found:
                changed = tuple(word for word in one.changed if word not in QUIET)
                found[one.path] = Belongs(one.owner, changed)
    return found


def homes(scene: Scene) -> frozenset[bytes]:
    """The homes of all accounts that people have, and root's."""
    people = (
        user.home for user in scene.users if user.uid is not None and (user.uid == 0 or user.uid >= 1000)
    )
    return frozenset({b"/root", b"/home", *plausible(people)})


def in_home(scene: Scene, path: bytes) -> bool:
    """Whether a path lies in somebody's home."""
    known = scene.once(homes)
    while path not in known:
        if path in (b"/", b""):
            return False
        path = split(path)[0]
    return True


def odd_place(scene: Scene, path: bytes) -> str:
    """What is odd about something that runs from there, as a clause; "" when nothing is."""
    if (path + b"/").startswith(TEMPORARY):
        return "lies in a folder for temporary files"
    if path.startswith(b"/dev/"):
        return "lies among the devices"
    if any(part.startswith(b".") for part in path.split(b"/")):
        return "lies in a hidden folder or has a hidden name"
    if in_home(scene, path):
        return "lies in somebody's home"
    return ""


def outer_root(scene: Scene, path: bytes) -> bytes:
    """The folder that looks like another system's root (a chroot, an unpacked image) and holds `path`, b""
    if there is none."""
    for mark in (b"/usr/", b"/bin/", b"/sbin/", b"/lib/", b"/lib64/", b"/opt/"):
        at = path.find(mark, 1)
        if at > 0 and scene.host.texts.lstat(path[:at] + b"/etc/passwd") is not None:
            return path[:at]
    return b""


def some(paths: Iterable[bytes], most: int = 20) -> list[str]:
    """Paths for `details`: the first of them."""
    return [text(path) for path, _ in zip(sorted(paths), range(most), strict=False)]
