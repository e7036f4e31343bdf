r"""Shell-like globs over raw bytes, compiled once to regular expressions.

Pure. File names are bytes and may be anything but NUL and `/`, newlines and broken UTF-8 included,
so neither `fnmatch` (no notion of a folder) nor a text pattern will do. The language:

    *       any run of bytes within one component (never `/`)
    **      any run of bytes, `/` too; `/**/` also stands for a single `/`
    ?       one character: a UTF-8 sequence, or a byte that is part of none
    [a-z]   one of these ASCII characters; `[!a-z]` or `[^a-z]` one other character; never `/`
    \x      x itself

A leading dot is nothing special: an intruder's `...` is matched by `*` like any other name. Every
compiled pattern is anchored at both ends, so `match` and `fullmatch` agree.

Whoever may write to a folder chooses names there, so no name may make a glob take long. Where another star
follows that matches as much, the first place that fits after a star is as good as all later ones, and no
other is tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_SEQUENCE = rb"[\xc2-\xf4][\x80-\xbf]{1,3}"
_ANY_BYTES = rb".*"
_TOKEN = re.compile(
    rb"""(?P<folders> (?:(?<=/)|^) \*\*+/ )
       | (?P<cross>   \*\*+ )
       | (?P<star>    \* )
       | (?P<one>     \? )
       | (?P<set>     \[ (?P<not>[!^]?+) (?P<body> [^\0] [^\]]* ) \] )
       | (?P<quoted>  \\ (?P<itself>.) )
       | (?P<plain>   [^*?\[\\]+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_MAGIC = re.compile(rb"[*?\[]")
_SIGN = re.compile(rb"[*?\[\\]")
_QUOTED = re.compile(rb"\\(.)", re.DOTALL)


class GlobError(ValueError):
    """The glob makes no sense; the text is the reason, to be read after the glob itself."""


def compile_path(glob: bytes) -> re.Pattern[bytes]:
    """The pattern for whole paths: `*`, `?` and sets stop at `/`. Raises GlobError."""
    return _compile([glob], b"/")


def compile_paths(globs: Iterable[bytes]) -> re.Pattern[bytes]:
    """One pattern that matches what any of `globs` matches as a path; nothing when there are none."""
    return _compile(globs, b"/")


def compile_name(glob: bytes) -> re.Pattern[bytes]:
    """The pattern for one component of a path. Raises GlobError, also for a `/` in it."""
    if b"/" in glob:
        raise GlobError('has a "/", but is to match a single name')
    return _compile([glob], b"/")


def compile_texts(globs: Iterable[bytes]) -> re.Pattern[bytes]:
    """One pattern for values that are no paths (a command line): `*` runs over everything."""
    return _compile(globs, b"")


def has_magic(glob: bytes) -> bool:
    """Whether a glob, or a part of one, holds wildcards. A quoted sign counts too: what it stands for is
    then found by matching."""
    return _MAGIC.search(glob) is not None


def quoted(path: bytes) -> bytes:
    """The glob that matches this path and no other."""
    return _SIGN.sub(rb"\\\g<0>", path)


def unquoted(glob: bytes) -> bytes:
    """The path, or the part of one, that a glob without wildcards stands for."""
    return _QUOTED.sub(rb"\1", glob)


def _compile(globs: Iterable[bytes], stop: bytes) -> re.Pattern[bytes]:
    choices = [b"".join(_translate(glob, stop)) for glob in globs]
    if not choices:
        return re.compile(rb"(?!)")
    return re.compile(rb"(?s:" + b"|".join(choices) + rb")\Z")


def _translate(glob: bytes, stop: bytes) -> Iterator[bytes]:
    """The regular expression of `glob`, piece by piece. `stop` is what wildcards may not match."""
    if not glob:
        raise GlobError("is empty")
    if b"\0" in glob:
        raise GlobError("has a NUL byte, which no name can hold")
    single = rb"[^" + stop + rb"]" if stop else rb"."
    pieces = {
        "": b"",
        "folders": rb"(?:.*?/)?",
        "cross": _ANY_BYTES,
        "star": single + rb"*",
        "one": rb"(?:" + _SEQUENCE + rb"|" + single + rb")",
    }
    star, after = "", b""  # the last star, and what came after it
    at = 0
    while at < len(glob):
        token = _TOKEN.match(glob, at)
        if token is None:
            raise GlobError('ends in a lone "\\"' if glob[at:] == b"\\" else 'has a "[" without its "]"')
        at = token.end()
        kind = token.lastgroup or ""
        if kind in ("star", "cross", "folders"):
            first = star and (kind != "star" or star == "star" or not stop)
            yield b"(?>" + pieces[star] + b"?" + after + b")" if first else pieces[star] + after
            star, after = kind, b""
        elif token["set"]:
            after += _set(token["body"], negated=bool(token["not"]), stop=stop)
        elif kind in pieces:
            after += pieces[kind]
        else:
            after += re.escape(token["itself"] or token["plain"])
    yield pieces[star] + after


def _set(body: bytes, *, negated: bool, stop: bytes) -> bytes:
    """One character (not) of the set `body`, which may hold ranges."""
    if not body.isascii():
        raise GlobError("has a character in [ ] that is not ASCII")
    members = b""
    at = 0
    while at < len(body):
        low, high = body[at : at + 1], body[at : at + 1]
        if body[at + 1 : at + 2] == b"-" and at + 2 < len(body):
            high = body[at + 2 : at + 3]
            at += 2
        if low > high:
            raise GlobError(f'has the range "{low.decode()}-{high.decode()}", which runs backwards')
        members += re.escape(low) + b"-" + re.escape(high)
        at += 1
    if negated:
        return rb"(?:" + _SEQUENCE + rb"|[^" + members + stop + rb"])"
    return rb"(?:(?!/)[" + members + rb"])" if stop else rb"[" + members + rb"]"
