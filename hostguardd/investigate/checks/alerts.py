"""hostguardd's own record: is the alert log whole, what did it say, is the daemon there to write it,
and are its own files what was installed?

An intruder who finds the daemon stops it, edits its log, or has it look away. The chain shows an edit; a
daemon that has a baseline and does not run is a thing to explain.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from ...control.address import socket_path
from ...control.client import call
from ...errors import AlertLogError, ForbiddenError, HostguardError
from ...model import join
from ...record import clean
from ...store import chain
from ..files import ourselves
from ..files.standing import standing
from ..interface import Confidence, Evidence, Found, Item, Moment, Unseen, Verdict, text, word
from ..scene import SUDO, Scene

LOUD: Final = {"critical": Verdict.SUSPICIOUS, "high": Verdict.SUSPICIOUS, "medium": Verdict.NOTABLE}
QUIET: Final = frozenset({"info"})
MOST: Final = 5000
"""Alerts that become moments, the newest."""

LOOKS_AWAY: Final = "Whoever changes the watchman has it look away, and runs as root whenever it does."
ELSEWHERE: Final = "Save the file as evidence; look at this host with hostguardd from elsewhere (--root)."


def look(scene: Scene) -> Iterator[Found]:
    """The daemon, the chain, and what the log told in the days that are looked at."""
    yield from _files(scene)
    yield from _bytecode(scene)
    folder = scene.config.paths.log
    if scene.host.live.blind:
        yield Unseen("hostguardd", scene.host.live.blind)
    else:
        yield from _daemon(scene)
    try:
        folder = _within(scene, folder)
        next(chain.read(folder, 0), None)  # who may not read it could not tell a whole one from a cut one
        verified = chain.verify(folder)
    except FileNotFoundError:
        yield Item("alert log", Verdict.FINE, f"there is no alert log in {folder}")
        return
    except AlertLogError as error:
        yield Unseen("the alert log", str(error), "" if scene.is_root else SUDO)
        return
    if verified.ok:
        yield Item("alert log", Verdict.FINE, f"{folder}: {verified.sentence}")
    else:
        yield Item(
            "alert log",
            Verdict.SUSPICIOUS,
            f"the alert log was edited or damaged: {verified.sentence}",
            "Every line holds the digest of the one before it; the daemon writes none that does not follow.",
            "Compare with the copy on the log host: what stands there and not here is what somebody removed.",
            technique="T1070.002",
            evidence=(Evidence(f"{verified.file}:{verified.line}", verified.problem),),
        )
    yield from _told(scene, folder, Confidence.SURE if verified.ok else Confidence.LIKELY)


def _files(scene: Scene) -> Iterator[Item]:
    """Whether our own files are what was installed."""
    for place, said in ourselves.records(scene):
        record = text(place)
        changed = ourselves.changed(scene, said)
        for path in changed:
            name = text(path)
            yield Item(
                name,
                Verdict.SUSPICIOUS,
                f"{name}, a part of hostguardd itself, was changed: {record} has another digest",
                LOOKS_AWAY,
                ELSEWHERE,
                standing(scene, path),
                "T1554",
                evidence=(Evidence(f"sha256sum {word(name)}"), Evidence(record)),
            )
        if not changed and said:
            yield Item(record, Verdict.FINE, f"{len(said)} files of hostguardd itself are as {record} says")


def _bytecode(scene: Scene) -> Iterator[Item]:
    """Whether our modules were run as their sources say."""
    for path in ourselves.replaced(scene):
        name = text(path)
        yield Item(
            name,
            Verdict.SUSPICIOUS,
            f"{name} is run in place of a module of hostguardd, and is not what its source says",
            LOOKS_AWAY,
            ELSEWHERE,
            technique="T1554",
            evidence=(Evidence(f"stat {word(name)}", "the module lies beside its folder"),),
        )


def _within(scene: Scene, folder: str) -> str:
    """Where a folder of the image lies for us; no link leads out of it."""
    try:
        real = scene.host.files.real(os.fsencode(folder))
    except OSError as error:
        raise AlertLogError(f"cannot read {folder}: {error.strerror}", error.errno or 0) from error
    return os.fsdecode(join(scene.host.files.root, real.lstrip(b"/")))


def _daemon(scene: Scene) -> Iterator[Found]:
    """Whether it runs, where it was set up to."""
    path = socket_path(scene.config.paths.run)
    try:
        status = call(path, "status", {})
    except ForbiddenError:
        yield Item("hostguardd", Verdict.FINE, "hostguardd runs (this account may not ask it anything)")
    except HostguardError as error:
        if scene.approved.generation is None:
            yield Item("hostguardd", Verdict.FINE, "hostguardd does not run, and has no baseline here")
            return
        yield Item(
            "hostguardd",
            Verdict.NOTABLE,
            f"hostguardd has a baseline here and does not run: {error}",
            "Whoever comes in and knows it stops it first; since then nobody watched.",
            "Ask who stopped it: systemctl status hostguardd, journalctl -u hostguardd.",
            technique="T1562.001",
            evidence=(Evidence(path),),
        )
    else:
        yield Item("hostguardd", Verdict.FINE, f"hostguardd runs since {status.get('since')}")


def _told(scene: Scene, folder: str, confidence: Confidence) -> Iterator[Found]:
    counts: Counter[str] = Counter()
    newest: list[tuple[float, str, dict[str, Any]]] = []
    for _, line in chain.read(folder, 0):
        record = _loud(line)
        if record is None:
            continue
        at = _seconds(record.get("@timestamp"))
        if at < scene.since:
            continue
        severity = str(record["hostguard"].get("severity"))
        counts[severity] += 1
        newest.append((at, severity, record))
        if len(newest) > 2 * MOST:
            del newest[:MOST]
        if scene.stop():
            break
    for at, severity, record in newest[-MOST:]:
        yield Moment(
            at,
            "alert",
            clean(str(record.get("message"))),
            f"alert {record['event'].get('sequence')}",
            confidence,
            LOUD.get(severity, Verdict.FINE),
        )
    if told := ", ".join(
        f"{counts[one]} {one}" for one in ("critical", "high", "medium", "low") if counts[one]
    ):
        loud = counts["critical"] + counts["high"]
        yield Item(
            "alerts",
            Verdict.NOTABLE if loud else Verdict.FINE,
            f"in the last {scene.options.days:g} days the alert log told {told}",
            "What was alerted may have been accepted or have cleared since; it is part of the story."
            if loud
            else "",
            "hostguardctl alerts --severity high shows them; the time line has each in its place."
            if loud
            else "",
        )


def _loud(line: bytes) -> dict[str, Any] | None:
    """The record of a line that is louder than info; most are told by their bytes alone."""
    if b'"severity":"info"' in line:
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    usable = isinstance(record, dict) and all(
        isinstance(record.get(one), dict) for one in ("event", "hostguard")
    )
    return record if usable and record["hostguard"].get("severity") not in QUIET else None


def _seconds(stamp: object) -> float:
    """Seconds since the epoch of an alert's time; 0 for what is none."""
    try:
        return datetime.fromisoformat(str(stamp)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
