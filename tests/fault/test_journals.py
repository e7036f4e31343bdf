"""The real journald, in a namespace of its own: what it does by itself is silent, what `journalctl` does for
an intruder is not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hostguardd.host.files import LinuxFiles
from hostguardd.host.texts import LinuxTexts
from hostguardd.model import Depth, LogFact
from hostguardd.sections import LogsConfig
from hostguardd.sensors.journals import HEADER, header
from hostguardd.sensors.logs import LogsSensor
from tests.rights import NAMESPACES

JOURNALD = "/usr/lib/systemd/systemd-journald"
TOP = Path("/run/log/journal")


class Inside:
    """What runs in the namespace: journald, and a sensor that watches its folder."""

    def __init__(self) -> None:
        self.now = 1000.0
        files = LinuxFiles(b"/")
        clock = self.clock
        self.sensor = LogsSensor(files, LinuxTexts(files), LogsConfig(files=()), 0.0, clock, clock)

    def clock(self) -> int:
        return int(self.now * 1e9)

    def look(self) -> dict[str, str]:
        """States of the journals, of all that are not whole; and each file is as long as its header says."""
        for path in TOP.glob("*/*.journal"):
            found = header(path.read_bytes()[:HEADER])
            assert found is not None
            assert found.least <= path.stat().st_size
        self.now += 61
        rows = [row for sweep in self.sensor.sweep(Depth.QUICK, lambda: False) for row in sweep.rows]
        facts = [fact for fact in map(LogFact.of, rows) if fact.path.startswith(os.fsencode(TOP))]
        assert facts
        return {os.path.basename(os.fsdecode(one.path)): one.state for one in facts if one.incidents}

    def run(self) -> dict[str, Any]:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        subprocess.run(["mount", "--bind", "/dev/null", "/dev/kmsg"], check=True)
        for folder in ("/run/systemd/journal", TOP):
            os.makedirs(folder)
        journald = subprocess.Popen([JOURNALD], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.until(lambda: Path("/run/systemd/journal/stdout").is_socket())
            self.write()
            told: dict[str, Any] = {"first": self.look()}
            for turn in range(4):
                self.journalctl("--rotate")
                self.write()
                told[f"rotation {turn}"] = self.look()
            self.journalctl("--vacuum-files=3")
            told["vacuumed"] = self.look()
            self.journalctl("--vacuum-time=1us")
            told["wiped"] = self.look()
            next(TOP.glob("*/system.journal")).unlink()
            told["deleted"] = self.look()
        finally:
            journald.kill()
            journald.wait()
        return told

    def write(self) -> None:
        """Some entries, on the disk."""
        subprocess.run(["systemd-cat", "-t", "test"], input=b"one\ntwo\nthree\n", check=True)
        self.journalctl("--sync")

    def journalctl(self, option: str) -> None:
        subprocess.run(
            ["journalctl", option], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def until(self, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not met():
            assert time.monotonic() < deadline, "journald did not start"
            time.sleep(0.01)


def test_journald_is_silent_and_wipes_are_not() -> None:
    if not NAMESPACES:
        pytest.skip("needs root with CAP_SYS_ADMIN, for a namespace of its own")
    if not os.path.exists(JOURNALD) or shutil.which("unshare") is None or shutil.which("journalctl") is None:
        pytest.skip("systemd-journald or unshare is not installed")
    ran = subprocess.run(
        ["unshare", "-m", "--", sys.executable, "-m", "tests.fault.test_journals"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told.pop("deleted") == {"system.journal": "gone"}
    assert told.pop("wiped") == {"system.journal": "pruned"}
    assert len(told) == 6
    assert not any(told.values()), told


if __name__ == "__main__":
    print(json.dumps(Inside().run()))
