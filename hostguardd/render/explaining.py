"""One finding on a page: what, when, who, part of which deed, what the package manager says, what to do next.

The rule: it is read from the top by somebody who is tired, so that the answer stands before its evidence; and
a circumstance is said to be one, in so many words, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .. import attack
from .findings import badge, changes, everything, pairs, title, unified
from .groups import process, teller
from .paper import Data, Paper, as_list, as_map, cells, count, duration

CAUSES: Final[Mapping[str, str]] = {
    "package": "a package explains it",
    "window": "it was announced",
    "automation": "configuration management made it",
    "session": "it was made in a login session, which says whom to ask and no more",
    "unexplained": "nothing that is known explains it",
}

RUNGS: Final[Mapping[str, str]] = {
    "audit": "the kernel's audit records",
    "fanotify": "the kernel's file events",
    "none": "nobody",
}

CONFIDENCE: Final[Mapping[str, str]] = {
    "certain": "certain: RUNG told of this deed by this process",
    "likely": "likely: RUNG told of this deed by this process; part of what is said here was not seen",
}
HELD: Final = "likely: by RUNG only this process had the file open for writing then"
"""The same where nothing told of the deed itself."""

ACCEPT: Final[Mapping[str, str]] = {
    "package": "--packages", "window": "--window {group}", "automation": "--automation",
    "session": "--session {group}",
}  # fmt: skip

UNASKED: Final[Mapping[str, str]] = {
    "listener": "the program that listens is named below",
    "process": "the program is named below",
    "account": "who wrote the table is told of the file that differs, such as /etc/passwd",
}

MOST_PARENTS: Final = 12


def explain(paper: Paper, data: Data) -> list[str]:
    """Everything known of one finding."""
    finding = data.get("finding", data)
    story = data.get("story") or {}
    severity = str(finding.get("severity", ""))
    lines = paper.wrap(
        str(finding.get("message") or finding.get("label", "")),
        cells(severity) + 4,
        "strong",
        first=badge(paper, severity) + "  ",
    )
    rows = [
        ("id", finding.get("id")),
        ("status", f"{finding.get('status', 'open')}, against generation {finding.get('generation')}"),
        ("accepted", _accepted(paper, as_map(data.get("accepted")))),
        ("explained", _explained(story)),
    ]
    lines += ["", *_rows(paper, rows)]
    changed = finding.get("changed") or []
    if changed:
        lines += ["", title(paper, "What differs"), *changes(paper, finding, changed, 2, whole=True)]
    lines += _section(paper, "When", _when(paper, data))
    lines += _who(paper, story, str(finding.get("kind")))
    lines += _section(paper, "Part of", _part(paper, data))
    lines += _section(paper, "Package", _package(finding, data.get("package"), story))
    lines += _section(paper, "What it may mean", _meaning(finding))
    lines += ["", title(paper, "What to do"), *_next(paper, finding, story, as_map(data.get("window")))]
    lines += everything(paper, finding, changed)
    if finding.get("diff"):
        lines += ["", title(paper, "Text"), *unified(paper, str(finding["diff"]))]
    return lines


Rows = Iterable[tuple[str, object]]


def _rows(paper: Paper, rows: Rows) -> list[str]:
    return pairs(paper, [(name, str(value)) for name, value in rows if value])


def _section(paper: Paper, name: str, rows: Rows) -> list[str]:
    lines = _rows(paper, rows)
    return ["", title(paper, name), *lines] if lines else []


def _accepted(paper: Paper, made: Data) -> str:
    if not made:
        return ""
    reason = f": {made['reason']}" if made.get("reason") else ""
    return f"{paper.when(made.get('at'))} by {made.get('actor')}, as generation {made.get('number')}{reason}"


def _explained(story: Data) -> str:
    last = as_map(story.get("last"))
    if not last:
        return ""
    said = CAUSES.get(str(story.get("cause")), str(story.get("cause")))
    because = str(last.get("because") or "")
    if story.get("cause") == last.get("cause"):
        return f"{said}: {because}" if because else said
    how = CAUSES.get(str(last.get("cause")), str(last.get("cause")))
    why = f" ({because})" if because else ""
    return f"{said}. Of what was told last: {how}{why}; what was told before stays in it"


def _when(paper: Paper, data: Data) -> Rows:
    times, finding = as_map(data.get("times")), data.get("finding", data)
    late = times.get("late")
    told = paper.when(times.get("told")) if times.get("told") else ""
    if told and isinstance(late, int | float):
        told += f": {duration(late)} after the change"
    first = times.get("first_told")
    return [
        ("changed", paper.stamp(times["changed"], exact=True) if times.get("changed") else ""),
        ("first seen", paper.when(finding.get("first_seen"))),
        ("last seen", paper.when(finding.get("last_seen"))),
        ("told first", paper.when(first) if first and first != times.get("told") else ""),
        ("told", told),
    ]


# -- who ---------------------------------------------------------------------------------------------


def _who(paper: Paper, story: Data, kind: str) -> list[str]:
    last = as_map(story.get("last"))
    actor = as_map(last.get("actor"))
    if not story:
        return []
    if not actor and not last.get("told"):
        lines = paper.wrap("Nothing is written down of it: it was not told yet, or by an older version.", 2)
    elif not actor:
        lines = paper.wrap(f"Nobody was asked: {UNASKED.get(kind, 'only who changed a file is')}.", 2)
    elif "unattributed" in actor:
        lines = _nobody(paper, actor)
    else:
        lines = _rows(paper, _actor(paper, actor))
    lines += _earlier(paper, story)
    return ["", title(paper, "Who"), *lines]


def _actor(paper: Paper, actor: Data) -> Rows:
    rung = RUNGS.get(str(actor.get("rung")), str(actor.get("rung")))
    confidence = str(actor.get("confidence"))
    program = str(actor.get("executable") or "a program that was not seen")
    user = str(actor.get("user") or "")
    effective = actor.get("effective_user")
    if effective not in (None, "", user):
        user += f", acting as {effective}"
    parents = [process(as_map(one)) for one in as_list(actor.get("parents"))[:MOST_PARENTS]]
    return [
        ("program", f"{program} (pid {actor.get('pid')})"),
        ("command", actor.get("command_line")),
        ("user", user),
        ("login", _login(paper, actor)),
        ("session", actor.get("session")),
        ("cron", actor.get("cron")),
        ("unit", actor.get("unit")),
        ("under", " ← ".join(parents)),
        ("deed", ", ".join(map(str, as_list(actor.get("deed"))))),
        ("at", paper.stamp(actor.get("at"), exact=True) if actor.get("at") else ""),
        ("how sure", _sure(actor, confidence).replace("RUNG", rung)),
    ]


def _sure(actor: Data, confidence: str) -> str:
    held = confidence == "likely" and actor.get("deed") == ["held-open"]
    return HELD if held else CONFIDENCE.get(confidence, confidence)


def _login(paper: Paper, actor: Data) -> str:
    if not actor.get("login"):
        return "none that is known"
    since = paper.when(actor.get("since")) if actor.get("since") else ""
    known = (("from", actor.get("source")), ("on", actor.get("tty")), ("since", since))
    return str(actor["login"]) + "".join(f" {word} {value}" for word, value in known if value)


def _nobody(paper: Paper, actor: Data) -> list[str]:
    lines = paper.wrap(f"Nobody is named: {actor['unattributed']}.", 2)
    candidates = [as_map(one) for one in as_list(actor.get("candidates"))]
    if candidates:
        lines += paper.wrap("Could have been, and none of them is known to have:", 2, "dim")
        for one in candidates:
            user = f" as {one['user']}" if one.get("user") else ""
            lines += paper.wrap(f"{process(one)}{user}", 4)
    present = [as_map(one) for one in as_list(actor.get("logged_in"))]
    if present:
        lines += paper.wrap("Logged in then, a circumstance and no more:", 2, "dim")
        for one in present:
            lines += paper.wrap(_login(paper, {**one, "login": one.get("user")}), 4)
    return lines


def _earlier(paper: Paper, story: Data) -> list[str]:
    earlier = [as_map(one) for one in as_list(story.get("earlier"))]
    if not earlier:
        return []
    lines = paper.wrap("Told before, and still part of it:", 2, "dim")
    if story.get("lost"):
        lines += paper.wrap(f"{count(story['lost'], 'telling')} of which nothing is kept", 4)
    for one in earlier:
        lines += paper.wrap(f"{paper.when(one.get('told'))}: {teller(one)}", 4)
    return lines


# -- the rest ----------------------------------------------------------------------------------------


def _part(paper: Paper, data: Data) -> Rows:
    last = as_map(as_map(data.get("story")).get("last"))
    words = {"window": "change window", "package": "transaction"}
    rows: list[tuple[str, object]] = []
    if last.get("act"):
        rows.append((words.get(str(last.get("cause")), "act"), last["act"]))
    if window := as_map(data.get("window")):
        rows.append(("announced", f"{paper.when(window.get('opened'))} by {window.get('actor')}"))
        paths = ", ".join(map(str, as_list(window.get("paths")))) or "all files"
        rows.append(("for", f"{paths}; {window.get('state')}, until {paper.stamp(window.get('until'))}"))
    related = [as_map(one) for one in as_list(data.get("related"))]
    by = {"act": "same act", "session": "same session", "pid": "same process"}
    for n, one in enumerate(related):
        kind = "" if one.get("kind") == "file" else f" {one.get('kind')}"
        status = "" if one.get("status") == "open" else f", {one.get('status')}"
        said = (
            f"{one.get('id')}  {one.get('action')}{kind} {one.get('label')} ({one.get('severity')}{status})"
        )
        rows.append((by.get(str(one.get("by")), "beside") if not n else "", said))
    if data.get("more_related"):
        rows.append(("", f"and {count(data['more_related'], 'more finding')}"))
    return rows


def _package(finding: Data, now: object, story: Data) -> Rows:
    last = as_map(story.get("last"))
    rows: list[tuple[str, object]] = []
    if last.get("cause") == "package":
        rows.append(("as told", f"{last.get('because')} ({last.get('level') or 'listed'})"))
    if not isinstance(now, Mapping) or not (now.get("manager") or now.get("problem")):
        return rows
    if not now.get("owner"):
        said = str(now.get("problem") or f"no package brings it ({now.get('manager')})")
        return [*rows, ("now", said)]
    owner = f"{now['owner']} {now.get('version') or ''}".rstrip()
    config = ", a configuration file" if now.get("config") else ""
    rows.append(("owner", f"{owner} ({now.get('manager')}{config}; its word is worth: {now.get('level')})"))
    if now.get("departs") is None:
        rows.append(("now", f"could not be compared: {now.get('problem')}"))
    elif now["departs"]:
        rows.append(("now", f"not as packaged: {', '.join(map(str, now['departs']))}; {now.get('detail')}"))
    else:
        rows.append(("now", "as packaged"))
    return rows


def _meaning(finding: Data) -> Rows:
    rule = finding.get("rule") or "none names it, so it is as loud as can be"
    rows: list[tuple[str, object]] = [("rule", rule)]
    for n, one in enumerate(attack.named(str(finding.get("technique") or ""))):
        rows.append(("technique" if not n else "", f"{one['id']} {one['name']}  {one['page']}"))
    return rows


def _next(paper: Paper, finding: Data, story: Data, window: Data) -> list[str]:
    advice = paper.wrap(str(finding["advice"]), 2) if finding.get("advice") else []
    status = finding.get("status", "open")
    if status != "open":
        over = paper.wrap(f"It is over ({status}): nothing waits for a decision.", 2)
        return over if status == "accepted" else [*over, *advice]
    accept = [f"hostguardctl accept {finding.get('id')} -m WHY"]
    if (group := ACCEPT.get(str(story.get("cause")))) is not None:
        unsigned = story.get("cause") == "package" and story.get("group") != "packages"
        option = group.format(group=story.get("group")) + (" --unsigned" if unsigned else "")
        option += " (when it has ended)" if window and window.get("state") != "ended" else ""
        accept.append(f"with all that has the same explanation hostguardctl accept {option}")
    lines = [*advice, *paper.wrap(f"If it is meant to be: {', '.join(accept)}.", 2)]
    return lines + paper.wrap("If nobody knows of it: hostguardctl investigate.", 2)
