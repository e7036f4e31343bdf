"""What a kind of fact must be able to say of itself, so that alerts, groups and terminals can tell it. Pure.

The rule: **a sentence never claims more than was seen**, and bytes in it are escaped, so that it has no
line ends and nothing in it is obeyed by a terminal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..attributes import Names
from ..record import Record, escape

SHORT = 240


@dataclass(frozen=True, slots=True)
class Words:
    """How one kind of fact is told.

    `one` and `many` count it ("account", "accounts"). `category` is ECS event.category; `types` are ECS
    event.type when it was added, removed, changed. `new`, `gone` and `changed` give one sentence without
    a full stop: of a fact, or of (before, after, names of the fields that differ). `fields` are the ECS
    fields of a fact by dotted name.
    """

    one: str
    many: str
    category: str
    types: tuple[str, str, str]
    new: Callable[[Any, Names], str]
    gone: Callable[[Any, Names], str]
    changed: Callable[[Any, Any, tuple[str, ...], Names], str]
    fields: Callable[[Any, Names], Record]


def short(text: str) -> str:
    """`text` with its middle left out when it is too long for a sentence."""
    return text if len(text) <= SHORT else f"{text[: SHORT // 2]}…{text[-SHORT // 2 :]}"


def said(raw: bytes) -> str:
    """Bytes of the host for a sentence: escaped, and of bearable length."""
    return short(escape(raw))


def arrow(what: str, before: str, after: str) -> str:
    """`what before → after`."""
    return f"{what} {before or 'none'} → {after or 'none'}"


def counted(number: int, one: str, many: str = "") -> str:
    """`no logins`, `1 login`, `1,284 entries`; `many` is for what is more than a noun."""
    if number == 1:
        return f"1 {one}"
    if not many:
        many = one[:-1] + "ies" if one.endswith("ry") else one + ("es" if one.endswith("s") else "s")
    return f"{number:,} {many}" if number else f"no {many}"
