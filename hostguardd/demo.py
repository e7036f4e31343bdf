"""`make demo`: the real daemon on this very host, from a folder of its own, its alerts shown as they come.

On a terminal it runs until Ctrl-C and says what to try. Without one it plays one change for each
kind of fact, and succeeds only if every alert came in time and `hostguardctl baseline` made the
changes the new truth.

The rule: nothing of the host is touched but what was made here. Changes happen in two folders of our
own (one of them below /tmp, because programs that run from there are news), the port is on the
loopback address, and what was started is ended by its pid.
"""

from __future__ import annotations

import json
import os
import queue
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .control.address import socket_path
from .control.client import call
from .errors import HostguardError, UnreachableError
from .readers import SOCKET_ROOM

PROMISED = 1.0
"""Seconds from a change to its alert that the daemon is built for."""

ALLOWED = 10.0
"""Seconds after which the scripted demo fails: a busy machine is no broken one."""

PATIENCE = 1800.0
"""Seconds the first baseline may take."""

CONFIG = """\
# Written by `make demo`, over the configuration that hostguardd comes with.
[paths]
state = {state}
log = {log}
run = {run}

[setid]
watch = ["/tmp", "/var/tmp", "/dev/shm", {watched}]

[[watch]]
name = "demo"
paths = [{watched}]
diff = true
"""

TRY = """
Now change something, here or in another terminal, and watch this one:

  a file       echo "changed at $(date)" >> {watched}/motd
  a port       {python} -m http.server --bind 127.0.0.1 8642
  a process    cp /bin/sleep {scratch}/sleep && {scratch}/sleep 60
  a set-uid    chmod u+s {scratch}/helper

What is open, and how to make it the new truth:

  {ctl} drift
  {ctl} baseline -m "my own doing"

Ctrl-C ends the demo. All it keeps is in {folder}.
"""


@dataclass(frozen=True)
class Stage:
    """The folders of one demo. `scratch` is one whose programs the policy calls temporary."""

    folder: Path
    watched: Path
    scratch: Path

    @property
    def config(self) -> Path:
        return self.folder / "hostguardd.toml"

    @property
    def socket(self) -> str:
        return socket_path(str(self.folder / "run"))

    def ctl(self, *args: str) -> list[str]:
        """The command line of `hostguardctl` against this daemon."""
        return [sys.executable, "-m", "hostguardd.cli", "--config", str(self.config), *args]


@dataclass(frozen=True)
class Change:
    """One thing to do to the host, and the alert that must answer it: its possible `kinds`."""

    what: str
    kinds: tuple[str, ...]
    act: Callable[[Stage, ExitStack], str]
    """Does it, leaves the undoing on the stack, and returns what the alert must name."""

    def answered_by(self, alert: Mapping[str, Any], name: str) -> bool:
        """Whether `alert` tells this change, by itself or among many at once."""
        told = json.dumps(alert, ensure_ascii=False)
        return alert["hostguard"]["kind"] in (*self.kinds, "group") and name in told


def change_file(stage: Stage, undo: ExitStack) -> str:
    path = stage.watched / "motd"
    path.write_text("Welcome. Please send your password to mallory.\n")
    return str(path)


def open_port(stage: Stage, undo: ExitStack) -> str:
    listener = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
    return f"127.0.0.1:{listener.getsockname()[1]}"


def run_program(stage: Stage, undo: ExitStack) -> str:
    program = stage.scratch / "sleep"
    shutil.copy("/bin/sleep", program)
    # Left behind by whatever started it, as an intruder's would be.
    script = '"$0" 600 </dev/null >/dev/null 2>&1 & echo $!'
    ran = subprocess.run(
        ["/bin/sh", "-c", script, str(program)], stdout=subprocess.PIPE, start_new_session=True, check=True
    )
    undo.callback(os.kill, int(ran.stdout), signal.SIGTERM)
    return str(program)


def set_bit(stage: Stage, undo: ExitStack) -> str:
    path = stage.scratch / "helper"
    path.chmod(path.stat().st_mode | stat.S_ISUID)
    return str(path)


CHANGES = (
    Change("a watched file is changed", ("file",), change_file),
    Change("a port is opened", ("listener",), open_port),
    Change("a program runs from a temporary folder", ("process",), run_program),
    # Told once, by the files sensor where a watch takes all programs, as the packaged one of /tmp does.
    Change("a file gets the set-uid bit", ("file", "setid"), set_bit),
)


def own_folder() -> Path:
    """A fresh `.demo` here; a temporary folder where that cannot be, or another demo runs in it."""
    here = Path.cwd() / ".demo"
    run = str(here / "run")
    try:
        if len(run.encode()) > SOCKET_ROOM or alive(socket_path(run)):
            raise FileExistsError(here)
        if (here / "hostguardd.toml").is_file():
            shutil.rmtree(here)
        here.mkdir(mode=0o700)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="hostguardd-demo-"))
    return here


def alive(address: str) -> bool:
    """Whether a daemon answers there."""
    try:
        call(address, "status", {})
    except UnreachableError:
        return False
    except HostguardError:
        pass  # refused by somebody, so somebody is there
    return True


@contextmanager
def stage() -> Iterator[Stage]:
    """Folders with something to change in them, and a configuration that watches it."""
    folder = own_folder()
    scratch = Path(tempfile.mkdtemp(prefix="hostguardd-demo-", dir="/tmp"))
    made = Stage(folder, folder / "watched", scratch)
    try:
        made.watched.mkdir()
        (made.watched / "motd").write_text("Welcome.\n")
        shutil.copy("/bin/true", scratch / "helper")
        made.config.write_text(
            CONFIG.format(
                **{name: json.dumps(str(folder / name)) for name in ("state", "log", "run")},
                watched=json.dumps(str(made.watched)),
            )
        )
        yield made
    finally:
        shutil.rmtree(scratch)


@contextmanager
def daemon(on: Stage) -> Iterator[subprocess.Popen[bytes]]:
    """The real daemon as a child, deaf to the terminal's Ctrl-C, its own words in a file."""
    with (on.folder / "daemon.log").open("wb") as words:
        child = subprocess.Popen(
            [sys.executable, "-m", "hostguardd.daemon", "--config", str(on.config)],
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def captured(on: Stage, child: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The daemon's status once it has its first baseline; on a terminal the seconds show meanwhile."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        if child.poll() is not None:
            words = (on.folder / "daemon.log").read_text(errors="replace").splitlines()[-20:]
            raise HostguardError("\n".join([f"the daemon ended ({child.returncode}):", *words]))
        try:
            status = call(on.socket, "status", {})
        except UnreachableError:
            status = {}
        if status.get("state") == "watching":
            return status
        if sys.stdout.isatty():
            print(f"\r{time.monotonic() - began:.0f} s ", end="", flush=True)
        time.sleep(0.2)
    raise HostguardError(f"no baseline within {PATIENCE:.0f} s; see {on.folder}/daemon.log")


def seen_as(status: Mapping[str, Any]) -> str:
    """With which eyes it looks, and what it says it cannot see."""
    blinds = len(status["coverage"]["blinds"])
    who = "root" if status["mode"] == "root" else "an ordinary user"
    return (
        f"{who} sees it; {blinds} places could not be looked at (hostguardctl status names them)"
        if blinds
        else who
    )


def follow(on: Stage) -> queue.SimpleQueue[tuple[float, dict[str, Any]]]:
    """Alerts from now on, each with the monotonic second at which it arrived."""
    arrived: queue.SimpleQueue[tuple[float, dict[str, Any]]] = queue.SimpleQueue()
    args = {"follow": True, "since": time.time()}

    def listen() -> None:
        try:
            call(
                on.socket,
                "alerts",
                args,
                on_item=lambda line: arrived.put((time.monotonic(), json.loads(line))),
            )
        except HostguardError:
            pass  # the daemon went first, as it does at the end of the demo

    threading.Thread(target=listen, name="alerts", daemon=True).start()
    return arrived


def answer(
    change: Change, name: str, since: float, arrived: queue.SimpleQueue[tuple[float, dict[str, Any]]]
) -> float | None:
    """Seconds until the alert of `change` came; None if it did not come in time. Others are shown."""
    while (left := since + ALLOWED - time.monotonic()) > 0:
        try:
            at, alert = arrived.get(timeout=left)
        except queue.Empty:
            break
        mine = change.answered_by(alert, name)
        took = max(0.0, at - since)  # one that was under way before has taken no time
        print(f"  {took:5.2f} s  {alert['hostguard']['severity']:8}  {alert['message']}", flush=True)
        if mine:
            return took
    return None


def play(on: Stage) -> bool:
    """Every change once, then the new baseline. True if all was as promised."""
    arrived = follow(on)
    good = True
    with ExitStack() as undo:
        for change in CHANGES:
            print(f"\n{change.what}", flush=True)
            since = time.monotonic()
            took = answer(change, change.act(on, undo), since, arrived)
            if took is None:
                print(f"  FAILED: no alert within {ALLOWED:.0f} s")
                good = False
            elif took > PROMISED:
                print(f"  (later than the {PROMISED:.0f} s it is built for: this machine is busy)")
        print("\nhostguardctl baseline: this is the new truth", flush=True)
        approved = subprocess.run(
            on.ctl("baseline", "--yes", "--unexplained", "-m", "the demo's own changes"), check=False
        )
        left = json.loads(
            subprocess.run(on.ctl("drift", "--json"), stdout=subprocess.PIPE, check=False).stdout
        )
        ours = [f for f in left["findings"] if str(on.watched) in f["label"] or str(on.scratch) in f["label"]]
        if approved.returncode != 0 or ours:
            print(f"  FAILED: hostguardctl baseline ended with {approved.returncode}, still open: {ours}")
            good = False
    print("\nEvery alert came." if good else "\nThe demo FAILED.", flush=True)
    return good


def talk(on: Stage) -> bool:
    """Say what to try, and show what comes of it until Ctrl-C."""
    ctl = shlex.join(on.ctl())
    print(
        TRY.format(folder=on.folder, watched=on.watched, scratch=on.scratch, python=sys.executable, ctl=ctl),
        flush=True,
    )
    try:
        subprocess.run(on.ctl("alerts", "-f"), check=False)
    except KeyboardInterrupt:
        print("\nEnding.")
    return True


def main() -> int:
    """0 if all went well."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with stage() as on, daemon(on) as child:
            print(f"hostguardd captures a baseline of this host; its folder is {on.folder}", flush=True)
            began = time.monotonic()
            status = captured(on, child)
            took = time.monotonic() - began
            print(
                f"\r{status['generation']['facts']:,} facts in {took:.1f} s, seen as {seen_as(status)}.",
                flush=True,
            )
            good = talk(on) if sys.stdin.isatty() and sys.stdout.isatty() else play(on)
    except HostguardError as error:
        print(f"demo: {error}", file=sys.stderr)
        return int(error.exit)
    except KeyboardInterrupt:
        return 130
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
