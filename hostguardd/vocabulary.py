"""The words a rule may use, derived from the facts themselves: fields to match, to compare, traits.

Pure. A field added to a fact can be matched by rules at once; a misspelt one is told with the
mistakes of the configuration instead of never matching, which would be silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from .model import FACTS, Fact

NUMBER, PATH, TEXT = "number", "path", "text"
_PATHS = frozenset(
    {"path", "label", "folder", "target", "exe", "parent_exe", "script", "endpoint", "filesystem"}
    | {"home", "shell", "point", "source", "root"}
)
_BLOBS = frozenset({"sha256", "xattrs", "caps", "secret", "head", "prefix"})


def matchable(fact: type[Fact]) -> dict[str, str]:
    """What `where` may ask of a fact: each field (and word derived from it) as NUMBER, PATH or TEXT."""
    columns = {f.name: str(f.type) for f in fields(fact) if f.name not in _BLOBS}
    derived = {name: "bytes" for name in ("label", "path", "type") if hasattr(fact, name)}
    return {
        name: NUMBER if kind.startswith("int") else PATH if name in _PATHS else TEXT
        for name, kind in {**columns, **derived}.items()
    }


def comparable(fact: type[Fact]) -> frozenset[str]:
    """The fields that `changed` and `only` may name: neither key nor volatile."""
    return frozenset(fact.columns()) - set(fact.KEY) - fact.VOLATILE


TRAITS: Mapping[str, frozenset[str]] = {fact.KIND: fact.TRAITS for fact in FACTS}
"""The words that `gained` may ask for, by kind of fact: all that its `traits()` can say."""


def number_range(text: bytes) -> range:
    """`22`, `1-1023`, `1024-` (and up) or `0o4755` as the numbers it stands for. Raises ValueError."""
    low, dash, high = text.decode().partition("-")
    first = int(low, 0)
    last = first if not dash else int(high, 0) if high else 2**64
    if last < first:
        raise ValueError("the range runs backwards")
    return range(first, last + 1)
