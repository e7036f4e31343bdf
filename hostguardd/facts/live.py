"""Facts about what runs and waits: listeners and services. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ..fact import PLACE, Fact, Row, Value, path_traits, whole


@dataclass(frozen=True, slots=True)
class ListenerFact(Fact):
    """One socket that waits for others to talk to it, and the program behind it.

    `proto` is tcp, tcp6, udp, udp6, raw, raw6, sctp, sctp6, packet or unix (the scope). `endpoint` is
    `address:port` (`[::]:22` for IPv6), the protocol number for raw, interface and protocol for packet
    (`eth0 all`, `any 0x0800`), or the path of a Unix socket (`@name` when abstract). A bound but
    unconnected UDP socket on a port of the ephemeral range has the endpoint `address:dynamic exe`, so
    that a resolver's next random port is not news.
    `command` is the stable part of the owner's command line; `port` is the real number. `others` are
    the other programs that wait at the same endpoint by sockets of their own, sorted: b"" but when
    somebody shares the port (SO_REUSEPORT). Each is its image, its script if it is an interpreter,
    and `uid N` if that is not the owner's; its words are separated by one NUL, programs by two.
    """

    proto: str
    endpoint: bytes
    port: int
    uid: int | None
    exe: bytes | None
    command: bytes | None
    sha256: bytes | None
    pid: int | None
    started: int | None
    inode: int
    others: bytes = b""

    KIND: ClassVar[str] = "listener"
    KEY: ClassVar[tuple[str, ...]] = ("proto", "endpoint")
    QUICK: ClassVar[int] = 11
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"port", "pid", "started", "inode"})
    TRAITS: ClassVar[frozenset[str]] = PLACE | {"deleted", "shared"}

    @property
    def label(self) -> bytes:
        return self.proto.encode() + b" " + self.endpoint

    def traits(self) -> frozenset[str]:
        found = path_traits(self.exe) if self.exe else set()
        if self.exe and self.exe.endswith(b" (deleted)"):
            found.add("deleted")
        for words in sharers(self.others):
            found.add("shared")
            for word in words:
                found |= path_traits(word)
        return frozenset(found)


def sharers(others: bytes) -> list[list[bytes]]:
    """The programs of `ListenerFact.others`, each as its words, the first of which is its image."""
    return [program.split(b"\0") for program in others.split(b"\0\0") if program]


_KERNEL_NAME = re.compile(
    rb"(?:kworker|ksoftirqd|migration|cpuhp|idle_inject|irq|scsi_eh_\d+|card\d+|jbd2|xfs-\w+)/.*"
    rb"|kthreadd|kswapd\d+|khugepaged|kcompactd\d+|kdevtmpfs|kauditd|khungtaskd|oom_reaper|kblockd|rcu_\w+"
)


def kernel_name(comm: bytes, command: bytes) -> bytes:
    """What of a program's name or arguments is made to look like a thread of the kernel, b"" if nothing:
    ps(1) shows those in brackets, having no arguments, and nobody else needs them or their names."""
    if comm.startswith(b"[") or _KERNEL_NAME.fullmatch(comm):
        return comm
    first = command.split(b" ", 1)[0]
    if not first.startswith(b"["):
        return b""
    return first if first.endswith(b"]") else command if command.endswith(b"]") else b""


SIGNS: Mapping[str, str] = {
    "false-name": "it goes by the name of another program",
    "library-deleted": "a system library that it uses was deleted or replaced",
    "library-extracted": "it runs a library that its runtime unpacked into a temporary folder",
    "library-gone": "a library that it uses was deleted or replaced",
    "library-hidden": "it runs code from a library in a hidden folder",
    "library-home": "it runs code from a library in a hidden folder of a home or a tool",
    "library-jit": "it runs code that it made itself, in memory of a known name",
    "library-memory": "it runs code from memory that belongs to no file",
    "library-path-odd": "it looks for libraries in a temporary or hidden folder",
    "library-temporary": "it runs code from a library in a temporary folder",
    "preload": "a library is preloaded into it",
    "preload-known": "a well-known library is preloaded into it",
    "preload-odd": "a library is preloaded into it from a place where none belongs",
    "script-odd": "it runs a script from memory or from a hidden temporary folder",
    "script-temporary": "it runs a script from a temporary folder",
    "traced": "another process traces it",
    "working-hidden": "it works in a hidden folder",
    "writable": "it runs as root, and everybody may write to its program",
}
"""What may be odd about how a process runs (`sensors.signs` decides), as clauses."""


def _words(signs: Value) -> frozenset[str]:
    return frozenset(signs.decode("ascii", "replace").split()) if isinstance(signs, bytes) else frozenset()


@dataclass(frozen=True, slots=True)
class ProcessFact(Fact):
    """One *service* as the baseline knows it: not a pid but exe + uid + parent exe + script.

    `host` is the scope (always `host`; containers are Blind). `script` is the stable part of the
    command line: for an interpreter the program it runs, otherwise empty. `role` is `service`
    (started by init or by the service manager, or detached from everything), `helper` (started by a
    service and not the same program) or `session` (in somebody's login). `instances` counts copies
    that are not workers forked by a copy. `sha256` is of the running image (/proc/PID/exe), `state`
    is `running`, `deleted` (its file is gone), `replaced` (the file at its path is another one now)
    or `anonymous` (memfd). `comm` is what it calls itself. `pid`, `parent`, `started` (clock ticks
    since boot, proc(5)) and `command` show one living instance. `signs` are words for what is odd about
    how it runs, sorted, with blanks between (`SIGNS`; None: not looked at yet, or not allowed to),
    `evidence` the paths and names that they are about.
    """

    host: str
    exe: bytes
    uid: int
    parent_exe: bytes
    script: bytes
    role: str
    instances: int
    state: str
    sha256: bytes | None
    unit: bytes
    comm: bytes
    kernel: int
    pid: int
    parent: int
    started: int
    command: bytes
    signs: bytes | None = b""
    evidence: bytes = b""

    KIND: ClassVar[str] = "process"
    KEY: ClassVar[tuple[str, ...]] = ("host", "exe", "uid", "parent_exe", "script")
    QUICK: ClassVar[int] = 18
    VOLATILE: ClassVar[frozenset[str]] = frozenset(
        {"pid", "parent", "started", "command", "unit", "comm", "evidence"}
    )
    TRAITS: ClassVar[frozenset[str]] = PLACE | SIGNS.keys() | {
        "running", "deleted", "replaced", "anonymous", "service", "helper", "session", "masquerade",
    }  # fmt: skip

    @classmethod
    def noise(cls, before: Row, after: Row) -> frozenset[str]:
        """More copies are news only of what was approved as a single one (several inetd); a sign that is
        gone (after a restart) is none."""
        found = frozenset() if whole(before[6]) == 1 and whole(after[6]) > 1 else frozenset({"instances"})
        return found | {"signs"} if _words(before[16]) >= _words(after[16]) else found

    @property
    def label(self) -> bytes:
        return self.exe + (b" " + self.script if self.script else b"")

    def traits(self) -> frozenset[str]:
        found = path_traits(self.exe) | {self.state, self.role}
        if self.script:
            found |= path_traits(self.script)
        found |= _words(self.signs) & SIGNS.keys()
        if "false-name" in found or (not self.kernel and kernel_name(self.comm, self.command)):
            found.add("masquerade")
        return frozenset(found)
