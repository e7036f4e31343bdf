"""Where the control socket is, and how to name it to the kernel however long its path is.

A Unix socket address holds 107 bytes of path (unix(7)); a trial in a deep folder has more. Both ends
therefore open the folder and name the socket through it, which also means that between checking the
folder and binding in it nobody can swap the folder for another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

NAME = "control.sock"


def socket_path(run: str) -> str:
    """The socket in the folder that `[paths] run` names."""
    return str(PurePath(run) / NAME)


@contextmanager
def folder_of(path: str) -> Iterator[tuple[int, str]]:
    """(descriptor of the socket's folder, short address of the socket); OSError if there is none."""
    folder, name = os.path.split(path)
    descriptor = os.open(folder or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor, f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
