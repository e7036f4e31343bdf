"""What the forwarder leaves for the daemon: how each destination stands, and that it is alive.

`hostguardctl status` and `doctor` show it. The daemon believes none of it further than to show it: this file
is written by a process that talks to the network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from ..record import clean
from .notes import read_note, replace_file
from .standing import Standing

NAME: Final = "status.json"
LARGEST: Final = 256 * 1024
FRESH: Final = 30.0
"""Seconds after which a report is old, and its writer presumed dead. It is written anew every ten."""


def write_report(folder: str, now: int, standings: Mapping[str, Standing], *, last: bool = False) -> None:
    """Leave it at `now` (ns since the epoch); the `last` one says that we end. Raises OSError."""
    told = {
        "at": now,
        "pid": os.getpid(),
        "alive": not last,
        "destinations": {name: asdict(one) for name, one in standings.items()},
    }
    replace_file(os.path.join(folder, NAME), json.dumps(told).encode() + b"\n")


def read_report(folder: str, now: int) -> tuple[bool, dict[str, dict[str, Any]]]:
    """(whether its writer is alive at `now`, how each destination stood when it last wrote)."""
    found = read_note(os.path.join(folder, NAME), LARGEST) or {}
    at, told = found.get("at"), found.get("destinations")
    alive = found.get("alive") is True and type(at) is int and abs(now - at) <= FRESH * 1e9
    if not isinstance(told, dict):
        return alive, {}
    return alive, {str(name): _harmless(one) for name, one in told.items() if isinstance(one, dict)}


def _harmless(told: Mapping[str, Any]) -> dict[str, Any]:
    """What we know of, of the types that we know."""
    kinds = {name: type(value) for name, value in asdict(Standing()).items()}
    return {
        name: clean(value[:1000]) if isinstance(value, str) else value
        for name, value in told.items()
        if type(value) is kinds.get(name)
    }
