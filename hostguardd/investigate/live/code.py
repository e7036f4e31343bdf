"""Interpreters whose program no file holds any more: it was deleted, or came through a pipe.

`curl … | python3 -` and `sh <&5` leave nothing on disk to look at afterwards. So do honest pipelines, which
hang below a login or end soon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ...host.live import Process
from ...host.texts import ABSENT
from ...sensors.commands import language, script
from ..interface import Verdict, text
from ..scene import Scene
from .joined import CARRIERS
from .programs import Odd, base, kin

DESCRIPTOR: Final = re.compile(rb"/(?:dev/fd|proc/self/fd)/(\d{1,4})")


def odd(scene: Scene, process: Process) -> Iterator[Odd]:
    """What there is to say of where an interpreter has its program from."""
    exe = process.exe or b""
    if process.namespace or language(exe) is None:
        return
    # The folder that it was started in is not known: it may have gone elsewhere since.
    path = script(exe, process.argv)
    if (descriptor := _descriptor(path)) is not None:
        if process.tty == 0 and _is_passing(scene, process.pid, descriptor) and _is_detached(scene, process):
            says = "got its program through a pipe or socket, without a terminal, so that no file holds it"
            yield Odd(Verdict.NOTABLE, says, "T1059")
    elif (
        scene.is_root
        and path.startswith(b"/")
        and not path.startswith((b"/dev/", b"/proc/"))
        and scene.host.texts.lstat(path) is None
        and scene.host.texts.read(path, 1) == ABSENT  # what may not be looked at is something else
        and scene.host.live.is_at_our_root(process.pid)
    ):
        yield Odd(Verdict.NOTABLE, f"runs {text(path, 200)}, and that file is not there", "T1070.004")


def _descriptor(path: bytes) -> int | None:
    """The descriptor that the program is read from; None when it is read from a file or is none."""
    if path in (b"-", b"/dev/stdin"):
        return 0
    found = DESCRIPTOR.fullmatch(path)
    return int(found[1]) if found else None


def _is_passing(scene: Scene, pid: int, descriptor: int) -> bool:
    """Whether what came through that descriptor is nowhere now. Older shells put a here-document into a file
    that they delete at once."""
    live = scene.host.live
    origin = live.origin(pid) if descriptor == 0 else None
    return live.is_joint(pid, descriptor) or (
        origin is not None and origin.streams[0].endswith(b" (deleted)") and origin.streams[0][:5] != b"/dev/"
    )


def _is_detached(scene: Scene, process: Process) -> bool:
    """Whether nobody who logged in is there any more to have asked for it."""
    return not any(base(one).startswith(CARRIERS) for one in kin(scene, process))
