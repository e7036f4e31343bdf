"""A scene over hosts made for tests, and what a check finds there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from hostguardd.config import Config, parse
from hostguardd.defaults import default_sources
from hostguardd.host.bundle import Host, image, this_host
from hostguardd.host.clock import SystemClock
from hostguardd.investigate.approved import Approved
from hostguardd.investigate.interface import Found, Item, Moment, Unseen, Verdict
from hostguardd.investigate.scene import Options, Scene
from hostguardd.packages.interface import PackageHost

CONFIG: Config = parse(default_sources(None, "/nonexistent"))


class Frozen(SystemClock):
    """A clock whose wall stands still at `now` (seconds since the epoch)."""

    def __init__(self, now: float) -> None:
        self.now = now

    def wall(self) -> int:
        return int(self.now * 1e9)


def scene(
    host: Host | bytes | None = None,
    *,
    packages: PackageHost | None = None,
    uid: int = 0,
    now: float = 0.0,
    options: Options | None = None,
    **ports: object,
) -> Scene:
    """A scene of `host`: this machine, or the tree below a folder (no kernel); `ports` replace some."""
    if host is None:
        host = this_host()
    elif isinstance(host, bytes):
        host = image(host)
    host = replace(host, **ports)  # type: ignore[arg-type]
    clock = Frozen(now) if now else SystemClock()
    return Scene(host, CONFIG, Approved(None), options or Options(), uid=uid, packages=packages, clock=clock)


class Findings:
    """What a check yields, sorted by kind."""

    def __init__(self, found: Iterable[Found]) -> None:
        self.items: list[Item] = []
        self.unseen: list[Unseen] = []
        self.moments: list[Moment] = []
        for one in found:
            if isinstance(one, Item):
                self.items.append(one)
            elif isinstance(one, Unseen):
                self.unseen.append(one)
            else:
                self.moments.append(one)

    def of(self, verdict: Verdict) -> list[Item]:
        """The items with that verdict."""
        return [one for one in self.items if one.verdict is verdict]

    def named(self, name: str) -> Item:
        """The one item of that name."""
        (found,) = [one for one in self.items if one.name == name]
        return found

    @property
    def suspicious(self) -> list[str]:
        """The names of what is suspicious."""
        return [one.name for one in self.of(Verdict.SUSPICIOUS)]


def looked(look: Callable[[Scene], Iterator[Found]], where: Scene) -> Findings:
    """What `look` finds there."""
    where.begin()
    return Findings(look(where))
