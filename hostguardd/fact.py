"""What every fact is: a frozen record with a key that survives reuse, and its plain row. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, fields
from functools import cache
from typing import ClassVar, Self, TypeAlias

Value: TypeAlias = int | str | bytes | None
Row: TypeAlias = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing seen on the host.

    Subclasses declare their fields in row order and these class constants:

    * `KIND`: the word for it in rules, alerts and table names;
    * `KEY`: the leading fields that identify it for good. The first of them is the *scope*: sweeps
      cover whole scopes, and the store reads a scope at a time (a folder of files, one protocol's
      listeners, …);
    * `QUICK`: how many leading fields a quick sweep fills in;
    * `VOLATILE`: fields kept for the reader but never compared (a pid);
    * `SECRET`: fields compared but never shown (a digest of a password's hash);
    * `TRAITS`: all words that `traits()` can say.
    """

    KIND: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]
    QUICK: ClassVar[int]
    VOLATILE: ClassVar[frozenset[str]] = frozenset()
    SECRET: ClassVar[frozenset[str]] = frozenset()
    TRAITS: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    @cache
    def columns(cls) -> tuple[str, ...]:
        """Field names in row order."""
        return tuple(f.name for f in fields(cls))

    @classmethod
    def of(cls, row: Row) -> Self:
        """The fact around `row`."""
        return cls(*row)

    def row(self) -> Row:
        """The plain tuple, in field order."""
        return tuple(getattr(self, name) for name in self.columns())

    @classmethod
    def noise(cls, before: Row, after: Row) -> frozenset[str]:
        """Fields whose difference says nothing for this pair of rows (`size` of a folder)."""
        return frozenset()

    @property
    def label(self) -> bytes:
        """The one thing a person calls it by: a path, `tcp 0.0.0.0:22`, an exe. Raw bytes."""
        raise NotImplementedError(f"{type(self).__name__} has no label")

    def traits(self) -> frozenset[str]:
        """Words that rules may ask for by `gained` (`setuid`, `temporary`, `deleted`, …)."""
        return frozenset()

    @classmethod
    def turns(cls, before: Self | None, after: Self) -> frozenset[str]:
        """Words for what only both sides together show (`backdated`), for `gained` as well; among TRAITS."""
        return frozenset()


def key_of(fact: type[Fact], row: Row) -> Value | Row:
    """What identifies `row` within its scope: the second key field, or a tuple of the rest."""
    width = len(fact.KEY)
    return row[1] if width == 2 else row[1:width]


PLACE = frozenset({"temporary", "hidden"})
"""All that `path_traits` can say."""

TEMPORARY = (b"/tmp/", b"/var/tmp/", b"/dev/shm/", b"/run/shm/", b"/run/user/")


def path_traits(path: bytes) -> set[str]:
    """What a path alone says: `temporary` (world-writable folders), `hidden` (a dot component)."""
    found = set()
    if path.startswith(TEMPORARY):
        found.add("temporary")
    if any(part.startswith(b".") or part.endswith(b" ") for part in path.split(b"/")):
        found.add("hidden")
    return found


_PLAIN = re.compile(rb"\.?[!-\-/-~](?:[ -~]*[!-~])?")
"""Nearly every name there is: decided without a look at each character."""

_BLANKS = re.compile(r"^\s|\s$")
_DOTS = re.compile(r"[.\s]+")


def is_odd(name: bytes) -> bool:
    """Whether a name looks like nothing, or like another one, on a terminal: only dots and blanks, a blank
    at an end, control or invisible characters."""
    if _PLAIN.fullmatch(name) or name in (b"", b".", b".."):
        return False
    text = name.decode("utf-8", "surrogateescape")
    if (
        _BLANKS.search(text) or _DOTS.fullmatch(text) or text.endswith("\udca0")
    ):  # a bare 0xA0 is Latin-1's blank
        return True
    return any(
        unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp")
        or (one != " " and unicodedata.category(one) == "Zs")
        for one in text
        if not one.isalnum()
    )


def odd_name(name: bytes) -> bool:
    """Whether a name is made to be overlooked or misread in a listing: an odd one, or one that passes for
    the folder above (`..x`), which some programs use and most do not."""
    return is_odd(name) or (name.startswith(b"..") and name != b"..")


_LIKE_LATIN = frozenset({"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC"})


def passes_for_another(name: bytes) -> bool:
    """Whether a name is odd, or has letters among its Latin ones that only look like these (UTS #39)."""
    if name.isascii():
        return is_odd(name)
    text = name.decode("utf-8", "replace")
    scripts = {unicodedata.name(one, "").partition(" ")[0] for one in text if one.isalpha()}
    mixed = "LATIN" in scripts and not scripts.isdisjoint(_LIKE_LATIN)
    return mixed or is_odd(name) or unicodedata.normalize("NFKC", text).isascii()


def whole(value: Value) -> int:
    """`value` as the int that its column holds."""
    assert isinstance(value, int)
    return value


def join(folder: bytes, name: bytes) -> bytes:
    """`folder`/`name` without doubling the root's slash."""
    return folder + name if folder.endswith(b"/") else folder + b"/" + name


def split(path: bytes) -> tuple[bytes, bytes]:
    """(folder, name) of an absolute path; the root is (b"/", b"")."""
    folder, _, name = path.rpartition(b"/")
    return folder or b"/", name


def under(path: bytes, top: bytes) -> bool:
    """Whether `path` is `top` or lies below it."""
    return path == top or path.startswith(top if top.endswith(b"/") else top + b"/")
