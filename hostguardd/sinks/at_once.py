"""What sinks have in common whose other end answers nothing: handed over is all that they know."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod

from .interface import SinkError


class AtOnce(ABC):
    """Batches that were handed over count as delivered when next asked."""

    window = 1
    batch = 256

    def __init__(self) -> None:
        self._sent = 0

    def confirmed(self, wait: float) -> int:
        self._check()
        count, self._sent = self._sent, 0
        return count

    def finish(self) -> int:
        count = self.confirmed(0)
        self.close()
        return count

    def close(self) -> None:
        self._sent = 0

    @abstractmethod
    def _check(self) -> None:
        """Raises SinkError where it is not open."""


class DatagramAtOnce(AtOnce):
    """The same by a socket, which is open or None; `name` is what it is called in a sentence."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._socket: socket.socket | None = None

    def close(self) -> None:
        if self._socket is not None:
            try:
                self._socket.close()
            except OSError:
                pass  # nothing is left that could be done about it
        self._socket = None
        super().close()

    def _opened(self) -> socket.socket:
        if self._socket is None:
            raise SinkError(f"{self._name} is not open")
        return self._socket

    def _check(self) -> None:
        self._opened()
