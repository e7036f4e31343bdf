"""Reads the configuration's files, weakest first, for `config.parse`. Its only deed is reading.

The policy that comes with the package is always the first source, so that a site writes only what
differs from it. A file is read with suspicion: a FIFO or a device in conf.d must not stop the daemon,
and a huge or binary file is a mistake to be named like any other.
"""

from __future__ import annotations

import os
import stat
from importlib import resources

from .errors import ConfigError

INSTALLED = "/etc/hostguardd/hostguardd.toml"
POLICIES = (
    "policy.toml",
    "policy-accounts.toml",
    "policy-kernel.toml",
    "policy-logs.toml",
    "policy-records.toml",
    "policy-hidden.toml",
)
"""What comes with the package and is always read. Each is about kinds of fact of its own, so that their
order does not matter."""

MOST_BYTES = 1024 * 1024


def default_sources(
    file: str | None = None, installed: str = INSTALLED, *, policy: bool = True
) -> list[tuple[str, str]]:
    """(name, text) of the packaged policy, of `file`, and of `conf.d/*.toml` beside it by name.

    Without `file` it is `installed` if that exists, else the packaged settings, which change no default.
    `policy`: whether the packaged policy comes, too. Raises ConfigError that names every file which cannot be
    read.
    """
    problems: list[str] = []
    sources = [_packaged(name) for name in POLICIES] if policy else []
    main = file if file is not None else installed
    if file is None and not os.path.lexists(installed):
        sources.append(_packaged("hostguardd.toml"))
    else:
        _add(main, sources, problems)
    for path in _drop_ins(os.path.join(os.path.dirname(main), "conf.d"), problems):
        _add(path, sources, problems)
    if problems:
        raise ConfigError(problems)
    return sources


def packaged_sources() -> list[tuple[str, str]]:
    """What comes with the package, and nothing of the site's."""
    return [_packaged(name) for name in (*POLICIES, "hostguardd.toml")]


def _packaged(name: str) -> tuple[str, str]:
    """A file that comes with the package."""
    found = resources.files(__package__) / "etc" / name
    return str(found), found.read_text(encoding="utf-8")


def _drop_ins(folder: str, problems: list[str]) -> list[str]:
    """Paths of the site's own files, sorted by name; hidden ones are an editor's."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(f"{folder}: cannot be read: {error.strerror}")
        return []
    return [os.path.join(folder, n) for n in names if n.endswith(".toml") and not n.startswith(".")]


def _add(path: str, sources: list[tuple[str, str]], problems: list[str]) -> None:
    """Append the text of `path` to `sources`, or what is wrong with it to `problems`."""
    try:
        sources.append((path, _read(path)))
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        problems.append(f"{path}: is not UTF-8 text (byte {error.start})")
    except ValueError as error:
        problems.append(f"{path}: {error}")


def _read(path: str) -> str:
    """The text of a regular file of bounded size. O_NONBLOCK: opening a FIFO returns at once."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(path, flags | os.O_NOATIME)  # an inquiry moves nothing
    except PermissionError:  # O_NOATIME is for owners and CAP_FOWNER, open(2)
        fd = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("is no regular file")
        with open(fd, "rb", closefd=False) as stream:
            content = stream.read(MOST_BYTES + 1)
    finally:
        os.close(fd)
    if len(content) > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES // 1024} KiB, which no configuration is")
    return content.decode("utf-8")
