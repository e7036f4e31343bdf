"""The daemon's own diagnostics: structlog on stderr, for journald or a terminal. Never alerts.

structlog imports rich wherever it finds it, for tracebacks that nobody prints here; that is 5 MiB of
a resident daemon's memory (measured), so rich is hidden from it. `hostguardctl`, which draws with
rich, does not import this room.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TextIO

from .health import CONDITIONS, message_id
from .model import Severity

if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # "import rich" now raises ImportError

import structlog

Diagnose = Callable[[str, Mapping[str, object]], None]

JOURNAL = "/run/systemd/journal/socket"
"""Where systemd-journald takes datagrams of `NAME=value` lines, https://systemd.io/JOURNAL_NATIVE_PROTOCOL/."""

PRIORITIES: Mapping[Severity, int] = {
    Severity.CRITICAL: 2, Severity.HIGH: 3, Severity.MEDIUM: 4, Severity.LOW: 5, Severity.INFO: 6,
}  # fmt: skip
"""syslog(3): crit, err, warning, notice, info."""


class _Out(Protocol):
    """Takes finished lines; `code` is the health code that a line tells of."""

    def info(self, line: str, code: str = "") -> None: ...


class _Stream:
    """Lines to a stream."""

    def __init__(self, out: TextIO) -> None:
        self._logger = structlog.PrintLogger(out)

    def info(self, line: str, code: str = "") -> None:
        self._logger.info(line)


class _Journal:
    """Lines to the journal, and to `out` what it does not take."""

    def __init__(self, out: TextIO, address: str) -> None:
        self._otherwise = _Stream(out)
        self._address = address

    def info(self, line: str, code: str = "") -> None:
        condition = CONDITIONS.get(code)
        fields = {
            "SYSLOG_IDENTIFIER": "hostguardd",
            "PRIORITY": PRIORITIES[condition.severity] if condition else 6,
            "MESSAGE": line.replace("\n", " "),
        }
        if condition:
            fields |= {"MESSAGE_ID": message_id(code), "HOSTGUARD_CODE": code}
        text = "".join(f"{name}={value}\n" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as door:
                door.sendto(text.encode("utf-8", "backslashreplace"), self._address)
        except OSError:
            self._otherwise.info(line)


def diagnostics(out: TextIO, journal: str = JOURNAL) -> Diagnose:
    """A function that writes a message and its fields to `out`: for people on a terminal, else JSON, and
    to the journal itself where `out` leads there anyway."""
    renderer: structlog.typing.Processor
    if out.isatty():
        renderer = structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ)
    else:
        renderer = structlog.processors.JSONRenderer()

    def finish(logger: Any, method: str, event: structlog.typing.EventDict) -> Any:
        """The line, and apart from it the code."""
        return (renderer(logger, method, event),), {"code": str(event.get("code", ""))}

    to: _Out = _Journal(out, journal) if _leads_to_journal(out) else _Stream(out)
    logger = structlog.wrap_logger(
        to,
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            finish,
        ],
    )

    def diagnose(message: str, fields: Mapping[str, object]) -> None:
        logger.info(message, **fields)

    return diagnose


def _leads_to_journal(out: TextIO) -> bool:
    """Whether `out` is the stream that systemd connected to the journal: $JOURNAL_STREAM, systemd.exec(5)."""
    try:
        found = os.fstat(out.fileno())
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
