"""The settings sensor: what is in force in the kernel and in ourselves, a scope for each topic.

All topics are looked at every `interval` seconds, and a sweep is asked for only when something differs
from the last one. What is replaced as a whole, a firewall by its own restart or the rules of audit by
augenrules(8), is empty for a moment: those topics are told when two looks half a second apart agree, and
after `PATIENCE` seconds in any case.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from ..host.kernel import KernelHost
from ..model import Blind, Depth, Row, SettingFact, Sweep
from . import defences, topics
from .arrivals import Arrivals
from .interface import Request, answers
from .topics import Look

KIND: Final = SettingFact.KIND
KEY: Final = len(SettingFact.KEY)
EVERYTHING: Final = 60.0
AGAIN: Final = 0.4
PATIENCE: Final = 4.0
SETTLING: Final = frozenset({"audit", "firewall"})

Stop = Callable[[], bool]
Found = tuple[list[Row], tuple[Blind, ...]]


class SettingsSensor:
    """`Sensor` of SettingFacts. `wall` gives wall-clock nanoseconds, `interval` is in seconds."""

    fact = SettingFact

    def __init__(self, host: KernelHost, interval: float, wall: Callable[[], int]) -> None:
        self._host = host
        self._interval = interval
        self._wall = wall
        self._firewall = defences.FirewallTopic()
        self._topics: Mapping[str, Callable[[KernelHost], Look]] = {
            "kernel": topics.kernel,
            "sysctl": topics.sysctl,
            "firewall": self._firewall,
            "audit": defences.audit,
            "selinux": topics.SeLinux(),
            "apparmor": topics.apparmor,
            "interface": topics.interface,
            "self": topics.Self(_homes()),
        }
        self._arrivals = Arrivals(KEY, values=True)
        self._told: dict[str, Found] = {}
        self._seen: dict[str, Found] = {}
        self._moved: dict[str, float] = {}  # topics that differ from what was told, and since when
        self._due = self._everything = 0.0

    # -- the sensor's contract -------------------------------------------------------------------

    def changed(self) -> bool:
        """Whether anything is in force that was not at the last sweep, and has settled."""
        if self._host.blind:
            return False
        now = self._host.uptime()
        if now < self._due:
            return False
        self._due = now + self._interval
        if now >= min(self._everything, self._arrivals.due):
            return True
        return any(self._has_news(topic, now) for topic in self._topics)

    def expect(self, rows: Iterable[Row]) -> None:
        """Approved rows: what is not set yet, just after the host's start, is not missing."""
        self._arrivals.expect(rows, self._host.uptime())

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """One sweep for each topic. Who waits for a FULL one sees the moment as it is."""
        yield from self._sweeps(tuple(self._topics), depth, stop)

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """Keys are names."""
        return answers(requests, self._topics, lambda topic, depth: self._sweeps((topic,), depth, stop))

    # -- looking ---------------------------------------------------------------------------------

    def _sweeps(self, names: Sequence[str], depth: Depth, stop: Stop) -> Iterator[Sweep]:
        now = self._host.uptime()
        if depth is Depth.FULL or now >= self._everything:
            self._firewall.forget()
            self._everything = now + EVERYTHING
        for topic in names:
            began = self._wall()
            if stop():
                return
            rows, blinds = self._settled(topic, depth, now)
            rows = self._arrivals.fill(rows, topic, now)
            yield Sweep(SettingFact, topic, depth, rows, blinds, began=began, ended=self._wall())

    def _has_news(self, topic: str, now: float) -> bool:
        """Whether a sweep would tell of something new."""
        before, found = self._seen.get(topic), self._look(topic)
        self._seen[topic] = found
        if _compared(found) == _compared(self._told.get(topic)):
            self._moved.pop(topic, None)
            return False
        since = self._moved.setdefault(topic, now)
        if topic not in SETTLING or now - since >= PATIENCE or (before == found and now > since):
            return True
        self._due = now + AGAIN
        return False

    def _settled(self, topic: str, depth: Depth, now: float) -> Found:
        """What to tell of a topic: as it is, or as it was while it is being replaced."""
        found = self._look(topic)
        told = self._told.get(topic)
        if (
            depth is Depth.QUICK
            and told is not None
            and topic in SETTLING
            and _compared(found) != _compared(told)
        ):
            since = self._moved.setdefault(topic, now)
            agreed = self._seen.get(topic) == found and now > since
            if not agreed and now - since < PATIENCE:
                self._seen[topic] = found
                self._due = now + AGAIN
                return told
        self._moved.pop(topic, None)
        self._told[topic] = self._seen[topic] = found
        return found

    def _look(self, topic: str) -> Found:
        """The rows of a topic, sorted, and what was not seen of it."""
        if self._host.blind:
            return [], (Blind(KIND, b"*", self._host.blind),)
        found, problem = self._topics[topic](self._host)
        table: dict[Row, Row] = {(topic, one.name): (topic, *one) for one in found}
        blinds = (Blind(KIND, topic.encode(), problem),) if problem else ()
        return [table[key] for key in sorted(table)], blinds


def _compared(found: Found | None) -> object:
    """What of a look makes news: not the details."""
    return None if found is None else ([row[:3] for row in found[0]], found[1])


def _homes() -> tuple[bytes, ...]:
    """Where the interpreter and its libraries are installed, and its image: whoever may not enter the folders
    above it (another account's home) is told a prefix that is not the one it runs from."""
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.path.dirname(__file__))}
    with suppress(OSError):
        image = os.readlink("/proc/self/exe")
        places |= {image, os.path.join(os.path.dirname(os.path.dirname(image)), "lib")}
    return tuple(sorted(os.fsencode(os.path.realpath(place)) for place in places if place not in ("", "/")))
