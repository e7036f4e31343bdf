"""Facts about the kernel as it runs: mounts, modules, and settings in force. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..fact import PLACE, Fact, path_traits


@dataclass(frozen=True, slots=True)
class MountFact(Fact):
    """One mount, a line of /proc/PID/mountinfo (proc(5)).

    `layer` tells mounts on the same point apart, the lowest is 0. `root` is which part of the file
    system shows (a bind mount shows a folder or file). `options` are those of the mount and of the file
    system, sorted, without what changes by itself. `place` is what it lies on: `process` (/proc/PID),
    `automount` (below an autofs, which mounts and lets go by itself), `watched` (over, above or below
    something that is watched) or `other`; it follows from the configuration, so it is never compared.
    """

    host: str
    point: bytes
    layer: int
    fstype: bytes
    source: bytes
    root: bytes
    options: bytes
    place: str
    device: int

    KIND: ClassVar[str] = "mount"
    KEY: ClassVar[tuple[str, ...]] = ("host", "point", "layer")
    QUICK: ClassVar[int] = 9
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"place", "device"})
    TRAITS: ClassVar[frozenset[str]] = PLACE | {"bind", "suid", "devices", "executable", "writable"}

    @property
    def label(self) -> bytes:
        return self.point

    def traits(self) -> frozenset[str]:
        """What it allows: `suid` is set-uid programs, `devices` device files, so that an option that was
        lost is a trait gained. `bind`: a part of a file system, shown once more."""
        given = set(self.options.split(b","))
        found = path_traits(self.point + b"/")
        if self.root != b"/" and self.fstype != b"btrfs":
            found.add("bind")
        found |= {trait for option, trait in _FORBIDS if option not in given}
        return frozenset(found)


_FORBIDS = ((b"nosuid", "suid"), (b"nodev", "devices"), (b"noexec", "executable"), (b"ro", "writable"))


@dataclass(frozen=True, slots=True)
class ModuleFact(Fact):
    """One loaded module of the kernel, a line of /proc/modules (proc(5)). `taint` are its letters
    (`O` from outside the tree, `E` unsigned, …), sorted. `seen` is where: `everywhere`, `list` (in
    /proc/modules but not in /sys/module) or `sysfs` (the other way round)."""

    host: str
    name: bytes
    taint: bytes
    seen: str
    size: int

    KIND: ClassVar[str] = "module"
    KEY: ClassVar[tuple[str, ...]] = ("host", "name")
    QUICK: ClassVar[int] = 5
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"size"})
    TRAITS: ClassVar[frozenset[str]] = frozenset({"foreign", "unsigned", "forced", "proprietary", "hidden"})

    @property
    def label(self) -> bytes:
        return self.name

    def traits(self) -> frozenset[str]:
        words = {b"O": "foreign", b"E": "unsigned", b"F": "forced", b"P": "proprietary"}
        found = {word for letter, word in words.items() if letter in self.taint}
        return frozenset(found | ({"hidden"} if self.seen != "everywhere" else set()))


@dataclass(frozen=True, slots=True)
class SettingFact(Fact):
    """One setting in force, which is not the same as what a file says.

    `topic` is the scope: `kernel`, `sysctl`, `firewall`, `audit`, `selinux`, `apparmor`, `interface`,
    `self`. `value` is compared, `detail` is for the reader: lines of a firewall's chain, what a value
    means.
    """

    topic: str
    name: bytes
    value: bytes
    detail: bytes

    KIND: ClassVar[str] = "setting"
    KEY: ClassVar[tuple[str, ...]] = ("topic", "name")
    QUICK: ClassVar[int] = 4
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"detail"})
    TRAITS: ClassVar[frozenset[str]] = PLACE | {"accepts", "empty", "base"}

    @property
    def label(self) -> bytes:
        return self.topic.encode() + b" " + self.name

    def traits(self) -> frozenset[str]:
        """Of a firewall's chain: `accepts` what no rule names, `empty` of rules, `base` if packets come to
        it by themselves. Of a setting that names a program: where that lies."""
        if self.topic != "firewall":
            words = self.value.replace(b"|", b" ").split()
            return frozenset(word for path in words if path.startswith(b"/") for word in path_traits(path))
        found = set()
        if b"hook " in self.value:
            found.add("base")
            if b"policy accept" in self.value:
                found.add("accepts")
            if b" 0 rules" in self.value:
                found.add("empty")
        elif self.value == b"dormant":
            found |= {"accepts", "empty"}
        return frozenset(found)
