"""Runs rpm, the one program of the host that is trusted to read its own database.

The rules kept: it is /usr/bin/rpm and nothing else, if only root may write it; it gets neither our
environment nor our input, nor a shell; its output is read as bytes and bounded, and so is the time for which
it is silent. It knows none of popt's aliases, which may have it believe other keys.
"""

from __future__ import annotations

import os
import secrets
import selectors
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ..host.workers import PATIENCE

PROGRAM: Final = b"/usr/bin/rpm"
ENVIRONMENT: Final = {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}

SILENCE: Final = 60.0
"""Seconds without output after which it is ended."""

MOST_OUTPUT: Final = 1 << 29
MOST_ERRORS: Final = 16 * 1024**2


class RpmError(OSError):
    """rpm could not be asked, or did not answer."""


def trusted(program: bytes = PROGRAM) -> str:
    """Why it may not be run; "" if it may."""
    shown = os.fsdecode(program)
    try:
        for place in (os.path.dirname(os.path.realpath(program)), program):
            found = os.stat(place)
            if found.st_uid != 0 or found.st_mode & 0o022:
                return f"{shown} may be written by others than root, so it is not run"
    except OSError as error:
        return f"{shown} cannot be run: {error.strerror}"
    return "" if stat.S_ISREG(found.st_mode) else f"{shown} is no regular file"


def asked(
    arguments: Sequence[bytes], stop: Callable[[], bool], errors: bytearray | None = None
) -> Iterator[bytes]:
    """The standard output of rpm with these arguments, in pieces; its standard error goes to `errors`.

    Raises RpmError when it may not be run, falls silent, says too much, or is ended by somebody else.
    """
    problem = trusted()
    if problem:
        raise RpmError(problem)
    process = subprocess.Popen(
        [secrets.token_hex(8).encode(), *arguments],  # popt's aliases go by the program's name
        executable=PROGRAM,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=ENVIRONMENT,
        cwd="/",
        process_group=0,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    told = bytearray() if errors is None else errors
    try:
        with selectors.DefaultSelector() as ready:
            for pipe in (process.stdout, process.stderr):
                ready.register(pipe, selectors.EVENT_READ)
            heard, total = time.monotonic(), 0
            while ready.get_map() and not stop():
                for key, _ in ready.select(0.1):
                    data = os.read(key.fd, 1 << 16)
                    heard = time.monotonic()
                    if not data:
                        ready.unregister(key.fileobj)
                    elif key.fileobj is process.stdout:
                        total += len(data)
                        if total > MOST_OUTPUT:
                            raise RpmError(f"rpm said more than {MOST_OUTPUT} bytes")
                        yield data
                    elif len(told) < MOST_ERRORS:
                        told += data
                if time.monotonic() - heard > SILENCE:
                    raise RpmError(f"rpm said nothing for {SILENCE:.0f} s")
            if not ready.get_map() and (status := process.wait(PATIENCE)) < 0:
                raise RpmError(f"rpm was ended by signal {-status}")
    finally:
        process.kill()  # it has ended, or is not to go on
        process.stdout.close()
        process.stderr.close()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pass  # in a system call that no signal ends; it is reaped when that returns
