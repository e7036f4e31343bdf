"""From a configuration to the parts that do its work: policy, watches, sensors.

All of it is made anew when the configuration is read again; the store, the log and the lanes stay.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias, TypeVar

from ..config import Config
from ..errors import SensorError
from ..homes import USUAL, Homes, expand, named_homes, plausible
from ..host.bundle import Host
from ..host.clock import Clock
from ..host.mounts import MountMap
from ..model import Depth, Fact, FileFact, Row, SetIdFact, Sweep, join, under
from ..policy import Policy
from ..sensors.accounts import AccountsSensor
from ..sensors.crew import Crew
from ..sensors.events import EventsSensor
from ..sensors.files import FilesSensor
from ..sensors.hidden import HiddenGlance, HiddenSensor
from ..sensors.interface import Request, Sensor
from ..sensors.keys import KeysSensor
from ..sensors.listeners import ListenersSensor
from ..sensors.logins import LoginsSensor
from ..sensors.logs import LogsSensor
from ..sensors.modules import ModulesSensor
from ..sensors.mounts import MountsSensor
from ..sensors.processes import ProcessesSensor
from ..sensors.setid import SetIdSensor
from ..sensors.settings import SettingsSensor
from ..watches import Watches


class PolledSensor(Sensor, Protocol):
    """A sensor of live state, cheap to ask whether a sweep is worth it."""

    def changed(self) -> bool:
        """Whether something may have changed since the last sweep."""
        ...

    def expect(self, rows: Iterable[Row]) -> None:
        """Approved rows: what has not come up yet at our own start is not missing."""
        ...


Some = TypeVar("Some", bound=Sensor)


def each(sensors: Iterable[Some], look: Callable[[Some], Iterator[Sweep]]) -> Iterator[Sweep]:
    """What each of them brings. One that fails takes no other down: who can make one sensor fail must not
    blind the rest. Raises the first failure at the end, as SensorError."""
    failed: SensorError | None = None
    for sensor in sensors:
        try:
            yield from look(sensor)
        except Exception as error:  # noqa: BLE001 - told at the end, by who asked for all this
            failed = failed or SensorError(sensor.fact.KIND, f"{type(error).__name__}: {error}")
            failed.__cause__ = failed.__cause__ or error
    if failed is not None:
        raise failed


class RecallingSensor(PolledSensor, Protocol):
    """One that must know what it saw in an earlier life of ours to tell what happened since."""

    def recall(self, rows: Iterable[Row]) -> None:
        """Rows that were written down as seen, or approved where they were as approved."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What one configuration comes down to, with the homes that `~` in it stands for: `named` are those
    of the table of accounts, as `plausible` has them. `hurried` is the files sensor with all its
    workers at full speed, for a sweep that somebody waits for. `polled` are asked twice a second
    whether anything moved; `recalling` are those of them that remember; `hinted` are sensors that
    also look where a hint leads; `seldom` have a schedule of their own, by its name."""

    config: Config
    policy: Policy
    watches: Watches
    files: FilesSensor
    hurried: FilesSensor
    setid: SetIdSensor
    polled: tuple[PolledSensor, ...]
    hinted: tuple[Sensor, ...] = ()
    recalling: tuple[RecallingSensor, ...] = ()
    seldom: Mapping[str, Sensor] = field(default_factory=dict)
    named: tuple[bytes, ...] = ()

    def live(self) -> list[tuple[str, Sensor]]:
        """All sensors but those of files, by the name of the lane that they work in."""
        return [
            *(("live", one) for one in self.polled),
            *(("inventory", one) for one in self.seldom.values()),
        ]

    def sensors(self) -> list[Sensor]:
        """Every sensor there is."""
        return [self.files, self.setid, *self.polled, *self.seldom.values()]

    def look(self, asked: Sequence[Request], stop: Callable[[], bool]) -> Iterator[Sweep]:
        """A look by everybody whom a hint may concern: what it means before what it is."""
        sensors: tuple[Sensor, ...] = (*self.hinted, self.files, self.setid)
        return each(sensors, lambda sensor: sensor.look(asked, stop))

    def poll(self, stop: Callable[[], bool]) -> Iterator[Sweep]:
        """Ask the live sensors cheaply, and sweep with those that have something."""

        def ask(sensor: PolledSensor) -> Iterator[Sweep]:
            if sensor.changed():
                yield from sensor.sweep(Depth.QUICK, stop)

        return each(self.polled, ask)

    def relevant(self, folder: bytes, name: bytes | None) -> bool:
        """Whether any sensor cares about what happened there."""
        if any(under(folder, top) for top in self.config.setid.watch):
            return True
        plan = self.watches.plan(folder)
        if not plan.empty and (name is None or plan.reach(name) is not None):
            return True
        return self.watches.leads(folder if name is None else join(folder, name))

    def left_out(self, fact: type[Fact], key: Row) -> bool:
        """Whether the configuration leaves a key out, so that not seeing it says nothing."""
        if fact is FileFact:
            return self.watches.find(join(key[0], key[1])) is None  # type: ignore[arg-type]
        return fact is SetIdFact and self.setid.leaves_out(key[1])  # type: ignore[arg-type]

    def urgent(self, path: bytes) -> bool:
        """Whether a change at `path` must be told at once."""
        return self.watches.find(path) is not None and self.policy.urgent(path)

    def urgent_globs(self) -> tuple[bytes, ...]:
        """The globs of paths that critical rules name."""
        return self.policy.urgent_globs()


OnFolder: TypeAlias = Callable[[bytes], None]


def build(config: Config, host: Host, clock: Clock, on_folder: OnFolder, own: int = 0) -> Parts:
    """The parts for `config`, with the homes of the accounts there are now. `own` is the pid of a daemon
    that belongs to the host it watches."""
    named = _named_homes(host)
    at_home = _at_home(config, named, host, clock, on_folder)
    every = config.sweeps.accounts
    accounts = AccountsSensor(host.texts, host.files, every, clock.mono, clock.wall)
    keys = KeysSensor(host.texts, host.files, every, clock.mono, clock.wall)
    logs = LogsSensor(host.files, host.texts, config.logs, config.sweeps.logs, clock.wall, clock.mono)
    events = EventsSensor(host.texts, host.journal, config.events, config.sweeps.logs, clock.wall, clock.mono)
    hidden = HiddenSensor(host.views, host.files.mounts, clock.wall, ports=config.hidden.ports)
    arrivals = events.tally.arrivals
    logins = LoginsSensor(host.texts, host.live, arrivals, config.sweeps.logs, clock.wall, clock.mono)
    return Parts(
        **at_home,
        named=named,
        setid=SetIdSensor(host.files, config.setid, clock.wall, on_folder=on_folder),
        polled=(
            ListenersSensor(host.live, config.listeners, clock.wall),
            ProcessesSensor(host.live, config.processes, clock.wall, own),
            MountsSensor(host.kernel, at_home["watches"], config.sweeps.mounts, clock.wall),
            ModulesSensor(host.kernel, config.sweeps.kernel, clock.wall),
            SettingsSensor(host.kernel, config.sweeps.kernel, clock.wall),
            accounts,
            keys,
            logs,
            events,
            logins,
            HiddenGlance(host.views, clock.wall),
        ),
        hinted=(accounts, keys, hidden),
        recalling=(logs, logins),
        seldom={"hidden": hidden},
    )


def rehouse(
    parts: Parts, config: Config, named: tuple[bytes, ...], host: Host, clock: Clock, on_folder: OnFolder
) -> Parts:
    """`parts` with other homes: what knows none, and what remembers what it saw, stays as it is."""
    at_home = _at_home(config, named, host, clock, on_folder)
    for sensor in parts.polled:
        if isinstance(sensor, MountsSensor):
            sensor.rewatch(at_home["watches"])
    return replace(parts, **at_home, named=named)


def _at_home(
    config: Config, named: tuple[bytes, ...], host: Host, clock: Clock, on_folder: OnFolder
) -> dict[str, Any]:
    """The parts that know homes, by their names in `Parts`."""
    homes = _homes(named, host)
    config = expand(config, homes)
    sweeps = config.sweeps

    def files_sensor(crew: Crew) -> FilesSensor:
        return FilesSensor(
            host.files, config.watches, clock.wall, on_folder=on_folder, largest=sweeps.largest, crew=crew
        )

    plain = files_sensor(Crew(1, sweeps.pace, nice=10))
    return {
        "config": config,
        "policy": Policy(config.rules, homes),
        "watches": plain.watches,
        "files": plain,
        "hurried": files_sensor(Crew(sweeps.workers)),
    }


MOST_ACCOUNTS = 16 * 1024**2
"""Bytes of the table of accounts that are read."""


def _named_homes(host: Host) -> tuple[bytes, ...]:
    """The homes in the table of accounts as it is now."""
    return named_homes(host.texts.read(b"/etc/passwd", MOST_ACCOUNTS).data)


def _homes(named: Iterable[bytes], host: Host) -> Homes:
    """`named` homes and the usual ones, also by the places where their links lead."""
    away = MountMap(host.files.mounts).away

    def places(path: bytes) -> Iterator[bytes]:
        yield path
        try:
            yield host.files.real(path, away)
        except OSError:
            pass  # a ring of links, or it lies on a network mount, which the files sensor will say

    tops = frozenset(places(USUAL)) - {b"/"}
    return Homes(plausible((place for home in named for place in places(home)), tops), tops)


class SystemNames:
    """Account names of this host (`describe.Names`), asked afresh each time: names change."""

    def user(self, uid: int) -> str:
        """The name of a uid, "" if it has none."""
        try:
            return pwd.getpwuid(uid).pw_name
        except KeyError:
            return ""

    def group(self, gid: int) -> str:
        """The name of a gid, "" if it has none."""
        try:
            return grp.getgrgid(gid).gr_name
        except KeyError:
            return ""
