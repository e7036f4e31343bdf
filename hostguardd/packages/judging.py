"""Whether what differs is what a transaction of the package manager brought. Pure.

The theory. An explanation is a way to be silent, so it is what an intruder would forge; every one of these
must hold, and whatever is not known explains nothing:

* the package that owns the path (of what is gone: owned it before) is one that this transaction worked on;
* the file matches in all that the package keeps of it, and is still what was seen when that was compared;
* a signature counts only by a key that was believed before;
* what the package does not keep (dpkg: mode, owner, attributes) is as it was approved; a new file is root's,
  plain, and gains nobody any privilege. Only a verified signature explains a set-id bit or a capability;
* where nobody signed the digests, the file was changed while the manager worked on that package, and so were
  the digests: who patches both afterwards is betrayed by the ctime, unless he sets the clock back (an alert).

What is not explained is told as it would have been; `Apart` says which of it comes in the words of the
transaction, and which alone.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final, NamedTuple

from ..model import Action, Drift, FileFact, SetIdFact
from .evidence import Answer, Seen, same_package
from .interface import Deed, Level
from .unkept import is_led, is_shared, leads_as_before, rights, unfit, unkept

SECOND: Final = 1_000_000_000

EARLY: Final = 1.0
LATE: Final = 2.0
"""Seconds by which a ctime may lie before or after what the log says, which counts whole seconds."""

LOOSE: Final = 60.0
"""The same where the time of installation is all there is (rpm without dnf)."""

CONTENT: Final = frozenset({"sha256", "size", "target"})

OWN: Final = re.compile(rb"/var/lib/dpkg/info/([^/]+)\.([a-z0-9]+)")
"""What dpkg writes down of each package."""

STATUS: Final = b"/var/lib/dpkg/status"
"""What dpkg writes down of all of them, at the end of each of its runs."""

OWN_RPM: Final = re.compile(
    rb"(?:/usr/lib/sysimage/rpm|/var/lib/rpm)/(?:rpmdb\.sqlite(?:-wal|-shm)?|Packages(?:\.db)?|Index\.db|[A-Z][a-z]+"
    rb"|__db\.\d+|\.rpm\.lock)"
)
"""The database of rpm, in all its kinds."""

UNPACKED_WITH: Final = frozenset((
    b"md5sums", b"preinst", b"postinst", b"prerm", b"postrm", b"config", b"conffiles", b"triggers", b"shlibs",
    b"symbols", b"templates",
))  # fmt: skip
"""Of these, what comes with the unpacking and is not written afterwards."""

BY_TRIGGERS: Final = re.compile(
    rb"/etc/ld\.so\.cache~?|/usr/share/info/dir(\.old)?|/usr/share/applications/mimeinfo\.cache"
    rb"|(/usr)?/lib/modules/[^/]+/modules\.[a-z.]+|/usr/lib/[^/]+/gconv/gconv-modules\.cache"
    rb"|/usr/share/icons/[^/]+/icon-theme\.cache|/usr/share/glib-2\.0/schemas/gschemas\.compiled"
    rb"|/usr/lib/.*/__pycache__(/[^/]+\.pyc)?|/boot/(initrd\.img-|initramfs-|grub2?/).*|/etc/alternatives/[^/]+"
    rb"|/usr/lib/udev/hwdb\.bin|/etc/udev/hwdb\.bin"
)
"""What managers have made anew when packages change. It matches no package, and is told with its severity,
but in the words of the transaction."""

DRAFT: Final = re.compile(rb"(.+?)(?:\.dpkg-(?:new|tmp)|;[0-9a-f]{8})")
"""A file that a manager unpacks beside its place, to rename it."""


BACKUP: Final = b".dpkg-tmp"
"""Of these that of what was there before."""


class Apart(Enum):
    """What is not explained: TAMPERED is of a package and not as packaged; SIDE comes with transactions (a
    configuration file that differs, what triggers make) or cannot be compared any more; FOLLOWS no package
    brings, but a script of one made it, or it leads to nothing else than packages bring; STRAY is anybody's;
    UNSURE is a package's, and nothing says whether it is as packaged. AGAIN changed while it was compared,
    and may be judged once more."""

    TAMPERED = "tampered"
    SIDE = "side"
    FOLLOWS = "follows"
    STRAY = "stray"
    UNSURE = "unsure"
    AGAIN = "again"


class Became(Enum):
    """NEWS: it differs now. PASSED: it came and went before it was told. OVER: it was told, and is as
    approved again."""

    NEWS = "news"
    PASSED = "passed"
    OVER = "over"


class Judged(NamedTuple):
    """One change: explained by `deed` at `level` (then `apart` is None), or not. `says` is a clause."""

    says: str
    deed: Deed | None = None
    level: Level = Level.LISTED
    apart: Apart | None = None
    became: Became = Became.NEWS


class Bench:
    """Judges by one answer. What was begun until `doubtful` (seconds since the epoch) is in doubt, as far as
    only its time speaks for it: the clock was set. `beside` is all that differs."""

    def __init__(self, answer: Answer, doubtful: float = 0.0, beside: Iterable[Drift] = ()) -> None:
        self._answer = answer
        self._doubtful = doubtful
        self._before = {
            (type(was), was.path): was
            for drift in beside
            if isinstance(was := drift.before, FileFact | SetIdFact)
        }
        self._by_name: dict[str, list[Deed]] = {}
        for deed in answer.deeds:
            self._by_name.setdefault(deed.package.partition(":")[0], []).append(deed)

    def judge(self, drift: Drift, became: Became = Became.NEWS) -> Judged:
        """What to make of a change of a file."""
        found = self._judged(drift, became)
        if found.apart is not None or found.deed is None or found.level is Level.SIGNED:
            return found
        if drift.after is None or became is not Became.NEWS or found.deed.begin > self._doubtful:
            return found
        says = f"it is as {found.deed.package} brings it, but the clock was set: nothing says when it came"
        return _apart(says, Apart.UNSURE)

    # -- inside ----------------------------------------------------------------------------------

    def _judged(self, drift: Drift, became: Became) -> Judged:
        subject = drift.subject
        assert isinstance(subject, FileFact | SetIdFact)
        path = subject.path
        if self._answer.problem:
            return _apart(self._answer.problem)
        if became is Became.PASSED:
            return self._passed(drift, path)
        if became is Became.OVER:
            return self._over(path)
        found = OWN.fullmatch(path)
        if found is not None and self._answer.manager == "dpkg":
            return self._own(drift, found[1], found[2])
        if path == STATUS and self._answer.manager == "dpkg":
            return self._status(drift)
        if OWN_RPM.fullmatch(path) and self._answer.manager == "rpm":
            return self._database(drift)
        seen = self._answer.seen.get(path, Seen())
        if drift.after is None:
            return self._gone(path, seen)
        if BY_TRIGGERS.fullmatch(path) and not seen.package and not seen.follows:
            return _apart("no package brings it, and packages have it made anew", Apart.SIDE)
        return self._present(drift, path, seen)

    def _deed(self, package: str, ctime: int = 0) -> Deed | None:
        """The deed on a package, by its owner's name: the one of that time, or the latest."""
        several = self._by_name.get(package.partition(":")[0], ()) if package else ()
        ours = [deed for deed in several if same_package(deed.package, package)]
        of_then = [deed for deed in ours if ctime and self._while(ctime, deed)]
        return max(of_then or ours, key=lambda deed: deed.begin, default=None)

    def _over(self, path: bytes) -> Judged:
        """What is as approved again needs no explanation; whose it is says where to tell it."""
        own, seen = OWN.fullmatch(path), self._answer.seen.get(path, Seen())
        names = (seen.package, seen.former, own[1].decode("ascii", "replace") if own else "")
        deed = next(filter(None, map(self._deed, names)), None)
        if deed is None:
            return _apart("", Apart.SIDE)
        return Judged("as approved again", deed, became=Became.OVER)

    def _passed(self, drift: Drift, path: bytes) -> Judged:
        """A draft of what a package of this transaction brought: it came while that was unpacked, and unless
        an administrator keeps his own it is now in its place."""
        draft = DRAFT.fullmatch(path)
        seen = self._answer.seen.get(path, Seen())
        if draft is None or seen.inode:
            return _apart("")
        place = self._answer.seen.get(draft[1], Seen())
        deed = self._deed(place.package or place.former)
        after = drift.after
        if deed is None or not isinstance(after, FileFact | SetIdFact) or not self._while(after.ctime, deed):
            return _apart("")
        if after.inode != place.inode and not place.config and not path.endswith(BACKUP):
            return _apart("")
        if after.inode != place.inode and (gains := rights(after)):
            was = self._before.get((type(after), draft[1]))
            if was is None or was.inode != after.inode or rights(was) != gains:
                return _apart("")
        return Judged(f"{deed.package} was unpacked there", deed, became=Became.PASSED)

    def _gone(self, path: bytes, seen: Seen) -> Judged:
        if seen.inode:
            return _apart("it is there again", Apart.AGAIN)
        if seen.package:
            return _apart(f"{seen.package} {seen.version} still has it", Apart.TAMPERED)
        deed = self._deed(seen.former) if seen.former else None
        if deed is None:
            return _apart("no package of this transaction had it")
        went = "went" if not deed.after else f"has it no more in {deed.after}"
        return Judged(f"{deed.package} {went}", deed)

    def _own(self, drift: Drift, base: bytes, which: bytes) -> Judged:
        """What dpkg wrote down about a package."""
        name = base.decode("ascii", "backslashreplace")
        ctime = drift.after.ctime if isinstance(drift.after, FileFact) else 0
        deed = self._deed(name, ctime)
        if deed is None:
            return _apart(f"{self._answer.manager} did nothing with {name}", Apart.TAMPERED)
        after = drift.after
        if after is None:
            return Judged(f"{deed.package} was worked on", deed)
        if isinstance(after, SetIdFact):
            return _apart("dpkg writes down nothing that lends rights", Apart.TAMPERED)
        assert isinstance(after, FileFact)
        until = deed.unpacked if which in UNPACKED_WITH else deed.ended
        if not _within(after.ctime, deed.begin, until):
            return _apart(f"it was not written when {deed.package} was unpacked", Apart.TAMPERED)
        if says := unkept(drift, Level.LISTED):
            return _apart(says, Apart.TAMPERED)
        return Judged(f"{deed.package} {deed.after or deed.before} brings it", deed)

    def _status(self, drift: Drift) -> Judged:
        """What dpkg writes also when it only notes what somebody wants of a package."""
        after = drift.after
        if not isinstance(after, FileFact):
            return _apart("dpkg cannot be without it", Apart.TAMPERED)
        deeds = [one for one in self._answer.deeds if _within(after.ctime, one.begin, one.over or one.ended)]
        if not deeds:
            return _apart("it was written, and no package came or went")
        if says := unkept(drift, Level.LISTED):
            return _apart(says, Apart.TAMPERED)
        return Judged("dpkg writes down there what it does", max(deeds, key=lambda one: one.begin))

    def _database(self, drift: Drift) -> Judged:
        """What rpm writes all of its database into: each header answers for itself."""
        after = drift.after
        at = after.ctime if after is not None and isinstance(after, FileFact) else 0
        deed = next((one for one in self._answer.deeds if self._while(at, one)), None)
        if deed is None:
            return _apart("it was written, and no package came or went", Apart.TAMPERED)
        if says := "; ".join(f"{about}: {says}" for about, says in self._answer.doubts):
            return _apart(says, Apart.TAMPERED)
        if drift.after is not None and (says := unkept(drift, Level.LISTED)):
            return _apart(says, Apart.TAMPERED)
        return Judged("rpm writes down there what it does", deed)

    def _present(self, drift: Drift, path: bytes, seen: Seen) -> Judged:
        after = drift.after
        assert isinstance(after, FileFact | SetIdFact)
        folder = stat.S_ISDIR(after.mode)
        if not seen.inode or seen.inode != after.inode or (not folder and seen.ctime != after.ctime):
            return _apart("it changed again while it was compared", Apart.AGAIN)
        if not seen.package:
            which = Apart.SIDE if BY_TRIGGERS.fullmatch(path) else Apart.STRAY
            if seen.follows and self._follows(after, seen):
                return _apart(f"no package brings it, but {seen.follows}", Apart.FOLLOWS)
            return _apart("no package brings it", which)
        who = f"{seen.package} {seen.version}"
        deed = self._deed(seen.package, after.ctime)
        if seen.words and seen.config:
            says = f"it differs from what {who} brings: {seen.detail}"
            return _apart(says, Apart.SIDE if deed is not None else Apart.STRAY)
        if seen.words:
            return _apart(f"it is not what {who} brings: {seen.detail}", Apart.TAMPERED)
        if deed is None or deed.after == "":
            another = drift.action is Action.ADDED or not CONTENT.isdisjoint(drift.changed)
            return _apart(
                f"{who} owns it, and was not worked on", Apart.TAMPERED if another else Apart.UNSURE
            )
        if seen.problem:
            return _apart(f"{who} owns it, and {seen.problem}", Apart.UNSURE)
        level = min(Level(seen.level), Level.DIGEST if self._answer.keys else Level.SIGNED)
        if level < Level.SIGNED:
            if not seen.config and (forged := self._forged(seen.package, deed)):
                late = not _within(after.ctime, deed.begin, deed.unpacked)
                return _apart(forged, Apart.TAMPERED if late else Apart.SIDE)
            if not folder and not self._while(after.ctime, deed):
                return _apart(f"it was changed when nobody worked on {who}", Apart.TAMPERED)
        if level is Level.LISTED and stat.S_ISREG(after.mode):
            return _apart(f"{who} owns it, and keeps no digest of it", Apart.UNSURE)
        as_said = self._answer.manager != "dpkg" and level > Level.LISTED  # it was compared
        leads = is_led(after, seen.leads) or as_said or leads_as_before(drift, seen.config)
        if not leads and self._answer.manager != "dpkg" and stat.S_ISLNK(after.mode):
            return _apart(f"{who} owns it, and does not say where it leads", Apart.UNSURE)
        if says := unfit(after, leads) or unkept(drift, level):
            return _apart(f"{who} owns it, but {says}", Apart.TAMPERED)
        if level < Level.SIGNED and is_shared(drift):
            return _apart(f"{who} owns it, and does not say which group may write to it", Apart.UNSURE)
        if level < Level.SIGNED and not stat.S_ISREG(after.mode):
            level = Level.LISTED
        return Judged(f"{who} brings it", deed, level)

    def _follows(self, after: FileFact | SetIdFact, seen: Seen) -> bool:
        """Whether it came with the work on the package that it follows from, and is no more than that."""
        deeds = self._answer.deeds if not seen.of else filter(None, [self._deed(seen.of)])
        if not any(_within(after.ctime, one.begin, one.over or one.ended) for one in deeds):
            return False
        if after.uid or isinstance(after, SetIdFact) or after.unstable:
            return False
        if stat.S_ISLNK(after.mode):
            return is_led(after, seen.leads)
        return stat.S_IMODE(after.mode) == 0o644 and not after.gid and not seen.of

    def _forged(self, package: str, deed: Deed) -> str:
        """A clause, if the digests of a package are not those that came with it."""
        written = self._answer.written.get(package, 0.0)
        if written and not _within(int(written * SECOND), deed.begin, deed.unpacked):
            return f"the digests of {package} were not written when it was unpacked: they prove nothing"
        return ""

    def _while(self, ctime: int, deed: Deed) -> bool:
        if self._answer.manager == "dpkg":
            return _within(ctime, deed.begin, deed.ended)
        return _within(ctime, deed.begin - LOOSE, deed.ended + LOOSE)


def _apart(says: str, which: Apart = Apart.STRAY) -> Judged:
    return Judged(says, apart=which)


def _within(ctime: int, begin: float, end: float) -> bool:
    return begin - EARLY <= ctime / SECOND <= end + LATE


def asked(drifts: Sequence[Drift]) -> list[bytes]:
    """The paths to ask about: those of the drifts, and the places that drafts were for."""
    found: dict[bytes, None] = {}
    for drift in drifts:
        subject = drift.subject
        assert isinstance(subject, FileFact | SetIdFact)
        found[subject.path] = None
        draft = DRAFT.fullmatch(subject.path)
        if draft is not None:
            found[draft[1]] = None
    return list(found)


def is_draft(path: bytes) -> bool:
    """Whether a manager unpacks something there, to rename it."""
    return DRAFT.fullmatch(path) is not None
