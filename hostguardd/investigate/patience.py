"""The end of what does not end by itself: a pattern that a hostile line keeps busy, a file system that a dead
program answers for.

Checks ask `Scene.stop` and end in order. This is for the rest, and the rule kept is that nothing an intruder
does makes an inquiry last for ever: a signal comes between whatever is being done, system calls and the
matching of patterns included. Only what the kernel lets no signal end (a dead server's NFS) is beyond it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

AGAIN: Final = 5.0
"""Seconds after which it is raised once more, should somebody have swallowed it."""


class Late(BaseException):
    """The time is over. No Exception: who looks at files and processes catches those."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise Late in what is done within, once `seconds` are over. In the main thread only, for no other one
    is interrupted by signals: elsewhere it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = True

    def over(*_: object) -> None:
        if armed:
            raise Late

    began, before = time.monotonic(), signal.signal(signal.SIGALRM, over)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # whoever limits us with the same timer goes on to do so
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - time.monotonic() + began), interval)
