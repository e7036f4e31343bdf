"""The tree of processes, and which of them are not what they seem.

By hand: `ps -axf`, looking for services that one does not know, for several super-servers of the inetd
kind, and then for the file of each on disk. A root kit's `ps` shows what it likes; here the kernel is asked,
and each process is held against its file, its name, what is mapped into it, and who started it.

Workers of one parent that are alike are told as one item, so that a web server does not fill the tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ...facts.live import SIGNS, ProcessFact
from ...host.live import Process
from ...sensors.commands import script
from ...words.interface import counted
from ..interface import Confidence, Evidence, Found, Item, Known, Moment, Unseen, Verdict, text
from ..live import code, tunnels
from ..live import programs as kith
from ..live.programs import Odd, Programs
from ..scene import SUDO, Scene

ALIKE: Final = 3
"""Children of one parent that are alike, from which on they are told as one."""

SUSPICIOUS: Final[Mapping[str, str]] = {
    "false-name": "T1036.004",
    "library-hidden": "T1574.006",
    "library-memory": "T1620",
    "library-temporary": "T1574.006",
    "preload-odd": "T1574.006",
    "script-odd": "T1059",
    "writable": "T1574.010",
}
"""Signs that a healthy host does not have, with the technique."""

NOTABLE: Final = frozenset(
    {"library-gone", "library-path-odd", "preload", "script-temporary", "traced", "working-hidden"}
)
"""Signs that have honest reasons as well. The others are fine, and told in the details."""

SUPER_SERVERS: Final = frozenset(
    b"inetd xinetd openbsd-inetd inetutils-inetd rinetd tcpserver tcpsvd".split()
)

SWITCHERS: Final = frozenset(
    b"su sudo doas pkexec runuser sg newgrp sshd sshd-session sshd-auth login cron crond atd systemd"
    b" gdm-session-worker lightdm sddm-helper polkit-agent-helper-1 userhelper ksu calife op Xorg"
    b" dbus-daemon dbus-broker-launch".split()
)
"""Programs that lead from one account to another by asking somebody's leave."""

HELPING: Final = 60.0
"""Seconds that a helper which the kernel itself starts (modprobe, a dump of a crash) may run."""

MEANS: Final = {
    Verdict.SUSPICIOUS: "This is how an intruder's program looks: it hides what, where or whose it is.",
    Verdict.NOTABLE: "It has honest reasons on many hosts, and an intruder's as well: know which this is.",
}
NEXT: Final = {
    Verdict.SUSPICIOUS: (
        "Do not kill it and do not reboot: copy /proc/PID/exe, maps and environ away first, look at what "
        "it talks to (connections), and ask the owner of its account."
    ),
    Verdict.NOTABLE: "Ask the owner of its account what it is for, and note its command line.",
}


def look(scene: Scene) -> Iterator[Found]:
    """The tree, parents before their children."""
    blind = scene.host.live.blind
    if blind:
        yield Unseen("processes", blind)
        return
    processes = scene.processes
    children: dict[int, list[int]] = {}
    for pid, process in processes.items():
        parent = process.parent if process.parent in processes and process.parent != pid else 0
        children.setdefault(parent, []).append(pid)
    programs = Programs(scene, processes.values())
    known = _Known(scene)
    supers = _super_servers(scene)
    hidden = 0
    pending = [(0, "")]
    while pending or children:  # those whose parents name each other hang below nothing
        parent, name = pending.pop() if pending else (next(iter(children)), "")
        groups: dict[object, list[Process]] = {}
        for pid in children.pop(parent, ()):
            process = processes[pid]
            groups.setdefault(_likeness(process), []).append(process)
        for group in groups.values():
            hidden += sum(one.exe is None and not (one.namespace or one.kernel) for one in group)
            for members, odd in _told(scene, programs, group, supers):
                item = _item(scene, programs, members, odd, name, known.of(members[0]))
                yield item
                pending += [(one.pid, item.name) for one in members if one.pid in children]
                if item.verdict is not Verdict.FINE:
                    yield _moment(scene, members[0], item)
            if scene.stop():
                return
    if hidden:
        yield Unseen(
            "processes of others",
            f"the programs of {counted(hidden, 'process')} may not be seen by this account",
            "" if scene.is_root else SUDO,
        )


def _likeness(process: Process) -> object:
    """What makes siblings alike."""
    if process.kernel:
        return "kernel"
    runs = script(process.exe or b"", process.argv, process.cwd)
    return kith.program(process), runs, process.uid, process.namespace


# -- items ---------------------------------------------------------------------------------------------


class _Known:
    """How a process stands to the approved services, without a question where there is no baseline."""

    def __init__(self, scene: Scene) -> None:
        self._facts: dict[tuple[object, ...], Known] = {}
        if scene.approved.generation is not None:
            for fact in scene.facts(ProcessFact):
                self._facts[fact.exe, fact.uid, fact.script] = scene.known(fact)

    def of(self, process: Process) -> Known:
        """NOT_ASKED also for what is no service: what runs in a login is in no baseline."""
        if not self._facts or not process.exe:
            return Known.NOT_ASKED
        runs = script(process.exe, process.argv, process.cwd)
        return self._facts.get((process.exe, process.uid, runs), Known.NOT_ASKED)


def _told(
    scene: Scene, programs: Programs, group: list[Process], supers: list[int]
) -> Iterator[tuple[list[Process], list[Odd]]]:
    """A group of siblings in the pieces to be told, each the oldest first: together who differs in nothing
    that is odd, and each alone that is suspicious."""
    pieces: dict[object, tuple[list[Process], list[Odd]]] = {}
    for process in sorted(group, key=lambda one: (one.started, one.pid)):
        odd = list(_odd(scene, programs, process, supers))
        alike = frozenset(one.says for one in odd if one.verdict is not Verdict.FINE)
        bad = kith.worst(odd) is Verdict.SUSPICIOUS
        pieces.setdefault(process.pid if bad else alike, ([], odd))[0].append(process)
    for members, odd in pieces.values():
        if len(members) >= ALIKE:
            yield members, odd
        else:
            yield from (([one], odd) for one in members)


def _item(
    scene: Scene, programs: Programs, group: list[Process], odd: list[Odd], parent: str, known: Known
) -> Item:
    """One process, or many that are alike."""
    first, count, verdict = group[0], len(group), kith.worst(odd)
    who, program = scene.user(first.uid), kith.program(first)
    more: dict[str, object] = {"pid": first.pid} if first.kernel else kith.details(scene, programs, first)
    if count == 1:
        name, subject = kith.called(first), f"{program} runs as {who}"
    else:
        more |= {"count": count, "pids": [one.pid for one in group[:20]]}
        inside = f" in {first.namespace}" if first.namespace else ""
        noted = f", {verdict.label} from pid {first.pid} on" if verdict is not Verdict.FINE else ""
        name = f"{program} ({who}) below pid {first.parent}{inside}{noted}"
        subject = f"{count} processes of {program} run as {who}"
    if first.kernel and count > 1:
        name, subject = "threads of the kernel", f"{count} threads of the kernel"
    if known is Known.NEW and verdict is Verdict.FINE:
        subject += ", a service that is not in the baseline"
    return Item(
        name,
        verdict,
        kith.sentence(subject, odd),
        MEANS.get(verdict, ""),
        NEXT.get(verdict, ""),
        known,
        kith.technique(odd) if verdict is not Verdict.FINE else "",
        more,
        (Evidence(f"ps -fp {first.pid}", kith.words(first)),) if verdict is not Verdict.FINE else (),
        parent,
    )


def _moment(scene: Scene, process: Process, item: Item) -> Moment:
    return Moment(
        scene.began(process),
        "process",
        f"{item.name} began",
        f"/proc/{process.pid}/stat",
        Confidence.SURE,
        item.verdict,
        scene.user(process.uid),
        known=item.known,
    )


# -- signs ---------------------------------------------------------------------------------------------


def _odd(scene: Scene, programs: Programs, process: Process, supers: list[int]) -> Iterator[Odd]:
    """What is odd about one process."""
    if process.kernel:
        return
    yield from programs.odd(process)
    yield from code.odd(scene, process)
    yield from _inside(scene, process)
    yield from _powers(scene, process, programs)
    if tunnel := tunnels.odd(kith.base(process), process.argv):
        yield tunnel
    if process.pid in supers:
        yield Odd(
            Verdict.SUSPICIOUS, f"is one of {len(supers)} super-servers, and a host has but one", "T1543"
        )
    if process.exe == b"" and not process.argv and process.pid != 1:
        yield Odd(Verdict.NOTABLE, "runs, and has neither a program nor arguments")
    parent = scene.processes.get(process.parent)
    of_kernel = process.parent == 2 and parent is not None and parent.kernel
    if of_kernel and scene.now - scene.began(process) > HELPING:
        yield Odd(Verdict.SUSPICIOUS, "was started by the kernel itself, and stays", "T1547.006")
    if not process.namespace and not _has_account(scene, process.uid) and process.uid < DYNAMIC.start:
        yield Odd(Verdict.NOTABLE, "runs for an account that does not exist in /etc/passwd", "T1078")


DYNAMIC: Final = range(61184, 65520)
"""Uids that systemd gives to services for as long as they run (systemd.exec(5), DynamicUser=); those of
directories and of containers lie above."""


def _has_account(scene: Scene, uid: int) -> bool:
    return not scene.users or scene.user(uid) != f"uid {uid}"


def _inside(scene: Scene, process: Process) -> Iterator[Odd]:
    """What it runs besides its image, by the signs that the daemon goes by."""
    for word, about in scene.signs.get(process.pid, ()):
        bad = Verdict.SUSPICIOUS if word in SUSPICIOUS else Verdict.FINE
        if word in NOTABLE:
            bad = Verdict.NOTABLE
        sign = SIGNS[word]
        said = sign.removeprefix("it ") if sign.startswith("it ") else f"shows this: {sign}"
        said += f" ({text(about, 200)})" if about else ""
        yield Odd(bad, said, SUSPICIOUS.get(word, ""))


def _powers(scene: Scene, process: Process, programs: Programs) -> Iterator[Odd]:
    """Root's processes that an ordinary account's process started, past all that asks for leave."""
    if process.uid != 0 or process.namespace or _is_switcher(process):
        return
    parent = scene.processes.get(process.parent)
    if parent is None or parent.uid == 0 or parent.kernel or _is_switcher(parent):
        return
    above = scene.host.live.origin(parent.pid)
    inside = scene.host.live.inside(process.pid)
    if above is None or above.real == 0 or (inside is not None and inside.mode & 0o4000):
        return
    own = scene.host.live.origin(process.pid)
    who = f"pid {parent.pid} of {scene.user(parent.uid)}"
    if own is not None and own.leave:  # pkexec(1) becomes what it was asked for, and sudo(8) may
        says = f"is root's, and {who} started it, by its environment with leave ({text(own.leave, 80)})"
        yield Odd(Verdict.NOTABLE, says)
    else:
        yield Odd(Verdict.SUSPICIOUS, f"is root's, and {who} started it without su or sudo", "T1068")


def _is_switcher(process: Process) -> bool:
    return kith.base(process) in SWITCHERS and (process.exe or b"").startswith(kith.SYSTEM)


def _super_servers(scene: Scene) -> list[int]:
    """The pids of the programs that start others for connections, when there are several. One that they
    forked for a connection is no further one."""
    named = {pid: one for pid, one in scene.processes.items() if kith.base(one) in SUPER_SERVERS}
    found = [pid for pid, one in named.items() if one.parent not in named and not one.namespace]
    return found if len(found) > 1 else []
