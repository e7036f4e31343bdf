"""dpkg's database as dpkg reads it: status, lists, digests, diversions, overrides, exclusions. Pure.

The rule kept: bytes of a hostile host come in; a line that says nothing is counted, never an error.

Sources: dpkg(1), dpkg-divert(1), dpkg-statoverride(1), deb-md5sums(5), and dpkg's lib/dpkg/dump.c and
src/main/{filters,divertdb}.c.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from ..record import escape
from .interface import Transaction

MOST_PATHS: Final = 300_000
"""Paths of one package that are read: the sources of a kernel have 80,000."""

ON_DISK: Final = frozenset((
    b"installed", b"unpacked", b"half-configured", b"triggers-awaited", b"triggers-pending",
))  # fmt: skip
"""States of a package whose files are there."""

_FIELD: Final = re.compile(
    rb"^(Package|Status|Version|Architecture|Installed-Size):[ \t]*([^\n]*)", re.MULTILINE
)
_CONFFILES: Final = re.compile(rb"^Conffiles:[^\n]*\n((?:[ \t][^\n]*\n?)*)", re.MULTILINE)
_CONFFILE: Final = re.compile(rb"[ \t]+(/[^\n]*?) ([0-9a-f]{32}|newconffile)((?: [a-z-]+)*)[ \t]*")
_LINE: Final = re.compile(rb"[^\n]+")
_PATH: Final = re.compile(rb"^/[^\n]*", re.MULTILINE)
_DIGEST: Final = re.compile(rb"([0-9a-f]{32})  ?(?:\*|\./)?([^\n]+)")
_DIGESTS: Final = re.compile(rb"^" + _DIGEST.pattern, re.MULTILINE)


class Conffile(NamedTuple):
    """A configuration file as the package brought it. `obsolete`: the present version brings it no more."""

    path: bytes
    digest: str
    obsolete: bool


class Package(NamedTuple):
    """An installed package. `size` is what all its files take, in bytes (0: not told)."""

    name: bytes
    architecture: bytes
    version: bytes
    size: int
    conffiles: tuple[Conffile, ...]
    half: bool = False


def status(text: bytes) -> Iterator[Package]:
    """The packages whose files are there; `half` is one whose unpacking was broken off."""
    for begin, end in _paragraphs(text):
        has: dict[bytes, bytes] = {}
        for field in _FIELD.finditer(text, begin, end):
            has.setdefault(field[1], field[2].strip())
        state = has.get(b"Status", b"").split()[-1:] or [b""]
        name = has.get(b"Package", b"")
        half = state[0] == b"half-installed"
        if not name or b"/" in name or not (half or state[0] in ON_DISK):
            continue
        conffiles: list[Conffile] = []
        found = _CONFFILES.search(text, begin, end)
        for line in found[1].split(b"\n") if found else ():
            one = _CONFFILE.fullmatch(line)
            if one is not None and one[2] != b"newconffile" and b"remove-on-upgrade" not in one[3]:
                conffiles.append(Conffile(one[1], one[2].decode(), b"obsolete" in one[3]))
        size = has.get(b"Installed-Size", b"")
        kib = int(size) if size.isdigit() and len(size) < 15 else 0
        version, architecture = has.get(b"Version", b""), has.get(b"Architecture", b"")
        yield Package(name, architecture, version, kib * 1024, tuple(conffiles), half)


def latest(text: bytes, *later: bytes) -> Iterator[Package]:
    """The packages of a status whose files are there, as `later` paragraphs have them where they do."""
    if not later:
        yield from status(text)
        return
    known = {_identity(data, *at): (data, at) for data in (text, *later) for at in _paragraphs(data)}
    for data, (begin, end) in known.values():
        yield from status(data[begin:end])


def _identity(text: bytes, begin: int, end: int) -> tuple[bytes, bytes]:
    has = {field[1]: field[2].strip() for field in _FIELD.finditer(text, begin, end)}
    return has.get(b"Package", b""), has.get(b"Architecture", b"")


def _paragraphs(text: bytes) -> Iterator[tuple[int, int]]:
    begin = 0
    while begin < len(text):
        end = text.find(b"\n\n", begin)
        end = len(text) if end < 0 else end + 1
        yield begin, end
        begin = end + 1


def listed(text: bytes) -> list[bytes]:
    """The paths of a list, at most MOST_PATHS. The root, `/.`, is no path of a package."""
    found: list[bytes] = _PATH.findall(text)
    if not _all_plain(text, found):
        found = [path for path in found if _plain(path)]
    return list(islice((path for path in found if path != b"/."), MOST_PATHS))


def digests(text: bytes) -> tuple[dict[bytes, str], int]:
    """Path -> MD5 of a package's digests, and how many lines say nothing."""
    pairs = _DIGESTS.findall(text)
    if len(pairs) < MOST_PATHS and _all_plain(text, [path for _, path in pairs]):
        whole = {b"/" + path.lstrip(b"/"): digest.decode() for digest, path in pairs}
        return whole, len(_LINE.findall(text)) - len(pairs)
    found: dict[bytes, str] = {}
    bad = 0
    for line in _LINE.finditer(text):
        one = _DIGEST.fullmatch(line[0])
        if one is not None and len(found) < MOST_PATHS and _plain(path := b"/" + one[2].lstrip(b"/")):
            found[path] = one[1].decode()
        else:
            bad += 1
    return found, bad


def _all_plain(text: bytes, paths: list[bytes]) -> bool:
    """Whether all paths of a text are, for certain: there may be a million, and they nearly always are."""
    return b"\0" not in text and b".." not in text and len(max(paths, key=len, default=b"")) < 4095


def _plain(path: bytes) -> bool:
    return b"\0" not in path and b"/../" not in path + b"/" and len(path) < 4096


class Diversion(NamedTuple):
    """`path` of every package but `package` lies at `to`. `package` is b":" for the administrator."""

    path: bytes
    to: bytes
    package: bytes


def diversions(text: bytes) -> dict[bytes, Diversion]:
    """The diversions by the path that is diverted."""
    lines = text.split(b"\n")
    triples = zip(lines[0::3], lines[1::3], lines[2::3], strict=False)
    return {one[0]: Diversion(*one) for one in triples if one[0].startswith(b"/") and one[1].startswith(b"/")}


class Override(NamedTuple):
    """An owner and a mode that the administrator wants for a path. `user` and `group` are names, or #id."""

    path: bytes
    user: bytes
    group: bytes
    mode: int


def overrides(text: bytes) -> dict[bytes, Override]:
    """The overrides by path."""
    found = {}
    for line in text.split(b"\n"):
        parts = line.split(b" ", 3)
        if len(parts) == 4 and re.fullmatch(rb"[0-7]{1,6}", parts[2]):
            found[parts[3]] = Override(parts[3], parts[0], parts[1], int(parts[2], 8))
    return found


def excluded(texts: Iterable[bytes]) -> Callable[[bytes], bool]:
    """Whether dpkg was told not to unpack a path, by the texts of its configuration in their order."""
    rules: list[tuple[bool, re.Pattern[bytes]]] = []
    for text in texts:
        for line in text.split(b"\n"):
            option = re.fullmatch(rb"\s*path-(exclude|include)(?:\s*=\s*|\s+)(\S.*?)\s*", line)
            if option is not None and len(option[2]) < 1024 and option[2].count(b"*") <= 16:
                pattern = fnmatch.translate(option[2].strip(b"\"'").decode("latin-1")).encode("latin-1")
                rules.append((option[1] == b"exclude", re.compile(pattern)))

    def is_excluded(path: bytes) -> bool:
        out = False
        for excludes, pattern in rules:
            if excludes != out and pattern.match(path):
                out = excludes
        return out

    return is_excluded


_AT: Final = rb"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d) "
_DATED: Final = re.compile(_AT)
_TOLD: Final = re.compile(_AT + rb"status (\S{1,30}) (\S{1,300}) (\S{1,300})")
_STARTED: Final = re.compile(_AT + rb"startup (?:archives|packages) \S{1,30}")
_LOGGED: Final = re.compile(_AT + rb"(install|upgrade|remove|purge) (\S{1,300}) (\S{1,300}) (\S{1,300})")


def moment(line: bytes, mktime: Callable[[tuple[int, ...]], float]) -> float | None:
    """When a line of dpkg.log was written, in seconds since the epoch; None for what is no line of it. dpkg
    writes local time, of which `mktime` makes those."""
    found = _DATED.match(line)
    try:
        return found and mktime((*(int(found[number]) for number in range(1, 7)), 0, 0, -1))
    except (ValueError, OverflowError):
        return None


def is_start(line: bytes) -> bool:
    """Whether a line says that dpkg was started."""
    return _STARTED.fullmatch(line) is not None


class Told(NamedTuple):
    """A line of dpkg.log about the state of a package; `at` is seconds since the epoch."""

    at: float
    state: str
    package: str
    version: str


def told(line: bytes, at: float) -> Told | None:
    """What a line of dpkg.log of that moment tells of a package's state; None for the others."""
    found = _TOLD.fullmatch(line)
    return None if found is None else Told(at, *(escape(found[number]) for number in (7, 8, 9)))


def logged(line: bytes, source: str, at: float) -> Transaction | None:
    """What a line of dpkg.log of that moment tells of a package; None for the many others."""
    found = _LOGGED.fullmatch(line)
    if found is None:
        return None
    action, name, before, after = found[7].decode(), *(escape(found[number]) for number in (8, 9, 10))
    before, after = ("" if one == "<none>" else one for one in (before, after))
    if action == "purge":
        action = "remove"
    elif action == "upgrade" and before == after:
        action = "reinstall"
    return Transaction(at, action, name, before, after, source)
