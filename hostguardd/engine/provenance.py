"""Changes where packages put things wait for the end of what the package manager does, and are then held
against its database.

The theory. A transaction is known by its lock, or when that was too short to be seen, by its records, which
have moved since they were last looked at; and what changed while a known one ran belongs to it, however late
it is found. None of this explains anything: it only says that it is worth waiting and asking. What explains
is the package itself (`packages.judging`).

The rules kept here: what waits is bounded in time and number, and is told in the end; nothing is written down
before it was told, so that a restart in between finds it again; the loop never waits for an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ..describe import TELLING, Names
from ..host.atwork import AtWork
from ..manifest import is_own
from ..model import Drift, FileFact, Row, SetIdFact, Severity
from ..packages.evidence import Answer, Question, nothing, transactions
from ..packages.interface import Deed
from ..packages.judging import BY_TRIGGERS, Apart, Bench, Judged, asked, is_draft
from ..packages.places import is_urgent, may_wait
from ..packages.telling import Transaction, identify
from ..packages.zones import in_zone
from ..record import escape
from .believed import Keyring
from .held import Held, onto
from .judged import Known, Notes
from .judges import Judge
from .keeper import Change
from .outcome import Outcome, beginning, drift_of
from .sightings import Sightings

SECOND: Final = 1_000_000_000

SETTLE: Final = SECOND
"""How long after the latest change, and after the manager gave its lock back, it is asked."""

SETTLE_LONGEST: Final = 10 * SECOND
"""How long changes that keep coming are waited for when no manager is at work any more."""

POLL: Final = SECOND // 2

LONGEST: Final = 15 * 60 * SECOND
"""How long anything waits for a manager at most: a question on its terminal may wait for ever."""

LAST_CALL: Final = LONGEST - 60 * SECOND
"""How long before an answer is asked for that may take until then."""

INTERIM: Final = 60 * SECOND
"""How often what is loud is judged while the manager works, so that it need not wait for the end."""

COMPLETE: Final = 2 * 60 * SECOND
"""How long something must have been there for that: what is being unpacked is not in the database yet."""

URGENT: Final = 5 * SECOND
"""The same of what packages bring last and intruders want most."""

LOUD: Final = (Apart.TAMPERED, Apart.STRAY, Apart.SIDE, Apart.UNSURE)
"""What is told then, but for what packages have made anew."""

MOST_HELD: Final = 5_000
"""Changes that wait. Beyond it what is complete is told, and then the rest."""

TRIES: Final = 2
"""How often something is judged again that changed while it was compared."""

FRESH: Final = SECOND // 5
"""How long an answer about locks and records holds."""

MOST_SPANS: Final = 16
"""Transactions remembered, so that what is found late is known to belong to one."""

BEFORE: Final = 900.0
"""Seconds before the first change from which on the manager's log counts: its scripts may take as long."""


class Managers(Protocol):
    """What is asked of the host about its package managers."""

    def at_work(self) -> AtWork | None: ...

    def marks(self) -> tuple[tuple[str, int], ...]: ...


class Provenance:
    """`held` are the changes that wait. `root` is the host's, `place` our file of whose each path was.
    `approved` is when the baseline was made, `looking` whether hints still wait for somebody to look,
    `unsteady` until when the wall clock's times are in doubt. Times are nanoseconds."""

    def __init__(
        self,
        managers: Managers,
        judge: Judge,
        notes: Notes,
        names: Names,
        mono: Callable[[], int],
        wall: Callable[[], int],
        approved: Callable[[], int],
        *,
        looking: Callable[[], bool] = lambda: False,
        unsteady: Callable[[], int] = lambda: 0,
        root: bytes = b"/",
        place: bytes = b"",
    ) -> None:
        self._managers = managers
        self._judge = judge
        self._notes = notes
        self._names = names
        self._mono = mono
        self._wall = wall
        self._approved = approved
        self._looking = looking
        self._unsteady = unsteady
        self._doubtful = 0
        self._sightings = Sightings()
        self._root = root
        self._place = place
        self.held = Held()
        self._opened = self._came = self._next = self._checked = 0
        self._working: AtWork | None = None
        self._working_since = self._worked = 0
        self._by: AtWork | None = None
        self._holders: set[int] = set()
        self._moved = False
        self._asked: dict[tuple[type, Row], Change] = {}
        self._asked_marks: tuple[tuple[str, int], ...] = ()
        self._asked_since = 0.0
        self._partial = self._interim = False
        self._interim_at = 0
        self._fine: dict[tuple[type, Row], Change] = {}
        self._unheard = False  # nobody waits for the answer any more
        self._renew = self._renewing = False
        self._tries: dict[tuple[type, Row], int] = {}
        self._outcome: Outcome | None = None
        self._doubted: set[tuple[str, str]] = set()
        self._keys = Keyring(notes)
        self._marks: tuple[tuple[str, int], ...] = ()
        self._spans: list[tuple[float, float]] = []
        self._judged_at = 0.0
        self._recall()

    # -- coming in -------------------------------------------------------------------------------

    def admit(self, change: Change, now: int) -> bool:
        """Whether a change waits for a package manager; if so, it is taken."""
        earlier = self.held.get(change.fact, change.key)
        if earlier is None and not self._wants(change, now):
            return False
        if not self.held:
            self._opened, self._next = now, now + SETTLE
        self.held.put(onto(earlier, change), now)
        self._came = now
        if len(self.held) >= MOST_HELD:
            self._next = now
        return True

    def _wants(self, change: Change, now: int) -> bool:
        finding = change.finding
        if finding is None or len(self.held) >= MOST_HELD:
            return False
        subject = finding.drift.subject
        if not isinstance(subject, FileFact | SetIdFact) or not may_wait(subject) or is_own(subject.path):
            return False
        if self.held or self._outcome is not None:
            return True
        self._check(now)
        return self._working is not None or self._moved or (change.event in TELLING and self._within(change))

    def _within(self, change: Change) -> bool:
        """Whether it was changed during a transaction that is known."""
        subject = change.finding.drift.after if change.finding is not None else None
        if isinstance(subject, FileFact | SetIdFact):
            at = subject.ctime / SECOND
            return any(begin - 1 <= at <= end + 2 for begin, end in self._spans)
        return any(end > self._wall() / SECOND - BEFORE for _, end in self._spans)

    def _check(self, now: int) -> None:
        """Ask for locks and records, if that is not known by now."""
        if self._checked and now - self._checked < FRESH:
            return
        self._checked = now
        before, self._working = self._working, self._managers.at_work()
        if self._working is None or before is None or before.pid != self._working.pid:
            self._working_since = now
        if before is None and not self.held:
            self._holders.clear()
        if self._working is not None:
            self._by, self._worked = self._working, now
            self._holders.add(self._working.pid)
        marks = self._managers.marks()
        self._moved = marks != self._marks
        self.heed_clock()
        self._sightings.see(self._working, marks, self._wall())

    def heed_clock(self) -> None:
        """Notice whether it was set, and keep that in mind."""
        if (until := self._unsteady()) > self._doubtful:
            self._doubtful = until
            self._sightings.forget()
            self._remember()

    # -- going on --------------------------------------------------------------------------------

    @property
    def due(self) -> int:
        """Monotonic nanoseconds at which `step` is to be called; 0: not by itself."""
        if self._outcome is not None or self._judge.answered:
            return 1
        if self._judge.busy:
            return self._opened + LONGEST if self.held else 0
        return self._next if self.held else int(self._renew)

    def _overdue(self, now: int) -> bool:
        """Whether nobody waits for the manager that is at work any more."""
        return max(now - self._opened, now - self._working_since) >= LAST_CALL

    def step(self, now: int) -> Outcome | None:
        """Do what is due. Returns what is to be told, until `told` is called."""
        if self._judge.answered:
            answer = self._judge.take()
            if self._renewing and answer is not None and not answer.problem:
                self._keys.renew(answer.keys)
            elif not self._unheard:
                self._conclude(answer or nothing("it was not answered"))
            self._unheard = self._renewing = False
        elif self._judge.busy and self.held and now >= self._opened + LONGEST and self._outcome is None:
            self._unheard, self._partial, self._interim = True, False, False
            self._note(list(self.held))
            self._conclude(nothing("the package manager was not heard in time"))
        if self._outcome is None and not self._judge.busy:
            if self.held:
                self._wait_or_ask(now)
            elif self._renew:
                self._renew, self._renewing, self._unheard = False, True, True
                self._judge.ask(Question(self._root, 0.0, [], self._place))
        return self._outcome

    def _wait_or_ask(self, now: int) -> None:
        self._check(now)
        full, waits = len(self.held) >= MOST_HELD, self._working is not None and not self._overdue(now)
        rest = now < self._came + SETTLE or self._looking()
        late = now - self._opened >= LAST_CALL  # a lock that comes and goes would keep all waiting for ever
        rest = rest and not late and now < max(self._opened, self._worked) + SETTLE_LONGEST
        if not full and (waits or rest):
            self._next = now + (POLL if waits else SETTLE // 4)
            waited = now - max(self._interim_at, self._opened)
            if waits and waited >= URGENT:
                ripe = [one for one in self.held if self._is_overripe(one, now)]
                if waited >= INTERIM or any(map(_is_urgent, ripe)):
                    self._ask_for(ripe, now)
            return
        self._partial = waits
        self._ask_for(list(self.held))

    def _is_overripe(self, change: Change, now: int) -> bool:
        """Whether a change is loud, nobody found it fine, and no package is still being unpacked there. What
        changes on and on has been there since it first came."""
        finding = change.finding
        if finding is None or change.event not in TELLING or finding.verdict.severity < Severity.HIGH:
            return False
        if self._fine.get((change.fact, change.key)) is change or is_draft(finding.drift.subject.label):
            return False
        return now - self.held.since(change) >= (URGENT if _is_urgent(change) else COMPLETE)

    def _ask_for(self, changes: list[Change], interim: int = 0) -> None:
        self._interim, self._interim_at = bool(interim), interim or self._interim_at
        if not changes:
            return
        self._note(changes)
        self._asked_since = self._since()
        self._judge.ask(
            Question(self._root, self._asked_since, asked(self._drifts()), self._place, self._keys.believed)
        )

    def _drifts(self) -> list[Drift]:
        """Of what was asked about."""
        return [found[0] for one in self._asked.values() if (found := drift_of(one)) is not None]

    def _note(self, changes: list[Change]) -> None:
        """They are judged next."""
        self._asked = {(one.fact, one.key): one for one in changes}
        self._asked_marks = self._managers.marks()

    def _since(self) -> float:
        times = [
            after.ctime / SECOND - BEFORE
            for one in self._asked.values()
            if (found := drift_of(one)) is not None
            and isinstance(after := found[0].after, FileFact | SetIdFact)
        ]
        approved = self._approved() / SECOND - BEFORE
        since = min(times, default=self._judged_at or approved)
        return max(min([since, *(begin - 2 for begin, end in self._spans if end >= since)]), approved)

    def _conclude(self, answer: Answer) -> None:
        """Judge by an answer what is still as it was when that was asked for."""
        self.heed_clock()
        answer = answer._replace(deeds=self._possible(answer.deeds))
        bench = Bench(answer, self._doubtful / SECOND, self._drifts())
        judged: list[tuple[Change, Judged]] = []
        for key, change in self._asked.items():
            now, found = self.held.get(*key), drift_of(change)
            if now is None:
                continue
            one = Judged("", apart=Apart.STRAY) if found is None else bench.judge(*found)
            if now is not change or one.apart is Apart.AGAIN:
                self._tries[key] = self._tries.get(key, 0) + 1
                if self._tries[key] <= TRIES:
                    continue
                one = Judged("it keeps changing while it is compared", apart=Apart.STRAY)
            judged.append((now, one))
        if self._interim:
            loud = [] if answer.problem else [one for one in judged if _is_loud(*one)]
            self._fine.update(((one.fact, one.key), one) for one, how in judged if not _is_loud(one, how))
            judged = loud
        elif self._partial:
            complete = [one for one in judged if one[1].apart is None]
            if 2 * len(complete) >= len(judged):
                judged = complete
        self._asked = {}
        if not (self._partial or self._interim):
            self._opened = self._mono()  # of what is left
        self._next = self._mono() + SETTLE
        doubts = [one for one in answer.doubts if one not in self._doubted]
        keys = self._keys.untold(answer.keys)
        if judged or doubts or keys:
            self._outcome = self._sorted(answer, judged)
            self._outcome.doubts, self._outcome.keys = doubts, keys

    def _possible(self, deeds: Sequence[Deed]) -> tuple[Deed, ...]:
        """What ended before the approval cannot have brought what differs from it, and nothing lasts longer
        than until now, whatever the log says."""
        approved, now = self._approved() / SECOND, self._wall() / SECOND
        since = max(approved - 1, self._asked_since)
        return tuple(
            one._replace(unpacked=min(one.unpacked, now), ended=min(one.ended, now), over=min(one.over, now))
            for one in in_zone(deeds, self._sightings.spans, self._spans)
            if one.ended > since and one.begin <= now + 1
        )

    def _sorted(self, answer: Answer, judged: list[tuple[Change, Judged]]) -> Outcome:
        found = Outcome(answer.manager, holders=frozenset(self._holders))
        found.apart = [one for one in judged if one[1].apart is not None]
        by = self._who()
        several = transactions(answer.deeds, self._spans)
        members: list[list[tuple[Change, Judged]]] = [[] for _ in several]
        for one in judged:
            if (deed := one[1].deed) is not None:
                begun = [at for at, deeds in enumerate(several) if deeds[0].begin <= deed.begin]
                members[begun[-1]].append(one)
        told = []
        for deeds, ours in zip(several, members, strict=True):
            if ours:
                told.append(Transaction(identify(answer.manager, deeds), answer.manager, deeds, by))
                found.explained.append((told[-1], ours))
        found.deed = beginning(told, answer.manager)
        return found

    def _who(self) -> dict[str, str | int]:
        if self._by is None:
            return {}
        found: dict[str, str | int] = {"pid": self._by.pid, "program": escape(self._by.program)}
        if self._by.login is not None:
            found["login"] = self._names.user(self._by.login) or f"uid {self._by.login}"
        return found

    # -- going out -------------------------------------------------------------------------------

    def told(self, outcome: Outcome) -> None:
        """It was told and written down."""
        for change, _ in self._all(outcome):
            if self.held.get(change.fact, change.key) is change:
                self.held.drop(change)
            self._tries.pop((change.fact, change.key), None)
        self._outcome = None
        self._doubted.update(outcome.doubts)
        self._keys.tell(outcome.keys)
        for transaction, _ in outcome.explained:
            begin = min(one.begin for one in transaction.deeds)
            end = max(one.ended for one in transaction.deeds)
            self._spans = [*(one for one in self._spans if one[0] != begin), (begin, end)][-MOST_SPANS:]
        if self._partial or self._interim:
            return
        self._fine.clear()
        self._holders.clear()
        self._by, self._marks, self._checked = None, self._asked_marks, 0
        self._judged_at = self._wall() / SECOND
        self._renew = bool(outcome.explained or outcome.keys)
        self._remember()

    def release(self) -> list[Change]:
        """Let go of all that waits, to be told as it would have been."""
        found = list(self.held)
        self.held, self._outcome, self._asked = Held(), None, {}
        self._tries.clear()
        self._fine.clear()
        return found

    @property
    def working(self) -> str:
        """Whose end is waited for; "" if nobody's."""
        return self._working.manager if self._working is not None else ""

    @property
    def settling(self) -> bool:
        """Whether something waits that is judged in a moment: nobody is at work any more."""
        return self._working is None and bool(self.held)

    @property
    def keys_known(self) -> bool:
        """Whether it was ever noted which keys are believed."""
        return self._keys.believed is not None

    def begin(self) -> None:
        """Have whose each path is written down, and which keys are believed, where it is not."""
        self._renew = True

    def stop(self) -> None:
        """End soon."""
        self._judge.stop()

    @staticmethod
    def _all(outcome: Outcome) -> list[tuple[Change, Judged]]:
        return [*outcome.apart, *(one for _, members in outcome.explained for one in members)]

    def _remember(self) -> None:
        Known(self._marks, tuple(self._spans), self._judged_at, self._doubtful).remember(self._notes)

    def _recall(self) -> None:
        """What an earlier life of ours knew."""
        known = Known.recall(self._notes)
        if known is None and not self._approved():  # what they did until now is about to be captured
            known = Known(self._managers.marks())
        known = known or Known()
        self._marks, self._spans = known.marks, list(known.spans)
        self._judged_at, self._doubtful = known.at, known.doubtful


def _is_loud(change: Change, judged: Judged) -> bool:
    path = change.finding.drift.subject.label if change.finding is not None else b""
    return judged.apart in LOUD and (judged.apart is not Apart.SIDE or BY_TRIGGERS.fullmatch(path) is None)


def _is_urgent(change: Change) -> bool:
    return change.finding is not None and is_urgent(change.finding.drift.subject.label)
