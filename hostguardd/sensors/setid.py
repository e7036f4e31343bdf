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

from ..config import SetIdConfig
from ..globs import compile_paths
from ..host.files import FileHost, Folder, Stop
from ..host.mounts import Mount, MountMap
from ..model import CONTENT, Blind, Depth, Row, SetIdFact, Sweep, decode_xattrs, join, under
from .interface import Request

KIND = SetIdFact.KIND
CAPABILITY = b"security.capability"
LAYERS = (b"/var/lib/docker", b"/var/lib/containers", b"/var/lib/containerd", b"/var/lib/kubelet/pods")
"""Where container engines keep the files of other people's systems."""

MOST_NAMES = 2_000_000


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
            rows: list[Row] = []
            blinds: list[Blind] = []
            self._walk(mount.point, places, rows, blinds, stop)
            if stop():
                return
            rows.sort()
            yield Sweep(
                SetIdFact, mount.point, Depth.FULL, rows, tuple(blinds), began=began, ended=self._wall()
            )
        refused = tuple(blind for mount in mounts if (blind := self._refusal(mount)) is not None)
        if refused:
            now = self._wall()
            yield Sweep(SetIdFact, b"", Depth.FULL, [], refused, began=now, ended=now)

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """Single files, asked for by path: `scope` is their folder, `keys` their names."""
        places = MountMap(self._host.mounts)
        mounts = places.mounts
        for request in requests:
            folder = request.scope
            assert isinstance(folder, bytes)
            home = max(
                (m for m in mounts if under(folder, m.point)), key=lambda m: len(m.point), default=None
            )
            if home is None or home.pseudo or self._refusal(home) is not None or self._left_out(folder):
                continue
            began = self._wall()
            rows: list[Row] = []
            blinds: list[Blind] = []
            if request.keys is None:
                # A folder that appeared: what it holds is news. What vanished is the next sweep's.
                self._walk(folder, places, rows, blinds, stop)
                only = frozenset(row[1] for row in rows)
            else:
                names = _names(request)
                self._pick(folder, names, home.point, rows, blinds, stop)
                only = frozenset(join(folder, name) for name in names)
            rows = sorted((home.point, *row[1:]) for row in rows)
            yield Sweep(
                SetIdFact, home.point, Depth.FULL, rows, tuple(blinds), only, began=began, ended=self._wall()
            )

    # -- inside ----------------------------------------------------------------------------------

    def _refusal(self, mount: Mount) -> Blind | None:
        """Why this mount is not walked, if an administrator should know."""
        kind = mount.fstype.decode("ascii", "replace")
        if mount.network and not self._settings.network:
            return Blind(
                KIND, mount.point, f"network or user file system ({kind}), not walked: setid.network is off"
            )
        if (mount.container or under(mount.point, LAYERS[0])) and not self._settings.containers:
            return Blind(KIND, mount.point, f"container layer ({kind}), not walked: setid.containers is off")
        return None

    def _chosen(self, mounts: Sequence[Mount]) -> list[Mount]:
        """File systems to walk; of several on one point the last, which covers the others."""
        top = {mount.point: mount for mount in mounts}
        return [m for m in top.values() if not m.pseudo and self._refusal(m) is None]

    def _left_out(self, path: bytes) -> bool:
        """Whether the configuration excludes this folder."""
        return bool(self._exclude and self._exclude.fullmatch(path))

    def _walk(self, top: bytes, mounts: MountMap, rows: list[Row], blinds: list[Blind], stop: Stop) -> None:
        """Everything on the file system mounted at `top`."""
        folders = [top]
        while folders and not stop():
            folder = folders.pop()
            if not self._settings.containers and folder in LAYERS:
                blinds.append(
                    Blind(KIND, folder, "container image layers, not walked: setid.containers is off")
                )
                continue
            if self._left_out(folder):
                blinds.append(Blind(KIND, folder, "excluded by setid.exclude"))
                continue
            if any(under(folder, watched) for watched in self._settings.watch):
                self._on_folder(folder)
            try:
                with self._host.open_folder(folder) as opened:
                    for row in _entries(opened, frozenset(mounts.within(folder))):
                        if stat.S_ISDIR(row[2]):  # type: ignore[arg-type]
                            if not row[10] or not mounts.came(folder, row[1]):  # type: ignore[arg-type]
                                folders.append(join(folder, row[1]))  # type: ignore[arg-type]
                        elif row[2] & 0o6111 and stat.S_ISREG(row[2]):  # type: ignore[operator,arg-type]
                            self._consider(opened, row, top, rows, blinds, stop)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                if error.errno != 40:  # ELOOP: it became a symbolic link
                    blinds.append(Blind(KIND, folder, f"folder: {error.strerror or error}"))

    def _pick(
        self, folder: bytes, names: list[bytes], top: bytes, rows: list[Row], blinds: list[Blind], stop: Stop
    ) -> None:
        """Some entries of a folder."""
        try:
            with self._host.open_folder(folder) as opened:
                for name in names:
                    row = opened.entry(name)
                    if row is not None and not stop():
                        self._consider(opened, row, top, rows, blinds, stop)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            blinds.append(Blind(KIND, folder, f"folder: {error.strerror or error}"))

    def _consider(
        self, opened: Folder, row: Row, top: bytes, rows: list[Row], blinds: list[Blind], stop: Stop
    ) -> None:
        """Add the file if it lends rights."""
        mode = row[2]
        assert isinstance(mode, int)
        if not stat.S_ISREG(mode) or not mode & 0o6111:
            return
        lends = bool(mode & stat.S_ISUID or (mode & stat.S_ISGID and mode & stat.S_IXGRP))
        path = join(opened.path, row[1])  # type: ignore[arg-type]
        if not lends and not opened.has_xattr(row[1], CAPABILITY):  # type: ignore[arg-type]
            return
        deep = opened.deep(row, stop)
        if deep is None:
            return
        if deep.problem:
            blinds.append(Blind(KIND, path, CONTENT + deep.problem))
        _, _, mode2, uid, gid, size, _, ctime, inode, *_ = deep.row
        digest, xattrs = deep.row[12], deep.row[13]
        caps = decode_xattrs(xattrs).get(CAPABILITY, b"") if isinstance(xattrs, bytes) else None
        rows.append((top, path, mode2, uid, gid, size, ctime, inode, digest, caps))


def _entries(opened: Folder, avoid: frozenset[bytes]) -> Iterator[Row]:
    """Entries of a folder, without touching what is mounted in it."""
    rows = opened.entries(4096, avoid)
    if rows is not None:
        yield from rows
        return
    for name in opened.names(MOST_NAMES):
        row = opened.entry(name) if name not in avoid else None
        if row is not None:
            yield row


def _names(request: Request) -> list[bytes]:
    """The keys of a request as file names."""
    return sorted(key for key in request.keys or () if isinstance(key, bytes))
