"""One permitted request on its way through the daemon: what is asked, by whom, and how to answer.

The rule: answering never waits. Every method hands bytes to the connection's bounded buffer and
returns; a client that does not read loses its progress reports first and its connection next. Work
that produces much (`alerts`) looks at `full`, or waits with `room` if its thread may wait.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import ConfigError, HostguardError
from .caller import Caller
from .calls import Args


class Channel(Protocol):
    """What a job needs of its connection. All of it may be called from any thread."""

    @property
    def gone(self) -> bool:
        """The client went away, or was dropped: nothing more reaches it."""
        ...

    @property
    def full(self) -> bool:
        """So much waits to be read that more should not be added now."""
        ...

    def send(self, line: bytes, *, last: bool = False) -> None:
        """Queue one line; `last` ends the connection once it is read. Never blocks."""
        ...

    def room(self, timeout: float) -> bool:
        """Wait until it is not `full`; False when it still is, or the client is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """A request that was checked and is permitted. Methods may be called from any thread.

    `actor` is the caller as a sentence, taken down while the caller still lives. Exactly one of
    `finish` and `fail` ends a job; what is said after that, or to a client that left, is dropped.
    """

    call: str
    args: Args
    caller: Caller
    actor: str
    channel: Channel

    @property
    def cancelled(self) -> bool:
        """The client went away: nobody waits for the answer."""
        return self.channel.gone

    @property
    def full(self) -> bool:
        """The client has much left to read; put no more items now, come back later."""
        return self.channel.full

    def room(self, timeout: float) -> bool:
        """For worker threads: wait (seconds) until more items may be put; False if not, or cancelled."""
        return self.channel.room(timeout)

    def progress(self, progress: Mapping[str, Any]) -> None:
        """Tell how far it is. Left out when the client is behind with its reading."""
        if not self.full:
            self.channel.send(_encode("progress", progress))

    def item(self, item: Mapping[str, Any] | bytes) -> None:
        """One element of a long answer; bytes are one JSON value as it stands, without newline."""
        self.channel.send(b'{"item":' + item + b"}\n" if isinstance(item, bytes) else _encode("item", item))

    def finish(self, result: Mapping[str, Any]) -> None:
        """The answer."""
        self.channel.send(_encode("result", result), last=True)

    def fail(self, error: HostguardError) -> None:
        """The refusal, with the exit code that the client will return."""
        self.channel.send(encode_error(error), last=True)


def encode_error(error: HostguardError) -> bytes:
    """The wire line of an error; a configuration's mistakes travel one by one."""
    told: dict[str, Any] = {"code": int(error.exit), "message": str(error)}
    if isinstance(error, ConfigError):
        told["problems"] = list(error.problems)
    return _encode("error", told)


def _encode(key: str, value: Mapping[str, Any]) -> bytes:
    # ASCII on the wire: even a lone surrogate that slipped through cannot make encoding fail.
    return json.dumps({key: value}, separators=(",", ":")).encode("ascii") + b"\n"
