"""Tunnels by ssh(1) that let others in, by its command line. Pure.

`-R` opens a port over there that leads here, `-w` joins two networks, `-D` lets whoever reaches its port go
on from here. `-L` only fetches something, and is everyday work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from ..interface import Verdict
from .programs import Odd

PROGRAMS: Final = frozenset({b"ssh", b"autossh"})
WITH_WORD: Final = b"BbcDEeFIiJLlMmOoPpQRSWw"
"""Options that take a word; `-M` takes one in autossh(1) only."""

LEADS: Final = {
    ord("R"): "opens a port elsewhere that leads here",
    ord("w"): "joins this host's network with another one's",
    ord("D"): "lets others go on from here",
}
KEYWORDS: Final = {b"remoteforward": ord("R"), b"tunnel": ord("w"), b"dynamicforward": ord("D")}


def odd(program: bytes, argv: Sequence[bytes]) -> Odd | None:
    """What is odd about a process of the program of that name."""
    if program not in PROGRAMS:
        return None
    found = next((LEADS[one] for one in _leads(program, argv[1:])), "")
    return Odd(Verdict.NOTABLE, found, "T1572") if found else None


def _leads(program: bytes, words: Sequence[bytes]) -> Iterator[int]:
    """The options that lead somewhere: ssh(1) takes them before the host's name and behind it, up to the
    command that is run over there."""
    rest = deque(words)
    plain = 0
    while rest and plain < 2:
        word = rest.popleft()
        if word == b"--":
            return
        if not word.startswith(b"-"):
            plain += 1
            continue
        for index, letter in enumerate(word[1:], 2):
            if letter not in WITH_WORD or (letter == ord("M") and program == b"ssh"):
                continue
            value = word[index:] or (rest.popleft() if rest else b"")
            if letter in LEADS:
                yield letter
            elif letter == ord("o"):
                key, *said = value.replace(b"=", b" ", 1).split(None, 1)[:2] or [b""]
                if key.lower() in KEYWORDS and said and said[0].strip().lower() not in (b"no", b"none"):
                    yield KEYWORDS[key.lower()]
            break
