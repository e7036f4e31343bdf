"""rpm's knowledge: what its installed headers say, which of them bear a signature that this host can verify,
and what is there. rpm reads its database; the files are read here.

A header that rpm finds broken is left out of its answers by default; here it is compared all the same, and
told, because that is how a forged one looks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Final

from ..host.bundle import Host
from ..model import Blind, join
from ..record import clean, escape
from . import rpmdump, rpmlogs
from .aliases import Aliases
from .checking import FEW, compared, meant
from .expected import Expected
from .index import PathIndex
from .interface import Deed, Departure, Doubt, Installed, Level, Owner, Transaction, at_once
from .logfiles import lines, rotated
from .reader import Told
from .rpmdump import Package, Signature
from .rpmrun import RpmError, asked
from .tables import Ids

FOLDERS: Final = (b"/usr/lib/sysimage/rpm", b"/var/lib/rpm")
DATABASES: Final = frozenset((b"rpmdb.sqlite", b"Packages.db", b"Packages"))
"""SQLite, ndb and Berkeley DB."""

MOST_NAMES: Final = 10_000
MOST_PACKAGES: Final = 50_000
MOST_PATHS: Final = 1_000_000
MACROS: Final = b"--macros=/usr/lib/rpm/macros"
"""Those of rpm itself: others may name another database, which is told to it, or other keys."""

UNCHECKED: Final = (b"--nosignature", b"--nodigest")

_EPOCH: Final = re.compile(r"^\d+:")
ALIKE: Final = 86400.0
"""Seconds within which an entry of the log and a header's time of installation are of the same deed."""


def database(host: Host) -> bytes:
    """The folder of the database below the host's root; b"" if there is none."""
    for folder in FOLDERS:
        if not DATABASES.isdisjoint(host.texts.names(folder, MOST_NAMES) or ()):
            return host.files.real(folder)
    return b""


class Rpm:
    """`PackageHost` of a host with rpm."""

    name = "rpm"

    def __init__(self, host: Host, stop: Callable[[], bool] = lambda: False) -> None:
        self._texts = host.texts
        self._root = host.files.root
        self._stop = stop
        folder = database(host)
        self._failed = ""
        self._place = join(self._root, folder.lstrip(b"/")) if folder else b""

    # -- the database ----------------------------------------------------------------------------------

    def _asked(
        self, query: str, *more: bytes, stop: Callable[[], bool], errors: bytearray | None = None
    ) -> Iterator[tuple[bytes, ...]]:
        """The lines of a format. Raises RpmError also when some of the answer was no line."""
        found = rpmdump.Lines(query)
        told = bytearray() if errors is None else errors
        words = (MACROS, b"--dbpath", self._place, b"-q", b"--qf", query.encode(), *more)
        for data in asked(words, stop, told):
            yield from found.feed(data)
        found.close()
        if found.garbage and not stop():
            raise RpmError(f"rpm said {found.garbage} bytes that were not asked for")

    @cached_property
    def _packages(self) -> tuple[dict[int, Package], str]:
        if not self._place:
            return {}, "there is no database of rpm"
        told = bytearray()
        try:
            lines = self._asked(rpmdump.PACKAGE, b"-a", *UNCHECKED, stop=self._stop, errors=told)
            found = {one.number: one for one in map(rpmdump.package, islice(lines, MOST_PACKAGES))}
        except OSError as error:
            return {}, str(error)
        says = clean(bytes(told[:200]).decode("utf-8", "backslashreplace")).strip()
        return found, "" if found else f"rpm lists no package{says and f': {says}'}"

    @cached_property
    def _signatures(self) -> dict[int, Signature]:
        told = bytearray()
        try:
            for _ in self._asked(r"\n", b"-a", b"-vv", stop=self._stop, errors=told):
                pass
        except OSError:
            return {}
        return rpmdump.signatures(bytes(told).split(b"\n"))

    @property
    def problem(self) -> str:
        """Why nothing can be said; also when rpm failed later on, so that no part is taken for the whole."""
        return self._failed or self._packages[1]

    @cached_property
    def _aliases(self) -> Aliases:
        return Aliases(self._texts.link)

    def _level(self, number: int) -> Level:
        signature = self._signatures.get(number)
        return Level.SIGNED if signature is not None and signature.verified else Level.DIGEST

    # -- what it knows -----------------------------------------------------------------------------------

    def installed(self) -> list[Installed]:
        """All packages, but for the keys that rpm keeps among them."""
        return sorted(
            Installed(
                one.name,
                one.version,
                one.at,
                one.files,
                self._level(one.number),
                found.says if (found := self._signatures.get(one.number)) else "it bears no signature",
            )
            for one in self._packages[0].values()
            if not _is_key(one)
        )

    def _listing(self) -> Iterator[tuple[bytes, int]]:
        """Every path with the number of its package, eight times, one more for settings, two for what no
        content is compared of, and four for that of which no rights are. What another package put its own
        in place of is that one's."""
        packages = self._packages[0]
        for fields in self._asked(rpmdump.NAMES, *UNCHECKED, b"-a", stop=self._stop):
            number, flags, state, mode, verify = (rpmdump.number(fields[at]) for at in (0, 2, 3, 4, 5))
            if number in packages and state in rpmdump.PRESENT:
                path = self._aliases.real(rpmdump.string(fields[1]))
                listed = rpmdump.is_listed_only(flags, mode, verify)
                free = rpmdump.is_free(mode, verify)
                yield path, number * 8 + rpmdump.is_config(flags) + 2 * listed + 4 * free

    @cached_property
    def _index(self) -> PathIndex:
        """The keys of `_listing`."""
        try:
            return PathIndex(self._listing())
        except OSError as error:
            self._failed = str(error)
            return PathIndex(())

    def paths(self) -> Iterator[tuple[bytes, str]]:
        """Every packaged path; fewer where rpm fails, which `problem` tells."""
        try:
            for path, key in self._listing():
                yield path, self._packages[0][key // 8].name
        except OSError as error:
            self._failed = str(error)

    def owners(self, paths: Collection[bytes]) -> Mapping[bytes, Owner]:
        """The owners of those that have one."""
        keys = {path: self._index.key(self._aliases.real(path)) for path in paths}
        return {
            path: self._owner(key // 8, key & 1, key & 2, key & 4)
            for path, key in keys.items()
            if key is not None
        }

    def holds(self, folder: bytes) -> bool:
        """Whether packages have something below a folder."""
        return self._index.holds(self._aliases.real(folder.rstrip(b"/") + b"/").rstrip(b"/"))

    def _owner(self, number: int, config: int, listed: int = 0, free: int = 0) -> Owner:
        package = self._packages[0][number]
        level = Level.LISTED if listed else self._level(number)
        if free:  # whoever signed it says nothing of what it may do
            level = min(level, Level.DIGEST)
        return Owner(package.name, package.version, level, bool(config))

    def _which(self, wanted: set[bytes]) -> tuple[bytes, ...]:
        """What selects the packages of some paths: rpm's index where it is this host's own, all otherwise."""
        if self._root == b"/" and len(wanted) <= FEW:
            return (*UNCHECKED, b"-f", b"--", *wanted)
        return (*UNCHECKED, b"-a")

    # -- comparing -----------------------------------------------------------------------------------------

    def verify(
        self, stop: Callable[[], bool], only: Collection[bytes] | None = None
    ) -> Iterator[Departure | Blind]:
        """Compare all that the headers say, but what their packages ask not to have verified."""
        wanted = None if only is None else {self._aliases.real(path) for path in only}
        if wanted is not None and not wanted:
            return
        try:
            paths = meant(self._expected(wanted, stop), only, self._aliases.real)
            for told in compared(self._root, paths, stop):
                yield from self._told(told)
        except OSError as error:
            yield Blind("package", b"*", f"not everything was compared: {error}")

    def _told(self, told: Told) -> Iterator[Departure | Blind]:
        if told.words:
            number, config = divmod(told.key, 2)
            owner = self._owner(number, config)
            yield Departure(told.path, owner, tuple(told.words), "; ".join(told.clauses))
        if told.problem:
            yield Blind("package", told.path, f"it was not compared with its package: {told.problem}")

    def _expected(self, wanted: set[bytes] | None, stop: Callable[[], bool]) -> Iterator[Expected]:
        packages = self._packages[0]
        ids = Ids(self._texts)
        which = self._which(wanted) if wanted is not None else (*UNCHECKED, b"-a")
        for fields in self._asked(rpmdump.FILES, *which, stop=stop):
            number = rpmdump.number(fields[0])
            package = packages.get(number)
            if package is None:  # it was installed while we looked
                continue
            if wanted is not None and self._aliases.real(rpmdump.string(fields[1])) not in wanted:
                continue
            key = number * 2 + rpmdump.is_config(rpmdump.number(fields[8]))
            one = rpmdump.expected(fields, package.algorithm, ids.users, ids.groups, key)
            if one is not None:
                yield one

    # -- what it did -----------------------------------------------------------------------------------------

    def transactions(self, since: float) -> Iterator[Transaction]:
        """By the logs of dnf, dnf5 and yum, and by the headers' own times for what rpm did without them."""
        texts = self._texts
        found: list[Transaction] = []
        for path in rotated(texts, b"dnf.rpm.log", since):
            found += rpmlogs.dnf(lines(texts, path), escape(path))
        for path in rotated(texts, b"dnf5.log", since):
            found += rpmlogs.dnf5(lines(texts, path), escape(path))
        for path in rotated(texts, b"yum.log", since):
            if (seen := texts.lstat(path)) is not None:
                found += rpmlogs.yum(lines(texts, path), escape(path), seen.st_mtime)
        found = [one for one in found if one.at >= since]
        told: dict[tuple[str, str], float] = {(one.package, _bare(one.after)): one.at for one in found}
        for package in self._packages[0].values():
            at = told.get((package.name, _bare(package.version)))
            if package.at >= since and (at is None or abs(at - package.at) > ALIKE):
                source = f"rpm -q --qf '%{{INSTALLTIME}}' {package.name}"
                found.append(Transaction(package.at, "install", package.name, "", package.version, source))
        yield from sorted(found)

    def worked(self, since: float) -> Iterator[Deed]:
        """Each at its one moment."""
        return map(at_once, self.transactions(since))

    def keys(self) -> frozenset[str]:
        """Those in its database, by the version of what stands for each, and by what it holds: nobody signs
        that, so another key may lie under the name of one that is believed."""
        found: dict[int, list[bytes]] = {}
        for number, held in self._asked(
            rpmdump.KEYS, *UNCHECKED, b"-a", rpmdump.KEY.encode(), stop=self._stop
        ):
            found.setdefault(rpmdump.number(number), []).append(rpmdump.string(held))
        return frozenset(
            f"{one.name} {one.version} (sha256 {_sha256(found.get(one.number, ()))})"
            for one in self._packages[0].values()
            if _is_key(one)
        )

    def digests_written(self, package: str) -> float:
        """They are part of the header."""
        return 0.0

    def doubts(self) -> Iterator[Doubt]:
        """Headers that are broken, and those without a verified signature among others that have one."""
        packages = [one for one in self._packages[0].values() if not _is_key(one)]
        signed = sum(self._level(one.number) is Level.SIGNED for one in packages)
        for package in packages:
            signature = self._signatures.get(package.number)
            source = f"rpm -q -vv {package.name}"
            if signature is not None and signature.broken:
                yield Doubt(package.name, signature.says, source, grave=True)
            elif self._level(package.number) is not Level.SIGNED and 2 * signed > len(packages):
                says = signature.says if signature is not None else "it bears no signature"
                yield Doubt(package.name, f"{says}, while most others are signed and verified", source)


def _is_key(package: Package) -> bool:
    return package.name.partition(".")[0] == rpmdump.KEY


def _sha256(held: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\n".join(held)).hexdigest()


def _bare(version: str) -> str:
    """A version without its epoch, which logs leave out where it is 0."""
    return _EPOCH.sub("", version)
