"""Who on this host waits to be talked to, which program that is, and how it came to be there.

By hand: `netstat -an` for the ports, then `fuser` and `lsof` for who is behind each, and then the question
whether the administrator put it there. The last is answered by the package that owns the program, the unit
that it runs in, the login that started it, and the baseline.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from ... import diff
from ...fact import key_of
from ...host.live import Process
from ...model import ListenerFact
from ...sensors.commands import language, script
from ...sensors.listeners import FOREIGN
from ...words.interface import counted
from ..interface import Confidence, Evidence, Found, Item, Known, Moment, Unseen, Verdict, text, word
from ..live import programs as kith
from ..live.programs import Odd, Programs
from ..scene import SUDO, Scene

KERNEL: Final = b"[kernel]"
SNIFFING: Final = ("packet", "raw", "raw6")

MEANS: Final = (
    "A port that answers is how an intruder comes back: a back door, or a service made to give access."
)
NEXT: Final = (
    "Do not connect to it or kill it yet: note the port, its program and who talks to it, "
    "copy /proc/{pid}/exe away as evidence, and ask whoever runs this host whether it is theirs."
)
ORPHANED: Final = "Look from outside which port answers; a root kit may hide the process that holds it."


def look(scene: Scene) -> Iterator[Found]:
    """Every socket that waits."""
    facts = scene.facts(ListenerFact)
    pids = {fact.pid for fact in facts if fact.pid}
    owners = {pid: scene.processes[pid] for pid in pids if pid in scene.processes}
    programs = Programs(scene, owners.values())
    for fact in sorted(facts, key=lambda one: (one.proto == "unix", one.proto, one.port, one.endpoint)):
        process = owners.get(fact.pid or 0)
        known = scene.known(fact)
        odd = list(_odd(scene, fact, process, known, programs))
        verdict = kith.worst(odd)
        yield _item(scene, fact, process, known, odd, programs)
        if process is not None and (verdict is not Verdict.FINE or known is Known.NEW):
            yield Moment(
                scene.began(process),
                "listener",
                f"{kith.called(process)} began, which listens at {text(fact.label)}",
                f"/proc/{process.pid}/stat",
                Confidence.SURE,
                verdict,
                scene.user(process.uid),
                known=known,
            )
        if scene.stop():
            return
    yield from (one for one in scene.blind(ListenerFact) if not one.scope.endswith(FOREIGN.decode()))
    yield from _elsewhere(scene)
    if not scene.is_root and any(fact.exe is None for fact in facts):
        yield Unseen("listeners of others", "their programs may not be seen by this account", SUDO)


NAMED: Final = 5
"""Other network namespaces that are named."""

CONTAINER: Final = re.compile(rb"(?:docker|libpod|crio|cri-containerd|machine|lxc|podman)[-.].*")
"""Units that container managers make."""


def _elsewhere(scene: Scene) -> Iterator[Unseen]:
    """Who has a network of its own, with listeners of its own."""
    spaces = sorted(scene.host.live.net_namespaces().values(), key=lambda pids: pids[0])
    if not spaces:
        return
    named = ", ".join(_network(scene, pids) for pids in spaces[:NAMED])
    if len(spaces) > NAMED:
        named += f" and {counted(len(spaces) - NAMED, 'namespace')} more"
    count = counted(sum(map(len, spaces)), "process")
    was = "was" if count == "1 process" else "were"
    where = counted(len(spaces), "other network namespace")
    remedy = f"sudo nsenter -t {spaces[0][0]} -n ss -lntup"
    yield Unseen("other networks", f"{count} in {where} {was} not looked at: {named}", remedy)


def _network(scene: Scene, pids: Sequence[int]) -> str:
    first = scene.processes.get(pids[0])
    if first is None:
        return f"{len(pids)} with pid {pids[0]}"
    unit = text(first.unit, 80)
    container = "the container " if first.namespace or CONTAINER.fullmatch(first.unit) else ""
    where = f" in {container}{unit or first.namespace}" if unit or container else ""
    return f"{len(pids)}{where} ({text(first.comm, 40)}, pid {first.pid})"


def _item(
    scene: Scene,
    fact: ListenerFact,
    process: Process | None,
    known: Known,
    odd: list[Odd],
    programs: Programs,
) -> Item:
    verdict = kith.worst(odd)
    who = text(fact.exe or b"") or "an unseen program"
    if process is not None:
        who = f"{kith.program(process)} (pid {process.pid}, {scene.user(process.uid)})"
    if fact.exe == KERNEL:
        who = "the kernel itself"
    says = kith.sentence(f"{who} listens at {text(fact.label)}", odd)
    more: dict[str, object] = {"protocol": fact.proto, "port": fact.port}
    if fact.uid is not None:
        more["owner"] = scene.user(fact.uid)
    if fact.others:
        more["others"] = text(fact.others.replace(b"\0", b" "))
    if process is not None:
        more |= kith.details(scene, programs, process)
    bad = verdict is not Verdict.FINE
    number = str(process.pid) if process is not None else "PID"
    return Item(
        text(fact.label),
        verdict,
        says,
        MEANS if bad else "",
        (NEXT.format(pid=number) if process is not None or not bad else ORPHANED) if bad else "",
        known,
        kith.technique(odd) or ("T1571" if verdict is Verdict.SUSPICIOUS else ""),
        more,
        (Evidence(_command(fact), text(fact.command or b"")),),
    )


def _command(fact: ListenerFact) -> str:
    """What shows the same by hand."""
    if fact.proto == "unix":
        return f"ss -lxp src {word(text(fact.endpoint, 200))}"
    if fact.proto == "packet":
        return "ss -0p"
    letter = {"tcp": "t", "udp": "u", "raw": "w", "sctp": "S"}[fact.proto.rstrip("6")]
    where = "" if letter == "w" else f" 'sport = :{fact.port}'"
    return f"ss -ln{letter}p{where}"


def _odd(
    scene: Scene, fact: ListenerFact, process: Process | None, known: Known, programs: Programs
) -> Iterator[Odd]:
    """What is odd about a listener."""
    if known is Known.NEW:
        yield Odd(Verdict.NOTABLE, "was not there when the baseline was approved")
    elif known is Known.CHANGED:
        yield from _changed(scene, fact)
    if process is None:
        if fact.exe == b"" and fact.proto != "unix" and scene.is_root:
            yield Odd(Verdict.SUSPICIOUS, "is held by no process that can be found", "T1014")
        elif fact.exe is None and scene.is_root:
            yield Odd(Verdict.NOTABLE, "is held by a process that not even root may look at from here")
        return
    yield from programs.odd(process)
    if fact.proto == "unix":
        if fact.endpoint.startswith(b"@") and not process.namespace:
            # Programs pass such sockets to their own children, too.
            yield from (one._replace(verdict=Verdict.NOTABLE) for one in _obeys(process))
        return
    if fact.proto in SNIFFING:
        yield from _sniffs(process, programs)
    elif not process.namespace:
        yield from _obeys(process)
    origin = scene.host.live.origin(process.pid)
    if came := kith.way_in(scene, process, origin):
        yield Odd(Verdict.NOTABLE if _is_open(fact) else Verdict.FINE, f"was {came}")


def _changed(scene: Scene, fact: ListenerFact) -> Iterator[Odd]:
    before = scene.approved.of(ListenerFact, fact.proto).get(key_of(ListenerFact, fact.row()))
    names = diff.changed(ListenerFact, before, fact.row()) if before else ()
    if "exe" in names or "uid" in names:
        was = ListenerFact.of(before) if before else fact
        owner = f"{text(was.exe or b'')} of {scene.user(was.uid)}"
        yield Odd(Verdict.SUSPICIOUS, f"was approved for another owner, {owner}", "T1571")
    else:
        yield Odd(Verdict.NOTABLE, f"is not as approved ({', '.join(names)})")


def _sniffs(process: Process, programs: Programs) -> Iterator[Odd]:
    """Raw and packet sockets see what is meant for others; the system's own tools (DHCP, LLDP) use them."""
    if programs.is_owned(process.exe or b"") is False and not process.namespace:
        yield Odd(Verdict.SUSPICIOUS, "belongs to no package and hears packets past the firewall", "T1040")
    elif language(process.exe or b"") is not None or kith.base(process) in kith.SHELLS:
        yield Odd(Verdict.SUSPICIOUS, "hears packets past the firewall by a script", "T1040")
    elif kith.base(process) in SNIFFERS:
        yield Odd(Verdict.NOTABLE, "records what passes on the network", "T1040")


SNIFFERS: Final = frozenset(b"tcpdump tshark dumpcap wireshark ngrep dsniff ettercap tcpflow".split())


def _obeys(process: Process) -> Iterator[Odd]:
    """Whether what waits at a port is something that does whatever it is told."""
    name, exe = kith.base(process), process.exe or b""
    runs = script(exe, process.argv, process.cwd)
    if name in kith.SHELLS and name != b"busybox":
        yield Odd(Verdict.SUSPICIOUS, "is a shell", "T1059.004")
    elif name in kith.TALKERS:
        yield Odd(Verdict.SUSPICIOUS, "is a tool that hands a connection to anything", "T1095")
    elif kith.is_told_what_to_do(process):
        yield Odd(
            Verdict.SUSPICIOUS, "is an interpreter that was given its program on the command line", "T1059"
        )
    elif language(exe) is not None and runs.startswith((b"/tmp/", b"/var/tmp/", b"/dev/shm/", b"/memfd:")):
        yield Odd(Verdict.SUSPICIOUS, "runs a script from a folder that anybody may write to", "T1059")
    elif runs == b"-m http.server" or runs == b"-m SimpleHTTPServer":
        yield Odd(Verdict.NOTABLE, "hands out the files of a folder to whoever asks")


def _is_open(fact: ListenerFact) -> bool:
    """Whether others than this host reach it."""
    return not fact.endpoint.startswith((b"127.", b"[::1]"))
