"""Facts about what one view of the host hides, and about names made to be overlooked. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..fact import Fact

UNLISTED = "unlisted"
LIBC = "libc"
COVERED = "covered"
MISCOUNTED = "miscounted"
ODD_NAME = "odd-name"
HIDDEN_FOLDER = "hidden-folder"
HIDDEN_FILE = "hidden-file"
IN_DEV = "file-in-dev"


@dataclass(frozen=True, slots=True)
class HiddenFact(Fact):
    """One thing that is there and is kept out of a list, or is named so that people overlook it.

    `view` is `processes`, `ports` or `files` (the scope); `name` is `pid 4711`, `tcp 31337` or a path.
    `sign` says how it is hidden:

    * `unlisted`: the kernel answers for it, and none of its lists shows it;
    * `libc`: the kernel shows it, and the C library (through which every program looks) does not;
    * `covered`: something is mounted over it;
    * `miscounted`: the kernel counts more than its lists show, and what it is was not found;
    * `odd-name`: dots, blanks or signs that no terminal shows, and little else;
    * `hidden-folder`, `hidden-file`: a dot folder, or a program with a dot name, where none belongs;
    * `file-in-dev`: a plain file among the devices.

    `program` is what runs, where that is known. `detail` says which view shows it and which does not.
    """

    view: str
    name: bytes
    sign: str
    program: bytes
    detail: bytes

    KIND: ClassVar[str] = "hidden"
    KEY: ClassVar[tuple[str, ...]] = ("view", "name")
    QUICK: ClassVar[int] = 5
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"program", "detail"})
    TRAITS: ClassVar[frozenset[str]] = frozenset(
        {UNLISTED, LIBC, COVERED, MISCOUNTED, ODD_NAME, HIDDEN_FOLDER, HIDDEN_FILE, IN_DEV}
    )

    @property
    def label(self) -> bytes:
        return self.name

    def traits(self) -> frozenset[str]:
        return frozenset({self.sign} & self.TRAITS)
