"""TOML to a frozen `Config`: every mistake at once, each with its key and, where close, a suggestion.

Pure: texts come in, a `Config` or a `ConfigError` goes out. What each table of the file accepts is
said in `sections`, `watchlist`, `rules` and `destinations`; here sources are laid one over the other.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .destinations import Destination, check_destination
from .errors import ConfigError
from .rules import Rule, check_rule
from .sections import (
    ActorsConfig,
    AlertLogConfig,
    AutomationConfig,
    BaselineConfig,
    ControlConfig,
    EventsConfig,
    HiddenConfig,
    Hints,
    ListenersConfig,
    LogsConfig,
    Paths,
    ProcessesConfig,
    SetIdConfig,
    Sweeps,
    WindowsConfig,
)
from .validate import Mistake, entries, read_fields, reads, table
from .watchlist import Watch, check_watch


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration."""

    paths: Paths = field(default=Paths(), metadata=reads(table(Paths)))
    sweeps: Sweeps = field(default=Sweeps(), metadata=reads(table(Sweeps)))
    hints: Hints = field(default=Hints(), metadata=reads(table(Hints)))
    alerts: AlertLogConfig = field(default=AlertLogConfig(), metadata=reads(table(AlertLogConfig)))
    baseline: BaselineConfig = field(default=BaselineConfig(), metadata=reads(table(BaselineConfig)))
    windows: WindowsConfig = field(default=WindowsConfig(), metadata=reads(table(WindowsConfig)))
    automation: AutomationConfig = field(default=AutomationConfig(), metadata=reads(table(AutomationConfig)))
    control: ControlConfig = field(default=ControlConfig(), metadata=reads(table(ControlConfig)))
    setid: SetIdConfig = field(default=SetIdConfig(), metadata=reads(table(SetIdConfig)))
    listeners: ListenersConfig = field(default=ListenersConfig(), metadata=reads(table(ListenersConfig)))
    processes: ProcessesConfig = field(default=ProcessesConfig(), metadata=reads(table(ProcessesConfig)))
    hidden: HiddenConfig = field(default=HiddenConfig(), metadata=reads(table(HiddenConfig)))
    actors: ActorsConfig = field(default=ActorsConfig(), metadata=reads(table(ActorsConfig)))
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
