"""The daemon's own diagnostics: structlog on stderr, for journald or a terminal. Never alerts.

structlog imports rich wherever it finds it, for tracebacks that nobody prints here; that is 5 MiB of
a resident daemon's memory (measured), so rich is hidden from it. `hostguardctl`, which draws with
rich, does not import this room.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # "import rich" now raises ImportError

import structlog

Diagnose = Callable[[str, Mapping[str, object]], None]


def diagnostics(out: TextIO) -> Diagnose:
    """A function that writes a message and its fields to `out`: for people on a terminal, else JSON."""
    plain = out.isatty()
    renderer: structlog.typing.Processor
    if plain:
        renderer = structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ)
    else:
        renderer = structlog.processors.JSONRenderer()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
    )

    def diagnose(message: str, fields: Mapping[str, object]) -> None:
        logger.info(message, **fields)

    return diagnose
