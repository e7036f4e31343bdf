"""Whether we see this host as its first process does: what a drop-in for our unit may have taken away.

A service manager confines by namespaces and by mounts of its own (systemd.exec(5)). What is mounted over a
folder only for us hides what the host has there; our own unit's mounts show the same files, read-only, and
hide nothing. The rule: what cannot be compared is not called wrong.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from ..model import under
from .mounts import Mount, parse_mountinfo

SPACES = {
    "net": "the network of the host: its listeners, sockets and firewall (PrivateNetwork=)",
    "user": "users as they are (PrivateUsers=)",
    "pid": "the processes of the host (PrivatePIDs=)",
}
"""Namespaces that hide something when they are not those of pid 1, namespaces(7)."""

_HIDING = re.compile(rb"\bhidepid=(?!0|off)")

OF_THE_MANAGER = (
    b"/run/systemd/incoming",
    b"/run/credentials",
    b"/dev/kmsg",
    b"/proc/kmsg",
    b"/run/host",
    b"/proc/kallsyms",
    b"/proc/kcore",
    b"/proc/sys/kernel/random",
)
"""Where the manager mounts something for every service, or for a container as a whole; and the kernel's log
and memory, which we do not read."""


def unseen(proc: str = "/proc") -> list[str]:
    """What pid 1 sees and we do not, each in a few words."""
    found = [what for space, what in SPACES.items() if _elsewhere(proc, space)]
    own, host = _mounts(proc, "self"), _mounts(proc, "1")
    if own and host:
        shown = [os.fsdecode(point) for point in hidden(own, host)]
        found += [f"what lies in {point}" for point in shown[:5]]
        if len(shown) > 5:
            found.append(f"{len(shown) - 5} more places")
    if not os.path.exists(f"{proc}/stat") or not os.path.exists(f"{proc}/sys/kernel"):
        found.append("the kernel's state in /proc (ProcSubset=)")
    if any(mount.point == b"/proc" and _HIDING.search(mount.options) for mount in own):
        found.append("processes of others in /proc (ProtectProc=)")
    return found


def hidden(own: Iterable[Mount], host: Iterable[Mount]) -> list[bytes]:
    """Where we have something else mounted than the host has: it is hidden from us, or did not come to us."""
    host, own = list(host), list(own)
    points = {mount.point for mount in (*own, *host)}
    found = [
        point
        for point in sorted(points)
        if not any(under(point, place) for place in OF_THE_MANAGER)
        and _behind(own, point) != _behind(host, point)
    ]
    return [point for point in found if not any(point != top and under(point, top) for top in found)]


def _behind(mounts: list[Mount], path: bytes) -> tuple[bytes, bytes] | None:
    """Which folder of which file system shows at `path`: the last mount at or above it decides."""
    home: Mount | None = None
    for mount in mounts:
        if under(path, mount.point) and (home is None or len(mount.point) >= len(home.point)):
            home = mount
    if home is None:
        return None
    rest = path[len(home.point) :] if home.point != b"/" else path
    system = (
        home.fstype if home.pseudo else str(home.device).encode()
    )  # each mount of /proc has its own device
    return system, (home.root.rstrip(b"/") + b"/" + rest.lstrip(b"/")).rstrip(b"/")


def _elsewhere(proc: str, space: str) -> bool:
    """Whether our own namespace is another than that of pid 1, as far as we may look at that one."""
    host = _space(proc, "1", space)
    return host != "" and host != _space(proc, "self", space)


def _space(proc: str, pid: str, name: str) -> str:
    try:
        return os.readlink(f"{proc}/{pid}/ns/{name}")
    except OSError:
        return ""


def _mounts(proc: str, pid: str) -> list[Mount]:
    try:
        with open(f"{proc}/{pid}/mountinfo", "rb") as handle:
            return parse_mountinfo(handle.read())
    except OSError:
        return []
