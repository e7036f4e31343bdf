"""A host that a test can edit: files by `FakeFiles`, the living rest by `FakeLive`, both in a `FakeHost`.

    host = FakeHost()
    host.files.write(b"/etc/passwd", b"root:x:0:0::/root:/bin/sh\\n")
    host.files.chmod(b"/usr/bin/x", 0o4755)
    host.files.mount(b"/mnt", b"nfs4")

It keeps the rules of the port (`host.files.FileHost`): links are not followed, rows are sorted, what
vanished is None, a file that changes while it is read is read again. `FakeFiles.on_read` is called in
the middle of each reading, so that a test can be the one who writes at that moment.

`Faulty` wraps any `FileHost`, the real one too: it calls the test before each step, and can be told
what to hide, what to refuse and what to lie about.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Self

from hostguardd.host.files import Deep, FileHost, Folder, Mark, Stop
from hostguardd.host.mounts import Mount
from hostguardd.model import Row, encode_xattrs, join, split
from tests.fakelive import FakeLive

BEGIN = 1_700_000_000_000_000_000
ATTEMPTS = 3


def refuse(code: int, path: bytes = b"") -> OSError:
    """The error that the kernel would give."""
    return OSError(code, os.strerror(code), path)


@dataclass(eq=False)
class Node:
    """An inode."""

    mode: int
    inode: int
    device: int
    mtime: int
    ctime: int
    uid: int = 0
    gid: int = 0
    content: bytes = b""
    target: bytes = b""
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    flags: int = 0
    links: int = 1
    children: dict[bytes, Node] = field(default_factory=dict)
    covered: Node | None = None
    """The root of what is mounted here."""

    @property
    def top(self) -> Node:
        """What is seen here: itself, or what is mounted on it."""
        node = self
        while node.covered is not None:
            node = node.covered
        return node

    @property
    def size(self) -> int:
        return len(self.target or self.content) if not self.children else 4096


class FakeFiles:
    """An editable `FileHost`. Every edit takes a nanosecond, so each shows in a ctime."""

    def __init__(self) -> None:
        self.root = b"/"
        self.now = BEGIN
        self.refused: dict[bytes, int] = {}
        """Paths that cannot be opened, each with the errno; as by somebody without the right."""
        self.on_read: Callable[[bytes], None] = lambda path: None
        self.opened: list[bytes] = []
        self._inodes = count(100)
        self._mounts = [Mount(b"/", b"ext4", b"/dev/vda", 1, b"/", b"rw")]
        self._top = self._make(stat.S_IFDIR | 0o755, 1)

    def wall(self) -> int:
        """Wall-clock nanoseconds."""
        return self.now

    # -- what a test does to the host ----------------------------------------------------------------

    def _tick(self) -> int:
        self.now += 1
        return self.now

    def _make(self, mode: int, device: int) -> Node:
        now = self._tick()
        return Node(mode, next(self._inodes), device, now, now)

    def node(self, path: bytes) -> Node:
        """The inode at a path, following no link; OSError as the kernel gives it."""
        node = self._top.top
        parts = [part for part in path.split(b"/") if part]
        for at, part in enumerate(parts):
            if stat.S_ISLNK(node.mode):
                raise refuse(errno.ELOOP, path)
            if not stat.S_ISDIR(node.mode):
                raise refuse(errno.ENOTDIR, path)
            if part not in node.children:
                raise refuse(errno.ENOENT, path)
            node = node.children[part].top if at < len(parts) - 1 else node.children[part]
        return node.top

    def _put(self, path: bytes, node: Node) -> Node:
        above, name = split(path)
        parent = self.node(above)
        parent.children[name] = node
        parent.mtime = parent.ctime = self._tick()
        return node

    def folder(self, path: bytes, mode: int = 0o755) -> Node:
        """A folder, and those above it; one that is there stays."""
        above = b"/"
        for part in (part for part in path.split(b"/") if part):
            here = join(above, part)
            if part not in self.node(above).children:
                self._put(here, self._make(stat.S_IFDIR | mode, self.node(above).device))
            above = here
        return self.node(path)

    def write(self, path: bytes, content: bytes = b"", mode: int = 0o644, uid: int = 0, gid: int = 0) -> Node:
        """A new file, or new content in place of the old one."""
        self.folder(split(path)[0])
        try:
            node = self.node(path)
        except OSError:
            node = self._put(path, self._make(stat.S_IFREG | mode, self.node(split(path)[0]).device))
            node.uid, node.gid = uid, gid
        node.content = content
        node.mtime = node.ctime = self._tick()
        return node

    def append(self, path: bytes, more: bytes) -> None:
        """As a log grows."""
        self.write(path, self.node(path).content + more)

    def replace(self, path: bytes, content: bytes) -> Node:
        """As editors and package managers do: another inode in its place."""
        old = self.node(path)
        self.remove(path)
        return self.write(path, content, stat.S_IMODE(old.mode), old.uid, old.gid)

    def remove(self, path: bytes) -> None:
        """A name, and all below it."""
        above, name = split(path)
        parent = self.node(above)
        gone = parent.children.pop(name)
        gone.links -= 1
        gone.ctime = parent.mtime = parent.ctime = self._tick()

    def rename(self, old: bytes, new: bytes) -> None:
        """Also over what is there."""
        node = self.node(split(old)[0]).children.pop(split(old)[1])
        self._put(new, node)
        node.ctime = self._tick()

    def chmod(self, path: bytes, mode: int) -> None:
        node = self.node(path)
        node.mode = stat.S_IFMT(node.mode) | mode
        node.ctime = self._tick()

    def chown(self, path: bytes, uid: int, gid: int) -> None:
        node = self.node(path)
        node.uid, node.gid, node.ctime = uid, gid, self._tick()

    def symlink(self, target: bytes, path: bytes) -> None:
        node = self._put(path, self._make(stat.S_IFLNK | 0o777, 1))
        node.target = target

    def link(self, old: bytes, new: bytes) -> None:
        """Another name for the same inode."""
        node = self._put(new, self.node(old))
        node.links += 1
        node.ctime = self._tick()

    def special(self, path: bytes, kind: int) -> None:
        """A FIFO, a socket, a device: `stat.S_IFIFO`, …"""
        self._put(path, self._make(kind | 0o644, 1))

    def xattr(self, path: bytes, name: bytes, value: bytes | None) -> None:
        """Set an extended attribute; None removes it."""
        node = self.node(path)
        node.xattrs.pop(name, None)
        if value is not None:
            node.xattrs[name] = value
        node.ctime = self._tick()

    def flags(self, path: bytes, flags: int) -> None:
        """As chattr(1)."""
        node = self.node(path)
        node.flags, node.ctime = flags, self._tick()

    def mount(
        self, point: bytes, fstype: bytes = b"ext4", *, device: int = 0, source: bytes = b"/dev/vdb"
    ) -> None:
        """An empty file system over `point`."""
        node = self.folder(point)
        device = device or 10 + len(self._mounts)
        node.covered = self._make(stat.S_IFDIR | 0o755, device)
        self._mounts.append(Mount(point, fstype, source, device, b"/", b"rw"))

    def bind(self, source: bytes, point: bytes) -> None:
        """The folder at `source`, also at `point`; what is mounted below it does not come along."""
        node, covered = self.node(source), self.folder(point)
        home = max(
            (m for m in self._mounts if (source + b"/").startswith(m.point)), key=lambda m: len(m.point)
        )
        covered.covered = _plain_view(node)
        self._mounts.append(home._replace(point=point, root=source))

    def unmount(self, point: bytes) -> None:
        above, name = split(point)
        node = self.node(above).children[name]
        while node.covered is not None and node.covered.covered is not None:
            node = node.covered
        node.covered = None
        self._mounts.remove(next(m for m in reversed(self._mounts) if m.point == point))

    # -- the port --------------------------------------------------------------------------------------

    def open_folder(self, path: bytes) -> Folder:
        self.opened.append(path)
        if path in self.refused:
            raise refuse(self.refused[path], path)
        node = self.node(path)
        if stat.S_ISLNK(node.mode):
            raise refuse(errno.ELOOP, path)
        if not stat.S_ISDIR(node.mode):
            raise refuse(errno.ENOTDIR, path)
        return FakeFolder(self, path, node)

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
                raise refuse(errno.EREMOTE, done)
            try:
                node = self.node(done)
            except OSError:
                continue
            if stat.S_ISLNK(node.mode):
                hops += 1
                if hops > 40:
                    raise refuse(errno.ELOOP, path)
                done = b"/" if node.target.startswith(b"/") else split(done)[0]
                pending += node.target.split(b"/")[::-1]
        return done

    def mounts(self) -> list[Mount]:
        return list(self._mounts)

    def mark(self, path: bytes) -> Mark | None:
        try:
            node = self.node(path)
        except OSError:
            return None
        return node.mode, node.size, node.ctime, node.inode


def _plain_view(node: Node) -> Node:
    """The same folder without what is mounted in it: entries are shared."""
    return Node(
        node.mode, node.inode, node.device, node.mtime, node.ctime, node.uid, node.gid, children=node.children
    )


class FakeFolder:
    """`Folder` over a node."""

    def __init__(self, files: FakeFiles, path: bytes, node: Node) -> None:
        self._files = files
        self._node = node
        self.path = path
        self.device = node.device

    def _row(self, name: bytes, node: Node) -> Row:
        node = node.top
        return (
            self.path, name, node.mode, node.uid, node.gid, node.size, node.mtime, node.ctime, node.inode,
            node.links, 0 if node.device == self.device else node.device,
        )  # fmt: skip

    def entries(self, limit: int, avoid: frozenset[bytes] = frozenset()) -> list[Row] | None:
        names = sorted(self._node.children.keys() - avoid)
        if len(names) > limit:
            return None
        return [self._row(name, self._node.children[name]) for name in names]

    def each(self, avoid: frozenset[bytes], closed: Callable[[bytes, OSError], object]) -> Iterator[Row]:
        for name in list(self._node.children):
            if name not in avoid:
                yield self._row(name, self._node.children[name])

    def names(self, limit: int) -> list[bytes]:
        if len(self._node.children) > limit:
            raise refuse(errno.E2BIG)
        return sorted(self._node.children)

    def entry(self, name: bytes) -> Row | None:
        if name == b".":
            return self._row(name, self._node)
        node = self._node.children.get(name)
        return None if node is None else self._row(name, node)

    def head(self, name: bytes, count: int) -> bytes:
        node = self._node.children.get(name)
        if node is None or not stat.S_ISREG(node.mode) or join(self.path, name) in self._files.refused:
            return b""
        return node.content[:count]

    def has_xattr(self, name: bytes, xattr: bytes) -> bool:
        node = self._node.children.get(name)
        return node is not None and xattr in node.xattrs

    def born(self, name: bytes) -> int | None:
        return None

    def deep(
        self, row: Row, stop: Stop, *, prefix: int = -1, text: bool = False, largest: int = 1 << 62
    ) -> Deep | None:
        name = row[1]
        assert isinstance(name, bytes)
        path = join(self.path, name)
        node = self._find(name)
        if node is None:
            return None
        xattrs = encode_xattrs(node.xattrs.items())
        if not stat.S_ISREG(node.mode):
            folder = stat.S_ISDIR(node.mode)
            return Deep((*self._row(name, node), node.target, b"", xattrs, node.flags if folder else 0, 0))
        if path in self._files.refused:
            return Deep(
                (*self._row(name, node), b"", None, None, None, 0),
                f"cannot be read: {os.strerror(self._files.refused[path])}",
            )
        unstable = 1
        for _ in range(ATTEMPTS):
            length = len(node.content) if prefix < 0 else min(prefix, len(node.content))
            if length > largest:
                full = (*self._row(name, node), b"", None, xattrs, node.flags, 0)
                return Deep(full, f"{length} bytes are more than the limit of {largest}; it was not read")
            before, data = node.ctime, node.content[:length]
            xattrs = encode_xattrs(node.xattrs.items())
            self._files.on_read(path)
            if stop():
                return Deep(
                    (*self._row(name, node), b"", None, xattrs, node.flags, 1), "the look was broken off"
                )
            if node.ctime == before or (prefix >= 0 and len(node.content) >= prefix):
                unstable = 0
                break
        digest = hashlib.sha256(data).digest()
        full = (*self._row(name, node), b"", digest, xattrs, node.flags, unstable)
        if prefix >= 0:
            full = (*full[:5], length, *full[6:])
        return Deep(full, "", data if text else None)

    def _find(self, name: bytes) -> Node | None:
        node = self._node if name == b"." else self._node.children.get(name)
        return None if node is None else node.top

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class FakeHost:
    """A whole host with one clock: files, processes, sockets."""

    def __init__(self) -> None:
        self.files = FakeFiles()
        self.live = FakeLive()

    def wall(self) -> int:
        """Wall-clock nanoseconds, which never stand still."""
        self.files.now = max(self.files.now, self.live.wall()) + 1
        return self.files.now

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.live.tick(seconds)


class Faulty:
    """A `FileHost` in which things go wrong, over any other.

    `before` is called with the step (`open`, `entry`, `deep`) and the path, just before it: a test may
    then remove, swap or write what is looked at. `hidden` names are listed and then not there;
    `refused` maps paths to the errno with which every look at them ends; `lie` changes quick rows on
    their way; `slow` is how many seconds each step takes.
    """

    def __init__(self, host: FileHost) -> None:
        self._host = host
        self.root = host.root
        self.before: Callable[[str, bytes], None] = lambda step, path: None
        self.hidden: set[bytes] = set()
        self.refused: dict[bytes, int] = {}
        self.lie: Callable[[Row], Row] = lambda row: row
        self.slow = 0.0

    def step(self, what: str, path: bytes) -> None:
        if self.slow:
            time.sleep(self.slow)
        self.before(what, path)

    def open_folder(self, path: bytes) -> Folder:
        self.step("open", path)
        if path in self.refused:
            raise refuse(self.refused[path], path)
        return FaultyFolder(self, self._host.open_folder(path))

    def real(self, path: bytes, away: Callable[[bytes], object] = lambda path: None) -> bytes:
        return self._host.real(path, away)

    def mounts(self) -> list[Mount]:
        return self._host.mounts()

    def mark(self, path: bytes) -> Mark | None:
        return self._host.mark(path)


class FaultyFolder:
    """`Folder` of a `Faulty` host."""

    def __init__(self, host: Faulty, folder: Folder) -> None:
        self._host = host
        self._folder = folder
        self.path = folder.path
        self.device = folder.device

    def _at(self, name: bytes) -> bytes:
        return join(self.path, name)

    def entries(self, limit: int, avoid: frozenset[bytes] = frozenset()) -> list[Row] | None:
        rows = self._folder.entries(limit, avoid)
        if rows is None or any(self._at(row[1]) in self._host.refused for row in rows):  # type: ignore[arg-type]
            return None
        return [self._host.lie(row) for row in rows]

    def each(self, avoid: frozenset[bytes], closed: Callable[[bytes, OSError], object]) -> Iterator[Row]:
        for row in self._folder.each(avoid, closed):
            path = self._at(row[1])  # type: ignore[arg-type]
            if path in self._host.refused:
                closed(row[1], refuse(self._host.refused[path], path))  # type: ignore[arg-type]
            else:
                yield self._host.lie(row)

    def names(self, limit: int) -> list[bytes]:
        return self._folder.names(limit)

    def entry(self, name: bytes) -> Row | None:
        path = self._at(name)
        self._host.step("entry", path)
        if path in self._host.refused:
            raise refuse(self._host.refused[path], path)
        row = None if path in self._host.hidden else self._folder.entry(name)
        return None if row is None else self._host.lie(row)

    def head(self, name: bytes, count: int) -> bytes:
        return self._folder.head(name, count)

    def has_xattr(self, name: bytes, xattr: bytes) -> bool:
        return self._folder.has_xattr(name, xattr)

    def born(self, name: bytes) -> int | None:
        return self._folder.born(name)

    def deep(
        self, row: Row, stop: Stop, *, prefix: int = -1, text: bool = False, largest: int = 1 << 62
    ) -> Deep | None:
        path = self._at(row[1])  # type: ignore[arg-type]
        self._host.step("deep", path)
        if path in self._host.hidden:
            return None
        return self._folder.deep(row, stop, prefix=prefix, text=text, largest=largest)

    def close(self) -> None:
        self._folder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
