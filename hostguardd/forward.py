"""hostguardd-forward: sends the alert log away, and can do nothing else.

A process of its own on purpose: the daemon may read every file of the host and opens no connection; this one
talks to the network, as a user who may read the alert log and write a folder of its own. What goes wrong here
stops no alert from being written, and is shown by `hostguardctl status` and `doctor`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import sdnotify

from . import __version__
from .config import Config, parse
from .defaults import default_sources
from .errors import Exit, HostguardError
from .forwarding.bell import Bell, Ringer
from .forwarding.courier import Courier
from .host.clock import SystemClock
from .sinks.make import sink
from .store.lock import locked
from .store.report import write_report
from .store.sign import read_sign

TABLES = ("paths", "alerts", "destination")
"""All that matters here. A mistake in a rule must not keep alerts on this host."""

REPORT_EVERY, REPORT_AT_LEAST = 1.0, 10.0
"""Seconds between two reports, if there is anything new to report, and if there is not."""

FINISH = 12.0
"""Seconds for all couriers together to end in good order; what is under way then is sent again next time."""

ENDED = 128 + signal.SIGTERM
"""The exit code after a signal, so that the service manager can tell it from having nothing to do."""

STUCK = 60.0
"""Seconds, beyond twice what a destination's timeout allows, after which a courier is taken to hang."""


def main(argv: Sequence[str] | None = None) -> int:
    """`hostguardd-forward`: returns the exit code of `errors.Exit`."""
    options = arguments().parse_args(argv)
    try:
        return Forwarder(options.config).run()
    except HostguardError as error:
        for line in str(error).splitlines():
            say(line, level=3)
        return int(error.exit)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hostguardd-forward",
        description="Send hostguardd's alert log to the destinations of its settings.",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="settings (default: /etc/hostguardd/hostguardd.toml)"
    )
    parser.add_argument("--version", action="version", version=f"hostguardd-forward {__version__}")
    return parser


def say(sentence: str, level: int = 5) -> None:
    """A line for the journal, with its priority as sd-daemon(3) has it; plain on a terminal."""
    prefix = "hostguardd-forward: " if sys.stderr.isatty() else f"<{level}>"
    try:
        print(f"{prefix}{sentence}", file=sys.stderr, flush=True)
    except OSError:
        pass  # nobody listens, or the journal is full: that must not keep alerts from leaving


def _said(name: str, level: int, sentence: str) -> None:
    say(f"{name}: {sentence}", level)


class Forwarder:
    """The couriers, and what is to be done beside them."""

    def __init__(self, config_file: str | None) -> None:
        self._file = config_file
        self._config = self._read()
        self._bell = Bell()
        self._clock = SystemClock()
        self._couriers: list[Courier] = []
        self._stop = self._reload = False
        self._notifier = sdnotify.SystemdNotifier()
        self._reported: object = None
        self._unreported = False
        self._reported_at = 0.0

    def run(self) -> int:
        """Until SIGTERM or SIGINT, or at once if there is nowhere to send to; SIGHUP reads the settings
        anew."""
        if not self._config.destinations:
            say("no [[destination]] is configured: there is nothing to forward")
            self._notifier.notify("READY=1")
            return int(Exit.OK)
        state = Path(self._config.paths.forward)
        try:
            state.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            raise HostguardError(f"cannot make {state}: {error.strerror}") from error
        with locked(state, "hostguardd-forward"):
            self._forward()
        return ENDED

    def _forward(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_stop)
        signal.signal(signal.SIGHUP, self._asked_to_reload)
        self._start()
        self._notifier.notify("READY=1")
        ringer = Ringer(self._config.paths.log, self._bell)
        try:
            while not self._stop:
                ringer.listen(REPORT_EVERY)
                if self._reload:
                    self._read_anew()
                self._revive()
                self._report()
                if not self._stuck():
                    self._notifier.notify("WATCHDOG=1")
        finally:
            ringer.close()
            self._end(self._couriers)
            self._report(last=True)

    def _asked_to_stop(self, _number: int, _frame: object) -> None:
        self._stop = True

    def _asked_to_reload(self, _number: int, _frame: object) -> None:
        self._reload = True

    # -- settings ------------------------------------------------------------------------------------

    def _read(self) -> Config:
        return parse(default_sources(self._file, policy=False), only=TABLES)

    def _read_anew(self) -> None:
        self._reload = False
        try:
            config = self._read()
        except HostguardError as error:
            for line in str(error).splitlines():
                say(f"the settings were not read anew, those of before hold: {line}", level=4)
            return
        if config.paths != self._config.paths:
            say("[paths] takes effect after a restart", level=4)
            return
        self._config = config
        gone = [one for one in self._couriers if one.destination not in config.destinations]
        self._end(gone)
        self._couriers = [one for one in self._couriers if one not in gone]
        self._start()
        say(f"the settings were read anew: {len(config.destinations)} destinations")

    # -- couriers ------------------------------------------------------------------------------------

    def _start(self) -> None:
        """A courier for each destination that has none: at first, after a change, and when one died."""
        paths = self._config.paths
        running = [one.destination for one in self._couriers]
        for one in self._config.destinations:
            if one not in running:
                courier = Courier(
                    one,
                    sink(one),
                    paths.log,
                    paths.forward,
                    self._bell,
                    self._clock,
                    lambda: read_sign(paths.log),
                    partial(_said, one.name, 5),
                    partial(_said, one.name, 4),
                )
                self._couriers.append(courier)
                courier.start()

    def _end(self, some: Sequence[Courier]) -> None:
        """End these, in good order as far as that is possible within `FINISH`."""
        ends = time.monotonic() + FINISH
        for courier in some:
            courier.stop()
        for courier in some:
            courier.join(max(0.0, ends - time.monotonic()))

    def _revive(self) -> None:
        """A courier ends only when it is asked to; one that died of a mistake of ours starts again."""
        if any(not one.is_alive() for one in self._couriers):
            self._couriers = [one for one in self._couriers if one.is_alive()]
            self._start()

    def _stuck(self) -> bool:
        """Whether a courier has not come round for longer than all that it waits for may take."""
        now = time.monotonic()
        return any(now - one.turned > STUCK + 2 * one.destination.timeout for one in self._couriers)

    def _report(self, *, last: bool = False) -> None:
        now = time.monotonic()
        standings = {one.destination.name: one.standing for one in self._couriers}
        pause = REPORT_AT_LEAST if standings == self._reported else REPORT_EVERY / 2
        if not last and now - self._reported_at < pause:
            return
        try:
            write_report(self._config.paths.forward, self._clock.wall(), standings, last=last)
        except OSError as error:
            if not self._unreported:
                say(f"cannot write {self._config.paths.forward}: {error.strerror}", level=4)
            self._unreported, self._reported_at = True, now
            return
        self._unreported = False
        self._reported, self._reported_at = standings, now


if __name__ == "__main__":
    os.umask(0o027)
    sys.exit(main())
