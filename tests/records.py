"""Records of logins, as programs write them."""

from __future__ import annotations

import ipaddress

from hostguardd.utmp import LAYOUTS, SIZE, USER_PROCESS

NOW = 1_763_904_000
A = "203.0.113.9"


def record(
    user: str = "alice",
    host: str = A,
    line: str = "pts/0",
    at: int = NOW,
    kind: int = USER_PROCESS,
    pid: int = 900,
    address: str = "",
) -> bytes:
    """One record as sshd writes it."""
    packed = ipaddress.ip_address(address).packed.ljust(16, b"\0") if address else bytes(16)
    return LAYOUTS[SIZE].pack(
        kind, pid, line.encode(), b"ts/0", user.encode(), host.encode("latin-1"), 0, at, 0, packed
    )  # fmt: skip
