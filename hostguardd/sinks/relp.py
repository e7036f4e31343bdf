"""Alerts by RELP: the other end acknowledges each message, and only then is it delivered.

The one kind of destination that can promise this, with TLS even to the far side of a hostile network. What
is acknowledged is what the server has taken into its queue; whether that survives its own crash is its
configuration.

The rule: no wait without an end, and no deadlock. A server may stop reading until somebody reads its
acknowledgements, so whoever waits for room to write also waits for something to read. A server that neither
takes nor acknowledges anything for `timeout` seconds has failed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from ..destinations import FACILITIES, Destination
from ..envelope import Entry, syslog
from .failures import unproven
from .interface import SinkError
from .relp_frames import RelpError, Session, State
from .stream import Stream


class RelpSink:
    """`kind = "relp"`."""

    window = 16
    batch = 256

    def __init__(self, to: Destination) -> None:
        self._to = to
        self._facility = FACILITIES[to.facility]
        self._stream: Stream | None = None
        self._session = Session()
        self._sizes: deque[int] = deque()  # messages of each batch on its way, the oldest first
        self._acknowledged = 0  # of the messages of those
        self._progress = 0.0  # when the server last took or acknowledged something

    def open(self) -> None:
        self.close()
        stream = self._stream = Stream(self._to)
        self._session = Session()
        self._progress = time.monotonic()
        try:
            self._push(stream, self._session.open())
            while self._session.state is State.OPENING:
                self._pause(stream, self._to.timeout, "does not answer the offer of a RELP session")
        except SinkError as error:
            self.close()
            raise unproven(self._to, error) from None

    def send(self, batch: Sequence[Entry]) -> None:
        stream = self._opened()
        if not self._session.waiting:
            self._progress = time.monotonic()
        facility, limit = self._facility, self._to.limit
        try:
            self._push(stream, self._session.syslog([syslog(one, facility, limit) for one in batch]))
        except (SinkError, RelpError) as error:
            self.close()
            raise self._told(error) from None
        self._sizes.append(len(batch))

    def confirmed(self, wait: float) -> int:
        stream = self._opened()
        ends = time.monotonic() + wait
        try:
            self._take(stream)
            while (
                self._sizes and self._acknowledged < self._sizes[0] and (left := ends - time.monotonic()) > 0
            ):
                self._pause(stream, left, "does not acknowledge what it was sent")
            if self._session.waiting:
                self._overdue("does not acknowledge what it was sent")
        except SinkError:
            self.close()
            raise
        return self._whole()

    def finish(self) -> int:
        stream = self._opened()
        done = 0
        while self._sizes:
            done += self.confirmed(self._to.timeout)
        try:
            self._progress = time.monotonic()
            self._push(stream, self._session.close())
            while self._session.state is State.CLOSING:
                self._pause(stream, self._to.timeout, "does not answer that the session is over")
        except (SinkError, RelpError):
            pass  # every message was acknowledged: how the session ends changes nothing
        self.close()
        return done

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None
        self._sizes.clear()
        self._acknowledged = 0

    def _opened(self) -> Stream:
        if self._stream is None:
            raise SinkError(f"{self._to.place} is not connected")
        return self._stream

    def _push(self, stream: Stream, data: bytes) -> None:
        """Hand over all of it, reading what comes meanwhile."""
        rest = memoryview(data)
        while rest:
            if taken := stream.write(rest):
                rest = rest[taken:]
                self._progress = time.monotonic()
            else:
                self._pause(stream, self._to.timeout, "does not take what it is sent", room=True)

    def _pause(self, stream: Stream, seconds: float, lacking: str, room: bool = False) -> None:
        """Wait until something can be done, and read; SinkError when there was no progress for too long."""
        due = self._progress + self._to.timeout - time.monotonic()
        stream.wait(min(seconds, due), room)
        if not self._take(stream):
            self._overdue(lacking)

    def _overdue(self, lacking: str) -> None:
        if time.monotonic() - self._progress >= self._to.timeout:
            raise SinkError(f"{self._to.place} {lacking} within {self._to.timeout:g} s")

    def _take(self, stream: Stream) -> bool:
        """Read what is there; whether it got us further."""
        further = False
        try:
            while data := stream.read():
                before = self._session.state
                count = self._session.receive(data)
                self._acknowledged += count
                if count or self._session.state is not before:
                    further = True
        except RelpError as error:
            raise self._told(error) from None
        if data == b"" and self._session.state is not State.CLOSED:
            if self._session.state is State.OPENING:
                doubt = ": it may not accept our certificate, its log says why" if self._to.tls else ""
                raise SinkError(
                    f"{self._to.place} closed the connection on our offer of a RELP session{doubt}"
                )
            raise SinkError(f"{self._to.place} closed the connection")
        if further:
            self._progress = time.monotonic()
        return further

    def _whole(self) -> int:
        """Take the batches off that are acknowledged to the last message."""
        count = 0
        while self._sizes and self._acknowledged >= self._sizes[0]:
            self._acknowledged -= self._sizes.popleft()
            count += 1
        return count

    def _told(self, error: SinkError | RelpError) -> SinkError:
        return error if isinstance(error, SinkError) else SinkError(f"{self._to.place} {error}")
