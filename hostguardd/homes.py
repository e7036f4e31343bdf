"""What `~` stands for in paths of the configuration: the home of every account. Pure.

Homes are globs. `/home/*` stands for all directly below /home, so that an account of a directory service
or one that was added a moment ago is covered as well; the others are named one by one.

The rule: **an account cannot make us look away**. A home that is the root, or no plain path, or lies in a
window into the kernel stands for nothing, rather than for something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from .accounts import passwd
from .config import Config
from .globs import has_magic, quoted
from .model import split
from .watchlist import Watch

USUAL = b"/home"
"""The folder whose entries are homes, whether or not passwd names them."""

FALLBACK = (b"/root",)
"""Homes where no table of accounts can be read."""

KERNEL = (b"/proc/", b"/sys/")


def plausible(paths: Iterable[bytes], usual: Iterable[bytes] = (USUAL,)) -> tuple[bytes, ...]:
    """Those of `paths` (of passwd) that are homes and lie not directly below a `usual` folder; sorted."""
    found = set()
    for path in paths:
        parts = [part for part in path.split(b"/") if part]
        home = b"/" + b"/".join(parts)
        if (
            path.startswith(b"/")
            and parts
            and b"\0" not in path
            and len(path) < 1024
            and not {b".", b".."} & set(parts)
            and not (home + b"/").startswith(KERNEL)
            and split(home)[0] not in usual
        ):
            found.add(home)
    return tuple(sorted(found))


def named_homes(table: bytes | None) -> tuple[bytes, ...]:
    """The homes in a table of accounts, passwd(5); None: it cannot be read."""
    return FALLBACK if table is None else plausible(user.home for user in passwd(table)[0])


class Homes:
    """All homes: `plain` paths, and every entry of the folders `tops`."""

    def __init__(self, plain: Iterable[bytes] = (), tops: Iterable[bytes] = (USUAL,)) -> None:
        self.tops = frozenset(tops)
        self.plain = frozenset(home for home in plain if split(home)[0] not in self.tops)

    def paths(self, path: bytes) -> Iterator[bytes]:
        """What a path that may begin with `~` stands for, itself if it does not."""
        if not tilde(path):
            yield path
            return
        rest = path[1:]
        for top in sorted(self.tops):
            yield quoted(top) + b"/*" + rest
        for home in sorted(self.plain):
            # A plain path is taken as it is written, a glob has its signs quoted.
            yield (quoted(home) if has_magic(home + rest) else home) + rest

    def globs(self, glob: bytes) -> Iterator[bytes]:
        """The same for what is a glob in any case."""
        if not tilde(glob):
            yield glob
            return
        for home in (*(quoted(top) + b"/*" for top in sorted(self.tops)), *map(quoted, sorted(self.plain))):
            yield home + glob[1:]

    def within(self, path: bytes) -> Iterator[bytes]:
        """`path` as each home that it lies in sees it: `~` or `~/…`."""
        above, below = path, b""
        while above != b"/" and above:
            folder, name = split(above)
            if above in self.plain or (folder in self.tops and name):
                yield b"~" + below
            above, below = folder, b"/" + name + below


NOBODYS = Homes((), ())
"""No homes at all."""


def tilde(path: bytes) -> bool:
    """Whether a path or glob begins with the sign for every home."""
    return path == b"~" or path.startswith(b"~/")


def expand(config: Config, homes: Homes) -> Config:
    """`config` with the homes in place of `~` in its watches. Rules are asked with the homes instead."""
    return replace(config, watches=tuple(_watch(watch, homes) for watch in config.watches))


def _watch(watch: Watch, homes: Homes) -> Watch:
    if not any(map(tilde, watch.paths + watch.exclude)):
        return watch
    paths = dict.fromkeys(path for one in watch.paths for path in homes.paths(one))
    exclude = dict.fromkeys(glob for one in watch.exclude for glob in homes.globs(one))
    return replace(watch, paths=tuple(paths), exclude=tuple(exclude))
