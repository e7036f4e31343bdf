"""What a sensor is: something that looks at the host and returns Sweeps. It judges nothing.

A sensor never raises for what it meets on the host: what it could not look at is a `Blind` in the
sweep. It keeps no opinion of what is approved; where an older state is needed to look well (the
length of an append-only file's approved beginning), it is handed in with the request.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..fact import key_of
from ..model import Depth, Fact, Sweep, Value


@dataclass(frozen=True, slots=True)
class Request:
    """Look at some keys of a scope, closely unless `depth` says otherwise.

    `keys` None means the whole scope; `deep` everything below it too. `prefixes` maps keys of
    growing files to the byte count whose digest is wanted. A content of more than `largest` bytes is
    not read now but named in `Sweep.postponed`: a short look must stay short.
    """

    scope: Value
    keys: frozenset[Value] | None
    deep: bool = False
    depth: Depth = Depth.FULL
    largest: int = 1 << 62
    prefixes: Mapping[Value, int] = field(default_factory=dict)


class Sensor(Protocol):
    """One kind of fact. Contract tests: `tests/contract/test_sensors.py`."""

    @property
    def fact(self) -> type[Fact]:
        """The kind of fact it brings."""
        ...

    def sweep(self, depth: Depth, stop: Callable[[], bool]) -> Iterator[Sweep]:
        """Look at everything, in chunks; `stop()` true ends it early, within 100 ms."""
        ...

    def look(self, requests: Sequence[Request], stop: Callable[[], bool]) -> Iterator[Sweep]:
        """Look at what is asked for, now. A key that does not exist is simply not in the rows."""
        ...


def limited(sweep: Sweep, request: Request) -> Sweep:
    """What a look at a whole scope answers to `request`: its keys, if it names some."""
    if request.keys is None:
        return sweep
    rows = [row for row in sweep.rows if key_of(sweep.fact, row) in request.keys]
    return replace(sweep, rows=rows, only=request.keys)


def answers(
    requests: Sequence[Request], scopes: Container[Value], sweep: Callable[[str, Depth], Iterable[Sweep]]
) -> Iterator[Sweep]:
    """`Sensor.look` of a sensor that cannot look at less than a scope: `sweep` looks at the one it is told,
    or at more. Requests for scopes that are none of its own are somebody else's."""
    for request in requests:
        if request.scope in scopes:
            for found in sweep(str(request.scope), request.depth):
                if found.scope == request.scope:
                    yield limited(found, request)
