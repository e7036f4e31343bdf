"""Things where none of their kind belongs: programs in folders for temporary files, devices outside /dev,
parts of the system that others may write to, files of accounts that do not exist.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from ...attributes import mode, moment
from ...fact import TEMPORARY
from ...words.interface import counted
from ..files.belongs import belongs, outer_root, some
from ..files.gathered import Entry, in_system
from ..files.standing import standing
from ..files.walk import SHARED, unseen, walked
from ..interface import Confidence, Evidence, Found, Item, Moment, Verdict, text, word
from ..scene import Scene
from .folders import SETTINGS, entry_of

HARMLESS: Final = frozenset({(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (1, 11)})
"""Devices that every chroot has: null, zero, full, random, urandom, tty, console, ptmx, kmsg."""

CONTAINERS: Final = range(60_000, 2**32)
"""Uids that containers, user namespaces and services with accounts of the moment have."""

OPEN: Final = "Others than root can change what root runs or reads."
RUN: Final = tuple(
    top + name for top in (b"/", b"/usr/", b"/usr/local/") for name in (b"bin/", b"sbin/", b"lib/systemd/")
)
"""Folders whose entries root runs."""

NEXT: Final = "Save it as evidence with its times, and see what it is (file, strings; run nothing of it)."


def look(scene: Scene) -> Iterator[Found]:
    """All seven kinds."""
    yield from programs(scene)
    yield from among_logs(scene)
    yield from devices(scene)
    yield from writable(scene)
    yield from shared(scene)
    yield from given(scene)
    yield from orphans(scene)
    yield from unseen(scene)


def programs(scene: Scene) -> Iterator[Found]:
    """What can be executed in folders for temporary files: the telling ones each, the others as one."""
    found = walked(scene)
    others: dict[bytes, list[Entry]] = defaultdict(list)
    means = "Intruders fetch and build their tools where everybody may write."
    for entry in found.temporary:
        others[next(one for one in TEMPORARY if entry.path.startswith(one))].append(entry)
    for entry in found.telling:
        if entry.path.startswith((b"/tmp/.mount_", b"/var/tmp/.mount_")):
            continue  # an AppImage, mounted while it runs
        hidden = not entry.path.startswith(SHARED)
        name = text(entry.path)
        what = "a hidden one" if hidden else "in memory that programs share"
        says = f"{name} can be executed, {what}, of {scene.user(entry.uid)}"
        evidence = Evidence(f"stat {word(name)}", f"{mode(entry.mode)} ctime {moment(entry.ctime)}")
        known = standing(scene, entry.path)
        yield Item(name, Verdict.SUSPICIOUS, says, means, NEXT, known, "T1059", evidence=(evidence,))
        if entry.ctime / 1e9 >= scene.since:
            source = f"ctime of {name}"
            who = scene.user(entry.uid)
            yield Moment(
                entry.ctime / 1e9, "file", f"{name} came", source, Confidence.LIKELY, Verdict.SUSPICIOUS, who,
                known=known,
            )  # fmt: skip
    for top, entries in others.items():
        newest = max(entries, key=lambda one: one.ctime)
        more = found.counts["temporary"] - len(found.temporary)
        count = f"{'at least ' if more else ''}{counted(len(entries), 'file')}"
        says = f"{count} below {text(top)} can be executed, the newest "
        says += f"{text(newest.path)} ({scene.user(newest.uid)}, {moment(newest.ctime)})"
        yield Item(
            f"programs below {text(top)}", Verdict.NOTABLE, says, means,
            "See whose they are and whether those know of them; builds and installers leave such files, too.",
            technique="T1059", details={"files": len(entries), "paths": some(one.path for one in entries)},
            evidence=(Evidence(f"find {word(text(top))} -type f -perm /111", counted(len(entries), "file")),),
        )  # fmt: skip


def among_logs(scene: Scene) -> Iterator[Item]:
    """Programs among the logs, by how they begin: a mode alone says nothing there."""
    entries = walked(scene).among_logs
    owned = belongs(scene, {one.path for one in entries}, compare=False)
    for entry in entries:
        head = scene.host.texts.read(entry.path, 4).data or b""
        if not head.startswith((b"\x7fELF", b"#!")) or owned[entry.path].owner is not None:
            continue
        name, script = text(entry.path), head.startswith(b"#!")
        yield Item(
            name, Verdict.NOTABLE if script else Verdict.SUSPICIOUS,
            f"{name} is a {'script' if script else 'program'} among the logs, of {scene.user(entry.uid)}",
            "Nobody looks for programs there, and nothing that is installed puts any there.", NEXT,
            standing(scene, entry.path), "T1036.005",
            evidence=(
                Evidence(f"stat {word(name)}", f"{mode(entry.mode)} ctime {moment(entry.ctime)}"),
            ),
        )  # fmt: skip


def devices(scene: Scene) -> Iterator[Item]:
    """Devices outside /dev: who may open one reads the disk or the memory past all permissions."""
    harmless: list[bytes] = []
    roots: dict[bytes, list[bytes]] = defaultdict(list)
    for entry in walked(scene).devices:
        seen = scene.host.texts.lstat(entry.path)
        if seen is None or seen.st_rdev == 0:
            continue  # gone; or no device at all: overlayfs for a name removed, systemd for what is hidden
        number = os.major(seen.st_rdev), os.minor(seen.st_rdev)
        if stat.S_ISCHR(seen.st_mode) and number in HARMLESS:
            harmless.append(entry.path)
        elif root := outer_root(scene, entry.path.replace(b"/dev/", b"/lib/", 1)):
            roots[root].append(entry.path)
        else:
            name = text(entry.path)
            kind = "block" if stat.S_ISBLK(seen.st_mode) else "character"
            says = f"{name} is a {kind} device ({number[0]}:{number[1]}) outside /dev"
            says += f", of {scene.user(entry.uid)}"
            yield Item(
                name, Verdict.SUSPICIOUS, says,
                "It opens the disk or the memory past every permission.", NEXT, standing(scene, entry.path),
                "T1006", {"number": f"{number[0]}:{number[1]}", "mode": mode(entry.mode)},
                (Evidence(f"stat {word(name)}", f"ctime {moment(entry.ctime)}"),),
            )  # fmt: skip
    for root, paths in roots.items():
        says = f"{counted(len(paths), 'device')} in {text(root)}, which looks like another system's root"
        means = "In a chroot that others enter they open the host's disk."
        yield Item(
            f"devices in {text(root)}", Verdict.NOTABLE, says, means, "Know who made it and what for.",
            technique="T1006", details={"paths": some(paths)},
            evidence=(
                Evidence(f"find {word(text(root))} -type b -o -type c", counted(len(paths), "device")),
            ),
        )  # fmt: skip
    if harmless:
        says = f"{counted(len(harmless), 'harmless device')} (null, random and their like) in chroots"
        yield Item("devices of chroots", Verdict.FINE, says, details={"paths": some(harmless)})


def writable(scene: Scene) -> Iterator[Item]:
    """Files and folders of the system that anybody may write to."""
    entries = [one for one in walked(scene).writable if one.is_file or stat.S_ISDIR(one.mode)]
    owned = belongs(scene, [one.path for one in entries])
    for entry in entries:
        if owned[entry.path].as_brought and scene.packages.name != "dpkg":  # which keeps no modes
            continue
        name = text(entry.path)
        says = f"anybody may write to {name} ({mode(entry.mode)}); {owned[entry.path].says}"
        run = entry.mode & 0o111 != 0 if entry.is_file else (entry.path + b"/").startswith(RUN)
        grave = run or entry.path.startswith(b"/etc/")
        yield Item(
            name, Verdict.SUSPICIOUS if grave else Verdict.NOTABLE, says,
            OPEN,
            f"Find out who set it and when (its ctime), then take it back (chmod o-w {word(name)}).",
            standing(scene, entry.path), "T1222.002",
            {"mode": mode(entry.mode), "changed": moment(entry.ctime)},
            (Evidence(f"stat {word(name)}", f"{mode(entry.mode)} ctime {moment(entry.ctime)}"),),
        )  # fmt: skip


def shared(scene: Scene) -> Iterator[Item]:
    """Files and folders of root's to which an ACL lets others write: `ls` shows a plus sign and no more.
    Teams share folders below /usr/local and /opt in this way."""
    for entry in walked(scene).shared:
        if entry_of(entry.path) or entry.path in SETTINGS:
            continue  # `folders` tells these
        name = text(entry.path)
        team = stat.S_ISDIR(entry.mode) and entry.path.startswith((b"/usr/local/", b"/opt/"))
        yield Item(
            name, Verdict.NOTABLE if team else Verdict.SUSPICIOUS,
            f"an ACL lets others than its mode says write to {name}", OPEN,
            f"Find out who set it and when (its ctime), then take it back (setfacl -b {word(name)}).",
            standing(scene, entry.path), "T1222.002",
            {"mode": mode(entry.mode), "changed": moment(entry.ctime)},
            (
                Evidence(f"getfacl {word(name)}"),
                Evidence(f"stat {word(name)}", f"{mode(entry.mode)} ctime {moment(entry.ctime)}"),
            ),
        )  # fmt: skip


def given(scene: Scene) -> Iterator[Item]:
    """Parts of the system that belong to somebody who logs in, and who so may change them. dpkg does not say
    whose its files are; what no package brought may have been unpacked as is."""
    entries = defaultdict[int, list[Entry]](list)
    for entry in walked(scene).given:
        entries[entry.uid].append(entry)
    for uid, ones in entries.items():
        owned = belongs(scene, [one.path for one in ones])
        packaged = [one for one in ones if owned[one.path].owner is not None]
        shown, who = (packaged or ones)[0], scene.user(uid)
        count = counted(len(packaged or ones), "packaged path" if packaged else "path")
        yield Item(
            f"of the system, and of {who}", Verdict.SUSPICIOUS if packaged else Verdict.NOTABLE,
            f"{who} owns {count} in the system's folders, such as {text(shown.path)}", OPEN,
            "Find out who gave it away and when (its ctime); compare it with its package, then take it back.",
            technique="T1222.002", details={"paths": some(one.path for one in packaged or ones)},
            evidence=(Evidence(f"find /usr /etc -user {word(who)}", f"ctime {moment(shown.ctime)}"),),
        )  # fmt: skip


def orphans(scene: Scene) -> Iterator[Item]:
    """Files of uids that no account has: what is left of an account that was removed, or was unpacked as
    is."""
    found = walked(scene)
    for uid, count in found.orphan_counts.most_common(200):
        examples = found.orphans[uid]
        inside = [one for one in examples if in_system(one.path)]
        verdict = Verdict.NOTABLE if inside and uid not in CONTAINERS else Verdict.FINE
        shown = (inside or examples)[0]
        who = f"uid {uid}" if uid >= 0 else "further uids"
        says = (
            f"{counted(count, 'file belongs', 'files belong')} to {who}, which no account of this host has, "
        )
        says += f"such as {text(shown.path)}"
        fine = verdict is Verdict.FINE
        yield Item(
            f"files of {who}", verdict, says,
            "" if fine else "An account that was removed after it was used, or an archive from elsewhere.",
            "" if fine else "Look for that uid in old copies of /etc/passwd and in the logs.",
            details={"files": count, "paths": some(one.path for one in examples)},
            evidence=(Evidence(f"find / -uid {uid}", counted(count, "file")),),
        )  # fmt: skip
