"""The commands that ask and show, in the order in which somebody meets them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from typing import Any

from ..errors import ConfigError, Exit, UsageError
from ..record import clean
from ..render import explaining, findings, inquiry, pages
from .terminal import Session, json_text

TEST_PATIENCE = 15.0
"""Seconds that a test alert may take on its way before it is said how far it got."""


def status(s: Session) -> Exit:
    data = s.ask("status")
    s.show(data, lambda: pages.status(s.paper, data))
    return Exit.OK


def drift(s: Session) -> Exit:
    data = s.ask("drift", {"severity": s.options.severity})
    s.show(data, lambda: findings.drift(s.paper, data, s.options.all))
    return Exit.DRIFT if data["findings"] else Exit.OK


def explain(s: Session) -> Exit:
    data = s.ask("explain", {"id": s.options.id})
    s.show(data, lambda: explaining.explain(s.paper, data))
    return Exit.OK


def check(s: Session) -> Exit:
    data = s.ask("check", {"full": s.options.full})
    s.show(data, lambda: findings.check(s.paper, data, s.options.full))
    return Exit.DRIFT if data["findings"] else Exit.OK


def alerts(s: Session) -> Exit:
    limit = s.options.lines
    if limit is None:
        limit = 0 if s.options.since is not None else 50

    def tell(raw: bytes) -> None:
        if s.options.json:
            s.terminal.print([clean(raw.decode("utf-8", "backslashreplace"))])
        else:
            s.terminal.print([pages.alert(s.paper, json.loads(raw.decode("utf-8", "replace")))])

    wanted = {"follow": s.options.follow, "since": s.options.since, "severity": s.options.severity}
    done = s.ask("alerts", {**wanted, "limit": limit}, tell)
    if done.get("damaged") and not s.options.json:
        s.terminal.print([f"{done['damaged']} damaged lines were passed over: see hostguardctl verify"])
    return Exit.OK


def history(s: Session) -> Exit:
    data = s.ask("history")
    s.show(data, lambda: pages.history(s.paper, data))
    return Exit.OK


def diff(s: Session) -> Exit:
    data = s.ask("diff", {"a": s.options.a, "b": s.options.b})
    s.show(data, lambda: findings.difference(s.paper, data))
    return Exit.OK


def rollback(s: Session) -> Exit:
    data = s.ask("rollback", {"number": s.options.number, "reason": s.options.reason})
    s.show(data, lambda: pages.approved(s.paper, data))
    return Exit.OK


def verify(s: Session) -> Exit:
    data = s.ask("verify")
    s.show(data, lambda: pages.verify(s.paper, data))
    if data["ok"]:
        return Exit.OK
    return Exit.BASELINE if data["baseline"].get("missing") else Exit.DRIFT


def doctor(s: Session) -> Exit:
    data = s.ask("doctor")
    s.show(data, lambda: pages.doctor(s.paper, data))
    return Exit.OK if all(check["ok"] for check in data["checks"]) else Exit.DRIFT


def test_alert(s: Session) -> Exit:
    """Write one, and watch it go: until every destination has it, or patience ends."""
    data = s.ask("test-alert")
    ends = time.monotonic() + TEST_PATIENCE
    while any(one["state"] != "stopped" for one in _missing(data)) and time.monotonic() < ends:
        time.sleep(0.2)
        data["destinations"] = s.ask("status")["destinations"]
    s.show(data, lambda: pages.tested(s.paper, data))
    return Exit.DRIFT if _missing(data) else Exit.OK


def _missing(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The destinations that have yet to get a test alert."""
    return [one for one in data["destinations"] if one["delivered"] < data["sequence"]]


def investigate(s: Session) -> Exit:
    """In this very process, and not in the daemon: it must work where that was stopped."""
    from ..investigate.command import Leaving, Options, Wanted, investigate

    given = s.options
    wanted = Wanted(
        given.config,
        given.root,
        tuple(given.check),
        Options(given.days, not given.quick, given.probe, given.patience),
    )
    with Leaving(given.html, given.bundle) as leaving, s.progress() as bar:
        scene, report = investigate(wanted, os.environ, bar.report)
        said = leaving.write(scene, report, given.with_secrets, bar.report)
    if given.bundle != "-":
        s.show(report, lambda: _inquiry_page(s, report))
    s.terminal.note(said)
    if leaving.problems:
        raise UsageError("\n".join(leaving.problems))
    return Exit.DRIFT if report["verdict"] == "suspicious" else Exit.OK


def _inquiry_page(s: Session, report: dict[str, Any]) -> Iterable[str]:
    if not s.options.check:
        return inquiry.page(s.paper, report, s.options.all)
    return (line for name in s.options.check for line in inquiry.page(s.paper, report, s.options.all, name))


def updating(s: Session) -> Exit:
    data = s.ask("updating", {"version": s.options.to})
    s.show(data, lambda: [f"What differs in hostguardd's own files waits for {data['wait'] / 60:.0f} min."])
    return Exit.OK


def config_check(s: Session) -> Exit:
    """Without the daemon: every mistake at once, or what the configuration means."""
    from ..config import parse
    from ..defaults import default_sources
    from ..foretell import configuration_json, foretell, foretold_json
    from ..homes import Homes, named_homes

    try:
        texts = default_sources(s.options.config)
        config = parse(texts)
    except ConfigError as error:
        if not s.options.json:
            raise
        s.terminal.print([json_text({"ok": False, "problems": error.problems})])
        return error.exit
    data = configuration_json([name for name, _ in texts], config)
    if s.options.things:
        try:
            with open("/etc/passwd", "rb") as file:
                table: bytes | None = file.read()
        except OSError:
            table = None
        homes = Homes(named_homes(table))
        try:
            data["things"] = [foretold_json(foretell(config, homes, thing)) for thing in s.options.things]
        except ValueError as problem:
            raise UsageError(str(problem)) from None
        s.show(data, lambda: pages.foretold(s.paper, data["things"]))
        return Exit.OK
    s.show(data, lambda: pages.configuration(s.paper, data))
    return Exit.OK
