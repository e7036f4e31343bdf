"""What an event of the kernel says was done: file events by their mask, system calls by their number and
names.

What is not understood is no deed: a call that is missing from the table below names nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from .auditrecords import Event, Path
from .fanevents import Mask
from .model import Deed
from .touches import Key

BY_MASK: Final = (
    (int(Mask.CREATE), Deed.CREATED),
    (int(Mask.DELETE), Deed.DELETED),
    (int(Mask.MOVED_FROM), Deed.MOVED_AWAY),
    (int(Mask.MOVED_TO), Deed.MOVED_HERE),
    (int(Mask.ATTRIB), Deed.ATTRIBUTES),
    (int(Mask.MODIFY), Deed.WRITTEN),
    (int(Mask.CLOSE_WRITE), Deed.HELD),
)


def of_mask(mask: int) -> Deed:
    """The deeds of a file event; several of one process on one name may come as one event."""
    found = Deed(0)
    for bit, deed in BY_MASK:
        if mask & bit:
            found |= deed
    return found


X86_64, AARCH64, I386 = 0xC000003E, 0xC00000B7, 0x40000003

WRITE, ATTRIBUTES, NAMES, RENAME, LINK = "write", "attributes", "names", "rename", "link"

_CALLS: Final = {
    X86_64: {
        # open creat openat openat2 open_by_handle_at truncate ftruncate fallocate
        WRITE: (2, 85, 257, 437, 304, 76, 77, 285),
        # chmod, chown, setxattr, removexattr, utime in all their forms, file_setattr
        ATTRIBUTES: (
            90, 91, 92, 93, 94, 260, 268, 452, 188, 189, 190, 197, 198, 199, 132, 235, 261, 280, 463, 466,
            469,
        ),
        NAMES: (83, 84, 87, 88, 133, 258, 259, 263, 266),  # mkdir rmdir unlink symlink mknod, and ...at
        RENAME: (82, 264, 316),
        LINK: (86, 265),
    },
    AARCH64: {
        WRITE: (56, 437, 265, 45, 46, 47),
        ATTRIBUTES: (52, 53, 54, 55, 452, 5, 6, 7, 14, 15, 16, 88, 463, 466, 469),
        NAMES: (33, 34, 35, 36),
        RENAME: (38, 276),
        LINK: (37,),
    },
    I386: {
        WRITE: (5, 8, 295, 437, 342, 92, 93, 193, 194, 324),
        ATTRIBUTES: (
            15, 94, 16, 95, 182, 198, 207, 212, 298, 306, 452, 226, 227, 228, 235, 236, 237, 30, 271, 299,
            320,
        ),
        NAMES: (39, 40, 10, 83, 14, 296, 297, 301, 304),
        RENAME: (38, 302, 353),
        LINK: (9, 303),
    },
}  # fmt: skip
"""Numbers of the calls that change files: arch/x86/entry/syscalls/syscall_64.tbl and _32.tbl,
asm-generic/unistd.h."""

KINDS: Final = {
    arch: {number: kind for kind, numbers in calls.items() for number in numbers}
    for arch, calls in _CALLS.items()
}
POINTS: Final = {X86_64: (76, 77, 285), AARCH64: (45, 46, 47), I386: (92, 93, 193, 194, 324)}
"""Calls of kind WRITE that write at once, rather than open."""


class Named(NamedTuple):
    """One deed of an event, with the keys it is found by."""

    deed: Deed
    keys: tuple[Key, ...]


def of_event(event: Event) -> Iterator[Named]:
    """The deeds of a system call that succeeded."""
    kind = KINDS.get(event.arch, {}).get(event.syscall)
    if kind is None or not event.success:
        return
    parents = [path for path in event.paths if path.role == b"PARENT"]
    for path in event.paths:
        deed = _deed(kind, path, event)
        if deed:
            yield Named(deed, tuple(_keys(event, path, parents)))


def _deed(kind: str, path: Path, event: Event) -> Deed:
    match kind, path.role:
        case _, b"PARENT":
            return Deed(0)
        case "rename", b"CREATE":
            return Deed.MOVED_HERE
        case "rename", b"DELETE":
            return Deed.MOVED_AWAY | Deed.DELETED  # its old name, or what lay at the new one
        case "link", b"CREATE":
            return Deed.LINKED
        case "link", b"NORMAL":
            return Deed.ATTRIBUTES  # its count of links
        case _, b"CREATE":
            return Deed.CREATED | (Deed.HELD if kind == WRITE else Deed(0))
        case _, b"DELETE":
            return Deed.DELETED
        case "attributes", b"NORMAL":
            return Deed.ATTRIBUTES
        case "write", b"NORMAL":
            return Deed.WRITTEN if event.syscall in POINTS[event.arch] else _opened(event)
    return Deed(0)


O_ACCMODE, O_TRUNC = 0x3, 0x200
OPENS: Final = {X86_64: {2: 1, 257: 2, 304: 2}, AARCH64: {56: 2, 265: 2}, I386: {5: 1, 295: 2, 342: 2}}
"""Which argument holds the flags; openat2 keeps them in memory, creat truncates by its nature."""


def _opened(event: Event) -> Deed:
    at = OPENS[event.arch].get(event.syscall)
    if at is None or len(event.arguments) <= at:
        return Deed.HELD | Deed.WRITTEN
    flags = event.arguments[at]
    if not flags & O_ACCMODE and not flags & O_TRUNC:
        return Deed(0)
    return Deed.HELD | (Deed.WRITTEN if flags & O_TRUNC else Deed(0))


def _keys(event: Event, path: Path, parents: list[Path]) -> Iterator[Key]:
    whole = absolute(event, path)
    if whole is not None:
        yield whole
    if path.inode and path.role in (b"NORMAL", b"CREATE"):
        yield (path.device, path.inode)
    if path.name:
        base = path.name.rstrip(b"/").rpartition(b"/")[2]
        for parent in _parents_of(path, parents):
            yield (parent.device, parent.inode, base)


def _parents_of(path: Path, parents: list[Path]) -> list[Path]:
    """The folder of a name: the only one there is, or the one whose name begins the path. Of two folders the
    kernel lists the old one's first, but says so nowhere: a name without a folder has both, if they
    differ."""
    if len({(one.device, one.inode) for one in parents}) == 1:
        return parents[:1]
    head = (path.name or b"").rstrip(b"/").rpartition(b"/")[0]
    return [one for one in parents if head and (one.name or b"").rstrip(b"/") == head]


AT_FDCWD: Final = (0xFFFFFF9C, 0xFFFFFFFFFFFFFF9C)
NO_FOLDER: Final = {
    X86_64: frozenset((2, 85, 76, 90, 92, 94, 82, 83, 84, 86, 87, 88, 133, 188, 189, 197, 198, 132, 235)),
    AARCH64: frozenset((45, 5, 6, 14, 15)),
    I386: frozenset((5, 8, 92, 193, 15, 16, 182, 198, 212, 38, 39, 40, 9, 10, 83, 14, 226, 227, 235, 236, 30,
271)), }  # fmt: skip
"""Calls whose relative names start at the working folder."""
SYMLINKAT: Final = {X86_64: 266, AARCH64: 36, I386: 304}


def _folders(event: Event, path: Path) -> tuple[int, ...]:
    """The arguments that may be the folder a relative name starts at."""
    kind = KINDS[event.arch].get(event.syscall)
    if event.syscall == SYMLINKAT[event.arch]:
        return (1,)
    if kind not in (RENAME, LINK):
        return (0,)
    if path.role == b"CREATE":
        return (2,)
    return (0, 2) if path.role == b"DELETE" else (0,)


def absolute(event: Event, path: Path) -> bytes | None:
    """The path that a name stands for, as far as it can be told without asking the host; None when it is
    relative to a folder that only a descriptor names."""
    name = path.name
    if not name:
        return None
    if not name.startswith(b"/"):
        at_cwd = event.syscall in NO_FOLDER[event.arch] or (
            len(event.arguments) > 2 and all(event.arguments[at] in AT_FDCWD for at in _folders(event, path))
        )
        if event.cwd is None or not event.cwd.startswith(b"/") or not at_cwd:
            return None
        name = event.cwd.rstrip(b"/") + b"/" + name
    return _plain(name)


def _plain(path: bytes) -> bytes | None:
    """Without `.` and doubled slashes; None with `..`, which a link may lead elsewhere."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    return None if b".." in parts else b"/" + b"/".join(parts)
