"""Names made to be overlooked: `...`, `.. `, invisible signs, and dot names where none belongs.

Odd names count wherever they are. Dot folders and dot programs only in the system's own places (which of them
are ordinary there `sensors.oddnames` knows), and not when a package brought them. They may be a careless
installer's: they are suspicious when there is something in them to be run, or something new.
"""

from __future__ import annotations

import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ...attributes import moment
from ...fact import TEMPORARY
from ...facts.hidden import HIDDEN_FILE, HIDDEN_FOLDER, IN_DEV, ODD_NAME
from ...model import HiddenFact, join, path_traits, split
from ...sensors.hidden import FILES, is_place
from ...words.interface import counted
from ..files.belongs import Belongs, belongs, in_home, outer_root, some
from ..files.gathered import Odd, in_system
from ..files.walk import unseen, walked
from ..interface import Confidence, Evidence, Found, Item, Known, Moment, Verdict, text, word
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

SHOWN: Final = 5
"""Names that are alike and told each; of more, their number and some."""

MOST_INSIDE: Final = 200
"""Entries of a hidden folder that are looked at, two levels deep."""


class Name(NamedTuple):
    """An odd name as it is to be told. `changed`: when it, or something in it, was last changed; `why` it is
    more than a name, as a clause or ""."""

    odd: Odd
    verdict: Verdict
    known: Known
    changed: float
    why: str


def look(scene: Scene) -> Iterator[Found]:
    """Every name of that kind, those alike below one folder as one."""
    found = walked(scene)
    suspects = [one for one in found.odd if verdict_of(scene, one) > Verdict.FINE]
    owned = belongs(scene, [one.entry.path for one in suspects], compare=False)
    known = marks(scene)
    groups: dict[object, list[Name]] = defaultdict(list)
    for one in suspects:
        path = one.entry.path
        if owned[path].owner is not None or packaged_folder(scene, one):
            continue
        name = judged(scene, one, known.get(path, Known.NOT_ASKED))
        temporary = (path + b"/").startswith(TEMPORARY)
        alone = name.verdict is Verdict.SUSPICIOUS and not temporary
        alike = one.sign, one.entry.uid, name.verdict, name.known
        groups[path if alone else (top_of(path), alike)].append(name)
    for names in groups.values():
        if len(names) > SHOWN:
            yield together(scene, names)
        else:
            yield from (told(scene, name, owned[name.odd.entry.path]) for name in names)
        for name in names if len(names) <= SHOWN else (max(names, key=lambda one: one.changed),):
            if name.changed >= scene.since:
                shown = text(name.odd.entry.path)
                yield Moment(
                    name.changed, "file", f"{shown} was made or last changed", f"ctime of {shown}",
                    Confidence.LIKELY, name.verdict, scene.user(name.odd.entry.uid), known=name.known,
                )  # fmt: skip
    if (more := found.counts["odd"] - len(found.odd)) > 0:
        says = f"{counted(more, 'more name is', 'more names are')} odd than those that were looked at"
        yield Item("more odd names", Verdict.NOTABLE, says, MEANS, "find / -xdev -name '..*' shows them all.")
    yield from unseen(scene)


def marks(scene: Scene) -> Mapping[bytes, Known]:
    """How the names that the baseline watches stand to it."""
    if scene.approved.generation is None:
        return {}
    return {fact.name: scene.known(fact) for fact in scene.facts(HiddenFact) if fact.view == FILES}


def judged(scene: Scene, one: Odd, known: Known) -> Name:
    """What is to be thought of it by what is behind it."""
    path, verdict, changed, why = one.entry.path, verdict_of(scene, one), one.entry.ctime / 1e9, ""
    if one.sign in (HIDDEN_FOLDER, HIDDEN_FILE, IN_DEV) and is_place(split(path)[0]):
        inside, why = behind(scene, path)
        changed = max(changed, inside)
        verdict = Verdict.SUSPICIOUS if why else Verdict.NOTABLE
    if verdict is Verdict.SUSPICIOUS and outer_root(scene, path):
        verdict = Verdict.NOTABLE
    return Name(one, verdict, known, changed, why)


def top_of(path: bytes) -> bytes:
    """The folder by which alike names are told together."""
    parts = split(path)[0].split(b"/")
    top = next((one for one in TEMPORARY if path.startswith(one)), b"/usr/lib/")
    return b"/".join(parts[: top.count(b"/") + 1])


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


def behind(scene: Scene, path: bytes) -> tuple[float, str]:
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


def packaged_folder(scene: Scene, one: Odd) -> bool:
    """Whether it is a folder that packages have files in, though none owns it itself."""
    return one.sign == HIDDEN_FOLDER and in_system(one.entry.path) and scene.packages.holds(one.entry.path)


def together(scene: Scene, names: Sequence[Name]) -> Item:
    """The item of many names that are alike."""
    one = names[0].odd
    top, who = text(top_of(one.entry.path)), scene.user(one.entry.uid)
    paths = [name.odd.entry.path for name in names]
    shown = ", ".join(
        text(name.odd.entry.path) + (f" ({name.why.removeprefix(', ')})" if name.why else "")
        for name in names[:3]
    )
    return Item(
        f"names below {top}: {one.sign or 'like-parent'} of {who}", names[0].verdict,
        f"{counted(len(names), 'name')} below {top}, such as {shown}: {one.clause}; no package owns them",
        MEANS, NEXT, names[0].known, TECHNIQUE,
        {"sign": one.sign or "like-parent", "owner": who, "count": len(names), "paths": some(paths, 200)},
        (Evidence(f"find {word(top)} -name '.*'", counted(len(names), "name")),),
    )  # fmt: skip


def told(scene: Scene, one: Name, owner: Belongs) -> Item:
    """The item of one name."""
    entry = one.odd.entry
    name = text(entry.path)
    return Item(
        name,
        one.verdict,
        f"{name}: {one.odd.clause}{one.why}; {owner.says}",
        MEANS,
        NEXT,
        one.known,
        TECHNIQUE,
        {
            "sign": one.odd.sign or "like-parent",
            "owner": scene.user(entry.uid),
            "changed": moment(entry.ctime),
            "modified": moment(entry.mtime),
        },
        (Evidence(f"ls -ldb {word(name)}", f"{scene.user(entry.uid)}, changed {moment(entry.ctime)}"),),
    )
