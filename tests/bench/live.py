"""What looking at live state costs: processes, sockets, mounts, the kernel, accounts, logs, logins."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .figures import MIB, Figure, bounded, told
from .guard import Guard

PROCESSES = 500
LISTENERS = 200

CROWD = """
import os, signal, socket, sys, time
processes, listeners = map(int, sys.argv[1:])
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
held = []
for number in range(listeners):
    one = socket.socket()
    one.bind(("127.0.0.1", 0))
    one.listen()
    held.append(one)
mine = []
for number in range(processes):
    pid = os.fork()
    if not pid:
        for one in held:
            one.close()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        while os.getppid() != 1:
            time.sleep(5)
        os._exit(0)
    mine.append(pid)
def end(*_):
    for pid in mine:
        os.kill(pid, signal.SIGKILL)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True:
    signal.pause()
"""
"""A program with many children and many open doors, which ends them all when it is ended."""


@contextmanager
def crowd() -> Iterator[None]:
    """A host with PROCESSES more processes and LISTENERS more listeners."""
    command = [sys.executable, "-c", CROWD, str(PROCESSES), str(LISTENERS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            yield
        finally:
            child.terminate()


def cost(folder: Path, minutes: float) -> Iterator[Figure]:
    """Processor time and memory of a daemon that watches an empty tree beside all live state."""
    tree = folder / "empty"
    tree.mkdir()
    with crowd(), Guard((str(tree),)) as guard:
        guard.settle(5.0)
        before, began = guard.cpu(), time.monotonic()
        time.sleep(minutes * 60)
        share = (guard.cpu() - before) / (time.monotonic() - began)
        facts = guard.call("status")["generation"]["facts"]
        resident = guard.resident()
    yield told("live facts", f"{facts:,}")
    yield bounded(f"live sensors over {minutes:g} min", share * 100, "% of one core", 1.0)
    yield bounded("resident beside them", resident / MIB, "MiB", 48)
