r"""What of a command line is stable: the script an interpreter runs, the words that do not count.

Pure. A command line is what the process chose to show, so nothing here decides what a process *is*
(its image does); it tells two programs of one interpreter apart, and it is shown to people. It is
told over the network with the alerts, so values that look like secrets are masked.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

LONGEST: Final = 512
"""Bytes of a command line that are kept."""

CODE: Final = 120
"""Bytes of a program given on the command line itself (`sh -c …`) that are kept."""


class Language(NamedTuple):
    """How an interpreter reads its arguments.

    `code`: options whose value is the program itself; `module`: options whose value names what is
    run; `valued`: options that take the next word as their value. `bundled`: single letters may
    stand together, and the last may be a `code` or `module` one (`-uc`). `plus`: so may `+x`.
    """

    names: re.Pattern[bytes]
    code: frozenset[bytes]
    module: frozenset[bytes]
    valued: frozenset[bytes]
    bundled: bool
    plus: bool


def _language(
    names: bytes,
    *,
    code: str = "",
    module: str = "",
    valued: str = "",
    bundled: bool = True,
    plus: bool = False,
) -> Language:
    return Language(re.compile(names), _words(code), _words(module), _words(valued), bundled, plus)


def _words(text: str) -> frozenset[bytes]:
    return frozenset(text.encode().split())


LANGUAGES: Final = (
    _language(
        rb"(?:python|pypy)[\d.]*(?:-\w+)?", code="-c", module="-m", valued="-W -X --check-hash-based-pycs"
    ),
    _language(
        rb"(?:ba|rba|da|k|mk|z|a|fi|c|tc)?sh(?:\.\w+)?",
        code="-c",
        valued="-o -O +o +O --rcfile --init-file",
        plus=True,
    ),
    _language(rb"perl[\d.]*", code="-e -E", module="-S", valued="-I -M -m -x"),
    _language(rb"ruby[\d.]*", code="-e", module="-S", valued="-I -r -C -E"),
    _language(rb"php[\d.]*", code="-r -B -E -R", module="-f -F -S", valued="-d -c -t -z"),
    _language(
        rb"node(?:js)?[\d.]*",
        code="-e --eval -p --print",
        valued="-r --require --import --loader --experimental-loader -C --conditions --env-file",
        bundled=False,
    ),
    _language(
        rb"java",
        module="-jar -m --module",
        valued="-cp -classpath --class-path -p --module-path --add-modules --add-opens --add-exports",
        bundled=False,
    ),
    _language(rb"(?:lua|luajit)[\d.]*", code="-e", valued="-l", bundled=False),
    _language(rb"(?:tclsh|wish|expect)[\d.]*", code="-c"),
)
"""Read in order; the first whose name matches the whole of the image's name is the one."""

MANY_IN_ONE: Final = frozenset({b"busybox", b"toybox", b"coreutils"})
"""Images that are many programs: which one, the first word says."""


def language(exe: bytes) -> Language | None:
    """The language that the image at `exe` interprets, None when it is no interpreter."""
    name = exe.rpartition(b"/")[2]
    return next((one for one in LANGUAGES if one.names.fullmatch(name)), None)


def script(exe: bytes, argv: Sequence[bytes], cwd: bytes = b"") -> bytes:
    """The program an interpreter runs or a many-in-one image is, b"" for any other image.

    A file as an absolute path where `cwd` is known; a module or Java class as its option and name
    (`-m http.server`); a program on the command line as `-c` and its stable beginning; `-` for
    standard input or a terminal.
    """
    if exe.rpartition(b"/")[2] in MANY_IN_ONE:
        names = [word.rpartition(b"/")[2] for word in argv[:2]]
        return next((name for name in names if name not in MANY_IN_ONE), b"")
    spoken = language(exe)
    if spoken is None or _is_title(argv):
        return b""
    rest = list(argv[1:])
    while rest:
        word = rest.pop(0)
        option, mark = _option(word, spoken)
        if option in spoken.code:
            value = word.partition(b"=")[2] if mark else (rest[0] if rest else b"")
            return option + b" " + _steady(_masked(value))[:CODE]
        if option in spoken.module:
            value = word.partition(b"=")[2] if mark else (rest[0] if rest else b"")
            return _path(value, cwd) if option in (b"-jar", b"-f", b"-F") else option + b" " + value[:CODE]
        if option in spoken.valued and not mark:
            del rest[:1]
        elif word == b"--":
            return _path(rest[0], cwd) if rest else b"-"
        elif word == b"-" or not option:
            return b"-" if word == b"-" else _named(word, spoken, cwd)
    return b"-"


def _option(word: bytes, spoken: Language) -> tuple[bytes, bool]:
    """(the option that counts in `word` or b"" for an operand, whether its value is in the word)."""
    if not (word.startswith(b"-") or (spoken.plus and word.startswith(b"+"))) or word == b"-":
        return b"", False
    if word.startswith(b"--") or not spoken.bundled:
        name, mark, _ = word.partition(b"=")
        return name, bool(mark)
    for at in range(1, len(word)):
        letter = word[:1] + word[at : at + 1]
        if letter in spoken.code or letter in spoken.module or letter in spoken.valued:
            # What follows in the same word is the value, but for shells, whose -c takes the next one.
            inside = at + 1 < len(word) and not spoken.plus
            return (b"-" if inside else letter), inside and letter in spoken.valued
    return word, False


def _named(word: bytes, spoken: Language, cwd: bytes) -> bytes:
    """The operand that names the program: a path, but for Java a class."""
    return word[:CODE] if spoken.names.fullmatch(b"java") else _path(word, cwd)


def _path(word: bytes, cwd: bytes) -> bytes:
    if word.startswith(b"/"):
        return posixpath.normpath(b"/" + word.lstrip(b"/"))
    return posixpath.normpath(posixpath.join(cwd, word)) if cwd.startswith(b"/") else word


def stable(argv: Sequence[bytes]) -> bytes:
    """The command line with its passing parts (numbers, random names) made `#` and secrets masked.

    b"" for a title that the process wrote over its arguments (`sshd: alice [priv]`): those come and
    go with what it does.
    """
    return b"" if _is_title(argv) else _steady(command(argv))


def command(argv: Sequence[bytes]) -> bytes:
    """The command line for people: words joined by blanks, secrets masked, cut to LONGEST bytes."""
    shown = []
    hide = False
    for word in argv:
        shown.append(b"***" if hide else _masked(word))
        hide = _SECRET_OPTION.fullmatch(word) is not None
        if sum(map(len, shown)) > LONGEST:
            break
    return b" ".join(shown)[:LONGEST]


_SECRET = rb"(?:passw(?:or)?d|passphrase|secret|token|(?:api|access|private)[_-]?key|credential)s?"
_SECRET_OPTION = re.compile(rb"--?[\w.-]*" + _SECRET, re.IGNORECASE)
_SECRET_VALUE = re.compile(
    rb"(" + _SECRET + rb"[\"']?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s,;&\"'}]+)", re.IGNORECASE
)
_IN_ADDRESS = re.compile(rb"(://[^/\s:@]*:)[^@\s/]+@")
_PASSING = re.compile(
    rb"\b(?=[0-9a-fA-F-]*\d)[0-9a-fA-F]{8,}(?:-[0-9a-fA-F]{2,})*\b"  # digests, UUIDs
    rb"|(?<=[._-])[A-Za-z0-9]*\d[A-Za-z0-9]{5,}\b"  # what mkstemp(3) makes
    rb"|\d+"
)


def _masked(word: bytes) -> bytes:
    word = word[:LONGEST]  # the patterns below are not linear, and the word is hostile
    return _IN_ADDRESS.sub(rb"\1***@", _SECRET_VALUE.sub(rb"\1***", word))


def _steady(text: bytes) -> bytes:
    return _PASSING.sub(b"#", text)


def _is_title(argv: Sequence[bytes]) -> bool:
    """Whether the process wrote a title over its arguments: one word that holds what words do not."""
    return bool(argv) and (b" " in argv[0] or argv[0].endswith(b":"))
