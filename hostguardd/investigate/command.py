"""One inquiry from start to end: the settings, the host, the baseline, and the files that it may leave.

The rule kept: it works where little else does. Settings that cannot be read, a baseline that is damaged, a
daemon that is gone: each is said in the report, and the rest goes on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn, Self

from ..config import Config, parse
from ..defaults import default_sources, packaged_sources
from ..errors import ConfigError, UsageError
from ..host.bundle import Host, image, this_host
from ..model import join
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
    return Scene(
        host,
        config,
        Approved(_state(host, config.paths.state)),
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
        plain = parse(packaged_sources())
        remedy = "" if os.geteuid() == 0 else SUDO
        return plain, tuple(Unseen("settings of hostguardd", one, remedy) for one in error.problems)


def _host(root: str) -> Host:
    try:
        return this_host() if root == "/" else image(os.fsencode(root))
    except OSError as error:
        raise UsageError(f"--root {root}: {error.strerror}") from error


def _state(host: Host, folder: str) -> Path | None:
    """The baseline: of an image, its own, whatever the links in it lead to."""
    try:
        real = host.files.real(os.fsencode(folder))
    except OSError:
        return None
    return Path(os.fsdecode(join(host.files.root, real.lstrip(b"/"))), DATABASE)


class Leaving:
    """The files that an inquiry leaves, if any were asked for: a `page` of HTML, a `bundle` of evidence ("-":
    standard output). `problems` are sentences on those that could not be written.

    They are opened before anything is looked at, so that a name that cannot be written is said at once; what
    was not finished is removed again, whether Ctrl-C, `kill` or a lost connection ends us. One that fails
    keeps no other one back.
    """

    def __init__(self, page: str | None, bundle: str | None) -> None:
        self._names = {"page": page, "bundle": bundle}
        self._files: dict[str, BinaryIO] = {}
        self._which: dict[str, tuple[int, int]] = {}
        self._handlers: dict[int, Any] = {}
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        self._end_in_order()
        try:
            for what, name in self._names.items():
                if name == "-" and what == "bundle":
                    if sys.__stdout__ is None:
                        raise UsageError("--bundle -: standard output is closed")
                    if sys.stdout.isatty():
                        raise UsageError("--bundle -: an archive is not for a terminal, send it on")
                elif name:
                    file = _new_file(name)
                    found = os.fstat(file.fileno())
                    self._files[what], self._which[what] = file, (found.st_dev, found.st_ino)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _end_in_order(self) -> None:
        """A connection that is lost and a `kill` end us as Ctrl-C does."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is signal.SIG_DFL:  # else somebody wants it otherwise: nohup(1)
                    self._handlers[number] = signal.signal(number, _ended)

    def write(
        self,
        scene: Scene,
        report: Mapping[str, Any],
        secrets: bool,
        tell: Callable[[Mapping[str, Any]], None],
    ) -> list[str]:
        """Fill them; what to say of those that are whole."""
        page, bundle = self._names["page"], self._names["bundle"]
        save = partial(self._bundle, scene, report, secrets, tell)
        return [
            *(self._try("page", page, partial(self._page, report)) if page else ()),
            *(self._try("bundle", bundle, save) if bundle else ()),
        ]

    def _try(self, what: str, name: str, fill: Callable[[], list[str]]) -> list[str]:
        try:
            said = fill()
            if what in self._files:
                file = self._files[what]
                file.flush()
                os.fsync(file.fileno())
                file.close()  # some file systems say only now that there was no room
                del self._files[what]
        except OSError as error:
            where = name if name != "-" else "standard output"
            self.problems.append(f"cannot write {where}: {error.strerror}; the {what} was not saved")
            return []
        return said

    def _page(self, report: Mapping[str, Any]) -> list[str]:
        self._files["page"].write(html(report).encode())
        return [f"The page: {self._names['page']}"]

    def _bundle(
        self,
        scene: Scene,
        report: Mapping[str, Any],
        secrets: bool,
        tell: Callable[[Mapping[str, Any]], None],
    ) -> list[str]:
        file = self._files.get("bundle")
        try:
            made = write(
                scene,
                report,
                file or sys.stdout.buffer,
                secrets=secrets,
                progress=lambda what: tell({"phase": "saving evidence", "where": what}),
            )
        except OSError:
            if file is None:  # what is held back for whoever reads no more goes nowhere
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise
        return made.says(str(self._names["bundle"]) if file else "")

    def __exit__(self, *_: object) -> None:
        for what, file in self._files.items():
            name = str(self._names[what])
            with suppress(OSError):  # somebody else removed it
                found = os.lstat(name)
                if (found.st_dev, found.st_ino) == self._which[what]:
                    os.unlink(name)
            with suppress(OSError, ValueError):  # the disk is full: what could not be written has been said
                file.close()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


def _ended(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def _new_file(path: str) -> BinaryIO:
    """A new file for it; whatever is there, a link included, stays as it is."""
    try:
        return create(Path(path))
    except FileExistsError:
        raise UsageError(f"{path} is there already: name another file") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
