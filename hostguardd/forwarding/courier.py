"""One destination's courier: a thread that reads the alert log on and sees each alert delivered.

The rules, each for a way in which an alert is lost or a receiver drowned:

* **the cursor follows what is delivered for good**, never what was sent: whatever a connection that breaks
  had under way is sent again over the next one;
* **a failure is told once and tried again**, ever more seldom and never in step with other hosts;
* **nothing is kept but places**: alerts under way are read again from the log, so that an outage of weeks
  takes no more memory than none.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias

from ..destinations import Destination
from ..envelope import heartbeat
from ..errors import AlertLogError
from ..host.clock import Clock
from ..record import timestamp
from ..sinks.interface import Sink, SinkError
from ..store.cursors import Cursor, read_cursor, write_cursor
from ..store.standing import CONNECTED, CONNECTING, FAILING, Standing
from .bell import Bell
from .outgoing import Batch, Outgoing

Sign: TypeAlias = tuple[Mapping[str, str], Mapping[str, Any]]
"""Which host this is, and what its daemon says of itself."""

GLANCE: Final = 0.05
"""Seconds that are waited for an acknowledgement before the log is looked at again."""

STANDS: Final = 3.0
"""Seconds after which a connection on which nothing is to be sent counts as working."""

IDLE: Final = 1.0
"""Seconds after which a connection that has nothing to do is looked at."""

KEEP_EVERY: Final = 0.5
"""Seconds between two writings of the cursor while much is under way."""

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
"""Seconds before another attempt: doubled with each, and shortened by chance."""


class _Sent(NamedTuple):
    place: Cursor
    at: str
    heartbeat: bool


class Courier(threading.Thread):
    """Delivers the alert log in `log` to one destination, until `stop`.

    `say` is told what changes, in a sentence; `sign` what a heartbeat says besides.
    """

    def __init__(
        self,
        destination: Destination,
        sink: Sink,
        log: str,
        state: str,
        bell: Bell,
        clock: Clock,
        sign: Callable[[], Sign],
        say: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        super().__init__(name=f"to {destination.name}", daemon=True)
        self.destination = destination
        self.turned = time.monotonic()
        """When it last came round, in seconds of the monotonic clock."""
        self._sink, self._log, self._state, self._bell, self._clock = sink, log, state, bell, clock
        self._sign, self._say, self._warn = sign, say, warn
        self._halt = threading.Event()
        self._cursor = read_cursor(state, destination.name)
        self._kept = self._cursor
        self._kept_at = 0.0
        self._waiting: deque[_Sent] = deque()
        self._outgoing: Outgoing | None = None
        self._next_beat = 0.0
        self._tokens, self._filled = float(destination.rate), time.monotonic()
        self._held = False
        self._attempts = 0
        self._opened_at = 0.0
        self._standing = Standing(
            since=self._now(), sent=self._cursor.sequence, delivered=self._cursor.sequence
        )

    @property
    def standing(self) -> Standing:
        """As of now; from any thread."""
        return self._standing

    def stop(self) -> None:
        """Ask it to end. `join` waits until it has."""
        self._halt.set()
        self._bell.ring()

    def run(self) -> None:
        """Until it is stopped, over as many connections as it takes."""
        while not self._halt.is_set():
            try:
                self._sink.open()
                self._connected()
                self._deliver()
            except (SinkError, AlertLogError, OSError) as error:
                self._failed(str(error))
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the way to this destination
                self._failed(f"unexpected: {type(error).__name__}: {error}")
            finally:
                self._sink.close()
                self._let_go()
            self._keep()
            if not self._halt.is_set():
                self._halt.wait(self._pause())
        self._keep()

    # -- one connection ------------------------------------------------------------------------------

    def _deliver(self) -> None:
        self._outgoing = Outgoing(self._log, self._cursor, self.destination.severity)
        while not self._halt.is_set():
            self.turned = time.monotonic()
            rung = self._bell.rung
            sent = len(self._waiting) < self._sink.window and (self._beat() or self._send())
            if delivered := self._sink.confirmed(0 if sent or not self._waiting else GLANCE):
                self._delivered(delivered)
            elif not sent and not self._waiting:
                if time.monotonic() - self._opened_at >= STANDS:
                    self._proved()
                self._keep()
                self._bell.wait(rung, GLANCE if self._held else self._until_beat())
        self._delivered(self._sink.finish())

    def _send(self) -> bool:
        """Send what comes next; whether there was anything to read."""
        assert self._outgoing is not None
        most = self._budget()
        if most <= 0:
            return False
        batch = self._outgoing.loud(most) if self._held else None
        if batch is None:
            batch = self._outgoing.next(most)
            self._held = self.destination.rate > 0 and batch is not None
        if batch is None:
            return False
        if self._outgoing.take_went_back():
            self._warn("the alert log is not what was sent of it: it is sent again from where it differs")
        self._hand_over(batch)
        return True

    def _hand_over(self, batch: Batch, *, beat: bool = False) -> None:
        if batch.entries:
            self._sink.send(batch.entries)
            self._tokens -= 0 if beat else len(batch.entries)
            at = batch.entries[0].at
            self._waiting.append(_Sent(batch.place, at, beat))
            if not beat:
                self._standing = replace(
                    self._standing,
                    sent=batch.place.sequence,
                    sent_at=self._now(),
                    oldest=self._standing.oldest or at,
                )
        elif self._waiting:
            self._waiting[-1] = self._waiting[-1]._replace(place=batch.place)
        else:
            self._cursor = batch.place
            self._standing = replace(
                self._standing, sent=batch.place.sequence, delivered=batch.place.sequence
            )

    def _delivered(self, count: int) -> None:
        if not count:
            return
        done = [self._waiting.popleft() for _ in range(count)]
        self._cursor = done[-1].place
        if not all(one.heartbeat for one in done):
            self._proved()
        now = self._now()
        oldest = next((one.at for one in self._waiting if not one.heartbeat), "")
        self._standing = replace(
            self._standing,
            delivered=self._cursor.sequence,
            delivered_at=now,
            oldest=oldest,
            heartbeat_at=now if any(one.heartbeat for one in done) else self._standing.heartbeat_at,
        )
        if time.monotonic() - self._kept_at >= KEEP_EVERY:
            self._keep()

    # -- heartbeats and the rate ---------------------------------------------------------------------

    def _beat(self) -> bool:
        """Send the sign of life when it is time; whether one was sent."""
        if not self.destination.heartbeat or time.monotonic() < self._next_beat:
            return False
        self._next_beat = time.monotonic() + self.destination.heartbeat
        host, told = self._sign()
        more = {"interval": self.destination.heartbeat, "sent": self._standing.sent}
        place = self._waiting[-1].place if self._waiting else self._cursor
        beat = heartbeat(self._clock.wall(), host, {**told, **more})
        self._hand_over(Batch([beat], place), beat=True)
        return True

    def _until_beat(self) -> float:
        if not self.destination.heartbeat:
            return IDLE
        return min(IDLE, max(0.0, self._next_beat - time.monotonic()))

    def _budget(self) -> int:
        """How many messages may leave now."""
        rate = self.destination.rate
        if not rate:
            return self._sink.batch
        now = time.monotonic()
        self._tokens = min(float(rate), self._tokens + (now - self._filled) * rate)
        self._filled = now
        return min(self._sink.batch, int(self._tokens))

    # -- how it goes ---------------------------------------------------------------------------------

    def _connected(self) -> None:
        """After a failure an open connection proves nothing yet: see `_proved`."""
        self._opened_at = time.monotonic()
        if self._standing.state == CONNECTING:
            self._proved()

    def _proved(self) -> None:
        self._attempts = 0
        if self._standing.state != CONNECTED:
            self._standing = replace(self._standing, state=CONNECTED, problem="", since=self._now())
            self._say(f"delivers to {self.destination.place}")

    def _failed(self, problem: str) -> None:
        if self._halt.is_set():
            return
        if self._standing.state != FAILING or self._standing.problem != problem:
            self._warn(f"cannot deliver: {problem}")
        since = self._standing.since if self._standing.state == FAILING else self._now()
        self._standing = replace(
            self._standing, state=FAILING, problem=problem, since=since, failures=self._standing.failures + 1
        )

    def _pause(self) -> float:
        self._attempts += 1
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._attempts - 1, 16))
        self.turned = time.monotonic() + longest
        return longest * random.uniform(0.5, 1)

    def _let_go(self) -> None:
        """Forget what is under way: it is read again from the log."""
        self._waiting.clear()
        self._held = False
        if self._outgoing is not None:
            self._outgoing.close()
            self._outgoing = None
        self._standing = replace(self._standing, sent=self._cursor.sequence)

    def _keep(self) -> None:
        """Put the cursor on the disk, if it moved."""
        self._kept_at = time.monotonic()
        if self._cursor == self._kept:
            return
        try:
            write_cursor(self._state, self.destination.name, self._cursor)
            self._kept = self._cursor
            if self._standing.state == CONNECTED and self._standing.problem:
                self._standing = replace(self._standing, problem="")
        except OSError as error:
            problem = f"its cursor cannot be written in {self._state}: {error.strerror}"
            if self._standing.problem != problem:
                self._warn(f"{problem}; after a restart alerts may be sent again")
            self._standing = replace(self._standing, problem=problem)

    def _now(self) -> str:
        return timestamp(self._clock.wall())
