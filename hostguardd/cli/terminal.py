"""Where hostguardctl speaks, and one run of one of its commands."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

from ..control.address import find_socket
from ..control.client import call
from ..errors import HostguardError, UsageError
from ..progress import ProgressBar
from ..record import clean
from ..render.paper import Paper

ASCII_ONLY = str.maketrans({"→": "->", "…": "...", "✓": "ok", "✗": "NO", "·": "-"})


class Terminal:
    """Where it speaks: two streams, what they can show, and somebody who may answer a question."""

    def __init__(self, stdin: TextIO, stdout: TextIO, stderr: TextIO, environ: Mapping[str, str]) -> None:
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        dumb = environ.get("TERM", "") in ("", "dumb")
        self.bar = stderr.isatty() and not dumb
        self._colour = stdout.isatty() and not dumb and not environ.get("NO_COLOR")
        self._width = width_of(stdout, environ)

    @property
    def paper(self) -> Paper:
        """What pages are drawn on. Ages count from now: an answer may have been long in coming."""
        return Paper(self._width, self._colour, datetime.now().astimezone())

    @property
    def attended(self) -> bool:
        """Somebody sits there to answer."""
        return self.stdin.isatty()

    def print(self, lines: Iterable[str]) -> None:
        """Lines to standard output, at once: somebody may be reading along."""
        text = speakable("".join(line + "\n" for line in lines), self.stdout)
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            hush(self.stdout)
            raise UsageError(f"cannot write standard output: {error.strerror}") from error

    def complain(self, error: HostguardError) -> None:
        """Every line of an error to standard error, under our name."""
        for line in str(error).splitlines():
            self.stderr.write(speakable(f"hostguardctl: {clean(line)}\n", self.stderr))

    def note(self, lines: Iterable[str]) -> None:
        """Lines to standard error: beside the data, for whoever sits there."""
        self.stderr.write(speakable("".join(clean(line) + "\n" for line in lines), self.stderr))
        self.stderr.flush()

    def confirm(self, question: str) -> bool:
        """Ask on standard error, so that standard output holds data only. Anything but yes is no."""
        self.stderr.write(speakable(f"{clean(question)} [y/N] ", self.stderr))
        self.stderr.flush()
        return self.stdin.readline().strip().lower() in ("y", "yes")


@dataclass(frozen=True, slots=True)
class Session:
    """One run of one command: what was typed, and where to speak."""

    options: argparse.Namespace
    terminal: Terminal

    @property
    def paper(self) -> Paper:
        """What pages are drawn on."""
        return self.terminal.paper

    def progress(self) -> ProgressBar:
        """A bar for what may take long."""
        return ProgressBar(self.terminal.stderr, self.terminal.bar)

    def ask(
        self, name: str, args: Mapping[str, Any] | None = None, on_item: Callable[[bytes], None] | None = None
    ) -> dict[str, Any]:
        """The daemon's answer to a call, under a progress bar if it takes long."""
        with self.progress() as bar:
            path = find_socket(self.options.config)
            return call(path, name, args or {}, bar.report, on_item or (lambda item: None))

    def show(self, data: object, page: Callable[[], Iterable[str]]) -> None:
        """`data` as JSON if that was asked for, otherwise the page drawn from it."""
        self.terminal.print([json_text(data)] if self.options.json else page())


def hush(stream: TextIO) -> None:
    """Keep the interpreter's own flush at the end quiet, of what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def json_text(data: object) -> str:
    return clean_lines(json.dumps(data, indent=2, ensure_ascii=False))


def clean_lines(text: str) -> str:
    """Text of several lines, each made harmless. JSON stays JSON: it holds no raw control characters."""
    return "\n".join(clean(line) for line in text.split("\n"))


def speakable(text: str, stream: TextIO) -> str:
    """`text` as the stream's encoding can hold it: arrows and ticks in ASCII where it must be."""
    encoding = stream.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(ASCII_ONLY).encode(encoding, "backslashreplace").decode(encoding)
    return text


def width_of(stream: TextIO, environ: Mapping[str, str]) -> int:
    """Cells of a line; 0 (never break) where no terminal is: a path on one line can be searched for."""
    given = environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
