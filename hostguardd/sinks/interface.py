"""What every sink can do, whatever is behind it.

A sink belongs to one thread. It takes **batches** of entries in order, and says later how many of them,
counted from the oldest, are delivered for good: how good that is depends on what the other end promises
(RELP acknowledges each message; of a plain TCP stream we know only that the other kernel took it). What was
sent and not confirmed when a sink fails is sent again over the next connection: an alert may arrive twice,
under the same id and number, and may not be lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..envelope import Entry
from ..errors import HostguardError


class SinkError(HostguardError):
    """It does not work now: one sentence that names what and why. To be tried again later, from `open` on."""


class Sink(Protocol):
    """Where alerts go."""

    window: int
    """Batches that may be on their way unconfirmed."""

    batch: int
    """Entries that had better be handed over together, at most."""

    def open(self) -> None:
        """Make it ready. Raises SinkError."""
        ...

    def send(self, batch: Sequence[Entry]) -> None:
        """Hand over a batch, at least one entry. Raises SinkError, and then nothing of it counts as sent."""
        ...

    def confirmed(self, wait: float) -> int:
        """How many further batches are delivered for good, waiting up to `wait` seconds for the first.

        0 at once when none is on its way. Raises SinkError when those that are are lost, or nobody is there
        any more.
        """
        ...

    def finish(self) -> int:
        """End in good order, waiting as long as the timeout allows: how many further batches were delivered.

        Raises SinkError when that cannot be said of the rest.
        """
        ...

    def close(self) -> None:
        """Let go at once; never raises. `open` may be called again."""
        ...
