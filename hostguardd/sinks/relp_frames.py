"""One RELP session as its client sees it: bytes to send, and what the bytes received mean. Pure.

The Reliable Event Logging Protocol (R. Gerhards, "RELP - The Reliable Event Logging Protocol", doc/relp.html
of librelp) numbers every command and has the server answer each one. A frame is `TXNR SP COMMAND SP DATALEN
[SP DATA] LF`; an answer is the command `rsp` under the number of what it answers, its data `CODE [SP TEXT]
[LF DATA]`, where 200 means that it was done. Number 0 marks a hint that nobody answers, such as
`serverclose`.

The rule: what is received proves itself, or the session is over. Answers come "in the exact same order as
commands where received", so that an answer can only be to the oldest command open. (The same page also says
"in any order"; librelp keeps the order.) Everything else (a number never used, an answer given twice or out
of order, a length beyond reason, bytes that are no frame) raises `RelpError`, because a server of which we
have lost count may not be believed when it says that an alert is safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto
from typing import Final

from ..errors import HostguardError

LAST_NUMBER: Final = 999_999_999
"""Of transactions: TXNR has at most nine digits, and after this comes 1."""

ANSWER_LIMIT: Final = 32 * 1024
"""Bytes of an answer's data. The longest a server has reason to send is the list of what it can do."""

SOFTWARE: Final = b"hostguardd,1"

_HEADER_LIMIT = 9 + 1 + 32 + 1 + 9 + 1
_HEADER = re.compile(rb"([0-9]{1,9}) ([A-Za-z]{1,32}) ([0-9]{1,9})([ \n])")
_BEGUN_HEADER = re.compile(rb"([0-9]{1,9}( ([A-Za-z]{1,32}( [0-9]{0,9})?)?)?)?")
_PLAIN_YES = re.compile(rb"([1-9][0-9]{0,8}) rsp 6 200 OK\n")  # nearly all that ever comes
_CODE = re.compile(rb"([0-9]{3})(?: ([^\n]*))?(?:\n|$)")


class RelpError(HostguardError):
    """The session is over. A phrase that goes on after the server's address: "… answers X to Y"."""


class State(Enum):
    """Where a session stands."""

    NEW = auto()
    OPENING = auto()
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


class Session:
    """The client's side: `open()`, `syslog()` as often as one likes, `close()`; all return bytes to send.

    `receive` takes what the server sent, in pieces of any size. `first` is the number of the first command.
    """

    def __init__(self, first: int = 1) -> None:
        self.state = State.NEW
        self.waiting = 0
        """Messages sent and not yet acknowledged."""
        self._next = first
        self._oldest = first  # the command that the next answer must be about
        self._buffer = bytearray()
        self._problem: RelpError | None = None

    def open(self) -> bytes:
        """The offer of a session; messages only after the state is OPEN."""
        self._must_be(State.NEW)
        self.state = State.OPENING
        return self._frame(b"open", b"relp_version=0\nrelp_software=%s\ncommands=syslog" % SOFTWARE)

    def syslog(self, messages: Iterable[bytes]) -> bytes:
        """A frame for each message, none of which is empty."""
        self._must_be(State.OPEN)
        number = self._next
        frames: list[bytes] = []
        for message in messages:
            # Written out, because it is done for every message.
            frames.append(b"%d syslog %d %b\n" % (number, len(message), message))
            number = number + 1 if number < LAST_NUMBER else 1
        self.waiting += len(frames)
        self._next = number
        return b"".join(frames)

    def close(self) -> bytes:
        """The end, once no message waits."""
        self._must_be(State.OPEN)
        self.state = State.CLOSING
        return self._frame(b"close", b"")

    def receive(self, data: bytes) -> int:
        """How many further messages are acknowledged. Raises RelpError, also on every later call."""
        if self._problem is not None:
            raise self._problem
        buffer = self._buffer
        buffer += data
        at = acknowledged = 0
        try:
            while True:
                if self.state is State.OPEN:
                    # One expression for each plain acknowledgement, as there are as many as messages.
                    while (yes := _PLAIN_YES.match(buffer, at)) and self.waiting:
                        self._answers(int(yes[1]))
                        self.waiting -= 1
                        acknowledged += 1
                        at = yes.end()
                end, count = self._take(at)
                if end == at:
                    break
                acknowledged += count
                at = end
        except RelpError as problem:
            self.state, self._problem = State.CLOSED, problem
            raise
        finally:
            del buffer[:at]
        return acknowledged

    def _take(self, at: int) -> tuple[int, int]:
        """Take the frame at `at`: where it ends (`at` while it is not whole), and what it acknowledges."""
        buffer = self._buffer
        header = _HEADER.match(buffer, at)
        if header is None:
            begun = bytes(buffer[at : at + _HEADER_LIMIT])
            if len(begun) >= _HEADER_LIMIT or not _BEGUN_HEADER.fullmatch(begun):
                raise RelpError(f"sends what is no RELP: {_shown(begun)}")
            return at, 0
        number, command, length = int(header[1]), bytes(header[2]), int(header[3])
        if length > ANSWER_LIMIT:
            raise RelpError(f"announces a frame of {length} bytes; {ANSWER_LIMIT} would be more than enough")
        start = header.end()
        if header[4] == b"\n":
            if length:
                raise RelpError(f"sends what is no RELP: {_shown(header[0])}")
            start, end = start - 1, start - 1
        else:
            end = start + length
        if len(buffer) <= end:
            return at, 0
        if buffer[end] != 0x0A:
            raise RelpError(f"sends a frame longer than it says: {_shown(bytes(buffer[at : end + 1]))}")
        return end + 1, self._meaning(number, command, bytes(buffer[start:end]))

    def _meaning(self, number: int, command: bytes, data: bytes) -> int:
        """Act on a frame: how many messages it acknowledges."""
        if command == b"serverclose":
            if self.state not in (State.CLOSING, State.CLOSED):
                raise RelpError("ends the session (serverclose): it is shutting down or refuses us")
            self.state = State.CLOSED
            return 0
        if number == 0:
            return 0  # a hint that we do not know is nothing to us
        if command != b"rsp":
            raise RelpError(f"sends the command {_shown(command)}, which only a client has reason to send")
        if self.state is State.CLOSED:
            raise RelpError(f"answers number {number} after the session was closed")
        self._answers(number)
        if self.state is State.CLOSING and not self.waiting:
            # librelp answers `close` with no data at all; whatever it says, that was the end.
            self.state = State.CLOSED
            return 0
        if self.state is State.OPENING:
            self._opened(data)
            return 0
        self._is_200(data, f"message {number}")
        self.waiting -= 1
        return 1

    def _answers(self, number: int) -> None:
        """Only the oldest command that is open can be answered."""
        if self._oldest == self._next:
            raise RelpError(f"answers number {number} although everything is answered already")
        if number != self._oldest:
            raise RelpError(f"answers number {number} where the answer to number {self._oldest} is due")
        self._oldest = number + 1 if number < LAST_NUMBER else 1

    def _opened(self, data: bytes) -> None:
        self._is_200(data, "the offer of a session")
        lines = data.split(b"\n")[1:]
        offers = {name.strip(): value for name, _, value in (line.partition(b"=") for line in lines)}
        version = offers.get(b"relp_version", b"").strip()
        # The page calls itself version 1, and every implementation of it says 0.
        if version not in (b"0", b"1"):
            raise RelpError(f"wants RELP version {_shown(version) or 'unnamed'}; this program speaks 0")
        if b"syslog" not in (word.strip() for word in offers.get(b"commands", b"").split(b",")):
            raise RelpError("does not offer to take syslog messages")
        self.state = State.OPEN

    def _is_200(self, data: bytes, what: str) -> None:
        code = _CODE.match(data)
        if code is None:
            raise RelpError(f"answers {_shown(data)} to {what}, which is no RELP")
        if code[1] != b"200":
            said = _shown(code[2] or b"")
            raise RelpError(f"refuses {what}: {code[1].decode()} {said}".rstrip())

    def _must_be(self, state: State) -> None:
        if self.state is not state:
            raise RelpError(f"has a session that is {self.state.name}, not {state.name}")

    def _frame(self, command: bytes, data: bytes) -> bytes:
        number = self._next
        self._next = number + 1 if number < LAST_NUMBER else 1
        return b"%d %b %d%b\n" % (number, command, len(data), b" " + data if data else b"")


def _shown(data: bytes) -> str:
    """Some of what a server sent, harmless on a terminal."""
    text = data[:80].decode("ascii", "backslashreplace")
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
