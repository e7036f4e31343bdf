"""Which `[[watch]]` applies to a path. Pure; worked out once for each folder, not for each file.

The most specific watch wins: one that names the path itself, else the one whose folder is nearest
above it (and reaches that deep), and of two such the later in the configuration. A path is left out
when the watch that would apply to it excludes it, and with it what lies below, but for what another
watch names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, TypeVar

from .globs import compile_name, compile_path, compile_paths, has_magic
from .model import join, split
from .watchlist import Watch

T = TypeVar("T")

STRIDE = 64
"""Folders of a path worked out in one go: the plan of a folder asks for that of the one above it."""


@dataclass(frozen=True, slots=True)
class Reach:
    """A watch as it applies to one path; `levels` more may be descended from it (-1: no end)."""

    watch: Watch
    levels: int


@dataclass(frozen=True, slots=True)
class FolderPlan:
    """How the entries of one folder are watched.

    `reaches` are all watches that reach its entries, the most specific first, each with the levels it
    goes on below them; `inherited` is the first of them, with the levels that any goes on.
    """

    folder: bytes
    reaches: tuple[Reach, ...] = ()
    inherited: Reach | None = None
    exact: dict[bytes, Watch] = field(default_factory=dict)
    globs: tuple[tuple[re.Pattern[bytes], Watch], ...] = ()
    by_name: re.Pattern[bytes] | None = None
    by_path: re.Pattern[bytes] | None = None

    @property
    def plain(self) -> bool:
        """Every entry is simply watched by `inherited`: no name needs a look of its own."""
        if self.exact or self.globs or self.by_name or self.by_path or self.inherited is None:
            return False
        return not self.inherited.watch.selective

    @property
    def empty(self) -> bool:
        """Nothing in this folder can be watched."""
        return self.inherited is None and not self.exact and not self.globs

    def named(self, name: bytes) -> Watch | None:
        """The watch that names this very entry."""
        watch = self.exact.get(name)
        if watch is None and self.globs:
            path = join(self.folder, name)
            watch = next((watch for pattern, watch in self.globs if pattern.fullmatch(path)), None)
        return watch

    def excludes(self, name: bytes) -> bool:
        """Whether the watch that would apply to the entry leaves it out."""
        if self.by_name is not None and self.by_name.fullmatch(name):
            return True
        return self.by_path is not None and self.by_path.fullmatch(join(self.folder, name)) is not None

    def candidates(self, name: bytes) -> tuple[Reach, ...]:
        """All watches that reach the entry, the most specific first."""
        outer = () if self.excludes(name) else self.reaches
        watch = self.named(name)
        return outer if watch is None else (Reach(watch, watch.depth), *outer)

    def reach(self, name: bytes) -> Reach | None:
        """The watch for entry `name`, None when it is not watched."""
        if (self.exact or self.globs) and self.named(name) is not None:
            return _foremost(self.candidates(name))
        return None if self.inherited is None or self.excludes(name) else self.inherited


class _Globs(Generic[T]):
    """Globs of paths, each with something, by the folder that all they match lies below: there may be
    thousands, of which only those are tried (and compiled) on a path whose folder is on its way."""

    def __init__(self) -> None:
        self._by_top: dict[bytes, list[tuple[int, bytes, T]]] = {}
        self._count = 0

    def add(self, glob: bytes, thing: T) -> None:
        """Add `thing` for what `glob` matches."""
        self._count += 1
        self._by_top.setdefault(_top(glob), []).append((self._count, glob, thing))

    def near(self, folder: bytes) -> list[tuple[bytes, T]]:
        """(glob, its thing) of all that entries of `folder` may match, the last one added first."""
        found = []
        for above in (folder, *_above(folder)):
            for number, glob, thing in self._by_top.get(above, ()):
                if _may_hold(folder, above, glob):
                    found.append((number, glob, thing))
        found.sort(key=lambda one: -one[0])
        return [(glob, thing) for _, glob, thing in found]


class Watches:
    """All watches, ready to be asked. Thread-safe: nothing changes after construction."""

    def __init__(self, watches: Iterable[Watch]) -> None:
        self._exact: dict[bytes, dict[bytes, Watch]] = {}
        self._globs: _Globs[Watch] = _Globs()
        self._names: dict[str, re.Pattern[bytes] | None] = {}
        self._places: dict[str, _Globs[None]] = {}
        literal: list[bytes] = []
        patterns: list[bytes] = []
        for watch in watches:
            names = [glob for glob in watch.exclude if not glob.startswith(b"/")]
            self._names[watch.name] = _either([compile_name(glob) for glob in names])
            places = self._places[watch.name] = _Globs()
            for glob in watch.exclude:
                if glob.startswith(b"/"):
                    places.add(glob, None)
            for path in watch.paths:
                folder, name = split(path)
                if not has_magic(path):
                    self._exact.setdefault(folder, {})[name] = watch
                    literal.append(path)
                    continue
                self._globs.add(path, watch)
                patterns.append(path)
        self.literal, self.patterns = tuple(literal), tuple(patterns)
        self._leading = {above for path in literal for above in _above(path)}
        self._leading_globs: _Globs[None] = _Globs()
        for glob in {above for path in patterns if b"**" not in path for above in _above(path)}:
            if has_magic(glob):
                self._leading_globs.add(glob, None)
            else:
                self._leading.add(glob)
        self._cached = lru_cache(maxsize=2048)(self._plan)

    def leads(self, path: bytes) -> bool:
        """Whether a watch names something below `path`: its appearing is then the appearing of that."""
        if path in self._leading:
            return True
        return any(_compiled(glob).fullmatch(path) for glob, _ in self._leading_globs.near(split(path)[0]))

    def plan(self, folder: bytes) -> FolderPlan:
        """The plan for one folder."""
        if folder.count(b"/") > STRIDE:
            parts = folder.split(b"/")
            for count in range(STRIDE, len(parts), STRIDE):
                self._cached(b"/".join(parts[:count]))
        return self._cached(folder)

    def _plan(self, folder: bytes) -> FolderPlan:
        parent, name = split(folder)
        if name:
            candidates = self._cached(parent).candidates(name)
        else:
            root = self._exact.get(b"/", {}).get(b"")
            candidates = (Reach(root, root.depth),) if root else ()
        reaches = tuple(
            Reach(reach.watch, max(reach.levels - 1, -1)) for reach in candidates if reach.levels != 0
        )
        inherited = _foremost(reaches)
        by_name = by_path = None
        if inherited is not None:
            by_name = self._names[inherited.watch.name]
            near = [glob for glob, _ in self._places[inherited.watch.name].near(folder)]
            by_path = compile_paths(near) if near else None
        globs = tuple((_compiled(glob), watch) for glob, watch in self._globs.near(folder))
        return FolderPlan(folder, reaches, inherited, self._exact.get(folder, {}), globs, by_name, by_path)

    def at(self, path: bytes) -> Reach | None:
        """The watch that applies to `path`, None when nothing watches it."""
        folder, name = split(path)
        if not name:
            root = self._exact.get(b"/", {}).get(b"")
            return Reach(root, root.depth) if root else None
        return self.plan(folder).reach(name)

    def find(self, path: bytes) -> Watch | None:
        """The watch that applies to `path`."""
        found = self.at(path)
        return found.watch if found else None


def _foremost(reaches: tuple[Reach, ...]) -> Reach | None:
    """The most specific of `reaches`, with the levels that any of them still goes down."""
    if not reaches:
        return None
    levels = [reach.levels for reach in reaches]
    return Reach(reaches[0].watch, -1 if -1 in levels else max(levels))


_compiled = lru_cache(maxsize=4096)(compile_path)


def _may_hold(folder: bytes, top: bytes, glob: bytes) -> bool:
    """Whether entries of `folder`, which is `top` or lies below it, may match `glob`: any may if it
    holds `**`, which matches folders too."""
    if b"**" in glob:
        return True
    parent = split(glob)[0]
    return folder == parent if parent == top else _compiled(parent).fullmatch(folder) is not None


def _top(glob: bytes) -> bytes:
    """The deepest folder, written without signs of a glob, that all it matches lies below."""
    top = b"/"
    for part in split(glob)[0].split(b"/")[1:]:
        if not part or has_magic(part) or b"\\" in part:
            break
        top = join(top, part)
    return top


def _above(path: bytes) -> Iterator[bytes]:
    """All folders above `path`, the nearest first."""
    while path != b"/":
        path = split(path)[0]
        yield path


def _either(patterns: list[re.Pattern[bytes]]) -> re.Pattern[bytes] | None:
    """One pattern that matches what any of them does."""
    if not patterns:
        return None
    return re.compile(b"|".join(b"(?:" + p.pattern + b")" for p in patterns), re.DOTALL)
