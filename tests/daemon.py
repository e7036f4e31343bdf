"""The whole daemon as a child process, on a small tree in a folder: started, asked, read, ended.

The rules kept here: every line of the alert log that a test comes by has been held against the
published schema, its number and its chain; waiting is polling with a deadline; and when a test is
over, no process of its daemon is left.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hostguardd.config import parse
from hostguardd.control.address import socket_path
from hostguardd.control.client import call
from hostguardd.defaults import default_sources
from hostguardd.errors import HostguardError
from hostguardd.store.chain import read, verify
from tests.alerts import check

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0
"""Seconds after which a test gives up waiting. Nothing here needs one; busy machines do."""

PROMISED_END = 2.0
"""Seconds from SIGTERM to the end of the process."""

T = TypeVar("T")

SETTINGS = """
[paths]
state = {state}
log = {log}
run = {run}
forward = {forward}

[alerts]
reserve = 0

[control]
group = ""

[setid]
exclude = ["/", "/**"]
watch = []

[listeners]
unix = false

[hidden]
ports = false

{sections}
{switched_off}

[[watch]]
name = "tree"
paths = [{tree}]
diff = true

[[rule]]
name = "loud"
kind = "file"
where.path = [{loud}]
severity = "critical"
advice = "A test."

[[rule]]
name = "tree"
kind = "file"
where.path = [{tree}, {below}]
severity = "medium"
advice = "A test."

{rules}
{more}
"""

QUIET = """
[[rule]]
name = "quiet-{kind}"
kind = "{kind}"
severity = "ignore"
"""
"""Other tests open ports and start programs on this very host; that is not what is tested here."""

LIVE = ("listener", "process", "setid", "module", "setting", "login", "event", "hidden")
"""Kinds of fact that others may bring on this host while a test runs."""


def until(met: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
    """The first true value of `met`, or an assertion that says what did not come to pass."""
    deadline = time.monotonic() + patience
    while not (value := met()):
        assert time.monotonic() < deadline, f"not within {patience:.0f} s: {what}"
        time.sleep(0.01)
    return value


class Manager:
    """What a service manager is to its service: the end of a datagram socket, sd_notify(3)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[tuple[float, dict[str, str]]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        path.chmod(0o777)
        self._thread = threading.Thread(target=self._listen, name="manager", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while message := self._socket.recv(65536):
            lines = [line.partition("=") for line in message.decode().splitlines()]
            self.heard.append((time.monotonic(), {name: value for name, _, value in lines}))

    def told(self, name: str, value: str | None = None, since: float = 0.0) -> bool:
        """Whether `name` (with this value) was told after monotonic second `since`."""
        return any(
            at > since and name in message and value in (None, message[name])
            for at, message in tuple(self.heard)
        )

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.path))
        self._thread.join(PATIENCE)
        self._socket.close()
        self.path.unlink()


class Guard:
    """One daemon's folders, and the daemon in them while it runs."""

    def __init__(
        self,
        folder: Path,
        *,
        tree: Path | None = None,
        sections: str = "",
        more: str = "",
        quiet: Sequence[str] = LIVE,
        log: Path | None = None,
        state: Path | None = None,
    ) -> None:
        self.folder = folder
        self.tree = tree if tree is not None else folder / "tree"
        self.state, self.log, self.run = state or folder / "state", log or folder / "log", folder / "run"
        self.config = folder / "hostguardd.toml"
        self.socket = socket_path(str(self.run))
        self.quiet = quiet
        also = [path for path in (os.environ.get("PYTHONPATH"),) if path]
        self.words = folder / "words"
        self.environ = {"PYTHONPATH": os.pathsep.join([str(ROOT), *also]), "PYTHONIOENCODING": "utf-8"}
        self.user: int | None = None
        self.python: Sequence[str] = (sys.executable,)
        self.process: subprocess.Popen[bytes] | None = None
        self.manager: Manager | None = None
        self._alerts: list[dict[str, Any]] = []
        folder.mkdir(parents=True, exist_ok=True)
        self.tree.mkdir(parents=True, exist_ok=True)
        self.configure(sections, more)

    def configure(self, sections: str = "", more: str = "") -> None:
        """Write the configuration: packaged watches off, the tree on."""
        packaged = parse(default_sources()[:1]).watches
        places = {
            "state": self.state,
            "log": self.log,
            "run": self.run,
            "forward": self.folder / "forward",
            "tree": self.tree,
            "below": self.tree / "**",
            "loud": self.tree / "loud*",
        }
        self.config.write_text(
            SETTINGS.format(
                **{name: json.dumps(str(place)) for name, place in places.items()},
                sections=sections,
                switched_off="\n".join(
                    f"[[watch]]\nname = {json.dumps(w.name)}\npaths = []" for w in packaged
                ),
                rules="".join(QUIET.format(kind=kind) for kind in self.quiet),
                more=more,
            )
        )

    # -- its life --------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, *, wait: bool = True, watchdog: float = 0.0) -> Guard:
        """Start it; `wait` until it watches (the first time: until it has its baseline)."""
        assert self.process is None
        self.manager = Manager(self.folder / "notify")
        environ = os.environ | {"NOTIFY_SOCKET": str(self.manager.path)} | self.environ
        if watchdog:
            environ["WATCHDOG_USEC"] = str(int(watchdog * 1_000_000))
        with self.words.open("ab") as words:
            self.process = subprocess.Popen(
                [*self.python, "-m", "hostguardd.daemon", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
                cwd="/",
                env=environ,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
            )
        if wait:
            self.watching()
        return self

    def watching(self) -> None:
        """Wait until it watches against a baseline."""

        def met() -> bool:
            assert self.process is not None
            assert self.manager is not None
            assert self.process.poll() is None, self.said()
            return self.manager.told("STATUS", "watching")

        until(met, "the daemon watches")

    def said(self) -> str:
        """Its own diagnostics."""
        return self.words.read_text(errors="replace")

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, as a power cut for this one process."""
        self.signal(signal.SIGKILL)
        self._ended(PATIENCE)

    def stop(self) -> float:
        """SIGTERM; seconds until it was gone, but for those in which the machine stood still for everybody.
        It must end well, and nothing of it may be left."""
        began = time.monotonic()
        with standstill(self.folder) as stood:
            self.signal(signal.SIGTERM)
            code = self._ended(PATIENCE)
            took = time.monotonic() - began
        assert code == 0, self.said()
        return took - sum(stood)

    def wait(self) -> int:
        """Its exit code, when it ends by itself."""
        return self._ended(PATIENCE)

    def _ended(self, patience: float) -> int:
        assert self.process is not None
        assert self.manager is not None
        session = self.process.pid
        code = self.process.wait(patience)
        self.process = None
        self.manager.close()
        until(lambda: not members(session), f"no process of session {session} is left", 10)
        return code

    def close(self) -> None:
        """End whatever is left, whatever state it is in."""
        if self.process is None:
            return
        for pid in members(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self._ended(PATIENCE)

    # -- what it says ----------------------------------------------------------------------------

    def call(self, name: str, **args: Any) -> dict[str, Any]:
        """One control request."""
        return call(self.socket, name, args)

    def ctl(self, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """The real hostguardctl."""
        return subprocess.run(
            [*self.python, "-m", "hostguardd.cli", "--config", str(self.config), *args],
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=PATIENCE,
            cwd="/",
            env=os.environ | self.environ,
            check=False,
        )

    def once(self, *args: str) -> subprocess.CompletedProcess[str]:
        """`hostguardd --once`."""
        return subprocess.run(
            [*self.python, "-m", "hostguardd.daemon", "--config", str(self.config), "--once", *args],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=PATIENCE,
            cwd="/",
            env=os.environ | self.environ,
            check=False,
        )

    def alerts(self) -> list[dict[str, Any]]:
        """Every alert so far, each line held against the schema, its numbers without a gap."""
        last = self._alerts[-1]["event"]["sequence"] if self._alerts else 0
        if (self.log / "alerts.jsonl").exists():
            for number, line in read(str(self.log), last):
                record = check(line)
                assert number == record["event"]["sequence"] == len(self._alerts) + 1
                self._alerts.append(record)
        return self._alerts

    def coded(self, code: str) -> list[dict[str, Any]]:
        """Alerts about itself."""
        return [alert for alert in self.alerts() if alert.get("rule", {}).get("name") == code]

    def told(self, code: str, count: int = 1) -> dict[str, Any]:
        """Wait for an alert of this code (the `count`th); the last one."""
        return until(lambda: self.coded(code)[count - 1 :], f"alert {code}")[-1]

    def stories(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """(what, what became of its finding, alert) of all that was told, also as member of a group."""
        for alert in self.alerts():
            told = alert["hostguard"]
            for one in told.get("members", [told] if "finding" in told else []):
                yield one["key"], told["state"], alert

    def about(self, path: Path | str, state: str = "") -> list[dict[str, Any]]:
        """Alerts that tell of this path."""
        return [alert for what, now, alert in self.stories() if what == str(path) and state in ("", now)]

    def hears(self, path: Path | str, state: str = "") -> dict[str, Any]:
        """Wait for an alert that tells of this path; the last one."""
        return until(lambda: self.about(path, state), f"an alert about {path}")[-1]

    def findings(self) -> dict[str, dict[str, Any]]:
        """Open findings by what they are about."""
        return {finding["label"]: finding for finding in self.call("drift")["findings"]}

    def finds(self, path: Path | str) -> dict[str, Any]:
        """Wait for an open finding about a path."""
        return until(lambda: self.findings().get(str(path)), f"a finding about {path}")

    def approve(self, reason: str = "a test") -> dict[str, Any]:
        """Review and approve what there is."""
        return self.call("approve", token=self.call("review")["token"], reason=reason)

    def checked(self) -> None:
        """The whole log once more: schema, numbers, chain."""
        self.alerts()
        if (self.log / "alerts.jsonl").exists():
            found = verify(str(self.log))
            assert found.ok, found.sentence


@contextmanager
def standstill(folder: Path) -> Iterator[list[float]]:
    """Seconds by which the processor or the disk let somebody else wait who does next to nothing."""
    stood: list[float] = []
    over = threading.Event()

    def feel() -> None:
        with tempfile.TemporaryFile(dir=folder) as file:
            while not over.is_set():
                began = time.monotonic()
                over.wait(0.01)
                file.write(b".")
                file.flush()
                os.fsync(file.fileno())
                if (late := time.monotonic() - began - 0.1) > 0:
                    stood.append(late)

    feeling = threading.Thread(target=feel, name="standstill", daemon=True)
    feeling.start()
    try:
        yield stood
    finally:
        over.set()
        feeling.join(PATIENCE)


def members(session: int) -> list[int]:
    """Processes of a session that are still there, proc_pid_stat(5); zombies have ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_bytes().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != b"Z":
            found.append(int(stat.parent.name))
    return found


@contextmanager
def guarding(guard: Guard) -> Iterator[Guard]:
    """Ends it after the test, and checks all that it ever told."""
    try:
        yield guard
    except BaseException:
        print(guard.said() if guard.words.exists() else "", file=sys.stderr)
        raise
    finally:
        guard.close()
    guard.checked()


def refused(work: Callable[[], object]) -> HostguardError:
    """The error that the daemon answers with."""
    try:
        work()
    except HostguardError as error:
        return error
    raise AssertionError("it was not refused")
