"""TOML to a frozen `Config`: every mistake at once, each with its key and, where close, a suggestion.

Pure: text comes in, a `Config` or a `ConfigError` goes out. Durations are seconds (float), sizes
bytes (int), paths of the host bytes, our own paths str.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .model import Action, Severity


@dataclass(frozen=True, slots=True)
class Paths:
    """`[paths]`: where our own files lie, so that a trial can run in a folder of its own."""

    state: str = "/var/lib/hostguardd"
    log: str = "/var/log/hostguardd"
    run: str = "/run/hostguardd"


@dataclass(frozen=True, slots=True)
class Sweeps:
    """`[sweeps]`: how often each look comes, in seconds.

    `duty` is the share of one core that all periodic file sweeps together may take over time: on a
    large host the intervals stretch to keep it. `pace` is the share of one core a background sweep
    takes while it runs. `workers` is the number of hashing threads of a sweep somebody waits for.
    """

    quick: float = 600.0
    full: float = 86400.0
    setid: float = 3600.0
    listeners: float = 0.5
    processes: float = 0.5
    duty: float = 0.0015
    pace: float = 0.25
    workers: int = 3


@dataclass(frozen=True, slots=True)
class Hints:
    """`[hints]`: how a burst of changes settles into one (seconds), and the watch budget.

    A path whose rule is critical does not settle. `storm` findings in one settling window become
    one group alert.
    """

    settle: float = 0.25
    settle_max: float = 0.6
    storm: int = 20
    max_watches: int = 0  # 0: three quarters of fs.inotify.max_user_watches


@dataclass(frozen=True, slots=True)
class AlertLogConfig:
    """`[alerts]`: rotation of the alert log. `reserve` bytes are kept back for a full disk."""

    rotate: int = 64 * 1024 * 1024
    keep: int = 16
    reserve: int = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BaselineConfig:
    """`[baseline]`: how many generations are kept besides the current one."""

    keep: int = 50


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """`[control]`: the group whose members may use the reading commands ("" for nobody)."""

    group: str = "hostguard"


@dataclass(frozen=True, slots=True)
class SetIdConfig:
    """`[setid]`: which file systems the whole-host inventory walks, and what is watched live."""

    network: bool = False
    containers: bool = False
    exclude: tuple[bytes, ...] = ()
    watch: tuple[bytes, ...] = (b"/tmp", b"/var/tmp", b"/dev/shm", b"/home", b"/root")


@dataclass(frozen=True, slots=True)
class ListenersConfig:
    """`[listeners]`: Unix sockets whose path matches `ignore_unix` are not facts."""

    unix: bool = True
    ignore_unix: tuple[bytes, ...] = (b"/tmp/ssh-*", b"/run/user/*", b"@/tmp/*")
    udp_settle: float = 5.0


@dataclass(frozen=True, slots=True)
class ProcessesConfig:
    """`[processes]`: seconds a process must live before it is news, by how it came to be.

    `detached`: left behind by whatever started it. `managed`: started by the service manager (its
    one-shot jobs end by themselves). `helper`: started by a service. `missing`: how long a service
    may be away (a restart). `instances`: how long more copies than approved may overlap.
    """

    detached: float = 0.3
    managed: float = 30.0
    helper: float = 60.0
    missing: float = 30.0
    instances: float = 5.0


ATTRIBUTES = (
    "mode", "uid", "gid", "size", "mtime", "ctime", "inode", "links", "device",
    "target", "sha256", "xattrs", "flags",
)  # fmt: skip
"""Attributes of a file that a watch may leave out with `ignore`."""


@dataclass(frozen=True, slots=True)
class Watch:
    """`[[watch]]`: what the files sensor looks at.

    `paths` are absolute and may hold `*`, `?`, `[…]` within a component. `depth` is how many levels
    below a folder are looked at (-1: all; 0: just that entry). `exclude` are globs: absolute ones
    match the whole path (`*` also crosses `/`), others a name. `ignore` names attributes that are
    not compared. `growing`: an append-only file, whose approved beginning must still hold.
    `diff`: alerts may quote a bounded unified diff of it (never of secrets).
    The most specific watch wins for a path: exact path, then deeper path, then later in the file.
    """

    name: str
    paths: tuple[bytes, ...]
    depth: int = -1
    exclude: tuple[bytes, ...] = ()
    ignore: frozenset[str] = frozenset()
    growing: bool = False
    diff: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """`[[rule]]`: how loud a drift is. The first rule that matches wins.

    `kind` is the fact's kind ("" any). `actions`, `changed` (any of these fields), `gained` (any of
    these traits) are empty for "any". `where` maps a field of the fact (or `label`, for files also
    `path`) to globs, numbers or ranges (`1-1023`) as text; every entry must match one of its values.
    """

    name: str
    severity: Severity
    kind: str = ""
    actions: frozenset[Action] = frozenset()
    changed: frozenset[str] = frozenset()
    gained: frozenset[str] = frozenset()
    where: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict)
    technique: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration."""

    paths: Paths = Paths()
    sweeps: Sweeps = Sweeps()
    hints: Hints = Hints()
    alerts: AlertLogConfig = AlertLogConfig()
    baseline: BaselineConfig = BaselineConfig()
    control: ControlConfig = ControlConfig()
    setid: SetIdConfig = SetIdConfig()
    listeners: ListenersConfig = ListenersConfig()
    processes: ProcessesConfig = ProcessesConfig()
    watches: tuple[Watch, ...] = ()
    rules: tuple[Rule, ...] = ()
