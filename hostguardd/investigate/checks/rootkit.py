"""The signs of a root kit: what is loaded into every program or into the kernel, and tools that lie.

The guide points to a page on root kits, which come in three kinds: libraries that are preloaded into every
program, modules and eBPF programs in the kernel, and replaced tools. Each is looked for where it must hold
fast, by ways that the kind in question does not cover: the kernel's own lists are compared with each
other, and tools with their packages.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from typing import Final

from ...model import ModuleFact, MountFact, SettingFact, path_traits
from ...packages.interface import Departure
from ...sensors.signs import PRELOADS
from ...words.interface import counted
from ..interface import Evidence, Found, Item, Verdict, text, word
from ..live import kernel, kits
from ..live.kits import sign
from ..scene import Scene

PRELOAD: Final = b"/etc/ld.so.preload"
SMALL: Final = 64 * 1024


def look(scene: Scene) -> Iterator[Found]:
    """Every sign of a root kit."""
    for part in (_preload, _preloaded, _linker, kernel.look, _ours,
                 _mounts, _listening, _files, _tools):  # fmt: skip
        yield from part(scene)
        if scene.stop():
            return
    yield from scene.blind(ModuleFact)
    yield from scene.blind(MountFact)


# -- the dynamic linker ------------------------------------------------------------------------------


def _preload(scene: Scene) -> Iterator[Found]:
    plain, raw = scene.host.views.texts(PRELOAD)
    lines = (line.partition(b"#")[0] for line in (raw + b"\n" + plain).split(b"\n"))
    libraries = list(dict.fromkeys(word for line in lines for word in line.replace(b":", b" ").split()))
    if not libraries:
        yield Item("/etc/ld.so.preload", Verdict.FINE, "no library is preloaded into every program")
        return
    owners = scene.packages.owners(libraries)
    for library in libraries[:100]:
        honest = PRELOADS.fullmatch(library.rpartition(b"/")[2]) is not None and (
            library in owners or not scene.packages.name
        )
        says = f"{text(library, 300)} is loaded into every program that starts"
        owner = f", and is of the package {owners[library].package}" if library in owners else ""
        hides = ", and programs are not shown so" if library not in plain else ""
        yield sign(
            f"/etc/ld.so.preload {text(library, 300)}",
            Verdict.NOTABLE if honest else Verdict.SUSPICIOUS,
            f"{says}{owner}{hides}",
            "preload",
            "T1574.006",
            Evidence("/etc/ld.so.preload", text(raw or plain, 400)),
        )


def _preloaded(scene: Scene) -> Iterator[Found]:
    """LD_PRELOAD and LD_AUDIT in the environments of what runs, by library."""
    found: dict[bytes, list[int]] = {}
    odd: set[bytes] = set()
    for pid, signs in scene.signs.items():
        for what, about in signs:
            if what in ("preload", "preload-odd", "preload-known"):
                found.setdefault(about, []).append(pid)
                if what == "preload-odd":
                    odd.add(about)
    for setting, pids in sorted(found.items())[:100]:
        bad = setting in odd
        count = f"{len(pids)} processes" if len(pids) > 1 else f"pid {pids[0]}"
        yield sign(
            f"environment {text(setting, 300)}",
            Verdict.SUSPICIOUS if bad else Verdict.NOTABLE,
            f"{count} began with {text(setting, 300)}" + (", from where no library belongs" if bad else ""),
            "preload",
            "T1574.006",
            Evidence(f"/proc/{pids[0]}/environ", text(setting, 300)),
            "Find out who started them so (their parents, their units), and which package the library is of.",
            pids=pids[:20],
        )


def _linker(scene: Scene) -> Iterator[Found]:
    """Folders that the linker searches, by ld.so.conf and what it includes."""
    texts = scene.host.texts
    names = texts.names(b"/etc/ld.so.conf.d", 1000) or []
    files = [b"/etc/ld.so.conf", *(b"/etc/ld.so.conf.d/" + name for name in names if name.endswith(b".conf"))]
    for path in files:
        lines = (texts.read(path, SMALL).data or b"").split(b"\n")
        for number, line in enumerate(lines, 1):
            folder = line.partition(b"#")[0].strip()
            if not folder.startswith(b"/"):
                continue
            why = _is_odd_folder(scene, folder)
            if why:
                yield sign(
                    f"{text(path)} {text(folder, 300)}",
                    Verdict.SUSPICIOUS,
                    f"{text(path)} lets every program load libraries from {text(folder, 300)}, {why}",
                    "linker",
                    "T1574.006",
                    Evidence(f"{text(path)}:{number}", text(line, 300)),
                )


def _is_odd_folder(scene: Scene, folder: bytes) -> str:
    traits = path_traits(folder.rstrip(b"/") + b"/")
    if "temporary" in traits:
        return "where anybody may write"
    if "hidden" in traits:
        return "which is hidden"
    seen = scene.host.texts.lstat(folder)
    if seen is not None and stat.S_ISDIR(seen.st_mode) and seen.st_mode & 0o002:
        return "where anybody may write"
    if folder.startswith((b"/home/", b"/dev/", b"/run/")):
        return "where no system library lies"
    return ""


# -- our own process -----------------------------------------------------------------------------------


def _ours(scene: Scene) -> Iterator[Found]:
    """What was put into our own process."""
    for fact in scene.facts(SettingFact):
        if fact.topic == "self":
            bad = fact.name == b"tracer" or fact.name.startswith((b"library ", b"environment LD_PRELOAD"))
            yield sign(
                text(fact.label, 300),
                Verdict.SUSPICIOUS if bad else Verdict.NOTABLE,
                f"in this very process: {text(b' '.join((fact.name, fact.value, fact.detail)), 600)}",
                "self",
                "T1055" if bad else "",
                Evidence("/proc/self", text(fact.detail, 200)),
                "" if bad else "Start it anew with a clean environment (env -i) and compare.",
            )


# -- mounts and interfaces -----------------------------------------------------------------------------

COVERED: Final = (
    b"/usr/bin", b"/usr/sbin", b"/bin", b"/sbin", b"/lib", b"/lib64", b"/usr/lib", b"/usr/lib64",
    b"/usr/libexec", b"/etc/passwd", b"/etc/shadow", b"/etc/group", b"/etc/sudoers", b"/etc/sudoers.d",
    b"/etc/ssh", b"/etc/pam.d", b"/etc/ld.so.preload", b"/etc/ld.so.cache", b"/etc/ld.so.conf.d",
    b"/etc/cron.d", b"/etc/cron.hourly", b"/etc/cron.daily", b"/etc/cron.weekly", b"/etc/cron.monthly",
    b"/etc/crontab", b"/etc/anacrontab", b"/etc/systemd", b"/etc/init.d", b"/etc/rc.d", b"/etc/rc.local",
    b"/etc/profile", b"/etc/profile.d", b"/etc/udev", b"/etc/modprobe.d", b"/etc/modules-load.d",
    b"/etc/audit", b"/etc/rsyslog.conf", b"/etc/rsyslog.d", b"/etc/nsswitch.conf", b"/etc/security",
    b"/usr/games", b"/var/lib/dpkg", b"/var/lib/rpm", b"/var/spool/cron",
)  # fmt: skip
"""What nobody mounts over: these, and what lies below them but the folders of `MOUNTABLE`."""

MOVED: Final = (b"/var/log", b"/usr/share")
"""What some hosts have elsewhere: on a server, or in memory to spare a flash card, by their fstab(5)."""

SERVERS: Final = frozenset(b"nfs nfs4 cifs smb3 ceph 9p virtiofs fuse.glusterfs fuse.sshfs".split())
"""File systems that show a part of what a server has, which is no bind mount."""

MOUNTABLE: Final = re.compile(
    rb"/(?:usr/)?lib(?:64)?/(?:modules|firmware|locale|debug|live|wsl|node_modules|sysimage)(?:/.*)?"
    # What a container is lent of NVIDIA's, of time zones, or for its web server.
    rb"|/usr/lib(?:64)?/x86_64-linux-gnu/(?:lib(?:cuda|nvidia)|nvidia|GL).*"
    rb"|/usr/share/(?:vulkan|egl|glvnd|nvidia|zoneinfo|nginx/html)(?:/.*)?"
)


def _mounts(scene: Scene) -> Iterator[Found]:
    whole = 0
    for fact in scene.facts(MountFact):
        evidence = Evidence(
            "/proc/self/mountinfo", text(fact.fstype + b" " + fact.source + b" " + fact.root, 300)
        )
        point = text(fact.point, 300)
        if fact.place == "process":
            says = f"{text(fact.fstype)} is mounted over {point}: that process is hidden behind it"
            yield sign(f"mount {point}", Verdict.SUSPICIOUS, says, "mount", "T1564.013", evidence)
        elif _covers(fact):
            source = f"{text(fact.fstype)} {text(fact.root, 200)}"
            says = f"{source} is mounted over {point}: what lies there is not seen"
            listed = _is_below(fact.point, MOVED) and _is_listed(scene, fact.point)
            verdict = Verdict.NOTABLE if listed else Verdict.SUSPICIOUS
            says += ", and /etc/fstab has it so" if listed else ""
            yield sign(f"mount {point}", verdict, says, "mount", "T1564.013", evidence)
        else:
            whole += 1
    if whole:
        yield Item(
            "mounts",
            Verdict.FINE,
            f"{counted(whole, 'mount covers', 'mounts cover')} no process and no system folder",
        )


def _covers(fact: MountFact) -> bool:
    """Whether something lies over the system's own files: a part of a file system, or one in memory."""
    moved = _is_below(fact.point, MOVED)
    if not (moved or _is_below(fact.point, COVERED)) or (moved and fact.fstype in SERVERS):
        return False
    if MOUNTABLE.fullmatch(fact.point) or fact.fstype in (b"autofs", b"squashfs", b"erofs"):
        return False
    return (
        "bind" in fact.traits()
        or fact.fstype in (b"tmpfs", b"ramfs", b"overlay")
        or fact.fstype[:4] == b"fuse"
    )


def _is_below(point: bytes, folders: tuple[bytes, ...]) -> bool:
    return any(point == top or point.startswith(top + b"/") for top in folders)


def _is_listed(scene: Scene, point: bytes) -> bool:
    """Whether fstab(5) mounts something there at every boot."""
    lines = (scene.host.texts.read(b"/etc/fstab", SMALL).data or b"").split(b"\n")
    rows = (line.split() for line in lines if not line.lstrip().startswith(b"#"))
    return any(len(row) > 2 and (row[1].rstrip(b"/") or b"/") == point for row in rows)


def _listening(scene: Scene) -> Iterator[Found]:
    for fact in scene.facts(SettingFact):
        if fact.topic == "interface":
            name = text(fact.name, 60)
            then = "The packet sockets among the listeners tell which program; ask who runs it, and what for."
            says = f"the interface {name} was made to hear what is not meant for this host"
            evidence = Evidence("ip -d link", text(fact.detail, 200))
            yield sign(f"interface {name}", Verdict.NOTABLE, says, "listen", "T1040", evidence, then)


# -- files ---------------------------------------------------------------------------------------------


def _files(scene: Scene) -> Iterator[Found]:
    """Files of known names. One that a package brought is none of theirs."""
    there = [path for path in kits.PATHS if scene.host.texts.lstat(path) is not None]
    owners = scene.packages.owners(there) if there else {}
    found = [path for path in there if path not in owners]
    for path in sorted(found):
        says = f"{text(path)} is there, as the kit {kits.PATHS[path]} has it"
        evidence = Evidence(f"ls -lad {word(text(path))}")
        yield sign(text(path), Verdict.SUSPICIOUS, says, "kit", "T1014", evidence, kit=kits.PATHS[path])
    if not found:
        says = f"none of {len(kits.PATHS)} names is there that known root kits and back doors leave"
        yield Item("known root kits", Verdict.FINE, says)


TOOLS: Final = tuple(
    folder + name
    for folder in (b"/usr/bin/", b"/usr/sbin/", b"/bin/", b"/sbin/")
    for name in (
        b"ls", b"ps", b"netstat", b"ss", b"top", b"find", b"du", b"stat", b"lsof", b"login", b"sshd", b"ssh",
        b"su", b"sudo", b"who", b"w", b"last", b"lastb", b"passwd", b"ip", b"ifconfig", b"kill", b"pgrep",
        b"crontab", b"bash", b"dash", b"lsmod", b"modprobe", b"journalctl", b"systemctl", b"rpm", b"dpkg",
        b"md5sum", b"sha256sum", b"grep", b"strings", b"env", b"agetty", b"rsyslogd", b"auditd",
        b"unix_chkpwd",
    )
)  # fmt: skip
"""What a root kit replaces: the tools one looks with, and the doors one comes in by."""

SERIOUS: Final = frozenset({"missing", "type", "content", "size", "owner", "link", "capabilities"})


def _tools(scene: Scene) -> Iterator[Found]:
    """Those tools against their packages."""
    if not scene.packages.name or scene.packages.problem:
        return
    there = {path for path in TOOLS if scene.host.texts.lstat(path) is not None}
    owned = scene.packages.owners(there)
    wrong = 0
    for one in scene.packages.verify(scene.stop, set(owned)):
        if not isinstance(one, Departure):
            yield scene.unseen(one)
        elif SERIOUS.intersection(one.changed) and not one.diverted and not one.owner.config:
            wrong += 1
            says = f"{text(one.path)} is not as {one.owner.package} brought it: {', '.join(one.changed)}"
            evidence = Evidence(f"{scene.packages.name} --verify", one.detail)
            yield sign(text(one.path), Verdict.SUSPICIOUS, says, "tool", "T1554", evidence,
                       package=one.owner.package)  # fmt: skip
    if owned and not wrong and not scene.stop():
        yield Item(
            "system tools",
            Verdict.FINE,
            f"{counted(len(owned), 'tool')} for looking and logging in: as packaged",
        )
