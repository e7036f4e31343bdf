"""kill -9 at random moments, three hundred times, over capture, acceptance and alerting.

After each the rules are held: the store opens with the last approved generation whole, nothing that
was acknowledged (an approval that was answered, an alert that was read) is missing, numbers have no
gap, and no finding is written down whose alert is not in the log. At the end of each campaign a
daemon that lives finds and tells every drift there is.

The daemons are forked from one process that has imported everything, as three hundred starts of an
interpreter would take minutes.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from hostguardd.errors import HostguardError
from hostguardd.store.baseline import Baseline
from hostguardd.store.chain import verify
from hostguardd.store.database import Database
from hostguardd.store.findings import Findings
from tests.daemon import ROOT, Guard, until

KILLS = {"capture": 100, "acceptance": 80, "alerting": 120}
FILES = 40

NURSERY = """
import os, sys
sys.path[0] = os.getcwd()
from hostguardd import daemon
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.setsid()
        os._exit(daemon.main(["--config", line.strip()]))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

SECTIONS = """
[sweeps]
workers = 1
listeners = 3600
processes = 3600
"""


class Campaign(Guard):
    """Daemons that are killed, one after the other, on one state."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, sections=SECTIONS)
        self.dice = random.Random(folder.name)
        self.head = (0, "")
        self.approved = 0
        self.nursery: subprocess.Popen[str]
        for number in range(FILES):
            (self.tree / f"file{number:02}").write_text(f"{number}\n")

    @contextmanager
    def raised(self) -> Iterator[None]:
        """The process from which daemons are forked."""
        with (
            self.words.open("ab") as words,
            subprocess.Popen(
                [sys.executable, "-c", NURSERY],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                cwd=ROOT,
            ) as self.nursery,
        ):
            try:
                yield
            finally:
                self.nursery.kill()

    @contextmanager
    def living(self) -> Iterator[int]:
        """A daemon, by its pid; killed at the end, whatever it does."""
        assert self.nursery.stdin is not None
        assert self.nursery.stdout is not None
        self.nursery.stdin.write(f"{self.config}\n")
        self.nursery.stdin.flush()
        pid = int(self.nursery.stdout.readline())
        try:
            yield pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            code = int(self.nursery.stdout.readline())
        assert code == -signal.SIGKILL, f"it had ended by itself ({code}): {self.said()}"

    @contextmanager
    def doomed(self, longest: float) -> Iterator[None]:
        """A daemon that dies at a random moment in the first `longest` seconds of what is done here."""
        with self.living() as pid:
            self.answers()
            timer = threading.Timer(self.dice.uniform(0, longest), os.kill, (pid, signal.SIGKILL))
            timer.start()
            with contextlib.suppress(HostguardError):
                yield
            timer.join()

    def answers(self, state: str = "watching") -> None:
        """Wait until it watches."""

        def met() -> bool:
            with contextlib.suppress(HostguardError):
                return bool(self.call("status")["state"] == state)
            return False

        until(met, "it watches")

    def measured(self, work: Callable[[], object]) -> float:
        """Seconds that it takes here and now: what is a good moment to kill depends on the machine."""
        began = time.monotonic()
        work()
        return time.monotonic() - began

    def change(self, number: int) -> None:
        """Change something in the tree."""
        path = self.tree / f"file{self.dice.randrange(FILES):02}"
        if path.exists() and self.dice.random() < 0.2:
            path.unlink()
        else:
            path.write_text(f"{number} {self.dice.random()}\n")

    def reopened(self) -> int:
        """Hold the rules; the number of the generation in force (0: none)."""
        if not self.state.exists():
            return 0
        found = verify(str(self.log), self.head if self.head[0] else None) if self.log.exists() else None
        if found is not None and not found.ok:
            assert "is torn" in found.problem, found.sentence
        database = Database(self.state / "baseline.db")
        try:
            baseline = Baseline(database)
            numbers = [generation.number for generation in baseline.history()]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
            current = baseline.current()
            if current is not None:
                assert baseline.verify() == current
            number = current.number if current else 0
            assert number >= self.approved, "what was approved stays so"
            told = {alert["hostguard"].get("finding") for alert in self.alerts()}
            told |= {m["finding"] for alert in self.alerts() for m in alert["hostguard"].get("members", [])}
            untold = [one.id for one in Findings(database).open() if one.id not in told]
            assert not untold, "a finding is written down after its alert"
        finally:
            database.close()
        if found is not None and found.ok:
            assert found.last >= self.head[0]
            self.head = (found.last, found.digest)
        self.approved = max(self.approved, number)
        return number

    def in_the_end(self) -> None:
        """A daemon that lives tells every drift there is, and only that."""
        with self.living():
            self.answers()
            self.call("check", full=True)
            findings = self.findings()
            assert self.call("verify")["ok"]
            last: dict[str, str] = {}
            for what, state, _ in self.stories():
                last[what] = state
            open_ones = {what for what, state in last.items() if state in ("opened", "changed")}
            assert open_ones >= findings.keys(), "every drift is in the log"
            number = self.call("status")["generation"]["number"]
            self.approve("the end")
            assert self.findings() == {}
            assert self.call("status")["generation"]["number"] == number + 1
        self.reopened()
        self.checked()


def capture(campaign: Campaign) -> int:
    """Every daemon starts from nothing, or from what the one before left of its capture."""
    with campaign.living():
        longest = max(1.2, 2 * campaign.measured(campaign.answers))
    for path in campaign.state.iterdir():
        path.unlink()
    finished = 0
    for number in range(KILLS["capture"]):
        began = time.monotonic()
        life = campaign.dice.uniform(0, longest)
        with campaign.living():
            time.sleep(max(0.0, began + life - time.monotonic()))
        if campaign.reopened():
            finished += 1
            if number % 2:
                for path in campaign.state.iterdir():
                    path.unlink()
                campaign.approved = 0
    campaign.change(0)
    campaign.in_the_end()
    return finished


def acceptance(campaign: Campaign) -> int:
    """Files change, somebody approves, and the daemon dies meanwhile."""
    with campaign.living():
        campaign.answers()
        longest = max(0.35, 2 * campaign.measured(lambda: campaign.approve("first")))
        campaign.approved = campaign.call("status")["generation"]["number"]
    answered = 0
    for number in range(KILLS["acceptance"]):
        with campaign.doomed(longest):
            for _ in range(3):
                campaign.change(number)
            if number % 2:
                ids = list(until(campaign.findings, "findings").values())[:1]
                made = campaign.call("accept", ids=[one["id"] for one in ids], reason=str(number))
            else:
                made = campaign.approve(str(number))
            answered += 1
            campaign.approved = made["generation"]["number"]
        campaign.reopened()
    campaign.in_the_end()
    return answered


def alerting(campaign: Campaign) -> int:
    """Files change before, while and after the daemon lives."""
    with campaign.living():
        campaign.answers()
    for number in range(KILLS["alerting"]):
        campaign.change(number)
        began = time.monotonic()
        life = campaign.dice.uniform(0, 1.2)
        with campaign.living():
            while (left := began + life - time.monotonic()) > 0:
                campaign.change(number)
                time.sleep(min(left, 0.03))
        campaign.reopened()
    campaign.in_the_end()
    return len(campaign.alerts())


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_three_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    fight: tuple[Callable[[Campaign], int], ...] = (capture, acceptance, alerting)

    def run(work: Callable[[Campaign], int]) -> int:
        campaign = Campaign(tmp_path / work.__name__)
        with campaign.raised():
            return work(campaign)

    with ThreadPoolExecutor(len(fight)) as pool:
        captured, approved, told = pool.map(run, fight)
    assert sum(KILLS.values()) == 300
    # The moments were well chosen: before, in and after what was to be killed.
    assert 0 < captured < KILLS["capture"]
    assert 0 < approved < KILLS["acceptance"]
    assert told > KILLS["alerting"]
