"""A reader: the life of one of the crew's processes (see `crew`). Small, because each one costs memory.

It looks at the folders it is handed and nothing else, and ends when the pipe does.
"""

from __future__ import annotations

import marshal
import os
import pickle
import signal
import sys
import time
from typing import BinaryIO

from ..host.files import LinuxFiles
from ..host.mounts import MountMap
from ..host.workers import read_frame, write_frame
from ..model import Sweep
from .files import FilesSensor
from .frames import pack

ROWS = 1024
"""Rows after which a reader sends what it has."""


def work() -> None:
    """A reader's whole life: orders first, then handfuls of folders until the pipe closes."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    root, watches, largest, pace, nice = pickle.loads(read_frame(source) or b"")  # noqa: S301 - from our parent
    try:
        os.nice(nice)
    except PermissionError:
        pass  # a confined daemon's share is its unit's CPUWeight=; the pace holds all the same
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # without a parent there is nobody to complain to
    host = LinuxFiles(root, patient=True)
    sensor = FilesSensor(host, watches, time.time_ns, largest=largest)
    mounts = MountMap(host.mounts)
    report = _Report(target, pace)
    while (frame := read_frame(source)) is not None:
        below: list[bytes] = []
        for folder in marshal.loads(frame):
            for sweep in sensor.visit(folder, mounts, report.beat, below):
                report.add(sweep)
            report.rest()
        report.send(below, 1)


class _Report:
    """What a reader tells: rows in frames of some size, and that it still lives."""

    def __init__(self, target: BinaryIO, pace: float) -> None:
        self._target = target
        self._pace = pace
        self._told: list[tuple[object, ...]] = []
        self._rows = 0
        self._sent = time.monotonic()
        self._spent = time.process_time()

    def add(self, sweep: Sweep) -> None:
        """Take a sweep; sent when there is enough."""
        self._told.append(pack(sweep))
        self._rows += len(sweep.rows)
        if self._rows >= ROWS:
            self.send([], 0)

    def send(self, below: list[bytes], through: int) -> None:
        """Send what there is; `through`: one handful is done."""
        write_frame(self._target, (self._told, below, through))
        self._told, self._rows, self._sent = [], 0, time.monotonic()

    def beat(self) -> bool:
        """Called all through a long read; never asks to stop (the parent just ends us)."""
        if time.monotonic() - self._sent > 1.0:
            self.send([], 0)
        return False

    def rest(self) -> None:
        """Sleep until our CPU time is back within the share."""
        if self._pace < 1.0:
            now = time.process_time()
            time.sleep(min((now - self._spent) * (1.0 / self._pace - 1.0), 30.0))
            self._spent = now
