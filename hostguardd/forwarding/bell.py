"""Tells the couriers that the alert log may have grown: inotify(7) on its folder, and a slow clock besides.

A bell that is missed costs a fraction of a second: whoever waits for it looks again by itself.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from ..host.inotify import Flag, Inotify

MASK: Final = Flag.MODIFY | Flag.CREATE | Flag.MOVED_TO | Flag.DELETE_SELF | Flag.MOVE_SELF | Flag.ONLYDIR
BLIND: Final = 0.25
"""Seconds between two looks where the kernel tells nothing: no such folder yet, or no inotify to be had."""


class Bell:
    """A counter that one rings and others wait for."""

    def __init__(self) -> None:
        self._rung = 0
        self._changed = threading.Condition()

    @property
    def rung(self) -> int:
        """How often it rang."""
        return self._rung

    def ring(self) -> None:
        """Wake all who wait."""
        with self._changed:
            self._rung += 1
            self._changed.notify_all()

    def wait(self, rung: int, timeout: float) -> None:
        """Until it rang more often than `rung`, or `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._rung != rung, timeout)


class Ringer:
    """Rings the bell when something happens in `folder`."""

    def __init__(self, folder: str, bell: Bell) -> None:
        self._folder = os.fsencode(folder)
        self._bell = bell
        self._inotify: Inotify | None = None

    def listen(self, patience: float) -> None:
        """For `patience` seconds at most, or until something happened."""
        if self._inotify is None and not self._watch():
            threading.Event().wait(min(patience, BLIND))
            self._bell.ring()
            return
        assert self._inotify is not None
        if not self._inotify.wait(patience):
            return
        self._inotify.read()
        self._bell.ring()
        try:
            there = os.stat(self._folder)
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != self._inode:
            self.close()  # another folder is there now, or will be

    def close(self) -> None:
        """Give the watch back."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def _watch(self) -> bool:
        try:
            there = os.stat(self._folder)
            self._inode = (there.st_dev, there.st_ino)
            self._inotify = Inotify()
            self._inotify.add(self._folder, MASK)
        except OSError:
            self.close()
            return False
        return True
