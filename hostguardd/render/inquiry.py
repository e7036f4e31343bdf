"""The report of an inquiry on a terminal: the verdict, what is suspicious, what was not seen, then
everything else.

The rule is that of all rendering (see the package): the worst first, and what could not be looked at stands
directly below it, because an intruder is where nobody looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from .alike import Alike, alike, apart
from .moments import runs_of
from .paper import Data, Paper, cells, count, duration
from .trees import Node, is_tree, natural, tree

STYLES: Final = {"suspicious": "bad", "notable": "warn", "could not look": "warn", "fine": "good"}
MARKS: Final = {"suspicious": "✕", "notable": "!", "could not look": "?", "fine": "✓"}

SHOWN: Final = 30
"""Suspicious things in full, and as many notable ones in a line each."""

BLIND: Final = 12
MOMENTS: Final = 25
ASKED: Final = 15
EVIDENCE: Final = 3

NAMED: Final = 3
"""Suspicious things that a sentence names."""

_INDENT = 10


def page(paper: Paper, report: Data, everything: bool = False, only: str | None = None) -> Iterator[str]:
    """The lines. `everything`: what is fine as well, and no list is cut; `only`: the check of that name
    alone.

    Raises KeyError when there is no such check.
    """
    if only is not None:
        yield from _check(paper, {one["name"]: one for one in report["checks"]}[only])
        return
    yield from _verdict(paper, report)
    yield from _suspicious(paper, report, everything)
    yield from _unseen(paper, report, everything)
    yield from _notable(paper, report, everything)
    yield from _checks(paper, report)
    if everything:
        for check in report["checks"]:
            yield from ("", *_check(paper, check))
    yield from _moments(paper, report, everything)
    yield from _ask(paper, report, everything)
    yield from _steps(paper, report)


def trust(paper: Paper, report: Data) -> Iterator[str]:
    """Before a first approval: what can be said for the host at this moment."""
    yield from _title(paper, "How far this host can be trusted")
    yield from _verdict(paper, report)
    yield from _suspicious(paper, report, False)
    if any(_total(report, verdict) for verdict in ("suspicious", "notable")):
        yield from ("", *paper.wrap("hostguardctl investigate shows all of it.", style="dim"))


def trust_in_words(report: Data) -> str:
    """The same as one sentence, to be kept with the generation."""
    packages = next((one for one in report["checks"] if one["name"] == "packages"), {"items": ()})
    share = next((one["says"] for one in packages["items"] if one["name"] == "packaged files"), "")
    found = _of(report, "suspicious")
    names = ", ".join(dict.fromkeys(_cut(str(item["name"]), 60) for _, item in found[:NAMED]))
    total = _total(report, "suspicious")
    suspicious = (
        f"{count(total, 'thing')} suspicious ({names}{', …' if total > NAMED else ''})" if total else ""
    )
    blind = f"{count(len(report['unseen']), 'thing')} could not be looked at" if report["unseen"] else ""
    said = [share or "packages were not verified", suspicious or "nothing suspicious", blind]
    return _cut("at that moment: " + "; ".join(filter(None, said)), 500)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _title(paper: Paper, text: str) -> list[str]:
    return ["", *paper.wrap(text.upper(), style="strong")]


def _more(paper: Paper, number: int, noun: str, how: str) -> list[str]:
    return paper.wrap(f"and {count(number, f'more {noun}')}: {how}", 2, "dim") if number > 0 else []


def _row(paper: Paper, name: str, text: str, style: str = "", indent: int = _INDENT) -> list[str]:
    """A line under a dim name; nothing for no text."""
    if not text:
        return []
    return paper.wrap(text, indent, style, paper.paint("dim", name.rjust(indent - 2)) + "  ")


def _mark(paper: Paper, verdict: str) -> str:
    return paper.paint(STYLES[verdict], MARKS[verdict])


def _verdict(paper: Paper, report: Data) -> Iterator[str]:
    verdict = str(report["verdict"])
    host, look = report["host"], report["look"]
    first, worst, trust = report["headline"]
    said = f"{verdict.upper()}: {first}"
    yield from paper.wrap(said, 2, STYLES[verdict], _mark(paper, verdict) + " ")
    yield from paper.wrap(worst, 2)
    yield from paper.wrap(trust, 2, "dim")
    where = host["hostname"] if host["root"] == "/" else f"the image at {host['root']}"
    yield from paper.wrap(f"{where}, {paper.stamp(look['ended'])}, in {duration(look['took'])}", 2, "dim")


def _of(report: Data, verdict: str) -> list[tuple[Data, Data]]:
    return [
        (check, item) for check in report["checks"] for item in check["items"] if item["verdict"] == verdict
    ]


def _total(report: Data, verdict: str) -> int:
    return sum(check["counts"][verdict] for check in report["checks"])


def _suspicious(paper: Paper, report: Data, everything: bool) -> Iterator[str]:
    found = _of(report, "suspicious")
    if not found:
        return
    yield from _title(paper, "What is suspicious")
    shown = found if everything else found[:SHOWN]
    for sort in alike(shown):
        yield ""
        yield from _full(paper, sort.check["title"], sort)
    left = _total(report, "suspicious") - len(shown)
    yield from _more(paper, left, "suspicious thing", "--all, or --json for everything")


def _full(paper: Paper, title: str, sort: Alike) -> Iterator[str]:
    """Things that mean the same: what, evidence, why, next. What the one above says is not said twice."""
    before = ("", "")
    for item in sort.items:
        tags = ", ".join(tag for tag in (title, item["known"], item["technique"]) if tag)
        verdict = str(item["verdict"])
        yield from paper.wrap(f"{item['name']}", 2, STYLES[verdict], _mark(paper, verdict) + " ")
        about = (tags, apart(item))
        if about != before:
            yield from paper.wrap(tags, 2, "dim") if tags else ()
            yield from _row(paper, "what", about[1])
        before = about
        for number, one in enumerate(item["evidence"][:EVIDENCE]):
            said = f"{one['source']}: {one['text']}" if one["text"] else one["source"]
            yield from _row(paper, "" if number else "evidence", said)
        if not sort.next:
            yield from _row(paper, "next", item["next"], "strong")
    yield from _row(paper, "why", sort.items[0]["means"])
    yield from _row(paper, "next", sort.next, "strong")


def _notable(paper: Paper, report: Data, everything: bool) -> Iterator[str]:
    found = _of(report, "notable")
    if not found:
        return
    yield from _title(paper, "What somebody should explain")
    shown = found if everything else found[:SHOWN]
    for sort in alike(shown):
        for item in sort.items:
            yield from paper.wrap(_brief(item), 2, first=_mark(paper, "notable") + " ")
        yield from paper.wrap(f"{sort.check['title']}. {sort.next or sort.items[0]['means']}", 4, "dim")
    left = _total(report, "notable") - len(shown)
    yield from _more(paper, left, "notable thing", "--all, or --json for everything")


def _unseen(paper: Paper, report: Data, everything: bool) -> Iterator[str]:
    found = report["unseen"]
    if not found:
        return
    yield from _title(paper, "What could not be looked at")
    remedy = report["remedy"]
    for one in found if everything else found[:BLIND]:
        helps = f" ({one['remedy']})" if one["remedy"] and one["remedy"] != remedy else ""
        yield from paper.wrap(
            f"{one['scope']}: {one['reason']}{helps}", 2, first=_mark(paper, "could not look") + " "
        )
    yield from _more(paper, 0 if everything else len(found) - BLIND, "thing", "--all")
    if remedy:
        yield from paper.wrap("To see what this look was not allowed to see:", 2)
        yield f"    {paper.paint('strong', remedy)}"


def _checks(paper: Paper, report: Data) -> Iterator[str]:
    yield from _title(paper, "Every check")
    width = max((cells(one["name"]) for one in report["checks"]), default=0)
    for one in report["checks"]:
        verdict = str(one["verdict"])
        told = [
            f"{one['counts'][word]:,} {word}" for word in ("suspicious", "notable") if one["counts"][word]
        ]
        told += [f"{len(one['unseen'])} not seen"] if one["unseen"] else []
        told.append(f"{sum(one['counts'].values()):,} looked at")
        told += ["cut off"] if one["cut"] else []
        says = f"{verdict:<15}{duration(one['took']):>6}  {', '.join(told)}"
        first = f"{_mark(paper, verdict)} {paper.paint('strong', one['name'].ljust(width))}  "
        yield from paper.wrap(says, width + 4, first=first)
    yield from paper.wrap("--check NAME shows one of them, --all shows all", 2, "dim")


def _check(paper: Paper, check: Data) -> Iterator[str]:
    """One check with all that it found."""
    verdict = str(check["verdict"])
    said = f"{check['title']}: {verdict}"
    yield from paper.wrap(said, 2, "strong", _mark(paper, verdict) + " ")
    yield from paper.wrap(f"{check['about']}. By hand: {check['guide']}", 2, "dim")
    for one in check["unseen"]:
        first = _mark(paper, "could not look") + " "
        yield from paper.wrap(f"not seen: {one['scope']}: {one['reason']}", 4, first=f"  {first}")
    items = check["items"]
    for sort in alike((check, item) for item in items if item["verdict"] != "fine"):
        yield ""
        yield from _full(paper, "", sort)
    if is_tree(items):
        yield ""
        yield from _tree(paper, items)
    else:
        yield from (("",) if any(item["verdict"] == "fine" for item in items) else ())
        for item in items:
            if item["verdict"] == "fine":
                yield from paper.wrap(_brief(item), 4, first=f"  {_mark(paper, 'fine')} ")
    if check["more"]:
        yield from _more(paper, check["more"], "thing", "counted, and not kept")
    elif not items and not check["unseen"]:
        yield from paper.wrap("nothing was found", 2, "dim")


def _brief(item: Data) -> str:
    """An item in a line: its name, if that is not in what is said of it, and how the baseline knows it."""
    says = item["says"] if item["name"] in item["says"] else f"{item['name']}: {item['says']}"
    return f"{says} ({item['known']})" if item["known"] else str(says)


def _tree(paper: Paper, items: Sequence[Data]) -> Iterator[str]:
    """Drawn with lines; what is not fine bears its mark."""
    open_ends: list[bool] = []
    for node in tree(sorted(items, key=natural)):
        yield from _branch(paper, node, open_ends)


def _branch(paper: Paper, node: Node, open_ends: list[bool]) -> list[str]:
    """One node; `open_ends` says for each depth above whether a line goes on there."""
    del open_ends[node.depth :]
    stem = "".join("│ " if goes_on else "  " for goes_on in open_ends[1:])
    knee = ("└─" if node.last else "├─") if node.depth else ""
    open_ends.append(not node.last)
    verdict = str(node.item["verdict"])
    mark = f"{_mark(paper, verdict)} " if verdict != "fine" else ""
    lead = paper.paint("dim", stem + knee) + mark
    indent = len(stem) + len(knee) + (2 if mark else 0)
    text = node.item["name"]
    if node.item["known"] in ("new", "changed"):
        text += f" ({node.item['known']})"
    return paper.wrap(text, indent, STYLES[verdict] if mark else "", lead)


def _moments(paper: Paper, report: Data, everything: bool) -> Iterator[str]:
    moments = report["timeline"]["moments"]
    odd = [one for one in moments if one["verdict"] in ("notable", "suspicious")]
    runs = runs_of(moments if everything else odd)
    shown = runs if everything else _last(runs)
    if not shown:
        return
    yield from _title(paper, "Time line" if everything else "When it happened")
    yield from _more(paper, len(runs) - len(shown), "moment", "--all")
    for run in shown:
        one = run[0]
        stamp = paper.stamp(one["at"])
        lead = f"{_mark(paper, one['verdict'])} {paper.paint('dim', stamp)}  "
        doubt = ", a time that is easily forged" if one["confidence"] == "forgeable" else ""
        times = f", {len(run):,} times until {paper.stamp(run[-1]['at'])}" if len(run) > 1 else ""
        yield from paper.wrap(f"{one['says']}{times} ({one['source']}{doubt})", cells(stamp) + 4, first=lead)
    yield from paper.wrap(f"{count(len(moments) + report['timeline']['lost'], 'moment')} in all", 2, "dim")


def _last(runs: Sequence[list[Data]]) -> list[list[Data]]:
    """The suspicious ones and then the newest, in the order of time."""
    best = sorted(range(len(runs)), key=lambda n: (runs[n][0]["verdict"] != "suspicious", -n))[:MOMENTS]
    return [runs[n] for n in sorted(best)]


def _ask(paper: Paper, report: Data, everything: bool) -> Iterator[str]:
    if not report["ask"]:
        return
    yield from _title(paper, "What to ask")
    for one in report["ask"] if everything else report["ask"][:ASKED]:
        yield from paper.wrap(one["account"], 2, "strong")
        for question in one["questions"]:
            yield from paper.wrap(question, 6, first="    ? ")
    yield from _more(paper, 0 if everything else len(report["ask"]) - ASKED, "account", "--all")


def _steps(paper: Paper, report: Data) -> Iterator[str]:
    yield from _title(paper, "What to do next")
    for number, step in enumerate(report["next_steps"], 1):
        yield from paper.wrap(f"{step['do']}. {step['why']}", 4, first=f"{number:>2}. ")
        for command in step["commands"]:  # to be copied: never broken
            yield f"      {paper.paint('strong', command)}"
