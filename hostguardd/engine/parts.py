"""From a configuration to the parts that do its work: policy, watches, sensors.

All of it is made anew when the configuration is read again; the store, the log and the lanes stay.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..config import Config
from ..errors import SensorError
from ..host.bundle import Host
from ..model import Depth, Fact, FileFact, Row, SetIdFact, Sweep, join, under
from ..policy import Policy
from ..sensors.crew import Crew
from ..sensors.files import FilesSensor
from ..sensors.interface import Request, Sensor
from ..sensors.listeners import ListenersSensor
from ..sensors.processes import ProcessesSensor
from ..sensors.setid import SetIdSensor
from ..watches import Watches
from .clock import Clock


class PolledSensor(Sensor, Protocol):
    """A sensor of live state, cheap to ask whether a sweep is worth it."""

    def changed(self) -> bool:
        """Whether something may have changed since the last sweep."""
        ...

    def expect(self, rows: Iterable[Row]) -> None:
        """Approved rows: what has not come up yet at our own start is not missing."""
        ...


def each(sensors: Iterable[tuple[Sensor, Callable[[], Iterator[Sweep]]]]) -> Iterator[Sweep]:
    """What each of them brings. One that fails takes no other down: who can make one sensor fail must not
    blind the rest. Raises the first failure at the end, as SensorError."""
    failed: SensorError | None = None
    for sensor, look in sensors:
        try:
            yield from look()
        except Exception as error:  # noqa: BLE001 - told at the end, by who asked for all this
            failed = failed or SensorError(sensor.fact.KIND, f"{type(error).__name__}: {error}")
            failed.__cause__ = failed.__cause__ or error
    if failed is not None:
        raise failed


@dataclass(frozen=True, slots=True)
class Parts:
    """What one configuration comes down to. `hurried` is the files sensor with all its
    workers at full speed, for a sweep that somebody waits for. `polled` are asked twice a second
    whether anything moved; `hinted` are those of them that also look where a hint leads; `seldom` have
    a schedule of their own, by its name."""

    config: Config
    policy: Policy
    watches: Watches
    files: FilesSensor
    hurried: FilesSensor
    setid: SetIdSensor
    polled: tuple[PolledSensor, ...]
    hinted: tuple[Sensor, ...] = ()
    seldom: Mapping[str, Sensor] = field(default_factory=dict)

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
        sensors = (*self.hinted, self.files, self.setid)
        return each((sensor, lambda sensor=sensor: sensor.look(asked, stop)) for sensor in sensors)  # type: ignore[misc]

    def poll(self, stop: Callable[[], bool]) -> Iterator[Sweep]:
        """Ask the live sensors cheaply, and sweep with those that have something."""

        def ask(sensor: PolledSensor) -> Iterator[Sweep]:
            if sensor.changed():
                yield from sensor.sweep(Depth.QUICK, stop)

        return each((sensor, lambda sensor=sensor: ask(sensor)) for sensor in self.polled)  # type: ignore[misc]

    def relevant(self, folder: bytes, name: bytes | None) -> bool:
        """Whether any sensor cares about what happened there."""
        if any(under(folder, top) for top in self.config.setid.watch):
            return True
        plan = self.watches.plan(folder)
        return not plan.empty and (name is None or plan.reach(name) is not None)

    def left_out(self, fact: type[Fact], key: Row) -> bool:
        """Whether the configuration leaves a key out, so that not seeing it says nothing."""
        if fact is FileFact:
            return self.watches.find(join(key[0], key[1])) is None  # type: ignore[arg-type]
        return fact is SetIdFact and self.setid.leaves_out(key[1])  # type: ignore[arg-type]

    def urgent(self, path: bytes) -> bool:
        """Whether a change at `path` must be told at once."""
        return self.watches.find(path) is not None and self.policy.urgent(path)


def build(
    config: Config, host: Host, clock: Clock, on_folder: Callable[[bytes], None], own: int = 0
) -> Parts:
    """The parts for `config`. `own` is the pid of a daemon that belongs to the host it watches."""
    sweeps, files = config.sweeps, host.files

    def files_sensor(crew: Crew) -> FilesSensor:
        return FilesSensor(
            files, config.watches, clock.wall, on_folder=on_folder, largest=sweeps.largest, crew=crew
        )

    plain = files_sensor(Crew(1, sweeps.pace, nice=10))
    return Parts(
        config,
        Policy(config.rules),
        plain.watches,
        plain,
        files_sensor(Crew(sweeps.workers)),
        SetIdSensor(files, config.setid, clock.wall, on_folder=on_folder),
        polled=(
            ListenersSensor(host.live, config.listeners, clock.wall),
            ProcessesSensor(host.live, config.processes, clock.wall, own),
        ),
    )


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
