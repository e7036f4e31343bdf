"""What the engine is handed, and what its rooms hand each other: somebody to tell, and who is outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from ..model import Alert


class Tell(Protocol):
    """Alerts about ourselves."""

    def __call__(self, code: str, /, **params: int | float | str | bytes) -> Alert: ...


class Notifier(Protocol):
    """The service manager: sd_notify(3) messages. Also without one, doing nothing."""

    def notify(self, message: str) -> None: ...


class Door(Protocol):
    """The control socket, as far as the loop looks after it. Both may be called from any thread."""

    @property
    def trouble(self) -> str:
        """What is not as it should be at present, or ""."""
        ...

    def take_lost(self) -> str:
        """What happened to it and was not taken yet, or ""."""
        ...


Diagnose = Callable[[str, Mapping[str, object]], None]
"""The daemon's own diagnostics (never the alert log)."""
