"""Prepares the host, does every deed, and writes down what was told: /result.json.

`python3 -m techniques` prepares, then starts itself again in a session of ssh, where intruders work.
`python3 -m techniques NAME…` does only those rows or families.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from . import ROOMS, prepare
from .table import ACTS, CHECK, Act, Deed, NotHere, Shown
from .told import LOG, Told
from .tools import run

RESULT = Path("/result.json")
GRACE = 2.0
"""Seconds that are waited for beyond the promise, so that what comes late is told as late, not as missing."""


class Trial:
    """One act on its way."""

    def __init__(self, act: Act, told: Told) -> None:
        self.act = act
        self.mark = told.mark()
        self.deed: Deed = act.deed()
        self.result: dict[str, Any] = {"began": time.time()}
        self.done = 0.0
        self.over = False
        self._told = told
        try:
            next(self.deed)
        except NotHere as reason:
            self.result["not here"] = str(reason)
            self.over = True
        except Shown as sentence:
            self.result |= {"seconds": 0.0, "shown": str(sentence)}
            self.over = True
        except Exception:  # noqa: BLE001
            self.result["failed"] = traceback.format_exc()
            self.over = True
        self.done = time.monotonic()

    def wait(self) -> None:
        """Until it is told, or for long enough."""
        act, told = self.act, self._told
        if self.over:
            return
        told.wait(self.mark, act, self.done + act.within + GRACE)
        if act.at_most:
            told.settle(1.0, 5.0)

    def judge(self) -> None:
        """Write down what came."""
        act, told = self.act, self._told
        if self.over:
            return
        lines = [line for line in told.since(self.mark) if not line.good_news]
        right = told.news(self.mark, act.names, act.techniques)
        named = told.news(self.mark, act.names)
        if right:
            self.result |= {"seconds": max(0.0, right.at - self.done), "alert": right.short()}
        if named:
            self.result["named"] = {"seconds": max(0.0, named.at - self.done), **named.short()}
        self.result["count"] = len(lines)
        if not right or act.at_most:
            self.result["told"] = [line.short() for line in lines][:20]

    def undo(self) -> None:
        if self.over:
            return
        try:
            for _ in self.deed:
                pass
        except Exception:  # noqa: BLE001
            self.result["undo failed"] = traceback.format_exc()


def go(names: list[str]) -> None:
    """Do the deeds, family by family."""
    told = Told()
    results: dict[str, Any] = {}
    chosen = [act for name, act in ACTS.items() if not names or name in names or act.family in names]
    for family in dict.fromkeys(act.family for act in chosen):
        acts = [act for act in chosen if act.family == family]
        told.settle(1.0, 10.0)
        beside = []
        for act in acts:
            if not act.alone:
                beside.append(Trial(act, told))
                time.sleep(0.2)
        for act in acts:
            if act.alone:
                if act.at_most:
                    told.settle(1.5, 10.0)
                trial = Trial(act, told)
                trial.wait()
                trial.judge()
                trial.undo()
                results[act.name] = trial.result
        if any(trial.act.within == CHECK and not trial.over for trial in beside):
            run("hostguardctl", "check", may_fail=True)
        for trial in beside:
            trial.wait()
        for trial in reversed(beside):
            trial.judge()
            trial.undo()
            results[trial.act.name] = trial.result
        print(f"{family}: done at {time.monotonic():.0f}", flush=True)
    told.settle(2.0, 10.0)
    RESULT.with_suffix(".acts").write_text(json.dumps(results))
    told.close()


def main() -> None:
    for room in ROOMS:
        importlib.import_module(f"{__package__}.{room}")
    if sys.argv[1:2] == ["go"]:
        go(sys.argv[2:])
        return
    result: dict[str, Any] = {}
    try:
        began = time.monotonic()
        prepare.key()
        prepare.people()
        prepare.services()
        prepare.logs()
        result["prepared"] = time.monotonic() - began
        result |= prepare.watch()
        result["watching"] = time.monotonic() - began
        ran = prepare.ssh(
            "root@127.0.0.1", f"cd /trial && exec python3 -m techniques go {' '.join(sys.argv[1:])}"
        )
        result["said"] = ran.stdout + ran.stderr
        result["code"] = ran.returncode
        result["acts"] = json.loads(RESULT.with_suffix(".acts").read_text())
        result["took"] = time.monotonic() - began
        result["status"] = json.loads(run("hostguardctl", "status", "--json", may_fail=True) or "{}")
    except Exception:  # noqa: BLE001
        result["failed"] = traceback.format_exc()
    finally:
        result["journal"] = run("journalctl", "-o", "short", "--no-pager", "-n", "3000", may_fail=True)[
            -200_000:
        ]
        result["lines"] = LOG.read_text().count("\n") if LOG.exists() else 0
        shutil.copytree(LOG.parent, "/trial/log", dirs_exist_ok=True)  # where it lies is gone with the host
        RESULT.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
