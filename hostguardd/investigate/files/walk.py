"""One walk over all local file systems, for every check that would ask find(1): collected once, kept small.

The rule kept: **everything is looked at and counted, little is kept**. Of a folder of a million names no
list is made; what a check wants to see of a kind of thing are the first or the newest so many and how many
there were. Nothing is opened but folders, and what lends rights is read, to know its digest.

Not walked: windows into the kernel, what another machine answers for, and the same files mounted once more.
"""

from __future__ import annotations

import re
import stat
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from ...fact import TEMPORARY, is_odd, odd_name
from ...globs import compile_paths
from ...host.files import Folder, Stop, is_gone
from ...host.mounts import Mount, MountMap
from ...model import Row, SetIdFact, decode_xattrs, join, under
from ...sensors.oddnames import DT_DIR, DT_REG, oddity
from ...sensors.setid import CAPABILITY, LARGEST, LAYERS, LENDING
from ...words.interface import counted
from ..interface import Unseen, text
from ..scene import SUDO, Scene
from .gathered import NEWEST, SYSTEM_BELOW, Entry, Lending, Odd, Top, Walked, entry_of, keep_newest

LAYERS_BELOW: Final = tuple(top + b"/" for top in LAYERS)

OWN_CHANGES: Final = compile_paths(
    [
        b"/etc/adjtime", b"/etc/mtab", b"/etc/resolv.conf", b"/etc/.updated", b"/etc/cups/**",
        b"/etc/ld.so.cache",
        b"/usr/lib/sysimage/rpm/**", b"/usr/lib/sysimage/libdnf5/**", b"/boot/grub*/grubenv",
        b"/boot/efi/EFI/*/grubenv", b"/usr/share/mime/**", b"/usr/share/applications/mimeinfo.cache",
        b"/usr/share/icons/**/icon-theme.cache", b"/usr/share/glib-2.0/schemas/gschemas.compiled",
        b"/usr/share/info/dir", b"/usr/local/share/info/dir", b"/usr/lib/fontconfig/cache/**",
        b"/usr/lib/udev/hwdb.bin", b"/etc/udev/hwdb.bin",
        b"/usr/lib/modules/*/modules.*", b"/var/spool/anacron/**", b"/var/spool/cron/**/.SEQ",
        b"/var/spool/at/.SEQ", b"/var/spool/at/spool/**", b"/var/spool/cron/lastrun/**",
    ]
)  # fmt: skip
"""What the system itself writes in these places: boot, DHCP, the package manager's databases and triggers."""

SHARED: Final = (b"/dev/shm/", b"/run/shm/")
"""Memory that programs share: nothing in it is run."""

TELLING: Final = re.compile(rb"/dev/shm/|/run/shm/|(?:/tmp|/var/tmp|/run/user(?:/\d+)?)/\.")
"""Where even among temporary files no program belongs: that memory, and what hides at the top of a folder.
A dot further down is a checkout's or an unpacked archive's."""

ACL: Final = b"system.posix_acl_access"
OF_ROOT: Final = (b"/root/", b"/opt/")
"""Where else nobody but root changes anything, so that ACLs are asked for: of what has the group's bit for
writing, which with an ACL is the most that it gives to anybody, acl(5). These are few; each costs a call."""

PEOPLE: Final = range(1000, 60_000)
LOCAL: Final = (b"/usr/local/", b"/usr/src/")
"""What administrators often make their own."""

DAY: Final = 86_400 * 10**9
BY_MUCH: Final = 30 * DAY
"""How much older than its inode's last change a file must say it is, to be told."""

MOST: Final = 2000
"""Entries of one kind that are kept."""

MOST_OF_TOP: Final = 500
MOST_ALL: Final = 5000
"""Of what is told by name: entries below one folder of the root, and in all."""

MOST_READ: Final = 2 * 1024**3
"""Bytes of files that lend rights that are read in all."""

MOST_CHANGED: Final = 20_000
"""Changed entries of the system's folders that are kept, the newest; as many programs, and of all others."""

MOST_TOPS: Final = 5000
"""Folders whose changes are counted apart."""

MOST_CLOSED: Final = 50

REG, DIR, LNK = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK
DEVICES: Final = (stat.S_IFCHR, stat.S_IFBLK)


class Pending(NamedTuple):
    """Folders still to be walked below `folder`: their names in one piece, for there may be a million."""

    folder: bytes
    names: bytearray

    def take(self) -> bytes | None:
        """The last of them, and forget it."""
        if not self.names:
            return None
        at = self.names.rfind(b"\0", 0, -1) + 1
        name = bytes(self.names[at:-1])
        del self.names[at:]
        return name


def walked(scene: Scene) -> Walked:
    """What the walk over this scene's host collected; walked when it is asked for the first time."""
    return scene.once(_walk)


def _walk(scene: Scene) -> Walked:
    walk = _Walk(scene)
    walk.all(scene.stop)
    return walk.found


def chosen(mounts: list[Mount]) -> tuple[list[Mount], list[Mount]]:
    """(file systems to walk, network mounts that are not). What is mounted twice is walked once: of the
    same file system the mount that shows most of it."""
    top = {mount.point: mount for mount in mounts}
    own = [one for one in top.values() if not one.pseudo and not one.container]
    local = [one for one in own if not one.network or one.point == b"/"]
    local.sort(key=lambda one: (len(one.root), len(one.point)))
    walk: list[Mount] = []
    for one in local:
        if not any(other.device == one.device and under(one.root, other.root) for other in walk):
            walk.append(one)
    return walk, [one for one in own if one.network and one.point != b"/"]


class _Walk:
    """The walk itself."""

    def __init__(self, scene: Scene) -> None:
        self.found = Walked()
        self._files = scene.host.files
        self._since = int(scene.since * 1e9)
        self._users = {user.uid for user in scene.users}
        self._remedy = "" if scene.is_root else SUDO
        self._places = MountMap(self._files.mounts)
        self._closed: list[bytes] = []
        self._kept: Counter[tuple[str, bytes]] = Counter()
        self._budget = MOST_READ
        self._closed_count = 0

    def all(self, stop: Stop) -> None:
        """Walk every file system."""
        mounts, remote = chosen(self._places.mounts)
        for mount in mounts:
            self._mount(mount, stop)
        for mount in remote:
            what = text(mount.fstype)
            reason = f"a network or user file system ({what}), not walked: another machine or program answers"
            self.found.unseen.append(Unseen(f"files below {text(mount.point)}", reason))
        if self._closed_count:
            shown = ", ".join(text(path) for path in sorted(self._closed, key=len)[:5])
            reason = f"{counted(self._closed_count, 'place')} cannot be looked at, such as {shown}"
            self.found.unseen.append(Unseen("files", reason, self._remedy))
        if stop():
            reason = f"the walk was broken off after {counted(self.found.entries, 'entry')}: its time ran out"
            self.found.unseen.append(Unseen("files", reason, "--patience SECONDS"))

    def _is_closed(self, path: bytes, error: OSError) -> None:
        if not is_gone(error):
            self._closed_count += 1
            if len(self._closed) < MOST_CLOSED:
                self._closed.append(path)

    def _mount(self, mount: Mount, stop: Stop) -> None:
        pending = [Pending(mount.point, self._visit(mount.point, mount, stop))]
        while pending and not stop():
            name = pending[-1].take()
            if name is None:
                pending.pop()
                continue
            folder = join(pending[-1].folder, name)
            pending.append(Pending(folder, self._visit(folder, mount, stop)))

    def _visit(self, folder: bytes, mount: Mount, stop: Stop) -> bytearray:
        """Look at one folder; returns the names of those in it, each with a NUL behind it."""
        below = bytearray()
        try:
            with self._files.open_folder(folder) as opened:
                avoid = frozenset(self._places.within(folder))
                if (folder + b"/").startswith(LAYERS_BELOW):
                    self._layer(opened, avoid, below)
                else:
                    self._folder(opened, avoid, below, mount, stop)
        except OSError as error:
            self._is_closed(folder, error)
        return below

    def _layer(self, opened: Folder, avoid: frozenset[bytes], below: bytearray) -> None:
        """A folder of other people's systems: set-id files are counted, and nothing else is our business."""
        for row in opened.each(avoid, lambda name, error: None):
            mode: int = row[2]  # type: ignore[assignment]
            self.found.counts["layers"] += 1
            if stat.S_ISDIR(mode):
                below += row[1] + b"\0"  # type: ignore[operator,arg-type]
            elif stat.S_ISREG(mode) and mode & stat.S_ISUID:
                self.found.counts["layers-setid"] += 1

    def _folder(
        self, opened: Folder, avoid: frozenset[bytes], below: bytearray, mount: Mount, stop: Stop
    ) -> None:
        """One folder. Written flat: this is asked for each of a million entries."""
        found, folder, since, users = self.found, opened.path, self._since, self._users
        slash = folder + b"/"
        system = slash.startswith(SYSTEM_BELOW)
        acls = system or slash.startswith(OF_ROOT)
        temporary = slash.startswith(TEMPORARY)
        logs = slash.startswith(b"/var/log/")
        in_dev = slash.startswith(b"/dev/")
        top = b"" if system else b"/".join(folder.split(b"/")[:3])
        count = 0

        def closed(name: bytes, error: OSError) -> None:
            self._is_closed(join(folder, name), error)

        for row in opened.each(avoid, closed):
            count += 1
            if not count & 0xFFFF and stop():
                break
            _, name, mode, uid, _, _, mtime, ctime, _, _, _ = row
            assert isinstance(name, bytes)
            assert isinstance(mode, int)
            assert isinstance(mtime, int)
            assert isinstance(ctime, int)
            kind = mode & 0o170000
            if kind == DIR:
                below += name + b"\0"
            elif ctime > since or mtime > since:
                found.counts["changed"] += 1
                if system:
                    self._changed(row, ctime)
                elif not in_dev:
                    self._changed_elsewhere(row, top, ctime)
            if name[0] == 46 or in_dev or is_odd(name):
                self._named(row, kind)
            if kind == REG and mode & LENDING:
                self._lending(opened, row, mount, stop)
                if temporary and mode & 0o111:
                    telling = TELLING.match(slash + name)
                    kept = found.telling if telling else found.temporary
                    self._keep("telling" if telling else "temporary", kept, row)
                elif logs and mode & 0o111:
                    self._keep("among_logs", found.among_logs, row)
            elif kind in DEVICES and not in_dev:
                self._keep("devices", found.devices, row)
            if system and mode & 0o002 and kind != LNK and not mode & stat.S_ISVTX:
                self._keep("writable", found.writable, row)
            if acls and mode & 0o020 and kind != LNK and opened.has_xattr(name, ACL):
                self._keep("shared", found.shared, row)
            if uid not in users:
                self._orphan(row)
            elif system and uid in PEOPLE and kind != LNK and not slash.startswith(LOCAL):
                self._keep("given", found.given, row)
        found.entries += count
        found.folders += 1

    # -- what is worth keeping --------------------------------------------------------------------

    def _keep(self, what: str, kept: list[Entry], row: Row) -> None:
        self.found.counts[what] += 1
        if len(kept) < MOST:
            kept.append(entry_of(row))

    def _room(self, what: str, folder: bytes) -> bool:
        """Whether there is room for one more of a kind. Each folder at the top has its own, so that who fills
        /tmp with such things crowds nothing out."""
        key = what, folder.split(b"/", 2)[1]
        self._kept[key] += 1
        return self._kept[key] <= MOST_OF_TOP

    def _changed(self, row: Row, ctime: int) -> None:
        """Something of the system's, of which the newest are kept; of programs apart, so that who makes many
        files crowds none of these out."""
        if OWN_CHANGES.fullmatch(join(row[0], row[1])):  # type: ignore[arg-type]
            self.found.counts["own"] += 1
            return
        self.found.counts["system"] += 1
        mode = row[2]
        assert isinstance(mode, int)
        program = stat.S_ISREG(mode) and mode & 0o111
        keep_newest(self.found.programs if program else self.found.changed, ctime, row, MOST_CHANGED)

    def _changed_elsewhere(self, row: Row, top: bytes, ctime: int) -> None:
        tops = self.found.tops
        if top not in tops and len(tops) >= MOST_TOPS:
            top = b""
        tops.setdefault(top, Top()).add(ctime, row)

    def _named(self, row: Row, kind: int) -> None:
        """A name that begins with a dot, or does not look like one."""
        folder, name, mode = row[0], row[1], row[2]
        assert isinstance(folder, bytes)
        assert isinstance(name, bytes)
        assert isinstance(mode, int)
        sign, clause = oddity(
            join(folder, name), DT_DIR if kind == DIR else DT_REG if kind == REG else -1, mode
        )
        if not sign and odd_name(name):
            clause = "it passes for the folder above"
        if clause:
            self.found.counts["odd"] += 1
            if self._room("odd", folder) and len(self.found.odd) < MOST_ALL:
                self.found.odd.append(Odd(entry_of(row), sign, clause))

    def _lending(self, opened: Folder, row: Row, mount: Mount, stop: Stop) -> None:
        """A file that can be executed: whether it lends rights, by its mode or by capabilities."""
        name, mode = row[1], row[2]
        assert isinstance(name, bytes)
        assert isinstance(mode, int)
        set_id = mode & stat.S_ISUID or (mode & stat.S_ISGID and mode & stat.S_IXGRP)
        if not set_id and not opened.has_xattr(name, CAPABILITY):
            return
        self.found.counts["lending"] += 1
        if not (row[3] == 0 and mode & stat.S_ISUID) and not self._room("lending", opened.path):
            return
        if len(self.found.lending) >= MOST_ALL:
            return
        deep = opened.deep(row, stop, largest=min(LARGEST, self._budget))
        if deep is None:
            return
        self._budget -= deep.row[5] if not deep.problem else 0  # type: ignore[operator]
        _, _, mode, uid, gid, size, mtime, ctime, inode, *_ = deep.row
        xattrs = deep.row[13]
        caps = decode_xattrs(xattrs).get(CAPABILITY, b"") if isinstance(xattrs, bytes) else None
        values = (
            mount.point,
            join(opened.path, name),
            mode,
            uid,
            gid,
            size,
            ctime,
            inode,
            deep.row[12],
            caps,
        )
        image = mount.fstype in (b"squashfs", b"iso9660", b"erofs") and mount.point != b"/"
        nosuid = b"nosuid" in mount.options.split(b",")
        assert isinstance(mtime, int)
        self.found.lending.append(Lending(SetIdFact.of(values), mtime, image, nosuid, deep.problem))

    def _orphan(self, row: Row) -> None:
        uid = row[3]
        assert isinstance(uid, int)
        counts = self.found.orphan_counts
        if uid not in counts and len(counts) >= MOST:
            uid = -1
        counts[uid] += 1
        examples = self.found.orphans.setdefault(uid, [])
        if len(examples) < NEWEST:
            examples.append(entry_of(row))


def unseen(scene: Scene) -> Iterator[Unseen]:
    """What the walk could not look at."""
    yield from walked(scene).unseen
