"""Findings become alerts: one for itself, a group, an act with its parts, what a window covers.

The rule: each has whoever made the change, where that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..actors.model import Answer
from ..describe import Event, Names, act_alerts, finding_alert, group_alerts
from ..model import Alert, Finding
from .acts import Told
from .attributing import Attribution
from .company import to_tell
from .expected import Windows, window_of
from .keeper import Change


class Composer:
    """`storm` findings of a window are told one by one at most. `wall` is nanoseconds."""

    def __init__(
        self,
        names: Names,
        wall: Callable[[], int],
        attribution: Attribution | None,
        windows: Windows | None,
        storm: int,
    ) -> None:
        self._names = names
        self._wall = wall
        self._attribution = attribution
        self._windows = windows
        self._storm = storm

    def act(self, head: Told, parts: Sequence[Finding]) -> Alert:
        """The alert of an act, as that of its head."""
        return self.attributed(
            finding_alert(*head, self._wall(), self._names, parts=parts), *head, parts=parts
        )

    def parts(self, head: Finding, findings: Sequence[Finding]) -> Sequence[Alert]:
        """The alerts of parts that came after their act's head was told."""
        return self.attributed_group(
            act_alerts(head, findings, self._wall(), self._names), findings, "opened"
        )

    def alerts(self, told: Sequence[Told], alone: Sequence[Told], package: str = "") -> list[Alert]:
        """Those of `alone` for themselves, the rest in groups; `package` is the manager that was at work."""
        now = self._wall()
        single = {id(one) for one in alone}
        alerts = [
            self.attributed(finding_alert(finding, event, now, self._names), finding, event)
            for finding, event in alone
        ]
        rest: dict[Event, list[Finding]] = {}
        for one in told:
            if id(one) not in single:
                rest.setdefault(one[1], []).append(one[0])
        deed = f"While {package} installed or removed packages, " if package else ""
        for event in ("opened", "changed", "cleared"):
            if findings := rest.get(event):
                group = group_alerts(findings, now, self._names, event, deed)
                alerts += self.attributed_group(group, findings, event)
        return alerts

    def expected(self, waiting: Sequence[Change]) -> list[Alert]:
        """Alerts of what was announced, for each window."""
        by_window: dict[str, list[Told]] = {}
        for change in waiting:
            if window := window_of(change):
                by_window.setdefault(window, []).extend(to_tell(change))
        return [
            alert
            for window, told in by_window.items()
            if self._windows is not None
            for alert in self._windows.quiet(
                self.alerts(told, told if len(told) <= self._storm else ()), window
            )
        ]

    def attributed(
        self, alert: Alert, finding: Finding, event: Event, parts: Sequence[Finding] = ()
    ) -> Alert:
        """The alert of one finding, or act, with its actor."""
        return alert if self._attribution is None else self._attribution.one(alert, finding, event, parts)

    def answer(self, finding: Finding) -> Answer | None:
        """Who made a change, as far as somebody is asked."""
        return None if self._attribution is None else self._attribution.answer(finding)

    def attributed_group(
        self, alerts: Sequence[Alert], findings: Sequence[Finding], event: Event
    ) -> Sequence[Alert]:
        """The alerts of several with theirs."""
        return alerts if self._attribution is None else self._attribution.group(alerts, findings, event)
