"""A kernel's own state that a test can edit. It keeps the rules of `KernelHost`.

kernel = FakeKernel()
kernel.mount(b"/etc", b"tmpfs")
kernel.files[b"/proc/sys/kernel/core_pattern"] = b"|/tmp/x\n"
kernel.tick(5)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hostguardd.host.audit import Status
from hostguardd.host.firewall import Firewall
from hostguardd.host.kernel import TEXT, Audit, Interfaces, Seen
from hostguardd.host.links import Link

MODULES = b"ext4 1081344 2 - Live 0x0000000000000000\njbd2 208896 1 ext4, Live 0x0000000000000000\n"
FILES = {
    b"/proc/modules": MODULES,
    b"/sys/module/ext4/initstate": b"live\n",
    b"/sys/module/jbd2/initstate": b"live\n",
    b"/sys/module/printk/parameters/time": b"Y\n",
    b"/proc/sys/kernel/core_pattern": b"core\n",
    b"/proc/sys/kernel/tainted": b"0\n",
    b"/proc/sys/kernel/osrelease": b"6.1.0-1\n",
    b"/proc/cmdline": b"BOOT_IMAGE=/vmlinuz-6.1.0-1 root=/dev/sda1 ro\n",
    b"/proc/self/status": b"Name:\tpython3\nTracerPid:\t0\n",
    b"/proc/self/environ": b"PATH=/usr/bin\0",
    b"/proc/self/maps": b"7f00-7f10 r-xp 00000000 08:01 12 /usr/lib/libc.so.6\n",
}

INTERFACES = Interfaces((Link(2, b"eth0", b"", 0, 0, b"", 0),))
AUDIT = Audit(Status(1, 1, 500, 0, 8192), (b"-w /etc/passwd -p wa -k id",))
FIREWALL = Firewall()


@dataclass
class FakeKernel:
    """An editable `KernelHost`. A folder is there when a file below it is; `calls` counts texts read."""

    now: float = 1000.0
    blind: str = ""
    files: dict[bytes, bytes] = field(default_factory=lambda: dict(FILES))
    barred: set[bytes] = field(default_factory=set)
    """Files and folders that we may not read."""
    links: dict[bytes, bytes] = field(default_factory=dict)
    nics: Interfaces = INTERFACES
    audited: Audit = AUDIT
    walls: Firewall = FIREWALL
    calls: int = 0
    firewalls_read: int = 0

    def __post_init__(self) -> None:
        self.table: list[bytes] = []
        self._moved = False
        self._id = 20
        self.mount(b"/", b"ext4", b"/dev/sda1")
        self.mount(b"/run", b"tmpfs")

    # -- what a test does ------------------------------------------------------------------------

    def wall(self) -> int:
        return 1_700_000_000_000_000_000 + int(self.now * 1e9)

    def tick(self, seconds: float) -> None:
        self.now += seconds

    def mount(
        self, point: bytes, fstype: bytes, source: bytes = b"none", root: bytes = b"/",
        options: bytes = b"rw,relatime", told: bool = True,
    ) -> None:  # fmt: skip
        """Mount something. `told`: poll(2) on mountinfo tells of it."""
        self._id += 1
        names = [re.sub(rb"[ \t\n\\]", lambda m: b"\\%03o" % m[0][0], word) for word in (root, point)]
        line = b"%d 1 8:%d %s %s %s shared:1 - %s %s rw"
        self.table.append(line % (self._id, self._id, *names, options, fstype, source))
        self._moved = self._moved or told

    def unmount(self, point: bytes) -> None:
        """Take the topmost mount off a point."""
        at = max(i for i, line in enumerate(self.table) if line.split(b" ")[4] == point)
        del self.table[at]
        self._moved = True

    # -- the port --------------------------------------------------------------------------------

    def uptime(self) -> float:
        return self.now

    def mounts(self) -> Seen:
        if b"mountinfo" in self.barred:
            return Seen(None, "Permission denied")
        return Seen(b"\n".join(self.table) + b"\n")

    def remounted(self) -> bool:
        moved, self._moved = self._moved, False
        return moved

    def text(self, path: bytes, limit: int = TEXT) -> Seen:
        self.calls += 1
        if path in self.barred:
            return Seen(None, "Permission denied")
        data = self.files.get(path)
        return Seen(None if data is None else data[:limit])

    def names(self, folder: bytes) -> list[bytes] | None:
        if folder in self.barred:
            return None
        below = folder + b"/"
        found = {path[len(below) :].split(b"/")[0] for path in self.files if path.startswith(below)}
        return sorted(found) or None

    def exists(self, path: bytes) -> bool:
        return path in self.files or self.names(path) is not None

    def link(self, path: bytes) -> bytes:
        return self.links.get(path, b"")

    def interfaces(self) -> Interfaces:
        return self.nics

    def audit(self) -> Audit:
        return self.audited

    def firewall_mark(self) -> bytes:
        return b"%d" % hash(self.walls)

    def firewall(self) -> Firewall:
        self.firewalls_read += 1
        return self.walls
