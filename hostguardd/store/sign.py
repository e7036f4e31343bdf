"""The sign of life that the daemon leaves beside the alert log, for heartbeats.

Whoever forwards the log may read nothing else, and yet the other end must be able to tell silence from peace,
and a log that was cut or written anew from one that is whole: by how far the log was when this was written,
by which baseline is the truth, and by what cannot be seen.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Final

from ..model import Blind, Generation
from ..record import Identity, clean, escape, timestamp
from .chain import Head
from .notes import read_note, replace_file

NAME: Final = "alerts.sign"
LARGEST: Final = 64 * 1024
NAMED: Final = 20
"""Blind places that are named; the rest is counted."""


def write_sign(
    folder: str, identity: Identity, now: int, head: Head, current: Generation | None, blinds: Sequence[Blind]
) -> None:
    """Leave it at `now` (ns since the epoch). Raises OSError."""
    sign = {
        "host": {"hostname": clean(identity.hostname), "id": identity.host_id},
        "told": {
            "daemon": {"alive": timestamp(now), "version": identity.version, "boot": identity.boot_id},
            "last": {"sequence": head[0], "chain": head[1]},
            "baseline": {"generation": current.number, "digest": current.digest} if current else None,
            "blind": len(blinds),
            "blind_scopes": [f"{one.kind}: {escape(one.scope)[:200]}" for one in blinds[:NAMED]],
        },
    }
    replace_file(os.path.join(folder, NAME), json.dumps(sign).encode() + b"\n")


def read_sign(folder: str) -> tuple[dict[str, str], dict[str, Any]]:
    """(which host this is, what the daemon last said of itself); both empty when it said nothing."""
    found = read_note(os.path.join(folder, NAME), LARGEST) or {}
    host, told = found.get("host"), found.get("told")
    return (
        {str(name): str(value) for name, value in host.items()} if isinstance(host, dict) else {},
        told if isinstance(told, dict) else {},
    )
