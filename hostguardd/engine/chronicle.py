"""What is written beside a finding when it is told: who made the change, as the alert said, and what explains
it.

The rules: a story is made of what the alert told and of nothing that came to be known since; the better
explanation stands; and a finding that is told again keeps how it was told before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

from .. import causes
from ..store.stories import Stories
from ..story import Story, after
from .keeper import Change

Actor: TypeAlias = Mapping[str, Any]

MOST: Final[Mapping[str, int]] = {"parents": 16, "candidates": 4, "logged_in": 8}
"""What is kept of an actor's lists: there may be a hundred thousand findings."""


class Chronicle:
    """`said` tells once what the alert of a finding said of the actor, `automation` which unit or user of
    configuration management an actor is. `wall` is nanoseconds."""

    def __init__(
        self,
        stories: Stories,
        said: Callable[[str], Actor],
        automation: Callable[[Actor], str],
        wall: Callable[[], int],
    ) -> None:
        self._stories = stories
        self._said = said
        self._automation = automation
        self._wall = wall

    def told(self, change: Change, earlier: Change | None) -> Change:
        """A change that was told, with the whole story of its finding. `earlier` is what was told of its key
        and could not be written down yet."""
        if change.finding is None:
            return change
        id = change.finding.id
        new = self._new(id, change.story)
        old = None if change.event == "opened" else self._before(id, earlier)
        if old is None:
            return replace(change, story=new)
        # What ends a finding tells nothing of who made it.
        return replace(change, story=old if change.event == "cleared" else after(old, new))

    def _before(self, id: str, earlier: Change | None) -> Story | None:
        if earlier is not None and earlier.finding is not None and earlier.finding.id == id:
            return earlier.story
        return self._stories.find(id)

    def _new(self, id: str, given: Story | None) -> Story:
        story = given or Story()
        actor = {
            name: value[: MOST[name]] if name in MOST else value for name, value in self._said(id).items()
        }
        cause, because = causes.of_actor(actor, self._automation(actor))
        if causes.better(cause, story.cause):
            because = "; ".join(filter(None, (because, story.because)))
            story = replace(story, cause=cause, because=because)
        return replace(story, actor=actor, told=self._wall())
