"""TOML to a frozen `Config`: every mistake at once, each with its key and, where close, a suggestion.

Pure: texts come in, a `Config` or a `ConfigError` goes out. Durations are seconds (float), sizes
bytes (int), paths of the host bytes, our own paths str. Each class below is one table of the file:
its fields are the known keys, their defaults the defaults, and their metadata what they accept
(`validate`), so that nothing about a setting is written down twice.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from . import globs
from .destinations import Destination, check_destination
from .errors import ConfigError
from .model import BY_KIND, Action, Severity
from .readers import (
    ACTIONS,
    GROUP,
    NAME,
    SEVERITIES,
    SOCKET_ROOM,
    TECHNIQUE,
    WORD,
    exclude_glob,
    host_path,
    name_glob,
    own_path,
    path_glob,
    watched_path,
    where,
)
from .validate import (
    Mistake,
    boolean,
    choice,
    duration,
    entries,
    invalid,
    many,
    read_fields,
    reads,
    share,
    show,
    size,
    some,
    table,
    text,
    whole,
)
from .vocabulary import NUMBER, TRAITS, comparable, matchable, number_range

DAY = 86400.0
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
    """`[baseline]`: how many generations are kept besides the current one."""

    keep: int = field(default=50, metadata=reads(whole(1, 10_000)))


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
        default=(b"/tmp/ssh-*/**", b"/run/user/**", b"@/tmp/**"), metadata=reads(many(path_glob))
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


ATTRIBUTES = (
    "mode", "uid", "gid", "size", "mtime", "ctime", "inode", "links", "device",
    "target", "sha256", "xattrs", "flags",
)  # fmt: skip
"""Attributes of a file that a watch may leave out with `ignore`."""

SELECTED: Mapping[str, str] = {
    "program": "regular files that somebody may execute, set-id ones, and what begins as ELF or with #!",
    "page": "regular files that hold a page's code (<?php, <?=, <%) within their first bytes",
    "regular": "regular files",
    "odd": "entries of any type whose name is made to be overlooked (`fact.odd_name`)",
}
"""What a watch may be limited to with `select`."""


@dataclass(frozen=True, slots=True)
class Watch:
    """`[[watch]]`: what the files sensor looks at.

    `paths` are absolute and may hold `*`, `?`, `[…]` within a component; `~` or `~/…` stands for every
    account's home (`homes`), also in `exclude`. A later source switches an earlier watch off by giving it
    no paths. `depth` is how many levels below a folder are looked at (-1:
    all; 0: just that entry). `exclude` are globs: absolute ones match the whole path (`**` crosses
    folders, `*` does not), others a name. `ignore` names attributes that are
    not compared. `growing`: an append-only file, whose approved beginning must still hold.
    `diff`: alerts may quote a bounded unified diff of it (never of secrets).
    `select` (words of `SELECTED`) and `names` (globs of a name, upper and lower case alike) limit the
    watch: with either, only entries that one of them fits are facts. Folders always are, as they lead
    to what lies below.
    The most specific watch wins for a path: exact path, then deeper path, then later in the file.
    """

    name: str = field(metadata=reads(NAME))
    paths: tuple[bytes, ...] = field(metadata=reads(many(watched_path)))
    depth: int = field(default=-1, metadata=reads(whole(-1, 4096)))
    exclude: tuple[bytes, ...] = field(default=(), metadata=reads(many(exclude_glob)))
    ignore: frozenset[str] = field(
        default=frozenset(), metadata=reads(some(choice({name: name for name in ATTRIBUTES})))
    )
    growing: bool = field(default=False, metadata=reads(boolean))
    diff: bool = field(default=False, metadata=reads(boolean))
    select: frozenset[str] = field(
        default=frozenset(), metadata=reads(some(choice({word: word for word in SELECTED})))
    )
    names: tuple[bytes, ...] = field(default=(), metadata=reads(many(name_glob)))

    @property
    def selective(self) -> bool:
        """Whether only some of the entries it reaches are facts."""
        return bool(self.select or self.names)

    @property
    def of_programs(self) -> bool:
        """Whether every program that it reaches is a fact."""
        return not self.selective or not self.select.isdisjoint({"program", "regular"})


@dataclass(frozen=True, slots=True)
class Rule:
    """`[[rule]]`: how loud a drift is. The first rule that matches wins.

    `kind` is the fact's kind ("" any). `actions`, `changed` (any of these fields), `only` (these
    fields and no others), `gained` (any of these traits) are empty for "any". `where` maps a field of
    the fact (or `label`, for files also `path` and `type`) to globs, numbers or ranges (`1-1023`) as
    text; every entry must match one of its values. Globs of paths may begin with `~/` (`homes`).
    """

    name: str = field(metadata=reads(NAME))
    severity: Severity = field(metadata=reads(choice(SEVERITIES)))
    kind: str = field(default="", metadata=reads(choice({kind: kind for kind in ("", *BY_KIND)})))
    actions: frozenset[Action] = field(default=frozenset(), metadata=reads(some(choice(ACTIONS))))
    changed: frozenset[str] = field(default=frozenset(), metadata=reads(some(WORD)))
    only: frozenset[str] = field(default=frozenset(), metadata=reads(some(WORD)))
    gained: frozenset[str] = field(default=frozenset(), metadata=reads(some(WORD)))
    where: Mapping[str, tuple[bytes, ...]] = field(default_factory=dict, metadata=reads(where))
    technique: str = field(default="", metadata=reads(TECHNIQUE))
    advice: str = field(default="", metadata=reads(text()))


SECRETS: tuple[bytes, ...] = (
    b"/etc/shadow*", b"/etc/gshadow*", b"/etc/security/opasswd*", b"**/*.key", b"**/*.pem", b"**/*.p12",
    b"**/*.pfx", b"**/*.jks", b"**/*.keytab", b"**/ssh_host_*_key", b"**/.ssh/id_*", b"**/private/**",
    b"**/.gnupg/**", b"**/*secrets*", b"**/*htpasswd*", b"**/.pgpass", b"**/.netrc", b"**/.my.cnf",
    b"**/.*_history", b"/etc/wireguard/**", b"/etc/sssd/**", b"/etc/NetworkManager/system-connections/**",
)  # fmt: skip
"""What is never quoted, whatever a watch says."""

_SECRET = globs.compile_paths(SECRETS)
_SECRET_SAMPLES = (
    b"/etc/shadow",
    b"/etc/gshadow",
    b"/etc/ssh/ssh_host_ed25519_key",
    b"/root/.ssh/id_ed25519",
)
"""Secrets found on every host: a watch with `diff` that would reach one is a mistake worth telling."""


def secret(path: bytes) -> bool:
    """Whether the contents of `path` must stay on this host: it is never quoted in a diff."""
    return _SECRET.fullmatch(path) is not None


def _reaches(watch: Watch, path: bytes) -> bool:
    """Whether `path` lies within what `watch` names and does not exclude."""
    if any(
        globs.compile_path(glob).fullmatch(path if glob.startswith(b"/") else path.rpartition(b"/")[2])
        for glob in map(_roots, watch.exclude)
    ):
        return False
    parts = path.split(b"/")
    above = {b"/".join(parts[:count]) or b"/": len(parts) - count for count in range(1, len(parts) + 1)}
    return any(
        globs.compile_path(_roots(glob)).fullmatch(folder) and (watch.depth < 0 or levels <= watch.depth)
        for glob in watch.paths
        for folder, levels in above.items()
    )


def _roots(glob: bytes) -> bytes:
    """The glob for root's home, if it is one for every home."""
    return b"/root" + glob[1:] if glob == b"~" or glob.startswith(b"~/") else glob


def check_watch(watch: Watch) -> list[Mistake]:
    """What is wrong with a watch as a whole."""
    if not watch.diff:
        return []
    found = [path for path in _SECRET_SAMPLES if _reaches(watch, path)]
    found += [path for path in watch.paths if secret(path) and path not in found]
    return [
        (
            ".diff",
            f"true would quote {show(path.decode())} in alerts, allowed: paths of texts that hold no secrets",
        )
        for path in found
    ]


def check_rule(rule: Rule) -> list[Mistake]:
    """What is wrong with a rule as a whole: words that its kind of fact does not know."""
    facts = [BY_KIND[rule.kind]] if rule.kind else list(BY_KIND.values())
    kind = rule.kind or "any fact"
    compared = frozenset(chain.from_iterable(comparable(fact) for fact in facts))
    traits = frozenset(chain.from_iterable(TRAITS[fact.KIND] for fact in facts))
    known: dict[str, str] = dict(chain.from_iterable(matchable(fact).items() for fact in facts))
    mistakes = list(
        chain(
            _strangers(".changed", rule.changed, compared, f"no compared field of {kind}"),
            _strangers(".only", rule.only, compared, f"no compared field of {kind}"),
            _strangers(".gained", rule.gained, traits, f"no trait of {kind}"),
            _strangers(".where", rule.where, known, f"no field of {kind}"),
            *(
                _misfits(f".where.{name}", known[name], rule.where[name])
                for name in rule.where
                if name in known
            ),
        )
    )
    if rule.actions and Action.CHANGED not in rule.actions and (rule.changed or rule.only):
        mistakes.append((".actions", 'never "changed", though the rule asks for changed fields'))
    if rule.actions == {Action.REMOVED} and rule.gained:
        mistakes.append((".actions", "what was removed gains nothing, though the rule asks for it"))
    return mistakes


def _strangers(
    place: str, words: Sequence[str] | frozenset[str] | Mapping[str, object], known: Any, what: str
) -> Iterator[Mistake]:
    """A mistake for each of `words` that is not among the `known`."""
    for word in sorted(words):
        if word not in known:
            yield from invalid(f"{show(word)} is {what}", ", ".join(sorted(known)), word, known).below(place)


def _misfits(place: str, kind: str, values: tuple[bytes, ...]) -> Iterator[Mistake]:
    """A mistake for each of the `values` that a field of this kind could not be compared with."""
    for value in values:
        try:
            number_range(value) if kind == NUMBER else globs.compile_path(value)
        except globs.GlobError as error:
            yield place, f"{show(value.decode())} is a bad glob, it {error}"
        except ValueError:
            yield place, f'{show(value.decode())} is no number, allowed: 22, "1-1023", "1024-", "0o4755"'


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration."""

    paths: Paths = field(default=Paths(), metadata=reads(table(Paths)))
    sweeps: Sweeps = field(default=Sweeps(), metadata=reads(table(Sweeps)))
    hints: Hints = field(default=Hints(), metadata=reads(table(Hints)))
    alerts: AlertLogConfig = field(default=AlertLogConfig(), metadata=reads(table(AlertLogConfig)))
    baseline: BaselineConfig = field(default=BaselineConfig(), metadata=reads(table(BaselineConfig)))
    control: ControlConfig = field(default=ControlConfig(), metadata=reads(table(ControlConfig)))
    setid: SetIdConfig = field(default=SetIdConfig(), metadata=reads(table(SetIdConfig)))
    listeners: ListenersConfig = field(default=ListenersConfig(), metadata=reads(table(ListenersConfig)))
    processes: ProcessesConfig = field(default=ProcessesConfig(), metadata=reads(table(ProcessesConfig)))
    hidden: HiddenConfig = field(default=HiddenConfig(), metadata=reads(table(HiddenConfig)))
    logs: LogsConfig = field(default=LogsConfig(), metadata=reads(table(LogsConfig)))
    events: EventsConfig = field(default=EventsConfig(), metadata=reads(table(EventsConfig)))
    watches: tuple[Watch, ...] = field(default=(), metadata=reads(entries(Watch, check_watch), "watch"))
    rules: tuple[Rule, ...] = field(default=(), metadata=reads(entries(Rule, check_rule), "rule"))
    destinations: tuple[Destination, ...] = field(
        default=(), metadata=reads(entries(Destination, check_destination), "destination")
    )


def parse(sources: Sequence[tuple[str, str]], only: Collection[str] = ()) -> Config:
    """The configuration of `sources`, pairs of a name for messages and a TOML text, weakest first.

    A later source overrides single keys. Its `[[watch]]` and `[[rule]]` entries replace, in their
    place, earlier ones of the same name; its other rules come before all earlier ones, so that a
    site's own rule is the first match; its other watches and destinations come after. `only`: the tables
    that matter to whoever asks, whatever is wrong with the others (none: all of them).

    Raises ConfigError with every mistake of every source, one line each:
    `FILE: key.path: what is wrong, what is allowed; did you mean "…"?`
    """
    problems: list[str] = []
    tables: dict[str, dict[str, Any]] = {"watches": {}, "rules": {}, "destinations": {}}
    origin: dict[tuple[str, str], str] = {}
    for source, content in sources:
        given, mistakes = _decode(content)
        if only:
            given = {name: value for name, value in given.items() if name in only}
        found, more = read_fields(Config, given)
        problems += [f"{source}: {where.lstrip('.') or 'file'}: {what}" for where, what in mistakes + more]
        for section, values in found.items():
            older = tables.setdefault(section, {})
            replaced = {name: values.get(name, value) for name, value in older.items()}
            added = {name: value for name, value in values.items() if name not in older}
            tables[section] = {**added, **replaced} if section == "rules" else {**replaced, **added}
            origin.update(dict.fromkeys(((section, name) for name in values), source))
    watches, rules, destinations = (tables.pop(name) for name in ("watches", "rules", "destinations"))
    config = Config(
        watches=tuple(watch for watch in watches.values() if watch.paths),
        rules=tuple(rules.values()),
        destinations=tuple(one for one in destinations.values() if one.enabled),
    )
    config = replace(config, **{name: replace(getattr(config, name), **tables[name]) for name in tables})
    if config.hints.settle > config.hints.settle_max:
        source = origin.get(("hints", "settle")) or origin[("hints", "settle_max")]
        problems.append(
            f"{source}: hints.settle: {config.hints.settle:g}s is more than hints.settle_max, "
            f"allowed: up to {config.hints.settle_max:g}s"
        )
    if problems:
        raise ConfigError(problems)
    return config


def _decode(content: str) -> tuple[dict[str, Any], list[Mistake]]:
    """The tables of a TOML text, or where its syntax breaks."""
    try:
        return tomllib.loads(content), []
    except RecursionError:
        return {}, [("", "is nested too deeply to be read")]
    except ValueError as error:
        # The position is only in the text of the message before Python 3.14.
        parts = re.fullmatch(r"(.*) \(at (line \d+, column \d+|end of document)\)", str(error), re.DOTALL)
        what, place = parts.groups() if parts else (str(error), "")
        return {}, [(place, f"is not TOML: {what}")]
