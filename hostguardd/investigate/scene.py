"""What all checks of an inquiry share: host, settings, baseline, clock, and one look at each thing.

The rules kept: every sensor is asked once, when the first check needs it; what it could not see becomes an
`Unseen` of whoever asked; and `stop` says when a check's time is up, so that no input can hold the inquiry.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, TypeVar, cast

from ..accounts import User, passwd
from ..config import Config
from ..engine.once import remind
from ..engine.parts import Parts, build
from ..host.bundle import Host
from ..host.clock import SystemClock
from ..host.live import Process
from ..model import Blind, Depth, Fact, FileFact, Sweep
from ..packages.interface import NoPackages, PackageHost
from ..sensors.commands import script
from ..sensors.signs import LOOKS
from .approved import Approved
from .interface import Known, Unseen, text
from .patience import Late

SUDO: Final = "sudo hostguardctl investigate"
"""What an ordinary user is told to run to see what only root sees."""

MOST_ACCOUNTS: Final = 16 * 1024**2

SAMPLE: Final = 64
"""Children of one parent, alike, that are looked into."""

Made = TypeVar("Made")
SomeFact = TypeVar("SomeFact", bound=Fact)


@dataclass(frozen=True, slots=True)
class Options:
    """What whoever asks may choose. `days` is how far back things are looked at; `packages`: every packaged
    file is verified, too; `probe`: listeners on loopback are asked for a banner; `patience` is the longest
    that one check may take, in seconds."""

    days: float = 7.0
    packages: bool = True
    probe: bool = False
    patience: float = 120.0


class Scene:
    """One inquiry's view of the host. `now` is in seconds since the epoch; `uid` is who looks; `problems` are
    what was missing already when it was set up."""

    def __init__(
        self,
        host: Host,
        config: Config,
        approved: Approved,
        options: Options,
        *,
        uid: int,
        packages: PackageHost | None = None,
        clock: SystemClock | None = None,
        problems: Sequence[Unseen] = (),
    ) -> None:
        self.host = host
        self.approved = approved
        self.options = options
        self.uid = uid
        self.problems = tuple(problems)
        self.packages: PackageHost = packages if packages is not None else NoPackages()
        self.clock = clock or SystemClock()
        self.now = self.clock.wall() / 1e9
        self.since = self.now - options.days * 86400
        if approved.baseline is None:
            # Whoever looks once cannot wait until a raw socket or a port of the moment is of age. Against a
            # baseline these would be drift, which they are not.
            config = replace(config, listeners=replace(config.listeners, udp_settle=0.0))
        self.parts: Parts = build(config, host, self.clock, lambda folder: None)
        self.config = self.parts.config
        if approved.baseline is not None:
            remind(self.parts, approved.baseline)
        self._made: dict[object, object] = {}
        self._hung: set[object] = set()
        self._deadline = float("inf")
        self.gaps: list[Unseen] = []
        self.overlooked = 0

    @property
    def is_root(self) -> bool:
        """Whether the one who looks may look at everything."""
        return self.uid == 0

    # -- time ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A check begins: its time runs from now."""
        self._deadline = time.monotonic() + self.options.patience

    def stop(self) -> bool:
        """Whether the time of the present check is up."""
        return time.monotonic() > self._deadline

    def hurry(self) -> bool:
        """Whether half of it is over: what is gathered for a check leaves it some time."""
        return time.monotonic() > self._deadline - self.options.patience / 2

    # -- facts --------------------------------------------------------------------------------------

    def facts(self, fact: type[SomeFact]) -> list[SomeFact]:
        """All facts of a kind, by the sensors that the daemon uses; for all kinds but files.

        KeyFact, AccountFact, MountFact, ModuleFact, SettingFact, LogFact, LoginFact, EventFact, HiddenFact,
        ListenerFact, ProcessFact and SetIdFact are looked at; each once.
        """
        return [fact.of(row) for sweep in self.sweeps(fact) for row in sweep.rows]

    def sweeps(self, fact: type[Fact]) -> list[Sweep]:
        """What the sensors of that kind brought."""
        if fact is FileFact:
            raise ValueError("files are too many to be kept")
        return self._made_once(fact, lambda: self._sweep(fact))

    def _sweep(self, fact: type[Fact]) -> list[Sweep]:
        sensors = [one for one in self.parts.sensors() if one.fact is fact]
        return [sweep for sensor in sensors for sweep in sensor.sweep(Depth.FULL, self.stop)]

    def blind(self, fact: type[Fact]) -> Iterator[Unseen]:
        """What of a kind could not be seen."""
        blinds = {(one.kind, one.scope): one for sweep in self.sweeps(fact) for one in sweep.blinds}
        for blind in blinds.values():
            yield self.unseen(blind)

    def unseen(self, blind: Blind) -> Unseen:
        """A Blind in the words of an inquiry."""
        what = blind.kind if blind.scope == b"*" else f"{blind.kind} {text(blind.scope)}"
        return Unseen(what, blind.reason, "" if self.is_root else SUDO)

    def known(self, fact: Fact) -> Known:
        """How it stands to the approved baseline."""
        return self.approved.known(fact)

    def once(self, make: Callable[[Scene], Made]) -> Made:
        """What `make` makes of this scene, made for the first check that asks."""
        return self._made_once(make, lambda: make(self))

    def _made_once(self, key: object, make: Callable[[], Made]) -> Made:
        """What did not end in the time of one check is not begun again by each other one."""
        if key in self._hung:
            raise Late
        if key not in self._made:
            try:
                self._made[key] = make()
            except Late:
                self._hung.add(key)
                raise
        return cast("Made", self._made[key])

    # -- what several checks need --------------------------------------------------------------------

    @property
    def processes(self) -> Mapping[int, Process]:
        """Every process, by pid, but for as many as `overlooked` says: there was no time for them."""
        return self.once(Scene._processes)

    def _processes(self) -> Mapping[int, Process]:
        live = self.host.live
        found = {}
        pids = live.pids()
        for number, pid in enumerate(pids):
            if self.hurry():
                self.overlooked = len(pids) - number
                self._gap(self.overlooked, "looked at")
                break
            process = live.process(pid)
            if process is not None:
                # Who only counts its processes apart is no container: it runs the host's own files.
                ours = process.namespace and live.is_at_our_root(pid)
                found[pid] = process._replace(namespace="") if ours else process
        return found

    def _gap(self, number: int, what: str) -> None:
        self.gaps.append(
            Unseen(
                "processes",
                f"{number:,} {'was' if number == 1 else 'were'} not {what}: there was no time",
                "--patience SECONDS",
            )
        )

    @property
    def signs(self) -> Mapping[int, tuple[tuple[str, bytes], ...]]:
        """What is odd about how processes run, as (sign, what it is about), of those that have any.

        Of a parent's children that are alike, to the KiB of code mapped, a sample is looked into: a server's
        tens of thousands of workers would take as long as all the rest.
        """
        return self.once(Scene._signs)

    def _signs(self) -> Mapping[int, tuple[tuple[str, bytes], ...]]:
        found = {}
        alike: Counter[object] = Counter()
        for number, (pid, process) in enumerate(self.processes.items()):
            if self.hurry():
                self._gap(len(self.processes) - number, "looked into")
                break
            if process.kernel or process.namespace or process.exe is None:
                continue
            kind = process._replace(pid=0, started=0, session=0)
            alike[kind] += 1
            if alike[kind] > SAMPLE:
                continue
            inside = self.host.live.inside(pid)
            if inside is not None:
                runs = script(process.exe, process.argv, process.cwd)
                told = {word: about for look in LOOKS for word, about in look(process, inside, runs)}
                if told:
                    found[pid] = tuple(sorted(told.items()))
        return found

    @cached_property
    def users(self) -> tuple[User, ...]:
        """The table of accounts."""
        return tuple(passwd(self.host.texts.read(b"/etc/passwd", MOST_ACCOUNTS).data or b"")[0])

    @cached_property
    def _names(self) -> Mapping[int, str]:
        names: dict[int, str] = {}
        for user in self.users:
            if user.uid is not None:
                names.setdefault(user.uid, text(user.name))
        return names

    def user(self, uid: int | None) -> str:
        """The name of a uid by the host's own table; `uid 1234` where it has none."""
        return "" if uid is None else self._names.get(uid, f"uid {uid}")

    def began(self, process: Process) -> float:
        """When a process was started, in seconds since the epoch."""
        live = self.host.live
        return self.now - live.uptime() + live.seconds(process.started)
