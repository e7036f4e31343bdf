"""Where sudoers(5) takes its rules from besides the usual files: `@include` and `@includedir`, followed."""

from __future__ import annotations

from typing import Final

from ...model import join, split
from ..interface import Unseen, text
from ..scene import SUDO, Scene
from .running import LARGEST
from .sudoers import included

USUAL: Final = b"/etc/sudoers"
FOLDER: Final = b"/etc/sudoers.d"
MOST: Final = 200
"""Files of one folder that are read, and of what is included from elsewhere."""


def usual(scene: Scene) -> list[bytes]:
    """The table, and what lies in the folder that it includes on every host."""
    return [USUAL, *_names(scene, FOLDER, [])]


def further(scene: Scene) -> tuple[list[bytes], list[Unseen]]:
    """What these include that lies elsewhere, and what of it could not be listed; asked for once."""
    return scene.once(_further)


def _further(scene: Scene) -> tuple[list[bytes], list[Unseen]]:
    pending = usual(scene)
    seen, unseen = dict.fromkeys(pending), list[Unseen]()
    number = len(pending)
    while pending and len(seen) <= MOST + number:
        path = pending.pop(0)
        for folder, one in included(scene.host.texts.read(_real(scene, path), LARGEST).data or b""):
            target = _real(scene, one if one.startswith(b"/") else join(split(path)[0], one))
            new = [one for one in (_names(scene, target, unseen) if folder else [target]) if one not in seen]
            seen |= dict.fromkeys(new)
            pending += new
    if len(seen) > MOST + number:
        unseen.append(Unseen("rules of sudo", f"only the first {MOST} files are read that others include"))
    return list(seen)[number : number + MOST], unseen


def _real(scene: Scene, path: bytes) -> bytes:
    try:
        return scene.host.files.real(path)
    except OSError:
        return path


def _names(scene: Scene, folder: bytes, unseen: list[Unseen]) -> list[bytes]:
    """What sudo reads of a folder: neither names with a dot nor those that end in a tilde."""
    names = scene.host.texts.names(folder, 10_000)
    if names is None and scene.host.texts.lstat(folder) is not None:
        unseen.append(Unseen(text(folder), "cannot be listed", "" if scene.is_root else SUDO))
    return [join(folder, one) for one in sorted(names or ()) if b"." not in one and one[-1:] != b"~"][:MOST]
