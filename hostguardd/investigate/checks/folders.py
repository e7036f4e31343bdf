"""The guide's settings and folders themselves: unknown files among them, and time stamps that do not fit.

What each entry runs is said by `settings`; here is asked whether it belongs there: which package brought it,
where a link leads, who may write to it, and whether the times it bears can be true. What nobody brought is
told with what it runs. A file's own time (mtime) is set by whoever owns it; the inode's (ctime) is not, so a
file that says it is years older than its inode was made so.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from typing import Final

from ...attributes import mode, moment
from ...globs import compile_paths
from ...host.globbing import glob_paths
from ...host.mounts import MountMap
from ...model import join, split
from ...sensors.growing import immutable
from ..files.belongs import Belongs, belongs, odd_place
from ..files.explained import deployed, recorded, within
from ..files.gathered import Entry
from ..files.kinds import MADE_BY_SCRIPTS
from ..files.running import against, evidence, running
from ..files.standing import standing as known
from ..files.walk import ACL, BY_MUCH, DAY
from ..interface import Confidence, Evidence, Found, Item, Known, Moment, Unseen, Verdict, text, word
from ..logins.attendance import attendance
from ..scene import SUDO, Scene
from .recent import presence

MEANS: Final = (
    "A file put among the settings runs by itself; a forged time stamp keeps it out of sight of find -mtime."
)
NEXT: Final = (
    "Look at what it holds and at the inode's time (stat FILE). Ask the administrators whether one of "
    "them put it "
    "there; if not, copy it away with its times as evidence, and look at what else happened at that minute."
)
MOST: Final = 10_000

SETTINGS: Final = tuple(
    b"/etc/" + name
    for name in (
        b"passwd", b"shadow", b"group", b"gshadow", b"sudoers", b"crontab", b"anacrontab", b"inetd.conf",
        b"xinetd.conf", b"inittab", b"rc.local", b"rc.d/rc.local", b"rc.d/rc", b"rc.d/rc.sysinit", b"profile",
        b"bashrc", b"bash.bashrc", b"environment", b"ld.so.preload", b"ld.so.conf", b"nsswitch.conf",
        b"hosts",
        b"hosts.allow", b"hosts.deny", b"hosts.equiv", b"securetty", b"shells", b"login.defs", b"fstab",
        b"modules", b"sysctl.conf", b"rsyslog.conf", b"syslog.conf", b"cron.allow", b"cron.deny", b"pam.conf",
    )
)  # fmt: skip
"""Files whose times are looked at. That no package owns one of them says nothing: many are made at
installation."""

HASHES: Final = (b"/etc/shadow", b"/etc/gshadow")

FOLDERS: Final = (
    b"/etc/init.d", b"/etc/rc.d", b"/etc/rc.d/init.d", b"/etc/rc.d/rc?.d", b"/etc/rc?.d", b"/etc/rc.boot",
    b"/etc/cron.d", b"/etc/cron.hourly", b"/etc/cron.daily", b"/etc/cron.weekly", b"/etc/cron.monthly",
    b"/etc/xinetd.d", b"/etc/profile.d", b"/etc/pam.d", b"/etc/sudoers.d", b"/etc/ld.so.conf.d",
    b"/etc/modules-load.d", b"/etc/modprobe.d", b"/etc/udev/rules.d", b"/etc/systemd/system",
    b"/etc/systemd/system/*.wants", b"/etc/systemd/system/*.requires", b"/etc/systemd/system/*.d",
    b"/etc/systemd/system.control/*.d", b"/etc/systemd/user", b"/etc/systemd/user/*.wants",
    b"/etc/systemd/user/*.d", b"/etc/apt/apt.conf.d", b"/etc/logrotate.d",
    b"/etc/ssh", b"/etc/ssh/sshd_config.d", b"/etc/ssh/ssh_config.d", b"/etc/update-motd.d",
    b"/etc/NetworkManager/dispatcher.d", b"/etc/NetworkManager/dispatcher.d/*.d",
    b"/var/spool/cron", b"/var/spool/cron/crontabs",
)  # fmt: skip
"""Folders whose entries are looked at one by one."""

ENTRIES: Final = compile_paths([folder + b"/*" for folder in FOLDERS])


def entry_of(path: bytes) -> bool:
    """Whether a file lies in one of the folders whose entries are looked at here."""
    return ENTRIES.fullmatch(path) is not None


LINKS: Final = compile_paths([b"/etc/rc*.d/**", b"/etc/systemd/**"])
"""Where links to what is started are ordinary."""

LEFTOVERS: Final = tuple(b"/etc/**/*" + end for end in (
    b".rpmnew", b".rpmsave", b".rpmorig", b".dpkg-old", b".dpkg-dist", b".dpkg-new", b".dpkg-bak",
    b".ucf-old", b".ucf-dist",
))  # fmt: skip
"""What package managers put aside; nothing reads it."""

TABLES: Final = compile_paths(
    [b"/var/spool/cron/**", b"/etc/ssh/ssh_host_*_key*", b"/etc/ssh/*.pub", *LEFTOVERS]
)
"""Files that no package brings, and that others look at (`settings` at tables of cron)."""


def look(scene: Scene) -> Iterator[Found]:
    """Every entry of these places."""
    unseen: list[Unseen] = []
    entries = list(found_in(scene, unseen))
    targets = {entry.path: target(scene, entry.path) for entry in entries if stat.S_ISLNK(entry.mode)}
    owned = belongs(scene, {entry.path for entry in entries} | {one for one in targets.values() if one})
    for entry in entries:
        item = judged(scene, entry, owned, targets.get(entry.path, b""))
        yield item
        at = entry.ctime / 1e9
        if item.verdict > Verdict.FINE and at >= scene.since:
            yield Moment(
                at, "file", f"{item.name} was made or changed", f"ctime of {item.name}", Confidence.LIKELY,
                item.verdict, scene.user(entry.uid), known=item.known,
            )  # fmt: skip
            own = entry.mtime / 1e9
            if scene.since <= own <= scene.now and abs(own - at) > 60:
                says = f"{item.name} was written, as it says itself"
                yield Moment(
                    own, "file", says, f"mtime of {item.name}", Confidence.FORGEABLE, item.verdict,
                    known=item.known,
                )  # fmt: skip
    yield from unseen


def found_in(scene: Scene, unseen: list[Unseen]) -> Iterator[Entry]:
    """What lies there, without folders, each once."""
    host = scene.host.files
    mounts = MountMap(host.mounts)
    done: set[bytes] = set()

    def closed(folder: bytes, error: OSError) -> None:
        reason = f"cannot be listed: {error.strerror or error}"
        unseen.append(Unseen(text(folder), reason, "" if scene.is_root else SUDO))

    paths = list(SETTINGS)
    for pattern in FOLDERS:
        for folder in glob_paths(host, pattern, lambda path: mounts.away(path) is not None, closed):
            paths += glob_paths(host, join(folder, b"*"), lambda path: mounts.away(path) is not None, closed)
    for path in paths[:MOST]:
        if path in done or scene.stop():
            continue
        done.add(path)
        seen = scene.host.texts.lstat(path)
        if seen is not None and not stat.S_ISDIR(seen.st_mode):
            yield Entry(
                path, seen.st_mode, seen.st_uid, seen.st_gid, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
            )


def target(scene: Scene, path: bytes) -> bytes:
    """Where a link leads in the end, b"" for nowhere."""
    try:
        return scene.host.files.real(path)
    except OSError:
        return b""


def judged(scene: Scene, entry: Entry, owned: Mapping[bytes, Belongs], leads: bytes) -> Item:
    """The item of one entry."""
    path = entry.path
    source = owned[path]
    link = stat.S_ISLNK(entry.mode)
    standing = Known.NOT_ASKED if link else known(scene, path)
    verdict, reasons = Verdict.FINE, list[str]()

    def told(worse: Verdict, reason: str) -> None:
        nonlocal verdict
        verdict = max(verdict, worse)
        reasons.append(reason)

    if link:
        for worse, reason in of_link(scene, path, leads, source, owned.get(leads)):
            told(worse, reason)
    elif entry.mode & 0o002:
        told(Verdict.SUSPICIOUS, f"anybody may write to it ({mode(entry.mode)})")
    elif entry.mode & 0o004 and path in HASHES:
        told(Verdict.SUSPICIOUS, f"anybody may read the hashes of passwords in it ({mode(entry.mode)})")
    if shared := not link and has_acl(scene, path):
        writes = entry.mode & 0o020  # with an ACL these bits are the most that it gives, acl(5)
        told(
            Verdict.SUSPICIOUS if writes else Verdict.NOTABLE,
            f"an ACL lets others than its mode says {'write to' if writes else 'use'} it",
        )
    if locked := entry.is_file and immutable(scene.host.files, path):
        told(Verdict.NOTABLE, "not even root can change or remove it (chattr +i)")
    if entry.uid and not TABLES.fullmatch(path) and not source.as_brought:
        told(Verdict.NOTABLE, f"it belongs to {scene.user(entry.uid)}")
    if not link and not entry.is_file:
        told(Verdict.SUSPICIOUS, "it is neither a file nor a link")
    ordinary = path in SETTINGS or MADE_BY_SCRIPTS.fullmatch(path) or TABLES.fullmatch(path) or link
    if source.stray and not ordinary:
        told(Verdict.NOTABLE, "no package owns it")
    if standing in (Known.NEW, Known.CHANGED):
        told(Verdict.NOTABLE, f"it is {standing.label} against the approved baseline")
    if not link:
        for worse, reason in of_times(scene, entry, source):
            told(worse, reason)
    runs = running(scene, path) if entry.is_file and not source.as_brought else []
    for reason in against(runs):
        told(Verdict.SUSPICIOUS, reason)
    name = text(path)
    says = f"{name}: {source.says if source.owner or not ordinary else 'made on this host'}"
    says += f", leads to {text(leads) or 'nothing'}" if link else ""
    more = [one for one in reasons if one != source.says]
    says += f": {'; '.join(more)}" if more else ""
    fine = verdict is Verdict.FINE
    times = f"ctime {moment(entry.ctime)}, mtime {moment(entry.mtime)}"
    return Item(
        name, verdict, says, "" if fine else MEANS, "" if fine else NEXT, standing,
        "" if fine else "T1070.006" if any("says" in one for one in reasons) else "T1037",
        {
            "mode": mode(entry.mode), "owner": scene.user(entry.uid), "size": entry.size, "file": source.says,
            "changed": moment(entry.ctime), "modified": moment(entry.mtime),
        },
        (
            Evidence(f"stat {word(name)}", times),
            *([Evidence(f"getfacl {word(name)}")] if shared else ()),
            *([Evidence(f"lsattr {word(name)}")] if locked else ()),
            *evidence(path, runs),
        ),
    )  # fmt: skip


def has_acl(scene: Scene, path: bytes) -> bool:
    """Whether others have rights to it that its mode does not show."""
    folder, name = split(path)
    try:
        with scene.host.files.open_folder(folder) as opened:
            return opened.has_xattr(name, ACL)
    except OSError:
        return False


def of_link(
    scene: Scene, path: bytes, leads: bytes, source: Belongs, behind: Belongs | None
) -> Iterator[tuple[Verdict, str]]:
    """What is to be said of a link."""
    if source.owner is not None or not leads or leads == b"/dev/null":
        return
    if place := odd_place(scene, leads):
        yield Verdict.SUSPICIOUS, f"what it leads to {place}"
    elif behind is not None and behind.stray and not under_settings(leads):
        yield Verdict.NOTABLE, f"no package owns {text(leads)}, to which it leads"
    elif not LINKS.fullmatch(path) and split(leads)[0] != split(path)[0]:
        yield Verdict.FINE, "a link that somebody made"


def under_settings(path: bytes) -> bool:
    """Whether it is told by itself: what lies in one of the folders here."""
    return path.startswith((b"/etc/", b"/run/systemd/"))


def unexplained(scene: Scene, entry: Entry, source: Belongs) -> bool:
    """Whether it changed lately, and the package manager's record has nothing to do with it."""
    at, record = entry.ctime / 1e9, recorded(scene)
    asked = at >= max(scene.since, record.first) and not scene.packages.problem
    if not asked or within(scene.once(deployed), entry):
        return False
    return record.explains(entry, source.owner) is None


def of_times(scene: Scene, entry: Entry, source: Belongs) -> Iterator[tuple[Verdict, str]]:
    """Times that do not fit. A package may bring old ones, and none brings a time that is still to come."""
    now = int(scene.now * 1e9)
    if entry.mtime > max(entry.ctime, now) + DAY:
        yield Verdict.NOTABLE, f"it says it was written in the future ({moment(entry.mtime)})"
    if source.as_brought:
        return
    if entry.mtime < entry.ctime - BY_MUCH and "content" in source.changed:
        made = f"its inode was changed on {moment(entry.ctime)}"
        yield (
            Verdict.NOTABLE,
            f"it differs from its package and says it is of {moment(entry.mtime)[:10]}, but {made}",
        )
    elif entry.mtime < entry.ctime - BY_MUCH and source.stray and unexplained(scene, entry, source):
        made = f"its inode was changed on {moment(entry.ctime)}"
        yield Verdict.NOTABLE, f"it says it is of {moment(entry.mtime)[:10]}, but {made}"
    at = entry.ctime / 1e9
    if unexplained(scene, entry, source):
        there = attendance(scene)
        here = there.at(at)
        worse = Verdict.FINE if here or not there.covers(at) else Verdict.NOTABLE
        yield (
            worse,
            f"changed on {moment(entry.ctime)}, when no package was being installed; "
            f"{presence(here, there.covers(at))}",
        )
