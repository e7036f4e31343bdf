"""One full sweep against the baseline and nothing else: `hostguardd --once`, also on a mounted image.

The rule kept here: nothing is written, neither to the state nor to the alert log; the drift goes to
the given stream, one finding a line, the loudest first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TextIO

from ..config import Config
from ..describe import finding_json
from ..errors import BaselineError, Exit
from ..host.bundle import Host
from ..host.clock import SystemClock
from ..model import Blind, Depth, Fact, FileFact, Finding, Row, Sweep, Value
from ..record import escape
from ..sensors.interface import Request, Sensor
from ..store.baseline import Baseline
from ..store.database import Database
from ..store.findings import Findings
from .keeper import Change, Keeper
from .parts import Parts, SystemNames, build


def check_once(config: Config, state: Path, host: Host, out: TextIO) -> int:
    """Returns 0 without drift, 1 with; BaselineError when there is nothing to compare with."""
    try:
        database = Database(state, readonly=True)
    except FileNotFoundError as error:
        raise BaselineError(
            f"there is no baseline at {state}: start hostguardd once to capture one"
        ) from error
    try:
        baseline = Baseline(database, readonly=True)
        current = baseline.current()
        if current is None:
            raise BaselineError("the baseline holds no approved generation yet")
        clock = SystemClock()
        parts = build(config, host, clock, lambda folder: None)
        remind(parts, baseline)
        sensors = (parts.hurried, *parts.sensors()[1:])
        looks = ((sensor, sensor.sweep(Depth.FULL, lambda: False)) for sensor in sensors)
        found, blinds = drifted(parts, baseline, Findings(database), looks, clock.wall)
        return _tell(found, blinds, current.number, out)
    finally:
        database.close()


def remind(parts: Parts, baseline: Baseline) -> None:
    """Tell the sensors that remember what was seen before."""
    for remembering in parts.recalling:
        for scope in baseline.scopes(remembering.fact):
            seen = baseline.seen(remembering.fact, scope)
            remembering.recall(row for row in seen.values() if row is not None)
            remembering.recall(baseline.rows(remembering.fact, scope))


def drifted(
    parts: Parts,
    baseline: Baseline,
    findings: Findings,
    looks: Iterable[tuple[Sensor, Iterable[Sweep]]],
    now: Callable[[], int],
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Finding], list[Blind]]:
    """What of the sweeps in `looks` differs from the current generation, the loudest first, and what they
    could not see. A file that differs by its metadata is looked at closely. Nothing is written.
    """
    changes: dict[tuple[type[Fact], Value], dict[Row, Change]] = {}

    def emit(change: Change) -> None:
        changes.setdefault((change.fact, change.key[0]), {})[change.key] = change

    def pending(fact: type[Fact], scope: Value, /, *, below: bool = False) -> dict[Row, Change]:
        return {} if below else dict(changes.get((fact, scope), {}))

    keeper = Keeper(
        baseline, findings, parts.policy, parts.watches.find, parts.left_out, emit, pending, now, fresh=True
    )
    blinds: dict[tuple[str, bytes], Blind] = {}

    def take(sweep: Sweep) -> list[Request]:
        blinds.update(((blind.kind, blind.scope), blind) for blind in sweep.blinds)
        return keeper.handle(sweep)

    for sensor, sweeps in looks:
        closer: list[Request] = []
        for sweep in sweeps:
            closer += take(sweep)
        if closer and sensor.fact is FileFact:
            for sweep in sensor.look(closer, stop):
                take(sweep)
    found = [
        change.finding
        for of_scope in changes.values()
        for change in of_scope.values()
        if change.finding and change.event != "cleared"
    ]
    found.sort(key=lambda finding: (-finding.verdict.severity, finding.drift.subject.label))
    return found, list(blinds.values())


def _tell(found: Sequence[Finding], blinds: Sequence[Blind], generation: int, out: TextIO) -> int:
    try:
        for finding in found:
            told = finding_json(finding, SystemNames())
            out.write(
                f"{told['severity']:8} {told['message']}  [{told['technique'] or '-'} {told['rule']}]\n"
            )
        for blind in blinds:
            out.write(f"{'blind':8} {escape(blind.scope)} ({blind.kind}): {blind.reason}\n")
        out.write(f"{len(found)} findings against generation {generation}, {len(blinds)} places not seen\n")
        out.flush()
    except BrokenPipeError:  # `… | head` has seen enough; keep the interpreter's own flush quiet
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    return int(Exit.DRIFT if found else Exit.OK)
