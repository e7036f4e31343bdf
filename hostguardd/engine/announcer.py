"""Changes become alerts, alerts become lines on the disk, and only then is anything written down.

The rules kept here:

* alert log first, findings second: a crash in between repeats an alert with the same id;
* what is critical is told at once; the rest waits a moment, so that one act is one alert. A storm of
  findings is a few groups that name every path, and while it lasts the wait grows;
* if the log cannot be written, nothing is written down either, so nothing counts as told. What waits
  is bounded: beyond it the quietest are let go, to be found again by the sweep that then follows;
* if the state cannot be written, what was told is kept until it can, so that it is not told again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from .. import health
from ..describe import Event, Names, finding_alert, group_alerts
from ..errors import AlertLogError, StoreError
from ..model import Alert, Fact, Finding, Row, Severity
from ..store.baseline import Baseline
from ..store.database import Database
from ..store.findings import CLEARED, Findings
from .keeper import Change

SECOND = 1_000_000_000
HOLD = SECOND // 20
"""How long an ordinary finding waits for company (it has settled already, as a hint)."""

LONGEST_HOLD = 8 * SECOND
MOST_WAITING = 2_000
MOST_UNTOLD = 20_000
"""Changes kept while the log cannot be written."""

LOUD_ALONE = 20
"""Critical findings of one moment that are told one by one, before they too become a group."""

RETRY = SECOND


class Log(Protocol):
    """What is needed of the alert log."""

    def append(self, alerts: Sequence[Alert]) -> list[int]: ...


class Announcer:
    """Holds changes until they are told. `mono` and `wall` are nanoseconds."""

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
        self._waiting: dict[tuple[type[Fact], Row], Change] = {}
        self._unwritten: dict[tuple[type[Fact], Row], Change] = {}  # told, and still to be written down
        self._health: list[Alert] = []
        self._loud_due = 0
        self._rest_due = 0
        self._hold = HOLD
        self._broken_since = 0
        self.unwritable = ""
        self.state_unwritable = ""
        self.resweep = False

    # -- coming in -------------------------------------------------------------------------------

    def pending(self, fact: type[Fact], key: Row) -> Change | None:
        """What waits to be told of a key, or was told and waits to be written down."""
        return self._waiting.get((fact, key)) or self._unwritten.get((fact, key))

    def open(self, least: Severity = Severity.INFO) -> Iterator[Finding]:
        """Open findings at least that loud, the loudest and oldest first; also those still waiting."""
        if not (self._waiting or self._unwritten):
            yield from self._findings.open(least)
            return
        ahead = self._ahead()
        found = [one for one in self._findings.open() if one.id not in ahead]
        found += [one for one in ahead.values() if one is not None]
        found.sort(key=lambda one: (-one.verdict.severity, one.first_seen, one.id))
        yield from (one for one in found if one.verdict.severity >= least)

    def _ahead(self) -> dict[str, Finding | None]:
        """Findings that are not written down as they are, by id; None: over."""
        return {
            change.finding.id: None if change.event == "cleared" else change.finding
            for change in (*self._unwritten.values(), *self._waiting.values())
            if change.finding is not None
        }

    def add(self, change: Change) -> None:
        """Take a change; a newer one of the same key takes the place of the older."""
        now = self._mono()
        earlier = self._waiting.pop((change.fact, change.key), None)
        if earlier is not None and earlier.event == "opened" and change.event == "changed":
            change = _as_opened(change)
        self._waiting[(change.fact, change.key)] = change
        if _is_loud(change):
            self._loud_due = self._loud_due or now
        else:
            self._rest_due = self._rest_due or now + self._hold
        if len(self._waiting) >= MOST_WAITING and not self.unwritable:
            self.flush()

    def tell(self, *alerts: Alert) -> None:
        """Alerts about ourselves: written with the next flush, which is now if it can be."""
        self._health += alerts
        self.flush_health()

    def due(self) -> int:
        """Monotonic nanoseconds at which `flush` should be called; 0: nothing waits."""
        return min(self._loud_due or self._rest_due, self._rest_due or self._loud_due)

    # -- going out -------------------------------------------------------------------------------

    def flush(self) -> bool:
        """Tell and write down all that waits. False when it could not be done (it is tried again)."""
        return self._flush(list(self._waiting.values()))

    def flush_due(self) -> bool:
        """Tell what is due: all of it, or only what is loud while the rest waits on."""
        if self._rest_due and self._mono() >= self._rest_due:
            return self.flush()
        return self._flush([change for change in self._waiting.values() if _is_loud(change)])

    def _flush(self, waiting: Sequence[Change]) -> bool:
        told = [change for change in waiting if change.finding is not None]
        if not self._append([*self._health, *self._alerts(told)]):
            self._shed()
            return False
        self._health.clear()
        self._write_down(waiting)
        self._loud_due = 0
        if len(waiting) == len(self._waiting):
            self._rest_due = self._mono() + RETRY if self._unwritten else 0
            stormy = len(told) > self._storm
            self._hold = min(max(self._hold, SECOND // 2) * 2, LONGEST_HOLD) if stormy else HOLD
        for change in waiting:
            del self._waiting[change.fact, change.key]
        return True

    def flush_health(self) -> bool:
        """Tell what is to be told about ourselves, leaving findings to wait for their company."""
        if not self._append(self._health):
            return False
        self._health.clear()
        return True

    def _alerts(self, told: Sequence[Change]) -> list[Alert]:
        now = self._wall()
        if len(told) <= self._storm:
            return [self._one(change, now) for change in told]
        alone = [change for change in told if _is_loud(change)][:LOUD_ALONE]
        single = {id(change) for change in alone}
        alerts = [self._one(change, now) for change in alone]
        rest: dict[Event, list[Finding]] = {}
        for change in told:
            if id(change) not in single:
                rest.setdefault(change.event, []).append(_finding(change))
        for event, findings in sorted(rest.items()):
            alerts += group_alerts(findings, now, self._names, event)
        return alerts

    def _one(self, change: Change, now: int) -> Alert:
        return finding_alert(_finding(change), change.event, now, self._names)

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
            return False
        if alerts:
            if self._broken_since:
                self.resweep = True  # what was put back meanwhile is still to be told as over
            self._broken_since, self.unwritable = 0, ""
        return True

    def _write_down(self, changes: Sequence[Change]) -> None:
        """Commit what was told, or keep it until that can be done."""
        self._unwritten |= {(change.fact, change.key): change for change in changes}
        if not self._unwritten:
            return
        before = self._baseline.seen_count
        try:
            with self._database.transaction():
                for change in self._unwritten.values():
                    self._write_one(change)
        except StoreError as error:
            self._baseline.seen_count = before
            self._still_unwritten(str(error))
            return
        self._unwritten = {}
        if self.state_unwritable:
            self.state_unwritable = ""
            self.resweep = True  # what was put back meanwhile could not be compared with what was seen

    def _write_one(self, change: Change) -> None:
        self._baseline.keep_content(change.contents.items())
        if change.restored:
            self._baseline.forget(change.fact, change.key)
        else:
            self._baseline.note(change.fact, change.key, change.row)
        if change.finding is not None:
            self._findings.put(change.finding)  # also what is over: it may never have been written down
            if change.event == "cleared":
                self._findings.close(change.finding.id, CLEARED, change.finding.last_seen)

    def _still_unwritten(self, problem: str) -> None:
        """Say so once, and keep what was told within bounds: beyond, it will be found and told again."""
        if not self.state_unwritable:
            self._diagnose("state cannot be written", {"problem": problem})
            self.tell(health.alert("store.unwritable", self._wall(), problem=problem))
        self.state_unwritable = problem
        if len(self._unwritten) > MOST_UNTOLD:
            self._unwritten = {}

    def _shed(self) -> None:
        """Keep what waits bounded: let the quietest go, they will be found again."""
        if len(self._waiting) < MOST_UNTOLD:
            return
        ordered = sorted(self._waiting.items(), key=lambda item: _loudness(item[1]), reverse=True)
        self._waiting = dict(ordered[: MOST_UNTOLD // 2])
        self.resweep = True


def _finding(change: Change) -> Finding:
    assert change.finding is not None
    return change.finding


def _is_loud(change: Change) -> bool:
    """Critical and news."""
    finding = change.finding
    return finding is not None and finding.verdict.severity is Severity.CRITICAL and change.event != "cleared"


def _as_opened(change: Change) -> Change:
    """A finding that changed before it was ever told is told as new."""
    return Change(
        change.fact, change.key, change.row, change.restored, change.finding, "opened", change.contents
    )


def _loudness(change: Change) -> int:
    return int(change.finding.verdict.severity) if change.finding is not None else 0
