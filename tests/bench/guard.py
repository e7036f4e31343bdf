"""The daemon under test: a real child process with a folder of its own, and what /proc says of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inotify_simple import INotify, flags

from hostguardd.control.address import socket_path
from hostguardd.control.client import call

TICK = os.sysconf("SC_CLK_TCK")


def configuration(folder: Path, trees: Sequence[str], rules: str) -> str:
    """TOML that watches `trees` and nothing else, from `folder`; `rules` go before the packaged ones."""
    packaged = tomllib.loads((resources.files("hostguardd") / "etc/policy.toml").read_text())
    lines = ["[paths]", *(f'{name} = "{folder}/{name}"' for name in ("state", "log", "run"))]
    for watch in packaged["watch"]:
        lines += ["[[watch]]", f"name = {json.dumps(watch['name'])}", "paths = []"]
    # The set-id inventory walks the whole host; peers that look at `trees` alone are matched by this.
    tops = [f"/{name}" for name in sorted(os.listdir("/"))]
    aside = [top for top in tops if not any(tree.startswith(top) for tree in trees)]
    lines += ["[setid]", f"exclude = {json.dumps(aside)}", "watch = []"]
    lines += ["[[watch]]", 'name = "bench"', f"paths = {json.dumps(list(trees))}", rules, ""]
    return "\n".join(lines)


class Guard:
    """hostguardd over `trees`, from its start to its end. `rules` is TOML that goes before the policy's."""

    def __init__(self, trees: Sequence[str], rules: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hostguardd-bench-"))
        self.config = self.folder / "hostguardd.toml"
        self.alerts = self.folder / "log" / "alerts.jsonl"
        self.socket = socket_path(str(self.folder / "run"))
        self.config.write_text(configuration(self.folder, trees, rules))
        self.words = (self.folder / "daemon.log").open("wb")
        self.began = time.monotonic()
        self.child = subprocess.Popen(
            [sys.executable, "-m", "hostguardd.daemon", "--config", str(self.config)],
            stdin=subprocess.DEVNULL,
            stdout=self.words,
            stderr=self.words,
        )
        self.captured = self._wait_for_baseline()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.child.terminate()
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.words.close()
        if kind is None:
            shutil.rmtree(self.folder)
        else:
            print(f"the daemon's folder is kept: {self.folder}", file=sys.stderr)

    def _wait_for_baseline(self) -> float:
        """Seconds from the start of the process to its first baseline."""
        while self.child.poll() is None:
            # The alert that says so is fsynced after the generation; looking costs a stat.
            if self.alerts.exists() and b'"baseline' in self.alerts.read_bytes():
                return time.monotonic() - self.began
            time.sleep(0.01)
        raise SystemExit(f"hostguardd ended:\n{(self.folder / 'daemon.log').read_text()}")

    def call(self, name: str, **args: Any) -> dict[str, Any]:
        """One request over the control socket."""
        return call(self.socket, name, args)

    def timed(self, name: str, **args: Any) -> float:
        """Seconds that a request took."""
        began = time.monotonic()
        self.call(name, **args)
        return time.monotonic() - began

    def quick_sweep(self) -> float:
        """Seconds of the next periodic quick sweep of the files."""
        before = self.call("status")["sensors"]["files.quick"]["last_ended"]
        while True:
            time.sleep(0.1)
            sweep = self.call("status")["sensors"]["files.quick"]
            if sweep["last_ended"] != before and sweep["duration"]:
                return float(sweep["duration"])

    def resident(self) -> int:
        """Bytes resident now."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """Bytes resident at the most, since the start or the last `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Begin a new peak (proc(5), clear_refs)."""
        Path(f"/proc/{self.child.pid}/clear_refs").write_text("5")

    @contextmanager
    def peak_of_all(self) -> Iterator[list[int]]:
        """The largest sum of what the daemon and its children have resident, in the list at the end.

        Pages they share count once (Pss, proc(5)). Sampled: what lasts less than 20 ms may be missed.
        """
        found = [0]
        done = threading.Event()

        def sample() -> None:
            while not done.wait(0.02):
                found[0] = max(found[0], sum(_pss(pid) for pid in (self.child.pid, *self._children())))

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            yield found
        finally:
            done.set()
            sampler.join()

    def _children(self) -> list[int]:
        tasks = Path(f"/proc/{self.child.pid}/task")
        return [int(pid) for task in tasks.iterdir() for pid in _read(task / "children").split()]

    def cpu(self) -> float:
        """Seconds of processor time so far, user and system, of the children that ended as well."""
        stat = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, stat[11:15])) / TICK

    def settle(self, quiet: float = 2.0, limit: float = 120.0) -> None:
        """Wait until it has used hardly any processor time for `quiet` seconds."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            before = self.cpu()
            time.sleep(quiet)
            if self.cpu() - before <= 0.05 * quiet:
                return

    def _status(self, name: str) -> int:
        text = Path(f"/proc/{self.child.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
        assert found
        return int(found[1]) * 1024


def _read(path: Path) -> str:
    """The text of a file of /proc; "" when its process ended meanwhile."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _pss(pid: int) -> int:
    found = re.search(r"^Pss:\s+(\d+) kB", _read(Path(f"/proc/{pid}/smaps_rollup")), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


class Tail:
    """The alert log as it grows, with the moment from which a line was safe on the disk.

    A line can be read before the daemon's fsync has returned. Once it is there we sync the file
    ourselves and take the time after that: the line is then durable whoever was first, so that the
    moment is an upper bound.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._file.seek(0, os.SEEK_END)
        self._notify = INotify()
        self._notify.add_watch(path, flags.MODIFY)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._notify.close()
        self._file.close()

    def next(self, seconds: float) -> tuple[int, list[dict[str, Any]]]:
        """The lines that come next, and the wall-clock nanosecond when they were durable."""
        if not self._notify.read(timeout=int(seconds * 1000)):
            return time.time_ns(), []
        data = self._rest + self._file.read()
        os.fdatasync(self._file.fileno())
        durable = time.time_ns()
        *lines, self._rest = data.split(b"\n")
        return durable, [json.loads(line) for line in lines]
