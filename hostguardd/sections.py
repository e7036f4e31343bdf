"""The tables of the configuration that stand once each: what is known there, its defaults, what it accepts.

Pure. Durations are seconds (float), sizes bytes (int), paths of the host bytes, our own paths str. Each class
is one table of the file: its fields are the known keys, their defaults the defaults, and their metadata
what they accept (`validate`), so that nothing about a setting is written down twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .readers import GROUP, SOCKET_ROOM, UNIT, USER, host_path, own_path, path_glob
from .validate import boolean, choice, duration, many, reads, share, size, whole

DAY = 86400.0
RUNGS = ("audit", "fanotify")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Paths:
    """`[paths]`: where our own files lie, so that a trial can run in a folder of its own."""

    state: str = field(default="/var/lib/hostguardd", metadata=reads(own_path()))
    log: str = field(default="/var/log/hostguardd", metadata=reads(own_path()))
    run: str = field(default="/run/hostguardd", metadata=reads(own_path(SOCKET_ROOM)))
    forward: str = field(default="/var/lib/hostguardd-forward", metadata=reads(own_path()))


@dataclass(frozen=True, slots=True)
class Sweeps:
    """`[sweeps]`: how often each look comes, in seconds.

    `duty` is the share of one core that all periodic file sweeps together may take over time: on a
    large host the intervals stretch to keep it. `pace` is the share of one core a background sweep
    takes while it runs. `workers` is the number of processes that read files in a sweep somebody
    waits for.
    `pulse`: how often the marks of what is critical are compared, for changes that bring no hint.
    A file larger than `largest` bytes is watched by its metadata only, and named as blind.
    """

    quick: float = field(default=600.0, metadata=reads(duration(0.5, 7 * DAY)))
    full: float = field(default=DAY, metadata=reads(duration(1, 90 * DAY)))
    pulse: float = field(default=1.0, metadata=reads(duration(0.1, 3600)))
    setid: float = field(default=3600.0, metadata=reads(duration(1, 90 * DAY)))
    listeners: float = field(default=0.5, metadata=reads(duration(0.05, 3600)))
    processes: float = field(default=0.5, metadata=reads(duration(0.05, 3600)))
    mounts: float = field(default=0.5, metadata=reads(duration(0.05, 3600)))
    kernel: float = field(default=5.0, metadata=reads(duration(0.05, 3600)))
    accounts: float = field(default=5.0, metadata=reads(duration(0.05, 3600)))
    logs: float = field(default=2.0, metadata=reads(duration(0.05, 3600)))
    hidden: float = field(default=3600.0, metadata=reads(duration(1, 90 * DAY)))
    duty: float = field(default=0.0015, metadata=reads(share(0.0001, 1)))
    pace: float = field(default=0.25, metadata=reads(share(0.01, 1)))
    workers: int = field(default=2, metadata=reads(whole(1, 64)))
    largest: int = field(default=8192 * MIB, metadata=reads(size(MIB, 2**50)))


@dataclass(frozen=True, slots=True)
class Hints:
    """`[hints]`: how a burst of changes settles into one (seconds), and the watch budget.

    A path whose rule is critical does not settle. `storm` findings in one settling window become
    one group alert. `max_watches` 0 is three quarters of fs.inotify.max_user_watches.
    """

    settle: float = field(default=0.25, metadata=reads(duration(0, 60)))
    settle_max: float = field(default=0.6, metadata=reads(duration(0, 300)))
    storm: int = field(default=20, metadata=reads(whole(2, 100_000)))
    max_watches: int = field(default=0, metadata=reads(whole(0, 100_000_000)))


@dataclass(frozen=True, slots=True)
class AlertLogConfig:
    """`[alerts]`: rotation of the alert log. `reserve` bytes are kept back for a full disk.

    `keep` full files stay, and up to `keep_unsent` of them while a destination has not had what is in them.
    """

    rotate: int = field(default=64 * MIB, metadata=reads(size(64 * 1024, 16 * 1024 * MIB)))
    keep: int = field(default=16, metadata=reads(whole(1, 10_000)))
    keep_unsent: int = field(default=64, metadata=reads(whole(1, 10_000)))
    reserve: int = field(default=4 * MIB, metadata=reads(size(0, 1024 * MIB)))


@dataclass(frozen=True, slots=True)
class BaselineConfig:
    """`[baseline]`: how many generations are kept besides the current one. `accept_packages`: "signed": what
    a package brings whose signature verifies, and is exactly as it says, is accepted without being asked.
    """

    keep: int = field(default=50, metadata=reads(whole(1, 10_000)))
    accept_packages: str = field(
        default="never", metadata=reads(choice({word: word for word in ("never", "signed")}))
    )


@dataclass(frozen=True, slots=True)
class WindowsConfig:
    """`[windows]`: for how many seconds at a time changes may be announced (`hostguardctl expect`)."""

    longest: float = field(default=DAY, metadata=reads(duration(60, 7 * DAY)))


@dataclass(frozen=True, slots=True)
class AutomationConfig:
    """`[automation]`: who makes changes on behalf of configuration management: `units` (services, scopes),
    and `users` that its logins are made as, by their names."""

    units: tuple[str, ...] = field(default=(), metadata=reads(many(UNIT)))
    users: tuple[str, ...] = field(default=(), metadata=reads(many(USER)))


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """`[control]`: the group whose members may use the reading commands ("" for nobody)."""

    group: str = field(default="hostguard", metadata=reads(GROUP))


@dataclass(frozen=True, slots=True)
class SetIdConfig:
    """`[setid]`: which file systems the whole-host inventory walks, and what is watched live."""

    network: bool = field(default=False, metadata=reads(boolean))
    containers: bool = field(default=False, metadata=reads(boolean))
    exclude: tuple[bytes, ...] = field(default=(), metadata=reads(many(path_glob)))
    watch: tuple[bytes, ...] = field(
        default=(b"/tmp", b"/var/tmp", b"/dev/shm", b"/home", b"/root"), metadata=reads(many(host_path))
    )


@dataclass(frozen=True, slots=True)
class ListenersConfig:
    """`[listeners]`: Unix sockets whose path matches `ignore_unix` are not facts.

    `udp_settle`: seconds a socket that passes by nature (UDP on a port the kernel chose, raw) must
    live before it is news. `missing`: how long a listener may be away (a restart).
    """

    unix: bool = field(default=True, metadata=reads(boolean))
    ignore_unix: tuple[bytes, ...] = field(
        # Of abstract names only those of desktops: whoever may listen may choose a name.
        default=(
            b"/tmp/ssh-*/**",
            b"/run/user/**",
            b"@/tmp/.X11-unix/X*",
            b"@/tmp/.ICE-unix/*",
            b"@/tmp/dbus-*",
        ),
        metadata=reads(many(path_glob)),
    )
    udp_settle: float = field(default=5.0, metadata=reads(duration(0, 3600)))
    missing: float = field(default=30.0, metadata=reads(duration(0, 3600)))


@dataclass(frozen=True, slots=True)
class ProcessesConfig:
    """`[processes]`: seconds a process must live before it is news, by how it came to be.

    `detached`: left behind by whatever started it. `managed`: started by the service manager (its
    one-shot jobs end by themselves). `helper`: started by a service. `missing`: how long a service
    may be away (a restart). `instances`: how long more copies than approved may overlap.
    """

    detached: float = field(default=0.3, metadata=reads(duration(0, 3600)))
    managed: float = field(default=30.0, metadata=reads(duration(0, DAY)))
    helper: float = field(default=60.0, metadata=reads(duration(0, DAY)))
    missing: float = field(default=30.0, metadata=reads(duration(0, DAY)))
    instances: float = field(default=5.0, metadata=reads(duration(0, DAY)))


@dataclass(frozen=True, slots=True)
class ActorsConfig:
    """`[actors]`: what may be asked who made a change, as far as it is there; none: nobody is asked."""

    rungs: tuple[str, ...] = field(
        default=("audit", "fanotify"), metadata=reads(many(choice({name: name for name in RUNGS})))
    )


@dataclass(frozen=True, slots=True)
class HiddenConfig:
    """`[hidden]`: whether each port is tried by bind(2), to find those that no table shows."""

    ports: bool = field(default=True, metadata=reads(boolean))


@dataclass(frozen=True, slots=True)
class LogsConfig:
    """`[logs]`: files that only grow. `files` are globs of paths, `exclude` takes some of them away."""

    files: tuple[bytes, ...] = field(
        default=(
            b"/var/log/*.log", b"/var/log/*/*.log", b"/var/log/*/*_log", b"/var/log/messages",
            b"/var/log/secure", b"/var/log/syslog", b"/var/log/cron", b"/var/log/maillog",
            b"/var/log/spooler", b"/var/log/debug", b"/var/log/mail.err", b"/var/log/mail.info",
            b"/var/log/mail.warn", b"/var/log/firewalld", b"/var/log/sudo",
            b"/var/log/warn", b"/var/log/samba/log.*",
        ),
        metadata=reads(many(host_path)),
    )  # fmt: skip
    exclude: tuple[bytes, ...] = field(
        default=(
            b"/var/log/boot.log", b"/var/log/fontconfig.log", b"/var/log/gpu-manager.log",
            b"/var/log/vbox*", b"/var/log/vmware-*", b"/var/log/**/*-status.log", b"/var/log/containers/*",
            b"/var/log/hostguardd/*",
        ),
        metadata=reads(many(path_glob)),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class EventsConfig:
    """`[events]`: what is read from the lines of logs, and how much of it is worth telling.

    `refusals`: fewer refused logins of one source are a mistyped password. `sources`: so many sources of
    a service are told one by one, the rest together. `window`: seconds after which a line is forgotten.
    """

    files: tuple[bytes, ...] = field(
        default=(
            b"/var/log/messages", b"/var/log/secure", b"/var/log/syslog", b"/var/log/auth.log",
            b"/var/log/kern.log", b"/var/log/maillog", b"/var/log/mail.log", b"/var/log/vsftpd.log",
            b"/var/log/proftpd/proftpd.log", b"/var/log/audit/audit.log",
        ),
        metadata=reads(many(host_path)),
    )  # fmt: skip
    refusals: int = field(default=5, metadata=reads(whole(1, 1_000_000)))
    sources: int = field(default=32, metadata=reads(whole(1, 4096)))
    window: float = field(default=DAY, metadata=reads(duration(60, 90 * DAY)))
