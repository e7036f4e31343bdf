"""Where the control socket is, and how to name it to the kernel however long its path is.

A Unix socket address holds 107 bytes of path (unix(7)); a trial in a deep folder has more. Both ends
therefore open the folder and name the socket through it, which also means that between checking the
folder and binding in it nobody can swap the folder for another.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import ConfigError

NAME = "control.sock"
INSTALLED = "/etc/hostguardd/hostguardd.toml"
RUN = "/run/hostguardd"
"""`[paths] run` where no configuration says otherwise.

Both are written down again here, and held against `config` and `defaults` by a test, because
importing those would double the time in which hostguardctl starts.
"""


def socket_path(run: str) -> str:
    """The socket in the folder that `[paths] run` names."""
    return os.path.join(run, NAME)


def find_socket(config: str | None) -> str:
    """The socket of the daemon that uses this configuration (None: the installed one).

    Only `[paths] run` is looked for. A file that does not parse, or that this user may not read, is
    no reason not to reach a daemon that still runs with what it read before: it is passed over.
    ConfigError only for a named file that does not exist.
    """
    if config is not None and not os.path.exists(config):
        raise ConfigError([f"{config}: there is no such file"])
    main = config or INSTALLED
    run = RUN
    for path in [main, *_drop_ins(os.path.join(os.path.dirname(main), "conf.d"))]:
        run = _run_in(path) or run
    return socket_path(run)


@contextmanager
def folder_of(path: str) -> Iterator[tuple[int, str]]:
    """(descriptor of the socket's folder, short address of the socket); OSError if there is none."""
    folder, name = os.path.split(path)
    descriptor = os.open(folder or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor, f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def _drop_ins(folder: str) -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if name.endswith(".toml") and name[0] != "."]


def _run_in(path: str) -> str:
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            run = tomllib.load(file).get("paths", {}).get("run")
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
    return run if isinstance(run, str) else ""
