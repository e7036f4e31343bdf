"""A package manager that knows what a test tells it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from hostguardd.model import Blind
from hostguardd.packages.interface import Departure, Doubt, Installed, Level, Owner, Transaction


class FakePackages:
    """`PackageHost` over tables. `owned`: the package of each path; `changed`: how a path departs from it."""

    name = "dpkg"
    problem = ""

    def __init__(
        self,
        owned: Mapping[bytes, str] | None = None,
        changed: Mapping[bytes, tuple[str, ...]] | None = None,
        done: Collection[Transaction] = (),
        config: Collection[bytes] = (),
    ) -> None:
        self._owners = {
            path: Owner(package, "1.0", Level.DIGEST, path in config)
            for path, package in (owned or {}).items()
        }
        self.changed = changed or {}
        self.done = done

    @property
    def paths(self) -> Collection[bytes]:
        """Every path that a package owns."""
        return self._owners.keys()

    def installed(self) -> list[Installed]:
        return []

    def owners(self, paths: Collection[bytes]) -> Mapping[bytes, Owner]:
        return {path: self._owners[path] for path in paths if path in self._owners}

    def holds(self, folder: bytes) -> bool:
        return any(path.startswith(folder + b"/") for path in self._owners)

    def verify(
        self, stop: Callable[[], bool], only: Collection[bytes] | None = None
    ) -> Iterator[Departure | Blind]:
        for path, words in self.changed.items():
            if only is None or path in only:
                yield Departure(path, self._owners[path], words, "")

    def doubts(self) -> Iterator[Doubt]:
        return iter(())

    def transactions(self, since: float) -> Iterator[Transaction]:
        return iter([one for one in self.done if one.at >= since])


def installed_at(at: float, *packages: str) -> list[Transaction]:
    """Records of packages that were installed then."""
    return [
        Transaction(at, "install", package, "", "1.0", f"/var/log/dpkg.log:{number}")
        for number, package in enumerate(packages, 1)
    ]
