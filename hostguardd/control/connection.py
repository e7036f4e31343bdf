"""One client of the control socket as the daemon keeps it: a small inbox, a bounded outbox.

Two threads meet here. The server's thread alone touches the socket; any thread may queue an answer.
The rule: queueing takes a lock for the length of an append and never waits for the peer. Backlog
above `MAX_BACKLOG` means the peer does not read: it is given up, and its job sees `gone`.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable

from .caller import Caller
from .calls import MAX_REQUEST

MAX_BACKLOG = 4 * 1024 * 1024
"""Bytes waiting to be read above which a client that is sent more is dropped.

A single line may be longer (a large answer): what is bounded is what piles up behind it.
"""

MAX_DROPPED = 1024 * 1024
"""Bytes that a refused client may still send before it is cut off."""


class Connection:
    """A `Channel` over one accepted, non-blocking socket. `wake` rouses the server's thread."""

    def __init__(
        self, sock: socket.socket, caller: Caller, deadline: float, wake: Callable[[], None]
    ) -> None:
        self.socket = sock
        self.caller = caller
        self.deadline = deadline  # monotonic seconds; infinite while nothing is expected of the peer
        self.asking = True  # the request has not arrived yet
        self.readable = True  # the peer has not closed its sending side
        self.parting = False  # all is said; what still comes is dropped
        self._dropped = 0
        self._inbox = bytearray()
        self._outbox: deque[memoryview] = deque()
        self._backlog = 0
        self._ended = False
        self._gone = False
        self._wake = wake
        self._changed = threading.Condition()

    # What a job uses, from any thread.

    @property
    def gone(self) -> bool:
        """See `Channel.gone`."""
        return self._gone

    @property
    def full(self) -> bool:
        """See `Channel.full`."""
        return self._backlog > MAX_BACKLOG // 2

    def send(self, line: bytes, *, last: bool = False) -> None:
        """See `Channel.send`."""
        with self._changed:
            if self._gone or self._ended:
                return
            if self._backlog > MAX_BACKLOG:
                self._gone = True
                self._changed.notify_all()
            else:
                self._outbox.append(memoryview(line))
                self._backlog += len(line)
                self._ended = last
        self._wake()

    def room(self, timeout: float) -> bool:
        """See `Channel.room`."""
        with self._changed:
            self._changed.wait_for(lambda: self._gone or not self.full, timeout)
            return not self._gone and not self.full

    # What the server's thread uses.

    @property
    def pending(self) -> bool:
        """Something waits to be written."""
        return self._backlog > 0

    @property
    def done(self) -> bool:
        """The answer is complete and written: nothing is left to do."""
        return self._ended and not self._backlog

    @property
    def ended(self) -> bool:
        """The answer is complete, though perhaps not written yet."""
        return self._ended

    def receive(self) -> bytes | None:
        """Read what has come: the request once it is whole (with all that came behind it), else None.

        Raises ValueError when it can no longer become a request. A reset counts as leaving.
        """
        try:
            data = self.socket.recv(MAX_REQUEST)
        except BlockingIOError:
            return None
        except OSError:
            self.give_up()
            return None
        if self.parting:
            self._dropped += len(data)
            if not data or self._dropped > MAX_DROPPED:
                self.give_up()
            return None
        if not data:
            self.readable = False
            if self.asking:
                raise ValueError("the request ended before its newline")
            return None
        if not self.asking:
            if data.strip():
                self.give_up()
            return None
        whole = b"\n" in data
        self._inbox += data
        if (self._inbox.find(b"\n") if whole else len(self._inbox)) >= MAX_REQUEST:
            raise ValueError(f"a request is at most {MAX_REQUEST} bytes long")
        return bytes(self._inbox) if whole else None

    def flush(self) -> int:
        """Write what the kernel takes now; bytes written. A peer that left is `gone` afterwards."""
        written = 0
        while self._outbox:  # only this thread takes from it
            try:
                count = self.socket.send(self._outbox[0])
            except BlockingIOError:
                break
            except OSError:
                self.give_up()
                break
            written += count
            with self._changed:
                self._backlog -= count
                if count < len(self._outbox[0]):
                    self._outbox[0] = self._outbox[0][count:]
                else:
                    self._outbox.popleft()
                self._changed.notify_all()
        return written

    def part(self) -> None:
        """Write what waits and say no more, but go on reading until the peer leaves.

        A Unix socket that is closed with unread bytes resets its peer, who might then miss the answer.
        """
        self.flush()
        if not self.pending and self.readable and not self._gone:
            self.socket.shutdown(socket.SHUT_WR)
            self.parting = True

    def give_up(self) -> None:
        """Nothing more is said to this peer."""
        with self._changed:
            self._gone = True
            self._outbox.clear()
            self._backlog = 0
            self._changed.notify_all()
