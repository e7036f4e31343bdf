"""Changes become alerts, alerts become lines on the disk, and only then is anything written down.

The rules kept here:

* alert log first, findings second: a crash in between repeats an alert with the same id;
* what is critical is told at once; the rest waits a moment, so that one act is one alert. A storm of
  findings is a few groups that name every path, and while it lasts the wait grows;
* if the log cannot be written, nothing is written down either, so nothing counts as told. What waits
  is bounded: beyond it the quietest are let go, to be found again by the sweep that then follows;
* what came and went before it could be told is told all the same: that it was, and that it is over;
* what was told is written down by the `Recorder`, or kept by it until that can be done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from .. import health
from ..describe import Event, Names
from ..errors import AlertLogError
from ..host.own import give_back
from ..model import Alert, Fact, FileFact, Finding, Row, Severity, Value, split
from ..store.baseline import Baseline
from ..store.database import Database
from ..store.findings import Findings
from ..store.stories import Stories
from .acts import Acts, Told
from .attributing import Attribution
from .chronicle import Actor, Chronicle
from .company import Company, is_table, tells_head, to_tell
from .composer import Composer
from .expected import Windows, window_of
from .held import Held, onto
from .keeper import Change
from .outcome import announced
from .provenance import Provenance
from .recorder import Recorder

SECOND = 1_000_000_000
HOLD = SECOND // 20
"""How long an ordinary finding waits for company (it has settled already, as a hint)."""

LONGEST_HOLD = 8 * SECOND
MOST_WAITING = 2_000
MOST_UNTOLD = 20_000
"""Changes kept while the log cannot be written."""

FEW = 3
"""So many are told one by one whatever came before them: a group of one would only hide its name."""

LOUD_ALONE = 20
"""Critical findings of one second that are told one by one and at once, before they too become a group."""

LOUD_HOLD = SECOND // 10
"""How long those beyond wait for company: a storm of the critical is to be readable, too."""

MOST_HEALTH = 1_000
"""Alerts about ourselves kept while the log cannot be written: the newest."""

RETRY = SECOND


class Log(Protocol):
    """What is needed of the alert log."""

    def append(self, alerts: Sequence[Alert]) -> list[int]: ...


class Announcer:
    """Holds changes until they are told. `mono` and `wall` are nanoseconds. `provenance` has changes wait for
    the package manager, `account_tool` says whether an account tool is at work, `attribution` adds to alerts
    who made the change, `automation` says which of them is configuration management. `windows` know what was
    announced: that is told quietly, and apart."""

    def __init__(
        self,
        database: Database,
        baseline: Baseline,
        findings: Findings,
        log: Log,
        names: Names,
        mono: Callable[[], int],
        wall: Callable[[], int],
        *,
        storm: int,
        diagnose: Callable[[str, Mapping[str, object]], None],
        provenance: Provenance | None = None,
        account_tool: Callable[[], bool] = lambda: False,
        stories: Stories | None = None,
        windows: Windows | None = None,
        attribution: Attribution | None = None,
        automation: Callable[[Actor], str] = lambda actor: "",
    ) -> None:
        self._database = database
        self._baseline = baseline
        self._findings = findings
        self._log = log
        self._names = names
        self._mono = mono
        self._wall = wall
        self._storm = storm
        self._diagnose = diagnose
        self._waiting = Held()
        self._health: list[Alert] = []
        self._loud_due = 0
        self._loud_since = 0  # the present second's beginning, and how many were told alone in it
        self._loud_told = 0
        self._rest_due = 0
        self._rest_since = 0
        self._hold = HOLD
        self._acts = Acts(self._approved)
        self._company = Company(self._acts, account_tool)
        self._composer = Composer(names, wall, attribution, windows, storm)
        self._provenance = provenance
        stories = stories or Stories(database)
        said = attribution.take if attribution is not None else lambda id: {}
        chronicle = Chronicle(stories, said, automation, wall)
        self._recorder = Recorder(
            database, baseline, findings, stories, chronicle, self._state_unwritable, self._sweep_again
        )
        self._windows = windows
        self._broken_since = 0
        self.unwritable = ""
        self.resweep = False

    @property
    def state_unwritable(self) -> str:
        """Why the state cannot be written at present; "" if it can."""
        return self._recorder.unwritable

    def _state_unwritable(self, problem: str) -> None:
        self._diagnose("state cannot be written", {"problem": problem})
        self.tell(health.alert("store.unwritable", self._wall(), problem=problem))

    def _sweep_again(self) -> None:
        self.resweep = True

    # -- coming in -------------------------------------------------------------------------------

    def pending(self, fact: type[Fact], scope: Value, /, *, below: bool = False) -> Mapping[Row, Change]:
        """What waits to be told of a scope (`below`: and of those under it), or to be written down."""
        found: dict[Row, Change] = {}
        for held in self._all_held():
            if held:
                found |= held.of(fact, scope, below)
        return found

    def _all_held(self) -> tuple[Held, ...]:
        """All that is not written down, in the order of its telling."""
        parked = (self._provenance.held,) if self._provenance is not None else ()
        return self._recorder.unwritten, self._waiting, *parked

    def open(self, least: Severity = Severity.INFO) -> Iterator[Finding]:
        """Open findings at least that loud, the loudest and oldest first; also those still waiting."""
        if not any(self._all_held()):
            yield from self._findings.open(least)
            return
        ahead = self._ahead()
        found = [one for one in self._findings.open() if one.id not in ahead]
        found += [one for one in ahead.values() if one is not None]
        found.sort(key=lambda one: (-one.verdict.severity, one.first_seen, one.id))
        yield from (one for one in found if one.verdict.severity >= least)

    def counts(self) -> Mapping[Severity, int]:
        """How many are open, by severity; also those still waiting."""
        if not any(self._all_held()):
            return self._findings.counts()
        return Counter(one.verdict.severity for one in self.open())

    def _ahead(self) -> dict[str, Finding | None]:
        """Findings that are not written down as they are, by id; None: over."""
        return {
            change.finding.id: None if change.event == "cleared" else change.finding
            for held in self._all_held()
            for change in held
            if change.finding is not None
        }

    def add(self, change: Change) -> None:
        """Take a change; a newer one of the same key takes the place of the older."""
        now = self._mono()
        earlier = self._waiting.get(change.fact, change.key)
        if self._windows is not None:
            change = self._windows.mark(change, earlier or self._known(change))
        if earlier is None and self._provenance is not None and self._provenance.admit(change, now):
            return
        change = onto(earlier, change)
        self._waiting.put(change)
        if self._company.admit(change, now):
            pass
        elif _is_loud(change):
            self._loud_due = self._loud_due or now + (0 if self._loud_left(now) else LOUD_HOLD)
        elif not self._rest_due:
            self._rest_due, self._rest_since = now + self._hold, now
        if self.unwritable:
            self._shed()
        elif len(self._waiting) >= MOST_WAITING:
            self.flush(parked=False)

    def _known(self, change: Change) -> Change | None:
        """What of its key was not written down yet, and does not wait to be told by itself."""
        parked = None if self._provenance is None else self._provenance.held.get(change.fact, change.key)
        return parked or self._recorder.unwritten.get(change.fact, change.key)

    def tell(self, *alerts: Alert) -> None:
        """Alerts about ourselves: written with the next flush, which is now if it can be."""
        self._health += alerts
        self.flush_health()

    def due(self) -> int:
        """Monotonic nanoseconds at which `flush` should be called; 0: nothing waits."""
        company, parked = self._company, 0 if self._provenance is None else self._provenance.due
        if parked and self.unwritable:
            parked = self._loud_due
        dues = (self._loud_due, self._rest_due, company.parts_due, company.early_due, parked)
        return min(filter(None, dues), default=0)

    def _approved(self, path: bytes) -> FileFact | None:
        """The approved fact of a file."""
        row = self._baseline.row(FileFact, split(path))
        return None if row is None else FileFact.of(row)

    # -- going out -------------------------------------------------------------------------------

    def flush(self, *, parked: bool = True) -> bool:
        """Tell and write down all that waits; `parked`: also what waits for a package manager, unexplained.
        False when it could not be done (it is tried again)."""
        self._company.release()
        package = ""
        if parked and self._provenance is not None and self._provenance.held:
            package = self._provenance.working
            for change in self._provenance.release():
                self._waiting.put(change)
        return self._flush_parts() and self._flush(self._of_their_own(), package)

    def flush_due(self) -> bool:
        """Tell what is due: all of it, or only what is loud while the rest waits on."""
        now, company = self._mono(), self._company
        if company.early_due and now >= company.early_due:
            company.release()
        if company.parts_due and now >= company.parts_due and not self._flush_parts():
            return False
        if not self._flush_judged(now):
            return False
        own = self._of_their_own()
        if self._rest_due and now >= self._rest_due:
            return self._flush(own)
        head = any(map(tells_head, own))
        return self._flush(
            [one for one in own if _is_loud(one) or (head and (is_table(one) or tells_head(one)))]
        )

    def _of_their_own(self) -> list[Change]:
        return self._company.of_their_own(self._waiting)

    def _flush_judged(self, now: int) -> bool:
        """Tell what a package manager's transaction explains, and what of its time it does not."""
        outcome = None if self._provenance is None else self._provenance.step(now)
        if outcome is None or self._provenance is None:
            return True
        for change in outcome.part(announced):  # no package explains it, but somebody said that it would come
            self._provenance.held.drop(change)
            self._waiting.put(change)
            if not self._rest_due:
                self._rest_due, self._rest_since = now, now
        outcome.ask(self._composer.answer)
        alerts = outcome.alerts(
            self._wall(),
            self._names,
            max(FEW, self._loud_left(now)),
            self._composer.attributed,
            self._composer.attributed_group,
        )
        if not self._append([*self._health, *alerts]):
            return False
        self._health.clear()
        self._loud_told += sum(one.severity >= Severity.HIGH for one in alerts)
        if self._windows is not None:
            self._windows.told(one for change, _ in outcome.apart for one in to_tell(change))
        self._recorder.write(list(outcome.changes()))
        self._provenance.told(outcome)
        if not self._provenance.held:  # thousands waited, and do so no longer
            self._database.shrink()
            give_back()
        return True

    def _flush_parts(self) -> bool:
        """Tell the parts that came after their act's head."""
        parts = self._company.parts(self._waiting)
        alerts = [
            alert
            for act, changes in parts.items()
            for alert in self._composer.parts(act.head, _findings(changes))
        ]
        if not self._append([*self._health, *alerts]):
            self._shed()
            return False
        self._health.clear()
        self._written([change for changes in parts.values() for change in changes])
        self._company.parts_due = 0
        return True

    def _written(self, waiting: Sequence[Change]) -> None:
        """What was told is to be written down, and waits no longer."""
        self._recorder.write(waiting)
        for change in waiting:
            self._waiting.drop(change)
            self._company.dismiss(change)

    def _flush(self, waiting: Sequence[Change], package: str = "") -> bool:
        """Tell some of what waits; `package` is the package manager whose doing it is."""
        now = self._mono()
        waiting = self._company.without_late(waiting, now)
        told = [one for change in waiting if not window_of(change) for one in to_tell(change)]
        acts, own = self._acts.gather(told, now)
        most = max(FEW, self._loud_left(now))
        own += [one for act in acts[most:] for one in (act.head, *act.parts)]
        del acts[most:]
        alone = self._alone(own, len(acts), package)
        alerts = [self._composer.act(act.head, [one for one, _ in act.parts]) for act in acts]
        alerts += [*self._composer.alerts(own, alone, package), *self._composer.expected(waiting)]
        if not self._append([*self._health, *alerts]):
            self._shed()
            return False
        self._health.clear()
        if self._windows is not None:
            self._windows.told(told)
        self._loud_told += sum(_is_loud_news(*one) for one in (*alone, *(act.head for act in acts)))
        everything = len(waiting) == len(self._waiting) - len(self._company)
        self._written(waiting)
        self._loud_due = 0
        if everything:
            self._rest_due = self._mono() + RETRY if self._recorder.unwritten else 0
            self._rest_since = self._mono()
            stormy = len(waiting) > self._storm
            self._hold = min(max(self._hold, SECOND // 2) * 2, LONGEST_HOLD) if stormy else HOLD
        return True

    def flush_health(self) -> bool:
        """Tell what is to be told about ourselves, leaving findings to wait for their company."""
        if not self._append(self._health):
            return False
        self._health.clear()
        return True

    def _loud_left(self, now: int) -> int:
        """How many critical findings may still be told alone in this second."""
        if now - self._loud_since >= SECOND:
            self._loud_since, self._loud_told = now, 0
        return max(0, LOUD_ALONE - self._loud_told)

    def _alone(self, told: Sequence[Told], acts: int, package: str) -> Sequence[Told]:
        """Those that get an alert of their own, beside so many acts. Few of an event always do."""
        loud = [one for one in told if _is_loud_news(*one)]
        left = max(0, self._loud_left(self._mono()) - acts)
        if not package and len(told) <= self._storm and len(loud) <= left:
            return told
        alone = loud[:left]
        chosen = {id(one) for one in alone}
        rest: dict[Event, list[Told]] = {}
        for one in told:
            if id(one) not in chosen:
                rest.setdefault(one[1], []).append(one)
        few = 1 if package else FEW
        return [*alone, *(one for ones in rest.values() if len(ones) <= few for one in ones)]

    def _append(self, alerts: Sequence[Alert]) -> bool:
        now = self._mono()
        try:
            if alerts and self._broken_since:
                since = health.alert(
                    "log.unwritable", self._wall(), problem=f"{self.unwritable} (it is again)"
                )
                self._log.append([since, *alerts])
            else:
                self._log.append(alerts)
        except AlertLogError as error:
            if not self._broken_since:
                self._diagnose("alert log cannot be written", {"problem": str(error)})
                self._broken_since = now
            self.unwritable = str(error)
            self._loud_due = self._rest_due = now + RETRY
            self._company.parts_due = self._company.parts_due and now + RETRY
            return False
        if alerts:
            if self._broken_since:
                self.resweep = True  # what was put back meanwhile is still to be told as over
            self._broken_since, self.unwritable = 0, ""
        return True

    def _shed(self) -> None:
        """Keep what waits bounded: let the quietest go, they will be found again."""
        del self._health[:-MOST_HEALTH]
        if len(self._waiting) < MOST_UNTOLD:
            return
        ordered = sorted(self._waiting, key=_loudness, reverse=True)
        self._waiting = Held()
        self._company.clear()
        for change in ordered[: MOST_UNTOLD // 2]:
            self._waiting.put(change)
        self.resweep = True


def _findings(changes: Sequence[Change]) -> list[Finding]:
    return [finding for change in changes for finding, _ in to_tell(change)]


def _is_loud_news(finding: Finding, event: Event) -> bool:
    return finding.verdict.severity is Severity.CRITICAL and event != "cleared"


def _is_loud(change: Change) -> bool:
    """Critical and news."""
    return any(_is_loud_news(*one) for one in to_tell(change))


def _loudness(change: Change) -> int:
    return max((int(finding.verdict.severity) for finding, _ in to_tell(change)), default=0)
