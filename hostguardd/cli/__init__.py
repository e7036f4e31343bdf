"""hostguardctl: a thin client of the control socket. It asks, and shows the answer.

The rule: it decides nothing. Who may do what, what is drift and what is approved are the daemon's
words; here are only the commands (`COMMANDS`), the question before an approval, and the exit code,
which `errors.Exit` names. `config check` alone works without the daemon, because that is when it is
needed. It starts quickly: what is heavy (rich, the configuration's validator) is imported where used.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO, cast

from .. import __version__
from ..control.address import INSTALLED
from ..errors import Exit, HostguardError
from ..render.paper import SEVERITIES
from . import approving, asking
from .moments import above_zero, since, span
from .terminal import Session, Terminal, hush

INTERRUPTED = 130  # what a shell returns for a command that died of SIGINT


def _option(*names: str, **how: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return names, how


_REASON = _option("-m", "--reason", default="", help="why, for the record")
_SEVERITY = _option("--severity", choices=SEVERITIES[::-1], default="info", help="this loud or louder")


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table: what it runs, what its help says, what it takes besides --json, --config."""

    run: Callable[[Session], Exit]
    help: str
    options: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = ()


COMMANDS: Mapping[str, Command] = {
    "status": Command(asking.status, "is it well, what is open, what it cannot see, what it costs"),
    "drift": Command(
        asking.drift,
        "what differs from the approved baseline (exit code 1 if anything does)",
        (_SEVERITY, _option("--all", action="store_true", help="list every one, however many")),
    ),
    "explain": Command(asking.explain, "all that is known of one finding", (_option("id", metavar="ID"),)),
    "accept": Command(
        approving.accept,
        "take single findings, or all that have one explanation, into the baseline",
        (
            _option("ids", metavar="ID", nargs="*"),
            _option(
                "--packages", action="store_true", help="all that packages explain whose signature verifies"
            ),
            _option(
                "--unsigned",
                action="store_true",
                help="with --packages: also what the package manager's database alone vouches for",
            ),
            _option(
                "--session",
                metavar="ID",
                action="append",
                default=[],
                help="all that was made in a login session, by the ID that drift and baseline show",
            ),
            _option("--automation", action="store_true", help="all that configuration management made"),
            _option("--window", metavar="ID", help="all that lay inside a change window that has ended"),
            _option("--yes", action="store_true", help="accept without asking"),
            _REASON,
        ),
    ),
    "expect": Command(
        approving.expect,
        "announce changes, which are then told quietly; alone: what is announced",
        (
            _option("things", metavar="PATH|ID", nargs="*", help="where (none: all files); or show a window"),
            _option("--for", dest="length", type=span, metavar="TIME", help="for how long: 30m, 2h"),
            _option("--extend", metavar="ID", help="let a window be open for so long from now"),
            _option("--end", metavar="ID", help="end a window before its time"),
            _REASON,
        ),
    ),
    "baseline": Command(
        approving.baseline,
        "look closely, show the drift, ask, and make the host as it is the new truth",
        (
            _REASON,
            _option(
                "--yes",
                action="store_true",
                help="approve without asking, unless nothing explains something of high severity or above",
            ),
            _option(
                "--unexplained",
                action="store_true",
                help="with --yes: also that, however grave it is",
            ),
            _option(
                "--no-investigate",
                action="store_true",
                help="before the first approval: do not look for signs of an intrusion",
            ),
        ),
    ),
    "check": Command(
        asking.check,
        "look now rather than at the next sweep (exit code 1 if there is drift)",
        (_option("--full", action="store_true", help="read every file again, not only what moved"),),
    ),
    "alerts": Command(
        asking.alerts,
        "the alert log, one line each",
        (
            _option("-f", "--follow", action="store_true", help="stay, and show new ones as they come"),
            _option("--since", type=since, metavar="WHEN", help="10m, 2h, 3d, today, or an ISO 8601 time"),
            _SEVERITY,
            _option("-n", "--lines", type=int, metavar="N", help="the last N; 0: all (50 without --since)"),
        ),
    ),
    "history": Command(asking.history, "the generations of the baseline: when, by whom, why"),
    "diff": Command(
        asking.diff,
        "what changed between two generations (the previous and the present one)",
        (_option("a", metavar="A", nargs="?", type=int), _option("b", metavar="B", nargs="?", type=int)),
    ),
    "rollback": Command(
        asking.rollback,
        "make an older generation the truth again",
        (_option("number", metavar="N", type=int), _REASON),
    ),
    "verify": Command(asking.verify, "check the baseline's digest and the alert log's chain"),
    "doctor": Command(asking.doctor, "what keeps this host from being watched well, and what to do"),
    "test-alert": Command(
        asking.test_alert, "write one marked alert, and say how far it got on the way to each destination"
    ),
    "investigate": Command(
        asking.investigate,
        "when an intrusion is suspected: the whole inquiry at once; needs no daemon (exit code 1 if anything "
        "is suspicious)",
        (
            _option("--quick", action="store_true", help="leave out what takes long: verifying packages"),
            _option("--days", type=above_zero, metavar="N", default=7.0, help="how far back to look (7)"),
            _option(
                "--check", action="append", default=[], metavar="NAME", help="only this; may be repeated"
            ),
            _option("--all", action="store_true", help="show what is fine as well, and cut no list"),
            _option(
                "--probe", action="store_true", help="also connect to listeners here and read their banners"
            ),
            _option("--html", metavar="FILE", help="write the report as one page that loads nothing"),
            _option(
                "--bundle", metavar="FILE", help="save the evidence in a new .tar.gz (-: standard output)"
            ),
            _option("--with-secrets", action="store_true", help="with password hashes and private keys"),
            _option("--root", metavar="DIR", default="/", help="the host's root (a mounted disk image)"),
            _option(
                "--patience",
                type=above_zero,
                metavar="SECONDS",
                default=120.0,
                help="what one check may take (120)",
            ),
        ),
    ),
    "updating": Command(
        asking.updating,
        "for the package manager: hostguardd's own files are about to be replaced",
        (_option("--to", metavar="VERSION", required=True, help="the version that is being installed"),),
    ),
    "config check": Command(
        asking.config_check,
        "check the configuration, all mistakes at once; needs no daemon",
        (
            _option(
                "things",
                metavar="PATH|PORT",
                nargs="*",
                help="say what this would meet: an absolute path, or tcp:4444",
            ),
        ),
    ),
}


def parser() -> argparse.ArgumentParser:
    """The command line, made from `COMMANDS`."""
    top = argparse.ArgumentParser(
        prog="hostguardctl",
        description="Ask hostguardd what changed on this host, and approve what was meant.",
        epilog="Exit codes: 0 fine, 1 drift or a failed check, 2 usage, 3 daemon not reachable, "
        "4 not permitted, 5 bad configuration, 6 baseline missing or damaged.",
    )
    top.add_argument("--version", action="version", version=f"hostguardctl {__version__}")
    top.add_argument("--config", metavar="FILE", help=f"the daemon's configuration ({INSTALLED})")
    groups = {"": top.add_subparsers(required=True, metavar="COMMAND")}
    for name, command in COMMANDS.items():
        group, _, last = name.rpartition(" ")
        if group not in groups:
            groups[group] = (
                groups[""]
                .add_parser(group, help=f"{name}: {command.help}")
                .add_subparsers(required=True, metavar="COMMAND")
            )
        sub = groups[group].add_parser(last, help=command.help, description=command.help)
        # SUPPRESS: without it the sub-command's default would overwrite what stood before its name.
        sub.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        sub.add_argument("--json", action="store_true", help="the data rather than a page")
        for names, how in command.options:
            sub.add_argument(*names, **how)
        sub.set_defaults(run=command.run)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. argparse itself exits (2) when the command makes no sense."""
    _fill_streams()
    options = parser().parse_args(argv)
    terminal = Terminal(sys.stdin, sys.stdout, sys.stderr, os.environ)
    try:
        return int(options.run(Session(options, terminal)))
    except HostguardError as error:
        terminal.complain(error)
        return int(error.exit)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `… | head` has seen enough
        hush(terminal.stdout)
        return int(Exit.OK)


def _fill_streams() -> None:
    """For what was closed of standard input, output and error, one that is empty and takes anything; so that
    no file that is opened later gets its number, either."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdin = sys.stdin or _nothing("r")
    sys.stdout = sys.stdout or _nothing("w")
    sys.stderr = sys.stderr or _nothing("w")


def _nothing(mode: str) -> TextIO:
    return cast("TextIO", open(os.devnull, mode))
