"""What changed in the system's folders lately, in groups, each with what explains it: the package manager's
own record, or who was logged in at that time.

The times of groups are those of inodes (ctime), which nobody sets but the kernel. Elsewhere (logs, homes,
what services keep) changes are the rule, so there only their number and the newest are told.
"""

from __future__ import annotations

import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...attributes import moment
from ...globs import compile_paths
from ...model import split
from ...packages.interface import Owner
from ...packages.logfiles import unread
from ...words.interface import counted
from ..files.belongs import Belongs, belongs
from ..files.explained import Run, Span, deployed, is_program, owned_newest, recorded, spans, within
from ..files.gathered import Entry
from ..files.standing import standing_of_all
from ..files.walk import BY_MUCH, MOST_CHANGED, unseen, walked
from ..interface import Confidence, Evidence, Found, Item, Moment, Unseen, Verdict, text, word
from ..logins.attendance import attendance
from ..logins.register import Session
from ..scene import Scene

TECHNIQUE: Final = "T1554"
MEANS: Final = (
    "What changed since a break-in shows what the intruder did: a tool put in place, a program replaced."
)
NEXT: Final = (
    "Ask whoever was logged in then whether it was them. If nobody knows of it, copy these files away "
    "with their "
    "times before anything else, and read the logs around that minute."
)

NEAR: Final = 120.0
"""Seconds between two changes that are told together."""

MOST_VERIFIED: Final = 2000
"""Packaged files that are compared with what their packages brought."""

MOST_GROUPS: Final = 500
SHOWN: Final = 12
IMMUTABLE: Final = 0x10

BY_ITSELF: Final = compile_paths(
    [
        b"/**/__pycache__/*.pyc",  # written by Python the first time that a module is used
        b"/usr/share/man/**/cat?/*", b"/etc/passwd-", b"/etc/shadow-", b"/etc/group-", b"/etc/gshadow-",
        b"/etc/subuid-", b"/etc/subgid-", b"/etc/.pwd.lock", b"/etc/machine-id", b"/etc/hostname",
        b"/etc/hosts",
        b"/etc/ssl/certs/*", b"/etc/pki/ca-trust/extracted/**", b"/etc/alternatives/*",
        b"/etc/selinux/*/contexts/**",
        b"/var/lib/systemd/**", b"/etc/lvm/cache/**", b"/etc/lvm/backup/*", b"/etc/lvm/archive/*",
        b"/etc/blkid/*", b"/etc/NetworkManager/system-connections/*", b"/etc/iscsi/**", b"/etc/fwupd/**",
    ]
)  # fmt: skip
"""What programs of the system write as they run."""


NOBODY: Final = Belongs(None)


@dataclass(slots=True)
class Group:
    """Changes at and below one folder that follow one another within `NEAR`, and that no run explains."""

    folder: bytes
    began: float
    ended: float
    entries: list[tuple[Entry, Verdict, str]] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """The worst in it."""
        return max(verdict for _, verdict, _ in self.entries)


def look(scene: Scene) -> Iterator[Found]:
    """Groups of changes, and how many there were elsewhere."""
    found = walked(scene)
    there = attendance(scene)
    record, owners = recorded(scene), scene.once(owned_newest)
    made = scene.once(deployed)
    rest: list[Entry] = []
    explained: list[tuple[Entry, Run | Span]] = []
    itself = 0
    for entry in found.newest:
        run = record.explains(entry, owners.get(entry.path))
        if run is not None:
            explained.append((entry, run))
        elif BY_ITSELF.fullmatch(entry.path):
            itself += 1
        elif span := within(made, entry):
            explained.append((entry, span))
        else:
            rest.append(entry)
    standing, left = compared(scene, rest, [entry for entry, _ in explained], owners)
    came: dict[Span, list[Entry]] = defaultdict(list)
    for entry, why in explained:
        if is_program(entry) and "content" in standing.get(entry.path, NOBODY).changed:
            rest.append(entry)  # what its package brings is no explanation of what it did not bring
        elif isinstance(why, Span):
            came[why].append(entry)
        else:
            why.entries += 1
    yield from of_runs(record.runs)
    for span in scene.once(spans):
        yield of_deployment(span, came[span], owners) if span.made else of_sweep(span)
    known = [one for one in rest if one.ctime / 1e9 >= record.first]
    groups = grouped(scene, known, owners, standing)
    before = [one for one in rest if one.ctime / 1e9 < record.first]
    yield from before_records(scene, before, owners, record.first)
    for group in groups[:MOST_GROUPS]:
        sessions = there.at(group.began)
        item = of_group(scene, group, sessions, covered=there.covers(group.began))
        yield item
        if item.verdict > Verdict.FINE:
            yield from moments(scene, group, item)
    yield from elsewhere(scene, itself, groups[MOST_GROUPS:])
    if (more := found.counts["system"] - len(found.newest)) > 0:
        says = f"{counted(more, 'more entry')} of the system's folders changed than the newest {MOST_CHANGED}"
        yield Item(
            "more changes", Verdict.NOTABLE, says, MEANS, "Ask for fewer days (--days), or find -cmin."
        )
    if left and not scene.options.packages:
        reason = f"{counted(left, 'packaged file')} that changed lately: not compared with the package"
        yield Unseen("packaged files", reason, "hostguardctl investigate, without --quick")
    for path in unread(scene.host.texts, scene.since):
        reason = "nothing here can unpack it, so that what it says of packages explains nothing"
        yield Unseen(text(path), reason, f"zstdcat {word(text(path))}" if path.endswith(b".zst") else "")
    yield from unseen(scene)


def compared(
    scene: Scene, rest: Sequence[Entry], explained: Sequence[Entry], owners: Mapping[bytes, Owner]
) -> tuple[Mapping[bytes, Belongs], int]:
    """How packaged entries stand to their packages, and how many were not compared, for it takes time: first
    of all `rest`, and of what is explained the programs, where no other check compares them all."""
    first = sorted((one for one in rest if one.path in owners), key=lambda one: not is_program(one))
    if not scene.options.packages:
        first += [one for one in explained if one.path in owners and is_program(one)]
    asked = [one.path for one in first[:MOST_VERIFIED]]
    return belongs(scene, asked), len(first) - len(asked)


def of_deployment(span: Span, came: Sequence[Entry], owners: Mapping[bytes, Owner]) -> Item:
    """The host itself was put there: told, because it hides what came with it."""
    strays = [one for one in came if one.path not in owners]
    programs = [one for one in strays if is_program(one)]
    at = moment(int(span.began * 1e9))
    says = f"{span.packaged} packaged paths changed in one go at {at}: "
    says += "the host was installed, copied or restored; "
    if strays:
        says += f"{counted(len(strays), 'entry')} of no package came with them, "
        says += f"{len(programs) or 'none'} of them programs"
    else:
        says += "nothing came with them that no package owns"
    return Item(
        f"the host was put here at {at[:16]}", Verdict.NOTABLE, says,
        "What an intruder put into the image, or did within that time, bears no time of its own.",
        "Make sure that somebody installed, copied or restored this host then.",
        details={"programs": [text(one.path) for one in programs[:200]], "entries": len(strays)},
        evidence=(Evidence("stat /usr/bin/*", f"ctime from {at} to {moment(int(span.ended * 1e9))}"),),
    )  # fmt: skip


def of_sweep(span: Span) -> Item:
    """Everything changed, and was there before."""
    at = moment(int(span.began * 1e9))
    says = (
        f"{span.packaged} packaged paths changed in one go at {at}: they were not made then, as far as can "
    )
    says += "be said, and no package was being installed"
    return Item(
        f"very many changes at {at[:16]}", Verdict.NOTABLE, says,
        "A chown or chmod of a whole tree does that, or new SELinux labels; so does an intruder who wants "
        "one change to be lost among many.",
        "Ask who did that, and why. What of it is not as its package brought it is told here each by itself.",
        technique="T1070",
        evidence=(Evidence("stat /usr/bin/*", f"ctime from {at} to {moment(int(span.ended * 1e9))}"),),
    )  # fmt: skip


def grouped(
    scene: Scene, rest: Sequence[Entry], owners: Mapping[bytes, Owner], standing: Mapping[bytes, Belongs]
) -> list[Group]:
    """The unexplained changes by folder and minute, the worst and newest first."""
    there = attendance(scene)
    latest: dict[tuple[bytes, bool], Group] = {}
    groups: list[Group] = []
    for entry in sorted(rest, key=lambda one: one.ctime):
        at = entry.ctime / 1e9
        owner = standing.get(entry.path)
        if owner is None and (its := owners.get(entry.path)) is not None:
            verdict, why = Verdict.FINE, f"of package {its.package}, not compared with it"
        else:
            alone = there.covers(at) and not there.at(at)
            nobody = Belongs(None, (), not scene.packages.problem)
            verdict, why = judged(entry, owner or nobody, alone)
        folder = place_of(entry.path)
        key = folder, verdict is Verdict.FINE  # what is as packaged does not hide the rest by its number
        group = latest.get(key)
        if group is None or at - group.ended > NEAR:
            group = latest[key] = Group(folder, at, at)
            groups.append(group)
        group.ended = at
        group.entries.append((entry, verdict, why))
    found = sorted(groups, key=lambda group: (-group.verdict, -group.began))
    for group in found[:MOST_GROUPS]:
        if group.verdict > Verdict.FINE:
            group.entries.sort(key=lambda one: (-one[1], one[0].path))
            group.entries = [immutable(scene, *one) for one in group.entries[:SHOWN]] + group.entries[SHOWN:]
    return found


def place_of(path: bytes) -> bytes:
    """The folder by which a change is told: the nearest ones to the top, so that a tree comes as one."""
    folder = split(path)[0]
    levels = 2 if folder.startswith(b"/etc") else 4
    return b"/".join(folder.split(b"/")[:levels])


def before_records(
    scene: Scene, entries: Sequence[Entry], owners: Mapping[bytes, Owner], first: float
) -> Iterator[Item]:
    """Changes of which the package manager's records, which begin later, can say nothing."""
    strays = [one for one in entries if one.path not in owners]
    if strays:
        top = Counter(place_of(one.path) for one in strays)
        shown = ", ".join(f"{text(place)} ({count})" for place, count in top.most_common(SHOWN))
        says = f"{counted(len(strays), 'entry')} that no package owns changed before the records of packages "
        says += f"begin ({moment(int(first * 1e9))}), so that nothing explains them: {shown}"
        yield Item(
            "changes before the records", Verdict.NOTABLE, says, MEANS,
            "Find out whether the host was installed then; if not, ask who took the records away.",
            details={"folders": [f"{text(place)}: {count}" for place, count in top.most_common(200)]},
            evidence=(Evidence("find /usr /etc -cnewer", counted(len(strays), "entry")),),
        )  # fmt: skip
    if more := len(entries) - len(strays):
        says = f"{counted(more, 'packaged entry')} changed before the records of packages begin"
        yield Item("packaged before the records", Verdict.FINE, says, details={"entries": more})


def judged(entry: Entry, owner: Belongs, alone: bool) -> tuple[Verdict, str]:
    """What is to be thought of a change that no run of the package manager explains, by its place."""
    if owner.as_brought:
        return Verdict.FINE, "still as its package brought it"
    old = entry.is_file and entry.mtime < entry.ctime - BY_MUCH
    why = [owner.says]
    if old:
        why.append(f"it says it is of {moment(entry.mtime)[:10]}")
    program = is_program(entry)
    if program and owner.owner is not None and "content" in owner.changed:
        return Verdict.SUSPICIOUS, ", ".join(why)
    if program and owner.stray and alone:
        return Verdict.SUSPICIOUS, ", ".join(why)
    if not owner.asked and not (program and alone):
        return Verdict.FINE, ", ".join(why)
    return Verdict.NOTABLE, ", ".join(why)


def immutable(scene: Scene, entry: Entry, verdict: Verdict, why: str) -> tuple[Entry, Verdict, str]:
    """The same, with whether it was made immutable."""
    folder, name = split(entry.path)
    if not stat.S_ISREG(entry.mode):
        return entry, verdict, why
    try:
        with scene.host.files.open_folder(folder) as opened:
            row = opened.entry(name)
            deep = opened.deep(row, scene.stop, largest=0) if row is not None else None
    except OSError:
        return entry, verdict, why
    if deep is not None and isinstance(deep.row[14], int) and deep.row[14] & IMMUTABLE:
        return entry, max(verdict, Verdict.NOTABLE), f"{why}, made immutable (chattr +i)"
    return entry, verdict, why


# -- items ---------------------------------------------------------------------------------------------


def of_runs(runs: Iterable[Run]) -> Iterator[Item]:
    """What the package manager did, a run at a time."""
    for run in runs:
        if run.entries:
            at = moment(int(run.began * 1e9))
            names = list(run.packages)
            shown = ", ".join(names[:SHOWN]) + (
                f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            )
            yield Item(
                f"packages at {at}",
                Verdict.FINE,
                f"{counted(run.entries, 'entry')} changed by the package manager from {at} on: {shown}",
                details={"packages": names[:200], "entries": run.entries},
                evidence=(Evidence(run.source, counted(len(names), "package")),),
            )


def of_group(scene: Scene, group: Group, sessions: Sequence[Session], *, covered: bool) -> Item:
    """The item of one group."""
    at = moment(int(group.began * 1e9))
    below = len(group.folder) + 1
    names = [text(entry.path[below:]) for entry, _, _ in group.entries]
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    who = presence(sessions, covered)
    worst = group.verdict  # once: it goes through all entries, which may be tens of thousands
    reasons = list(dict.fromkeys(why for _, verdict, why in group.entries if verdict is worst and why))
    says = f"{counted(len(names), 'entry')} below {text(group.folder)} changed at {at}: {shown}"
    says += f" ({'; '.join(reasons[:3])}); no package was being installed; {who}"
    fine = worst is Verdict.FINE
    telling = [entry for entry, verdict, _ in group.entries if verdict > Verdict.FINE]
    return Item(
        f"{text(group.folder)} at {at[:16]}{', fine' if fine else ''}", worst, says,
        "" if fine else MEANS, "" if fine else NEXT, standing_of_all(scene, [one.path for one in telling]),
        "" if fine else TECHNIQUE,
        {
            "entries": len(names), "names": names[:200],
            "logged_in": [session_words(one) for one in sessions[:20]],
            "owners": sorted({scene.user(entry.uid) for entry, _, _ in group.entries})[:20],
        },
        tuple(
            Evidence(
                f"stat {word(text(entry.path))}",
                f"ctime {moment(entry.ctime)}, mtime {moment(entry.mtime)}",
            )
            for entry, _, _ in group.entries[:3]
        ),
    )  # fmt: skip


def session_words(one: Session) -> str:
    """A session in words."""
    return f"{one.user} from {one.origin or 'the console'} on {one.line}"


def presence(sessions: Sequence[Session], covered: bool) -> str:
    """Who was logged in, as a clause."""
    if sessions:
        words = ", ".join(session_words(one) for one in sessions[:5])
        more = f" and {len(sessions) - 5} more" if len(sessions) > 5 else ""
        return f"logged in then: {words}{more}"
    return "nobody was logged in then" if covered else "no record says who was logged in then"


def moments(scene: Scene, group: Group, item: Item) -> Iterator[Moment]:
    """The changes of a group for the time line: its inodes' time, and what its files say themselves."""
    first = item.details["names"][0]  # type: ignore[index]
    says = f"{counted(len(group.entries), 'entry')} below {text(group.folder)} changed: {first}…"
    owners = {entry.uid for entry, _, _ in group.entries}
    who = scene.user(next(iter(owners))) if len(owners) == 1 else ""
    source = f"ctime of {text(group.entries[0][0].path)}"
    yield Moment(
        group.began, "file", says, source, Confidence.LIKELY, item.verdict, who, group.ended, item.known
    )
    for entry, verdict, _ in group.entries[:SHOWN]:
        own = entry.mtime / 1e9
        if scene.since <= own <= scene.now and abs(own - entry.ctime / 1e9) > 60 and verdict > Verdict.FINE:
            says = f"{text(entry.path)} was written, as it says itself"
            yield Moment(
                own, "file", says, f"mtime of {text(entry.path)}", Confidence.FORGEABLE, verdict,
                known=item.known,
            )  # fmt: skip


def elsewhere(scene: Scene, itself: int, more: Sequence[Group]) -> Iterator[Item]:
    """Numbers of what need not be told one by one."""
    found = walked(scene)
    if itself or found.counts["own"]:
        count = counted(itself + found.counts["own"], "entry")
        says = f"{count} changed that the system writes by itself as it runs"
        yield Item("what writes itself", Verdict.FINE, says)
    if more:
        worst = max(group.verdict for group in more)
        says = f"{counted(len(more), 'more group')} of changes, in folders such as {text(more[0].folder)}"
        fine = worst is Verdict.FINE
        yield Item("more groups", worst, says, "" if fine else MEANS, "" if fine else NEXT)
    for top, one in sorted(found.tops.items(), key=lambda pair: -pair[1].count)[:50]:
        newest = max(one.newest)[1]
        name = text(top) or "/"
        last = f"last {text(newest.path)} at {moment(newest.ctime)}"
        says = f"{counted(one.count, 'entry')} below {name} changed, {last}"
        yield Item(f"{name} in all", Verdict.FINE, says, details={"entries": one.count})
