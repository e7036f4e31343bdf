"""hostguardd itself: wires the parts, answers signals, tells the service manager, and ends cleanly.

Runs in the foreground (systemd: Type=notify). Everything that can be decided elsewhere is decided
elsewhere; this room opens what must be open, in the order in which a failure is still harmless.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import sdnotify

from . import __version__, health
from .config import Config, parse
from .control.address import socket_path
from .control.server import ControlServer
from .defaults import default_sources
from .diagnostics import Diagnose, diagnostics
from .engine.commands import Commands
from .engine.engine import BACKUP, Engine
from .engine.life import head_at
from .engine.once import check_once
from .errors import BaselineDamaged, BaselineError, Exit, HostguardError, UsageError
from .host.bundle import Host, image, this_host
from .host.clock import SystemClock
from .host.own import few_heaps
from .record import Identity
from .store.alertlog import AlertLog
from .store.baseline import Baseline
from .store.database import Database
from .store.lock import locked

DATABASE = "baseline.db"
SIGNALS: Mapping[int, str] = {signal.SIGTERM: "stop", signal.SIGINT: "stop", signal.SIGHUP: "reload"}
SHARE_OF_WATCHES = 0.75
"""Of fs.inotify.max_user_watches: the limit counts for all of root's programs together."""


def main(argv: Sequence[str] | None = None) -> int:
    """`hostguardd`: returns the exit code of `errors.Exit`."""
    options = arguments().parse_args(argv)
    try:
        config = parse(default_sources(options.config))
        if options.once:
            state = Path(config.paths.state) / DATABASE
            if isinstance(sys.stdout, io.TextIOWrapper):  # under LANG=C an arrow must not end it
                sys.stdout.reconfigure(errors="backslashreplace")
            return check_once(config, state, _host(options.root), sys.stdout)
        if options.root != "/":
            raise UsageError("--root goes with --once: a mounted image has nothing to watch")
        return _run(options.config, config)
    except HostguardError as error:
        for line in str(error).splitlines():
            print(f"hostguardd: {line}", file=sys.stderr)
        return int(error.exit)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hostguardd",
        description="Watch this host against an approved baseline and write alerts about what differs.",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="settings (default: /etc/hostguardd/hostguardd.toml)"
    )
    parser.add_argument(
        "--once",
        action="store_true",
        help="one full sweep against the baseline; drift on stdout; exit 0 or 1",
    )
    parser.add_argument(
        "--root", metavar="DIR", default="/", help="with --once: the host's root (a mounted disk image)"
    )
    parser.add_argument("--version", action="version", version=f"hostguardd {__version__}")
    return parser


def _host(root: str) -> Host:
    try:
        return this_host() if root == "/" else image(os.fsencode(root))
    except OSError as error:
        raise UsageError(f"--root {root}: {error.strerror}") from error


def _run(config_file: str | None, config: Config) -> int:
    """The daemon, until a signal ends it."""
    few_heaps()
    diagnose = diagnostics(sys.stderr)
    for folder, mode in ((config.paths.state, 0o700), (config.paths.log, 0o750), (config.paths.run, 0o755)):
        _make(folder, mode)
    clock, host = SystemClock(), this_host()
    with locked(Path(config.paths.state), "hostguardd"):
        log = AlertLog(config.paths.log, config.alerts, identity(), _known_head(config))
        database = _open(config, log, clock.wall, diagnose)
        engine = Engine(
            config,
            lambda: parse(default_sources(config_file)),
            database,
            log,
            host,
            clock,
            _Notifier(),
            diagnose,
            max_watches=_watch_limit(),
            watchdog=_watchdog(),
            uid=os.geteuid(),
        )
        for number in SIGNALS:
            signal.signal(number, lambda caught, _frame: engine.signal(SIGNALS[caught]))
        server = ControlServer(
            socket_path(config.paths.run), config.control.group, engine.submit, host.witnesses
        )
        engine.door = server
        try:
            server.start()
            if server.notice:
                diagnose(server.notice, {})
            engine.run(Commands(engine).handle)
        finally:
            server.stop()
            log.close()
            database.close()
    return int(Exit.OK)


def identity() -> Identity:
    """Who speaks in every alert of this run."""
    return Identity(
        hostname=socket.gethostname(),
        host_id=_first_line("/etc/machine-id"),
        boot_id=_first_line("/proc/sys/kernel/random/boot_id"),
        version=__version__,
    )


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as handle:
            return handle.readline(200).strip()
    except OSError:
        return ""


def _watch_limit() -> int:
    """How many folders may be watched at most."""
    known = _first_line("/proc/sys/fs/inotify/max_user_watches")
    return int(int(known) * SHARE_OF_WATCHES) if known.isdigit() else 8192


def _watchdog() -> float:
    """Seconds within which the service manager wants a sign of life, sd_watchdog_enabled(3); 0: none."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    usec = os.environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isdigit() else 0.0


class _Notifier:
    """sd_notify(3) through sdnotify, which does nothing where there is no service manager."""

    def __init__(self) -> None:
        self._system = sdnotify.SystemdNotifier()

    def notify(self, message: str) -> None:
        self._system.notify(message)


def _make(folder: str, mode: int) -> None:
    try:
        os.makedirs(folder, mode=mode, exist_ok=True)
    except OSError as error:
        raise HostguardError(f"cannot make {folder}: {error.strerror}") from error


def _known_head(config: Config) -> tuple[int, str] | None:
    """The alert log's head as the state remembers it: a log that ends before it was cut."""
    try:
        database = Database(Path(config.paths.state) / DATABASE, readonly=True)
    except (OSError, HostguardError):
        return None
    try:
        head = head_at(Baseline(database, readonly=True))
    finally:
        database.close()
    return head if head[1] else None


def _open(config: Config, log: AlertLog, wall: Callable[[], int], diagnose: Diagnose) -> Database:
    """The state database; a damaged or missing one gives way to the last backup, if that is whole."""
    path = Path(config.paths.state) / DATABASE
    backup = path.with_name(BACKUP)
    try:
        if backup.exists() and not os.path.lexists(path):  # else whoever removed it had a clean slate
            raise BaselineDamaged(f"{path} is gone, though a copy of it is there")
        return Database(path)
    except BaselineError as error:
        diagnose("baseline damaged", {"problem": str(error)})
        log.append([health.alert("baseline.damaged", wall(), problem=str(error))])
        if not isinstance(error, BaselineDamaged):
            raise
        return _restore(path, backup, str(error), log, wall)
    except OSError as error:
        raise BaselineError(f"cannot open {path}: {error.strerror}") from error


def _restore(path: Path, backup: Path, problem: str, log: AlertLog, wall: Callable[[], int]) -> Database:
    """Put the backup in place of a damaged state. Nothing is deleted: the damaged file stays, renamed."""
    try:
        copy = Database(backup, readonly=True)
        try:
            generation = Baseline(copy, readonly=True).verify()
        finally:
            copy.close()
    except (OSError, HostguardError) as error:
        raise BaselineDamaged(f"{problem}; and there is no backup to use instead: {error}") from error
    mark = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall() // 10**9))
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(f"{path.name}.damaged-{mark}{suffix}"))
    source = Database(backup, readonly=True)
    try:
        source.backup(path)
    finally:
        source.close()
    log.append([health.alert("baseline.restored", wall(), problem=problem, generation=generation.number)])
    return Database(path)


if __name__ == "__main__":
    sys.exit(main())
