"""A small declarative validator: dataclass fields say what they accept, mistakes come all at once.

Pure. Of the libraries that could do this, none suggests the word that was meant, refuses silent
coercion (`true` for 1, 5 for "5") and reads units, all with the key of every mistake; hence our own.

A **reader** is a function from what TOML gave to the value, raising `Invalid`. A dataclass field
carries its reader in its metadata (`field(default=600.0, metadata=reads(duration(...)))`), so that
the class is at once the type, the default, the range and the table of known keys. Readers nest:
`many`, `table` and `entries` collect the mistakes of their parts, each with its key.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Reader: TypeAlias = Callable[[object], T]
Mistake: TypeAlias = tuple[str, str]
"""Where, as the rest of the key (`.quick`, `[2]`, ""), and what is wrong there."""

DURATIONS: Mapping[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
SIZES: Mapping[str, float] = {
    "B": 1,
    "kB": 10**3, "MB": 10**6, "GB": 10**9,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip
SHARES: Mapping[str, float] = {"%": 0.01}

_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z%]+)\s*", re.ASCII)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_WORDS: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "a table"),
)


class Invalid(Exception):
    """A value is not what its place accepts; `mistakes` are all that is wrong in it and below it."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(f"{where}: {what}" for where, what in self.mistakes))

    def below(self, key: str) -> list[Mistake]:
        """The mistakes as the value one level up sees them."""
        return [(key + where, what) for where, what in self.mistakes]


def invalid(what: str, allowed: str = "", word: str = "", options: Iterable[str] = ()) -> Invalid:
    """One mistake: what is wrong, what is allowed, and which of `options` `word` may have meant."""
    said = what + (f", allowed: {allowed}" if allowed else "")
    meant = near(word, options)
    return Invalid([("", said + (f'; did you mean "{meant}"?' if meant else ""))])


def near(word: str, options: Iterable[str]) -> str:
    """The option closest to `word`, or "" when none is close."""
    by_folded = {option.lower(): option for option in options}
    found = difflib.get_close_matches(word.lower(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else ""


def show(value: object) -> str:
    """A value as its author would know it again, on one short line."""
    if isinstance(value, (list, dict)):
        return _kind(value)
    text = json.dumps(value) if isinstance(value, (str, int, float)) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def dotted(key: str) -> str:
    """A key as it is appended to the key of its table, quoted where TOML would quote it."""
    return f".{key}" if _BARE_KEY.fullmatch(key) else f".{show(key)}"


def _kind(value: object) -> str:
    return next((word for kind, word in _WORDS if isinstance(value, kind)), "a date or time")


def mistyped(value: object, allowed: str) -> Invalid:
    """`value` is of a wrong type."""
    shown, kind = show(value), _kind(value)
    return invalid(f"is {kind}" if shown == kind else f"{shown} is {kind}", allowed)


def reads(reader: Reader[Any], key: str = "") -> dict[str, Any]:
    """Metadata of a dataclass field: its reader, and its key in TOML where that is not its name."""
    return {"read": reader, "key": key}


def boolean(value: object) -> bool:
    """true or false, nothing that merely looks like it."""
    if not isinstance(value, bool):
        raise mistyped(value, "true or false")
    return value


def whole(least: int, most: int) -> Reader[int]:
    """An integer of a range."""
    allowed = f"a whole number from {least} to {most}"

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise mistyped(value, allowed)
        if not least <= value <= most:
            raise invalid(f"{show(value)} is out of range", allowed)
        return value

    return read


def _quantity(units: Mapping[str, float], least: float, most: float, allowed: str) -> Reader[float]:
    """A number, or text of a number and one of `units`; both in the unit that counts 1."""

    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise mistyped(value, allowed)
        if isinstance(value, str):
            match = _QUANTITY.fullmatch(value)
            if match is None:
                raise invalid(f"{show(value)} is not understood", allowed)
            if match[2] not in units:
                begins = [unit for unit in units if match[2].lower().startswith(unit.lower())]
                meant = max(begins, key=len, default="") or near(match[2], units)
                hint = f'; did you mean "{match[1]}{meant}"?' if meant else ""
                raise Invalid([("", f"{show(value)} has an unknown unit, allowed: {allowed}{hint}")])
            number = float(match[1]) * units[match[2]]
        else:
            number = value
        if not math.isfinite(number) or not least <= number <= most:
            raise invalid(f"{show(value)} is out of range", allowed)
        return number

    return read


def _span(seconds: float) -> str:
    """Seconds in the largest unit that stays whole: `1d`, `250ms`, `0.5ms`."""
    for unit, length in sorted(DURATIONS.items(), key=lambda item: -item[1]):
        if seconds >= length and math.isclose(seconds / length, round(seconds / length)):
            return f"{round(seconds / length)}{unit}"
    return f"{seconds:g}s"


def duration(least: float, most: float) -> Reader[float]:
    """Seconds: a number, or text such as "250ms", "10s", "10m", "1h", "1d"."""
    allowed = (
        f'seconds, or text such as "250ms", "10s", "10m", "1h", "1d", from {_span(least)} to {_span(most)}'
    )
    read = _quantity(DURATIONS, least, most, allowed)
    return lambda value: float(read(value))


def _measure(count: float) -> str:
    """Bytes in the largest binary unit that stays whole."""
    for unit in ("GiB", "MiB", "KiB"):
        if count >= SIZES[unit] and count % SIZES[unit] == 0:
            return f"{count / SIZES[unit]:g}{unit}"
    return f"{count:g}B"


def size(least: int, most: int) -> Reader[int]:
    """Bytes: an integer, or text such as "64MiB", "100kB"."""
    allowed = f'bytes, or text such as "64MiB", "100kB", from {_measure(least)} to {_measure(most)}'
    read = _quantity(SIZES, least, most, allowed)

    def read_whole(value: object) -> int:
        number = read(value)
        if isinstance(value, float) or number != int(number):
            raise invalid(f"{show(value)} is not a whole number of bytes", allowed)
        return int(number)

    return read_whole


def share(least: float, most: float) -> Reader[float]:
    """A part of one: a number, or text such as "0.15%"."""
    allowed = f'a share such as 0.25 or "0.15%", from {least:.6g} to {most:.6g}'
    read = _quantity(SHARES, least, most, allowed)
    return lambda value: float(read(value))


def text(pattern: str = "", allowed: str = "text") -> Reader[str]:
    """Text without control characters; with `pattern`, text that fully matches it."""
    wanted = re.compile(pattern, re.ASCII) if pattern else None

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise mistyped(value, allowed)
        if not value.isprintable():
            raise invalid(f"{show(value)} holds characters that cannot be printed", allowed)
        if wanted is not None and not wanted.fullmatch(value):
            raise invalid(f"{show(value)} does not fit", allowed)
        return value

    return read


def choice(options: Mapping[str, T]) -> Reader[T]:
    """One of the words of `options`, read as what it maps to."""
    allowed = ", ".join(word or '""' for word in options)

    def read(value: object) -> T:
        if not isinstance(value, str):
            raise mistyped(value, allowed)
        if value not in options:
            raise invalid(f"{show(value)} is unknown", allowed, value, options)
        return options[value]

    return read


def many(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """A list whose every item `reader` reads."""

    def read(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise mistyped(value, "a list")
        found, mistakes = [], []
        for number, item in enumerate(value, 1):
            try:
                found.append(reader(item))
            except Invalid as error:
                mistakes += error.below(f"[{number}]")
        if mistakes:
            raise Invalid(mistakes)
        return tuple(found)

    return read


def some(reader: Reader[T]) -> Reader[frozenset[T]]:
    """Like `many`, as a set; naming something twice is a mistake."""
    listed = many(reader)

    def read(value: object) -> frozenset[T]:
        found = listed(value)
        for number, item in enumerate(found):
            if item in found[:number]:
                assert isinstance(value, list)
                raise Invalid([(f"[{number + 1}]", f"{show(value[number])} is listed twice")])
        return frozenset(found)

    return read


def read_fields(cls: type, given: Mapping[str, object]) -> tuple[dict[str, Any], list[Mistake]]:
    """What `given` sets of the fields of `cls`, by field name, and all that is wrong with the rest."""
    known: dict[str, Field[Any]] = {
        f.metadata["key"] or f.name: f for f in fields(cls) if "read" in f.metadata
    }
    found: dict[str, Any] = {}
    mistakes: list[Mistake] = []
    for key, value in given.items():
        try:
            if key not in known:
                raise invalid("unknown key", ", ".join(known), key, known)
            found[known[key].name] = known[key].metadata["read"](value)
        except Invalid as error:
            mistakes += error.below(dotted(key))
    for key, spec in known.items():
        if key not in given and spec.default is MISSING and spec.default_factory is MISSING:
            mistakes.append((f".{key}", "is missing"))
    return found, mistakes


def table(cls: type) -> Reader[dict[str, Any]]:
    """A TOML table of the fields of `cls`; only what is given is returned, so that tables can merge."""

    def read(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise mistyped(value, "a table")
        found, mistakes = read_fields(cls, value)
        if mistakes:
            raise Invalid(mistakes)
        return found

    return read


def entries(cls: type[T], check: Callable[[T], Sequence[Mistake]]) -> Reader[dict[str, T]]:
    """An array of tables as instances of `cls` by their `name`; `check` looks at each as a whole.

    The key of a mistake names the entry (`.rule "cron".severity`), as nobody counts to the 40th.
    """
    read_one = table(cls)

    def read(value: object) -> dict[str, T]:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise invalid(f"is {_kind(value)}", "tables, each under its own [[heading]]")
        found: dict[str, T] = {}
        mistakes: list[Mistake] = []
        seen: set[str] = set()
        for number, item in enumerate(value, 1):
            name = item.get("name")
            place = f" {show(name)}" if name and isinstance(name, str) else f"[{number}]"
            try:
                if isinstance(name, str) and name in seen:
                    mistakes.append((place, "this name is used twice in one file, names tell entries apart"))
                seen.add(str(name))
                built = cls(**read_one(item))
                mistakes += Invalid(check(built)).below(place)
                found[str(name)] = built
            except Invalid as error:
                mistakes += error.below(place)
        if mistakes:
            raise Invalid(mistakes)
        return found

    return read
