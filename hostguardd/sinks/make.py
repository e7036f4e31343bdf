"""The sink for a destination: the one table of kinds and adapters.

The rule: a kind is known here or nowhere; nothing is found by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..destinations import COMMAND, JOURNALD, RELP, TCP, UDP, Destination
from .command import CommandSink
from .datagram import DatagramSink
from .interface import Sink
from .journald import JournalSink
from .relp import RelpSink
from .syslog import StreamSink

ADAPTERS: Final[Mapping[str, Callable[[Destination], Sink]]] = {
    RELP: RelpSink,
    TCP: StreamSink,
    UDP: DatagramSink,
    JOURNALD: JournalSink,
    COMMAND: CommandSink,
}


def sink(destination: Destination) -> Sink:
    """The sink for a destination, not yet open."""
    return ADAPTERS[destination.kind](destination)
