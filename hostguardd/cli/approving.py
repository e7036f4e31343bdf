"""The commands that approve or announce changes: baseline, accept, expect.

The rule: approved is what was shown, by the token that the daemon gave it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from ..control.calls import CALLS
from ..errors import Exit, HostguardError, UsageError
from ..record import clean
from ..render import findings, groups, inquiry, pages, windows
from .terminal import Session

REVIEWS = 3
"""Times that `baseline --yes` looks at a host that changes meanwhile, before it gives up."""


def baseline(s: Session) -> Exit:
    """Review, ask, approve; with --yes again when the baseline moved meanwhile, as nobody is to be asked."""
    _attended(s, "approve")
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
    from ..investigate.command import Wanted, investigate

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


def accept(s: Session) -> Exit:
    if s.options.window:
        return _accept_window(s)
    if ids := _groups(s.options):
        return _accept_groups(s, ids)
    if not s.options.ids:
        raise UsageError("say which: ID..., --packages, --session ID, --automation or --window ID")
    return _accept_findings(s)


def _accept_findings(s: Session) -> Exit:
    """At a terminal accepted is what was shown, as whoever made a change may make another meanwhile. A script
    has named what it wants, and gets it as it is."""
    asked = {"ids": s.options.ids, "reason": s.options.reason}
    if s.terminal.attended and not s.options.yes:
        data = s.ask("findings", {"ids": s.options.ids})
        if not s.options.json:
            s.terminal.print(findings.grouped(s.paper, data["findings"], True))
        if not s.terminal.confirm(f"Accept {len(data['findings']):,} as the truth about this host?"):
            s.show(data, lambda: ["Nothing was accepted."])
            return Exit.DRIFT
        asked["token"] = data["token"]
    done = s.ask("accept", asked)
    s.show(done, lambda: pages.approved(s.paper, done))
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
    _attended(s, "accept")
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
    _attended(s, "accept")
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


def expect(s: Session) -> Exit:
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


def _attended(s: Session, verb: str) -> None:
    """A question needs somebody who answers."""
    if not s.options.yes and not s.terminal.attended:
        raise UsageError(f"nobody is there to be asked: say --yes to {verb} without a question")
