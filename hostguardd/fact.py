"""What every fact is: a frozen record with a key that survives reuse, and its plain row. Pure."""

from __future__ import annotations

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


def odd_name(name: bytes) -> bool:
    """Whether a name is made to be overlooked or misread in a listing: `...`, `.. `, `..x`, blanks at
    an end, nothing but blanks, control characters."""
    return (
        name.startswith(b"..")
        or name.strip() != name
        or any(byte < 0x20 or byte == 0x7F for byte in name)
        or name.strip(b". \t\xc2\xa0") == b""
    ) and name not in (b"", b".", b"..")


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
