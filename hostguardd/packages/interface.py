"""The words for what a package manager knows, and how far it can be believed. Pure.

The database of a package manager belongs to root, who may have been the intruder: a digest in it that matches
a file proves nothing when both were written together. So every answer names its `Level`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

from ..model import Blind


class Level(IntEnum):
    """How much an owner's word is worth, the least first.

    LISTED: the package names the path, and keeps no digest of it. DIGEST: the database holds a digest, and
    nobody signed it (dpkg always; rpm without a signature). SIGNED: the header that holds the digest bears a
    signature that verifies with one of the host's keys (which are in the same database: root may add one).
    """

    LISTED = 0
    DIGEST = 1
    SIGNED = 2

    @property
    def label(self) -> str:
        """The word used in reports."""
        return self.name.lower()


class Owner(NamedTuple):
    """The package of a path. `config`: a file that administrators are meant to edit."""

    package: str
    version: str
    level: Level
    config: bool = False


ATTRIBUTES: Final = (
    "missing", "type", "content", "size", "mode", "owner", "group", "link", "device", "capabilities", "mtime",
)  # fmt: skip
"""What may depart from the package, in the words of the `Departure`. What cannot be read is a Blind."""


class Departure(NamedTuple):
    """A packaged path that is not as packaged. `changed` are words of ATTRIBUTES, in that order; `detail`
    says what was packaged and what is there, as text. `diverted`: the administrator had the packaged file put
    aside (dpkg-divert), so that what is there now is nobody's; `changed` may then be empty."""

    path: bytes
    owner: Owner
    changed: tuple[str, ...]
    detail: str
    diverted: bool = False


class Installed(NamedTuple):
    """One installed package. `at` is when, in seconds since the epoch (0: not known). `files` of it are
    listed; `signature` is a sentence on its signature ("" where the manager has none)."""

    package: str
    version: str
    at: float
    files: int
    level: Level
    signature: str = ""


class Transaction(NamedTuple):
    """Something that the package manager did, by its own log. `action` is install, upgrade, remove,
    downgrade, reinstall; `before` or `after` is "" where there is none. `source` is `path:line`."""

    at: float
    action: str
    package: str
    before: str
    after: str
    source: str


class Deed(NamedTuple):
    """What became of one package, in seconds since the epoch: `begin` of the work on it, until when its files
    were `unpacked`, and when the work `ended`. `run` is when the manager was started that did it (0: not
    told), and `over` when it was through with all that it did then (0: not told); `action`, `before` and
    `after` as of a `Transaction`. `past`: it was over when versions were recorded (`zones.recorded`)."""

    package: str
    action: str
    before: str
    after: str
    begin: float
    unpacked: float
    ended: float
    run: float = 0.0
    over: float = 0.0
    past: bool = False


def at_once(one: Transaction) -> Deed:
    """The deed of a transaction of which only one moment is known."""
    return Deed(one.package, one.action, one.before, one.after, one.at, one.at, one.at)


class Doubt(NamedTuple):
    """What speaks against believing the database itself. `about` is a package, or a path of the database.
    `grave`: no healthy host has it."""

    about: str
    says: str
    source: str
    grave: bool = False


class PackageHost(Protocol):
    """One package manager's knowledge. Nothing raises for what it meets on the host."""

    @property
    def name(self) -> str:
        """`dpkg` or `rpm`; "" where there is none."""
        ...

    @property
    def problem(self) -> str:
        """The sentence why nothing can be said, "" if something can."""
        ...

    def installed(self) -> list[Installed]:
        """All packages, by name."""
        ...

    def owners(self, paths: Collection[bytes]) -> Mapping[bytes, Owner]:
        """The owners of those of `paths` that have one. Knows that /bin is /usr/bin where that is so.

        Ask `problem` afterwards: where the answer is not whole, that says so.
        """
        ...

    def holds(self, folder: bytes) -> bool:
        """Whether packages have something below a folder, though none may own the folder itself."""
        ...

    def verify(
        self, stop: Callable[[], bool], only: Collection[bytes] | None = None
    ) -> Iterator[Departure | Blind]:
        """Compare every packaged path (or `only` those) with its package; content by digest.

        `only` may be a mapping to the `Identity` of what is meant: what is not that any more when it is
        opened is not compared. What could not be looked at is a Blind of kind `package`. `stop()` true ends
        it early.
        """
        ...

    def transactions(self, since: float) -> Iterator[Transaction]:
        """What it did since then, by its own logs, the oldest first."""
        ...

    def doubts(self) -> Iterator[Doubt]:
        """What makes the database look as if somebody had written in it by hand."""
        ...


class PackageLedger(PackageHost, Protocol):
    """The same, with what it takes to say afterwards what a package manager did."""

    def worked(self, since: float) -> Iterator[Deed]:
        """What it did since then, and for how long on each package where its log tells; in the log's
        order."""
        ...

    def paths(self) -> Iterator[tuple[bytes, str]]:
        """Every packaged path by its one name, with the package."""
        ...

    def keys(self) -> frozenset[str]:
        """The names of the keys whose signatures it believes, each by what it holds. Raises OSError where
        that is not known."""
        ...

    def digests_written(self, package: str) -> float:
        """When the digests of a package were written (`Owner.package`), in seconds since the epoch; 0 where
        they are no file of their own."""
        ...


class NoPackages:
    """No package manager that is known here."""

    name = ""

    def __init__(self, problem: str = "neither rpm nor dpkg keeps packages on this host") -> None:
        self.problem = problem

    def installed(self) -> list[Installed]:
        """None."""
        return []

    def owners(self, paths: Collection[bytes]) -> Mapping[bytes, Owner]:
        """Nobody owns anything."""
        return {}

    def holds(self, folder: bytes) -> bool:
        """Nothing."""
        return False

    def verify(
        self, stop: Callable[[], bool], only: Collection[bytes] | None = None
    ) -> Iterator[Departure | Blind]:
        """Nothing departs from nothing."""
        return iter(())

    def transactions(self, since: float) -> Iterator[Transaction]:
        """Nothing happened."""
        return iter(())

    def worked(self, since: float) -> Iterator[Deed]:
        """Nothing happened."""
        return iter(())

    def paths(self) -> Iterator[tuple[bytes, str]]:
        """None."""
        return iter(())

    def keys(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def digests_written(self, package: str) -> float:
        """Never."""
        return 0.0

    def doubts(self) -> Iterator[Doubt]:
        """Nothing to doubt."""
        return iter(())
