"""Processes that a test leaves running, and ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def running() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a program and waits until it has said something on its standard output."""
    started: list[subprocess.Popen[bytes]] = []

    def start(argv: list[str], **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, **environment})
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.read(1)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
