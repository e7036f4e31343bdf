"""What sinks have in common whose other end answers nothing: handed over is all that they know."""

from __future__ import annotations


class AtOnce:
    """Batches that were handed over count as delivered when next asked. `_check` is the sink's own: it raises
    SinkError where that is not open."""

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

    def _check(self) -> None:
        raise NotImplementedError
