"""The listeners sensor: who on this host waits to be talked to, and which program that is.

The cheap part runs several times a second: one netlink dump per protocol, compared by the sockets'
cookies. The dear part, finding the program behind a socket, walks every open file of the host: it is
done for sockets that are new, and for all of them once a minute, since a program can be replaced
behind a socket that stays.

A socket held by many processes belongs to the oldest of them: the one nearest to init, whatever it
forked later. When *another program* waits at the same endpoint by a socket of its own (SO_REUSEPORT:
the kernel then shares the connections out), it is named in `others`. Another image is another
program, and so is another script of the same interpreter, or the same for another user.

What passes by nature settles first: a UDP socket on a port the kernel chose may be a resolver's next
question, a raw socket a ping, a packet socket a lease of DHCP renewed. They are facts once they lived
`settings.udp_settle` seconds; at the first look, when no socket's age is known, its owner's age stands
in for it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from .. import globs
from ..host.live import ANONYMOUS, DELETED, PROTOCOLS, LiveHost, Process, Socket, Sockets
from ..model import Blind, Depth, ListenerFact, Row, Sweep
from ..sections import ListenersConfig
from .commands import script, stable
from .glimpses import Glimpses
from .images import AGAIN, read_images
from .interface import Request, answers

KIND: Final = ListenerFact.KIND
KEY: Final = len(ListenerFact.KEY)

EVERYTHING: Final = 60.0
"""Seconds after which every socket's owner is looked for again."""

COUNTS_SUFFICE: Final = 2.0
"""Seconds for which an unchanged number of sockets passes for unchanged sockets."""

ENOUGH_WALKS: Final = 2
"""Walks for an owner who is not to be found, before it is left to the next look at everything."""

EVERY_PROTOCOL: Final = 0x0003  # ETH_P_ALL, linux/if_ether.h

FOREIGN: Final = b"net namespaces"
"""The scope of what is blind for being on another network."""

NAMED: Final = 8
"""How many of many are named in a sentence."""

Stop = Callable[[], bool]
Name = tuple[str, int]
"""(protocol, cookie): a socket, for good."""


class Owner(NamedTuple):
    """The program behind a socket: the columns of ListenerFact, then its script. None: we may not
    know."""

    exe: bytes | None = None
    command: bytes | None = None
    sha256: bytes | None = None
    pid: int | None = None
    started: int | None = None
    script: bytes = b""


SCRIPT: Final = Owner._fields.index("script")
UNKNOWN: Final = Owner()
NOBODY: Final = Owner(b"", b"", b"")
KERNEL: Final = Owner(b"[kernel]", b"", b"", 0, 0)


class ListenersSensor:
    """`Sensor` of ListenerFacts, a scope for each protocol. `wall` gives wall-clock nanoseconds.

    `changed` and `sweep` may be called from different threads.
    """

    fact = ListenerFact

    def __init__(self, host: LiveHost, settings: ListenersConfig, wall: Callable[[], int]) -> None:
        self._host = host
        self._settings = settings
        self._wall = wall
        self._protocols = tuple(one for one in PROTOCOLS if one != "unix" or settings.unix)
        self._ignored = globs.compile_paths(settings.ignore_unix)
        self._lock = threading.Lock()
        self._tables: dict[str, tuple[bytes, Sockets]] = {}
        self._first: dict[Name, float] = {}
        self._owners: dict[Name, Owner] = {}
        self._fruitless: dict[Name, int] = {}  # how often a socket's owner was looked for in vain
        self._seen = {proto: Glimpses(settings.missing, KEY) for proto in self._protocols}
        self._namespaces: tuple[Blind, ...] = ()
        self._begun = False
        self._due = 0.0  # uptime at which something is to be done although nothing moved
        self._everything = 0.0
        self._mark = b""
        self._close_look = 0.0

    # -- the sensor's contract -------------------------------------------------------------------

    def changed(self) -> bool:
        """Whether a sweep may find anything new: the sockets are others, or one has come of age."""
        host = self._host
        if host.blind:
            return False
        if not self._begun or host.uptime() >= self._due:
            return True
        # Counting costs a tenth of asking for the sockets themselves. A socket that took the place of
        # another one leaves the counts as they were, so they are not relied on for long.
        mark, now = host.socket_mark(), host.uptime()
        if mark == self._mark and now < self._close_look:
            return False
        self._mark, self._close_look = mark, now + COUNTS_SUFFICE
        return any(host.cookies(proto) != self._tables[proto][0] for proto in self._protocols)

    def expect(self, rows: Iterable[Row]) -> None:
        """Count the approved `rows` as seen just now: what has not come up yet at our own start is
        not missing."""
        now = self._host.uptime()
        with self._lock:
            for row in rows:
                if row[0] in self._seen:
                    self._seen[str(row[0])].expect([row], now)

    def sweep(self, depth: Depth, stop: Stop) -> Iterator[Sweep]:
        """One sweep for each protocol. A FULL one looks for every owner again."""
        yield from self._sweeps(self._protocols, depth, stop)

    def look(self, requests: Sequence[Request], stop: Stop) -> Iterator[Sweep]:
        """Keys are endpoints."""
        return answers(requests, self._seen, lambda proto, depth: self._sweeps((proto,), depth, stop))

    def _sweeps(self, protocols: Sequence[str], depth: Depth, stop: Stop) -> Iterator[Sweep]:
        began = self._wall()
        if self._host.blind:
            blind = (Blind(KIND, b"*", self._host.blind),)
            for proto in protocols:
                yield Sweep(ListenerFact, proto, depth, [], blind, began=began, ended=began)
            return
        with self._lock:
            found = self._look(depth, stop)
        for proto in protocols if found is not None else ():
            rows, blinds = (found or {})[proto]
            yield Sweep(ListenerFact, proto, depth, rows, blinds, began=began, ended=self._wall())

    # -- looking ---------------------------------------------------------------------------------

    def _look(self, depth: Depth, stop: Stop) -> dict[str, tuple[list[Row], tuple[Blind, ...]]] | None:
        """Rows and blinds by protocol; None when stopped half-way, which loses nothing."""
        host = self._host
        now = host.uptime()
        everything = depth is Depth.FULL or now >= self._everything
        for proto in self._protocols:
            mark = host.cookies(proto)  # before the list: what comes after it moves the mark again
            if everything or proto not in self._tables or self._tables[proto][0] != mark:
                self._tables[proto] = (mark, host.sockets(proto))
        if stop():
            return None
        current = self._current()
        self._first = {name: self._first.get(name, now) for name in current}
        self._find_owners(current, now, everything)
        whole = self._read_images(depth, stop)
        if stop():
            return None
        if everything:
            self._everything = now + EVERYTHING
            self._namespaces = self._foreign()
        due = self._everything if whole else min(self._everything, host.uptime() + AGAIN)
        unknown = sum(self._owners[name] is UNKNOWN for name in self._owners)
        general = self._namespaces + (_hidden_owners(unknown) if unknown else ())
        found = {}
        for proto in self._protocols:
            table, until = self._table(proto, current, now)
            rows = self._seen[proto].present(table, now)
            problem = self._tables[proto][1].problem
            blinds = (Blind(KIND, proto.encode(), problem), *general) if problem else general
            found[proto] = (rows, blinds)
            due = min(due, until, self._seen[proto].due or until)
        self._due = due
        self._begun = True
        return found

    def _current(self) -> dict[Name, Socket]:
        """Every socket that is not ignored."""
        return {
            (proto, found.cookie): found
            for proto in self._protocols
            for found in self._tables[proto][1].found
            if proto != "unix" or not self._ignored.match(found.address)
        }

    def _find_owners(self, current: dict[Name, Socket], now: float, everything: bool) -> None:
        """Make `_owners` true for every socket that is of age (at the first look: for all)."""
        known = {} if everything else {name: self._owners[name] for name in current if name in self._owners}
        known = self._still_true(known)
        missing = {
            name: found
            for name, found in current.items()
            if name not in known and (not self._begun or self._left(name, found, now) <= 0)
        }
        answers = self._ask(missing)
        nobodys = {name: missing[name] for name, owner in answers.items() if owner is NOBODY}
        if nobodys:
            # Gone between the two looks, or in passing from one process to another? Look again.
            for proto in {proto for proto, _ in nobodys}:
                there = {found.cookie for found in self._host.sockets(proto).found}
                nobodys = {n: s for n, s in nobodys.items() if n[0] != proto or n[1] in there}
            answers = {n: o for n, o in answers.items() if o is not NOBODY} | self._ask(nobodys)
        self._owners = known | answers
        tries = {} if everything else self._fruitless
        self._fruitless = {
            name: tries.get(name, 0) + (name in answers)
            for name, owner in self._owners.items()
            if owner is UNKNOWN or owner is NOBODY
        }
        if not self._begun:
            for name, owner in answers.items():
                self._first[name] = now if owner.started is None else self._host.seconds(owner.started)

    def _still_true(self, known: dict[Name, Owner]) -> dict[Name, Owner]:
        """Those whose owner lives and runs the same program as when it was found."""
        pids = {owner.pid for owner in known.values() if owner.pid}
        now = {pid: self._owner(self._host.process(pid)) for pid in pids}
        return {
            name: owner
            for name, owner in known.items()
            if owner is KERNEL
            or self._fruitless.get(name, 0) >= ENOUGH_WALKS
            or (owner.pid and (owner.exe, owner.started) == (now[owner.pid].exe, now[owner.pid].started))
        }

    def _ask(self, sockets: dict[Name, Socket]) -> dict[Name, Owner]:
        """The owners of these sockets."""
        inodes = {found.inode for found in sockets.values() if found.inode}
        if not inodes:
            return dict.fromkeys(sockets, KERNEL)
        holders, hidden = self._host.owners(inodes)
        found: dict[int, Owner] = {}
        for inode in inodes:
            pids = holders.get(inode, ())
            owner = next((one for one in map(self._host.process, pids) if one is not None), None)
            nobody = UNKNOWN if hidden else NOBODY
            found[inode] = nobody if owner is None else self._owner(owner)
        return {name: found[one.inode] if one.inode else KERNEL for name, one in sockets.items()}

    def _owner(self, process: Process | None) -> Owner:
        if process is None or process.exe is None:
            return UNKNOWN
        gone = b" (deleted)" if process.state in (DELETED, ANONYMOUS) else b""
        # The manager's arguments are its own affair: it rewrites them when it executes itself anew.
        words = b"" if process.pid == 1 else stable(process.argv)
        runs = script(process.exe, process.argv, process.cwd)
        return Owner(process.exe + gone, words, None, process.pid, process.started, runs)

    def _read_images(self, depth: Depth, stop: Stop) -> bool:
        """Give the owners their digests; False when the time did not suffice for all of them."""
        pids = {owner.pid for owner in self._owners.values() if owner.pid and owner.sha256 is None}
        whole = read_images(self._host, pids, depth, stop)
        digests = {pid: self._host.digest(pid) for pid in pids}
        for name, owner in self._owners.items():
            if owner.pid in digests:
                self._owners[name] = owner._replace(sha256=digests[owner.pid])
        return whole

    def _foreign(self) -> tuple[Blind, ...]:
        """The network namespaces that we do not look into, as one Blind."""
        spaces = self._host.net_namespaces()
        if not spaces:
            return ()
        shown = []
        for space, (pid, *_) in sorted(spaces.items(), key=lambda one: one[1][0])[:NAMED]:
            process = self._host.process(pid)
            comm = process.comm.decode(errors="replace") if process else "?"
            shown.append(f"{space} of {comm} ({pid})")
        more = f" and {len(spaces) - len(shown)} more" if len(spaces) > len(shown) else ""
        text = f"{len(spaces)} network namespaces besides ours are not looked into: "
        return (Blind(KIND, FOREIGN, text + ", ".join(shown) + more),)

    # -- telling ---------------------------------------------------------------------------------

    def _table(self, proto: str, current: dict[Name, Socket], now: float) -> tuple[dict[Row, Row], float]:
        """A protocol's rows by key, and when the next of its sockets comes of age."""
        until = float("inf")
        groups: dict[bytes, list[tuple[Socket, Owner]]] = {}
        for name, found in current.items():
            if name[0] != proto:
                continue
            left = self._left(name, found, now)
            if left > 0:
                until = min(until, now + left)
            elif name in self._owners:
                owner = self._owners[name]
                groups.setdefault(self._endpoint(proto, found, owner), []).append((found, owner))
        return {(proto, at): self._row(proto, at, group) for at, group in groups.items()}, until

    def _left(self, name: Name, found: Socket, now: float) -> float:
        """Seconds until a socket is of age."""
        if not self._is_passing(name[0], found):
            return 0.0
        return self._first[name] + self._settings.udp_settle - now

    def _is_passing(self, proto: str, found: Socket) -> bool:
        """Whether sockets like this come and go in the ordinary life of a host."""
        if proto.startswith("udp"):
            return found.port in self._host.dynamic_ports()
        return (
            proto.startswith("raw") or proto == "packet" or (proto == "unix" and _is_autobound(found.address))
        )

    def _endpoint(self, proto: str, found: Socket, owner: Owner) -> bytes:
        if proto == "unix":
            return b"@dynamic " + (owner.exe or b"?") if _is_autobound(found.address) else found.address
        if proto == "packet":
            return found.address + b" " + (b"all" if found.port == EVERY_PROTOCOL else b"0x%04x" % found.port)
        address = b"[%s]" % found.address if b":" in found.address else found.address
        if proto.startswith("udp") and self._is_passing(proto, found):
            return address + b":dynamic " + (owner.exe or b"?")
        return b"%s:%d" % (address, found.port)

    def _row(self, proto: str, endpoint: bytes, group: list[tuple[Socket, Owner]]) -> Row:
        found, owner = min(group, key=lambda one: (*_age(one[1]), one[0].cookie))
        others = b"\0\0".join(sorted({_named_beside(found, owner, *other) for other in group} - {b""}))
        return (proto, endpoint, found.port, found.uid, *owner[:SCRIPT], found.inode, others)


def _named_beside(found: Socket, owner: Owner, socket: Socket, other: Owner) -> bytes:
    """What `ListenerFact.others` says of the owner of another socket; b"" when it is the same program,
    when that is not known (a title written over the arguments hides the script), or when the sockets
    have but a row in common (`:dynamic`)."""
    if not other.exe or (socket.address, socket.port) != (found.address, found.port):
        return b""
    foreign = found.uid is not None and socket.uid is not None and socket.uid != found.uid
    another = bool(owner.script and other.script) and other.script != owner.script
    if other.exe == owner.exe and not another and not foreign:
        return b""
    user = b"uid %d" % socket.uid if foreign and socket.uid is not None else b""
    return b"\0".join(word for word in (other.exe, other.script, user) if word)


def _age(owner: Owner) -> tuple[bool, int, int]:
    """Orders owners: those we know first, then the oldest."""
    return (owner.pid is None, owner.started or 0, owner.pid or 0)


def _hidden_owners(count: int) -> tuple[Blind, ...]:
    text = f"the owners of {count} {'socket' if count == 1 else 'sockets'} may not be seen with our rights"
    return (Blind(KIND, b"owners of others", text),)


_AUTOBOUND = re.compile(rb"@[0-9a-f]{5}")


def _is_autobound(name: bytes) -> bool:
    """Whether the kernel chose this abstract name itself: five hex digits, unix(7)."""
    return _AUTOBOUND.fullmatch(name) is not None
