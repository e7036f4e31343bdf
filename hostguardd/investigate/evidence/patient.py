"""Texts of the host, each asked for a few seconds: a file system that a dead program answers for costs its
own files, and neither the archive nor the others.

The rule kept: only the reading is cut short, never the writing. What is half written is no archive any more,
and whoever takes it may be slow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from os import stat_result
from typing import Final, TypeVar

from ...host.texts import Text, TextHost
from ..patience import Late, at_most

SECONDS: Final = 5.0

Answer = TypeVar("Answer")


class Patient:
    """`TextHost` over another. `late` is told of what did not answer."""

    def __init__(self, texts: TextHost, late: Callable[[bytes, str], None], seconds: float = SECONDS) -> None:
        self._texts = texts
        self._late = late
        self._seconds = seconds

    def read(self, path: bytes, limit: int, offset: int = 0) -> Text:
        """As `TextHost.read`."""
        problem = f"it did not answer in {self._seconds:g} s"
        return self._ask(partial(self._texts.read, path, limit, offset), Text(None, None, problem))

    def lstat(self, path: bytes) -> stat_result | None:
        """As `TextHost.lstat`."""
        return self._ask(partial(self._texts.lstat, path), None, path)

    def link(self, path: bytes) -> bytes:
        """As `TextHost.link`."""
        return self._ask(partial(self._texts.link, path), b"", path)

    def names(self, folder: bytes, limit: int) -> list[bytes] | None:
        """As `TextHost.names`."""
        return self._ask(partial(self._texts.names, folder, limit), None)

    def _ask(self, ask: Callable[[], Answer], otherwise: Answer, path: bytes = b"") -> Answer:
        """The answer, or another one in time; `path` is told of where that one tells nothing."""
        try:
            with at_most(self._seconds):
                return ask()
        except Late:
            if path:
                self._late(path, f"it did not answer in {self._seconds:g} s")
            return otherwise
