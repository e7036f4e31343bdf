"""Hidden processes, ports and files: what one view of the host shows and another one does not.

The guide scans a host's ports from elsewhere and compares with what the host itself admits; the same is done
here from within, for ports, processes and files, by `sensors.hidden`, and by connecting to every port of this
host's own address that no table shows: on a healthy host each is refused.

What views disagree on is always suspicious. A name that is merely odd, or hidden where none belongs, may be a
careless installer's: it is suspicious when there is something in it to be run, or something new.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from typing import Final

from ...facts import hidden as signs
from ...model import HiddenFact, join, path_traits, split
from ...sensors import unlisted
from ..interface import Confidence, Evidence, Found, Item, Known, Moment, Unseen, Verdict, text
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

NAMES: Final = (signs.ODD_NAME, signs.HIDDEN_FOLDER, signs.HIDDEN_FILE, signs.IN_DEV)
"""Signs that are about a name alone: no view hides these."""

MEANS: Final = "Root kits and intruders hide what they run and keep; nothing else has a reason to."
NEXT: Final = "Save it as evidence before anything else; trust no program of this host to look at it again."
MAYBE: Final = "Careless installers leave such names as well; an intruder chooses them so that nobody looks."
ASK: Final = (
    "Look at what it holds and when it came; if nobody can explain it, save it and treat it as a find."
)

SCANNING: Final = 5.0
"""Seconds that connecting to our own ports may take in all; 1.5 suffice on an idle host."""

MOST_INSIDE: Final = 200
"""Entries of a hidden folder that are looked at, two levels deep."""


def look(scene: Scene) -> Iterator[Found]:
    """Everything that one view hides."""
    facts = scene.facts(HiddenFact)
    paths = [fact.name for fact in facts if fact.sign in NAMES]
    owners = scene.packages.owners(paths) if paths else {}
    for fact in facts:
        if fact.sign in NAMES and fact.name in owners:
            name = text(fact.name)
            yield Item(
                name, Verdict.FINE, f"{name}: {SAYS[fact.sign][0]}, which {owners[fact.name].package} brought"
            )
        else:
            yield from _told(scene, fact)
    told = {fact.name for fact in facts}
    yield from _scan(scene, told)
    yield from scene.blind(HiddenFact)


def _told(scene: Scene, fact: HiddenFact) -> Iterator[Found]:
    says, technique = SAYS[fact.sign]
    name, known, why = text(fact.name), scene.known(fact), ""
    verdict = Verdict.SUSPICIOUS
    if fact.sign in NAMES:
        changed, why = _inside(scene, fact.name)
        verdict = Verdict.SUSPICIOUS if why and known is not Known.KNOWN else Verdict.NOTABLE
        if changed >= scene.since:
            says_when = f"{name} was made or changed: {says}"
            yield Moment(changed, "file", says_when, name, Confidence.LIKELY, verdict)
    bad = verdict is Verdict.SUSPICIOUS
    yield Item(
        name,
        verdict,
        f"{name}: {says}{why}",
        MEANS if bad else MAYBE,
        NEXT if bad else ASK,
        known,
        technique,
        {"sign": fact.sign, "program": text(fact.program)},
        (Evidence(f"cross-view of {fact.view}", text(fact.detail)),),
    )


def _inside(scene: Scene, path: bytes) -> tuple[float, str]:
    """(when it was last changed by its ctime, why it is more than a name: a clause or "")."""
    texts = scene.host.texts
    seen = texts.lstat(path)
    if seen is None:
        return 0.0, ""
    if not stat.S_ISDIR(seen.st_mode):
        if stat.S_ISREG(seen.st_mode) and seen.st_mode & 0o111:
            return seen.st_ctime, ", and it can be run"
        return seen.st_ctime, ", and it is new" if seen.st_ctime >= scene.since else ""
    shared = "temporary" in path_traits(path)  # everything is new there
    if texts.lstat(join(split(path)[0], b".git")) is not None:
        return seen.st_ctime, ""  # of a checkout
    changed, why, left = seen.st_ctime, "", MOST_INSIDE
    pending = [(path, 1)]
    while pending and left > 0:
        folder, deeper = pending.pop(0)
        for name in (texts.names(folder, left) or ())[:left]:
            left -= 1
            inside = texts.lstat(join(folder, name))
            if inside is None:
                continue
            if stat.S_ISDIR(inside.st_mode):
                pending += [(join(folder, name), deeper - 1)] if deeper else []
                continue
            changed = max(changed, inside.st_ctime)
            if stat.S_ISREG(inside.st_mode) and inside.st_mode & 0o111:
                return changed, f", and {text(name, 100)} in it can be run"
            if inside.st_ctime >= scene.since and not shared:
                why = why or f", and {text(name, 100)} in it is new"
    return changed, why


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
            yield from _told(scene, HiddenFact("ports", name, *found))
    if late:
        yield Unseen("ports by connecting", f"not all ports could be tried in {SCANNING:.0f} s")
    elif not finds:
        yield Item(
            "ports by connecting",
            Verdict.FINE,
            f"at {text(unlisted.scanned(views))} no port answers that the kernel does not list",
        )
