"""How far each destination got: a small file for each, replaced whole, on the disk before it is relied on.

The rule: **a cursor never runs ahead of what a destination has for good**; that it lags behind only means
that something is sent again. So a cursor that is damaged is one that is not there.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Final

from ..record import GENESIS
from .notes import read_note, replace_file

SUFFIX: Final = ".cursor"
LARGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class Cursor:
    """All lines up to number `sequence` are delivered, whose digest is `digest`; and of those behind it, the
    loud ones up to number `ahead`."""

    sequence: int = 0
    digest: str = GENESIS
    ahead: int = 0


START: Final = Cursor()


def read_cursor(folder: str, name: str) -> Cursor:
    """That of a destination; START where there is none, or none that can be read."""
    return _cursor(os.path.join(folder, name + SUFFIX)) or START


def write_cursor(folder: str, name: str, cursor: Cursor) -> None:
    """Keep it. Raises OSError, and then the older one is still there."""
    path = os.path.join(folder, name + SUFFIX)
    replace_file(path, json.dumps(asdict(cursor)).encode() + b"\n", sync=True)


def _cursor(path: str) -> Cursor | None:
    found = read_note(path, LARGEST) or {}
    sequence, digest, ahead = found.get("sequence"), found.get("digest"), found.get("ahead")
    if type(sequence) is int and sequence >= 0 and isinstance(digest, str) and type(ahead) is int:
        return Cursor(sequence, digest, ahead)
    return None
