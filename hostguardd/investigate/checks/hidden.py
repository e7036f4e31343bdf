"""Hidden processes, ports and files: what one view of the host shows and another one does not.

The guide scans a host's ports from elsewhere and compares with what the host itself admits; the same is done
here from within, for ports, processes and files, by `sensors.hidden`, and by connecting to every port of this
host's own address that no table shows: on a healthy host each is refused.

What views disagree on is always suspicious. A name that is merely odd is for `names` to tell.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from ...facts import hidden as signs
from ...model import HiddenFact
from ...sensors import unlisted
from ..interface import Evidence, Found, Item, Unseen, Verdict, text
from ..scene import Scene

SAYS: Final = {
    signs.UNLISTED: ("the kernel answers for it, and none of its lists shows it", "T1014"),
    signs.LIBC: ("the kernel shows it, and the C library (so every program) does not", "T1574.006"),
    signs.COVERED: ("something is mounted over it", "T1564.013"),
    signs.MISCOUNTED: ("the kernel counts more than its lists show", "T1014"),
}  # fmt: skip
"""Sign -> (what it says, technique)."""

MEANS: Final = "Root kits and intruders hide what they run and keep; nothing else has a reason to."
NEXT: Final = "Save it as evidence before anything else; trust no program of this host to look at it again."

SCANNING: Final = 5.0
"""Seconds that connecting to our own ports may take in all; 1.5 suffice on an idle host."""


def look(scene: Scene) -> Iterator[Found]:
    """Everything that one view hides."""
    facts = [fact for fact in scene.facts(HiddenFact) if fact.sign in SAYS]
    for fact in facts:
        yield _told(scene, fact)
    yield from _scan(scene, {fact.name for fact in facts})
    yield from scene.blind(HiddenFact)


def _told(scene: Scene, fact: HiddenFact) -> Item:
    says, technique = SAYS[fact.sign]
    name = text(fact.name)
    return Item(
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


def _scan(scene: Scene, told: set[bytes]) -> Iterator[Found]:
    """Connect to our own ports that no table shows, unless ports are not to be tried ([hidden] ports)."""
    views = scene.host.views
    if views.blind or not scene.config.hidden.ports:
        return
    until = time.monotonic() + SCANNING
    late = False

    def stop() -> bool:
        nonlocal late
        late = late or time.monotonic() > until or scene.stop()
        return late

    ends = list(unlisted.answering_ports(views, stop))
    finds = unlisted.confirmed(lambda: unlisted.check_answers(views, ends), views, scene.stop) if ends else {}
    for name, found in sorted(finds.items()):
        if name not in told:
            yield _told(scene, HiddenFact("ports", name, *found))
    if late:
        yield Unseen("ports by connecting", f"not all ports could be tried in {SCANNING:.0f} s")
    elif not finds:
        yield Item(
            "ports by connecting",
            Verdict.FINE,
            f"at {text(unlisted.scanned(views))} no port answers that the kernel does not list",
        )
