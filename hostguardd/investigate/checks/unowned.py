"""What lies in the system's folders and belongs to no package: programs, libraries, units, start-up hooks.

Intruders put their tools where programs lie, with names that look like a system's. So do administrators and
other installers (pip, npm, a vendor's script): the question is then who brought it, and when. What packages'
own scripts make (links of alternatives, caches, initramfs, modules built by dkms) is known and left out.
"""

from __future__ import annotations

import re
import stat
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from ...host.files import Folder
from ...model import Row, join, split
from ...words.interface import counted
from ..files import places
from ..files.explained import deployed, recorded, within
from ..files.gathered import Entry
from ..files.running import against, evidence, running
from ..files.standing import standing
from ..interface import Evidence, Found, Item, Unseen, Verdict, text
from ..scene import SUDO, Scene

PROGRAMS: Final = (b"/usr/bin", b"/usr/sbin", b"/bin", b"/sbin")
TREES: Final = (b"/usr/libexec", b"/usr/lib", b"/usr/lib64", b"/usr/lib32", b"/lib", b"/lib64", b"/boot")
STARTED: Final = tuple(
    b"/etc/" + name
    for name in (
        b"cron.d", b"cron.hourly", b"cron.daily", b"cron.weekly", b"cron.monthly", b"init.d",
        b"rc.d/init.d", b"profile.d", b"pam.d", b"systemd/system", b"systemd/user", b"xinetd.d",
        b"udev/rules.d", b"modules-load.d", b"ld.so.conf.d", b"apt/apt.conf.d",
        b"NetworkManager/dispatcher.d", b"update-motd.d", b"sudoers.d",
    )
)  # fmt: skip
"""Folders of settings whose files are obeyed by being there."""

MADE: Final = re.compile(
    rb"/boot/(?:initr(?:d|amfs)[^/]*|grub2?/.*|efi/.*|loader/.*|extlinux/.*|lost\+found/.*|[^/]*-rescue-[^/]*"
    rb"|\.[^/]*\.hmac|System\.map[^/]*|config-[^/]*|symvers[^/]*)"
    rb"|/etc/pam\.d/(?:common-[a-z-]+|[a-z]+-auth(?:-ac)?|postlogin(?:-ac)?|smartcard-auth(?:-ac)?)"
    rb"|/etc/systemd/(?:system|user)/[^/]+\.(?:wants|requires|upholds)/.*"
    rb"|/etc/cron\.[a-z]+/\.placeholder|/etc/sudoers\.d/README|.*/\.updated"
)
"""What packages' own scripts and the system's tools make."""

MOST_ENTRIES: Final = 20_000
MOST_NAMES: Final = 1_000_000
MOST_FOUND: Final = 300_000
MOST_FOLDERS: Final = 100_000
DEPTH: Final = 24
SHOWN: Final = 5
"""Files of one tree that are told each; of more, their number and some."""

SAMPLE: Final = 20
MEANS: Final = "Intruders leave their tools among the system's programs; so do administrators and installers."
NEXT: Final = "Ask who put it there, and when (`stat` shows it); if nobody knows, save it as evidence."
INSTALLER: Final = "Find out which installer put them there (pip, npm, a vendor's script), and who ran it."


class Stray(NamedTuple):
    """Something that could be of a package. `at` is when its inode changed, or its content if that is later;
    `target` is where a link leads in the end, b"" for a file."""

    path: bytes
    kind: str
    mode: int
    at: float
    target: bytes = b""


def look(scene: Scene) -> Iterator[Found]:
    """What no package owns, the recent one by one, the rest by trees."""
    packages = scene.packages
    if packages.problem:
        yield Unseen("unowned files", packages.problem, "" if scene.is_root else SUDO)
        return
    unseen: list[Unseen] = []
    found = list(islice(_candidates(scene, unseen), MOST_FOUND))
    if len(found) == MOST_FOUND:
        unseen.append(Unseen("unowned files", f"there are more than {MOST_FOUND} programs and libraries"))
    asked = {one.path for one in found} | {one.target for one in found if one.target}
    owned = packages.owners(asked)
    problem = scene.packages.problem  # it may have come up while it answered
    if problem or (found and not owned):
        yield Unseen(
            "unowned files", problem or f"{packages.name} owns none of {counted(len(found), 'file')}"
        )
        return
    # A package may claim the name of a link that alternatives make (%ghost): a program there is not its own.
    claimed = {path for path, owner in owned.items() if owner.config and path.startswith(places.BIN)}
    owned = {path: owner for path, owner in owned.items() if path not in claimed}
    trees: dict[tuple[bytes, Verdict], list[Stray]] = defaultdict(list)
    others = 0
    for one in found:
        if one.path in claimed and stat.S_ISLNK(one.mode):
            continue
        if one.path in owned or one.target in owned or _is_made(one):
            continue
        if one.path.startswith(b"/etc/") and one.kind in ("settings", "unit"):
            others += 1  # `settings` and `folders` tell these, with what they run
        else:
            trees[_tree(one), _verdict(scene, one)].append(one)
    for (tree, verdict), strays in sorted(trees.items()):
        if len(strays) <= SHOWN or verdict is Verdict.SUSPICIOUS:
            yield from (_item(scene, one, verdict) for one in sorted(strays))
        else:
            yield _together(tree, verdict, sorted(strays))
    yield Item(
        "owned files",
        Verdict.FINE,
        f"{sum(one.path in owned for one in found)} programs, libraries, units and hooks belong to packages",
        details={"folders": [text(folder) for folder in (*PROGRAMS, *TREES, *STARTED)]},
    )
    if others:
        says = (
            f"{others} files of settings belong to no package: the checks of settings and folders tell them"
        )
        yield Item("settings of no package", Verdict.FINE, says)
    yield from unseen


# -- looking -------------------------------------------------------------------------------------------------


def _candidates(scene: Scene, unseen: list[Unseen]) -> Iterator[Stray]:
    """What a package could have brought and that could do harm, each folder by its one name."""
    seen: set[bytes] = set()
    files = scene.host.files
    away = {mount.point for mount in files.mounts() if mount.network or mount.pseudo}
    folders = 0
    for top in (*PROGRAMS, *TREES, *STARTED):
        try:
            pending = [(files.real(top), 0)]
        except OSError as error:
            unseen.append(Unseen(text(top), f"cannot be looked at: {error.strerror}", ""))
            continue
        while pending and not scene.stop():
            path, depth = pending.pop()
            if path in seen:
                continue
            seen.add(path)
            if path in away:
                unseen.append(Unseen(text(path), "another machine answers for it, so it was not walked"))
                continue
            folders += 1
            if folders > MOST_FOLDERS:
                unseen.append(Unseen(text(top), f"there are more than {MOST_FOLDERS} folders"))
                return
            try:
                with files.open_folder(path) as folder:
                    rows = folder.entries(MOST_ENTRIES)
                    # Very many are looked at one by one.
                    for row in rows if rows is not None else _one_by_one(scene, folder):
                        name, mode, mtime, ctime = row[1], row[2], row[6], row[7]
                        assert isinstance(name, bytes)
                        assert isinstance(mode, int)
                        assert isinstance(mtime, int)
                        assert isinstance(ctime, int)
                        if stat.S_ISDIR(mode) and depth < DEPTH:
                            pending.append((join(path, name), depth + 1))
                            continue
                        at = max(mtime, ctime) / 1e9
                        if one := _stray(scene, join(path, name), mode, at, top in STARTED):
                            yield one
            except FileNotFoundError:
                continue
            except OSError as error:
                remedy = "" if scene.is_root else SUDO
                unseen.append(Unseen(text(path), f"cannot be listed: {error.strerror}", remedy))
                continue


def _one_by_one(scene: Scene, folder: Folder) -> Iterator[Row]:
    for name in folder.names(MOST_NAMES):
        if scene.stop():
            return
        try:
            row = folder.entry(name)
        except OSError:
            continue
        if row is not None:
            yield row


def _stray(scene: Scene, path: bytes, mode: int, at: float, started: bool) -> Stray | None:
    """The candidate that an entry is; None for what does nothing by itself."""
    kind = places.kind(path)
    if stat.S_ISLNK(mode):
        # A link can only lead somewhere; where something is obeyed or run by its name, it matters where to.
        if not (path.startswith(places.BIN) or started):
            return None
        try:
            target = scene.host.files.real(path)
        except OSError:
            target = b""
        return Stray(path, kind or "settings", mode, at, target or path)
    if not stat.S_ISREG(mode):
        return None
    if started:
        kind = kind or ("program" if mode & 0o111 else "settings")
    elif kind in ("", "program"):
        kind = "program" if mode & 0o111 or path.startswith(b"/boot/") else ""
    return Stray(path, kind, mode, at) if kind else None


# -- judging -------------------------------------------------------------------------------------------------


def _is_made(one: Stray) -> bool:
    """Whether a package's script or the system made it: by its name, or a link that switches a unit off."""
    return one.target == b"/dev/null" or (
        MADE.fullmatch(one.path) is not None and not one.target.startswith(places.TEMPORARY)
    )


def _verdict(scene: Scene, one: Stray) -> Verdict:
    if one.target.startswith(places.TEMPORARY):
        return Verdict.SUSPICIOUS
    if one.kind in ("unit", "hook") and against(running(scene, one.path)):
        return Verdict.SUSPICIOUS
    came = one.at >= scene.since and not _explained(scene, one)
    if stat.S_ISLNK(one.mode):
        return Verdict.NOTABLE if came else Verdict.FINE
    if one.kind == "settings" or (one.kind == "unit" and one.path.startswith(b"/etc/")):
        return Verdict.NOTABLE if came else Verdict.FINE  # administrators write these
    exposed = one.path.startswith(places.BIN) or one.kind == "module" or _in_search_path(one.path)
    if exposed and came and not _DKMS.fullmatch(one.path):
        return Verdict.SUSPICIOUS
    return Verdict.NOTABLE


def _explained(scene: Scene, one: Stray) -> bool:
    """Whether a package's script made it, or it came with the host itself."""
    at = int(one.at * 1e9)
    entry = Entry(one.path, one.mode, 0, 0, 0, at, at)
    return recorded(scene).explains(entry, None) is not None or bool(within(scene.once(deployed), entry))


_DKMS: Final = re.compile(rb".*/lib/modules/[^/]+/updates/dkms/.*")
"""Modules that are built here for each new kernel."""

_SEARCHED: Final = re.compile(
    rb"(?:/usr)?/lib(?:32|64|/[a-z0-9_]+-linux-gnu[a-z0-9]*)?(?:/security)?/[^/]+\.so[^/]*"
)


def _in_search_path(path: bytes) -> bool:
    """Whether the dynamic linker, or PAM, finds it by its name alone."""
    return bool(_SEARCHED.fullmatch(path))


def _tree(one: Stray) -> bytes:
    """The folder whose strays are told together: where a language's package, or a vendor's, begins."""
    path = one.target or one.path
    foreign = places.FOREIGN.fullmatch(path)
    if foreign:
        return foreign[1]
    parts = split(path)[0].split(b"/")
    return b"/".join(parts[:5]) or b"/"


def _says(one: Stray, verdict: Verdict) -> str:
    what = {"hook": "start-up hook", "module": "kernel module", "settings": "file of settings"}.get(
        one.kind, one.kind
    )
    name = text(one.path)
    if stat.S_ISLNK(one.mode):
        return f"{name}: a link of no package to {text(one.target)}, of no package either"
    when = " and came or changed of late" if verdict is Verdict.SUSPICIOUS else ""
    return f"{name}: a {what} that belongs to no package{when}"


def _technique(one: Stray) -> str:
    return {"module": "T1547.006", "library": "T1574.006", "unit": "T1543.002", "hook": "T1546.018"}.get(
        one.kind, "T1036.005" if one.path.startswith(places.BIN) else ""
    )


def _item(scene: Scene, one: Stray, verdict: Verdict) -> Item:
    bad = verdict is not Verdict.FINE
    runs = running(scene, one.path) if bad and one.kind in ("unit", "hook") else []
    return Item(
        text(one.path),
        verdict,
        "; ".join((_says(one, verdict), *against(runs))),
        MEANS if bad else "",
        NEXT if bad else "",
        standing(scene, one.path),
        _technique(one) if bad else "",
        {"kind": one.kind, "mode": f"{one.mode & 0o7777:04o}", "changed": int(one.at)},
        (Evidence(text(one.path), _shows(scene)), *evidence(one.path, runs)),
    )


def _shows(scene: Scene) -> str:
    return "rpm -qf says the same" if scene.packages.name == "rpm" else "dpkg -S says the same"


def _together(tree: bytes, verdict: Verdict, strays: list[Stray]) -> Item:
    bad = verdict is not Verdict.FINE
    kinds = sorted({one.kind for one in strays})
    newest = max(strays, key=lambda one: one.at)
    return Item(
        f"files of no package: {text(tree)}",
        verdict,
        f"{text(tree)}: no package brought {counted(len(strays), 'file')} ({', '.join(kinds)})",
        MEANS if bad else "",
        INSTALLER if bad else "",
        details={
            "count": len(strays),
            "kinds": kinds,
            "newest": text(newest.path),
            "changed": int(newest.at),
            "sample": [text(one.path) for one in strays[:SAMPLE]],
        },
        evidence=(Evidence(text(tree)),),
    )
