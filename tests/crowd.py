"""A process that holds more open files than FD_SETSIZE, as a daemon on a big host does."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import pytest

FD_SETSIZE: Final = 1024
"""Descriptors from here on are out of reach of select(2)."""

SPARE: Final = 64


@contextmanager
def crowded() -> Iterator[None]:
    """Whatever is opened meanwhile gets a descriptor of FD_SETSIZE or more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FD_SETSIZE + SPARE
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"no more than {hard} files may be open here")
    with ExitStack() as stack:
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        fd = 0
        while fd < FD_SETSIZE - 1:
            fd = os.open("/dev/null", os.O_RDONLY)
            stack.callback(os.close, fd)
        yield
