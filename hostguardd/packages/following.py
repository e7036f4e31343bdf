"""What no package brings and yet follows from packages alone: the links of alternatives, those that enable a
unit or have an init script run, those to certificates, and the cache of the dynamic linker. Never believed
for its name: each must lead to what packages bring, as the database of alternatives, the unit's own
`[Install]`, the link or the cache itself say.

Sources: update-alternatives(1), systemd.unit(5), update-rc.d(8), update-ca-certificates(8), glibc's
sysdeps/generic/dl-cache.h.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from itertools import takewhile
from typing import Final, NamedTuple

from ..host.bundle import Host
from ..model import split
from .interface import PackageHost

MOST: Final = 4 * 1024**2
MOST_NAMES: Final = 5_000

ADMIN: Final = (b"/var/lib/dpkg/alternatives", b"/var/lib/alternatives")
CHOSEN: Final = b"/etc/alternatives/"
CACHE: Final = b"/etc/ld.so.cache"
RUNS: Final = re.compile(rb"/etc/rc[0-6S]\.d/[SK]\d\d([^/]+)")
CERTIFICATES: Final = b"/etc/ssl/certs/"
BROUGHT: Final = b"/usr/share/ca-certificates/"
MAGIC: Final = b"glibc-ld.so.cache1.1"
HEAD: Final = struct.Struct("=20sII20x")
ENTRY: Final = struct.Struct("=iIIIQ")
UNITS: Final = (b"/usr/lib/systemd", b"/lib/systemd")
ENABLED: Final = re.compile(rb"/etc/systemd/(system|user)/(?:([^/]+)\.(wants|requires|upholds)/)?([^/]+)")
INSTALL: Final = re.compile(rb"^\[Install\][ \t]*\n((?:(?!\[)[^\n]*\n?)*)", re.MULTILINE)
SAYS: Final = {b"wants": b"WantedBy", b"requires": b"RequiredBy", b"upholds": b"UpheldBy"}


class Follows(NamedTuple):
    """A clause, the package it follows from ("": all of them), and where a link leads."""

    says: str
    package: str = ""
    leads: bytes = b""


def following(host: Host, packages: PackageHost, paths: Collection[bytes]) -> dict[bytes, Follows]:
    """Those of `paths`, which no package brings, that follow from packages."""
    looked = _Looked(host, packages)
    found = {path: looked.at(path) for path in paths}
    return {path: one for path, one in found.items() if one is not None}


class _Looked:
    def __init__(self, host: Host, packages: PackageHost) -> None:
        self._host = host
        self._packages = packages

    def at(self, path: bytes) -> Follows | None:
        if path == CACHE:
            return self._cache()
        target = self._host.texts.link(path)
        if path.startswith(CHOSEN):
            return self._alternative(path.removeprefix(CHOSEN), target)
        if target.startswith(CHOSEN):
            return self._named(path, target)
        if path.startswith(CERTIFICATES) and target:
            return self._certificate(target)
        if (runs := RUNS.fullmatch(path)) is not None and target == b"../init.d/" + runs[1]:
            package = self._owner(b"/etc/init.d/" + runs[1], settings=True)
            return Follows(f"it runs what {package} brings", package, target) if package else None
        enabled = ENABLED.fullmatch(path) if target else None
        return None if enabled is None else self._enabled(enabled, target)

    def _owner(self, path: bytes, settings: bool = False) -> str:
        """Of settings only where the name may be of some: anybody's content may lie there."""
        found = self._packages.owners([path]).get(path)
        return found.package if found is not None and (settings or not found.config) else ""

    def _certificate(self, target: bytes) -> Follows | None:
        """Of a link by its name, or by the hash of its subject to one by its name."""
        place = target if b"/" in target else self._host.texts.link(CERTIFICATES + target)
        if not place.startswith(BROUGHT) or b"/../" in place or not (package := self._owner(place)):
            return None
        return Follows(f"it leads to a certificate that {package} brings", package, target)

    def _alternative(self, name: bytes, target: bytes) -> Follows | None:
        if target not in self._alternatives[1].get(name, ()) or not (package := self._owner(target)):
            return None
        return Follows(f"it is an alternative that {package} brings", package, target)

    def _named(self, path: bytes, target: bytes) -> Follows | None:
        name = target.removeprefix(CHOSEN)
        if name not in self._alternatives[0].get(path, ()):
            return None
        found = self._alternative(name, self._host.texts.link(target))
        return None if found is None else found._replace(leads=target)

    @cached_property
    def _alternatives(self) -> tuple[Mapping[bytes, set[bytes]], Mapping[bytes, set[bytes]]]:
        """The names by their links, and where each may lead."""
        names: dict[bytes, set[bytes]] = {}
        leads: dict[bytes, set[bytes]] = {}
        for folder in ADMIN:
            for name in self._host.texts.names(folder, MOST_NAMES) or ():
                text = self._host.texts.read(folder + b"/" + name, MOST).data or b""
                for one, link, targets in alternatives(name, text):
                    names.setdefault(link, set()).add(one)
                    leads.setdefault(one, set()).update(targets)
        return names, leads

    def _enabled(self, path: re.Match[bytes], target: bytes) -> Follows | None:
        kind, by, how, name = path.groups()
        folder, unit = split(target)
        if folder not in [place + b"/" + kind for place in UNITS] or not (package := self._owner(target)):
            return None
        text = self._host.texts.read(target, MOST).data or b""
        found = INSTALL.search(text)
        said: dict[bytes, list[bytes]] = {}
        for line in found[1].split(b"\n") if found is not None else ():
            key, _, value = line.partition(b"=")
            said.setdefault(key.strip(), []).extend(value.split())
        if how is None:
            fits = name in said.get(b"Alias", ())
        else:
            fits = by in said.get(SAYS[how], ()) and name in (unit, *_instance(unit, said))
        return Follows(f"it enables a unit as {package} says", package, target) if fits else None

    def _cache(self) -> Follows | None:
        texts = self._host.texts
        before = texts.lstat(CACHE)
        data = texts.read(CACHE, MOST)
        after = texts.lstat(CACHE)
        if before is None or after is None or data.data is None or len(data.data) >= MOST:
            return None
        if (before.st_ino, before.st_ctime_ns) != (after.st_ino, after.st_ctime_ns):
            return None
        libraries = cached(data.data)
        owned = self._packages.owners(libraries)
        if any(owner.config for owner in owned.values()):  # anybody's content may lie there
            return None
        for path in libraries - owned.keys():  # a link that ldconfig(8) made beside the library
            if (target := texts.link(path)) == b"" or b"/" in target:
                return None
            if not self._owner(os.path.join(split(path)[0], target)):
                return None
        return Follows("it names packaged libraries only") if libraries else None


def _instance(unit: bytes, said: Mapping[bytes, list[bytes]]) -> Iterator[bytes]:
    """The default instance of a template."""
    name, at, suffix = unit.partition(b"@.")
    for one in said.get(b"DefaultInstance", ()) if at else ():
        yield name + b"@" + one + b"." + suffix


def cached(data: bytes) -> set[bytes]:
    """The libraries that a cache of ld.so names; none where some of it is not understood, or one is found by
    another name than its own, as ldconfig(8) writes none."""
    if len(data) < HEAD.size:
        return set()
    magic, count, _ = HEAD.unpack_from(data)
    if magic != MAGIC or HEAD.size + count * ENTRY.size > len(data):
        return set()
    found = set()
    for _, key, value, _, _ in ENTRY.iter_unpack(data[HEAD.size : HEAD.size + count * ENTRY.size]):
        end, stop = data.find(b"\0", value), data.find(b"\0", key)
        path = data[value:end]
        if end < 0 or stop < 0 or path[:1] != b"/" or split(path)[1] != data[key:stop]:
            return set()
        found.add(path)
    return found


def alternatives(name: bytes, text: bytes) -> Iterator[tuple[bytes, bytes, list[bytes]]]:
    """Each name of a file of update-alternatives(1), its link, and where it may lead."""
    head, _, rest = text.partition(b"\n\n")
    lines = head.split(b"\n")
    if len(lines) < 2 or len(lines) % 2:
        return
    names = [name, *lines[2::2]]
    links = [lines[1], *lines[3::2]]
    choices = rest.split(b"\n")
    step = len(names) + 1  # a path, its priority, and a line for each of the other names, which may be empty
    chosen = list(takewhile(lambda at: choices[at], range(0, len(choices), step)))
    for number, (one, link) in enumerate(zip(names, links, strict=True)):
        of = number + 1 if number else 0
        targets = (choices[at + of] for at in chosen if at + of < len(choices))
        yield one, link, [path for path in targets if path.startswith(b"/")]
