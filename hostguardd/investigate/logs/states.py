"""What the daemon's own sensor sees in files of logs and histories, as items."""

from __future__ import annotations

from ...engine.parts import SystemNames
from ...facts.logs import LogFact
from ...words.logs import LOG
from ..interface import Evidence, Item, Verdict, text
from ..scene import Scene


def state_of(scene: Scene, fact: LogFact, verdict: Verdict, means: str, next: str, technique: str) -> Item:
    """The item of a file that is not whole."""
    return Item(
        text(fact.path),
        verdict,
        LOG.new(fact, SystemNames()),
        means,
        next,
        scene.known(fact),
        technique,
        {"state": fact.state, "size": fact.size, "lost": fact.lost, "detail": text(fact.detail)},
        (Evidence(text(fact.path), text(fact.detail)),),
    )
