"""The change windows that are open: opened, extended and ended by whoever may approve, and by their time.

The rules kept here: who opens a window is told, as loudly as who approves, before it covers anything; one
that survives a restart is told again; and none outlives its length, whatever becomes of the clock. While we
run, and over restarts within one boot, that is measured by CLOCK_BOOTTIME, which nobody sets; over a reboot
by the wall clock, but never beyond what was left when that was last written down. A window that is to end
looks once more at everything, so that its list is whole, and covers meanwhile only what came about before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from ..describe import Event
from ..errors import HostguardError, StoreError, UsageError
from ..host.clock import Clock
from ..model import Alert, Finding
from ..record import escape
from ..store.baseline import Baseline
from ..store.stories import Stories
from ..story import Cause, Story
from ..windows import Window, counts_outside, covers, lowered, named, pack, places, unpack
from .interface import Tell
from .keeper import Change

SECOND: Final = 1_000_000_000
MOST_OPEN: Final = 16
MOST_ENDED: Final = 32
"""Windows that ended and are still listed, the newest."""

CLOSING: Final = 600 * SECOND
"""How long the last look of a window may take."""

NOTED_EVERY: Final = 60 * SECOND
NOTE: Final = "windows"
"""The name under which they survive a restart."""


def window_of(change: Change) -> str:
    """The id of the window that covers a change, "" for none."""
    return _window(change.story)


def _window(story: Story | None) -> str:
    return story.act if story is not None and story.cause is Cause.WINDOW else ""


class Windows:
    """All windows of this host. `longest`: seconds that one may be open. `own`: our own folders. `whole`:
    whether nothing is unseen now. `last_look`: begin a look at everything. `flush`: tell all that waits;
    False if it could not be."""

    def __init__(
        self,
        baseline: Baseline,
        stories: Stories,
        clock: Clock,
        tell: Tell,
        *,
        boot: Callable[[], str],
        longest: Callable[[], float],
        own: Callable[[], Iterable[bytes]],
        whole: Callable[[], bool],
        last_look: Callable[[], None],
        flush: Callable[[], bool],
    ) -> None:
        self._baseline = baseline
        self._stories = stories
        self._clock = clock
        self._tell = tell
        self._boot = boot
        self._longest = longest
        self._own = own
        self._whole = whole
        self._last_look = last_look
        self._flush = flush
        self._all: dict[str, Window] = {}
        self._noted = 0
        self._outside = False

    # -- asked for -------------------------------------------------------------------------------

    def all(self) -> Sequence[Window]:
        """Those that are open, and those that ended last."""
        return list(self._all.values())

    def get(self, id: str) -> Window:
        """The window of that id. UsageError when there is none."""
        if id not in self._all:
            raise UsageError(f"there is no window {id}: hostguardctl expect lists them")
        return self._all[id]

    def open(self, actor: str, reason: str, paths: tuple[bytes, ...], seconds: float) -> Window:
        """Announce changes. Raises HostguardError when that could not be told, and so is not in force."""
        length = self._length(seconds)
        if len(self._open()) >= MOST_OPEN:
            raise UsageError(f"{MOST_OPEN} windows are open, which is the most: end one first")
        now = self._clock.wall()
        window = Window(
            named(actor, reason, paths, now),
            actor,
            reason,
            paths,
            opened=now,
            until=now + length,
            whole=self._whole(),
            boot=self._boot(),
            begun=self._clock.boot(),
            deadline=self._clock.boot() + length,
            left=length,
        )
        try:
            self._announce("window.opened", window, actor, length)
        except HostguardError:
            self._tell("window.ending", window=window.id, actor="hostguardd", reason=reason)
            raise
        self._put(window)
        return window

    def extend(self, id: str, actor: str, seconds: float) -> Window:
        """Let a window be open for so long from now. All in all it is open no longer than one may be."""
        window, length = self._still_open(id), self._length(seconds)
        now = self._clock.wall()
        if self._clock.boot() - window.begun + length > self._longest() * SECOND:
            raise UsageError(
                f"window {id} would be open for longer since it was opened than [windows] longest allows"
                f" ({self._longest():g} s): announce the rest anew"
            )
        window = replace(
            window, until=now + length, deadline=self._clock.boot() + length, left=length, boot=self._boot()
        )
        self._announce("window.extended", window, actor, length)
        self._put(window)
        return window

    def end(self, id: str, actor: str) -> Window:
        """End a window before its time."""
        window = self._still_open(id)
        self._tell("window.ending", window=window.id, actor=actor, reason=window.reason)
        return self._close(window)

    def _still_open(self, id: str) -> Window:
        window = self.get(id)
        if window.closed:
            raise UsageError(f"window {id} is not open any more")
        return window

    def _length(self, seconds: float) -> int:
        if seconds > self._longest():
            raise UsageError(f"{seconds:g} s is more than [windows] longest allows ({self._longest():g} s)")
        return int(seconds * SECOND)

    def _announce(self, code: str, window: Window, actor: str, length: int) -> None:
        """Tell, and before that all that came before. HostguardError where it does not reach the disk."""
        before = self._flush()
        self._tell(
            code,
            window=window.id,
            actor=actor,
            reason=window.reason,
            places=places(window),
            paths=" ".join(map(escape, window.paths)),
            length=length,
            until=window.until,
        )
        if not (before and self._flush()):
            raise HostguardError("it cannot be announced, as alerts cannot be written: nothing is expected")

    # -- what changes cover ----------------------------------------------------------------------

    def mark(self, change: Change, earlier: Change | None) -> Change:
        """A change with the window that covers it, if one does. `earlier` is what is known of its key and not
        written down yet. What was told, or waits to be told, as loudly as ever is not covered afterwards."""
        finding, live = change.finding, self._live()
        if finding is None or not live:
            return change
        if earlier is not None and earlier.finding is not None:
            possible = [window_of(earlier)]
        elif change.event != "opened":
            possible = [_window(self._stories.of(finding.id))]
        else:
            possible = [one.id for one in live]
        now, own = self._clock.wall(), tuple(self._own())
        for window in live:
            if window.id in possible and (change.event == "cleared" or covers(window, finding, now, own)):
                because = f"{window.reason} (window {window.id})"
                return replace(change, story=Story(Cause.WINDOW, because, window.id))
        return change

    def quiet(self, alerts: Iterable[Alert], window: str) -> list[Alert]:
        """Alerts of what a window covers."""
        return [lowered(one, self._all[window]) for one in alerts]

    def told(self, told: Iterable[tuple[Finding, Event]]) -> None:
        """Findings that no window covers were told."""
        count = sum(counts_outside(*one) for one in told)
        if count and (windows := self._open()):
            for window in windows:
                self._all[window.id] = replace(window, outside=window.outside + count)
            self._outside = True

    # -- time passes -----------------------------------------------------------------------------

    def resume(self) -> None:
        """At our start: which are still open."""
        noted = self._baseline.recall(NOTE)
        try:
            texts = json.loads(noted) if isinstance(noted, str) else []
        except (ValueError, RecursionError):
            texts = []
        for text in texts if isinstance(texts, list) else ():
            if (window := unpack(text)) is not None:
                self._all[window.id] = window
        for window in self._live():
            self._resume(window)

    def _resume(self, window: Window) -> None:
        now, boot = self._clock.wall(), self._boot()
        if window.closed:
            self._ended(window)  # before its last look: what that would have found is told as ever
            return
        if boot and boot == window.boot:
            begun, left = window.begun, window.deadline - self._clock.boot()
        else:
            begun = self._clock.boot() - (now - window.opened)
            left = min(window.until - now, window.left) if now >= window.opened else 0
        left = min(left, int(self._longest() * SECOND))
        if left <= 0:
            self._ended(replace(window, closed=min(window.until, now)))
            return
        window = replace(
            window,
            until=now + left,
            begun=begun,
            deadline=self._clock.boot() + left,
            left=left,
            boot=boot,
            whole=False,
        )
        try:
            self._announce("window.resumed", window, window.actor, left)
        except HostguardError:
            window = replace(window, closed=now, ended=True)
        self._put(window)

    def unseen(self) -> None:
        """Hints were lost, or what was there before may be news now: only what bears its time is covered."""
        for window in self._open():
            self._all[window.id] = replace(window, whole=False)

    def tick(self) -> None:
        """What is due."""
        boot = self._clock.boot()
        for window in self._live():
            if window.closed:
                if boot >= window.deadline + CLOSING:
                    self._ended(window)
            elif boot >= window.deadline:
                self._close(window)
        if self._outside or (self._open() and boot - self._noted >= NOTED_EVERY):
            for window in self._open():
                self._all[window.id] = replace(window, left=window.deadline - boot)
            self._save()

    def looked(self) -> None:
        """A look at everything went through."""
        for window in self._live():
            if window.closed:
                self._ended(window)

    def stepped(self) -> None:
        """The clock was set: what is being closed cannot tell any more what came about before."""
        self.looked()

    def _close(self, window: Window) -> Window:
        window = replace(window, closed=self._clock.wall(), deadline=self._clock.boot())
        self._put(window)
        self._last_look()
        return window

    def _ended(self, window: Window) -> None:
        self._flush()
        window = replace(self._all.get(window.id, window), closed=window.closed, ended=True)
        inside = len(self._stories.of_act(window.id))
        self._all[window.id] = window
        self._tell(
            "window.ended-outside" if window.outside else "window.ended",
            window=window.id,
            actor=window.actor,
            reason=window.reason,
            inside=inside,
            outside=window.outside,
        )
        for old in [one.id for one in self._all.values() if one.ended][:-MOST_ENDED]:
            del self._all[old]
        self._save()

    # -- kept ------------------------------------------------------------------------------------

    def _live(self) -> list[Window]:
        """Open ones and those that are being closed."""
        return [one for one in self._all.values() if not one.ended]

    def _open(self) -> list[Window]:
        return [one for one in self._all.values() if not one.closed]

    def _put(self, window: Window) -> None:
        self._all[window.id] = window
        self._save()

    def _save(self) -> None:
        """Write them down. One that cannot be is over with this life of ours."""
        self._noted, self._outside = self._clock.boot(), False
        try:
            self._baseline.remember(NOTE, json.dumps([pack(one) for one in self._all.values()]))
        except StoreError:
            pass
