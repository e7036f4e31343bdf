"""What lines told, counted by who and from where, until it is old. Bounded, whatever is written to a log.

The rules kept: one attempt that several voices tell of counts once; a few refusals are somebody who
mistyped and are forgotten when they got in; many sources are told together, as an address in the
internet is refused all day long and nobody could read a thousand alerts.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ..loglines import CONSOLE, SAMPLE
from ..model import Row
from ..sections import EventsConfig
from ..tidings import Accepted, Crashed, Denied, Refused, Switched, Tiding

LONG: Final = 30 * 86400
"""Seconds for which it is remembered who became whom: those who do it once a week are no news."""

SOURCES: Final = 4096
"""Sources that are counted one by one, told or not."""

SERVICES: Final = 64
"""Services of which crowds are told apart."""

SESSIONS: Final = 4096
"""Sessions whose voices are told apart."""

FACTS: Final = 512
"""Facts of one topic."""

USERS: Final = 64
"""Users who are remembered of a source."""

NAMED: Final = 8
"""Of these, how many are named."""

CROWD: Final = 20
"""Times `refusals`, by sources that are not told themselves, that are told together."""

AT_CONSOLES: Final = (b"login", b"gdm-password", b"lightdm", b"sddm")
"""Services whose guest sits at this host, when nothing is said of where."""

GUESSABLE: Final = (b"password", b"keyboard-interactive", b"keyboard-interactive/pam", b"")


class Count:
    """One thing that lines tell of."""

    __slots__ = ("count", "first", "last", "sample", "service", "session", "source", "users")

    def __init__(self, service: bytes, source: bytes, at: int) -> None:
        self.service, self.source = service[:64], source[:256]
        self.users: dict[bytes, None] = {}
        self.count = 0
        self.first = self.last = at
        self.sample = b""
        self.session = b""

    def add(self, user: bytes, times: int, at: int, sample: bytes) -> None:
        """`times` more of it."""
        self.count += times
        self.last = max(self.last, at)
        self.first = min(self.first, at)
        self.sample = sample[:SAMPLE]
        if len(self.users) < USERS:
            self.users[user[:64]] = None

    def row(self, topic: str, name: bytes) -> Row:
        """As an EventFact's row."""
        named = [user for user in self.users if user][:NAMED]
        more = b" and others" if len(self.users) > NAMED else b""
        level = 1 if topic == "switched" else len(str(self.count))
        return (
            topic, name, level, self.service, b", ".join(named) + more, self.source, self.count,
            self.first, self.last, self.sample,
        )  # fmt: skip


Table = OrderedDict[bytes, Count]


class Tally:
    """Counts. `news` says that rows differ in what is compared."""

    def __init__(self, settings: EventsConfig) -> None:
        self._settings = settings
        self._sources: OrderedDict[tuple[bytes, bytes], Count] = OrderedDict()
        self._told: dict[tuple[bytes, bytes], None] = {}
        self._crowds: dict[bytes, Count] = {}
        self._others: dict[str, Table] = {
            topic: OrderedDict()
            for topic in ("guessed", "sprayed", "switched", "denied", "garbled", "crashed")
        }
        self._sessions: OrderedDict[tuple[bytes, bytes], dict[str, int]] = OrderedDict()
        self.arrivals: OrderedDict[tuple[bytes, bytes], tuple[bytes, int]] = OrderedDict()
        self.news = False

    # -- what lines tell -------------------------------------------------------------------------

    def take(self, tiding: Tiding, at: int, sample: bytes) -> None:
        """Count one thing, told by a line of the time `at`."""
        if isinstance(tiding, Refused):
            self._refused(tiding, at, sample)
        elif isinstance(tiding, Accepted):
            self._accepted(tiding, at, sample)
        elif isinstance(tiding, Switched):
            name = b"%s to %s by %s" % (tiding.by[:64], tiding.user[:64], tiding.service)
            self._count("switched", name, tiding.service, tiding.user, tiding.by, at, sample, tiding.session)
        elif isinstance(tiding, Denied):
            if times := self._voiced(tiding.service, tiding.session, tiding.voice, 1):
                name = b"%s to %s by %s" % (tiding.by[:64], tiding.user[:64], tiding.service)
                self._count("denied", name, tiding.service, tiding.user, tiding.by, at, sample, times=times)
        elif isinstance(tiding, Crashed):
            self._count("crashed", tiding.program, tiding.program, b"", tiding.program, at, sample)

    def garbled(self, log: bytes, program: bytes, what: str, at: int, sample: bytes) -> None:
        """A line that is no text."""
        name = log + (b" (" + program + b")" if program else b"")
        if len(self._others["garbled"]) >= FACTS // 8 and name not in self._others["garbled"]:
            name = log
        self._count("garbled", name, program, what.encode(), log, at, sample)

    def _count(
        self, topic: str, name: bytes, service: bytes, user: bytes, source: bytes, at: int, sample: bytes,
        session: bytes = b"", times: int = 1,
    ) -> None:  # fmt: skip
        table = self._others[topic]
        one = table.get(name)
        if one is None:
            if len(table) >= FACTS:
                table.popitem(last=False)
            one = table[name] = Count(service, source, at)
        elif session and session == one.session:
            return  # PAM's line of what the program itself told
        one.session = session
        self._add(one, user, times, at, sample, 1 if topic != "crashed" else self._settings.refusals)
        table.move_to_end(name)

    def _add(self, one: Count, user: bytes, times: int, at: int, sample: bytes, threshold: int) -> None:
        before = one.count
        one.add(user, times, at, sample)
        if one.count >= threshold:
            self.news |= before < threshold or len(str(before)) != len(str(one.count))

    def _voiced(self, service: bytes, session: bytes, voice: str, times: int) -> int:
        """How many more attempts than was known a voice makes out in a session; soft ones are one."""
        if not session:
            return times
        voices = self._sessions.setdefault((service, session), {})
        self._sessions.move_to_end((service, session))
        if len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        most = max(voices.values(), default=0)
        voices[voice] = 1 if voice == "connection" else voices.get(voice, 0) + times
        return max(0, max(voices.values()) - most)

    def _refused(self, tiding: Refused, at: int, sample: bytes) -> None:
        session = tiding.session and tiding.session + b" " + tiding.source
        times = self._voiced(tiding.service, session, tiding.voice, tiding.times)
        key = (tiding.service[:64], tiding.source[:256])
        one = self._sources.get(key)
        if one is None:
            if not times:
                return
            one = self._sources[key] = Count(*key, at)
            if len(self._sources) > SOURCES:
                self._forget()
        self._sources.move_to_end(key)
        before = one.count
        one.add(tiding.user, times, at, sample)
        few = self._settings.refusals
        if before < few <= one.count and key not in self._told and self._room(key[0]):
            self._told[key] = None
        if key in self._told:
            self.news |= before < few or len(str(before)) != len(str(one.count))
        elif times:
            name = key[0] if key[0] in self._crowds or len(self._crowds) < SERVICES else b"other services"
            crowd = self._crowds.setdefault(name, Count(name, b"many sources", at))
            self._add(crowd, tiding.user, times, at, sample, few * CROWD)

    def _room(self, service: bytes) -> bool:
        mine = sum(told[0] == service for told in self._told)
        return mine < self._settings.sources and len(self._told) < SOURCES // 4

    def _forget(self) -> None:
        """Drop the source that was silent for longest and is not told."""
        for key in self._sources:
            if key not in self._told:
                del self._sources[key]
                return

    def _accepted(self, tiding: Accepted, at: int, sample: bytes) -> None:
        source = tiding.source or (CONSOLE if tiding.service in AT_CONSOLES else b"")
        key = (tiding.service[:64], source[:256])
        refused = self._sources.get(key)
        if tiding.login and tiding.user:
            who = (tiding.user[:64], key[1])
            self.arrivals[who] = (key[0], at)
            self.arrivals.move_to_end(who)
            if len(self.arrivals) > SOURCES:
                self.arrivals.popitem(last=False)
        if refused is None:
            return
        if refused.count < self._settings.refusals:
            del self._sources[key]  # somebody mistyped, and is in
            return
        if tiding.method in GUESSABLE and at >= refused.first:
            topic = "guessed" if tiding.user in refused.users else "sprayed"
            name = b"%s from %s by %s" % (tiding.user[:64], key[1], key[0])
            self._count(topic, name, key[0], tiding.user, key[1], at, sample)

    # -- what is told ----------------------------------------------------------------------------

    def rows(self, now: int) -> dict[str, list[Row]]:
        """Rows by topic, sorted, of what is not too old at `now` (seconds since the epoch)."""
        window = self._settings.window
        for key, one in list(self._sources.items()):
            if now - one.last > window:
                del self._sources[key]
                self._told.pop(key, None)
        for service, one in list(self._crowds.items()):
            if now - one.last > window:
                del self._crowds[service]
        few = self._settings.refusals
        refused = [
            self._sources[key].row("refused", b"%s from %s" % key)
            for key in self._told
            if key in self._sources
        ]
        refused += [
            one.row("refused", b"%s from many sources" % service)
            for service, one in self._crowds.items()
            if one.count >= few * CROWD
        ]
        found = {"refused": sorted(refused)}
        for topic, table in self._others.items():
            keep = LONG if topic == "switched" else window
            for name in [name for name, one in table.items() if now - one.last > keep]:
                del table[name]
            least = few if topic == "crashed" else 1
            found[topic] = sorted(one.row(topic, name) for name, one in table.items() if one.count >= least)
        self.news = False
        return dict(sorted(found.items()))
