"""What a glob of the configuration stands for on this host, as far as its last wildcard.

The rule: a folder in which a wildcard cannot be tried is told, never taken for one without matches.
"""

from __future__ import annotations

from collections.abc import Callable

from ..globs import compile_name, has_magic, unquoted
from ..model import join
from .files import FileHost, is_gone

MOST_GLOBBED = 100_000
"""Names of one folder that a wildcard is tried on."""


def glob_paths(
    host: FileHost,
    pattern: bytes,
    away: Callable[[bytes], bool],
    closed: Callable[[bytes, OSError], None],
) -> list[bytes]:
    """Paths that match a glob: as far as its last wildcard they exist.

    Folders that are `away` are not touched; `closed` hears of those that are there and cannot be listed.
    """
    level = [b"/"]
    for part in filter(None, pattern.split(b"/")):
        if not has_magic(part):
            level = [join(folder, unquoted(part)) for folder in level]
            continue
        fits, below = compile_name(part).fullmatch, []
        for folder in level:
            if away(folder):
                continue
            try:
                with host.open_folder(folder) as opened:
                    below += [join(folder, name) for name in opened.names(MOST_GLOBBED) if fits(name)]
            except OSError as error:
                if not is_gone(error):
                    closed(folder, error)
        level = below
    return level
