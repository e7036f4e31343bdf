"""hostguardctl: a thin client of the control socket. It asks, and shows the answer.

The rule: it decides nothing. Who may do what, what is drift and what is approved are the daemon's
words; here are only the commands (`COMMANDS`), the question before an approval, and the exit code,
which `errors.Exit` names. `config check` alone works without the daemon, because that is when it is
needed. It starts quickly: what is heavy (rich, the configuration's validator) is imported where used.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TextIO, cast

from . import __version__
from .control.address import INSTALLED, find_socket
from .control.calls import CALLS
from .control.client import call
from .errors import ConfigError, Exit, HostguardError, UsageError
from .progress import ProgressBar
from .record import clean
from .render import explaining, findings, groups, inquiry, pages, windows
from .render.paper import SEVERITIES, Paper

REVIEWS = 3
"""Times that `baseline --yes` looks at a host that changes meanwhile, before it gives up."""

INTERRUPTED = 130  # what a shell returns for a command that died of SIGINT

_ASCII = str.maketrans({"→": "->", "…": "...", "✓": "ok", "✗": "NO", "·": "-"})
TEST_PATIENCE = 15.0
"""Seconds that a test alert may take on its way before it is said how far it got."""

_SPANS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


class Terminal:
    """Where it speaks: two streams, what they can show, and somebody who may answer a question."""

    def __init__(self, stdin: TextIO, stdout: TextIO, stderr: TextIO, environ: Mapping[str, str]) -> None:
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        dumb = environ.get("TERM", "") in ("", "dumb")
        self.bar = stderr.isatty() and not dumb
        self._colour = stdout.isatty() and not dumb and not environ.get("NO_COLOR")
        self._width = _width(stdout, environ)

    @property
    def paper(self) -> Paper:
        """What pages are drawn on. Ages count from now: an answer may have been long in coming."""
        return Paper(self._width, self._colour, datetime.now().astimezone())

    @property
    def attended(self) -> bool:
        """Somebody sits there to answer."""
        return self.stdin.isatty()

    def print(self, lines: Iterable[str]) -> None:
        """Lines to standard output, at once: somebody may be reading along."""
        text = _speakable("".join(line + "\n" for line in lines), self.stdout)
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            _hush(self.stdout)
            raise UsageError(f"cannot write standard output: {error.strerror}") from error

    def complain(self, error: HostguardError) -> None:
        """Every line of an error to standard error, under our name."""
        for line in str(error).splitlines():
            self.stderr.write(_speakable(f"hostguardctl: {clean(line)}\n", self.stderr))

    def note(self, lines: Iterable[str]) -> None:
        """Lines to standard error: beside the data, for whoever sits there."""
        self.stderr.write(_speakable("".join(clean(line) + "\n" for line in lines), self.stderr))
        self.stderr.flush()

    def confirm(self, question: str) -> bool:
        """Ask on standard error, so that standard output holds data only. Anything but yes is no."""
        self.stderr.write(_speakable(f"{clean(question)} [y/N] ", self.stderr))
        self.stderr.flush()
        return self.stdin.readline().strip().lower() in ("y", "yes")


@dataclass(frozen=True, slots=True)
class Session:
    """One run of one command: what was typed, and where to speak."""

    options: argparse.Namespace
    terminal: Terminal

    @property
    def paper(self) -> Paper:
        """What pages are drawn on."""
        return self.terminal.paper

    def progress(self) -> ProgressBar:
        """A bar for what may take long."""
        return ProgressBar(self.terminal.stderr, self.terminal.bar)

    def ask(
        self, name: str, args: Mapping[str, Any] | None = None, on_item: Callable[[bytes], None] | None = None
    ) -> dict[str, Any]:
        """The daemon's answer to a call, under a progress bar if it takes long."""
        with self.progress() as bar:
            path = find_socket(self.options.config)
            return call(path, name, args or {}, bar.report, on_item or (lambda item: None))

    def show(self, data: object, page: Callable[[], Iterable[str]]) -> None:
        """`data` as JSON if that was asked for, otherwise the page drawn from it."""
        self.terminal.print([_json(data)] if self.options.json else page())


# The commands, in the order in which somebody meets them.


def _status(s: Session) -> Exit:
    data = s.ask("status")
    s.show(data, lambda: pages.status(s.paper, data))
    return Exit.OK


def _drift(s: Session) -> Exit:
    data = s.ask("drift", {"severity": s.options.severity})
    s.show(data, lambda: findings.drift(s.paper, data, s.options.all))
    return Exit.DRIFT if data["findings"] else Exit.OK


def _explain(s: Session) -> Exit:
    data = s.ask("explain", {"id": s.options.id})
    s.show(data, lambda: explaining.explain(s.paper, data))
    return Exit.OK


def _check(s: Session) -> Exit:
    data = s.ask("check", {"full": s.options.full})
    s.show(data, lambda: findings.check(s.paper, data, s.options.full))
    return Exit.DRIFT if data["findings"] else Exit.OK


def _baseline(s: Session) -> Exit:
    """Review, ask, approve; with --yes again when the baseline moved meanwhile, as nobody is to be asked."""
    if not s.options.yes and not s.terminal.attended:
        raise UsageError("nobody is there to be asked: say --yes to approve without a question")
    try:
        CALLS["approve"].args["reason"].parse(s.options.reason)
    except ValueError as problem:  # before the look rather than after it
        raise UsageError(f"--reason {problem}") from None
    trust = cache(lambda: _trust(s))  # a minute's look, and not once more for each further review
    for _ in range(REVIEWS - 1 if s.options.yes else 0):
        try:
            return _approve_review(s, trust)
        except _ChangedMeanwhile:
            if not s.options.json:
                s.terminal.print(["", "The baseline moved meanwhile: looking again.", ""])
    return _approve_review(s, trust)


class _ChangedMeanwhile(UsageError):
    """What was shown is no more what would be approved."""


def _approve_review(s: Session, look: Callable[[], str]) -> Exit:
    """Approved is what was shown: the token stands for that review alone. `look` inquires how far the host
    can be trusted."""
    review = s.ask("review")
    found, present = review["findings"], review.get("generation")
    if not s.options.json:
        s.terminal.print(findings.review(s.paper, review))
    reviewed = not (isinstance(present, Mapping) and present.get("reviewed") is False)
    if not found and reviewed:
        s.show({"review": review, "generation": present}, lambda: ["Nothing to approve."])
        return Exit.OK
    if s.options.yes and not s.options.unexplained and (why := groups.refusal(review)):
        s.show({"review": review, "generation": present, "refused": why}, list)
        s.terminal.complain(HostguardError(why))
        return Exit.DRIFT
    trust = "" if reviewed or s.options.no_investigate else look()
    unreviewed = "Approve the present baseline, which nobody has reviewed, as the truth about this host?"
    if s.options.yes and not s.options.unexplained and (why := groups.refusal(review)):
        s.show({"review": review, "generation": present, "refused": why}, list)
        s.terminal.complain(HostguardError(why))
        return Exit.DRIFT
    if not s.options.yes and not s.terminal.confirm(groups.question(review) if found else unreviewed):
        s.show({"review": review, "generation": present}, lambda: ["Nothing was approved."])
        return Exit.DRIFT
    try:
        done = s.ask("approve", {"token": review["token"], "reason": s.options.reason, "trust": trust})
    except UsageError as refusal:  # the reason was checked: it is the token that is refused
        raise _ChangedMeanwhile(
            f"{refusal}; nothing was approved, run hostguardctl baseline again"
        ) from refusal
    s.show({"review": review, **done}, lambda: pages.approved(s.paper, done))
    return Exit.OK


def _trust(s: Session) -> str:
    """Before the first approval: what can be said for the host at this moment. A look that fails keeps nobody
    from approving: it is said, and kept with the generation."""
    from .investigate.command import Wanted, investigate

    try:
        with s.progress() as bar:
            scene, report = investigate(Wanted(s.options.config), os.environ, bar.report)
        scene.approved.close()
    except Exception as error:  # noqa: BLE001 - whatever it is, the baseline matters more
        said = clean(
            f"nobody looked for signs of an intrusion, as that failed: {str(error) or type(error).__name__}"
        )
        s.terminal.note([f"hostguardctl: {said}"])
        return said[:500]
    if not s.options.json:
        s.terminal.print(["", *inquiry.trust(s.paper, report), ""])
    return inquiry.trust_in_words(report)


def _accept(s: Session) -> Exit:
    if s.options.window:
        return _accept_window(s)
    if ids := _groups(s.options):
        return _accept_groups(s, ids)
    if not s.options.ids:
        raise UsageError("say which: ID..., --packages, --session ID, --automation or --window ID")
    data = s.ask("accept", {"ids": s.options.ids, "reason": s.options.reason})
    s.show(data, lambda: pages.approved(s.paper, data))
    return Exit.OK


def _groups(given: argparse.Namespace) -> list[str]:
    """The groups that were asked for, as the daemon names them."""
    packages = ["package" if given.unsigned else "packages"] if given.packages else []
    if given.unsigned and not packages:
        raise UsageError("--unsigned goes with --packages")
    return [*packages, *(["automation"] if given.automation else []), *given.session]


def _accept_groups(s: Session, ids: list[str]) -> Exit:
    """Accepted is what was shown: the token stands for it."""
    if s.options.ids:
        raise UsageError("say ID... or a group, not both")
    if not s.options.yes and not s.terminal.attended:
        raise UsageError("nobody is there to be asked: say --yes to accept without a question")
    data = s.ask("group", {"ids": ids})
    if not s.options.json:
        s.terminal.print(findings.group(s.paper, data))
    number = len(data["findings"])
    if not number:
        s.show(data, list)
        return Exit.OK
    if not s.options.yes and not s.terminal.confirm(f"Accept {number:,} as the truth about this host?"):
        s.show(data, lambda: ["Nothing was accepted."])
        return Exit.DRIFT
    done = s.ask("group-accept", {"ids": ids, "token": data["token"], "reason": s.options.reason})
    s.show(done, lambda: pages.approved(s.paper, done))
    return Exit.OK


def _accept_window(s: Session) -> Exit:
    """Accepted is what was shown: the token stands for it."""
    if s.options.ids or _groups(s.options):
        raise UsageError("--window ID stands alone")
    if not s.options.yes and not s.terminal.attended:
        raise UsageError("nobody is there to be asked: say --yes to accept without a question")
    data = s.ask("window", {"id": s.options.window})
    if not s.options.json:
        s.terminal.print(windows.window(s.paper, data))
    if data["findings"] and not s.options.yes and not s.terminal.confirm("Accept all that lay inside?"):
        s.show(data, lambda: ["Nothing was accepted."])
        return Exit.DRIFT
    done = s.ask(
        "window-accept",
        {"id": s.options.window, "token": data["token"], "reason": s.options.reason},
    )
    s.show(done, lambda: pages.approved(s.paper, done))
    return Exit.OK


def _expect(s: Session) -> Exit:
    """Announce, extend, end, show or list, by what was said."""
    given = s.options
    asked: tuple[str, dict[str, Any]]
    if given.end or given.extend:
        if given.things or given.reason or (given.end and (given.length or given.extend)):
            raise UsageError("--end ID stands alone, --extend ID takes nothing but --for TIME")
        if given.extend and not given.length:
            raise UsageError("--extend ID needs --for TIME")
        length = {"length": given.length} if given.extend else {}
        asked = f"window-{'extend' if given.extend else 'end'}", {"id": given.extend or given.end, **length}
    elif given.length or given.reason:
        if not (given.length and given.reason):
            raise UsageError("say for how long and why: --for 30m -m REASON [PATH...]")
        asked = "window-open", {"length": given.length, "reason": given.reason, "paths": given.things}
        s.terminal.note(_links(given.things))
    elif len(given.things) == 1 and not given.things[0].startswith("/"):
        data = s.ask("window", {"id": given.things[0]})
        s.show(data, lambda: windows.window(s.paper, data))
        return Exit.OK
    elif given.things:
        raise UsageError("say for how long and why: --for 30m -m REASON PATH...")
    else:
        data = s.ask("windows")
        s.show(data, lambda: windows.listed(s.paper, data))
        return Exit.OK
    done = s.ask(*asked)
    s.show(done, lambda: windows.announced(s.paper, done["window"]))
    return Exit.OK


def _links(paths: Iterable[str]) -> Iterable[str]:
    """What to know of paths that lead through links: files are told by where they really lie. They are named,
    and not followed here, as whoever made the link would choose then what is expected."""
    for path in paths:
        real = os.path.realpath(path)
        if path.startswith("/") and real != os.path.normpath(path):
            yield f"{path} leads to {real} by a link; what lies there is not expected unless you name it"


def _alerts(s: Session) -> Exit:
    limit = s.options.lines
    if limit is None:
        limit = 0 if s.options.since is not None else 50

    def tell(raw: bytes) -> None:
        if s.options.json:
            s.terminal.print([clean(raw.decode("utf-8", "backslashreplace"))])
        else:
            s.terminal.print([pages.alert(s.paper, json.loads(raw.decode("utf-8", "replace")))])

    wanted = {"follow": s.options.follow, "since": s.options.since, "severity": s.options.severity}
    done = s.ask("alerts", {**wanted, "limit": limit}, tell)
    if done.get("damaged") and not s.options.json:
        s.terminal.print([f"{done['damaged']} damaged lines were passed over: see hostguardctl verify"])
    return Exit.OK


def _history(s: Session) -> Exit:
    data = s.ask("history")
    s.show(data, lambda: pages.history(s.paper, data))
    return Exit.OK


def _diff(s: Session) -> Exit:
    data = s.ask("diff", {"a": s.options.a, "b": s.options.b})
    s.show(data, lambda: findings.difference(s.paper, data))
    return Exit.OK


def _rollback(s: Session) -> Exit:
    data = s.ask("rollback", {"number": s.options.number, "reason": s.options.reason})
    s.show(data, lambda: pages.approved(s.paper, data))
    return Exit.OK


def _verify(s: Session) -> Exit:
    data = s.ask("verify")
    s.show(data, lambda: pages.verify(s.paper, data))
    if data["ok"]:
        return Exit.OK
    return Exit.BASELINE if data["baseline"].get("missing") else Exit.DRIFT


def _doctor(s: Session) -> Exit:
    data = s.ask("doctor")
    s.show(data, lambda: pages.doctor(s.paper, data))
    return Exit.OK if all(check["ok"] for check in data["checks"]) else Exit.DRIFT


def _test_alert(s: Session) -> Exit:
    """Write one, and watch it go: until every destination has it, or patience ends."""
    data = s.ask("test-alert")
    ends = time.monotonic() + TEST_PATIENCE
    while any(one["state"] != "stopped" for one in _missing(data)) and time.monotonic() < ends:
        time.sleep(0.2)
        data["destinations"] = s.ask("status")["destinations"]
    s.show(data, lambda: pages.tested(s.paper, data))
    return Exit.DRIFT if _missing(data) else Exit.OK


def _missing(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The destinations that have yet to get a test alert."""
    return [one for one in data["destinations"] if one["delivered"] < data["sequence"]]


def _investigate(s: Session) -> Exit:
    """In this very process, and not in the daemon: it must work where that was stopped."""
    from .investigate.command import Leaving, Options, Wanted, investigate

    given = s.options
    wanted = Wanted(
        given.config,
        given.root,
        tuple(given.check),
        Options(given.days, not given.quick, given.probe, given.patience),
    )
    with Leaving(given.html, given.bundle) as leaving, s.progress() as bar:
        scene, report = investigate(wanted, os.environ, bar.report)
        said = leaving.write(scene, report, given.with_secrets, bar.report)
    if given.bundle != "-":
        s.show(report, lambda: _inquiry_page(s, report))
    s.terminal.note(said)
    if leaving.problems:
        raise UsageError("\n".join(leaving.problems))
    return Exit.DRIFT if report["verdict"] == "suspicious" else Exit.OK


def _inquiry_page(s: Session, report: dict[str, Any]) -> Iterable[str]:
    if not s.options.check:
        return inquiry.page(s.paper, report, s.options.all)
    return (line for name in s.options.check for line in inquiry.page(s.paper, report, s.options.all, name))


def _updating(s: Session) -> Exit:
    data = s.ask("updating", {"version": s.options.to})
    s.show(data, lambda: [f"What differs in hostguardd's own files waits for {data['wait'] / 60:.0f} min."])
    return Exit.OK


def _config_check(s: Session) -> Exit:
    """Without the daemon: every mistake at once, or what the configuration means."""
    from .config import parse
    from .defaults import default_sources
    from .foretell import configuration_json, foretell, foretold_json
    from .homes import Homes, named_homes

    try:
        texts = default_sources(s.options.config)
        config = parse(texts)
    except ConfigError as error:
        if not s.options.json:
            raise
        s.terminal.print([_json({"ok": False, "problems": error.problems})])
        return error.exit
    data = configuration_json([name for name, _ in texts], config)
    if s.options.things:
        try:
            with open("/etc/passwd", "rb") as file:
                table: bytes | None = file.read()
        except OSError:
            table = None
        homes = Homes(named_homes(table))
        try:
            data["things"] = [foretold_json(foretell(config, homes, thing)) for thing in s.options.things]
        except ValueError as problem:
            raise UsageError(str(problem)) from None
        s.show(data, lambda: pages.foretold(s.paper, data["things"]))
        return Exit.OK
    s.show(data, lambda: pages.configuration(s.paper, data))
    return Exit.OK


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


def since(text: str) -> float:
    """Seconds since the epoch of `10m`, `2h`, `3d`, `today`, `yesterday` or an ISO 8601 time.

    A time without a zone is the reader's own. argparse.ArgumentTypeError for anything else.
    """
    now = datetime.now().astimezone()
    span = re.fullmatch(r"(\d{1,9}) ?([a-z]+)", text)
    days = {"today": 0, "yesterday": 1}.get(text)
    try:
        if span and span[2] in _SPANS:
            return now.timestamp() - int(span[1]) * _SPANS[span[2]]
        if days is not None:
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            return (midnight - timedelta(days=days)).timestamp()
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: say 10m, 2h, 3d, today, yesterday or 2026-01-31T14:00"
        ) from None


def _above_zero(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def span(text: str) -> int:
    """Seconds of `90s`, `30m`, `2h`, `1d`. argparse.ArgumentTypeError for anything else."""
    found = re.fullmatch(r"(\d{1,6})([a-z]+)", text, re.ASCII)
    seconds = int(found[1]) * _SPANS[found[2]] if found and found[2] in _SPANS else 0
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time: say 90s, 30m, 2h or 1d")
    return seconds


COMMANDS: Mapping[str, Command] = {
    "status": Command(_status, "is it well, what is open, what it cannot see, what it costs"),
    "drift": Command(
        _drift,
        "what differs from the approved baseline (exit code 1 if anything does)",
        (_SEVERITY, _option("--all", action="store_true", help="list every one, however many")),
    ),
    "explain": Command(_explain, "all that is known of one finding", (_option("id", metavar="ID"),)),
    "accept": Command(
        _accept,
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
            _option("--yes", action="store_true", help="with these: accept without asking"),
            _REASON,
        ),
    ),
    "expect": Command(
        _expect,
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
        _baseline,
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
        _check,
        "look now rather than at the next sweep (exit code 1 if there is drift)",
        (_option("--full", action="store_true", help="read every file again, not only what moved"),),
    ),
    "alerts": Command(
        _alerts,
        "the alert log, one line each",
        (
            _option("-f", "--follow", action="store_true", help="stay, and show new ones as they come"),
            _option("--since", type=since, metavar="WHEN", help="10m, 2h, 3d, today, or an ISO 8601 time"),
            _SEVERITY,
            _option("-n", "--lines", type=int, metavar="N", help="the last N; 0: all (50 without --since)"),
        ),
    ),
    "history": Command(_history, "the generations of the baseline: when, by whom, why"),
    "diff": Command(
        _diff,
        "what changed between two generations (the previous and the present one)",
        (_option("a", metavar="A", nargs="?", type=int), _option("b", metavar="B", nargs="?", type=int)),
    ),
    "rollback": Command(
        _rollback,
        "make an older generation the truth again",
        (_option("number", metavar="N", type=int), _REASON),
    ),
    "verify": Command(_verify, "check the baseline's digest and the alert log's chain"),
    "doctor": Command(_doctor, "what keeps this host from being watched well, and what to do"),
    "test-alert": Command(
        _test_alert, "write one marked alert, and say how far it got on the way to each destination"
    ),
    "investigate": Command(
        _investigate,
        "when an intrusion is suspected: the whole inquiry at once; needs no daemon (exit code 1 if anything "
        "is suspicious)",
        (
            _option("--quick", action="store_true", help="leave out what takes long: verifying packages"),
            _option("--days", type=_above_zero, metavar="N", default=7.0, help="how far back to look (7)"),
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
                type=_above_zero,
                metavar="SECONDS",
                default=120.0,
                help="what one check may take (120)",
            ),
        ),
    ),
    "updating": Command(
        _updating,
        "for the package manager: hostguardd's own files are about to be replaced",
        (_option("--to", metavar="VERSION", required=True, help="the version that is being installed"),),
    ),
    "config check": Command(
        _config_check,
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
        _hush(terminal.stdout)
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


def _hush(stream: TextIO) -> None:
    """Keep the interpreter's own flush at the end quiet, of what could not be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _json(data: object) -> str:
    return clean_lines(json.dumps(data, indent=2, ensure_ascii=False))


def clean_lines(text: str) -> str:
    """Text of several lines, each made harmless. JSON stays JSON: it holds no raw control characters."""
    return "\n".join(clean(line) for line in text.split("\n"))


def _speakable(text: str, stream: TextIO) -> str:
    """`text` as the stream's encoding can hold it: arrows and ticks in ASCII where it must be."""
    encoding = stream.encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding)
    return text


def _width(stream: TextIO, environ: Mapping[str, str]) -> int:
    """Cells of a line; 0 (never break) where no terminal is: a path on one line can be searched for."""
    given = environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    return os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0


if __name__ == "__main__":
    sys.exit(main())
