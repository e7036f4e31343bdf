"""How one destination stands, for whoever asks. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONNECTING: Final = "connecting"
CONNECTED: Final = "connected"
FAILING: Final = "failing"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a destination stands.

    `since` when the state is so, `sent` and `delivered` numbers of alerts, `oldest` the time of the oldest
    alert that is under way, `heartbeat_at` when the last heartbeat was delivered, `failures` connections that
    broke or were never made. Times are RFC 3339, "" for never.
    """

    state: str = CONNECTING
    problem: str = ""
    since: str = ""
    sent: int = 0
    sent_at: str = ""
    delivered: int = 0
    delivered_at: str = ""
    oldest: str = ""
    heartbeat_at: str = ""
    failures: int = 0
