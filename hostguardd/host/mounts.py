"""What is mounted where: /proc/PID/mountinfo (proc(5)), and which file systems are worth walking.

Read from process 1 where we may, because a sandboxed service has a mount table of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from ..model import split, under

NETWORK = frozenset(
    b"nfs nfs4 cifs smb3 smbfs ceph glusterfs lustre gpfs afs 9p autofs beegfs ocfs2 gfs2 davfs fuse".split()
)
"""File systems other machines write to, or that may hang when the network does."""

PSEUDO = frozenset(
    b"proc sysfs cgroup cgroup2 devpts mqueue debugfs tracefs securityfs pstore bpf configfs fusectl"
    b" selinuxfs efivarfs hugetlbfs binfmt_misc rpc_pipefs nsfs nfsd".split()
)
"""Windows into the kernel: no files of an administrator lie there."""

_OCTAL = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of mountinfo. `point` is where; `device` st_dev; `options` of mount and superblock."""

    point: bytes
    fstype: bytes
    source: bytes
    device: int
    root: bytes
    options: bytes

    @property
    def network(self) -> bool:
        """Whether another machine, or a user's own program (FUSE), answers for its contents."""
        return self.fstype in NETWORK or self.fstype.startswith(b"fuse.")

    @property
    def pseudo(self) -> bool:
        """Whether it is a window into the kernel."""
        return self.fstype in PSEUDO

    @property
    def container(self) -> bool:
        """Whether it is a container's root or an image layer."""
        return self.fstype in (b"overlay", b"aufs") and self.point != b"/"


def parse_mountinfo(text: bytes) -> list[Mount]:
    """Mounts in the order of mounting; a line that does not parse is passed over."""
    found = []
    for line in text.split(b"\n"):  # a carriage return is not escaped by the kernel
        left, dash, right = line.partition(b" - ")
        fields, tail = left.split(b" "), right.split(b" ")
        if not dash or len(fields) < 6 or len(tail) < 3:
            continue
        major, colon, minor = fields[2].partition(b":")
        if not (colon and major.isdigit() and minor.isdigit()):
            continue
        device = os.makedev(int(major), int(minor))
        point, root, source = (_plain(word) for word in (fields[4], fields[3], tail[1]))
        found.append(Mount(point, tail[0], source, device, root, fields[5] + b"," + tail[2]))
    return found


def _plain(word: bytes) -> bytes:
    """Undo the kernel's octal escapes of blanks and backslashes."""
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), word)


def read_mounts(top: bytes = b"/") -> list[Mount]:
    """The mounts at and below `top` (this host's root, or a mounted image), with paths below `top`.

    A `top` that is no mount point itself comes as one, for what it holds is a file system's part.
    """
    for source in ("/proc/1/mountinfo", "/proc/self/mountinfo") if top == b"/" else ("/proc/self/mountinfo",):
        try:
            with open(source, "rb") as handle:
                mounts = parse_mountinfo(handle.read())
        except OSError:
            continue
        return mounts if top == b"/" else _below(mounts, top)
    return []


def _below(mounts: list[Mount], top: bytes) -> list[Mount]:
    """The mounts that show below `top`, as seen from there."""
    around = max((m for m in mounts if under(top, m.point)), key=lambda m: len(m.point), default=None)
    found = [m._replace(point=m.point[len(top) :] or b"/") for m in mounts if under(m.point, top)]
    if around is not None and around.point != top:
        found.insert(0, around._replace(point=b"/"))
    return found


class MountMap:
    """The mounts by the folder they lie in: asked once for each folder of a sweep, so it is a dict."""

    def __init__(self, read: Callable[[], list[Mount]]) -> None:
        self._read = read
        self._fill()

    def _fill(self) -> None:
        self.mounts = self._read()
        self._in: dict[bytes, dict[bytes, Mount]] = {}
        for mount in self.mounts:
            folder, name = split(mount.point)
            self._in.setdefault(folder, {})[name] = mount
        self._pseudo = {mount.point for mount in self.mounts if mount.pseudo}
        self._afar = any(mount.network for mount in self.mounts)

    def within(self, folder: bytes) -> dict[bytes, Mount]:
        """Entries of `folder` on which something is mounted; of several mounts the last."""
        return self._in.get(folder, {})

    def home(self, path: bytes) -> Mount | None:
        """The mount that `path` lies on."""
        home: Mount | None = None
        for mount in self.mounts:
            if (home is None or len(mount.point) >= len(home.point)) and under(path, mount.point):
                home = mount
        return home

    def away(self, path: bytes) -> Mount | None:
        """The network mount that `path` lies on. A root that is one itself is ours all the same."""
        home = self.home(path) if self._afar else None
        return home if home is not None and home.network and home.point != b"/" else None

    def came(self, folder: bytes, name: bytes) -> bool:
        """Whether an entry on another device, which was no mount point when the sweep began, is one now.

        If not it is a subvolume, which has a device number of its own without being mounted.
        """
        self._fill()
        return name in self.within(folder)

    def pseudo(self, folder: bytes) -> bool:
        """Whether a window into the kernel is mounted on `folder` itself."""
        return folder in self._pseudo
