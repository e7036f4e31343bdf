"""A package manager that owns what a test says: whole folders by their prefix, and departures from them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from hostguardd.model import Blind
from hostguardd.packages.interface import Departure, Level, NoPackages, Owner, Transaction

OWNER = Owner("base-files", "12.4", Level.DIGEST)


@dataclass
class Owning(NoPackages):
    """Owns what lies below `folders`, but for `strangers`."""

    folders: tuple[bytes, ...] = (b"/usr/sbin/", b"/usr/bin/", b"/usr/lib/", b"/bin/", b"/sbin/")
    strangers: frozenset[bytes] = frozenset()
    departures: tuple[Departure, ...] = ()
    deeds: tuple[Transaction, ...] = ()
    name = "dpkg"
    problem = ""

    def owners(self, paths: Collection[bytes]) -> Mapping[bytes, Owner]:
        return {one: OWNER for one in paths if one.startswith(self.folders) and one not in self.strangers}

    def verify(
        self, stop: Callable[[], bool], only: Collection[bytes] | None = None
    ) -> Iterator[Departure | Blind]:
        return (one for one in self.departures if only is None or one.path in only)

    def transactions(self, since: float) -> Iterator[Transaction]:
        return (one for one in self.deeds if one.at >= since)
