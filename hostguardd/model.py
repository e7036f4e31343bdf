"""The nouns of the project: facts, sweeps, drift, findings, alerts. Frozen, slotted, pure.

Two shapes of the same thing live here, and the difference is the daemon's speed:

* a **row** is a plain tuple in the order of the fact's fields. Sweeps carry rows, the store keeps
  rows, `diff` compares rows; a sweep of an unchanged tree never builds anything else;
* a **fact** is the frozen dataclass around a row, built only for what differs.

Values in a row are `int`, `str`, `bytes` or `None`. `None` means *not known* (not looked at, or not
allowed to look) and is never compared; a thing that is known to be absent has an explicit empty
value (`b""`, `""`, `0`). That is how a file that became unreadable is Blind and never "changed".
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum, IntEnum
from functools import cache
from typing import ClassVar, Self, TypeAlias

Value: TypeAlias = int | str | bytes | None
Row: TypeAlias = tuple[Value, ...]


class Severity(IntEnum):
    """How loud. Ordered, so that `max` finds the loudest. IGNORE raises nothing at all."""

    IGNORE = 0
    INFO = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5

    @property
    def label(self) -> str:
        """The word used in configuration, alerts and on the terminal."""
        return self.name.lower()


class Depth(Enum):
    """How closely a sweep looks. QUICK reads metadata only; FULL reads contents too."""

    QUICK = "quick"
    FULL = "full"


class Action(Enum):
    """What happened to a key between the baseline and now."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing seen on the host.

    Subclasses declare their fields in row order and these class constants:

    * `KIND`: the word for it in rules, alerts and table names;
    * `KEY`: the leading fields that identify it for good. The first of them is the *scope*: sweeps
      cover whole scopes, and the store reads a scope at a time (a folder of files, one protocol's
      listeners, …);
    * `QUICK`: how many leading fields a quick sweep fills in;
    * `VOLATILE`: fields kept for the reader but never compared (a pid).
    """

    KIND: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]
    QUICK: ClassVar[int]
    VOLATILE: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    @cache
    def columns(cls) -> tuple[str, ...]:
        """Field names in row order."""
        return tuple(f.name for f in fields(cls))

    @classmethod
    def of(cls, row: Row) -> Self:
        """The fact around `row`."""
        return cls(*row)

    def row(self) -> Row:
        """The plain tuple, in field order."""
        return tuple(getattr(self, name) for name in self.columns())

    @classmethod
    def noise(cls, before: Row, after: Row) -> frozenset[str]:
        """Fields whose difference says nothing for this pair of rows (`size` of a folder)."""
        return frozenset()

    @property
    def label(self) -> bytes:
        """The one thing a person calls it by: a path, `tcp 0.0.0.0:22`, an exe. Raw bytes."""
        raise NotImplementedError(f"{type(self).__name__} has no label")

    def traits(self) -> frozenset[str]:
        """Words that rules may ask for by `gained` (`setuid`, `temporary`, `deleted`, …)."""
        return frozenset()


TEMPORARY = (b"/tmp/", b"/var/tmp/", b"/dev/shm/", b"/run/shm/", b"/run/user/")


def path_traits(path: bytes) -> set[str]:
    """What a path alone says: `temporary` (world-writable folders), `hidden` (a dot component)."""
    found = set()
    if path.startswith(TEMPORARY):
        found.add("temporary")
    if any(part.startswith(b".") or part.endswith(b" ") for part in path.split(b"/")):
        found.add("hidden")
    return found


def _mode_traits(mode: int) -> set[str]:
    """`setuid`, `setgid`, `executable`, `world-writable` of a regular file's mode."""
    found = set()
    if stat.S_ISREG(mode):
        if mode & stat.S_ISUID:
            found.add("setuid")
        # Without group execute the bit once meant mandatory locking, not set-group-id: inode(7).
        if mode & stat.S_ISGID and mode & stat.S_IXGRP:
            found.add("setgid")
        if mode & 0o111:
            found.add("executable")
    if mode & stat.S_IWOTH and not stat.S_ISLNK(mode) and not mode & stat.S_ISVTX:
        found.add("world-writable")
    return found


TYPE_NAMES: Mapping[int, str] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}


@dataclass(frozen=True, slots=True)
class FileFact(Fact):
    """One directory entry, as lstat(2), read(2), listxattr(2) and FS_IOC_GETFLAGS show it.

    Times are nanoseconds since the epoch; sizes are bytes; `sha256` is the 32-byte digest.
    `device` is 0 when the entry is on its folder's file system and the st_dev number when it is
    not (a mount point): device numbers are handed out anew at every boot, "something is mounted
    here" is not. `xattrs` is the canonical list of `encode_xattrs`: ACLs, SELinux label, file
    capabilities. `flags` are the chattr(1) flags. `sha256` is None where content was not read.
    `unstable` is 1 when the file kept changing while it was read, so its digest is not to be
    relied on.
    """

    folder: bytes
    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    ctime: int
    inode: int
    links: int
    device: int
    target: bytes | None
    sha256: bytes | None
    xattrs: bytes | None
    flags: int | None
    unstable: int

    KIND: ClassVar[str] = "file"
    KEY: ClassVar[tuple[str, ...]] = ("folder", "name")
    QUICK: ClassVar[int] = 11

    @classmethod
    def noise(cls, before: Row, after: Row) -> frozenset[str]:
        """A folder's size, times and link count follow its entries, which are facts themselves.

        Nothing can be measured against what was being written when it was approved. Of what is being
        written now only the digest is no use: who never stops writing must not go unseen.
        """
        found = {"unstable"}
        if stat.S_ISDIR(_int(before[2])) and stat.S_ISDIR(_int(after[2])):
            found |= {"size", "mtime", "ctime", "links"}
        if before[10] and after[10]:
            found.add("device")
        if before[15]:
            found |= {"sha256", "size", "mtime", "ctime"}
        elif after[15]:
            found.add("sha256")
        return frozenset(found)

    @staticmethod
    def is_folder(row: Row) -> bool:
        """Whether the row is a folder's."""
        return stat.S_ISDIR(_int(row[2]))

    @property
    def path(self) -> bytes:
        """The absolute path."""
        return join(self.folder, self.name)

    @property
    def label(self) -> bytes:
        return self.path

    @property
    def type(self) -> str:
        """`file`, `dir`, `symlink`, `fifo`, `socket`, `char` or `block`."""
        return TYPE_NAMES.get(stat.S_IFMT(self.mode), "unknown")

    def traits(self) -> frozenset[str]:
        found = _mode_traits(self.mode) | path_traits(self.path)
        found.add(self.type)
        if self.xattrs and b"security.capability" in decode_xattrs(self.xattrs):
            found.add("capability")
        if self.device:
            found.add("mountpoint")
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class SetIdFact(Fact):
    """One regular file with set-uid, set-gid or file capabilities, wherever it lies.

    `filesystem` (the mount point) is the scope; `caps` is the raw `security.capability` attribute.
    """

    filesystem: bytes
    path: bytes
    mode: int
    uid: int
    gid: int
    size: int
    ctime: int
    inode: int
    sha256: bytes | None
    caps: bytes | None

    KIND: ClassVar[str] = "setid"
    KEY: ClassVar[tuple[str, ...]] = ("filesystem", "path")
    QUICK: ClassVar[int] = 8

    @property
    def label(self) -> bytes:
        return self.path

    def traits(self) -> frozenset[str]:
        found = _mode_traits(self.mode) | path_traits(self.path)
        if self.caps:
            found.add("capability")
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class ListenerFact(Fact):
    """One socket that waits for others to talk to it, and the program behind it.

    `proto` is tcp, tcp6, udp, udp6, raw, raw6, sctp, sctp6 or unix (the scope). `endpoint` is
    `address:port` (`[::]:22` for IPv6), the protocol number for raw, or the path of a Unix socket
    (`@name` when abstract). A bound but unconnected UDP socket on a port of the ephemeral range has
    the endpoint `address:dynamic exe`, so that a resolver's next random port is not news.
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
    since boot, proc(5)) and `command` show one living instance.
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

    KIND: ClassVar[str] = "process"
    KEY: ClassVar[tuple[str, ...]] = ("host", "exe", "uid", "parent_exe", "script")
    QUICK: ClassVar[int] = 16
    VOLATILE: ClassVar[frozenset[str]] = frozenset({"pid", "parent", "started", "command", "unit", "comm"})

    @classmethod
    def noise(cls, before: Row, after: Row) -> frozenset[str]:
        """More copies are news only of what was approved as a single one (several inetd)."""
        return frozenset() if _int(before[6]) == 1 and _int(after[6]) > 1 else frozenset({"instances"})

    @property
    def label(self) -> bytes:
        return self.exe + (b" " + self.script if self.script else b"")

    def traits(self) -> frozenset[str]:
        found = path_traits(self.exe) | {self.state, self.role}
        if self.script:
            found |= path_traits(self.script)
        if not self.kernel and kernel_name(self.comm, self.command):
            found.add("masquerade")
        return frozenset(found)


FACTS: tuple[type[Fact], ...] = (FileFact, SetIdFact, ListenerFact, ProcessFact)
"""Every kind there is, in the order in which they are stored, digested and shown."""

BY_KIND: Mapping[str, type[Fact]] = {fact.KIND: fact for fact in FACTS}


CONTENT = "content: "
"""How the reason of a Blind begins when it is only a file's content that was not read."""


@dataclass(frozen=True, slots=True)
class Blind:
    """A scope that could not be looked at, and why. A result, never an error.

    `scope` is an absolute path (the path and all below it), a namespace name, or `*` for all of a
    kind. `reason` is a sentence.
    """

    kind: str
    scope: bytes
    reason: str

    @property
    def of_content(self) -> bool:
        """Whether only the content could not be read, the rest being known."""
        return self.reason.startswith(CONTENT)

    def covers(self, scope: Value, key: Value = None) -> bool:
        """Whether the thing at (`scope`, `key`) lies in the part that was not seen."""
        if self.scope == b"*":
            return True
        if isinstance(scope, str):
            scope = scope.encode()
        if not isinstance(scope, bytes):
            return False
        if under(scope, self.scope):
            return True
        if isinstance(key, bytes):
            return under(key if key.startswith(b"/") else join(scope, key), self.scope)
        return False


@dataclass(frozen=True, slots=True)
class Sweep:
    """One look at one scope: what was there, what could not be seen, when.

    `rows` are sorted by key and hold the first `fact.QUICK` fields (QUICK) or all (FULL). `only`
    limits the look to some keys of the scope (a hint), `span` to the keys from its first up to but
    not including its second value (a slice of a huge folder; None: no end); with neither the whole
    scope was listed. A baseline key within the limits that is missing from `rows` is gone.
    `contents` holds texts of files whose rule asks for diffs, by digest; `postponed` are keys whose
    content was too large to be read in this look, and is to be read in another. `began` and `ended` are
    wall-clock nanoseconds.
    """

    fact: type[Fact]
    scope: Value
    depth: Depth
    rows: list[Row]
    blinds: tuple[Blind, ...] = ()
    only: frozenset[Value] | None = None
    span: tuple[Value, Value] | None = None
    contents: Mapping[bytes, bytes] = field(default_factory=dict)
    began: int = 0
    ended: int = 0
    postponed: frozenset[Value] = frozenset()


@dataclass(frozen=True, slots=True)
class Hint:
    """Something happened about `name` in `folder` (None: to the folder itself or all in it).

    `deep` asks for everything below, as after a folder was moved in. `at` is monotonic nanoseconds.
    """

    folder: bytes
    name: bytes | None
    at: int
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Drift:
    """One key that is not as approved. `changed` names the fields, in row order."""

    fact: type[Fact]
    before: Fact | None
    after: Fact | None
    changed: tuple[str, ...]

    @property
    def action(self) -> Action:
        """Added, removed or changed."""
        if self.before is None:
            return Action.ADDED
        return Action.REMOVED if self.after is None else Action.CHANGED

    @property
    def subject(self) -> Fact:
        """The newer side that exists."""
        found = self.after or self.before
        assert found is not None
        return found

    def gained(self) -> frozenset[str]:
        """Traits it has now and did not have before."""
        if self.after is None:
            return frozenset()
        had = self.before.traits() if self.before is not None else frozenset()
        return self.after.traits() - had


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy says of a drift: how loud, which rule, which technique, what to do."""

    rule: str
    severity: Severity
    technique: str
    advice: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A drift that was judged. Open until it is accepted into a generation or clears by itself.

    `id` is short, stable while the finding is open, and the same after a crash. `generation` is the
    baseline it was measured against. Times are wall-clock nanoseconds.
    """

    id: str
    drift: Drift
    verdict: Verdict
    generation: int
    first_seen: int
    last_seen: int
    diff: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """What is written to the alert log, before it has a number.

    `kind` is a fact's kind, `group` (many findings as one), or `health` (about ourselves). `id` is
    deterministic: the same event told twice has the same id. `fields` are ECS fields of the subject
    by dotted name (`file.path`); `data` is what goes under `hostguard.` (before, after, changed, …).
    Strings in both may still be hostile: `record` escapes. `at` is wall-clock nanoseconds.
    """

    id: str
    at: int
    kind: str
    action: str
    severity: Severity
    message: str
    rule: str = ""
    technique: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Generation:
    """One approved baseline: who approved it, when, why, and the digest of all its rows.

    `actor` is a sentence (`alice (uid 1000) by sudo, pid 4711`), `at` wall-clock nanoseconds,
    `reviewed` is False for the one captured at first start, `facts` counts rows.
    """

    number: int
    at: int
    actor: str
    reason: str
    reviewed: bool
    digest: str
    facts: int
    parent: int


def _int(value: Value) -> int:
    """`value` as the int that its column holds."""
    assert isinstance(value, int)
    return value


def join(folder: bytes, name: bytes) -> bytes:
    """`folder`/`name` without doubling the root's slash."""
    return folder + name if folder.endswith(b"/") else folder + b"/" + name


def split(path: bytes) -> tuple[bytes, bytes]:
    """(folder, name) of an absolute path; the root is (b"/", b"")."""
    folder, _, name = path.rpartition(b"/")
    return folder or b"/", name


def under(path: bytes, top: bytes) -> bool:
    """Whether `path` is `top` or lies below it."""
    return path == top or path.startswith(top if top.endswith(b"/") else top + b"/")


_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def encode_xattrs(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Canonical bytes of extended attributes: sorted `name=hex(value)` lines; b"" for none.

    A name is anything but NUL (xattr(7)): a newline in it is written as backslash and n.
    """
    plain = ((name.replace(b"\\", rb"\\").replace(b"\n", rb"\n"), value) for name, value in pairs)
    return b"\n".join(sorted(name + b"=" + value.hex().encode() for name, value in plain))


def decode_xattrs(blob: bytes) -> dict[bytes, bytes]:
    """The inverse of `encode_xattrs`."""
    found = {}
    for line in blob.split(b"\n") if blob else ():
        name, _, value = line.rpartition(b"=")
        name = _ESCAPED.sub(lambda match: b"\n" if match[1] == b"n" else match[1], name)
        found[name] = bytes.fromhex(value.decode())
    return found
