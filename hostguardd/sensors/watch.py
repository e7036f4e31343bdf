"""The watcher: inotify, through watchdog's documented API only, turned into Hints.

watchdog gives the frame (an observer that dispatches, an emitter that produces, a handler); its own
inotify emitter is not used, because it drops what this daemon must know: that the kernel's queue
overflowed, that a folder could not be watched. Ours has one inotify instance, one mask, byte paths.

The rules it keeps:

* **Never silently blind.** Whatever is lost is told, and told again if telling failed.
* **Bounded.** When the receiver is slow, the emitter stops reading; the kernel's queue is the only
  one that fills, and it says when it is full.
* **A watch that is given up is followed by a deep hint** for its place. A sweep adds each folder
  *before* it lists it. So whatever order events, sweeps and renames come in, the last word is a
  sweep that watches first and looks second, and nothing falls between.

Three threads meet here: sweeps call `add`, the emitter reads the kernel, the observer delivers.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver, EventEmitter, EventQueue, ObservedWatch

from ..host.clock import Clock
from ..host.inotify import LARGEST, READ_SIZE, Flag, records
from ..model import Hint, split
from .signals import Overflow, Signal, WatcherDied, WatchFailed
from .watched import Unwatched, Watched

__all__ = ["Hint", "Overflow", "Signal", "Unwatched", "WatchFailed", "Watcher", "WatcherDied"]

BATCHES = 2
"""Batches that wait for the receiver."""

PENDING = 8_192
"""Hints gathered for the next batch; beyond it nothing is read until the receiver takes one."""

PAUSE = 0.005
TURN = 1.0
PRUNE_EVERY = 10 * 10**9
TRIES = 5
STOP_EMITTER, STOP_OBSERVER = 0.4, 0.3

CONTENTS = Flag.CREATE | Flag.DELETE | Flag.MOVED_FROM | Flag.MOVED_TO
GONE = Flag.DELETE_SELF | Flag.MOVE_SELF | Flag.UNMOUNT
RARE = int(GONE | Flag.IGNORED | Flag.Q_OVERFLOW)
IS_DIR, IN_CONTENTS = int(Flag.ISDIR), int(CONTENTS)

Key = tuple[bytes, bytes]


class Batch(FileSystemEvent):
    """What one turn of the emitter found. One event for many: watchdog's queue costs 10 µs each."""

    def __init__(self, signals: Sequence[Signal]) -> None:
        super().__init__(b"/")
        self.signals = signals

    # watchdog's queue drops an event that equals the one before; two batches are never the same.
    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Wiring:
    """What the emitter and its owner share: the watches, the notices, and a bell to wake it."""

    def __init__(self, clock: Clock, budget: int, owing: Callable[[], bool]) -> None:
        self.mono = clock.mono
        self.owing = owing
        self.notices: deque[Signal] = deque()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self.watched = Watched(budget, self.tell)
        except OSError:
            os.close(self._bell)
            raise
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        self._poll.register(self.watched.inotify.fd, select.POLLIN)
        self._lock = threading.Lock()
        self._closed = False

    def tell(self, signal: Signal) -> None:
        """Have a signal delivered by the emitter's next turn, which is now."""
        self.notices.append(signal)
        self.ring()

    def ring(self) -> None:
        """End the emitter's wait."""
        with self._lock:
            if not self._closed:
                os.eventfd_write(self._bell, 1)

    def wait(self, seconds: float) -> None:
        """Until the kernel has something, the bell rings, or the time is over."""
        if any(fd == self._bell for fd, _ in self._poll.poll(seconds * 1000)):
            os.eventfd_read(self._bell)

    def close(self) -> None:
        """Give both descriptors back. For the emitter, or for an owner that could not start it."""
        self.watched.close()
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._bell)


class Emitter(EventEmitter):
    """Reads the kernel's records and queues them as batches of signals."""

    wiring: ClassVar[Wiring]

    def __init__(
        self,
        event_queue: EventQueue,
        watch: ObservedWatch,
        *,
        timeout: float = TURN,
        event_filter: list[type[FileSystemEvent]] | None = None,
    ) -> None:
        super().__init__(event_queue, watch, timeout=timeout, event_filter=event_filter)
        self.name = "hostguardd-inotify"
        self._queue = event_queue
        self._watched = self.wiring.watched
        self._hints: dict[Key, bool] = {}  # (folder, name) -> deep
        self._read_at = self._drained = self._pruned = self.wiring.mono()
        self._overflow: Overflow | None = None
        self._stale = False

    def on_thread_stop(self) -> None:
        self.wiring.ring()

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 - the thread's edge: whatever it was, it is told
            while self._queue.full() and not self.stopped_event.wait(PAUSE):
                pass
            reason = f"the inotify reader failed: {type(error).__name__}: {error}"
            self.queue_event(Batch([*self._collect(), WatcherDied(reason)]))
        finally:
            self.wiring.close()

    def queue_events(self, timeout: float) -> None:
        """One turn: wait, read, hand on."""
        if len(self._hints) >= PENDING and self._queue.full():
            self.stopped_event.wait(PAUSE)
        else:
            self.wiring.wait(PAUSE if self._waiting() else timeout)
            self._read()
        if (self._waiting() or self.wiring.owing()) and not self._queue.full():
            self.queue_event(Batch(self._collect()))

    def _waiting(self) -> bool:
        return bool(self._hints or self._overflow or self.wiring.notices)

    def _collect(self) -> list[Signal]:
        signals: list[Signal] = [] if self._overflow is None else [self._overflow]
        self._overflow = None
        while self.wiring.notices:
            signals.append(self.wiring.notices.popleft())
        at = self._read_at
        signals += [Hint(folder, name, at, deep) for (folder, name), deep in self._hints.items()]
        self._hints = {}
        return signals

    def _read(self) -> None:
        """Take what the kernel has, up to one buffer."""
        asked = self.wiring.mono()
        data = self._watched.inotify.read()
        self._read_at = self.wiring.mono()
        moved: list[int] = []
        hints, paths, several = self._hints, self._watched.paths, self._watched.aliased()
        for wd, mask, name in records(data):
            if mask & RARE:
                self._rare(wd, mask, moved)
                continue
            folder = paths.get(wd)
            if folder is None:
                continue
            deep = bool(mask & IS_DIR and mask & IN_CONTENTS)
            for path in self._watched.names(wd) if several else (folder,):
                key = (path, name) if name else split(path)
                if deep or key not in hints:
                    hints[key] = deep
        self._hint_deep(self._watched.moved(moved) if moved else ())
        # The kernel fills a buffer while the next record fits: a shorter read emptied its queue.
        if len(data) <= READ_SIZE - LARGEST:
            self._drained = asked
            self._prune()

    def _rare(self, wd: int, mask: int, moved: list[int]) -> None:
        """Records about the watches themselves."""
        if mask & Flag.Q_OVERFLOW:
            self._stale = True
            since = self._overflow.since if self._overflow else self._drained
            self._overflow = Overflow(since, self._read_at, "the kernel's inotify queue was full")
        elif mask & Flag.IGNORED:
            self._watched.ended(wd)
        elif mask & Flag.MOVE_SELF:
            moved.append(wd)
        else:
            self._hint_deep(self._watched.names(wd))

    def _hint_deep(self, folders: Sequence[bytes]) -> None:
        for folder in folders:
            self._hints[split(folder)] = True

    def _prune(self) -> None:
        """After an overflow, when there is time: the ends of watches may be among what was lost."""
        if self._stale and self._read_at - self._pruned >= PRUNE_EVERY:
            self._stale = False
            self._pruned = self._read_at
            self._watched.prune()


class Observer(BaseObserver):
    """watchdog's dispatcher with a queue that has an end."""

    def __init__(self, emitter: type[Emitter]) -> None:
        self._bounded = EventQueue(maxsize=BATCHES)
        super().__init__(emitter, timeout=TURN)
        self.name = "hostguardd-hints"

    @property
    def event_queue(self) -> EventQueue:
        return self._bounded


class Handler(FileSystemEventHandler):
    """Delivers, and survives a receiver that raises: what could not be told is owed."""

    def __init__(self, deliver: Callable[[Signal], None]) -> None:
        self._deliver = deliver
        self._owed: deque[Signal] = deque(maxlen=64)
        self._lost: Overflow | None = None
        self._tries = 0
        self.closed = False

    def owing(self) -> bool:
        """Whether something is still to be told."""
        return bool(self._owed or self._lost)

    def hopeless(self) -> bool:
        """Whether telling what is owed has failed time and again."""
        return self._tries >= TRIES

    def dispatch(self, event: FileSystemEvent) -> None:
        assert isinstance(event, Batch)
        owed, self._owed = self._owed, deque(maxlen=self._owed.maxlen)
        for signal in (*owed, *event.signals):
            if self.closed:
                return
            self._tell(signal)
        lost, self._lost = self._lost, None
        if lost is not None:
            self._tell(lost)
        self._tries = self._tries + 1 if self.owing() else 0

    def _tell(self, signal: Signal) -> None:
        try:
            self._deliver(signal)
        except Exception as error:  # noqa: BLE001 - the thread's edge: it must not end the dispatcher
            if not isinstance(signal, Hint):
                self._owed.append(signal)
            elif self._lost is None:
                reason = f"the receiver of a hint failed: {type(error).__name__}: {error}"
                self._lost = Overflow(signal.at, signal.at, reason)
            else:
                self._lost = replace(self._lost, until=signal.at)


class Watcher:
    """Watches folders and delivers Signals, all from one thread of its own.

    `deliver` should be quick; while it takes its time the kernel's queue fills. `budget` is the
    most watches to take. A watcher has one life: after `WatcherDied` or `stop` make another.
    """

    def __init__(self, deliver: Callable[[Signal], None], clock: Clock, budget: int) -> None:
        self._deliver = deliver
        self._clock = clock
        self._budget = budget
        self._handler = Handler(deliver)
        self._wiring: Wiring | None = None
        self._observer: Observer | None = None

    def start(self) -> None:
        """Begin. Where that is impossible (no inotify instance left, no thread), WatcherDied comes."""
        try:
            wiring = Wiring(self._clock, self._budget, self._handler.owing)
        except OSError as error:
            self._deliver(WatcherDied(f"inotify is not to be had: {error.strerror}"))
            return

        class Wired(Emitter):
            """watchdog builds its emitters itself, so what one needs must be in its class."""

        Wired.wiring = wiring
        observer = Observer(Wired)
        observer.schedule(self._handler, "/")
        try:
            observer.start()
        except RuntimeError as error:
            wiring.close()
            self._deliver(WatcherDied(f"a thread could not be started: {error}"))
            return
        self._wiring, self._observer = wiring, observer

    def stop(self) -> None:
        """End within a second, even if `deliver` hangs. Not to be called from `deliver`."""
        self._handler.closed = True
        observer = self._observer
        if observer is None:
            return
        for emitter in tuple(observer.emitters):
            emitter.stop()
        # Its stop() waits for the handler in progress; a receiver that hangs must not hang us.
        closer = threading.Thread(target=observer.stop, daemon=True)
        closer.start()
        closer.join(STOP_EMITTER)
        observer.join(STOP_OBSERVER)

    def alive(self) -> bool:
        """Whether hints still come: both threads live and the receiver can be told things."""
        observer = self._observer
        if observer is None or self._handler.hopeless():
            return False
        emitters = tuple(observer.emitters)
        return observer.is_alive() and bool(emitters) and all(emitter.is_alive() for emitter in emitters)

    def add(self, folder: bytes, critical: bool = False) -> None:
        """Watch `folder` itself, not what is below. To be called *before* it is listed.

        A folder that is watched already may be added again, and should be at every sweep: that is
        how the watcher learns of a rename it missed. `critical` folders have the end of the budget
        to themselves, and take the watch of another where the kernel has none left. Before `start`
        and after `stop` nothing happens.
        """
        if self._wiring is not None:
            self._wiring.watched.add(folder, critical)

    def forget(self, folder: bytes) -> None:
        """Stop watching `folder` and all below it. Costs one pass over all watches."""
        if self._wiring is not None:
            self._wiring.watched.forget((folder,))

    def retry(self) -> None:
        """Try again to watch what could not be; what can be now is hinted, deep."""
        if self._wiring is not None:
            now = self._clock.mono()
            for folder in self._wiring.watched.retry():
                parent, name = split(folder)
                self._wiring.tell(Hint(parent, name, now, deep=True))

    def folders(self) -> int:
        """How many folders are watched."""
        return 0 if self._wiring is None else len(self._wiring.watched.paths)

    def unwatched(self) -> Mapping[int, Unwatched]:
        """What could not be watched, by errno; a folder that vanished leaves at the next `retry`."""
        return {} if self._wiring is None else self._wiring.watched.unwatched()
