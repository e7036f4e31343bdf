"""What a process runs, by what it opened to run: for those that are gone before /proc could be asked."""

from __future__ import annotations

import re
from typing import Final

from .model import Process

MOST_OPENED: Final = 15
LOADER: Final = re.compile(rb"/ld(?:-linux[^/]*|-musl[^/]*|64|-[0-9.]+)?\.so[^/]*$")
"""What the kernel opens after a program that is linked dynamically."""


def opened(process: Process, path: bytes) -> None:
    """A file was opened to be executed by it."""
    process.opened = (*process.opened[-MOST_OPENED:], path)


def settle(process: Process, until: int) -> None:
    """Find its image in what it opened, if /proc could not say. `until`: all that was opened before that
    moment is known.

    An exec opens the program, then the loader. Who opens them need not run them, and what is run need not
    be seen being opened; so only what fits exactly is taken, and even that is only likely.
    """
    groups: list[list[bytes]] = [[]]
    for path in process.opened:
        if LOADER.search(path) is None:
            groups[-1].append(path)
        else:
            groups.append([])
    rest = groups.pop()
    fits = len(groups) == process.unsettled and all(len(one) == 1 for one in groups)
    if not groups or rest or not fits or process.execed > until:
        return
    if process.image.exe is None:
        process.image.exe, process.image.told = groups[-1][0], True
    process.opened, process.unsettled = (), 0
