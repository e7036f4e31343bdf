"""What of the logins of this host is unusual, by its habits, its accounts and its baseline."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ...model import EventFact, LoginFact
from ...sensors.events import EventsSensor
from ...sensors.logins import ORIGINS
from ..interface import Known, Verdict, text
from ..scene import Scene
from .attendance import attendance
from .habits import Accounts, Habits, Oddity, elsewhere

SSSD: Final = b"/etc/sssd"
HOMED: Final = b"/var/lib/systemd/home"
"""Accounts of systemd-homed, which are in no table."""

UNUSUAL: Final = "A stolen password or key is used from where, and when, its owner would not."


@dataclass(slots=True)
class Usage:
    """`facts` are the sensor's origins by (user, origin); `first` is the first login of each account.
    `since` is where the time begins that is looked at; `covered`: there are records of what was before."""

    habits: Habits
    accounts: Accounts
    facts: dict[tuple[str, str], Known]
    first: dict[str, float]
    since: float
    covered: bool

    def known(self, user: str, source: str) -> Known:
        """How an origin stands to the approved baseline."""
        return self.facts.get((user, source), Known.NOT_ASKED)

    def oddity(self, user: str, source: str, times: Sequence[float]) -> Oddity | None:
        """The worst that is unusual of logins at `times`, None when all are usual."""
        known = self.known(user, source)
        brief = self.covered and self.first.get(user, self.since) >= self.since
        odd = self.accounts.oddity(user, source, self.habits, brief)
        if odd is not None:
            return odd
        if not self.habits.usual(user, source) and (known is Known.NEW or self.habits.knows(user)):
            why = "the baseline does not have it" if known is Known.NEW else "it never came from there before"
            return Oddity(Verdict.NOTABLE, f"an unusual origin of {user}: {why}", UNUSUAL, "T1078")
        for at in times:
            if reason := self.habits.odd_hour(user, at):
                return Oddity(Verdict.NOTABLE, f"an unusual hour of {user}: {reason}", UNUSUAL, "T1078")
        return None


def usage(scene: Scene) -> Usage:
    """Looked up once for all checks of an inquiry."""
    return scene.once(_usage)


def arrivals(scene: Scene) -> dict[tuple[bytes, bytes], tuple[bytes, int]]:
    """Logins that the lines of logs tell of, the latest of each: (user, origin) -> (service, at)."""
    scene.facts(EventFact)
    for one in scene.parts.polled:
        if isinstance(one, EventsSensor):
            return one.tally.arrivals
    return {}


def _usage(scene: Scene) -> Usage:
    arrivals(scene)  # the logins sensor takes them up
    sessions = attendance(scene).sessions
    texts = scene.host.texts
    there = texts.lstat(SSSD) is not None
    names = texts.names(SSSD, 64) if there else []  # None: only root may look into it
    sssd = names is None or b"sssd.conf" in names or bool(texts.names(SSSD + b"/conf.d", 1))
    outside = elsewhere(texts.read(b"/etc/nsswitch.conf", 1 << 16).data, sssd) or bool(texts.names(HOMED, 1))
    accounts = Accounts({text(one.name): one for one in reversed(scene.users)}, outside)
    first: dict[str, float] = {}
    for one in sessions:
        first.setdefault(one.user, one.began)
    facts = {
        (text(fact.user), text(fact.origin)): scene.known(fact)
        for fact in scene.facts(LoginFact)
        if fact.view == ORIGINS
    }
    habits = Habits(sessions, scene.since, lambda at: time.localtime(at).tm_hour)
    return Usage(habits, accounts, facts, first, scene.since, attendance(scene).covers(scene.since))
