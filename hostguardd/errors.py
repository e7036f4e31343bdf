"""One error root, and the table that turns an error into an exit code.

Every failure a person may meet is a `HostguardError` whose text is one sentence that names the
culprit (a file, a key, a socket). `EXIT` is the only place where exit codes are written down.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of `hostguardd` and `hostguardctl`."""

    OK = 0
    DRIFT = 1
    USAGE = 2
    UNREACHABLE = 3
    FORBIDDEN = 4
    CONFIG = 5
    BASELINE = 6


class HostguardError(Exception):
    """Root of all our errors; `exit` is what a command that dies of it returns."""

    exit: Exit = Exit.DRIFT


class UsageError(HostguardError):
    """The command or the control request makes no sense as asked."""

    exit = Exit.USAGE


class UnreachableError(HostguardError):
    """The daemon does not answer."""

    exit = Exit.UNREACHABLE


class ForbiddenError(HostguardError):
    """The caller may not do this."""

    exit = Exit.FORBIDDEN


class ConfigError(HostguardError):
    """The configuration is wrong. `problems` holds one line for each mistake, all of them."""

    exit = Exit.CONFIG

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class BaselineError(HostguardError):
    """There is no baseline, or it cannot be used as it is."""

    exit = Exit.BASELINE


class BaselineDamaged(BaselineError):
    """The baseline file is ours but broken: truncated, corrupted or edited by hand."""


class BaselineForeign(BaselineError):
    """The file in the baseline's place is not ours, or was written by a newer version."""


class StoreError(HostguardError):
    """The state cannot be written (a full disk, a read-only one). What is in it stays as it was."""


class AlertLogError(HostguardError):
    """The alert log cannot be written, or a line of it read. `errno` is 0 if no system call failed."""

    def __init__(self, message: str, errno: int = 0) -> None:
        self.errno = errno
        super().__init__(message)


class AlreadyRunning(HostguardError):
    """Another daemon holds this state directory."""

    exit = Exit.USAGE


class SensorError(HostguardError):
    """A sensor failed in a way nobody foresaw. `sensor` is the kind of fact it brings."""

    def __init__(self, sensor: str, problem: str) -> None:
        super().__init__(problem)
        self.sensor = sensor
