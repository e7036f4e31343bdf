"""What explains that something changed lately: the package manager's own record of what it did, or that the
host itself was put there then.

The rule kept: **that other files changed at the same time explains nothing**, however many they are. Nobody
but the kernel sets an inode's time (ctime), but one chmod(1) moves those of all that it is given. So a host
counts as put there only where its files were *made* then, which statx(2) tells and no program sets.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ...globs import compile_paths
from ...model import split
from ...packages.interface import Owner, Transaction
from ..scene import Scene
from .gathered import Entry
from .walk import MOST_CHANGED, walked

BEFORE: Final = 60.0
AFTER: Final = 1800.0
"""Seconds before and after the record of a package within which its files change."""

RUN: Final = 600.0
"""Seconds between two records of the package manager that belong to one run."""

SETTLED: Final = 20.0
"""Seconds without a change of a packaged path after which the putting of a host is over."""

SETTLING: Final = 300.0
"""Seconds after a run in which its scripts and triggers are still at work."""

SHARE: Final = 0.3
"""Of all packaged paths: when so many change in one go, the host itself was installed, copied or restored."""

LEAST_DEPLOYED: Final = 500
"""Fewer packaged paths than these are no such event."""


MARKS: Final = tuple(
    b"/" + name for name in (b"etc", b"usr", b"usr/bin", b"usr/lib", b"usr/share", b"var", b"var/lib")
)
"""Folders that are as old as the host."""

SAMPLE: Final = 64
"""Files of a span whose birth is asked for."""

MADE_THEN: Final = 0.8
"""Of those: so many were made within the span, if it is one in which the host was put there."""

UNPACKING: Final = 3600.0
"""Seconds before a span within which the putting of the host may have begun."""

PROGRAMS: Final = tuple(
    folder + b"/" for folder in (
        b"/bin", b"/sbin", b"/lib", b"/lib32", b"/lib64", b"/libx32", b"/usr/bin", b"/usr/sbin", b"/usr/lib",
        b"/usr/lib32", b"/usr/lib64", b"/usr/libexec", b"/usr/games",
    )
)  # fmt: skip
"""Where nothing but packages puts programs."""

OTHERS: Final = compile_paths([b"/usr/lib/node_modules/**", b"/usr/lib*/python*/**", b"/usr/lib*/ruby/**"])
"""Among them, where package managers of a language put theirs, past the system's own."""


@dataclass(slots=True)
class Run:
    """One run of the package manager."""

    began: float
    ended: float
    packages: Counter[str] = field(default_factory=Counter)
    source: str = ""
    entries: int = 0


@dataclass(slots=True)
class Record:
    """The package manager's own record of what it did, the oldest first. `first`: the time since which it has
    one; nothing can be said of what was before."""

    first: float
    runs: list[Run] = field(default_factory=list)
    by_package: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, one: Transaction) -> None:
        """The next record."""
        if not self.runs or one.at - self.runs[-1].ended > RUN:
            self.runs.append(Run(one.at, one.at, source=one.source))
        self.runs[-1].ended = one.at
        self.runs[-1].packages[one.package] += 1
        self.by_package[one.package.partition(":")[0]].append(one.at)

    def explains(self, entry: Entry, owner: Owner | None) -> Run | None:
        """The run that a change comes from. A program that no package owns comes from none."""
        at = entry.ctime / 1e9
        runs = [one for one in self.runs if one.began - BEFORE <= at <= one.ended + AFTER]
        if owner is not None:
            times = self.by_package.get(owner.package.partition(":")[0], ())
            return runs[-1] if runs and any(then - BEFORE <= at <= then + AFTER for then in times) else None
        if is_program(entry):
            return None
        return next((run for run in runs if at <= run.ended + SETTLING), None)


def recorded(scene: Scene) -> Record:
    """What the package manager did within the time that is asked for."""
    return scene.once(_recorded)


def _recorded(scene: Scene) -> Record:
    if scene.packages.problem:
        return Record(0.0)
    record = Record(scene.now)
    for one in sorted(scene.packages.transactions(0.0), key=lambda transaction: transaction.at):
        record.first = min(record.first, one.at - BEFORE)
        if one.at >= scene.since - AFTER:
            record.add(one)
    return record


class Span(NamedTuple):
    """A time within which `packaged` paths of packages changed in one go: seconds since the epoch. `made`:
    they were made then, and so was the host."""

    began: float
    ended: float
    packaged: int
    made: bool


def owned_newest(scene: Scene) -> Mapping[bytes, Owner]:
    """The packages of what changed lately."""
    if scene.packages.problem:
        return {}
    return scene.packages.owners([one.path for one in walked(scene).newest])


def spans(scene: Scene) -> list[Span]:
    """When very many packaged paths changed in one go, and no run of the package manager explains it."""
    owners, record = scene.once(owned_newest), recorded(scene)
    entries = [
        one
        for one in walked(scene).newest
        if (owner := owners.get(one.path)) is not None and record.explains(one, owner) is None
    ]
    entries.sort(key=lambda one: one.ctime)
    found: list[Span] = []
    if len(entries) < LEAST_DEPLOYED:
        return found
    total = sum(one.files for one in scene.packages.installed())
    least = max(LEAST_DEPLOYED, SHARE * min(total, MOST_CHANGED))
    begin = 0
    for at in range(1, len(entries) + 1):
        if at == len(entries) or (entries[at].ctime - entries[at - 1].ctime) / 1e9 > SETTLED:
            if at - begin >= least:
                found.append(_span(scene, entries[begin:at]))
            begin = at
    return found


def _span(scene: Scene, entries: Sequence[Entry]) -> Span:
    began, ended = entries[0].ctime / 1e9, entries[-1].ctime / 1e9
    files = [one.path for one in entries if one.is_file]
    births = [
        at / 1e9
        for path in itertools.islice(files, 0, None, len(files) // SAMPLE + 1)
        if (at := born(scene, path)) is not None
    ]
    then = sum(began - SETTLED <= at <= ended + SETTLED for at in births)
    older = any((at := born(scene, path)) is not None and at / 1e9 < began - UNPACKING for path in MARKS)
    return Span(began, ended, len(entries), bool(births) and then >= MADE_THEN * len(births) and not older)


def born(scene: Scene, path: bytes) -> int | None:
    """When something was made, by its file system, in nanoseconds; None where nobody can say."""
    folder, name = split(path)
    try:
        with scene.host.files.open_folder(folder) as opened:
            return opened.born(name)
    except OSError:
        return None


def deployed(scene: Scene) -> list[Span]:
    """When the host itself was put there: installed from an image, copied by files, restored from a backup.

    Then most of what packages brought was made within minutes. What came with it has no time of its own that
    would tell anything.
    """
    return [span for span in scene.once(spans) if span.made]


def within(spans: Iterable[Span], entry: Entry) -> Span | None:
    """The span that an entry's change lies in."""
    at = entry.ctime / 1e9
    return next((span for span in spans if span.began - SETTLED <= at <= span.ended + SETTLED), None)


def is_program(entry: Entry) -> bool:
    """Whether it lies among the system's programs and can be run or loaded."""
    name = split(entry.path)[1]
    if not entry.path.startswith(PROGRAMS) or OTHERS.fullmatch(entry.path):
        return False
    return entry.is_file and (entry.mode & 0o111 != 0 or b".so" in name) and not name.endswith(b".pyc")
