"""What a firewall in force comes down to, whichever of the kernel's two engines keeps it. Pure.

The rule: traffic is no change. Counters, handles, elements that time out and the names the kernel makes
up for nameless sets are in no digest; everything that decides about a packet is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

SHOWN = 40
"""Rules of one chain that are shown to the reader."""


class Piece(NamedTuple):
    """A table, chain or named set. `name` as people say it (`inet filter input`), `value` what is
    compared, as words, `lines` its rules for the reader."""

    name: bytes
    value: bytes
    lines: tuple[bytes, ...] = ()


class Firewall(NamedTuple):
    """All pieces in force. A `problem` is a sentence saying why (some of) it was not seen."""

    pieces: tuple[Piece, ...] = ()
    problem: str = ""


def chain(name: bytes, hook: bytes, rules: Iterable[tuple[bytes, bytes]]) -> Piece:
    """A chain by its rules: (what is compared, what is read). `hook` says where it is called and what
    becomes of the rest (`hook input priority 0 policy drop`), b"" for one that only others jump to."""
    summed, lines = hashlib.sha256(), []
    for compared, read in rules:
        summed.update(b"%d:%s" % (len(compared), compared))
        lines.append(read)
    count = b"%d rule%s" % (len(lines), b"" if len(lines) == 1 else b"s")
    words = [hook or b"called by others", count]
    words += [summed.hexdigest()[:16].encode()] if lines else []
    shown = lines[:SHOWN] + ([b"and %d more" % (len(lines) - SHOWN)] if len(lines) > SHOWN else [])
    return Piece(name, b", ".join(words), tuple(shown))
