"""Facts about the kernel as it runs: mounts, modules, and settings in force. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..fact import Fact, path_traits


@dataclass(frozen=True, slots=True)
class MountFact(Fact):
    """One mount, a line of /proc/PID/mountinfo (proc(5)).

    `layer` tells mounts on the same point apart, the lowest is 0. `root` is which part of the file
    system shows (a bind mount shows a folder). `options` are those of the mount and of the file
    system, sorted, without what changes by itself.
    """

    host: str
    point: bytes
    layer: int
    fstype: bytes
    source: bytes
    root: bytes
    options: bytes
    device: int

    KIND: ClassVar[str] = "mount"
    KEY: ClassVar[tuple[str, ...]] = ("host", "point", "layer")
    QUICK: ClassVar[int] = 8
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"device"})
    TRAITS: ClassVar[frozenset[str]] = frozenset({"temporary", "hidden"})

    @property
    def label(self) -> bytes:
        return self.point

    def traits(self) -> frozenset[str]:
        return frozenset(path_traits(self.point))


@dataclass(frozen=True, slots=True)
class ModuleFact(Fact):
    """One loaded module of the kernel, a line of /proc/modules (proc(5)). `taint` are its letters
    (`O` from outside the tree, `E` unsigned, …), sorted."""

    host: str
    name: bytes
    taint: bytes
    size: int

    KIND: ClassVar[str] = "module"
    KEY: ClassVar[tuple[str, ...]] = ("host", "name")
    QUICK: ClassVar[int] = 4
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"size"})
    TRAITS: ClassVar[frozenset[str]] = frozenset({"foreign", "unsigned", "forced"})

    @property
    def label(self) -> bytes:
        return self.name

    def traits(self) -> frozenset[str]:
        words = {b"O": "foreign", b"E": "unsigned", b"F": "forced"}
        return frozenset(word for letter, word in words.items() if letter in self.taint)


@dataclass(frozen=True, slots=True)
class SettingFact(Fact):
    """One setting in force, which is not the same as what a file says.

    `topic` is the scope: `kernel`, `sysctl`, `firewall`, `audit`, `selinux`, `interface`, `self`.
    `value` is compared, `detail` is for the reader.
    """

    topic: str
    name: bytes
    value: bytes
    detail: bytes

    KIND: ClassVar[str] = "setting"
    KEY: ClassVar[tuple[str, ...]] = ("topic", "name")
    QUICK: ClassVar[int] = 4
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"detail"})

    @property
    def label(self) -> bytes:
        return self.topic.encode() + b" " + self.name
