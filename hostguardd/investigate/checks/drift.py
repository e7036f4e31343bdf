"""What differs from the approved baseline: everything that hostguardd watches, looked at once more.

The look is quick, as the daemon's own sweeps every few minutes are: a file is read again where its metadata
differs. Set-id files are the set-id check's, which compares them with the baseline itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ...describe import finding_json
from ...engine.once import drifted
from ...engine.parts import SystemNames
from ...model import Depth, FileFact, Finding, SetIdFact, Severity, Sweep
from ...sensors.interface import Sensor
from ...words.interface import counted
from ..interface import Confidence, Evidence, Found, Item, Known, Moment, Unseen, Verdict
from ..scene import SUDO, Scene

VERDICTS: Final = {
    Severity.CRITICAL: Verdict.SUSPICIOUS,
    Severity.HIGH: Verdict.SUSPICIOUS,
    Severity.MEDIUM: Verdict.NOTABLE,
    Severity.LOW: Verdict.NOTABLE,
    Severity.INFO: Verdict.FINE,
}


LINES: Final = 12
"""Lines of a difference that are shown."""


def look(scene: Scene) -> Iterator[Found]:
    """Every finding against the current generation."""
    yield from scene.problems
    approved = scene.approved
    current, baseline, findings = approved.generation, approved.baseline, approved.findings
    if current is None or baseline is None or findings is None:
        remedy = "hostguardctl baseline, once the host is trusted" if scene.is_root else SUDO
        yield Unseen("drift from the baseline", approved.problem, remedy)
        return
    if not current.reviewed:
        yield Item(
            f"generation {current.number}",
            Verdict.NOTABLE,
            f"generation {current.number} was captured when the daemon first started; nobody reviewed it",
            "What an intruder had changed before that is in it, and nothing that is known is thereby fine.",
            "Read the other checks as if there were no baseline, then run hostguardctl baseline.",
        )
    found, blinds = drifted(scene.parts, baseline, findings, _looks(scene), scene.clock.wall, scene.stop)
    for finding in found:
        yield _item(finding)
        if scene.since <= finding.first_seen / 1e9:
            yield _moment(finding)
    for blind in blinds:
        yield scene.unseen(blind)
    changes = "nothing differs" if not found else f"{counted(len(found), 'thing differs', 'things differ')}"
    yield Item(
        "compared with the baseline",
        Verdict.FINE,
        f"{changes} from generation {current.number}, approved by {current.actor}",
        details={"facts": current.facts},
    )


def _looks(scene: Scene) -> Iterator[tuple[Sensor, Iterable[Sweep]]]:
    parts = scene.parts
    yield parts.hurried, parts.hurried.sweep(Depth.QUICK, scene.stop)
    told = set()
    for sensor in parts.sensors():
        if sensor.fact not in (FileFact, SetIdFact) and sensor.fact not in told:
            told.add(sensor.fact)
            yield sensor, scene.sweeps(sensor.fact)


def _item(finding: Finding) -> Item:
    told = finding_json(finding, SystemNames())
    verdict = VERDICTS[finding.verdict.severity]
    known = Known.NEW if told["action"] == "added" else Known.CHANGED
    lines = [line for line in str(told["diff"]).splitlines() if line.startswith(("+", "-"))]
    more = f" … and {counted(len(lines) - LINES, 'more line')}" if len(lines) > LINES else ""
    return Item(
        f"{told['kind']} {told['label']}",
        verdict,
        str(told["message"]),
        "" if verdict is Verdict.FINE else f"Rule {told['rule']} of the policy: {told['severity']}.",
        "" if verdict is Verdict.FINE else finding.verdict.advice,
        known,
        finding.verdict.technique,
        {"rule": told["rule"], "severity": told["severity"], "id": finding.id},
        (Evidence(f"hostguardctl explain {finding.id}", "  ".join(lines[:LINES]) + more or sides(told)),),
    )


def sides(told: Mapping[str, Any]) -> str:
    """What changed, from what to what."""
    before, after = told.get("before") or {}, told.get("after") or {}
    names = told.get("changed") or ()
    return "; ".join(f"{name}: {before.get(name)} → {after.get(name)}" for name in names) or str(
        told["action"]
    )


def _moment(finding: Finding) -> Moment:
    """When it was first seen; a file's own change time where it has one."""
    after = finding.drift.after
    at, source, confidence = finding.first_seen, "first seen by hostguardd", Confidence.SURE
    if isinstance(after, FileFact) and after.ctime:
        at, source, confidence = after.ctime, "its ctime", Confidence.LIKELY
    told = finding_json(finding, SystemNames())
    kind = {"file": "file", "listener": "listener", "process": "process", "account": "account"}.get(
        finding.drift.fact.KIND, "alert"
    )
    return Moment(
        at / 1e9, kind, str(told["message"]), source, confidence, VERDICTS[finding.verdict.severity]
    )
