"""Has package questions answered by a process of its own, beside the loop.

The rule kept: the loop never waits for it. One question at a time; what is not answered within PATIENCE
counts as not known.
"""

from __future__ import annotations

import marshal
import selectors
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from ..host.workers import Worker, dismiss
from ..packages.evidence import Answer, Question, nothing

CLERK: Final = "hostguardd.packages.clerk"
PATIENCE: Final = 300.0
"""Seconds for an answer: rpm checks each signature, and every file is read."""


class Judge(Protocol):
    """Who answers. `ask` is called only when it is not `busy`."""

    @property
    def busy(self) -> bool: ...

    @property
    def answered(self) -> bool: ...

    def ask(self, question: Question) -> None: ...

    def take(self) -> Answer | None:
        """The answer, once."""
        ...

    def stop(self) -> None: ...


class Clerks:
    """`Judge` by processes. `wake` is called when there is an answer, from another thread."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._answer: Answer | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether a question is being answered, or its answer was not taken yet."""
        return self._thread is not None

    @property
    def answered(self) -> bool:
        """Whether there is an answer to take."""
        return self._answer is not None

    def ask(self, question: Question) -> None:
        """Have it answered."""
        self._thread = threading.Thread(target=self._run, args=[question], name="packages", daemon=True)
        self._thread.start()

    def take(self) -> Answer | None:
        """The answer, once."""
        answer = self._answer
        if answer is not None:
            self._answer = self._thread = None
        return answer

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(2.0)

    def _run(self, question: Question) -> None:
        self._answer = answer(question, self._stopping.is_set)
        if not self._stopping.is_set():
            self._wake()


def answer(question: Question, stopping: Callable[[], bool] = lambda: False) -> Answer:
    """What a clerk of its own says; waits for it, PATIENCE at most, or until `stopping`."""
    try:
        worker = Worker.hire(CLERK)
        try:
            return _heard(worker, question, stopping)
        finally:
            dismiss([worker])
    except (OSError, ValueError) as error:
        return nothing(f"the package manager could not be asked: {error}")


def _heard(worker: Worker, question: Question, stopping: Callable[[], bool]) -> Answer:
    worker.send(marshal.dumps(tuple(question)))
    deadline = time.monotonic() + PATIENCE
    with selectors.DefaultSelector() as ready:
        ready.register(worker.source, selectors.EVENT_READ)
        while time.monotonic() < deadline and not stopping():
            worker.push()
            if not ready.select(0.1):
                continue
            for found in worker.heard():
                return Answer.of(found)
    return nothing(f"the package manager was silent for {PATIENCE:.0f} s")
