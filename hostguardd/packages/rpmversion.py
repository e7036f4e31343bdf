"""Which of two versions is the older one, by the rules of rpm (rpm-version(7), rpmvercmp). Pure."""

from __future__ import annotations

import re
from typing import Final

_PART: Final = re.compile(r"[0-9]+|[A-Za-z]+|[~^]")
_EPOCH: Final = re.compile(r"([0-9]+):")

TILDE, END, CARET, LETTERS, DIGITS = range(5)
"""What one of two versions goes on with, the oldest first: `~` makes older than the end, `^` younger."""

Part = tuple[int, int, str]


def is_older(one: str, other: str) -> bool:
    """Of two of the form `[epoch:]version[-release]`."""
    return _key(one) < _key(other)


def _key(full: str) -> tuple[Part, list[Part], list[Part]]:
    epoch = _EPOCH.match(full)
    version, _, release = full[epoch.end() if epoch else 0 :].partition("-")
    return _part(epoch[1] if epoch else "0"), _parts(version), _parts(release)


def _parts(text: str) -> list[Part]:
    return [*map(_part, _PART.findall(text)), (END, 0, "")]


def _part(text: str) -> Part:
    if text in "~^":
        return (TILDE if text == "~" else CARET), 0, ""
    if text.isdigit():  # by its length first: nobody bounds how many digits there are
        bare = text.lstrip("0")
        return DIGITS, len(bare), bare
    return LETTERS, 0, text
