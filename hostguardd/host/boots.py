"""Which boot of the host this is, when it began, and whether it is ending in order."""

from __future__ import annotations

import os
import subprocess
from typing import Final, Protocol

MANAGER: Final = "/run/systemd/system"
"""Is there when systemd is the system manager, sd_booted(3)."""

SYSTEMCTL: Final = ("/usr/bin/systemctl", "/bin/systemctl")
PATIENCE: Final = 3.0
"""Seconds for its answer, at our own end."""


class BootHost(Protocol):
    """The host's boots."""

    def id(self) -> str:
        """This boot's own name (random(4), boot_id); "" when there is none. Containers have their host's."""
        ...

    def began(self) -> int:
        """When the kernel came up, in wall-clock nanoseconds; 0 when it does not say."""
        ...

    def ending(self) -> bool:
        """Whether the system manager is taking the host down just now. May take PATIENCE seconds."""
        ...


class NoBoots:
    """Nothing ever boots: a mounted image, or a test that is about something else."""

    def id(self) -> str:
        """None."""
        return ""

    def began(self) -> int:
        """Never."""
        return 0

    def ending(self) -> bool:
        """Never."""
        return False


class LinuxBoots:
    """This host's."""

    def id(self) -> str:
        """As `BootHost.id`."""
        return _first("/proc/sys/kernel/random/boot_id", "")

    def began(self) -> int:
        """As `BootHost.began`: btime of proc_stat(5)."""
        seconds = _first("/proc/stat", "btime ")
        return int(seconds) * 10**9 if seconds.isdecimal() else 0

    def ending(self) -> bool:
        """As `BootHost.ending`: what systemctl(1) is-system-running says."""
        program = next((one for one in SYSTEMCTL if os.access(one, os.X_OK)), "")
        if not program or not os.path.isdir(MANAGER):
            return False
        try:
            said = subprocess.run(
                [program, "is-system-running"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return said.stdout.strip() == b"stopping"


def _first(path: str, start: str) -> str:
    """The rest of the first line of `path` that begins with `start`; "" if there is none."""
    try:
        with open(path, encoding="ascii", errors="replace") as lines:
            return next((line[len(start) :].strip() for line in lines if line.startswith(start)), "")
    except OSError:
        return ""
