"""Names made to be overlooked: `...`, `.. `, invisible signs, and dot names where none belongs.

Odd names count wherever they are. Dot folders and dot programs only in the system's own places (which of them
are ordinary there `sensors.oddnames` knows), and not when a package brought them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...attributes import moment
from ...fact import TEMPORARY
from ...facts.hidden import HIDDEN_FILE, HIDDEN_FOLDER, ODD_NAME
from ...model import split
from ...sensors.hidden import is_place
from ..files.belongs import Belongs, belongs, in_home, outer_root
from ..files.gathered import Odd, in_system
from ..files.walk import unseen, walked
from ..interface import Confidence, Evidence, Found, Item, Moment, Verdict, text
from ..scene import Scene

TECHNIQUE: Final = "T1564.001"
MEANS: Final = (
    "Intruders keep their tools and their loot under names that a listing does not show or nobody reads."
)
NEXT: Final = (
    "Look inside without changing anything (ls -lab, find -ls), save it as evidence, and see who owns it "
    "and what "
    "happened at the time of its change."
)


def look(scene: Scene) -> Iterator[Found]:
    """Every name of that kind."""
    found = walked(scene)
    suspects = [one for one in found.odd if verdict_of(scene, one) > Verdict.FINE]
    owned = belongs(scene, [one.entry.path for one in suspects], compare=False)
    for one in suspects:
        path = one.entry.path
        if owned[path].owner is not None or packaged_folder(scene, one):
            continue
        verdict = verdict_of(scene, one)
        if verdict is Verdict.SUSPICIOUS and outer_root(scene, path):
            verdict = Verdict.NOTABLE
        yield told(scene, one, verdict, owned[path])
        if one.entry.ctime / 1e9 >= scene.since:
            yield Moment(
                one.entry.ctime / 1e9, "file", f"{text(path)} was made or last changed",
                f"ctime of {text(path)}", Confidence.LIKELY, verdict, scene.user(one.entry.uid),
            )  # fmt: skip
    if (more := found.counts["odd"] - len(found.odd)) > 0:
        says = f"{more} more names are odd than those that were looked at"
        yield Item("more odd names", Verdict.NOTABLE, says, MEANS, "find / -xdev -name '..*' shows them all.")
    yield from unseen(scene)


def verdict_of(scene: Scene, one: Odd) -> Verdict:
    """What is to be thought of it by its name and its place."""
    path = one.entry.path
    folder = split(path)[0]
    exposed = in_system(path) or (path + b"/").startswith(TEMPORARY) or is_place(folder)
    if one.sign == ODD_NAME:
        return Verdict.SUSPICIOUS if exposed and not in_home(scene, path) else Verdict.NOTABLE
    if not one.sign:  # like `..x`
        return Verdict.NOTABLE if exposed else Verdict.FINE
    if one.sign == HIDDEN_FOLDER and (folder + b"/").startswith(TEMPORARY) and folder.count(b"/") > 1:
        below = any(folder == top.rstrip(b"/") for top in TEMPORARY)
        return Verdict.SUSPICIOUS if below else Verdict.NOTABLE  # deeper are checkouts and unpacked archives
    if one.sign in (HIDDEN_FOLDER, HIDDEN_FILE) and not is_place(folder):
        return Verdict.NOTABLE if in_system(path) and not folder.startswith(b"/usr/local/") else Verdict.FINE
    return Verdict.SUSPICIOUS


def packaged_folder(scene: Scene, one: Odd) -> bool:
    """Whether it is a folder that packages have files in, though none owns it itself."""
    return one.sign == HIDDEN_FOLDER and in_system(one.entry.path) and scene.packages.holds(one.entry.path)


def told(scene: Scene, one: Odd, verdict: Verdict, owner: Belongs) -> Item:
    """The item of one name."""
    entry = one.entry
    name = text(entry.path)
    return Item(
        name,
        verdict,
        f"{name}: {one.clause}; {owner.says}",
        MEANS,
        NEXT,
        technique=TECHNIQUE,
        details={
            "sign": one.sign or "like-parent",
            "owner": scene.user(entry.uid),
            "changed": moment(entry.ctime),
            "modified": moment(entry.mtime),
        },
        evidence=(Evidence(f"ls -ldb {name}", f"{scene.user(entry.uid)}, changed {moment(entry.ctime)}"),),
    )
