"""An alert log, and the forwarder that sends it: its real process; the log is written as by the daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hostguardd.sections import AlertLogConfig
from hostguardd.store.alertlog import AlertLog
from tests.alerts import IDENTITY, alert
from tests.daemon import PATIENCE, ROOT

DESTINATION = """
[paths]
state = "{0}/state"
log = "{0}/log"
run = "{0}/run"
forward = "{0}/forward"

[[destination]]
name = "central"
kind = "{1}"
address = "{2}"
heartbeat = 0
timeout = "3s"
"""


def launched(config: Path, said: Path, words: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """A forwarder's process, run by `words`, whose own words go to the end of `said`."""
    with said.open("ab") as heard:
        return subprocess.Popen(
            [*words, sys.executable, "-m", "hostguardd.forward", "--config", str(config)],
            stdin=subprocess.DEVNULL, stdout=heard, stderr=heard, cwd="/",
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip


class Sending:
    """An alert log, and the forwarder that sends it; `words` run it, in another network perhaps."""

    def __init__(self, folder: Path, kind: str, address: str, words: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.config = folder / "hostguardd.toml"
        self.config.write_text(DESTINATION.format(folder, kind, address))
        self.log = AlertLog(str(folder / "log"), AlertLogConfig(reserve=0), IDENTITY)
        self.words = words
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = launched(self.config, self.folder / "words", self.words)

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.process = None
        return code

    def write(self, count: int, times: int = 1) -> None:
        for _ in range(times):
            self.log.append([alert(number) for number in range(count)])

    @property
    def cursor(self) -> int:
        path = self.folder / "forward/central.cursor"
        return int(json.loads(path.read_text())["sequence"]) if path.exists() else 0

    def memory(self) -> int:
        """Bytes, the most it ever had in memory."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


@contextmanager
def sending(folder: Path, kind: str, address: str, words: tuple[str, ...] = ()) -> Iterator[Sending]:
    one = Sending(folder, kind, address, words)
    one.start()
    try:
        yield one
    except BaseException:
        print((folder / "words").read_text(errors="replace"), file=sys.stderr)
        raise
    finally:
        if one.process is not None:
            one.process.kill()
            one.process.wait(PATIENCE)
