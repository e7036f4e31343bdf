"""Hidden processes, ports and files: what one view of the host shows and another one does not.

The guide scans a host's ports from elsewhere and compares with what the host itself admits; the same is done
here from within, for ports, processes and files, by `sensors.hidden`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...facts import hidden as signs
from ...model import HiddenFact
from ..interface import Evidence, Found, Item, Verdict, text
from ..scene import Scene

SAYS: Final = {
    signs.UNLISTED: ("the kernel answers for it, and none of its lists shows it", "T1014"),
    signs.LIBC: ("the kernel shows it, and the C library (so every program) does not", "T1574.006"),
    signs.COVERED: ("something is mounted over it", "T1564.013"),
    signs.MISCOUNTED: ("the kernel counts more than its lists show", "T1014"),
    signs.ODD_NAME: ("its name is made to be overlooked", "T1564.001"),
    signs.HIDDEN_FOLDER: ("a hidden folder where none belongs", "T1564.001"),
    signs.HIDDEN_FILE: ("a program with a hidden name", "T1564.001"),
    signs.IN_DEV: ("a plain file among the devices", "T1564.001"),
}  # fmt: skip
"""Sign -> (what it says, technique)."""

MEANS: Final = "Root kits and intruders hide what they run and keep; nothing else has a reason to."
NEXT: Final = "Save it as evidence before anything else; trust no program of this host to look at it again."


def look(scene: Scene) -> Iterator[Found]:
    """Everything that one view hides."""
    for fact in scene.facts(HiddenFact):
        says, technique = SAYS[fact.sign]
        name = text(fact.name)
        yield Item(
            name,
            Verdict.SUSPICIOUS,
            f"{name}: {says}",
            MEANS,
            NEXT,
            scene.known(fact),
            technique,
            {"sign": fact.sign, "program": text(fact.program)},
            (Evidence(f"cross-view of {fact.view}", text(fact.detail)),),
        )
    yield from scene.blind(HiddenFact)
