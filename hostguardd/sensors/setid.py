"""The set-id sensor: every file that lends its rights, wherever on the local file systems it lies.

One sweep walks one file system (its mount point is the scope), without crossing into others. Only
metadata is read on the way; what is found is then read closely. File capabilities only count on a
file that can be executed, so only those are asked for them.

Network mounts and container layers are scopes of their own: not walked unless the configuration
says so, and named as Blind.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence

from ..globs import compile_paths
from ..host.files import FileHost, Folder, Stop, is_gone
from ..host.mounts import Mount, MountMap
from ..model import CONTENT, Blind, Depth, Row, SetIdFact, Sweep, Value, decode_xattrs, join, split, under
from ..sections import SetIdConfig
from .interface import Request

KIND = SetIdFact.KIND
CAPABILITY = b"security.capability"
LAYERS = (b"/var/lib/docker", b"/var/lib/containers", b"/var/lib/containerd", b"/var/lib/kubelet/pods")
"""Where container engines keep the files of other people's systems."""

LENDING = 0o6111
"""Mode bits of which a file has at least one that lends rights."""

SLICE = 4096
LARGEST = 64 * 1024**2
"""Bytes beyond which the content is not read: anybody can make a set-id file of 8 TB of nothing."""

MOST_NAMES = 2_000_000
"""As in the files sensor."""


class SetIdSensor:
    """`Sensor` of SetIdFacts. `wall` gives wall-clock nanoseconds.

    `on_folder` is called, before it is listed, with each folder that is to be watched for hints.
    """

    fact = SetIdFact

    def __init__(
        self,
        host: FileHost,
        settings: SetIdConfig,
        wall: Callable[[], int],
        on_folder: Callable[[bytes], None] = lambda folder: None,
    ) -> None:
        self._host = host
        self._on_folder = on_folder
        self._settings = settings
        self._exclude = compile_paths(settings.exclude) if settings.exclude else None
        self._wall = wall

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """One sweep for each file system; `depth` makes no difference to what is found."""
        places = MountMap(self._host.mounts)
        mounts = places.mounts
        walked: set[tuple[int, bytes]] = set()
        for mount in self._chosen(mounts):
            if (mount.device, mount.root) in walked:
                continue  # the same folder mounted twice
            walked.add((mount.device, mount.root))
            began = self._wall()
            found = _Found(mount.point)
            self._walk(mount.point, places, found, stop)
            if stop():
                return
            yield found.sweep(began, self._wall())
        refused = tuple(blind for mount in mounts if (blind := self._refusal(mount)) is not None)
        refused += tuple(Blind(KIND, glob, "excluded by setid.exclude") for glob in self._settings.exclude)
        if refused:
            now = self._wall()
            yield Sweep(SetIdFact, b"", Depth.FULL, [], refused, began=now, ended=now)

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """Single files, asked for by path: `scope` is their folder, `keys` their names.

        Of folders (all keys, or `deep`) what they hold is looked at; what vanished in them is the next
        sweep's to find.
        """
        places = MountMap(self._host.mounts)
        for request in requests:
            folder = request.scope
            assert isinstance(folder, bytes)
            home = places.home(folder)
            if home is None or home.pseudo or self._refusal(home) is not None or self._closed_to(folder):
                continue
            began = self._wall()
            found = _Found(home.point)
            asked: frozenset[bytes] = frozenset()
            if request.keys is None:
                self._walk(folder, places, found, stop, deep=request.deep)
            else:
                asked = frozenset(key for key in request.keys if isinstance(key, bytes))
                below = self._pick(folder, asked, found, stop)
                for name in sorted(below - places.within(folder).keys()) if request.deep else ():
                    self._walk(join(folder, name), places, found, stop)
            if stop():
                return
            only = frozenset(row[1] for row in found.rows) | {join(folder, name) for name in asked}
            yield found.sweep(began, self._wall(), only)

    # -- inside ----------------------------------------------------------------------------------

    def _refusal(self, mount: Mount) -> Blind | None:
        """Why this mount is not walked, if an administrator should know."""
        kind = mount.fstype.decode("ascii", "replace")
        if mount.network and not self._settings.network:
            return Blind(
                KIND, mount.point, f"network or user file system ({kind}), not walked: setid.network is off"
            )
        layer = mount.container or any(under(mount.point, top) for top in LAYERS)
        if layer and not self._settings.containers:
            return Blind(KIND, mount.point, f"container layer ({kind}), not walked: setid.containers is off")
        return None

    def _chosen(self, mounts: Sequence[Mount]) -> list[Mount]:
        """File systems to walk; of several on one point the last, which covers the others."""
        top = {mount.point: mount for mount in mounts}
        return [m for m in top.values() if not m.pseudo and self._refusal(m) is None]

    def _left_out(self, path: bytes) -> bool:
        """Whether the configuration excludes this path."""
        return bool(self._exclude and self._exclude.fullmatch(path))

    def leaves_out(self, path: bytes) -> bool:
        """Whether the configuration excludes this path, or a folder above it."""
        while not self._left_out(path):
            if path == b"/":
                return False
            path = split(path)[0]
        return True

    def _closed_to(self, folder: bytes) -> bool:
        """Whether a walk from the top would not come to this folder."""
        while not self._left_out(folder) and (self._settings.containers or folder not in LAYERS):
            if folder == b"/":
                return False
            folder = split(folder)[0]
        return True

    def _walk(self, top: bytes, mounts: MountMap, found: _Found, stop: Stop, *, deep: bool = True) -> None:
        """Everything at and below `top`, on its file system; or only what lies in it."""
        folders = [top]
        while folders and not stop():
            folder = folders.pop()
            if not self._settings.containers and folder in LAYERS:
                found.blind(folder, "container image layers, not walked: setid.containers is off")
                continue
            if self._left_out(folder):
                continue
            if any(under(folder, watched) for watched in self._settings.watch):
                self._on_folder(folder)
            try:
                with self._host.open_folder(folder) as opened:
                    for row in _entries(opened, frozenset(mounts.within(folder)), found):
                        if stat.S_ISDIR(row[2]):  # type: ignore[arg-type]
                            if deep and not (row[10] and mounts.came(folder, row[1])):  # type: ignore[arg-type]
                                folders.append(join(folder, row[1]))  # type: ignore[arg-type]
                        elif row[2] & LENDING:  # type: ignore[operator]  # few files: no call for the others
                            self._consider(opened, row, found, stop)
            except OSError as error:
                found.closed(folder, error)

    def _pick(self, folder: bytes, names: frozenset[bytes], found: _Found, stop: Stop) -> set[bytes]:
        """Some entries of a folder; returns folders among them."""
        below: set[bytes] = set()
        try:
            with self._host.open_folder(folder) as opened:
                for name in sorted(names):
                    row = found.entry(opened, name)
                    if row is None or stop():
                        continue
                    if stat.S_ISDIR(row[2]):  # type: ignore[arg-type]
                        below.add(name)
                    else:
                        self._consider(opened, row, found, stop)
        except OSError as error:
            found.closed(folder, error)
        return below

    def _consider(self, opened: Folder, row: Row, found: _Found, stop: Stop) -> None:
        """Add the file if it lends rights."""
        if not _may_lend(row):
            return
        name: bytes = row[1]  # type: ignore[assignment]
        if not _lends(row) and not opened.has_xattr(name, CAPABILITY):
            return
        path = join(opened.path, name)
        if self._left_out(path):
            return
        deep = opened.deep(row, stop, largest=LARGEST)
        if deep is None or not _may_lend(deep.row):  # gone, or something else by now
            return
        if deep.problem:
            found.blind(path, CONTENT + deep.problem)
        _, _, mode, uid, gid, size, _, ctime, inode, *_ = deep.row
        digest, xattrs = deep.row[12], deep.row[13]
        caps = decode_xattrs(xattrs).get(CAPABILITY, b"") if isinstance(xattrs, bytes) else None
        if _lends(deep.row) or caps != b"":
            found.rows.append((found.scope, path, mode, uid, gid, size, ctime, inode, digest, caps))


class _Found:
    """What one look has gathered so far, of one file system."""

    def __init__(self, scope: bytes) -> None:
        self.scope = scope
        self.rows: list[Row] = []
        self.blinds: list[Blind] = []

    def blind(self, path: bytes, reason: str) -> None:
        self.blinds.append(Blind(KIND, path, reason))

    def closed(self, path: bytes, error: OSError, what: str = "folder") -> None:
        """Something cannot be looked at, unless it is simply not there (any more)."""
        if not is_gone(error):
            self.blind(path, f"{what} cannot be read: {error.strerror or error}")

    def entry(self, opened: Folder, name: bytes) -> Row | None:
        """One entry, None when there is nothing to be seen of it."""
        try:
            return opened.entry(name)
        except OSError as error:
            self.closed(join(opened.path, name), error, "entry")
            return None

    def sweep(self, began: int, ended: int, only: frozenset[Value] | None = None) -> Sweep:
        """The result."""
        rows = sorted(self.rows, key=lambda row: row[:2])
        return Sweep(
            SetIdFact, self.scope, Depth.FULL, rows, tuple(self.blinds), only, began=began, ended=ended
        )


def _may_lend(row: Row) -> bool:
    """Whether a mode allows the file to lend rights: capabilities count on what can be executed."""
    mode = row[2]
    assert isinstance(mode, int)
    return stat.S_ISREG(mode) and mode & LENDING != 0


def _lends(row: Row) -> bool:
    """Whether the mode alone lends rights."""
    mode = row[2]
    assert isinstance(mode, int)
    return bool(mode & stat.S_ISUID or (mode & stat.S_ISGID and mode & stat.S_IXGRP))


def _entries(opened: Folder, avoid: frozenset[bytes], found: _Found) -> Iterator[Row]:
    """Entries of a folder, without touching what is mounted in it."""
    rows = opened.entries(SLICE, avoid)
    if rows is not None:
        yield from rows
        return
    for name in opened.names(MOST_NAMES):
        row = found.entry(opened, name) if name not in avoid else None
        if row is not None:
            yield row
