"""The modules sensor: what is loaded into the kernel, by two witnesses.

/proc/modules is the kernel's list, from which a rootkit takes itself off first; /sys/module is another
one, which it often forgets, or the other way round. A module that only one of them shows is hiding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from ..host.kernel import KernelHost
from ..model import Blind, Depth, ModuleFact, Row, Sweep
from .arrivals import Arrivals
from .interface import Request, answers

KIND: Final = ModuleFact.KIND
SCOPE: Final = "host"
KEY: Final = len(ModuleFact.KEY)
LIST: Final = b"/proc/modules"
FOLDER: Final = b"/sys/module"
EVERYTHING: Final = 60.0

ALIVE: Final = b"Live"

Stop = Callable[[], bool]


class Module(NamedTuple):
    """A line of /proc/modules."""

    name: bytes
    size: int
    state: bytes
    taint: bytes


def parse(text: bytes) -> list[Module]:
    """/proc/modules: `name size references users state address (taint)`; other lines are passed over."""
    found = []
    for line in text.split(b"\n"):
        words = line.split(b" ")
        if len(words) < 6 or not words[1].isdigit():
            continue
        # A module that comes or goes is marked (+) or (-) among its letters.
        letters = words[6] if len(words) > 6 else b""
        taint = bytes(sorted(letter for letter in letters if letter not in b"()+-"))
        found.append(Module(words[0], int(words[1]), words[4], taint))
    return found


class ModulesSensor:
    """`Sensor` of ModuleFacts. `wall` gives wall-clock nanoseconds, `interval` is in seconds."""

    fact = ModuleFact

    def __init__(self, host: KernelHost, interval: float, wall: Callable[[], int]) -> None:
        self._host = host
        self._interval = interval
        self._wall = wall
        self._arrivals = Arrivals(KEY)
        self._mark: object = None
        self._due = self._everything = 0.0

    def changed(self) -> bool:
        """Whether other modules are there than at the last sweep."""
        if self._host.blind:
            return False
        now = self._host.uptime()
        if now < self._due:
            return False
        self._due = now + self._interval
        return now >= min(self._everything, self._arrivals.due) or (
            _mark(self._host.text(LIST).data, self._host.names(FOLDER)) != self._mark
        )

    def expect(self, rows: Iterable[Row]) -> None:
        """Approved rows: what is not loaded yet, just after the host's start, is not missing."""
        self._arrivals.expect(rows, self._host.uptime())

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """One sweep."""
        began = self._wall()
        if stop():
            return
        rows, blinds = self._look()
        yield Sweep(ModuleFact, SCOPE, depth, rows, blinds, began=began, ended=self._wall())

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """Keys are names."""
        return answers(requests, (SCOPE,), lambda scope, depth: self.sweep(depth, stop))

    def _look(self) -> tuple[list[Row], tuple[Blind, ...]]:
        host = self._host
        if host.blind:
            return [], (Blind(KIND, b"*", host.blind),)
        now = host.uptime()
        self._everything = now + EVERYTHING
        listed, problem = host.text(LIST)
        folders = host.names(FOLDER)
        self._mark = _mark(listed, folders)
        if listed is None and problem:
            return [], (Blind(KIND, b"*", f"the list of kernel modules cannot be read: {problem}"),)
        if listed is None:
            return [], ()  # a kernel that has everything built in
        blinds: tuple[Blind, ...] = ()
        if folders is None:
            text = "/sys/module cannot be listed, so that a hidden kernel module would not show"
            blinds = (Blind(KIND, FOLDER, text),)
        modules = self._witnessed({one.name: one for one in parse(listed)}, folders)
        rows = [
            (SCOPE, one.name, one.taint, seen, one.size) for one, seen in modules if one.state in (ALIVE, b"")
        ]
        return self._arrivals.fill(sorted(rows, key=lambda row: row[:KEY]), SCOPE, now), blinds

    def _witnessed(
        self, listed: dict[bytes, Module], folders: list[bytes] | None
    ) -> Iterator[tuple[Module, str]]:
        """Each module and where it is seen. Who disagrees is asked twice: modules come and go."""
        there = None if folders is None else set(folders)
        for name, module in listed.items():
            hidden = there is not None and name not in there and not self._host.exists(_folder(name))
            yield module, "list" if hidden and self._still(name, ALIVE) else "everywhere"
        for name in () if there is None else sorted(there - listed.keys()):
            # What is built in has a folder, too, if it has parameters; it has no state.
            folder = _folder(name)
            state = self._host.text(folder + b"/initstate", 64).data
            if state is not None and state.strip() == b"live" and not self._still(name):
                taint = (self._host.text(folder + b"/taint", 64).data or b"").strip()
                size = (self._host.text(folder + b"/coresize", 64).data or b"").strip()
                if self._host.exists(folder + b"/initstate"):
                    letters = bytes(sorted(taint))
                    yield Module(name, int(size) if size.isdigit() else 0, b"", letters), "sysfs"

    def _still(self, name: bytes, state: bytes = b"") -> bool:
        """Whether the list names it now (in that state: what is being unloaded has lost its folder)."""
        modules = parse(self._host.text(LIST).data or b"")
        return any(one.name == name and one.state.endswith(state) for one in modules)


def _mark(listed: bytes | None, folders: list[bytes] | None) -> object:
    """What moves with the modules; not with how many use them."""
    return None if listed is None else parse(listed), folders


def _folder(name: bytes) -> bytes:
    return FOLDER + b"/" + name
