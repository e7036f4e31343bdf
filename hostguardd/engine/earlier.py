"""What an earlier life of ours left: since when nobody was watching, whether the state is the one that was
left, and what the sensors had come to know.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from .. import diff
from ..errors import HostguardError
from ..model import Fact, Generation, Row
from ..record import parse
from ..store.alertlog import AlertLog
from ..store.baseline import Baseline
from ..store.database import Database
from ..store.findings import Findings
from .interface import Tell
from .life import alive_at, head_at, told_until
from .parts import PolledSensor, RecallingSensor

APPROVALS = (
    "baseline.captured-unreviewed", "baseline.approved", "baseline.accepted", "baseline.rolledback",
    "baseline.packages-accepted", "baseline.untold", "package.updated",
)  # fmt: skip
"""Health codes that tell of a new generation."""


def tell_gap(baseline: Baseline, log: AlertLog, now: int, tell: Tell) -> None:
    """From when to when nobody was watching."""
    alive = alive_at(baseline)
    if alive is None:
        return
    alive = max(alive, _last_told(log))
    if now - alive > 0:
        tell("daemon.gap", since=alive, until=now, gap=now - alive)


def _last_told(log: AlertLog) -> int:
    """Wall-clock nanoseconds of the last line that an earlier life of ours wrote, 0 if it tells none."""
    for _, line in log.read(max(log.found - 1, 0)):
        try:
            at = datetime.fromisoformat(parse(line)["@timestamp"])
        except (HostguardError, KeyError, TypeError, ValueError):
            return 0  # `verify` names it
        return (at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000
    return 0


def recall(sensors: Iterable[RecallingSensor], baseline: Baseline) -> None:
    """Hand the sensors that remember what was seen last."""
    for sensor in sensors:
        for scope in baseline.scopes(sensor.fact):
            seen = baseline.seen(sensor.fact, scope)
            sensor.recall(row for row in seen.values() if row is not None)


def expect(sensors: Iterable[PolledSensor], baseline: Baseline) -> None:
    """Hand the live sensors what is approved: after a boot, services still come up."""
    for sensor in sensors:
        for scope in baseline.scopes(sensor.fact):
            sensor.expect(baseline.rows(sensor.fact, scope))


def distrust(current: Generation, baseline: Baseline, log: AlertLog, tell: Tell) -> None:
    """Is the state the one that the alert log tells of? A generation that the one has and the other has not
    is told: neither a crash nor an edit of the state approves anything in silence."""
    head, told, first = head_at(baseline)[0], set[int](), 0
    for sequence, line in log.read(head):
        first = first or sequence
        told.add(_approved(line))
    for number in sorted(one for one in told if one > current.number):
        problem = f"the alert log tells of generation {number}, the state holds {current.number}"
        tell("baseline.tampered", problem=problem)
    known = told_until(baseline)
    if known is None or first > head + 1:  # an old copy of the state, whose lines are no longer kept
        return
    for made in sorted(baseline.history(), key=lambda one: one.number):
        if made.number > known and made.number not in told:
            reason = made.reason or "no reason given"
            tell(
                "baseline.untold", generation=made.number, actor=made.actor, since=made.at, reason=reason,
                digest=made.digest,
            )  # fmt: skip


def _approved(line: bytes) -> int:
    """The generation that an alert tells of, 0 if of none."""
    try:
        said = parse(line)["hostguard"]
    except HostguardError:
        return 0  # `verify` names it
    number = said.get("details", {}).get("generation", 0) if said.get("code") in APPROVALS else 0
    return number if isinstance(number, int) else 0


def judge_again(
    database: Database, baseline: Baseline, findings: Findings, recalling: Sequence[RecallingSensor]
) -> None:
    """Forget what was judged quiet, so that it is judged again."""
    with database.transaction():
        for fact, key in list(baseline.doubtful(lambda f, k: findings.of_key(f, k) is not None)):
            if not _memory(baseline, recalling, fact, key):
                baseline.forget(fact, key)


def _memory(baseline: Baseline, recalling: Sequence[RecallingSensor], fact: type[Fact], key: Row) -> bool:
    """Whether what is written down of a key is what a sensor remembers, and nothing was judged: it
    differs from what is approved only in what is never compared."""
    if not any(sensor.fact is fact for sensor in recalling):
        return False
    approved, seen = baseline.row(fact, key), baseline.seen(fact, key[0], {key[1]}).get(key)
    return approved is not None and seen is not None and not diff.changed(fact, approved, seen)


def verify_aside(path: Path, doubt: Callable[[str], None]) -> None:
    """Check the baseline's digest, in a thread with a handle of its own; `doubt` hears what is wrong."""

    def check() -> None:
        try:
            with closing(Database(path, readonly=True)) as own:
                Baseline(own, readonly=True).verify()
        except (HostguardError, OSError) as error:
            doubt(str(error))

    threading.Thread(target=check, name="verify", daemon=True).start()
