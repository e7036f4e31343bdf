"""Long reading, for somebody who asked: of the alert log, and of the whole baseline.

It happens in a thread of its own, with handles of its own, so that the loop goes on watching.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..control.job import Job
from ..errors import HostguardError
from ..model import Severity
from ..record import parse, timestamp
from ..store import chain
from ..store.alertlog import AlertLog
from ..store.baseline import Baseline
from ..store.database import Database

FOLLOW_EVERY = 0.2


def aside(job: Job, run: Callable[[], None]) -> None:
    """Do long reading in a thread of its own."""

    def guarded() -> None:
        try:
            run()
        except HostguardError as error:
            job.fail(error)
        except Exception as error:  # noqa: BLE001 - the thread's edge: somebody waits for an answer
            job.fail(HostguardError(f"{job.call} failed: {type(error).__name__}: {error}"))

    threading.Thread(target=guarded, name=f"answer-{job.call}", daemon=True).start()


def send_alerts(job: Job, log: AlertLog, stopping: Callable[[], bool]) -> None:
    """The lines of the alert log that somebody wants, and those still to come, until that one leaves."""
    args = job.args
    damaged = 0

    def wanted(line: bytes) -> bool:
        nonlocal damaged
        try:
            record = parse(line)
            severity = Severity[str(record["hostguard"]["severity"]).upper()]
            at = str(record["@timestamp"])
        except (HostguardError, KeyError, TypeError):
            damaged += 1  # which and how is what `verify` tells
            return False
        return severity >= args["severity"] and (args["since"] is None or at >= timestamp(args["since"]))

    last, count = 0, 0
    newest: deque[bytes] = deque(maxlen=args["limit"] or None)
    for number, line in log.read(0):
        last = number
        if not wanted(line):
            continue
        count += 1
        if args["limit"]:
            newest.append(line)
        elif not _put(job, line):
            return
    for line in newest:
        if not _put(job, line):
            return
    while args["follow"] and not job.cancelled and not stopping():
        if log.head[0] == last:
            time.sleep(FOLLOW_EVERY)
            continue
        for number, line in log.read(last):
            last = number
            if wanted(line):
                count += 1
                if not _put(job, line):
                    return
    job.finish({"count": count, "damaged": damaged})


def _put(job: Job, line: bytes) -> bool:
    """Hand a line on, waiting for a slow reader; False when there is none any more."""
    while job.full and not job.cancelled:
        job.room(1.0)
    job.item(line)
    return not job.cancelled


def verification(folder: str, head: tuple[int, str], path: Path) -> dict[str, Any]:
    """Check the log's chain and the baseline's digest, with handles of our own."""
    found = chain.verify(folder, head)
    told: dict[str, Any] = {"generation": 0, "facts": 0, "digest": "", "problem": ""}
    try:
        database = Database(path, readonly=True)
        try:
            current = Baseline(database, readonly=True).verify()
            told |= {"generation": current.number, "facts": current.facts, "digest": current.digest}
        finally:
            database.close()
    except FileNotFoundError:
        told |= {"problem": f"{path} is gone: it was taken away while hostguardd runs", "missing": True}
    except HostguardError as error:
        told["problem"] = str(error)
    log = {
        "lines": found.lines,
        "first": found.first,
        "last": found.last,
        "problem": "" if found.ok else found.sentence,
    }
    return {"ok": found.ok and not told["problem"], "baseline": told, "log": log}
