"""Everything of the host that sensors ask, in one hand: what a test replaces, port by port."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from .boots import BootHost, LinuxBoots, NoBoots
from .files import FileHost, LinuxFiles
from .journal import Journal, JournalHost, NoJournal
from .kernel import KernelHost, LinuxKernel, NoKernel
from .live import LiveHost, NoLiveHost
from .proc import ProcHost
from .texts import LinuxTexts, TextHost
from .views import LinuxViews, ViewHost
from .witnesses import LinuxWitnesses, WitnessHost


@dataclass(frozen=True, slots=True)
class Host:
    """The ports. `live` says by its `blind` whether there is a kernel at all; without `witnesses` nobody is
    asked who did something."""

    files: FileHost
    live: LiveHost
    texts: TextHost
    views: ViewHost
    kernel: KernelHost = field(default_factory=NoKernel)
    journal: JournalHost = field(default_factory=NoJournal)
    boots: BootHost = field(default_factory=NoBoots)
    witnesses: WitnessHost | None = None


def this_host() -> Host:
    """The machine we run on."""
    files = LinuxFiles()
    turn = threading.Lock()
    texts, views = LinuxTexts(files), LinuxViews(files, turn=turn)
    kernel = LinuxKernel()
    witnesses = LinuxWitnesses(LinuxKernel().audit)  # a door of its own: it is asked on another thread
    return Host(files, ProcHost(turn=turn), texts, views, kernel, Journal(), LinuxBoots(), witnesses)


def image(root: bytes) -> Host:
    """A mounted disk image: files, and no kernel behind them. Raises OSError when there is none."""
    files = LinuxFiles(root)
    live = NoLiveHost()
    return Host(files, live, LinuxTexts(files), LinuxViews(files, live.blind))
