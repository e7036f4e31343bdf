"""Every packaged file against its package, as `rpm -Va` and `debsums -a` do it, without them.

The database that says what was packaged belongs to root, and so to an intruder who was root: how far each
word can be believed is told with it, and what the database itself looks like is looked at first.
"""

from __future__ import annotations

import re
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ...manifest import is_own
from ...model import split
from ...packages.interface import Departure, Doubt, Level, Owner, PackageHost
from ...words.interface import counted
from ..files import places
from ..files.standing import standing
from ..interface import Confidence, Evidence, Found, Item, Moment, Unseen, Verdict, text, word
from ..scene import SUDO, Scene

TOOLS: Final = {
    "rpm": (b"/usr/bin/rpm", b"/usr/bin/rpmkeys", b"/usr/bin/dnf-3", b"/usr/bin/dnf5"),
    "dpkg": (
        b"/usr/bin/dpkg",
        b"/usr/bin/dpkg-deb",
        b"/usr/bin/dpkg-query",
        b"/usr/bin/apt",
        b"/usr/bin/apt-get",
    ),
}
LIBRARIES: Final = (b"/usr/lib64", b"/usr/lib/x86_64-linux-gnu", b"/usr/lib/aarch64-linux-gnu", b"/usr/lib")
TOOL_LIBRARIES: Final = (b"librpm", b"libapt-pkg")
MOST_NAMES: Final = 100_000

KEY: Final = "gpg-pubkey"
"""What rpm keeps a key as: whose packages it trusts from then on."""

SHOWN: Final = 10
"""Departures of a kind in one package that are told each; of more, their number and some."""

MOST_GROUPS: Final = 2000

BLIND_SHOWN: Final = 20

REPLACED: Final = "Intruders replace programs and libraries, to hide what they do and to come back."
RIGHTS: Final = "Rights that a package did not give let others in, or let them become root."
EDITED: Final = "Settings are edited by administrators, and by intruders to let themselves in."
FORGED: Final = (
    "Who replaces a program and knows of package managers writes its new digest into the database, "
    "and what the next update is to run."
)
OTHERS: Final = "Data of a package rarely changes by itself; what reads it may be led astray."
SAVE: Final = (
    "Save the file as evidence before anything else; compare it with the package from a clean mirror."
)
COMPARE: Final = "Compare it with the package's own; ask who edited it, and when (its ctime)."
REINSTALL: Final = "Ask who changed it; if nobody knows, save it as evidence and reinstall the package."


def look(scene: Scene) -> Iterator[Found]:
    """The database, the package manager's own programs, every file, and what was done of late."""
    packages = scene.packages
    if packages.problem:
        yield Unseen("packages", packages.problem, "" if scene.is_root else SUDO)
        return
    yield _levels(packages)
    yield from _doubts(packages.doubts())
    yield from _tools(scene)
    yield from _files(scene)
    for one in packages.transactions(scene.since):
        versions = " -> ".join(version for version in (one.before, one.after) if version)
        says = f"{packages.name}: {one.action} {one.package} {versions}".rstrip()
        trusted = one.package.startswith(KEY) and one.action != "remove"
        verdict = Verdict.NOTABLE if trusted else Verdict.FINE
        yield Moment(one.at, "package", says, one.source, Confidence.LIKELY, verdict)


# -- the database ------------------------------------------------------------------------------------------


def _levels(packages: PackageHost) -> Item:
    installed = packages.installed()
    counts = Counter(one.level for one in installed)
    told = ", ".join(f"{counts[level]} {level.label}" for level in sorted(counts, reverse=True))
    limit = (
        "a match proves that nobody changed the file alone, not that nobody changed file and database"
        if counts[Level.SIGNED] < len(installed)
        else "a match is as good as the keys that rpm trusts here"
    )
    return Item(
        "package database",
        Verdict.FINE,
        f"{counted(len(installed), 'package')} by {packages.name} ({told}): {limit}",
        details={"packages": len(installed)} | {level.label: counts[level] for level in Level},
        evidence=(Evidence("rpm -qa -vv" if packages.name == "rpm" else "/var/lib/dpkg/status"),),
    )


def _doubts(found: Iterable[Doubt]) -> Iterator[Item]:
    """One item for each grave one; of the others one for each reason."""
    by_reason: dict[str, list[Doubt]] = defaultdict(list)
    for one in found:
        if one.grave:
            yield Item(
                f"package {one.about}",
                Verdict.SUSPICIOUS,
                f"package {one.about}: {one.says}",
                FORGED,
                "Save the package database as evidence; compare the package with that of a clean mirror.",
                technique="T1554",
                evidence=(Evidence(one.source, one.says),),
            )
        else:
            by_reason[one.says].append(one)
    for says, ones in sorted(by_reason.items()):
        names = sorted(one.about for one in ones)
        yield Item(
            f"package database: {says}",
            Verdict.NOTABLE,
            f"{counted(len(ones), 'package')} "
            f"({', '.join(names[:3])}{', …' if len(names) > 3 else ''}): {says}",
            FORGED,
            "Find out where these packages came from; compare their files with those of a clean mirror.",
            technique="T1554",
            details={"packages": names[:200], "count": len(names)},
            evidence=tuple(Evidence(one.source) for one in ones[:SHOWN]),
        )


def _tools(scene: Scene) -> Iterator[Item]:
    """The package manager's own programs, before what they are part of is believed."""
    texts = scene.host.texts
    wanted = [path for path in TOOLS.get(scene.packages.name, ()) if texts.lstat(path) is not None]
    for folder in LIBRARIES:
        for library in texts.names(folder, MOST_NAMES) or ():
            if library.startswith(TOOL_LIBRARIES) and b".so" in library:
                wanted.append(folder + b"/" + library)
    departed = [
        one
        for one in scene.packages.verify(scene.stop, wanted)
        if isinstance(one, Departure) and judge(one, stat.S_IFREG, elf=True).verdict is Verdict.SUSPICIOUS
    ]
    name = f"{scene.packages.name} itself"
    if departed:
        says = (
            f"the package manager's own {text(departed[0].path)} departs, and nothing it says can be believed"
        )
        shown = tuple(Evidence(text(one.path), one.detail) for one in departed)
        yield Item(name, Verdict.SUSPICIOUS, says, REPLACED, SAVE, technique="T1554", evidence=shown)
    elif wanted:
        yield Item(
            name,
            Verdict.FINE,
            f"the package manager's own {len(wanted)} programs and libraries are as packaged",
            details={"paths": [text(path) for path in wanted]},
        )


# -- files ---------------------------------------------------------------------------------------------------


class Judged(NamedTuple):
    """What is thought of a departure. `group`: those of a package that are alike are told together."""

    verdict: Verdict
    means: str = ""
    next: str = ""
    technique: str = ""
    group: str = ""


FINE: Final = Judged(Verdict.FINE, group="files of no weight")
DOCUMENTS: Final = (b"/usr/share/doc/", b"/usr/share/man/", b"/usr/share/info/", b"/usr/share/locale/",
                    b"/usr/share/lintian/", b"/usr/share/gtk-doc/", b"/usr/share/help/")  # fmt: skip
CERTIFICATES: Final = re.compile(rb".*/(?:cacert|ca-bundle|ca-certificates|cert|certs)[^/]*\.(?:pem|crt)")
TRUSTED: Final = (
    "Whoever adds a root certificate can pretend to be any server; so does a site's own inspection."
)
PASSING: Final = (b"/run/", b"/var/run/", b"/var/cache/", b"/var/tmp/", b"/tmp/")
"""Where things come and go."""

RIGHTLESS: Final = (b"/boot/efi/", b"/efi/")
"""Where a file system has neither modes nor owners."""

_MODE: Final = re.compile(r"\bmode ([0-7]{4}), now ([0-7]{4})")


def _gained(detail: str) -> int:
    """The bits of the mode that are there and were not packaged."""
    found = _MODE.search(detail)
    return int(found[2], 8) & ~int(found[1], 8) if found else 0


def judge(one: Departure, now: int, elf: bool) -> Judged:
    """`now` is st_mode of what is there (0: nothing), `elf`: it is a compiled program. Pure."""
    changed = set(one.changed)
    path = one.path
    code = places.kind(path) or ("program" if elf else "")
    if one.diverted and not changed:
        return Judged(
            Verdict.NOTABLE, REPLACED, "Ask who diverted it (`dpkg-divert --list`), and why.", "T1036"
        )
    if path.startswith(RIGHTLESS):
        changed -= {"mode", "owner", "group"}
    if changed & {"mode", "owner", "group", "capabilities"}:
        gained = _gained(one.detail) if "mode" in changed else 0
        if stat.S_ISREG(now) and gained & (stat.S_ISUID | stat.S_ISGID):
            return Judged(Verdict.SUSPICIOUS, RIGHTS, REINSTALL, "T1548.001")
        if gained & 0o002 and not (stat.S_ISDIR(now) and now & stat.S_ISVTX):
            return Judged(Verdict.SUSPICIOUS, RIGHTS, REINSTALL, "T1222.002")
        if "capabilities" in changed and not one.detail.endswith("now none"):
            return Judged(Verdict.SUSPICIOUS, RIGHTS, REINSTALL, "T1548.001")
        if "owner" in changed and code and not one.owner.config:
            return Judged(Verdict.SUSPICIOUS, RIGHTS, REINSTALL, "T1222.002")
    if changed <= {"mtime"} or path.startswith(PASSING):
        return FINE
    if one.owner.config:
        if changed <= {"mtime", "size"}:  # what comes into being later has no content of the package
            return FINE
        return Judged(Verdict.NOTABLE, EDITED, COMPARE, "T1565.001", "settings")
    if changed & {"content", "type", "link", "device"}:
        foreign = None if is_own(path) else places.FOREIGN.fullmatch(path)
        if "device" in changed or (code and not (foreign and not elf)):
            return Judged(Verdict.SUSPICIOUS, REPLACED, SAVE, "T1554")
        if CERTIFICATES.fullmatch(path):
            return Judged(Verdict.NOTABLE, TRUSTED, REINSTALL, "T1553.004", "root certificates")
        if foreign:
            return Judged(Verdict.NOTABLE, OTHERS, REINSTALL, "T1554", f"files of {text(foreign[1])}")
        if places.CODE.fullmatch(path):
            return Judged(Verdict.SUSPICIOUS, REPLACED, SAVE, "T1554")
        return Judged(Verdict.NOTABLE, OTHERS, REINSTALL, "", "data")
    if "missing" in changed:
        if path.startswith(DOCUMENTS):
            return Judged(Verdict.FINE, group="documents")
        if foreign := places.FOREIGN.fullmatch(path):
            return Judged(Verdict.NOTABLE, OTHERS, REINSTALL, "T1554", f"files of {text(foreign[1])}")
        means = "Intruders remove what would show them; administrators, what they do not want."
        return Judged(Verdict.NOTABLE, means, REINSTALL, "T1070.004" if code else "", "files")
    return Judged(Verdict.NOTABLE, RIGHTS, REINSTALL, "T1222.002", "rights")


class Group:
    """Departures of a package that are alike. Only a few are kept, always the same ones."""

    def __init__(self) -> None:
        self.count = 0
        self.kept: list[Departure] = []
        self.words: set[str] = set()

    def add(self, one: Departure) -> None:
        """One more."""
        self.count += 1
        self.words.update(one.changed)
        self.kept.append(one)
        if len(self.kept) > 2 * SHOWN:
            self.kept = sorted(self.kept)[: SHOWN + 1]


def _files(scene: Scene) -> Iterator[Found]:
    groups: dict[tuple[str, Judged], Group] = defaultdict(Group)
    blind: list[Unseen] = []
    blinds = departed = 0
    for one in scene.packages.verify(scene.stop):
        if not isinstance(one, Departure):
            blinds += 1
            if one.scope == b"*" or len(blind) < BLIND_SHOWN:
                blind.append(scene.unseen(one))
            continue
        departed += 1
        now = scene.host.texts.lstat(one.path)
        judged = judge(one, now.st_mode if now is not None else 0, _elf(scene, one))
        key = (one.owner.package, judged)
        if not judged.group or (key not in groups and len(groups) >= MOST_GROUPS):
            yield _item(scene, one, judged)
        else:
            groups[key].add(one)
    for (package, judged), group in groups.items():
        if group.count <= SHOWN and judged.verdict is not Verdict.FINE:
            for one in sorted(group.kept):
                yield _item(scene, one, judged)
        else:
            yield _together(scene, package, judged, group)
    if not scene.stop():
        yield _share(scene.packages, departed, blinds)
    yield from blind
    if blinds > len(blind):
        remedy = "" if scene.is_root else SUDO
        yield Unseen(
            "package", f"{blinds - len(blind)} more could not be compared with their packages", remedy
        )


def _share(packages: PackageHost, departed: int, blinds: int) -> Item:
    """How many of all match, and what that is worth."""
    installed = packages.installed()
    total = sum(one.files for one in installed)
    matching = max(0, total - departed - blinds)
    level = min((one.level for one in installed if one.files), default=Level.LISTED)
    worth = {
        Level.SIGNED: "by signed digests",
        Level.DIGEST: "by digests that root could have rewritten",
        Level.LISTED: "some by name only",
    }
    return Item(
        "packaged files",
        Verdict.FINE,
        f"{matching:,} of {total:,} packaged paths match ({packages.name}, {worth[level]})",
        details={"paths": total, "matching": matching, "departed": departed, "unread": blinds},
    )


def _elf(scene: Scene, one: Departure) -> bool:
    """Whether a compiled program or library is there."""
    if "content" not in one.changed and "type" not in one.changed:
        return False
    return scene.host.texts.read(one.path, 4).data == b"\x7fELF"


def _shows(scene: Scene, package: str) -> str:
    """The command that shows the same."""
    return f"{scene.packages.name} -V {word(package)}"


def _says(one: Departure, owner: Owner) -> str:
    name = text(one.path)
    of = f"{owner.package} {owner.version}"
    if one.diverted and not one.changed:
        return f"{name} of {of} was {one.detail}; what lies there now is of no package"
    if one.changed == ("missing",):
        return f"{name} of {of} is not there"
    what = "settings of" if owner.config else "of"
    return f"{name}, {what} {of}, departs in {', '.join(one.changed)}"


def _item(scene: Scene, one: Departure, judged: Judged) -> Item:
    owner = one.owner
    return Item(
        text(one.path),
        judged.verdict,
        _says(one, owner),
        judged.means,
        judged.next,
        standing(scene, one.path),
        judged.technique,
        {
            "package": owner.package,
            "version": owner.version,
            "level": owner.level.label,
            "config": owner.config,
            "changed": list(one.changed),
        },
        (Evidence(_shows(scene, owner.package), one.detail),),
    )


def _together(scene: Scene, package: str, judged: Judged, group: Group) -> Item:
    kept = sorted(group.kept)[:SHOWN]
    folder = text(split(kept[0].path)[0])
    return Item(
        f"package {package}: {judged.group}",
        judged.verdict,
        f"package {package}: {group.count} {judged.group} depart in {', '.join(sorted(group.words))}"
        f" (the first in {folder})",
        judged.means
        and f"{judged.means} So many at once are mostly another installer's work (npm, pip, a script).",
        judged.next,
        technique=judged.technique,
        details={
            "package": package,
            "count": group.count,
            "level": kept[0].owner.level.label,
            "changed": sorted(group.words),
            "sample": [text(one.path) for one in kept],
        },
        evidence=(
            Evidence(_shows(scene, package), "; ".join(f"{text(one.path)}: {one.detail}" for one in kept)),
        ),
    )
