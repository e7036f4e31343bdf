"""What the settings of this project accept: paths, globs, names, and the conditions of rules.

Pure. `validate` knows values in general (durations, lists, tables); here is what only makes sense
on a host. A path of the host becomes bytes, as that is what the kernel will give back; a path of
ours stays text. Every reader raises `Invalid` with what is wrong and what would be right.
"""

from __future__ import annotations

from . import globs
from .model import Action, Severity
from .validate import Invalid, Mistake, Reader, dotted, invalid, mistyped, show, text

SOCKET_ROOM = 107 - len("/control.sock")
"""Bytes that `paths.run` may have: a Unix socket's path ends at 107 (unix(7), sun_path)."""


def own_path(most: int = 4000) -> Reader[str]:
    """The absolute path of a folder of ours."""

    def read(value: object) -> str:
        path = text(allowed="an absolute path")(value)
        _absolute(path)
        if len(path.encode()) > most:
            raise invalid(f"is {len(path.encode())} bytes long", f"at most {most}")
        return path.rstrip("/") or "/"

    return read


def host_path(value: object) -> bytes:
    """An absolute path on the host, in which `*`, `?` and `[...]` match within one component."""
    path = _glob(text(allowed="an absolute path or glob")(value))
    _absolute(path.decode())
    if b"**" in path:
        raise invalid(f'{show(value)} holds "**"', "a folder and a depth, which reach below it")
    return path.rstrip(b"/") or b"/"


def path_of(value: object) -> bytes:
    """The same of a request, not of the configuration: ValueError says what is wrong."""
    try:
        return host_path(value)
    except Invalid as error:
        raise ValueError("; ".join(what for _, what in error.mistakes)) from None


def watched_path(value: object) -> bytes:
    """The same, or such a path below `~`, which stands for the home of every account."""
    if value == "~" or (isinstance(value, str) and value.startswith("~/")):
        return b"~" + host_path(value[1:] or "/").removesuffix(b"/")
    return host_path(value)


def path_glob(value: object) -> bytes:
    """A glob over whole paths, or over abstract socket names (`@...`)."""
    path = _glob(text(allowed='an absolute glob, or one of "@" names')(value))
    if not path.startswith((b"@", b"**")):
        _absolute(path.decode())
    return path


def exclude_glob(value: object) -> bytes:
    """A glob over whole paths when absolute or below `~`, else over a single name."""
    glob = _glob(text(allowed="a glob of a name, or an absolute one of a path")(value))
    if b"/" in glob:
        _absolute(glob.decode().removeprefix("~"))
    return glob


def name_glob(value: object) -> bytes:
    """A glob over a single name."""
    glob = _glob(text(allowed="a glob of a name")(value))
    if b"/" in glob:
        raise invalid(f'{show(value)} holds a "/"', "a glob of a single name")
    return glob.lower()


def _absolute(path: str) -> None:
    if not path.startswith("/"):
        raise invalid(f"{show(path)} is relative", 'an absolute path, which begins with "/"')
    if any(part in (".", "..") for part in path.split("/")) or "//" in path:
        raise invalid(f'{show(path)} holds "." or ".." or an empty component', "a plain absolute path")


def _glob(value: str) -> bytes:
    glob = value.encode()
    try:
        globs.compile_path(glob)
    except globs.GlobError as error:
        raise invalid(f"{show(value)} is a bad glob, it {error}") from error
    return glob


def matcher(value: object) -> tuple[bytes, ...]:
    """One text or number, or a list of them, as `where` takes it."""
    found: list[bytes] = []
    mistakes: list[Mistake] = []
    listed = value if isinstance(value, list) else [value]
    for number, item in enumerate(listed, 1):
        try:
            if isinstance(item, bool) or not isinstance(item, (str, int)):
                raise mistyped(item, "text, a number, or a list of them")
            found.append(str(item).encode())
        except Invalid as error:
            mistakes += error.below(f"[{number}]" if isinstance(value, list) else "")
    if not listed:
        raise invalid("is empty and would never match")
    if mistakes:
        raise Invalid(mistakes)
    return tuple(found)


def where(value: object) -> dict[str, tuple[bytes, ...]]:
    """A table of fields and what they must match."""
    if not isinstance(value, dict):
        raise mistyped(value, "a table such as { path = ['/etc/cron*/**'] }")
    found: dict[str, tuple[bytes, ...]] = {}
    mistakes: list[Mistake] = []
    for key, item in value.items():
        try:
            found[key] = matcher(item)
        except Invalid as error:
            mistakes += error.below(dotted(key))
    if mistakes:
        raise Invalid(mistakes)
    return found


NAME = text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", 'up to 64 letters, digits, ".", "_" and "-"')
GROUP = text(r"([A-Za-z_][A-Za-z0-9_.-]{0,31})?", 'the name of a group, or "" for nobody')
USER = text(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?", "the name of a user")
UNIT = text(r"[A-Za-z0-9:_.\\@-]{1,240}\.(service|scope)", 'the name of a unit, such as "puppet.service"')
TECHNIQUE = text(
    r"(T[0-9]{4}(\.[0-9]{3})?( T[0-9]{4}(\.[0-9]{3})?)*)?",
    'an ATT&CK technique such as "T1543.002", or several with a blank between them',
)
SEVERITIES = {severity.label: severity for severity in sorted(Severity, reverse=True)}
ACTIONS = {action.value: action for action in Action}
WORD = text(r"[a-z0-9_-]+", "a word")
