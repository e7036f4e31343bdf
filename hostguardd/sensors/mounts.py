"""The mounts sensor: every mount of the host, and what each lies on.

A mount hides what lies beneath it, be it /etc or the folder of a process, and no file of it changes. So
the whole table is looked at whenever the kernel says it moved, and every few seconds without that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from ..host.kernel import KernelHost
from ..host.mounts import Mount, parse_mountinfo
from ..model import Blind, Depth, MountFact, Row, Sweep
from ..watches import Watches
from .arrivals import Arrivals
from .interface import Request, answers

KIND: Final = MountFact.KIND
SCOPE: Final = "host"
KEY: Final = len(MountFact.KEY)

UNTOLD: Final = 5.0
"""Seconds after which the table is read although the kernel did not tell of a change: of options of the
file system alone it does not."""

EVERYTHING: Final = 60.0
PROCESS: Final = re.compile(rb"/proc/(?:[0-9]+|self|thread-self)(?:/.*)?", re.DOTALL)

MOVING: Final = frozenset(
    b"size nr_inodes nr_blocks fd pgrp pipe_ino addr clientaddr mountaddr mountport port lowerdir upperdir"
    b" workdir subvolid subvol namlen timeo retrans rsize wsize stripe user_id group_id".split()
)
"""Options with a value that comes from the moment of mounting: sizes by the memory there is, numbers of
descriptors, addresses, layers of an image."""

Stop = Callable[[], bool]


class MountsSensor:
    """`Sensor` of MountFacts. `wall` gives wall-clock nanoseconds, `interval` is in seconds."""

    fact = MountFact

    def __init__(self, host: KernelHost, watches: Watches, interval: float, wall: Callable[[], int]) -> None:
        self._host = host
        self._places = Places(watches)
        self._interval = interval
        self._wall = wall
        self._arrivals = Arrivals(KEY)
        self._text: bytes | None = None
        self._asked = self._read = self._everything = 0.0
        self._moved = True

    def changed(self) -> bool:
        """Whether the table moved since the last sweep."""
        if self._host.blind:
            return False
        now = self._host.uptime()
        if now < self._asked:
            return self._moved
        self._asked = now + self._interval
        if self._host.remounted() or now >= self._read:
            self._read = now + UNTOLD
            self._moved = self._moved or self._host.mounts().data != self._text
        return self._moved or now >= min(self._everything, self._arrivals.due)

    def expect(self, rows: Iterable[Row]) -> None:
        """Approved rows: what is not mounted yet, just after the host's start, is not missing."""
        self._arrivals.expect(rows, self._host.uptime())

    def rewatch(self, watches: Watches) -> None:
        """From now on this is what is watched."""
        self._places = Places(watches)

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """One sweep."""
        began = self._wall()
        if stop():
            return
        rows, blinds = self._look()
        yield Sweep(MountFact, SCOPE, depth, rows, blinds, began=began, ended=self._wall())

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """Keys are (point, layer)."""
        return answers(requests, (SCOPE,), lambda scope, depth: self.sweep(depth, stop))

    def _look(self) -> tuple[list[Row], tuple[Blind, ...]]:
        host = self._host
        if host.blind:
            return [], (Blind(KIND, b"*", host.blind),)
        now = host.uptime()
        self._everything = now + EVERYTHING
        self._moved = False
        data, problem = host.mounts()
        self._text = data
        if data is None:
            return [], (Blind(KIND, b"*", f"the table of mounts cannot be read: {problem or 'it is gone'}"),)
        return self._arrivals.fill(rows_of(parse_mountinfo(data), self._places), SCOPE, now), ()


def rows_of(mounts: Sequence[Mount], places: Places) -> list[Row]:
    """The rows of a table of mounts, sorted."""
    automounted = frozenset(mount.point for mount in mounts if mount.fstype == b"autofs")
    layers: dict[bytes, int] = {}
    rows: list[Row] = []
    for mount in mounts:
        layer = layers.get(mount.point, -1) + 1
        layers[mount.point] = layer
        place = "automount" if _is_whole(mount) and _below(mount.point, automounted) else ""
        rows.append(
            (SCOPE, mount.point, layer, mount.fstype, mount.source, mount.root, options(mount),
             place or places.of(mount.point), mount.device)
        )  # fmt: skip
    places.keep(layers)
    return sorted(rows, key=lambda row: row[:KEY])


UNFILED: Final = frozenset(b"autofs tmpfs ramfs overlay aufs proc sysfs devtmpfs squashfs".split())


def _is_whole(mount: Mount) -> bool:
    """Whether it is the kind of mount that an automounter makes: all of a file system of disk or net."""
    return mount.root == b"/" and mount.fstype not in UNFILED


def _below(point: bytes, tops: frozenset[bytes]) -> bool:
    """Whether `point` or a folder above it is one of `tops`."""
    while point not in tops:
        point = point.rpartition(b"/")[0]
        if not point:
            return False
    return True


def options(mount: Mount) -> bytes:
    """The options that somebody chose, sorted."""
    if mount.fstype == b"autofs":
        return b""
    found = {word for word in mount.options.split(b",") if word.partition(b"=")[0] not in MOVING}
    # Of mount and file system one may be read-only and the other not: the stricter counts.
    return b",".join(sorted(found - {b"rw"} if b"ro" in found else found))


class Places:
    """What a mount point lies on, by what is watched; remembered, since points hardly change."""

    def __init__(self, watches: Watches) -> None:
        self._watches = watches
        self._known: dict[bytes, str] = {}

    def of(self, point: bytes) -> str:
        """`process`, `watched` or `other`."""
        if point not in self._known:
            self._known[point] = self._find(point)
        return self._known[point]

    def keep(self, points: Iterable[bytes]) -> None:
        """Forget all others."""
        self._known = {point: self._known[point] for point in points if point in self._known}

    def _find(self, point: bytes) -> str:
        if PROCESS.fullmatch(point):
            return "process"
        covered = self._watches.at(point) is not None or self._watches.leads(point)
        return "watched" if covered else "other"
