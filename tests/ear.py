"""What the watcher's tests share: somebody who listens, and waits no longer than needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hostguardd.host.clock import SystemClock
from hostguardd.sensors.watch import Hint, Signal, Watcher

PATIENCE = 30.0


class Ear:
    """Keeps every signal. `hold` makes it deaf: `__call__` waits until `release`."""

    def __init__(self) -> None:
        self.heard: list[Signal] = []
        self._changed = threading.Condition()
        self._open = threading.Event()
        self._open.set()

    def __call__(self, told: Signal) -> None:
        self._open.wait()
        with self._changed:
            self.heard.append(told)
            self._changed.notify_all()

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def until(self, heard: Callable[[], bool], patience: float = PATIENCE) -> bool:
        """Whether `heard()` came true in time."""
        with self._changed:
            return self._changed.wait_for(heard, patience)

    def of(self, kind: type[Signal]) -> list[Signal]:
        return [told for told in self.heard if isinstance(told, kind)]

    def hints(self) -> set[tuple[bytes, bytes | None, bool]]:
        return {(s.folder, s.name, s.deep) for s in self.heard if isinstance(s, Hint)}

    def hinted(self, folder: bytes, name: bytes, deep: bool = False) -> bool:
        """Whether this very hint came since `forget`, or comes soon."""
        return self.until(lambda: (folder, name, deep) in self.hints())

    def forget(self) -> None:
        with self._changed:
            self.heard.clear()


def eventually(true: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Poll for what no signal tells."""
    deadline = time.monotonic() + patience
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


@contextmanager
def watching(ear: Callable[[Signal], None], budget: int = 5_000) -> Iterator[Watcher]:
    """A started watcher that is stopped whatever happens."""
    watcher = Watcher(ear, SystemClock(), budget)
    watcher.start()
    try:
        yield watcher
    finally:
        if isinstance(ear, Ear):
            ear.release()
        watcher.stop()
