"""One inquiry from start to end: the settings, the host, the baseline, and the files that it may leave.

The rule kept: it works where little else does. Settings that cannot be read, a baseline that is damaged, a
daemon that is gone: each is said in the report, and the rest goes on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from ..config import Config, parse
from ..defaults import default_sources
from ..errors import ConfigError, UsageError
from ..host.bundle import Host, image, this_host
from ..packages.make import packages_of
from ..render.html import html
from .about import about
from .approved import Approved
from .evidence.bundle import create, write
from .inquiry import CHECKS, Check, inquire
from .interface import Unseen
from .report import build
from .scene import SUDO, Options, Scene

__all__ = ["Leaving", "Options", "Wanted", "chosen", "investigate", "prepare"]

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


class Leaving:
    """The files that an inquiry leaves, if any were asked for: a `page` of HTML, a `bundle` of evidence ("-":
    standard output).

    They are opened before anything is looked at, so that a name that cannot be written is said at once; what
    was not finished is removed again.
    """

    def __init__(self, page: str | None, bundle: str | None) -> None:
        self._names = {"page": page, "bundle": bundle}
        self._files: dict[str, BinaryIO] = {}
        self._done: set[str] = set()

    def __enter__(self) -> Self:
        try:
            for what, name in self._names.items():
                if name == "-" and what == "bundle":
                    if sys.stdout.isatty():
                        raise UsageError("--bundle -: an archive is not for a terminal, send it on")
                elif name:
                    self._files[what] = _new_file(name)
        except UsageError:
            self.__exit__()
            raise
        return self

    def write(
        self,
        scene: Scene,
        report: Mapping[str, Any],
        secrets: bool,
        tell: Callable[[Mapping[str, Any]], None],
    ) -> list[str]:
        """Fill them; what to say of it. UsageError when one takes no more."""
        said = []
        page, bundle = self._names["page"], self._names["bundle"]
        try:
            if page:
                self._files["page"].write(html(report).encode())
                self._done.add("page")
                said.append(f"The page: {page}")
            if bundle:
                out = sys.stdout.buffer if bundle == "-" else self._files["bundle"]
                made = write(
                    scene,
                    report,
                    out,
                    secrets=secrets,
                    progress=lambda what: tell({"phase": "saving evidence", "where": what}),
                )
                out.flush()
                self._done.add("bundle")
                said += made.says("" if bundle == "-" else bundle)
        except OSError as error:
            raise UsageError(f"cannot write {page or bundle}: {error.strerror}") from error
        return said

    def __exit__(self, *_: object) -> None:
        for what, file in self._files.items():
            if what not in self._done:
                os.unlink(str(self._names[what]))
            try:
                file.close()
            except OSError:
                pass  # the disk is full: what could not be written has been said


def _new_file(path: str) -> BinaryIO:
    """A new file for it; whatever is there, a link included, stays as it is."""
    try:
        return create(Path(path))
    except FileExistsError:
        raise UsageError(f"{path} is there already: name another file") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
