"""What we may do here. Root in a container, or without its capabilities, may do less than its name says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NEEDED = sum(1 << number for number in (0, 1, 6, 7, 18, 27))
"""CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_SETGID, CAP_SETUID, CAP_SYS_CHROOT, CAP_MKNOD."""


def _capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))


ROOT = os.geteuid() == 0 and _capabilities() & NEEDED == NEEDED
"""Whether we are root, and may do what root does with files and users."""


NAMESPACES = os.geteuid() == 0 and bool(_capabilities() >> 21 & 1)
"""Whether we are root with CAP_SYS_ADMIN, and may mount and have namespaces of our own: root of a container
often may not."""


def give(path: Path, uid: int) -> None:
    """Make it somebody's, where it is not yet."""
    if path.stat().st_uid == uid:
        return
    if not ROOT:
        pytest.skip("only root gives files away")
    os.chown(path, uid, uid)
