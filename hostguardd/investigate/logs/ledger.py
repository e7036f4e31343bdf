"""Refused logins of one log, counted exactly, and whether somebody got in after all. Pure.

The rules kept: several voices tell of one attempt (sshd's own, PAM's, audit's), so that of each session the
one that told most is believed; where a program itself names its guest, PAM's idea of the same guest (a name
where the program says an address) does not count beside it; and everything is bounded, in such a way that
the sums stay right.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ...tidings import SOFT, Accepted, Refused

SOURCES: Final = 10_000
"""Sources that are counted one by one; further ones are counted together as OTHERS."""

OTHERS: Final = b"other sources"
USERS: Final = 50_000
"""Pairs of source and account that are counted one by one; further accounts are counted as b""."""

SESSIONS: Final = 8192
"""Sessions whose voices are told apart, the newest."""

TRIED: Final = 100
"""Accounts that one session may try; a log in which one tries more was written by somebody else."""

SESSION: Final = 900
"""Seconds of silence after which a number of a process is that of another one."""

DAY: Final = 86400
BURST: Final = 1800
"""Seconds of silence that end a burst."""

BURSTS: Final = 24
"""Bursts of a source that are told apart, the newest."""

SUCCESSES: Final = 1000

GUESSABLE: Final = (b"password", b"keyboard-interactive", b"keyboard-interactive/pam", b"")
"""Methods of getting in that can be guessed; b"" where the service does not say."""


class Where(NamedTuple):
    """A line: the file, and its number there (0: not counted)."""

    path: bytes
    line: int

    def __bytes__(self) -> bytes:
        return b"%s:%d" % self if self.line else self.path


NOWHERE: Final = Where(b"", 0)


class Success(NamedTuple):
    """A login by something that can be guessed, after `refusals` in a row from the same source; `own` of them
    were of this very account, `tried` is how many accounts were."""

    service: bytes
    user: bytes
    source: bytes
    at: int
    method: bytes
    refusals: int
    own: int
    tried: int
    where: Where


@dataclass(slots=True)
class Burst:
    """Refusals close to one another."""

    first: int
    last: int
    count: int


@dataclass(slots=True)
class Source:
    """Who was refused by one service from one place. `run` are those since somebody got in from there."""

    count: int = 0
    first: int = 0
    last: int = 0
    users: Counter[bytes] = field(default_factory=Counter)
    run: Counter[bytes] = field(default_factory=Counter)
    bursts: list[Burst] = field(default_factory=list)
    where: Where = NOWHERE
    sample: bytes = b""

    def add(self, name: bytes, times: int, at: int) -> None:
        """`times` more, or (negative) less as another voice knew better."""
        if not self.count:
            self.first = at
        elif at - self.last > DAY:
            self.run.clear()
        self.count += times
        self.first, self.last = min(self.first, at), max(self.last, at)
        self.users[name] += times
        self.run[name] += times
        if self.users[name] <= 0:
            del self.users[name]
        if times > 0 and (not self.bursts or at - self.bursts[-1].last > BURST):
            self.bursts.append(Burst(at, at, 0))
            del self.bursts[:-BURSTS]
        if self.bursts:
            self.bursts[-1].last = max(self.bursts[-1].last, at)
            self.bursts[-1].count += times


Key = tuple[bytes, bytes]
"""(service, source)."""


@dataclass(slots=True)
class Session:
    """What the voices said of one session: voice -> (source, user) -> times. `told` is what was counted."""

    at: int
    said: dict[str, dict[Key, int]] = field(default_factory=dict)
    told: dict[Key, int] = field(default_factory=dict)

    def hear(self, tiding: Refused) -> None:
        """One more line."""
        heard = self.said.setdefault(tiding.voice, {})
        who = (tiding.source, tiding.user)
        if tiding.voice != SOFT:
            heard[who] = heard.get(who, 0) + tiding.times
        elif not any(source == tiding.source for source, _ in heard):
            heard[who] = 1

    @property
    def bearable(self) -> bool:
        """Whether it is no more than a service lets one client try."""
        return sum(map(len, self.said.values())) < TRIED

    def best(self) -> dict[Key, int]:
        """What to believe: (source, user) -> times."""
        if len(self.said) == 1:
            (only,) = self.said.values()
            return dict(only)
        own = {voice: heard for voice, heard in self.said.items() if not _second_hand(voice)}
        pool, found = own or self.said, dict[Key, int]()
        for source in {source for heard in pool.values() for source, _ in heard}:
            mine = [{who: heard[who] for who in heard if who[0] == source} for heard in pool.values()]
            most: dict[Key, int] = max(mine, key=_total)
            found |= most
        others = max((_total(heard) for voice, heard in self.said.items() if voice not in pool), default=0)
        if found and others > _total(found) and len({source for source, _ in found}) == 1:
            found[next(iter(found))] += others - _total(found)
        return found


def _total(heard: Mapping[Key, int]) -> int:
    return sum(heard.values())


def _second_hand(voice: str) -> bool:
    """Whether it is somebody whom the program asks, or who watches."""
    return voice.startswith("pam") or voice == "audit"


class Refusals:
    """The refused logins that one log tells of, oldest first. Fewer than `few` in a row are somebody
    who mistyped."""

    def __init__(self, few: int) -> None:
        self._few = few
        self._sessions: OrderedDict[Key, Session] = OrderedDict()
        self._users = 0
        self.sources: dict[Key, Source] = {}
        self.successes: list[Success] = []

    def refused(self, tiding: Refused, at: int, where: Where, sample: bytes) -> None:
        """Somebody was not let in."""
        tiding = tiding._replace(user=tiding.user[:64], source=tiding.source[:256])
        session = self._session(tiding, at)
        if session is None:
            self._add(tiding.service, (tiding.source, tiding.user), tiding.times, at, where, sample)
            return
        session.hear(tiding)
        best = session.best()
        for who in best.keys() | session.told.keys():
            if times := best.get(who, 0) - session.told.get(who, 0):
                self._add(tiding.service, who, times, at, where, sample)
        session.told = best

    def _session(self, tiding: Refused, at: int) -> Session | None:
        """Whose voices are to be told apart; None where each line counts by itself."""
        if not tiding.session:
            return None
        key = (tiding.service, tiding.session)
        session = self._sessions.get(key)
        if session is None or abs(at - session.at) > SESSION:
            session = self._sessions[key] = Session(at)
        session.at = at
        self._sessions.move_to_end(key)
        if len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        return session if session.bearable else None

    def _add(self, service: bytes, who: Key, times: int, at: int, where: Where, sample: bytes) -> None:
        key = (service, who[0])
        source = self.sources.get(key)
        if source is None:
            if len(self.sources) >= SOURCES or times < 0:
                key = (service, OTHERS)
            source = self.sources.setdefault(key, Source())
        user = who[1]
        if user not in source.users:
            self._users += 1
            user = user if self._users <= USERS else b""
        source.add(user, times, at)
        if source.count <= 0:
            del self.sources[key]
        else:
            source.where, source.sample = where, sample

    def end(self) -> None:
        """The log ends here: nothing of a session comes any more."""
        self._sessions.clear()

    def accepted(self, tiding: Accepted, at: int, where: Where) -> None:
        """Somebody was let in."""
        source = self.sources.get((tiding.service, tiding.source[:256]))
        if source is None or at < source.first:
            return
        if at - source.last > DAY:
            source.run.clear()
        refusals = source.run.total()
        if refusals >= self._few and tiding.method in GUESSABLE and len(self.successes) < SUCCESSES:
            tried = sum(times > 0 for times in source.run.values())
            self.successes.append(
                Success(
                    tiding.service, tiding.user, tiding.source, at, tiding.method, refusals,
                    source.run[tiding.user], tried, where,
                )
            )  # fmt: skip
        if refusals < self._few or tiding.method in GUESSABLE:
            source.run.clear()  # somebody mistyped, and is in


def together(ledgers: Iterable[Refusals]) -> tuple[dict[Key, Source], list[Success]]:
    """What several logs tell: of each service and source the log that told most is believed, as they tell
    of the same."""
    sources: dict[Key, Source] = {}
    successes: dict[tuple[bytes, bytes, bytes, int], Success] = {}
    for ledger in ledgers:
        for key, source in ledger.sources.items():
            if key not in sources or source.count > sources[key].count:
                sources[key] = source
        for one in ledger.successes:
            successes.setdefault((one.service, one.user, one.source, one.at), one)
    return sources, sorted(successes.values(), key=lambda one: one.at)
