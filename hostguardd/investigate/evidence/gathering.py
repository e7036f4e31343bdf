"""What is gathered as evidence, the most fleeting first (RFC 3227): where it lies, and how to walk there.

The rules kept: links are noted and never followed; a folder of a million names costs no more than a few
thousand; what lies on the network belongs to other machines, and is left alone.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from ...homes import plausible
from ...host.mounts import MountMap
from ...host.texts import TextHost
from ...model import join, split
from ...record import unescape
from ...sensors.histories import NAMES as HISTORIES
from ...utmp import SIZE
from ..interface import Verdict
from ..scene import Scene

WINDOWS: Final = (b"/proc/", b"/sys/")
"""Where files are views of the kernel, as large as it likes (/proc/kcore)."""

NAMES: Final = 5000
"""Names of one folder that are looked at."""

HOMES: Final = 2000
NAMED: Final = 500
"""Files that the report names."""

MIB: Final = 1024**2


class Place(NamedTuple):
    """A file, or a folder and what lies up to `depth` folders below it. Of a file that is longer than
    `most`, the end is taken; its beginning for `head`; nothing for `whole`, where a part could not be
    read."""

    path: bytes
    depth: int = 0
    most: int = 16 * MIB
    head: bool = False
    whole: bool = False
    cleared: bool = True
    """Whether secrets are looked for in it: in all but records and what cannot be unpacked."""
    record: int = 1
    """Bytes of one record, so that a part begins with a whole one."""


def _files(text: str) -> tuple[Place, ...]:
    return tuple(Place(path.encode()) for path in text.split())


def _folders(text: str, depth: int = 3) -> tuple[Place, ...]:
    return tuple(Place(path.encode(), depth) for path in text.split())


KERNEL: Final = tuple(
    place._replace(most=4 * MIB)
    for place in _files(
        "/proc/version /proc/cmdline /proc/uptime /proc/stat /proc/loadavg /proc/meminfo /proc/modules "
        "/proc/self/mounts /proc/interrupts /proc/devices /proc/filesystems /proc/keys /proc/net/tcp "
        "/proc/net/tcp6 /proc/net/udp /proc/net/udp6 /proc/net/raw /proc/net/raw6 /proc/net/unix "
        "/proc/net/packet /proc/net/arp /proc/net/route /proc/net/ipv6_route /proc/net/dev "
        "/proc/net/if_inet6 /proc/net/sctp/eps /proc/sys/kernel/tainted /proc/sys/kernel/core_pattern "
        "/proc/sys/kernel/modprobe /proc/sys/kernel/random/boot_id"
    )
)
"""What the running kernel says, beside its processes."""

RECORDS: Final = (b"wtmp", b"btmp", b"wtmp.1", b"btmp.1")

LOGINS: Final = (
    *(
        Place(path, most=64 * MIB, cleared=False, record=SIZE)
        for path in (b"/run/utmp", b"/var/run/utmp", *(b"/var/log/" + name for name in RECORDS))
    ),
    Place(b"/var/log/lastlog", head=True, cleared=False),
    Place(b"/var/lib/wtmpdb/wtmp.db", most=64 * MIB, whole=True, cleared=False),
    Place(b"/var/lib/lastlog/lastlog2.db", most=64 * MIB, whole=True, cleared=False),
)

IN_HOMES: Final = (
    b".bashrc .bash_profile .bash_login .bash_logout .profile .zshrc .zprofile .zshenv .zlogin .login "
    b".cshrc .tcshrc .kshrc .rhosts .shosts .forward .gitconfig .wget-hsts .ssh/authorized_keys "
    b".ssh/authorized_keys2 .ssh/known_hosts .ssh/config .ssh/rc .ssh/environment .pam_environment"
).split()

HOME_FOLDERS: Final = (b".config/systemd/user", b".config/autostart", b".local/share/systemd/user")

SETTINGS: Final = (
    *_files(
        "/etc/passwd /etc/passwd- /etc/shadow /etc/shadow- /etc/group /etc/group- /etc/gshadow "
        "/etc/gshadow- /etc/subuid /etc/subgid /etc/security/opasswd /etc/crontab /etc/anacrontab "
        "/etc/cron.allow /etc/cron.deny /etc/at.allow /etc/at.deny /etc/inittab /etc/inetd.conf "
        "/etc/xinetd.conf /etc/rc.local /etc/ld.so.preload /etc/ld.so.conf /etc/sudoers "
        "/etc/doas.conf /etc/hosts /etc/hosts.allow /etc/hosts.deny /etc/hosts.equiv "
        "/etc/resolv.conf /etc/nsswitch.conf /etc/profile /etc/bashrc /etc/bash.bashrc "
        "/etc/environment /etc/login.defs /etc/securetty /etc/shells /etc/fstab /etc/exports "
        "/etc/machine-id /etc/os-release /etc/hostname /etc/rsyslog.conf /etc/syslog.conf "
        "/etc/logrotate.conf /etc/sysctl.conf /etc/modules /etc/motd /etc/issue"
    ),
    *_folders(
        "/etc/cron.d /etc/cron.hourly /etc/cron.daily /etc/cron.weekly /etc/cron.monthly "
        "/var/spool/cron /var/spool/at /var/spool/anacron /etc/systemd /run/systemd/system "
        "/run/systemd/transient /usr/local/lib/systemd /etc/init.d /etc/rc.d /etc/xinetd.d "
        "/etc/profile.d /etc/ld.so.conf.d /etc/sudoers.d /etc/ssh /etc/pam.d /etc/security "
        "/etc/udev/rules.d /etc/modprobe.d /etc/modules-load.d /etc/sysctl.d /etc/rsyslog.d "
        "/etc/logrotate.d /etc/audit /etc/tmpfiles.d /etc/binfmt.d /etc/NetworkManager/dispatcher.d "
        "/etc/update-motd.d /etc/hostguardd"
    ),
)

LOGS: Final = (Place(b"/var/log", 6, 64 * MIB),)

PACKED: Final = (b".gz", b".bz2", b".xz")
"""Ends of names of what can be unpacked, cleared and packed again."""

JOURNALS: Final = (b".journal", b".journal~", *PACKED, b".zst", b".db")
"""Ends of names of which a part is worth nothing, and which would be none any more without a part."""


LOGGED: Final = b"/var/log/"
TYPED: Final = tuple(b"/" + name for name in HISTORIES)
"""Where logs lie, and how files of commands end: in both, passwords stand among the words."""


class Found(NamedTuple):
    """An entry: the place it was found by, and what lstat(2) says."""

    path: bytes
    place: Place


class Walk:
    """Everything of some places, each path once over all of them. `left` is told what is not gone into, and
    why."""

    def __init__(self, scene: Scene, texts: TextHost, left: Callable[[bytes, str], None]) -> None:
        self._texts = texts
        self._stop = scene.stop
        self._mounts = MountMap(scene.host.files.mounts)
        self._left = left
        self._seen: set[bytes] = set()

    def of(self, places: Iterable[Place]) -> Iterator[Found]:
        """The entries there are; what is not there is passed over."""
        for place in places:
            yield from self._walk(place)

    def _walk(self, place: Place) -> Iterator[Found]:
        waiting = [(place.path, place.depth)]
        while waiting and not self._stop():
            path, depth = waiting.pop()
            if path in self._seen:
                continue
            self._seen.add(path)
            mount = self._mounts.away(path)
            if mount is not None:
                self._left(path, "it lies on the network")
                continue
            found = self._texts.lstat(path)
            if found is None:
                continue
            if not stat.S_ISDIR(found.st_mode):
                packed = path.endswith(JOURNALS)
                searched = place.cleared and (not packed or path.endswith(PACKED))
                one = place._replace(whole=place.whole or packed, cleared=searched)
                yield Found(path, one._replace(path=path))
            elif depth:
                waiting += [(below, depth - 1) for below in self._below(path)]

    def _below(self, path: bytes) -> list[bytes]:
        names = self._texts.names(path, NAMES)
        if names is None:
            self._left(path, f"it cannot be listed, or holds more than {NAMES} names")
            return []
        # The newest first, as a log's end is worth more than its beginning; the stack turns them round.
        return sorted((join(path, name) for name in names), key=self._age)

    def _age(self, path: bytes) -> int:
        found = self._texts.lstat(path)
        return found.st_mtime_ns if found is not None else 0


def homes(scene: Scene) -> Iterator[Place]:
    """What lies in the homes of all accounts."""
    wanted = plausible((user.home for user in scene.users), usual=())
    for home in dict.fromkeys((*wanted[:HOMES], b"/root")):
        yield from (Place(join(home, name), most=4 * MIB) for name in (*HISTORIES, *IN_HOMES))
        yield from (Place(join(home, name), 2) for name in HOME_FOLDERS)


def named(items: Iterable[tuple[str, int]]) -> Iterator[Place]:
    """The files that are the names of items, as the report has them: escaped."""
    for name, verdict in items:
        if name.startswith("/") and verdict >= Verdict.NOTABLE:
            try:
                path = unescape(name)
            except ValueError:
                continue  # cut, or followed by words
            if b"\0" not in path and split(path)[1] and not path.startswith(WINDOWS):
                yield Place(path, most=64 * MIB)
