"""Alerts by syslog over TCP (RFC 6587 section 3.4.1) and TLS (RFC 5425), each message behind its length.

Syslog over TCP has no answers. All that a plain stream can tell is that **the other end's kernel took the
bytes**: a server that dies with them unread has lost them, and nobody learns of it. So here a batch counts
as delivered when that kernel has acknowledged it (SIOCOUTQ, tcp(7)) and the connection has lived on for
`SETTLE` seconds, which a server that crashed, was stopped or closed on us would not have let it. That is
less than a promise; under TLS too, as the acknowledgements of TCP are not part of what TLS protects. Who
needs the promise takes RELP. Only the end in good order says more: a server that closes after we did has
read everything before.

The rule: a connection that the other end has closed is noticed before the next batch is written into it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from itertools import takewhile
from typing import Final

from ..destinations import FACILITIES, Destination
from ..envelope import Entry, syslog
from .failures import unproven
from .interface import SinkError
from .stream import Stream

SETTLE: Final = 5.0
SLOW: Final = 0.5
"""Seconds from one look to the next while there is no room to send."""

LOOK: Final = 0.05
"""Seconds from one look at the queue to the next: the kernel has no event for it."""


class StreamSink:
    """`kind = "tcp"`."""

    window = 8192  # of SETTLE seconds at any rate worth having
    batch = 256

    def __init__(self, to: Destination, settle: float = SETTLE) -> None:
        self._to = to
        self._settle = settle
        self._facility = FACILITIES[to.facility]
        self._stream: Stream | None = None
        self._proven = False  # whether a batch was ever confirmed on this connection
        self._written = 0
        self._ends: deque[int] = deque()  # of the batches that the other kernel may lack: where each ends
        self._taken: deque[float] = deque()  # of the older ones: when it was seen to have them
        self._queued = 0
        self._progress = 0.0  # when the other kernel last took something

    def open(self) -> None:
        self.close()
        self._stream = Stream(self._to)
        self._proven = False
        self._written = self._queued = 0

    def send(self, batch: Sequence[Entry]) -> None:
        stream = self._opened()
        facility, limit = self._facility, self._to.limit
        frames = []
        for one in batch:
            message = syslog(one, facility, limit)
            frames.append(b"%d %b" % (len(message), message))
        try:
            self._listen(stream)
            self._push(stream, b"".join(frames))
        except SinkError as error:
            self.close()
            raise self._told(error) from None
        self._ends.append(self._written)

    def confirmed(self, wait: float) -> int:
        stream = self._opened()
        ends = time.monotonic() + wait
        try:
            while True:
                self._listen(stream)
                self._look(stream)
                settled, now = self._settled(), time.monotonic()
                if settled or now >= ends or not (self._taken or self._ends):
                    break
                due = self._taken[0] + self._settle if self._taken else now + LOOK
                stream.wait(min(ends, due, now + LOOK if self._ends else due) - now)
        except SinkError as error:
            self.close()
            raise self._told(error) from None
        self._proven = self._proven or settled > 0
        for _ in range(settled):
            self._taken.popleft()
        return settled

    def finish(self) -> int:
        stream = self._opened()
        try:
            while self._ends:
                self._listen(stream)
                self._look(stream)
                stream.wait(LOOK if self._ends else 0)
            stream.end()
            ends = time.monotonic() + self._to.timeout
            while stream.read() != b"":
                if (left := ends - time.monotonic()) <= 0:
                    raise SinkError(f"{self._to.place} did not close its end within {self._to.timeout:g} s")
                stream.wait(left)
            return len(self._taken)
        except SinkError as error:
            raise self._told(error) from None
        finally:
            self.close()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None
        self._ends.clear()
        self._taken.clear()

    def _opened(self) -> Stream:
        if self._stream is None:
            raise SinkError(f"{self._to.place} is not connected")
        return self._stream

    def _told(self, error: SinkError) -> SinkError:
        return error if self._proven else unproven(self._to, error)

    def _listen(self, stream: Stream) -> None:
        """Nothing is expected, but the end of the connection comes this way."""
        for _ in range(16):
            data = stream.read()
            if data is None:
                return
            if data == b"":
                raise SinkError(f"{self._to.place} closed the connection")

    def _look(self, stream: Stream) -> None:
        """See what the other kernel has taken."""
        if not self._ends:
            return
        queued, now = self._take_note(stream), time.monotonic()
        # Under TLS the queue's bytes are more than the ones we count: then this errs on the safe side.
        taken = self._written - queued
        while self._ends and self._ends[0] <= taken:
            self._ends.popleft()
            self._taken.append(now)
        if self._ends:
            self._overdue()

    def _take_note(self, stream: Stream) -> int:
        """Bytes that the other kernel lacks; that they become fewer is progress."""
        queued = stream.unacknowledged()
        if queued < self._queued or not queued:
            self._progress = time.monotonic()
        self._queued = queued
        return queued

    def _settled(self) -> int:
        """How many of the batches taken have had their time."""
        latest = time.monotonic() - self._settle
        return sum(1 for _ in takewhile(lambda at: at <= latest, self._taken))

    def _push(self, stream: Stream, data: bytes) -> None:
        rest = memoryview(data)
        if not self._ends:
            self._progress = time.monotonic()
        while rest:
            if taken := stream.write(rest):
                rest = rest[taken:]
                self._written += taken
                self._progress = time.monotonic()
            else:
                # A reader that is slow takes from the kernel long before there is room for more again.
                stream.wait(min(SLOW, self._progress + self._to.timeout - time.monotonic()), room=True)
                self._listen(stream)
                self._take_note(stream)
                self._overdue()

    def _overdue(self) -> None:
        if time.monotonic() - self._progress >= self._to.timeout:
            raise SinkError(f"{self._to.place} takes nothing of what it is sent for {self._to.timeout:g} s")
