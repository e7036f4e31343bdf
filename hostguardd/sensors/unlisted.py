"""What of processes and ports the kernel knows and some list does not show: the comparing itself.

Views are taken one after the other while processes and sockets come and go, so any single comparison finds
ghosts. Therefore the rule of this room: **nothing is told that was not found three times, some
100 ms apart**, each time by views taken afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from ..facts.hidden import COVERED, LIBC, MISCOUNTED, UNLISTED
from ..host.views import ViewHost

AGAIN: Final = 0.12
"""Seconds between two looks at the same thing."""

LOOKS: Final = 3

CHUNK: Final = 1024
"""Ids that are asked for between two questions whether to stop: about a millisecond."""

TRIES: Final = 8
"""Counts of threads that are compared: the smallest difference is the one that does not come and go."""

RECENT: Final = 65536
"""Ids below the newest that are asked for in every whole look."""

SLICE: Final = 1 << 20
"""Ids that are asked for in one whole look besides: all of 2^22 in four."""

VIEWS: Final[Mapping[str, str]] = {
    "sock_diag": "sock_diag",
    "kernel": "/proc/net",
    "libc": "/proc/net as programs read it",
}

Stop = Callable[[], bool]


class Found(NamedTuple):
    """The columns of a HiddenFact after its view and name."""

    sign: str
    program: bytes
    detail: bytes


Finds = dict[bytes, Found]


def confirmed(look: Callable[[], Finds], host: ViewHost, stop: Stop) -> Finds:
    """What every one of several looks finds. One look suffices to find nothing."""
    found = look()
    for _ in range(LOOKS - 1):
        if not found or stop():
            return {}
        host.rest(AGAIN)
        again = look()
        found = {name: one for name, one in again.items() if name in found}
    return found


# -- processes ---------------------------------------------------------------------------------------


def differing_lists(host: ViewHost) -> Finds:
    """Processes that one list of /proc shows and the other does not, or whose folder is covered."""
    first = host.raw_listed()
    plain = host.listed()
    steady = first & host.raw_listed()
    found: Finds = {}
    for pid in steady - plain:
        detail = b"the kernel lists it in /proc and the C library leaves it out: a preloaded library hides it"
        found[b"pid %d" % pid] = Found(LIBC, host.program(pid), detail)
    for pid in host.covered(steady)[0]:
        detail = b"something is mounted over /proc/%d, so that no program can look at it" % pid
        found[b"pid %d" % pid] = Found(COVERED, b"", detail)
    return found


def mentioned(host: ViewHost) -> Finds:
    """Processes that a child or a control group names and no list shows."""
    before = host.raw_listed() | host.listed()
    named = host.mentioned()
    after = host.raw_listed() | host.listed()
    return {
        b"pid %d" % pid: Found(UNLISTED, host.program(pid), who + b" names it, and it is not listed in /proc")
        for pid, who in named.items()
        if pid not in before and pid not in after
    }


def uncounted(host: ViewHost) -> int:
    """How many threads the kernel counts beyond those in its lists; 0 when that cannot be compared.

    What comes and goes meanwhile makes a single difference meaningless, so that the least of several is
    taken, and of two counts around each list the smaller.
    """
    least = 0
    for attempt in range(TRIES):
        before = host.threads()
        pids = host.raw_listed() | host.listed()
        covered, listed = host.covered(pids)
        after = host.threads()
        if before < 0 or after < 0 or covered:
            return 0
        missing = max(0, min(before, after) - listed)
        least = missing if attempt == 0 else min(least, missing)
        if not least:
            return 0
    return least


def answering(host: ViewHost, ids: range, stop: Stop) -> Iterator[int]:
    """Ids in `ids` that are processes and not listed, each once, unconfirmed."""
    listed: frozenset[int] | None = None
    for at in range(ids.start, ids.stop, CHUNK):
        if stop():
            return
        for pid in host.answering(range(at, min(at + CHUNK, ids.stop))):
            if listed is None:
                listed = host.raw_listed() | host.listed()
            if pid not in listed and host.leads(pid):
                yield pid


def check_pids(host: ViewHost, pids: list[int]) -> Finds:
    """Those of `pids` that the kernel answers for and no list shows, before or after it does."""
    before = host.raw_listed() | host.listed()
    alive = [pid for pid in host.answering(pids) if host.leads(pid)]
    after = host.raw_listed() | host.listed()
    detail = b"the kernel answers for it (getpgid, tgkill), and it is not listed in /proc"
    return {
        b"pid %d" % pid: Found(UNLISTED, host.program(pid), detail)
        for pid in alive
        if pid not in before and pid not in after
    }


def miscounted(missing: int) -> Finds:
    """Threads that no way leads to."""
    if not missing:
        return {}
    detail = (
        b"the kernel counts %d threads more than /proc lists, and none of them answers by its id" % missing
    )
    return {b"threads": Found(MISCOUNTED, b"", detail)}


# -- ports -------------------------------------------------------------------------------------------


def differing_tables(host: ViewHost) -> Finds:
    """Ports with a waiting socket that one table shows and another does not."""
    found: Finds = {}
    for proto in ("tcp", "udp"):
        views = host.waiting(proto)
        for port in sorted(frozenset().union(*views.values())) if views else ():
            missing = [VIEWS[name] for name, ports in (views or {}).items() if port not in ports]
            if missing:
                shown = [VIEWS[name] for name, ports in (views or {}).items() if port in ports]
                sign = LIBC if missing == [VIEWS["libc"]] else UNLISTED
                detail = f"shown by {' and '.join(shown)}, left out by {' and '.join(missing)}"
                found[f"{proto} {port}".encode()] = Found(sign, b"", detail.encode())
    return found


def held_ports(host: ViewHost, proto: str, stop: Stop) -> list[int]:
    """Ports that cannot be had. Raises OSError."""
    found: list[int] = []
    for ports in host.ports(proto):
        if stop():
            return []
        found += host.held(proto, ports)
    return found


def scanned(host: ViewHost) -> bytes:
    """The own address to connect to: one by which others reach this host, if there is any. Who waits at the
    loopback only is found by bind(2), as whoever else has a socket."""
    own = host.addresses()
    return next((one for one in own if not one.startswith(b"127.") and one != b"::1"), own[0])


def answering_ports(host: ViewHost, stop: Stop) -> Iterator[tuple[bytes, int]]:
    """(address, port) of this host's own where a connection is accepted though no table shows a socket there,
    unconfirmed. Only ports are tried that no table shows, so that no service notices."""
    told, address = host.told("tcp"), scanned(host)
    for first in range(1, 65536, CHUNK):
        if stop():
            return
        ports = [port for port in range(first, min(first + CHUNK, 65536)) if port not in told]
        yield from ((address, port) for port in host.accepting(address, ports))


def check_answers(host: ViewHost, ends: list[tuple[bytes, int]]) -> Finds:
    """Those of `ends` that accept a connection and that no table shows, before or after."""
    before = host.told("tcp")
    found = [(address, port) for address, port in ends if host.accepting(address, (port,))]
    after = host.told("tcp")
    detail = b"a connection to %s is accepted there, and no table of sockets shows it"
    return {
        b"tcp %d" % port: Found(UNLISTED, b"", detail % address)
        for address, port in found
        if port not in before and port not in after
    }


def check_ports(host: ViewHost, proto: str, ports: list[int]) -> Finds:
    """Those of `ports` that somebody holds and no table shows, before or after; for TCP, that answer."""
    before = host.told(proto)
    held = host.held(proto, [one for one in ports if one not in before])
    after = host.told(proto)
    silent = [port for port in held if port not in before and port not in after]
    if proto == "tcp":  # a socket may be bound and neither listen nor be in any table: nobody is there
        silent = [port for port in silent if host.answers(port)]
    how = b"it answers and cannot be bound" if proto == "tcp" else b"it cannot be bound"
    return {
        b"%s %d" % (proto.encode(), port): Found(UNLISTED, b"", how + b", and no table of sockets shows it")
        for port in silent
    }
