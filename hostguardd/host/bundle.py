"""Everything of the host that sensors ask, in one hand: what a test replaces, port by port."""

from __future__ import annotations

from dataclasses import dataclass

from .files import FileHost, LinuxFiles
from .live import LiveHost, NoLiveHost
from .proc import ProcHost
from .texts import LinuxTexts, TextHost
from .views import LinuxViews, ViewHost


@dataclass(frozen=True, slots=True)
class Host:
    """The ports. `live` says by its `blind` whether there is a kernel at all."""

    files: FileHost
    live: LiveHost
    texts: TextHost
    views: ViewHost


def this_host() -> Host:
    """The machine we run on."""
    files = LinuxFiles()
    return Host(files, ProcHost(), LinuxTexts(files), LinuxViews(files))


def image(root: bytes) -> Host:
    """A mounted disk image: files, and no kernel behind them. Raises OSError when there is none."""
    files = LinuxFiles(root)
    live = NoLiveHost()
    return Host(files, live, LinuxTexts(files), LinuxViews(files, live.blind))
