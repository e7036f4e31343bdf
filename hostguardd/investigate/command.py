"""One inquiry from start to end: the settings, the host, the baseline, and the files that it may leave.

The rule kept: it works where little else does. Settings that cannot be read, a baseline that is damaged, a
daemon that is gone: each is said in the report, and the rest goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from ..config import Config, parse
from ..defaults import default_sources
from ..errors import ConfigError, UsageError
from ..host.bundle import Host, image, this_host
from ..packages.make import packages_of
from .about import about
from .approved import Approved
from .inquiry import CHECKS, Check, inquire
from .interface import Unseen
from .report import build
from .scene import SUDO, Options, Scene

__all__ = ["Options", "Wanted", "chosen", "investigate", "new_file", "prepare"]

DATABASE: Final = "baseline.db"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for. `config` is a file (None: the installed one); `root` the folder of a mounted image,
    or "/"; `only` names checks (none: all)."""

    config: str | None = None
    root: str = "/"
    only: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)


def investigate(
    wanted: Wanted, environment: Mapping[str, str], tell: Callable[[Mapping[str, Any]], None]
) -> tuple[Scene, dict[str, Any]]:
    """Ask the checks that are wanted: the scene, for whoever saves evidence, and the report.

    `tell` is told how far it is, as `progress.ProgressBar` takes it. UsageError, ConfigError for what the
    asker got wrong.
    """
    checks = chosen(wanted.only, wanted.options)
    scene = prepare(wanted)
    found = inquire(
        scene,
        checks,
        lambda title, done, total: tell(
            {"phase": "investigating", "done": done, "total": total, "where": title}
        ),
    )
    return scene, build(found, about(scene, environment), checks)


def prepare(wanted: Wanted) -> Scene:
    """The scene. UsageError, ConfigError for what the asker got wrong."""
    config, problems = _settings(wanted.config)
    host = _host(wanted.root)
    state = Path(config.paths.state) / DATABASE
    return Scene(
        host,
        config,
        Approved(state if wanted.root == "/" else Path(wanted.root, *state.parts[1:])),
        wanted.options,
        uid=os.geteuid(),
        packages=packages_of(host),
        problems=problems,
    )


def chosen(only: Sequence[str], options: Options) -> tuple[Check, ...]:
    """The checks of those names, or all that the options ask for."""
    names = [check.name for check in CHECKS]
    if unknown := [name for name in only if name not in names]:
        raise UsageError(f"there is no check {unknown[0]!r}; there are {', '.join(names)}")
    if only:
        return tuple(check for check in CHECKS if check.name in only)
    return tuple(check for check in CHECKS if options.packages or not check.packages)


def _settings(file: str | None) -> tuple[Config, tuple[Unseen, ...]]:
    """The host's settings, or those of the package where they cannot be read or make no sense."""
    try:
        return parse(default_sources(file)), ()
    except ConfigError as error:
        if file is not None:
            raise
        plain = parse(default_sources(None, os.devnull + "/none"))
        remedy = "" if os.geteuid() == 0 else SUDO
        return plain, tuple(Unseen("settings of hostguardd", one, remedy) for one in error.problems)


def _host(root: str) -> Host:
    try:
        return this_host() if root == "/" else image(os.fsencode(root))
    except OSError as error:
        raise UsageError(f"--root {root}: {error.strerror}") from error


def new_file(path: str) -> BinaryIO:
    """A new file to write a report to; nothing that is there is overwritten, and no link followed."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} is there already: name another file") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    return os.fdopen(fd, "wb")
