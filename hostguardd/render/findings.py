"""Findings on paper: `drift`, `check`, the review of `baseline`, `diff` of generations.

The rule: grouped by severity, the worst first and within it the newest; each finding starts with the
id a person types next. Up to `DETAILED` findings show before → after; more of them show one line
each, and on a terminal the tail of a really long list is summed up by folder, with the command that
shows it all. `explain` holds nothing back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .groups import groups, teller
from .paper import SEVERITIES, Data, Paper, as_map, cells, count, duration, fold, parse_time, size, visible

DETAILED = 30
LISTED = 200

UNKNOWN = "unknown"
"""Where a severity stands that this version does not know: last, but never left out."""

_ORDER = (*SEVERITIES, UNKNOWN)
_LONG = frozenset({"sha256"})
_TIMES = frozenset({"mtime", "ctime"})
_WORDS: Mapping[str, tuple[str, ...]] = {
    "mode": ("permissions",),
    "uid": ("owner", "user"),
    "gid": ("group",),
}
"""Fields that come with a word for them elsewhere in the fact."""

_REPEATED = frozenset({"folder", "name", *(word for words in _WORDS.values() for word in words)})
"""What need not be listed, because another field says it."""


def drift(paper: Paper, data: Data, everything: bool = False) -> list[str]:
    """The open findings, against which generation, and what to do next."""
    findings = data.get("findings", [])
    against = generation_words(paper, data.get("generation"))
    if not findings:
        return paper.wrap(
            f"This host is as approved in {against}.", 10, first=paper.paint("good", "No drift. ")
        )
    lines = paper.wrap(f"{count(len(findings), 'open finding')} against {against}", style="strong")
    lines += grouped(paper, findings, everything)
    lines += groups(paper, data)
    one = _ranked(findings)[0].get("id", "ID")
    lines += ["", *paper.wrap(
        f"hostguardctl explain {one} tells all about one; accept {one} takes it into the baseline; "
        "baseline reviews and approves everything.",
        style="dim",
    )]  # fmt: skip
    return lines


def check(paper: Paper, data: Data, full: bool) -> list[str]:
    """What a sweep on demand found, what was new, and what it could not see."""
    findings, fresh = data.get("findings", []), data.get("new", 0)
    took = data.get("duration")
    head = f"{'Full' if full else 'Quick'} check"
    if isinstance(took, int | float):
        head += f" in {duration(took)}"
    if not findings:
        lines = [f"{head}: " + paper.paint("good", "no drift.")]
    else:
        told = f", {fresh:,} of them new" if isinstance(fresh, int) and fresh else ", none of them new"
        lines = paper.wrap(f"{head}: {count(len(findings), 'open finding')}{told}", style="strong")
        lines += grouped(paper, findings, False)
    return lines + blinds(paper, data.get("blinds", []))


def review(paper: Paper, data: Data) -> list[str]:
    """The first half of `baseline`: what would become the truth."""
    findings, present = data.get("findings", []), data.get("generation")
    if isinstance(present, Mapping) and present.get("reviewed") is False:
        lines = paper.wrap(
            f"Nobody has reviewed generation {present.get('number')} yet: it was captured at the first "
            "start, as the host was then. Anything planted before that is part of it.",
            style="warn",
        )
    else:
        lines = []
    against = generation_words(paper, present)
    if not findings:
        return [*lines, *paper.wrap(f"A full look found nothing that differs from {against}.")]
    lines += paper.wrap(f"{count(len(findings), 'difference')} from {against}", style="strong")
    return lines + grouped(paper, findings, False) + groups(paper, data)


def group(paper: Paper, data: Data) -> list[str]:
    """What `accept` is about to take of groups."""
    findings = data.get("findings", [])
    if not findings:
        return ["Nothing of that is open."]
    return grouped(paper, findings, False) + groups(paper, data, how=False)


def difference(paper: Paper, data: Data) -> list[str]:
    """What changed between two generations."""
    a, b = (_number(data.get(side)) for side in "ab")
    found = data.get("changes", [])
    if not found:
        return [f"Generations {a} and {b} hold the same facts."]
    lines = paper.wrap(f"{count(len(found), 'change')} from generation {a} to {b}", style="strong")
    lines.append("")
    for change in sorted(found, key=lambda c: (str(c.get("kind")), str(c.get("label")))):
        lines += _headline(paper, change, "")
        lines += changes(paper, change, change.get("changed") or [], 4)
    return lines


def grouped(paper: Paper, findings: Sequence[Data], everything: bool) -> list[str]:
    """Blocks by severity; one line each when there are many; the far tail summed up by folder."""
    ranked = _ranked(findings)
    detailed = len(findings) <= DETAILED
    limit = LISTED if paper.width and not everything else len(findings)
    width = max((len(str(f.get("id", ""))) for f in findings), default=0)
    lines: list[str] = []
    shown = 0
    rest: list[Data] = []
    for severity in _ORDER:
        group = [f for f in ranked if _known(f) == severity]
        if not group:
            continue
        lines += ["", f"{badge(paper, severity)} {paper.paint('dim', count(len(group)))}"]
        for finding in group:
            if shown >= limit:
                rest.append(finding)
                continue
            shown += 1
            lines += _block(paper, finding, width) if detailed else _one_line(paper, finding, width)
    if rest:
        lines += ["", *paper.wrap(f"and {len(rest):,} more: {_by_folder(rest)}.", style="strong")]
        lines += paper.wrap("hostguardctl drift --all lists every one of them.", style="dim")
    return lines


def blinds(paper: Paper, scopes: Sequence[Data]) -> list[str]:
    """What could not be looked at, and why; the same reason once."""
    if not scopes:
        return []
    lines = ["", paper.paint("warn", f"Could not look at {count(len(scopes), 'place')}:")]
    for blind in scopes:
        where = f"{blind.get('kind', '')} {blind.get('scope', '')}".strip()
        lines += paper.wrap(f"{where}: {blind.get('reason', '')}", 2)
    return lines


def unified(paper: Paper, text: str) -> list[str]:
    """A unified diff, coloured; lines are broken where the paper ends."""
    styles = {"+": "added", "-": "removed", "@": "hunk"}
    return [
        paper.paint(styles.get(line[:1], ""), piece)
        for line in text.splitlines()
        for piece in fold(line.expandtabs(4), paper.width)
    ]


def badge(paper: Paper, severity: str) -> str:
    """The severity as a word, in its colour."""
    word = severity.upper()
    return paper.paint(severity, f" {word} ") if paper.colour else paper.paint("", word)


def generation_words(paper: Paper, generation: object) -> str:
    """`generation 7 (approved 2 d ago, … by alice)`, of a number or of all that is known of it."""
    if not isinstance(generation, Mapping):
        return f"generation {generation}"
    words = f"generation {generation.get('number')}"
    when = paper.when(generation.get("at"))
    if generation.get("reviewed") is False:
        return f"{words} (captured {when}, reviewed by nobody)"
    by = str(generation.get("actor") or "").split(",")[0]
    return f"{words} (approved {when}{' by ' + by if by else ''})" if when else words


def show(paper: Paper, fact: Data, name: str, whole: bool = False) -> str:
    """One value of a fact for people, with the word that goes with a number (`0 (root)`)."""
    value = fact.get(name)
    if value is None:
        return "not known"
    if value in ("", [], {}):
        return "none"
    if name == "size":
        return f"{value:,} bytes" if whole and isinstance(value, int) else size(value)
    if name in _TIMES:
        return paper.stamp(value, exact=whole)
    if name in _LONG and not whole:
        return str(value)[:12] + "…"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={inner}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    words = [str(fact[word]) for word in _WORDS.get(name, ()) if fact.get(word) not in (None, str(value))]
    return f"{value} ({words[0]})" if words else str(value)


def _block(paper: Paper, finding: Data, width: int) -> list[str]:
    return _what(paper, finding, width) + _why(paper, finding, width + 4)


def _why(paper: Paper, finding: Data, indent: int) -> list[str]:
    """Who made it and what explains it, as far as either is known."""
    story = as_map(finding.get("story"))
    said = teller(story)
    if said and story.get("earlier"):
        said += "; others before, see explain"
    return paper.wrap(said, indent, "dim") if said else []


def _what(paper: Paper, finding: Data, width: int) -> list[str]:
    indent = width + 4
    lines = _one_line(paper, finding, width)
    if finding.get("before") and finding.get("after"):
        return lines + changes(paper, finding, finding.get("changed") or [], indent)
    # Only what the message says beyond the headline: it usually names the same thing again.
    message, label = str(finding.get("message") or ""), str(finding.get("label", ""))
    told = message.partition(label)[2].lstrip(" :,") if label in message else message
    return lines + (paper.wrap(told, indent) if told else [])


def _one_line(paper: Paper, finding: Data, width: int) -> list[str]:
    """The headline, and since when: at the right end of it, or below where there is no room."""
    lines = _headline(paper, finding, str(finding.get("id", "")).ljust(width))
    since = paper.when(finding.get("first_seen"))
    if not paper.width:
        return [f"{lines[0]}  {paper.paint('dim', since)}"]
    space = paper.width - cells(visible(lines[-1])) - cells(since)
    if space >= 2:
        lines[-1] += " " * space + paper.paint("dim", since)
    else:
        lines.append(" " * max(0, paper.width - cells(since)) + paper.paint("dim", since))
    return lines


def _headline(paper: Paper, finding: Data, name: str) -> list[str]:
    """`  3f9a21c4  changed /etc/passwd`, the label wrapped below itself."""
    action, kind = str(finding.get("action", "")), str(finding.get("kind", ""))
    what = action if kind == "file" else f"{action} {kind}"
    lead = f"  {name}  " if name else "  "
    first = "  " + (paper.paint("strong", name) + "  " if name else "") + paper.paint("warn", what) + " "
    return paper.wrap(str(finding.get("label", "")), cells(lead) + cells(what) + 1, "strong", first)


def changes(paper: Paper, finding: Data, names: Iterable[str], indent: int, whole: bool = False) -> list[str]:
    """Each field that differs, before → after; `whole` with nothing cut."""
    before, after = finding.get("before") or {}, finding.get("after") or {}
    if not before or not after:
        return []
    rows = [(n, show(paper, before, n, whole), show(paper, after, n, whole)) for n in names]
    width = max((cells(name) for name, _, _ in rows), default=0)
    column = indent + width + 2
    lines = []
    for name, old, new in rows:
        lead = " " * indent + paper.paint("dim", name.ljust(width)) + "  "
        if old == new and not whole:  # the same at a glance: show what tells them apart
            old, new = show(paper, before, name, True), show(paper, after, name, True)
        if not paper.width or column + cells(old) + 3 + cells(new) <= paper.width:
            lines.append(f"{lead}{paper.paint('', old)} → {paper.paint('strong', new)}")
        else:
            lines += paper.wrap(old, column, first=lead)
            lines += paper.wrap(new, column, "strong", first=" " * (column - 2) + "→ ")
    return lines


def everything(paper: Paper, finding: Data, changed: Sequence[str]) -> list[str]:
    """The fields that did not change, and the names of those that nobody could look at."""
    fact = finding.get("after") or finding.get("before") or {}
    names = [name for name in fact if name not in changed and name not in _REPEATED]
    rows = [(n, show(paper, fact, n, True)) for n in names if _says_something(fact[n])]
    unknown = [name for name in names if fact[name] is None]
    if unknown:
        rows.append(("not known", ", ".join(unknown)))
    if not rows:
        return []
    word = "What it is" if finding.get("after") else "What it was"
    return ["", title(paper, f"{word}, beside that" if changed else word), *pairs(paper, rows)]


def _says_something(value: object) -> bool:
    """Not unknown, empty or off; a number always does, 0 being root."""
    return value is not None and value is not False and value not in ("", [], {})


def pairs(paper: Paper, rows: Sequence[tuple[str, str]]) -> list[str]:
    """Names and what goes with them, in two columns."""
    width = max((cells(name) for name, _ in rows), default=0)
    lines: list[str] = []
    for name, value in rows:
        lines += paper.wrap(value, width + 4, first="  " + paper.paint("dim", name.ljust(width)) + "  ")
    return lines


def title(paper: Paper, text: str) -> str:
    """A heading."""
    return paper.paint("strong", text)


def _number(side: object) -> object:
    return side.get("number") if isinstance(side, Mapping) else side


def _ranked(findings: Iterable[Data]) -> list[Data]:
    """The worst first, within that the newest, within that by name."""
    ranked = sorted(findings, key=lambda f: str(f.get("label", "")))
    ranked.sort(key=_seen, reverse=True)
    ranked.sort(key=lambda f: _ORDER.index(_known(f)))
    return ranked


def _seen(finding: Data) -> float:
    moment = parse_time(finding.get("first_seen"))
    return moment.timestamp() if moment else 0.0


def _known(finding: Data) -> str:
    severity = finding.get("severity")
    return severity if severity in SEVERITIES else UNKNOWN


def _by_folder(findings: Sequence[Data]) -> str:
    """`8,200 below /usr/lib, 310 below /etc`: the five fullest places, and the rest as a number."""
    places = Counter(_place(str(f.get("label", "")), str(f.get("kind", ""))) for f in findings)
    top = places.most_common(5)
    told = [f"{number:,} {place}" for place, number in top]
    others = len(findings) - sum(number for _, number in top)
    return ", ".join([*told, f"{others:,} elsewhere"] if others else told)


def _place(label: str, kind: str) -> str:
    if not label.startswith("/"):
        return f"of kind {kind}"
    return "below " + (
        "/".join(label.split("/")[:3]) if label.count("/") > 2 else label.rpartition("/")[0] or "/"
    )
