"""How a file that is looked at now stands to the approved baseline, where that watches its folder at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...model import FileFact, split
from ..interface import Known
from ..scene import Scene

MOST_TOGETHER: Final = 100
"""Files that are told as one and of which each is read, to know how it stands."""


def standing(scene: Scene, path: bytes) -> Known:
    """Known, changed or new; NOT_ASKED where there is no baseline, or it has nothing of the folder."""
    if scene.approved.generation is None:
        return Known.NOT_ASKED
    try:
        folder, name = split(path)
        folder = scene.host.files.real(folder)
        if not scene.approved.of(FileFact, folder):
            return Known.NOT_ASKED
        with scene.host.files.open_folder(folder) as opened:
            row = opened.entry(name)
            deep = opened.deep(row, scene.stop) if row is not None else None
    except OSError:
        return Known.NOT_ASKED
    return scene.known(FileFact.of(deep.row)) if deep is not None else Known.CHANGED


def standing_of_all(scene: Scene, paths: Sequence[bytes]) -> Known:
    """How files that are told as one stand to it; NOT_ASKED of very many."""
    if scene.approved.generation is None or not 0 < len(paths) <= MOST_TOGETHER:
        return Known.NOT_ASKED
    return Known.of_all({standing(scene, path) for path in paths})
