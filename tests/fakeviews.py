"""Views of a host that a test can make disagree. It keeps the port's rules.

host = FakeViews()
host.pids.add(4711)
host.hidden.add(4711)         # alive, and in no list
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from hostguardd.host.reach import End, Greeting
from hostguardd.host.views import Listing


@dataclass
class FakeViews:
    """An editable `ViewHost`. `asked` counts the ids that were asked for."""

    blind: str = ""
    time: float = 1000.0
    most: int = 4_194_304
    newest: int = 5000
    asked: int = 0
    refused: str = ""
    pids: set[int] = field(default_factory=lambda: {1, 2, 100})
    threads_of: dict[int, int] = field(default_factory=dict)
    """Process of each further thread."""
    unlisted: set[int] = field(default_factory=set)
    by_libc: set[int] = field(default_factory=set)
    over: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    """Pids that answer nothing at all, and are only counted."""
    named: dict[int, bytes] = field(default_factory=dict)
    taken: dict[str, set[int]] = field(default_factory=lambda: {"tcp": {22, 80}, "udp": {53}})
    shown: dict[str, set[int]] = field(default_factory=lambda: {"tcp": {22, 80}, "udp": {53}})
    mute: set[int] = field(default_factory=set)
    left_out: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    """Ports that (protocol, view) leaves out."""
    said: dict[int, bytes] = field(default_factory=dict)
    """What is said at a port."""
    folders: dict[bytes, Listing] = field(default_factory=dict)
    modes: dict[bytes, int] = field(default_factory=dict)
    preload: tuple[bytes, bytes] = (b"", b"")

    def now(self) -> float:
        return self.time

    def rest(self, seconds: float) -> None:
        self.time += seconds

    def listed(self) -> frozenset[int]:
        return frozenset(self.pids - self.unlisted - self.by_libc)

    def raw_listed(self) -> frozenset[int]:
        return frozenset(self.pids - self.unlisted)

    def covered(self, pids: Collection[int]) -> tuple[list[int], int]:
        threads = sum(1 for one in self.threads_of.values() if one in pids)
        return sorted(self.over & set(pids)), threads + len(set(pids) - self.over)

    def threads(self) -> int:
        return len(self.pids) + len(self.threads_of)

    def mentioned(self) -> Mapping[int, bytes]:
        return self.named

    def limits(self) -> tuple[int, int]:
        return self.newest, self.most

    def answering(self, ids: Sequence[int]) -> list[int]:
        self.asked += len(ids)
        alive = (self.pids - self.silent) | self.threads_of.keys()
        if isinstance(ids, range):
            return sorted(one for one in alive if one in ids)
        return [one for one in ids if one in alive]

    def leads(self, number: int) -> bool:
        return number in self.pids

    def program(self, pid: int) -> bytes:
        return b"/usr/bin/p%d" % pid

    def ports(self, proto: str) -> Sequence[range]:
        return [range(1, 32768), range(32768, 65536)]

    def held(self, proto: str, ports: Sequence[int]) -> list[int]:
        if self.refused:
            raise PermissionError(13, self.refused)
        return [port for port in sorted(self.taken[proto]) if port in ports]

    def told(self, proto: str) -> frozenset[int]:
        return frozenset(self.shown[proto])

    def waiting(self, proto: str) -> Mapping[str, frozenset[int]] | None:
        return {
            view: frozenset(self.shown[proto] - self.left_out.get((proto, view), set()))
            for view in ("sock_diag", "kernel", "libc")
        }

    def answers(self, port: int) -> bool:
        return port in self.taken["tcp"] - self.mute

    def addresses(self) -> Sequence[bytes]:
        return [b"127.0.0.1"]

    def accepting(self, address: bytes, ports: Sequence[int]) -> list[int]:
        return [port for port in ports if self.answers(port)]

    def greetings(self, ends: Sequence[End], seconds: float, ask: bool) -> Mapping[End, Greeting]:
        return {end: Greeting(self.answers(end[1]), self.said.get(end[1], b"")) for end in ends}

    def folder(self, path: bytes) -> Listing | None:
        return self.folders.get(path)

    def mode(self, path: bytes) -> int:
        return self.modes.get(path, 0)

    def texts(self, path: bytes) -> tuple[bytes, bytes]:
        return self.preload
