"""The only door to files: openat, fstatat, read, xattrs, chattr flags. Reading is hostile here.

The rules kept: no symbolic link is followed in any component; nothing but a regular file is opened
for reading, and what was opened is compared with what was listed; opening never blocks (O_NONBLOCK)
and never moves an atime (O_NOATIME where the kernel lets us). A file that changes under the reader
is read again, a few times; then its row says `unstable` instead of guessing.

Rows are made here, in the order of `model.FileFact`, because this is the hot path.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
import weakref
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, Self, TypeAlias

from ..model import Row, join, split
from . import inode
from .beneath import FOLDER_FLAGS, opener
from .mounts import Mount, read_mounts

BLOCK = 256 * 1024
"""Read size in bytes; also the largest file text handed on for diffs."""

FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

TICK = 0.05
"""Seconds within which two writes may get the same ctime: kernels stamp files by the coarse clock
(clock_getres(2)), which moves every 1 to 10 ms, and on a busy virtual machine later (measured: 15)."""

ATTEMPTS = 3

Stop = Callable[[], bool]

Mark: TypeAlias = tuple[int, int, int, int]
"""What shows, without a look inside, that an entry is not what it was: mode, size, ctime, inode. A plain
tuple, as many are made each second."""


class Deep(NamedTuple):
    """One entry looked at closely. `problem` is the OSError's text when content was not readable."""

    row: Row
    problem: str = ""
    text: bytes | None = None


class Folder(Protocol):
    """An open folder. Rows are those of its entries."""

    path: bytes
    device: int

    def entries(self, limit: int, avoid: frozenset[bytes] = frozenset()) -> list[Row] | None:
        """QUICK rows of all entries but `avoid`, sorted by name.

        None when they are to be asked for one by one: there are more than `limit`, or one of them
        cannot be looked at.
        """
        ...

    def each(self, avoid: frozenset[bytes], closed: Callable[[bytes, OSError], object]) -> Iterator[Row]:
        """QUICK rows of all entries but `avoid`, one at a time and in no order, so that a million cost no
        memory; `closed` hears of those that cannot be looked at. OSError when the folder cannot be listed."""
        ...

    def names(self, limit: int) -> list[bytes]:
        """All names, sorted; OSError(E2BIG) beyond `limit`."""
        ...

    def entry(self, name: bytes) -> Row | None:
        """The QUICK row of one entry, None when it does not exist; OSError when nobody can say."""
        ...

    def head(self, name: bytes, count: int) -> bytes:
        """The first bytes of an entry that is a regular file; b"" where they cannot be read."""
        ...

    def has_xattr(self, name: bytes, xattr: bytes) -> bool:
        """Whether an entry has this extended attribute (False also where we may not ask)."""
        ...

    def born(self, name: bytes) -> int | None:
        """When an entry was made, in nanoseconds since the epoch; None where the file system does not say."""
        ...

    def deep(
        self, row: Row, stop: Stop, *, prefix: int = -1, text: bool = False, largest: int = 1 << 62
    ) -> Deep | None:
        """The full row of an entry, None when it vanished.

        `prefix` >= 0 digests only that many bytes, and `size` of the row is then their number, so
        that the row of a file that only grew is the approved one but for its times.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class FileHost(Protocol):
    """The host's files, as sensors see them. Paths are absolute, as on the watched host.

    `root` is where its root folder is for us.
    """

    root: bytes

    def open_folder(self, path: bytes) -> Folder:
        """Open without following any link; OSError as open(2) gives it (ELOOP, ENOTDIR, EACCES, …)."""
        ...

    def real(self, path: bytes, away: Callable[[bytes], object] = lambda path: None) -> bytes:
        """`path` with every symbolic link resolved. OSError(EREMOTE) rather than touch what is `away`: not
        even readlink(2) comes back from a dead server."""
        ...

    def mounts(self) -> list[Mount]:
        """What is mounted where, in the order of mounting."""
        ...

    def mark(self, path: bytes) -> Mark | None:
        """The mark of an entry, None where there is none or nobody can say. Links above it are followed:
        it is a reason to look, not a look."""
        ...


class LinuxFolder:
    """`Folder` over a directory descriptor."""

    __slots__ = ("_fd", "_patient", "device", "path")

    def __init__(self, fd: int, path: bytes, patient: bool = False) -> None:
        self._fd = fd
        self._patient = patient
        self.path = path
        self.device = os.fstat(fd).st_dev

    def entries(self, limit: int, avoid: frozenset[bytes] = frozenset()) -> list[Row] | None:
        folder, home = self.path, self.device
        rows: list[Row] = []
        add = rows.append
        encode = os.fsencode
        with os.scandir(self._fd) as listing:
            for item in listing:
                if avoid and encode(item.name) in avoid:
                    continue
                try:
                    st = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # vanished between readdir and stat: the next look tells
                except OSError:
                    return None
                add(
                    (
                        folder,
                        encode(item.name),
                        st.st_mode,
                        st.st_uid,
                        st.st_gid,
                        st.st_size,
                        st.st_mtime_ns,
                        st.st_ctime_ns,
                        st.st_ino,
                        st.st_nlink,
                        0 if st.st_dev == home else st.st_dev,
                    )
                )
                if len(rows) > limit:
                    return None
        rows.sort()
        return rows

    def each(self, avoid: frozenset[bytes], closed: Callable[[bytes, OSError], object]) -> Iterator[Row]:
        encode, row = os.fsencode, self._row
        with os.scandir(self._fd) as listing:
            for item in listing:
                name = encode(item.name)
                if name in avoid:
                    continue
                try:
                    yield row(name, item.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    closed(name, error)

    def names(self, limit: int) -> list[bytes]:
        found: list[bytes] = []
        with os.scandir(self._fd) as listing:
            for item in listing:
                found.append(os.fsencode(item.name))
                if len(found) > limit:
                    raise OSError(errno.E2BIG, f"more than {limit} names")
        found.sort()
        return found

    def entry(self, name: bytes) -> Row | None:
        try:
            return self._row(name, os.stat(name, dir_fd=self._fd, follow_symlinks=False))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def head(self, name: bytes, count: int) -> bytes:
        try:
            fd = self.open(name, FILE_FLAGS)
        except OSError:
            return b""
        try:
            return os.pread(fd, count, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        except OSError:
            return b""
        finally:
            os.close(fd)

    def stat(self, name: bytes) -> os.stat_result:
        """lstat(2) of an entry. Raises OSError."""
        return os.stat(name, dir_fd=self._fd, follow_symlinks=False)

    def readlink(self, name: bytes) -> bytes:
        """Where a symbolic link points. Raises OSError."""
        return os.readlink(name, dir_fd=self._fd)

    def has_xattr(self, name: bytes, xattr: bytes) -> bool:
        try:
            # listxattr rather than getxattr: an empty list is cheaper than an exception.
            names = os.listxattr(b"/proc/self/fd/%d/%s" % (self._fd, name), follow_symlinks=False)
        except OSError:
            return False
        return os.fsdecode(xattr) in names

    def born(self, name: bytes) -> int | None:
        return inode.born(self._fd, name)

    def _row(self, name: bytes, st: os.stat_result) -> Row:
        return (
            self.path,
            name,
            st.st_mode,
            st.st_uid,
            st.st_gid,
            st.st_size,
            st.st_mtime_ns,
            st.st_ctime_ns,
            st.st_ino,
            st.st_nlink,
            0 if st.st_dev == self.device else st.st_dev,
        )

    def deep(
        self, row: Row, stop: Stop, *, prefix: int = -1, text: bool = False, largest: int = 1 << 62
    ) -> Deep | None:
        name = row[1]
        assert isinstance(name, bytes)
        for _ in range(ATTEMPTS):
            kind = stat.S_IFMT(row[2])  # type: ignore[arg-type]
            if kind == stat.S_IFREG:
                found = self._regular(row, stop, prefix, text, largest)
            elif kind == stat.S_IFDIR:
                found = self._opened(row, FOLDER_FLAGS)
            else:
                found = self._special(row, link=kind == stat.S_IFLNK)
            if found is not None:
                return found
            again = self.entry(name)  # swapped for something else, or gone
            if again is None:
                return None
            row = again
        return Deep((*row, None, None, None, None, 1), "kept changing its type while it was read")

    def open(self, name: bytes, flags: int) -> int:
        """Open without moving the atime if we may: O_NOATIME is for owners and CAP_FOWNER, open(2)."""
        try:
            return os.open(name, flags | os.O_NOATIME, dir_fd=self._fd)
        except PermissionError as error:
            if error.errno != errno.EPERM:
                raise
            return os.open(name, flags, dir_fd=self._fd)

    def _regular(self, row: Row, stop: Stop, prefix: int, text: bool, largest: int) -> Deep | None:
        name: bytes = row[1]  # type: ignore[assignment]
        try:
            fd = self.open(name, FILE_FLAGS)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                return None
            return Deep((*row, b"", None, None, None, 0), _unreadable(error))
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                return None
            row = self._row(name, before)
            unstable = 1
            for _ in range(ATTEMPTS):
                xattrs, flags = inode.xattrs(fd), inode.flags(fd)
                length = before.st_size if prefix < 0 else min(prefix, before.st_size)
                if length > largest:
                    full = (*self._row(name, before), b"", None, xattrs, flags, 0)
                    problem = f"{length} bytes are more than the limit of {largest}; it was not read"
                    return Deep((*full[:5], length, *full[6:]), problem)
                digest, data = _digest(fd, length, stop, text)
                after = os.fstat(fd)
                if digest is None:
                    return Deep(
                        (*self._row(name, after), b"", None, xattrs, flags, 1), "the look was broken off"
                    )
                same = after.st_ctime_ns == before.st_ctime_ns and after.st_size == before.st_size
                if same and self._patient and _just_written(after):
                    time.sleep(TICK)  # what was written behind our reading would have the same ctime
                elif same or (prefix >= 0 and after.st_size >= prefix):
                    unstable = 0
                    break
                before = after
            full = (*self._row(name, after), b"", digest, xattrs, flags, unstable)
            if prefix >= 0:
                full = (*full[:5], length, *full[6:])
            return Deep(full, "", data)
        except OSError as error:
            return Deep((*row, b"", None, None, None, 0), _unreadable(error))
        finally:
            os.close(fd)

    def _opened(self, row: Row, flags: int) -> Deep | None:
        """A folder's attributes, read through a descriptor."""
        name: bytes = row[1]  # type: ignore[assignment]
        try:
            fd = self.open(name, flags)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None
            return Deep((*row, b"", b"", None, None, 0), _unreadable(error))
        try:
            return Deep((*row, b"", b"", inode.xattrs(fd), inode.flags(fd), 0))
        finally:
            os.close(fd)

    def _special(self, row: Row, *, link: bool) -> Deep | None:
        """Symbolic links, FIFOs, devices, sockets: never opened."""
        name: bytes = row[1]  # type: ignore[assignment]
        target = b""
        if link:
            try:
                target = os.readlink(name, dir_fd=self._fd)
            except OSError:
                return None
        return Deep((*row, target, b"", inode.xattrs(b"/proc/self/fd/%d/%s" % (self._fd, name)), 0, 0))

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class LinuxFiles:
    """`FileHost` of this machine, or of the tree below `root` (a mounted disk image).

    A `patient` one reads what was written a moment ago once more, after that moment. Others need
    not: they look because of a hint, and whatever is written after their look brings another one.
    """

    def __init__(self, root: bytes = b"/", *, patient: bool = False) -> None:
        self._patient = patient
        self._root = os.open(root, FOLDER_FLAGS & ~os.O_NOFOLLOW)
        weakref.finalize(self, os.close, self._root)
        self.root = self._top = os.path.realpath(root)
        self._prefix = self._top.rstrip(b"/")
        self._beneath = opener(self._root)

    def mounts(self) -> list[Mount]:
        return read_mounts(self._top)

    def mark(self, path: bytes) -> Mark | None:
        try:
            st = os.lstat(self._prefix + path)
        except OSError:
            return None
        return st.st_mode, st.st_size, st.st_ctime_ns, st.st_ino

    def open_folder(self, path: bytes) -> LinuxFolder:
        relative = path.lstrip(b"/") or b"."
        return LinuxFolder(self._beneath.open(self._root, relative), path, self._patient)

    def real(self, path: bytes, away: Callable[[bytes], object] = lambda path: None) -> bytes:
        done, pending, hops = b"/", path.split(b"/")[::-1], 0
        while pending:
            part = pending.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                done = split(done)[0]
                continue
            done = join(done, part)
            if away(done):
                raise OSError(errno.EREMOTE, "it lies on a network mount")
            try:
                target = os.readlink(join(self._top, done.lstrip(b"/")))
            except OSError:
                continue
            hops += 1
            if hops > 40:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            done = b"/" if target.startswith(b"/") else split(done)[0]
            pending += target.split(b"/")[::-1]
        return done


def _just_written(st: os.stat_result) -> bool:
    """Whether it was written within the present tick of the clock that stamps files."""
    return 0 <= time.time_ns() - st.st_ctime_ns < TICK * 1e9


def _unreadable(error: OSError) -> str:
    return f"cannot be read: {error.strerror or error}"


def _digest(fd: int, length: int, stop: Stop, text: bool) -> tuple[bytes | None, bytes | None]:
    """(SHA-256 of the first `length` bytes, the bytes themselves if `text` and small). None: stopped."""
    if length < BLOCK:
        data = os.pread(fd, length + 1, 0)[:length] if length else b""
        return hashlib.sha256(data).digest(), data if text else None
    total = hashlib.sha256()
    buffer = bytearray(BLOCK)
    view = memoryview(buffer)
    offset = 0
    while offset < length:
        count = os.preadv(fd, [view[: min(BLOCK, length - offset)]], offset)
        if not count:
            break
        total.update(view[:count])
        offset += count
        if stop():
            return None, None
    return total.digest(), None


def is_gone(error: OSError) -> bool:
    """Whether the error only says that there is no such folder (any more), or a link in its place."""
    return error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
