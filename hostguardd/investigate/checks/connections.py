"""Who talks to whom now: each program with its peers, and the shells that somebody types to from afar.

By hand: `netstat -an` for the established connections with their peers, and `fuser` for who holds them. A
host may have half a million; so they are counted by program, inbound ones by the port that they came to, and
owners are looked for where they tell something: of what goes out, and of ports with few clients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ...host.live import CONNECTED, Connection, Process
from ...model import ListenerFact
from ...words.interface import counted
from ..files.deeds import deeds
from ..interface import Confidence, Evidence, Found, Item, Moment, Unseen, Verdict, text
from ..live import joined
from ..live import programs as kith
from ..live.programs import Odd, Programs
from ..scene import SUDO, Scene

MOST_OWNED: Final = 50_000
"""Connections whose owner is looked for: each costs some 300 bytes."""

FEW: Final = 100
"""Clients of a port up to which it is told which process talks to each."""

MOST_PEERS: Final = 5000
"""Different peers of one group that are counted one by one."""

NAMED: Final = 8

MOMENT: Final = 60.0
"""Seconds for which a shell that only tries whether a port is open may hold its connection."""

Holders = Mapping[int, Sequence[int]]
"""Inode -> the pids that hold it."""

MEANS: Final = {
    True: "An intruder's own connection: what goes out passes most firewalls, and what comes back is obeyed.",
    False: "Worth knowing who is at the other end: this is how data leaves and how orders come in.",
}
NEXT: Final = (
    "Write down the peer's address and port and since when; do not kill it before /proc/{pid}/exe and its "
    "memory are saved. Then look for the same peer in the logs and in the histories of the account."
)


@dataclass(slots=True)
class Group:
    """Connections that are told as one. `pids` are those of its processes that are known."""

    count: int = 0
    peers: Counter[tuple[bytes, int]] = field(default_factory=Counter)
    uncounted: int = 0
    pids: set[int] = field(default_factory=set)
    local: int = 0

    def add(self, one: Connection, port: int) -> None:
        """Count one. `port` of the peer is told where it says something: not a client's."""
        self.count += 1
        self.local += is_local(one.peer)
        peer = (one.peer, port)
        if peer in self.peers or len(self.peers) < MOST_PEERS:
            self.peers[peer] += 1
        else:
            self.uncounted += 1

    def told(self) -> list[str]:
        """The peers with the most connections."""
        return [
            address(host, port) + (f" (x{count})" if count > 1 else "")
            for (host, port), count in sorted(self.peers.items(), key=lambda one: (-one[1], one[0]))[:NAMED]
        ]


def is_local(address: bytes) -> bool:
    """Whether an address never leaves this host."""
    return address.startswith(b"127.") or address == b"::1"


def address(host: bytes, port: int) -> str:
    """`203.0.113.9:443`, `[2001:db8::1]:443`; without a port when that is 0."""
    shown = text(host, 64)
    if not port:
        return shown
    return f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"


def look(scene: Scene) -> Iterator[Found]:
    """All connections by program, and the shells that have one."""
    listening: dict[tuple[str, int], ListenerFact] = {}
    for fact in scene.facts(ListenerFact):
        listening.setdefault((fact.proto.rstrip("6"), fact.port), fact)
    typed = _typed_to(scene)
    inbound: dict[tuple[str, int], Group] = {}
    few: dict[tuple[str, int], list[Connection]] = {}
    outward: list[tuple[str, Connection]] = []
    unowned = passed = 0
    shells: dict[int, tuple[str, Connection, tuple[str, int]]] = {}
    for proto in CONNECTED:
        found, problem = scene.host.live.connections(proto)
        if problem:
            yield Unseen(f"{proto} connections", problem, "" if scene.is_root else SUDO)
        for one in found:
            at = (proto.rstrip("6"), one.port)
            if one.inode in typed:
                shells[one.inode] = (proto, one, at)
            if at in listening:
                inbound.setdefault(at, Group()).add(one, 0)
                some = few.setdefault(at, [])
                if len(some) <= FEW:
                    some.append(one)
            elif not one.inode:
                unowned += 1
            elif len(outward) < MOST_OWNED:
                outward.append((at[0], one))
            else:
                passed += 1
        if scene.stop():
            return
    wanted = {one.inode for _, one in outward} | {
        one.inode for some in few.values() if len(some) <= FEW for one in some if one.inode
    }
    holders, hidden = scene.host.live.owners(wanted) if wanted else ({}, 0)
    held = {pid for pids in holders.values() for pid in (*pids[:1], *pids[-1:])}
    processes = {pid: scene.processes[pid] for pid in held if pid in scene.processes}
    programs = Programs(scene, [*processes.values(), *typed.values()])
    for inode, (proto, one, at) in sorted(shells.items(), key=lambda item: typed[item[0]].pid):
        yield from _shell(scene, programs, typed[inode], proto, one, at in listening)
    yield from _inbound(scene, programs, listening, inbound, few, holders)
    yield from _outbound(scene, programs, outward, holders, processes)
    if passed:
        yield Unseen(
            "connections", f"the owners of {passed} more were not looked for: there are too many", ""
        )
    if hidden and not scene.is_root:
        yield Unseen(
            "connections of others",
            f"{counted(hidden, 'process')} may not be looked into by this account",
            SUDO,
        )
    if unowned:
        yield Item(
            "connections of no process",
            Verdict.FINE,
            f"{unowned} connections are the kernel's own, or being closed",
        )


def _typed_to(scene: Scene) -> dict[int, Process]:
    """Inode -> the shell or tool that has this socket for a terminal; of several the oldest, of which the
    others were born."""
    found: dict[int, Process] = {}
    for process in sorted(scene.processes.values(), key=lambda one: (one.started, one.pid)):
        if not kith.is_shell(process) and kith.base(process) not in kith.TALKERS:
            continue
        origin = scene.host.live.origin(process.pid)
        for stream in origin.streams if origin is not None else ():
            number = stream.removeprefix(b"socket:[").removesuffix(b"]")
            if number != stream and number.isdigit():
                found.setdefault(int(number), process)
    return found


def _shell(
    scene: Scene, programs: Programs, process: Process, proto: str, one: Connection, came: bool
) -> Iterator[Found]:
    """A shell or interpreter whose standard input or output is a connection."""
    peer = address(one.peer, one.peer_port)
    server = _by_super_server(scene, process)
    verdict = Verdict.NOTABLE if server else Verdict.SUSPICIOUS
    way = f"it was started for it by {server}" if server else (
        "whoever is there types to it" if kith.is_shell(process) else "it hands the connection on"
    )  # fmt: skip
    who = f"{kith.program(process)} of {scene.user(process.uid)}"
    says = f"{who} has a connection to {peer} for its terminal: {way}"
    yield Item(
        f"{kith.called(process)} {proto}",
        verdict,
        says,
        MEANS[True] if verdict is Verdict.SUSPICIOUS else MEANS[False],
        NEXT.format(pid=process.pid),
        technique="T1059.004" if verdict is Verdict.SUSPICIOUS else "",
        details={"peer": peer, "local": address(one.address, one.port), "inbound": came}
        | kith.details(scene, programs, process),
        evidence=(Evidence(f"ls -l /proc/{process.pid}/fd", f"socket:[{one.inode}]"), _evidence(proto, one)),
    )
    yield Moment(
        scene.began(process),
        "process",
        f"{kith.called(process)} began, which talks to {peer}",
        f"/proc/{process.pid}/stat",
        Confidence.SURE,
        verdict,
        scene.user(process.uid),
    )


SUPER_SERVERS: Final = frozenset(
    b"inetd xinetd openbsd-inetd inetutils-inetd tcpserver tcpsvd micro-inetd".split()
)


def _by_super_server(scene: Scene, process: Process) -> str:
    """Who starts programs with a connection for their terminal by design; "" for nobody."""
    parent = scene.processes.get(process.parent)
    if parent is not None and kith.base(parent) in SUPER_SERVERS:
        return kith.program(parent)
    if process.unit.endswith(b".service") and b"@" in process.unit and process.parent == 1:
        return "systemd's " + text(process.unit)  # a socket unit with Accept=yes
    return ""


def _evidence(proto: str, one: Connection) -> Evidence:
    letter = {"tcp": "t", "udp": "u", "sctp": "S"}[proto.rstrip("6")]
    ends = f"{address(one.address, one.port)} > {address(one.peer, one.peer_port)}"
    return Evidence(f"ss -n{letter}p 'sport = :{one.port}'", ends)


def _inbound(
    scene: Scene,
    programs: Programs,
    listening: dict[tuple[str, int], ListenerFact],
    groups: dict[tuple[str, int], Group],
    few: dict[tuple[str, int], list[Connection]],
    holders: Holders,
) -> Iterator[Found]:
    """What came to the ports that wait: one item for each port. Whoever else takes its own end to such a
    port passes for one of its clients; so the programs are looked at here, too."""
    for at, group in sorted(groups.items()):
        who = text(listening[at].exe or b"") or "an unseen program"
        more: dict[str, object] = {"direction": "inbound", "count": group.count, "peers": group.told()}
        odd: list[Odd] = []
        if len(few[at]) <= FEW:
            held = [(one, _holder(scene, holders, one)) for one in few[at]]
            more["sessions"] = [_session(scene, one, process) for one, process in held if process]
            odd = [
                sign
                for _, process in held
                if process
                for sign in (*programs.odd(process), *joined.odd(scene, process))
            ]
        plural = "connection" if group.count == 1 else "connections"
        says = f"{group.count} {plural} to {who} at {at[0]} port {at[1]}, from {', '.join(group.told())}"
        verdict = kith.worst(odd)
        yield Item(
            f"inbound {at[0]} {at[1]}",
            verdict,
            kith.sentence(says, odd),
            MEANS[verdict is Verdict.SUSPICIOUS] if verdict is not Verdict.FINE else "",
            NEXT.format(pid=listening[at].pid) if verdict is not Verdict.FINE else "",
            technique=kith.technique(odd),
            details=more,
            evidence=(Evidence(f"ss -np 'sport = :{at[1]}'"),),
        )


def _holder(scene: Scene, holders: Holders, one: Connection) -> Process | None:
    """The youngest that holds a connection: of sshd, the one that serves it."""
    return next(
        (scene.processes[p] for p in reversed(holders.get(one.inode, ())) if p in scene.processes), None
    )


def _session(scene: Scene, one: Connection, process: Process) -> str:
    since = int(scene.now - scene.began(process))
    who = f"pid {process.pid} of {scene.user(process.uid)}, {text(process.comm, 40)}"
    return f"{address(one.peer, one.peer_port)}: {who}, for {since} s"


def _outbound(
    scene: Scene,
    programs: Programs,
    outward: list[tuple[str, Connection]],
    holders: Holders,
    processes: dict[int, Process],
) -> Iterator[Found]:
    """What goes out, by program and account."""
    groups: dict[tuple[str, str, int], Group] = {}
    first: dict[tuple[str, str, int], Connection] = {}
    for proto, one in outward:
        pid = next(iter(holders.get(one.inode, ())), 0)
        process = processes.get(pid)
        name = kith.program(process) if process is not None else "an unseen program"
        key = (proto, name, process.uid if process is not None else one.uid)
        group = groups.setdefault(key, Group())
        group.add(one, one.peer_port)
        first.setdefault(key, one)
        if process is not None and len(group.pids) < FEW:
            group.pids.add(pid)
    for (proto, name, uid), group in sorted(groups.items(), key=lambda one: one[0]):
        members = [processes[pid] for pid in sorted(group.pids)]
        odd = [one for member in members for one in _odd(scene, programs, member, group)]
        told = f"outbound {proto} {name} ({scene.user(uid)})"
        evidence = _evidence(proto, first[proto, name, uid])
        yield _outward(scene, programs, told, name, uid, group, odd, members, evidence)


def _odd(scene: Scene, programs: Programs, process: Process, group: Group) -> Iterator[Odd]:
    """What is odd about a program that talks to others."""
    yield from programs.odd(process)
    yield from joined.odd(scene, process)
    away = group.count > group.local
    if kith.base(process) in kith.TALKERS:
        if away or _has_shell(scene, process):
            shell = _has_shell(scene, process)
            kind = Verdict.SUSPICIOUS if shell else Verdict.NOTABLE
            clause = (
                "hands the connection to a shell"
                if shell
                else "is a tool that hands a connection to anything"
            )
            yield Odd(kind, clause, "T1095")
    elif away and process.uid == 0 and not process.namespace and not kith.is_shell(process):
        if programs.is_owned(process.exe or b"") is False:
            yield Odd(Verdict.NOTABLE, "is root's, belongs to no package, and talks to others")
    elif away and kith.base(process) in kith.SHELLS:
        worst = next(iter(deeds(b" ".join(process.argv))), None)
        lasting = scene.now - scene.began(process) > MOMENT
        bad = worst is not None and worst.verdict is Verdict.SUSPICIOUS and lasting
        clause = f" and {worst.clause}" if worst is not None and bad else ""
        kind = Verdict.SUSPICIOUS if bad else Verdict.NOTABLE
        yield Odd(kind, f"is a shell that holds a connection{clause}", "T1059.004")
    elif away and kith.is_told_what_to_do(process):
        says = "is an interpreter that was given its program on the command line"
        yield Odd(Verdict.NOTABLE, says, "T1059")


def _has_shell(scene: Scene, process: Process) -> bool:
    """Whether a shell of the same terminal session reads from or writes to a pipe beside it: `nc | sh`."""
    for one in scene.processes.values():
        if one.session == process.session and kith.base(one) in kith.SHELLS and one.pid != process.session:
            origin = scene.host.live.origin(one.pid)
            streams = origin.streams if origin is not None else ()
            if len(streams) > 1 and streams[0].startswith(b"pipe:") and one.pid != process.parent:
                return True
    return False


def _outward(
    scene: Scene,
    programs: Programs,
    name: str,
    program: str,
    uid: int,
    group: Group,
    odd: list[Odd],
    members: list[Process],
    evidence: Evidence,
) -> Item:
    verdict = kith.worst(odd)
    plural = "a connection" if group.count == 1 else f"{group.count} connections"
    peers = ", ".join(group.told()) + (" and others" if len(group.peers) > NAMED or group.uncounted else "")
    subject = f"{program} of {scene.user(uid)} has {plural} to {peers}"
    more: dict[str, object] = {"direction": "outbound", "count": group.count, "peers": group.told()}
    if members:
        oldest = min(members, key=lambda one: one.started)
        more |= kith.details(scene, programs, oldest)
        more["pids"] = [one.pid for one in members[:NAMED]]
    return Item(
        name,
        verdict,
        kith.sentence(subject, odd),
        MEANS[verdict is Verdict.SUSPICIOUS] if verdict is not Verdict.FINE else "",
        NEXT.format(pid=members[0].pid if members else "PID") if verdict is not Verdict.FINE else "",
        technique=kith.technique(odd) or ("T1071" if verdict is Verdict.SUSPICIOUS else ""),
        details=more,
        evidence=(evidence,),
    )
