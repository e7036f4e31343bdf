"""dpkg's knowledge, by its database, which is read here and not by dpkg.

dpkg keeps an MD5 of each file, which nobody signs, and neither modes nor owners (but for dpkg-statoverride):
so no answer is better than Level.DIGEST, and the sole fact that it matches proves little.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Final, NamedTuple

from ..host.bundle import Host
from ..model import Blind
from ..record import escape, unescape
from . import dpkgdb
from .aliases import Aliases
from .checking import compared, meant
from .evidence import NEXT_RUN
from .expected import Expected
from .index import PathIndex
from .interface import Deed, Departure, Doubt, Installed, Level, Owner, Transaction, at_once
from .logfiles import lines, rotated
from .reader import Told
from .tables import Ids

ADMIN: Final = b"/var/lib/dpkg"
STATUS: Final = ADMIN + b"/status"
INFO: Final = ADMIN + b"/info"
UPDATES: Final = ADMIN + b"/updates"

MOST_TABLE: Final = 16 * 1024**2
MOST_PACKAGES: Final = 50_000
MOST_NAMES: Final = 200_000

LEEWAY: Final = 64 * 1024**2
"""Bytes a file may be larger than its whole package says it is before it is not read any more."""

LATER: Final = 3600.0
"""Seconds by which digests may be younger than the list of the same package: both come with its unpacking,
and may have been copied with all the host since."""

FRESH: Final = 10.0
"""Seconds between the times of a list that is still as dpkg wrote it: a copy bears its old mtime."""

SOON: Final = 60.0
"""Then so many: of 1,406 files on a host that was never copied, none came later than 0.02 s."""

SCRIPTS: Final = (b".preinst", b".postinst", b".prerm", b".postrm", b".config")


class _Entry(NamedTuple):
    """A package and where its lists are."""

    package: dpkgdb.Package
    base: bytes
    name: str


class Dpkg:
    """`PackageHost` of a host with dpkg."""

    name = "dpkg"

    def __init__(self, host: Host) -> None:
        self._texts = host.texts
        self._root = host.files.root

    # -- the database ----------------------------------------------------------------------------------

    @cached_property
    def _status(self) -> tuple[list[_Entry], str]:
        text = self._texts.read(STATUS, MOST_TABLE)
        if text.data is None:
            return [], f"{STATUS.decode()} {text.problem or 'is not there'}"
        if len(text.data) >= MOST_TABLE:
            return [], f"{STATUS.decode()} is larger than {MOST_TABLE} bytes"
        names = set(self._texts.names(INFO, MOST_NAMES) or ())
        found = []
        # What it did since it was started lies beside, and is folded in at its end; the last word counts.
        later = [
            self._texts.read(UPDATES + b"/" + name, MOST_TABLE).data or b""
            for name in self._texts.names(UPDATES, MOST_NAMES) or ()
            if name.isdigit()
        ]
        for package in islice(dpkgdb.latest(text.data, *later), MOST_PACKAGES):
            several = package.name + b":" + package.architecture
            base = several if several + b".list" in names else package.name
            found.append(_Entry(package, base, escape(base)))
        return found, "" if found else f"{STATUS.decode()} lists no installed package"

    @property
    def problem(self) -> str:
        """Why nothing can be said."""
        return self._status[1]

    @cached_property
    def _aliases(self) -> Aliases:
        return Aliases(self._texts.link)

    @cached_property
    def _diversions(self) -> Mapping[bytes, dpkgdb.Diversion]:
        return dpkgdb.diversions(self._texts.read(ADMIN + b"/diversions", MOST_TABLE).data or b"")

    @cached_property
    def _excluded(self) -> Callable[[bytes], bool]:
        folder = b"/etc/dpkg/dpkg.cfg.d"
        places = [
            folder + b"/" + name
            for name in self._texts.names(folder, 10_000) or ()
            if re.fullmatch(rb"[0-9A-Za-z_-]+", name)
        ]
        return dpkgdb.excluded(
            self._texts.read(place, MOST_TABLE).data or b"" for place in (*places, b"/etc/dpkg/dpkg.cfg")
        )

    def _info(self, base: bytes, which: bytes) -> bytes | None:
        return self._texts.read(b"%s/%s.%s" % (INFO, base, which), MOST_TABLE).data

    def _listed(self, entry: _Entry) -> list[bytes] | None:
        text = self._info(entry.base, b"list")
        return None if text is None else dpkgdb.listed(text)

    def _placed(self, path: bytes, package: bytes) -> bytes:
        """Where a package's path lies, by the diversions and the one name of its folder."""
        diversion = self._diversions.get(path)
        if diversion is not None and diversion.package != package:
            path = diversion.to
        return self._aliases.real(path)

    # -- what it knows -----------------------------------------------------------------------------------

    def installed(self) -> list[Installed]:
        """All packages; `at` is when their files were unpacked."""
        found = []
        for entry in self._status[0]:
            at = self._texts.lstat(b"%s/%s.list" % (INFO, entry.base))
            has = self._texts.lstat(b"%s/%s.md5sums" % (INFO, entry.base)) is not None
            found.append(
                Installed(
                    entry.name,
                    escape(entry.package.version),
                    at.st_mtime if at is not None else 0.0,
                    len(self._listed(entry) or ()),
                    Level.DIGEST if has else Level.LISTED,
                )
            )
        return sorted(found)

    def owners(self, paths: Collection[bytes]) -> Mapping[bytes, Owner]:
        """The owners of those that have one."""
        found = self._owned({self._aliases.real(path) for path in paths})
        return {path: found[real][1] for path in paths if (real := self._aliases.real(path)) in found}

    @cached_property
    def _index(self) -> PathIndex:
        """Which entry of the status each path is of."""
        return PathIndex(
            (self._placed(path, entry.package.name), number)
            for number, entry in enumerate(self._status[0])
            for path in self._listed(entry) or ()
        )

    def paths(self) -> Iterator[tuple[bytes, str]]:
        """Every packaged path, and the settings that a removed package left until it is purged."""
        for entry in self._status[0]:
            for path in self._listed(entry) or ():
                yield self._placed(path, entry.package.name), entry.name
        here = {entry.base + b".list" for entry in self._status[0]}
        for name in self._texts.names(INFO, MOST_NAMES) or ():
            if name.endswith(b".list") and name not in here:
                base = name.removesuffix(b".list")
                for path in dpkgdb.listed(self._info(base, b"list") or b""):
                    yield self._placed(path, base.partition(b":")[0]), escape(base)

    def _entries(self, wanted: set[bytes]) -> list[_Entry]:
        """The entries that have some of the paths."""
        numbers = {number for path in wanted if (number := self._index.key(path)) is not None}
        return [self._status[0][number] for number in sorted(numbers)]

    def _owned(self, wanted: set[bytes]) -> dict[bytes, tuple[_Entry, Owner]]:
        found: dict[bytes, tuple[_Entry, Owner]] = {}
        for entry in self._entries(wanted):
            package = entry.package
            own = {
                placed: path
                for path in self._listed(entry) or ()
                if (placed := self._placed(path, package.name)) in wanted
            }
            config = {one.path for one in package.conffiles}
            digests = dpkgdb.digests(self._info(entry.base, b"md5sums") or b"")[0]
            for placed, path in own.items():
                level = Level.DIGEST if path in digests or path in config else Level.LISTED
                # Put aside it is nobody's to edit: whoever edits has another file in its place.
                edited = path in config and placed == self._aliases.real(path)
                owner = Owner(entry.name, escape(package.version), level, edited)
                found.setdefault(placed, (entry, owner))
        return found

    def holds(self, folder: bytes) -> bool:
        """Whether packages have something below a folder."""
        return self._index.holds(self._aliases.real(folder.rstrip(b"/") + b"/").rstrip(b"/"))

    # -- comparing -----------------------------------------------------------------------------------------

    def verify(
        self, stop: Callable[[], bool], only: Collection[bytes] | None = None
    ) -> Iterator[Departure | Blind]:
        """Compare content by MD5, and owner and mode where dpkg-statoverride tells them."""
        entries = self._status[0]
        wanted = None
        if only is not None:
            wanted = {self._aliases.real(path) for path in only}
            entries = self._entries(wanted)
        hashing = True
        try:
            hashlib.md5(usedforsecurity=False)
        except ValueError:
            hashing = False
            yield Blind("package", b"*", "this host refuses MD5, all that dpkg has: no content was compared")
        blinds: list[Blind] = []
        put_aside: list[Departure] = []
        paths = self._expected(entries, wanted, hashing, blinds, put_aside)
        try:
            for told in compared(self._root, meant(paths, only, self._aliases.real), stop):
                yield from self._told(entries, told)
        except OSError as error:
            yield Blind("package", b"*", f"not everything was compared: {error}")
        yield from blinds
        yield from put_aside

    def _told(self, entries: list[_Entry], told: Told) -> Iterator[Departure | Blind]:
        if told.words:
            number, level = divmod(told.key, 4)
            entry = entries[number]
            config = any(
                self._placed(one.path, entry.package.name) == told.path for one in entry.package.conffiles
            )
            owner = Owner(entry.name, escape(entry.package.version), Level(level), config)
            yield Departure(told.path, owner, tuple(told.words), "; ".join(told.clauses))
        if told.problem:
            yield Blind("package", told.path, f"it was not compared with its package: {told.problem}")

    def _expected(
        self,
        entries: list[_Entry],
        wanted: set[bytes] | None,
        hashing: bool,
        blinds: list[Blind],
        put_aside: list[Departure],
    ) -> Iterator[Expected]:
        overrides = dpkgdb.overrides(self._texts.read(ADMIN + b"/statoverride", MOST_TABLE).data or b"")
        ids = Ids(self._texts)
        for number, entry in enumerate(entries):
            package = entry.package
            listed = self._listed(entry)
            if listed is None or package.half:
                says = (
                    "its list of files is not there" if listed is None else "it was not unpacked to its end"
                )
                blinds.append(Blind("package", entry.base, f"package {entry.name}: {says}"))
                continue
            digests, bad = dpkgdb.digests(self._info(entry.base, b"md5sums") or b"")
            if len(listed) >= dpkgdb.MOST_PATHS:
                says = f"only the first {len(listed)} of its files were compared"
                blinds.append(Blind("package", entry.base, f"package {entry.name}: {says}"))
            if bad:
                blinds.append(
                    Blind(
                        "package", entry.base, f"package {entry.name}: {bad} lines of its digests say nothing"
                    )
                )
            config = {one.path: one for one in package.conffiles}
            largest = package.size + LEEWAY
            for path in dict.fromkeys((*listed, *digests)):
                placed = self._placed(path, package.name)
                if wanted is not None and placed not in wanted:
                    continue
                diversion = self._diversions.get(path)
                if diversion is not None and diversion.package == b":":
                    owner = Owner(entry.name, escape(package.version), Level.LISTED, path in config)
                    says = f"put aside to {escape(diversion.to)} by dpkg-divert, for no package"
                    put_aside.append(Departure(path, owner, (), says, diverted=True))
                conffile = config.get(path)
                digest = conffile.digest if conffile is not None else digests.get(path, "")
                level = Level.DIGEST if digest else Level.LISTED
                one = Expected(
                    placed,
                    number * 4 + level,
                    type=stat.S_IFREG if digest else None,
                    largest=largest,
                    algorithm="md5",
                    digest=digest if hashing else "",
                    absent=self._excluded(path) or (conffile is not None and conffile.obsolete),
                    instead=conffile is not None,
                )
                override = overrides.get(path)
                if override is not None:
                    one = one._replace(
                        mode=override.mode,
                        user=_id(override.user, ids.users),
                        group=_id(override.group, ids.groups),
                    )
                yield one

    # -- what it did -----------------------------------------------------------------------------------------

    def transactions(self, since: float) -> Iterator[Transaction]:
        """By its log and what was rotated of it; times are of this machine's zone, as dpkg writes them."""
        for path in rotated(self._texts, b"dpkg.log", since):
            for number, line in lines(self._texts, path):
                at = dpkgdb.moment(line, time.mktime)  # type: ignore[arg-type]
                if at is None or at < since:
                    continue
                if (one := dpkgdb.logged(line, f"{escape(path)}:{number}", at)) is not None:
                    yield one

    def worked(self, since: float) -> Iterator[Deed]:
        """By what its log says of each package's state. Its files are unpacked by the line that follows the
        one which calls it half installed."""
        found: list[tuple[Deed, int]] = []
        going: dict[str, int] = {}
        half: set[str] = set()
        run, over = 0.0, [0.0]
        for path in rotated(self._texts, b"dpkg.log", since):
            for _, line in lines(self._texts, path):
                if (at := dpkgdb.moment(line, time.mktime)) is None:  # type: ignore[arg-type]
                    continue
                if dpkgdb.is_start(line):
                    run = at
                    if not 0 <= at - over[-1] <= NEXT_RUN:
                        over.append(at)
                over[-1] = at
                if (one := dpkgdb.told(line, at)) is not None:
                    if (number := going.get(one.package)) is None:
                        continue
                    deed, of = found[number]
                    if one.state == "half-installed" or one.package in half:
                        half ^= {one.package}
                        deed = deed._replace(unpacked=max(deed.unpacked, at))
                    found[number] = deed._replace(ended=max(deed.ended, at)), of
                elif (done := dpkgdb.logged(line, "", at)) is not None and at >= since:
                    going[done.package] = len(found)
                    found.append((at_once(done)._replace(run=run), len(over) - 1))
        for deed, of in found:
            yield deed._replace(over=over[of])

    def keys(self) -> frozenset[str]:
        """It verifies none itself."""
        return frozenset()

    def digests_written(self, package: str) -> float:
        """The ctime of its list of them, which no program sets."""
        at = self._texts.lstat(b"%s/%s.md5sums" % (INFO, unescape(package)))
        return at.st_ctime if at is not None else 0.0

    def doubts(self) -> Iterator[Doubt]:
        """Digests and scripts that are younger than their package, and packages without digests."""
        for entry in self._status[0]:
            place = b"%s/%s" % (INFO, entry.base)
            sums, listed = (self._texts.lstat(place + end) for end in (b".md5sums", b".list"))
            source = escape(place + b".md5sums")
            if listed is None:
                yield Doubt(entry.name, "its list of files is gone", escape(place + b".list"))
            elif sums is None:
                if any(path for path in self._listed(entry) or () if not path.startswith(b"/usr/share/")):
                    yield Doubt(entry.name, "it has no digests, so its files cannot be compared", source)
            elif _later(sums, listed):
                yield Doubt(entry.name, "its digests were written after it was unpacked", source)
            if listed is not None:
                yield from self._scripts(entry, place, listed)

    def _scripts(self, entry: _Entry, place: bytes, listed: os.stat_result) -> Iterator[Doubt]:
        """No digest is kept of them, and the next update runs them as root."""
        for script in SCRIPTS:
            found = self._texts.lstat(place + script)
            if found is not None and _later(found, listed):
                says = "its scripts, which dpkg runs as root, were written after it was unpacked"
                yield Doubt(entry.name, says, escape(place + script))
                return


def _later(file: os.stat_result, listed: os.stat_result) -> bool:
    """Whether a file of the database came after the list of its package.

    Whoever sets the list's own times anew hides that, and dpkg itself writes it anew when another package
    takes a file over.
    """
    if abs(listed.st_ctime - listed.st_mtime) < FRESH and file.st_ctime - listed.st_ctime > SOON:
        return True
    return max(file.st_mtime - listed.st_mtime, file.st_ctime - listed.st_ctime) > LATER


def _id(name: bytes, table: Mapping[bytes, int]) -> int | None:
    if name.startswith(b"#") and name[1:].isdigit():
        return int(name[1:10])
    return table.get(name)
