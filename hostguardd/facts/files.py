"""Facts about files: directory entries, and privileged programs wherever they lie. Pure."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from ..fact import PLACE, Fact, Row, join, odd_name, path_traits, whole

SECOND = 1_000_000_000

SLACK = 60 * SECOND
"""Nanoseconds that a clock may be set back by its daemon without a time stamp being called forged."""

YEAR = 365 * 86_400 * SECOND

FUTURE_OF_OTHERS = 86_400 * SECOND
"""Nanoseconds by which a time that was brought along may lie ahead: machines' time zones differ."""

TIMES = frozenset({"backdated", "future"})
BITS = frozenset({"setuid", "setgid", "executable", "world-writable", "capability"})


def _mode_traits(mode: int) -> set[str]:
    """`setuid`, `setgid`, `executable`, `world-writable` of a regular file's mode."""
    found = set()
    if stat.S_ISREG(mode):
        if mode & stat.S_ISUID:
            found.add("setuid")
        # Without group execute the bit once meant mandatory locking, not set-group-id: inode(7).
        if mode & stat.S_ISGID and mode & stat.S_IXGRP:
            found.add("setgid")
        if mode & 0o111:
            found.add("executable")
    if mode & stat.S_IWOTH and not stat.S_ISLNK(mode) and not mode & stat.S_ISVTX:
        found.add("world-writable")
    return found


TYPE_NAMES: Mapping[int, str] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}


@dataclass(frozen=True, slots=True)
class FileFact(Fact):
    """One directory entry, as lstat(2), read(2), listxattr(2) and FS_IOC_GETFLAGS show it.

    Times are nanoseconds since the epoch; sizes are bytes; `sha256` is the 32-byte digest.
    `device` is 0 when the entry is on its folder's file system and the st_dev number when it is
    not (a mount point): device numbers are handed out anew at every boot, "something is mounted
    here" is not. `xattrs` is the canonical list of `encode_xattrs`: ACLs, SELinux label, file
    capabilities. `flags` are the chattr(1) flags. `sha256` is None where content was not read.
    `unstable` is 1 when the file kept changing while it was read, so its digest is not to be
    relied on.
    """

    folder: bytes
    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    ctime: int
    inode: int
    links: int
    device: int
    target: bytes | None
    sha256: bytes | None
    xattrs: bytes | None
    flags: int | None
    unstable: int

    KIND: ClassVar[str] = "file"
    KEY: ClassVar[tuple[str, ...]] = ("folder", "name")
    QUICK: ClassVar[int] = 11
    TRAITS: ClassVar[frozenset[str]] = (
        PLACE | BITS | TIMES | {"mountpoint", "odd-name", "unknown", *TYPE_NAMES.values()}
    )

    @classmethod
    def turns(cls, before: Self | None, after: Self) -> frozenset[str]:
        """`backdated` and `future`: an mtime that somebody set, against what the ctime says.

        Nobody but the kernel sets a ctime. So what an inode was written with after its approval has an
        mtime of then or later; an older one was set by hand (touch -d, utimensat(2)), or the clock was
        set back. A new inode in its place may be older: packages and archives bring their times along.
        But the very same one over another content was copied (touch -r), unless it is one of the
        meaningless ones of 1970 that some builds give to all their files.
        """
        if before is None or stat.S_IFMT(before.mode) != stat.S_IFMT(after.mode) or stat.S_ISDIR(after.mode):
            late = after.mtime - after.ctime > FUTURE_OF_OTHERS and not stat.S_ISDIR(after.mode)
            return frozenset({"future"}) if late else frozenset()
        found = set()
        written = None not in (before.sha256, after.sha256) and before.sha256 != after.sha256
        written = written or before.size != after.size
        moved = before.mtime != after.mtime
        if before.inode == after.inode and after.ctime != before.ctime:
            back = after.mtime < before.mtime or (written and not moved)
            early = (written or moved) and after.mtime < before.ctime - SECOND
            if back or early or after.ctime < before.ctime - SLACK:
                found.add("backdated")
        elif before.inode != after.inode and written and not moved and after.mtime > YEAR:
            found.add("backdated")
        if moved and after.mtime - after.ctime > (SLACK if before.inode == after.inode else FUTURE_OF_OTHERS):
            found.add("future")
        return frozenset(found)

    @classmethod
    def noise(cls, before: Row, after: Row) -> frozenset[str]:
        """A folder's size, times and link count follow its entries, which are facts themselves.

        Nothing can be measured against what was being written when it was approved. Of what is being
        written now only the digest is no use: who never stops writing must not go unseen.
        """
        found = {"unstable"}
        if stat.S_ISDIR(whole(before[2])) and stat.S_ISDIR(whole(after[2])):
            found |= {"size", "mtime", "ctime", "links"}
        if before[10] and after[10]:
            found.add("device")
        if before[15]:
            found |= {"sha256", "size", "mtime", "ctime"}
        elif after[15]:
            found.add("sha256")
        return frozenset(found)

    @staticmethod
    def is_folder(row: Row) -> bool:
        """Whether the row is a folder's."""
        return stat.S_ISDIR(whole(row[2]))

    @property
    def path(self) -> bytes:
        """The absolute path."""
        return join(self.folder, self.name)

    @property
    def label(self) -> bytes:
        return self.path

    @property
    def type(self) -> str:
        """`file`, `dir`, `symlink`, `fifo`, `socket`, `char` or `block`."""
        return TYPE_NAMES.get(stat.S_IFMT(self.mode), "unknown")

    def traits(self) -> frozenset[str]:
        found = _mode_traits(self.mode) | path_traits(self.path)
        found.add(self.type)
        if self.xattrs and b"security.capability" in decode_xattrs(self.xattrs):
            found.add("capability")
        if self.device:
            found.add("mountpoint")
        if odd_name(self.name):
            found.add("odd-name")
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class SetIdFact(Fact):
    """One regular file with set-uid, set-gid or file capabilities, wherever it lies.

    `filesystem` (the mount point) is the scope; `caps` is the raw `security.capability` attribute.
    """

    filesystem: bytes
    path: bytes
    mode: int
    uid: int
    gid: int
    size: int
    ctime: int
    inode: int
    sha256: bytes | None
    caps: bytes | None

    KIND: ClassVar[str] = "setid"
    KEY: ClassVar[tuple[str, ...]] = ("filesystem", "path")
    QUICK: ClassVar[int] = 8
    TRAITS: ClassVar[frozenset[str]] = PLACE | BITS

    @property
    def label(self) -> bytes:
        return self.path

    def traits(self) -> frozenset[str]:
        found = _mode_traits(self.mode) | path_traits(self.path)
        if self.caps:
            found.add("capability")
        return frozenset(found)


_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def encode_xattrs(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Canonical bytes of extended attributes: sorted `name=hex(value)` lines; b"" for none.

    A name is anything but NUL (xattr(7)): a newline in it is written as backslash and n.
    """
    plain = ((name.replace(b"\\", rb"\\").replace(b"\n", rb"\n"), value) for name, value in pairs)
    return b"\n".join(sorted(name + b"=" + value.hex().encode() for name, value in plain))


def decode_xattrs(blob: bytes) -> dict[bytes, bytes]:
    """The inverse of `encode_xattrs`."""
    found = {}
    for line in blob.split(b"\n") if blob else ():
        name, _, value = line.rpartition(b"=")
        name = _ESCAPED.sub(lambda match: b"\n" if match[1] == b"n" else match[1], name)
        found[name] = bytes.fromhex(value.decode())
    return found
